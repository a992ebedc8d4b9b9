"""A built dataset to look through: its clips by source, task, class, and by how far and how fast things move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from stvlm.cards.label_figure import label_figure
from stvlm.dataset.folder import BUILD
from stvlm.evaluation.dataset import Row, load_split
from stvlm.evaluation.trajectories import Trajectories, Trajectory, load_trajectories, trajectory_of
from stvlm.files import read_json
from stvlm.kinematics import traveled_distance, traveling_speed
from stvlm.records import Array, DataError

SPLITS = ("train", "validation", "test")
MOST_ROWS = 5000
ANY = ""
RANGES: Mapping[str, tuple[float, float]] = {
    "": (0, np.inf),
    "under 10": (0, 10),
    "10 to 30": (10, 30),
    "over 30": (30, np.inf),
}
"""Of metres, and of km/h."""


class Item(NamedTuple):
    """A clip with all of its questions."""

    clip_id: str
    rows: Sequence[Row]
    distances_m: Sequence[float]  # of each object
    speeds_kmh: Sequence[float]

    @property
    def categories(self) -> set[str]:
        return {item["category"] for item in self.rows[0]["objects"]}

    @property
    def tasks(self) -> set[str]:
        return {row["task"] for row in self.rows}


class Catalogue(NamedTuple):
    """A dataset's clips, and the labels of all that could be asked and of what was kept."""

    name: str
    items: Mapping[str, Item]
    trajectories: Trajectories
    labels: str  # an SVG; empty where the dataset does not say

    def values(self, column: str) -> list[str]:
        """What a column may be filtered by."""
        return sorted({str(row[column]) for item in self.items.values() for row in item.rows})

    @property
    def categories(self) -> list[str]:
        """The classes of its objects."""
        return sorted(set().union(*(item.categories for item in self.items.values())))

    @property
    def folders(self) -> set[str]:
        """Where its videos lie."""
        return {str(Path(item.rows[0]["video_path"]).parent.absolute()) for item in self.items.values()}


def read_catalogue(dataset: str) -> Catalogue:
    """The first rows of each split of a built folder or a dataset on the Hub, with video. Raises DataError."""
    rows: list[Row] = []
    trajectories: dict[str, Trajectory] = {}
    for split in SPLITS:
        try:
            rows += load_split(dataset, split, MOST_ROWS).rows
            trajectories |= load_trajectories(dataset, split)
        except DataError as error:
            if f"has no split {split!r}" not in str(error):
                raise
    if not rows:
        raise DataError(f"{dataset}: has no rows; build it with dataset_builder/build.py")
    of_clip: dict[str, list[Row]] = {}
    for row in rows:
        of_clip.setdefault(row["clip_id"], []).append(row)
    items = {clip_id: _item(clip_id, of, trajectories) for clip_id, of in of_clip.items()}
    return Catalogue(Path(dataset).name, items, trajectories, _labels(dataset))


def _item(clip_id: str, rows: Sequence[Row], trajectories: Trajectories) -> Item:
    motion = trajectory_of(rows[0], trajectories)
    flat = motion.domain == "sports"
    return Item(
        clip_id,
        rows,
        [traveled_distance(xyz_m, horizontal=flat).value for xyz_m in motion.xyz_m],
        [traveling_speed(xyz_m, horizontal=flat).value for xyz_m in motion.xyz_m],
    )


def find(
    catalogue: Catalogue, source: str = "", task: str = "", category: str = "", distance: str = "", speed: str = ""
) -> list[Item]:
    """Clips with all of these: empty ones count for nothing. An object of the class moves within the ranges.

    Raises DataError for a range that there is not.
    """
    for name in (distance, speed):
        if name not in RANGES:
            raise DataError(f"{name!r} is no range; choose one of {', '.join(filter(None, RANGES))}")
    return [
        item
        for item in catalogue.items.values()
        if source in ("", item.rows[0]["source"])
        and (not task or task in item.tasks)
        and any(
            category in ("", thing["category"])
            and RANGES[distance][0] <= distance_m < RANGES[distance][1]
            and RANGES[speed][0] <= speed_kmh < RANGES[speed][1]
            for thing, distance_m, speed_kmh in zip(
                item.rows[0]["objects"], item.distances_m, item.speeds_kmh, strict=True
            )
        )
    ]


def picture(item: Item) -> Array:
    """The frame (H, W, 3) in the middle of a clip. Raises DataError."""
    path = Path(item.rows[0]["video_path"])
    middle = len(item.rows[0]["frame_times_s"]) // 2
    try:
        with av.open(str(path)) as container:
            frame = next(islice(container.decode(video=0), middle, None))
            return np.asarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, OSError, ValueError, StopIteration) as error:
        raise DataError(f"The video of clip {item.clip_id} cannot be read.") from error


def _labels(dataset: str) -> str:
    """The distribution of labels before and after balancing."""
    try:
        path = Path(dataset) / BUILD
        if not Path(dataset).is_dir():
            path = Path(hf_hub_download(dataset, BUILD, repo_type="dataset"))
        report: Any = read_json(path)["report"]
        return label_figure(report["labels"], report["asked_labels"])
    except (DataError, OSError, ValueError, KeyError, HfHubHTTPError):
        return ""

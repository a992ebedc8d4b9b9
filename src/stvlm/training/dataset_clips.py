"""Endless clips of a built dataset whose trajectories are known: cut, mirrored, zoomed, box colours exchanged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

from stvlm.evaluation.frames import FrameReader
from stvlm.evaluation.trajectories import Trajectories, Trajectory, trajectory_of
from stvlm.kinematics import STEP_S
from stvlm.records import Array, DataError
from stvlm.training.augment import CHANNEL
from stvlm.training.trajectories import Cut, mirrored

LEAST_ZOOM, MOST_ZOOM = 0.75, 1.4
"""Of focal lengths; recordings hold few, and how far something moved in the image tells nothing without them."""
LEAST_WINDOW = 5
"""Frames, as in the shortest clips."""


class _Known(NamedTuple):
    path: Path
    colors: tuple[str, ...]
    boxes: Array  # (J, n, 4) shares of the image; NaN where unseen
    trajectory: Trajectory


class DatasetClips:
    """The clips of rows, from their mp4s; each row's video shows all frames of its clip."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], trajectories: Trajectories, reader: FrameReader) -> None:
        """Raises DataError where a clip has no trajectory, or not that of its frames, or one that is not exact."""
        self._reader = reader
        self._known: dict[int, list[_Known]] = defaultdict(list)
        seen: set[str] = set()
        for row in rows:
            if row["clip_id"] not in seen:
                seen.add(row["clip_id"])
                known = _known(row, trajectory_of(row, trajectories))
                for n in range(LEAST_WINDOW, known.boxes.shape[1] + 1):
                    self._known[n].append(known)
        if not self._known:
            raise DataError(
                f"trajectories: no clip of the dataset has {LEAST_WINDOW} frames; build it with longer ones, or leave "
                "them out of the recipe"
            )
        self.lengths = sorted(self._known)

    def draw(self, n: int, rng: np.random.Generator, whole: bool = True) -> Cut:
        """A clip of n frames, or one frame of it; it follows from the generator."""
        clips = self._known[n]
        path, colors, boxes, (_, xyz_m, poses) = clips[rng.integers(len(clips))]
        first = int(rng.integers(boxes.shape[1] - n + 1))
        if not whole:
            first, n = first + int(rng.integers(n)), 1
        shown = slice(first, first + n)
        cut = Cut(self._reader(path)[shown], colors, boxes[:, shown], xyz_m[:, shown], poses[shown])
        cut = _zoomed(_exchanged(cut, rng), rng)
        return mirrored(cut) if rng.random() < 0.5 else cut


def _known(row: Mapping[str, Any], trajectory: Trajectory) -> _Known:
    # What is asked about them asks for directions, and knows of no noise.
    if row["label_type"] != "simulated" or trajectory.domain != "driving":
        raise DataError(
            f"trajectories: row {row['id']} shows {trajectory.domain}, labelled as {row['label_type']}, and what is "
            "learned from is simulated driving; name a config of that alone, or leave them out of the recipe"
        )
    if len(row["frame_times_s"]) != trajectory.xyz_m.shape[1]:
        raise DataError(
            f"trajectories: the clip of row {row['id']} is not shown every {STEP_S} s; name a config that is not "
            "retimed, or leave them out of the recipe"
        )
    path = Path(row["video_path"])
    with av.open(str(path)) as container:
        size_px = container.streams.video[0].width, container.streams.video[0].height
    nowhere = [np.nan] * 4
    boxes_px = np.array([[box or nowhere for box in item["boxes_px"]] for item in row["objects"]])
    return _Known(path, tuple(item["color"] for item in row["objects"]), boxes_px / np.tile(size_px, 2), trajectory)


def _exchanged(cut: Cut, rng: np.random.Generator) -> Cut:
    """The clip with its objects' colours exchanged among them; exact where the recording is grey."""
    orders = list(permutations(cut.colors))
    colors = orders[rng.integers(len(orders))]
    source = list(range(3))
    for old, new in zip(cut.colors, colors, strict=True):
        source[CHANNEL[new]] = CHANNEL[old]
    order = sorted(range(len(colors)), key=lambda j: cut.colors.index(colors[j]))  # objects as their colours come
    return Cut(cut.frames[:, source], cut.colors, cut.boxes[order], cut.xyz_m[order], cut.world_SE3_camera)


def _zoomed(cut: Cut, rng: np.random.Generator) -> Cut:
    """The clip by another focal length, black around it where that is shorter; no box leaves the image."""
    reach = 2 * np.nanmax(np.abs(cut.boxes - 0.5), initial=0.0, where=np.isfinite(cut.boxes))
    zoom = np.exp(rng.uniform(np.log(LEAST_ZOOM), np.log(min(MOST_ZOOM, 1 / max(reach, 1 / MOST_ZOOM)))))
    scaled = torch.tensor([[1 / zoom, 0, 0], [0, 1 / zoom, 0]], dtype=torch.float32).expand(len(cut.frames), 2, 3)
    grid = affine_grid(scaled, list(cut.frames.shape), align_corners=False)
    frames = grid_sample(cut.frames.float(), grid, align_corners=False)
    return cut._replace(frames=frames.round().to(torch.uint8), boxes=0.5 + (cut.boxes - 0.5) * zoom)

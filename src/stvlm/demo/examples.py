"""Examples of the simulated world: a built dataset, and beside it the same clips plain, ten frames a second.

<folder>/                  as build.py writes it, with video
    plain/<clip_id>.mp4    the clip without boxes
    plain/clips.parquet    what is known of each frame: `_SCHEMA`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stvlm.dataset.video import VideoSettings, write_video
from stvlm.dataset.visibility import boxes_in_view
from stvlm.demo.clips import Clip, Known
from stvlm.evaluation.trajectories import load_trajectories
from stvlm.files import whole_file
from stvlm.kinematics import STEP_S
from stvlm.programs import first_line
from stvlm.pseudo_labels.videos.of_scenes import HiddenLabels
from stvlm.pseudo_labels.videos.video import Video
from stvlm.questions.asking import Motion
from stvlm.questions.templates import listed
from stvlm.records import NOISELESS, Camera, DataError, Recording, Rejected, Scene
from stvlm.simulation.source import SimulationSource

PLAIN, CLIPS = "plain", "clips.parquet"
PLAIN_STEP_S = 0.1
EDGE_PX, LEAST_HEIGHT, MEASURABLE_S = 2.0, 0.08, 4.0
"""How an object is to be seen that geometry can measure: off the border, so tall, and for so long."""
_NUMBERS, _PLURALS = {2: "two", 3: "three"}, {"bus": "buses", "person": "people"}
_SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("split", pa.string()),
        ("layout", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("boxes_px", pa.list_(pa.list_(pa.float64()))),  # of each object: x0, y0, x1, y1 frame by frame; NaN unseen
        ("camera", pa.list_(pa.float64())),  # width, height, fx, fy, cx, cy
        ("camera_height_m", pa.float64()),
        ("world_SE3_camera", pa.list_(pa.float64())),  # frame by frame, row by row
    ]
)


def write_plain(dataset: Path, source: SimulationSource, most: int) -> list[str]:
    """Adds the plain clips to a dataset that was built of this simulated world, and names them.

    The best one of each recording to look at, and of recordings the first `most`. Raises DataError.
    """
    rows: dict[str, dict[str, Any]] = {}
    for table in sorted(dataset.glob("simulation/*/metadata.parquet")):
        for row in pq.read_table(table).to_pylist():
            best = rows.setdefault(row["scene_id"], row)
            if _richness(row) > _richness(best):
                rows[row["scene_id"]] = row
    if not rows:
        raise DataError(f"{dataset}: holds no simulated clips; build it with a recipe of the simulation")
    videos = HiddenLabels(source)
    (name,) = videos.cameras
    found = []
    for scene_id, row in sorted(rows.items())[:most]:
        video = videos.video(Recording(source.name, f"{scene_id}/{name}", row["split"]))
        if isinstance(video, Rejected):
            raise DataError(f"{scene_id}: {video.reason}")
        scene = videos.scene(f"{scene_id}/{name}")
        assert not isinstance(scene, Rejected)
        start_s = (row["clip_start_ns"] - int(scene.frame_times_ns[0])) / 1e9
        found.append(_write_one(dataset, video, scene, row, start_s, source.parameters.layouts))
    with whole_file(dataset / PLAIN / CLIPS) as temporary:
        pq.write_table(pa.Table.from_pylist(found, _SCHEMA), temporary)
    return [item["clip_id"] for item in found]


def _richness(row: dict[str, Any]) -> tuple[bool, bool, int, str]:
    """Clips in which all objects are whole and tall in the image for long enough to be measured come first, then those
    of two objects, then the longest such.
    """
    _, _, cx_px, cy_px = row["intrinsics_px"]
    width_px, height_px = 2 * cx_px + 1, 2 * cy_px + 1
    frames = min(
        sum(
            box is not None
            and min(box[0], box[1], width_px - box[2], height_px - box[3]) > EDGE_PX
            and box[3] - box[1] > LEAST_HEIGHT * height_px
            for box in item["boxes_px"]
        )
        for item in row["objects"]
    )
    return frames > MEASURABLE_S / STEP_S, len(row["objects"]) == 2, frames, row["clip_id"]


def _write_one(
    dataset: Path, video: Video, scene: Scene, row: dict[str, Any], start_s: float, layouts: Sequence[str]
) -> dict[str, Any]:
    assert video.camera is not None and video.world_SE3_camera is not None
    at_s = start_s + np.arange(0, row["frame_times_s"][-1] + 1e-6, PLAIN_STEP_S)
    frames = np.abs(video.times_s[:, None] - at_s).argmin(axis=0)
    tracks = {track.track_id: track for track in scene.tracks}
    chosen = tuple(tracks[item["track_id"]] for item in row["objects"])
    boxes_px = boxes_in_view(scene, chosen, frames).swapaxes(0, 1)
    nearest = np.rint((at_s - start_s) / STEP_S).astype(int)  # seen is what the dataset says is
    boxes_px[[[item["boxes_px"][k] is None for k in nearest] for item in row["objects"]]] = np.nan
    images = (video.frames.read(int(frame)) for frame in frames)
    write_video(dataset / PLAIN / f"{row['clip_id']}.mp4", images, VideoSettings(crf=23), PLAIN_STEP_S)
    camera = video.camera
    return {
        "clip_id": row["clip_id"],
        "split": row["split"],
        "layout": layouts[int(row["scene_id"].rpartition("-")[2]) % len(layouts)],
        "categories": [item["category"] for item in row["objects"]],
        "boxes_px": boxes_px.reshape(len(chosen), -1).tolist(),
        "camera": [getattr(camera, key) for key in ("width_px", "height_px", "fx_px", "fy_px", "cx_px", "cy_px")],
        "camera_height_m": video.camera_height_m,
        "world_SE3_camera": video.world_SE3_camera[frames].ravel().tolist(),
    }


def title_of(layout: str, categories: Sequence[str]) -> str:
    """What a clip is to be called: t_junction with two bicycles is "T-junction: two bicycles"."""
    before, _, kind = layout.rpartition("_")
    before = f"{before.replace('_', '-')}{'-' if len(before) == 1 else ' '}" if before else ""
    place = before + kind
    things = [
        category if count == 1 else f"{_NUMBERS[count]} {_PLURALS.get(category, f'{category}s')}"
        for category, count in Counter(categories).items()
    ]
    return f"{place[0].upper()}{place[1:]}: {listed(things)}"


def read_plain(dataset: Path) -> dict[str, tuple[str, Clip]]:
    """What each clip is to be called, and the clip; empty where there are none. Raises DataError."""
    table = dataset / PLAIN / CLIPS
    if not table.is_file():
        return {}
    try:
        rows = pq.read_table(table).cast(_SCHEMA).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{table}: cannot be read ({first_line(error)}); make the examples again") from error
    trajectories = {split: load_trajectories(str(dataset), split) for split in {row["split"] for row in rows}}
    clips = {}
    for row in rows:
        if row["clip_id"] not in trajectories[row["split"]]:
            raise DataError(f"{table}: its clip {row['clip_id']} is not of this dataset; make the examples again")
        domain, xyz_m, _ = trajectories[row["split"]][row["clip_id"]]
        width, height, *intrinsics = row["camera"]
        poses = np.array(row["world_SE3_camera"]).reshape(-1, 4, 4)
        known = Known(
            categories=tuple(row["categories"]),
            boxes_px=np.array(row["boxes_px"]).reshape(len(row["categories"]), -1, 4),
            motion=Motion(row["clip_id"], domain, (NOISELESS,) * len(xyz_m), xyz_m),
            camera=Camera("camera", int(width), int(height), *intrinsics),
            camera_height_m=row["camera_height_m"],
            world_SE3_camera=poses,
        )
        assert round((xyz_m.shape[1] - 1) * STEP_S / PLAIN_STEP_S) + 1 == len(poses)
        path = (dataset / PLAIN / f"{row['clip_id']}.mp4").absolute()
        size_px = (int(width), int(height))
        name = title_of(row["layout"], row["categories"])
        clips[row["clip_id"]] = name, Clip(path, PLAIN_STEP_S, len(poses), size_px, row["clip_id"], known)
    return clips

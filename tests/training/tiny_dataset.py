"""A dataset folder in the contract's form, small enough to train on in seconds: squares that slide over grey."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stvlm.dataset.rows import SCHEMA
from stvlm.dataset.video import VideoSettings, draw_outline, write_video

SIDE_PX = 64
STEPS_PX = {"red": 6, "blue": 2}  # a frame, to the right; so red always wins
README = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: "simulation/train/**"}
  - {split: test, path: "simulation/test/**"}
---
"""


def write_dataset(out: Path, clips_per_split: int = 4, trajectories: bool = False) -> Path:
    """Clips of 5 and 6 frames in turn, four questions each; with or without where their objects were."""
    (out / "README.md").parent.mkdir(parents=True)
    (out / "README.md").write_text(README)
    moved = []
    for split in ("train", "test"):
        folder = out / "simulation" / split
        (folder / "videos").mkdir(parents=True)
        rows = []
        for number in range(clips_per_split):
            frames = 5 + number % 2
            clip_id = f"{split}{number}"
            boxes = {color: _boxes(number, color, frames) for color in STEPS_PX}
            write_video(folder / "videos" / f"{clip_id}.mp4", iter(_images(boxes, frames)), VideoSettings())
            rows += _rows(split, clip_id, boxes, frames)
            moved.append(_trajectory(split, clip_id, boxes, frames))
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "metadata.parquet")
    if trajectories:
        (out / "trajectories").mkdir()
        pq.write_table(pa.Table.from_pylist(moved), out / "trajectories" / "clips.parquet")
    return out


def _trajectory(split, clip_id, boxes, frames):
    """Half a metre to the right for each pixel, 20 m before a camera that looks along the world's x."""
    pose = [0.0, 0, 1, 0, -1, 0, 0, 0, 0, -1, 0, 1.5, 0, 0, 0, 1]
    xyz_m = [[[20.0, -box[0] / 2, 0.5] for box in of_object] for of_object in boxes.values()]
    return {
        "clip_id": clip_id,
        "split": split,
        "domain": "driving",
        "xyz_m": xyz_m,
        "world_SE3_camera": [pose] * frames,
    }


def _boxes(number, color, frames):
    top = 10 + 3 * number + 25 * (color == "blue")
    left = 2 + number
    return [[left + STEPS_PX[color] * i, top, left + STEPS_PX[color] * i + 12, top + 12.0] for i in range(frames)]


def _images(boxes, frames):
    for i in range(frames):
        image = np.full((SIDE_PX, SIDE_PX, 3), 120, dtype=np.uint8)
        for color, of_object in boxes.items():
            draw_outline(image, np.array(of_object[i]), color, 2)
        yield image


def _rows(split, clip_id, boxes, frames):
    end = (frames - 1) / 2
    times = ", ".join(f"{i / 2:.2f}" for i in range(frames))
    common = (
        f"The video lasts for {end:.2f} seconds, and {frames} frames are uniformly sampled from it. These frames are "
        f"located at {times} seconds. There are 2 objects annotated with red and blue bounding boxes in the video."
    )
    meters = {color: step * (frames - 1) / 2 for color, step in STEPS_PX.items()}
    asked = [
        ("traveled_distance", f"How far does the {color} object travel?", f"It travels {m:.2f} meters.", f"{m:.2f}", [])
        for color, m in meters.items()
    ] + [
        (task, f"Which object {verb}?", "The object in the red bounding box does.", "red", ["red", "blue"])
        for task, verb in (
            ("traveled_distance_comparison", "travels farther"),
            ("traveling_speed_comparison", "is faster"),
        )
    ]
    objects = [
        {"color": color, "track_id": color, "category": "car", "boxes_px": of_object}
        for color, of_object in boxes.items()
    ]
    return [
        {
            "file_name": f"videos/{clip_id}.mp4",
            "id": f"{clip_id}-{number}",
            "clip_id": clip_id,
            "base_id": f"{clip_id}-{number}",
            "task": task,
            "question": question,
            "prompt": f"{common} {question}",
            "answer": answer,
            "target": target,
            "choices": choices,
            "target_sigma": None,
            "start_s": 0.0,
            "end_s": end,
            "objects": objects,
            "frame_times_s": [i / 2 for i in range(frames)],
            "clip_start_ns": 0,
            "intrinsics_px": [60.0, 60.0, 32.0, 32.0],
            "source": "simulation",
            "scene_id": clip_id,
            "camera": "CAM_FRONT",
            "split": split,
            "label_type": "simulated",
            "template_id": f"{task}/1",
        }
        for number, (task, question, answer, target, choices) in enumerate(asked)
    ]

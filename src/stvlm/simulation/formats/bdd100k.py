"""BDD100K's tracking set: images at 5 Hz, and what is seen of each object in them as a box, in Scalabel's JSON.

Cameras, poses and places are what this format cannot say: whoever labels it from its images is held to the simulation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects

from stvlm.geometry import box_corners, inverse_se3, project_boxes, transform
from stvlm.records import Array, Camera, DataError, Scene
from stvlm.simulation.formats.recorder import JPEG_QUALITY, scenes_of, write_splits
from stvlm.simulation.render import render
from stvlm.simulation.source import SimulationSource
from stvlm.simulation.world import Agent

_CATEGORIES = {"car": "car", "truck": "truck", "bicycle": "bicycle", "person": "pedestrian"}
_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
RATE_HZ = 5
OCCLUDED = 0.8
"""An object of which less than this share of its box is seen, across or upright, is marked as occluded: bodies fill
their boxes from side to side."""


def write_bdd100k(source: SimulationSource, root: Path) -> None:
    """Write every recording of a source as images and boxes below ``root``.

    Raises DataError where the source's frames come at another rate.
    """
    rate_hz = source.parameters.frame_rate_hz
    if rate_hz != RATE_HZ:
        raise DataError(f"simulation: BDD100K is marked at {RATE_HZ} Hz, not {rate_hz}; set frame_rate_hz: {RATE_HZ}")
    for recording, scene, _ in scenes_of(source):
        video, split = scene.scene_id, _FOLDERS[recording.split]
        folder = root / "images" / "track" / split / video
        folder.mkdir(parents=True, exist_ok=True)
        world, frames = source.world(recording), []
        for index, pose in enumerate(scene.world_SE3_camera):
            time_s = float(scene.frame_times_ns[index] - scene.frame_times_ns[0]) / 1e9
            seen = render(world, pose, time_s)
            name = f"{video}-{index + 1:07}.jpg"
            Image.fromarray(seen.image).save(folder / name, quality=JPEG_QUALITY)
            labels = [
                _label(agent, part, scene, index, time_s)
                for agent, part in zip(world.agents, find_objects(seen.instance, len(world.agents)), strict=True)
                if part is not None
            ]
            frames.append({"name": name, "videoName": video, "frameIndex": index, "labels": labels})
        path = root / "labels" / "box_track_20" / split / f"{video}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(frames), encoding="utf-8")
    write_splits(source, root)


def _label(agent: Agent, part: tuple[slice, slice], scene: Scene, index: int, time_s: float) -> dict[str, Any]:
    """What is seen of an object: the rows and columns around its pixels."""
    rows, columns = part
    seen_px = np.array([columns.start, rows.start, columns.stop, rows.stop], dtype=float)
    whole_px = _whole(agent, scene.camera, scene.world_SE3_camera[index], time_s)
    size_px = [scene.camera.width_px, scene.camera.height_px] * 2
    there_px = np.clip(whole_px, 0, size_px)
    shares = (seen_px[2:] - seen_px[:2]) / np.maximum(there_px[2:] - there_px[:2], 1)
    return {
        "id": agent.track_id,
        "category": _CATEGORIES[agent.category],
        "attributes": {
            "occluded": bool((shares < OCCLUDED).any()),
            "truncated": bool((whole_px != there_px).any()),
            "crowd": False,
        },
        "box2d": dict(zip(("x1", "y1", "x2", "y2"), seen_px.tolist(), strict=True)),
    }


def _whole(agent: Agent, camera: Camera, world_SE3_camera: Array, time_s: float) -> Array:
    """The box (4,) around all of an object, whether it is seen or not."""
    at_s = np.array([time_s])
    corners = box_corners(agent.centre_m(at_s), np.array([agent.size_lwh_m]), agent.motion.at(at_s).yaw_rad)
    return np.asarray(project_boxes(camera, transform(inverse_se3(world_SE3_camera), corners))[0])

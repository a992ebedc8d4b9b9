"""Clips made by hand, for the tests of questions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stvlm.records import Array, Camera, Clip, Scene, Track

CAMERA = Camera("front", 64, 48, 50.0, 50.0, 32.0, 24.0)


def straight(speed_mps: float, frames: int, heading_deg: float = 0.0) -> Array:
    """Grid positions (n, 3) of an object that keeps speed and heading (from x towards y)."""
    heading_rad = np.deg2rad(heading_deg)
    step_m = 0.5 * speed_mps * np.array([np.cos(heading_rad), np.sin(heading_rad), 0.0])
    return np.arange(frames)[:, None] * step_m


def turning(legs: Sequence[tuple[float, int]], speed_mps: float = 6.0) -> Array:
    """Grid positions of an object that takes so many steps in each direction, degrees clockwise of the x axis."""
    headings = -np.deg2rad([turn_deg for turn_deg, steps in legs for _ in range(steps)])
    steps = 0.5 * speed_mps * np.column_stack([np.cos(headings), np.sin(headings), np.zeros(len(headings))])
    return np.vstack([np.zeros((1, 3)), np.cumsum(steps, axis=0)])


def clip_of(*xyz_m: Array, clip_id: str = "clip", **scene: Any) -> Clip:
    """A clip of one to three objects at these grid positions (n, 3)."""
    n = len(xyz_m[0])
    times_ns = np.arange(n) * 500_000_000
    tracks = tuple(Track(f"track-{j}", "car", times_ns, positions) for j, positions in enumerate(xyz_m))
    fields: dict[str, Any] = {
        "source": "made",
        "scene_id": "scene",
        "split": "train",
        "label_type": "simulated",
        "domain": "driving",
        "centre_noise_m": 0.0,
        "camera": CAMERA,
        "frame_times_ns": times_ns,
        "world_SE3_camera": np.tile(np.eye(4), (n, 1, 1)),
        "tracks": tracks,
    }
    boxes_px = np.tile([10.0, 10.0, 30.0, 30.0], (len(tracks), n, 1))
    return Clip(clip_id, Scene(**fields | scene), tracks, 0, np.arange(n), np.stack(xyz_m), boxes_px)

"""Rays through pixels, and from depth to points in the world."""

from __future__ import annotations

import numpy as np

from stvlm.geometry import transform
from stvlm.pseudo_labels.artefacts import Geometry
from stvlm.records import Array


def rays(K_px: Array, pixels: Array) -> Array:
    """The points (..., 3) at depth 1 behind pixels (..., 2); intrinsics are (3, 3) or (..., 3, 3)."""
    ones = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)
    return np.asarray((np.linalg.inv(K_px) @ ones[..., None])[..., 0])


def world_points(geometry: Geometry, frame: int) -> Array:
    """The point (h, w, 3) in the world that each pixel of a frame's depth map shows; NaN where depth is unknown.

    Raises ValueError where the geometry has no depth.
    """
    if geometry.depth is None or geometry.crop is None:
        raise ValueError("the geometry has no depth")
    depth = np.asarray(geometry.depth[frame], dtype=np.float64)
    h, w = depth.shape
    pixels = np.stack(np.broadcast_arrays(np.arange(float(w)), np.arange(float(h))[:, None]), axis=-1)
    points = rays(geometry.crop.depth_K(geometry.K_px[frame]), pixels) * np.where(depth > 0, depth, np.nan)[..., None]
    return transform(geometry.world_SE3_camera[frame], points)

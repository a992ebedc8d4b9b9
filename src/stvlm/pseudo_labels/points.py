"""From depth to points in the world."""

from __future__ import annotations

import numpy as np

from stvlm.geometry import transform
from stvlm.pseudo_labels.artefacts import Geometry
from stvlm.records import Array


def world_points(geometry: Geometry, frame: int) -> Array:
    """The point (h, w, 3) in the world that each pixel of a frame's depth map shows; NaN where depth is unknown.

    Raises ValueError where the geometry has no depth.
    """
    if geometry.depth is None or geometry.crop is None:
        raise ValueError("the geometry has no depth")
    depth = np.asarray(geometry.depth[frame], dtype=np.float64)
    h, w = depth.shape
    pixels = np.stack(np.broadcast_arrays(np.arange(w), np.arange(h)[:, None], 1.0), axis=-1)
    rays = pixels @ np.linalg.inv(geometry.crop.depth_K(geometry.K_px[frame])).T
    points = rays * np.where(depth > 0, depth, np.nan)[..., None]
    return transform(geometry.world_SE3_camera[frame], points)

"""Rays through pixels, from depth to points in the world, and which of them stand still."""

from __future__ import annotations

import numpy as np

from stvlm.geometry import transform
from stvlm.pseudo_labels.artefacts import Geometry, ObjectTracks
from stvlm.records import Array


def rays(K_px: Array, pixels: Array) -> Array:
    """The points (..., 3) at depth 1 behind pixels (..., 2); intrinsics are (3, 3) or (..., 3, 3)."""
    ones = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)
    return np.asarray((np.linalg.inv(K_px) @ ones[..., None])[..., 0])


def map_pixels(geometry: Geometry) -> Array:
    """The pixels (h, w, 2) of the original image that those of the maps show. Raises ValueError where there is none."""
    if geometry.depth is None or geometry.crop is None:
        raise ValueError("the geometry has no depth")
    h, w = geometry.depth.shape[1:]
    return geometry.crop.to_image(np.stack(np.broadcast_arrays(np.arange(w), np.arange(h)[:, None]), axis=-1))


def still_pixels(geometry: Geometry, frame: int, objects: ObjectTracks | None = None) -> Array:
    """The pixels (h, w) bool of a frame's depth map whose depth is known and that show nothing that may move: what
    `moving` marks and what lies in an object's box is left out.

    Raises ValueError where the geometry has no depth.
    """
    pixels = map_pixels(geometry)
    assert geometry.depth is not None
    still: Array = np.asarray(geometry.depth[frame]) > 0
    if geometry.moving is not None:
        still &= ~np.asarray(geometry.moving[frame])
    for track in objects.tracks if objects is not None else ():
        box_px = track.boxes_px[frame]
        if not np.isnan(box_px[0]):
            still &= ~((pixels >= box_px[:2]) & (pixels <= box_px[2:])).all(axis=-1)
    return still


def camera_points(geometry: Geometry, frame: int) -> Array:
    """As `world_points`, in the camera's frame."""
    pixels = map_pixels(geometry)
    assert geometry.depth is not None
    depth = np.asarray(geometry.depth[frame], dtype=np.float64)
    return rays(geometry.K_px[frame], pixels) * np.where(depth > 0, depth, np.nan)[..., None]


def world_points(geometry: Geometry, frame: int) -> Array:
    """The point (h, w, 3) in the world that each pixel of a frame's depth map shows; NaN where depth is unknown.

    Raises ValueError where the geometry has no depth.
    """
    return transform(geometry.world_SE3_camera[frame], camera_points(geometry, frame))

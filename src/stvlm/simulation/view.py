"""A camera without roll in the world, and which pixels things may cover."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stvlm.geometry import inverse_se3, project_boxes, transform
from stvlm.records import Array, Camera


class View(NamedTuple):
    """A camera in the world. In its frame, the ray of column c and row r is (x[c], y[r], 1) per metre of depth."""

    camera: Camera
    world_SE3_camera: Array  # (4, 4)
    camera_SE3_world: Array  # (4, 4)
    x: Array  # (W,) float64
    y: Array  # (H,) float64
    ground_m: Array  # (H,) float64, depth of the flat ground in each row; infinite from the horizon up

    def along(self, vector: Array) -> tuple[float, float, float]:
        """How far a ray gets along a world vector (3,) per metre of depth, as coefficients of (x, y, 1)."""
        a, b, c = vector @ self.world_SE3_camera[:3, :3]
        return float(a), float(b), float(c)

    @property
    def position_m(self) -> Array:
        """The camera's place (3,) in the world."""
        return np.asarray(self.world_SE3_camera[:3, 3])

    def pixel_boxes(self, corners_m: Array) -> Array:
        """Columns and rows (N, 4) x0, x1, y0, y1, ends excluded, around world points (N, 8, 3); all 0 if unseen."""
        return self.pixels_in(project_boxes(self.camera, transform(self.camera_SE3_world, corners_m)))

    def pixels_in(self, rectangles_px: Array) -> Array:
        """Columns and rows (N, 4) x0, x1, y0, y1, ends excluded, of rectangles (N, 4); NaN is unseen."""
        edges = np.array([self.camera.width_px, self.camera.height_px])
        low = np.minimum(np.maximum(np.ceil(rectangles_px[:, :2]), 0), edges)
        high = np.minimum(np.maximum(np.floor(rectangles_px[:, 2:]) + 1, low), edges)
        unseen = ~(high > low).all(axis=-1)
        low[unseen], high[unseen] = 0, 0
        return np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=-1).astype(np.int64)


def view_of(camera: Camera, world_SE3_camera: Array) -> View:
    """The view of a camera at a pose (4, 4)."""
    x = (np.arange(camera.width_px) - camera.cx_px) / camera.fx_px
    y = (np.arange(camera.height_px) - camera.cy_px) / camera.fy_px
    fall = -(world_SE3_camera[2, 1] * y + world_SE3_camera[2, 2])  # metres down per metre of depth
    with np.errstate(divide="ignore"):
        ground_m = np.where(fall > 1e-4, world_SE3_camera[2, 3] / fall, np.inf)
    return View(camera, world_SE3_camera, inverse_se3(world_SE3_camera), x, y, ground_m)

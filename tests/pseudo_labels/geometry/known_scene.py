"""A room whose depth is known at every point of every image, as each tool would write it down.

The camera walks through it, turning and rolling. What a tool does to an image before its network sees it is done here
to two images that hold each pixel's own column and row, so that nobody's formula says where a pixel of a map lies.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from stvlm.pseudo_labels.artefacts import Footage, Geometry
from stvlm.pseudo_labels.points import world_points
from stvlm.records import Array

LOW_M, HIGH_M = np.array([-4.0, -5.0, 0.0]), np.array([9.0, 6.0, 4.0])
TIMES_S = np.array([0.0, 0.5, 1.0, 1.5])
N = len(TIMES_S)


def _poses() -> Array:
    """world_SE3_camera (N, 4, 4): about world x at first, then it turns left, looks down and rolls."""
    ahead = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    turns = Rotation.from_euler("ZYX", [[1, 1, 1], [10, 4, 2], [25, 8, -5], [40, 12, 8]], degrees=True)
    poses = np.tile(np.eye(4), (N, 1, 1))
    poses[:, :3, :3] = turns.as_matrix() @ ahead
    poses[:, :3, 3] = [[0, 0, 1.5], [0.4, 0.1, 1.5], [0.9, 0.1, 1.6], [1.3, -0.2, 1.4]]
    return poses


POSES = _poses()


def quat_wxyz() -> Array:
    """The poses' rotations (N, 4), scalar first."""
    x, y, z, w = Rotation.from_matrix(POSES[:, :3, :3]).as_quat().T
    return np.stack([w, x, y, z], axis=1)


def world_to_camera() -> Array:
    """Extrinsics (N, 4, 4)."""
    return np.linalg.inv(POSES)


def points_seen(K_px: Array, pose: Array, pixels: Array) -> tuple[Array, Array]:
    """Depth (...) and world point (..., 3) of the wall behind each pixel (..., 2) of the original image."""
    rays = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1) @ np.linalg.inv(K_px).T @ pose[:3, :3].T
    walls = np.where(rays > 0, HIGH_M, LOW_M)
    depth = ((walls - pose[:3, 3]) / rays).min(axis=-1)
    return depth, pose[:3, 3] + depth[..., None] * rays


class Seen(NamedTuple):
    """What a network is shown of an image, and what it would write of it."""

    pixels: Array  # (h, w, 2) where each of its pixels lies in the original image
    K_small_px: Array  # (3, 3) for the image that it is shown
    K_px: Array  # (3, 3) the same for the original image
    depth: Array  # (N, h, w)


def seen(image_size_px: tuple[int, int], shown: Callable[[Image.Image], Image.Image], focal_px: float) -> Seen:
    """What a network is shown by a tool's preparation of images; its focal length is that of what it is shown, its
    principal point the middle, half the width and height, as all of these tools have it.
    """
    width, height = image_size_px
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], (height, width))
    small_columns, small_rows = (np.asarray(shown(Image.fromarray(np.ascontiguousarray(a)))) for a in (columns, rows))
    h, w = small_columns.shape
    # A straight line away from the borders, where resizing mixes in less.
    ax, bx = np.polyfit(np.arange(w)[4:-4], small_columns[h // 2, 4:-4], 1)
    ay, by = np.polyfit(np.arange(h)[4:-4], small_rows[4:-4, w // 2], 1)
    K_small_px = np.array([[focal_px, 0, w / 2], [0, focal_px, h / 2], [0, 0, 1]])
    K_px = np.array([[focal_px * ax, 0, w / 2 * ax + bx], [0, focal_px * ay, h / 2 * ay + by], [0, 0, 1]])
    pixels = np.stack(np.broadcast_arrays(np.arange(w) * ax + bx, np.arange(h)[:, None] * ay + by), axis=-1)
    depth = np.stack([points_seen(K_px, pose, pixels)[0] for pose in POSES])
    return Seen(pixels, K_small_px, K_px, depth)


def footage(image_size_px: tuple[int, int]) -> Footage:
    return Footage("clip", TIMES_S, image_size_px)


def check(geometry: Geometry, expected: Seen, unit: float = 1.0) -> None:
    """A geometry that was read is the known one; `unit`: metres that the tool's unit is long."""
    np.testing.assert_array_equal(geometry.times_s, TIMES_S)
    np.testing.assert_allclose(geometry.world_SE3_camera[:, :3, :3], POSES[:, :3, :3], atol=1e-5)
    np.testing.assert_allclose(geometry.world_SE3_camera[:, :3, 3] * unit, POSES[:, :3, 3], atol=1e-4)
    width, height = geometry.image_size_px
    marks_px = np.array([[0.0, 0.0], [width - 1, height - 1], [width / 3, height / 4]])
    for frame, pose in enumerate(POSES):
        depth, points_m = points_seen(expected.K_px, pose, marks_px)
        seen_px = (points_m - pose[:3, 3]) @ pose[:3, :3] @ geometry.K_px[frame].T / depth[:, None]
        np.testing.assert_allclose(seen_px[:, :2], marks_px, atol=0.1)
    assert geometry.depth is not None
    for frame, pose in enumerate(POSES):
        found_m = world_points(geometry, frame) * unit
        known = np.isfinite(found_m[..., 0])
        assert known.mean() > 0.5
        if geometry.depth.shape == expected.depth.shape:
            _, points_m = points_seen(expected.K_px, pose, expected.pixels)
            assert np.abs(found_m - points_m)[known].max() < 0.01
        on_wall = np.minimum(np.abs(found_m - LOW_M), np.abs(found_m - HIGH_M)).min(axis=-1)
        assert on_wall[known].max() < 0.01

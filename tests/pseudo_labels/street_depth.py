"""The depth of a street: a level road between two walls 8 m to either side, with a wall across it 90 m ahead.

The camera is 1.5 m above the road, pitched and rolled a little, and drives along x. Nothing above the walls: sky.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from stvlm.pseudo_labels.artefacts import DepthCrop, Geometry, Provenance, resized
from stvlm.pseudo_labels.points import rays
from stvlm.records import Array

SIZE_PX = (640, 360)
K_PX = np.array([[400.0, 0, 320], [0, 400, 170], [0, 0, 1]])
HEIGHT_M = 1.5
TOP_M = 12.0
AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # columns: the camera's axes in the world, looking along x
MAP_PX = (80, 45)


def poses(n: int, pitch_deg: float = 3.0, roll_deg: float = 2.0) -> Array:
    """world_SE3_camera (n, 4, 4): half a metre a frame along x, turning left by a degree."""
    angles = [[k, pitch_deg, roll_deg] for k in range(n)]
    out = np.tile(np.eye(4), (n, 1, 1))
    out[:, :3, :3] = Rotation.from_euler("ZYX", angles, degrees=True).as_matrix() @ AHEAD
    out[:, 0, 3], out[:, 2, 3] = 0.5 * np.arange(n), HEIGHT_M
    return out


def depth_m(pose: Array, crop: DepthCrop, map_px: tuple[int, int]) -> Array:
    """Depth (h, w) along the optical axis of what the middle of each of a map's pixels shows; 0 in the sky."""
    w, h = map_px
    pixels = np.stack(np.broadcast_arrays(np.arange(float(w)), np.arange(float(h))[:, None]), axis=-1)
    directions = rays(K_PX, crop.to_image(pixels)) @ pose[:3, :3].T
    nearest = np.full((h, w), np.inf)
    for axis, at_m in ((2, 0.0), (1, 8.0), (1, -8.0), (0, 90.0)):
        with np.errstate(divide="ignore"):
            depth = (at_m - pose[axis, 3]) / directions[..., axis]
        height_m = pose[2, 3] + depth * directions[..., 2]
        met = (depth > 0) & (height_m < TOP_M)
        nearest = np.where(met, np.minimum(nearest, depth), nearest)
    return np.where(np.isfinite(nearest), nearest, 0)


def street(n: int = 5, unit_m: float = 1.0, map_px: tuple[int, int] = MAP_PX) -> Geometry:
    """The street in a unit that is so many metres long; metric where that is one."""
    crop, moved = resized(SIZE_PX, map_px), poses(n)
    depth = np.stack([depth_m(pose, crop, map_px) for pose in moved]) / unit_m
    moved[:, :3, 3] /= unit_m
    scale = "metric" if unit_m == 1 else "arbitrary"
    K_px = np.tile(K_PX, (n, 1, 1))
    return Geometry(np.arange(n) / 2, moved, K_px, SIZE_PX, True, scale, Provenance("made"), depth=depth, crop=crop)  # type: ignore

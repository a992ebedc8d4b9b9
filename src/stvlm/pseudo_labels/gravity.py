"""Which way is up: tools mostly say it in the first camera's frame, and directions are asked on a map."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from stvlm.pseudo_labels.artefacts import Geometry, ObjectTracks
from stvlm.pseudo_labels.ground import GroundFit, GroundPlanes, ground_planes, mean_up, median_direction
from stvlm.pseudo_labels.lifting import Ground
from stvlm.records import Array


class Upright(NamedTuple):
    """A geometry whose z axis points up, and what told it so: the tool, the ground, or how the camera is held."""

    geometry: Geometry
    by: Literal["tool", "ground plane", "camera"]


def upright(geometry: Geometry, objects: ObjectTracks | None, settings: GroundFit) -> Upright:
    """The geometry with z up, and x where the first camera looks.

    Up is away from the ground that depth shows, in the median of the frames; else where the cameras have their upper
    side, in the median too. The origin is on the ground below the first camera, or at it where no ground is found.
    """
    if geometry.is_upright:
        return Upright(geometry, "tool")
    poses = geometry.world_SE3_camera
    planes = None if geometry.depth is None else ground_planes(geometry, objects, settings)
    if isinstance(planes, GroundPlanes):
        up = -median_direction((poses[planes.frames, :3, :3] @ planes.down[..., None])[..., 0])
        height = float(np.median(planes.height))
    else:
        up, height = mean_up(geometry), 0.0
    axes = _axes(up, poses[0])
    turned = poses.copy()
    turned[:, :3, :3] = axes @ poses[:, :3, :3]
    turned[:, :3, 3] = (poses[:, :3, 3] - poses[0, :3, 3]) @ axes.T + [0, 0, height]
    by: Literal["ground plane", "camera"] = "ground plane" if isinstance(planes, GroundPlanes) else "camera"
    return Upright(replace(geometry, world_SE3_camera=turned, is_upright=True), by)


def ground_of(geometry: Geometry, camera_height_m: float) -> Ground:
    """The level ground below the camera of an upright geometry. Raises ValueError where it is not upright."""
    if not geometry.is_upright:
        raise ValueError("the ground is below an upright geometry; make it upright first")
    return Ground(-geometry.world_SE3_camera[:, 2, :3], camera_height_m)


def _axes(up: Array, pose: Array) -> Array:
    """Rows (3, 3): x, y and z of the upright world. Where a camera looks straight up or down, x is the image's top."""
    ahead = pose[:3, 2] - (up @ pose[:3, 2]) * up
    if np.linalg.norm(ahead) < 1e-6:
        ahead = -pose[:3, 1]
    ahead = ahead / np.linalg.norm(ahead)
    return np.stack([ahead, np.cross(up, ahead), up])

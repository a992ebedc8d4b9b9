"""Which way is up: tools mostly say it in the first camera's frame, and directions are asked on a map."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from stvlm.pseudo_labels.artefacts import Geometry, ObjectTracks
from stvlm.pseudo_labels.ground import GroundFit, GroundPlanes, axes, ground_planes, mean_up, median_direction
from stvlm.pseudo_labels.lifting import SLOPE_RAD, Ground
from stvlm.pseudo_labels.standing import Standing

UpBy = Literal["tool", "ground plane", "objects", "camera"]


class Upright(NamedTuple):
    """A geometry whose z axis points up, and what told it so: the tool, the ground that depth shows or objects stand
    on, or how the camera is held.
    """

    geometry: Geometry
    by: UpBy


def upright(
    geometry: Geometry, objects: ObjectTracks | None, settings: GroundFit, standing: Standing | None = None
) -> Upright:
    """The geometry with z up, and x where the first camera looks.

    Up is away from the ground that depth shows, in the median of the frames; else from the plane that objects stand on;
    else where the cameras have their upper side, in the median too. The origin is on the ground below the first camera,
    or at it where no ground is found.
    """
    if geometry.is_upright:
        return Upright(geometry, "tool")
    poses = geometry.world_SE3_camera
    planes = None if geometry.depth is None else ground_planes(geometry, objects, settings)
    by: UpBy
    if isinstance(planes, GroundPlanes):
        by = "ground plane"
        up = -median_direction((poses[planes.frames, :3, :3] @ planes.down[..., None])[..., 0])
        height = float(np.median(planes.height))
    elif standing is not None:
        by, up, height = "objects", -standing.down, standing.height_m
    else:
        by, up, height = "camera", mean_up(geometry), 0.0
    turn = axes(up, poses[0])
    turned = poses.copy()
    turned[:, :3, :3] = turn @ poses[:, :3, :3]
    turned[:, :3, 3] = (poses[:, :3, 3] - poses[0, :3, 3]) @ turn.T + [0, 0, height]
    return Upright(replace(geometry, world_SE3_camera=turned, is_upright=True), by)


def ground_of(
    geometry: Geometry, camera_height_m: float, slope_rad: float = SLOPE_RAD, height_sigma: float = 0.0
) -> Ground:
    """The level ground below the camera of an upright geometry. Raises ValueError where it is not upright."""
    if not geometry.is_upright:
        raise ValueError("the ground is below an upright geometry; make it upright first")
    return Ground(-geometry.world_SE3_camera[:, 2, :3], camera_height_m, slope_rad, height_sigma)

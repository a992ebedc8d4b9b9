"""Geometries for which no tool has to run: known poses, and a camera that stands still. Neither has depth."""

from __future__ import annotations

import numpy as np

from stvlm.pseudo_labels.artefacts import Footage, Geometry
from stvlm.pseudo_labels.licences import made_by
from stvlm.records import Array, Scene


def footage_of(scene: Scene) -> Footage:
    """The frames of a scene, all of them; its video is called after the recording and the camera."""
    times_s = (scene.frame_times_ns - scene.frame_times_ns[:1]) / 1e9
    return Footage(f"{scene.scene_id}/{scene.camera.name}", times_s, (scene.camera.width_px, scene.camera.height_px))


def known_poses(footage: Footage, world_SE3_camera: Array, K_px: Array) -> Geometry:
    """How a camera with intrinsics (3, 3) moved, by its poses (N, 4, 4) in metres; z of their world points up."""
    return Geometry(
        times_s=footage.times_s,
        world_SE3_camera=world_SE3_camera,
        K_px=np.tile(K_px, (len(footage.times_s), 1, 1)),
        image_size_px=footage.image_size_px,
        is_upright=True,
        scale="metric",
        provenance=made_by("known_poses"),
    )


def static_camera(footage: Footage, K_px: Array) -> Geometry:
    """A camera with intrinsics (3, 3) that neither moves nor zooms; the world is its own frame, not upright.

    With nothing to scale, it is metric.
    """
    n = len(footage.times_s)
    return Geometry(
        times_s=footage.times_s,
        world_SE3_camera=np.tile(np.eye(4), (n, 1, 1)),
        K_px=np.tile(K_px, (n, 1, 1)),
        image_size_px=footage.image_size_px,
        is_upright=False,
        scale="metric",
        provenance=made_by("static_camera"),
    )

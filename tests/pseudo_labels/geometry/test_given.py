"""Geometries that need no tool: a scene's own poses, and a camera that stands still."""

import numpy as np
from tests.pseudo_labels.geometry.known_scene import POSES

from stvlm.pseudo_labels.artefacts import Footage
from stvlm.pseudo_labels.geometry.given import footage_of, known_poses, static_camera
from stvlm.pseudo_labels.views import intrinsics
from stvlm.records import Camera, Scene

CAMERA = Camera("front", 64, 48, 50.0, 51.0, 32.0, 24.0)
SCENE = Scene(
    source="made",
    scene_id="drive 1",
    split="train",
    label_type="lidar",
    domain="driving",
    centre_noise_m=0.1,
    camera=CAMERA,
    frame_times_ns=10**18 + np.array([0, 500_000_000, 1_000_000_000, 1_750_000_000]),
    world_SE3_camera=POSES,
    tracks=(),
)


def test_known_poses_are_the_scenes_own() -> None:
    geometry = known_poses(footage_of(SCENE), POSES, intrinsics(CAMERA))
    assert geometry.times_s.tolist() == [0, 0.5, 1, 1.75]
    np.testing.assert_array_equal(geometry.world_SE3_camera, POSES)
    assert geometry.K_px[3].tolist() == [[50, 0, 32], [0, 51, 24], [0, 0, 1]]
    assert (geometry.image_size_px, geometry.scale, geometry.is_upright) == ((64, 48), "metric", True)
    assert geometry.depth is None and geometry.provenance.tool == "known_poses"


def test_a_static_camera_stays_in_its_own_frame() -> None:
    footage = Footage("clip", np.array([0.0, 0.04]), (64, 48))
    geometry = static_camera(footage, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]))
    np.testing.assert_array_equal(geometry.world_SE3_camera, [np.eye(4)] * 2)
    assert geometry.K_px.shape == (2, 3, 3) and not geometry.is_upright and geometry.depth is None

"""A street seen in its first camera's frame is turned upright again."""

from dataclasses import replace

import numpy as np
import pytest
from tests.pseudo_labels.street_depth import HEIGHT_M, poses, street

from stvlm.geometry import inverse_se3
from stvlm.pseudo_labels.artefacts import Geometry, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.gravity import ground_of, upright
from stvlm.pseudo_labels.ground import GroundFit
from stvlm.records import Array


def as_tools_have_it(n: int = 5, unit_m: float = 1.0) -> Geometry:
    """In the first camera's frame, and not upright."""
    geometry = street(n, unit_m)
    there = inverse_se3(geometry.world_SE3_camera[0]) @ geometry.world_SE3_camera
    return replace(geometry, world_SE3_camera=there, is_upright=False)


def turned(n: int) -> Array:
    """The street's poses; its first camera looks a little to the right of x, by its pitch and roll."""
    true = poses(n)
    ahead = true[0, :2, 2] / np.linalg.norm(true[0, :2, 2])
    back = np.eye(4)
    back[:2, :2] = [[ahead[0], ahead[1]], [-ahead[1], ahead[0]]]
    return back @ true


@pytest.mark.parametrize("unit_m", [1.0, 0.4])
def test_the_ground_tells_what_is_up(unit_m: float) -> None:
    found = upright(as_tools_have_it(5, unit_m), None, GroundFit())
    assert found.by == "ground plane" and found.geometry.is_upright
    expected = turned(5)
    expected[:, :3, 3] /= unit_m
    np.testing.assert_allclose(found.geometry.world_SE3_camera, expected, atol=1e-5)
    assert found.geometry.world_SE3_camera[0, :3, 3] == pytest.approx([0, 0, HEIGHT_M / unit_m], abs=1e-5)


def test_without_ground_the_cameras_tell_it() -> None:
    """The first of five cameras lies on its side; the others are pitched by 3 degrees and rolled by 2."""
    geometry = as_tools_have_it(5)
    there = geometry.world_SE3_camera.copy()
    there[0, :3, :3] = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    bare = replace(geometry, world_SE3_camera=there, depth=None, crop=None)
    found = upright(bare, None, GroundFit())
    assert found.by == "camera"
    true_up = inverse_se3(poses(5)[0])[:3, 2]
    rotation = found.geometry.world_SE3_camera[1, :3, :3] @ there[1, :3, :3].T
    assert np.rad2deg(np.arccos((rotation @ true_up)[2])) < 5
    ahead = found.geometry.world_SE3_camera[0, :3, 2]
    assert ahead[1] == pytest.approx(0, abs=1e-9) and ahead[0] > 0.99
    np.testing.assert_allclose(found.geometry.world_SE3_camera[0, :3, 3], 0, atol=1e-12)


def test_nothing_in_a_box_is_ground() -> None:
    """Here all of the road is in one."""
    geometry = as_tools_have_it(3)
    no = np.zeros(3, dtype=bool)
    box = ObjectTrack("1", "other", np.tile([0.0, 170, 639, 359], (3, 1)), np.ones(3), no, no)
    objects = ObjectTracks(geometry.times_s, geometry.image_size_px, (box,), Provenance("made"))
    assert upright(geometry, objects, GroundFit()).by == "camera"


def test_an_upright_geometry_stays_as_it_is() -> None:
    geometry = street(3)
    found = upright(geometry, None, GroundFit())
    assert found.by == "tool" and found.geometry is geometry


def test_a_camera_that_looks_straight_down_has_its_upper_side_ahead() -> None:
    """The other two stand upright in a world whose y points up."""
    there = np.tile(np.eye(4), (3, 1, 1))
    there[0, :3, :3] = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]).T  # columns: its x, y, z; above it is world z
    there[1:, :3, :3] = np.diag([1.0, -1, -1])
    bare = replace(street(3), world_SE3_camera=there, is_upright=False, depth=None, crop=None)
    found = upright(bare, None, GroundFit()).geometry.world_SE3_camera[0]
    np.testing.assert_allclose(found[:3, 2], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(-found[:3, 1], [1, 0, 0], atol=1e-12)


def test_the_ground_below_each_camera() -> None:
    """At 30 degrees downwards the ground lies half ahead: sin 30 = 0.5."""
    geometry = street(2)
    down = np.array([[0.0, np.sqrt(0.75), 0.5]])
    pitched = poses(2, pitch_deg=30, roll_deg=0)
    ground = ground_of(replace(geometry, world_SE3_camera=pitched), 1.65)
    np.testing.assert_allclose(ground.down, np.repeat(down, 2, axis=0), atol=1e-12)
    assert ground.height_m == 1.65
    with pytest.raises(ValueError, match="make it upright first"):
        ground_of(as_tools_have_it(2), 1.65)

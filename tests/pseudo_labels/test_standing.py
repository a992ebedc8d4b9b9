"""Cars that stand where a pencil puts them tell how the camera above them is held: 1000 px of focal length."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import Footage, Geometry, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.geometry.given import static_camera
from stvlm.pseudo_labels.gravity import upright
from stvlm.pseudo_labels.ground import GroundFit
from stvlm.pseudo_labels.lifting import Lifting, class_sizes
from stvlm.pseudo_labels.standing import SIZES_SIGMA, Standing, standing_on
from stvlm.records import Array, Rejected

SIZE_PX = (1600, 1200)
K_PX = np.array([[1000.0, 0, 800], [0, 1000, 600], [0, 0, 1]])
N = 10
CAR_M = class_sizes("america_asia")["car"].height_m
LANES_M = (0.0, -4.0, -2.0, 2.0, 4.0)
FAR_M = np.linspace(10, 40, N)


def camera(pitch_deg: float = 0.0, roll_deg: float = 0.0) -> Array:
    """Rows (3, 3) of a level camera's right, down and ahead in one that looks down by the pitch, then rolls."""
    p, r = np.deg2rad([pitch_deg, roll_deg])
    pitch = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    roll = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (roll @ pitch).T


def cars(
    held: Sequence[Array], height_m: float = 1.5, tall: Sequence[float] = (1, 1, 1, 1, 1), far_m: Array = FAR_M
) -> ObjectTracks:
    """One a lane, driving away in front of cameras held so in each of N frames, `tall` times as tall as cars are."""
    no, tracks = np.zeros(N, dtype=bool), []
    for lane_m, factor in zip(LANES_M, tall, strict=False):
        boxes_px = []
        for axes, z in zip(held, far_m, strict=True):
            foot, top = (np.array([lane_m, height_m - up_m, z]) @ axes for up_m in (0, factor * CAR_M))
            # As tall as the class in the camera's own direction: the tilts here are too small to matter.
            column, below = 800 + 1000 * foot[0] / foot[2], 600 + 1000 * foot[1] / foot[2]
            above = 600 + 1000 * top[1] / top[2]
            boxes_px.append([column - 20, above, column + 20, below])
        tracks.append(ObjectTrack(f"{lane_m}", "car", np.array(boxes_px), np.ones(N), no, no))
    return ObjectTracks(np.arange(N) / 10, SIZE_PX, tuple(tracks), Provenance("made"))


def still() -> Geometry:
    return static_camera(Footage("cars", np.arange(N) / 10, SIZE_PX), K_PX)


def found(geometry: Geometry, objects: ObjectTracks, height_m: float | None) -> Standing:
    standing = standing_on(geometry, objects, height_m, Lifting())
    assert isinstance(standing, Standing), standing
    return standing


@pytest.mark.parametrize("given", [True, False], ids=["height known", "height unknown"])
@pytest.mark.parametrize(("pitch_deg", "roll_deg", "height_m"), [(0, 0, 1.5), (5, 0, 1.5), (-4, 2, 1.2), (8, 0, 2.5)])
def test_cars_tell_how_a_camera_is_held_and_how_high(
    pitch_deg: float, roll_deg: float, height_m: float, given: bool
) -> None:
    held = camera(pitch_deg, roll_deg)
    standing = found(still(), cars([held] * N, height_m), height_m if given else None)
    apart = np.rad2deg(np.arccos(np.clip(standing.down @ held[1], -1, 1)))
    assert apart < 0.5 and standing.slope_rad < 0.02
    assert standing.height_m == pytest.approx(height_m, rel=0.05)
    assert standing.height_sigma == 0 if given else SIZES_SIGMA < standing.height_sigma < 0.15


def test_one_car_of_unusual_height_tells_the_horizon_and_not_the_height() -> None:
    """A car that is 1.1 times as tall seems to be as much nearer, and the camera as much lower: a line all the same."""
    held = camera(5)
    near = np.linspace(6, 40, N)
    standing = found(still(), cars([held] * N, tall=[1.1], far_m=near), 1.5)
    assert np.rad2deg(np.arccos(standing.down @ held[1])) < 0.5
    alone = standing_on(still(), cars([held] * N, tall=[1.1], far_m=near), None, Lifting())
    assert isinstance(alone, Rejected) or alone.height_sigma > 0.1


def test_a_wrong_size_of_all_cars_is_a_wrong_height() -> None:
    """It is as uncertain as their class's mean is, and not as five cars' are."""
    standing = found(still(), cars([camera()] * N, tall=[1.1] * 5), None)
    assert standing.height_m == pytest.approx(1.5 / 1.1, rel=0.04)
    assert abs(standing.height_m / 1.5 - 1) < 1.5 * standing.height_sigma


def test_one_car_on_a_bridge_is_outvoted() -> None:
    objects = cars([camera(3)] * N)
    high = replace(objects.tracks[4], boxes_px=objects.tracks[4].boxes_px - [0, 60, 0, 60])
    standing = found(still(), replace(objects, tracks=(*objects.tracks[:4], high)), 1.5)
    assert np.rad2deg(np.arccos(standing.down @ camera(3)[1])) < 0.7


def test_one_ground_serves_a_camera_that_turns() -> None:
    """It nods from 0 to 9 degrees; the geometry knows by how much, but not that the first frame is pitched by 4."""
    held = [camera(4 + k) for k in range(N)]
    poses = np.tile(np.eye(4), (N, 1, 1))
    poses[:, :3, :3] = [held[0].T @ axes for axes in held]
    standing = found(replace(still(), world_SE3_camera=poses), cars(held), 1.5)
    assert np.rad2deg(np.arccos(standing.down @ held[0][1])) < 0.6


def test_what_stands_on_it_turns_a_geometry_upright() -> None:
    held = camera(5, 1)
    standing = found(still(), cars([held] * N), 1.5)
    turned = upright(still(), None, GroundFit(), standing)
    assert turned.by == "objects"
    np.testing.assert_allclose(turned.geometry.world_SE3_camera[0, 2, :3], -standing.down, atol=1e-12)
    assert turned.geometry.world_SE3_camera[0, :3, 3] == pytest.approx([0, 0, 1.5])


def test_an_upright_geometry_is_believed() -> None:
    """Its camera is said to look down by 5 degrees."""
    poses = np.tile(np.eye(4), (N, 1, 1))
    poses[:, :3, :3] = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]) @ camera(5)
    standing = found(replace(still(), world_SE3_camera=poses, is_upright=True), cars([camera(5)] * N), None)
    np.testing.assert_allclose(standing.down, [0, 0, -1], atol=0.01)
    assert standing.height_m == pytest.approx(1.5, rel=0.04)


def test_boxes_that_do_not_tell_it() -> None:
    reason = "boxes do not tell the ground"
    objects = cars([camera()] * N)
    cut = replace(objects, tracks=tuple(replace(t, truncated=np.ones(N, dtype=bool)) for t in objects.tracks))
    assert standing_on(still(), cut, 1.5, Lifting()) == Rejected(reason, "none holds all of an object")
    hidden = np.arange(N) > 3
    few = replace(objects, tracks=(replace(objects.tracks[0], occluded=hidden),))
    assert standing_on(still(), few, 1.5, Lifting()) == Rejected(reason, "4 hold all of an object")
    guessed = replace(objects, tracks=(replace(objects.tracks[0], occluded=hidden, hidden_foot=0.0),))
    assert isinstance(standing_on(still(), guessed, 1.5, Lifting()), Standing)
    near = standing_on(still(), cars([camera()] * N, tall=[1], far_m=np.full(N, 8.0)), None, Lifting())
    assert isinstance(near, Rejected) and near.subject.startswith("slope +- 0.")

"""Where nobody says how high the camera is, what stands before it does: from boxes alone to places."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.pseudo_labels.test_standing import K_PX, SIZE_PX, N, camera, cars, still

from stvlm.pseudo_labels import steps
from stvlm.pseudo_labels.artefacts import Footage, LiftedTrack
from stvlm.pseudo_labels.lifting import SLOPE_RAD
from stvlm.pseudo_labels.recipe import CameraMotion, PseudoLabelling
from stvlm.records import Rejected

RECIPE = PseudoLabelling("embedded", {})


def world(objects: Any, height_m: float | None, scaled_by_height: bool = False) -> steps.World:
    geometry = replace(still(), scaled_by_height=scaled_by_height)
    found = steps.world_of(geometry, None, objects, height_m, RECIPE)
    assert isinstance(found, steps.World), found
    return found


def test_objects_tell_what_is_up_and_how_high_the_camera_is() -> None:
    objects = cars([camera(5)] * N)
    found = world(objects, None)
    assert found.up_by == "objects" and found.ground is not None
    assert found.ground.height_m == pytest.approx(1.5, rel=0.04)
    assert found.ground.height_sigma > 0.07 and SLOPE_RAD < found.ground.slope_rad < 0.03
    assert found.path_sigma == 0  # this camera has no path
    tracks, _ = steps.lifted(objects, found, RECIPE)
    places = [track.xyz_m[:, 2] for track in tracks.values() if isinstance(track, LiftedTrack)]
    assert len(places) == len(objects.tracks)
    assert all(abs(up_m - 0.84).max() < 0.6 for up_m in places)  # half as high as cars are


def test_a_drive_scaled_by_objects_is_as_uncertain_as_they_are() -> None:
    objects = cars([camera()] * N)
    found = world(objects, None, scaled_by_height=True)
    assert found.ground is not None and found.path_sigma == found.ground.height_sigma > 0.07
    assert world(objects, 1.5, scaled_by_height=True).path_sigma == 0


def test_without_boxes_a_known_height_is_above_a_guessed_ground() -> None:
    none = replace(cars([camera()] * N), tracks=())
    assert world(none, None).ground is None
    found = world(none, 1.5)
    assert found.up_by == "camera" and found.ground is not None
    assert (found.ground.slope_rad, found.ground.height_sigma) == (steps.GUESSED_SLOPE_RAD, 0)


def test_odometry_has_its_height_and_tilt_from_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def odometry(*args: Any) -> Any:
        given.extend(args)
        return still()

    monkeypatch.setattr(steps, "visual_odometry", odometry)
    recipe = replace(RECIPE, geometry=CameraMotion("opencv_vo"))
    view: Any = SimpleNamespace(
        footage=Footage("cars", np.arange(N) / 10, SIZE_PX),
        K_px=K_PX,
        read=None,
        video=SimpleNamespace(camera_height_m=None),
    )
    objects = cars([camera(5)] * N)
    steps.geometry_of(view, objects, recipe)
    assert given[3] == pytest.approx(1.5, rel=0.04)
    assert np.rad2deg(np.arccos(given[5] @ camera(5)[1])) < 0.5
    assert steps.geometry_of(view, replace(objects, tracks=()), recipe) == Rejected(steps.NO_HEIGHT, "cars")

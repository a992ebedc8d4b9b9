"""Bearings and headings of smoothed labels are as uncertain as they say: against draws of the noise of depth."""

import numpy as np
import pytest

from stvlm import kinematics
from stvlm.pseudo_labels.artefacts import Geometry, LiftedTrack, Provenance
from stvlm.pseudo_labels.filters import Label, Limits, judge, on_grid
from stvlm.pseudo_labels.smoothing import Smoothing, smooth
from stvlm.records import Array

N, DRAWS = 21, 60
TIMES_S = np.arange(N) / 5
ALONG_M, ACROSS_M = 1.0, 0.1
"""One standard deviation of a place, along its ray and across it; a quarter of the variance fades over the clip."""
STRETCH = 0.05
AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def drawn(true_m: Array, camera_m: Array, rng: np.random.Generator) -> LiftedTrack:
    """What is told of places (N, 3) by a camera at places (N, 3)."""
    away_m = true_m - camera_m
    ray = away_m / np.linalg.norm(away_m, axis=1, keepdims=True)
    along = ray[:, :, None] * ray[:, None]
    covariance_m2 = ALONG_M**2 * along + ACROSS_M**2 * (np.eye(3) - along)
    fade = np.linspace(0, np.pi / 2, N)[:, None]
    drift = np.cos(fade) * rng.normal(size=3) + np.sin(fade) * rng.normal(size=3)
    unit = np.sqrt(0.75) * rng.normal(size=(N, 3)) + np.sqrt(0.25) * drift
    noise_m = ACROSS_M * unit + (ALONG_M - ACROSS_M) * ray * (ray * unit).sum(axis=1, keepdims=True)
    xyz_m = camera_m + away_m * (1 + STRETCH * rng.normal()) + noise_m
    return LiftedTrack("7", "car", TIMES_S, xyz_m, covariance_m2, STRETCH)


@pytest.mark.parametrize("camera_mps", [(0.0, 0.0), (10.0, 0.0), (0.0, 10.0)], ids=["static", "ahead", "aside"])
@pytest.mark.parametrize("heading_deg", [0, 90])
def test_bearings_err_by_as_much_as_they_say(heading_deg: float, camera_mps: tuple[float, float]) -> None:
    """A car 30 m ahead goes at 4 m/s along the view or across it, and the camera stands or drives.

    That the car keeps its velocity the smoother does not know: it errs by somewhat less than it says.
    """
    rng = np.random.default_rng(5)
    way = np.array([np.cos(np.deg2rad(heading_deg)), np.sin(np.deg2rad(heading_deg)), 0])
    camera_m = TIMES_S[:, None] * [*camera_mps, 0]
    poses = np.tile(np.eye(4), (N, 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = AHEAD, camera_m
    K_px = np.tile(np.diag([500.0, 500, 1]), (N, 1, 1))
    geometry = Geometry(TIMES_S, poses, K_px, (100, 100), True, "metric", Provenance("made"))
    true_m = np.array([30.0, -3, 0]) + TIMES_S[:, None] * 4 * way
    bearings, turns = [], []
    for _ in range(DRAWS):
        label = judge(smooth(drawn(true_m, camera_m, rng), Smoothing()), geometry, 0.0, Limits(most_sigma=10))
        assert isinstance(label, Label)
        found_m = on_grid(label.track)
        net_m = kinematics.net_displacement(found_m)
        bearings.append(_off(net_m, way) / (np.sqrt(2) * label.noise.across_m / np.linalg.norm(net_m)))
        start, end = (find(found_m, label.noise) for find in (kinematics.initial_heading, kinematics.final_heading))
        assert isinstance(start, kinematics.Heading) and isinstance(end, kinematics.Heading)
        turn_rad = kinematics.clock_angle(start.angle_rad, end.angle_rad)
        turns.append(turn_rad / np.hypot(start.sigma_rad, end.sigma_rad))
    assert 0.5 < _rms(bearings) < 1.5
    assert 0.3 < _rms(turns) < 1.5


def _off(found: Array, way: Array) -> float:
    """The angle between two directions on the ground, in radians."""
    return float(np.arctan2(way[0] * found[1] - way[1] * found[0], way[:2] @ found[:2]))


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))

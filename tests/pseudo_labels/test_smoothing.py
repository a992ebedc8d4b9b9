"""Paths that a pencil can smooth: straight lines, an outlier, and three places off a line."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import LiftedTrack
from stvlm.pseudo_labels.smoothing import Method, Smoothing, smooth
from stvlm.records import Array

TIMES_S = np.array([0.0, 0.1, 0.2, 0.35, 0.4, 0.5, 2.5, 2.6, 2.75, 2.8, 2.9, 3.0])  # uneven, with a gap of 2 s
LINE_M = np.array([3.0, -2, 20]) + TIMES_S[:, None] * [1.5, 0, 10]


def track(times_s: Array, xyz_m: Array, sigma_m: float = 0.1) -> LiftedTrack:
    return LiftedTrack("7", "car", times_s, xyz_m, np.tile(sigma_m**2 * np.eye(3), (len(times_s), 1, 1)))


@pytest.mark.parametrize("method", ["rts", "savgol", "none"])
def test_a_straight_line_stays_what_it_is_across_a_gap(method: Method) -> None:
    smoothed = smooth(track(TIMES_S, LINE_M), Smoothing(method))
    np.testing.assert_allclose(smoothed.xyz_m, LINE_M, atol=1e-3)
    assert smoothed.outliers == 0 and smoothed.times_s.tolist() == TIMES_S.tolist()


@pytest.mark.parametrize("wrong", [0, 1, 4, 11])
def test_a_place_that_is_far_off_is_left_out_wherever_it_is(wrong: int) -> None:
    xyz_m = LINE_M.copy()
    xyz_m[wrong] += [0, 0, 40]
    smoothed = smooth(track(TIMES_S, xyz_m), Smoothing())
    assert smoothed.outliers == pytest.approx(1 / 12)
    np.testing.assert_allclose(smoothed.xyz_m, LINE_M, atol=0.01)


def test_without_acceleration_it_is_the_straight_line_of_least_squares() -> None:
    """Through 0, 1, 5 at 0, 1, 2 s that is -0.5, 2, 4.5, with variances of 5/6, 1/3, 5/6 of one place's."""
    places_m = np.zeros((3, 3))
    places_m[:, 0] = 0, 1, 5
    settings = Smoothing(acceleration_m2s3=1e-9, gate=1e6, drift=0)
    found = smooth(track(np.arange(3.0), places_m), settings)
    np.testing.assert_allclose(found.xyz_m[:, 0], [-0.5, 2, 4.5], atol=1e-3)
    np.testing.assert_allclose(found.covariance_m2[:, 0, 0], np.array([5, 2, 5]) / 6 * 0.01, rtol=1e-3)
    people = replace(settings, acceleration_m2s3=3.0, of_class_m2s3={"person": 1e-9})
    of_person = smooth(replace(track(np.arange(3.0), places_m), category="person"), people)
    np.testing.assert_array_equal(of_person.xyz_m, found.xyz_m)


def test_noise_that_drifts_is_not_smoothed_away() -> None:
    """A quarter of a place's variance stays, however many places there are."""
    many = track(np.arange(1000.0), np.zeros((1000, 3)))
    found = smooth(many, Smoothing(acceleration_m2s3=1e-9))
    np.testing.assert_allclose(found.covariance_m2[500, 0, 0], 0.25 * 0.01, rtol=0.05)


def test_a_place_gives_way_along_its_ray_and_not_across() -> None:
    """The middle one of three lies 1 m off the line on each axis, but is precise on the first."""
    places_m = np.zeros((3, 3))
    places_m[1] = 1
    measured = track(np.arange(3.0), places_m, 0.5)
    covariance_m2 = measured.covariance_m2.copy()
    covariance_m2[1, 0, 0], covariance_m2[1, 2, 2] = 1e-8, 1e8
    precise = LiftedTrack("7", "car", measured.times_s, places_m, covariance_m2)
    found_m = smooth(precise, Smoothing(acceleration_m2s3=1e-9, gate=1e6)).xyz_m
    np.testing.assert_allclose(found_m[1], [1, 2 / 6, 0], atol=1e-3)


def test_savitzky_and_golay_fit_a_parabola_to_each_window() -> None:
    """Of a spike of 35 among zeros, a window of 5 leaves 17 in the middle, 12 beside it, -3 at its ends."""
    places_m = np.zeros((11, 3))
    places_m[5, 1] = 35
    found_m = smooth(track(np.arange(11) / 10, places_m), Smoothing("savgol", window_s=0.5)).xyz_m
    np.testing.assert_allclose(found_m[:, 1], [0, 0, 0, -3, 12, 17, 12, -3, 0, 0, 0], atol=1e-9)


def test_short_tracks_are_left_alone() -> None:
    for n in (0, 1, 2):
        short = track(TIMES_S[:n], LINE_M[:n])
        assert smooth(short, Smoothing()).xyz_m.tolist() == short.xyz_m.tolist()


def test_how_far_it_goes_to_the_side_is_as_certain_as_its_places_across_its_way() -> None:
    """It goes along y, and x is known to 0.2 m. Without smoothing, that is what half a second is off by as well."""
    xyz_m = np.array([[0.0, 0, 0], [0, 1, 0], [0, 2, 0]])
    covariance_m2 = np.tile(np.diag([0.04, 9.0, 1.0]), (3, 1, 1))
    measured = LiftedTrack("7", "car", np.arange(3.0), xyz_m, covariance_m2)
    assert smooth(measured, Smoothing("none")).step_m == pytest.approx(0.2)
    # A constant speed through places at 0, 1, 2 s is known to 0.04 / 2, which is half a second's way twice over.
    steady = smooth(measured, Smoothing(acceleration_m2s3=1e-9, gate=1e6))
    assert steady.step_m == pytest.approx(np.sqrt(0.04 / 2 * 0.5**2 / 2), rel=1e-3)


def test_settings_that_mean_nothing() -> None:
    with pytest.raises(ValueError, match="method is one of rts, savgol, none, got 'spline'"):
        Smoothing("spline")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="of_class_m2s3: 'pedestrian' is no class"):
        Smoothing(of_class_m2s3={"pedestrian": 0.5})
    with pytest.raises(ValueError, match="are positive"):
        Smoothing(gate=0)

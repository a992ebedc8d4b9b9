"""Motions whose every number follows from v^2 = 2 a s."""

import numpy as np
import pytest

from stvlm.simulation.motion import Limits, drive, shifted, standing

CAR = Limits(accelerate=2.0, brake=4.0, sideways=2.5)
STRAIGHT = np.array([[0.0, 0.0], [60.0, 0.0]])


def test_cruising() -> None:
    motion = drive(STRAIGHT, np.array([10.0]), np.array([0.0]), CAR, stop_m=None, wait_s=0.0)
    state = motion.at(np.array([0.0, 1.5]))
    np.testing.assert_allclose(state.xy_m, [[0, 0], [15, 0]], atol=1e-9)
    np.testing.assert_allclose(state.speed_mps, [10, 10])
    np.testing.assert_allclose(state.yaw_rad, [0, 0])


def test_a_halt_is_braked_for_waited_out_and_left() -> None:
    """From 8 m/s at 4 m/s^2: 8 m and 2 s of braking; then 3 s of rest; then 2 m/s^2, 4 m/s after 4 m and 2 s."""
    motion = drive(STRAIGHT, np.array([8.0]), np.array([0.0]), CAR, stop_m=24.0, wait_s=3.0)
    braking_s, rest_s = 16 / 8, 16 / 8 + 2
    state = motion.at(np.array([braking_s, braking_s + 1, rest_s, rest_s + 3, rest_s + 5]))
    np.testing.assert_allclose(state.arc_m, [16, 22, 24, 24, 28], atol=1e-6)
    np.testing.assert_allclose(state.speed_mps, [8, 4, 0, 0, 4], atol=1e-6)


def test_speeding_up_takes_its_time() -> None:
    """From 4 to 8 m/s at 2 m/s^2, begun at 20 m: 12 m and 2 s."""
    motion = drive(STRAIGHT, np.array([4.0, 8.0]), np.array([0.0, 20.0]), CAR, stop_m=None, wait_s=0.0)
    np.testing.assert_allclose(motion.at(np.array([7.0])).arc_m, [32], atol=0.3)
    np.testing.assert_allclose(motion.at(np.array([7.0])).speed_mps, [8], atol=0.1)


def test_a_bend_is_taken_at_the_sideways_limit() -> None:
    """10 m radius and 2.5 m/s^2 allow 5 m/s."""
    angle = np.linspace(0, np.pi, 200)
    bend = 10 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    motion = drive(bend, np.array([20.0]), np.array([0.0]), CAR, stop_m=None, wait_s=0.0)
    assert motion.speed_mps[20:-20] == pytest.approx(5.0, rel=0.01)
    assert motion.yaw_rad[-1] - motion.yaw_rad[0] == pytest.approx(np.pi, abs=0.05)


def test_outside_its_time_it_stands_at_the_ends() -> None:
    motion = shifted(drive(STRAIGHT, np.array([10.0]), np.array([0.0]), CAR, None, 0.0), 2.0)
    assert motion.start_s == 2.0
    np.testing.assert_allclose(motion.at(np.array([0.0, 3.0])).xy_m, [[0, 0], [10, 0]], atol=1e-9)


def test_parked() -> None:
    state = standing(np.array([3.0, 4.0]), 1.0, 20.0).at(np.array([0.0, 10.0, 20.0]))
    np.testing.assert_array_equal(state.xy_m, [[3, 4]] * 3)
    np.testing.assert_array_equal(state.speed_mps, [0, 0, 0])

"""Distance, speed and clock hours: by pencil, as invariances, and their uncertainty against a simulation of noise."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stvlm.kinematics import (
    BORDER_RAD,
    Direction,
    Heading,
    Interval,
    bearing_difference,
    clock_angle,
    clock_hour,
    direction_intervals,
    final_heading,
    initial_heading,
    interpolate,
    interpolate_angle,
    movement_direction,
    net_displacement,
    traveled_distance,
    traveling_speed,
)
from stvlm.records import Array, Noise, Rejected, white

STATIONARY = Rejected("stationary")
BORDER = Rejected("direction near the border of two hours")


def path(*xy_m: tuple[float, float]) -> Array:
    """Grid positions (n, 3) on flat ground."""
    return np.column_stack([np.array(xy_m, dtype=float), np.zeros(len(xy_m))])


def steps_of(*turns_deg: float, length_m: float = 3.0) -> Array:
    """Steps of one length, each in a direction that is so many degrees clockwise of the first, which is along x."""
    headings = -np.deg2rad([0.0, *turns_deg])
    steps = length_m * np.column_stack([np.cos(headings), np.sin(headings), np.zeros(len(headings))])
    return np.vstack([np.zeros((1, 3)), np.cumsum(steps, axis=0)])


# x forward, y left.
CASES = {
    "straight": (path((0, 0), (3, 0), (6, 0)), 6.0, 21.6, 12),
    "left turn": (path((0, 0), (3, 0), (3, 4)), 7.0, 25.2, 9),
    "right turn": (path((0, 0), (3, 0), (3, -4)), 7.0, 25.2, 3),
    "there and back": (path((0, 0), (2, 0), (0, 0)), 4.0, 14.4, 6),
    "waits first": (path((0, 0), (0, 0), (3, 0), (3, -4)), 7.0, 16.8, 3),
    "waits last": (path((0, 0), (3, 0), (3, -4), (3, -4)), 7.0, 16.8, 3),
    "uphill": (np.array([[0, 0, 0], [3, 0, 4.0]]), 5.0, 36.0, 12),
    "halfway right": (path((0, 0), (2, 0), (2 + np.sqrt(3), -1)), 4.0, 14.4, 1),
}


@pytest.mark.parametrize(("xyz_m", "distance_m", "speed_kmh", "hour"), CASES.values(), ids=CASES)
def test_by_hand(xyz_m: Array, distance_m: float, speed_kmh: float, hour: int) -> None:
    assert traveled_distance(xyz_m).value == pytest.approx(distance_m)
    assert traveling_speed(xyz_m).value == pytest.approx(speed_kmh)
    assert movement_direction(xyz_m) == Direction(hour, 0.0)


def test_what_does_not_move_has_distance_zero_and_no_direction() -> None:
    still = np.zeros((5, 3))
    assert traveled_distance(still) == (0.0, 0.0, 0.0)
    assert traveled_distance(still, white(0.1)).relative_noise == np.inf
    assert movement_direction(still) == STATIONARY
    assert direction_intervals(still) == STATIONARY


def test_40_frames_are_39_steps_of_half_a_second() -> None:
    xyz_m = np.column_stack([np.arange(40.0), np.zeros(40), np.zeros(40)])
    assert traveled_distance(xyz_m).value == 39.0
    assert traveling_speed(xyz_m).value == pytest.approx(39 / 19.5 * 3.6)


def test_in_sports_a_bobbing_head_does_not_travel() -> None:
    bobbing = np.array([[0, 0, 1.7], [3, 0, 1.5], [3, 4, 1.8]])
    assert traveled_distance(bobbing, horizontal=True).value == 7.0
    assert traveling_speed(bobbing, horizontal=True).value == pytest.approx(25.2)
    assert traveled_distance(bobbing).value > 7.0


# --- headings ---------------------------------------------------------------------------------------------------------


def test_a_heading_is_taken_over_at_least_a_metre() -> None:
    # The first step, 0.9 m to the left, is too short; the second point lies 1 m away, straight ahead.
    creeping = path((0, 0), (0, 0.9), (1, 0), (5, 0))
    heading = initial_heading(creeping)
    assert not isinstance(heading, Rejected)
    assert heading.angle_rad == pytest.approx(0.0)
    # Exactly 1 m is enough, 0.99 m is not.
    assert initial_heading(path((0, 0), (1, 0), (1, 1)))[0] == pytest.approx(0.0)
    assert initial_heading(path((0, 0), (0.99, 0), (1, 1)))[0] == pytest.approx(np.pi / 4)
    assert initial_heading(path((0, 0), (0.99, 0))) == STATIONARY


def test_height_does_not_count_towards_that_metre() -> None:
    assert initial_heading(np.array([[0, 0, 0], [0.9, 0, 5.0]])) == STATIONARY


def test_the_final_heading_mirrors_the_initial_one() -> None:
    # Ends 0.5 m after (3, 0): the last position at least 1 m from the end is (2, 0), so it still moves along x.
    xyz_m = path((0, 0), (2, 0), (3, 0), (3, 0.5))
    heading = final_heading(xyz_m)
    assert not isinstance(heading, Rejected)
    assert heading.angle_rad % (2 * np.pi) == pytest.approx(np.arctan2(0.5, 1.0))


def test_a_loop_that_ends_where_it_began_still_has_a_direction() -> None:
    assert movement_direction(path((0, 0), (3, 0), (3, 3), (0, 3), (0, 0))) == Direction(3, 0.0)  # sets out x, ends -y


@pytest.mark.parametrize("turns", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("hour", range(1, 13))
def test_every_hour_whatever_the_number_of_whole_turns(hour: int, turns: int) -> None:
    initial_rad = 0.7 + turns * 2 * np.pi
    assert clock_hour(clock_angle(initial_rad, 0.7 - hour * np.pi / 6)) == hour


def test_clock_angles_lie_in_minus_pi_to_pi() -> None:
    for initial_rad in np.linspace(-20, 20, 401):
        for turn_rad in (-np.pi + 1e-6, -1.0, 0.0, 2.0, np.pi):
            assert clock_angle(initial_rad, initial_rad - turn_rad) == pytest.approx(turn_rad)
    assert clock_angle(0.0, np.pi) == clock_angle(0.0, -np.pi) == np.pi


@pytest.mark.parametrize(
    ("angle_deg", "hour"),
    [
        (11.9, 12), (12.0, BORDER), (15.0, BORDER), (18.0, BORDER), (18.1, 1), (30.0, 1), (-11.9, 12), (-18.1, 11),
        (-12.1, BORDER), (161.9, 5), (162.1, BORDER), (168.1, 6), (180.0, 6), (-168.1, 6), (-165.0, BORDER),
    ],
)  # fmt: skip
def test_no_hour_within_three_degrees_of_a_border(angle_deg: float, hour: int | Rejected) -> None:
    assert clock_hour(np.deg2rad(angle_deg)) == hour


@given(st.floats(-np.pi, np.pi))
def test_an_hour_is_the_nearest_or_none(angle_rad: float) -> None:
    away = abs((angle_rad - np.arange(1, 13) * np.pi / 6 + np.pi) % (2 * np.pi) - np.pi)
    hour = clock_hour(angle_rad)
    if isinstance(hour, Rejected):
        assert np.sort(away)[1] - np.sort(away)[0] <= 2 * BORDER_RAD + 1e-6
    else:
        assert away.argmin() + 1 == hour


# --- intervals --------------------------------------------------------------------------------------------------------


def test_intervals_by_hand() -> None:
    # Straight for 1 s, right for 1.5 s, straight again for 0.5 s.
    runs = direction_intervals(steps_of(0, 90, 90, 90, 0))
    assert runs == [Interval(12, 0, 2, 0.0), Interval(3, 2, 5, 0.0), Interval(12, 5, 6, 0.0)]


def test_a_short_step_and_a_border_step_end_an_interval() -> None:
    xyz_m = steps_of(0, 15, 0)
    assert direction_intervals(xyz_m) == [Interval(12, 0, 2, 0.0), Interval(12, 3, 4, 0.0)]
    waits = path((0, 0), (3, 0), (6, 0), (6.49, 0), (9.49, 0))
    assert direction_intervals(waits) == [Interval(12, 0, 2, 0.0), Interval(12, 3, 4, 0.0)]
    goes = path((0, 0), (3, 0), (6, 0), (6.5, 0), (9.5, 0))  # 0.5 m is long enough
    assert direction_intervals(goes) == [Interval(12, 0, 4, 0.0)]


def test_hours_of_intervals_count_from_the_initial_heading_not_from_the_first_step() -> None:
    # The first step is 0.6 m to the left: a step of its own, but 12 o'clock is where the object is 1 m away.
    runs = direction_intervals(path((0, 0), (0, 0.6), (1, 0), (4, 0)))
    assert isinstance(runs, list)
    assert [run.hour for run in runs] == [9, 1, 12]


def test_an_interval_is_as_uncertain_as_its_least_certain_step() -> None:
    runs = direction_intervals(path((0, 0), (2, 0), (2.5, 0), (4.5, 0)), noise=white(0.1))
    assert isinstance(runs, list)
    [run] = runs
    base, shortest = np.sqrt(2) * 0.1 / 2, np.sqrt(2) * 0.1 / 0.5
    assert run.sigma_rad == pytest.approx(np.hypot(base, shortest))


# --- comparisons of bearings ------------------------------------------------------------------------------------------


def test_bearings_by_hand() -> None:
    east, north, back = path((0, 0), (4, 0)), path((1, 1), (1, 9)), path((0, 0), (0, 5), (-3, 0))
    assert bearing_difference(east, east) == 0.0
    assert bearing_difference(east, north) == bearing_difference(north, east) == pytest.approx(np.pi / 2)
    assert bearing_difference(east, back) == pytest.approx(np.pi)  # of the net displacement, not the way there
    assert net_displacement(back).tolist() == [-3.0, 0.0]


# --- invariances ------------------------------------------------------------------------------------------------------

coordinates = st.floats(-100, 100).map(lambda v: round(v, 3))
paths = st.lists(st.tuples(coordinates, coordinates, coordinates), min_size=3, max_size=12).map(np.array)
turns = st.floats(-7, 7)


def moved(xyz_m: Array, turn_rad: float, shift_m: float = 0.0) -> Array:
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    return xyz_m @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + shift_m


@given(paths, turns, coordinates)
def test_a_rigid_motion_keeps_distance_and_bearings(xyz_m: Array, turn_rad: float, shift_m: float) -> None:
    other = xyz_m[:, [1, 2, 0]]
    after = moved(xyz_m, turn_rad, shift_m)
    assert traveled_distance(after).value == pytest.approx(traveled_distance(xyz_m).value, abs=1e-6)
    assume(min(np.linalg.norm(net_displacement(xyz_m)), np.linalg.norm(net_displacement(other))) > 0.01)
    expected = bearing_difference(xyz_m, other)
    assert bearing_difference(after, moved(other, turn_rad)) == pytest.approx(expected, abs=1e-6)


wanderings = st.lists(st.floats(-170, 170).map(lambda v: round(v)), min_size=2, max_size=12).map(
    lambda turns_deg: steps_of(*turns_deg)
)


@given(wanderings, turns, coordinates)
def test_a_rigid_motion_keeps_hours(xyz_m: Array, turn_rad: float, shift_m: float) -> None:
    after = moved(xyz_m, turn_rad, shift_m)
    assert movement_direction(after) == movement_direction(xyz_m)
    assert direction_intervals(after) == direction_intervals(xyz_m)


@given(wanderings)
def test_mirroring_sends_hour_c_to_12_minus_c(xyz_m: Array) -> None:
    mirrored = xyz_m * [1, -1, 1]
    assert traveled_distance(mirrored).value == pytest.approx(traveled_distance(xyz_m).value)
    hour, other = movement_direction(xyz_m), movement_direction(mirrored)
    if isinstance(hour, Rejected):
        assert other == hour
    else:
        assert not isinstance(other, Rejected)
        assert other.hour == (12 - hour.hour or 12)
    there, here = direction_intervals(mirrored), direction_intervals(xyz_m)
    assert isinstance(there, list) and isinstance(here, list)
    assert [run._replace(hour=12 - run.hour or 12) for run in here] == there


@given(paths, st.floats(0.01, 100))
def test_scaling_scales_distance_and_speed(xyz_m: Array, scale: float) -> None:
    assert traveled_distance(scale * xyz_m).value == pytest.approx(scale * traveled_distance(xyz_m).value, abs=1e-6)
    assert traveling_speed(scale * xyz_m).value == pytest.approx(scale * traveling_speed(xyz_m).value, abs=1e-6)


@given(paths, st.data())
def test_windows_add_up_and_time_may_run_backwards(xyz_m: Array, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(xyz_m) - 2))
    whole = traveled_distance(xyz_m).value
    first, second = traveled_distance(xyz_m[: cut + 1]).value, traveled_distance(xyz_m[cut:]).value
    assert first + second == pytest.approx(whole)
    assert traveled_distance(xyz_m[::-1], white(0.1)) == pytest.approx(traveled_distance(xyz_m, white(0.1)))
    assert whole >= np.linalg.norm(xyz_m[-1] - xyz_m[0]) - 1e-9


# --- uncertainty, against 20 000 draws of noise -----------------------------------------------------------------------

NOISE_M = 0.05
CURVE = np.column_stack([np.cumsum(np.linspace(0.5, 3, 12)), 0.2 * np.arange(12) ** 1.5, np.zeros(12)])


def noisy(xyz_m: Array, noise_m: float = NOISE_M) -> Array:
    return xyz_m + np.random.default_rng(7).normal(scale=noise_m, size=(20_000, *xyz_m.shape))


@pytest.mark.parametrize("xyz_m", [CURVE, steps_of(0, 90, 90, 180), steps_of(*[0] * 20, length_m=1.5)])
def test_distance_is_as_uncertain_as_it_says(xyz_m: Array) -> None:
    measured = traveled_distance(xyz_m, white(NOISE_M))
    drawn = np.linalg.norm(np.diff(noisy(xyz_m), axis=1), axis=2).sum(axis=1)
    assert measured.sigma == pytest.approx(drawn.std(), rel=0.05)
    assert measured.bias == pytest.approx(drawn.mean() - measured.value, rel=0.1)
    speed = traveling_speed(xyz_m, white(NOISE_M))
    scale = 3.6 / (0.5 * (len(xyz_m) - 1))
    assert speed == pytest.approx([scale * part for part in measured])


def test_the_noise_of_a_slow_walker_adds_up() -> None:
    # 20 steps of 0.05 m with 0.05 m of noise look like 20 * 0.18 m: nothing may be asked about that.
    xyz_m = steps_of(*[0] * 19, length_m=0.05)
    measured = traveled_distance(xyz_m, white(NOISE_M))
    drawn = np.linalg.norm(np.diff(noisy(xyz_m), axis=1), axis=2).sum(axis=1)
    assert measured.value + measured.bias == pytest.approx(drawn.mean(), rel=0.2)
    assert measured.relative_noise > 1


def test_on_the_ground_noise_has_one_axis_less() -> None:
    measured = traveled_distance(CURVE, white(NOISE_M), horizontal=True)
    drawn = np.linalg.norm(np.diff(noisy(CURVE)[..., :2], axis=1), axis=2).sum(axis=1)
    assert measured.bias == pytest.approx(drawn.mean() - measured.value, rel=0.1)
    assert measured.bias == pytest.approx(traveled_distance(CURVE, white(NOISE_M)).bias / 2, rel=0.05)


def test_directions_are_as_uncertain_as_they_say() -> None:
    xyz_m = steps_of(0, 60, 60, length_m=2.0)
    direction = movement_direction(xyz_m, white(NOISE_M))
    assert isinstance(direction, Direction)
    many = noisy(xyz_m)
    first, last = many[:, 1] - many[:, 0], many[:, -1] - many[:, -2]
    drawn = np.arctan2(first[:, 1], first[:, 0]) - np.arctan2(last[:, 1], last[:, 0])
    assert direction.hour == 2
    assert np.rad2deg(drawn.mean()) == pytest.approx(60, abs=0.1)
    assert direction.sigma_rad == pytest.approx(drawn.std(), rel=0.05)


def test_of_a_smoothed_track_slow_headings_are_less_certain_than_steps() -> None:
    """Its velocity errs, by 0.02 m a step: by 0.06 m in the three steps of a first metre, and never by over 0.1 m."""
    noise = Noise(step_m=0.02, across_m=0.1)
    for steps, side_m in ((1, 0.02), (3, 0.06), (10, 0.1)):
        path_m = np.linspace(0, 2, 2 * steps + 1)[:, None] * [1.0, 0, 0]
        for heading in (initial_heading(path_m, noise), final_heading(path_m, noise)):
            assert isinstance(heading, Heading) and heading.sigma_rad == pytest.approx(np.sqrt(2) * side_m)
    runs = direction_intervals(steps_of(0, 90), noise)  # each step a heading of its own, over 3 m
    assert isinstance(runs, list) and runs[0].sigma_rad == pytest.approx(np.sqrt(2) * np.sqrt(2) * 0.02 / 3)


def test_without_noise_nothing_is_uncertain() -> None:
    assert traveled_distance(CURVE)[1:] == (0.0, 0.0)


# --- interpolation ----------------------------------------------------------------------------------------------------

BASE_NS = 10**18 + 1  # a float64 holds multiples of 128 only, up here
S = 10**9


def at(times_s: list[float], values: list[float], at_s: list[float]) -> list[float]:
    times_ns, at_ns = (np.array([BASE_NS + round(t * S) for t in seconds]) for seconds in (times_s, at_s))
    return interpolate(times_ns, np.array(values, dtype=float)[:, None], at_ns)[:, 0].tolist()


def test_interpolation_is_linear_and_exact_at_stamps_of_1e18_ns() -> None:
    assert at([0, 0.4, 1.0], [0, 4, 16], [0, 0.1, 0.4, 0.7, 1.0]) == pytest.approx([0, 1, 4, 10, 16])
    times_ns = BASE_NS + np.array([0, 10])
    values = interpolate(times_ns, np.array([[0.0], [10.0]]), BASE_NS + np.arange(11))
    np.testing.assert_allclose(values[:, 0], np.arange(11), rtol=1e-12)


def test_nothing_is_known_outside() -> None:
    np.testing.assert_array_equal(at([0, 1], [5, 7], [-1e-9, 0, 1, 1 + 1e-9]), [np.nan, 5, 7, np.nan])


def test_a_gap_of_a_second_is_bridged_and_a_longer_one_is_not() -> None:
    assert at([0, 1.0], [0, 2], [0.5]) == [1.0]
    np.testing.assert_array_equal(at([0, 1 + 1e-9], [0, 2], [0.5]), [np.nan])
    # The ends of a gap are known all the same, and so is what lies beyond.
    np.testing.assert_array_equal(at([0, 3, 3.5], [1, 2, 4], [0, 1.5, 3, 3.25]), [1, np.nan, 2, 3])


def test_a_single_annotation_is_known_at_its_own_time_only() -> None:
    np.testing.assert_array_equal(at([2], [9], [1.5, 2, 2.5]), [np.nan, 9, np.nan])


@pytest.mark.parametrize("start_deg", range(-540, 541, 20))
def test_angles_go_the_short_way_round(start_deg: int) -> None:
    wrapped = (np.deg2rad([start_deg, start_deg + 40]) + np.pi) % (2 * np.pi) - np.pi
    halfway = interpolate_angle(np.array([0, S]), wrapped, np.array([S // 2]))[0]
    assert np.cos(halfway - np.deg2rad(start_deg + 20)) == pytest.approx(1.0)

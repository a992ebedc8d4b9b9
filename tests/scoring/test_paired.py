"""Two models on the same questions: differences, intervals and p-values, by hand and against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring.rows import distances, reference

from stvlm.scoring import compare, paired_difference


def test_difference_of_equal_answers_is_nothing():
    right = np.array([True, False, True])
    assert paired_difference(right, right, ["a", "b", "c"]) == (0.0, 0.0, 0.0, 3, 1.0)


def test_difference_is_that_of_the_accuracies():
    found = paired_difference([1, 1, 1, 0], [1, 0, 0, 0], ["a", "b", "c", "d"])
    assert found.value == 0.5
    assert found.low < 0.5 < found.high


def test_questions_on_one_clip_count_as_one_observation():
    """Ten clips with ten like answers each are ten observations: the interval is as wide as with one answer each."""
    one = np.arange(10) < 7
    alone = paired_difference(one, ~one, [str(i) for i in range(10)])
    repeated = paired_difference(one.repeat(10), ~one.repeat(10), [str(i) for i in range(10) for _ in range(10)])
    assert repeated == pytest.approx(alone)
    assert alone.clips == 10
    as_if_independent = paired_difference(one.repeat(10), ~one.repeat(10), [str(i) for i in range(100)])
    assert as_if_independent.high - as_if_independent.low < 0.5 * (alone.high - alone.low)
    assert as_if_independent.p_value < 0.001 < alone.p_value


@pytest.mark.parametrize(
    ("better", "worse", "p_value"),
    [
        (5, 0, 2 / 32),  # all of five coins fall alike
        (9, 3, 2 * (1 + 12 + 66 + 220) / 4096),  # McNemar's test: at most 3 of 12 coins, on either side
        (4, 4, 1.0),
    ],
)
def test_one_question_a_clip_is_the_test_of_mcnemar(better, worse, p_value):
    a = [True] * better + [False] * worse + [True, False] * 10
    b = [False] * better + [True] * worse + [True, False] * 10
    assert paired_difference(a, b, [str(i) for i in range(len(a))]).p_value == pytest.approx(p_value)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_p_value_is_the_share_of_all_ways_to_swap_clips(gains):
    a, b, clips = [], [], []
    for clip, gain in enumerate(gains):
        a += [gain > 0] * abs(gain) + [True]
        b += [gain < 0] * abs(gain) + [True]
        clips += [str(clip)] * (abs(gain) + 1)
    ways = [abs(np.dot(signs, gains)) >= abs(sum(gains)) for signs in product((-1, 1), repeat=len(gains))]
    assert paired_difference(a, b, clips).p_value == pytest.approx(np.mean(ways))
    assert paired_difference(b, a, clips).p_value == pytest.approx(np.mean(ways))


def test_compare_by_hand():
    rows = [
        *distances("10.00", "10.00", "10.00", "10.00"),
        reference("movement_direction", "3"),
        reference("movement_direction", "3"),
    ]
    a = ["10 m", "10 m", "10 m", "30 m", "3 o'clock", "4 o'clock"]
    b = ["10 m", "30 m", "30 m", "30 m", "3 o'clock", "4 o'clock"]
    found = compare(a, b, rows)
    assert list(found) == ["average_accuracy", "traveled_distance_accuracy", "movement_direction_accuracy"]
    assert [difference.value for difference in found.values()] == [0.25, 0.5, 0.0]
    assert [difference.clips for difference in found.values()] == [6, 4, 2]
    assert found["traveled_distance_accuracy"].p_value == 0.5  # two coins that fall alike
    assert found["average_accuracy"].p_value == pytest.approx(0.5, abs=0.02)  # the same, of 10 000 drawn
    assert found["movement_direction_accuracy"][:3] == (0.0, 0.0, 0.0)
    assert 0.0 <= found["average_accuracy"].low <= 0.25 <= found["average_accuracy"].high
    back = compare(b, a, rows)["average_accuracy"]
    assert (back.value, back.low, back.high) == pytest.approx((-0.25, -found["average_accuracy"].high, 0.0))
    assert found == compare(a, b, rows)


def test_a_resample_without_a_task_does_not_count_for_it():
    """Of four clips one has the direction, which a third of the resamples miss."""
    rows = [*distances("10.00", "10.00", "10.00"), reference("movement_direction", "3")]
    found = compare(["10 m", "10 m", "10 m", "3"], ["30 m", "30 m", "30 m", "3"], rows)["average_accuracy"]
    assert (found.value, found.high) == (0.5, 1.0)
    assert found.low in (0.0, 0.5)


def test_many_clips_are_drawn_in_pieces():
    rng = np.random.default_rng(0)
    a, b = rng.random(3000) < 0.6, rng.random(3000) < 0.5
    found = paired_difference(a, b, [str(i) for i in range(3000)])
    # The standard error is sqrt(0.6 * 0.4 + 0.5 * 0.5) / sqrt(3000) = 0.0128.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.0128, rel=0.06)
    assert found.p_value < 1e-9


@pytest.mark.parametrize(
    ("a", "b", "complaint"),
    [
        (["10 m"], ["10 m", "1 m"], "1 predictions_a for 2 references"),
        (["10 m", "1 m"], ["10 m"], "1 predictions_b for 2 references"),
        (["10 m", "1 m"], ["10 m", None], r"predictions_b\[1\]: None is not a string"),
        (["10 m", "1 m"], "10", "predictions_b: str is not a list"),
    ],
)
def test_what_is_wrong_is_named(a, b, complaint):
    with pytest.raises(ValueError, match=complaint):
        compare(a, b, distances("10.00", "10.00"))

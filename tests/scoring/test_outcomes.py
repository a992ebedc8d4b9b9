"""Whether one answer is right and how far off it is, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stvlm.scoring import Outcome, Parsed, score
from stvlm.scoring.outcomes import relative_accuracy


@pytest.mark.parametrize(
    ("task", "value", "target", "outcome"),
    [
        ("traveled_distance", 15.15, "20.20", (True, 5.05, None)),  # 0.75 * 20.20, a hair above it in binary
        ("traveled_distance", 15.14, "20.20", (False, 5.06, None)),
        ("traveling_speed", 25.25, "20.20", (True, 5.05, None)),  # 1.25 * 20.20
        ("traveling_speed", 25.26, "20.20", (False, 5.06, None)),
        ("movement_direction", 11, "1", (False, 2.0, None)),  # not 10: the short way round
        ("movement_direction", 12, "12", (True, 0.0, None)),
        ("movement_direction", 12, "6", (False, 6.0, None)),
        ("direction_timestamp", (4.0, 6.0), "2.00-6.00", (True, None, 0.5)),
        ("direction_timestamp", (4.0, 8.0), "2.00-6.00", (False, None, 1 / 3)),
        ("direction_timestamp", (7.0, 8.0), "2.00-6.00", (False, None, 0.0)),
        ("direction_timestamp", (3.0, 3.0), "2.00-6.00", (False, None, 0.0)),
        ("traveled_distance_comparison", "red", "red", (True, None, None)),
        ("movement_direction_comparison", "same", "different", (False, None, None)),
        ("traveled_distance", None, "20.20", (False, None, None)),
        ("movement_direction", None, "12", (False, None, None)),
        ("direction_timestamp", None, "2.00-6.00", (False, None, 0.0)),
        ("traveled_distance_comparison", None, "red", (False, None, None)),
    ],
)
def test_outcome(task, value, target, outcome):
    assert score(task, Parsed(value), target) == Outcome(
        outcome[0], *(None if number is None else pytest.approx(number) for number in outcome[1:])
    )


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4), st.integers(0, 40))
def test_iou_is_symmetric_and_does_not_depend_on_when(halves, later):
    a, b, c, d = (0.5 * half for half in halves)
    one, other = (min(a, b), max(a, b) + 0.5), (min(c, d), max(c, d) + 0.5)

    def iou(answer, truth):
        return score("direction_timestamp", Parsed(answer), f"{truth[0]:.2f}-{truth[1]:.2f}").iou

    assert iou(one, other) == pytest.approx(iou(other, one))
    shift_s = 0.5 * later
    moved = [(start + shift_s, end + shift_s) for start, end in (one, other)]
    assert iou(*moved) == pytest.approx(iou(one, other))
    assert iou(one, one) == 1.0


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        (20.0, 1.0),  # below all ten tolerances of 5, 10 .. 50 %
        (20.99, 1.0),
        (21.0, 0.9),  # 5 % off is not below 5 %
        (25.0, 0.5),  # 25 % off is below 30, 35, 40, 45 and 50 %: right, and half of what an exact answer is worth
        (29.9, 0.1),
        (10.0, 0.0),
        (0.0, 0.0),
        (1e308, 0.0),
        (np.nan, 0.0),  # nothing was parsed
    ],
)
def test_relative_accuracy(answer, share):
    assert relative_accuracy(np.array([abs(answer - 20.0)]), np.array([20.0])) == pytest.approx(share)


@given(st.floats(0.01, 1e6), st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_a_larger_error_is_never_worth_more(truth, one, other):
    small, large = relative_accuracy(np.sort([one, other]) * truth, np.full(2, truth))
    assert 0.0 <= large <= small <= 1.0

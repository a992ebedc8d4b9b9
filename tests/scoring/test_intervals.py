"""Bounds of means, against printed tables and against what they promise."""

import numpy as np
import pytest

from stvlm.scoring.intervals import _t_quantile, mean_of, mean_of_means, positive_bounds, share_bounds


def mean(values, clips, items=None):
    items = np.ones(len(values), bool) if items is None else np.array(items, bool)
    return mean_of(np.array(values, float), items, np.array(clips))


@pytest.mark.parametrize(
    ("probability", "freedom", "printed"),
    [
        (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 4, 2.776), (0.975, 9, 2.262), (0.975, 29, 2.045),
        (0.975, 1e9, 1.960), (0.95, 9, 1.833), (0.995, 9, 3.250), (0.5, 9, 0.0),
    ],
)  # fmt: skip
def test_students_t(probability, freedom, printed):
    assert _t_quantile(probability, freedom) == pytest.approx(printed, rel=2e-3 if freedom > 2 else 1e-2, abs=1e-9)


def test_a_mean_of_means_counts_each_the_same():
    clips = [0, 0, 1, 2]
    one, other = mean([1, 0, 1, 1], clips, [1, 1, 1, 0]), mean([1, 0, 1, 0], clips, [0, 0, 0, 1])
    both = mean_of_means([one, other])
    assert both.value == pytest.approx((2 / 3 + 0) / 2)
    assert both.weights == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert both.deviations == pytest.approx([1 / 18, -1 / 9, 1 / 18, 0.0])
    assert mean_of_means([one, other], [0.25, 0.75]).value == pytest.approx(1 / 6)


def test_clips_of_one_size_vary_as_their_means_do():
    """Four clips of two answers with means 0, 1/2, 1/2, 1: the standard error is sqrt(1/6) / 2 = 0.204.

    0.5 * 0.5 / 0.204**2 = 6 independent answers vary as much; t is 3.182, so Wilson's interval is 1/2 -+ 0.396.
    """
    found = mean([0, 0, 0, 1, 1, 0, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3])
    assert share_bounds(found, 0.95) == pytest.approx((0.104, 0.896), abs=2e-3)


def test_a_clip_that_outweighs_the_others_is_hardly_more_than_one():
    found = mean([1, 0] * 20 + [1], [0] * 40 + [1])
    low, high = share_bounds(found, 0.95)
    assert low < 0.2 and high > 0.8
    low, high = share_bounds(found, 0.5)
    assert high - low > 0.1


def test_values_that_happen_to_balance_in_each_clip_are_not_certain():
    low, high = share_bounds(mean([1, 0, 0, 1, 1, 0], [0, 0, 1, 1, 2, 2]), 0.95)
    assert low < 0.2 and high > 0.8


def test_errors_that_are_all_zero_and_those_of_one_clip():
    assert positive_bounds(mean([0, 0], [0, 1]), 0.95) == (0.0, 0.0)
    assert positive_bounds(mean([1, 2], [0, 0]), 0.95) is None
    assert positive_bounds(mean([3, 3], [0, 1]), 0.95) == (3.0, 3.0)


def test_huge_errors_stay_numbers():
    low, high = positive_bounds(mean([1e300, 1.0, 1.0], [0, 1, 2]), 0.95)
    assert 0.0 <= low < 1e300 / 3 < high < np.inf
    assert positive_bounds(mean([1e308, 1e308, 1.0], [0, 1, 2]), 0.95) is None


@pytest.mark.parametrize(("clip_count", "accuracy"), [(10, 0.5), (10, 0.95), (60, 0.95)])
def test_nineteen_in_twenty_intervals_hold_the_truth(clip_count, accuracy):
    """Clips of one to six questions, whose difficulty differs between clips with an intraclass correlation of 0.3."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        clips = np.repeat(np.arange(clip_count), rng.integers(1, 7, clip_count))
        of_clip = rng.beta(accuracy * 7 / 3, (1 - accuracy) * 7 / 3, clip_count)
        low, high = share_bounds(mean(rng.random(len(clips)) < of_clip[clips], clips), 0.95)
        held.append(low <= accuracy <= high)
    assert 0.92 <= np.mean(held) <= 0.995

"""How sure a mean over questions is, where the questions on one clip share its difficulty.

A bootstrap of clips says nothing where all answers are right, and too little where nearly all are, or where clips are
few: of ten clips with three or four questions each, 97 % of which are answered right, its "95 %" interval holds the
truth in 51 to 65 of 100 cases (benchmarks/results/intervals.json). Instead, the variance between clips is turned into
the number of independent answers that would vary as much, and that number into Wilson's interval. This is as quick as
the mean itself and needs no random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Mean(NamedTuple):
    """A weighted mean over N items."""

    value: float
    weights: Floats  # (N,), of sum 1
    deviations: Floats  # (N,) weight times the value's difference from the mean; of sum 0
    clips: NDArray[np.intp]  # (N,) number of each item's clip


def mean_of(values: Floats, items: NDArray[np.bool_], clips: NDArray[np.intp]) -> Mean:
    """The mean of some of (N,) values, at least one."""
    weights = items / items.sum()
    with np.errstate(over="ignore", invalid="ignore"):  # the sum of two answers of 1e308 m
        value = float(values[items].mean())
        return Mean(value, weights, np.where(items, weights * (values - value), 0.0), clips)


def mean_of_means(means: Sequence[Mean], shares: Sequence[float] | None = None) -> Mean:
    """The mean of some means over the same N items; `shares`, of sum 1, are equal where not given."""
    parts = np.full(len(means), 1.0 / len(means)) if shares is None else np.asarray(shares, dtype=np.float64)
    return Mean(
        float(parts @ [mean.value for mean in means]),
        parts @ np.stack([mean.weights for mean in means]),
        parts @ np.stack([mean.deviations for mean in means]),
        means[0].clips,
    )


def share_bounds(mean: Mean, confidence: float) -> tuple[float, float]:
    """Bounds of a mean of values from 0 to 1, such as an accuracy; of n clips all right, n / (n + t * t) and 1."""
    clip_count, error = _clips_and_error(mean)
    if clip_count is None:
        return 0.0, 1.0
    value = min(max(mean.value, 0.0), 1.0)
    # How many independent answers vary as much; where nothing varies a clip tells no more than one answer.
    answers = value * (1.0 - value) / error**2 if error > 1e-9 else clip_count
    t_squared = _t_quantile((1.0 + confidence) / 2.0, clip_count - 1.0) ** 2
    middle = (value + t_squared / (2.0 * answers)) / (1.0 + t_squared / answers)
    half = np.sqrt(t_squared * (value * (1.0 - value) + t_squared / (4.0 * answers)) / answers)
    half = float(half) / (1.0 + t_squared / answers)
    # Rounding may take the mean itself out of them.
    return min(max(middle - half, 0.0), mean.value), max(min(middle + half, 1.0), mean.value)


def positive_bounds(mean: Mean, confidence: float) -> tuple[float, float] | None:
    """Bounds of a mean of values from 0 up, such as an error, as a factor below and above.

    None where there are none: for a single clip, and for a mean that is infinite.
    """
    clip_count, error = _clips_and_error(mean)
    if clip_count is None or np.isinf(mean.value):
        return None
    if mean.value == 0.0:
        return 0.0, 0.0
    # On a logarithmic scale, as large errors lie further from the mean than small ones can.
    factor = np.exp(_t_quantile((1.0 + confidence) / 2.0, clip_count - 1.0) * error / mean.value)
    return float(mean.value / factor), float(mean.value * factor)


def _clips_and_error(mean: Mean) -> tuple[float | None, float]:
    """The effective number of clips (Kish; their number where all weigh the same), None for one; the standard error."""
    weights = np.bincount(mean.clips, mean.weights)
    count = 1.0 / float(weights @ weights)
    if count < 1.0 + 1e-9:
        return None, 0.0
    deviations = np.bincount(mean.clips, mean.deviations)
    # hypot, as the square of an answer such as 1e300 m is no number.
    return count, float(np.sqrt(count / (count - 1.0)) * np.hypot.reduce(deviations))


def _t_quantile(probability: float, freedom: float) -> float:
    """Student's t, by the expansion 26.7.5 of Abramowitz and Stegun: from 3 degrees of freedom on within 0.2 %.

    Fewer than one, as clips of very unequal size have, are taken for one.
    """
    freedom = max(freedom, 1.0)
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))

"""Whether an answer is right, and how far off it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .parsing import Parsed
from .references import parse_target

RELATIVE_TOLERANCE = 0.25
LEAST_IOU = 0.5
# 0.75 * 20.20 is a hair above 15.15 in floating point; a bound that is printed is included.
ROUNDING = 1e-9


class Outcome(NamedTuple):
    """Whether an answer is right; `error` in m, km/h or clock hours (None where nothing was parsed); `iou` in 0..1."""

    correct: bool
    error: float | None = None
    iou: float | None = None


def score(task: str, parsed: Parsed, target: str) -> Outcome:
    """Compare a parsed answer with a printed target. Raises ValueError for a target that is not canonical.

    Right is: within 25 % of a distance, speed, duration or ratio, the same hour, an IoU of at least 0.5, the same
    choice; bounds are included. What was not parsed is wrong: its IoU is 0, and it has no error.
    """
    truth = parse_target(task, target)
    answer = parsed.value
    if isinstance(truth, tuple):
        iou = _iou(answer, truth) if isinstance(answer, tuple) else 0.0
        return Outcome(iou >= LEAST_IOU - ROUNDING, iou=iou)
    if isinstance(truth, str) or not isinstance(answer, (int, float)):
        return Outcome(answer == truth)
    error = abs(answer - truth)
    if task == "movement_direction":
        error = min(error, 12 - error)
        return Outcome(error == 0, float(error))
    return Outcome(error <= RELATIVE_TOLERANCE * truth + ROUNDING, error)


def _iou(a_s: tuple[float, float], b_s: tuple[float, float]) -> float:
    """Intersection over union of two intervals in seconds, the second one not empty."""
    intersection_s = max(0.0, min(a_s[1], b_s[1]) - max(a_s[0], b_s[0]))
    return intersection_s / (a_s[1] - a_s[0] + b_s[1] - b_s[0] - intersection_s)


def relative_accuracy(error: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of (N,) errors the share of ten tolerances that each stays below: 5, 10 .. 50 % of the truth.

    The mean of it is VSI-Bench's mean relative accuracy (arXiv 2412.14171, equation 1), whose bounds are not included.
    An error that is NaN, as nothing was parsed, stays below none.
    """
    tolerances = 0.05 * np.arange(1, 11)
    return np.asarray((error[:, None] < tolerances * truth[:, None] - ROUNDING).mean(axis=1))

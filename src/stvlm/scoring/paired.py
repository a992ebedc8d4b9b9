"""Whether one model is better than another on the same questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .references import MULTISTEP, TASKS
from .scores import check_lengths, judge, numbers_of_clips

Floats = NDArray[np.float64]

RESAMPLES = 2000
FLIPS = 10_000
SEED = 0
FEW_CLIPS = 30
"""Below as many clips a bootstrap's interval is too narrow to go by."""


class Difference(NamedTuple):
    """Accuracy of one minus another's on the same questions, with a 95 % interval; fractions of 1."""

    value: float
    low: float
    high: float
    clips: int
    """That the questions are about."""
    p_value: float
    """How often chance alone, giving each clip's answers to one or the other, makes as large a difference."""

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the whole interval lies above no difference, and rests on enough clips."""
        return self.low > 0 and self.clips >= FEW_CLIPS


def compare(
    predictions_a: Sequence[str], predictions_b: Sequence[str], references: Sequence[Mapping[str, Any]]
) -> dict[str, Difference]:
    """Accuracies of A minus those of B: `average_accuracy` and, of every task present, `<task>_accuracy`.

    Raises ValueError as `score_all` does.
    """
    check_lengths(predictions_a, references, "predictions_a")
    references = list(references)  # the rows of a dataset are made anew whenever they are read
    a, b = judge(predictions_a, references, "predictions_a"), judge(predictions_b, references, "predictions_b")
    gains = np.array([x.correct - y.correct for x, y in zip(a.outcomes, b.outcomes, strict=True)])
    tasks, clips = np.array([row.task for row in a.rows]), numbers_of_clips(references)
    present = [task for task in (*TASKS, *MULTISTEP) if task in tasks]
    return {"average_accuracy": _difference(gains, clips, tasks)} | {
        f"{task}_accuracy": _difference(gains[tasks == task], clips[tasks == task]) for task in present
    }


def paired_difference(a: Sequence[bool], b: Sequence[bool], clips: Sequence[str]) -> Difference:
    """Difference of two (N,) arrays of right and wrong on the same questions, and the clips that these are about."""
    return _difference(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), np.asarray(clips))


def _difference(gains: Floats, clips: NDArray[Any], tasks: NDArray[Any] | None = None) -> Difference:
    """Of (N,) gains, each -1, 0 or 1; with (N,) tasks the mean of the tasks' differences.

    The interval is a percentile bootstrap that draws whole clips, as questions on one clip share its difficulty.
    """
    of_clip = np.unique(clips, return_inverse=True)[1]
    clip_count = int(of_clip.max()) + 1
    of_task = np.zeros(len(gains), np.intp) if tasks is None else np.unique(tasks, return_inverse=True)[1]
    task_count = int(of_task.max()) + 1
    cell, shape = of_clip * task_count + of_task, (clip_count, task_count)
    sums: Floats = np.bincount(cell, gains, clip_count * task_count).reshape(shape).astype(np.float64)
    sizes = np.bincount(cell, minlength=clip_count * task_count).reshape(shape)

    rng = np.random.default_rng(SEED)
    drawn = np.zeros((RESAMPLES, task_count))
    for first, count in _blocks(RESAMPLES, clip_count):
        chosen = rng.integers(clip_count, size=(count, clip_count))
        drawn_sizes = sizes[chosen].sum(axis=1)
        # A resample without a task tells nothing about it.
        with np.errstate(invalid="ignore"):
            drawn[first : first + count] = sums[chosen].sum(axis=1) / drawn_sizes
    low, high = np.quantile(np.nanmean(drawn, axis=1), [0.025, 0.975])
    if task_count == 1:
        p_value = _exact_p_value(sums[:, 0])
    else:
        p_value = _drawn_p_value((sums / sizes.sum(axis=0)).mean(axis=1), rng)
    value = float((sums.sum(axis=0) / sizes.sum(axis=0)).mean())
    return Difference(value, float(low), float(high), clip_count, p_value)


def _blocks(total: int, width: int) -> list[tuple[int, int]]:
    """Firsts and counts of pieces of `total` rows; all rows at once of 100 000 clips would take gigabytes."""
    rows = max(1, 2**20 // width)
    return [(first, min(rows, total - first)) for first in range(0, total, rows)]


def _exact_p_value(gains: Floats) -> float:
    """The share of all ways to flip the signs of (C,) whole numbers whose sum is as far from zero as theirs.

    Of numbers that are -1, 0 and 1, as where each clip has one question, this is the exact test of McNemar.
    """
    steps = np.abs(gains[gains != 0.0]).astype(int)
    total = int(steps.sum())
    odds = np.zeros(2 * total + 1)  # of each sum, from -total to total
    odds[total] = 1.0
    reach = 0
    for step in np.sort(steps).tolist():
        there = odds[total - reach : total + reach + 1].copy() / 2.0
        odds[total - reach : total + reach + 1] = 0.0
        odds[total - reach - step : total + reach - step + 1] += there
        odds[total - reach + step : total + reach + step + 1] += there
        reach += step
    sums = np.arange(-total, total + 1)
    return min(1.0, float(odds[np.abs(sums) >= abs(int(gains.sum()))].sum()))


def _drawn_p_value(gains: Floats, rng: np.random.Generator) -> float:
    """As the exact one, of any numbers, from FLIPS ways and the one that was found."""
    gains = gains[gains != 0.0]
    if not len(gains):
        return 1.0
    extreme = 0
    for _, count in _blocks(FLIPS, len(gains)):
        signs = rng.integers(2, size=(count, len(gains)), dtype=np.int8)
        # A hair less, so that sums of the same numbers in another order are equal.
        extreme += int(np.sum(np.abs(2.0 * (signs @ gains) - gains.sum()) >= abs(gains.sum()) * (1.0 - 1e-12)))
    return (1 + extreme) / (1 + FLIPS)

"""Whether answers are right, and how many are: the scores of STKit-Bench, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .parsing import Parsed, parse_answer
from .references import MULTISTEP, TASKS, parse_target, read_prediction, read_reference

RELATIVE_TOLERANCE = 0.25
LEAST_IOU = 0.5
# 0.75 * 20.20 is a hair above 15.15 in floating point; a bound that is printed is included.
ROUNDING = 1e-9

BOOTSTRAP_SEED = 0
BOOTSTRAP_RESAMPLES = 2000


class Outcome(NamedTuple):
    """Whether an answer is right; `error` in m, km/h or clock hours (None where nothing was parsed); `iou` in 0..1."""

    correct: bool
    error: float | None = None
    iou: float | None = None


def _iou(a_s: tuple[float, float], b_s: tuple[float, float]) -> float:
    """Intersection over union of two intervals in seconds, the second one not empty."""
    intersection_s = max(0.0, min(a_s[1], b_s[1]) - max(a_s[0], b_s[0]))
    return intersection_s / (a_s[1] - a_s[0] + b_s[1] - b_s[0] - intersection_s)


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


_MAE_TASKS = ("traveled_distance", "traveling_speed", "movement_direction", *MULTISTEP)


def score_all(
    predictions: Sequence[str],
    references: Sequence[Mapping[str, Any]],
    confidence: float | None = None,
    per_sample: bool = False,
) -> dict[str, Any]:
    """Score free-text answers against dataset rows (`read_reference` says what is taken from them).

    Returns, as fractions of 1 where no unit is given: `average_accuracy` (the mean over the tasks present) and
    `parse_rate`; for every task present `<task>_accuracy` and `<task>_count`; `traveled_distance_mae` (m),
    `traveling_speed_mae` (km/h), `movement_direction_mae` (clock hours), of the multistep tasks `time_to_cover_mae` and
    `catch_up_time_mae` (s) and `speed_ratio_mae`, each over the parsed answers and absent where
    there are none; `direction_timestamp_iou`.

    `confidence`, such as 0.95, adds `<key>_low` and `<key>_high` to each but the counts: percentiles of a bootstrap
    that draws whole clips where rows have a `clip_id`, as questions on one clip share its difficulty, and single
    items elsewhere. With a handful of clips such an interval is too narrow, with one it has no width.
    `per_sample` adds the list `per_sample`: a dict of value, reason, correct, error and iou for each answer.

    Raises ValueError for no items, unequal lengths, a prediction that is no string, or a reference that is not sound;
    it names the item.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    if not len(predictions):
        raise ValueError("no predictions: there is nothing to score")
    if confidence is not None and not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    rows = [read_reference(row, f"references[{index}]") for index, row in enumerate(references)]
    answers, outcomes = [], []
    for index, (text, row) in enumerate(zip(predictions, rows, strict=True)):
        text = read_prediction(text, f"predictions[{index}]")
        answers.append(parse_answer(row.task, text, row.choices, row.question))
        outcomes.append(score(row.task, answers[-1], row.target))

    # Every score is a ratio of two sums over items, so a resample of clips is a weighting of both.
    task = np.array([row.task for row in rows])
    present = [name for name in (*TASKS, *MULTISTEP) if name in task]
    correct = np.array([outcome.correct for outcome in outcomes], dtype=np.float64)
    error = np.array([outcome.error for outcome in outcomes], dtype=np.float64)
    iou = np.array([outcome.iou for outcome in outcomes], dtype=np.float64)
    parsed = np.array([answer.value is not None for answer in answers])
    ratios: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
    for name in present:
        ratios[f"{name}_accuracy"] = (correct, task == name)
        if name in _MAE_TASKS and np.any(parsed & (task == name)):
            ratios[f"{name}_mae"] = (error, parsed & (task == name))
        if name == "direction_timestamp":
            ratios[f"{name}_iou"] = (iou, task == name)
    ratios["parse_rate"] = (parsed.astype(np.float64), np.ones(len(rows), dtype=np.bool_))
    sums = np.stack([np.where(items, values, 0.0) for values, items in ratios.values()], axis=1)
    counts = np.stack([items for _, items in ratios.values()], axis=1).astype(np.float64)
    is_accuracy = np.array([key.endswith("_accuracy") for key in ratios])
    keys = ["average_accuracy", *ratios]

    estimate = _with_average(sums.sum(axis=0, keepdims=True), counts.sum(axis=0, keepdims=True), is_accuracy)[0]
    scores: dict[str, Any] = dict(zip(keys, estimate.tolist(), strict=True))
    scores |= {f"{name}_count": int(np.sum(task == name)) for name in present}
    if confidence is not None:
        clips = [row.clip_id or f"item {index}" for index, row in enumerate(rows)]
        resampled = _with_average(*_resample(sums, counts, clips), is_accuracy)
        bounds = np.nanquantile(resampled, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0], axis=0)
        for key, (low, high) in zip(keys, bounds.T.tolist(), strict=True):
            scores[f"{key}_low"], scores[f"{key}_high"] = low, high
    if per_sample:
        scores["per_sample"] = [
            answer._asdict() | outcome._asdict() for answer, outcome in zip(answers, outcomes, strict=True)
        ]
    return scores


def _with_average(
    sums: NDArray[np.float64], counts: NDArray[np.float64], is_accuracy: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(R, K) sums and counts to (R, 1 + K) ratios, the average accuracy first.

    NaN where a resample drew no item of a score: it tells nothing about that score, nor for the average about its task.
    """
    ratios = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0.0)
    return np.column_stack([np.nanmean(ratios[:, is_accuracy], axis=1), ratios])


def _resample(
    sums: NDArray[np.float64], counts: NDArray[np.float64], clips: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, K) per item to (R, K) per resample: as many clips as there are, drawn with replacement."""
    clip_of_item = np.unique(np.array(clips), return_inverse=True)[1]
    clip_count = int(clip_of_item.max()) + 1
    per_clip = np.zeros((clip_count, 2 * sums.shape[1]))
    np.add.at(per_clip, clip_of_item, np.hstack([sums, counts]))
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    resampled = []
    # In blocks: a benchmark of 100 000 clips would need 1.6 GB for all weights at once.
    block = max(1, 2**22 // clip_count)
    for first in range(0, BOOTSTRAP_RESAMPLES, block):
        draws = min(block, BOOTSTRAP_RESAMPLES - first)
        drawn = rng.integers(clip_count, size=(draws, clip_count)) + clip_count * np.arange(draws)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=draws * clip_count).reshape(draws, clip_count)
        resampled.append(weights.astype(np.float64) @ per_clip)
    both = np.concatenate(resampled)
    return both[:, : sums.shape[1]], both[:, sums.shape[1] :]

"""The floor: what an answer scores that never looks at the video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .parsing import Parsed
from .references import MULTISTEP, TASKS, parse_target, read_reference
from .scores import LEAST_IOU, RELATIVE_TOLERANCE, ROUNDING, score


class Constant(NamedTuple):
    """A canonical target given as the answer to every question of a task, and its accuracy (a fraction of 1)."""

    target: str
    accuracy: float


def best_constant(references: Sequence[Mapping[str, Any]]) -> dict[str, Constant]:
    """For each task present the constant answer that scores best on these references; of equals the smallest.

    For comparisons that is the most frequent color, or the more frequent of same and different.
    Raises ValueError for no references, or naming the one that is not sound.
    """
    if not len(references):
        raise ValueError("no references: there is nothing to score")
    targets: dict[str, list[str]] = {}
    for index, row in enumerate(references):
        reference = read_reference(row, f"references[{index}]")
        targets.setdefault(reference.task, []).append(reference.target)
    return {task: _best_constant(task, targets[task]) for task in (*TASKS, *MULTISTEP) if task in targets}


def _best_constant(task: str, targets: list[str]) -> Constant:
    if task in ("traveled_distance", "traveling_speed", *MULTISTEP):
        target = _best_number(np.sort(np.array(targets, dtype=np.float64)))
    elif task == "direction_timestamp":
        target = _best_interval(targets)
    else:
        frequency = Counter(targets)
        # By length first, as "9" comes before "10".
        target = min(frequency, key=lambda name: (-frequency[name], len(name), name))
    answer = Parsed(parse_target(task, target))
    return Constant(target, sum(score(task, answer, other).correct for other in targets) / len(targets))


def _best_number(truths: NDArray[np.float64]) -> str:
    """The number of two decimals within 25 % of the most of these, which are sorted.

    A best one lies at the lower bound of a truth: from any best number one can go down to the next such bound and
    leave no truth's range on the way.
    """
    lower = np.ceil(100.0 * (1.0 - RELATIVE_TOLERANCE) * truths - 100.0 * ROUNDING) / 100.0
    first = np.searchsorted(truths, (lower - ROUNDING) / (1.0 + RELATIVE_TOLERANCE), side="left")
    end = np.searchsorted(truths, (lower + ROUNDING) / (1.0 - RELATIVE_TOLERANCE), side="right")
    return f"{lower[np.argmax(end - first)]:.2f}"


def _best_interval(targets: list[str]) -> str:
    """The interval, from the start of one of these to the end of one, with an IoU of at least 0.5 with the most."""
    frequency = Counter(targets)
    bounds_s = np.array([target.split("-") for target in frequency], dtype=np.float64)  # (U, 2)
    weights = np.array(list(frequency.values()))
    end_s = np.unique(bounds_s[:, 1])[:, None]  # (E, 1) against the (U,) truths
    best, most = (0.0, 0.0), -1
    for start_s in np.unique(bounds_s[:, 0]):
        overlap_s = np.minimum(end_s, bounds_s[:, 1]) - np.maximum(start_s, bounds_s[:, 0])
        intersection_s = np.maximum(overlap_s, 0.0)
        union_s = end_s - start_s + bounds_s[:, 1] - bounds_s[:, 0] - intersection_s
        right = (intersection_s >= (LEAST_IOU - ROUNDING) * union_s) & (end_s > start_s)
        hits = right @ weights
        if hits.max() > most:
            best, most = (float(start_s), float(end_s[hits.argmax(), 0])), int(hits.max())
    return f"{best[0]:.2f}-{best[1]:.2f}"

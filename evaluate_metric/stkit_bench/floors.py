"""The floor: what an answer scores that never looks at the video, and how far a model is above it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .outcomes import LEAST_IOU, RELATIVE_TOLERANCE, ROUNDING, score
from .parsing import Parsed
from .references import COMPARISONS, MULTISTEP, TASKS, Reference, parse_target, read_reference


class Constant(NamedTuple):
    """What scores best when given as the answer to every question of a task, and its accuracy (a fraction of 1)."""

    target: str  # canonical; or of comparisons "yes", the first of the choices, or "no", the second
    accuracy: float


def best_constant(references: Sequence[Mapping[str, Any]]) -> dict[str, Constant]:
    """For each task present the constant answer that scores best on these references; of equals the smallest.

    For comparisons that is the most frequent target; or "yes" or "no" where the choice in that place is right more
    often still, as it may be where each question has two of three colors.
    Raises ValueError for no references, or naming the one that is not sound.
    """
    if not len(references):
        raise ValueError("no references: there is nothing to score")
    return constants_of([read_reference(row, f"references[{index}]") for index, row in enumerate(references)])


def constants_of(rows: Sequence[Reference]) -> dict[str, Constant]:
    """As `best_constant`, of references that have been read."""
    of_task: dict[str, list[Reference]] = {}
    for row in rows:
        of_task.setdefault(row.task, []).append(row)
    return {task: _best_constant(task, of_task[task]) for task in (*TASKS, *MULTISTEP) if task in of_task}


def skill(accuracy: float, floor: float) -> float:
    """How much of what the floor, below 1, leaves open is answered right: 0 at the floor, 1 for all."""
    return 1.0 - (1.0 - accuracy) / (1.0 - floor)


def _best_constant(task: str, rows: list[Reference]) -> Constant:
    targets = [row.target for row in rows]
    if task in ("traveled_distance", "traveling_speed", *MULTISTEP):
        target = _best_number(np.sort(np.array(targets, dtype=np.float64)))
    elif task == "direction_timestamp":
        target = _best_interval(targets)
    else:
        frequency = Counter(targets)
        if task in COMPARISONS:
            frequency["yes"] = sum(row.choices[0] == row.target for row in rows)
            frequency["no"] = sum(len(row.choices) == 2 and row.choices[1] == row.target for row in rows)
        # A canonical one first; then by length, as "9" comes before "10".
        target = min(frequency, key=lambda name: (-frequency[name], name in ("yes", "no"), len(name), name))
        return Constant(target, frequency[target] / len(rows))
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

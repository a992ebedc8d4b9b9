"""What can be answered without looking at the motion: by a constant, or from one thing that a question shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from stvlm.records import COLORS_RGB, Array
from stvlm.scoring import (
    COMPARISONS,
    LEAST_IOU,
    RELATIVE_TOLERANCE,
    ROUNDING,
    Constant,
    Parsed,
    best_constant,
    parse_target,
    score,
)

GRID = 1.1
"""Distances and speeds that differ by less than this factor are one label where labels are evened out."""
BIN_RATIO = 1.5
"""A bin's end is this many times its start, in histograms of distances and speeds."""


def label_of(task: str, target: str, choices: Sequence[str]) -> str:
    """What counts as the same answer: a number on a logarithmic grid; of a comparison the place among the choices."""
    if task in ("traveled_distance", "traveling_speed"):
        return f"{GRID ** round(np.log(float(target)) / np.log(GRID)):.2f}"
    if task in ("traveled_distance_comparison", "traveling_speed_comparison"):
        return str(choices.index(target))
    return target


def labels_of(task: str, rows: pa.Table) -> list[str]:
    """The label of each row, told by its columns target and choices."""
    targets, choices = rows.column("target").to_numpy(), rows.column("choices").to_pylist()
    return [label_of(task, *of_row) for of_row in zip(targets, choices, strict=True)]


def bin_of(task: str, target: str) -> str:
    """As `label_of`, but in the coarse bins of a histogram."""
    if task in ("traveled_distance", "traveling_speed"):
        k = int(np.floor(np.log(float(target)) / np.log(BIN_RATIO)))
        unit = "m" if task == "traveled_distance" else "km/h"
        return f"{BIN_RATIO**k:.1f}-{BIN_RATIO ** (k + 1):.1f} {unit}"
    if task == "direction_timestamp":
        start, end = (float(bound) for bound in target.split("-"))
        length = int(end - start)
        return f"{length}-{length + 1} s long"
    return f"{target} o'clock" if task == "movement_direction" else target


def is_right(task: str, labels: Sequence[str]) -> Array:
    """Whether each label, given as an answer, would be right where each label is the truth, (L answers, L truths)."""
    if task in ("traveled_distance", "traveling_speed"):
        value = np.array(labels, dtype=np.float64)
        return np.asarray(np.abs(value[:, None] - value) <= (RELATIVE_TOLERANCE + ROUNDING) * value)
    if task == "direction_timestamp":
        start_s, end_s = np.array([label.split("-") for label in labels], dtype=np.float64).reshape(-1, 2).T
        both_s = np.minimum(end_s[:, None], end_s) - np.maximum(start_s[:, None], start_s)
        both_s = np.maximum(both_s, 0.0)
        length_s = end_s - start_s
        return np.asarray(both_s >= (LEAST_IOU - ROUNDING) * (length_s[:, None] + length_s - both_s))
    return np.eye(len(labels), dtype=bool)


def constant_floor(task: str, targets: Sequence[str], known: Sequence[object] = ()) -> float:
    """Share of these targets that one constant answer gets right, or one for each value of what is `known` of them.

    Who knows something may still answer as one who knows nothing.
    """
    choices = ["same", "different"] if task == "movement_direction_comparison" else list(COLORS_RGB)
    choices = choices if task in COMPARISONS else []
    groups: dict[object, list[str]] = defaultdict(list)
    for target, group in zip(targets, known, strict=True) if known else ():
        groups[group].append(target)

    def best(some: Sequence[str]) -> Constant:
        return best_constant([{"task": task, "target": target, "choices": choices} for target in some])[task]

    of_all = best(targets)
    if not known:
        return of_all.accuracy
    blind = Parsed(parse_target(task, of_all.target))
    right = 0.0
    for of_group in groups.values():
        without_knowing = sum(score(task, blind, target).correct for target in of_group)
        right += max(best(of_group).accuracy * len(of_group), without_knowing)
    return right / len(targets)

"""Chooses rows so that no answer is much likelier than another."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import pyarrow as pa

from stvlm.hashing import stable_hash

BIN_RATIO = 1.5
"""Distances and speeds are binned on a logarithmic scale: a bin's end is this many times its start."""


@dataclass(frozen=True)
class Selection:
    """How many rows are kept of what could be asked."""

    rows_per_task: int | None = None
    """Rows of each task and split, taken from its labels in turn; None keeps all. Of a comparison's labels each counts
    once for every place that it may have among the choices, so that the first named is not likelier to be right."""


def label_of(task: str, target: str) -> str:
    """The bin of a target for balance and histograms: hours and choices stand for themselves."""
    if task in ("traveled_distance", "traveling_speed"):
        k = int(np.floor(np.log(float(target)) / np.log(BIN_RATIO)))
        unit = "m" if task == "traveled_distance" else "km/h"
        return f"{BIN_RATIO**k:.1f}-{BIN_RATIO ** (k + 1):.1f} {unit}"
    if task == "direction_timestamp":
        start, end = (float(bound) for bound in target.split("-"))
        length = int(end - start)
        return f"{length}-{length + 1} s long"
    return f"{target} o'clock" if task == "movement_direction" else target


def select(rows: pa.Table, selection: Selection) -> pa.Table:
    """The chosen rows, in their order."""
    if selection.rows_per_task is None:
        return rows
    groups: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    columns = (rows.column(name).to_pylist() for name in ("split", "task", "target", "choices", "id"))
    keys = {}
    for i, (split, task, target, choices, row_id) in enumerate(zip(*columns, strict=True)):
        place = f" in place {choices.index(target)}" if choices else ""
        groups[split, task][label_of(task, target) + place].append(i)
        keys[i] = stable_hash("select", row_id)
    chosen: list[int] = []
    for labels in groups.values():
        shuffled = [sorted(of_label, key=keys.__getitem__) for _, of_label in sorted(labels.items())]
        in_turn = [i for turn in zip_longest(*shuffled) for i in turn if i is not None]
        chosen += in_turn[: selection.rows_per_task]
    return rows.take(sorted(chosen))

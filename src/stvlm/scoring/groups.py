"""Which answers belong together: those on one clip, on a question and its twins, and of one label in a breakdown."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

COLUMNS = ("id", "base_id", "source", "split", "label_type", "scene_id", "camera", "template_id")
"""The columns of a dataset row that tell it apart and that the metric carries along, beside those of a Reference."""

UNITS = {"traveled_distance": "m", "traveling_speed": "km/h"}
"""Of the tasks whose targets are broken down by range."""
EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Bounds of the ranges, in m and km/h; the lower one is included."""


def read_columns(row: Mapping[str, Any], columns: Sequence[str] = COLUMNS) -> dict[str, str]:
    """Text or whole numbers in some columns of a row, "" where it has none."""
    return {column: str(row[column]) if isinstance(row.get(column), (str, int)) else "" for column in columns}


def read_label(row: Mapping[str, Any], column: str, name: str = "reference") -> str:
    """What a column holds. Raises ValueError that begins with `name` where that is no text or whole number."""
    label = read_columns(row, (column,))[column]
    if not label:
        raise ValueError(f"{name}: has no {column!r} that is a text or a whole number")
    return label


def variant_of(row: Mapping[str, Any], name: str = "reference") -> str:
    """The variant that a row's id names, "original" where none. Raises ValueError that begins with `name`."""
    row_id, base_id = read_label(row, "id", name), read_label(row, "base_id", name)
    if row_id == base_id:
        return "original"
    if not row_id.startswith(f"{base_id}-"):
        raise ValueError(f"{name}: id {row_id!r} does not begin with its base_id {base_id!r}")
    return row_id.removeprefix(f"{base_id}-")


def clip_of(row: Mapping[str, Any]) -> str:
    """The clip that a row is about; of a mirrored, reversed or retimed clip the one that it was made from.

    "" where the row does not tell.
    """
    clip_id, row_id, base_id = read_columns(row, ("clip_id", "id", "base_id")).values()
    if base_id and row_id.startswith(f"{base_id}-"):
        clip_id = clip_id.removesuffix(row_id.removeprefix(base_id))
    return clip_id or base_id


def labels_of(row: Mapping[str, Any], by: Sequence[str], name: str = "reference") -> dict[str, str]:
    """A row's label in each breakdown: of a column what it holds, and of "variant" and "range" what they are made from.

    "" where a breakdown leaves the row out. Raises ValueError that begins with `name` where a column is missing.
    """
    labels = {}
    for column in by:
        if column == "variant":
            labels[column] = variant_of(row, name)
        elif column == "range":
            labels[column] = _range_of(row["task"], row["target"])
        else:
            labels[column] = read_label(row, column, name)
    return labels


def in_order(labels: set[str]) -> list[str]:
    """Labels from the smallest range to the largest, others by name."""
    ranges = [label for unit in UNITS.values() for label in _ranges(unit)]
    return sorted(labels, key=lambda label: (ranges.index(label) if label in ranges else -1, label))


def _range_of(task: str, target: str) -> str:
    """Such as "5-10 m", which holds 5.00 and not 10.00; "" for a task that is broken down by no range."""
    return _ranges(UNITS[task])[bisect_right(EDGES, float(target)) - 1] if task in UNITS else ""


def _ranges(unit: str) -> list[str]:
    return [*(f"{low}-{high} {unit}" for low, high in pairwise(EDGES)), f"{EDGES[-1]} {unit} and more"]

"""What a question shows beside motion in space: cues from which its answer might be guessed without understanding it.

Selection evens answers out over them, and a probe measures what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stvlm.questions.templates import boxed, wording_named
from stvlm.records import COLORS_RGB, Array

_NAMED = re.compile(boxed("({})").format("|".join(COLORS_RGB)))
_POLARITY = {"most": 1, "least": -1, "same": 1, "different": -1, "": 0}
_LISTS = pa.list_(pa.float32())
SCHEMA = pa.schema(
    [
        ("color", pa.string()),
        ("category", pa.string()),
        ("polarity", pa.int8()),
        ("window_s", pa.float32()),
        ("clip_s", pa.float32()),
        ("area", _LISTS),
        ("motion", _LISTS),
    ]
)
"""Of the objects asked about, in the order in which the question names them: colours and categories, joined by a space;
1 for most and same, -1 for least and different; how many seconds the question and its clip are long; and, within these
seconds, the mean square root of each box's area and the length of its centre's way, as shares of the image's width.
"""


def cue_table(rows: pa.Table) -> pa.Table:
    """The cues of rows that have the dataset's columns, as columns of SCHEMA."""
    names = ("question", "choices", "template_id", "start_s", "end_s", "frame_times_s")
    questions, choices, templates, starts, ends, times = (rows.column(name).to_pylist() for name in names)
    objects = rows.column("objects").combine_chunks()
    first = np.concatenate([[0], np.cumsum(pc.list_value_length(objects).to_numpy(zero_copy_only=False))]).astype(int)
    flat = objects.flatten()
    colors, categories = flat.field("color").to_pylist(), flat.field("category").to_pylist()
    area, motion = _in_the_image(rows, flat, first)
    out: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for row, question in enumerate(questions):
        of_clip = list(range(first[row], first[row + 1]))
        named = choices[row] if choices[row] and choices[row][0] in COLORS_RGB else _NAMED.findall(question.lower())
        by_color = {colors[i]: i for i in of_clip}
        asked = [by_color[color] for color in dict.fromkeys(named) if color in by_color] or of_clip
        out["color"].append(" ".join(colors[i] for i in asked))
        out["category"].append(" ".join(categories[i] for i in asked))
        out["polarity"].append(_POLARITY[wording_named(templates[row]).polarity])
        out["window_s"].append(ends[row] - starts[row])
        out["clip_s"].append(times[row][-1])
        out["area"].append([area[i] for i in asked])
        out["motion"].append([motion[i] for i in asked])
    return pa.table(out, schema=SCHEMA)


def codes(values: Iterable[object]) -> Array:
    """The place of each value among the different ones, sorted by their text, (N,)."""
    numbers, texts = numbered(map(str, values))
    place = {text: i for i, text in enumerate(sorted(texts))}
    return np.array([place[text] for text in texts], dtype=int)[numbers]


def numbered(values: Iterable[Any]) -> tuple[Array, list[Any]]:
    """A number for each value, (N,), and the different values, by number, in the order in which they first come."""
    numbers: dict[Any, int] = {}
    return np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), dtype=int), list(numbers)


def by_object(lists: pa.ChunkedArray) -> Array:
    """A column `area` or `motion` as (N, 3); NaN where a row is about fewer objects."""
    of_rows = lists.combine_chunks()
    row = pc.list_parent_indices(of_rows).to_numpy()
    out = np.full((len(of_rows), 3), np.nan)
    out[row, np.arange(len(row)) - np.searchsorted(row, row)] = of_rows.flatten()
    return out


def _in_the_image(rows: pa.Table, objects: pa.StructArray, first: Array) -> tuple[Array, Array]:
    """Of each object, (O,): its box's mean size, and its way, within the seconds that its row is about."""
    start_s, end_s = (rows.column(name).to_numpy() for name in ("start_s", "end_s"))
    intrinsics_px, times_s = (rows.column(name).combine_chunks() for name in ("intrinsics_px", "frame_times_s"))
    width_px = 2 * pc.list_element(intrinsics_px, 2).to_numpy(zero_copy_only=False)  # the centre lies near the middle
    step_s = pc.list_element(times_s, 1).to_numpy(zero_copy_only=False)
    row_of = np.repeat(np.arange(len(first) - 1), np.diff(first))  # of each object

    boxes = objects.field("boxes_px")
    counts = pc.list_value_length(boxes).to_numpy(zero_copy_only=False)
    each = boxes.flatten()
    seen = each.is_valid().to_numpy(zero_copy_only=False)
    boxes_px = np.full((len(each), 4), np.nan)
    boxes_px[seen] = each.flatten().to_numpy().reshape(-1, 4)
    owner = np.repeat(np.arange(len(objects)), counts)  # of each box
    number = np.arange(len(each)) - np.repeat(np.cumsum(counts) - counts, counts)
    row = row_of[owner]
    time_s = number * step_s[row]
    inside = seen & (time_s >= start_s[row] - 1e-6) & (time_s <= end_s[row] + 1e-6)

    sides_px = boxes_px[:, 2:] - boxes_px[:, :2]
    size = np.sqrt(sides_px.prod(axis=1)) / width_px[row]
    shown = np.bincount(owner[inside], minlength=len(objects))
    area = np.bincount(owner[inside], size[inside], len(objects)) / np.maximum(shown, 1)
    index = np.flatnonzero(inside)
    joined = owner[index[1:]] == owner[index[:-1]]  # from one seen box to the next one, over gaps too
    steps = np.linalg.norm(np.diff(boxes_px[index].reshape(-1, 2, 2).mean(axis=1), axis=0), axis=1)
    from_ = index[:-1][joined]
    motion = np.bincount(owner[from_], steps[joined] / width_px[row[from_]], len(objects))
    return area, motion

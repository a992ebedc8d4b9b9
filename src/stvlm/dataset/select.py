"""Chooses rows so that no answer is much likelier than another, whatever one knows of a question but the motion."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stvlm.dataset.cues import by_object, codes, numbered
from stvlm.dataset.guesses import bin_of, is_right, label_of, labels_of
from stvlm.hashing import stable_hash
from stvlm.records import Array, Task
from stvlm.scoring import COMPARISONS

CUE_BINS = 8
"""Into how many equal parts a cue that is a number is cut, by its rank."""
WEIGHTS = {"nothing": 3.0, "class": 2.0, "window": 2.0, "time": 2.0}
"""How much it counts against a row that it helps who knows nothing but this; 1 else. What the first two get right is
published, and the seconds that are asked about tell most."""


@dataclass(frozen=True)
class Amount:
    """How much is wanted of a source."""

    questions: int
    videos: int
    """Recordings as seen by one camera, which is what the paper's Table 2 counts: each may have many clips."""


@dataclass(frozen=True)
class Selection:
    """How many rows are kept of what could be asked; what is not there is reported, and nothing takes its place."""

    rows_per_task: int | None = None
    """Rows of each task and split, their answers evened out; None, with no table, keeps all."""
    table: Mapping[str, Mapping[Task, int]] = field(default_factory=dict)
    """Rows of each source and task instead: the answers of a task are evened out over all its sources."""
    amounts: Mapping[str, Amount] = field(default_factory=dict)
    """Questions and videos of each source, its tasks as even as they can be."""
    max_rows_per_hour: int | None = None
    """At most this many movement directions of each hour, where answers are evened out."""
    max_label_share: float = 1.0
    """At most this share of a source's rows of one task has one label, where amounts are given."""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.rows_per_task, self.table, self.amounts))) > 1:
            raise ValueError("rows_per_task, table and amounts exclude each other")
        if not 0 < self.max_label_share <= 1:
            raise ValueError(f"max_label_share is a share of 1, got {self.max_label_share}")


class Shortfall(NamedTuple):
    """What the sources hold too little of."""

    where: str  # a source, and the split where there may be several
    what: str  # a task, "questions" or "videos"
    wanted: int
    found: int


class Chosen(NamedTuple):
    """What is kept."""

    rows: Array  # (N,) indices, increasing
    shortfalls: list[Shortfall]


def select(asked: pa.Table, selection: Selection) -> Chosen:
    """Chooses among all rows that were asked, told by the columns of `shards.LIGHT`, in any order."""
    if not (selection.table or selection.rows_per_task or selection.amounts):
        return Chosen(np.arange(len(asked)), [])
    keys = (int(stable_hash("select", row_id.as_py())[:16], 16) for row_id in asked.column("id"))
    order = np.argsort(np.fromiter(keys, np.uint64, len(asked)), kind="stable")
    evened_out = selection.table or selection.rows_per_task
    chosen = (_evenly if evened_out else _amounts)(asked, order, selection)
    return Chosen(np.sort(chosen.rows), chosen.shortfalls)


def _in_order(asked: pa.Table, order: Array, **values: str) -> Array:
    """Indices of the rows that have these values, in an order that says nothing of where they come from."""
    wanted = np.ones(len(asked), dtype=bool)
    for name, value in values.items():
        wanted &= pc.equal(asked.column(name), value).to_numpy()
    return np.asarray(order[wanted[order]])


def _evenly(asked: pa.Table, order: Array, selection: Selection) -> Chosen:
    """For each split and task the rows that leave the least to be guessed."""
    kept: list[Array] = []
    shortfalls = []
    splits, present = (asked.column(name).unique().to_pylist() for name in ("split", "task"))
    for split, task in product(sorted(splits), sorted({*present}.union(*selection.table.values()))):
        rows = _in_order(asked, order, split=split, task=task)
        part = asked.take(rows)
        if selection.table:
            sources = part.column("source").to_pylist()
            wanted = {source: of_task.get(task, 0) for source, of_task in selection.table.items()}
        else:
            sources, wanted = ["all"] * len(rows), {"all": selection.rows_per_task or 0}
        most = selection.max_rows_per_hour if task == "movement_direction" else None
        chosen = choose_evenly(task, part, sources, wanted, most or len(rows))
        kept.append(rows[chosen])
        found = Counter(sources[i] for i in chosen)
        shortfalls += [Shortfall(f"{s} {split}", task, n, found[s]) for s, n in wanted.items() if found[s] < n]
    return Chosen(np.concatenate(kept) if kept else np.array([], dtype=int), shortfalls)


def choose_evenly(
    task: Task, asked: pa.Table, sources: Sequence[str], wanted: Mapping[str, int], most_of_a_label: int
) -> list[int]:
    """Indices of rows of one task, so many of each source, that leave the least to be guessed.

    Imagine guessers, one for each cue: each knows its cue of every question, and answers with what is right most often
    given the cue; one more knows nothing. Row after row is added, of the sources in proportion, and each time the one
    that helps these guessers least, and whose bin in a histogram is emptiest.
    """
    guessers, labels = _guessers(task, asked), codes(labels_of(task, asked))
    bins = codes(bin_of(task, target) for target in asked.column("target").to_numpy())
    origins = sorted(wanted)
    origin = np.array([origins.index(source) if source in wanted else -1 for source in sources], dtype=int)
    # Rows that no guesser can tell apart stand in one cell, of which the first is taken, and so on.
    views = [view for guesser in guessers for view in (guesser.label, guesser.cue)]
    cells, cell = np.unique(np.vstack([origin, labels, bins, *views]), axis=1, return_inverse=True)
    waiting: list[list[int]] = [[] for _ in range(cells.shape[1])]
    for row in range(len(labels) - 1, -1, -1):
        waiting[cell[row]].append(row)
    left = np.array([len(rows) for rows in waiting])
    left[cells[0] < 0] = 0
    scarce = left.copy()

    of_label, of_bin = (np.zeros(int(codes.max(initial=0)) + 1, int) for codes in (labels, bins))
    hits = [np.zeros((int(guesser.cue.max(initial=0)) + 1, len(guesser.helps))) for guesser in guessers]
    # For each label the hits of the best answer that it would help, as a share of those of the guesser's best answer.
    threat = [np.zeros_like(table) for table in hits]
    found = np.zeros(len(origins), int)
    goal = np.array([wanted[source] for source in origins])
    chosen: list[int] = []
    while True:
        open_cells = (left > 0) & (of_label[cells[1]] < most_of_a_label) & (found < goal)[cells[0]]
        if not open_cells.any():
            return chosen
        present = np.unique(cells[0][open_cells])
        turn = present[np.argmin((found[present] + 0.5) / goal[present])]
        at = np.flatnonzero(open_cells & (cells[0] == turn))
        cost = of_bin[cells[2][at]] / max(1, of_bin.max())
        for k, guesser in enumerate(guessers):
            cost = cost + guesser.weight * threat[k][cells[4 + 2 * k][at], cells[3 + 2 * k][at]]
        best = at[np.lexsort((at, scarce[at], cost))[0]]
        chosen.append(waiting[best].pop())
        left[best] -= 1
        found[turn] += 1
        of_label[cells[1, best]] += 1
        of_bin[cells[2, best]] += 1
        for k, guesser in enumerate(guessers):
            label, cue = cells[3 + 2 * k, best], cells[4 + 2 * k, best]
            hits[k][cue] += guesser.helps[:, label]
            threat[k][cue] = (hits[k][cue][:, None] * guesser.helps).max(axis=0) / hits[k][cue].max()


class _Guesser(NamedTuple):
    """Somebody who answers from one cue."""

    label: Array  # (N,) code of each row's answer, as this guesser thinks of answers
    helps: Array  # (L, L) whether answering with a label is right where another is the truth
    cue: Array  # (N,) code of what is known of each row
    weight: float = 1.0


def _guessers(task: Task, asked: pa.Table) -> list[_Guesser]:
    """One for each cue, and one who takes the same share of the time for all."""
    labels = labels_of(task, asked)
    views = [(labels, name, cue) for name, cue in _cues(task, asked).items()]
    if (shares := _shares(task, asked)) is not None:
        views.append((shares, "time", np.zeros(len(asked), int)))
    return [
        _Guesser(codes(told), is_right(task, sorted(set(told))).astype(float), cue, WEIGHTS.get(name, 1.0))
        for told, name, cue in views
    ]


def _shares(task: Task, asked: pa.Table) -> list[str] | None:
    """Each row's answer as a share of its seconds: one speed for all, or the same part of every clip."""
    targets, window_s = (asked.column(name).to_numpy() for name in ("target", "window_s"))
    if task == "traveled_distance":
        return [label_of(task, f"{float(target) / s:.6f}", []) for target, s in zip(targets, window_s, strict=True)]
    if task == "direction_timestamp":
        bounds = np.array([target.split("-") for target in targets], dtype=float).reshape(-1, 2)
        start, end = np.rint(20 * bounds / window_s[:, None]).astype(int).T
        return [f"{a}-{max(a + 1, b)}" for a, b in zip(start, end, strict=True)]
    return None


def _cues(task: Task, asked: pa.Table) -> dict[str, Array]:
    """What may be known of the rows (N,), as whole numbers."""
    color, category, template = (asked.column(name).to_numpy() for name in ("color", "category", "template_id"))
    window_s, clip_s, polarity = (asked.column(name).to_numpy() for name in ("window_s", "clip_s", "polarity"))
    area, motion = (by_object(asked.column(name)) for name in ("area", "motion"))
    places = np.isfinite(area).sum(axis=1)
    known = {
        "nothing": codes(places) if task in COMPARISONS else np.zeros(len(asked), int),
        "class": codes(category),
        "color": codes(color),
        "wording": codes(template),
        "window": _ranks(window_s),
        "clip": _ranks(clip_s),
    }
    if task not in COMPARISONS:
        boxes = motion[:, 0] / (area[:, 0] + 1e-3)  # the way in the image, in lengths of the box: near to that in space
        told = {"area": area[:, 0], "motion": motion[:, 0], "boxes": boxes, "boxes a second": boxes / window_s}
        return known | {name: _ranks(values) for name, values in told.items()}
    known["class"] = codes(zip(category, polarity, strict=True))
    told = {"area": area, "motion": motion}
    if task == "movement_direction_comparison":
        known["wording"] = codes(polarity)
        return known | {name: _ranks(np.abs(np.log(_ratio(values)))) for name, values in told.items()}
    return known | {name: codes(zip(places, _extreme(v, polarity), strict=True)) for name, v in told.items()}


def _ranks(values: Array) -> Array:
    """Which of CUE_BINS equal parts each value lies in."""
    bounds = np.quantile(values, np.arange(1, CUE_BINS) / CUE_BINS) if len(values) else np.array([])
    return np.asarray(np.searchsorted(bounds, values, side="right"))


def _ratio(values: Array) -> Array:
    """The first object's value over the second's."""
    return np.asarray((values[:, 0] + 1e-3) / (values[:, 1] + 1e-3))


def _extreme(values: Array, polarity: Array) -> Array:
    """The place of the object that has most of it, or least where the question asks for that."""
    return np.asarray(np.argmax(np.where(np.isfinite(values), values * polarity[:, None], -np.inf), axis=1))


def _amounts(asked: pa.Table, order: Array, selection: Selection) -> Chosen:
    """So many questions about so many videos of each source."""
    kept: list[Array] = []
    shortfalls: list[Shortfall] = []
    for source, amount in selection.amounts.items():
        rows = _in_order(asked, order, source=source)
        part = asked.select(["task", "target", "scene_id", "camera"]).take(rows)
        chosen, videos = _of_source(part, amount, selection.max_label_share)
        kept.append(rows[chosen])
        told = (("questions", amount.questions, len(chosen)), ("videos", amount.videos, videos))
        shortfalls += [Shortfall(source, *counts) for counts in told if counts[2] < counts[1]]
    return Chosen(np.concatenate(kept), shortfalls)


def _of_source(rows: pa.Table, amount: Amount, max_share: float) -> tuple[Array, int]:
    """Which rows of a source are kept, and about how many videos: those with the rarest answers come first."""
    names = ("task", "target", "scene_id", "camera")
    tasks, targets, scene_ids, cameras = (rows.column(name).to_numpy() for name in names)
    kind, kinds = numbered((task, bin_of(task, target)) for task, target in zip(tasks, targets, strict=True))
    video, videos = numbered(zip(scene_ids, cameras, strict=True))
    rarity = np.bincount(video, 1 / np.bincount(kind)[kind])
    rarest = sorted(range(len(videos)), key=lambda i: (-rarity[i], videos[i]))[: amount.videos]
    # How many of a row's video come before it, so that every video has one before any has two.
    of_videos = np.argsort(video, kind="stable")
    earlier = np.empty_like(video)
    earlier[of_videos] = np.arange(len(video)) - np.searchsorted(video[of_videos], video[of_videos])
    in_turn = np.argsort(earlier, kind="stable")
    in_turn = in_turn[np.isin(video[in_turn], rarest)]
    waiting: dict[Task, list[Array]] = defaultdict(list)
    for number in dict.fromkeys(kind[in_turn].tolist()):
        waiting[kinds[number][0]].append(in_turn[kind[in_turn] == number])
    supply = {}
    for task, of_labels in sorted(waiting.items()):
        share = max(max_share, 0.5) if task in COMPARISONS else max_share  # of two choices one is right in half
        supply[task] = capped(np.array([*map(len, of_labels)]), share)
    totals = even_counts(np.array([counts.sum() for counts in supply.values()], dtype=int), amount.questions)
    taken = [
        of_label[:n]
        for (task, counts), total in zip(supply.items(), totals, strict=True)
        for of_label, n in zip(waiting[task], even_counts(counts, int(total)), strict=True)
    ]
    chosen = np.concatenate([in_turn[:0], *taken])
    return chosen, len(np.unique(video[chosen]))


def even_counts(supply: Array, total: int) -> Array:
    """How many of each kind to take, so that they are `total` together, or all, and the greatest is least, (K,)."""
    if total >= supply.sum():
        return supply
    level = 0
    while np.minimum(supply, level + 1).sum() <= total:
        level += 1
    counts = np.minimum(supply, level)
    more = np.flatnonzero(supply > level)[: total - int(counts.sum())]
    counts[more] += 1
    return counts


def capped(supply: Array, max_share: float) -> Array:
    """The most of each kind, (K,), of which no kind is more than a share; K kinds allow no share under 1 / K."""
    share = max(max_share, 1 / max(len(supply), 1))
    level = int(supply.max(initial=0))
    while level and level > share * np.minimum(supply, level).sum() + 1e-9:
        level = min(level - 1, int(share * np.minimum(supply, level).sum() + 1e-9))
    return np.minimum(supply, level)

"""What a build made and what it left out, as numbers and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import pyarrow as pa
import pyarrow.compute as pc

from stvlm.dataset.guesses import bin_of, constant_floor
from stvlm.dataset.leakage import Shared
from stvlm.dataset.prepare import Prepared
from stvlm.dataset.probe import Probed
from stvlm.dataset.rows import frequencies
from stvlm.dataset.select import Shortfall
from stvlm.records import Task
from stvlm.scoring import COMPARISONS, best_constant

TASKS = get_args(Task)

GUESSERS = {"constant": "best constant answer", "class": "best answer for each class"}


class Report(NamedTuple):
    """Counts of a build, in plain values; `as_text` gives them their order."""

    rows: int
    recordings: int
    scenes: int  # recordings times cameras
    tracks: int
    clips: int
    by_source: Mapping[str, Mapping[str, int]]  # "source split" -> task -> rows
    labels: Mapping[str, Mapping[str, int]]  # task -> label or bin -> rows
    asked_labels: Mapping[str, Mapping[str, int]]  # the same of all that could be asked, before rows were chosen
    floors: Mapping[str, Mapping[str, float]]  # task -> guesser -> its accuracy, a fraction of 1
    variants: Mapping[str, Mapping[str, int]]  # name -> "rows", and why others have none -> rows
    shortfalls: list[Shortfall]  # what the sources hold too little of
    rejected: Mapping[str, int]  # why tracks and questions were left out
    skipped: Mapping[str, list[str]]  # why recordings, scenes and clips were left out, and which
    is_benchmark: bool = False  # whether answers were evened out
    shared: Mapping[str, Any] | None = None  # with the training set: the fields of leakage.Shared, and "rows_left"
    probe: Mapping[str, Mapping[str, Any]] | None = None  # task -> the fields of probe.Probed, and "leaks"


def make_report(
    prepared: Prepared,
    variants: Mapping[str, Mapping[str, int]],
    shared: Shared | None = None,
    probed: Mapping[str, Probed] | None = None,
) -> Report:
    """Counts what was prepared; `shared` and `probed` are given where there is a training set to compare with."""
    chosen = prepared.chosen
    is_benchmark = bool(prepared.recipe.select.table or prepared.recipe.select.rows_per_task)
    skipped: dict[str, list[str]] = {}
    for reason, subject in chosen.skipped:
        skipped.setdefault(reason, []).append(subject)
    return Report(
        **counts(chosen.rows, prepared.tables()),
        asked_labels=_labels(prepared.asked.rows),
        floors=_floors(chosen.rows) if is_benchmark else {},
        variants=variants,
        shortfalls=prepared.shortfalls,
        rejected=dict(chosen.rejected),
        skipped={reason: sorted(subjects) for reason, subjects in skipped.items()},
        is_benchmark=is_benchmark,
        shared=None if shared is None else _shared(shared, chosen.rows),
        probe=None
        if probed is None
        else {task: {**of_task._asdict(), "leaks": of_task.leaks} for task, of_task in probed.items()},
    )


def counts(table: pa.Table, objects: Iterable[pa.Table]) -> dict[str, Any]:
    """What there is, as fields of a Report.

    Args:
        table: all rows, with the columns source, split, scene_id, camera, clip_id, task and target.
        objects: the same rows in parts, with the columns source, scene_id and objects.
    """
    by_source: dict[str, Counter[str]] = {}
    for (source, split, task), n in frequencies(table, "source", "split", "task").items():
        by_source.setdefault(f"{source} {split}", Counter())[task] += n
    return {
        "rows": len(table),
        "recordings": len(frequencies(table, "source", "scene_id")),
        "scenes": len(frequencies(table, "source", "scene_id", "camera")),
        "tracks": len({track for part in objects for track in _tracks(part)}),
        "clips": len(table.column("clip_id").unique()),
        "by_source": {key: _by_task(of_tasks) for key, of_tasks in sorted(by_source.items())},
        "labels": _labels(table),
    }


def _tracks(table: pa.Table) -> Iterator[tuple[str, str, str]]:
    """Source, recording and track of each object of each row."""
    objects = table.column("objects").combine_chunks()
    of_object = table.select(["source", "scene_id"]).take(pc.list_parent_indices(objects))
    tracks = of_object.append_column("track_id", objects.flatten().field("track_id"))
    yield from frequencies(tracks, "source", "scene_id", "track_id")


def _labels(rows: pa.Table) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {task: Counter() for task in TASKS}
    for (task, target), n in frequencies(rows, "task", "target").items():
        counts[task][bin_of(task, target)] += n
    return {
        task: {label: of_task[label] for label in sorted(of_task, key=label_order)}
        for task, of_task in counts.items()
        if of_task
    }


def _floors(rows: pa.Table) -> dict[str, dict[str, float]]:
    """What guessers get right who know nothing of a question but its task, or the kind of object it is about."""
    out: dict[str, dict[str, float]] = {}
    for task in TASKS:
        part = rows.filter(pc.equal(rows.column("task"), task))
        if len(part):
            best = best_constant(part.select(["task", "target", "choices"]).to_pylist())[task]
            out[task] = {"constant": best.accuracy}
            if task not in COMPARISONS:
                targets, categories = (part.column(name).to_pylist() for name in ("target", "category"))
                out[task]["class"] = constant_floor(task, targets, [category.split(" ")[0] for category in categories])
    return {task: {name: round(value, 4) for name, value in of_task.items()} for task, of_task in out.items()}


def _shared(shared: Shared, rows: pa.Table) -> dict[str, Any]:
    return {**shared._asdict(), "rows_left": int(shared.others(rows.column("clip_id")).sum())}


def _by_task(counts: Counter[str]) -> dict[str, int]:
    return {task: counts[task] for task in TASKS if counts[task]}


def label_order(label: str) -> tuple[float, str]:
    """Sorts a task's labels: bins and hours by their number, choices by name."""
    digits = label.replace("-", " ").split(" ")[0]
    return (float(digits) if digits.replace(".", "").isdigit() else 0.0, label)


def as_text(report: Report) -> str:
    """The report for a terminal: a table of rows, a histogram for each task, and every reason, counted."""
    lines = [
        f"{report.rows:,} rows about {report.clips:,} clips of {report.tracks:,} tracks "
        f"in {report.scenes:,} scenes (one a camera) of {report.recordings:,} recordings",
        "",
    ]
    lines += row_lines("rows", report.by_source)
    for task, labels in sorted(report.labels.items(), key=lambda item: TASKS.index(item[0])):
        lines += ["", f"{task} ({sum(labels.values()):,})"]
        most = max(labels.values())
        for label, n in sorted(labels.items(), key=lambda item: label_order(item[0])):
            lines.append(f"  {label:>20} {n:6,} {'█' * max(1, round(40 * n / most))}")
    if report.floors:
        lines += ["", "guessed right without looking, %"]
        for task, shares in sorted(report.floors.items(), key=lambda item: TASKS.index(item[0])):
            told = [f"{GUESSERS[name]} {100 * share:.1f}" for name, share in sorted(shares.items(), reverse=True)]
            lines.append(f"  {task:30} {', '.join(told)}")
    lines += _against(report)
    for name, counts in report.variants.items():
        left_out = ", ".join(f"{n:,} {reason}" for reason, n in sorted(counts.items()) if reason != "rows")
        lines += ["", f"variant {name}: {counts['rows']:,} rows" + (f"; left out {left_out}" if left_out else "")]
    lines += shortfall_lines(report.shortfalls)
    lines += ["", "not asked"]
    rejected = sorted(report.rejected.items(), key=lambda item: (-item[1], item[0]))
    lines += [f"  {n:8,}  {reason}" for reason, n in rejected] or ["  nothing"]
    lines += ["", "skipped", *(reason_lines(report.skipped) or ["  nothing"])]
    return "\n".join(lines)


def row_lines(title: str, rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A table of rows by "source split" and task."""
    short = {task: "".join(word[0] for word in task.split("_")).upper() for task in TASKS}
    lines = [f"{title:28}" + "".join(f"{short[task]:>8}" for task in TASKS) + f"{'all':>8}"]
    for key, of_task in sorted(rows.items()):
        cells = "".join(f"{of_task.get(task, 0):8,}" for task in TASKS)
        lines.append(f"{key:28}{cells}{sum(of_task.values()):8,}")
    return lines


def shortfall_lines(shortfalls: Iterable[Shortfall]) -> list[str]:
    """What there is too little of, under a heading; nothing where there is enough of all."""
    lines = [f"  {where:20} {what:30} {found:7,} of {wanted:,}" for where, what, wanted, found in shortfalls]
    return ["", "too few in the sources", *lines] if lines else []


def reason_lines(skipped: Mapping[str, Sequence[str]], named: int = 3) -> list[str]:
    """Each reason for which something is left out, counted, with the first names."""
    lines = []
    for reason, subjects in sorted(skipped.items()):
        more = f", and {len(subjects) - named} more" if len(subjects) > named else ""
        lines.append(f"  {len(subjects):8,}  {reason}: {', '.join(subjects[:named])}{more}")
    return lines


def _against(report: Report) -> list[str]:
    """How the dataset compares with the training set."""
    if report.shared is None or report.probe is None:
        missing = "neither shared recordings nor shortcuts were looked for: give the training set by --against FOLDER"
        return ["", missing] if report.is_benchmark else []
    days, look_alikes = report.shared["days"], report.shared["near_duplicates"]
    unknown, unseen = (report.shared[name] for name in ("clips_of_unknown_day", "clips_without_frames"))
    clips = sum(map(len, days.values()))
    lines = [
        "",
        "shared with the training set: no recording",
        f"  {len(days):8,}  vehicle-days, of {clips:,} clips; of {unknown:,} clips on either side the day is unknown",
        f"  {len(look_alikes):8,}  near-duplicate clips; {unseen:,} clips on either side have no video to compare",
        f"  {report.shared['rows_left']:8,}  rows are left in the config no_shared_day",
        "",
        "answered from cues alone, as learned from the training set, % (at least, with 95 % confidence)",
    ]
    for task, found in sorted(report.probe.items(), key=lambda item: TASKS.index(item[0])):
        told = [f"{100 * found[name]:5.1f} ({100 * found[f'{low}low']:.1f})"
                 for name, low in (("accuracy", ""), ("cue_accuracy", "cue_"))]  # fmt: skip
        verdict = "LEAKS" if found["leaks"] else "holds"
        floor = f"floor {100 * found['floor']:5.1f}"
        lines.append(f"  {task:30} {verdict}: {floor}, all cues {told[0]}, {found['cue']} alone {told[1]}")
    return lines

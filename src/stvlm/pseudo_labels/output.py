"""What a run leaves: a folder of recordings that build.py takes as a --source, and a report of what became of all."""

from __future__ import annotations

import csv
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stvlm import __version__
from stvlm.files import check_movable, locked, made_anew, read_json, whole_file, write_json
from stvlm.pseudo_labels import results
from stvlm.pseudo_labels.pipeline import COST, FAILED, TRACEBACK, Done, Outcome, Request, label_videos
from stvlm.pseudo_labels.recipe import PseudoLabelling, tools_of
from stvlm.pseudo_labels.stages import LINK
from stvlm.recipes import to_mapping
from stvlm.records import DataError

REPORT, LEFT_OUT = "pseudo_labels.json", "left_out.csv"


def label(request: Request, out: Path, work: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Labels video into `out`; `work` keeps what the stages make.

    Returns the report, which lies in `out`, and what the stages cost, which is of this machine and lies in `work`.
    `out` is made anew when all is done, in one step. Raises DataError, also where nothing could be labelled, where
    `out` holds something else, or where another process makes it.
    """
    if out.exists() and not (out / REPORT).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not empty and holds no pseudo-labels; choose another --out")
    check_movable(out)
    for place in (out, work):
        _refuse_among_videos(place, request.paths.get("video_folder"))
    with locked(work / "lock"), made_anew(out) as new:
        outcome = label_videos(request, work)
        report, costs = report_of(request, outcome), costs_of(outcome)
        write_json(work / COST, costs)
        if not outcome.labelled:
            write_json(work / REPORT, report)
            reasons = Counter(item.reason for of_stage in outcome.rejected.values() for item in of_stage)
            examples = {item.reason: item.subject for of_stage in outcome.rejected.values() for item in of_stage}
            told = "; ".join(f"{reason} ({n}x, {examples[reason]})" for reason, n in reasons.most_common(3))
            write_left_out(work / LEFT_OUT, outcome)
            raise DataError(f"nothing could be labelled: {told or 'there are no videos'}; all is in {work / LEFT_OUT}")
        splits: dict[str, list[str]] = defaultdict(list)
        for labelled in outcome.labelled:
            _place(labelled, new)
            splits[labelled.excerpt.recording.split].append(labelled.excerpt.name)
        write_json(new / "splits.json", {split: sorted(names) for split, names in splits.items()})
        write_json(new / REPORT, report)
        write_left_out(new / LEFT_OUT, outcome)
    return report, costs


def _refuse_among_videos(place: Path, videos: str | None) -> None:
    """Raises DataError where a folder lies among one's own videos, which may be anywhere below theirs."""
    if videos is not None and place.resolve().is_relative_to(Path(videos).resolve()):
        told = "where the next run would take what is in it for videos, too"
        raise DataError(f"{place}: lies in {videos}, {told}; choose a folder beside it")


def write_left_out(path: Path, outcome: Outcome) -> None:
    """A table of all videos, excerpts and tracks that have no label: which, at which stage, and why."""
    rows = [(name, "", item.subject, item.reason) for name, items in outcome.rejected.items() for item in items]
    for done in outcome.excerpts:
        for stage in ("lifting", "smoothing", "filters"):
            place = done.folders[stage]
            rejected = results.read_manifest(place).notes.get("rejected", {}) if _is_done(place) else {}
            rows += [(stage, track_id, done.excerpt.name, reason) for track_id, reason in rejected.items()]
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("stage", "track_id", "subject", "reason"))
        table.writerows(rows)


def _is_done(folder: Path) -> bool:
    return (folder / results.MANIFEST).exists()


def _place(labelled: Done, root: Path) -> None:
    """A recording's tables, and beside them a link to its video or to the folder of its images."""
    place = root / labelled.excerpt.name
    place.mkdir(parents=True)
    for name in results.read_manifest(labelled.recording, "recording").files:
        shutil.copyfile(labelled.recording / name, place / name)
    images = labelled.excerpt.video().images
    if images is None:
        return
    if isinstance(images[0], str):
        folders = {Path(str(image)).parent for image in images}
        if len(folders) > 1:
            raise DataError(f"{labelled.excerpt.name}: its images lie in several folders; put or link them into one")
        (place / LINK).symlink_to(folders.pop())
    else:
        (place / f"{LINK}{Path(images[0][0]).suffix}").symlink_to(images[0][0])


def report_of(request: Request, outcome: Outcome) -> dict[str, Any]:
    """What was made, of what, under which licences; and why the rest was not."""
    manifests = [results.read_manifest(item.recording, "recording") for item in outcome.labelled]
    grades: Counter[str] = Counter()
    for manifest in manifests:
        grades.update(manifest.notes["grades"])
    return {
        "stvlm": __version__,
        "recipe": to_mapping(request.recipe),
        "tools": [asdict(made) for made in tools_of(request.recipe)],
        "collections": sorted(request.paths),
        "limit": request.limit,
        "excerpts": len(outcome.excerpts),
        "labelled_excerpts": len(outcome.labelled),
        "moving_objects": grades.total(),
        "by_grade": dict(sorted(grades.items())),
        "licences": sorted({manifest.notes["licence"] for manifest in manifests}),
        "stages": {name: _of_stage(outcome, name) for name, folders in outcome.folders.items() if folders},
    }


def _of_stage(outcome: Outcome, name: str) -> dict[str, Any]:
    """How many results a stage has, and what it left out and why."""
    folders, rejected = outcome.folders[name], outcome.rejected[name]
    left_out: Counter[str] = Counter()
    for folder in folders:
        left_out.update(results.read_manifest(folder).left_out)
    return {
        "done": len(folders),
        "rejected": _counted(item.reason for item in rejected),
        "examples": [*{item.reason: f"{item.reason}: {item.subject}" for item in reversed(rejected)}.values()],
        "left_out": dict(left_out.most_common()),
    }


def costs_of(outcome: Outcome) -> dict[str, Any]:
    """Seconds that each stage took for an excerpt, on average, and the most memory of its processes."""
    costs = {}
    for name, folders in outcome.folders.items():
        found = [read_json(folder / COST) for folder in folders if (folder / COST).exists()]
        if found:
            seconds = round(float(np.mean([cost["seconds"] for cost in found])), 3)
            peaks = {key: [cost[key] for cost in found if key in cost] for key in ("peak_mb", "gpu_peak_mb")}
            costs[name] = {"seconds_each": seconds, **{key: max(values) for key, values in peaks.items() if values}}
    return costs


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    return dict(Counter(reasons).most_common())


def as_text(report: Mapping[str, Any], costs: Mapping[str, Any]) -> str:
    """The report for people, and what the stages cost."""
    grades = ", ".join(f"{n} of grade {grade}" for grade, n in report["by_grade"].items())
    lines = [
        f"{report['labelled_excerpts']} of {report['excerpts']} excerpts have labels, of {report['moving_objects']} "
        f"moving objects ({grades})"
    ]
    for name, of_stage in report["stages"].items():
        cost = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in costs.get(name, {}).items())
        lines.append(f"{name}: {of_stage['done']}{f' ({cost})' if cost else ''}")
        for key in ("rejected", "left_out"):
            lines += [f"    {reason}: {n}" for reason, n in of_stage[key].items()]
        lines += [f"    as {example}" for example in of_stage["examples"]]
    return "\n".join([*lines, *(f"licence of {licence}" for licence in report["licences"])])


def failures_told(report: Mapping[str, Any], out: Path, work: Path) -> str | None:
    """What nobody had foreseen, for people; None where all went as it should."""
    rejected = [item for of_stage in report["stages"].values() for item in of_stage["rejected"].items()]
    failed = {reason: n for reason, n in rejected if reason.startswith(FAILED)}
    if not failed:
        return None
    told = "; ".join(f"{reason.removeprefix(FAILED)} ({n}x)" for reason, n in failed.items())
    where = f"{out / LEFT_OUT} names them, and {TRACEBACK} in the folder of each, in {work}, says where"
    return f"{sum(failed.values())} failed in a way that nobody foresaw: {told}; {where}; all others are in {out}"


def terms_told(recipe: PseudoLabelling) -> str:
    """The tools and models that take part, each with its terms, for people."""
    return "\n".join(
        f"{made.tool}{f' {made.model}' if made.model else ''}: {made.licence or 'terms not known'}"
        for made in tools_of(recipe)
    )

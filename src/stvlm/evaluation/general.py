"""Benchmarks beside STKit-Bench: tasks of lmms-eval, run by it, and questions from annotation files, asked here."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import yaml

from stvlm.evaluation.answering import fingerprint
from stvlm.evaluation.video_tasks import READERS
from stvlm.files import read_json, write_json
from stvlm.programs import first_line
from stvlm.records import DataError

RESULTS = "general.json"
RUN = "run.json"
LMMS_RESULTS = "*_results.json"


class Result(NamedTuple):
    """One score: a fraction of 1, of which version of the task, and the command that gave it."""

    task: str
    metric: str
    value: float
    version: str
    command: str


class LmmsTask(NamedTuple):
    """What lmms-eval calls a task's score, and what it counts a perfect one as."""

    metric: str
    full: float


class Plan(NamedTuple):
    """general.yaml."""

    max_frames: int
    lmms_eval: dict[str, LmmsTask]
    annotation_files: dict[str, str]


def read_plan(path: Path) -> Plan:
    """Raises DataError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        tasks = {name: LmmsTask(**task) for name, task in content["lmms_eval"].items()}
        plan = Plan(content["max_frames"], tasks, content["annotation_files"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: is no plan of benchmarks ({first_line(error)}); compare it with general.yaml"
        ) from error
    if unknown := set(plan.annotation_files) - set(READERS):
        raise DataError(f"{path}: {', '.join(sorted(unknown))}: no such annotation files; known: {', '.join(READERS)}")
    return plan


def evaluate_general(
    model: str, plan: Plan, tasks: list[str], sources: Mapping[str, Path], out: Path, limit: int | None = None
) -> list[Result]:
    """Runs what has no results in `out` yet; the results of all that has are written there as general.json.

    Raises DataError.
    """
    identity = {"model": fingerprint(model), "max_frames": plan.max_frames, "limit": limit}
    if (out / RUN).exists() and read_json(out / RUN) != identity:
        raise DataError(f"{out}: holds results of another model, number of frames or --limit; choose another --out")
    for task in tasks:
        folder = out / task
        if _is_done(folder, task, plan):
            continue
        if task in plan.lmms_eval:
            run_lmms_eval(model, task, plan.max_frames, folder, limit)
        else:
            read, videos = READERS[task](sources[task]), sources[task] / plan.annotation_files[task]
            from stvlm.evaluation.video_answers import ask  # torch, once it is known that there is something to ask

            ask(model, task, read, videos, plan.max_frames, folder, limit)
        write_json(out / RUN, identity)
    done = [task for task in (*plan.lmms_eval, *plan.annotation_files) if _is_done(out / task, task, plan)]
    results = [result for task in done for result in _results_of(out / task, task, plan)]
    write_json(out / RESULTS, [result._asdict() for result in results])
    return results


def _is_done(folder: Path, task: str, plan: Plan) -> bool:
    return (folder / (RUN if task in plan.lmms_eval else "results.json")).exists()


def _results_of(folder: Path, task: str, plan: Plan) -> list[Result]:
    if task in plan.lmms_eval:
        return [read_lmms_eval(folder, task, plan.lmms_eval[task])]
    found = read_json(folder / "results.json")
    return [
        Result(task, metric, value, f"stvlm {found['versions']['stvlm']}", found["command"])
        for metric, value in found["scores"].items()
        if not metric.endswith("_count")
    ]


def run_lmms_eval(model: str, task: str, max_frames: int, out: Path, limit: int | None) -> None:
    """A task of lmms-eval in a process of its own, its results under `out`. Raises DataError."""
    try:
        version = f"lmms-eval {metadata.version('lmms-eval')}"
    except metadata.PackageNotFoundError as error:
        raise DataError(f"{task}: is run by lmms-eval, which is not installed here: pip install lmms-eval") from error
    command = [sys.executable, "-m", "lmms_eval", "--model", "st_vlm"]
    command += ["--model_args", f"pretrained={model},max_frames={max_frames}", "--tasks", task]
    command += ["--output_path", str(out), "--log_samples"] + ([] if limit is None else ["--limit", str(limit)])
    if subprocess.run(command).returncode or not list(out.rglob(LMMS_RESULTS)):
        raise DataError(f"{task}: lmms-eval has no result, as it says above; it was run by {shlex.join(command)}")
    write_json(out / RUN, {"command": shlex.join(command), "version": version})


def read_lmms_eval(folder: Path, task: str, of: LmmsTask) -> Result:
    """The score in the latest results of lmms-eval in a folder; of a group of tasks the mean. Raises DataError."""
    run = read_json(folder / RUN)
    paths = sorted(folder.rglob(LMMS_RESULTS), key=lambda path: path.name)
    if not paths:
        raise DataError(f"{folder}: holds no results of lmms-eval; remove it to run {task} again")
    found = read_json(paths[-1])
    members = found.get("group_subtasks", {}).get(task) or [task]
    try:
        values = [float(found["results"][member][f"{of.metric},none"]) for member in members]
        version = f"{run['version']}, task version {found['versions'][members[0]]}"
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{paths[-1]}: has no {of.metric} of {task} ({error}); name the metric as lmms-eval does"
        ) from error
    return Result(task, of.metric, sum(values) / len(values) / of.full, version, run["command"])

"""What evaluate_model.py left in a folder, and the dataset's rows that it is about where these are at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stvlm.evaluation.dataset import Row, Split, load_split
from stvlm.evaluation.report import CONSTANT, NAMES, constant_answers
from stvlm.evaluation.responses import MODEL
from stvlm.files import read_json
from stvlm.records import DataError
from stvlm.scoring import Difference, score_all

PROGRAM = "evaluate_metric/evaluate_model.py"
RESULTS = "results.json"


class Answer(NamedTuple):
    """A response, what was read from it, and how that scores: as `Parsed` and `Outcome` of scoring."""

    id: str
    task: str
    response: str
    value: Any
    reason: str
    correct: bool
    error: float | None
    iou: float | None
    row: Row | None
    """What it answers; None where the dataset is not at hand."""


class Results(NamedTuple):
    """A results folder. Columns are the model, its controls, and the best constant answers."""

    folder: Path
    name: str
    dataset: Mapping[str, Any]
    """Path, config, split, fingerprint and number of rows."""
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]
    """By column, as `score_all` has them, with intervals."""
    differences: Mapping[str, Mapping[str, Difference]]
    """By task: the model's accuracy minus each other column's."""
    model: Mapping[str, Any]
    """Its path, fingerprint and backend."""

    @property
    def controls(self) -> list[str]:
        """The columns that show what the model knows without the clip: the least of it first, unknown ones last."""
        order = [name for name in NAMES if name in self.scores and name != CONSTANT]
        return [*order, *(name for name in self.scores if name not in (MODEL, CONSTANT, *order))]


Answers = Mapping[str, Sequence[Answer]]
"""By column."""


def read_results(folders: Sequence[Path]) -> list[Results]:
    """Results of one dataset, in these folders and those in them.

    Raises DataError, one line, for a folder that is missing or another's, and for results of different datasets.
    """
    found = [results for folder in folders for results in read_all(folder)]
    first = found[0]
    for i, other in enumerate(found[1:], start=1):
        if other.dataset["fingerprint"] != first.dataset["fingerprint"]:
            hashes = ", not ".join(r.dataset["fingerprint"][:12] for r in (other, first))
            raise DataError(
                f"{other.folder}: scored on another dataset, revision or limit than {first.folder} (fingerprint "
                f"{hashes}); compare results of one dataset, named one by one where a folder holds others"
            )
        if other.folder.resolve() in (before.folder.resolve() for before in found[:i]):
            raise DataError(f"{other.folder}: given twice; compare different results")
    return told_apart(found)


def read_all(folder: Path) -> list[Results]:
    """The results in a folder and in those in it, of any datasets. Raises DataError, one line, where there are none."""
    found = [_read(path) for path in files_named(RESULTS, folder)]
    if not found:
        what = f"holds no {RESULTS}" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {what}; give a folder that was --out of {PROGRAM}")
    return found


def files_named(name: str, folder: Path) -> list[Path]:
    """The file of this name in a folder, and those in its folders."""
    return [path for path in (folder / name, *sorted(folder.glob(f"*/{name}"))) if path.is_file()]


def told_apart(found: Sequence[Results]) -> list[Results]:
    """The same results, where names are equal with their folders' names."""
    names = [results.name for results in found]
    return [r._replace(name=f"{r.name} ({r.folder.name})") if names.count(r.name) > 1 else r for r in found]


def _read(path: Path) -> Results:
    content = read_json(path)
    try:
        dataset = {key: content["dataset"][key] for key in ("path", "config", "split", "fingerprint", "rows")}
        scores = {name: dict(of_column) for name, of_column in content["scores"].items()}
        model = dict(content["model"])
        name = Path(model["path"]).name
        differences = {
            task: {column: Difference(**found) for column, found in of_task.items()}
            for task, of_task in content["differences"].items()
        }
        settings, versions = dict(content["settings"]), dict(content["versions"])
        sound = "average_accuracy" in scores[MODEL] and CONSTANT in scores
    except (KeyError, TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise DataError(f"{path}: not what {PROGRAM} writes; give a folder that was its --out")
    return Results(path.parent, name, dataset, settings, versions, scores, differences, model)


def load_rows(results: Results, dataset: str | None) -> Split | None:
    """The rows that were asked, of the dataset given, else of the folder they were read from; None if that is gone.

    Raises DataError where they are others than those that were scored.
    """
    asked = results.dataset
    place = dataset or asked["path"]
    if dataset is None and not Path(place).is_dir():
        return None
    split = load_split(place, asked["split"], results.settings.get("limit"), asked["config"], needs_video=False)
    if split.fingerprint != asked["fingerprint"]:
        raise DataError(
            f"{place}: not as it was when {results.folder} was made (fingerprint {split.fingerprint[:12]}, not "
            f"{asked['fingerprint'][:12]}); give the dataset that was scored by --dataset"
        )
    return split


def read_answers(results: Results, rows: Sequence[Row] | None) -> dict[str, list[Answer]]:
    """The answers of the model and its controls, and with rows the best constant ones; raises DataError.

    They have to give the scores that results.json holds.
    """
    path = results.folder / "responses.jsonl"
    recorded: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in (MODEL, *results.controls)}
    for line in _lines(path):
        if line["control"] in recorded:
            recorded[line["control"]][line["id"]] = line  # what was asked last of a row is what was scored
    if rows is None:
        answers = {name: [_as_recorded(line) for line in lines.values()] for name, lines in recorded.items()}
    else:
        responses = {name: _responses(path, lines, rows) for name, lines in recorded.items()}
        responses[CONSTANT] = constant_answers(rows)
        answers = {name: score_answers(texts, rows) for name, texts in responses.items()}
    for name, of_column in answers.items():
        _check_same_scores(path, of_column, results.scores[name])
    return answers


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of responses.jsonl; a last one that was cut off is left out."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run {PROGRAM} again") from error
    for number, text in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            line = json.loads(text)
            _as_recorded(line), line["control"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: line {number} is no response; remove the line or the file") from error
        yield line


def _as_recorded(line: Mapping[str, Any]) -> Answer:
    value, score = line["parsed"]["value"], line["score"]
    return Answer(
        line["id"], line["task"], line["response"], tuple(value) if isinstance(value, list) else value,
        line["parsed"]["reason"], score["correct"], score["error"], score["iou"], None,
    )  # fmt: skip


def _responses(path: Path, lines: Mapping[str, Mapping[str, Any]], rows: Sequence[Row]) -> list[str]:
    missing = sum(row["id"] not in lines for row in rows)
    if missing:
        raise DataError(f"{path}: lacks {missing} of {len(rows)} answers that were scored; run {PROGRAM} again")
    return [lines[row["id"]]["response"] for row in rows]


def score_answers(texts: Sequence[str], rows: Sequence[Row]) -> list[Answer]:
    """What is read from the answers to some rows, and how that scores."""
    scored = score_all(texts, rows, per_sample=True)["per_sample"]
    return [
        Answer(
            row["id"], row["task"], text, item["value"], item["reason"], item["correct"], item["error"], item["iou"],
            row,
        )
        for text, row, item in zip(texts, rows, scored, strict=True)
    ]  # fmt: skip


def _check_same_scores(path: Path, answers: Sequence[Answer], scores: Mapping[str, float]) -> None:
    of_task: dict[str, list[bool]] = {}
    for answer in answers:
        of_task.setdefault(answer.task, []).append(answer.correct)
    for task, correct in of_task.items():
        wanted = (scores.get(f"{task}_count"), scores.get(f"{task}_accuracy"))
        if wanted[0] != len(correct) or abs((wanted[1] or 0.0) - sum(correct) / len(correct)) > 1e-9:
            raise DataError(
                f"{path}: does not give the {task} scores in results.json (other answers, or another version scored "
                f"them); run {PROGRAM} again, which asks only what is missing, and give the dataset by --dataset"
            )

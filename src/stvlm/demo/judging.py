"""Answers that somebody pastes: what is read from each, and how all of them score."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stvlm.evaluation.dataset import Row
from stvlm.evaluation.results import read_all
from stvlm.evaluation.tables import as_html, main_table
from stvlm.records import DataError
from stvlm.scoring import best_constant, score_all

MOST_LETTERS, MOST_ANSWERS = 2_000_000, 5_000
CONFIDENCE = 0.95
A_TASK = 4
"""So many answers of each are there to begin with."""
_KEPT = ("task", "target", "choices", "question", "clip_id")


class Scored(NamedTuple):
    """Answers, the rows they are answers to, and what `score_all` makes of them."""

    predictions: list[str]
    rows: Sequence[Mapping[str, Any]]
    scores: dict[str, Any]


def score_text(text: str, known: Mapping[str, Row]) -> Scored:
    """Scores JSON lines, or a table with headings, of answers.

    Each has a `prediction`, and `task`, `target`, for comparisons `choices`, and maybe `question` and `clip_id`; or the
    `id` of a row that is known, from which these are taken. Raises DataError that names the line.
    """
    if len(text) > MOST_LETTERS:
        raise DataError(f"That is more than {MOST_LETTERS:,} letters. Score such amounts with evaluate_model.py.")
    given = _lines(text.strip().removeprefix(codecs.BOM_UTF8.decode()))  # as spreadsheets put before a table
    if not given:
        raise DataError("Paste answers first: a line of JSON for each, or a table with headings.")
    if len(given) > MOST_ANSWERS:
        raise DataError(f"That is more than {MOST_ANSWERS:,} answers. Score such amounts with evaluate_model.py.")
    rows, predictions = [], []
    for number, line in enumerate(given, 1):
        prediction = line.get("prediction", line.get("response"))
        if not isinstance(prediction, str):
            raise DataError(f"Answer {number} has no 'prediction'. It is a line of JSON, or of a table with headings.")
        row: Mapping[str, Any] = line
        if "target" not in line:
            if not isinstance(line.get("id"), str) or line["id"] not in known:
                given_id = f"; {line['id']!r} is none" if "id" in line else ""
                raise DataError(
                    f"Answer {number} has neither a 'target' nor the 'id' of a row of this dataset{given_id}."
                )
            row = known[line["id"]]
        rows.append({key: row[key] for key in _KEPT if key in row})
        predictions.append(prediction)
    try:
        scores = score_all(predictions, rows, confidence=CONFIDENCE, per_sample=True, floors=True)
    except ValueError as error:
        words = re.sub(r"references\[(\d+)\]", lambda found: f"answer {int(found[1]) + 1}", str(error))
        raise DataError(f"{words[0].upper()}{words[1:]}.") from error
    return Scored(predictions, rows, scores)


def _lines(text: str) -> list[dict[str, Any]]:
    if text.startswith("{"):
        return [_object(line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not text:
        return []
    first = text.splitlines()[0]
    try:
        table = csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in first else ",", strict=True)
        lines: list[dict[str, Any]] = [dict(line) for line in table]
    except csv.Error as error:
        raise DataError(f"This is no table of answers: {error}.") from error
    for line in lines:
        line["choices"] = [choice.strip() for choice in (line.get("choices") or "").split(",") if choice.strip()]
        if not line.get("target"):
            line.pop("target", None)
    return lines


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"Line {number} is no JSON.") from None
    if not isinstance(value, dict):
        raise DataError(f"Line {number} is no JSON object.")
    return value


def sample(rows: Sequence[Row]) -> str:
    """Answers to paste: to a few rows of each task, every second one a guess."""
    if not rows:
        return ""
    of_task: dict[str, list[Row]] = {}
    for row in rows:
        of_task.setdefault(row["task"], []).append(row)
    constants = best_constant(list(rows))
    lines = []
    for task, of in sorted(of_task.items()):
        for i, row in enumerate(of[:A_TASK]):
            said = f"I would say {constants[task].target}." if i % 2 else row["answer"]
            lines.append(json.dumps({"id": row["id"], "prediction": said}))
    return "\n".join(lines)


def leaderboard(results: Path | None) -> str:
    """The paper's table, and under it what is in a folder of results."""
    return as_html(main_table(read_all(results) if results else [], None))

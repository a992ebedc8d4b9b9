"""A model and a dataset -> responses and results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from stvlm.evaluation import responses
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.report import as_table, as_verdicts, compare, method, score_columns
from stvlm.evaluation.responses import MODEL
from stvlm.evaluation.versions import versions
from stvlm.files import read_json, write_json
from stvlm.records import DataError

RUN = "run.json"
"""Beside the responses: who gave them."""


class Settings(NamedTuple):
    """What is asked, of whom."""

    model: str
    dataset: str
    split: str
    controls: tuple[str, ...]
    limit: int | None
    batch_size: int
    max_new_tokens: int


def evaluate(settings: Settings, out: Path) -> str:
    """Answers what is missing in `out`, writes results.json there, and returns what is to be read on a screen.

    Raises DataError, one line, for missing data and for an `out` with another model's responses.
    """
    from stvlm.evaluation.answering import Answerer, Asked, answer_all, fingerprint

    split = load_split(settings.dataset, settings.split, settings.limit)
    identity = {"model": fingerprint(settings.model), "max_new_tokens": settings.max_new_tokens}
    _check_unclaimed(out, identity)
    place = out / "responses.jsonl"
    found = responses.read(place)
    columns = (MODEL, *settings.controls)
    missing = [
        Asked(row, control) for row in split.rows for control in columns if responses.key_of(row, control) not in found
    ]
    if missing:
        answerer = Answerer(settings.model, settings.max_new_tokens)
        write_json(out / RUN, identity)
        with tqdm(total=len(missing), unit="answer", desc="answering") as bar:
            for answered in answer_all(answerer, missing, settings.batch_size):
                responses.append(place, (responses.as_line(item.row, item.control, text) for item, text in answered))
                found |= {responses.key_of(item.row, item.control): text for item, text in answered}
                bar.update(len(answered))
    answers = {c: [found[responses.key_of(row, c)] for row in split.rows] for c in columns}
    return _report(settings, split.rows, split.fingerprint, answers, identity, out)


def _check_unclaimed(out: Path, identity: dict[str, Any]) -> None:
    """Raises where `out` holds what another model answered."""
    if (out / RUN).exists() and read_json(out / RUN) != identity:
        raise DataError(f"{out}: holds responses of another model or length; choose another --out")


def _report(
    settings: Settings,
    rows: Sequence[dict[str, Any]],
    dataset_fingerprint: str,
    answers: dict[str, list[str]],
    identity: dict[str, Any],
    out: Path,
) -> str:
    scores = score_columns(rows, answers)
    differences = compare(rows, scores, MODEL)
    plain = {name: {k: v for k, v in s.items() if k != "per_sample"} for name, s in scores.items()}
    results = {
        "model": {"path": settings.model, "fingerprint": identity["model"]},
        "dataset": {
            "path": settings.dataset,
            "split": settings.split,
            "fingerprint": dataset_fingerprint,
            "rows": len(rows),
        },
        "settings": settings._asdict(),
        "scores": plain,
        "differences": {task: {name: d._asdict() for name, d in of.items()} for task, of in differences.items()},
        "versions": versions(),
    }
    write_json(out / "results.json", results)
    return "\n".join(
        [
            as_table(scores, MODEL, Path(settings.model).name),
            "",
            as_verdicts(differences, scores, MODEL),
            "",
            method(len({row["clip_id"] for row in rows})),
        ]
    )

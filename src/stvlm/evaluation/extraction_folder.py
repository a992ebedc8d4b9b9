"""A results folder, read by a chat model beside the rules."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stvlm.chat_api import Endpoint
from stvlm.evaluation import responses
from stvlm.evaluation.agreement import Reading, as_agreement, as_disagreements, as_failures, as_scores, count_kinds
from stvlm.evaluation.dataset import Row, load_split
from stvlm.evaluation.extraction import NONE, UNREADABLE, extract, prompt
from stvlm.evaluation.responses import MODEL, Key
from stvlm.files import locked, read_json, whole_file, write_json
from stvlm.hashing import stable_hash
from stvlm.records import DataError
from stvlm.scoring import score_all

PROGRAM = "evaluate_metric/evaluate_model.py"


def extract_results(folder: Path, endpoint: Endpoint, dataset: str | None = None) -> str:
    """Has a chat model read a folder's responses, writes extraction.json and extracted.jsonl there, and says what came.

    Args:
        folder: that evaluate_model.py wrote. What the chat model replies is kept there and not asked for again.
        endpoint: whom to ask.
        dataset: where the dataset lies now, if not where the results say.

    Raises DataError, one line, for a folder or dataset that is not what was scored, and where nothing is answered.
    """
    results = _read_results(folder)
    with locked(folder / "lock"):
        rows, texts = _read_responses(folder, results["settings"], dataset)
        rules = score_all(texts, rows, confidence=0.95, per_sample=True)
        _check_as_scored(folder, rules, results["scores"][MODEL])
        extractions = extract(endpoint, rows, texts, folder / "extraction_replies")
        # A bare number is read in the unit that a question asks for; an extracted one is converted already.
        unasked = [{**row, "question": ""} for row in rows]
        llm = score_all([extraction.answer for extraction in extractions], unasked, confidence=0.95, per_sample=True)
        by_rules, by_llm = rules.pop("per_sample"), llm.pop("per_sample")
        readings = [Reading(*item) for item in zip(rows, texts, extractions, by_rules, by_llm, strict=True)]
        counts = count_kinds(readings)
        with whole_file(folder / "extracted.jsonl") as temporary:
            temporary.write_text("".join(map(_as_line, readings)), encoding="utf-8")
        unreadable = sum(extraction.failure == UNREADABLE for extraction in extractions)
        content = {
            "extractor": {"model": endpoint.model, "endpoint": endpoint.base_url, "prompt": stable_hash(prompt())},
            "dataset": results["dataset"],
            "responses": len(readings),
            "unreadable": unreadable,
            "no_reply": counts["all"]["no extraction"] - unreadable,
            "scores": {"rules": rules, "llm": llm},
            "agreement": counts,
        }
        write_json(folder / "extraction.json", content)
    return "\n\n".join(
        [
            as_scores(rules, llm, endpoint.model),
            as_agreement(counts),
            *as_failures(readings),
            *as_disagreements(readings, folder / "extracted.jsonl"),
        ]
    )


def _read_results(folder: Path) -> Mapping[str, Any]:
    path = folder / "results.json"
    if not path.is_file():
        what = "holds no results.json" if folder.is_dir() else "no such folder"
        raise DataError(f"{folder}: {what}; give a folder that was --out of {PROGRAM}")
    results: Mapping[str, Any] = read_json(path)
    try:
        settings, _ = results["settings"], results["scores"][MODEL]["average_accuracy"]
        settings["dataset"], settings["split"], settings["limit"], settings["config"], results["dataset"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not what {PROGRAM} writes; give a folder that was its --out") from error
    return results


def _read_responses(folder: Path, settings: Mapping[str, Any], dataset: str | None) -> tuple[list[Row], list[str]]:
    """The rows that were scored, and the model's responses to them; those of its controls are left aside."""
    place = dataset or settings["dataset"]
    split = load_split(place, settings["split"], settings["limit"], settings["config"], with_video=False)
    found = responses.read(folder / "responses.jsonl")
    keys = [Key(row["id"], MODEL) for row in split.rows]
    if missing := sum(key not in found for key in keys):
        raise DataError(
            f"{folder}: has no response to {missing} of {len(keys)} questions of {place}; run {PROGRAM} to its end, or "
            "give the dataset that was scored by --dataset"
        )
    return list(split.rows), [found[key].text for key in keys]


def _check_as_scored(folder: Path, scores: Mapping[str, Any], scored: Mapping[str, Any]) -> None:
    """Raises where the responses do not give the scores that were written with them."""
    for key, value in scores.items():
        if key.endswith(("_accuracy", "_count")) and not math.isclose(value, scored.get(key, -1.0), abs_tol=1e-9):
            raise DataError(
                f"{folder}: its responses do not give the {key} in results.json; run {PROGRAM} again, which asks only "
                "what is missing and scores anew, or give the dataset that was scored by --dataset"
            )


def _as_line(reading: Reading) -> str:
    read = ("value", "reason", "correct")
    line = {
        "id": reading.row["id"],
        "task": reading.row["task"],
        "response": reading.response,
        "reply": reading.extraction.reply,
        "extracted": None if reading.extraction.failure else reading.extraction.answer or NONE,
        "rules": {key: reading.rules[key] for key in read},
        "llm": {key: reading.llm[key] for key in read} | {"reason": reading.llm_reason},
        "agreement": reading.kind,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"

"""A results folder, read by a chat model beside the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stvlm.chat_api import Endpoint
from stvlm.evaluation.agreement import Reading, as_agreement, as_disagreements, as_failures, as_scores, count_kinds
from stvlm.evaluation.extraction import NONE, UNREADABLE, extract, prompt
from stvlm.evaluation.responses import MODEL
from stvlm.evaluation.results import Answer, load_rows, read_answers, read_results, score_answers
from stvlm.files import locked, write_json, write_text
from stvlm.hashing import stable_hash
from stvlm.records import DataError
from stvlm.scoring import score_all


def extract_results(folder: Path, endpoint: Endpoint, dataset: str | None = None) -> str:
    """Has a chat model read a folder's responses, writes extraction.json and extracted.jsonl there, and says what came.

    Args:
        folder: that evaluate_model.py wrote. What the chat model replies is kept there and not asked for again.
        endpoint: whom to ask.
        dataset: where the dataset lies now, if not where the results say.

    Raises DataError, one line, for a folder or dataset that is not what was scored, and where nothing is answered.
    """
    (results,) = read_results([folder])
    told = results.dataset
    with locked(folder / "lock"):
        split = load_rows(results, dataset)
        if split is None:
            raise DataError(f"{told['path']}: is not here; give the dataset that was scored by --dataset")
        by_rules = read_answers(results, split.rows)[MODEL]
        replies = folder / "extraction_replies"
        extractions = extract(endpoint, split.rows, [answer.response for answer in by_rules], replies)
        # A bare number is read in the unit that a question asks for; an extracted one is converted already.
        unasked = [{**row, "question": ""} for row in split.rows]
        extracted = [extraction.answer for extraction in extractions]
        by_llm, llm = score_answers(extracted, unasked), score_all(extracted, unasked, confidence=0.95)
        readings = [Reading(*item) for item in zip(split.rows, extractions, by_rules, by_llm, strict=True)]
        counts = count_kinds(readings)
        write_text(folder / "extracted.jsonl", "".join(map(_as_line, readings)))
        unreadable = sum(extraction.failure == UNREADABLE for extraction in extractions)
        content = {
            "extractor": {"model": endpoint.model, "endpoint": endpoint.base_url, "prompt": stable_hash(prompt())},
            "dataset": told,
            "responses": len(readings),
            "unreadable": unreadable,
            "no_reply": counts["all"]["no extraction"] - unreadable,
            "scores": {"rules": results.scores[MODEL], "llm": llm},
            "agreement": counts,
        }
        write_json(folder / "extraction.json", content)
    return "\n\n".join(
        [
            as_scores(results.scores[MODEL], llm, endpoint.model),
            as_agreement(counts),
            *as_failures(readings),
            *as_disagreements(readings, folder / "extracted.jsonl"),
        ]
    )


def _as_line(reading: Reading) -> str:
    line = {
        "id": reading.row["id"],
        "task": reading.row["task"],
        "response": reading.rules.response,
        "reply": reading.extraction.reply,
        "extracted": None if reading.extraction.failure else reading.extraction.answer or NONE,
        "rules": _read_and_scored(reading.rules),
        "llm": _read_and_scored(reading.llm) | {"reason": reading.llm_reason},
        "agreement": reading.kind,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def _read_and_scored(answer: Answer) -> dict[str, Any]:
    return {"value": answer.value, "reason": answer.reason, "correct": answer.correct}

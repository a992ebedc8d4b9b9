"""How far a chat model and the rules of stvlm.scoring read the same from the responses of a results folder."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stvlm.chat_api import Endpoint
from stvlm.evaluation import responses
from stvlm.evaluation.dataset import Row, load_split
from stvlm.evaluation.extraction import NONE, UNREADABLE, Extraction, extract, prompt
from stvlm.evaluation.report import COLUMNS
from stvlm.evaluation.responses import MODEL, Key
from stvlm.files import locked, read_json, whole_file, write_json
from stvlm.hashing import stable_hash
from stvlm.records import DataError
from stvlm.scoring import MULTISTEP, TASKS, Value, score_all

PROGRAM = "evaluate_metric/evaluate_model.py"
KINDS = ("equal", "different", "only rules", "only LLM", "neither", "no extraction")
"""Both read an answer, the same or not; one alone does; neither does; or it is not known what the LLM reads."""
CLOSE = 0.01
"""Numbers this close, as a share, are one: a chat model rounds what it converts. So are numbers 0.01 apart."""
MOST_SHOWN = 20


class Reading(NamedTuple):
    """A response, and what the rules and the chat model read from it: dicts of value, reason and correct."""

    row: Row
    response: str
    extraction: Extraction
    rules: Mapping[str, Any]
    llm: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """One of KINDS."""
        if self.extraction.failure:
            return "no extraction"
        rules, llm = self.rules["value"], self.llm["value"]
        if rules is None or llm is None:
            return "neither" if rules is llm else "only LLM" if rules is None else "only rules"
        return "equal" if is_equal(rules, llm) else "different"


def is_equal(a: Value, b: Value) -> bool:
    """Whether two values say the same, as far as rounding lets them; both ends of an interval have to."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return all(map(is_equal, a, b))
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)
    return a == b


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
            *_as_failures(readings),
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


def count_kinds(readings: Sequence[Reading]) -> dict[str, dict[str, int]]:
    """How many responses there are of each of KINDS: of every task present, and of all."""
    counts = Counter((reading.row["task"], reading.kind) for reading in readings)
    tasks = {task for task, _ in counts}
    of_tasks = {task: {kind: counts[task, kind] for kind in KINDS} for task in (*TASKS, *MULTISTEP) if task in tasks}
    return of_tasks | {"all": {kind: sum(of_task[kind] for of_task in of_tasks.values()) for kind in KINDS}}


def _as_line(reading: Reading) -> str:
    line = {
        "id": reading.row["id"],
        "task": reading.row["task"],
        "response": reading.response,
        "reply": reading.extraction.reply,
        "extracted": None if reading.extraction.failure else reading.extraction.answer or NONE,
        "rules": _told(reading.rules),
        "llm": _told(reading.llm) | {"reason": _reason(reading)},
        "agreement": reading.kind,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def _told(read: Mapping[str, Any]) -> dict[str, Any]:
    return {key: read[key] for key in ("value", "reason", "correct")}


def _reason(reading: Reading) -> str:
    """Why the chat model has read nothing."""
    if reading.llm["value"] is not None:
        return ""
    return reading.extraction.failure or "no answer"


def as_scores(rules: Mapping[str, Any], llm: Mapping[str, Any], model: str) -> str:
    """The paper's columns, one below the other, as the rules and as the chat model read the same responses."""
    name = Path(model).name
    width = max(26, len(name) + 2)
    lines = [f"{'':<10}{'rules':>26}{name:>{width}}"]
    for heading, key, factor in (*COLUMNS, ("Parsed", "parse_rate", 100)):
        if key in rules or key in llm:
            cells = (_with_interval(scores, key, factor) for scores in (rules, llm))
            lines.append(f"{heading:<10}{next(cells):>26}{next(cells):>{width}}")
    return "\n".join([*lines, "Accuracies in %; in brackets 95 % intervals over clips."])


def _with_interval(scores: Mapping[str, Any], key: str, factor: int) -> str:
    if key not in scores:
        return "-"
    decimals = 2 if key.endswith("_iou") else 1
    told = f"{factor * scores[key]:.{decimals}f}"
    if f"{key}_low" not in scores:
        return told
    low, high = (factor * scores[f"{key}_{end}"] for end in ("low", "high"))
    return f"{told} ({low:.{decimals}f} to {high:.{decimals}f})"


def as_agreement(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A line a task: the share of equal readings, and how many of each kind there are."""
    lines = [f"{'':<31}{'agree':>7}" + "".join(f"{kind:>15}" for kind in KINDS)]
    for task, of_task in counts.items():
        agree = (of_task["equal"] + of_task["neither"]) / sum(of_task.values())
        lines.append(f"{task:<31}{100 * agree:>6.1f}%" + "".join(f"{of_task[kind]:>15}" for kind in KINDS))
    return "\n".join(lines)


def _as_failures(readings: Sequence[Reading]) -> list[str]:
    """What is to be said of replies that did not come or cannot be read; nothing where there are none."""
    failures = [reading.extraction.failure for reading in readings if reading.extraction.failure]
    missing = [failure for failure in failures if failure != UNREADABLE]
    lines = []
    if len(failures) > len(missing):
        lines.append(
            f"{len(failures) - len(missing)} replies are not in the form that was asked for: counted as not read."
        )
    if missing:
        lines.append(
            f"{len(missing)} responses have no reply, the first, {missing[0]}: counted as not read; run this again to "
            "ask these again."
        )
    return ["\n".join(lines)] if lines else []


def as_disagreements(readings: Sequence[Reading], place: Path) -> list[str]:
    """Up to MOST_SHOWN responses that are read in two ways: first those of which one reading is right."""
    found = [reading for reading in readings if reading.kind in ("different", "only rules", "only LLM")]
    if not found:
        return []
    # Then by id: ids are hashes, so that these are no selection.
    found.sort(key=lambda reading: (reading.rules["correct"] == reading.llm["correct"], reading.row["id"]))
    shown = found[:MOST_SHOWN]
    count = f"{len(shown)} of {len(found)}; all are in {place}" if len(found) > len(shown) else str(len(found))
    return [f"Read in two ways: {count}", *map(_as_disagreement, shown)]


def _as_disagreement(reading: Reading) -> str:
    row = reading.row
    return "\n".join(
        [
            f"{row['id']}  {row['task']}, true: {row['target']}",
            f"  question  {row['question']}",
            f"  response  {json.dumps(_shortened(reading.response), ensure_ascii=False)}",
            f"  rules     {_told_shortly(reading.rules, reading.rules['reason'])}",
            f"  LLM       {_told_shortly(reading.llm, _reason(reading))}",
        ]
    )


def _shortened(text: str) -> str:
    """The beginning, and the end, where answers are."""
    return text if len(text) <= 400 else f"{text[:150]} [...] {text[-250:]}"


def _told_shortly(read: Mapping[str, Any], reason: str) -> str:
    value = read["value"]
    if value is None:
        return f"nothing: {reason}"
    told = "-".join(f"{end:g}" for end in value) if isinstance(value, tuple) else f"{value}"
    return f"{told}, {'right' if read['correct'] else 'wrong'}"

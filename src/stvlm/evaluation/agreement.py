"""How far a chat model and the rules of stvlm.scoring read the same from responses."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stvlm.evaluation.extraction import UNREADABLE, Extraction, Row
from stvlm.evaluation.report import columns_of
from stvlm.evaluation.results import Answer
from stvlm.scoring import MULTISTEP, TASKS, Value

KINDS = ("equal", "different", "only rules", "only LLM", "neither", "no extraction")
"""Both read an answer, the same or not; one alone does; neither does; or it is not known what the LLM reads."""
CLOSE = 0.01
"""Numbers this close, as a share, are one: a chat model rounds what it converts. So are numbers 0.01 apart."""
MOST_SHOWN = 20


class Reading(NamedTuple):
    """What the rules and a chat model read from a response to a row, and how either scores."""

    row: Row
    extraction: Extraction
    rules: Answer
    llm: Answer

    @property
    def kind(self) -> str:
        """One of KINDS."""
        if self.extraction.failure:
            return "no extraction"
        rules, llm = self.rules.value, self.llm.value
        if rules is None or llm is None:
            return "neither" if rules is llm else "only LLM" if rules is None else "only rules"
        return "equal" if is_equal(rules, llm) else "different"

    @property
    def llm_reason(self) -> str:
        """Why the chat model has read nothing; empty where it has."""
        return "" if self.llm.value is not None else self.extraction.failure or "no answer"


def is_equal(a: Value, b: Value) -> bool:
    """Whether two values say the same, as far as rounding lets them; both ends of an interval have to."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return all(map(is_equal, a, b))
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)
    return a == b


def count_kinds(readings: Sequence[Reading]) -> dict[str, dict[str, int]]:
    """How many responses there are of each of KINDS: of every task present, and of all."""
    counts = Counter((reading.row["task"], reading.kind) for reading in readings)
    tasks = {task for task, _ in counts}
    of_tasks = {task: {kind: counts[task, kind] for kind in KINDS} for task in (*TASKS, *MULTISTEP) if task in tasks}
    return of_tasks | {"all": {kind: sum(of_task[kind] for of_task in of_tasks.values()) for kind in KINDS}}


def as_scores(rules: Mapping[str, Any], llm: Mapping[str, Any], model: str) -> str:
    """The paper's columns, one below the other, as the rules and as the chat model read the same responses."""
    name = Path(model).name
    width = max(26, len(name) + 2)
    lines = [f"{'':<10}{'rules':>26}{name:>{width}}"]
    for heading, key, factor in (*columns_of(rules), ("Parsed", "parse_rate", 100)):
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
    """A line a task: how often both read the same, where both readings are known, and how many are of each kind."""
    lines = [f"{'':<31}{'agree':>7}" + "".join(f"{kind:>15}" for kind in KINDS)]
    for task, of_task in counts.items():
        known = sum(of_task.values()) - of_task["no extraction"]
        agree = f"{100 * (of_task['equal'] + of_task['neither']) / known:.1f}%" if known else "-"
        lines.append(f"{task:<31}{agree:>7}" + "".join(f"{of_task[kind]:>15}" for kind in KINDS))
    return "\n".join(lines)


def as_failures(readings: Sequence[Reading]) -> list[str]:
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
    """Up to MOST_SHOWN responses that are read in two ways: first those of which one reading alone is right."""
    found = [reading for reading in readings if reading.kind in ("different", "only rules", "only LLM")]
    if not found:
        return []
    # Then by id: ids are hashes, so that these are no selection.
    found.sort(key=lambda reading: (reading.rules.correct == reading.llm.correct, reading.row["id"]))
    shown: dict[tuple[str, str], Reading] = {}
    for reading in found:  # a model may give one answer to many clips
        shown.setdefault((reading.row["question"], reading.rules.response), reading)
    head = f"Read in two ways: {len(found)} responses, all in {place}; the first of them, each once:"
    return [head, *map(_as_disagreement, list(shown.values())[:MOST_SHOWN])]


def _as_disagreement(reading: Reading) -> str:
    row = reading.row
    return "\n".join(
        [
            f"{row['id']}  {row['task']}, true: {row['target']}",
            f"  question  {row['question']}",
            f"  response  {json.dumps(_shortened(reading.rules.response), ensure_ascii=False)}",
            f"  rules     {_told_shortly(reading.rules, reading.rules.reason)}",
            f"  LLM       {_told_shortly(reading.llm, reading.llm_reason)}",
        ]
    )


def _shortened(text: str) -> str:
    """The beginning, and the end, where answers are."""
    return text if len(text) <= 400 else f"{text[:150]} [...] {text[-250:]}"


def _told_shortly(answer: Answer, reason: str) -> str:
    value = answer.value
    if value is None:
        return f"nothing: {reason}"
    told = "-".join(f"{end:g}" for end in value) if isinstance(value, tuple) else f"{value}"
    return f"{told}, {'right' if answer.correct else 'wrong'}"

"""Wordings that are not the library's own: written by a chat model, read from a file.

A chat model is given wordings with their placeholders, never filled-in questions, and before a dataset is built: so its
words can be read and cited, and the same build gives the same rows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tqdm import tqdm

from stvlm.chat_api import Endpoint, Messages, complete
from stvlm.hashing import stable_hash
from stvlm.questions.templates import ASKED_FOR, Wording, held_out_spans, wordings
from stvlm.questions.wording_checks import OF_TWO, placeholders, plain, task_of, why_not
from stvlm.recipes import from_mapping, nearest, read_yaml
from stvlm.records import DataError, Task
from stvlm.scoring import COMPARISONS, TASKS

STANDS_FOR = {
    "a": "the object in the red bounding box",
    "b": "the object in the blue bounding box",
    "hour": "a number from 1 to 12",
    "object": "the object in the red bounding box",
    "objects": "the object in the red bounding box and the object in the blue bounding box",
    "span": "over the course of the clip",
}
"""What placeholders of a question are filled with, as those are told who write."""


class Written(NamedTuple):
    """What a chat model wrote."""

    accepted: list[tuple[Wording, str]]  # with the name of each one's span, or ""
    refused: Counter[str]  # by reason


def write_wordings(endpoint: Endpoint, per_wording: int, replies: Path) -> Written:
    """Asks for other words for the question of every wording of templates.yaml; its answer stays.

    Where the wording has a span, it gets one of the held-out ones. `replies` keeps what was answered. Raises DataError.
    """
    originals = [wording for of_task in wordings().values() for wording in of_task]
    requests = [request(wording, per_wording) for wording in originals]
    arriving = complete(endpoint, requests, replies)
    reply_to = dict(tqdm(arriving, "asking", len(requests), unit="wording", leave=False, disable=None))
    accepted: list[tuple[Wording, str]] = []
    refused: Counter[str] = Counter()
    there: set[str] = set()
    spans = cycle(held_out_spans())
    for index, original in enumerate(originals):
        reply, kept = reply_to[index], 0
        if reply.text is None:
            refused[f"no reply: {reply.failure}"] += 1
            continue
        for question in questions_in(reply.text):
            span = next(spans) if original.whole else ""
            words: Mapping[str, Any] = held_out_spans()[span] if span else {}
            wording = replace(original, question=question, **words)
            if placeholders(question) != placeholders(original.question):
                refused["other placeholders"] += 1
            elif reason := why_not(wording):
                refused[reason] += 1
            elif plain(question) in there:
                refused["is there already"] += 1
            elif kept == per_wording:
                refused["more than were asked for"] += 1
            else:
                there.add(plain(question))
                accepted.append((wording, span))
                kept += 1
    return Written(accepted, refused)


def request(wording: Wording, count: int) -> Messages:
    """Asks for other words for one wording."""
    names = placeholders(wording.question)
    lines = [f"Rewrite this question in {count} different ways, each of which asks for exactly the same:"]
    lines += ["", wording.question, ""]
    lines += [f'{{{name}}} stands for words such as "{STANDS_FOR[name]}".' for name in names]
    lines += ["Keep each of these as it is, in its braces, once."] if names else []
    lines += ["Yes and no have to mean what they mean now."] if wording.is_yes_no else []
    lines += ["Do not negate. Write one question a line, and nothing else."]
    return [{"role": "user", "content": "\n".join(lines)}]


def questions_in(reply: str) -> list[str]:
    """The lines of a reply, after its reasoning, without the marks of a list and quotation marks."""
    lines = reply.rpartition("</think>")[2].partition("<think>")[0].splitlines()
    bare = (re.sub(r"^\s*(?:\d+[.):]|[-*•])\s+", "", line).strip(" \t\"'`“”") for line in lines)
    return [" ".join(line.split()) for line in bare if line]


def as_text(written: Written, written_by: str) -> str:
    """A file that `read_wordings` reads, in the form of templates_held_out.yaml."""
    lines = [f"# Wordings by {written_by}, for the variant `paraphrased`. Read them; remove what you would not ask."]
    lines += [f"# Refused: {count} x {reason}" for reason, count in written.refused.most_common()]
    lines += ["", "spans:", *(f"  {name}: {_in_one_line(words)}" for name, words in held_out_spans().items())]
    for task in TASKS:
        entries = [(wording, span) for wording, span in written.accepted if task_of(wording) == task]
        lines += ["", f"{task}:"] if entries else []
        for wording, span in entries:
            values = {"polarity": wording.polarity, "span": span}
            values |= {name: getattr(wording, name) for name in ("question", "answer", "affirm", "deny", "objects")}
            lines.append(f"  - {_in_one_line({name: value for name, value in values.items() if value})}")
    return "\n".join(lines) + "\n"


def _in_one_line(values: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(dict(values), default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.strip()


def read_wordings(path: Path) -> dict[Task, tuple[Wording, ...]]:
    """The wordings of a file, by task; their template_id names a hash of all that it says.

    Raises DataError, which names the wording, for one that cannot be asked in.
    """
    data = read_yaml(path, "wordings")
    if not isinstance(data, Mapping):
        raise DataError(f"{path}: expected tasks with their wordings, got {type(data).__name__}")
    name = f"wordings-{stable_hash(json.dumps(data, sort_keys=True, default=str))[:8]}"
    read: dict[Task, tuple[Wording, ...]] = {}
    for task, entries in data.items():
        if task == "spans":
            continue
        if task not in TASKS:
            raise DataError(f"{path}: unknown task {task!r}{nearest(task, TASKS)}")
        if not isinstance(entries, list):
            raise DataError(f"{path}: {task}: expected a list of wordings, got {type(entries).__name__}")
        read[task] = tuple(
            _wording(entry, data.get("spans"), f"{task}/{name}-{i}", f"{path}: {task}: wording {i}")
            for i, entry in enumerate(entries, start=1)
        )
    if not any(read.values()):
        raise DataError(f"{path}: holds no wording")
    return read


def _wording(entry: Any, spans: Any, template_id: str, where: str) -> Wording:
    if not isinstance(entry, Mapping):
        raise DataError(f"{where}: expected keys and values, got {entry!r}")
    values = {key: value for key, value in entry.items() if key != "span"}
    if "span" in entry:
        known, name = spans if isinstance(spans, Mapping) else {}, str(entry["span"])
        if not isinstance(known.get(name), Mapping):
            raise DataError(f"{where}: unknown span {name!r}{nearest(name, known)}")
        values |= known[name]
    wording = from_mapping(Wording, {"template_id": template_id, **values}, where)
    if reason := why_not(wording):
        raise DataError(f"{where}: {reason}: {wording.question!r}; correct or remove it")
    return wording


def missing_kinds(of_task: Mapping[Task, Sequence[Wording]]) -> list[str]:
    """The kinds of question for which there is no wording: these have no paraphrase."""
    missing = []
    for task in wordings():
        counts = (2, 3) if task in OF_TWO else (2,) if task in COMPARISONS else (1,)
        for polarity in ASKED_FOR.get(task, ("",)):
            for count in counts:
                if not any(w.polarity == polarity and w.objects in (0, count) for w in of_task.get(task, ())):
                    missing.append(f"{task} ({polarity}, of {count} objects)" if polarity else task)
    return missing

"""What a model answered: one JSON line a response, appended as it comes, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stvlm.records import DataError
from stvlm.scoring import parse_answer, score

MODEL = "model"
"""The control that is none: the clip as it is."""


class Key(NamedTuple):
    """What was asked, of what: a row's id, the control, and a hash of the prompt, the boxes and the video's size."""

    id: str
    control: str
    asked_sha256: str


def key_of(row: Mapping[str, Any], control: str) -> Key:
    """The key of a row's response."""
    asked = json.dumps([row["prompt"], row["objects"], row["video_bytes"]])
    return Key(row["id"], control, hashlib.sha256(asked.encode()).hexdigest())


def as_line(row: Mapping[str, Any], control: str, response: str) -> str:
    """A response with what was read from it and how that scores."""
    parsed = parse_answer(row["task"], response, row["choices"], row["question"])
    outcome = score(row["task"], parsed, row["target"])
    line = {
        **key_of(row, control)._asdict(),
        "task": row["task"],
        "response": response,
        "parsed": parsed._asdict(),
        "score": outcome._asdict(),
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def append(path: Path, lines: Iterable[str]) -> None:
    """Adds lines to the file."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(lines)


def read(path: Path) -> dict[Key, str]:
    """Responses by key, none where there is no file. A last line that was cut off is removed from the file."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
    found = {}
    for number, text in enumerate(content[:whole].splitlines(), 1):
        try:
            line = json.loads(text)
            found[Key(line["id"], line["control"], line["asked_sha256"])] = line["response"]
        except (ValueError, KeyError) as error:
            raise DataError(f"{path}: line {number} is no response; remove the line or the file") from error
    return found

"""What a model answered: one JSON line a response, appended as it comes, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stvlm.records import DataError
from stvlm.scoring import parse_answer, score

MODEL = "model"
"""The control that is none: the clip as it is."""
TEXT_ONLY = "text_only"
"""The control that has no video at all."""


class Key(NamedTuple):
    """Whose answer it is: a row's id and the control."""

    id: str
    control: str


class Response(NamedTuple):
    """An answer, and a hash of what it answers."""

    text: str
    asked_sha256: str
    failure: str
    """Why there is none, where that counts as a wrong answer; the text is empty then."""


def asked_sha256(row: Mapping[str, Any], prompt: str, depth_bytes: int = 0) -> str:
    """Hash of what was asked about a row, of what is shown with it, and of what is right."""
    shown = [row["objects"], row["video_bytes"], depth_bytes]
    asked = json.dumps([prompt, *shown, row["choices"], row["target"]])
    return hashlib.sha256(asked.encode()).hexdigest()


def as_line(row: Mapping[str, Any], control: str, response: Response) -> str:
    """A response with what was read from it and how that scores."""
    parsed = parse_answer(row["task"], response.text, row["choices"], row["question"])
    outcome = score(row["task"], parsed, row["target"])
    line = {
        **Key(row["id"], control)._asdict(),
        "asked_sha256": response.asked_sha256,
        "task": row["task"],
        "response": response.text,
        "parsed": parsed._asdict(),
        "score": outcome._asdict(),
        **({"failure": response.failure} if response.failure else {}),
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def read(path: Path) -> dict[Key, Response]:
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
            key = Key(line["id"], line["control"])
            found[key] = Response(line["response"], line["asked_sha256"], line.get("failure", ""))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: line {number} is no response; remove the line or the file") from error
    return found

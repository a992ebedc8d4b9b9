"""How much the parser reads of answers that were written, and marked, by someone who had not seen its rules."""

import json
import math
from pathlib import Path

from stvlm.scoring import parse_answer

ANSWERS = [
    json.loads(line)
    for line in (Path(__file__).parent / "blind_answers.jsonl").read_text(encoding="utf-8").splitlines()
]
RIGHT = 358
"""Of 362. The four others are in German, Spanish and Japanese."""


def is_read(row):
    value, expected = parse_answer(row["task"], row["response"], row["choices"], row["question"]).value, row["reading"]
    if value is None or isinstance(expected, str | None):
        return value == expected
    pairs = zip(value, expected, strict=True) if isinstance(expected, list) else [(value, expected)]
    return all(math.isclose(*pair, rel_tol=0.005, abs_tol=0.005) for pair in pairs)


def test_no_fewer_answers_are_read_than_before():
    misread = [f"{row['task']}: {row['response']!r} is {row['reading']}" for row in ANSWERS if not is_read(row)]
    assert len(ANSWERS) == 362
    assert len(ANSWERS) - len(misread) >= RIGHT, "\n".join(misread)

"""How many of the answers of tests/scoring/blind_answers.jsonl does the parser read as they were marked?

    python benchmarks/blind_answers.py [--out benchmarks/results/blind_answers.json]

They were written and marked by someone who had not seen the parser. Only the first run says how it reads answers that
it was not made for, so that it is kept here as it was: the parser of commit 20757b0, on the answers as commit 5e152d0
added them. The rules have since been mended where they failed, so that today's number is a regression test's.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from stvlm.files import write_json
from stvlm.scoring import parse_answer

ANSWERS = Path(__file__).parents[1] / "tests" / "scoring" / "blind_answers.jsonl"
FIRST_RUN: dict[str, Any] = {
    "answers": "5e152d0",
    "parser": "20757b0",
    "right": 343,
    "of": 362,
    "tasks": {
        "traveled_distance": {"right": 56, "of": 57},
        "traveling_speed": {"right": 54, "of": 55},
        "movement_direction": {"right": 49, "of": 50},
        "direction_timestamp": {"right": 49, "of": 52},
        "traveled_distance_comparison": {"right": 46, "of": 49},
        "traveling_speed_comparison": {"right": 44, "of": 49},
        "movement_direction_comparison": {"right": 45, "of": 50},
    },
}


def is_read(row: dict[str, Any]) -> bool:
    """Whether it is read as it was marked, numbers to half a percent; None is an answer that says nothing."""
    value, expected = parse_answer(row["task"], row["response"], row["choices"], row["question"]).value, row["reading"]
    if value is None or isinstance(expected, str | None):
        return value == expected
    read, marked = (value, expected) if isinstance(value, tuple) else ((value,), (expected,))
    return all(math.isclose(*pair, rel_tol=0.005, abs_tol=0.005) for pair in zip(read, marked, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=Path(__file__).parent / "results" / "blind_answers.json", type=Path)
    out = parser.parse_args().out
    rows = [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    asked = Counter(row["task"] for row in rows)
    right = Counter(row["task"] for row in rows if is_read(row))
    now = {
        "right": right.total(),
        "of": asked.total(),
        "tasks": {task: {"right": right[task], "of": count} for task, count in asked.items()},
    }
    write_json(out, {"first_run": FIRST_RUN, "now": now})
    print(f"{'':31}first run        now")
    for task, first in FIRST_RUN["tasks"].items():
        print(f"{task:31}{first['right']:3} of {first['of']:3} {right[task]:3} of {asked[task]:3}")
    print(f"{'all':31}{FIRST_RUN['right']:3} of {FIRST_RUN['of']:3} {right.total():3} of {asked.total():3}")


if __name__ == "__main__":
    main()

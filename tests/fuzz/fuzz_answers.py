"""Looks for texts on which the answer parser fails: by coverage, from the answers of tests/scoring/answers.jsonl on.

    pip install -e ".[fuzz]"
    python tests/fuzz/fuzz_answers.py -max_total_time=300

Further arguments are libFuzzer's. A text that fails is written into the current directory; a run that finds none ends
with the number of texts tried.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stvlm.scoring"]):
    from stvlm.scoring import COMPARISONS, MULTISTEP, TASKS, parse_answer

EVERY = (*TASKS, *MULTISTEP)
CHOICES = {
    "traveled_distance_comparison": ["red", "blue"],
    "traveling_speed_comparison": ["red", "blue", "green"],
    "movement_direction_comparison": ["same", "different"],
}
ANSWERS = Path(__file__).parents[1] / "scoring" / "answers.jsonl"


def encode(task: str, question: str, response: str) -> bytes:
    return bytes([EVERY.index(task)]) + f"{question}\0{response}".encode()


def read_one(data: bytes) -> None:
    if not data:
        return
    task = EVERY[data[0] % len(EVERY)]
    question, _, response = data[1:].decode("utf-8", errors="ignore").partition("\0")
    value, reason = parse_answer(task, response, CHOICES.get(task, []), question)
    if (value is None) != bool(reason):
        raise AssertionError(f"{value!r} and {reason!r}")
    if task in COMPARISONS:
        sound = value in (None, *CHOICES[task])
    elif task == "movement_direction":
        sound = value is None or value in range(1, 13)
    elif task == "direction_timestamp":
        sound = value is None or 0.0 <= value[0] <= value[1] < math.inf
    else:
        sound = value is None or 0.0 <= value < math.inf
    if not sound:
        raise AssertionError(f"{value!r} is no answer to {task}")
    if parse_answer(task, f"  {response} \n", CHOICES.get(task, []), question) != (value, reason):
        raise AssertionError("white space around it makes it another answer")


def main() -> None:
    # At a place of its own, where a later run goes on from what this one has reached; libFuzzer ends the process.
    corpus = Path(tempfile.gettempdir()) / "stvlm_fuzz_answers"
    corpus.mkdir(exist_ok=True)
    for i, line in enumerate(ANSWERS.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        (corpus / f"answer_{i}").write_bytes(encode(row["task"], row["question"], row["response"]))
    atheris.Setup([*sys.argv, "-max_len=2000", "-timeout=10", str(corpus)], read_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""What does it cost to score a benchmark, with intervals and floors and without, and does it grow with its length?

    python benchmarks/scoring.py [--out benchmarks/results/scoring.json]

Answers are sentences as models give them, a seventh of each task, four on a clip. The seconds are those of the
processor, the least of some runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.files import write_json
from stvlm.scoring import TASKS, score_all

LENGTHS = (1_400, 14_000)
CALLS: dict[str, dict[str, Any]] = {
    "scores": {},
    "with intervals": {"confidence": 0.95},
    "with intervals and floors": {"confidence": 0.95, "floors": True},
    "with everything": {
        "confidence": 0.95, "floors": True, "mra": True, "groups": True, "by": ["source", "range"], "per_sample": True
    },
}  # fmt: skip


def answered(length: int, seed: int = 0) -> tuple[list[str], list[dict[str, Any]]]:
    """Predictions and references."""
    rng = np.random.default_rng(seed)
    predictions, references = [], []
    for i in range(length):
        task, choices = TASKS[i % 7], []
        number, answer = f"{np.exp(rng.uniform(0.7, 4.5)):.2f}", np.exp(rng.uniform(0.7, 4.5))
        hour, start_s = rng.integers(1, 13), rng.integers(0, 20) / 2
        if task == "traveled_distance":
            target, text = number, f"The total distance traveled by the given object is {answer:.2f} meters."
        elif task == "traveling_speed":
            target, text = number, f"The object moves at an average speed of {answer:.2f} km/h throughout the video."
        elif task == "movement_direction":
            target, text = str(hour), f"At the end of the video it moves towards {(hour + i) % 12} o'clock."
        elif task == "direction_timestamp":
            target = f"{start_s:.2f}-{start_s + 2.5:.2f}"
            text = f"The object moves towards {hour} o'clock from {start_s + 0.5:.1f} to {start_s + 3.5:.1f} seconds."
        elif task == "movement_direction_comparison":
            choices = ["same", "different"]
            target, text = choices[hour % 2], "They are moving in different directions."
        else:
            choices = ["red", "blue"]
            target, text = (
                choices[hour % 2],
                "The blue object covers more distance throughout the video than the red one.",
            )
        predictions.append(text)
        base_id = f"q{i // 14}-{task}"
        references.append(
            {"task": task, "target": target, "choices": choices, "question": "Which object travels farther?",
             "clip_id": f"clip{i // 4}", "id": f"{base_id}-mirrored" if i // 7 % 2 else base_id, "base_id": base_id,
             "source": f"source {i % 5}"}
        )  # fmt: skip
    return predictions, references


def measure(runs: int) -> dict[str, Any]:
    """Seconds of each call at each length."""
    seconds: dict[str, dict[str, float]] = {}
    for length in LENGTHS:
        predictions, references = answered(length)
        spent: dict[str, list[float]] = {name: [] for name in CALLS}
        for _ in range(runs):
            for name, options in CALLS.items():
                start = time.process_time()
                score_all(predictions, references, **options)
                spent[name].append(time.process_time() - start)
        seconds[f"{length:,}"] = {name: round(min(of_name), 4) for name, of_name in spent.items()}
    machine = f"{platform.machine()}, Python {platform.python_version()}, one core"
    return {"machine": f"{machine}; processes that wanted one: {os.getloadavg()[0]:.1f}", "seconds": seconds}


def as_text(result: dict[str, Any]) -> str:
    """The result as a table."""
    short, long = result["seconds"].values()
    lines = [result["machine"], f"{'answers':26} {'  '.join(f'{length:>8}' for length in result['seconds'])}"]
    for name in CALLS:
        ratio = (
            f"{short[name] / short['scores']:.2f} times the scores alone; {long[name] / short[name]:.1f} times as long"
        )
        lines.append(f"{name:26} {short[name]:6.3f} s  {long[name]:6.3f} s   {ratio}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scoring.json")
    args = parser.parse_args()
    result = measure(args.runs)
    write_json(args.out, result)
    print(as_text(json.loads(args.out.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()

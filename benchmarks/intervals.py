"""Do 95 % intervals of an accuracy hold the truth in 95 of 100 cases: those of the metric, and a bootstrap of clips?

    python benchmarks/intervals.py [--repeats 2000] [--out benchmarks/results/intervals.json]

Clips have one to six questions. How hard a clip is, is drawn anew each time, so that the answers on one are alike (a
beta-binomial, with the intraclass correlation that is told) or not (0).
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.files import write_json
from stvlm.records import Array
from stvlm.scoring.intervals import mean_of, share_bounds

CLIPS = (5, 10, 30, 100)
ACCURACIES = (0.5, 0.9, 0.97)
CORRELATIONS = (0.0, 0.3)
RESAMPLES = 1000


def drawn(clip_count: int, accuracy: float, correlation: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """(N,) right or wrong, and each one's clip."""
    clips = np.repeat(np.arange(clip_count), rng.integers(1, 7, clip_count))
    of_clip = np.full(clip_count, accuracy)
    if correlation:
        spread = 1.0 / correlation - 1.0
        of_clip = rng.beta(accuracy * spread, (1.0 - accuracy) * spread, clip_count)
    return (rng.random(len(clips)) < of_clip[clips]).astype(np.float64), clips


def bootstrap(right: Array, clips: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of accuracies of as many clips, drawn with replacement."""
    sums, sizes = np.bincount(clips, right), np.bincount(clips)
    chosen = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    low, high = np.quantile(sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def measure(repeats: int) -> dict[str, Any]:
    """Of each setting how many of 100 intervals hold the accuracy, and how wide they are on average."""
    rng = np.random.default_rng(0)
    settings = []
    for clip_count, accuracy, correlation in product(CLIPS, ACCURACIES, CORRELATIONS):
        found: dict[str, list[tuple[float, float]]] = {"metric": [], "bootstrap": []}
        for _ in range(repeats):
            right, clips = drawn(clip_count, accuracy, correlation, rng)
            found["metric"].append(share_bounds(mean_of(right, np.ones(len(right), bool), clips), 0.95))
            found["bootstrap"].append(bootstrap(right, clips, rng))
        setting: dict[str, Any] = {"clips": clip_count, "accuracy": accuracy, "correlation": correlation}
        for name, bounds in found.items():
            low, high = np.array(bounds).T
            setting[name] = {
                "holds_percent": round(100 * float(np.mean((low <= accuracy) & (accuracy <= high))), 1),
                "mean_width": round(float(np.mean(high - low)), 3),
            }
        settings.append(setting)
    return {"repeats": repeats, "resamples": RESAMPLES, "settings": settings}


def as_text(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = ["clips  accuracy  correlation      metric  (width)   bootstrap  (width)"]
    for of in result["settings"]:
        cells = (
            f"{of[name]['holds_percent']:8.1f} %  ({of[name]['mean_width']:.2f})" for name in ("metric", "bootstrap")
        )
        lines.append(f"{of['clips']:5}  {of['accuracy']:8}  {of['correlation']:11}  {'  '.join(cells)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "intervals.json")
    args = parser.parse_args()
    write_json(args.out, measure(args.repeats))
    print(as_text(json.loads(args.out.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()

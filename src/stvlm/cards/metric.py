"""The card of the metric: evaluate_metric/stkit_bench/README.md, and the same with the name of its Space."""

from __future__ import annotations

from pathlib import Path

from stvlm.cards.templates import render
from stvlm.files import read_json
from stvlm.scoring import LEAST_IOU, RELATIVE_TOLERANCE

UNPUBLISHED = "ORG/stkit_bench"


def render_metric_card(measured: Path, metric: str = UNPUBLISHED) -> str:
    """The card's text.

    Args:
        measured: benchmarks/results, where its figures are.
        metric: the Space's id.
    """
    first_runs = [of_set["first_run"] for of_set in read_json(measured / "blind_answers.json").values()]
    answers, costs = next(iter(read_json(measured / "scoring.json")["seconds"].items()))
    return render(
        "metric.md.j2",
        metric=metric,
        blind=[{**run, "percent": f"{100 * run['right'] / run['of']:.1f}"} for run in first_runs],
        answers=answers,
        seconds=f"{costs['with everything']:.2f}",
        tolerance=f"{100 * RELATIVE_TOLERANCE:g}",
        iou=f"{LEAST_IOU:g}",
    )

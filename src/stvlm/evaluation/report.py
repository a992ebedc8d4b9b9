"""Scores as the table of the ST-VLM paper, and whether they are beyond what a model knows without the video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stvlm.scoring import (
    FEW_CLIPS,
    MULTISTEP,
    RESAMPLES,
    TASKS,
    Difference,
    best_constant,
    paired_difference,
    score_all,
)

Scores = Mapping[str, Any]
CONSTANT = "best_constant"
NAMES = {
    CONSTANT: "best constant",
    "text_only": "text only",
    "black": "black frames",
    "static": "first frame only",
    "shuffled": "frames shuffled",
    "no_boxes": "no boxes drawn",
}

COLUMNS = (
    ("TD Acc", "traveled_distance_accuracy", 100),
    ("MAE m", "traveled_distance_mae", 1),
    ("TS Acc", "traveling_speed_accuracy", 100),
    ("MAE km/h", "traveling_speed_mae", 1),
    ("MD Acc", "movement_direction_accuracy", 100),
    ("MAE h", "movement_direction_mae", 1),
    ("DT Acc", "direction_timestamp_accuracy", 100),
    ("IoU", "direction_timestamp_iou", 1),
    ("TDC", "traveled_distance_comparison_accuracy", 100),
    ("TSC", "traveling_speed_comparison_accuracy", 100),
    ("MDC", "movement_direction_comparison_accuracy", 100),
    ("Average", "average_accuracy", 100),
)
"""Heading, score and factor, in the order of the paper's Table 3. Accuracies in percent; MAE over parsed answers."""


def columns_of(scores: Scores) -> list[tuple[str, str, int]]:
    """The paper's columns and, before the average, those of multistep tasks that were asked."""
    further = [(task, f"{task}_accuracy", 100) for task in MULTISTEP if f"{task}_accuracy" in scores]
    return [*COLUMNS[:-1], *further, COLUMNS[-1]]


def constant_answers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The best constant answer to each row: it knows the task and the answers of all rows, and nothing else."""
    constants = best_constant(rows)
    return [_in_words(row["task"], constants[row["task"]].target, row["choices"]) for row in rows]


def _in_words(task: str, constant: str, choices: Sequence[str]) -> str:
    """A constant as it is read to any question: a bare yes is no answer to "which?", a bare 20 may be in feet."""
    if constant == "yes":
        return choices[0]
    if constant == "no" and len(choices) == 2:
        return choices[1]
    return constant + {"traveled_distance": " m", "traveling_speed": " km/h"}.get(task, "")


def compare(
    rows: Sequence[Mapping[str, Any]], scores: Mapping[str, Scores], model: str
) -> dict[str, dict[str, Difference]]:
    """Of every task present, the model's difference to each other column of `scores` (made with `per_sample`)."""
    tasks = np.array([row["task"] for row in rows])
    correct = {name: np.array([item["correct"] for item in s["per_sample"]]) for name, s in scores.items()}
    clips = np.array([row["clip_id"] for row in rows])
    return {
        task: {
            name: paired_difference(correct[model][tasks == task], correct[name][tasks == task], clips[tasks == task])
            for name in scores
            if name != model
        }
        for task in (*TASKS, *MULTISTEP)
        if task in tasks
    }


def score_columns(rows: Sequence[Mapping[str, Any]], answers: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Scores of each column of answers, and of the best constant one."""
    columns = {**answers, CONSTANT: constant_answers(rows)}
    return {name: score_all(texts, rows, confidence=0.95, per_sample=True) for name, texts in columns.items()}


def as_table(scores: Mapping[str, Scores], model: str, title: str) -> str:
    """The paper's columns, and those of multistep tasks where they were asked; a row for the model and each control."""
    names = {model: title} | {name: NAMES.get(name, name) for name in scores if name != model}
    columns = columns_of(scores[model])
    lines = [[""] + [heading for heading, _, _ in columns]]
    for name in names:
        lines.append([names[name]] + [as_number(scores[name], key, factor) for _, key, factor in columns])
    return _aligned(lines)


def as_verdicts(
    differences: Mapping[str, Mapping[str, Difference]], scores: Mapping[str, Scores], model: str, learns: bool = True
) -> str:
    """A line a task: accuracies, the model's difference to each control, and whether the task was learned by one that
    learns.

    Learned is what no control reaches: every interval lies above zero.
    """
    controls = [name for name in scores if name != model]
    lines = [["accuracy, %", "model"] + [NAMES.get(name, name) for name in controls] + [""]]
    for task, of_task in differences.items():
        accuracy = {name: 100 * s[f"{task}_accuracy"] for name, s in scores.items()}
        cells = [
            f"{accuracy[name]:.1f} ({100 * d.value:+.1f}, {100 * d.low:+.1f} to {100 * d.high:+.1f})"
            for name, d in of_task.items()
        ]
        lines.append([task, f"{accuracy[model]:.1f}", *cells, verdict(of_task) if learns else ""])
    return _aligned(lines)


def verdict(differences: Mapping[str, Difference]) -> str:
    """Whether a task was learned, by the model's difference to each other column."""
    if any(d.clips < FEW_CLIPS for d in differences.values()):
        return f"too few clips to tell: fewer than {FEW_CLIPS}"
    unmatched = [NAMES.get(name, name) for name, d in differences.items() if not d.is_beyond_chance]
    return f"not learned: not above {', '.join(unmatched)}" if unmatched else "learned"


def method(clip_count: int) -> str:
    """What the intervals in `as_verdicts` are."""
    return (
        f"In brackets: model minus control, 95 % interval by bootstrap over {clip_count} clips ({RESAMPLES:,} draws)."
    )


def as_number(scores: Scores, key: str, factor: int) -> str:
    """A score, or a bound of its interval, as the paper prints it; a dash where there is none."""
    if key not in scores:
        return "-"
    value = factor * scores[key]
    return f"{value:.1e}" if value >= 1e6 else f"{value:.{2 if '_iou' in key else 1}f}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )

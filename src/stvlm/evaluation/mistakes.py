"""The worst mistakes of a model: how wrong each answer is, in words, and which are worth a look."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stvlm.evaluation.results import Answer
from stvlm.kinematics import STEP_S, bearing_difference, traveled_distance
from stvlm.questions.asking import DIFFERENT_RAD, SAME_RAD
from stvlm.records import Array
from stvlm.scoring import COMPARISONS, MULTISTEP, TASKS, parse_target

Motion = Mapping[str, Any]
"""A row of trajectories/clips.parquet: positions xyz_m (J, n, 3), and the camera's poses."""
UNITS = {"traveled_distance": "m", "traveling_speed": "km/h", "time_to_cover": "s", "catch_up_time": "s"}
PARKED = 0.05
"""Who moves less than this share of another's distance is told to hardly move."""
_MORE_LESS = {
    "traveled_distance": ("too far", "too short"),
    "traveling_speed": ("too fast", "too slow"),
    "time_to_cover": ("too long", "too short"),
    "catch_up_time": ("too long", "too short"),
    "speed_ratio": ("too large", "too small"),
}


class Mistake(NamedTuple):
    """A wrong answer."""

    answer: Answer
    told: str
    """How wrong it is; empty where that is not known."""
    size: tuple[float, ...]
    """Larger is worse, within a task."""


def worst(answers: Sequence[Answer], motions: Mapping[str, Motion], most: int) -> dict[str, list[Mistake]]:
    """By task the worst wrong answers that could be read, the very worst first, and of each clip one.

    Args:
        answers: a model's.
        motions: by clip id; a clip of which there is none is as good as any other among equally wrong answers.
        most: how many of a task.
    """
    found: dict[str, list[Mistake]] = {}
    for task in (*TASKS, *MULTISTEP):
        wrong = [_mistake(a, motions) for a in answers if a.task == task and a.value is not None and not a.correct]
        wrong.sort(key=lambda mistake: ([-part for part in mistake.size], mistake.answer.id))
        of_clip: dict[str, Mistake] = {}
        for mistake in wrong:
            row = mistake.answer.row
            of_clip.setdefault(row["clip_id"] if row else mistake.answer.id, mistake)
        if wrong:
            found[task] = list(of_clip.values())[:most]
    return found


def _mistake(answer: Answer, motions: Mapping[str, Motion]) -> Mistake:
    told, *size = _how_wrong(answer, motions)
    return Mistake(answer, told, tuple(size))


def _how_wrong(answer: Answer, motions: Mapping[str, Motion]) -> tuple[Any, ...]:
    """Words, then numbers in the order in which they decide."""
    task, value, row = answer.task, answer.value, answer.row
    if task in COMPARISONS:
        motion = motions.get(row["clip_id"]) if row else None
        return _margin(answer, np.array(motion["xyz_m"])) if row and motion else ("", 0.0)
    if task == "direction_timestamp":
        truth = parse_target(task, row["target"]) if row else None
        apart_s = abs(sum(value) - sum(truth)) / 2 if isinstance(truth, tuple) else 0.0
        told = f"IoU {answer.iou:.2f}" + (f", middles {apart_s:.1f} s apart" if truth else "")
        return told, -(answer.iou or 0.0), apart_s
    if task == "movement_direction":  # of equally wrong ones, where the truth is surest
        sigma = (row["target_sigma"] if row else None) or 0.0
        return f"{answer.error:g} {'hour' if answer.error == 1 else 'hours'} off", answer.error, -sigma
    if row is None:
        return f"{answer.error:.2f} {UNITS.get(task, '')} off".replace("  ", " "), answer.error
    factor = value / float(row["target"])
    more, less = _MORE_LESS[task]
    if factor == 0:
        return "no motion at all", np.inf
    # By the factor, up or down: half as much is as wrong as twice as much.
    return f"{max(factor, 1 / factor):.1f} times {more if factor > 1 else less}", max(factor, 1 / factor)


def _margin(answer: Answer, xyz_m: Array) -> tuple[str, float]:
    """How clear the truth of a comparison is that was answered wrong, by the positions (J, n, 3).

    Distances are 3D ones, which in sports is a little more than what was asked about.
    """
    row = answer.row or {}
    asked = slice(round(row["start_s"] / STEP_S), round(row["end_s"] / STEP_S) + 1)
    paths_m = {item["color"]: path[asked] for item, path in zip(row["objects"], xyz_m, strict=True)}
    if answer.task == "movement_direction_comparison":
        named = [path for color, path in paths_m.items() if color in re.findall(r"\w+", row["question"])]
        if len(named) != 2:
            return "", 0.0
        angle_rad = bearing_difference(*named)
        same = (SAME_RAD - angle_rad) / SAME_RAD
        different = (angle_rad - DIFFERENT_RAD) / (np.pi - DIFFERENT_RAD)
        # Either is 0 where it is hardly asked any more, and 1 at its clearest.
        return f"their headings are {np.rad2deg(angle_rad):.0f}° apart", same if row["target"] == "same" else different
    lengths_m = {color: traveled_distance(paths_m[color]).value for color in (row["target"], answer.value)}
    slow, fast = sorted(lengths_m, key=lambda color: lengths_m[color])
    if lengths_m[slow] < PARKED * lengths_m[fast]:
        return f"{slow} hardly moves, and {fast} does", np.inf
    ratio = lengths_m[fast] / lengths_m[slow]
    return f"{fast} moves {ratio:.1f} times as {'far' if 'distance' in answer.task else 'fast'} as {slow}", ratio

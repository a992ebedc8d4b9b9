"""What the dataset prints, strictly: tasks, targets, and the columns of a row that an answer is scored against."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

TASKS = (
    "traveled_distance",
    "traveling_speed",
    "movement_direction",
    "direction_timestamp",
    "traveled_distance_comparison",
    "traveling_speed_comparison",
    "movement_direction_comparison",
)
COMPARISONS = TASKS[4:]
MULTISTEP = ("time_to_cover", "catch_up_time", "speed_ratio")
"""What the variant `multistep` asks beside them: an exact further step from a speed, or from two."""

Value = float | int | tuple[float, float] | str


class Parsed(NamedTuple):
    """What an answer says: metres, km/h, an hour 1..12, (start, end) in seconds, seconds, a ratio, or a choice.

    None where it says nothing that can be read, with the reason.
    """

    value: Value | None
    reason: str = ""


class Reference(NamedTuple):
    """What an answer is scored against: the columns of a dataset row that matter here."""

    task: str
    target: str
    choices: list[str]
    question: str
    clip_id: str


_PRINTED = {
    "traveled_distance": (re.compile(r"\d+\.\d\d", re.ASCII), 'metres such as "20.15"'),
    "traveling_speed": (re.compile(r"\d+\.\d\d", re.ASCII), 'km/h such as "15.04"'),
    "movement_direction": (re.compile(r"[1-9]|1[0-2]"), 'an hour from "1" to "12"'),
    "direction_timestamp": (re.compile(r"(\d+\.\d\d)-(\d+\.\d\d)", re.ASCII), 'seconds such as "3.50-6.00"'),
    "traveled_distance_comparison": (re.compile(r"[a-z]+"), 'a color such as "red"'),
    "traveling_speed_comparison": (re.compile(r"[a-z]+"), 'a color such as "red"'),
    "movement_direction_comparison": (re.compile(r"same|different"), '"same" or "different"'),
    "time_to_cover": (re.compile(r"\d+\.\d\d", re.ASCII), 'seconds such as "12.50"'),
    "catch_up_time": (re.compile(r"\d+\.\d\d", re.ASCII), 'seconds such as "12.50"'),
    "speed_ratio": (re.compile(r"\d+\.\d\d", re.ASCII), 'a number such as "1.25"'),
}


def _printed(task: str, text: str, role: str) -> re.Match[str]:
    pattern, form = _PRINTED[task]
    match = pattern.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{role} {text!r} of {task} is not {form}")
    return match


def check_task(task: str) -> None:
    """Raises ValueError for an unknown task."""
    if not isinstance(task, str) or task not in _PRINTED:
        raise ValueError(f"task {task!r} is not one of {', '.join(_PRINTED)}")


def check_choices(choices: Sequence[str]) -> None:
    """Raises ValueError for what is no sequence of choices."""
    if isinstance(choices, str | Mapping) or not isinstance(choices, Iterable):
        raise ValueError(f"choices {choices!r} are not a list")


def parse_target(task: str, target: str, choices: Sequence[str] = ()) -> Value:
    """Read a target as the dataset prints it.

    Returns metres, km/h, an hour, (start, end) in seconds, seconds, a ratio, or the choice. `choices`, where given,
    must hold it.
    Raises ValueError for an unknown task and for any other form of target.
    """
    check_task(task)
    match = _printed(task, target, "target")
    if task in COMPARISONS:
        if choices and target not in choices:
            raise ValueError(f"target {target!r} is not among the choices {list(choices)}")
        return target
    if task == "movement_direction":
        return int(target)
    if task == "direction_timestamp":
        start_s, end_s = float(match[1]), float(match[2])
        if start_s >= end_s:
            raise ValueError(f"target {target!r} ends before it has begun")
        return start_s, end_s
    if float(target) == 0.0:
        # Within 25 % of zero is zero alone: such a question has no fair score and is never asked.
        raise ValueError(f"target {target!r} of {task} must be above zero")
    return float(target)


def read_reference(row: Mapping[str, Any], name: str = "reference") -> Reference:
    """Take from a dataset row, or a dict of the same keys, what an answer is scored against, and check it.

    `task` and `target` are required, `choices` too for comparisons; further keys are ignored.
    Raises ValueError that begins with `name`, such as "references[3]", and says what is wrong.
    """
    try:
        if not isinstance(row, Mapping):
            raise ValueError(f"{type(row).__name__} is not a dict")
        for key in ("task", "target"):
            if key not in row:
                raise ValueError(f"has no {key!r}")
        task, target = row["task"], row["target"]
        choices = row.get("choices")
        check_choices(() if choices is None else choices)
        choices = [] if choices is None else list(choices)
        parse_target(task, target, choices)
        if task in COMPARISONS:
            for choice in choices:
                _printed(task, choice, "choice")
            if len(set(choices)) < 2 or len(set(choices)) < len(choices):
                raise ValueError(f"choices {choices} of {task} are not two or more different ones")
        elif choices:
            raise ValueError(f"{task} takes no choices, got {choices}")
        question, clip_id = row.get("question") or "", row.get("clip_id") or ""
        for key, text in (("question", question), ("clip_id", clip_id)):
            if not isinstance(text, str):
                raise ValueError(f"{key} {text!r} is not a string")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return Reference(task, target, choices, question, clip_id)


def read_prediction(text: object, name: str = "prediction") -> str:
    """An answer as it is. Raises ValueError that begins with `name` where it is no string."""
    if not isinstance(text, str):
        raise ValueError(f'{name}: {text!r} is not a string; where a model said nothing it is ""')
    return text

"""Questions about a clip, by task or free, and what an answer is worth where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stvlm.demo.clips import Study
from stvlm.evaluation.backends.geometry import ANSWERED_IF_AT_ALL
from stvlm.kinematics import direction_intervals
from stvlm.questions.asking import Motion, Query, Span, answer, common_prompt, frames_told, make_question, name_of
from stvlm.questions.templates import pair_words, wordings
from stvlm.records import NOISELESS, DataError, Question, Rejected, Task
from stvlm.scoring import COMPARISONS, Outcome, Parsed, parse_answer, score

TITLES: dict[Task, str] = {
    "traveled_distance": "How far does it travel?",
    "traveling_speed": "How fast is it?",
    "movement_direction": "Which way does it turn?",
    "direction_timestamp": "When does it move towards an hour?",
    "traveled_distance_comparison": "Which travels farther?",
    "traveling_speed_comparison": "Which is faster?",
    "movement_direction_comparison": "Do they move the same way?",
}
UNITS = {
    "traveled_distance": "m",
    "traveling_speed": "km/h",
    "movement_direction": "o'clock",
    "direction_timestamp": "s",
    "time_to_cover": "s",
    "catch_up_time": "s",
    "speed_ratio": "times",
}
DEFAULT_HOUR = 3
GATES = replace(ANSWERED_IF_AT_ALL, max_stretch=float("inf"))
"""Whatever can be told at all is told here, beside how uncertain it is."""


class Asked(NamedTuple):
    """A question by task, and its true answer where that is known."""

    task: Task
    title: str
    question: str
    choices: tuple[str, ...]
    truth: Question | Rejected | None
    """Rejected: why there is no certain answer; None: nothing is known."""


class Verdict(NamedTuple):
    """What is read from an answer, and whether it is right."""

    parsed: Parsed
    outcome: Outcome | None  # where the truth is known


def title_of(task: Task, hour: int, count: int = 1) -> str:
    """A question by task in few words about so many objects; `hour` is the one that is asked about, if one is."""
    title = TITLES[task].replace("an hour", f"{hour} o'clock")
    return title if count < 2 else title.replace(" it ", " the red one ").replace(" it?", " the red one?")


def tasks_for(count: int) -> list[Task]:
    """What can be asked about so many objects."""
    return [task for task in TITLES if task not in COMPARISONS or count > 1]


def ask_by_task(name: str, count: int, frames: int, hour: int = DEFAULT_HOUR, truth: Motion | None = None) -> Asked:
    """The question of a task about all of a clip of so many frames with so many objects; where none is boxed, there is
    one.

    Raises DataError for a task that needs more objects than there are.
    """
    task = next((it for it in TITLES if it == name), None)
    if task is None:
        raise DataError(f"{name!r} is no task; choose one of {', '.join(TITLES)}")
    count = max(count, 1)
    if task in COMPARISONS and count < 2:
        raise DataError("A comparison needs two objects: draw a second box, in blue.")
    if task == "direction_timestamp" and hour not in range(1, 13):
        raise DataError("The hour is one of 1 to 12.")
    if task not in COMPARISONS:
        objects: tuple[int, ...] = (0,)
    else:
        objects = (0, 1) if task == "movement_direction_comparison" else tuple(range(count))
    wording = wordings()[task][0]
    query = Query(task, objects, Span(0, frames - 1, True), wording.template_id, hour if "timestamp" in task else 0)
    known = None if truth is None else answer(truth, query, GATES)
    if isinstance(known, Question):
        return Asked(task, title_of(task, hour, count), known.question, known.choices, known)
    nobody = Motion("", "driving", (NOISELESS,) * count, np.zeros((count, frames, 3)))
    names = [name_of(nobody, j) for j in objects]
    words = {"object": names[0], "hour": str(hour), **(pair_words(names) if len(names) > 1 else {})}
    question = make_question(query, wording, "", words, "").question
    if task == "movement_direction_comparison":
        choices: tuple[str, ...] = ("same", "different")
    else:
        choices = nobody.colors if task in COMPARISONS else ()
    return Asked(task, title_of(task, hour, count), question, choices, known)


def hours_of(truth: Motion | None) -> list[int]:
    """The hours that it makes sense to ask about: where the truth is known, those with a certain answer."""
    if truth is None:
        return list(range(1, 13))
    runs = direction_intervals(truth.xyz_m[0])
    hours = [] if isinstance(runs, Rejected) else sorted({run.hour for run in runs})
    frames = truth.xyz_m.shape[1]
    answered = [h for h in hours if isinstance(_truth_at(truth, h, frames), Question)]
    return answered or hours or list(range(1, 13))


def _truth_at(truth: Motion, hour: int, frames: int) -> Question | Rejected | None:
    return ask_by_task("direction_timestamp", len(truth.xyz_m), frames, hour, truth).truth


def prompt_for(study: Study, times_s: Sequence[float], question: str) -> str:
    """What a model is given with the frames."""
    before = common_prompt(times_s, study.colors) if study.colors else frames_told(times_s)
    return f"{before} {question}"


def judge(asked: Asked, response: str) -> Verdict:
    """What is read from a response, and how it compares with the truth."""
    parsed = parse_answer(asked.task, response, asked.choices, asked.question)
    truth = asked.truth
    return Verdict(parsed, score(asked.task, parsed, truth.target) if isinstance(truth, Question) else None)


def as_words(task: str, value: object) -> str:
    """A parsed answer, or a target, with its unit."""
    if isinstance(value, tuple):
        value = f"{value[0]:.2f} to {value[1]:.2f}"
    elif isinstance(value, float):
        value = f"{value:.4g}"
    elif isinstance(value, str) and task == "direction_timestamp":
        value = " to ".join(value.split("-"))
    return f"{value} {UNITS.get(task, '')}".strip()

"""What an answer is worth while a model learns by its own answers: the metric's reading of it, and nothing else.

| reward | from 0 to 1 |
|---|---|
| accuracy | whether the metric counts the answer as right |
| closeness | how near it is: above a half only what is right, and some reward on the way there |
| format | whether it is one sentence that the metric can read |
| consistency | how near it is to the answers that the model gives about the question's mirrored or reversed twin |
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from stvlm.scoring import COMPARISONS, RELATIVE_TOLERANCE, Parsed, Value, parse_answer, score

Row = Mapping[str, Any]
"""Of the dataset: task, question, target, choices and frame_times_s."""
Twin = Literal["mirrored", "reversed"]
RewardFunction = Callable[..., list[float | None]]
"""As TRL calls it: all answers of a step on this device, and the columns of the questions that they answer."""

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")


def accuracy(row: Row, text: str) -> float:
    """1 where the metric counts the answer as right, else 0."""
    return float(score(row["task"], _read(row, text), row["target"]).correct)


def closeness(row: Row, text: str) -> float:
    """How near an answer is to the target: 1 if there, 0 if it cannot be read; at least 0.5 if right, at most if wrong.

    A number loses half with every 25 % of the target that it is off, an hour with every hour, an interval has its IoU.
    """
    return _closeness(row["task"], _read(row, text), row["target"])


def well_formed(row: Row, text: str) -> float:
    """1 for one whole sentence that the metric reads an answer from, else 0; of several answers it reads none."""
    said = text.strip()
    ends = [match.end() for match in _SENTENCE_END.finditer(said)]
    return float(ends == [len(said)] and _read(row, said).value is not None)


def agreement(row: Row, text: str, twin_row: Row, twin_texts: Sequence[str], twin: Twin) -> float:
    """Mean closeness of an answer to those about the question's twin, each as what it says of the clip itself.

    What cannot be read agrees with nothing. A constant answer agrees with itself: this says nothing about being right.
    """
    answer, task = _read(row, text), row["task"]
    length_s = row["frame_times_s"][-1]
    near = 0.0
    for twin_text in twin_texts:
        value = _read(twin_row, twin_text).value
        if value is not None:
            target = _as_target(task, seen_back(task, value, twin, length_s))
            near += _closeness(task, answer, target) if target else 0.0
    return near / len(twin_texts)


def seen_back(task: str, value: Value, twin: Twin, length_s: float) -> Value:
    """What an answer about a twin says about the clip itself, or the other way round.

    Lengths, speeds and winners stay. A right turn is a left turn in a mirror, and backwards too: the way from the last
    heading to the first. Seconds are counted from the other end backwards. `dataset.variants` asks a twin about the
    same stretch, and for the hour that it then shows.
    """
    if task == "movement_direction":
        assert isinstance(value, int)
        return (12 - value) or 12
    if task == "direction_timestamp" and twin == "reversed":
        assert isinstance(value, tuple)
        return length_s - value[1], length_s - value[0]
    return value


def reward_functions(names: Sequence[str], rows: Sequence[Row]) -> list[RewardFunction]:
    """The named rewards as TRL calls them, for a dataset whose column `row` is an index into `rows`.

    For `consistency` the columns `twin_row` and `twin` tell a question's twin, which has to be asked in the same step
    on the same device. An answer is held against all of the twin's, so that their order plays no part.
    """

    def alone(reward: Callable[[Row, str], float]) -> RewardFunction:
        def of_all(completions: list[str], row: list[int], **_: Any) -> list[float | None]:
            return [reward(rows[index], text) for index, text in zip(row, completions, strict=True)]

        return of_all

    def consistency(
        completions: list[str], row: list[int], twin_row: list[int], twin: list[Twin], **_: Any
    ) -> list[float | None]:
        texts = defaultdict(list)
        for index, text in zip(row, completions, strict=True):
            texts[index].append(text)
        return [
            agreement(rows[index], text, rows[other], texts[other], kind)
            for index, text, other, kind in zip(row, completions, twin_row, twin, strict=True)
        ]

    known: dict[str, RewardFunction] = {
        "accuracy": alone(accuracy),
        "closeness": alone(closeness),
        "format": alone(well_formed),
        "consistency": consistency,
    }
    for name, function in known.items():
        function.__name__ = name  # by which TRL logs it
    return [known[name] for name in names]


def _read(row: Row, text: str) -> Parsed:
    return _parsed(row["task"], text, tuple(row["choices"]), row["question"])


_parsed = lru_cache(maxsize=2**12)(parse_answer)
"""Every reward reads the same answers."""


def _closeness(task: str, answer: Parsed, target: str) -> float:
    outcome = score(task, answer, target)
    if outcome.iou is not None:
        return outcome.iou
    if outcome.error is None:
        return float(outcome.correct)
    halves_every = 1.0 if task == "movement_direction" else RELATIVE_TOLERANCE * float(target)
    return float(0.5 ** (outcome.error / halves_every))


def _as_target(task: str, value: Value) -> str | None:
    """A value as the dataset prints it; None for what is never a target: no length, and no time."""
    if isinstance(value, tuple):
        start, end = (f"{round(bound, 2) + 0.0:.2f}" for bound in value)  # adding zero makes 0.00 of -0.00
        return f"{start}-{end}" if 0.0 <= float(start) < float(end) else None
    if task in COMPARISONS or task == "movement_direction":
        return str(value)
    printed = f"{value:.2f}"
    return printed if float(printed) > 0.0 else None

"""Questions whose answer needs an exact further step from what is measured: another unit, a duration, a ratio.

Each value on the way is rounded as it is printed, and the next step starts from what is printed: who recomputes an
answer from its steps gets its last digit. Which step is taken, and with what numbers, follows from hashes of the
question's id; what is measured decides only where none is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

import numpy as np

from stvlm.hashing import stable_hash
from stvlm.kinematics import MPS_TO_KMH, Measurement
from stvlm.questions.asking import Motion, Query, QuestionGates, make_question, measure, name_of
from stvlm.questions.templates import comparison_words, multistep_wordings
from stvlm.records import NOISELESS, MultistepTask, Question, Rejected, Step, Task

T = TypeVar("T")

KINDS: Mapping[str, tuple[str, ...]] = {
    "traveled_distance": ("distance_converted",),
    "traveling_speed": ("speed_converted", "time_to_cover", "speed_ratio"),
    "traveling_speed_comparison": ("catch_up_time",),
}
"""Which steps lead on from the question of a task, each as likely."""
TASKS: Mapping[str, Task | MultistepTask] = {
    "distance_converted": "traveled_distance",
    "speed_converted": "traveling_speed",
    "time_to_cover": "time_to_cover",
    "speed_ratio": "speed_ratio",
    "catch_up_time": "catch_up_time",
}
"""What an answer is scored as. A converted one is scored in metres or km/h, as any other in another unit."""
KMH_PER_MPS = Decimal(str(MPS_TO_KMH))
UNITS: Mapping[str, Mapping[str, tuple[str, Decimal]]] = {
    "distance_converted": {"feet": ("ft", Decimal("0.3048")), "yards": ("yd", Decimal("0.9144"))},
    "speed_converted": {"miles per hour": ("mph", Decimal("1.609344")), "meters per second": ("m/s", KMH_PER_MPS)},
}
"""What a unit is called, its sign, and what it is in metres or km/h."""
LENGTHS_M: Mapping[str, tuple[int, ...]] = {"time_to_cover": (50, 100, 200, 500), "catch_up_time": (10, 20, 50, 100)}
KNOWN_KMH = {
    "a person walking at 5 km/h": 5,
    "a runner at 10 km/h": 10,
    "a cyclist riding at 20 km/h": 20,
    "a car driving through a city at 50 km/h": 50,
}
"""Whom an object is compared with."""
LEAST = Decimal("0.25")
"""No value may be smaller: its two decimals leave up to 2 % open, and twice that where it is a difference."""


def take_further(base_id: str, motion: Motion, query: Query, gates: QuestionGates) -> Question | Rejected:
    """The question that goes a step further than `query`, whose id is `base_id`; Rejected where none is certain."""
    if query.task not in KINDS or len(query.objects) > 2:
        return Rejected("no further step is asked of it")
    known: list[tuple[Measurement, int]] = []
    for j in query.objects:
        measured = measure(motion, query, j, gates)
        if isinstance(measured, Rejected):
            return measured
        known.append((measured, j))
    known.sort(reverse=True)  # the faster one first
    quantity, unit = ("traveled_distance", "m") if query.task == "traveled_distance" else ("traveling_speed", "km/h")
    printed = [Decimal(f"{measured.value:.2f}") for measured, _ in known]
    pairs = zip(printed, known, strict=True)
    steps = [Step(f"{quantity} of {motion.colors[j]}", float(value), unit) for value, (_, j) in pairs]

    (basis, best), value = known[0], printed[0]
    if len(known) == 2:
        basis, value = _difference(basis, known[1][0]), printed[0] - printed[1]
        steps.append(Step("difference", float(value), unit))
    if value < LEAST:
        return Rejected("too small for two decimals")
    if len(known) == 2 and basis.relative_noise > gates.max_relative_noise:
        return Rejected("difference lost in label noise")
    kind = _choose(base_id, KINDS[query.task])
    given, further = _further(kind, base_id, value)
    if further[-1].value < LEAST:
        return Rejected("too small for two decimals")
    steps += further

    result = f"{steps[-1].value:.2f}"
    target = str(value) if kind in UNITS else result
    # To first order, a quotient is off by the same share as what is measured in it.
    sigma = round(float(target) * basis.sigma / basis.value, 4) if motion.noise[best] != NOISELESS else None
    names = [name_of(motion, j) for j in query.objects]
    words = {"object": names[0], "given": given, "value": result}
    words |= {"measured": str(printed[0]), "slower": str(printed[-1])}
    words |= comparison_words(names, query.objects.index(best)) if len(names) == 2 else {}
    wording = min(multistep_wordings()[kind], key=lambda wording: stable_hash(base_id, wording.template_id))
    question = make_question(query, wording, wording.answer, words, target, sigma=sigma)
    return replace(question, task=TASKS[kind], steps=tuple(steps))


def _difference(fast: Measurement, slow: Measurement) -> Measurement:
    """How much faster one is than another whose noise is independent; what noise adds to both cancels out."""
    return Measurement(fast.value - slow.value, float(np.hypot(fast.sigma, slow.sigma)), abs(fast.bias - slow.bias))


def _further(kind: str, base_id: str, value: Decimal) -> tuple[str, list[Step]]:
    """What the question gives, in words, and the steps from a distance in metres or a speed in km/h to the answer."""
    if kind in UNITS:
        given = _choose(base_id, UNITS[kind])
        sign, size = UNITS[kind][given]
        return given, [_step("converted", value / size, sign)]
    if kind == "speed_ratio":
        given = _choose(base_id, KNOWN_KMH)
        known = Step("given speed", KNOWN_KMH[given], "km/h")
        return given, [known, _step(kind, value / KNOWN_KMH[given], "times")]
    length_m = _choose(base_id, LENGTHS_M[kind])
    return str(length_m), [Step("given distance", length_m, "m"), _step(kind, length_m * KMH_PER_MPS / value, "s")]


def _step(name: str, value: Decimal, unit: str) -> Step:
    return Step(name, float(value.quantize(Decimal("0.01"), ROUND_HALF_UP)), unit)


def _choose(base_id: str, options: Iterable[T]) -> T:
    return min(options, key=lambda option: stable_hash(base_id, option))

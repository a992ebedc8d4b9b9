"""A step further from what is measured: answers by hand, through the scorer's own parser, and from their own steps."""

import re
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.questions.clips import clip_of, straight

from stvlm.questions import multistep
from stvlm.questions.asking import Motion, Query, QuestionGates, Span, answer
from stvlm.questions.multistep import KINDS, LENGTHS_M, UNITS, take_further
from stvlm.questions.templates import multistep_wordings
from stvlm.records import Array, Question, Rejected, Step, Task
from stvlm.scoring import MULTISTEP, TASKS, parse_answer, parse_target, score

GATES = QuestionGates()
KIND_OF = {kind: task for task, kinds in KINDS.items() for kind in kinds}


def further(
    kind: str, *xyz_m: Array, wording: int = 1, base_id: str = "id", part: tuple[int, int] | None = None, **choices: Any
) -> Question | Rejected:
    """What is asked of objects on these ways, with the kind, the wording and what is given chosen, not drawn."""
    scene = {name: choices.pop(name) for name in ("centre_noise_m", "domain") if name in choices}
    motion = Motion.of(clip_of(*xyz_m, **scene))
    task: Task = KIND_OF[kind]  # type: ignore[assignment]
    span = Span(*part, False) if part else motion.whole
    query = Query(task, tuple(range(len(xyz_m)))[: 2 if kind == "catch_up_time" else 1], span, f"{task}/1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(multistep.KINDS, task, (kind,))  # type: ignore[arg-type]
        patch.setattr(multistep, "multistep_wordings", lambda: {kind: multistep_wordings()[kind][wording - 1 :][:1]})
        if "unit" in choices:
            patch.setitem(UNITS, kind, {choices["unit"]: UNITS[kind][choices["unit"]]})  # type: ignore[arg-type]
        if "length_m" in choices:
            patch.setitem(LENGTHS_M, kind, (choices["length_m"],))  # type: ignore[arg-type]
        if "known" in choices:
            patch.setattr(multistep, "KNOWN_KMH", choices["known"])
        return take_further(base_id, motion, query, GATES)


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "speeds_mps", "task", "target", "value", "steps"),
    [  # 5 s at 4 m/s are 20 m, at 14.4 km/h
        ("distance_converted", {"unit": "feet"}, [4.0], "traveled_distance", "20.00", "65.62 feet",
         [("traveled_distance of red", 20.0, "m"), ("converted", 65.62, "ft")]),
        ("distance_converted", {"unit": "yards"}, [4.0], "traveled_distance", "20.00", "21.87 yards",
         [("traveled_distance of red", 20.0, "m"), ("converted", 21.87, "yd")]),
        ("speed_converted", {"unit": "miles per hour"}, [4.0], "traveling_speed", "14.40", "8.95 miles per hour",
         [("traveling_speed of red", 14.4, "km/h"), ("converted", 8.95, "mph")]),
        ("speed_converted", {"unit": "meters per second"}, [4.0], "traveling_speed", "14.40", "4.00 meters per second",
         [("traveling_speed of red", 14.4, "km/h"), ("converted", 4.0, "m/s")]),
        ("time_to_cover", {"length_m": 50}, [4.0], "time_to_cover", "12.50", "12.50 seconds",
         [("traveling_speed of red", 14.4, "km/h"), ("given distance", 50.0, "m"), ("time_to_cover", 12.5, "s")]),
        ("speed_ratio", {"known": {"a cyclist riding at 20 km/h": 20}}, [4.0], "speed_ratio", "0.72", "0.72 times",
         [("traveling_speed of red", 14.4, "km/h"), ("given speed", 20.0, "km/h"), ("speed_ratio", 0.72, "times")]),
        ("catch_up_time", {"length_m": 50}, [4.0, 6.5], "catch_up_time", "20.00", "20.00 seconds",  # 2.5 m/s faster
         [("traveling_speed of blue", 23.4, "km/h"), ("traveling_speed of red", 14.4, "km/h"),
          ("difference", 9.0, "km/h"), ("given distance", 50.0, "m"), ("catch_up_time", 20.0, "s")]),
    ],
)  # fmt: skip
def test_each_step_by_hand(
    kind: str, given: dict[str, Any], speeds_mps: list[float], task: str, target: str, value: str, steps: list[Any]
) -> None:
    question = further(kind, *(straight(v, 11) for v in speeds_mps), **given)
    assert isinstance(question, Question), question
    assert (question.task, question.target, question.choices) == (task, target, ())
    assert value in question.answer
    assert list(question.steps) == [Step(*step) for step in steps]
    assert (question.start_s, question.end_s, question.target_sigma) == (0.0, 5.0, None)
    assert question.template_id == f"{kind}/1"


def test_what_is_printed_is_where_the_next_step_starts() -> None:
    """1.39 m/s are 5.004 km/h, printed 5.00: 500 m take 360 s of that, though 359.71 s of what was measured."""
    question = further("time_to_cover", straight(1.39, 11), length_m=500)
    assert isinstance(question, Question)
    assert (question.target, question.steps[0].value) == ("360.00", 5.0)
    exact_half = further("catch_up_time", straight(2.0, 5), straight(2.0 + 320 / 3.6, 5), length_m=100)
    assert isinstance(exact_half, Question)
    assert exact_half.target == "1.13"  # 360 / 320 is 1.125


def test_the_measured_value_is_the_one_that_the_base_row_prints() -> None:
    motion = Motion.of(clip_of(straight(5.217, 14)))
    for task, n in (("traveled_distance", 8), ("traveling_speed", 24)):
        query = Query(task, (0,), Span(2, 9, False), f"{task}/1")  # type: ignore[arg-type]
        base = answer(motion, query, GATES)
        assert isinstance(base, Question)
        for i in range(n):
            question = take_further(str(i), motion, query, GATES)
            assert isinstance(question, Question)
            assert f"{question.steps[0].value:.2f}" == base.target
            assert (question.start_s, question.end_s) == (1.0, 4.5)


def test_noise_of_what_is_measured_becomes_noise_of_the_answer() -> None:
    """Ends off by 0.1 m each: 0.1414 m of 20 m, so 0.707 % of 14.4 km/h, and of 12.5 s."""
    for kind, target_sigma, chosen in (
        ("distance_converted", 0.1414, {"unit": "feet"}),
        ("speed_converted", 0.1018, {"unit": "miles per hour"}),
        ("time_to_cover", 0.0884, {"length_m": 50}),
        ("speed_ratio", 0.0051, {"known": {"a cyclist riding at 20 km/h": 20}}),
    ):
        question = further(kind, straight(4.0, 11), centre_noise_m=0.1, **chosen)
        assert isinstance(question, Question)
        assert question.target_sigma == pytest.approx(target_sigma, abs=2e-4), kind
    # Two speeds off by 0.1018 km/h each: their difference of 9 km/h by 0.144, or 1.6 %.
    chase = further("catch_up_time", straight(4.0, 11), straight(6.5, 11), centre_noise_m=0.1, length_m=50)
    assert isinstance(chase, Question)
    assert chase.target_sigma == pytest.approx(20.0 * 0.144 / 9.0, abs=1e-3)


# --- what is not asked ------------------------------------------------------------------------------------------------


def test_other_tasks_and_three_objects_lead_no_further() -> None:
    motion = Motion.of(clip_of(straight(2.0, 9), straight(4.0, 9), straight(8.0, 9)))
    for task in TASKS:
        objects = (0, 1, 2) if task in KINDS and "comparison" in task else (0,)
        query = Query(task, objects, motion.whole, f"{task}/1")  # type: ignore[arg-type]
        found = take_further("id", motion, query, GATES)
        if task in ("traveled_distance", "traveling_speed"):
            assert isinstance(found, Question)
        else:
            assert found == Rejected("no further step is asked of it")


def test_a_difference_of_speeds_may_be_lost_in_noise_though_neither_speed_is() -> None:
    """Over 5 s with 0.25 m at each end: 0.36 km/h of each speed's 0.25, of their difference's 3.6 km/h 10 %."""
    for faster_mps, asked in ((5.05, True), (4.95, False)):
        paths = straight(4.0, 11), straight(faster_mps, 11)
        found = further("catch_up_time", *paths, centre_noise_m=0.25, length_m=50)
        assert isinstance(found, Question) if asked else found == Rejected("difference lost in label noise")


@pytest.mark.parametrize(
    ("kind", "speeds_mps", "given", "asked"),
    [
        ("speed_ratio", [3.5], {"known": {"a car driving through a city at 50 km/h": 50}}, True),  # 12.6 / 50 is 0.252
        ("speed_ratio", [3.4], {"known": {"a car driving through a city at 50 km/h": 50}}, False),  # 0.2448
        ("catch_up_time", [4.0, 4.07], {"length_m": 50}, True),  # 0.252 km/h faster
        ("catch_up_time", [4.0, 4.06], {"length_m": 50}, False),
        ("catch_up_time", [4.0, 4.0], {"length_m": 50}, False),
        ("catch_up_time", [4.0, 43.9], {"length_m": 10}, True),  # 0.25 s
        ("catch_up_time", [4.0, 45.0], {"length_m": 10}, False),
        ("speed_converted", [0.41], {"unit": "meters per second"}, True),
    ],
)
def test_what_two_decimals_leave_open_is_not_asked(
    kind: str, speeds_mps: list[float], given: dict[str, Any], asked: bool
) -> None:
    found = further(kind, *(straight(v, 11) for v in speeds_mps), **given)
    assert isinstance(found, Question) if asked else found == Rejected("too small for two decimals")


def test_what_is_not_measured_well_leads_no_further() -> None:
    assert further("time_to_cover", straight(0.39, 11)) == Rejected("moved too little")
    assert further("time_to_cover", straight(1.0, 11), centre_noise_m=0.5) == Rejected("motion lost in label noise")
    assert further("catch_up_time", straight(4.0, 11), straight(0.3, 11)) == Rejected("moved too little")


# --- which step is taken ----------------------------------------------------------------------------------------------


def test_hashes_of_the_id_choose_and_nothing_measured() -> None:
    chosen: dict[str, list[Any]] = {}
    for v in (5.3, 31.0):
        motion = Motion.of(clip_of(straight(v, 11)))
        query = Query("traveling_speed", (0,), motion.whole, "traveling_speed/1")
        for i in range(600):
            found = take_further(f"id {i}", motion, query, GATES)
            assert isinstance(found, Question)
            stem = re.sub(r"\d+\.\d\d", "", found.question)
            chosen.setdefault(f"id {i}", []).append((found.template_id, stem))
    assert all(first == second for first, second in chosen.values())
    kinds = Counter(first[0].partition("/")[0] for first, _ in chosen.values())
    assert set(kinds) == set(KINDS["traveling_speed"])
    assert min(kinds.values()) > 160  # of 200
    assert len({first[0] for first, _ in chosen.values()}) == 15


# --- every wording ----------------------------------------------------------------------------------------------------

EVERY = [
    pytest.param(kind, i + 1, id=f"{kind}/{i + 1}") for kind, w in multistep_wordings().items() for i in range(len(w))
]
PARTS = st.sampled_from([None, (2, 7)])
SPEEDS_MPS = st.floats(0.8, 40.0)


def recomputed(kind: str, steps: tuple[Step, ...]) -> Decimal:
    """The last step from those before it, as a reader would."""
    values = [Decimal(str(step.value)) for step in steps]
    unit = {"ft": "0.3048", "yd": "0.9144", "mph": "1.609344", "m/s": "3.6"}.get(steps[-1].unit, "1")
    if kind == "catch_up_time":
        assert values[2] == values[0] - values[1] > 0
    if kind in ("time_to_cover", "catch_up_time"):
        result = values[-2] * Decimal("3.6") / values[-3]
    else:
        result = values[0] / (values[1] if kind == "speed_ratio" else Decimal(unit))
    return result.quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.mark.parametrize(("kind", "wording"), EVERY)
@settings(max_examples=30)
@given(SPEEDS_MPS, SPEEDS_MPS, PARTS, st.integers(0, 10_000))
def test_every_answer_is_right_and_follows_from_its_steps(
    kind: str, wording: int, v: float, w: float, part: tuple[int, int] | None, seed: int
) -> None:
    paths = [straight(v, 12), straight(w, 12, 90.0)]
    count = 2 if kind == "catch_up_time" or seed % 2 else 1
    question = further(kind, *paths[:count], wording=wording, base_id=str(seed), part=part)
    if isinstance(question, Rejected):
        assert question == Rejected("too small for two decimals")
        return
    text = question.question + question.answer
    assert not re.search(r"[{}]|  |None|nan", text)
    assert question.question[0].isupper() and question.answer[0].isupper()
    assert recomputed(kind, question.steps) == Decimal(str(question.steps[-1].value))
    assert all(f"{step.value:.2f}" in question.answer for step in (question.steps[0], question.steps[-1]))
    truth = parse_target(question.task, question.target)
    parsed = parse_answer(question.task, question.answer, (), question.question)
    if kind in UNITS:
        size = {"ft": 0.3048, "yd": 0.9144, "mph": 1.609344, "m/s": 3.6}[question.steps[-1].unit]
        assert question.target == f"{question.steps[0].value:.2f}"
        assert parsed.value == pytest.approx(truth, abs=0.006 * size)
    else:
        assert question.target == f"{question.steps[-1].value:.2f}"
        assert parsed.value == truth
    assert score(question.task, parsed, question.target).correct
    if part:
        assert not re.search(r"throughout|whole|(during|within) the video", text)
        assert "1.00" in question.question and "3.50" in question.question
    named = re.findall(r"\b(red|blue)\b", question.question)
    assert named == ([] if count == 1 else ["red", "blue"] if kind == "catch_up_time" else ["red"])


@given(SPEEDS_MPS, SPEEDS_MPS, st.integers(0, 10_000))
def test_a_question_tells_nothing_of_its_answer(v: float, w: float, seed: int) -> None:
    """Whoever is faster is asked about in the same words, and the mirror image has the same answer."""
    paths = straight(v, 12), straight(w, 12, 60.0)
    first, second = (further("catch_up_time", *pair, base_id=str(seed)) for pair in (paths, paths[::-1]))
    mirrored = further("catch_up_time", *(path * [1.0, -1.0, 1.0] for path in paths), base_id=str(seed))
    assert mirrored == first
    if isinstance(first, Question) and isinstance(second, Question):
        assert (first.question, first.target) == (second.question, second.target)


def test_the_wordings_cover_every_step() -> None:
    assert set(multistep_wordings()) == set(KIND_OF) == set(multistep.TASKS)
    assert {*multistep.TASKS.values()} - set(TASKS) == set(MULTISTEP)
    for kind, of_kind in multistep_wordings().items():
        assert len({wording.question for wording in of_kind}) == len(of_kind) == 5
        for wording in of_kind:
            assert "{given}" in wording.question and "{span}" in wording.question
            assert "{value}" in wording.answer and "{measured}" in wording.answer
            assert not re.search("{(value|measured|slower|winner|losers)}", wording.question)
            for unit, (_, size) in UNITS.get(kind, {}).items():  # a bare number is read in the unit asked for
                question = wording.question.format(given=unit, object="the object", span="throughout the video")
                assert parse_answer(multistep.TASKS[kind], "20", [], question) == (pytest.approx(20 * float(size)), "")
            assert ("{slower}" in wording.answer) == (kind == "catch_up_time")
            assert wording.question[-1] in "?." and wording.answer[-1] == "."

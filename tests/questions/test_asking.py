"""Which questions a clip gives, with which answers: by hand, and for every wording through the scorer's own parser."""

import re
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.check_labels import check_row
from tests.questions.clips import clip_of, straight, turning

from stvlm.dataset.rows import make_row
from stvlm.dataset.video import VideoSettings
from stvlm.questions import asking
from stvlm.questions.asking import Motion, Query, QuestionGates, answer, ask, common_prompt, query_id
from stvlm.questions.templates import Wording, held_out_wordings, wordings
from stvlm.records import Array, Clip, Noise, Question, Rejected, Task
from stvlm.scoring import COMPARISONS, TASKS, parse_answer, parse_target, score

ALL = QuestionGates(per_clip=100, comparisons_per_clip=100)


def questions(clip: Clip, task: str = "", gates: QuestionGates = ALL) -> list[Question]:
    return [question for _, question in ask(Motion.of(clip), gates, Counter()) if task in ("", question.task)]


def reasons(clip: Clip, task: str, gates: QuestionGates = ALL) -> Counter[str]:
    counted: Counter[str] = Counter()
    ask(Motion.of(clip), gates, counted)
    return Counter({key.removeprefix(f"{task}: "): n for key, n in counted.items() if key.startswith(f"{task}: ")})


# --- answers by hand --------------------------------------------------------------------------------------------------


def test_distance_and_speed_of_the_whole_clip_and_of_parts() -> None:
    clip = clip_of(straight(4.0, 21))  # 10 s at 4 m/s: 40 m, 14.4 km/h
    distances = questions(clip, "traveled_distance")
    assert len(distances) == 3
    assert [q.target for q in distances if (q.start_s, q.end_s) == (0.0, 10.0)] == ["40.00"]
    for question in distances:
        assert float(question.target) == pytest.approx(4.0 * (question.end_s - question.start_s))
        assert question.end_s - question.start_s >= 2.0
    assert {q.target for q in questions(clip, "traveling_speed")} == {"14.40"}


def test_direction_and_when(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_of(turning([(0, 6), (90, 4)]))  # 3 s straight on, 2 s to the right
    [direction] = questions(clip, "movement_direction")
    assert direction.target == "3"
    only(monkeypatch, wordings()["direction_timestamp"][0])
    asked = {q.question: q.target for q in questions(clip, "direction_timestamp")}
    stem = "Taking its initial heading as 12 o'clock, when does the object move in the {} o'clock direction?"
    assert asked == {stem.format(12): "0.00-3.00", stem.format(3): "3.00-5.00"}


def test_choices_follow_the_question_and_yes_means_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, next(w for w in wordings()["traveled_distance_comparison"] if w.is_yes_no))
    for slow, fast in ((0, 1), (1, 0)):
        speeds = {slow: 2.0, fast: 8.0}
        for name in "abcdef":
            clip = clip_of(straight(speeds[0], 9), straight(speeds[1], 9), clip_id=name)
            for question in questions(clip, "traveled_distance_comparison"):
                asked = re.findall(r"(red|blue)", question.question)
                assert list(question.choices) == asked
                assert question.target == clip.colors[fast]
                opening = "Yes, " if question.target == asked[0] else "No, "
                assert question.answer.startswith(opening + f"the object in the {question.target} bounding box moves")


def test_the_least_of_three_is_the_one_that_all_others_beat() -> None:
    clip = clip_of(straight(9.0, 9), straight(2.0, 9), straight(4.0, 9))
    asked = questions(clip, "traveling_speed_comparison")
    assert len(asked) == 3
    for question in asked:
        wanted = "blue" if re.search("slow|low", question.question) else "red"
        assert question.target == wanted
        assert sorted(question.choices) == ["blue", "green", "red"]


def test_one_object_is_the_object_and_several_go_by_colour() -> None:
    alone = questions(clip_of(turning([(0, 6), (90, 4)])))
    assert {q.task for q in alone} == set(TASKS) - set(COMPARISONS)
    for question in alone:
        text = question.question + question.answer
        assert not re.search("red|blue|green|bounding box", text)
        assert "he object" in question.question
    together = questions(clip_of(turning([(0, 6), (90, 4)]), straight(3.0, 11, 90.0)))
    assert {q.task for q in together} == set(TASKS)
    for question in together:
        assert "the object " not in question.question.replace("the object in the", "")


# --- what is asked, and what is not: each gate just passed and just failed --------------------------------------------


def test_under_two_metres_nothing_is_asked() -> None:
    assert [q.target for q in questions(clip_of(straight(1.0, 5)), "traveled_distance")] == ["2.00"]
    assert questions(clip_of(straight(0.999, 5)), "traveled_distance") == []
    assert reasons(clip_of(straight(0.999, 5)), "traveled_distance") == {"moved too little": 1}
    assert questions(clip_of(straight(0.999, 5)), "traveling_speed") == []


def test_a_winner_beats_the_others_by_a_quarter() -> None:
    for speed_mps, count in ((2.5, 1), (2.499, 0)):
        clip = clip_of(straight(speed_mps, 5), straight(2.0, 5))
        assert len(questions(clip, "traveled_distance_comparison")) == count
        assert len(questions(clip, "traveling_speed_comparison")) == count
    assert reasons(clip, "traveled_distance_comparison") == {"no clear winner": 1}


def test_a_recipe_may_ask_for_clearer_winners() -> None:
    pair = clip_of(straight(3.9, 5), straight(2.0, 5))
    assert len(questions(pair, "traveling_speed_comparison")) == 1
    assert questions(pair, "traveling_speed_comparison", QuestionGates(win_ratio=2.0)) == []
    pair = clip_of(straight(4.0, 5), straight(2.0, 5))
    assert len(questions(pair, "traveling_speed_comparison", QuestionGates(win_ratio=2.0))) == 1


def test_the_loser_too_has_moved_two_metres() -> None:
    assert len(questions(clip_of(straight(8.0, 5), straight(1.0, 5)), "traveled_distance_comparison")) == 1
    parked = clip_of(straight(8.0, 5), straight(0.9, 5))
    assert reasons(parked, "traveled_distance_comparison") == {"moved too little": 1}


def test_a_winner_is_not_decided_by_noise() -> None:
    pair = straight(1.3, 9), straight(1.0, 9)
    assert questions(clip_of(*pair), "traveled_distance_comparison") != []
    noisy = clip_of(*pair, centre_noise_m=0.2)
    assert questions(noisy, "traveled_distance_comparison", QuestionGates(100, 100, max_relative_noise=10.0)) == []
    assert reasons(noisy, "traveled_distance_comparison", QuestionGates(100, 100, max_relative_noise=10.0)) == {
        "winner lost in label noise": 3
    }


@pytest.mark.parametrize(
    ("turn_deg", "target"),
    [(0, "same"), (29.9, "same"), (30.1, ""), (59.9, ""), (60.1, "different"), (180, "different")],
)
def test_bearings_between_same_and_different_are_not_asked(turn_deg: float, target: str) -> None:
    for sign in (1, -1):
        clip = clip_of(straight(4.0, 9, 10.0), straight(4.0, 9, 10.0 + sign * turn_deg))
        assert {q.target for q in questions(clip, "movement_direction_comparison")} == ({target} if target else set())


def test_bearings_need_two_metres_of_net_displacement() -> None:
    there_and_back = np.vstack([straight(4.0, 5), straight(4.0, 5)[-2::-1]])  # 16 m of path, 0 m net
    clip = clip_of(there_and_back, straight(4.0, 9))
    for question in questions(clip, "movement_direction_comparison"):
        assert (question.start_s, question.end_s) != (0.0, 4.0)
    assert reasons(clip, "movement_direction_comparison")["moved too little"] >= 1


def test_noise_that_decides_a_distance_or_a_heading_is_not_asked_about() -> None:
    crisp, lost = clip_of(straight(2.0, 9), centre_noise_m=0.05), clip_of(straight(2.0, 9), centre_noise_m=0.5)
    assert len(questions(crisp, "traveled_distance")) == 3
    assert reasons(lost, "traveled_distance") == {"motion lost in label noise": 3}
    # Both headings over 1 m: sqrt(2) * sqrt(2) * 0.087 m / 1 m is 10 degrees.
    for noise_m, count in ((0.0872, 1), (0.0873, 0)):
        assert len(questions(clip_of(straight(2.0, 9), centre_noise_m=noise_m), "movement_direction")) == count


def test_bearings_are_lost_in_noise_across_the_motion_and_not_along_it() -> None:
    """Both have gone 16 m: sqrt(2) * sqrt(2) * 1.4 m / 16 m is 10.03 degrees, 1.39 m are 9.96."""
    motion = Motion.of(clip_of(straight(4.0, 9), straight(4.0, 9, 90.0)))
    task = "movement_direction_comparison"
    whole = Query(task, (0, 1), motion.whole, wordings()[task][0].template_id)
    for noise, lost in ((Noise(0.1, 0.1, 0.0, 1.4), True), (Noise(5.0, 0.1, 0.5, 1.39), False)):
        found = answer(motion._replace(noise=(noise, noise)), whole, ALL)
        assert (found == Rejected("heading lost in label noise")) is lost


def test_the_noise_of_a_target_is_told_where_there_is_any() -> None:
    [question] = questions(clip_of(straight(4.0, 5), centre_noise_m=0.05), "traveled_distance")
    assert question.target_sigma == pytest.approx(np.sqrt(2) * 0.05, abs=1e-4)
    assert questions(clip_of(straight(4.0, 5)), "traveled_distance")[0].target_sigma is None
    assert questions(clip_of(straight(4.0, 5), centre_noise_m=0.05), "movement_direction")[0].target_sigma is None


@pytest.mark.parametrize(
    ("legs", "targets", "reason"),
    [
        ([(0, 6), (90, 4)], {"0.00-3.00", "3.00-5.00"}, ""),  # 6 of 10 steps are 60 %
        ([(0, 7), (90, 4)], {"3.50-5.50"}, "moves into the hour for most of the clip"),
        ([(0, 5), (90, 1), (60, 4)], {"0.00-2.50", "3.00-5.00"}, "moves into the hour for under 1 s"),
        ([(0, 3), (90, 4), (0, 3)], {"1.50-3.50"}, "moves into the hour more than once"),
    ],
)
def test_when_is_asked_of_an_hour_that_occurs_once_and_not_for_long(
    legs: list[tuple[float, int]], targets: set[str], reason: str
) -> None:
    clip = clip_of(turning(legs))
    assert {q.target for q in questions(clip, "direction_timestamp")} == targets
    assert set(reasons(clip, "direction_timestamp")) == ({reason} if reason else set())


def test_sports_have_distance_and_speed_on_the_ground_and_no_directions() -> None:
    bobbing = straight(4.0, 9) + [[0, 0, 1.5 + 0.5 * (i % 2)] for i in range(9)]
    clip = clip_of(bobbing, straight(2.0, 9, 90.0), domain="sports")
    asked = questions(clip)
    assert {q.task for q in asked} == {
        "traveled_distance", "traveling_speed", "traveled_distance_comparison", "traveling_speed_comparison"
    }  # fmt: skip
    assert not any(re.search(r"direction|o'clock|heading", q.question + q.answer) for q in asked)
    red = {q.target for q in asked if q.task == "traveling_speed" and "red" in q.question}
    assert red <= {"14.40"}


def test_at_most_six_questions_of_which_four_compare() -> None:
    clip = clip_of(turning([(0, 6), (90, 4)]), turning([(180, 5), (90, 5)], 2.0), straight(12.0, 11, 45.0))
    assert len(questions(clip)) > 6
    tasks = [q.task for q in questions(clip, gates=QuestionGates())]
    assert len(tasks) == 6
    assert sum(task in COMPARISONS for task in tasks) == 4
    assert len({task for task in tasks if task not in COMPARISONS}) == 2


# --- the prompt -------------------------------------------------------------------------------------------------------


def test_the_common_prompt_by_hand() -> None:
    assert common_prompt([0.0, 0.5, 1.0, 1.5, 2.0], ["red"]) == (
        "The video lasts for 2.00 seconds, and 5 frames are uniformly sampled from it. These frames are located at "
        "0.00, 0.50, 1.00, 1.50, 2.00 seconds. There is 1 object annotated with a red bounding box in the video."
    )
    three = common_prompt([i / 2 for i in range(40)], ["red", "blue", "green"])
    assert three.startswith("The video lasts for 19.50 seconds, and 40 frames are uniformly sampled from it.")
    assert three.endswith("There are 3 objects annotated with red, blue and green bounding boxes in the video.")
    assert "red and blue bounding boxes" in common_prompt([0.0, 0.5], ["red", "blue"])


# --- every wording, through the parser that scores models -------------------------------------------------------------


def only(monkeypatch: pytest.MonkeyPatch, *chosen: Wording) -> None:
    """Leaves the given wordings of their task, and all of the others."""
    task = chosen[0].template_id.partition("/")[0]
    monkeypatch.setattr(asking, "wordings", lambda: {**wordings(), task: chosen})


def casts(task: Task) -> list[list[Array]]:
    """Objects for which a task has every kind of answer: each may win, hours are small and large, numbers odd."""
    speeds = (1.07, 7.93, 96.43)  # from 2.14 m in 2 s to 1 880 m in 19.5 s: a target of four digits
    if task in ("traveled_distance", "traveling_speed"):
        together = [[straight(v, 12) for v in order] for size in (2, 3) for order in permutations(speeds, size)]
        return [[straight(v, n)] for v in speeds for n in (5, 6, 40)] + together
    if task in ("movement_direction", "direction_timestamp"):
        turned = [[turning([(0, 5), (30.0 * hour, 4)])] for hour in range(1, 13)]
        return [*turned, [turned[k][0] for k in (2, 8)], [turned[k][0] for k in (0, 6, 10)]]
    if task == "movement_direction_comparison":
        headings = [(0, 0), (0, 90), (0, 180), (0, 0, 0), (0, 90, 180)]
        return [[straight(5.0, 12, h) for h in of_clip] for of_clip in headings]
    return [[straight(v, 12) for v in order] for size in (2, 3) for order in permutations(speeds, size)]


EVERY = [
    pytest.param(task, w, id=w.template_id)
    for of_all in (wordings(), held_out_wordings())
    for task, of_task in of_all.items()
    for w in of_task
]


@pytest.mark.parametrize(("task", "wording"), EVERY)
def test_every_answer_is_read_back_as_its_target(monkeypatch: pytest.MonkeyPatch, task: Task, wording: Wording) -> None:
    for_three = next(w for w in wordings()[task] if not w.objects)
    only(monkeypatch, wording, *([for_three] if wording.objects else []))
    spans, seen = set(), set()
    for i, objects in enumerate(casts(task)):
        for name in "abc":
            clip = clip_of(*objects, clip_id=f"{name}{i}")
            for query, q in ask(Motion.of(clip), ALL, Counter()):
                if q.task != task:
                    continue
                assert not re.search(r"[{}]|  |None|nan", q.question + q.answer), q
                assert q.question[0].isupper() and q.answer[0].isupper()
                parsed = parse_answer(task, q.answer, q.choices, q.question)
                truth = parse_target(task, q.target, q.choices)
                assert parsed.value == (pytest.approx(truth) if isinstance(truth, float) else truth), (q, parsed)
                assert score(task, parsed, q.target).correct
                if task in COMPARISONS[:2]:  # "red is faster than blue and green": each once, the winner first
                    told = re.findall("red|blue|green", q.answer)
                    assert told[0] == q.target
                    assert len(set(told)) == len(told)
                whole = (q.start_s, q.end_s) == (0.0, (len(objects[0]) - 1) / 2)
                if not whole:
                    assert not re.search(r"throughout|whole|(during|within) the video", q.question + q.answer)
                    assert f"{q.start_s:.2f}" in q.question
                    assert f"{q.end_s:.2f}" in q.question
                row = make_row(clip, query, q, VideoSettings())
                assert check_row(row, dict(zip(clip.colors, objects, strict=True))) == []
                spans.add(whole)
                seen.add((len(objects), wording.is_yes_no and q.answer.split(",")[0]))
    sizes = {size for size, _ in seen}
    assert sizes == ({2, 3} if task in COMPARISONS else {1, 2, 3})
    if task in ("traveled_distance", "traveling_speed"):
        assert spans == {True, False}
    if wording.is_yes_no:
        assert {(2, "Yes"), (2, "No")} <= seen


# --- anything that moves ----------------------------------------------------------------------------------------------

legs = st.lists(st.tuples(st.integers(-180, 180), st.integers(1, 6)), min_size=4, max_size=7)


@given(st.lists(st.tuples(legs, st.integers(1, 60)), min_size=1, max_size=3), st.text("abc", min_size=4, max_size=8))
def test_whatever_moves_is_asked_what_another_program_confirms(
    movers: list[tuple[list[tuple[int, int]], int]], clip_id: str
) -> None:
    # Odd lengths and headings: at a bound itself, two programs may round differently.
    odd = [([(turn + 0.123 * j, steps) for turn, steps in of_object], v) for j, (of_object, v) in enumerate(movers)]
    paths = [turning(of_object, 0.4873 * v) for of_object, v in odd]
    n = min(40, min(map(len, paths)))
    clip = clip_of(*(path[:n] for path in paths), clip_id=clip_id)
    asked = ask(Motion.of(clip), QuestionGates(), Counter())
    assert len(asked) <= 6
    assert len({query_id(clip, query) for query, _ in asked}) == len(asked)
    assert sum(q.task in COMPARISONS for _, q in asked) <= 4
    for query, question in asked:
        row = make_row(clip, query, question, VideoSettings())
        assert check_row(row, dict(zip(clip.colors, clip.xyz_m, strict=True))) == [], question
    assert ask(Motion.of(clip), QuestionGates(), Counter()) == asked

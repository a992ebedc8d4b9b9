"""Questions by task, their truth, and verdicts on answers."""

import numpy as np
import pytest

from stvlm.demo.asking import as_words, ask_by_task, hours_of, judge, tasks_for, title_of
from stvlm.questions.asking import Motion
from stvlm.records import NOISELESS, DataError, Question, Rejected

# 3 m straight on, then 4 m to the right; and a slower one that goes straight on.
TURNS = [[0, 0], [1.5, 0], [3, 0], [3, -1], [3, -2], [3, -3], [3, -4]]
STRAIGHT = [[0, 5], [0.5, 5], [1, 5], [1.5, 5], [2, 5], [2.5, 5], [3, 5]]


def motion(*paths: list[list[float]]) -> Motion:
    xyz_m = np.array([[[x, y, 0.0] for x, y in path] for path in paths])
    return Motion("clip", "driving", (NOISELESS,) * len(paths), xyz_m)


@pytest.mark.parametrize(
    ("task", "target"),
    [
        ("traveled_distance", "7.00"),
        ("traveling_speed", "8.40"),  # 7 m in 3 s
        ("movement_direction", "3"),
        ("direction_timestamp", "1.00-3.00"),
        ("traveled_distance_comparison", "red"),
        ("traveling_speed_comparison", "red"),
        ("movement_direction_comparison", "same"),  # 53 degrees off: neither, so the truth is that there is none
    ],
)
def test_the_truth_is_the_datasets(task: str, target: str) -> None:
    asked = ask_by_task(task, 2, 7, 3, motion(TURNS, STRAIGHT))
    if task == "movement_direction_comparison":
        assert asked.truth == Rejected("neither the same nor a different direction")
    elif task == "direction_timestamp":
        assert asked.truth == Rejected("moves into the hour for most of the clip")  # 2 of 3 seconds
    else:
        assert isinstance(asked.truth, Question) and asked.truth.target == target


def test_words_are_the_same_whether_the_truth_is_known_or_not() -> None:
    for task in tasks_for(2):
        known = ask_by_task(task, 2, 7, 3, motion(TURNS, STRAIGHT))
        assert ask_by_task(task, 2, 7, 3).question == known.question
        assert ask_by_task(task, 2, 7, 3).choices == known.choices
    asked = ask_by_task("traveled_distance", 1, 7)
    assert asked.question == "How far does the object travel throughout the video?" and asked.truth is None


def test_comparisons_need_two() -> None:
    assert tasks_for(1) == ["traveled_distance", "traveling_speed", "movement_direction", "direction_timestamp"]
    assert len(tasks_for(2)) == 7
    with pytest.raises(DataError, match="needs two objects"):
        ask_by_task("traveled_distance_comparison", 1, 7)
    with pytest.raises(DataError, match="is no task"):
        ask_by_task("weight", 1, 7)


@pytest.mark.parametrize("hour", [0, 13, -3])
def test_a_clock_has_twelve_hours(hour: int) -> None:
    with pytest.raises(DataError, match="The hour is one of 1 to 12"):
        ask_by_task("direction_timestamp", 1, 7, hour)
    assert ask_by_task("traveled_distance", 1, 7, hour).question


def test_a_title_says_which_hour() -> None:
    assert title_of("direction_timestamp", 9) == "When does it move towards 9 o'clock?"
    assert title_of("movement_direction", 9) == "Which way does it turn?"
    assert title_of("traveling_speed", 9) == "How fast is it?"
    assert title_of("traveling_speed", 9, 2) == "How fast is the red one?"
    assert title_of("direction_timestamp", 9, 2) == "When does the red one move towards 9 o'clock?"
    assert ask_by_task("direction_timestamp", 1, 7, 9).title == "When does it move towards 9 o'clock?"


def test_hours_with_a_certain_answer() -> None:
    assert hours_of(None) == list(range(1, 13))
    turns_late = [*([1.5 * i, 0] for i in range(5)), [6, -1], [6, -2]]
    assert hours_of(motion(turns_late)) == [3]  # straight on is most of the clip
    assert hours_of(motion([[0, 0]] * 7)) == list(range(1, 13))


def test_verdicts() -> None:
    asked = ask_by_task("traveled_distance", 1, 7, truth=motion(TURNS))
    right = judge(asked, "It travels about 8 meters.")
    assert right.parsed.value == 8.0 and right.outcome is not None
    assert right.outcome.correct and right.outcome.error == pytest.approx(1.0)
    wrong = judge(asked, "I cannot tell.")
    assert wrong.parsed.value is None and wrong.outcome is not None and not wrong.outcome.correct
    assert judge(ask_by_task("traveled_distance", 1, 7), "8 m").outcome is None


def test_values_as_words() -> None:
    assert as_words("traveled_distance", 8.0) == "8 m"
    assert as_words("traveling_speed", "8.40") == "8.40 km/h"
    assert as_words("direction_timestamp", (1.0, 3.0)) == "1.00 to 3.00 s"
    assert as_words("direction_timestamp", "1.00-3.00") == "1.00 to 3.00 s"
    assert as_words("movement_direction", 3) == "3 o'clock"
    assert as_words("traveling_speed_comparison", "red") == "red"

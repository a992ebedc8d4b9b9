"""Which mistakes are shown first, and what is said of them."""

import pytest

from stvlm.evaluation.mistakes import worst
from stvlm.evaluation.results import Answer
from stvlm.scoring import parse_answer, score

COLORS = ("red", "blue", "green")
HEADINGS = {"red": (1.0, 0.0), "blue": (0.0, 1.0), "green": (1.0, 0.1)}


def answer(id, task, text, target, choices=(), question="", sigma=None, colors=COLORS):
    row = {
        "id": id, "clip_id": f"clip {id}", "task": task, "target": target, "choices": list(choices),
        "question": question, "target_sigma": sigma, "start_s": 0.5, "end_s": 1.5,
        "objects": [{"color": color} for color in colors],
    }  # fmt: skip
    parsed = parse_answer(task, text, choices, question)
    return Answer(id, task, text, *parsed, *score(task, parsed, target), row)


def motion(**speeds):
    """Objects that move at metres a step along their headings, and before 0.5 s in a way that is not asked about."""
    paths = [[[k * speed * x - 100 * (k == 0), k * speed * y, 0.0] for k in range(4)]
             for speed, (x, y) in ((speed, HEADINGS[color]) for color, speed in speeds.items())]  # fmt: skip
    return {"xyz_m": paths, "world_SE3_camera": []}


def told(answers, motions=None, most=9):
    return {
        task: [(mistake.answer.id, mistake.told) for mistake in mistakes]
        for task, mistakes in worst(answers, motions or {}, most).items()
    }


def test_half_as_much_is_as_wrong_as_twice_as_much():
    answers = [
        answer("a", "traveled_distance", "25 m", "10.00"),
        answer("b", "traveled_distance", "3 m", "12.00"),
        answer("c", "traveled_distance", "0 m", "12.00"),
        answer("right", "traveled_distance", "12 m", "12.00"),
        answer("unread", "traveled_distance", "far", "12.00"),
        answer("d", "traveling_speed", "15 km/h", "10.00"),
    ]
    assert told(answers) == {
        "traveled_distance": [("c", "no motion at all"), ("b", "4.0 times too short"), ("a", "2.5 times too far")],
        "traveling_speed": [("d", "1.5 times too fast")],
    }
    assert told(answers, most=1)["traveled_distance"] == [("c", "no motion at all")]


def test_equally_wrong_hours_are_shown_where_the_truth_is_surest():
    answers = [
        answer("a", "movement_direction", "1 o'clock", "12", sigma=0.1),
        answer("b", "movement_direction", "9 o'clock", "3", sigma=0.3),
        answer("c", "movement_direction", "9 o'clock", "3", sigma=0.2),
    ]
    assert told(answers)["movement_direction"] == [("c", "6 hours off"), ("b", "6 hours off"), ("a", "1 hour off")]


def test_of_intervals_that_do_not_meet_the_farthest_is_worst():
    answers = [
        answer("a", "direction_timestamp", "from 1 to 2 s", "2.00-3.00"),
        answer("b", "direction_timestamp", "from 1 to 2 s", "8.00-9.00"),
        answer("c", "direction_timestamp", "from 1 to 3 s", "2.00-3.00"),
        answer("d", "direction_timestamp", "from 2 to 5 s", "2.00-3.00"),
    ]
    assert told(answers)["direction_timestamp"] == [
        ("b", "IoU 0.00, middles 7.0 s apart"), ("a", "IoU 0.00, middles 1.0 s apart"),
        ("d", "IoU 0.33, middles 1.0 s apart"),
    ]  # fmt: skip


def test_comparisons_are_worst_where_the_truth_is_clearest():
    question = "Which moves farther, the object in the red or the blue bounding box?"
    answers = [
        answer(name, "traveled_distance_comparison", "red", "blue", ("red", "blue"), question) for name in "abcd"
    ]
    motions = {
        "clip a": motion(red=1.0, blue=1.5, green=100.0),
        "clip b": motion(red=1.0, blue=3.0, green=0.0),
        "clip c": motion(red=0.0, blue=3.0, green=0.0),
    }
    assert told(answers, motions)["traveled_distance_comparison"] == [
        ("c", "red hardly moves, and blue does"), ("b", "blue moves 3.0 times as far as red"),
        ("a", "blue moves 1.5 times as far as red"), ("d", ""),
    ]  # fmt: skip


def test_a_slower_winner_is_told_as_well():
    question = "Which is slower, the red or the blue object?"
    answers = [answer("a", "traveling_speed_comparison", "red", "blue", ("red", "blue"), question)]
    assert told(answers, {"clip a": motion(red=4.0, blue=2.0, green=1.0)}) == {
        "traveling_speed_comparison": [("a", "red moves 2.0 times as fast as blue")]
    }


def test_headings_are_those_of_the_two_that_are_asked_about():
    asked = "Have the green and the {} object covered ground in the same direction?"  # "covered" is not red
    choices = ("same", "different")
    answers = [
        answer("84 degrees", "movement_direction_comparison", "same", "different", choices, asked.format("blue")),
        answer("6 degrees", "movement_direction_comparison", "different", "same", choices, asked.format("red")),
    ]
    motions = {f"clip {a.id}": motion(red=1.0, blue=1.0, green=1.0) for a in answers}
    # arctan(0.1) is 5.7 degrees, of 30: 0.81 on the way to the clearest; 84.3 is 24.3 of 120: 0.20.
    assert told(answers, motions)["movement_direction_comparison"] == [
        ("6 degrees", "their headings are 6° apart"), ("84 degrees", "their headings are 84° apart"),
    ]  # fmt: skip


def test_of_a_clip_one_mistake_is_shown():
    first = answer("a", "traveled_distance", "40 m", "10.00")
    second = answer("b", "traveled_distance", "50 m", "10.00")
    second.row["clip_id"] = first.row["clip_id"]
    assert told([first, second]) == {"traveled_distance": [("b", "5.0 times too far")]}


@pytest.mark.parametrize(
    ("task", "text", "target", "choices", "expected"),
    [
        ("traveled_distance", "13 m", "10.00", (), "3.00 m off"),
        ("speed_ratio", "2 times", "1.00", (), "1.00 off"),
        ("direction_timestamp", "from 1 to 2 s", "2.00-3.00", (), "IoU 0.00"),
        ("traveled_distance_comparison", "red", "blue", ("red", "blue"), ""),
    ],
)
def test_without_the_row_there_is_less_to_tell(task, text, target, choices, expected):
    known = answer("a", task, text, target, choices)._replace(row=None)
    assert told([known]) == {task: [("a", expected)]}

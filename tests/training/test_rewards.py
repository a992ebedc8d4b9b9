"""What answers are worth, by hand; every number is one that a pencil finds."""

import pytest

from stvlm.training.rewards import accuracy, agreement, closeness, reward_functions, seen_back, well_formed

QUESTIONS = {
    "traveled_distance": "How far does the object travel?",
    "traveling_speed": "How fast does the object move?",
    "movement_direction": "In which direction does the object move at the end?",
    "direction_timestamp": "When does the object move in the 3 o'clock direction?",
    "traveled_distance_comparison": "Which object travels farther?",
    "traveling_speed_comparison": "Which object moves faster?",
    "movement_direction_comparison": "Do they move in the same direction?",
}


def row(task, target, choices=()):
    times = [i / 2 for i in range(21)]  # a clip of 10 s
    given = {"task": task, "target": target, "choices": list(choices), "question": QUESTIONS[task]}
    return given | {"frame_times_s": times}


DISTANCE = row("traveled_distance", "20.00")
HOUR = row("movement_direction", "11")
SECONDS = row("direction_timestamp", "2.00-6.00")
WINNER = row("traveled_distance_comparison", "red", ["red", "blue"])


@pytest.mark.parametrize(
    ("asked", "answer", "is_right", "near"),
    [
        (DISTANCE, "It travels 20 meters.", 1, 1.0),
        (DISTANCE, "It travels 25 meters.", 1, 0.5),  # on the bound
        (DISTANCE, "It travels 15 meters.", 1, 0.5),
        (DISTANCE, "It travels 30 meters.", 0, 0.25),
        (DISTANCE, "It travels 10 meters.", 0, 0.25),
        (DISTANCE, "It travels 40 meters.", 0, 0.0625),
        (DISTANCE, "It travels far.", 0, 0.0),
        (row("traveling_speed", "36.00"), "It moves at 10 m/s.", 1, 1.0),
        (row("traveling_speed", "36.00"), "It moves at 54 km/h.", 0, 0.25),
        (HOUR, "It moves to 11 o'clock.", 1, 1.0),
        (HOUR, "It moves to 12 o'clock.", 0, 0.5),
        (HOUR, "It moves to 1 o'clock.", 0, 0.25),  # two hours on, over the top
        (HOUR, "It moves to 5 o'clock.", 0, 0.5**6),
        (SECONDS, "From 2.00 to 6.00 seconds.", 1, 1.0),
        (SECONDS, "From 2.00 to 4.00 seconds.", 1, 0.5),
        (SECONDS, "From 4.00 to 8.00 seconds.", 0, 1 / 3),
        (SECONDS, "From 7.00 to 8.00 seconds.", 0, 0.0),
        (WINNER, "The object in the red bounding box.", 1, 1.0),
        (WINNER, "The object in the blue bounding box.", 0, 0.0),
        (WINNER, "The object in the green bounding box.", 0, 0.0),
        (row("traveling_speed_comparison", "blue", ["red", "blue"]), "The blue one moves faster.", 1, 1.0),
        (row("movement_direction_comparison", "same", ["same", "different"]), "Yes, they do.", 1, 1.0),
        (row("movement_direction_comparison", "same", ["same", "different"]), "In different directions.", 0, 0.0),
    ],
)  # fmt: skip
def test_right_is_worth_a_half_and_more_and_wrong_a_half_and_less(asked, answer, is_right, near):
    assert accuracy(asked, answer) == is_right
    assert closeness(asked, answer) == pytest.approx(near)


@pytest.mark.parametrize(
    ("asked", "answer", "is_one"),
    [
        (DISTANCE, "It travels 20.15 meters.", 1),
        (DISTANCE, " It travels 20.15 meters between 2.50 and 4.00 seconds.\n", 1),
        (DISTANCE, "It travels 20.15 meters", 0),  # cut off
        (DISTANCE, "It travels 20.15 meters. It does.", 0),
        (DISTANCE, "It travels 20.15 meters\nIt does.", 0),
        (DISTANCE, "It travels 20 meters or 30 meters.", 0),
        (DISTANCE, "It travels.", 0),
        (DISTANCE, "", 0),
        (HOUR, "It moves to 3 o'clock or to 9 o'clock.", 0),
        (WINNER, "The red one travels farther than the blue one.", 1),
        (WINNER, "The red one or the blue one.", 0),
    ],
)
def test_format_is_one_sentence_with_one_answer(asked, answer, is_one):
    assert well_formed(asked, answer) == is_one


@pytest.mark.parametrize(
    ("task", "value", "mirrored", "backwards"),
    [
        ("traveled_distance", 20.15, 20.15, 20.15),
        ("traveling_speed", 8.0, 8.0, 8.0),
        ("movement_direction", 3, 9, 9),  # (0,0) (0,3) (3,3) turns right; from (3,3) it heads west and then south: left
        ("movement_direction", 11, 1, 1),
        ("movement_direction", 12, 12, 12),
        ("movement_direction", 6, 6, 6),
        ("direction_timestamp", (2.0, 6.5), (2.0, 6.5), (3.5, 8.0)),
        ("traveled_distance_comparison", "red", "red", "red"),
        ("traveling_speed_comparison", "blue", "blue", "blue"),
        ("movement_direction_comparison", "same", "same", "same"),
    ],
)
def test_what_a_twins_answer_says_of_the_clip_itself(task, value, mirrored, backwards):
    assert seen_back(task, value, "mirrored", 10.0) == mirrored
    assert seen_back(task, value, "reversed", 10.0) == backwards
    assert seen_back(task, mirrored, "mirrored", 10.0) == value
    assert seen_back(task, backwards, "reversed", 10.0) == value


@pytest.mark.parametrize(
    ("asked", "answer", "of_twin", "twin", "near"),
    [
        (HOUR, "To 3 o'clock.", ["To 9 o'clock."], "mirrored", 1.0),
        (HOUR, "To 3 o'clock.", ["To 3 o'clock."], "mirrored", 0.5**6),
        (HOUR, "To 3 o'clock.", ["To 9 o'clock.", "To 10 o'clock.", "Away."], "mirrored", (1 + 0.5 + 0) / 3),
        (DISTANCE, "7 meters.", ["7 meters.", "5.6 meters."], "reversed", (1 + 0.5) / 2),  # 1.4 is 25 % of 5.6
        (DISTANCE, "7 meters.", ["0 meters."], "reversed", 0.0),
        (DISTANCE, "Far.", ["7 meters."], "reversed", 0.0),
        (SECONDS, "From 2 to 6 seconds.", ["From 4 to 8 seconds."], "reversed", 1.0),
        (SECONDS, "From 2 to 6 seconds.", ["From 2 to 6 seconds."], "reversed", 1 / 3),
        (SECONDS, "From 2 to 6 seconds.", ["From 2 to 12 seconds."], "reversed", 0.0),  # starts before the clip does
        (SECONDS, "From 0 to 6 seconds.", ["From 4 to 10.004 seconds."], "reversed", 1.0),  # 4 ms after its end
        (WINNER, "The blue one.", ["The blue one.", "The red one."], "mirrored", 0.5),
    ],
)  # fmt: skip
def test_agreement_is_with_what_the_twin_says_of_the_clip(asked, answer, of_twin, twin, near):
    assert agreement(asked, answer, asked, of_twin, twin) == pytest.approx(near)


def test_rewards_of_a_step_find_the_row_and_the_twin_of_every_answer():
    """Answers in no order; what is right in the mirror is not what is right in the clip."""
    rows = [row("movement_direction", "3"), WINNER, row("movement_direction", "9"), WINNER]
    given = {
        "completions": ["To 3 o'clock.", "Red.", "To 9 o'clock.", "Blue.", "To 8 o'clock.", "Red."],
        "row": [0, 1, 2, 3, 0, 3],
        "twin_row": [2, 3, 0, 1, 2, 1],
        "twin": ["mirrored"] * 6,
        "prompts": [""] * 6,
        "trainer_state": None,
    }
    functions = reward_functions(["accuracy", "closeness", "format", "consistency"], rows)
    assert [function.__name__ for function in functions] == ["accuracy", "closeness", "format", "consistency"]
    right, near, form, consistent = (function(**given) for function in functions)
    assert right == [1, 1, 1, 0, 0, 1]
    assert near == pytest.approx([1, 1, 1, 0, 0.5**5, 1])
    assert form == [1] * 6
    # 9 in the mirror is 3 here. Two answers are given to the clip: 3 agrees, and 8 is five hours off.
    assert consistent == pytest.approx([1, 0.5, (1 + 0.5**5) / 2, 0, 0.5**5, 1])

"""Values are worked out by hand; in the tables of answers every line is a mistake that some parser has made."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stvlm.scoring import COMPARISONS, TASKS, parse_answer, parse_target

FARTHER = "Which object travels farther, the red or the blue one?"
SLOWER = "Which object moves slower, the red or the blue one?"
CHOICES = {
    "traveled_distance_comparison": ["red", "blue"],
    "traveling_speed_comparison": ["red", "blue"],
    "movement_direction_comparison": ["same", "different"],
}


# Printed targets


@pytest.mark.parametrize(
    ("task", "target", "value"),
    [
        ("traveled_distance", "20.15", 20.15),
        ("traveling_speed", "0.01", 0.01),
        ("movement_direction", "12", 12),
        ("direction_timestamp", "3.50-6.00", (3.5, 6.0)),
        ("traveling_speed_comparison", "red", "red"),
        ("movement_direction_comparison", "different", "different"),
    ],
)
def test_printed_target(task, target, value):
    assert parse_target(task, target) == value


@pytest.mark.parametrize(
    ("task", "target", "complaint"),
    [
        ("distance", "20.15", "task 'distance' is not one of traveled_distance"),
        ("traveled_distance", "20.15 m", "is not metres"),
        ("traveled_distance", "20.1", "is not metres"),
        ("traveled_distance", 20.15, "is not metres"),
        ("traveled_distance", "0.00", "must be above zero"),
        ("traveling_speed", "-3.00", "is not km/h"),
        ("movement_direction", "0", "is not an hour"),
        ("movement_direction", "13", "is not an hour"),
        ("direction_timestamp", "3.5-6.0", "is not seconds"),
        ("direction_timestamp", "6.00-3.50", "ends before"),
        ("traveled_distance_comparison", "Red", "is not a color"),
        ("movement_direction_comparison", "yes", 'is not "same" or "different"'),
    ],
)
def test_any_other_form_of_target_is_refused(task, target, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_target(task, target)


# Answers


@pytest.mark.parametrize(
    ("text", "meters"),
    [
        ("The total distance traveled by the given object is 20.15 meters.", 20.15),
        ("9.5 m", 9.5),
        ("about 20 m", 20.0),
        ("20", 20.0),  # no unit: the one that was asked for
        ("It covers a distance of 12.5 m.", 12.5),  # "a" is not 1
        ("1,250 m", 1250.0),  # nor is this 1
        ("20,15 m", 20.15),  # a decimal comma
        ("\uff12\uff10\uff4d", 20.0),  # full-width signs
        ("1.2 km", 1200.0),
        ("30 ft", 9.144),
        ("100 yards", 91.44),
        ("a 20-meter path", 20.0),
        ("twenty-five meters", 25.0),
        ("The red one moves 20 m.", 20.0),
        ("Between 3.50 and 6.00 seconds, it travels 12 m.", 12.0),  # the seconds asked about
        ("Between 3.5 and 6, it travels 12.", 12.0),
        ("within 5 seconds it covered 20 meters", 20.0),
        ("20 m from 3.5 to 6 s", 20.0),
        ("It moved 12 meters between 0:03 and 0:06.", 12.0),
        ("The video has 40 frames over 19.5 seconds. Object 1 moves 20.", 20.0),
        ("At 4 m/s for 5 s, it travels 4 m/s * 5 s = 20 m.", 20.0),
        ("In total 20 m: first 12 m, then 8 m.", 20.0),
        ("It moves 20 m, 5 m farther than the blue object.", 20.0),
        ("30 m, not 20 m", 30.0),
        ("20 m (about 66 ft)", 20.0),  # the rounded copy would be 20.12 m
        ("20-25 meters", 22.5),
        ("between 20 and 25 m", 22.5),
        ("1. It moves 20", 20.0),  # a list number
        ("I cannot be exact, but about 20 m.", 20.0),
        ("<think>5 m? No, 8 m.</think>It is 20 m.", 20.0),
        ("<think>5 m</think>In total 8 m? No.</think>20 m", 20.0),  # it thought twice
        ("First 5 m, then 3 m. Answer: 8", 8.0),
        ("<answer>20</answer> as 5 m plus 15 m", 20.0),
        (r"So $\boxed{20.15 \text{ m}}$.", 20.15),
        ("**Distance:** **20.15** m", 20.15),
        ("0 m", 0.0),
    ],
)
def test_distance(text, meters):
    assert parse_answer("traveled_distance", text) == (pytest.approx(meters, abs=1e-9), "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("far", "no distance"),
        ("nan", "no distance"),  # float("nan") is a number to Python
        ("1e999 m", "no distance"),
        ("1e308 km", "no distance"),  # infinite only in metres
        ("20 thousand meters", "no distance"),
        ("It moves at 15 km/h.", "no distance"),
        ("20 meters per second", "no distance"),  # begins like a distance
        ("two hundred meters", "no distance"),  # 100 m and 2 m would both be wrong
        ("-5 m", "negative distance"),
        ("3 or maybe 12", "several numbers without a unit"),
        ("I cannot determine the distance.", "refusal"),
        ("I can't tell if it is 20 m or 200 m.", "refusal"),
        ("<think>The car moves 5 m and", "reasoning without an answer"),
    ],
)
def test_no_distance(text, reason):
    assert parse_answer("traveled_distance", text) == (None, reason)


@pytest.mark.parametrize(
    ("text", "kmh"),
    [
        ("The average speed is 15.04 km/h throughout the video.", 15.04),
        ("15", 15.0),
        ("10 mph", 16.09344),
        ("5 m/s", 18.0),
        ("5 meters per second", 18.0),
        ("15 kilometers an hour", 15.0),
        ("The average is 15 km/h, with a peak of 25 km/h.", 15.0),
        ("20 m / 5 s = 4 m/s = 14.4 km/h", 14.4),
    ],
)
def test_speed(text, kmh):
    assert parse_answer("traveling_speed", text) == (pytest.approx(kmh, abs=1e-9), "")


def test_a_distance_is_no_speed():
    assert parse_answer("traveling_speed", "It covers 20 meters in 5 seconds.") == (None, "no speed")


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("The object moves in the direction of 10 o'clock at the end of the video.", 10),
        ("10 o\u2019clock direction", 10),  # a typographic apostrophe
        ("ten oclock", 10),
        ("10-o'clock", 10),
        ("10:00", 10),
        ("10", 10),
        ("0 o'clock", 12),
        ("At 19.5 seconds it moves towards 3 o'clock.", 3),
        ("With 12 o'clock as the initial heading, it moves towards 3 o'clock.", 3),
        ("It moves towards 3 o'clock, with 12 o'clock being the initial heading.", 3),
        ("It moves towards 3 o'clock relative to its initial heading of 12 o'clock.", 3),
        ("It keeps to its initial heading of 12 o'clock.", 12),
        ("from 12 o'clock to 3 o'clock", 3),
        ("First 12 o'clock, then 2 o'clock, finally 3 o'clock.", 3),
        ("At the end it moves towards 3 o'clock. At 5 s it was 1 o'clock.", 3),
    ],
)
def test_hour(text, hour):
    assert parse_answer("movement_direction", text) == (hour, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("to the left", "no hour"),
        ("13 o'clock", "no hour from 1 to 12"),
        ("10:30", "no hour from 1 to 12"),
        ("10 or 11 o'clock", "several hours"),
        ("between 2 and 3 o'clock", "several hours"),
        ("1, 2", "several numbers and no o'clock"),
    ],
)
def test_no_hour(text, reason):
    assert parse_answer("movement_direction", text) == (None, reason)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("from 3.5 to 6 seconds", (3.5, 6.0)),
        ("from 3.5 seconds to 6 seconds", (3.5, 6.0)),
        ("3.50-6.00", (3.5, 6.0)),
        ("3.5\u20136.0 s", (3.5, 6.0)),  # an en dash
        ("3.50 -6.00", (3.5, 6.0)),  # not minus 6
        ("3.5s ~ 6.0s", (3.5, 6.0)),
        ("[3.5, 6.0]", (3.5, 6.0)),
        ("[3.5,6.0]", (3.5, 6.0)),
        ("between 0:03 and 0:06", (3.0, 6.0)),
        ("between 1:03.5 and 1:06", (63.5, 66.0)),
        ("It starts at 3.5 s and ends at 6 s.", (3.5, 6.0)),
        ("The object moves towards 3 o'clock from 3.5 to 6.0 seconds.", (3.5, 6.0)),
        ("The video spans 0 to 19.5 seconds. It moves that way from 3.5 to 6 s (frames 7-12).", (3.5, 6.0)),
    ],
)
def test_interval(text, seconds):
    assert parse_answer("direction_timestamp", text) == (seconds, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("at 3.5 seconds", "a moment and no interval"),
        ("frames 7 to 12", "no interval"),
        ("from 6 to 3.5 s", "interval ends before it starts"),
        ("from 1 to 2 s and from 8 to 9 s", "several intervals"),
    ],
)
def test_no_interval(text, reason):
    assert parse_answer("direction_timestamp", text) == (None, reason)


@pytest.mark.parametrize(
    ("question", "text", "color"),
    [
        (FARTHER, "Red.", "red"),
        (FARTHER, "The red object is faster than the blue one.", "red"),
        (SLOWER, "The red object is faster than the blue one.", "blue"),
        (FARTHER, "Blue covers less distance than red.", "red"),
        ("", "Blue covers less distance than red.", "blue"),  # no question: the one it speaks of
        (SLOWER, "The blue car moves more slowly.", "blue"),
        (FARTHER, "The blue car is slower.", "red"),
        (FARTHER, "The blue bounding box covers more distance throughout the video compared to the red one.", "blue"),
        (FARTHER, "Compared to the blue object, the red object is faster.", "red"),
        (FARTHER, "The red object, which is a car, moves faster than the blue one.", "red"),
        (FARTHER, "The one that is faster than the blue object is the red one.", "red"),
        (FARTHER, "It is faster than the blue one.", "red"),
        (FARTHER, "The red object moves farther, while the blue one is slower.", "red"),
        (FARTHER, "Red is not as fast as blue.", "blue"),
        (FARTHER, "The red object's speed exceeds the blue object's.", "red"),
        (FARTHER, "The red object, not the blue one.", "red"),
        (FARTHER, "It is not the red one.", "blue"),
        (FARTHER, "The longer way is red's.", "red"),
        (FARTHER, "Red moves 20 m. Blue moves 30 m. So blue travels farther.", "blue"),
        ("Does the red object travel farther than the blue one?", "Yes.", "red"),
        ("Does the red object travel farther than the blue one?", "No, it does not.", "blue"),
        ("Does the red object travel farther than the blue one?", "No, the red object does not.", "blue"),
        ("Does the red object travel farther than the blue one?", "Yes, it moves farther.", "red"),
    ],
)
def test_winner(question, text, color):
    assert parse_answer("traveled_distance_comparison", text, ["red", "blue"], question) == (color, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red is faster than both blue and green.", ("red", "")),
        ("Blue and green are slower than red.", ("red", "")),
        ("Red is slower than blue.", (None, "several choices")),  # green may be faster still
        ("No.", (None, "no choice")),  # of two others
    ],
)
def test_winner_of_three(text, expected):
    question = "Which is the fastest?"
    assert parse_answer("traveling_speed_comparison", text, ["red", "blue", "green"], question) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Green.", "no choice"),
        ("reddish", "no choice"),
        ("Red and blue travel equally far.", "several choices"),
        ("I cannot tell whether red is faster than blue.", "refusal"),
    ],
)
def test_no_winner(text, reason):
    assert parse_answer("traveled_distance_comparison", text, ["red", "blue"], FARTHER) == (None, reason)


@pytest.mark.parametrize(
    ("choices", "text", "verdict"),
    [
        (["same", "different"], "Yes.", "same"),
        (["different", "same"], "Yes.", "different"),
        (["different", "same"], "No, they are not.", "same"),
        (["same", "different"], "They are moving in the same direction.", "same"),
        (["same", "different"], "It is moving in a different direction from the red object.", "different"),
        (["same", "different"], "not the same", "different"),
        (["same", "different"], "They don't move in the same direction.", "different"),
        (["different", "same"], "They aren't moving in different directions.", "same"),
        (["same", "different"], "in opposite directions", "different"),
        (["same", "different"], "The two different objects share the same direction.", "same"),
        (["same", "different"], "At the same time they move in different directions.", "different"),
    ],
)
def test_sameness(choices, text, verdict):
    assert parse_answer("movement_direction_comparison", text, choices) == (verdict, "")


def test_a_comparison_needs_its_choices():
    with pytest.raises(ValueError, match="needs two choices"):
        parse_answer("traveled_distance_comparison", "red")


HOSTILE = ["1,111,", "1,", "1.", "....", "1-", "e1", "one ", "12 o'clock ", "o ' ", "between 1 and ", "same not "]
HOSTILE += ["red faster than ", "answer: ", "<think>", "</think>", "\\boxed{", "(", "\n", "can't ", "\u0301\u0327"]


@pytest.mark.parametrize("task", TASKS)
def test_hostile_answers_cost_no_more_than_their_length(task):
    # Each takes a tenth of a second; were one of them quadratic, it would hang the test.
    for piece in HOSTILE:
        parse_answer(task, piece * (100_000 // len(piece)), CHOICES.get(task, []), FARTHER)


@given(st.sampled_from(TASKS), st.text() | st.text(alphabet="0123456789.,:-m/s o'clkredb "))
def test_any_text_is_parsed_or_has_a_reason(task, text):
    value, reason = parse_answer(task, text, CHOICES.get(task, []))
    assert (value is None) == bool(reason)
    if task in COMPARISONS:
        assert value in (None, *CHOICES[task])
    elif isinstance(value, tuple):
        assert 0.0 <= value[0] <= value[1] < math.inf
    elif value is not None:
        assert 0.0 <= value < math.inf


@given(st.integers(1, 100_000), st.integers(0, 39), st.integers(1, 39), st.integers(1, 12))
def test_our_own_answers_come_back(cents, start, steps, hour):
    assert parse_answer("traveled_distance", f"The distance is {cents / 100:.2f} m.").value == cents / 100
    assert parse_answer("traveling_speed", f"It is {cents / 100:,.2f} km/h.").value == cents / 100
    assert parse_answer("movement_direction", f"It moves towards {hour} o'clock.").value == hour
    start_s, end_s = start / 2, (start + steps) / 2
    text = f"It moves towards {hour} o'clock from {start_s:.2f} to {end_s:.2f} seconds."
    assert parse_answer("direction_timestamp", text).value == (start_s, end_s)

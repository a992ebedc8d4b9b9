"""What is read from answers. Each line of answers.jsonl is one that some parser has read wrongly, and says why."""

import json
import math
import re
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stvlm.questions.templates import Wording, boxed, comparison_words, held_out_wordings, listed, sentence, wordings
from stvlm.scoring import COMPARISONS, MULTISTEP, TASKS, parse_answer

ANSWERS = [
    json.loads(line) for line in (Path(__file__).parent / "answers.jsonl").read_text(encoding="utf-8").splitlines()
]
FARTHER = "Which object travels farther, the red or the blue one?"
CHOICES = {
    "traveled_distance_comparison": ["red", "blue"],
    "traveling_speed_comparison": ["red", "blue"],
    "movement_direction_comparison": ["same", "different"],
}
EVERY = (*TASKS, *MULTISTEP)


@pytest.mark.parametrize("row", ANSWERS, ids=[f"{i}-{row['task']}" for i, row in enumerate(ANSWERS, start=1)])
def test_answer(row):
    value, reason = parse_answer(row["task"], row["response"], row["choices"], row["question"])
    value = list(value) if isinstance(value, tuple) else value
    expected = row["reading"]
    assert value == (expected if isinstance(expected, str | None) else pytest.approx(expected, rel=1e-6)), row["why"]
    assert (value is None) == bool(reason)


def test_the_answers_cover_every_task():
    count = Counter(row["task"] for row in ANSWERS)
    assert all(count[task] >= 50 for task in TASKS) and all(count[task] >= 15 for task in MULTISTEP)
    told = [(row["task"], row["question"], tuple(row["choices"]), row["response"]) for row in ANSWERS]
    assert len(set(told)) == len(told)
    assert all(row.keys() == {"task", "question", "choices", "response", "reading", "why"} for row in ANSWERS)
    assert all(row["why"] for row in ANSWERS)


@pytest.mark.parametrize(
    ("task", "text", "reason"),
    [
        ("traveled_distance", " \n", "empty"),
        ("traveled_distance", "<think>20 m", "reasoning without an answer"),
        ("traveled_distance", "I cannot tell.", "refusal"),
        ("traveled_distance", "far", "no distance"),
        ("traveled_distance", "-5 m", "negative distance"),
        ("traveled_distance", "12 m or 20 m", "several distances"),
        ("traveled_distance", "3 or maybe 12", "several numbers without a unit"),
        ("traveling_speed", "20 m", "no speed"),
        ("movement_direction", "to the left", "no hour"),
        ("movement_direction", "10 or 11 o'clock", "several hours"),
        ("movement_direction", "1, 2", "several numbers and no o'clock"),
        ("movement_direction", "13 o'clock", "no hour from 1 to 12"),
        ("direction_timestamp", "at 3.5 seconds", "a moment and no interval"),
        ("direction_timestamp", "frames 7 to 12", "no interval"),
        ("direction_timestamp", "from 6 to 3.5 s", "interval ends before it starts"),
        ("direction_timestamp", "from 1 to 2 s and from 8 to 9 s", "several intervals"),
        ("traveled_distance_comparison", "Green.", "no choice"),
        ("traveled_distance_comparison", "Red and blue.", "several choices"),
        ("traveled_distance_comparison", "Red and blue travel equally far.", "a tie"),
        ("movement_direction_comparison", "Yes, in different directions.", "contradicts itself"),
        ("time_to_cover", "20 m", "no duration"),
        ("speed_ratio", "faster", "no ratio"),
    ],
)
def test_why_nothing_is_read(task, text, reason):
    assert parse_answer(task, text, CHOICES.get(task, [])) == (None, reason)


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(ValueError, match="needs two choices"):
        parse_answer("traveled_distance_comparison", "red")
    with pytest.raises(ValueError, match="task 'distance' is not one of"):
        parse_answer("distance", "20 m")
    with pytest.raises(ValueError, match=r"task \['traveled_distance'\] is not one of"):
        parse_answer(["traveled_distance"], "20 m")
    for choices in (2, "red", {"red": 1}, None):
        with pytest.raises(ValueError, match="are not a list"):
            parse_answer("traveled_distance_comparison", "red", choices)


# Whatever the wording, the unit, the chatter around it


def fill(wording: Wording, text: str, words: dict[str, str]) -> str:
    bounds = {"start": "2.00", "end": "7.50"} | words
    return sentence(text.format(**{"span": wording.part.format(**bounds), **bounds, **words}))


WORDINGS = {task: [*wordings()[task], *held_out_wordings()[task]] for task in TASKS}
# In metres, and in km/h.
UNITS = {
    "traveled_distance": {
        "meters": 1, "metres": 1, "m": 1, "km": 1000, "kilometers": 1000, "cm": 0.01, "ft": 0.3048, "feet": 0.3048,
        "yards": 0.9144, "yd": 0.9144, "miles": 1609.344, "inches": 0.0254,
    },
    "traveling_speed": {
        "km/h": 1, "kph": 1, "kilometers per hour": 1, "kilometres an hour": 1, "m/s": 3.6, "meters per second": 3.6,
        "m s^-1": 3.6, "m\u00b7s\u207b\u00b9": 3.6, "mph": 1.609344, "miles per hour": 1.609344, "ft/s": 1.09728,
        "knots": 1.852,
    },
}  # fmt: skip
BEFORE = [
    "",
    "Sure! ",
    "Based on the video, ",
    "Answer: ",
    "**Final answer:** ",
    "<think>7 m? 9 o'clock? Red.</think> ",
]
BEFORE += ["Looking at frame 12, I would say: ", "ASSISTANT: "]
AFTER = ["", "<|im_end|>", "</s>", " I hope this helps!", "\nUSER: And the other one?\nASSISTANT: 7 m", "\n\n---\n"]
ROUND_TRIPS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
chatter = st.tuples(st.sampled_from(BEFORE), st.sampled_from(AFTER))


@ROUND_TRIPS
@given(st.data(), st.integers(1, 99_999), chatter)
@pytest.mark.parametrize("task", UNITS)
def test_a_quantity_comes_back_in_every_wording_and_unit(task, data, cents, around):
    wording = data.draw(st.sampled_from(WORDINGS[task]))
    unit = data.draw(st.sampled_from(sorted(UNITS[task])))
    words = {"object": data.draw(st.sampled_from(["the object", boxed("red")])), "value": f"{cents / 100:.2f}"}
    answer = fill(wording, wording.answer, words).replace(f"{words['value']} ", f"{words['value']} ", 1)
    answer = re.sub(r"(?<=\d )(meters|km/h)", unit, answer)
    text = answer.join(around)
    read = parse_answer(task, text, [], fill(wording, wording.question, words))
    assert read == (pytest.approx(cents / 100 * UNITS[task][unit]), ""), text


@ROUND_TRIPS
@given(st.data(), st.integers(1, 12), st.integers(0, 38), st.integers(1, 39), chatter)
def test_hours_and_intervals_come_back_in_every_wording(data, hour, start, steps, around):
    bounds = {"start": f"{start / 2:.2f}", "end": f"{(start + steps) / 2:.2f}"}
    words = {"object": "the object", "hour": str(hour), **bounds}
    for task, expected in (("movement_direction", hour), ("direction_timestamp", (start / 2, (start + steps) / 2))):
        wording = data.draw(st.sampled_from(WORDINGS[task]))
        text = fill(wording, wording.answer, words).join(around)
        assert parse_answer(task, text, [], fill(wording, wording.question, words)) == (expected, ""), text


@ROUND_TRIPS
@given(st.data(), st.permutations(["red", "blue", "green"]), st.integers(2, 3), chatter)
def test_choices_come_back_in_every_wording(data, colors, count, around):
    for task in COMPARISONS:
        wording = data.draw(st.sampled_from(WORDINGS[task]))
        chosen = colors[: 2 if task == "movement_direction_comparison" or wording.objects else count]
        names, winner = [boxed(color) for color in chosen], data.draw(st.integers(0, len(chosen) - 1))
        words = comparison_words(names, winner) | {"objects": listed(names)}
        question = fill(wording, wording.question, words)
        if task == "movement_direction_comparison":
            choices = ["same", "different"] if wording.polarity == "same" else ["different", "same"]
            affirms = data.draw(st.booleans())
            text, expected = (wording.affirm, choices[0]) if affirms else (wording.deny, choices[1])
        else:
            choices, expected = list(chosen), chosen[winner]
            text = wording.answer or (wording.affirm if winner == 0 else wording.deny)
        text = fill(wording, text, words).join(around)
        assert parse_answer(task, text, choices, question) == (expected, ""), (question, text)


PLAIN = [row for row in ANSWERS if re.fullmatch(r"[A-Za-z0-9 .,'/-]{4,}", row["response"])]
DRESS = [
    str.upper,
    str.title,
    lambda text: f"**{text}**",
    lambda text: f"\n\n  {text}\n",
    lambda text: text.replace(" ", "  "),
    lambda text: text.replace(" ", "\u00a0"),
    lambda text: f"- {text}",
    lambda text: f"> {text}",
    lambda text: f"`{text}`",
    lambda text: f"<answer>{text}</answer>",
    lambda text: "\u200b".join(text),
]


@pytest.mark.parametrize("dress", DRESS)
def test_case_white_space_and_markup_change_nothing(dress):
    for row in PLAIN:
        read = [
            parse_answer(row["task"], text, row["choices"], row["question"])
            for text in (row["response"], dress(row["response"]))
        ]
        assert read[0] == read[1], (row["task"], row["response"], dress(row["response"]))


# Whatever the text

PIECES = [
    "0",
    "1",
    "20",
    "3.5",
    "1,250",
    "12",
    "one",
    "hundred",
    "half",
    "m",
    "km/h",
    "s",
    "o'clock",
    ":",
    "-",
    ".",
    ",",
    "(",
    ")",
]
PIECES += [
    "[",
    "]",
    "{",
    "}",
    "\\boxed{",
    "\\frac{",
    "<think>",
    "</think>",
    "<answer>",
    "answer:",
    "red",
    "blue",
    "faster",
    "not",
]
PIECES += [
    "than",
    "same",
    "different",
    "yes",
    "no",
    "to",
    "from",
    "between",
    "and",
    "=",
    "+",
    "\n",
    "|",
    '"',
    "'",
    "^",
    "\u00d7",
    "%",
]
EVERYTHING = (
    st.text() | st.lists(st.sampled_from(PIECES)).map(" ".join) | st.lists(st.sampled_from(PIECES)).map("".join)
)


@settings(deadline=None)
@given(st.sampled_from(EVERY), EVERYTHING, EVERYTHING)
def test_any_text_is_parsed_or_has_a_reason(task, text, question):
    value, reason = parse_answer(task, text, CHOICES.get(task, []), question)
    assert (value is None) == bool(reason)
    if task in COMPARISONS:
        assert value in (None, *CHOICES[task])
    elif task == "direction_timestamp" and value is not None:
        assert 0.0 <= value[0] <= value[1] < math.inf
    elif value is not None:
        assert 0.0 <= value < math.inf


HOSTILE = [
    *PIECES,
    "1,",
    "1.",
    "1-",
    "e1",
    "1e",
    "12 o'clock ",
    "o ' ",
    "between 1 and ",
    "same not ",
    "red faster than ",
    "wait, ",
    "i thought ",
    "red < ",
]
HOSTILE += [
    "answer: ",
    "answer:\n",
    "can't ",
    "\u0301\u0327",
    "\u2070",
    "\u00bd",
    "&amp;",
    "&",
    "<a",
    "<box>",
    "a: ",
    "a, ",
    "1 m, ",
]
HOSTILE += [
    "from 1 to 2 s ",
    "[1,",
    "1:",
    "111 ",
    "1 m + ",
    "20 \u00b1 ",
    "red 20 m ",
    "a) ",
    "user: ",
    "assistant: ",
    "# ",
    "* ",
    '{"a":',
]


@pytest.mark.parametrize(
    "task", ["traveled_distance", "movement_direction", "direction_timestamp", "speed_ratio", *COMPARISONS[1:]]
)
def test_twice_the_text_takes_at_most_about_twice_the_steps(task):
    def steps(text: str) -> int:
        count = 0

        def trace(frame: FrameType, event: str, argument: object):
            nonlocal count
            count += 1
            return trace

        sys.settrace(trace)
        try:
            parse_answer(task, text, CHOICES.get(task, []), FARTHER)
        finally:
            sys.settrace(None)
        return count

    for piece in HOSTILE:
        short, long = (steps(piece * (length // len(piece))) for length in (300, 600))
        assert long <= 2.3 * short + 200, piece


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_answers_are_read(piece):
    # Were a pattern to try again what it has passed over, it would hang.
    for task in ("traveled_distance", "traveled_distance_comparison"):
        parse_answer(task, piece * (20_000 // len(piece)), CHOICES.get(task, []), FARTHER)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 20_000, "\\boxed{" * 10_000, "9" * 100_000 + " m", '{"answer": ' + "9" * 10_000 + "}"],
)
def test_depth_and_size_end_in_a_reason(text):
    assert parse_answer("traveled_distance", text).value is None

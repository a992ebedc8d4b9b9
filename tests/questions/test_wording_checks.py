"""What paraphrases get wrong, each by a paraphrase that does: and what is right passes."""

from dataclasses import replace

import pytest

from stvlm.questions.templates import Wording, held_out_wordings, wording_named, wordings
from stvlm.questions.wording_checks import WRONG, plain, why_not

KNOWN = "is a wording of the templates"
NOT_SEEN = {
    "Does {a} share its direction of travel with {b} {span}?",
    "Are {a} and {b} bound for the same side {span}?",
}
"""Whose polarity the reader of answers does not see."""
SENTENCE = "is no sentence of one line and ordinary length"
HOURS = "other numbers, or 12 o'clock without saying what it is"
KIND = "opens as another kind of question"
ELSE = "asks for something else"
LONG = "How far, " + "taking each and every one of its turns into account, " * 5 + "does {object} get {span}?"


def asked_otherwise(template_id: str, question: str) -> Wording:
    return replace(wording_named(template_id), question=question)


@pytest.mark.parametrize(
    "wording",
    [w for of_all in (wordings(), held_out_wordings()) for of_task in of_all.values() for w in of_task],
    ids=lambda wording: wording.template_id,
)
def test_the_librarys_own_wordings_pass_but_for_being_known(wording: Wording) -> None:
    expected = {KNOWN} | ({"another polarity"} if wording.question in NOT_SEEN else set())
    assert {reason for reason, is_wrong in WRONG.items() if is_wrong(wording)} == expected


SAME = {
    "traveled_distance/1": "{span}, how many meters does {object} leave behind?",
    "traveled_distance/2": "What's the length of {object}'s journey {span}?",
    "traveling_speed/1": "On average, how many km/h does {object} reach {span}?",
    "movement_direction/1": "{object} starts out towards 12 o'clock; where does it head at the end of the video?",
    "direction_timestamp/1": "When is {object} moving to {hour} o'clock, if 12 o'clock is where it heads first?",
    "traveled_distance_comparison/1": "Which object gets the furthest {span}?",
    "traveled_distance_comparison/3": "Out of {objects}, which covers more ground {span}?",
    "traveled_distance_comparison/4": "Out of {objects}, which gets less far {span}?",
    "traveled_distance_comparison/7": "{span}, is the distance of {a} longer than that of {b}?",
    "traveling_speed_comparison/8": "Is {a} slower than {b} {span}?",
    "movement_direction_comparison/1": "Do {a} and {b} go in the same direction {span}?",
    "movement_direction_comparison/2": "Does {a} head in a different direction than {b} {span}?",
}
"""Paraphrases of the library's wordings."""


@pytest.mark.parametrize("template_id", SAME)
def test_what_asks_the_same_passes(template_id: str) -> None:
    assert why_not(asked_otherwise(template_id, SAME[template_id])) == ""


@pytest.mark.parametrize(
    ("template_id", "question", "reason"),
    [
        ("traveled_distance/1", "How far does {object}\ntravel {span}?", SENTENCE),
        ("traveled_distance/1", "How far?", SENTENCE),
        ("traveled_distance/1", LONG, SENTENCE),
        ("traveled_distance/1", "Here are others: {object}, {span}", SENTENCE),
        ("traveled_distance/1", "How much ground does {object} cover?", "lacks a part that its task needs"),
        ("traveled_distance/1", "How much ground does the object cover {span}?", "other placeholders"),
        ("traveled_distance/1", "How much ground does {object} cover {span} {span}?", "other placeholders"),
        ("traveled_distance/1", "Of {object}, how much ground does {object} cover {span}?", "other placeholders"),
        ("traveled_distance/1", "How much ground does {object} cover by {value} {span}?", "other placeholders"),
        ("traveled_distance/1", "How much ground does {{object} cover {span}?", "other placeholders"),
        ("direction_timestamp/1", "When does {object} go to 3, the start being 12 o'clock?", "other placeholders"),
        ("traveled_distance/1", "How far does {object} travel, {span}?", KNOWN),
        ("traveled_distance/2", "How far does {object} travel {span}?", KNOWN),
        ("traveled_distance/1", "By how many meters does {object} advance along its route {span}?", KNOWN),
        ("traveled_distance/1", "Can you tell how much ground {object} covers {span}?", KIND),
        ("traveling_speed_comparison/3", "Is it one of {objects} that is faster {span}?", KIND),
        ("traveling_speed_comparison/7", "Who is faster, {a} or {b}, {span}?", KIND),
        ("traveled_distance_comparison/1", "Which object does not get the farthest {span}?", "negated"),
        ("traveling_speed_comparison/7", "{span}, isn't {a} faster than {b}?", KIND),
        ("traveling_speed_comparison/7", "Is {a} no faster than {b} {span}?", "negated"),
        ("traveled_distance/1", "In the clip, how much ground does {object} cover {span}?", "speaks of the whole clip"),
        ("movement_direction/1", "In which clock direction does {object} move at the end of the video?", HOURS),
        ("movement_direction/1", "With 12 o'clock ahead, in which direction does {object} move at the end?", HOURS),
        ("traveled_distance/1", "How much ground does {object} cover in its 5 s, {span}?", HOURS),
        ("traveled_distance/1", "How far away is {object} {span}?", ELSE),
        ("traveled_distance/1", "How long does {object} travel {span}?", ELSE),
        ("traveling_speed/1", "What top speed does {object} reach {span}?", ELSE),
        ("traveled_distance_comparison/1", "Which object is the fastest {span}?", ELSE),
        ("traveling_speed_comparison/1", "Which object gets the farthest {span}?", ELSE),
        ("movement_direction_comparison/2", "Do {a} and {b} move in opposite directions {span}?", ELSE),
        ("traveled_distance_comparison/3", "Of both {objects}, which gets farther {span}?", "only fits two objects"),
        ("traveled_distance_comparison/1", "Which object gets the least far {span}?", "another polarity"),
        ("traveled_distance_comparison/1", "Which object is ahead {span}?", "another polarity"),
        ("traveling_speed_comparison/7", "Is {a} slower than {b} {span}?", "another polarity"),
        ("movement_direction_comparison/1", "Do {a} and {b} go in different directions {span}?", "another polarity"),
        ("movement_direction_comparison/2", "Do {a} and {b} go in the same direction {span}?", "another polarity"),
        ("traveling_speed_comparison/7", "Is {b} faster than {a} {span}?", "other placeholders"),
    ],
)  # fmt: skip
def test_what_asks_something_else_is_refused(template_id: str, question: str, reason: str) -> None:
    assert why_not(asked_otherwise(template_id, question)) == reason


@pytest.mark.parametrize(
    ("template_id", "changes", "reason"),
    [
        ("traveled_distance/1", {"answer": "It covers {value}."}, ""),
        ("traveled_distance/1", {"answer": "It is {hour} meters."}, "its answers are not read back"),
        ("traveled_distance/1", {"answer": "It is far."}, "its answers are not read back"),
        ("traveled_distance/1", {"part": "in second {second}"}, "its answers are not read back"),
        ("traveled_distance/1", {"answer": ""}, "lacks a part that its task needs"),
        ("traveled_distance/1", {"affirm": "Yes.", "deny": "No."}, "lacks a part that its task needs"),
        ("traveled_distance_comparison/1", {"polarity": ""}, "lacks a part that its task needs"),
        ("traveled_distance_comparison/1", {"polarity": "least"}, "another polarity"),
        ("traveled_distance_comparison/3", {"answer": "{losers} covers more."}, "its answers are not read back"),
        ("traveled_distance_comparison/7", {"objects": 0}, "only fits two objects"),
        ("movement_direction_comparison/1", {"deny": "No, it is the same direction."}, "its answers are not read back"),
    ],
)  # fmt: skip
def test_parts_are_held_against_each_other(template_id: str, changes: dict[str, str], reason: str) -> None:
    wording = asked_otherwise(template_id, SAME[template_id])
    assert why_not(replace(wording, **changes)) == reason  # type: ignore[arg-type]


def test_plain_words() -> None:
    assert plain("{span}, How FAR does {object}  travel?") == "span how far does object travel"

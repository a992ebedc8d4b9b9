"""What a wording has to pass before it is asked in, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import permutations

import numpy as np

from stvlm.kinematics import STEP_S
from stvlm.questions.asking import Motion, Query, QuestionGates, Span, answer
from stvlm.questions.templates import ASKED_FOR, Wording, held_out_wordings, wordings
from stvlm.records import NOISELESS, Array, Question, Task
from stvlm.scoring import COMPARISONS, parse_answer, parse_target

LENGTH = (15, 250)
"""How many characters a question has."""
OF_TWO = ("traveled_distance_comparison", "traveling_speed_comparison")
"""What may be asked of two objects or of three."""


def why_not(wording: Wording) -> str:
    """Why a wording cannot be asked in; empty where nothing is wrong with it."""
    return next((reason for reason, is_wrong in WRONG.items() if is_wrong(wording)), "")


def task_of(wording: Wording) -> Task:
    """Which task it asks."""
    return wording.template_id.partition("/")[0]  # type: ignore[return-value]


def placeholders(text: str) -> list[str]:
    """The names in braces, in alphabetical order."""
    return sorted(re.findall(r"\{(\w+)\}", text))


def plain(question: str) -> str:
    """The words alone: two questions that differ in nothing else are the same."""
    return " ".join(re.findall(r"\w+", question.lower()))


# Form.


def _is_no_sentence(wording: Wording) -> bool:
    text = wording.question
    return text != " ".join(text.split()) or not LENGTH[0] <= len(text) <= LENGTH[1] or text[-1] not in ".?"


def _lacks_parts(wording: Wording) -> bool:
    """It has one answer, or one for yes and one for no; a span, where the words leave room for one; and a polarity."""
    parts = (bool(wording.answer), bool(wording.affirm), bool(wording.deny))
    spans = {"{span}" in wording.question, bool(wording.whole), bool(wording.part)}
    polarities = ASKED_FOR.get(task_of(wording), ("",))
    return parts not in ((1, 0, 0), (0, 1, 1)) or len(spans) > 1 or wording.polarity not in polarities


_PLACEHOLDERS: Mapping[Task, tuple[list[str], ...]] = {
    "traveled_distance": (["object"],),
    "traveling_speed": (["object"],),
    "movement_direction": (["object"],),
    "direction_timestamp": (["hour", "object"],),
    "traveled_distance_comparison": ([], ["objects"], ["a", "b"]),
    "traveling_speed_comparison": ([], ["objects"], ["a", "b"]),
    "movement_direction_comparison": (["objects"], ["a", "b"]),
}


def _has_other_placeholders(wording: Wording) -> bool:
    names = placeholders(wording.question.replace("{span}", "", 1))
    in_order = wording.question.find("{a}") <= wording.question.find("{b}")  # yes means the one named first
    stray = re.search(r"[{}]", re.sub(r"\{\w+\}", "", wording.question))
    return names not in _PLACEHOLDERS[task_of(wording)] or not in_order or stray is not None


def _is_known(wording: Wording) -> bool:
    return plain(wording.question) in _known()


@cache
def _known() -> frozenset[str]:
    return frozenset(
        plain(w.question) for of_all in (wordings(), held_out_wordings()) for ws in of_all.values() for w in ws
    )


# Meaning, as far as words show it. What is refused in vain costs a wording; what is let pass would cost right answers.

_OPENING = re.compile(r"(?:\{span\},? )?(\w+)")
_YES_OR_NO = {"is", "are", "was", "were", "do", "does", "did", "has", "have", "had"}
_MAY_BE_YES_OR_NO = _YES_OR_NO | {"can", "could", "will", "would", "should", "may", "might"}


def _any_of(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


_NEGATION = _any_of(r"not|no|never|neither|nor|none|without|hardly|fails?|cannot|\w+n['’]t")
_WHOLE = _any_of(
    r"throughout|entire|entirely|whole|full|all (?:of )?the"
    r"|(?:during|within|over|across|in|of) the (?:video|clip|footage|recording|scene)"
)
_INITIAL = _any_of(
    r"initial|initially|first|starts?|started|starting|begins?|beginning|opening|outset|original|originally"
    r"|sets? (?:out|off)|setting (?:out|off)"
)
_DISTANCE = r"distance|far|farther|farthest|further|furthest|meters?|metres?|path|route|length"
_SPEED = r"speeds?|fast|faster|fastest|slow|slower|slowest|slowly|quick\w*|rapid\w*|pace|velocity|km/h"
_APART = r"away|apart|gap|displacement|straight[ -]line|crow"
_TIME = r"how long (?:do|does|did|has|is|was|it)"
_MOMENT = r"top|max\w*|min\w*|peak|instantaneous|initial|final|accelerat\w*"
_ANGLE = r"oppos\w*|perpendicular|parallel|diverg\w*|converg\w*|each other|reverse"
_SOMETHING_ELSE: Mapping[Task, re.Pattern[str]] = {
    "traveled_distance": _any_of(f"{_SPEED}|{_APART}|{_TIME}"),
    "traveling_speed": _any_of(f"{_DISTANCE}|{_APART}|{_TIME}|{_MOMENT}"),
    "movement_direction": _any_of(f"{_DISTANCE}|{_SPEED}|{_APART}|{_TIME}"),
    "direction_timestamp": _any_of(f"{_DISTANCE}|{_SPEED}|{_APART}"),
    "traveled_distance_comparison": _any_of(f"{_SPEED}|{_APART}|{_TIME}"),
    "traveling_speed_comparison": _any_of(f"{_DISTANCE}|{_APART}|{_TIME}|{_MOMENT}"),
    "movement_direction_comparison": _any_of(f"{_DISTANCE}|{_SPEED}|{_APART}|{_ANGLE}"),
}
"""What a task's question does not say: the same of two directions is up to 30 degrees, different from 60 on."""


def _opens_otherwise(wording: Wording) -> bool:
    """A question for yes or no begins as one, and no other does."""
    found = _OPENING.match(wording.question)
    first = found[1].lower() if found else ""
    return first not in _YES_OR_NO if wording.is_yes_no else first in _MAY_BE_YES_OR_NO


def _is_negated(wording: Wording) -> bool:
    return _NEGATION.search(wording.question) is not None


def _speaks_of_the_whole(wording: Wording) -> bool:
    """It may be asked about a part of the clip, which the span says."""
    return bool(wording.part) and _WHOLE.search(wording.question) is not None


def _has_other_numbers(wording: Wording) -> bool:
    """None but 12 o'clock, which has to be there where an hour is asked for, as the initial heading."""
    of_hours = task_of(wording) in ("movement_direction", "direction_timestamp")
    if set(re.findall(r"\d+", wording.question)) != ({"12"} if of_hours else set()):
        return True
    return of_hours and _INITIAL.search(wording.question) is None


def _asks_for_something_else(wording: Wording) -> bool:
    return _SOMETHING_ELSE[task_of(wording)].search(wording.question) is not None


def _only_fits_two(wording: Wording) -> bool:
    """It may be asked of three objects, unless it says that it is of two."""
    two = re.search(r"\{a\}|\b(?:two|both|either|pair|the other)\b", wording.question) is not None
    return task_of(wording) in OF_TWO and wording.objects != 2 and (two or wording.is_yes_no)


def _has_another_polarity(wording: Wording) -> bool:
    """As the reader of answers sees it, who takes a question's side in "red moves farther than blue"."""
    task, question = task_of(wording), wording.question
    if task == "movement_direction_comparison":
        return parse_answer(task, question, ASKED_FOR[task]).value != wording.polarity
    if task not in COMPARISONS:
        return False
    compared = ("red moves more than blue", "red moves less than blue")
    winners = [parse_answer(task, text, ("red", "blue"), question).value for text in compared]
    return winners != (["red", "blue"] if wording.polarity == "most" else ["blue", "red"])


# Answers: asked of objects whose motion is known, by what asks and reads them later.


def _is_not_read_back(wording: Wording) -> bool:
    try:
        return not all(_reads_back(question) for question in _asked(wording))
    except (KeyError, IndexError, ValueError):  # a placeholder that its task does not have
        return True


def _reads_back(question: Question) -> bool:
    parsed = parse_answer(question.task, question.answer, question.choices, question.question)
    return parsed.value == parse_target(question.task, question.target, question.choices)


def _asked(wording: Wording) -> Iterator[Question]:
    """A wording's questions about 5 s of objects that go straight on, or turn right after half of it."""
    task, whole = task_of(wording), Span(0, 10, True)
    for objects in _casts(task, wording.objects):
        motion = Motion("", "driving", (NOISELESS,) * len(objects), np.array(objects))
        for span in (whole, Span(2, 8, False)) if wording.part else (whole,):
            query = Query(task, tuple(range(len(objects))), span, "", 3 if task == "direction_timestamp" else 0)
            question = answer(motion, query, QuestionGates(), wording)
            if not isinstance(question, Question):
                raise ValueError(question.reason)
            yield question


def _casts(task: Task, count: int) -> Iterator[tuple[Array, ...]]:
    ahead, right = (np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0]))
    if task in OF_TWO:
        for n in (count,) if count else (2, 3):
            yield from permutations([_path([speed_m_s * ahead] * 10) for speed_m_s in (2.0, 6.0, 18.0)][:n])
    elif task == "movement_direction_comparison":
        yield from ((_path([6.0 * ahead] * 10), _path([6.0 * heading] * 10)) for heading in (ahead, right))
    else:
        yield (_path([6.0 * ahead] * 5 + [6.0 * right] * 5),)


def _path(velocities_m_s: list[Array]) -> Array:
    """(n + 1, 3) positions on the grid."""
    return np.vstack([np.zeros(3), np.cumsum(velocities_m_s, axis=0) * STEP_S])


WRONG: Mapping[str, Callable[[Wording], bool]] = {
    "is no sentence of one line and ordinary length": _is_no_sentence,
    "lacks a part that its task needs": _lacks_parts,
    "other placeholders": _has_other_placeholders,
    "is a wording of the templates": _is_known,
    "opens as another kind of question": _opens_otherwise,
    "negated": _is_negated,
    "speaks of the whole clip": _speaks_of_the_whole,
    "other numbers, or 12 o'clock without saying what it is": _has_other_numbers,
    "asks for something else": _asks_for_something_else,
    "only fits two objects": _only_fits_two,
    "another polarity": _has_another_polarity,
    "its answers are not read back": _is_not_read_back,
}
"""What may be wrong, by what it is called where it is counted."""

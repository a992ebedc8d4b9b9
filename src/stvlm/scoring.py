"""Scores free-text answers about motion: text -> parsed answer -> accuracy, error, IoU.

Metrics of STKit-Bench (ST-VLM, arXiv 2503.19355, section 4). Deviation: the paper has GPT-4 extract the answer from
the response; here fixed rules do, so that a score can be repeated. A response they cannot read is counted wrong
under a named reason, never guessed.

This file uses the standard library and numpy only and imports nothing of ours: the metric folder that `evaluate`
loads holds a copy of it, and `evaluate` copies no file but those its script imports directly.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TASKS = (
    "traveled_distance",
    "traveling_speed",
    "movement_direction",
    "direction_timestamp",
    "traveled_distance_comparison",
    "traveling_speed_comparison",
    "movement_direction_comparison",
)
COMPARISONS = TASKS[4:]

RELATIVE_TOLERANCE = 0.25
LEAST_IOU = 0.5
# 0.75 * 20.20 is a hair above 15.15 in floating point; a bound that is printed is included.
ROUNDING = 1e-9

BOOTSTRAP_SEED = 0
BOOTSTRAP_RESAMPLES = 2000

Value = float | int | tuple[float, float] | str


class Parsed(NamedTuple):
    """What an answer says: metres, km/h, an hour 1..12, (start, end) in seconds, or a choice; None, with the reason."""

    value: Value | None
    reason: str = ""


class Outcome(NamedTuple):
    """Whether an answer is right; `error` in m, km/h or clock hours (None where nothing was parsed); `iou` in 0..1."""

    correct: bool
    error: float | None = None
    iou: float | None = None


class Reference(NamedTuple):
    """What an answer is scored against: the columns of a dataset row that matter here."""

    task: str
    target: str
    choices: list[str]
    question: str
    clip_id: str


class Constant(NamedTuple):
    """A canonical target given as the answer to every question of a task, and its accuracy (a fraction of 1)."""

    target: str
    accuracy: float


# ---------------------------------------------------------------------------------------------------------------------
# Printed targets: strict
# ---------------------------------------------------------------------------------------------------------------------

_PRINTED = {
    "traveled_distance": (re.compile(r"\d+\.\d\d", re.ASCII), 'metres such as "20.15"'),
    "traveling_speed": (re.compile(r"\d+\.\d\d", re.ASCII), 'km/h such as "15.04"'),
    "movement_direction": (re.compile(r"[1-9]|1[0-2]"), 'an hour from "1" to "12"'),
    "direction_timestamp": (re.compile(r"(\d+\.\d\d)-(\d+\.\d\d)", re.ASCII), 'seconds such as "3.50-6.00"'),
    "traveled_distance_comparison": (re.compile(r"[a-z]+"), 'a color such as "red"'),
    "traveling_speed_comparison": (re.compile(r"[a-z]+"), 'a color such as "red"'),
    "movement_direction_comparison": (re.compile(r"same|different"), '"same" or "different"'),
}


def _printed(task: str, text: str, role: str) -> re.Match[str]:
    pattern, form = _PRINTED[task]
    match = pattern.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{role} {text!r} of {task} is not {form}")
    return match


def parse_target(task: str, target: str, choices: Sequence[str] = ()) -> Value:
    """Read a target as the dataset prints it.

    Returns metres, km/h, an hour, (start, end) in seconds, or the choice. `choices`, where given, must hold it.
    Raises ValueError for an unknown task and for any other form of target.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is not one of {', '.join(TASKS)}")
    match = _printed(task, target, "target")
    if task in COMPARISONS:
        if choices and target not in choices:
            raise ValueError(f"target {target!r} is not among the choices {list(choices)}")
        return target
    if task == "movement_direction":
        return int(target)
    if task == "direction_timestamp":
        start_s, end_s = float(match[1]), float(match[2])
        if start_s >= end_s:
            raise ValueError(f"target {target!r} ends before it has begun")
        return start_s, end_s
    if float(target) == 0.0:
        # Within 25 % of zero is zero alone: such a question has no fair score and is never asked.
        raise ValueError(f"target {target!r} of {task} must be above zero")
    return float(target)


def read_reference(row: Mapping[str, Any], name: str = "reference") -> Reference:
    """Take from a dataset row, or a dict of the same keys, what an answer is scored against, and check it.

    `task` and `target` are required, `choices` too for comparisons; further keys are ignored.
    Raises ValueError that begins with `name`, such as "references[3]", and says what is wrong.
    """
    try:
        if not isinstance(row, Mapping):
            raise ValueError(f"{type(row).__name__} is not a dict")
        for key in ("task", "target"):
            if key not in row:
                raise ValueError(f"has no {key!r}")
        task, target = row["task"], row["target"]
        choices = row.get("choices")
        choices = [] if choices is None else list(choices)
        parse_target(task, target, choices)
        if task in COMPARISONS:
            for choice in choices:
                _printed(task, choice, "choice")
            if len(set(choices)) < 2 or len(set(choices)) < len(choices):
                raise ValueError(f"choices {choices} of {task} are not two or more different ones")
        elif choices:
            raise ValueError(f"{task} takes no choices, got {choices}")
        question, clip_id = row.get("question") or "", row.get("clip_id") or ""
        for key, text in (("question", question), ("clip_id", clip_id)):
            if not isinstance(text, str):
                raise ValueError(f"{key} {text!r} is not a string")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return Reference(task, target, choices, question, clip_id)


def read_prediction(text: object, name: str = "prediction") -> str:
    """An answer as it is. Raises ValueError that begins with `name` where it is no string."""
    if not isinstance(text, str):
        raise ValueError(f'{name}: {text!r} is not a string; where a model said nothing it is ""')
    return text


# ---------------------------------------------------------------------------------------------------------------------
# Free text: from a response to clauses of tokens. Every step passes over the text a fixed number of times, so that a
# hostile response costs no more than its length: no pattern tries again what it has already passed over.
# ---------------------------------------------------------------------------------------------------------------------

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u02bc", "'"),  # quotation marks, and the apostrophe proper
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),  # hyphens, dashes, minus
        **dict.fromkeys("\u223c\u301c\u2248", "~"),
    }
)
_MARKUP = re.compile(r"\\(?:text|mathrm|mathbf)|\\[,;! ]|[\\{}$*_]")
_OCLOCK = re.compile(r"\bo ?'? ?clock\b")
_LIST_MARK = re.compile(r"^(?:\d\d?[.)]|[-•]) (?=\S)", re.ASCII)
_ANSWER_MARK = re.compile(r"\banswer\"? ?(?:is|:|=)")
# The point, colon and comma of "3.5", "0:03" and "[3.5, 6.0]" end no clause.
_CLAUSE_END = re.compile(r"[.!?](?=\s|$)|[;\n]|:(?!\d)|,(?= \D)|\b(?:but|however|although|though|while|whereas)\b")
_REFUSAL = re.compile(
    r"\b(?:sorry|cannot|can not|can't|could not|couldn't|unable|impossible|not possible|not enough|insufficient|unknown"
    r"|unclear|not (?:clear|visible|provided|specified|shown)|don't know|do not know|no way to|undetermined)\b"
)
_TOKEN = re.compile(r"(?:(?<![^\s(\[=:])-)?(?:\d[\d.,:]*\d|\d)(?:e[+-]?\d+)?|(?<![\w.])\.\d+|[a-z][\w']*|\S", re.ASCII)
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"-?\d+,\d{1,2}", re.ASCII)
_STAMP = re.compile(r"(\d{1,4}):([0-5]\d(?:\.\d+)?)", re.ASCII)

Tokens = list[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _final_answer(text: str) -> str | None:
    """The part of a response that states its answer, in plain lower case; None where it never left its reasoning."""
    if not text.isascii():
        # One sign at a time: in one piece, a long run of combining marks takes quadratic time to put in order.
        text = "".join(unicodedata.normalize("NFKC", sign) for sign in text).translate(_PLAIN)
    text = text.lower()
    _, closed, rest = text.rpartition("</think>")
    if closed:
        text = rest
    elif "<think>" in text:
        return None
    if "<answer>" in text:
        text = text.rpartition("<answer>")[2].partition("</answer>")[0]
    if "\\boxed{" in text:
        text = text.rpartition("\\boxed{")[2].partition("\n")[0]
    # Line ends separate clauses, so they outlive the collapse of white space.
    lines = (" ".join(_MARKUP.sub(" ", line).split()) for line in text.splitlines())
    text = "\n".join(_LIST_MARK.sub("", line) for line in lines)
    marks = [mark.end() for mark in _ANSWER_MARK.finditer(text)]
    if marks and text[marks[-1] :].strip():
        text = text[marks[-1] :]
    return _OCLOCK.sub("o'clock", text.strip())


def _tokens(clause: str) -> Tokens:
    """Words, numbers (plain decimals, or m:ss) and single signs."""
    tokens = []
    for token in _TOKEN.findall(clause):
        if not _is_number(token):
            tokens.append(token.removesuffix("'s"))
        elif _THOUSANDS.fullmatch(token):
            tokens.append(token.replace(",", ""))
        elif _DECIMAL_COMMA.fullmatch(token):
            tokens.append(token.replace(",", "."))
        else:  # "3.5,6.0" is two numbers
            tokens.extend(part for part in re.split("(,)", token) if part)
    return tokens


def _is_number(token: str) -> bool:
    return token[-1].isdigit() and not token[0].isalpha()


# ---------------------------------------------------------------------------------------------------------------------
# Numbers and their units
# ---------------------------------------------------------------------------------------------------------------------


def _table(*rows: tuple[str, float]) -> dict[str, float]:
    return {name: number for names, number in rows for name in names.split()}


def _counting(names: str, first: int, step: int) -> dict[str, float]:
    return {name: float(first + step * i) for i, name in enumerate(names.split())}


_LENGTH_M = _table(
    ("m meter meters metre metres", 1.0),
    ("km kms kilometer kilometers kilometre kilometres", 1000.0),
    ("cm centimeter centimeters centimetre centimetres", 0.01),
    ("ft foot feet", 0.3048),
    ("inch inches", 0.0254),  # not "in": "20 in 5 seconds" has no inches
    ("yd yds yard yards", 0.9144),
    ("mi mile miles", 1609.344),
)
_TIME_S = _table(
    ("s sec secs second seconds", 1.0),
    ("ms millisecond milliseconds", 0.001),
    ("min mins minute minutes", 60.0),
    ("h hr hrs hour hours", 3600.0),
)
_SPEED_KMH = _table(("kmh kph kmph", 1.0), ("mph", 1.609344), ("mps", 3.6), ("knot knots", 1.852))
_PER = {"/", "per", "a", "an", "each", "every"}
_COUNTED = _words(
    "frame frames fps hz % percent ° degree degrees deg px pixel pixels object objects car cars vehicle vehicles time"
    " times st nd rd th"
)
_NUMBERED = _words("frame frames image images object box car vehicle track id step #")
_ONES = _counting("one two three four five six seven eight nine", 1, 1)
_TEENS = _counting("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10, 1)
_TENS = _counting("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_TO = {"", "-", "~", "to", "until", "till", "through"}
_BEYOND_SPELLED = {"hundred", "thousand", "million", "point"}


class _Mention(NamedTuple):
    """A number in a clause and the unit it stands in; tokens[first:end] are its own."""

    number: float
    unit: float  # in metres, km/h or seconds
    kind: str  # length, speed, time, stamp (m:ss), hour, bare, other
    tokens: Tokens
    words: frozenset[str]
    first: int
    end: int
    aside: bool  # in parentheses

    @property
    def value(self) -> float:
        return self.number * self.unit

    @property
    def before(self) -> str:
        return self.tokens[self.first - 1] if self.first else ""

    @property
    def after(self) -> str:
        return self.tokens[self.end] if self.end < len(self.tokens) else ""


def _number(tokens: Tokens, i: int) -> tuple[float, int] | None:
    """The number that begins at token i, and where it ends."""
    token = tokens[i]
    if _is_number(token):
        try:
            return float(token), i + 1
        except ValueError:  # "1.2.3"
            return None
    if i and tokens[i - 1] in _BEYOND_SPELLED:
        return None
    if token in _TENS:
        at = i + 1 + (tokens[i + 1 : i + 2] == ["-"])
        if at < len(tokens) and tokens[at] in _ONES:
            return _TENS[token] + _ONES[tokens[at]], at + 1
    spelled = _TENS.get(token, _TEENS.get(token, _ONES.get(token)))
    return None if spelled is None else (spelled, i + 1)


def _unit(tokens: Tokens, end: int) -> tuple[float, str, int]:
    """The unit after a number that ends at `end`: its size in metres, km/h or seconds, its kind, and where it ends."""
    at = end + (tokens[end : end + 1] == ["-"])  # "20-meter"
    unit, per, time = [*tokens[at : at + 3], "", "", ""][:3]
    if unit in _LENGTH_M:
        if per in _PER and time in _TIME_S:
            return _LENGTH_M[unit] / _TIME_S[time] * 3.6, "speed", at + 3
        # The "20 m" of "20 m / 5 s" is a step of a calculation.
        return _LENGTH_M[unit], "other" if per in ("/", "per") else "length", at + 1
    if unit in _SPEED_KMH:
        return _SPEED_KMH[unit], "speed", at + 1
    if unit in _TIME_S:
        return _TIME_S[unit], "time", at + 1
    if unit == "o'clock":
        return 1.0, "hour", at + 1
    return 1.0, "other" if unit in _COUNTED or unit in _BEYOND_SPELLED else "bare", end


def _mentions(tokens: Tokens) -> list[_Mention]:
    """The numbers of a clause, in order; the first of "3.5 to 6 seconds" takes the unit of the second."""
    found: list[_Mention] = []
    words, depth, i = frozenset(tokens), 0, 0
    while i < len(tokens):
        depth += (tokens[i] == "(") - (tokens[i] == ")")
        stamp = _STAMP.fullmatch(tokens[i])
        read = (60.0 * float(stamp[1]) + float(stamp[2]), i + 1) if stamp else _number(tokens, i)
        if read is None:
            i += 1
            continue
        number, end = read
        unit, kind, end = (1.0, "stamp", end) if stamp else _unit(tokens, end)
        if kind == "bare" and i and tokens[i - 1] in _NUMBERED:
            kind = "other"
        if number < 0.0 and found and found[-1].end == i:  # the dash of "3.50 -6.00"
            number = -number
        # "The red one" is no number: a spelled one needs its unit. No unit takes a number below this to infinity.
        if abs(number) < 1e99 and not (kind == "bare" and tokens[i].isalpha()):
            found.append(_Mention(number, unit, kind, tokens, words, i, end, depth > 0))
        i = end
    for k in range(len(found) - 1, 0, -1):
        former, latter = found[k - 1], found[k]
        if _between(former, latter) in _TO | {"and", "or"}:
            if former.kind == "bare":
                found[k - 1] = former._replace(kind=latter.kind, unit=latter.unit)
            elif former.kind == "other" and latter.kind == "bare":  # "frames 3 to 9"
                found[k] = latter._replace(kind="other")
    return found


def _between(former: _Mention, latter: _Mention) -> str:
    """The words from one number of a clause to the next; longer than three they are cut, as no reader knows such."""
    return " ".join(former.tokens[former.end : min(latter.first, former.end + 4)])


def _prefer(mentions: list[_Mention], test: Callable[[_Mention], bool]) -> list[_Mention]:
    return [mention for mention in mentions if test(mention)] or mentions


# ---------------------------------------------------------------------------------------------------------------------
# One reader a form of answer
# ---------------------------------------------------------------------------------------------------------------------

_TOTAL = _words("total totals totaling overall altogether sum =")
_AVERAGE = _words("average averages averaged averaging mean overall =")
_AT_THE_END = _words("end ends ending final finally")
_DIFFERENCE = _words("more less farther further faster slower away ahead behind apart")


def _read_measure(clauses: list[Tokens], kind: str, cues: frozenset[str], noun: str) -> Parsed:
    """A distance in metres (kind "length") or a speed in km/h (kind "speed"); a bare number is taken for one."""
    everything = [mention for tokens in clauses for mention in _mentions(tokens)]
    mentions = _join_ranges([mention for mention in everything if mention.kind == kind])
    if not mentions:
        if any(mention.kind in ("length", "speed") for mention in everything):
            return Parsed(None, f"no {noun}")
        mentions = _join_ranges([mention for mention in everything if mention.kind == "bare"])
        # "Between 3.5 and 6, it moves 12"
        mentions = _prefer(mentions, lambda m: m.before not in {"between", "from", "to", "at", "after", "until"})
        mentions = _prefer(mentions, lambda m: not m.words.isdisjoint(cues))
        if len({mention.value for mention in mentions}) > 1:
            return Parsed(None, "several numbers without a unit")
    if not mentions:
        return Parsed(None, f"no {noun}")
    # "It moves 20 m, 5 m farther than the other"; "30 m, not 20 m"
    mentions = _prefer(mentions, lambda m: m.before != "not" and m.after not in _DIFFERENCE)
    # "20 m (66 ft)": the second is a rounded copy of the first.
    mentions = _prefer(mentions, lambda m: not m.aside)
    # "20 m in total. First it moves 12 m, then 8 m."
    mentions = _prefer(mentions, lambda m: not m.words.isdisjoint(cues))
    # "4 m/s * 5 s = 20 m": what is concluded comes last.
    value = mentions[-1].value
    return Parsed(value) if value >= 0.0 else Parsed(None, f"negative {noun}")


def _join_ranges(mentions: list[_Mention]) -> list[_Mention]:
    """Put the middle for "20-25 m" and "between 20 and 25 m"; "from 5 m to 25 m" is no range of one value."""
    joined: list[_Mention] = []
    for mention in mentions:
        former = joined[-1] if joined and joined[-1].tokens is mention.tokens else None
        gap = _between(former, mention) if former and former.before != "from" else None
        if former and (gap in ("-", "~", "to") or (gap == "and" and former.before == "between")):
            middle = (former.value + mention.value) / 2.0
            joined[-1] = former._replace(number=middle, unit=1.0, end=mention.end)
        else:
            joined.append(mention)
    return joined


_NAMES_REFERENCE = _words(
    "initial initially reference relative original originally start starts starting first forward"
)


def _read_hour(clauses: list[Tokens]) -> Parsed:
    """An hour of the clock, 1 to 12."""
    everything = [mention for tokens in clauses for mention in _mentions(tokens)]
    mentions = [mention for mention in everything if mention.kind == "hour"]
    if not mentions:  # "10:00"
        mentions = [m._replace(number=m.number / 60.0) for m in everything if m.kind == "stamp" and m.number >= 60.0]
    if not mentions:
        mentions = [mention for mention in everything if mention.kind == "bare"]
        if len({mention.value for mention in mentions}) > 1:
            return Parsed(None, "several numbers and no o'clock")
    if not mentions:
        return Parsed(None, "no hour")
    # "With 12 o'clock as the initial heading, it moves towards 3 o'clock."
    mentions = _prefer(mentions, lambda m: not _is_reference(m))
    mentions = _prefer(mentions, lambda m: m.before != "not")
    mentions = _prefer(mentions, lambda m: not m.words.isdisjoint(_AT_THE_END))
    hour = mentions[-1]
    # "10 or 11 o'clock" is no answer; "from 12 to 3 o'clock" ends at 3.
    former = mentions[-2] if len(mentions) > 1 and mentions[-2].tokens is hour.tokens else hour
    if former.value != hour.value and former.before != "from" and _between(former, hour) in _TO | {"and", "or"}:
        return Parsed(None, "several hours")
    if not (hour.value.is_integer() and 0.0 <= hour.value <= 12.0):
        return Parsed(None, "no hour from 1 to 12")
    return Parsed(int(hour.value) or 12)


def _is_reference(hour: _Mention) -> bool:
    """Whether an hour only says how the clock lies: "12 o'clock is the initial heading", "relative to 12 o'clock"."""
    if hour.after in {"as", "is", "being", "means", "denotes", "represents", "="}:
        after = hour.tokens[hour.end : hour.end + 5]
        if not _NAMES_REFERENCE.isdisjoint(after):
            return True
    before = hour.tokens[max(0, hour.first - 6) : hour.first]
    while "o'clock" in before:  # words of the hour before it
        before = before[before.index("o'clock") + 1 :]
    return not _NAMES_REFERENCE.isdisjoint(before)


def _read_interval(clauses: list[Tokens]) -> Parsed:
    """(start, end) in seconds."""
    everything = [mention for tokens in clauses for mention in _mentions(tokens)]
    moments = [mention for mention in everything if mention.kind in ("time", "stamp", "bare")]
    intervals = [
        (former, latter)
        for former, latter in pairwise(moments)
        if former.tokens is latter.tokens and _joins_moments(former, latter)
    ]
    if not intervals:
        # "It starts at 3.5 s and ends at 6 s."
        moments = _prefer(moments, lambda m: m.kind != "bare")
        moments = _prefer(moments, lambda m: m.before not in {"for", "lasts", "lasting"})
        if len(moments) != 2:
            return Parsed(None, "a moment and no interval" if len(moments) == 1 else "no interval")
        intervals = [(moments[0], moments[1])]
    # "The video spans 0 to 19.5 seconds. It moves that way from 3.5 to 6 seconds."
    last = [pair for pair in intervals if pair[0].tokens is intervals[-1][0].tokens]
    spans_s = {(former.value, latter.value) for former, latter in last}
    if len(spans_s) > 1:
        return Parsed(None, "several intervals")
    start_s, end_s = spans_s.pop()
    return Parsed((start_s, end_s)) if 0.0 <= start_s <= end_s else Parsed(None, "interval ends before it starts")


def _joins_moments(former: _Mention, latter: _Mention) -> bool:
    gap = _between(former, latter)
    # "3.5, 6.0" is the form of a list; "at 3.5 s and 6 s" names both ends.
    return gap in _TO | {","} or (gap == "and" and (former.before == "between" or former.kind != "bare"))


_YES = _words("yes yeah yep true correct")
_NO = _words("no nope false incorrect")
_MORE = _words(
    "more most faster fastest quicker quickest farther farthest further furthest longer longest greater greatest higher"
    " highest larger largest exceeds outpaces surpasses outruns beats"
)
_LESS = _words("less least slower slowest slowly shorter shortest lower lowest smaller smallest trails lags")
_THAN = _words("than compared relative versus vs exceeds outpaces surpasses outruns beats trails lags")
_SAME = _words("same similar identical parallel")
_DIFFERENT = _words("different differently differ differing opposite opposing perpendicular diverging")
# "Two different objects move at the same time": no word on their direction.
_NOT_OF_DIRECTION = _words(
    "time times speed speeds pace lane lanes road object objects vehicle vehicles car cars color colors colour colours"
    " video scene frame frames distance distances"
)


def _is_negation(token: str) -> bool:
    return token in {"not", "never", "neither"} or token.endswith("n't")


def _relation(tokens: Tokens) -> tuple[int, int]:
    """Where a clause compares, and +1 for more, -1 for less; the sign is 0 where it does not."""
    for i, token in enumerate(tokens):
        follower = tokens[i + 1] if i + 1 < len(tokens) else ""
        if token in _LESS or (token in _MORE and follower == "slowly"):
            return i, -1
        if token in _MORE or (token in {"fast", "far", "quickly"} and i and tokens[i - 1] == "as"):
            return i, 1
    return len(tokens), 0


def _read_winner(clauses: list[Tokens], choices: Sequence[str], question: str) -> Parsed:
    """The color that an answer gives to the question; without a question, the one it says something about."""
    asked = _relation(_tokens(question.lower()))[1]
    winner = ""
    named: set[str] = set()
    denied: set[str] = set()
    subjects: list[str] = []
    for tokens in clauses:
        at, sign = _relation(tokens)
        mentions = _colors(tokens, at, choices)
        negated = any(_is_negation(token) for token in tokens[:at]) or tokens[at - 1 : at] == ["no"]
        if not sign:
            (denied if negated else named).update(mentions.subjects)
            # "The red object, which is a car, moves faster": a clause may leave its subject to the one before.
            subjects = subjects if negated else mentions.subjects or subjects
            continue
        named.update(mentions.subjects, mentions.others)
        # "It is faster than blue": who is not what it is measured by.
        subjects = mentions.subjects or subjects
        who = subjects or [choice for choice in choices if choice not in mentions.others]
        # "Blue covers less than red", when asked which covers more, is red.
        agrees = (-sign if negated else sign) == (asked or sign)
        answers = set(who) if agrees else set(choices).difference(who)
        if len(answers) == 1:
            winner = answers.pop()  # of two verdicts the later one is the conclusion
    if winner:
        return Parsed(winner)
    named = named or (set(choices) - denied if denied else set())
    if len(named) == 1:
        return Parsed(named.pop())
    return Parsed(None, "several choices" if named else "no choice")


class _Colors(NamedTuple):
    """The colors that a clause speaks of, and those it measures them by."""

    subjects: list[str]
    others: list[str]


def _colors(tokens: Tokens, relation: int, choices: Sequence[str]) -> _Colors:
    """Sort colors by role: "than blue" and "compared to blue" measure by blue; a subject precedes its comparison."""
    subjects: list[str] = []
    others: list[str] = []
    early, compared = 0, False
    for i, token in enumerate(tokens):
        if token in _THAN or (token == "as" and i > relation):
            compared = True
        elif token in {"is", "was"}:  # "faster than the blue object is the red one"
            compared = False
        elif token in choices:
            (others if compared else subjects).append(token)
            early += i < relation and not compared
    return _Colors(subjects[:early] or subjects, others)


def _read_sameness(clauses: list[Tokens]) -> Parsed:
    """Whether the directions are "same" or "different"."""
    verdict = ""
    for tokens in clauses:
        negated = False
        for token, follower in zip(tokens, [*tokens[1:], ""], strict=True):
            negated = negated or _is_negation(token)
            if (token in _SAME or token in _DIFFERENT) and follower not in _NOT_OF_DIRECTION:
                verdict = "same" if (token in _SAME) != negated else "different"
    return Parsed(verdict) if verdict else Parsed(None, "no choice")


def _read_choice(task: str, clauses: list[Tokens], choices: Sequence[str], question: str) -> Parsed:
    """A choice in words; where there is none, "yes" is the first and "no" the second."""
    if task == "movement_direction_comparison":
        parsed = _read_sameness(clauses)
    else:
        parsed = _read_winner(clauses, choices, question)
    opening = clauses[0][0] if clauses and clauses[0] else ""
    if parsed.reason == "no choice":
        if opening in _YES:
            return Parsed(choices[0])
        if opening in _NO and len(choices) == 2:
            return Parsed(choices[1])
    return parsed


def parse_answer(task: str, text: str, choices: Sequence[str] = (), question: str = "") -> Parsed:
    r"""Read what a response in free text answers.

    Only what it concludes counts: what follows `</think>`, stands in `<answer>` or `\boxed{}`, or comes after
    "answer:". Lengths and speeds in other units become metres and km/h; a bare number is taken to be in them already.
    `choices` are needed for comparisons; `question` tells "which is faster?" from "which is slower?".

    Returns Parsed(None, reason) where nothing can be read. Raises ValueError for an unknown task or missing choices.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is not one of {', '.join(TASKS)}")
    if task in COMPARISONS and len(choices) < 2:
        raise ValueError(f"{task} needs two choices or more, got {list(choices)}")
    answer = _final_answer(text)
    if answer is None:
        return Parsed(None, "reasoning without an answer")
    if not answer:
        return Parsed(None, "empty")
    everything = _CLAUSE_END.split(answer)
    # "I cannot tell if it is 20 m or 200 m" has numbers and no answer; "I cannot be sure, but about 20 m" has one.
    stated = [clause for clause in everything if not _REFUSAL.search(clause)]
    clauses = [tokens for tokens in map(_tokens, stated) if tokens]
    if task == "traveled_distance":
        parsed = _read_measure(clauses, "length", _TOTAL, "distance")
    elif task == "traveling_speed":
        parsed = _read_measure(clauses, "speed", _AVERAGE, "speed")
    elif task == "movement_direction":
        parsed = _read_hour(clauses)
    elif task == "direction_timestamp":
        parsed = _read_interval(clauses)
    else:
        parsed = _read_choice(task, clauses, choices, question)
    if parsed.value is None and len(stated) < len(everything):
        return Parsed(None, "refusal")
    return parsed


# ---------------------------------------------------------------------------------------------------------------------
# Scores
# ---------------------------------------------------------------------------------------------------------------------


def _iou(a_s: tuple[float, float], b_s: tuple[float, float]) -> float:
    """Intersection over union of two intervals in seconds, the second one not empty."""
    intersection_s = max(0.0, min(a_s[1], b_s[1]) - max(a_s[0], b_s[0]))
    return intersection_s / (a_s[1] - a_s[0] + b_s[1] - b_s[0] - intersection_s)


def score(task: str, parsed: Parsed, target: str) -> Outcome:
    """Compare a parsed answer with a printed target. Raises ValueError for a target that is not canonical.

    Right is: within 25 % of a distance or speed, the same hour, an IoU of at least 0.5, the same choice; bounds are
    included. What was not parsed is wrong: its IoU is 0, and it has no error.
    """
    truth = parse_target(task, target)
    answer = parsed.value
    if isinstance(truth, tuple):
        iou = _iou(answer, truth) if isinstance(answer, tuple) else 0.0
        return Outcome(iou >= LEAST_IOU - ROUNDING, iou=iou)
    if isinstance(truth, str) or not isinstance(answer, (int, float)):
        return Outcome(answer == truth)
    error = abs(answer - truth)
    if task == "movement_direction":
        error = min(error, 12 - error)
        return Outcome(error == 0, float(error))
    return Outcome(error <= RELATIVE_TOLERANCE * truth + ROUNDING, error)


_MAE_TASKS = ("traveled_distance", "traveling_speed", "movement_direction")


def score_all(
    predictions: Sequence[str],
    references: Sequence[Mapping[str, Any]],
    confidence: float | None = None,
    per_sample: bool = False,
) -> dict[str, Any]:
    """Score free-text answers against dataset rows (`read_reference` says what is taken from them).

    Returns, as fractions of 1 where no unit is given: `average_accuracy` (the mean over the tasks present) and
    `parse_rate`; for every task present `<task>_accuracy` and `<task>_count`; `traveled_distance_mae` (m),
    `traveling_speed_mae` (km/h), `movement_direction_mae` (clock hours), each over the parsed answers and absent where
    there are none; `direction_timestamp_iou`.

    `confidence`, such as 0.95, adds `<key>_low` and `<key>_high` to each but the counts: percentiles of a bootstrap
    that draws whole clips where rows have a `clip_id`, as questions on one clip share its difficulty, and single
    items elsewhere. With a handful of clips such an interval is too narrow, with one it has no width.
    `per_sample` adds the list `per_sample`: a dict of value, reason, correct, error and iou for each answer.

    Raises ValueError for no items, unequal lengths, a prediction that is no string, or a reference that is not sound;
    it names the item.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    if not len(predictions):
        raise ValueError("no predictions: there is nothing to score")
    if confidence is not None and not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    rows = [read_reference(row, f"references[{index}]") for index, row in enumerate(references)]
    answers, outcomes = [], []
    for index, (text, row) in enumerate(zip(predictions, rows, strict=True)):
        text = read_prediction(text, f"predictions[{index}]")
        answers.append(parse_answer(row.task, text, row.choices, row.question))
        outcomes.append(score(row.task, answers[-1], row.target))

    # Every score is a ratio of two sums over items, so a resample of clips is a weighting of both.
    task = np.array([row.task for row in rows])
    present = [name for name in TASKS if name in task]
    correct = np.array([outcome.correct for outcome in outcomes], dtype=np.float64)
    error = np.array([outcome.error for outcome in outcomes], dtype=np.float64)
    iou = np.array([outcome.iou for outcome in outcomes], dtype=np.float64)
    parsed = np.array([answer.value is not None for answer in answers])
    ratios: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
    for name in present:
        ratios[f"{name}_accuracy"] = (correct, task == name)
        if name in _MAE_TASKS and np.any(parsed & (task == name)):
            ratios[f"{name}_mae"] = (error, parsed & (task == name))
        if name == "direction_timestamp":
            ratios[f"{name}_iou"] = (iou, task == name)
    ratios["parse_rate"] = (parsed.astype(np.float64), np.ones(len(rows), dtype=np.bool_))
    sums = np.stack([np.where(items, values, 0.0) for values, items in ratios.values()], axis=1)
    counts = np.stack([items for _, items in ratios.values()], axis=1).astype(np.float64)
    is_accuracy = np.array([key.endswith("_accuracy") for key in ratios])
    keys = ["average_accuracy", *ratios]

    estimate = _with_average(sums.sum(axis=0, keepdims=True), counts.sum(axis=0, keepdims=True), is_accuracy)[0]
    scores: dict[str, Any] = dict(zip(keys, estimate.tolist(), strict=True))
    scores |= {f"{name}_count": int(np.sum(task == name)) for name in present}
    if confidence is not None:
        clips = [row.clip_id or f"item {index}" for index, row in enumerate(rows)]
        resampled = _with_average(*_resample(sums, counts, clips), is_accuracy)
        bounds = np.nanquantile(resampled, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0], axis=0)
        for key, (low, high) in zip(keys, bounds.T.tolist(), strict=True):
            scores[f"{key}_low"], scores[f"{key}_high"] = low, high
    if per_sample:
        scores["per_sample"] = [
            answer._asdict() | outcome._asdict() for answer, outcome in zip(answers, outcomes, strict=True)
        ]
    return scores


def _with_average(
    sums: NDArray[np.float64], counts: NDArray[np.float64], is_accuracy: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(R, K) sums and counts to (R, 1 + K) ratios, the average accuracy first.

    NaN where a resample drew no item of a score: it tells nothing about that score, nor for the average about its task.
    """
    ratios = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0.0)
    return np.column_stack([np.nanmean(ratios[:, is_accuracy], axis=1), ratios])


def _resample(
    sums: NDArray[np.float64], counts: NDArray[np.float64], clips: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, K) per item to (R, K) per resample: as many clips as there are, drawn with replacement."""
    clip_of_item = np.unique(np.array(clips), return_inverse=True)[1]
    clip_count = int(clip_of_item.max()) + 1
    per_clip = np.zeros((clip_count, 2 * sums.shape[1]))
    np.add.at(per_clip, clip_of_item, np.hstack([sums, counts]))
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    resampled = []
    # In blocks: a benchmark of 100 000 clips would need 1.6 GB for all weights at once.
    block = max(1, 2**22 // clip_count)
    for first in range(0, BOOTSTRAP_RESAMPLES, block):
        draws = min(block, BOOTSTRAP_RESAMPLES - first)
        drawn = rng.integers(clip_count, size=(draws, clip_count)) + clip_count * np.arange(draws)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=draws * clip_count).reshape(draws, clip_count)
        resampled.append(weights.astype(np.float64) @ per_clip)
    both = np.concatenate(resampled)
    return both[:, : sums.shape[1]], both[:, sums.shape[1] :]


# ---------------------------------------------------------------------------------------------------------------------
# The floor: what an answer scores that never looks at the video
# ---------------------------------------------------------------------------------------------------------------------


def best_constant(references: Sequence[Mapping[str, Any]]) -> dict[str, Constant]:
    """For each task present the constant answer that scores best on these references; of equals the smallest.

    For comparisons that is the most frequent color, or the more frequent of same and different.
    Raises ValueError for no references, or naming the one that is not sound.
    """
    if not len(references):
        raise ValueError("no references: there is nothing to score")
    targets: dict[str, list[str]] = {}
    for index, row in enumerate(references):
        reference = read_reference(row, f"references[{index}]")
        targets.setdefault(reference.task, []).append(reference.target)
    return {task: _best_constant(task, targets[task]) for task in TASKS if task in targets}


def _best_constant(task: str, targets: list[str]) -> Constant:
    if task in ("traveled_distance", "traveling_speed"):
        target = _best_number(np.sort(np.array(targets, dtype=np.float64)))
    elif task == "direction_timestamp":
        target = _best_interval(targets)
    else:
        frequency = Counter(targets)
        # By length first, as "9" comes before "10".
        target = min(frequency, key=lambda name: (-frequency[name], len(name), name))
    answer = Parsed(parse_target(task, target))
    return Constant(target, sum(score(task, answer, other).correct for other in targets) / len(targets))


def _best_number(truths: NDArray[np.float64]) -> str:
    """The number of two decimals within 25 % of the most of these, which are sorted.

    A best one lies at the lower bound of a truth: from any best number one can go down to the next such bound and
    leave no truth's range on the way.
    """
    lower = np.ceil(100.0 * (1.0 - RELATIVE_TOLERANCE) * truths - 100.0 * ROUNDING) / 100.0
    first = np.searchsorted(truths, (lower - ROUNDING) / (1.0 + RELATIVE_TOLERANCE), side="left")
    end = np.searchsorted(truths, (lower + ROUNDING) / (1.0 - RELATIVE_TOLERANCE), side="right")
    return f"{lower[np.argmax(end - first)]:.2f}"


def _best_interval(targets: list[str]) -> str:
    """The interval, from the start of one of these to the end of one, with an IoU of at least 0.5 with the most."""
    frequency = Counter(targets)
    bounds_s = np.array([target.split("-") for target in frequency], dtype=np.float64)  # (U, 2)
    weights = np.array(list(frequency.values()))
    end_s = np.unique(bounds_s[:, 1])[:, None]  # (E, 1) against the (U,) truths
    best, most = (0.0, 0.0), -1
    for start_s in np.unique(bounds_s[:, 0]):
        overlap_s = np.minimum(end_s, bounds_s[:, 1]) - np.maximum(start_s, bounds_s[:, 0])
        intersection_s = np.maximum(overlap_s, 0.0)
        union_s = end_s - start_s + bounds_s[:, 1] - bounds_s[:, 0] - intersection_s
        right = (intersection_s >= (LEAST_IOU - ROUNDING) * union_s) & (end_s > start_s)
        hits = right @ weights
        if hits.max() > most:
            best, most = (float(start_s), float(end_s[hits.argmax(), 0])), int(hits.max())
    return f"{best[0]:.2f}-{best[1]:.2f}"

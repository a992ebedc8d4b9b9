"""The numbers of a clause, each in the unit it stands in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .text import Tokens, is_number, words

_STAMP = re.compile(r"(\d{1,4}):([0-5]\d(?:\.\d+)?)", re.ASCII)


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
_TIMES = words("times x × fold")
_COUNTED = words(
    "frame frames fps hz % percent ° degree degrees deg px pixel pixels object objects car cars vehicle vehicles time"
    " st nd rd th"
)
_NUMBERED = words("frame frames image images object box car vehicle track id step #")
_ONES = _counting("one two three four five six seven eight nine", 1, 1)
_TEENS = _counting("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10, 1)
_TENS = _counting("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
TO = {"", "-", "~", "to", "until", "till", "through"}
_BEYOND_SPELLED = {"hundred", "thousand", "million", "point"}


class Mention(NamedTuple):
    """A number in a clause and the unit it stands in; tokens[first:end] are its own."""

    number: float
    unit: float  # in metres, km/h or seconds
    kind: str  # length, speed, time, stamp (m:ss), hour, ratio, bare, other
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
    if is_number(token):
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
    if unit in _TIMES:
        return 1.0, "ratio", at + 1
    return 1.0, "other" if unit in _COUNTED or unit in _BEYOND_SPELLED else "bare", end


def mentions_of(tokens: Tokens) -> list[Mention]:
    """The numbers of a clause, in order; the first of "3.5 to 6 seconds" takes the unit of the second."""
    found: list[Mention] = []
    all_words, depth, i = frozenset(tokens), 0, 0
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
            found.append(Mention(number, unit, kind, tokens, all_words, i, end, depth > 0))
        i = end
    for k in range(len(found) - 1, 0, -1):
        former, latter = found[k - 1], found[k]
        if between(former, latter) in TO | {"and", "or"}:
            if former.kind == "bare":
                found[k - 1] = former._replace(kind=latter.kind, unit=latter.unit)
            elif former.kind == "other" and latter.kind == "bare":  # "frames 3 to 9"
                found[k] = latter._replace(kind="other")
    return found


def between(former: Mention, latter: Mention) -> str:
    """The words from one number of a clause to the next; longer than three they are cut, as no reader knows such."""
    return " ".join(former.tokens[former.end : min(latter.first, former.end + 4)])


def prefer(mentions: list[Mention], test: Callable[[Mention], bool]) -> list[Mention]:
    return [mention for mention in mentions if test(mention)] or mentions

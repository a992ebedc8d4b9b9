"""The numbers of a clause, each in the unit it stands in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from .text import Clause, Tokens, is_number, words


def _table(kind: str, *rows: tuple[str, float]) -> dict[str, tuple[str, float]]:
    return {name: (kind, size) for names, size in rows for name in names.split()}


def _counting(names: str, first: int, step: int) -> dict[str, float]:
    return {name: float(first + step * i) for i, name in enumerate(names.split())}


# In metres, seconds and km/h.
_LENGTHS = _table(
    "length",
    ("m meter meters metre metres mtr mtrs", 1.0),
    ("km kms kilometer kilometers kilometre kilometres", 1000.0),
    ("cm cms centimeter centimeters centimetre centimetres", 0.01),
    ("mm millimeter millimeters millimetre millimetres", 0.001),
    ("ft foot feet", 0.3048),
    ("inch inches", 0.0254),  # not "in": "20 in 5 seconds" has no inches
    ("yd yds yard yards", 0.9144),
    ("mi mile miles", 1609.344),
)
_TIMES = _table(
    "time",
    ("s sec secs second seconds", 1.0),
    ("ms msec milliseconds millisecond", 0.001),
    ("min mins minute minutes", 60.0),
    ("h hr hrs hour hours", 3600.0),
)
UNITS = {
    **_LENGTHS,
    **_TIMES,
    **_table("speed", ("kmh kph kmph kmhr", 1.0), ("mph", 1.609344), ("mps", 3.6), ("knot knots kt kts kn", 1.852)),
    **_table("hour", ("o'clock", 1.0)),
    **_table("ratio", ("x × times fold", 1.0)),
    **_table("percent", ("% percent", 1.0)),
}
_PER = words("/ per a an each every")
_COUNTED = words(
    "frame frames fps hz ° degree degrees deg px pixel pixels object objects car cars vehicle vehicles time st nd rd th"
    " d k p lane lanes box boxes people person pedestrian pedestrians steps intervals points units am pm ^ million"
    " different other main key reasons square"
)
_NUMBERED = words(
    "frame frames image images object objects box car vehicle track id step steps # option point figure lane player"
    " person phase stage part segment level version no"
)
_OF_THE_IMAGE = words("x y u w x0 y0 x1 y1 x2 y2 cx cy width height fps rate")
# Between a number and its unit: "20-meter", "20 or so meters", "half of a kilometer".
_FILLERS = words("- full whole total or so odd ish")

_ONES = _counting("zero one two three four five six seven eight nine", 0, 1)
_TEENS = _counting("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10, 1)
_TENS = _counting("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_SMALL = _ONES | _TEENS | _TENS
_MULTIPLES = {"dozen": 12.0, "hundred": 100.0, "thousand": 1000.0, "million": 1e6}
_PARTS = {
    **{"half": 0.5, "halves": 0.5, "quarter": 0.25, "quarters": 0.25, "third": 1.0 / 3.0, "thirds": 1.0 / 3.0},
    **{"eighth": 0.125, "eighths": 0.125, "fifth": 0.2, "fifths": 0.2, "tenth": 0.1, "tenths": 0.1},
}
_FACTORS = {"twice": 2.0, "double": 2.0, "doubled": 2.0, "thrice": 3.0, "triple": 3.0}
_ORDINALS = _counting("first second third fourth fifth sixth seventh eighth ninth tenth", 1, 1)

TO = frozenset(
    {"", "-", "~", "to", "until", "till", "through", "up to", "to the", "- >", "to ~", "- ~", "until ~", "à"}
)
_ABOUT = words("about approximately around roughly nearly almost maybe perhaps possibly even")
_RANGE = words("range ranges ranging anywhere somewhere")
_TOLERANCE = frozenset(
    {"±", "+ / -", "+ -", "plus or minus", "plus / minus", "give or take", "( ±", "with an error of"}
)
_SHARING = TO | _TOLERANCE | {"and", "or", "and the", "than"}
# "5 feet 10 inches" is one length, "1 minute 20 seconds" one time.
_COMPOUNDS = {(0.3048, 0.0254), (0.9144, 0.3048), (1609.344, 0.3048), (1000.0, 1.0), (1.0, 0.01)} | {
    (3600.0, 60.0),
    (60.0, 1.0),
}

_STAMP = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}):([0-5]\d(?:\.\d+)?)", re.ASCII)
_RATIO = re.compile(r"(\d{1,4}(?:\.\d+)?):(\d{1,4}(?:\.\d+)?)", re.ASCII)
_LARGEST = 1e99  # no unit takes a number below this to infinity, nor its inverse
_LONGEST = 40


class Mention(NamedTuple):
    """A number in a clause and the unit it stands in; clause.tokens[first:end] are its own."""

    number: float
    unit: float  # in metres, km/h or seconds
    kind: str  # length, speed, time, stamp (m:ss), hour, ratio, percent; bare, word (ten), part (half), ordinal; other
    clause: Clause
    first: int
    end: int
    aside: bool = False  # in parentheses

    @property
    def value(self) -> float:
        return self.number * self.unit

    @property
    def before(self) -> str:
        return self.clause.tokens[self.first - 1] if self.first else ""

    @property
    def after(self) -> str:
        tokens = self.clause.tokens
        return tokens[self.end] if self.end < len(tokens) else ""


def between(former: Mention, latter: Mention) -> str:
    """The words from one number of a clause to the next but for "about"; cut at five, as no reader knows more."""
    words_between = former.clause.tokens[former.end : min(latter.first, former.end + 5)]
    return " ".join([token for token in words_between if token not in _ABOUT])


# Numbers


def _number_at(tokens: Tokens, i: int) -> tuple[float, int] | None:
    """The number that begins at token i, and where it ends."""
    token = tokens[i]
    if not is_number(token):
        return _spelled_at(tokens, i)
    if len(token) > _LONGEST:
        return None
    try:
        number = float(token)
    except ValueError:  # "1.2.3"
        return None
    rest, end = tokens[i + 1 : i + 6], i + 1
    if rest[:3] == ["×", "10", "^"] or rest[:3] == ["x", "10", "^"]:  # "2×10^1"
        sign = -1 if rest[3:4] == ["-"] else 1
        power = rest[4:5] if sign < 0 else rest[3:4]
        if power and len(power[0]) < 3 and power[0].lstrip("-").isdecimal():
            return number * 10.0 ** (sign * int(power[0])), end + 4 + (sign < 0)
    if rest[:1] == ["/"] and len(rest) > 1 and _is_fraction(token, rest[1]):  # "1/2"
        return number / float(rest[1]), end + 2
    if len(rest) > 2 and rest[1] == "/" and token.isdecimal() and is_number(rest[0]) and _is_fraction(rest[0], rest[2]):
        return number + float(rest[0]) / float(rest[2]), end + 3  # "1 1/2"
    return _with_part(tokens, number, end)


def _is_fraction(over: str, under: str) -> bool:
    return over.isdecimal() and under.isdecimal() and len(under) < 3 and 0 < int(over) < int(under)


def _with_part(tokens: Tokens, number: float, end: int) -> tuple[float, int]:
    """With "hundred", "thousand" and "and a half" that follow."""
    while tokens[end : end + 1] and tokens[end] in _MULTIPLES:
        number, end = number * _MULTIPLES[tokens[end]], end + 1
    following = tokens[end : end + 3]
    if following[:1] == ["and"] and len(following) == 3:  # "two and a half", "two and three quarters"
        count = 1.0 if following[1] in ("a", "one") else _ONES.get(following[1], 0.0)
        if count and following[2] in _PARTS:
            return number + count * _PARTS[following[2]], end + 3
    return number, end


def _spelled_at(tokens: Tokens, i: int) -> tuple[float, int] | None:
    """A number in words: "one hundred and twenty-five", "a dozen", "half a", "three quarters of a"."""
    if i and (tokens[i - 1] in _MULTIPLES or tokens[i - 1] == "point"):
        return None
    token, following = tokens[i], [*tokens[i + 1 : i + 3], "", ""]
    if token in _PARTS:
        return _PARTS[token], _skip(tokens, i + 1, ("of", "a", "an", "the"))
    if token in ("a", "an", "one") and following[0] in _MULTIPLES:
        return _sum_of_words(tokens, 1.0, i + 1)
    if token in ("a", "an", "one") and following[0] in _PARTS:
        return _PARTS[following[0]], _skip(tokens, i + 2, ("of", "a", "an", "the"))
    if token in ("a", "an") and following[0] in ("kilometer", "kilometre", "mile", "meter", "metre", "minute", "hour"):
        return 1.0, i + 1
    if token not in _SMALL:
        return None
    at = i + 1 + (following[0] == "-")
    if token in _ONES and tokens[at : at + 1] and tokens[at] in _PARTS and token != "zero":  # "two-thirds of a"
        return _ONES[token] * _PARTS[tokens[at]], _skip(tokens, at + 1, ("of", "a", "an", "the"))
    return _sum_of_words(tokens, 0.0, i)


def _sum_of_words(tokens: Tokens, start: float, i: int) -> tuple[float, int]:
    """A number in words from token i on, before which stands `start`, and where it ends."""
    total, group, end = 0.0, start, i
    while end < len(tokens) and end < i + 16:
        token = tokens[end]
        ones = tokens[end + 2 : end + 3] if tokens[end + 1 : end + 2] == ["-"] else []
        if token in _TENS and ones and ones[0] in _ONES:
            group, end = group + _TENS[token] + _ONES[ones[0]], end + 3
        elif token in _SMALL and (
            group % 100.0 == 0.0 or (token in _ONES and group % 100.0 >= 20.0 and group % 10.0 == 0.0)
        ):
            group, end = group + _SMALL[token], end + 1
        elif token in ("hundred", "dozen"):
            group, end = (group or 1.0) * _MULTIPLES[token], end + 1
        elif token in _MULTIPLES:
            total, group, end = total + (group or 1.0) * _MULTIPLES[token], 0.0, end + 1
        elif token == "and" and group >= 100.0 and tokens[end + 1 : end + 2] and tokens[end + 1] in _SMALL:
            end += 1
        else:
            break
    number = total + group
    digits = []
    if tokens[end : end + 1] == ["point"]:
        for token in tokens[end + 1 : end + 5]:
            if token not in _ONES:
                break
            digits.append(f"{_ONES[token]:.0f}")
        if digits:
            return number + float(f"0.{''.join(digits)}"), end + 1 + len(digits)
    return _with_part(tokens, number, end)


def _skip(tokens: Tokens, end: int, fillers: Iterable[str]) -> int:
    """Past fillers; to where it began if no unit follows them."""
    at = end
    while tokens[at : at + 1] and tokens[at] in fillers:
        at += 1
    return at if tokens[at : at + 1] and tokens[at] in UNITS else end


# Units


def unit_at(tokens: Tokens, at: int) -> tuple[str, float, int] | None:
    """The unit that begins at a token: its kind, its size, and where it ends."""
    if at >= len(tokens) or tokens[at] not in UNITS:
        return None
    kind, size = UNITS[tokens[at]]
    following = [*tokens[at + 1 : at + 6], "", ""]
    if tokens[at] == "ms" and following[:3] == ["^", "-", "1"]:
        return "speed", 3.6, at + 4
    if kind != "length":
        return kind, size, at + 1
    dot = following[0] in ("·", ".", "×")
    if following[0] in _PER and following[1] in _TIMES:
        if following[2] in ("^", "squared"):  # an acceleration
            return "other", 1.0, at + 3
        return "speed", size / _TIMES[following[1]][1] * 3.6, at + 3
    if following[dot] in _TIMES and following[dot + 1 : dot + 4] == ["^", "-", "1"]:  # "m·s^-1"
        return "speed", size / _TIMES[following[dot]][1] * 3.6, at + 5 + dot
    # An area, or the "20 m" of "20 m / 5 s", which is a step of a calculation.
    return "other" if following[0] in ("^", "/", "per") else kind, size, at + 1


def named_units(tokens: Tokens) -> dict[str, float]:
    """By kind, the only unit that is named without a number: "How many feet ...?", "speed (mph): 10"."""
    sizes: dict[str, set[float]] = {}
    for i, token in enumerate(tokens):
        unit = unit_at(tokens, i)
        before = tokens[i - 1] if i else ""
        if unit is None or before in _PER or before in _SMALL or before == "-" or (before and is_number(before)):
            continue
        if len(token) > 2 or before in ("in", "many", "("):  # else "m" and "s" may be names
            sizes.setdefault(unit[0], set()).add(unit[1])
    return {kind: size.pop() for kind, size in sizes.items() if len(size) == 1}


# Mentions


def mentions_of(clause: Clause) -> list[Mention]:
    """The numbers of a clause, in order; the first of "3.5 to 6 seconds" takes the unit of the second."""
    tokens = clause.tokens
    found: list[Mention] = []
    brackets: list[int] = []
    group_of: list[int] = []  # which bracket each stands in
    told: tuple[str, float] | None = None
    i = 0
    while i < len(tokens):
        token = tokens[i]
        if token in ("(", "["):
            brackets.append(i)
        elif token in (")", "]") and brackets:
            brackets.pop()
        elif token in UNITS and i and tokens[i - 1] in ("in", "("):  # "speed (m/s): 5"
            unit = unit_at(tokens, i)
            told = unit[:2] if unit else told
        read = _mention_at(clause, i)
        if read is None:
            i += 1
            continue
        # "20 m (or 30 m)" is another answer, not a remark.
        mention = read._replace(aside=bool(brackets) and tokens[i - 2 : i] != ["(", "or"])
        if mention.kind == "bare" and told:
            mention = mention._replace(kind=told[0], unit=told[1])
        if mention.number < 0.0 and found and found[-1].end == i:  # the dash of "3.50 -6.00"
            mention = mention._replace(number=-mention.number)
        if mention.number == 0.0 or 1.0 / _LARGEST < abs(mention.number) < _LARGEST:
            found.append(mention)
            group_of.append(brackets[-1] if brackets else -1)
        i = mention.end
    return _put_together(_without_coordinates(found, group_of))


def _mention_at(clause: Clause, i: int) -> Mention | None:
    tokens = clause.tokens
    token = tokens[i]
    stamp = _STAMP.fullmatch(token)
    if stamp:
        seconds = 3600.0 * float(stamp[1] or 0) + 60.0 * float(stamp[2]) + float(stamp[3])
        at_clock = tokens[i + 1 : i + 2] == ["o'clock"]
        return Mention(seconds, 1.0, "stamp", clause, i, i + 1 + at_clock)
    ratio = _RATIO.fullmatch(token)
    if ratio and float(ratio[2]):
        return Mention(float(ratio[1]) / float(ratio[2]), 1.0, "ratio", clause, i, i + 1)
    if is_number(token) and tokens[i + 1 : i + 2] == ["'"] and _inches_at(tokens, i):  # 5'10"
        end = i + 3 + (tokens[i + 3 : i + 4] == ['"'])
        return Mention(float(token) + float(tokens[i + 2]) / 12.0, 0.3048, "length", clause, i, end)
    if token in _ORDINALS and _counts_seconds(tokens, i):  # "third and sixth second"
        timed = tokens[i + 1] in ("second", "seconds")
        return Mention(_ORDINALS[token], 1.0, "time" if timed else "ordinal", clause, i, i + 1 + timed)
    if token in _FACTORS:
        return Mention(_FACTORS[token], 1.0, "ratio", clause, i, i + 1)
    read = _number_at(tokens, i)
    if read is None:
        return None
    number, end = read
    before = tokens[i - 1] if i else ""
    if before in ("minus", "negative"):
        number = -number
    at = end
    while tokens[at : at + 1] and tokens[at] in _FILLERS:
        at += 1
    unit = unit_at(tokens, at)
    spelled = not is_number(token)
    if unit:
        kind, size, end = unit
        if tokens[end : end + 3] == ["and", "a", "half"]:  # "a minute and a half"
            number, end = number + 0.5, end + 3
        return Mention(number, size, kind, clause, i, end)
    if tokens[end : end + 1] and tokens[end] in _COUNTED:
        if tokens[end] in ("st", "nd", "rd", "th"):  # "the 3rd and the 6th second"
            timed = tokens[end + 1 : end + 2] in (["second"], ["seconds"])
            return Mention(number, 1.0, "time" if timed else "ordinal", clause, i, end + 1 + timed)
        return Mention(number, 1.0, "other", clause, i, end)
    if before == "seconds" or (before in ("second", "timestamp", "t") and not spelled):  # "from second 3 to second 6"
        return Mention(number, 1.0, "time", clause, i, end)
    is_of_the_image = before == "=" and i > 1 and tokens[i - 2] in _OF_THE_IMAGE  # "x = 120"
    if (before in _NUMBERED or before == "^" or is_of_the_image) and not spelled:
        return Mention(number, 1.0, "other", clause, i, end)
    if spelled and (token in _PARTS or tokens[end - 1] in _PARTS):
        return Mention(number, 1.0, "part", clause, i, end)
    return Mention(number, 1.0, "word" if spelled else "bare", clause, i, end)


def _counts_seconds(tokens: Tokens, i: int) -> bool:
    """Whether an ordinal is of seconds; of "first" and "second" only where it cannot be of anything else."""
    following = tokens[i + 1 : i + 5]
    if tokens[i] in ("first", "second") and following[:1] not in (["second"], ["to"], ["and"], ["until"]):
        return False
    return not {"second", "seconds"}.isdisjoint(following)


def _inches_at(tokens: Tokens, i: int) -> bool:
    inches = tokens[i + 2 : i + 3]
    return (
        bool(inches) and inches[0].isdecimal() and len(inches[0]) < 3 and tokens[i].isdecimal() and len(tokens[i]) < 5
    )


def _without_coordinates(found: list[Mention], group_of: list[int]) -> list[Mention]:
    """Three or more bare numbers in one bracket, such as "[0.1, 0.2, 0.3, 0.4]", are a box."""
    bare_in: dict[int, int] = {}
    for mention, group in zip(found, group_of, strict=True):
        bare_in[group] = bare_in.get(group, 0) + (mention.kind == "bare")
    return [
        mention._replace(kind="other") if mention.kind == "bare" and group >= 0 and bare_in[group] > 2 else mention
        for mention, group in zip(found, group_of, strict=True)
    ]


def _put_together(found: list[Mention]) -> list[Mention]:
    """Share units over "3.5 to 6 seconds", add up "5 feet 10 inches", and leave the 2 out of "20 ± 2 m"."""
    for k in range(len(found) - 1, 0, -1):
        former, latter = found[k - 1], found[k]
        gap = between(former, latter)
        if gap in _SHARING:
            # Not the one of "the blue one 30 m".
            if former.kind in ("bare", "ordinal") or (former.kind in ("word", "part") and gap):
                found[k - 1] = former._replace(kind=latter.kind, unit=latter.unit)
            elif latter.kind == "bare" and former.kind == "other":  # "frames 3 to 9"
                found[k] = latter._replace(kind="other")
            elif latter.kind == "word" and former.kind == "time":  # "seconds two to four"
                found[k] = latter._replace(kind="time")
            elif latter.kind == "bare" and gap == "or":  # "3 o'clock or maybe 4"
                found[k] = latter._replace(kind=former.kind, unit=former.unit)
    for k in range(1, len(found)):
        if found[k].kind == "bare" and found[k - 1].kind == "other" and between(found[k - 1], found[k]) == ",":
            found[k] = found[k]._replace(kind="other")  # "frames 3, 4, 5"
    whole: list[Mention] = []
    for mention in found:
        last = whole[-1] if whole else None
        gap = between(last, mention) if last else "?"
        if last and gap in _TOLERANCE:
            whole[-1] = last._replace(end=mention.end)
        elif last and last.kind == mention.kind and gap in ("", "and") and (last.unit, mention.unit) in _COMPOUNDS:
            whole[-1] = last._replace(number=last.number + mention.value / last.unit, end=mention.end)
        else:
            whole.append(mention)
    return whole


def join_ranges(mentions: list[Mention]) -> list[Mention]:
    """Put the middle for "20-25 m" and "between 20 and 25 m"; "from 5 m to 25 m" is no range of one value."""
    joined: list[Mention] = []
    for mention in mentions:
        former = joined[-1] if joined and joined[-1].clause is mention.clause else None
        gap = between(former, mention) if former and not _is_start(former) else "?"
        if former and ((gap in TO and gap) or (gap == "and" and former.before == "between")):
            middle = (former.value + mention.value) / 2.0
            joined[-1] = former._replace(number=middle, unit=1.0, end=mention.end)
        else:
            joined.append(mention)
    return joined


def _is_start(mention: Mention) -> bool:
    """Whether a number is where something sets out, and not the lower end of "ranges from 10 to 20 km/h"."""
    before = mention.clause.tokens[max(0, mention.first - 3) : mention.first]
    return mention.before == "from" and _RANGE.isdisjoint(before)

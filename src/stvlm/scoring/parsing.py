"""What an answer in free text says: one reader a form of answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from .choices import is_negation, read_sameness, read_winner, said_yes_or_no, settle
from .quantities import TO, Mention, between, join_ranges, mentions_of, named_units
from .references import COMPARISONS, Value, check_task
from .text import REFUSAL, Clause, Tokens, clauses_of, plain, scopes, tokens_of, words


class Parsed(NamedTuple):
    """What an answer says: metres, km/h, an hour 1..12, (start, end) in seconds, seconds, a ratio, or a choice.

    None where it says nothing that can be read, with the reason.
    """

    value: Value | None
    reason: str = ""


class _Measure(NamedTuple):
    """How an answer in one quantity is told from other numbers in it."""

    kind: str
    noun: str
    whole: frozenset[str]  # words of the answer proper: "in total", "on average"
    about: frozenset[str]  # words for what is asked about
    part: frozenset[str]  # words of something less or other


_MEASURES = {
    "traveled_distance": _Measure(
        "length",
        "distance",
        words("total totals totaling totalling totaled overall altogether sum cumulative entire"),
        words("travel travels traveled travelled traveling travelling move moves moved moving cover covers covered distance"
              " path goes went gone drove drives ran runs walked advanced displacement journey"),
        words("first then next another additional initially"),
    ),
    "traveling_speed": _Measure(
        "speed",
        "speed",
        words("average averages averaged averaging mean overall"),
        words("speed velocity pace moves moving travels traveling travelling goes going"),
        words("peak maximum max minimum min top limit initially initial instantaneous slowest fastest up then first later start"),
    ),
    "time_to_cover": _Measure(
        "time",
        "duration",
        words("total takes take need needs needed required requires"),
        words("cover travel reach time after would"),
        words("between from throughout during video clip frame frames lasts"),
    ),
    "catch_up_time": _Measure(
        "time",
        "duration",
        words("catch catches level gain gains takes take need needs chase"),
        words("after time would"),
        words("between from throughout during video clip frame frames"),
    ),
    "speed_ratio": _Measure(
        "ratio", "ratio", words("ratio"), words("fast faster slower speed speeds quick"), words("confidence")
    ),
}  # fmt: skip

_OPERATORS = words("+ × * / times plus minus")
_EQUALS = words("= gives equals yields")
_DIFFERENCE = words("more less farther further faster slower away ahead behind apart greater shorter longer fewer off")
_OF_A_THING_AFTER = words("wide tall high deep apart per each every")
_OF_A_THING_BEFORE = words("width height size radius diameter length lane lanes each every")
_ASSUMED = words("assume assumes assumed assuming typical typically if suppose e.g reference standard usual usually")
_FROM_CAMERA = words("camera ego viewer observer cameraman")
_NOT = words("not rather instead")
_QUALIFIED = words("exactly only precisely more less over above under sure just exceed but")
_COLORS = words("red blue green yellow orange purple white black pink cyan")
_SUPPOSED = words("if example instance hypothetical hypothetically suppose supposing e.g")
_AGREES = 0.03
"""How far apart, as a share, two values are that are one quantity in two units, each rounded."""


def _read_measure(clauses: list[Clause], task: str, question: str) -> Parsed:
    """Metres, km/h, seconds or a ratio; a bare number is in the unit that the question asks for."""
    measure = _MEASURES[task]
    everything = [mention for clause in clauses for mention in mentions_of(clause)]
    units = named_units(tokens_of(question))
    unit = units.get(measure.kind, 1.0)
    kinds = (measure.kind, "stamp") if measure.kind == "time" else (measure.kind,)
    mentions = [mention for mention in everything if mention.kind in kinds]
    bare = not mentions
    if bare:
        if any(mention.kind in ("length", "speed", "ratio", "percent") for mention in everything):
            everything = [mention for mention in everything if mention.before == "="]  # "5 m/s * 4 s = 20"
        mentions = [mention._replace(unit=unit) for mention in everything if mention.kind == "bare"]
        mentions = mentions or [
            mention._replace(unit=unit) for mention in everything if mention.kind == "word" and _stands_alone(mention)
        ]
    if not mentions:
        return Parsed(None, f"no {measure.noun}")
    asked = _COLORS.intersection(tokens_of(question))
    spans = {
        m.value for m in mentions_of(Clause(question, tokens_of(question), frozenset(), 0, False)) if m.kind == "time"
    }
    topics = _topics(clauses)
    ranked = [
        (
            _rank(mention, measure, asked, topics, bare)
            - 2 * (measure.kind == "time" and mention.value in spans)
            + 5 * (mention.unit == unit != 1.0),
            mention,
        )
        for mention in join_ranges(mentions)
    ]
    best = _best([(rank, mention) for rank, mention in ranked if rank > _EXCLUDED])
    if not best:
        return Parsed(None, f"no {measure.noun}")
    in_parts = all(map(_is_operand, best)) or (len(best) > 1 and not any(measure.part.isdisjoint(mention.clause.lead) for mention in best))
    value = None if in_parts else _one_value(best)  # "10 m ahead and then 10 m to the right"
    if value is None:
        return Parsed(None, "several numbers without a unit" if bare else f"several {measure.noun}s")
    return Parsed(value) if value >= 0.0 else Parsed(None, f"negative {measure.noun}")


_EXCLUDED = -20


def _best(ranked: Sequence[tuple[int, Mention]]) -> list[Mention]:
    """Those of the highest rank, in order."""
    top = max((rank for rank, _ in ranked), default=0)
    return [mention for rank, mention in ranked if rank == top]


def _rank(
    mention: Mention, measure: _Measure, asked: frozenset[str], topics: dict[int, frozenset[str]], bare: bool
) -> int:
    """How likely a number is the answer: what is concluded or called total most, what is something else least."""
    lead = mention.clause.lead
    after = mention.clause.tokens[mention.end : mention.end + 4]
    rank = 0
    rank += 3 * (not measure.whole.isdisjoint(lead))  # "20 m in total. First it moves 12 m, then 8 m."
    rank += 2 * mention.clause.concludes  # "Therefore it moves 20 m"
    rank += mention.before in _EQUALS
    rank += -3 if not measure.part.isdisjoint(lead) else not measure.about.isdisjoint(lead)
    rank += _stands_alone(mention)
    rank -= 5 * mention.aside  # "20 m (66 ft)": the second is a rounded copy of the first.
    rank -= 6 * (_is_denied(mention) or mention.after in _DIFFERENCE)
    rank -= 4 * _is_operand(mention)
    rank -= 30 * (mention.after in _DIFFERENCE and "than" in after)  # "It moves 5 m farther than the other"
    rank -= 3 * (_is_of_a_thing(mention) or not _ASSUMED.isdisjoint(lead))
    if bare:  # "Between 3.5 and 6, it moves 12"
        rank -= 3 * (mention.before in ("between", "from", "to", "at", "after", "until", "and"))
    if measure.kind == "length":
        rank -= 30 * ("from" in after and not _FROM_CAMERA.isdisjoint(mention.clause.tokens[mention.end :]))
        rank -= 1 * ("long" in after)
    owner = _owner(mention, topics)
    if asked and owner and asked.isdisjoint(owner):
        told = mention.clause.tokens[max(0, mention.first - _REACH) : mention.first]
        rank -= 30 if not owner.isdisjoint(told) else 10  # another's for certain, or perhaps
    return rank


def _is_denied(mention: Mention) -> bool:
    """ "30 m, not 20 m", "it does not travel 20 m"; "not more than 20 m" and "not exactly 20 m" are no denials."""
    before = mention.clause.tokens[max(0, mention.first - 4) : mention.first]
    if before[-2:] in (["rather", "than"], ["instead", "of"]):
        return True
    return (mention.before in _NOT or any(map(is_negation, before))) and _QUALIFIED.isdisjoint(before)


def _is_of_a_thing(mention: Mention) -> bool:
    """ "A lane is about 3.5 m wide", "a length of 4.5 m", "3 m each"."""
    tokens = mention.clause.tokens
    before, after = tokens[max(0, mention.first - 4) : mention.first], tokens[mention.end : mention.end + 2]
    return not (_OF_A_THING_AFTER.isdisjoint(after) and _OF_A_THING_BEFORE.isdisjoint(before))


def _is_operand(mention: Mention) -> bool:
    return mention.before in _OPERATORS or mention.after in _OPERATORS


def _stands_alone(mention: Mention) -> bool:
    """Whether a clause has hardly a word beside the number and its unit."""
    return len(mention.clause.tokens) - (mention.end - mention.first) < 2


def _one_value(mentions: list[Mention]) -> float | None:
    """The value that all agree on, be it in several units; of several conclusions the last."""
    first, last = mentions[0], mentions[-1]
    if all(abs(mention.value - last.value) <= _AGREES * abs(last.value) for mention in mentions):
        return last.value if last.before in _EQUALS or first.kind == "bare" else first.value
    if last.clause.concludes or last.before in _EQUALS:
        final = [mention for mention in mentions if mention.clause.sentence == last.clause.sentence]
        if last.before in _EQUALS or len({mention.value for mention in final}) == 1:
            return last.value
    return None


_REACH = 30


def _named(tokens: Tokens) -> list[str]:
    """The colors spoken of, not those that something is compared with: "than the blue object"."""
    return [token for i, token in enumerate(tokens) if token in _COLORS and "than" not in tokens[max(0, i - 4) : i]]


def _topics(clauses: list[Clause]) -> dict[int, frozenset[str]]:
    """The colors that each clause (by id) is about: its own, or those named last."""
    topics: dict[int, frozenset[str]] = {}
    topic: frozenset[str] = frozenset()
    for clause in clauses:
        topic = frozenset(_named(clause.tokens)) or topic
        topics[id(clause)] = topic
    return topics


def _owner(mention: Mention, topics: dict[int, frozenset[str]]) -> frozenset[str]:
    """Whose number it is: "20 m for the red object", "the red one moves 20 m"."""
    tokens = mention.clause.tokens
    after = tokens[mention.end : mention.end + 5]
    if after and after[0] in ("for", "by", "of"):
        behind = [token for token in after if token in _COLORS]
        if behind:
            return frozenset(behind[:1])
    start = max(0, mention.first - _REACH)
    named = _named(tokens[start : mention.first])
    return frozenset(named[-1:]) or topics[id(mention.clause)]


_SLOWER = words("slower slow slowly less lower")
_FASTER = words("faster more higher quicker greater")


def _read_ratio(clauses: list[Clause]) -> Parsed:
    """How many times as fast: "3 times as fast", "twice", "half as fast", "120 % of", "25 % faster", "5 to 1"."""
    everything = [mention for clause in clauses for mention in mentions_of(clause)]
    for former, latter in pairwise(everything):
        if former.clause is latter.clause and between(former, latter) in ("to", ":") and latter.value == 1.0:
            return Parsed(former.value) if former.value >= 0.0 else Parsed(None, "negative ratio")
    mentions = [_as_ratio(mention) for mention in everything if mention.kind in ("ratio", "percent", "part")]
    several = "several ratios" if mentions else "several numbers without a unit"
    mentions = mentions or [mention for mention in everything if mention.kind == "bare"]
    mentions = mentions or [mention for mention in everything if mention.kind == "word" and _stands_alone(mention)]
    if not mentions:
        return Parsed(None, "no ratio")
    best = _best([(_ratio_rank(mention), mention) for mention in join_ranges(mentions)])
    value = _one_value(best)
    if value is None:
        return Parsed(None, several)
    return Parsed(value) if value >= 0.0 else Parsed(None, "negative ratio")


def _as_ratio(mention: Mention) -> Mention:
    """As a multiple of the other's speed: "4 times slower" is 0.25 of it, "25 % faster" 1.25."""
    after = mention.clause.tokens[mention.end : mention.end + 9]
    slower, faster = not _SLOWER.isdisjoint(after[:1]), not _FASTER.isdisjoint(after[:1])
    ratio = mention.number
    if mention.kind == "percent":
        share = ratio / 100.0
        ratio = 1.0 - share if slower else 1.0 + share if faster else share
    elif slower and ratio:
        ratio = 1.0 / ratio
    if ratio and not {"as", "than"}.isdisjoint(after) and "object" in after:  # "The runner is twice as fast as the object"
        ratio = 1.0 / ratio
    return mention._replace(number=ratio, unit=1.0, kind="ratio")


def _ratio_rank(mention: Mention) -> int:
    measure, lead = _MEASURES["speed_ratio"], mention.clause.lead
    rank = 3 * (not measure.whole.isdisjoint(lead)) + 2 * mention.clause.concludes + (mention.before in _EQUALS)
    rank += (not measure.about.isdisjoint(lead)) - 3 * (not measure.part.isdisjoint(lead))
    return rank - 5 * mention.aside - 6 * _is_denied(mention) - 4 * _is_operand(mention)


_TURNS = words("then turns turning turned finally")
_NAMES_REFERENCE = words(
    "initial initially reference relative original originally start starts starting started first forward begins began begin set sets"
)
_AT_THE_END = words("end ends ending ended final finally last eventually now")


def _read_hour(clauses: list[Clause], question: str) -> Parsed:
    """An hour of the clock, 1 to 12."""
    everything = [mention for clause in clauses for mention in mentions_of(clause)]
    mentions = [
        mention
        for mention in everything
        if mention.kind == "hour" or (mention.kind == "stamp" and mention.clause.tokens[mention.end - 1] == "o'clock")
    ]
    mentions = [m._replace(number=m.number / 60.0) if m.kind == "stamp" else m for m in mentions]
    if not mentions:  # "10:00"
        mentions = [m._replace(number=m.number / 60.0) for m in everything if m.kind == "stamp" and m.number >= 60.0]
    if not mentions:
        mentions = [mention for mention in everything if mention.kind == "bare"]
        mentions = mentions or [
            m
            for m in everything
            if m.kind == "word"
            and (_stands_alone(m) or m.before in ("to", "toward", "towards", "at", "of", "direction"))
        ]
        if len({mention.value for mention in mentions}) > 1:
            mentions = [m for m in mentions if not _is_reference(m)]
        if len({mention.value for mention in mentions}) > 1:
            return Parsed(None, "several numbers and no o'clock")
    if not mentions:
        return Parsed(None, "no hour")
    asked, topics = _COLORS.intersection(tokens_of(question)), _topics(clauses)
    ranked = [(_hour_rank(mention, asked, topics), mention) for mention in mentions]
    best = _best(ranked)
    hour = best[-1]
    # "10 or 11 o'clock" is no answer; "from 12 to 3 o'clock" ends at 3.
    for former, latter in pairwise(mentions):
        if latter is hour and former.clause is hour.clause and former.value != hour.value:
            gap = between(former, latter)
            if former.before != "from" and (gap in TO or gap in ("and", "or", "/")):
                return Parsed(None, "several hours")
    if len({mention.value for mention in best}) > 1 and not _in_turn(best):
        return Parsed(None, "several hours")
    if not (hour.value.is_integer() and 0.0 <= hour.value <= 12.0):
        return Parsed(None, "no hour from 1 to 12")
    return Parsed(int(hour.value) or 12)


def _hour_rank(mention: Mention, asked: frozenset[str], topics: dict[int, frozenset[str]]) -> int:
    # "With 12 o'clock as the initial heading, it moves towards 3 o'clock."
    rank = -8 * _is_reference(mention) + 2 * mention.clause.concludes
    rank -= 6 * _is_denied(mention)
    rank += 3 * (not _AT_THE_END.isdisjoint(mention.clause.lead))
    rank -= 2 * mention.aside
    owner = _owner(mention, topics)
    return rank - 10 * bool(asked and owner and asked.isdisjoint(owner))


def _in_turn(hours: list[Mention]) -> bool:
    """Whether hours are told as a course: "from 12 o'clock to 3 o'clock", "first 12, then 2"."""
    first, last = hours[0], hours[-1]
    return "from" in first.clause.tokens[max(0, first.first - 2) : first.first] or not _TURNS.isdisjoint(
        last.clause.lead
    )


def _is_reference(hour: Mention) -> bool:
    """Whether an hour only says how the clock lies: "12 o'clock is the initial heading", "relative to 12 o'clock"."""
    tokens = hour.clause.tokens
    if hour.after in {"as", "is", "being", "means", "denotes", "represents", "=", "(", "at", "initially", "was"}:
        after = tokens[hour.end : hour.end + 5]
        if not _NAMES_REFERENCE.isdisjoint(after):
            return True
    before = tokens[max(0, hour.first - 6) : hour.first]
    while "o'clock" in before:  # words of the hour before it
        before = before[before.index("o'clock") + 1 :]
    return not _NAMES_REFERENCE.isdisjoint(before)


_OF_THE_VIDEO = words("video clip footage spans lasts duration length total long")
_START = words("beginning start outset")


def _read_interval(clauses: list[Clause], question: str) -> Parsed:
    """(start, end) in seconds."""
    everything = [mention for clause in clauses for mention in mentions_of(clause)]
    moments = [mention for mention in everything if mention.kind in ("time", "stamp", "bare")]
    asked = _hours(tokens_of(question))
    told = {id(clause): _hours(clause.tokens) for clause in clauses}  # hours that a clause speaks of
    intervals: list[tuple[int, float, float]] = []
    for former, latter in pairwise(moments):
        if former.clause is latter.clause and _joins_moments(former, latter):
            intervals.append((_interval_rank(former, asked, told), former.value, latter.value))
    for moment in moments:
        tokens = moment.clause.tokens
        if (
            tokens[max(0, moment.first - 2) : moment.first] == ["the", "first"] and moment.kind == "time"
        ):  # "the first 3 seconds"
            intervals.append((_interval_rank(moment, asked, told), 0.0, moment.value))
        elif moment.before in ("to", "until", "till") and _is_from_start(moment):
            intervals.append((_interval_rank(moment, asked, told), 0.0, moment.value))  # "from the start to 3 s"
    if not intervals:
        # "It starts at 3.5 s and ends at 6 s."
        if any(moment.kind != "bare" for moment in moments):
            moments = [moment for moment in moments if moment.kind != "bare"]
        points = [
            moment
            for moment in moments
            if moment.before not in ("for", "lasts", "lasting", "about's") and moment.after not in ("long", "later")
        ]
        points = [
            moment for moment in points if _OF_THE_VIDEO.isdisjoint(moment.clause.lead) or len(points) <= 2
        ] or points
        if len(points) == 1 and len(moments) == 2 and moments[1].before in ("for", "lasts", "lasting"):
            points = [points[0], moments[1]._replace(number=points[0].value + moments[1].value, unit=1.0)]
        if len(points) != 2:
            return Parsed(None, "a moment and no interval" if len(points) == 1 else "no interval")
        if {"or", "maybe"} & {between(points[0], points[1])}:
            return Parsed(None, "several intervals")
        intervals = [(0, points[0].value, points[1].value)]
    # "The video spans 0 to 19.5 seconds. It moves that way from 3.5 to 6 seconds."
    top = max(rank for rank, _, _ in intervals)
    spans_s = {(start_s, end_s) for rank, start_s, end_s in intervals if rank == top}
    if len(spans_s) > 1:
        return Parsed(None, "several intervals")
    start_s, end_s = spans_s.pop()
    return Parsed((start_s, end_s)) if 0.0 <= start_s <= end_s else Parsed(None, "interval ends before it starts")


def _is_from_start(moment: Mention) -> bool:
    before = moment.clause.tokens[max(0, moment.first - 5) : moment.first]
    return "from" in before and not _START.isdisjoint(before[-3:])


def _hours(tokens: list[str]) -> set[float]:
    clause = Clause("", tokens, frozenset(), 0, False)
    return {mention.value for mention in mentions_of(clause) if mention.kind == "hour" and not _is_reference(mention)}


def _interval_rank(mention: Mention, asked: set[float], told: dict[int, set[float]]) -> int:
    hours = told[id(mention.clause)]
    rank = 2 * mention.clause.concludes - 6 * (mention.before in _NOT)
    rank -= 4 * (
        "video" in mention.clause.lead
        and not _OF_THE_VIDEO.isdisjoint(mention.clause.lead - {"video", "clip", "footage"})
    )
    rank -= 3 * bool(asked and hours and hours.isdisjoint(asked))
    return rank + bool(asked & hours)


def _joins_moments(former: Mention, latter: Mention) -> bool:
    gap = between(former, latter)
    # "3.5, 6.0" is the form of a list; "at 3.5 s and 6 s" names both ends.
    return gap in TO | {","} or (gap == "and" and (former.before == "between" or former.kind != "bare"))


def _read_choice(task: str, clauses: list[Clause], choices: Sequence[str], question: str) -> Parsed:
    """A choice in words; where there is none, "yes" is the first and "no" the second."""
    if task == "movement_direction_comparison":
        verdict = read_sameness(clauses)
    else:
        verdict = read_winner(clauses, choices, question, _values(task, clauses, choices), task)
    return Parsed(*settle(verdict, said_yes_or_no(clauses, choices, question)))


def _values(task: str, clauses: list[Clause], choices: Sequence[str]) -> dict[str, float]:
    """What the answer measures for each choice: "red travels 20 m, blue 30 m"; nothing where one has several."""
    kind = "length" if task == "traveled_distance_comparison" else "speed"
    topics, found = _topics(clauses), dict[str, set[float]]()
    asides: dict[str, set[float]] = {}  # "Red (30 m) and blue (20 m)"
    everything = [mention for clause in clauses for mention in mentions_of(clause)]
    if all(mention.kind == "bare" for mention in everything):
        kind = "bare"
    for _, group in groupby(everything, key=lambda mention: id(mention.clause)):
        listed = [mention for mention in group if mention.kind == kind]
        colors = [token for token in listed[0].clause.tokens if token in choices] if listed else []
        if len(listed) == len(colors) == len(choices) and colors[-1] in listed[0].clause.tokens[: listed[0].first]:
            # "Red and blue move at 10 and 20 km/h, respectively"
            return dict(zip(colors, (mention.value for mention in listed), strict=True))
    for mention in everything:
        owner = _owner(mention, topics)
        if mention.kind == kind and len(owner) == 1 and owner <= set(choices):
            (asides if mention.aside else found).setdefault(next(iter(owner)), set()).add(mention.value)
    return {choice: values.pop() for choice, values in (found or asides).items() if len(values) == 1}


_OPTION = re.compile(r"(?:^|[\s(])([a-f])[).:]\s", re.ASCII)
_LETTER = re.compile(
    r"(?:the )?(?:correct )?(?:option |answer |choice )?(?:is )?[(\[]?([a-f])[)\]]?(?: is (?:the )?(?:correct|right)(?: answer)?)?\s*[.:)]*"
)


def _option_named(answer: str, question: str) -> str | None:
    """The text of the option whose letter is the whole answer, where the question lists options by letters."""
    match = _LETTER.fullmatch(answer)
    if match is None:
        return None
    text = plain(question)
    marks = list(_OPTION.finditer(text))
    letters = [mark[1] for mark in marks]
    if len(letters) < 2 or letters != list("abcdef"[: len(letters)]) or match[1] not in letters:
        return None
    place = letters.index(match[1])
    end = marks[place + 1].start() if place + 1 < len(marks) else len(text)
    return text[marks[place].end() : end].strip(" \n,;()")


def parse_answer(task: str, text: str, choices: Sequence[str] = (), question: str = "") -> Parsed:
    r"""Read what a response in free text answers.

    Only what it concludes counts: what follows `</think>`, stands in `<answer>`, `\boxed{}` or JSON, or comes after
    "answer:". Lengths and speeds in other units become metres and km/h; a bare number is in the unit that `question`
    asks for, else in these. `choices` are needed for comparisons; `question` tells "which is faster?" from "which is
    slower?".

    Returns Parsed(None, reason) where nothing can be read. Raises ValueError for an unknown task or missing choices.
    """
    check_task(task)
    if task in COMPARISONS and len(choices) < 2:
        raise ValueError(f"{task} needs two choices or more, got {list(choices)}")
    if not text.strip():
        return Parsed(None, "empty")
    parsed = Parsed(None, "reasoning without an answer")
    for scope in scopes(text):
        parsed = _read(task, _option_named(scope, question) or scope, choices, plain(question))
        if parsed.value is not None or not parsed.reason.startswith("no "):
            return parsed
    return parsed


def _read(task: str, answer: str, choices: Sequence[str], question: str) -> Parsed:
    everything = clauses_of(answer)
    # "I cannot tell if it is 20 m or 200 m" has numbers and no answer; "I cannot be sure, but about 20 m" has one.
    clauses = [clause for clause in everything if not REFUSAL.search(clause.text)]
    refuses = len(clauses) < len(everything)
    if refuses:  # "I cannot tell. For example, at 10 m/s it would travel 50 m."
        supposed = {clause.sentence for clause in clauses if not _SUPPOSED.isdisjoint(clause.tokens)}
        clauses = [clause for clause in clauses if clause.sentence not in supposed]
    if task == "movement_direction":
        parsed = _read_hour(clauses, question)
    elif task == "direction_timestamp":
        parsed = _read_interval(clauses, question)
    elif task == "speed_ratio":
        parsed = _read_ratio(clauses)
    elif task in COMPARISONS:
        parsed = _read_choice(task, clauses, choices, question)
    else:
        parsed = _read_measure(clauses, task, question)
    if parsed.value is None and refuses:
        return Parsed(None, "refusal")
    return parsed

"""Hours of the clock and intervals of the video."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from .choices import COLORS
from .measures import _REACH, best, is_denied, owner, stands_alone, topics, with_guess
from .quantities import TO, Mention, between, mentions_of
from .references import Parsed
from .text import Clause, clause_of, is_negation, tokens_of, words

_TURNS = words("then turns turning turned finally")
_NAMES_REFERENCE = words(
    "initial initially reference relative original originally start starts starting started first forward begins began"
    " beginning begin set sets"
)
_LAYS_THE_CLOCK = words(
    "initial reference original starting set sets start starts started starting begins began treat treating"
)
_SAYS_WHAT_IS = words("as is was be being means denotes represents = at of to facing")
_KEEPS = words(
    "keeps keep keeping kept continues continue continuing continued maintains maintain maintaining maintained"
    " remains remain remaining remained stays stay staying stayed same unchanged still"
)
_BOX = words("box bounding object")  # "the blue object" is surely another; a "blue car" may be in the red box
_LIKELIEST = words("closer nearer likely probably")  # "between 1 and 2 o'clock, closer to 2"
_AT_THE_END = words("finish finishes finished end ends ending ended final finally last eventually now")


def read_hour(clauses: list[Clause], question: str) -> Parsed:
    """An hour of the clock, 1 to 12."""
    everything = [_as_hour(mention) for clause in clauses for mention in mentions_of(clause)]
    everything = with_guess(everything, "hour")  # "10 o'clock, maybe 11"
    mentions = [mention for mention in everything if mention.kind == "hour"]
    if len(mentions) == 1 and not _LAYS_THE_CLOCK.isdisjoint(mentions[0].clause.tokens):
        mentions = [mention for mention in everything if _is_final(mention)] or mentions
    if not mentions:  # "10:00"
        mentions = [mention for mention in everything if mention.kind == "stamp" and mention.number >= 1.0]
    if not mentions:
        mentions = [mention for mention in everything if mention.kind == "bare"]
        mentions = mentions or [mention for mention in everything if mention.kind == "word" and _points(mention)]
        if len({mention.value for mention in mentions}) > 1:
            mentions = [mention for mention in mentions if not _is_reference(mention)]
        if len({mention.value for mention in mentions}) > 1:
            return Parsed(None, "several numbers and no o'clock")
    if not mentions:
        return Parsed(None, "no hour")
    turns = not any(not _KEEPS.isdisjoint(clause.tokens) for clause in clauses)
    mentions = [mention for mention in mentions if not is_denied(mention) and not (turns and _lays_the_clock(mention))]
    asked, topic_of = COLORS.intersection(tokens_of(question)), topics(clauses)
    mentions = [m for m in mentions if not (_BOX & set(m.clause.tokens) and _is_of_another(m, asked, topic_of))]
    if not mentions:
        return Parsed(None, "no hour")
    leading = best([(_hour_rank(mention, asked, topic_of), mention) for mention in mentions])
    hour = leading[-1]
    # "10 or 11 o'clock" is no answer; "from 12 to 3 o'clock" ends at 3.
    for former, latter in pairwise(mentions):
        if latter is hour and former.clause is hour.clause and former.value != hour.value:
            gap = between(former, latter)
            if former.before != "from" and not _sets_out(former, gap) and (gap in TO or gap in ("and", "or", "/")):
                return Parsed(None, "several hours")
    if len({mention.value for mention in leading}) > 1 and not _in_turn(leading):
        return Parsed(None, "several hours")
    if not (hour.value.is_integer() and 0.0 <= hour.value <= 12.0):
        return Parsed(None, "no hour from 1 to 12")
    return Parsed(int(hour.value) or 12)


def _as_hour(mention: Mention) -> Mention:
    """The 3 of "3:00", and of "3:00 o'clock"."""
    if mention.kind != "stamp":
        return mention
    kind = "hour" if mention.clause.tokens[mention.end - 1] == "o'clock" else "stamp"
    return mention._replace(number=mention.number / 60.0, kind=kind)


def _is_final(mention: Mention) -> bool:
    """Whether a bare number is where it ends: "at 9 it finishes", "it ends up at 9"."""
    tokens = mention.clause.tokens
    near = {*tokens[max(0, mention.first - 4) : mention.first], *tokens[mention.end : mention.end + 3]}
    return mention.kind == "bare" and mention.before in ("at", "to", "towards") and not _AT_THE_END.isdisjoint(near)


def _points(mention: Mention) -> bool:
    """Whether a number in words is one to move to: "towards three"; alone it is too."""
    return stands_alone(mention) or mention.before in ("to", "toward", "towards", "at", "of", "direction")


def _hour_rank(mention: Mention, asked: frozenset[str], topic_of: dict[int, frozenset[str]]) -> int:
    # "With 12 o'clock as the initial heading, it moves towards 3 o'clock."
    rank = -8 * _is_reference(mention) + 2 * mention.clause.concludes
    rank += 3 * (not _AT_THE_END.isdisjoint(mention.clause.lead))
    rank -= 2 * mention.aside
    rank += 4 * (not _LIKELIEST.isdisjoint(mention.clause.tokens[max(0, mention.first - 2) : mention.first]))
    return rank - 10 * _is_of_another(mention, asked, topic_of)


def _is_of_another(mention: Mention, asked: frozenset[str], topic_of: dict[int, frozenset[str]]) -> bool:
    """Whether it is told of an object that is not the one asked about."""
    whose = owner(mention, topic_of)
    return bool(asked and whose and asked.isdisjoint(whose))


def _in_turn(hours: list[Mention]) -> bool:
    """Whether hours are told as a course: "from 12 o'clock to 3 o'clock", "first 12, then 2"."""
    first, last = hours[0], hours[-1]
    if _sets_out(first, between(first, hours[1])):
        return True
    return "from" in first.clause.tokens[max(0, first.first - 2) : first.first] or not _TURNS.isdisjoint(
        last.clause.lead
    )


def _sets_out(hour: Mention, gap: str) -> bool:
    """Whether it is the first of "12 o'clock to 3 o'clock", no end of "12-1 o'clock"."""
    return hour.value == 12.0 and hour.clause.tokens[hour.end - 1] == "o'clock" and gap == "to"


def _is_reference(hour: Mention) -> bool:
    """Whether an hour only says how the clock lies: "12 o'clock is the initial heading", "relative to 12 o'clock"."""
    tokens = hour.clause.tokens
    if hour.after in {"as", "is", "be", "being", "means", "denotes", "represents", "=", "(", "at", "initially", "was"}:
        after = tokens[hour.end : hour.end + 5]
        if not _NAMES_REFERENCE.isdisjoint(after):
            return True
    before = tokens[max(0, hour.first - 6) : hour.first]
    while "o'clock" in before:  # words of the hour before it
        before = before[before.index("o'clock") + 1 :]
    is_turned_from = hour.before == "from" and any(token.endswith("clockwise") for token in before)
    return is_turned_from or not _NAMES_REFERENCE.isdisjoint(before)


def _lays_the_clock(hour: Mention) -> bool:
    """Whether it is surely the reference, so that it is no answer even alone: "the initial heading is 12 o'clock"."""
    if hour.value != 12.0 or not _is_reference(hour):
        return False
    before = hour.clause.tokens[max(0, hour.first - 6) : hour.first]
    follows = hour.after in _SAYS_WHAT_IS and not _LAYS_THE_CLOCK.isdisjoint(
        hour.clause.tokens[hour.end : hour.end + 6]
    )
    return follows or (hour.before in _SAYS_WHAT_IS and not _LAYS_THE_CLOCK.isdisjoint(before))


_AT_ANOTHER_TIME = words("before previously prior after afterwards afterward thereafter otherwise")
_VIDEO = words("video clip footage")
_OF_THE_VIDEO = words("spans lasts duration length total long")
_TAKES = ("for", "takes", "take")
_LASTS = ("for", "lasts", "lasting")
_START = words("beginning start outset")
_BEGINS = words("start starts started starting begin begins began begun beginning beginnings onset commences sets from")
_ENDS = words("end ends ended ending stop stops stopped stopping finish finishes finished ceases until till")
_OF_ANOTHER_HOUR = -3
_ROUNDING_S = 0.051


def read_interval(clauses: list[Clause], question: str) -> Parsed:
    """(start, end) in seconds."""
    everything = [mention for clause in clauses for mention in mentions_of(clause)]
    moments = [mention for mention in everything if mention.kind in ("time", "stamp", "bare")]
    timed = [moment for moment in moments if moment.kind != "bare"]
    if len(timed) > 1:  # "frames 4 to 8, that is 2 s to 4 s"
        moments = timed
    asked = _hours(clause_of(question))
    colors, topic_of = COLORS.intersection(tokens_of(question)), topics(clauses)
    told = _hours_told(clauses, moments)
    ranked, durations, denied = [], set[int](), 0
    for former, latter in pairwise(moments):
        if former.clause is latter.clause and _joins_moments(former, latter):
            if former.before in _TAKES:  # "It takes 3 to 4 seconds"
                durations.add(id(former.clause))
                continue
            denied += _is_ruled_out(former)
            if not _is_ruled_out(former):
                rank = _interval_rank(former, asked, told) - 10 * _is_of_another(former, colors, topic_of)
                ranked.append((rank, (former.value, latter.value)))
    for moment in moments:
        if _is_from_start(moment):
            rank = _interval_rank(moment, asked, told) - 10 * _is_of_another(moment, colors, topic_of)
            ranked.append((rank, (0.0, moment.value)))
    if denied and not ranked:
        return Parsed(None, "no interval")
    if not ranked:
        ends = _two_moments([moment for moment in moments if id(moment.clause) not in durations])
        if len(ends) != 2:
            return Parsed(None, "a moment and no interval" if len(ends) == 1 else "no interval")
        if [_side(end) for end in ends] == ["end", "start"]:
            ends.reverse()
        ranked = [(0, (ends[0].value, ends[1].value))]
    # "The video spans 0 to 19.5 seconds. It moves that way from 3.5 to 6 seconds."
    top = max(rank for rank, _ in ranked)
    if top <= _OF_ANOTHER_HOUR and any("never" in clause.tokens for clause in clauses):
        return Parsed(None, "no interval")  # "It never does: it moves towards 12 o'clock from 0 to 6 s"
    spans_s = {span_s for rank, span_s in ranked if rank == top}
    if len(spans_s) > 1:
        return Parsed(None, "several intervals")
    start_s, end_s = spans_s.pop()
    return Parsed((start_s, end_s)) if 0.0 <= start_s <= end_s else Parsed(None, "interval ends before it starts")


def _two_moments(moments: list[Mention]) -> list[Mention]:
    """The ends of "It starts at 3.5 s and ends at 6 s", and of "It starts at 3.5 s and lasts for 2.5 s"."""
    if any(moment.kind != "bare" for moment in moments):
        moments = [moment for moment in moments if moment.kind != "bare"]
    ends = [m for m in moments if m.before not in _LASTS and m.after not in ("long", "later")]
    if len(ends) > 2:  # "The video is 19.5 s long"
        ends = [moment for moment in ends if _OF_THE_VIDEO.isdisjoint(moment.clause.lead)] or ends
    if len(ends) == 3 and abs(ends[1].value - ends[0].value - ends[2].value) < _ROUNDING_S:
        ends.pop()  # "It starts at 3.5 s, ends at 6 s: a duration of 2.5 s"
    if len(ends) == 1 and len(moments) == 2 and (moments[1].before in _LASTS or moments[1].after == "later"):
        return [ends[0], moments[1]._replace(number=ends[0].value + moments[1].value, unit=1.0)]
    return [] if len(ends) == 2 and between(*ends) == "or" else ends


def _side(moment: Mention) -> str:
    """What a moment is called after it, in parentheses, or last before it: "it ends at 6 s and begins at 3.5 s"."""
    tokens = moment.clause.tokens
    called = tokens[moment.end + 1 : moment.end + 2] if moment.after == "(" else []
    for token in [*called, *reversed(tokens[max(0, moment.first - 8) : moment.first])]:
        if token in _BEGINS or token in _ENDS:
            return "start" if token in _BEGINS else "end"
    return ""


def _is_from_start(moment: Mention) -> bool:
    """Whether it ends an interval that begins at 0: "the first 3 seconds", "from the start to 3 s"."""
    before = moment.clause.tokens[max(0, moment.first - 5) : moment.first]
    if before[-2:] == ["the", "first"] and moment.kind == "time":
        return True
    return moment.before in ("to", "until", "till") and "from" in before and not _START.isdisjoint(before[-3:])


def _hours_told(clauses: list[Clause], moments: list[Mention]) -> dict[int, set[float]]:
    """The hours that each clause (by id) speaks of, or its sentence does: "0-2 s: 12 o'clock"."""
    own = {id(clause): _hours(clause) for clause in clauses}
    count = Counter(moment.clause.sentence for moment in moments)
    of_sentence: dict[int, set[float]] = {}
    for clause in clauses:
        of_sentence.setdefault(clause.sentence, set()).update(own[id(clause)])
    return {
        id(clause): own[id(clause)] or (of_sentence[clause.sentence] if count[clause.sentence] == 2 else set())
        for clause in clauses
    }


def _hours(clause: Clause) -> set[float]:
    return {mention.value for mention in mentions_of(clause) if mention.kind == "hour" and not _is_reference(mention)}


def _is_ruled_out(mention: Mention) -> bool:
    """Whether it is said not to be: "it does not move that way from 1 to 2 s"; "not until 2 s" rules nothing out."""
    before = mention.clause.tokens[max(0, mention.first - _REACH) : mention.first]
    return is_denied(mention) or (
        any(map(is_negation, before)) and {"until", "before", "only", "exactly"}.isdisjoint(before)
    )


def _interval_rank(mention: Mention, asked: set[float], told: dict[int, set[float]]) -> int:
    hours = told[id(mention.clause)]
    lead = mention.clause.lead
    rank = 2 * mention.clause.concludes
    rank -= 4 * (not _VIDEO.isdisjoint(lead) and not _OF_THE_VIDEO.isdisjoint(lead))
    rank -= not _AT_ANOTHER_TIME.isdisjoint(lead)  # "Before that, it goes straight on from 0 to 2 s"
    rank += _OF_ANOTHER_HOUR * bool(asked and hours and hours.isdisjoint(asked))
    return rank + bool(asked & hours)


def _joins_moments(former: Mention, latter: Mention) -> bool:
    gap = between(former, latter)
    # "3.5, 6.0" is the form of a list; "at 3.5 s and 6 s" names both ends.
    return gap in TO | {","} or (gap == "and" and (former.before == "between" or former.kind != "bare"))

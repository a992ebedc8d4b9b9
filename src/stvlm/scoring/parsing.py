"""What an answer in free text says: one reader a form of answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from .quantities import TO, Mention, between, mentions_of, prefer
from .references import COMPARISONS, Value, check_task
from .text import CLAUSE_END, REFUSAL, Tokens, final_answer, tokens_of, words


class Parsed(NamedTuple):
    """What an answer says: metres, km/h, an hour 1..12, (start, end) in seconds, seconds, a ratio, or a choice.

    None where it says nothing that can be read, with the reason.
    """

    value: Value | None
    reason: str = ""


_TOTAL = words("total totals totaling overall altogether sum =")
_AVERAGE = words("average averages averaged averaging mean overall =")
_AT_THE_END = words("end ends ending final finally")
_DIFFERENCE = words("more less farther further faster slower away ahead behind apart")


def _read_measure(clauses: list[Tokens], kind: str, cues: frozenset[str], noun: str) -> Parsed:
    """Metres (kind "length"), km/h ("speed"), seconds ("time") or a "ratio"; a bare number is taken for one."""
    everything = [mention for tokens in clauses for mention in mentions_of(tokens)]
    mentions = _join_ranges([mention for mention in everything if mention.kind == kind])
    if not mentions:
        if any(mention.kind in ("length", "speed", "ratio") for mention in everything):
            return Parsed(None, f"no {noun}")
        mentions = _join_ranges([mention for mention in everything if mention.kind == "bare"])
        # "Between 3.5 and 6, it moves 12"
        mentions = prefer(mentions, lambda m: m.before not in {"between", "from", "to", "at", "after", "until"})
        mentions = prefer(mentions, lambda m: not m.words.isdisjoint(cues))
        if len({mention.value for mention in mentions}) > 1:
            return Parsed(None, "several numbers without a unit")
    if not mentions:
        return Parsed(None, f"no {noun}")
    # "It moves 20 m, 5 m farther than the other"; "30 m, not 20 m"
    mentions = prefer(mentions, lambda m: m.before != "not" and m.after not in _DIFFERENCE)
    # "20 m (66 ft)": the second is a rounded copy of the first.
    mentions = prefer(mentions, lambda m: not m.aside)
    # "20 m in total. First it moves 12 m, then 8 m."
    mentions = prefer(mentions, lambda m: not m.words.isdisjoint(cues))
    # "4 m/s * 5 s = 20 m": what is concluded comes last.
    value = mentions[-1].value
    return Parsed(value) if value >= 0.0 else Parsed(None, f"negative {noun}")


def _join_ranges(mentions: list[Mention]) -> list[Mention]:
    """Put the middle for "20-25 m" and "between 20 and 25 m"; "from 5 m to 25 m" is no range of one value."""
    joined: list[Mention] = []
    for mention in mentions:
        former = joined[-1] if joined and joined[-1].tokens is mention.tokens else None
        gap = between(former, mention) if former and former.before != "from" else None
        if former and (gap in ("-", "~", "to") or (gap == "and" and former.before == "between")):
            middle = (former.value + mention.value) / 2.0
            joined[-1] = former._replace(number=middle, unit=1.0, end=mention.end)
        else:
            joined.append(mention)
    return joined


_NAMES_REFERENCE = words("initial initially reference relative original originally start starts starting first forward")


def _read_hour(clauses: list[Tokens]) -> Parsed:
    """An hour of the clock, 1 to 12."""
    everything = [mention for tokens in clauses for mention in mentions_of(tokens)]
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
    mentions = prefer(mentions, lambda m: not _is_reference(m))
    mentions = prefer(mentions, lambda m: m.before != "not")
    mentions = prefer(mentions, lambda m: not m.words.isdisjoint(_AT_THE_END))
    hour = mentions[-1]
    # "10 or 11 o'clock" is no answer; "from 12 to 3 o'clock" ends at 3.
    former = mentions[-2] if len(mentions) > 1 and mentions[-2].tokens is hour.tokens else hour
    if former.value != hour.value and former.before != "from" and between(former, hour) in TO | {"and", "or"}:
        return Parsed(None, "several hours")
    if not (hour.value.is_integer() and 0.0 <= hour.value <= 12.0):
        return Parsed(None, "no hour from 1 to 12")
    return Parsed(int(hour.value) or 12)


def _is_reference(hour: Mention) -> bool:
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
    everything = [mention for tokens in clauses for mention in mentions_of(tokens)]
    moments = [mention for mention in everything if mention.kind in ("time", "stamp", "bare")]
    intervals = [
        (former, latter)
        for former, latter in pairwise(moments)
        if former.tokens is latter.tokens and _joins_moments(former, latter)
    ]
    if not intervals:
        # "It starts at 3.5 s and ends at 6 s."
        moments = prefer(moments, lambda m: m.kind != "bare")
        moments = prefer(moments, lambda m: m.before not in {"for", "lasts", "lasting"})
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


def _joins_moments(former: Mention, latter: Mention) -> bool:
    gap = between(former, latter)
    # "3.5, 6.0" is the form of a list; "at 3.5 s and 6 s" names both ends.
    return gap in TO | {","} or (gap == "and" and (former.before == "between" or former.kind != "bare"))


_YES = words("yes yeah yep true correct")
_NO = words("no nope false incorrect")
_MORE = words(
    "more most faster fastest quicker quickest farther farthest further furthest longer longest greater greatest higher"
    " highest larger largest exceeds outpaces surpasses outruns beats"
)
_LESS = words("less least slower slowest slowly shorter shortest lower lowest smaller smallest trails lags")
_THAN = words("than compared relative versus vs exceeds outpaces surpasses outruns beats trails lags")
_SAME = words("same similar identical parallel")
_DIFFERENT = words("different differently differ differing opposite opposing perpendicular diverging")
# "Two different objects move at the same time": no word on their direction.
_NOT_OF_DIRECTION = words(
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
    asked = _relation(tokens_of(question.lower()))[1]
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
    check_task(task)
    if task in COMPARISONS and len(choices) < 2:
        raise ValueError(f"{task} needs two choices or more, got {list(choices)}")
    answer = final_answer(text)
    if answer is None:
        return Parsed(None, "reasoning without an answer")
    if not answer:
        return Parsed(None, "empty")
    everything = CLAUSE_END.split(answer)
    # "I cannot tell if it is 20 m or 200 m" has numbers and no answer; "I cannot be sure, but about 20 m" has one.
    stated = [clause for clause in everything if not REFUSAL.search(clause)]
    clauses = [tokens for tokens in map(tokens_of, stated) if tokens]
    if task == "traveled_distance":
        parsed = _read_measure(clauses, "length", _TOTAL, "distance")
    elif task == "traveling_speed":
        parsed = _read_measure(clauses, "speed", _AVERAGE, "speed")
    elif task in ("time_to_cover", "catch_up_time"):
        parsed = _read_measure(clauses, "time", frozenset(), "duration")
    elif task == "speed_ratio":
        parsed = _read_measure(clauses, "ratio", frozenset(), "ratio")
    elif task == "movement_direction":
        parsed = _read_hour(clauses)
    elif task == "direction_timestamp":
        parsed = _read_interval(clauses)
    else:
        parsed = _read_choice(task, clauses, choices, question)
    if parsed.value is None and len(stated) < len(everything):
        return Parsed(None, "refusal")
    return parsed

"""Distances, speeds, durations and ratios: which of the numbers of an answer is the one that was asked for.

Every number is a candidate. Its rank says how much speaks for it: what is concluded, or called a total, ranks first;
what is in parentheses, denied, a term of a calculation, another object's or a thing's size ranks low.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from .choices import COLORS
from .quantities import UNITS, Mention, between, join_ranges, mentions_of, named_units
from .references import Parsed
from .text import Clause, Tokens, clause_of, is_negation, is_number, tokens_of, words
from .winners import compared


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
        words("travel travels traveled travelled traveling travelling move moves moved moving cover covers covered"
              " distance path goes went gone drove drives ran runs walked advanced displacement journey"),
        words("first then next another additional initially"),
    ),
    "traveling_speed": _Measure(
        "speed",
        "speed",
        words("average averages averaged averaging mean overall"),
        words("speed velocity pace moves moving travels traveling travelling goes going"),
        words("peak maximum max minimum min top limit initially initial slowest fastest up then first later start"),
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
_BOUNDS = words("than under over below above least most exceed exceeds")
_EQUALS = words("= gives equals yields")
_DIFFERENCE = words("more less farther further faster slower away ahead behind apart greater shorter longer fewer off")
_OF_A_THING_AFTER = words("wide tall high deep apart per each every")
_OF_A_THING_BEFORE = words("width height size radius diameter length lane lanes each every")
_ASSUMED = words(
    "comparison assume assumes assumed assuming typical typically if suppose e.g reference standard usual usually"
)
_CAMERA = words("camera ego viewer observer cameraman")
_WAYS = words("path way route trajectory track stretch length")
_AFTER_A_BARE_NUMBER = words(
    "in on and to or for from over during throughout between at is was as total overall altogether average avg so then"
    " which that using given because since if with while when across by per not"
    " approximately roughly approx i forward ahead"
)
_QUALIFIED = words("exactly only precisely more less over above under sure just exceed but")
_GUESSED = words("probably likely closer nearer say maybe perhaps possibly")
_AGREES = 0.03
"""How far apart, as a share, two values are that are one quantity in two units, each rounded."""


def read_measure(clauses: list[Clause], task: str, question: str) -> Parsed:
    """Metres, km/h, seconds or a ratio; a bare number is in the unit that the question asks for."""
    measure = _MEASURES[task]
    everything = _of_one_unit([mention for clause in clauses for mention in mentions_of(clause)])
    everything = with_guess(everything, measure.kind)
    unit = named_units(tokens_of(question)).get(measure.kind, 1.0)
    kinds = (measure.kind, "stamp") if measure.kind == "time" else (measure.kind,)
    mentions = [mention for mention in everything if mention.kind in kinds]
    bare = not mentions
    if bare:
        if any(mention.kind in ("length", "speed", "ratio", "percent") for mention in everything):
            everything = [mention for mention in everything if mention.before == "="]  # "5 m/s * 4 s = 20"
        mentions = [mention._replace(unit=unit) for mention in everything if mention.kind == "bare"]
        mentions = mentions or [
            mention._replace(unit=unit) for mention in everything if mention.kind == "word" and stands_alone(mention)
        ]
    asked = COLORS.intersection(tokens_of(question))
    told = {mention.value for mention in mentions_of(clause_of(question)) if mention.kind == measure.kind == "time"}
    topic_of = topics(clauses)
    ranked: list[tuple[int, Mention]] = []
    single = set(map(id, mentions))
    for mention in join_ranges(mentions):
        rank = _rank(mention, measure, asked, topic_of, bare)
        rank -= 2 * (id(mention) not in single)  # "between 30 and 40 km/h, probably about 36"
        rank += 5 * (mention.unit == unit != 1.0)  # "20 m, or 66 ft", asked for feet
        rank -= 2 * (mention.value in told)  # "In the 2.5 s asked about, ..."
        if rank > _EXCLUDED:
            is_single = ranked and (mention.clause.tokens[0] == "or" or id(ranked[-1][1]) in single)
            if is_single and _is_alternative(mention, ranked[-1][1]):
                rank = max(rank, ranked[-1][0])
                ranked[-1] = (rank, ranked[-1][1])
            ranked.append((rank, mention))
    leading = best(ranked)
    if not leading:
        still = measure.kind in ("length", "speed") and _stands_still(clauses, asked, measure)
        return Parsed(0.0) if still else Parsed(None, f"no {measure.noun}")
    # "10 + 10 m", "10 m ahead and then 10 m to the right"
    in_parts = len(leading) > 1 and not any(measure.part.isdisjoint(mention.clause.lead) for mention in leading)
    value = None if in_parts or all(map(_is_operand, leading)) else _one_value(leading)
    if value is None:
        return Parsed(None, "several numbers without a unit" if bare else f"several {measure.noun}s")
    return Parsed(value) if value >= 0.0 else Parsed(None, f"negative {measure.noun}")


_STILL = words("stopped stationary parked motionless immobile static still unmoving")
_STAYS = words(
    "is was it's be being been remains remained remaining stays stayed staying stands stood standing sits sat"
    " completely entirely fully totally basically essentially appears"
)
_MOVES = words("move moves moved moving travel travels traveled travelled movement motion budge")
_OF_ALL = words("at from during throughout in for and so between over")  # after "does not move", not "far" or "left"
_NOT_ALL_THE_TIME = words(
    "until till before then after initially first briefly eventually later nearly almost mostly half once if when part"
)


def _stands_still(clauses: list[Clause], asked: frozenset[str], measure: _Measure) -> bool:
    """Whether what is asked about is said not to move: "it is parked", "its speed is zero", "it does not move"."""
    topic_of = topics(clauses)
    if any(not _NOT_ALL_THE_TIME.isdisjoint(clause.tokens) for clause in clauses):
        return False
    return any(
        _tells_of_no_motion(clause.tokens, measure)
        for clause in clauses
        if not (asked and topic_of[id(clause)] and asked.isdisjoint(topic_of[id(clause)]))
    )


def _tells_of_no_motion(tokens: Tokens, measure: _Measure) -> bool:
    is_of_motion = not (measure.about | {measure.noun}).isdisjoint(tokens)
    for i, token in enumerate(tokens):
        before, after = tokens[max(0, i - 3) : i], tokens[i + 1] if i + 1 < len(tokens) else ""
        negated = any(map(is_negation, before))
        if token in _STILL and not negated and not _STAYS.isdisjoint(before[-2:]):
            return True
        if token == "rest" and before[-1:] == ["at"] and not negated:
            return True
        if token in _MOVES and (negated or before[-1:] == ["no"]) and (not after or after in _OF_ALL or after == "."):
            return True
        if token == "zero" and not negated and is_of_motion:
            return True
    return False


_EXCLUDED = -20


def best(ranked: Sequence[tuple[int, Mention]]) -> list[Mention]:
    """Those of the highest rank, in order."""
    top = max((rank for rank, _ in ranked), default=0)
    return [mention for rank, mention in ranked if rank == top]


def _rank(
    mention: Mention, measure: _Measure, asked: frozenset[str], topic_of: dict[int, frozenset[str]], bare: bool
) -> int:
    """How likely a number is the answer: what is concluded or called total most, what is something else least."""
    lead = mention.clause.lead
    after = mention.clause.tokens[mention.end : mention.end + 4]
    rank = 0
    rank += 3 * (not measure.whole.isdisjoint(lead))  # "20 m in total. First it moves 12 m, then 8 m."
    rank += 3 * (not measure.whole.isdisjoint(after[:2]))  # "12 m and then 8 m, 20 m in total"
    rank += 2 * mention.clause.concludes  # "Therefore it moves 20 m"
    rank += mention.before in _EQUALS
    is_part = not measure.part.isdisjoint(lead)
    rank += -3 if is_part else (not measure.about.isdisjoint(lead)) + stands_alone(mention)
    rank -= 2 * (mention.before in _BOUNDS)  # "less than 5 m, perhaps 3 m"
    rank -= 5 * mention.aside  # "20 m (66 ft)": the second is a rounded copy of the first.
    rank -= 30 * is_denied(mention) + 6 * (mention.after in _DIFFERENCE)
    rank -= 6 * _is_operand(mention)
    rank -= 30 * (mention.after in _DIFFERENCE and "than" in after)  # "It moves 5 m farther than the other"
    rank -= 3 * (_is_of_a_thing(mention) or not _ASSUMED.isdisjoint(lead))
    rank -= 30 * (_is_elsewhere(mention, measure) or _is_of_camera(mention))
    if bare:  # "Between 3.5 and 6, it moves 12"; "in 2023"
        rank -= 3 * (mention.before in ("between", "from", "to", "at", "after", "until", "and"))
        rank -= 30 * (mention.before == "in" or _is_noun(mention.after))
    near = mention.clause.tokens[max(0, mention.first - 6) : mention.first]
    if "than" in near and not COLORS.isdisjoint(near[near.index("than") :]):  # "less than the blue object's 25 m"
        rank -= 30
    whose = owner(mention, topic_of)
    if asked and whose and asked.isdisjoint(whose):
        before = mention.clause.tokens[max(0, mention.first - _REACH) : mention.first]
        rank -= 10 if whose.isdisjoint(before) else 30  # perhaps another's, or surely
    return rank


def _of_one_unit(mentions: list[Mention]) -> list[Mention]:
    """With the unit of the last for each of "10, 20, or 30 m"."""
    shared, is_list = mentions[-1:], False
    for former in reversed(mentions[:-1]):
        latter = shared[-1]
        goes_on = is_list and between(former, latter) == ","  # but not the 3 of "at 3, 20 m"
        is_list = former.kind == "bare" and (goes_on or _is_alternative(latter, former))
        shared.append(former._replace(kind=latter.kind, unit=latter.unit) if is_list else former)
    return shared[::-1]


def with_guess(mentions: list[Mention], kind: str) -> list[Mention]:
    """With the unit of what stands before it for the 36 of "between 30 and 40 km/h, probably about 36"."""
    guessed = mentions[:1]
    for mention in mentions[1:]:
        near = mention.clause.tokens[max(0, mention.first - 3) : mention.first]
        if mention.kind == "bare" and guessed[-1].kind == kind and not _GUESSED.isdisjoint(near):
            mention = mention._replace(kind=kind, unit=guessed[-1].unit)
        guessed.append(mention)
    return guessed


def _is_alternative(mention: Mention, former: Mention) -> bool:
    """Whether it is as good as the one before: "it moves 10 m, or 20 m"; "or rather 20 m" corrects."""
    clause = mention.clause
    is_offered = clause.tokens[0] in ("or", "maybe", "perhaps", "possibly") and not clause.concludes
    follows = clause is not former.clause and clause.sentence == former.clause.sentence
    is_like = mention.unit == former.unit or former.kind == "bare"  # not "15 km/h, or 9 mph"
    return is_offered and follows and is_like and former.before not in _BOUNDS


def _is_elsewhere(mention: Mention, measure: _Measure) -> bool:
    """Whether it is no way: "4.5 m long", "20 m away", "the distance to the light is 20 m", "a limit of 50 km/h"."""
    tokens = mention.clause.tokens
    before, after = tokens[max(0, mention.first - _REACH) : mention.first], tokens[mention.end : mention.end + 6]
    if measure.kind == "speed":
        return "limit" in before[-4:]
    if measure.kind != "length":
        return False
    if after[:1] == [
        "long"
    ]:  # "a 10 m long truck", "the car is 4.5 m long"; "the path is 20 m long", "20 m long in total"
        said = _WAYS | measure.about | measure.whole
        of_a_noun = len(after) > 1 and _is_noun(after[1]) and after[1] not in _WAYS
        return of_a_noun or said.isdisjoint(mention.clause.lead)
    if after[:1] in (["away"], ["wide"], ["tall"], ["high"], ["deep"]):
        return True
    if after[:1] in (["from"], ["of"], ["in"], ["ahead"], ["behind"]) and not _CAMERA.isdisjoint(after):
        return True
    gap = before.index("distance") + 1 if "distance" in before else len(before)
    return before[gap : gap + 2] in (["to", "the"], ["between", "the"], ["between", "them"])


def _is_noun(token: str) -> bool:
    """Whether a word after a number may be what is counted: "5 blocks"."""
    return token.isascii() and token.isalpha() and token not in _AFTER_A_BARE_NUMBER


def _is_of_camera(mention: Mention) -> bool:
    """Whether it is how the camera moves: "the camera moves 10 m", "the ego vehicle travels 50 m"."""
    before = mention.clause.tokens[max(0, mention.first - 8) : mention.first]
    at = next((i for i in reversed(range(len(before))) if before[i] in _CAMERA), None)
    if at is None or not {"from", "to", "of", "toward", "towards", "past"}.isdisjoint(before[max(0, at - 2) : at]):
        return False
    return {"object", "it", "car", "vehicle"}.isdisjoint(before[at + 2 :]) and COLORS.isdisjoint(before[at:])


def is_denied(mention: Mention) -> bool:
    """Whether it is said not to be: "30 m, not 20 m"; "not more than 20 m" and "not exactly 20 m" are no denials."""
    before = mention.clause.tokens[max(0, mention.first - 4) : mention.first]
    if before[-1:] in (["from"], ["between"]):  # "not from 1 to 6 s"
        before.pop()
    if before[-2:] in (["rather", "than"], ["instead", "of"]):
        return True
    if before[-1:] == ["than"] and any(is_number(token) or token in UNITS for token in before[-2:-1]):
        return True  # "rather 10 than 11 o'clock"
    after = mention.clause.tokens[mention.end : mention.end + 4]
    if "opposite" in before or not {"wrong", "incorrect"}.isdisjoint(after):  # "the opposite of 3 o'clock"
        return True
    return any(map(is_negation, before)) and _QUALIFIED.isdisjoint(before)


def _is_of_a_thing(mention: Mention) -> bool:
    """Whether it measures no motion: "a lane is about 3.5 m wide", "a length of 4.5 m", "3 m each"."""
    tokens = mention.clause.tokens
    before, after = tokens[max(0, mention.first - 4) : mention.first], tokens[mention.end : mention.end + 2]
    return not (_OF_A_THING_AFTER.isdisjoint(after) and _OF_A_THING_BEFORE.isdisjoint(before))


def _is_operand(mention: Mention) -> bool:
    """Whether it is a term of a calculation; "20+" is not."""
    is_followed = mention.end + 1 < len(mention.clause.tokens)
    return mention.before in _OPERATORS or (mention.after in _OPERATORS and is_followed)


def stands_alone(mention: Mention) -> bool:
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


_OF_BOXES = COLORS - words("white black")  # which are a car's


def _named(tokens: Tokens) -> list[str]:
    """The colors spoken of, not those that something is compared with: "than the blue object"."""
    return [token for i, token in enumerate(tokens) if token in _OF_BOXES and "than" not in tokens[max(0, i - 4) : i]]


def topics(clauses: list[Clause]) -> dict[int, frozenset[str]]:
    """The colors that each clause (by id) is about: its own, or those named last."""
    topic_of: dict[int, frozenset[str]] = {}
    topic: frozenset[str] = frozenset()
    for clause in clauses:
        topic = frozenset(_named(clause.tokens)) or topic
        topic_of[id(clause)] = topic
    return topic_of


def owner(mention: Mention, topic_of: dict[int, frozenset[str]]) -> frozenset[str]:
    """Whose number it is: "20 m for the red object", "the red one moves 20 m"."""
    tokens = mention.clause.tokens
    after = tokens[mention.end : mention.end + 5]
    if after and (after[0] in ("for", "by", "of") or (after[0] == "(" and ")" in after)):
        behind = [token for token in after if token in COLORS]
        if behind:
            return frozenset(behind[:1])
    start = max(0, mention.first - _REACH)
    named = _named(tokens[start : mention.first])
    return frozenset(named[-1:]) or topic_of[id(mention.clause)]


_SLOWER = words("slower slow slowly less lower")
_FASTER = words("faster more higher quicker greater")


def read_ratio(clauses: list[Clause], question: str) -> Parsed:
    """How many times as fast: "3 times as fast", "twice", "half as fast", "120 % of", "25 % faster", "5 to 1"."""
    everything = [mention for clause in clauses for mention in mentions_of(clause)]
    for former, latter in pairwise(everything):
        if former.clause is latter.clause and between(former, latter) in ("to", ":") and latter.value == 1.0:
            return Parsed(former.value) if former.value >= 0.0 else Parsed(None, "negative ratio")
    asked, others = compared(tokens_of(question), sorted(COLORS))
    base = others if asked else set()
    mentions = [_as_ratio(mention, base) for mention in everything if mention.kind in ("ratio", "percent", "part")]
    several = "several ratios" if mentions else "several numbers without a unit"
    mentions = mentions or [mention for mention in everything if mention.kind == "bare"]
    mentions = mentions or [mention for mention in everything if mention.kind == "word" and stands_alone(mention)]
    if not mentions:
        return Parsed(None, "no ratio")
    value = _one_value(best([(_ratio_rank(mention), mention) for mention in join_ranges(mentions)]))
    if value is None:
        return Parsed(None, several)
    return Parsed(value) if value >= 0.0 else Parsed(None, "negative ratio")


def _as_ratio(mention: Mention, base: set[str]) -> Mention:
    """As a multiple of the other's speed: "4 times slower" is 0.25 of it, "25 % faster" 1.25.

    Turned round where the answer speaks of the one whose speed is to be 1: those named by `base` in the question.
    """
    after = mention.clause.tokens[mention.end : mention.end + 9]
    slower, faster = not _SLOWER.isdisjoint(after[:1]), not _FASTER.isdisjoint(after[:1])
    ratio = mention.number
    if mention.kind == "percent":
        share = ratio / 100.0
        ratio = 1.0 - share if slower else 1.0 + share if faster else share
    elif slower and ratio:
        ratio = 1.0 / ratio
    near = mention.clause.tokens[max(0, mention.first - _REACH) : mention.end + _REACH]
    spoken_of = compared(near, sorted(COLORS))[0]
    of_object = not spoken_of and not {"as", "than"}.isdisjoint(after) and "object" in after
    if ratio and (spoken_of == base if base else of_object):  # "The runner is twice as fast as the object"
        ratio = 1.0 / ratio
    return mention._replace(number=ratio, unit=1.0, kind="ratio")


def _ratio_rank(mention: Mention) -> int:
    measure, lead = _MEASURES["speed_ratio"], mention.clause.lead
    rank = 3 * (not measure.whole.isdisjoint(lead)) + 2 * mention.clause.concludes + (mention.before in _EQUALS)
    rank += (not measure.about.isdisjoint(lead)) - 3 * (not measure.part.isdisjoint(lead))
    return rank - 5 * mention.aside - 6 * is_denied(mention) - 4 * _is_operand(mention)


def values_of(task: str, clauses: list[Clause], choices: Sequence[str]) -> dict[str, float]:
    """What the answer measures for each choice: "red travels 20 m, blue 30 m"; nothing where one has several."""
    kind = "length" if task == "traveled_distance_comparison" else "speed"
    everything = [mention for clause in clauses for mention in mentions_of(clause)]
    if all(mention.kind == "bare" for mention in everything):
        kind = "bare"
    if [mention.kind for mention in everything] == ["bare"] * (len(choices) - 1) + [kind]:  # "red: 1, blue: 2 m"
        everything = [mention._replace(kind=kind, unit=everything[-1].unit) for mention in everything]
    measured = [mention for mention in everything if mention.kind == kind]
    for _, group in groupby(measured, key=lambda mention: id(mention.clause)):
        listed = list(group)
        tokens = listed[0].clause.tokens
        colors = [token for token in tokens if token in choices]
        if len(listed) == len(colors) == len(choices) and colors[-1] in tokens[: listed[0].first]:
            # "Red and blue move at 10 and 20 km/h, respectively"
            return {color: mention.value for color, mention in zip(colors, listed, strict=True)}
    topic_of = topics(clauses)
    found: dict[str, set[float]] = {}
    asides: dict[str, set[float]] = {}  # "Red (30 m) and blue (20 m)"
    for mention in measured:
        for color in owner(mention, topic_of).intersection(choices):
            (asides if mention.aside else found).setdefault(color, set()).add(mention.value)
    return {choice: values.pop() for choice, values in (found or asides).items() if len(values) == 1}

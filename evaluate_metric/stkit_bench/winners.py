"""Which object an answer says goes farther or faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from .choices import COLORS, PARTLY, Verdict, is_partly
from .text import Clause, Tokens, is_negation, is_number, tokens_of, words

_DIMENSION = {
    "distance": words(
        "distance distances displacement far farther farthest further furthest path paths way ways meters route"
        " trajectory track"
    ),
    "speed": words(
        "speed speeds velocity pace fast faster fastest quick quicker quickest quickly slow slower slowest slowly"
    ),
}
_OVERTAKES = words(
    "exceeds exceed exceeded outpaces outpace outpaced outdistances outdistanced surpasses surpass surpassed outruns"
    " outran outrun overtakes overtook overtaken catches caught pulls beats beat beaten passes passed >"
)
_PASSES = words("passes pass passed passing catches caught pulls beats beat beaten overtakes overtook overtaken")
_BESIDE = COLORS | words("it them him her other another others one object by both ahead away")  # whom another passes
_TRAILS = words("trails lags trailing lagging <")
# These compare only where each object has one: "Red is fast, blue is slow."
_FAST = words("fast quickly rapidly long far high")
_SLOW = words(
    "slow slowly short low little barely hardly stationary motionless immobile parked walking walks walk walked"
)
_STANDS = words("stands standing stood stays stayed sits sitting remains remained")  # still
_MOVES = words("move moves moved moving travel travels traveled traveling")
_MORE = _OVERTAKES | words(
    "more most faster fastest quicker quickest swifter swiftest farther farthest further furthest longer longest"
    " greater greatest higher highest larger largest bigger biggest wins won winner leads"
)
_LESS = _TRAILS | words("less least fewer fewest slower slowest shorter shortest lower lowest smaller smallest loses")
_ENDS_OF_ORDER = (_MORE | _LESS) - _OVERTAKES - _TRAILS - words("more less")
_SIZES = words("longer longest larger largest bigger biggest smaller smallest")  # of an object, unless it says of what
_TIMES = {
    "twice": 1,
    "double": 1,
    "triple": 1,
    "times": 1,
    "half": -1,
    "third": -1,
    "quarter": -1,
    "percent": -1,
    "%": -1,
}
_THAN = _OVERTAKES | _TRAILS | words("than compared comparison relative versus vs against over")
# "Farther from the camera", "less time", "most of the video", "the second fastest" and "at least" compare no motion.
_PLACES = words("camera ego viewer observer ahead background foreground center centre edge acceleration")
_AFTER_NO_COMPARISON = words("to right left time times seconds or likely clearly visible about accurate")
_ALL = words("two three four both all them these objects")
_BEFORE_NO_COMPARISON = words("second third next at or")
_SPAN = words("whole entire full course time period interval video clip span given same")  # "over the whole video"
_PASSIVE = words("is was are were be been being gets got")
_TIES = words("equal equally same identical tie tied similar similarly")
_NO_TIES = words("time place spot position point lane road scene direction type color")  # that are the same
_SEEMS = words("look looks looked appear appears appeared seemed")


def _relation(tokens: Tokens) -> tuple[int, int, str]:
    """Where a clause compares, +1 for more or -1 for less, and by which word; the sign is 0 where it does not."""
    plain = (len(tokens), 0, "")
    for i, token in enumerate(tokens):
        before, after = tokens[i - 1] if i else "", tokens[i + 1] if i + 1 < len(tokens) else ""
        if token in _TIMES and after in ("the", "that") and "of" in tokens[i + 2 : i + 7]:
            return i, _TIMES[token], "of"  # "twice the speed of", "half that of"
        if before == "as" and tokens[i : i + 3] in (["far", "as", "i"], ["far", "as", "we"]):
            continue
        if token in ("ahead", "behind") and after == "in" and not _NOUNS.isdisjoint(tokens[i + 2 : i + 4]):
            return i, 1 if token == "ahead" else -1, token  # "red is ahead in distance"
        if before == "as" and (token in _FAST or token in _SLOW or token == "much"):
            of_the_other = _TIMES.get(tokens[i - 2], 1) if i > 1 else 1
            return i, -of_the_other if token in _SLOW else of_the_other, "as"  # "half as fast as", "not as fast as"
        if (before in _BEFORE_NO_COMPARISON and not (before == "at" and after in _NOUNS)) or not _PLACES.isdisjoint(
            tokens[i + 1 : i + 5]
        ):
            continue
        if token in _MOVES and is_negation(before):
            plain = (i, 1, "far")  # "does not move" is slow
        elif token == "still" and before in _STANDS:
            plain = (i, -1, "slow")
        elif token in _FAST or token in _SLOW:
            if after in ("from", "away") or before in ("how", "so", "too") or plain[1]:
                continue
            plain = (i, 1 if token in _FAST else -1, token)
        elif token in _MORE or token in _LESS:
            sign = 1 if token in _MORE else -1
            if token in _PASSES and _BESIDE.isdisjoint(tokens[i + 1 : i + 6]) and after:
                continue  # "it has passed the bus stop"
            if token in _OVERTAKES or token in _TRAILS:
                is_passive = "by" in tokens[i + 1 : i + 3] and not _PASSIVE.isdisjoint(tokens[max(0, i - 2) : i])
                return (i, -sign, "by") if is_passive else (i, sign, token)  # "is outpaced by"
            is_amount = after == "than" and i + 2 < len(tokens) and is_number(tokens[i + 2])  # "more than 20 m"
            is_share = after == "of" and _ALL.isdisjoint(tokens[i + 2 : i + 5])  # "most of the video", not "of the two"
            if (
                after in _AFTER_NO_COMPARISON
                or is_share
                or is_amount
                or (token in _SIZES and _NOUNS.isdisjoint(tokens))
            ):
                continue
            return i, -1 if token in ("more", "most") and after in _SLOW else sign, token
    return plain


_NOUNS = _DIMENSION["distance"] | _DIMENSION["speed"]


class _Colors(NamedTuple):
    """The colors that a clause speaks of, and those it measures them by."""

    subjects: list[str]
    others: list[str]


def _colors(tokens: Tokens, relation: int, word: str, choices: Sequence[str]) -> _Colors:
    """Sort colors by role: "than blue" and "compared to blue" measure by blue; a subject precedes its comparison."""
    subjects: list[str] = []
    others: list[str] = []
    early, compared = 0, False
    for i, token in enumerate(tokens):
        if (token in _THAN and not (token == "over" and not _SPAN.isdisjoint(tokens[i + 1 : i + 4]))) or (
            i > relation and (token in ("as", "by", "behind") or token == "of" == word)
        ):
            compared = True
        elif token in {"is", "was"}:  # "faster than the blue object is the red one"
            compared = False
        elif token in choices:
            (others if compared else subjects).append(token)
            early += i < relation and not compared
    # "Of the red and blue objects the blue one is faster": the last of those named in front.
    front = subjects[:early]
    if len(set(front)) == len(choices) and len(front) > len(choices):
        front = front[-1:]
    return _Colors(front or subjects, others)


def compared(tokens: Tokens, choices: Sequence[str]) -> tuple[set[str], set[str]]:
    """The choices that a clause speaks of, and those that it measures them by."""
    at, _, word = _relation(tokens)
    mentions = _colors(tokens, at, word, choices)
    return set(mentions.subjects), set(mentions.others)


def read_winner(
    clauses: list[Clause], choices: Sequence[str], question: str, values: Mapping[str, float], task: str
) -> Verdict:
    """The color that an answer gives to the question; without a question, the one it says something about.

    `values` are the measurements that the answer gives for each color.
    """
    asked_tokens = tokens_of(question.lower())
    asked = _relation(asked_tokens)[1]
    ranking = _ranking(clauses, choices, asked)
    if ranking:
        sign, names = ranking
        return (names[0] if sign == (asked or sign) else names[-1]), ""
    dimension = "distance" if "distance" in task else "speed"
    order = [token for token in dict.fromkeys(asked_tokens) if token in choices]
    claims: list[tuple[int, set[str], set[str]]] = []  # rank, who wins, who is beaten
    named: list[tuple[int, set[str]]] = []  # rank, who is named
    denied: set[str] = set()
    subjects: list[str] = []
    tokens: Tokens = []
    tie = False
    color_of = _boxed_kinds(clauses, choices)
    for clause in clauses:
        latest = [token for token in tokens if token in choices][-1:]
        named_in_turn = _with_names(clause.tokens, order, choices)
        if named_in_turn != clause.tokens:  # "the first object" is none of a first part of the time
            clause = clause._replace(lead=clause.lead - {"first"})
        tokens = _with_colors(named_in_turn, color_of)
        at, sign, word = _relation(tokens)
        mentions = _colors(tokens, at, word, choices)
        negated = any(map(is_negation, tokens[:at])) or tokens[at - 1 : at] == ["no"]
        equal = not _TIES.isdisjoint(tokens) and _NO_TIES.isdisjoint(tokens)
        if word == "as" and not negated and _TIMES.keys().isdisjoint(tokens[max(0, at - 4) : at]):  # no "twice"
            equal, sign = True, 0
        if not sign:
            if equal and not negated:
                tie = True
                continue
            if negated:  # "Blue, not red"; "it is not the red one"; "the red one does not"
                start = next((i for i, token in enumerate(tokens) if is_negation(token)), 0)
                after = {token for token in tokens[start:] if token in choices}
                denied.update(after or mentions.subjects)
                if after and len(front := set(mentions.subjects) - after) == 1:
                    named.append((1, front))
            elif mentions.subjects and PARTLY.isdisjoint(clause.lead) and _names(tokens, choices):
                who = set(mentions.subjects)
                named.append((1 + clause.concludes if len(who) < len(choices) else 0, who))
            # "The red object, which is a car, moves faster": a clause may leave its subject to the one before.
            subjects = subjects if negated else mentions.subjects or subjects
            continue
        is_plain = word in _FAST or word in _SLOW
        if equal and not negated and not mentions.others and is_plain:
            tie = True
            continue
        if (
            tokens[0] in ("which", "who") and latest and "it" not in tokens and not mentions.subjects
        ):  # "Red is behind blue, which is faster"
            subjects = latest
        # "It is faster than blue": who is not what it is measured by.
        subjects = mentions.subjects or subjects
        who = set(subjects) or {choice for choice in choices if choice not in mentions.others}
        if mentions.others and mentions.subjects:
            who -= set(mentions.others)
        if who == set(choices):  # "No, it moves a greater distance"
            continue
        others = set(mentions.others) & set(choices) or set(choices) - who
        rank = 2 * clause.concludes + _fits(clause, dimension) - 2 * is_plain - 3 * is_partly(clause)
        rank -= 3 * (not _SEEMS.isdisjoint(tokens))  # "it looks faster"
        # "Blue covers less than red", when asked which covers more, is red.
        agrees = (-sign if negated else sign) == (asked or sign)
        claims.append((rank, *_won_and_lost(agrees, who, others, len(choices))))
    return _conclude(claims, named, denied, tie, choices, values, asked)


def _ranking(clauses: list[Clause], choices: Sequence[str], asked: int) -> tuple[int, list[str]] | None:
    """All choices in order, and whether from most to least (+1): "From fastest to slowest: red, blue", "red < blue"."""
    tokens = [token for clause in clauses for token in clause.tokens]
    names = [token for token in tokens if token in choices]
    if sorted(names) != sorted(choices):
        return None
    for clause in clauses:
        signs = [1 if token in _MORE else -1 for token in clause.tokens if token in _ENDS_OF_ORDER]
        if "to" in clause.tokens and len(signs) == 2 and sum(signs) == 0:
            return signs[0], names
        for word, sign in (("descending", 1), ("decreasing", 1), ("ascending", -1), ("increasing", -1)):
            if word in clause.tokens:
                return sign, names
    signs = [1 if token == ">" else -1 for token in tokens if token in (">", "<")]
    if len(signs) == len(names) - 1 and abs(sum(signs)) == len(signs):
        return signs[0], names
    # "Blue, then red, then green", or one a line, from the one asked for on
    is_list = [clause.tokens for clause in clauses if len(clause.tokens) < 3] == [clause.tokens for clause in clauses]
    in_lines = is_list and len({clause.sentence for clause in clauses}) == len(names)
    in_turn = tokens.count("then") + tokens.count("followed") >= len(names) - 1 and not any(map(is_number, tokens))
    if len(names) > 2 and (in_lines or in_turn):
        return next((sign for clause in clauses if (sign := _relation(clause.tokens)[1])), asked), names
    return None


def _won_and_lost(agrees: bool, who: set[str], others: set[str], count: int) -> tuple[set[str], set[str]]:
    """Who wins and who is beaten, where `who` is said to be what is asked for more than `others`, or less."""
    if agrees:
        return (who if len(who) == 1 else set()), others - who
    return (others if len(others) == 1 and len(who | others) == count else set()), who - others


_KINDS = words(
    "car truck van bus suv sedan taxi pickup trailer motorcycle motorcyclist motorbike scooter bicycle bike cyclist"
    " pedestrian person man woman child boy girl runner dog"
)
_INSIDE = words("in inside within with")
_HOLDS = words("contains has holds marks surrounds encloses shows is around a an : ( white black silver gray")


def _boxed_kinds(clauses: list[Clause], choices: Sequence[str]) -> dict[str, str]:
    """The color of each kind of object that only one box is said to have: "the truck in the blue box"."""
    colors_of: dict[str, set[str]] = {}
    for clause in clauses:
        tokens = clause.tokens
        for i, token in enumerate(tokens):
            if token in _KINDS:
                boxes = tokens[i + 2 : i + 4] if tokens[i + 1 : i + 2] and tokens[i + 1] in _INSIDE else []
                held_by = next((j for j in range(i - 1, max(0, i - 6), -1) if tokens[j] not in _HOLDS), 0)
                boxes += tokens[held_by - 1 : held_by] if held_by < i - 1 and tokens[held_by] == "box" else []
                near = [color for color in [*boxes, *tokens[max(0, i - 1) : i]] if color in choices]
                colors_of.setdefault(token, set()).update(near[:1])
    return {kind: colors.pop() for kind, colors in colors_of.items() if len(colors) == 1}


def _with_colors(tokens: Tokens, color_of: Mapping[str, str]) -> Tokens:
    """With a color for "the truck", where only one box has a truck."""
    named = list(tokens)
    for i, (former, kind, latter) in enumerate(zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False)):
        if former in ("the", "this", "that") and kind in color_of and latter not in _INSIDE:
            named[i] = color_of[kind]
    return named


def _with_names(tokens: Tokens, order: list[str], choices: Sequence[str]) -> Tokens:
    """With colors for "the former" and "the second object", where the question names each in turn."""
    if len(order) != len(choices) or {"first", "second", "third", "former", "latter"}.isdisjoint(tokens):
        return tokens
    named = list(tokens)
    for i, token in enumerate(tokens):
        if token in ("former", "latter"):
            named[i] = order[0 if token == "former" else -1]
        elif token in ("first", "second", "third") and tokens[i - 1 : i] == ["the"] and "in" not in tokens[i - 2 : i]:
            place = ("first", "second", "third").index(token)
            if place < len(order) and tokens[i + 1 : i + 2] in ([], ["object"], ["one"], ["car"], ["vehicle"], ["box"]):
                named[i] = order[place]
    return named


_NAMING = words(
    "the object in bounding box boxes one car vehicle person player pedestrian truck bus cyclist it is it's i think"
    " that would be my final answer choice option a an with by marked highlighted outlined colored and so therefore"
    " thus travels moves does has goes did seems seem appears to definitely clearly certainly probably likely obviously"
    " i'd i'll say go pick choose guess video this throughout during annotated labeled labelled of two suv man woman"
    " actually wait correction"
    " boxed enclosed border inside am i'm confident believe maybe perhaps might may color ( ) \" ' , : - /"
)


_CUT_SHORT = words("from to at the a an of in by with which that and or")  # where a limit of tokens cut off
_IN_ORDER = words("first second third then last")


def _names(tokens: Tokens, choices: Sequence[str]) -> bool:
    """Whether a clause does no more than name: "I think it is the red van"; not "red is nearer"."""
    if any(map(is_number, tokens)) or not (_MORE | _LESS | PARTLY | _IN_ORDER).isdisjoint(tokens):
        return False
    if tokens[-1] in _CUT_SHORT:
        return False
    strange = [
        token
        for token, follower in pairwise([*tokens, ""])
        if token not in _NAMING and token not in choices and token.isalpha() and follower not in ("box", "boxes", "car")
    ]  # a "bouding box" is one all the same, and a "sports car"
    return len(strange) < 2 and not any(token.endswith(("er", "est", "ly", "ing", "ed", "s")) for token in strange)


def _fits(clause: Clause, dimension: str) -> int:
    """-1 where a clause compares only what is not asked: speeds, where distances are."""
    right, other = _DIMENSION[dimension], _DIMENSION["speed" if dimension == "distance" else "distance"]
    return -1 if right.isdisjoint(clause.tokens) and not other.isdisjoint(clause.tokens) else 0


def _conclude(
    claims: list[tuple[int, set[str], set[str]]],
    named: list[tuple[int, set[str]]],
    denied: set[str],
    tie: bool,
    choices: Sequence[str],
    values: Mapping[str, float],
    asked: int,
) -> Verdict:
    if claims:
        top = max(rank for rank, _, _ in claims)
        won = set[str]().union(*(winners for rank, winners, _ in claims if rank == top))
        beaten = set[str]().union(*(losers for rank, _, losers in claims if rank == top))
        left = won - beaten or set(choices) - beaten
        if len(left) == 1:
            return left.pop(), ""
        return None, "several choices"
    if tie:
        return None, "a tie"
    everyone = set[str]().union(*(who for _, who in named)) - denied
    if len(values) == len(choices) and len(everyone) != 1 and asked:
        best = max(asked * value for value in values.values())
        winners = [choice for choice, value in values.items() if asked * value == best]
        return (winners[0], "") if len(winners) == 1 else (None, "a tie")
    for rank in (2, 1, 0):  # "Blue. The red object stops midway."
        who = set[str]().union(*(who for how, who in named if how == rank)) - denied
        if who:
            return (who.pop(), "") if len(who) == 1 else (None, "several choices")
    left = set(choices) - denied
    return (left.pop(), "") if len(left) == 1 else (None, "no choice")

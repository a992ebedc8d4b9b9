"""Whether an answer says that objects move in the same direction."""

from __future__ import annotations

import re

from .choices import COLORS, NO, Verdict, is_partly
from .text import Clause, Tokens, is_negation, tokens_of, words

_SAME = words("same similar identical parallel aligned alike")
_DIFFERENT = words(
    "different differently differ differs differing opposite opposing perpendicular diverging diverge diverges opposed"
    " difference"
)
# "Two different objects move at the same time": no word on their direction.
_NOT_OF_DIRECTION = words(
    "time times speed speeds pace lane lanes road object objects vehicle vehicles car cars color colors colour colours"
    " video scene frame frames distance distances moment point street intersection type types destination"
    " place places spot position positions location locations area end start origin size sizes shape side sides"
)
_ATTRIBUTES = words(
    "speed speeds velocity velocities pace lane lanes color colors colour colours distance distances type types size"
    " sizes position positions location locations shape shapes destination destinations time times"
)
_HEADINGS = words("direction directions heading headings way ways move moves moving travel travels driving")
_LEAVES_OPEN = re.compile(r"\bor (?:(?:may|might|could) )?not\b")
_NONE_OF = words("difference indication evidence sign")
_COMPASS = words("north south east west northeast northwest southeast southwest")
_APPROACHES = words("approaches approaching approach nears nearing")
_RECEDES = words("recedes receding recede leaves leaving")
_FOLLOWS = words("follows following followed")
_TOWARDS = {
    name: way
    for way, names in {
        "left": "left leftward leftwards",
        "right": "right rightward rightwards",
        "forward": "forward forwards straight ahead",
        "backward": "backward backwards",
        "camera": "camera viewer us",
        "away": "away",
        **{name: name for name in _COMPASS},
    }.items()
    for name in names.split()
}


_THIRD = words("background foreground third rest others traffic oncoming")
_BOTH = words("they both two these objects them their each")


def _is_of_a_third(tokens: Tokens, asked: frozenset[str]) -> bool:
    """Whether a clause speaks of something but those asked about: "only the car in the background turns"."""
    if not _BOTH.isdisjoint(tokens):
        return False
    named = COLORS.intersection(tokens)
    return asked.isdisjoint(named) if asked and named else not named and not _THIRD.isdisjoint(tokens)


def read_sameness(clauses: list[Clause], question: str) -> Verdict:
    """Whether the directions are "same" or "different"."""
    asked = COLORS.intersection(tokens_of(question))
    verdicts: list[tuple[int, str]] = []
    for clause in clauses:
        before, tokens = "", clause.tokens
        rank = (-2 if is_partly(clause) else 2 * clause.concludes) - 5 * _is_of_a_third(tokens, asked)
        if _LEAVES_OPEN.search(clause.text):
            continue
        if "side by side" in clause.text:
            verdicts.append((rank - 1, "same"))
        negated = tokens[-1] in NO and ":" in tokens  # "Same direction: no"
        for i, (token, follower) in enumerate(zip(tokens, [*tokens[1:], ""], strict=True)):
            negated = (
                negated or is_negation(token) or (token == "no" and not _NONE_OF.isdisjoint(tokens[i + 1 : i + 4]))
            )
            if token == "each" and follower == "other" and {"toward", "towards", "from"} & {before}:
                verdicts.append((rank, "same" if negated else "different"))
            if token == "apart" and before in _HEADINGS:
                verdicts.append((rank, "same" if negated else "different"))
            heads_for, before = before in ("toward", "towards"), token
            if token in _SAME or token in _DIFFERENT:
                if (
                    (follower in _NOT_OF_DIRECTION and not heads_for)  # "towards opposite sides"
                    or _is_of_attribute(tokens, i)
                    or _is_as_a_third(tokens[i + 1 : i + 6])
                ):
                    continue
                # "They move in parallel, in opposite directions."
                verdicts.append((rank - (token == "parallel"), "same" if (token in _SAME) != negated else "different"))
    if not verdicts:
        return _derived_sameness(clauses)
    top = max(rank for rank, _ in verdicts)
    said = {verdict for rank, verdict in verdicts if rank == top}
    return (said.pop(), "") if len(said) == 1 else (None, "several choices")


def _is_as_a_third(after: Tokens) -> bool:
    """Whether it is something else that one goes like: "in the same direction as the camera"."""
    return "as" in after and not {"camera", "traffic", "road"}.isdisjoint(after)


def _is_of_attribute(tokens: Tokens, i: int) -> bool:
    """Whether something but the directions is told the same or different at token i: "their speeds are different"."""
    if tokens[i + 1 : i + 2] == ["in"]:  # "different in speed"
        return not _ATTRIBUTES.isdisjoint(tokens[i + 2 : i + 3])
    if not _HEADINGS.isdisjoint(tokens[i + 1 : i + 3]):
        return False
    named = [token for token in tokens[max(0, i - 9) : i] if token in _ATTRIBUTES or token in _HEADINGS]
    return bool(named) and named[-1] in _ATTRIBUTES


def _derived_sameness(clauses: list[Clause]) -> Verdict:
    """By the ways told: "red moves to the left and blue to the right" differ, "both move to the left" are the same."""
    ways: list[str] = []
    from_camera = any({"camera", "viewer"} & set(clause.tokens) for clause in clauses)
    for clause in clauses:
        for i, token in enumerate(clause.tokens):
            before = clause.tokens[max(0, i - 3) : i]
            after = clause.tokens[i + 1] if i + 1 < len(clause.tokens) else ""
            nears_it = token in _APPROACHES and after in ("", "it")
            towards_it = token == "it" and before[-1:] in (["toward"], ["towards"])
            if from_camera and (nears_it or towards_it):  # "Red leaves the camera, blue nears it"
                ways.append("camera")
            elif token in _RECEDES:
                ways.append("away")
            if after == "o'clock":
                ways.append(token)
            if token in _FOLLOWS and not COLORS.isdisjoint(clause.tokens[i + 1 : i + 5]):
                return "same", ""
            # Not the first of "left to right", nor the camera of "away from the camera".
            sets_out = before[-1:] == ["from"] or (
                after == "to" and clause.tokens[i + 2 : i + 3] in (["left"], ["right"])
            )
            if (
                token not in _TOWARDS
                or after == "lane"
                or sets_out
                or "away" in before
                or not _RECEDES.isdisjoint(before)
            ):
                continue
            if before[-1:] == ["-"] and not _COMPASS.isdisjoint(before):  # "north-east"
                ways.append((ways.pop() if ways else "") + _TOWARDS[token])
            else:
                ways.append(_TOWARDS[token])
    everything = frozenset().union(*(clause.tokens for clause in clauses))
    if any(is_negation(token) for token in everything) or not ways or len(ways) > 2:
        return None, "no choice"
    if "both" in everything:  # "both move forward and to the left" has two ways, and who goes which is not told
        return ("same", "") if len(set(ways)) == 1 else (None, "no choice")
    if len(ways) == 1:
        return None, "no choice"
    return ("same" if ways[0] == ways[1] else "different"), ""

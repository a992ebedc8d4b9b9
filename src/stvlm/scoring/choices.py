"""Which of several choices an answer takes: the one that its words say, and the one that its "yes" or "no" means."""

from __future__ import annotations

from collections.abc import Sequence

from .text import Clause, is_negation, tokens_of, words

Verdict = tuple[str | None, str]
"""The choice, or None and the reason."""

COLORS = words("red blue green yellow orange purple white black pink cyan")
_YES = words("yes y yeah yep yup true correct indeed")
NO = words("no n nope false incorrect")
_NOT_AFTER_NO = words("difference significant real noticeable clear change idea object one information")
_HEDGES = words(
    "i i'd i'm would say think exactly that believe my answer : , probably likely most definitely absolutely certainly"
    " really statement"
)
_AFFIRMS = words("absolutely definitely certainly")
_ECHOES = words("it they both does do is are did this so")
_ASKS_FOR_A_NAME = words("which who whose what name")
_WHOLLY = words("whole entire full overall total altogether")
PARTLY = words("initially first beginning start early half moments")


def is_partly(clause: Clause) -> bool:
    """Whether it tells of a part of the time: "at first red is faster"; not "..., but over the whole video it is"."""
    return not PARTLY.isdisjoint(clause.lead) and _WHOLLY.isdisjoint(clause.tokens)


def said_yes_or_no(clauses: list[Clause], choices: Sequence[str], question: str) -> str | None:
    """The choice that an opening "yes" or "no" means; None where there is none, or the question asks for a name."""
    if not clauses or not _ASKS_FOR_A_NAME.isdisjoint(tokens_of(question.lower())):
        return None
    said = [token for token in clauses[0].tokens if token not in _HEDGES]
    opening, following = [*said, "", ""][:2]
    if not said and not _AFFIRMS.isdisjoint(clauses[0].tokens):
        opening = "yes"
    if said and all(token in _ECHOES or is_negation(token) for token in said):  # "They do not", "Not really"
        opening = "no" if any(map(is_negation, said)) else "yes"
    if following in _NOT_AFTER_NO or (opening in _YES and not NO.isdisjoint(said)):  # "No difference"; "yes and no"
        return None
    if opening in _YES:
        return choices[0]
    return choices[1] if opening in NO and len(choices) == 2 else None


def settle(verdict: Verdict, yes_or_no: str | None) -> Verdict:
    """A verdict in words and one by "yes" or "no": they agree, or only one is there, or nothing is certain."""
    choice, reason = verdict
    if yes_or_no is None or choice == yes_or_no:
        return verdict
    if choice is None:
        return verdict if reason in ("several choices", "a tie") else (yes_or_no, "")
    return None, "contradicts itself"

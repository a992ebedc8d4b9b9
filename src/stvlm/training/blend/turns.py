"""Turns of a conversation, as data sets write them, as prompts and answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from stvlm.records import Rejected
from stvlm.training.samples import Asked

USER, ASSISTANT = "user", "assistant"
_ROLES = {"human": USER, "user": USER, "gpt": ASSISTANT, "assistant": ASSISTANT, "model": ASSISTANT}
_PLACEHOLDER = re.compile(r"\s*<(?:image|video)>\s*")

NO_TURNS = "no conversation"
SYSTEM = "system turn"
UNKNOWN_ROLE = "turn of an unknown role"
OUT_OF_TURN = "question and answer not in turn"
NO_QUESTION = "empty question"
NO_ANSWER = "empty answer"
PLACEHOLDER_IN_ANSWER = "placeholder in an answer"
SEVERAL_MEDIA = "several images or videos"
NO_MEDIUM = "placeholder without image or video"


class Turn(NamedTuple):
    """What one side says."""

    role: str
    text: str


def as_asked(turns: Sequence[Turn], has_medium: bool) -> list[Asked] | Rejected:
    """Prompts and answers in turn. The placeholder of the medium, wherever it stands, is taken out of its prompt."""
    if not turns:
        return Rejected(NO_TURNS)
    for role in (turn.role for turn in turns):
        if role not in _ROLES:
            return Rejected(SYSTEM) if role == "system" else Rejected(UNKNOWN_ROLE, repr(role))
    prompts, answers = turns[::2], turns[1::2]
    if len(prompts) != len(answers) or any(_ROLES[turn.role] != USER for turn in prompts):
        return Rejected(OUT_OF_TURN)
    if any(_ROLES[turn.role] != ASSISTANT for turn in answers):
        return Rejected(OUT_OF_TURN)
    if any(_PLACEHOLDER.search(turn.text) for turn in answers):
        return Rejected(PLACEHOLDER_IN_ANSWER)
    placeholders = sum(len(_PLACEHOLDER.findall(turn.text)) for turn in prompts)
    if placeholders > has_medium:
        return Rejected(SEVERAL_MEDIA if has_medium else NO_MEDIUM)
    asked = [
        Asked(_PLACEHOLDER.sub(_gap, prompt.text).strip(), answer.text.strip())
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    if not all(turn.prompt for turn in asked):
        return Rejected(NO_QUESTION)
    if not all(turn.answer for turn in asked):
        return Rejected(NO_ANSWER)
    return asked


def _gap(placeholder: re.Match[str]) -> str:
    """What stays between the words around a placeholder."""
    return "\n" if "\n" in placeholder[0] else " "

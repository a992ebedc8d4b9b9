"""A question about a clip as the chat messages that processors take."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]


def as_messages(prompt: str, answer: str | None = None, videos: int = 1) -> list[Message]:
    """The user's turn, videos and their prompt, and the assistant's where the answer is known."""
    user = {"role": "user", "content": [*[{"type": "video"}] * videos, {"type": "text", "text": prompt}]}
    if answer is None:
        return [user]
    return [user, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]

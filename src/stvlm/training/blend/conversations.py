r"""Image, video and text conversations in the forms of LLaVA, ShareGPT and chat templates, from any list of them.

    {"video": "a.mp4", "conversations": [{"from": "human", "value": "<video>\nWhat ...?"}, {"from": "gpt", ...}]}
    {"image": "b.jpg", "messages": [{"role": "user", "content": "<image>What ...?"}, {"role": "assistant", ...}]}
    {"messages": [{"role": "user", "content": [{"type": "image", "image": "b.jpg"}, {"type": "text", ...}]}, ...]}

A row has at most one image or video, which a model is shown before the first prompt, wherever its placeholder stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from stvlm.records import Rejected
from stvlm.training.blend.lists import ListReader
from stvlm.training.blend.rows import Row
from stvlm.training.blend.turns import SEVERAL_MEDIA, Turn, as_asked
from stvlm.training.samples import Medium

NOT_A_PATH = "image or video not given as a file's path; write it to a file"
UNKNOWN_PART = "part of an unknown kind"
MISSING = "image or video missing; put it where its list says, below `media`"


class Said(msgspec.Struct, rename={"role": "from", "text": "value"}):
    """A turn of `conversations`."""

    role: str
    text: str


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    image: Any = None
    video: Any = None
    path: Any = None

    @property
    def told(self) -> str:
        """Its text, or its placeholder."""
        return (self.text or "") if self.type == "text" else f"<{self.type}>"


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part]


class ConversationRow(msgspec.Struct):
    """A row of a list."""

    conversations: list[Said] | None = None
    messages: list[_Message] | None = None
    image: Any = None
    images: Any = None
    video: Any = None
    videos: Any = None


def read_conversations(path: Path, media: Path | None, unpacked: Path) -> ListReader[ConversationRow]:
    """The rows of one list, with media below a folder."""
    reading = partial(as_row, folders=[media or path.parent], if_missing=MISSING)
    return ListReader(path, unpacked, "for its owner to say", ConversationRow, reading)


def as_row(row: ConversationRow, folders: Sequence[Path], if_missing: str) -> Row | Rejected:
    """A list's row; its medium may be below each of `folders`."""
    turns = [Turn(said.role, said.text) for said in row.conversations or ()]
    images, videos = _listed(row.image) + _listed(row.images), _listed(row.video) + _listed(row.videos)
    for message in row.messages or ():
        parts = [_Part("text", message.content)] if isinstance(message.content, str) else message.content
        if unknown := next((part.type for part in parts if part.type not in ("text", "image", "video")), None):
            return Rejected(UNKNOWN_PART, repr(unknown))
        turns.append(Turn(message.role, "".join(part.told for part in parts)))
        images += [name for part in parts if part.type == "image" and (name := part.image or part.path)]
        videos += [name for part in parts if part.type == "video" and (name := part.video or part.path)]
    if len(images) + len(videos) > 1:
        return Rejected(SEVERAL_MEDIA)
    medium: Medium = "image" if images else "video" if videos else ""
    name = next(iter(images + videos), "")
    if isinstance(name, dict) and not name.get("bytes"):  # as the `datasets` library writes images and videos
        name = name.get("path")
    if not isinstance(name, str):
        return Rejected(NOT_A_PATH)
    asked = as_asked(turns, bool(medium))
    if isinstance(asked, Rejected):
        return asked
    return Row(medium, name, asked, [folder / name for folder in folders] if medium else (), if_missing)


def _listed(given: Any) -> list[Any]:
    return [one for one in (given if isinstance(given, list) else [given]) if one]

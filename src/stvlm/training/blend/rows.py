"""What a reader of a data set gives for each of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from stvlm.records import Rejected
from stvlm.training.samples import Asked, Medium


class Row(NamedTuple):
    """One conversation, about one medium or none."""

    medium: Medium
    name: str
    """The medium's, as the list has it; the same on every machine."""
    turns: Sequence[Asked]
    places: Sequence[Path] = ()
    """Where the medium may be: the first of them that exists is it."""
    if_missing: str = ""
    """Why there is none at any of its places, and the cure."""


class Reader(Protocol):
    """The rows of a data set, from its own files."""

    @property
    def lists(self) -> Sequence[Path]:
        """The files that tell of them; they are opened when a row is asked for."""
        ...

    @property
    def licence(self) -> str:
        """The terms under which they stand."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Row | Rejected:
        """A row, or why it cannot be one."""
        ...

    def where(self, index: int) -> str:
        """The list that a row is in, and its number there."""
        ...

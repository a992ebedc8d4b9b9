"""Lists of conversations as JSON, JSON lines or Parquet: any row of one can be read without holding the others.

They may be larger than memory; OpenSpatialDataset's has 32 GB. A JSON file is mapped, and all that is kept of it is
where its rows begin and end.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import datasets
import msgspec

from stvlm.programs import first_line
from stvlm.records import DataError, Rejected
from stvlm.training.blend.rows import Row

SUFFIXES = (".json", ".jsonl", ".parquet")
NOT_OF_ITS_FORM = "row not of its list's form"

Form = TypeVar("Form", bound=msgspec.Struct)


class ListReader(Generic[Form]):
    """The rows of one list; satisfies ``rows.Reader``.

    Args:
        path: of the list, which is opened when a row is asked for; raises DataError then.
        unpacked: the folder that Parquet files are unpacked to.
        licence: the terms under which it stands.
        form: what its rows have to be.
        as_row: what such a row says.
    """

    def __init__(
        self, path: Path, unpacked: Path, licence: str, form: type[Form], as_row: Callable[[Form], Row | Rejected]
    ) -> None:
        self.lists, self.licence = [path], licence
        self._unpacked, self._form, self._as_row = unpacked, form, as_row

    @cached_property
    def _rows(self) -> Sequence[Any]:
        return open_list(self.lists[0], self._unpacked)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row | Rejected:
        row = read_row(self._rows[index], self._form)
        return row if isinstance(row, Rejected) else self._as_row(row)

    def where(self, index: int) -> str:
        return f"{self.lists[0]}, row {index}"


def open_list(path: Path, unpacked: Path) -> Sequence[Any]:
    """The rows of a list, for `read_row`. Raises DataError.

    Args:
        path: of one of `SUFFIXES`.
        unpacked: the folder that Parquet files are unpacked to.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: is no list of conversations; give one that ends in {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".parquet":
            return _undecoded(datasets.Dataset.from_parquet(str(path), cache_dir=str(unpacked)))
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if path.suffix == ".jsonl":
            return _Lines(content)
        rows: list[msgspec.Raw] = msgspec.json.decode(content, type=list[msgspec.Raw])
        return rows
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:  # MsgspecError is a ValueError
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as a list of conversations ({reason}); fetch it again") from error


def read_row(row: Any, form: type[Form]) -> Form | Rejected:
    """A row as a struct; what the struct does not name is passed over."""
    try:
        return msgspec.convert(row, form) if isinstance(row, dict) else msgspec.json.decode(row, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Rejected(NOT_OF_ITS_FORM, first_line(error))


def _undecoded(table: datasets.Dataset) -> Sequence[Any]:
    """A table whose images and videos are told as they are stored."""
    for name, feature in table.features.items():
        if isinstance(feature, datasets.Image | datasets.Video):
            table = table.cast_column(name, type(feature)(decode=False))
    return table  # type: ignore[no-any-return]  # it has a sequence's methods


class _Lines(Sequence[bytes]):
    """The lines of a mapped file that are not empty."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._starts, self._ends = array("Q"), array("Q")
        for start, end in _line_ends(content):
            if content[start:end].strip():
                self._starts.append(start)
                self._ends.append(end)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return self._content[self._starts[index] : self._ends[index]]


def _line_ends(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        yield start, end
        start = end + 1

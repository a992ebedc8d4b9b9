"""Rows of a table that is one JSON array of objects, a piece at a time: such a file may be larger than memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from stvlm.records import DataError

Row = TypeVar("Row", bound=msgspec.Struct)

_PIECE_BYTES = 120_000  # its rows stay in the processor's cache, and malloc takes it from memory that it holds already
_ROW_BYTES = 1 << 24  # no row is this long: what seems to be one is damage
_GAP = " \t\r\n,["
_GAPS = re.compile(rf"[{re.escape(_GAP)}]*")


def read_rows(path: Path, kind: type[Row]) -> Iterator[list[Row]]:
    """Rows as ``kind``, some hundred at a time; columns that it does not name are skipped. Raises DataError."""
    decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]  # a class, but told at run time
    rest = b""
    try:
        with path.open("rb") as file:
            while not rest.startswith(b"]"):
                piece = file.read(_PIECE_BYTES)
                if not piece or rest[:1] not in (b"", b"{") or len(rest) > _ROW_BYTES:
                    raise DataError(f"{path}: is cut off or not JSON; unpack the metadata again")
                text = bytearray(b"[" + rest)
                text += piece if rest else piece.lstrip(_GAP.encode())
                end = max(1, text.rfind(b"}") + 1)
                rest = bytes(text[end:])
                text[end:] = b"]"
                try:
                    rows = decoder.decode(text)
                except msgspec.MsgspecError:
                    rows, unread = _read_slowly(path, text[1:-1].decode(), kind)
                    rest = unread.encode() + rest
                if rows:
                    yield rows
                rest = rest.lstrip(_GAP.encode())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: does not read ({error}); unpack the metadata again") from error


def _read_slowly(path: Path, text: str, kind: type[Row]) -> tuple[list[Row], str]:
    """Rows at the beginning of a text that the fast decoder refused, and the text after them.

    It takes NaN for a number, and a brace inside a string for no row's end. Says what is wrong with a row.
    """
    decode = json.JSONDecoder().raw_decode
    rows: list[Row] = []
    at = 0
    while True:
        at = _GAPS.match(text, at).end()  # type: ignore[union-attr]  # it matches where there is no gap, too
        try:
            row, at = decode(text, at)
        except json.JSONDecodeError:  # it goes on in the next piece
            return rows, text[at:]
        try:
            rows.append(msgspec.convert(row, kind))
        except msgspec.ValidationError as error:
            absent = [name for name in kind.__struct_fields__ if isinstance(row, dict) and name not in row]
            wrong = f"a row has no column {absent[0]!r}" if absent else f"a value is of the wrong kind ({error})"
            raise DataError(f"{path}: {wrong}; unpack the metadata again") from error

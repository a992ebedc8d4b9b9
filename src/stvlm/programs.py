"""What every program does at its edge: one clear line for an error, and a clean end on Ctrl-C."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable
from typing import Any

from stvlm.files import is_full
from stvlm.records import DataError


def run_program(main: Callable[[], None]) -> None:
    """Runs a program: exits with 1 and one line on bad input, with 130 when interrupted."""
    code, words = 0, ""
    try:
        main()
    except (DataError, OSError) as error:  # an OSError says what, and most of them of which file: as a lost mount
        cure = "; free some space or choose another folder" if isinstance(error, OSError) and is_full(error) else ""
        code, words = 1, f"error: {' '.join(str(error).split())}{cure}"
    except KeyboardInterrupt:
        code, words = 130, "\ninterrupted; run the same command again to go on"
    gc.collect()  # a streamed dataset that is still there aborts the process when Arrow goes first (apache/arrow#45214)
    if code:
        print(words, file=sys.stderr)
        sys.exit(code)


def first_line(error: Exception) -> str:
    """What an error of another library says first; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def positive_int(text: str) -> int:
    """A number of a command line that is at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def name_and_value(text: str) -> tuple[str, str]:
    """NAME=VALUE of a command line as a pair."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


def option_value(text: str) -> Any:
    """A number, true, false or structure where the text is JSON, else the text itself, as 04:00:00 is."""
    try:
        return json.loads(text)
    except ValueError:
        return text

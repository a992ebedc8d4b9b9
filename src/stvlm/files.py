"""Files that are whole or absent: written beside their place, then moved into it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stvlm.records import DataError

PARTIAL = ".*.partial*"
"""How files are called while they are written: one that is there later, a process has left that was killed."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends, and vanishes when the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot write ({reason}); free some space or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def is_full(error: Exception) -> bool:
    """Whether an error says that a disk is full, or that was behind it."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_movable(out: Path) -> None:
    """Raises DataError where no folder can be moved to `out`; told before it is made, which may take hours."""
    if out.is_symlink() or out.is_mount():
        raise DataError(f"{out}: is a link or a mounted disk, which no folder can take the place of; name one in it")


def write_text(path: Path, text: str) -> None:
    """`text` in UTF-8."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON with sorted keys."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in a file; raises DataError where it is missing or cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); the file may be cut off, make or fetch it again") from error


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Holds `path` for this process alone; the system frees it when the process ends, however it ends.

    Raises DataError, which names the holder, where another process has it and this one is not to wait for it.
    """
    import fcntl  # here, so that the rest works where there is none

    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            raise DataError(
                f"{path.parent}: in use by {holder}; let it end, or stop it, or choose another folder"
            ) from None
        except OSError:
            pass  # a file system without locks: nothing can be held, and nobody is to be refused
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # the one before removed it between our two steps
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
    finally:
        with suppress(FileNotFoundError):  # our file may be gone with its folder, and another process have made one
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                path.unlink()
        file.close()
        with suppress(OSError):
            path.parent.rmdir()  # if nothing else is in it


@contextmanager
def made_anew(out: Path) -> Iterator[Path]:
    """A folder that takes the place of `out` when the block ends; one process at a time makes it."""
    making = out.absolute().with_name(f".{out.absolute().name}.making")
    new, old = making / "new", making / "old"
    with locked(making / "lock"):
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        new.mkdir()
        try:
            yield new
            if out.exists():
                out.rename(old)
            try:
                new.rename(out)
            except OSError:
                if old.exists():
                    old.rename(out)
                raise
        finally:
            shutil.rmtree(making, ignore_errors=True)

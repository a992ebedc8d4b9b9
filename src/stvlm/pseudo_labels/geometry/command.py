"""Runs a tool in its own environment, by the command that the user gives for it, and reads what it wrote.

    /opt/vipe/bin/vipe infer --image-dir {frames} --output {out}
    /opt/da3/bin/da3 images {frames} --export-format mini_npz --export-dir {out} --auto-cleanup

No shell sees the command. What needs one is a script, or, with the places behind it, where no path can be mistaken for
a part of it,

    bash -c 'cd /opt/monst3r && python demo.py --input_dir "$0" --output_dir "$1" --not_batchify' {frames} {out}
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Formatter

from PIL import Image

from stvlm.pseudo_labels.artefacts import Footage, Geometry
from stvlm.pseudo_labels.geometry import READERS
from stvlm.recipes import nearest
from stvlm.records import DataError, Frames

PLACES = ("frames", "out")
"""What stands in braces in a command: a folder with the footage's frames as images 00000.png, ...; the empty folder
that the tool writes to. Both are whole paths.
"""

TAIL_BYTES = 300
"""How much of what the tool said last is told when it fails."""

_MADE_BY = "stvlm_command.txt"


def run_tool(
    tool: str,
    command: str,
    footage: Footage,
    frames: Frames,
    out: Path,
    *,
    timeout_s: float | None = None,
    model: str | None = None,
) -> Geometry:
    """The geometry of a footage, made by a tool of READERS.

    `out` becomes the folder that the tool wrote, once it has ended well and reads; where it is there already, made by
    the same command, nothing is run. What the tool says is in a file beside it, with the suffix .log.

    Raises DataError, one line, where the command is not right, fails, takes longer, or writes what does not read.
    """
    if tool not in READERS:
        raise DataError(f"tool {tool!r}: is not known{nearest(tool, READERS)}")
    words = words_of(command)
    made_by = out / _MADE_BY
    if made_by.is_file() and made_by.read_text(encoding="utf-8") == command:
        return READERS[tool](out, footage, model)
    out = out.absolute()  # for the tool may change its folder
    log, partial = out.with_name(f"{out.name}.log"), out.with_name(f".{out.name}.partial")
    for left in (partial, *out.parent.glob(f".{out.name}.frames.*")):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.frames.") as folder:
            _write_frames(frames, len(footage.times_s), Path(folder))
            _run([word.format(frames=folder, out=partial) for word in words], log, timeout_s)
        geometry = READERS[tool](partial, footage, model)
        (partial / _MADE_BY).write_text(command, encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    except OSError as error:
        raise DataError(f"{out}: cannot write ({error.strerror}); free some space or choose another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return geometry


def words_of(command: str) -> list[str]:
    """The words of a command; raises DataError where it names what is not there, or not what it has to."""
    try:
        words = shlex.split(command)
        named = {name for word in words for _, name, _, _ in Formatter().parse(word) if name is not None}
    except ValueError as error:
        raise DataError(f"command {command!r}: {error}; write a brace that is meant as one twice") from error
    if not words:
        raise DataError("the command is empty; give the program that makes the geometry, with {frames} and {out}")
    for name in sorted(named):
        if name not in PLACES:
            raise DataError(f"command {command!r}: {{{name}}} is not known{nearest(name, PLACES)}")
    if named != set(PLACES):
        raise DataError(f"command {command!r}: has to name {{frames}} and {{out}}")
    return words


def _write_frames(frames: Frames, count: int, folder: Path) -> None:
    for number in range(count):
        Image.fromarray(frames.read(number)).save(folder / f"{number:05d}.png", compress_level=1)


def _run(words: Sequence[str], log: Path, timeout_s: float | None) -> None:
    """Runs a program and all that it starts, to its end; raises DataError with what it said last."""
    with log.open("wb") as said:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise DataError(f"{words[0]}: does not start ({error.strerror}); give its whole path") from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            cure = "allow it more, or give it fewer frames"
            raise DataError(f"{words[0]}: took more than {timeout_s:g} s and was ended; {cure}") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # and what it started
                process.wait()
    if code:
        with log.open("rb") as said:
            said.seek(max(0, log.stat().st_size - TAIL_BYTES))
            tail = " ".join(said.read().decode(errors="replace").split())
        raise DataError(f"{words[0]}: ended with code {code}; it said last: {tail or 'nothing'}; all of it is in {log}")

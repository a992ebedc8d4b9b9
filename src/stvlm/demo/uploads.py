"""What visitors send: looked at from the outside only, and decoded in a process of its own (see decoding.py)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import stvlm
from stvlm.demo.decoding import Decoded
from stvlm.demo.working import LOOK_S, Tell, Told, untold
from stvlm.records import DataError

MODULE = "stvlm.demo.decoding"
MOST_BYTES = 100 << 20
MOST_S = 90.0
"""That decoding may take, by the clock."""


def take(upload: Path, out: Path, tell: Tell = untold) -> Decoded:
    """Writes the plain mp4 of an uploaded file to `out`. Raises DataError, in words for the visitor."""
    try:
        file = upload.open("rb")
    except OSError as error:
        raise DataError("The upload is gone, as old ones are removed. Send it again.") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise DataError(f"The file has {size / 2**20:,.0f} MB. Send at most {MOST_BYTES >> 20} MB.")
        command = [sys.executable, "-P", "-m", MODULE, str(out)]
        root = str(Path(stvlm.__file__).parents[1])
        environment = {"PATH": os.defpath, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd="/",
            start_new_session=True,
        )  # fmt: skip
    until = time.monotonic() + MOST_S
    said = None
    try:
        while said is None:
            tell(Told(0.1, "decoding"))
            try:
                said, _ = process.communicate(timeout=min(LOOK_S, MOST_S))
            except subprocess.TimeoutExpired:
                if time.monotonic() > until:
                    raise DataError("The video takes too long to decode. Send a shorter or smaller one.") from None
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for part in out.parent.glob(f".{out.stem}.*.partial{out.suffix}"):  # of one that was killed
            part.unlink(missing_ok=True)
    try:
        answer = json.loads(said)
    except ValueError:
        raise DataError("The video needs too much memory or time to decode. Send a shorter or smaller one.") from None
    if "refused" in answer:
        out.unlink(missing_ok=True)
        raise DataError(answer["refused"])
    return Decoded(**{**answer, "sent_px": tuple(answer["sent_px"])})

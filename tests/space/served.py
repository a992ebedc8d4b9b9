"""The Space, run as the Hub runs it: its app.py in a process of its own, with a small world and a small model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from tests.demo.worlds import make_examples
from tests.evaluation.tiny_models import write_model

SPACE = Path(__file__).parents[2] / "space"


class Served(NamedTuple):
    """Where it is, and all that it writes."""

    url: str
    temporary: Path
    log: Path

    def left(self) -> list[Path]:
        """What visitors' clips are still there."""
        return [path for path in self.temporary.glob("st-vlm-*/clips/*") if path.is_dir()]

    def uploads(self) -> set[Path]:
        """What was sent to it and is kept for a while."""
        return {path for path in self.temporary.glob("st-vlm-*/uploads/**/*") if path.is_file()}


@contextmanager
def served(root: Path, model: Path | None = None) -> Iterator[Served]:
    """The Space of this checkout with a small world, and with a small model if none is named."""
    examples = make_examples(root / "examples")
    named = {
        "ST_VLM_MODEL": str(model or write_model(root / "model")),
        "ST_VLM_DATASET": str(examples),
        "HF_HUB_OFFLINE": "1",
    }
    with started(SPACE, root, {**os.environ, **named}) as running:
        yield running


@contextmanager
def started(space: Path, root: Path, environment: Mapping[str, str]) -> Iterator[Served]:
    """Starts the app of a folder, which writes into `root`, and ends it."""
    temporary = root / "tmp"
    temporary.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "TMPDIR": str(temporary),
        "OMP_NUM_THREADS": "1",
    }
    url, log = f"http://127.0.0.1:{port}", root / "app.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=space, env={**environment, **here}, stdout=out, stderr=out
        )
    try:
        until = time.monotonic() + 240
        while "* The page: " not in log.read_text():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text())
            time.sleep(0.2)
        httpx.get(url).raise_for_status()
        yield Served(url, temporary, log)
    finally:
        process.terminate()
        process.wait(20)

"""The Space, run as the Hub runs it: its app.py in a process of its own, with a small world and a small model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
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
        return [path for path in self.temporary.glob("st-vlm-*/*") if path.is_dir()]


@contextmanager
def served(root: Path) -> Iterator[Served]:
    """Starts the app, and ends it."""
    write_model(root / "model")
    make_examples(root / "examples")
    temporary = root / "tmp"
    temporary.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "ST_VLM_MODEL": str(root / "model"),
        "ST_VLM_DATASET": str(root / "examples"),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "TMPDIR": str(temporary),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    url, log = f"http://127.0.0.1:{port}", root / "app.log"
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=SPACE, env=environment, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 240
        while "Streamable HTTP URL" not in log.read_text():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text())
            time.sleep(0.2)
        httpx.get(url).raise_for_status()
        yield Served(url, temporary, log)
    finally:
        process.terminate()
        process.wait(20)

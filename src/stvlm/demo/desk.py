"""What all visitors share: the model, the examples, and a folder for what they send."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import torch
import yaml

from stvlm.demo.asking import prompt_for
from stvlm.demo.clips import Clip, Shown, Study
from stvlm.demo.examples import CLIPS, PLAIN
from stvlm.demo.uploads import take
from stvlm.demo.working import Line, Tell, Told
from stvlm.records import DataError

KEPT_S = 3600
"""So long an uploaded clip can be asked about."""
SWEPT_EVERY_S = 60
AT_WORK = 2
"""Clips that are decoded, followed or measured at a time."""

Stream = Callable[[Any, Sequence[float], str], Generator[str, None, None]]
"""A video (n, 3, H, W) uint8 RGB tensor, its frames' seconds and a prompt -> the answer, as it grows."""


@dataclass(frozen=True)
class Desk:
    """What the tabs work with."""

    stream: Stream
    """The model."""
    model_name: str
    frame_size_px: tuple[int, int] | None
    """To which the model brings every frame, where it is always the same."""
    examples: Mapping[str, tuple[str, Clip]]
    """Clips to ask about, by id, and what each is called."""
    work: Path
    """Where uploaded clips lie, each in a folder that nobody can guess."""
    simulated_only: bool = False
    """Whether the model has seen boxed objects in a simulated world, and nothing else."""
    results: Path | None = None
    """A folder of results for the leaderboard."""
    for_model: Line = field(default_factory=lambda: Line(1))
    for_work: Line = field(default_factory=lambda: Line(AT_WORK))

    def doubt(self, study: Study) -> str:
        """Why what the model says of a clip would mean nothing; "" where it may."""
        if not self.simulated_only:
            return ""
        if not study.colors:
            return f"{self.model_name} makes no sense of a clip without a box. Draw one first."
        if not study.clip.clip_id:
            return (
                f"{self.model_name} has seen nothing but a simulated world: what it says of other video means little. "
                "ST_VLM_MODEL names another model to start with."
            )
        return ""

    def answer(
        self, visitor: str, study: Study, shown: Shown, question: str, tell: Callable[[Told | str], None]
    ) -> str:
        """What the model says in the end. Tells how many are before, then what there is of the answer.

        Raises DataError where the model can make no sense of the clip.
        """
        if self.simulated_only and not study.colors:
            raise DataError(self.doubt(study))
        video = torch.from_numpy(shown.frames).permute(0, 3, 1, 2).contiguous()
        prompt, text = prompt_for(study, shown.times_s, question), ""
        with (
            self.for_model.turn(visitor, tell),
            closing(self.stream(video, shown.times_s, prompt)) as growing,  # ended before the next has the model
        ):
            for text in growing:
                tell(text)
        return text


def receive(upload: Path, work: Path, tell: Tell) -> tuple[Clip, bool]:
    """The plain clip of an uploaded file, and whether its end was cut off. Raises DataError."""
    folder = work / secrets.token_hex(16)
    folder.mkdir(parents=True)
    out = folder / "clip.mp4"
    try:
        decoded = take(upload, out, tell)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    size_px = decoded.width_px, decoded.height_px
    return Clip(out, decoded.step_s, decoded.frames, size_px, sent_px=decoded.sent_px), decoded.is_cut


@contextmanager
def folder_of_visitors() -> Iterator[Path]:
    """A temporary folder for all that visitors send, of which nothing stays for much longer than `KEPT_S`, nor after
    the end of this process, by SIGTERM either.
    """
    ended = Event()
    with tempfile.TemporaryDirectory(prefix="st-vlm-", ignore_cleanup_errors=True) as folder:
        work, uploads = Path(folder, "clips"), Path(folder, "uploads")
        work.mkdir()
        uploads.mkdir()

        def keep_clean() -> None:
            while not ended.wait(SWEPT_EVERY_S):
                # Gradio removes uploads itself, but for those that broke off.
                remove_old([*work.iterdir(), *uploads.iterdir()], KEPT_S)

        def end(number: int, _: object) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)  # at once: to unwind takes Python seconds

        before = signal.signal(signal.SIGTERM, end)
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        Thread(target=keep_clean, daemon=True).start()
        try:
            yield work
        finally:
            signal.signal(signal.SIGTERM, before)
            ended.set()


def remove_old(paths: Iterable[Path], kept_s: float) -> None:
    """Removes files and folders that nobody has written to for so long."""
    for path in paths:
        with suppress(OSError):  # another one, or gradio, was faster
            if time.time() - path.stat().st_mtime <= kept_s:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def default_dataset(space: Path) -> str:
    """The examples beside a Space's app.py. Raises DataError where there are none."""
    examples = space / "examples"
    if not (examples / PLAIN / CLIPS).is_file():
        cure = f"type: python {space / 'make_examples.py'}; or name another dataset in ST_VLM_DATASET"
        raise DataError(f"{examples}: there are no examples; {cure}")
    return str(examples)


def default_model(space: Path) -> str:
    """The model beside a Space's app.py, else the first that its card names. Raises DataError where there is none."""
    beside = space / "st-vlm-tiny"
    if beside.is_dir():
        return str(beside)
    try:
        card = yaml.safe_load((space / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1])
        return str(card["models"][0])
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        cure = "make it with training/from_nothing.py and put or link it there, or name another in ST_VLM_MODEL"
        raise DataError(f"{beside}: there is no model; {cure}") from error

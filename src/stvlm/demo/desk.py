"""What all visitors share: the model, the examples, and a folder for what they send."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stvlm.demo.clips import Clip
from stvlm.demo.uploads import take
from stvlm.records import DataError

KEPT_S = 3600
"""So long an uploaded clip is there at least, and no longer once somebody sends another."""


Stream = Callable[[Any, Sequence[float], str], Iterator[str]]
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
    results: Path | None = None
    """A folder of results for the leaderboard."""


def receive(upload: Path, work: Path) -> tuple[Clip, bool]:
    """The plain clip of an uploaded file, and whether its end was cut off. Raises DataError."""
    _sweep(work)
    folder = work / secrets.token_hex(16)
    folder.mkdir(parents=True)
    out = folder / "clip.mp4"
    try:
        decoded = take(upload, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Clip(out, decoded.step_s, decoded.frames, (decoded.width_px, decoded.height_px)), decoded.is_cut


def _sweep(work: Path) -> None:
    """Removes what is older than `KEPT_S`."""
    for folder in work.iterdir():
        if time.time() - folder.stat().st_mtime > KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)


def default_model(space: Path) -> str:
    """The model beside a Space's app.py, else the first that its card names. Raises DataError where there is none."""
    beside = space / "st-vlm-tiny"
    if beside.is_dir():
        return str(beside)
    try:
        card = yaml.safe_load((space / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1])
        return str(card["models"][0])
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        cure = "train it with `make quickstart` and put or link it there, or name another in ST_VLM_MODEL"
        raise DataError(f"{beside}: there is no model; {cure}") from error

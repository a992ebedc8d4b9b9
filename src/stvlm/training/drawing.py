"""What is shown of a sample and asked about it: its medium and conversations, changed where a recipe says so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from stvlm.evaluation.frames import FrameReader
from stvlm.programs import first_line
from stvlm.records import DataError, Task
from stvlm.training.augment import Drawn, exchange_colors, mirror
from stvlm.training.samples import Conversation, Medium, Sample

LEFT_AND_RIGHT: tuple[Task, ...] = ("movement_direction", "direction_timestamp")
"""Tasks whose answers a mirror would change."""


class Shown(NamedTuple):
    """A medium and the conversations about it, as one sequence of a batch shows them."""

    medium: Medium
    pixels: torch.Tensor | None
    """Frames (n, 3, h, w) at the model's resolution, or an image (3, H, W) in its own; uint8. None without a medium."""
    times_s: Sequence[float]
    conversations: Sequence[Conversation]


@dataclass(frozen=True)
class Drawing:
    """Draws samples. Clips of STKit alone are changed: of other data nobody can tell which answers would still hold."""

    reader: FrameReader
    augment: bool = False

    def __call__(self, sample: Sample, rng: random.Random) -> Shown:
        """What is shown of a sample. Raises DataError for media that cannot be read."""
        if not self.augment or not sample.tasks:
            return self._as_it_is(sample)
        drawn = exchange_colors(self._mirrored(sample, rng), rng)
        return Shown("video", drawn.frames, sample.times_s, [[turn] for turn in drawn.asked])

    def _as_it_is(self, sample: Sample) -> Shown:
        pixels = None
        if sample.medium == "video":
            pixels = self._frames(sample)
        elif sample.medium == "image":
            pixels = read_image(Path(sample.path))
        return Shown(sample.medium, pixels, sample.times_s, sample.conversations)

    def _frames(self, sample: Sample) -> torch.Tensor:
        frames = self.reader(Path(sample.path), sample.frame_indices)
        if len(frames) != len(sample.times_s):
            raise DataError(f"{sample.path}: has {len(frames)} frames, its row says {len(sample.times_s)}")
        return frames

    def _mirrored(self, sample: Sample, rng: random.Random) -> Drawn:
        """Half the time in a mirror, and then asked only what a mirror does not change."""
        frames = self._frames(sample)
        asked = [(task, turn) for task, [turn] in zip(sample.tasks, sample.conversations, strict=True)]
        either_way = [(task, turn) for task, turn in asked if task not in LEFT_AND_RIGHT]
        if either_way and rng.random() < 0.5:
            asked, frames = either_way, mirror(frames)
        return Drawn(frames, [turn for _, turn in asked])


def read_image(path: Path) -> torch.Tensor:
    """An image (3, H, W) uint8 RGB, turned as its camera was held. Raises DataError."""
    try:
        with Image.open(path) as image:
            pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({first_line(error)}); fetch it again") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)

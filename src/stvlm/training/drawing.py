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
from stvlm.training.augment import Drawn, exchange_colors, mirror, shift
from stvlm.training.grounding import compared_in_the_image, frames_with_a_box, moves_farther, where
from stvlm.training.plan import Stage
from stvlm.training.samples import Asked, Conversation, Medium, Sample

LEAST_WINDOW = 5
"""Frames, as in the shortest clips."""
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
    """Draws samples. Clips of STKit alone are changed: without known objects, nobody can tell what would still hold."""

    reader: FrameReader
    augment: bool = False
    comparisons: int = 0
    """How often a clip is asked about ways through the image; 0 without grounding."""
    template_ids: frozenset[str] = frozenset()
    """The dataset's wordings, to which those questions keep."""

    def __call__(self, samples: Sequence[Sample], stage: Stage, rng: random.Random) -> list[Shown]:
        """What is shown of samples, of each at most once. Raises DataError for media that cannot be read."""
        drawn: list[tuple[Sample, Drawn | None]]
        if stage == "frames":
            drawn = [(sample, self._draw_frame(sample, rng)) for sample in samples]
        elif stage == "questions":
            drawn = [(sample, self._draw_clip(sample, rng) if sample.objects else None) for sample in samples]
        else:
            drawn = list(self._draw_windows(samples, stage == "plain", rng))
        if self.augment:
            drawn = [(sample, exchange_colors(of_clip, rng) if of_clip else None) for sample, of_clip in drawn]
        return [_shown(sample, of_clip) if of_clip else self._as_it_is(sample) for sample, of_clip in drawn]

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

    def _draw_frame(self, sample: Sample, rng: random.Random) -> Drawn:
        frame = rng.choice(frames_with_a_box(sample.objects))
        return Drawn(self._frames(sample)[frame : frame + 1], where(sample.objects, frame, _size_px(sample)))

    def _draw_windows(self, samples: Sequence[Sample], plain: bool, rng: random.Random) -> list[tuple[Sample, Drawn]]:
        """Windows of one length, forwards or backwards, of those clips in which they have a clear winner."""
        most = len(samples[0].times_s)
        drawn: list[tuple[Sample, Drawn]] = []
        for length in (rng.randint(min(LEAST_WINDOW, most), most), most):
            for sample in samples:
                start = rng.randint(0, most - length)
                shown = slice(start, start + length)
                objects = [{**o, "boxes_px": o["boxes_px"][shown]} for o in sample.objects]
                if plain:
                    asked = moves_farther(objects, self.comparisons, rng)
                else:
                    asked = compared_in_the_image(objects, self.comparisons, rng, self.template_ids)
                if asked:
                    frames = self._frames(sample)[shown]
                    if self.augment:
                        frames = shift(frames, objects, _size_px(sample), rng)
                        frames = frames if rng.random() < 0.5 else mirror(frames)
                    drawn.append((sample, Drawn(frames if rng.random() < 0.5 else frames.flip(0), asked)))
            if drawn:  # always so with whole clips: the plan holds no others here
                break
        return drawn

    def _draw_clip(self, sample: Sample, rng: random.Random) -> Drawn:
        frames = self._frames(sample)
        asked = [(task, turn) for task, [turn] in zip(sample.tasks, sample.conversations, strict=True)]
        either_way = [(task, turn) for task, turn in asked if task not in LEFT_AND_RIGHT]
        if self.augment and either_way and rng.random() < 0.5:
            asked, frames = either_way, mirror(frames)
        compared = compared_in_the_image(sample.objects, self.comparisons, rng, self.template_ids)
        own = [turn for _, turn in asked]
        return Drawn(frames, own + [Asked(sample.preamble + question, answer) for question, answer in compared])


def _shown(sample: Sample, drawn: Drawn) -> Shown:
    return Shown("video", drawn.frames, sample.times_s[: len(drawn.frames)], [[turn] for turn in drawn.asked])


def read_image(path: Path) -> torch.Tensor:
    """An image (3, H, W) uint8 RGB, turned as its camera was held. Raises DataError."""
    try:
        with Image.open(path) as image:
            pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({first_line(error)}); fetch it again") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _size_px(sample: Sample) -> tuple[int, int]:
    width, height = sample.size_px
    return width, height

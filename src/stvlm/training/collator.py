"""Groups of samples -> the batch that the model is trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset

from stvlm.evaluation.frames import FrameReader
from stvlm.records import DataError
from stvlm.training.drawing import Drawing, Shown
from stvlm.training.families import family_of
from stvlm.training.packing import IGNORED, Packed, as_batch, sequence, unasked
from stvlm.training.plan import Group
from stvlm.training.samples import Sample

BLANK = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
"""Black frames."""


class Collator:
    """Makes a group's batch: pixels, tokens, and labels on the answers' tokens alone.

    TRL's own collator knows images only, and leaves a video's frames out without a word. What this one makes depends on
    the group alone, not on the process that makes it.

    Args:
        processor: of the model.
        model_type: of the model's config.
        reader: of its frames.
        samples: the table that groups count in.
        augment: whether clips of STKit are changed.
        padding_free: whether a group's sequences stand in one row.
        always_visual: whether texts alone are given a blank video that nothing is asked about. Processes that share a
            model's weights among them gather those of its vision tower together, and wait for one that has no use for
            it until the run is ended.
    """

    def __init__(
        self,
        processor: Any,
        model_type: str,
        reader: FrameReader,
        samples: Dataset,
        *,
        augment: bool = False,
        padding_free: bool = False,
        always_visual: bool = False,
    ) -> None:
        self._processor, self._model_type = processor, model_type
        self._padding_free, self._always_visual = padding_free, always_visual
        if padding_free and (axes := family_of(model_type).AXES) > 1:
            raise DataError(
                f"padding_free: positions of {model_type} have {axes} axes, and do not tell where in a row a sequence "
                "ends; set it to false"
            )
        self._samples, self._drawing = samples, Drawing(reader, augment)

    def __call__(self, groups: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of one `Group`, given as a dict: what `as_batch` makes, and what the family gives beside it."""
        group = Group(**groups[0])
        rng = random.Random(group.seed)
        shown = [self._drawing(Sample.of_row(self._samples[index]), rng) for index in group.samples]
        sequences = [self._sequence(one) for one in shown]
        videos, images = ([one.pixels for one in shown if one.medium == medium] for medium in ("video", "image"))
        family = family_of(self._model_type)
        if self._always_visual and not videos and not images:
            videos = [family.resized(self._processor.video_processor, BLANK)]
            sequences.append(unasked(family.medium_tokens(self._processor, "video", _shape(videos[0]), (0.0, 0.0))))
        batch = as_batch(sequences, self._processor.tokenizer.pad_token_id, self._padding_free)
        if not group.counts:
            batch["labels"] = torch.full_like(batch["labels"], IGNORED)
        return batch | family.as_tensors(self._processor, videos, images)

    def _sequence(self, shown: Shown) -> Packed:
        family, tokens = family_of(self._model_type), None
        if shown.pixels is not None:
            tokens = family.medium_tokens(self._processor, shown.medium, _shape(shown.pixels), shown.times_s)
        return sequence(self._processor, family.AXES, shown.conversations, shown.medium, tokens)


def _shape(pixels: torch.Tensor) -> tuple[int, ...]:
    """Frames, if any, height and width."""
    *frames, _, height, width = pixels.shape
    return *frames, height, width

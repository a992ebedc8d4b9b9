"""How long samples are for a model, before any of their pixels is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from datasets import Dataset
from PIL import Image

from stvlm.programs import first_line
from stvlm.records import Array, DataError
from stvlm.training.families import family_of
from stvlm.training.packing import sequence
from stvlm.training.samples import Sample

MEASURED = ["id", "source", "medium", "path", "times_s", "frame_indices", "conversations", "size_px"]


class Lengths(NamedTuple):
    """Of n samples, (n,) each."""

    media: Array
    """Video, image or nothing, as in `Sample`."""
    frames: Array
    """0 of what is no video."""
    tokens: Array
    """Visual ones among them."""
    visual: Array
    """How many those are."""
    positions: Array
    """How many the model counts: fewer than tokens where conversations go on from the same medium."""


def measure(samples: Dataset, processor: Any, model_type: str, max_length: int | None = None) -> Lengths:
    """Lengths of a table's samples.

    Raises DataError for a medium whose tokens alone are more than `max_length`: cut off, they would be no medium.
    """
    family = family_of(model_type)
    media, frames, tokens, visuals, positions = [], [], [], [], []
    for row in samples.select_columns(MEASURED):
        sample, visual = Sample.of_row(row), None
        if sample.medium:
            shape = [len(sample.times_s)] if sample.medium == "video" else []
            width, height = sample.size_px or _size_px(sample)
            visual = family.medium_tokens(processor, sample.medium, (*shape, height, width), sample.times_s)
            if max_length is not None and len(visual.ids) > max_length:
                raise DataError(
                    f"sample {sample.id} of {sample.source}: its {sample.medium} has {len(visual.ids)} tokens, and "
                    f"max_length is {max_length}; raise it, or show fewer or smaller frames"
                )
        try:
            packed = sequence(processor, family.AXES, sample.conversations, sample.medium, visual)
        except DataError as error:
            raise DataError(f"sample {sample.id} of {sample.source}: {error}") from error
        media.append(sample.medium)
        frames.append(len(sample.times_s))
        tokens.append(len(packed.ids))
        visuals.append(0 if visual is None else len(visual.ids))
        positions.append(int(packed.positions.max()) + 1)
    counts = (np.array(of_samples, dtype=np.int32) for of_samples in (frames, tokens, visuals, positions))
    return Lengths(np.array(media, dtype=str), *counts)


def too_long(lengths: Lengths, max_length: int | None) -> Array:
    """Which samples (n,) are to be left out, their text making them longer than `max_length`."""
    return np.zeros(len(lengths.tokens), dtype=bool) if max_length is None else lengths.tokens > max_length


def _size_px(sample: Sample) -> Sequence[int]:
    """Width and height, as the file's header tells them."""
    try:
        if sample.medium == "image":
            with Image.open(sample.path) as image:
                turned = image.getexif().get(0x0112, 1) >= 5  # by a quarter
                return image.size[::-1] if turned else image.size
        with av.open(sample.path) as container:
            stream = container.streams.video[0]
            return stream.width, stream.height
    except (OSError, IndexError, av.FFmpegError) as error:
        raise DataError(f"{Path(sample.path)}: cannot be opened ({first_line(error)}); fetch it again") from error

"""Qwen3-VL: two frames merge into one, and before each such pair stands when it is to be seen.

    <0.2 seconds><|vision_start|><|video_pad|>...<|vision_end|><1.2 seconds><|vision_start|><|video_pad|>...

Positions have three axes. Text moves on all of them; a pair's tokens stay at one time and spread over height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from stvlm.records import Array
from stvlm.training.packing import MediumTokens
from stvlm.training.samples import Medium

CHAT_TEMPLATE = "chat_template_qwen3_vl.jinja"
AXES = 3
EQUAL_FRAMES = False


def medium_tokens(processor: Any, medium: Medium, shape: Sequence[int], times_s: Sequence[float]) -> MediumTokens:
    """Visual tokens, and of a video the time of each pair of frames: the mean of its two."""
    rows, columns = _grid(processor, medium, tuple(shape))
    if medium == "image":
        seen = np.full(rows * columns, processor.image_token_id)
        return MediumTokens(seen, _in_the_image(rows, columns), max(rows, columns))
    pair = processor.video_processor.temporal_patch_size
    times = np.array([*times_s, *[times_s[-1]] * (-len(times_s) % pair)]).reshape(-1, pair)
    seen = np.full(rows * columns, processor.video_token_id)
    ids: list[Array] = []
    positions: list[Array] = []
    at = 0
    for first, last in zip(times[:, 0], times[:, -1], strict=True):
        told = processor.tokenizer(f"<{(first + last) / 2:.1f} seconds>", add_special_tokens=False)["input_ids"]
        before = np.array([*told, processor.vision_start_token_id])
        ids += [before, seen, np.array([processor.vision_end_token_id])]
        after = at + len(before) + max(rows, columns)
        positions += [_text(at, len(before)), at + len(before) + _in_the_image(rows, columns), _text(after, 1)]
        at = after + 1
    return MediumTokens(np.concatenate(ids), np.concatenate(positions, axis=1), at)


def resized(video_processor: Any, frames: torch.Tensor) -> torch.Tensor:
    """In sides that whole tokens fill; how many pixels depends on how many frames share them."""
    given = video_processor
    return given.resize(
        frames[None],
        size=given.size,
        resample=given.resample,
        factor=given.patch_size * given.merge_size,
        temporal_factor=given.temporal_patch_size,
        cap_pixels_per_frame=given.cap_pixels_per_frame,
    )[0]


def as_tensors(
    processor: Any, videos: Sequence[torch.Tensor], images: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Patches of all videos, and of all images, in one row each, and their grids: (patches, values) and (B, 3)."""
    given: dict[str, torch.Tensor] = {}
    if videos:
        given |= processor.video_processor(
            videos=list(videos),
            do_resize=False,
            do_sample_frames=False,
            cap_pixels_per_frame=False,  # said, or the processor warns that it was not; nothing is resized here
            return_tensors="pt",
        )
    if images:
        given |= processor.image_processor(images=list(images), return_tensors="pt")
    return given


@lru_cache(maxsize=2**12)
def _grid(processor: Any, medium: Medium, shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of visual tokens."""
    if medium == "video":
        side = processor.video_processor.patch_size * processor.video_processor.merge_size
        count, height, width = shape
        nothing = torch.empty((count, 3, height, width), dtype=torch.uint8, device="meta")
        height, width = resized(processor.video_processor, nothing).shape[-2:]
    else:
        given = processor.image_processor
        side = given.patch_size * given.merge_size
        nothing = torch.empty((1, 3, *shape), dtype=torch.uint8, device="meta")
        height, width = given.resize(nothing, size=given.size, resample=given.resample, factor=side).shape[-2:]
    return height // side, width // side


def _text(start: int, count: int) -> Array:
    return np.tile(np.arange(start, start + count), (AXES, 1))


def _in_the_image(rows: int, columns: int) -> Array:
    """(3, rows * columns): time 0, row and column of each token."""
    return np.stack([np.zeros((rows, columns), dtype=int), *np.indices((rows, columns))]).reshape(AXES, -1)

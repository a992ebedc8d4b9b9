"""LLaVA-OneVision: a square of pooled tokens a frame, and a newline token after the last.

An image is cut into up to nine squares (anyres) and unpooled, so that it has more tokens than a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stvlm.evaluation.frames import as_pixel_values, resized
from stvlm.training.packing import MediumTokens
from stvlm.training.samples import Medium

__all__ = ["AXES", "CHAT_TEMPLATE", "EQUAL_FRAMES", "as_tensors", "medium_tokens", "resized"]

CHAT_TEMPLATE = "chat_template.jinja"
AXES = 1
EQUAL_FRAMES = True


def medium_tokens(processor: Any, medium: Medium, shape: Sequence[int], times_s: Sequence[float]) -> MediumTokens:
    """As many placeholders as there are visual tokens. Frame times are told in the prompt alone."""
    # The processor's own count, without pixels: what vLLM relies on as well.
    if medium == "video":
        token = processor.video_token_id
        (count,) = processor._get_num_multimodal_tokens(video_sizes=[shape])["num_video_tokens"]
    else:
        token = processor.image_token_id
        (count,) = processor._get_num_multimodal_tokens(image_sizes=[shape])["num_image_tokens"]
    return MediumTokens(np.full(count, token), np.arange(count)[None], count)


def as_tensors(
    processor: Any, videos: Sequence[torch.Tensor], images: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """pixel_values_videos (B, n, 3, h, w); of I images pixel_values (I, squares, 3, h, w) and image_sizes (I, 2)."""
    given: dict[str, torch.Tensor] = {}
    if videos:
        given["pixel_values_videos"] = as_pixel_values(processor.video_processor, list(videos))
    if images:
        given |= processor.image_processor(images=list(images), return_tensors="pt")
    return given

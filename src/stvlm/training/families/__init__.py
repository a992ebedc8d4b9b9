"""Where models differ in how they take a video or an image: one module a family, with the same names in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from stvlm.records import DataError
from stvlm.training.families import llava_onevision, qwen3_vl
from stvlm.training.packing import MediumTokens
from stvlm.training.samples import Medium


class Family(Protocol):
    """What the collator and the plan need to know of a kind of model."""

    CHAT_TEMPLATE: str
    """The file in training/ that writes its conversations."""
    AXES: int
    """Of the rotary positions: 1; or 3 (time, height, width), so that a visual token has a place in the image."""
    EQUAL_FRAMES: bool
    """Whether videos that pass through a device together need equally many frames."""

    def medium_tokens(
        self, processor: Any, medium: Medium, shape: Sequence[int], times_s: Sequence[float]
    ) -> MediumTokens:
        """What stands for a video of shape (n, h, w), resized or not, or for an image of shape (h, w)."""

    def resized(self, video_processor: Any, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, 3, H, W) uint8 in the size that the model sees, (n, 3, h, w) uint8."""

    def as_tensors(
        self, processor: Any, videos: Sequence[torch.Tensor], images: Sequence[torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """What the model is given of resized videos, and of images (3, H, W) uint8 as they are, beside the tokens."""


FAMILIES: dict[str, Family] = {"llava_onevision": llava_onevision, "qwen3_vl": qwen3_vl}
"""By the `model_type` of a model's config."""


def family_of(model_type: str) -> Family:
    """Raises DataError for a kind of model that cannot be trained."""
    if model_type not in FAMILIES:
        raise DataError(f"models of type {model_type!r} cannot be trained; take one of {', '.join(FAMILIES)}")
    return FAMILIES[model_type]

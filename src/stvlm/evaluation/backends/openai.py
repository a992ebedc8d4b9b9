"""A model behind an endpoint that speaks the OpenAI protocol: frames are sent as images, each behind its time."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from stvlm.chat_api import Endpoint, complete
from stvlm.evaluation.answering import Answered
from stvlm.evaluation.frames import Shown
from stvlm.evaluation.prompts import Asked

JPEG_QUALITY = 95


class EndpointModel:
    """A model that is asked over HTTP."""

    def __init__(self, endpoint: Endpoint, depth_dir: Path | None = None) -> None:
        self._endpoint, self._shown = endpoint, Shown(depth_dir)

    def answer(self, batches: Iterable[Sequence[Asked]]) -> Iterator[Answered]:
        """Answers as they come. Raises DataError where the endpoint gives none."""
        asked = list(chain.from_iterable(batches))
        for index, reply in complete(self._endpoint, (as_conversation(item, self._shown) for item in asked)):
            text = None if reply.text is None else reply.text.strip()
            yield Answered(asked[index], text, reply.failure)


def as_conversation(item: Asked, shown: Shown) -> list[dict[str, Any]]:
    """A question as the protocol has it."""
    content: list[dict[str, Any]] = []
    for frames, what in zip(shown(item.row, item.control), ("Frame", "Depth map"), strict=False):
        for time_s, frame in zip(item.row["frame_times_s"], frames, strict=True):
            content.append({"type": "text", "text": f"{what} at {time_s:.2f} seconds:"})
            content.append({"type": "image_url", "image_url": {"url": as_data_url(frame)}})
    return [{"role": "user", "content": [*content, {"type": "text", "text": item.prompt}]}]


def as_data_url(frame: torch.Tensor) -> str:
    """An image (3, H, W) uint8 RGB as JPEG; its colours, which name the boxes, at full resolution."""
    buffer = io.BytesIO()
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"

"""A model in vLLM on this machine's GPUs.

Not run by the project's tests, which have neither vLLM nor a GPU: `as_request` alone is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from transformers import AutoProcessor

from stvlm.evaluation.answering import Answered
from stvlm.evaluation.chat import as_messages
from stvlm.evaluation.frames import Shown, as_metadata
from stvlm.evaluation.prompts import Asked
from stvlm.programs import first_line
from stvlm.records import DataError

AT_ONCE = 256
"""Questions that are handed over together; vLLM makes its own batches of them, and answers come when all are there."""


class VLLMModel:
    """A model of vLLM's; questions of one clip follow each other, so that its prefix cache holds their video."""

    def __init__(self, model: str, max_new_tokens: int, depth_dir: Path | None = None) -> None:
        try:
            from vllm import LLM, SamplingParams
        except ImportError as error:
            raise DataError(f"--backend vllm needs vLLM ({error}): pip install vllm, where there is a GPU") from error
        videos = 1 if depth_dir is None else 2
        try:
            self._processor = AutoProcessor.from_pretrained(model)
            self._llm = LLM(model=model, limit_mm_per_prompt={"video": videos}, enable_prefix_caching=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{model}: vLLM cannot open it ({first_line(error)})") from error
        self._shown = Shown(depth_dir)
        self._sampling = SamplingParams(temperature=0, max_tokens=max_new_tokens)

    def answer(self, batches: Iterable[Sequence[Asked]]) -> Iterator[Answered]:
        """Greedy answers."""
        asked = list(chain.from_iterable(batches))
        for start in range(0, len(asked), AT_ONCE):
            part = asked[start : start + AT_ONCE]
            requests = [as_request(item, self._processor, self._shown) for item in part]
            outputs = self._llm.generate(requests, self._sampling, use_tqdm=False)
            for item, output in zip(part, outputs, strict=True):
                yield Answered(item, output.outputs[0].text.strip())


def as_request(item: Asked, processor: Any, shown: Shown) -> dict[str, Any]:
    """A question as vLLM takes it: a text with a placeholder for each video, and the videos with their metadata."""
    videos = [video.permute(0, 2, 3, 1).contiguous().numpy() for video in shown(item.row, item.control)]
    messages = as_messages(item.prompt, videos=len(videos))
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    if hasattr(processor, "vision_start_token"):
        # Of Qwen3-VL, vLLM replaces a placeholder with the marks around it by frames with marks of their own, and finds
        # none without. A model that is trained here is shown no marks around a video, and so sees what it learned from.
        marked = f"{processor.vision_start_token}{processor.video_token}{processor.vision_end_token}"
        prompt = prompt.replace(marked, processor.video_token).replace(processor.video_token, marked)
    request: dict[str, Any] = {"prompt": prompt}
    if videos:
        metadata = {**as_metadata(item.row["frame_times_s"]), "video_backend": "torchcodec", "do_sample_frames": False}
        request["multi_modal_data"] = {"video": [(video, metadata) for video in videos]}
        request["mm_processor_kwargs"] = {"do_sample_frames": False}
    return request

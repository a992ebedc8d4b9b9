"""A model in lmms-eval that sees what `evaluate_model.py` shows it: `--model st_vlm --model_args pretrained=MODEL`.

lmms-eval's own LLaVA-OneVision classes sample 32 frames of every video, which are not those that STKit's prompts name.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from tqdm import tqdm

from stvlm.evaluation.backends.transformers import TransformersModel
from stvlm.evaluation.frames import sample
from stvlm.records import DataError

MANIFEST = ModelManifest(model_id="st_vlm", simple_class_path="stvlm.evaluation.lmms_model.STVLM")
"""What the entry point in the group lmms_eval.models names."""


class _Asked(NamedTuple):
    """A request: its place among all, the video, what to say, and where to stop."""

    place: int
    video: str
    max_new_tokens: int
    prompt: str
    until: tuple[str, ...]


class STVLM(lmms):  # type: ignore[misc]  # lmms_eval has no types
    """LLaVA-OneVision and its fine-tunings through the Auto classes, greedy, on one device, asked about videos.

    Args:
        pretrained: a model's folder or Hub id.
        max_frames: of a video with more frames, as many are shown, spread evenly. No clip of STKit has more than 40.
        batch_size: questions about one video at once.
        device, max_batch_size: given by lmms-eval; the model goes to a GPU where there is one.
    """

    def __init__(
        self,
        pretrained: str,
        max_frames: int = 40,
        batch_size: int | str = 1,
        device: str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self._answerer = TransformersModel(pretrained, max_new_tokens=1024)
        self._max_frames = int(max_frames)
        self._batch_size = int(batch_size)

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answers in the order of the requests. Raises DataError for a request that is not about one video."""
        asked = [self._asked(index, request) for index, request in enumerate(requests)]
        answers = [""] * len(asked)
        with tqdm(total=len(asked), unit="answer", desc="answering") as bar:
            for (video, max_new_tokens), same in groupby(asked, key=lambda item: (item.video, item.max_new_tokens)):
                frames, times_s = sample(Path(video), self._max_frames)
                waiting = list(same)
                while waiting:
                    batch, waiting = waiting[: self._batch_size], waiting[self._batch_size :]
                    prompts = [item.prompt for item in batch]
                    n = len(batch)
                    texts = self._answerer.generate([[frames]] * n, [times_s] * n, prompts, max_new_tokens)
                    for item, text in zip(batch, texts, strict=True):
                        answers[item.place] = _before(text, item.until)
                    bar.update(len(batch))
        return answers

    def _asked(self, index: int, request: Instance) -> _Asked:
        prompt, settings, doc_to_visual, doc_id, task, split = request.args
        visuals: Any = doc_to_visual(self.task_dict[task][split][doc_id])
        if not isinstance(visuals, list) or len(visuals) != 1 or not isinstance(visuals[0], str):
            raise DataError(f"{task}: document {doc_id} is not about one video file; st_vlm answers about videos")
        if settings.get("do_sample") or settings.get("temperature") or settings.get("num_beams", 1) > 1:
            raise DataError(f"{task}: asks for samples or beams; st_vlm answers greedily: --gen_kwargs temperature=0")
        until = settings.get("until") or ()
        stops = (until,) if isinstance(until, str) else tuple(until)
        return _Asked(index, visuals[0], settings.get("max_new_tokens", 1024), prompt, stops)

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Raises DataError."""
        raise DataError("st_vlm generates answers; choose the task's generative form")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Raises DataError."""
        raise DataError("st_vlm answers one question at a time; choose a task of one round")


def _before(text: str, stops: tuple[str, ...]) -> str:
    for stop in stops:
        text = text.partition(stop)[0] if stop else text
    return text

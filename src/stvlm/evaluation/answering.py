"""A model's answers to rows, in batches of clips with equally many frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging

from stvlm.evaluation.chat import as_messages
from stvlm.evaluation.dataset import frame_count, may_be_on_the_hub
from stvlm.evaluation.frames import CONTROLS, decode
from stvlm.evaluation.responses import MODEL
from stvlm.kinematics import STEP_S
from stvlm.records import DataError

Row = Mapping[str, Any]


class Asked(NamedTuple):
    """A row to be answered, of the clip as it is or of a control."""

    row: Row
    control: str


class Answerer:
    """A model and its processor, loaded by the Auto classes: on a GPU in bfloat16 where there is one."""

    def __init__(self, model: str, max_new_tokens: int) -> None:
        if not Path(model).is_dir() and not may_be_on_the_hub(model):
            raise DataError(f"{model}: no such model folder; train one with training/sft.py, or give a Hub id")
        logging.disable_progress_bar()
        on_gpu = torch.cuda.is_available()
        try:
            self._processor = AutoProcessor.from_pretrained(model)
            self._model = AutoModelForImageTextToText.from_pretrained(model, dtype="bfloat16" if on_gpu else "float32")
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{model}: cannot be loaded as a model ({str(error).splitlines()[0]})") from error
        self._model.eval().to("cuda" if on_gpu else "cpu")
        self._processor.tokenizer.padding_side = "left"
        self._max_new_tokens = max_new_tokens
        self._clips: dict[str, torch.Tensor] = {}

    def answer(self, asked: Sequence[Asked]) -> list[str]:
        """Greedy answers. The clips must have equally many frames; each is decoded once, as are those of the last call.

        Raises torch.OutOfMemoryError.
        """
        paths = {item.row["video_path"] for item in asked}
        self._clips = {path: self._clips[path] if path in self._clips else decode(Path(path)) for path in paths}
        clips = []
        for row, control in asked:
            frames = self._clips[row["video_path"]]
            clips.append(frames if control == MODEL else CONTROLS[control](frames))
        return self.generate(clips, [row["prompt"] for row, _ in asked], self._max_new_tokens)

    def generate(self, clips: Sequence[torch.Tensor], prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy answers to one prompt each about clips (n, 3, H, W) uint8 RGB, all of n frames.

        Raises torch.OutOfMemoryError.
        """
        chats = [self._processor.apply_chat_template(as_messages(text), add_generation_prompt=True) for text in prompts]
        metadata = [
            {"fps": 1 / STEP_S, "total_num_frames": len(frames), "frames_indices": list(range(len(frames)))}
            for frames in clips
        ]
        inputs = self._processor(
            text=chats,
            videos=list(clips),
            video_metadata=metadata,
            do_sample_frames=False,
            padding=True,
            return_tensors="pt",
        ).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs, max_new_tokens=max_new_tokens, do_sample=False, temperature=None, top_p=None, top_k=None
            )
        texts: list[str] = self._processor.batch_decode(
            tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return [text.strip() for text in texts]


def answer_all(answerer: Answerer, asked: Sequence[Asked], batch_size: int) -> Iterator[list[tuple[Asked, str]]]:
    """Answers batch by batch. Where memory runs out the batch is halved, for this one and all that follow."""

    def of_clip(item: Asked) -> tuple[int, str]:
        return frame_count(item.row), item.row["clip_id"]

    for _, same in groupby(sorted(asked, key=of_clip), key=lambda item: frame_count(item.row)):
        waiting = list(same)
        while waiting:
            try:
                texts = answerer.answer(waiting[:batch_size])
            except torch.OutOfMemoryError as error:
                if batch_size == 1:
                    raise DataError(
                        "one question does not fit into memory; use a smaller model or a larger device"
                    ) from error
                batch_size = (batch_size + 1) // 2
                torch.cuda.empty_cache()
                continue
            yield list(zip(waiting, texts, strict=False))
            waiting = waiting[batch_size:]


def fingerprint(model: str) -> str:
    """A hash of a model folder's files but the record of its training, or the id of one on the Hub as it is."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "training.json":
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()

"""A model of the Transformers library on this machine.

The questions of one clip share all that they begin with: the video, encoded once, and the words before the question.

    ids of clip 0    pad  <video> The video lasts ...  | pad  How far ...?
                     pad  <video> The video lasts ...  | Which is faster, ...?
    ids of clip 1    <video> <video> The video ...     | pad  pad  When ...?
                     read once a clip                  | read for each question, behind a copy of the clip's cache
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from threading import Event, Thread
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, TextIteratorStreamer
from transformers.utils import logging

from stvlm.evaluation.answering import Answered, adapter_base
from stvlm.evaluation.chat import as_messages
from stvlm.evaluation.frames import Shown, as_metadata
from stvlm.evaluation.prompts import Asked
from stvlm.evaluation.responses import TEXT_ONLY
from stvlm.programs import first_line
from stvlm.records import DataError

SHARING = ("llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl")
"""Model types whose answers were found to be the same with and without shared beginnings; others read all of each."""


def precision() -> str:
    """In what numbers models compute here, and on what."""
    return "bfloat16 on cuda" if torch.cuda.is_available() else "float32 on cpu"


def load_processor(model: str) -> Any:
    """A model's processor; a LoRA adapter may leave it to its base."""
    try:
        return AutoProcessor.from_pretrained(model)
    except (OSError, ValueError):
        if (base := adapter_base(model)) is None:
            raise
        return AutoProcessor.from_pretrained(base)


class TransformersModel:
    """A model and its processor, loaded by the Auto classes: on a GPU in bfloat16 where there is one.

    A folder with a LoRA adapter is loaded onto its base model, where peft is installed.
    """

    def __init__(self, model: str, max_new_tokens: int, depth_dir: Path | None = None) -> None:
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        dtype, device = precision().split(" on ")
        try:
            processor = load_processor(model)
            loaded = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype)
        except (OSError, ValueError, KeyError, ImportError) as error:
            why = f"cannot be loaded as a model ({first_line(error)})"
            if "Repo id must be" in str(error):  # what is no folder is taken for an id, which it cannot be
                why = "is no folder, nor the id of a model on the Hub"
            elif "Unrecognized configuration class" in str(error):
                why = "is no vision-language model; choose one that takes video"
            raise DataError(f"{model}: {why}") from error
        if getattr(processor, "video_processor", None) is None:
            raise DataError(f"{model}: takes no video; choose a video model, or serve it for --backend openai")
        if processor.chat_template is None:
            raise DataError(f"{model}: has no chat template; put its chat_template.jinja there")
        self._take(loaded.eval().to(device), processor, max_new_tokens, depth_dir)

    @classmethod
    def of(cls, model: Any, processor: Any, max_new_tokens: int, *, in_step: bool = False) -> TransformersModel:
        """One that is loaded already, as a model in training: it answers where it is, in its own precision.

        `in_step` is for one whose weights several processes share, each of which calls it as often: it halves no batch.
        """
        taken = cls.__new__(cls)
        taken._take(model, copy.deepcopy(processor), max_new_tokens, None)
        taken._in_step = in_step
        return taken

    def _take(self, model: Any, processor: Any, max_new_tokens: int, depth_dir: Path | None) -> None:
        self._model, self._processor = model, processor
        self._processor.tokenizer.padding_side = "left"
        # Some publishers set a penalty on what was said before, as Qwen2.5-VL's do: here, on the prompt's digits.
        self._settings = {
            "do_sample": False, "temperature": None, "top_p": None, "top_k": None, "repetition_penalty": 1.0,
            "no_repeat_ngram_size": 0, "num_beams": 1,
        }  # fmt: skip
        self._max_new_tokens = max_new_tokens
        self._shown = Shown(depth_dir)
        self._most: int | None = None  # that fit into memory, once more did not
        self._in_step = False
        self.shares = self._model.config.model_type in SHARING

    @property
    def frame_size_px(self) -> tuple[int, int] | None:
        """Width and height to which all frames are brought, of any shape; None where that depends on the video."""
        size = self._processor.video_processor.size
        return (size["width"], size["height"]) if size.get("width") and size.get("height") else None

    def answer(self, batches: Iterable[Sequence[Asked]]) -> Iterator[Answered]:
        """Greedy answers. Where memory runs out the batch is halved, for this one and all that follow.

        Raises DataError where it cannot be.
        """
        for batch in batches:
            waiting = list(batch)
            while waiting:
                part = waiting[: self._most]
                try:
                    texts = self._answer(part)
                except torch.OutOfMemoryError as error:
                    if self._in_step:
                        raise DataError(
                            f"{len(part)} questions at once do not fit into memory; lower benchmark.batch_size"
                        ) from error
                    if len(part) == 1:
                        raise DataError(
                            "one question does not fit into memory; use a smaller model or a larger device"
                        ) from error
                    self._most = (len(part) + 1) // 2
                    texts = []
                if not texts:  # not in the except block, where the error still holds what was being computed
                    torch.cuda.empty_cache()
                    continue
                yield from (Answered(item, text) for item, text in zip(part, texts, strict=True))
                waiting = waiting[len(part) :]

    def generate(
        self,
        videos: Sequence[Sequence[torch.Tensor]],
        times_s: Sequence[Sequence[float]],
        prompts: Sequence[str],
        max_new_tokens: int | None = None,
    ) -> list[str]:
        """Greedy answers to prompts, each behind videos (n, 3, H, W) uint8 RGB of n frames at these seconds.

        `max_new_tokens` is the model's own where it is None. Raises torch.OutOfMemoryError.
        """
        inputs = self._process(videos, times_s, prompts).to(self._model.device, self._model.dtype)
        most = max_new_tokens or self._max_new_tokens
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=most, **self._settings)
        return self._as_answers(tokens[:, inputs["input_ids"].shape[1] :])

    def stream(self, video: torch.Tensor, times_s: Sequence[float], prompt: str) -> Generator[str, None, None]:
        """The greedy answer to a prompt behind a video (n, 3, H, W) uint8 RGB, each time all that there is of it.

        Whoever closes the iterator stops the model. Raises DataError where memory does not suffice.
        """
        inputs = self._process([[video]], [times_s], [prompt]).to(self._model.device, self._model.dtype)
        grown = TextIteratorStreamer(self._processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
        stopped, failures = Event(), []

        def generate() -> None:
            try:
                with torch.inference_mode():
                    self._model.generate(
                        **inputs, max_new_tokens=self._max_new_tokens, streamer=grown, **self._settings,
                        stopping_criteria=[lambda ids, scores: torch.full(ids.shape[:1], stopped.is_set())],
                    )  # fmt: skip
            except Exception as error:
                failures.append(error)
                grown.end()

        thread = Thread(target=generate, daemon=True)
        thread.start()
        try:
            text = ""
            for piece in grown:
                text += piece
                yield text.strip()
        finally:
            stopped.set()
            thread.join()
        if failures and isinstance(failures[0], torch.OutOfMemoryError):
            raise DataError("the question does not fit into memory; use a smaller model or a larger device")
        if failures:
            raise failures[0]

    def _answer(self, asked: Sequence[Asked]) -> list[str]:
        """Answers to questions on clips of equally many frames, which may share clips."""
        if self.shares and asked[0].control != TEXT_ONLY:
            return self._answer_behind_clips(asked)
        return self.generate(*self._what_is_given(asked))

    def _what_is_given(
        self, asked: Sequence[Asked]
    ) -> tuple[list[list[torch.Tensor]], list[Sequence[float]], list[str]]:
        """The videos, their times and the prompt of each question."""
        videos = [self._shown(item.row, item.control) for item in asked]
        return videos, [item.row["frame_times_s"] for item in asked], [item.prompt for item in asked]

    def _answer_behind_clips(self, asked: Sequence[Asked]) -> list[str]:
        """Answers to questions, with what those of a clip begin with read once."""
        clips = list(dict.fromkeys((item.row["clip_id"], item.control) for item in asked))
        clip_of = [clips.index((item.row["clip_id"], item.control)) for item in asked]
        firsts = [asked[clip_of.index(clip)] for clip in range(len(clips))]
        inputs = self._process(*self._what_is_given(firsts), return_text_replacement_offsets=True)
        videos = [[part["replacement"] for part in of_clip] for of_clip in inputs.pop("text_replacement_offsets")]
        texts, _ = self._processor.get_text_with_replacements(
            [self._as_text(item.prompt, len(videos[clip])) for item, clip in zip(asked, clip_of, strict=True)],
            videos_replacements=[text for clip in clip_of for text in videos[clip]],
        )
        ids = self._processor.tokenizer(texts)["input_ids"]
        shared = [_shared([ids[k] for k, of in enumerate(clip_of) if of == clip]) for clip in range(len(clips))]
        beginnings, seen = self._padded([ids[clip_of.index(clip)][:n] for clip, n in enumerate(shared)])
        questions, own = self._padded([ids[k][shared[clip] :] for k, clip in enumerate(clip_of)])
        clip_of_row = torch.tensor(clip_of, device=self._model.device)
        whole = torch.cat([beginnings[clip_of_row], questions], dim=1)
        with torch.inference_mode():
            cache = self._model.generate(
                **inputs.to(self._model.device, self._model.dtype) | self._text_inputs(beginnings, seen),
                max_new_tokens=1,  # is found and not kept; the cache holds what was read
                return_dict_in_generate=True,
                **self._settings,
            ).past_key_values
            cache.batch_select_indices(clip_of_row)
            inner = self._model.model
            if getattr(inner, "rope_deltas", None) is not None:  # by how much positions lag behind indices, a row each
                inner.rope_deltas = inner.rope_deltas[clip_of_row]
            tokens = self._model.generate(
                **self._text_inputs(whole, torch.cat([seen[clip_of_row], own], dim=1)),
                past_key_values=cache,
                max_new_tokens=self._max_new_tokens,
                **self._settings,
            )
        return self._as_answers(tokens[:, whole.shape[1] :])

    def _process(
        self,
        videos: Sequence[Sequence[torch.Tensor]],
        times_s: Sequence[Sequence[float]],
        prompts: Sequence[str],
        **options: Any,
    ) -> Any:
        """Inputs of the model: a row a prompt, all videos behind one another."""
        given: dict[str, Any] = {}
        if flat := [video for of_row in videos for video in of_row]:
            metadata = [as_metadata(times) for times, of_row in zip(times_s, videos, strict=True) for _ in of_row]
            given = {"videos": flat, "video_metadata": metadata, "do_sample_frames": False}
        texts = [self._as_text(prompt, len(of_row)) for prompt, of_row in zip(prompts, videos, strict=True)]
        return self._processor(text=texts, **given, padding=True, return_tensors="pt", **options)

    def _as_text(self, prompt: str, videos: int) -> str:
        return str(self._processor.apply_chat_template(as_messages(prompt, videos=videos), add_generation_prompt=True))

    def _as_answers(self, tokens: torch.Tensor) -> list[str]:
        return [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]

    def _padded(self, ids: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids on the left of which padding makes one length, and the attention mask, both (N, L)."""
        padded = self._processor.tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")
        return padded["input_ids"].to(self._model.device), padded["attention_mask"].to(self._model.device)

    def _text_inputs(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """What a model is given of tokens (N, L)."""
        inputs = {"input_ids": ids, "attention_mask": mask}
        if "mm_token_type_ids" in self._processor.model_input_names:
            types = self._processor.create_mm_token_type_ids(ids.tolist())
            inputs["mm_token_type_ids"] = torch.tensor(types, device=ids.device)
        return inputs


def _shared(ids: Sequence[list[int]]) -> int:
    """With how many tokens all questions of a clip begin; at least one stays of each."""
    same = sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*ids, strict=False)))
    return min(same, min(map(len, ids)) - 1)

"""TRL's GRPOTrainer with the video in it: as it is, it answers, and learns, from the words alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from trl import GRPOTrainer

from stvlm.evaluation.chat import as_messages
from stvlm.evaluation.frames import Shown, as_metadata
from stvlm.evaluation.responses import MODEL
from stvlm.training.checkpoints import Checkpoints

_OF_TOKENS = ("input_ids", "attention_mask", "mm_token_type_ids")


class Encoded(NamedTuple):
    """A question as the processor gives it to the model."""

    ids: list[int]
    video: dict[str, torch.Tensor]
    """pixel_values_videos and what goes with it; those of several questions are joined along the first axis."""


class VideoGRPOTrainer(Checkpoints, GRPOTrainer):  # type: ignore[misc]
    """Shows a question's video when answers are drawn, and wherever their probabilities are computed.

    The dataset's column `row` is an index into `rows`. Pixels are never part of what TRL shuffles, splits and buffers:
    the index is, and stands for them until a model is called. So no answer can meet the video of another, and no
    video is held once for each of its answers.
    """

    def __init__(self, *, rows: Sequence[Mapping[str, Any]], args: Any, **options: Any) -> None:
        self._rows = rows
        self._shown = Shown()
        self._encode = lru_cache(maxsize=args.generation_batch_size // args.num_generations)(self._encode_row)
        self._at_hand: list[int] = []  # rows of the sequences that TRL is busy with, in their order
        super().__init__(args=args, **options)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._at_hand = [given["row"] for given in inputs]
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return scored | {"row": torch.tensor(self._at_hand)}

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self._encode(row).ids for row in self._at_hand], None, {}

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: None, multimodal_fields: Any, num_generations: int, *options: Any
    ) -> tuple[list[list[int]], None]:
        """Answers to all of a step's questions, drawn a question's at a time, or as many as may pass at once.

        TRL draws all at once, and each with a video of its own.
        """
        at_once = max(num_generations, self.args.per_device_train_batch_size)
        drawn: list[list[int]] = []
        for start in range(0, len(prompt_ids), at_once):
            ids = prompt_ids[start : start + at_once]
            fields: dict[str, Any] = self._videos(self._at_hand[start : start + at_once])
            if self._tells_tokens_apart:
                fields["mm_token_type_ids"] = self.processing_class.create_mm_token_type_ids(ids)
            drawn += super()._generate_single_turn(ids, images, fields, num_generations, *options)[0]
        return drawn, None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._at_hand = inputs["row"].tolist()
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Of the policy, the policy as it was, or the reference: `batch_size` sequences at a time."""
        parts = []
        for start in range(0, len(input_ids), batch_size or len(input_ids)):
            some = slice(start, start + (batch_size or len(input_ids)))
            video = self._videos(self._at_hand[some])
            if self._tells_tokens_apart:
                types = self.processing_class.create_mm_token_type_ids(input_ids[some].tolist())
                video["mm_token_type_ids"] = torch.tensor(types, device=input_ids.device)
            shown = partial(model, **video)
            on_cpu = input_ids.device.type == "cpu"
            score = self._score_on_cpu if on_cpu else super()._get_per_token_logps_and_entropies
            parts.append(score(shown, input_ids[some], attention_mask[some], logits_to_keep, **options))
        logps, entropies, aux_losses = zip(*parts, strict=True)
        return (
            torch.cat(logps),
            None if entropies[0] is None else torch.cat(entropies),
            None if aux_losses[0] is None else torch.stack(aux_losses).mean(),
        )

    def _score_on_cpu(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int, **_: Any
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Of the answers' tokens; on a CPU, TRL scores those of the prompts too, which takes half of a small model."""
        with self.accelerator.autocast():
            given = {"input_ids": input_ids, "attention_mask": attention_mask, "logits_to_keep": logits_to_keep + 1}
            logits = model(**given, use_cache=False).logits[:, :-1]
        logps = (logits.float() / self.temperature).log_softmax(-1)
        is_padding = attention_mask[:, -logits_to_keep:] == 0
        own = logps.gather(-1, input_ids[:, -logits_to_keep:, None])[..., 0]
        entropies = -(logps.exp() * logps).sum(-1)
        return own.masked_fill(is_padding, 0.0), entropies.masked_fill(is_padding, 0.0), None

    @property
    def _tells_tokens_apart(self) -> bool:
        """Whether the model wants to know which tokens are text and which are video, as Qwen's do."""
        return "mm_token_type_ids" in self.processing_class.model_input_names

    def _videos(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        encoded = [self._encode(row).video for row in rows]
        joined = {name: torch.cat([video[name] for video in encoded]) for name in encoded[0]}
        device, dtype = self.accelerator.device, self.model.dtype
        return {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in joined.items()
        }

    def _encode_row(self, index: int) -> Encoded:
        row, processor = self._rows[index], self.processing_class
        given = processor(
            text=[processor.apply_chat_template(as_messages(row["prompt"]), add_generation_prompt=True)],
            videos=self._shown(row, MODEL),
            video_metadata=[as_metadata(row["frame_times_s"])],
            do_sample_frames=False,
            return_tensors="pt",
        )
        video = {name: torch.as_tensor(value) for name, value in given.items() if name not in _OF_TOKENS}
        return Encoded(given["input_ids"][0].tolist(), video)

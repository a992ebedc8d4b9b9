"""TRL's SFTTrainer, mended where it does not fit LLaVA-OneVision."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from safetensors import SafetensorError
from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from stvlm.programs import first_line
from stvlm.records import DataError
from stvlm.training.packing import IGNORED


class VideoSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains on the batches of `Collator` as they come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Qwen3-VL's class says that it is given no token count, and then groups of unlike lengths would weigh alike.
        # It is `compute_loss` that takes the count.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean negative log-likelihood of the answers' tokens.

        On a CPU, TRL's fused language model head scores all other tokens too, which takes most of a small model's step.
        """
        if return_outputs or inputs["input_ids"].device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        given = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**given, use_cache=False).logits[:, :-1]
        labels = inputs["labels"][:, 1:]
        answered = labels != IGNORED
        total = cross_entropy(logits[answered], labels[answered], reduction="sum")
        count = answered.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        devices = self.accelerator.num_processes if num_items_in_batch is not None else 1  # gradients are averaged
        return total * devices / count.clamp(min=1)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Writes none beside each checkpoint."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes a checkpoint, or raises DataError and leaves the one before it."""
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:  # all of these where a disk is full
            torso = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(torso, ignore_errors=True)
            raise DataError(
                f"{torso}: cannot be written ({first_line(error)}); free some space and run the same command again, "
                "which goes on from the checkpoint before it"
            ) from error

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Loads a checkpoint's weights.

        `save_pretrained` writes them under the Hub's names. The trainer of transformers 5.23 looks for the model's own,
        finds none, warns, and goes on from the weights it was started with.
        """
        # Shards are saved and loaded under the model's own names, and adapters by peft.
        if self.is_fsdp_enabled or is_peft_model(self.model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
            self.model.load_state_dict(saved.state_dict())

"""TRL's SFTTrainer, mended where it does not fit LLaVA-OneVision."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from stvlm.training.checkpoints import Checkpoints
from stvlm.training.packing import IGNORED


class VideoSFTTrainer(Checkpoints, SFTTrainer):  # type: ignore[misc]
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

"""TRL's SFTTrainer, mended where it does not fit LLaVA-OneVision."""

from __future__ import annotations

from typing import Any

from trl import SFTTrainer


class VideoSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains on the batches of `VideoCollator` as they come."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Loads a checkpoint's weights.

        `save_pretrained` writes them under the Hub's names. The trainer of transformers 5.23 looks for the model's own,
        finds none, warns, and goes on from the weights it was started with.
        """
        if self.is_fsdp_enabled:  # saves and loads shards under the model's own names
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
            self.model.load_state_dict(saved.state_dict())

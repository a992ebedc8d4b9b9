"""How a trainer keeps its checkpoints and goes on from them, mended where transformers and TRL do not fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.utils import is_peft_model
from safetensors import SafetensorError
from transformers import Trainer

from stvlm.programs import first_line
from stvlm.records import DataError


class Checkpoints(Trainer):  # type: ignore[misc]
    """What our trainers have in common; stands before TRL's in their bases."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Writes none beside each checkpoint."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes a checkpoint, or raises DataError and leaves the one before it."""
        with _written(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}", "before it"):
            super()._save_checkpoint(model, trial)

    def save_trained(self, folder: Path) -> None:
        """Writes what was trained, or raises DataError."""
        with _written(folder, "of the last step"):
            self.save_model(str(folder))

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


@contextmanager
def _written(folder: Path, checkpoint: str) -> Iterator[None]:
    """Turns what is raised where a folder cannot be written into one line, and leaves no part of it."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # all of these where a disk is full
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(
            f"{folder}: cannot be written ({first_line(error)}); free some space and run the same command again, which "
            f"goes on from the checkpoint {checkpoint}"
        ) from error

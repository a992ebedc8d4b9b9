"""Runs that take a second or two: their recipe, stopping them after a step, and the losses that they logged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset

from stvlm.training.callbacks import StopWhenAsked
from stvlm.training.recipe import SFTRecipe


def write_recipe(root: Path, clips_per_split: int, **changes: Any) -> SFTRecipe:
    """A recipe for a small model and a small dataset, both of which are written below `root`."""
    values = {
        "dataset": str(write_dataset(root / "stkit", clips_per_split)), "output_dir": "",
        "model": str(write_model(root / "model")), "batch_size": 4, "batch_size_per_device": 2, "learning_rate": 1e-2,
        "warmup_steps": 0, "bf16": False, "workers": 0,
    }  # fmt: skip
    return SFTRecipe(**values | changes)


@contextmanager
def stop_after(step: int) -> Iterator[None]:
    """Has a run end after this step as on Ctrl-C."""
    before = StopWhenAsked.on_step_end

    def on_step_end(self, args, state, control, **kwargs):
        self.requested = state.global_step == step
        before(self, args, state, control, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopWhenAsked, "on_step_end", on_step_end)
        yield


def losses(log: list[dict]) -> list[float]:
    """Of every step."""
    return [entry["loss"] for entry in log if "loss" in entry]

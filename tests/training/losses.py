"""Stopping a run after a step, and the losses that it logged."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stvlm.training.callbacks import StopWhenAsked


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

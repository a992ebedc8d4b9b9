"""What a run costs: on what it ran, and for how long, in however many pieces."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from stvlm.files import read_json, write_json

SPENT = "spent.json"
"""Beside the checkpoints: the seconds until the last of them."""


class Clock:
    """Counts on from what earlier processes of a run spent until its last checkpoint."""

    def __init__(self, work: Path) -> None:
        self._path, self._started = work / SPENT, time.monotonic()
        self._before_s = read_json(self._path)["wall_s"] if self._path.exists() else 0.0

    def cost(self) -> dict[str, Any]:
        """The fields of a run's record."""
        return {"wall_s": round(self._before_s + time.monotonic() - self._started, 1), "device": device_name()}

    def keep(self) -> None:
        """Is called with every checkpoint."""
        write_json(self._path, {"wall_s": self.cost()["wall_s"]})


class KeepTime(TrainerCallback):  # type: ignore[misc]
    """Keeps a clock's time with the trainer's checkpoints."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """In the process that writes them."""
        if state.is_world_process_zero:
            self._clock.keep()


def device_name() -> str:
    """What torch computes on here."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    threads = torch.get_num_threads()
    return f"{threads} {'cores' if threads > 1 else 'core'} of a CPU"

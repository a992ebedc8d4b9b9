"""Whose work lies in a run's folders: no run goes on from the checkpoints of another, or overwrites its model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from stvlm.files import read_json
from stvlm.records import DataError

RECORD = "training.json"
"""Beside the weights: the recipe, the data and the versions that made them."""
CLAIM = "run.json"
"""Beside the checkpoints: whose they are."""


def is_done(out: Path, identity: Mapping[str, Any]) -> bool:
    """Whether `out` holds this run's model already; raises DataError where it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / RECORD).is_file():
        raise DataError(f"{out}: is not empty and holds no model of ours; choose another --output_dir")
    record = read_json(out / RECORD)
    if any(record.get(key) != value for key, value in identity.items()):
        raise DataError(f"{out}: holds a model of another recipe or dataset; choose another --output_dir")
    return True


def check_unclaimed(work: Path, identity: Mapping[str, Any]) -> None:
    """Raises DataError where `work` holds the checkpoints of another run."""
    if (work / CLAIM).exists() and read_json(work / CLAIM) != identity:
        raise DataError(
            f"{work}: holds checkpoints of another recipe or dataset; remove it or choose another --output_dir"
        )


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; torsos of a killed run are removed."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / "trainer_state.json").is_file():
            shutil.rmtree(checkpoint)
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None

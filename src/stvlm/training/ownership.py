"""Whose work lies in a run's folders: no run goes on from the checkpoints of another, or overwrites its model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stvlm.files import read_json
from stvlm.recipes import to_mapping
from stvlm.records import DataError

RECORD = "training.json"
"""Beside the weights: the recipe, the data and the versions that made them."""
CLAIM = "run.json"
"""Beside the checkpoints: whose they are."""
NO_MATTER = ("output_dir", "workers", "save_steps", "report_to", "push_to_hub", "benchmark")
"""Keys of a recipe that change nothing about the weights, and may change before a run goes on."""


def places(output_dir: str) -> tuple[Path, Path]:
    """The output folder, and the hidden one beside it that a run works in."""
    out = Path(output_dir)
    return out, out.absolute().parent / f".{out.name}.training"


def that_matters(recipe: Any) -> dict[str, Any]:
    """What a recipe has in common with those whose checkpoints it may go on from."""
    values = recipe if isinstance(recipe, Mapping) else to_mapping(recipe)
    return {key: value for key, value in values.items() if key not in NO_MATTER}


def is_done(out: Path, identity: Mapping[str, Any]) -> bool:
    """Whether `out` holds this run's model already; raises DataError where it holds anything else.

    Args:
        identity: `recipe`, as `that_matters` has it, and what a record has beside it of the data.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / RECORD).is_file():
        raise DataError(f"{out}: is not empty and holds no model of ours; choose another --output_dir")
    record = read_json(out / RECORD)
    if not isinstance(record, dict) or not isinstance(record.get("recipe"), dict):
        raise DataError(f"{out}: holds a {RECORD} that is not ours; choose another --output_dir")
    record["recipe"] = that_matters(record["recipe"])
    if any(record.get(key) != value for key, value in identity.items()):
        raise DataError(f"{out}: holds a model of another recipe, base or dataset; choose another --output_dir")
    return True


def check_unclaimed(work: Path, identity: Mapping[str, Any]) -> None:
    """Raises DataError where `work` holds the checkpoints of another run."""
    if (work / CLAIM).exists() and read_json(work / CLAIM) != identity:
        raise DataError(
            f"{work}: holds checkpoints of another recipe, base or dataset; remove it or choose another --output_dir"
        )


def remove_torsos(folder: Path) -> None:
    """Removes checkpoints that were not written to their end, as a kill leaves them."""
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            read_json(checkpoint / "trainer_state.json")  # is written last
        except DataError:
            shutil.rmtree(checkpoint)

"""What a run leaves: a model in the precision that it is used in, an adapter, or the model that it is merged into."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, PreTrainedModel

from stvlm.files import write_json
from stvlm.programs import first_line
from stvlm.records import DataError
from stvlm.training.grpo_recipe import GRPORecipe
from stvlm.training.ownership import RECORD
from stvlm.training.recipe import SFTRecipe

Recipe = SFTRecipe | GRPORecipe
TRAINED = "trained"
"""Within a run's work folder, what its trainer has saved."""

ADAPTER = "adapter"
"""Within a merged model's folder, that of the adapter."""
NOT_KEPT = ("training_args.bin", "README.md")
"""A pickle of the arguments, with this machine's paths in it, and an empty form of a card."""


def finish(recipe: Recipe, record: Mapping[str, Any], processor: Any, work: Path, out: Path) -> None:
    """Makes the output folder of what was trained, at once, and removes the work folder. Raises DataError."""
    try:
        export(recipe, work / TRAINED, processor, work / "model")
        # What is exported has been copied; so is what the trackers keep in files.
        if (work / "runs").is_dir():
            shutil.copytree(work / "runs", work / "model" / "runs")
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{work}: the model cannot be written ({first_line(error)}); free some space and run the same command "
            "again, which only has that left to do"
        ) from error
    write_json(work / "model" / RECORD, record)
    (work / "model").replace(out)
    shutil.rmtree(work)


def export(recipe: Recipe, trained: Path, processor: Any, out: Path) -> None:
    """Makes the folder `out` of the trained weights, or the trained adapter, in the folder `trained`.

    A recipe that computes in bfloat16 leaves a model in bfloat16: half the size, and what it is used in. Adapters are
    added to weights in float32, those of QLoRA to the weights that were quantised for training, and rounded after that.
    """
    shutil.rmtree(out, ignore_errors=True)
    processor.save_pretrained(out)
    if recipe.lora is None:
        _save_rounded(AutoModelForImageTextToText.from_pretrained(trained, dtype=torch.float32), recipe, out)
        return
    if "merged" in recipe.lora.export:
        _save_rounded(merge(recipe, trained), recipe, out)
    if "adapter" in recipe.lora.export:
        place = out / ADAPTER if "merged" in recipe.lora.export else out
        shutil.copytree(trained, place, ignore=shutil.ignore_patterns(*NOT_KEPT), dirs_exist_ok=True)


def merge(recipe: Recipe, adapter: Path) -> PreTrainedModel:
    """The recipe's model with an adapter merged into its weights, in float32 and in main memory."""
    from peft import PeftModel

    model = AutoModelForImageTextToText.from_pretrained(recipe.model, dtype=torch.float32)
    return PeftModel.from_pretrained(model, adapter).merge_and_unload()


def _save_rounded(model: PreTrainedModel, recipe: Recipe, out: Path) -> None:
    if recipe.bf16:
        model = model.to(torch.bfloat16)
    model.save_pretrained(out)

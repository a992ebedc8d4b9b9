"""What a run leaves: a model in the precision that it is used in, an adapter, or the model that it is merged into."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel

from stvlm.training.recipe import SFTRecipe

ADAPTER = "adapter"
"""Within a merged model's folder, that of the adapter."""
NOT_KEPT = ("training_args.bin", "README.md")
"""A pickle of the arguments, with this machine's paths in it, and an empty form of a card."""


def export(recipe: SFTRecipe, trained: Path, processor: Any, out: Path) -> None:
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


def merge(recipe: SFTRecipe, adapter: Path) -> PreTrainedModel:
    """The recipe's model with an adapter merged into its weights, in float32 and in main memory."""
    from peft import PeftModel

    model = AutoModelForImageTextToText.from_pretrained(recipe.model, dtype=torch.float32)
    return PeftModel.from_pretrained(model, adapter).merge_and_unload()


def _save_rounded(model: PreTrainedModel, recipe: SFTRecipe, out: Path) -> None:
    if recipe.bf16:
        model = model.to(torch.bfloat16)
    model.save_pretrained(out)

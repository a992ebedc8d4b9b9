"""How large a run is, before it begins: parameters, memory, disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from stvlm.programs import first_line
from stvlm.records import DataError
from stvlm.training.new_model import make_model
from stvlm.training.opening import add_adapters, in_four_bits
from stvlm.training.recipe import SFTRecipe

GIB = 2**30


class Layers(NamedTuple):
    """What the way back needs of the way forwards, in bfloat16: bytes of a token."""

    number: int
    input_bytes: int
    """Of one layer's input, which gradient checkpointing keeps."""
    inner_bytes: int
    """Of all inside one layer, which it makes again."""


class Sizes(NamedTuple):
    """Of a model."""

    parameters: int
    trained: int
    in_four_bits: int
    """How many of them are quantised."""
    positions: int
    """Of a sequence at most, as its config has it."""
    language: Layers
    vision: Layers


def measure_model(recipe: SFTRecipe, processor: Any) -> Sizes:
    """The sizes of a recipe's model, of which no weight is loaded."""
    with torch.device("meta"):
        if recipe.new_model is not None:
            model = make_model(recipe.new_model, processor)
        else:
            model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(recipe.model))
        quantised = 0
        if recipe.quantization is not None:
            quantised = sum(module.weight.numel() for module in _quantised(model, recipe))
        if recipe.lora is not None:
            model = add_adapters(model, recipe.lora)
    text, vision = model.config.get_text_config(), model.config.vision_config
    # Two bytes each of: both norms' outputs, queries, keys and values, attention's output before and after its
    # projection; and inside the feed-forward network gate, up and their product, or input and output of an activation.
    language = Layers(
        text.num_hidden_layers, 2 * text.hidden_size, 2 * (6 * text.hidden_size + 3 * text.intermediate_size)
    )
    patches = 4  # about as many become one visual token
    seeing = Layers(
        getattr(vision, "num_hidden_layers", None) or vision.depth,
        patches * 2 * vision.hidden_size,
        patches * 2 * (6 * vision.hidden_size + 2 * vision.intermediate_size),
    )
    return Sizes(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        in_four_bits=quantised,
        positions=text.max_position_embeddings,
        language=language,
        vision=seeing,
    )


def _quantised(model: Any, recipe: SFTRecipe) -> list[torch.nn.Linear]:
    from transformers.quantizers.quantizers_utils import should_convert_module

    assert recipe.quantization is not None
    skip = in_four_bits(recipe.quantization, torch.bfloat16).llm_int8_skip_modules
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and should_convert_module(name, skip)
    ]


def memory_bytes(sizes: Sizes, recipe: SFTRecipe, tokens: int, visual_tokens: int, shards: int) -> int:
    """About how much a device needs for a group of so many tokens, of which so many are visual.

    Weights, gradients and Adam's two moments of what is trained; frozen weights; activations, of which gradient
    checkpointing keeps two bytes a layer and value, and one layer's at a time; a fifth more for what is moved about.
    `shards` is over how many devices FSDP or ZeRO-3 spread weights and states; else 1.
    """
    frozen = sizes.parameters - sizes.trained
    # Half a byte, and with double quantisation 0.127 bits of constants; https://arxiv.org/abs/2305.14314, section 3.
    held = 16 * sizes.trained + (2 if recipe.bf16 else 4) * (frozen - sizes.in_four_bits) + 0.52 * sizes.in_four_bits
    activations = _activations(sizes.language, tokens, recipe)
    if recipe.lora is None:  # else nothing in front of the language model is trained, and nothing of it kept
        activations += _activations(sizes.vision, visual_tokens, recipe)
    return round(1.2 * (held / shards + activations))


@contextmanager
def fits(cure: str) -> Iterator[None]:
    """Turns what torch raises where a device's memory is full into one line that ends with the cure."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DataError(f"the device's memory is full ({first_line(error)}); {cure}") from error


def _activations(layers: Layers, tokens: int, recipe: SFTRecipe) -> int:
    if recipe.gradient_checkpointing:
        of_token = layers.number * layers.input_bytes + 2 * layers.inner_bytes  # with their gradients
    else:
        of_token = layers.number * (layers.input_bytes + layers.inner_bytes)
    return tokens * of_token * (1 if recipe.bf16 else 2)


def disk_bytes(sizes: Sizes, recipe: SFTRecipe) -> int:
    """What a run needs at the most: for a moment two checkpoints, or one, what was trained, and what is exported."""
    checkpoint = 12 * sizes.trained  # weights and Adam's moments in float32
    whole = (2 if recipe.bf16 else 4) * sizes.parameters
    exported = 4 * sizes.trained if recipe.lora is None or "adapter" in recipe.lora.export else 0
    if recipe.lora is None or "merged" in recipe.lora.export:
        exported += whole
    return checkpoint + max(checkpoint, 4 * sizes.trained + exported)


def check_disk(needed: int, work: Path) -> None:
    """Raises DataError where a run's files would not fit beside what it has written already."""
    place = next(folder for folder in (work, *work.parents) if folder.is_dir())
    own = sum(path.stat().st_size for path in work.rglob("*") if path.is_file()) if place == work else 0
    free = shutil.disk_usage(place).free + own
    if needed > free:
        raise DataError(
            f"{place}: has {free / GIB:.1f} GiB free, and checkpoints and model need about {needed / GIB:.1f} GiB; "
            "free some space or choose another --output_dir"
        )

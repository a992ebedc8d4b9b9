"""The model that a run starts from: new or pretrained, whole or in 4 bits under adapters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, PreTrainedModel

from stvlm.evaluation.dataset import may_be_on_the_hub
from stvlm.programs import first_line
from stvlm.records import DataError
from stvlm.training.grpo_recipe import GRPORecipe
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.recipe import Lora, Quantization, SFTRecipe


def check_device(recipe: SFTRecipe | GRPORecipe) -> None:
    """Raises DataError where the recipe needs a GPU or a package that is not there."""
    small, quantization = ("tiny_cpu", recipe.quantization) if isinstance(recipe, SFTRecipe) else ("grpo_tiny", None)
    if recipe.bf16 and not torch.cuda.is_available():
        raise DataError(
            "the recipe computes in bfloat16 on a GPU, and PyTorch finds none here; run it where there is one (with a "
            f"CUDA build of torch), take training/recipes/{small}.yaml, or set bf16: false in a copy of the recipe, "
            "which on a CPU is for small models alone"
        )
    for package, key in (("peft", recipe.lora), ("bitsandbytes", quantization)):
        if key is not None and find_spec(package) is None:
            raise DataError(f"the recipe needs the package {package}; type: pip install 'stvlm[train,quant]'")


def model_type(recipe: SFTRecipe) -> str:
    """As its config has it; of a model on the Hub that small file is fetched. Raises DataError."""
    if recipe.model is None:
        return "llava_onevision"
    if not Path(recipe.model).is_dir() and not may_be_on_the_hub(recipe.model):
        raise DataError(f"{recipe.model}: no such model folder; give one, or a Hub id")
    with _one_line(recipe.model):
        return str(AutoConfig.from_pretrained(recipe.model).model_type)


def open_processor(recipe: SFTRecipe, texts: Iterable[str], chat_template: str) -> Any:
    """The model's processor; of a new model one with a tokenizer that is trained on the texts. Raises DataError."""
    if recipe.new_model is not None:
        return make_processor(recipe.new_model, train_tokenizer(texts, recipe.new_model.vocabulary), chat_template)
    assert recipe.model is not None  # the recipe has seen to it
    with _one_line(recipe.model):
        processor = AutoProcessor.from_pretrained(recipe.model)
    processor.chat_template = chat_template
    return processor


def open_model(recipe: SFTRecipe, processor: Any) -> PreTrainedModel:
    """The model whose parameters that require gradients are to be trained. Raises DataError.

    What is trained is in float32 also where bf16 computes: an update of 1e-5 of a weight is lost in a bfloat16. Beneath
    adapters, weights are in the precision that computes, or in 4 bits.
    """
    if recipe.new_model is not None:
        return make_model(recipe.new_model, processor)
    assert recipe.model is not None
    computing = torch.bfloat16 if recipe.bf16 else torch.float32
    options: dict[str, Any] = {"dtype": torch.float32 if recipe.lora is None else computing}
    if recipe.quantization is not None:
        options["quantization_config"] = in_four_bits(recipe.quantization, computing)
        options["device_map"] = {"": PartialState().device}  # quantised as they are read, they go where they stay
    with _one_line(recipe.model):
        model = AutoModelForImageTextToText.from_pretrained(recipe.model, **options)
    return model if recipe.lora is None else add_adapters(model, recipe.lora)


def in_four_bits(quantization: Quantization, computing: torch.dtype) -> BitsAndBytesConfig:
    """How bitsandbytes is to quantise."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.type,
        bnb_4bit_use_double_quant=quantization.double,
        bnb_4bit_compute_dtype=computing,
        llm_int8_skip_modules=list(quantization.skip),
    )


def add_adapters(model: PreTrainedModel, lora: Lora) -> Any:
    """The model with adapters, which begin by changing nothing; all else is frozen. Raises DataError."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.targets, task_type="CAUSAL_LM"
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise DataError(f"lora: cannot be added to {type(model).__name__} ({first_line(error)})") from error
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    if all(".language_model." in name for name in trained):
        _begin_gradients_at_words(model)
    return adapted


def _begin_gradients_at_words(model: PreTrainedModel) -> None:
    """Has trainers ask for gradients of the words' embeddings alone, as activation checkpointing may need them.

    They would ask for those of a vision tower's patches too, and go back through all of it, though none is trained.
    """

    def enable() -> None:
        model.disable_input_require_grads()
        hook = model.get_input_embeddings().register_forward_hook(lambda module, given, out: out.requires_grad_())
        model._require_grads_hooks = [hook]

    model.enable_input_require_grads = enable


@contextmanager
def _one_line(model: str) -> Iterator[None]:
    """Turns what the library raises where it cannot load a model into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise DataError(f"{model}: cannot be loaded as a model ({first_line(error)})") from error

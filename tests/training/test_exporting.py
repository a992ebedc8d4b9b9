"""Adapters: what they are added to, what is quantised under them, and what a run with them leaves."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from safetensors.torch import load_file
from tests.evaluation.tiny_models import TEMPLATE, write_model
from tests.training.small_runs import write_recipe
from transformers import AutoModelForImageTextToText, AutoProcessor

from stvlm.records import DataError
from stvlm.training.exporting import export
from stvlm.training.families import family_of
from stvlm.training.opening import open_model
from stvlm.training.recipe import Lora, Quantization
from stvlm.training.run import train

TEMPLATES = Path(__file__).parents[2] / "training"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return write_recipe(tmp_path_factory.mktemp("run"), clips_per_split=1)


def logits(model):
    """Of a text, which passes through every language layer."""
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(20, 60)[None]).logits


@pytest.mark.parametrize("kind", ["llava_onevision", "qwen3_vl"])
def test_only_the_language_model_is_quantised_and_adapted(recipe, tmp_path, kind):
    """Seven matrices in each of two layers; the vision tower has some of the same last names."""
    folder = str(write_model(tmp_path / kind, kind))
    model = open_model(dataclasses.replace(recipe, model=folder, lora=Lora(r=4), quantization=Quantization()), None)
    quantised = [name for name, module in model.named_modules() if type(module) is Linear4bit]
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(quantised) == 14
    assert len(trained) == 28
    assert all(".language_model." in name for name in [*quantised, *trained])
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}


@pytest.mark.parametrize("kind", ["llava_onevision", "qwen3_vl"])
def test_no_gradient_goes_back_through_a_frozen_vision_tower(recipe, tmp_path, monkeypatch, kind):
    """With activations checkpointed, where trainers have inputs require gradients; and all adapters learn."""
    needs_gradient = []

    def opened(recipe, processor):
        model = open_model(recipe, processor)
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and ".language_model." not in name and "lm_head" not in name:
                module.register_forward_hook(lambda module, given, out: needs_gradient.append(out.requires_grad))
        return model

    monkeypatch.setattr("stvlm.training.run.open_model", opened)
    folder = str(write_model(tmp_path / kind, kind))
    assert recipe.gradient_checkpointing
    template = (TEMPLATES / family_of(kind).CHAT_TEMPLATE).read_text()
    out = train(
        dataclasses.replace(recipe, model=folder, output_dir=str(tmp_path / "out"), lora=Lora(r=2), batch_size=2),
        template,
    )
    assert needs_gradient
    assert not any(needs_gradient)
    adapter = load_file(out / "adapter_model.safetensors")
    assert all(values.any() for name, values in adapter.items() if "lora_B" in name)


def test_targets_that_match_nothing_are_told(recipe):
    with pytest.raises(DataError, match="lora: cannot be added to LlavaOnevision"):
        open_model(dataclasses.replace(recipe, lora=Lora(targets=".*nothing")), None)


@pytest.mark.parametrize("quantization", [None, Quantization()], ids=["lora", "qlora"])
def test_the_merged_model_is_its_base_with_the_adapter(recipe, tmp_path, quantization):
    lora = Lora(r=4, dropout=0.0, export=("adapter", "merged"))
    out = train(
        dataclasses.replace(recipe, output_dir=str(tmp_path / "out"), lora=lora, quantization=quantization), TEMPLATE
    )
    base = AutoModelForImageTextToText.from_pretrained(recipe.model)
    before = logits(base)
    expected = logits(PeftModel.from_pretrained(base, out / "adapter"))
    merged = AutoModelForImageTextToText.from_pretrained(out)
    assert not any("lora" in name for name in merged.state_dict())
    assert torch.allclose(logits(merged), expected, atol=1e-4)
    assert (expected - before).abs().max() > 0.01
    assert torch.allclose(logits(AutoModelForImageTextToText.from_pretrained(out / "adapter")), expected, atol=1e-4)
    assert AutoProcessor.from_pretrained(out).chat_template == TEMPLATE
    assert {path.name for path in (out / "adapter").iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    assert not list(out.rglob("training_args.bin"))
    adapter = load_file(out / "adapter" / "adapter_model.safetensors")
    record = json.loads((out / "training.json").read_text())
    assert record["trained_parameters"] == sum(values.numel() for values in adapter.values())


def test_an_adapter_alone_is_the_folder(recipe, tmp_path):
    out = train(dataclasses.replace(recipe, output_dir=str(tmp_path / "out"), lora=Lora(r=4)), TEMPLATE)
    assert (out / "adapter_model.safetensors").is_file()
    assert not (out / "model.safetensors").exists()
    assert (out / "training.json").is_file()


def test_what_computes_in_bfloat16_is_left_in_it(recipe, tmp_path):
    processor = AutoProcessor.from_pretrained(recipe.model)
    export(dataclasses.replace(recipe, bf16=True), Path(recipe.model), processor, tmp_path / "out")
    found, exact = (
        load_file(tmp_path / "out" / "model.safetensors"),
        load_file(Path(recipe.model) / "model.safetensors"),
    )
    assert all(torch.equal(found[name], exact[name].to(torch.bfloat16)) for name in exact)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"

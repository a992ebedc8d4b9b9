"""Training as a user runs it: learns to stop and go on, and leaves a folder that the Auto classes load."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.training.tiny_dataset import write_dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTTrainer

from stvlm.records import DataError
from stvlm.training import run
from stvlm.training.recipe import NewModel, SFTRecipe, Stage, Stages
from stvlm.training.run import train
from stvlm.training.trainer import VideoSFTTrainer

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "training" / "chat_template.jinja").read_text()
SIZES = NewModel(
    image_size_px=32, patch_size_px=8, hidden_size=16, heads=2, vision_layers=1, language_layers=1, vocabulary=500
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", trajectories=True)


def recipe_for(dataset, out, **changes):
    recipe = SFTRecipe(
        dataset=str(dataset), output_dir=str(out), model=None, new_model=SIZES, epochs=1, batch_size=2,
        batch_size_per_device=2, pack_questions=True, optimizer="muon",
        learning_rate=1e-2, warmup_steps=0, bf16=False, gradient_checkpointing=False, cache_frames=True, workers=0,
        save_steps=2,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


def test_saved_model_loads_and_answers(dataset, tmp_path):
    out = train(recipe_for(dataset, tmp_path / "model"), TEMPLATE)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    record = json.loads((out / "training.json").read_text())
    assert record["steps"] == 2  # four clips in two groups
    assert record["recipe"]["learning_rate"] == 1e-2
    model, processor = AutoModelForImageTextToText.from_pretrained(out), AutoProcessor.from_pretrained(out)
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Which is faster?"}]}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[torch.zeros(5, 3, 64, 64, dtype=torch.uint8)], return_tensors="pt")
    assert (inputs["input_ids"] == processor.video_token_id).sum() == 5 * 4 + 1
    tokens = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert 1 <= tokens.shape[1] - inputs["input_ids"].shape[1] <= 3


def test_a_stopped_run_goes_on_to_the_same_weights(dataset, tmp_path, monkeypatch):
    straight = train(recipe_for(dataset, tmp_path / "straight"), TEMPLATE)

    from stvlm.training.callbacks import StopWhenAsked

    stop_at = StopWhenAsked.on_step_end

    def after_two_steps(self, args, state, control, **kwargs):
        self.requested = state.global_step == 2
        stop_at(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StopWhenAsked, "on_step_end", after_two_steps)
        with pytest.raises(KeyboardInterrupt):
            train(recipe_for(dataset, tmp_path / "stopped"), TEMPLATE)
    assert not (tmp_path / "stopped").exists()
    resumed = train(recipe_for(dataset, tmp_path / "stopped"), TEMPLATE)
    expected, found = (load_file(out / "model.safetensors") for out in (straight, resumed))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_trajectories_are_learned_before_the_rows_and_once(dataset, tmp_path, monkeypatch):
    stages = Stages((Stage("boxes", 1, 2), Stage("questions", 1, 2)), layer=1)
    seen = []
    monkeypatch.setattr(
        VideoSFTTrainer, "train", lambda self, **kwargs: seen.append(self.model.lm_head.weight.detach().clone())
    )
    train(recipe_for(dataset, tmp_path / "without"), TEMPLATE)
    train(recipe_for(dataset, tmp_path / "with", trajectories=stages), TEMPLATE)
    assert not torch.equal(*seen)
    monkeypatch.undo()
    record = json.loads(
        (train(recipe_for(dataset, tmp_path / "again", trajectories=stages), TEMPLATE) / "training.json").read_text()
    )
    assert record["recipe"]["trajectories"]["layer"] == 1


def test_the_torso_of_a_checkpoint_is_passed_over(dataset, tmp_path, monkeypatch):
    """As a kill leaves it that comes while a checkpoint is written."""
    from stvlm.training.callbacks import StopWhenAsked

    with monkeypatch.context() as patch:
        patch.setattr(StopWhenAsked, "requested", True)
        with pytest.raises(KeyboardInterrupt):
            train(recipe_for(dataset, tmp_path / "model"), TEMPLATE)
    torso = tmp_path / ".model.training" / "checkpoints" / "checkpoint-3"
    torso.mkdir()
    (torso / "model.safetensors").write_bytes(b"half")
    assert (train(recipe_for(dataset, tmp_path / "model"), TEMPLATE) / "model.safetensors").is_file()


def test_a_start_that_failed_claims_nothing(dataset, tmp_path):
    with pytest.raises(DataError, match="not a multiple"):
        train(recipe_for(dataset, tmp_path / "model", batch_size=3), TEMPLATE)
    assert train(recipe_for(dataset, tmp_path / "model"), TEMPLATE).is_dir()


def test_a_checkpoint_is_fine_tuned_with_unpacked_questions(dataset, tmp_path):
    first = train(recipe_for(dataset, tmp_path / "first"), TEMPLATE)
    changes = {"model": str(first), "new_model": None, "pack_questions": False, "optimizer": "adamw"}
    second = train(recipe_for(dataset, tmp_path / "second", **changes), TEMPLATE)
    assert json.loads((second / "training.json").read_text())["steps"] == 8  # sixteen questions in twos
    before, after = (load_file(out / "model.safetensors") for out in (first, second))
    assert before.keys() == after.keys()
    assert not torch.equal(
        before["language_model.model.layers.0.mlp.up_proj.weight"],
        after["language_model.model.layers.0.mlp.up_proj.weight"],
    )


def test_loss_is_the_one_of_trl(dataset, tmp_path, monkeypatch):
    """Batches of two groups, so that tokens are counted over what is accumulated."""
    losses = []
    ours = VideoSFTTrainer.compute_loss

    def both(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        expected = SFTTrainer.compute_loss(self, model, dict(inputs), False, num_items_in_batch)
        found = ours(self, model, inputs, return_outputs, num_items_in_batch)
        losses.append((expected.item(), found.item()))
        return found

    monkeypatch.setattr(VideoSFTTrainer, "compute_loss", both)
    train(recipe_for(dataset, tmp_path / "model", batch_size_per_device=1), TEMPLATE)
    assert len(losses) == 4
    assert all(found == pytest.approx(expected, rel=1e-5) for expected, found in losses)


def test_arguments_are_made_before_the_model_is_loaded(dataset, tmp_path, monkeypatch):
    """Of ZeRO-3, transformers loads all of it into every process else."""
    order = []

    def noted(name):
        made = getattr(run, name)
        monkeypatch.setattr(run, name, lambda *args, **kwargs: order.append(name) or made(*args, **kwargs))

    noted("SFTConfig")
    noted("open_model")
    train(recipe_for(dataset, tmp_path / "model"), TEMPLATE)
    assert order == ["SFTConfig", "open_model"]


def test_memory_that_runs_out_is_one_line(dataset, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation")

    monkeypatch.setattr(VideoSFTTrainer, "compute_loss", full)
    told = r"^the device's memory is full \(CUDA out of memory\. Tried .* 2\.00 GiB\.\); lower batch_size_per_device"
    with pytest.raises(DataError, match=told):
        train(recipe_for(dataset, tmp_path / "model"), TEMPLATE)


def test_output_of_another_recipe_is_left_alone(dataset, tmp_path):
    out = train(recipe_for(dataset, tmp_path / "model"), TEMPLATE)
    weights = (out / "model.safetensors").read_bytes()
    with pytest.raises(DataError, match="holds a model of another recipe"):
        train(recipe_for(dataset, out, seed=1), TEMPLATE)
    (tmp_path / ".other.training").mkdir()
    (tmp_path / ".other.training" / "run.json").write_text("{}")
    with pytest.raises(DataError, match="holds checkpoints of another recipe"):
        train(recipe_for(dataset, tmp_path / "other"), TEMPLATE)
    assert train(recipe_for(dataset, out), TEMPLATE) == out
    assert (out / "model.safetensors").read_bytes() == weights


def sft(tmp_path, values, *arguments, **options):
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(values))
    command = [sys.executable, str(ROOT / "training" / "sft.py"), "--config", str(config), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, **options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"dataset": "d", "output_dir": "o", "learning_rat": 1},
            "unknown key 'learning_rat'; did you mean 'learning_rate'?",
        ),
        (
            {"dataset": "./nowhere", "output_dir": "o", "model": None, "new_model": {}, "bf16": False},
            "./nowhere: no such dataset folder",
        ),
        ({"dataset": "d", "output_dir": "o", "new_model": {}}, "give either model"),
    ],
)
def test_errors_are_one_line(tmp_path, values, message):
    process = sft(tmp_path, values)
    error = process.communicate()[1].strip().splitlines()[-1]
    assert process.returncode == 1
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(("remove", "message"), [("videos", "is missing"), ("train", "has no split 'train'")])
def test_missing_data_are_named(tmp_path, remove, message):
    dataset = write_dataset(tmp_path / "data")
    if remove == "videos":
        (dataset / "simulation" / "train" / "videos" / "train0.mp4").unlink()
    else:
        (dataset / "README.md").write_text(
            (dataset / "README.md").read_text().replace("{split: train", "{split: validation")
        )
    with pytest.raises(DataError, match=message):
        train(recipe_for(dataset, tmp_path / "out"), TEMPLATE)


def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_goes_on(dataset, tmp_path):
    values = {
        "dataset": str(dataset), "output_dir": "out", "model": None, "new_model": dataclasses.asdict(SIZES),
        "epochs": 400, "batch_size": 2, "batch_size_per_device": 2, "pack_questions": True, "bf16": False,
        "gradient_checkpointing": False, "workers": 1, "save_steps": 10_000,
    }  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = sft(tmp_path, values, start_new_session=True, env=environment)
    shown = ""
    while "3/800" not in shown:
        shown += process.stderr.read(1)
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=600)[1]
    assert process.returncode == 130
    assert rest.count("stopping: this step is finished and a checkpoint written first") == 1
    assert rest.strip().endswith("interrupted; run the same command again to go on")
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / ".out.training" / "checkpoints").glob("checkpoint-*"))) == 1

"""Learning from one's own answers: the video is there when they are drawn and when they are judged probable."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.evaluation.tiny_models import TEMPLATE, write_model
from tests.training.tiny_dataset import SIDE_PX, write_dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOTrainer

from stvlm.dataset.rows import SCHEMA
from stvlm.dataset.variants import seen_otherwise
from stvlm.dataset.video import VideoSettings, read_video, write_video
from stvlm.evaluation.dataset import frame_count, load_split
from stvlm.evaluation.frames import decode
from stvlm.recipes import load_recipe
from stvlm.records import DataError
from stvlm.training.callbacks import StopWhenAsked
from stvlm.training.grpo import learn, load_questions, make_plan, make_trainer
from stvlm.training.grpo_recipe import GRPORecipe
from stvlm.training.grpo_trainer import VideoGRPOTrainer
from stvlm.training.recipe import Lora

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_mirrored(write_dataset(tmp_path_factory.mktemp("data") / "tiny"))


def write_mirrored(dataset):
    """Gives the dataset a config with every question of the train split asked about the mirrored clip."""
    readme = (dataset / "README.md").read_text()
    config = '- config_name: mirrored\n  data_files:\n  - {split: train, path: "mirrored/simulation/train/**"}\n'
    (dataset / "README.md").write_text(readme.removesuffix("---\n") + config + "---\n")
    given, folder = dataset / "simulation" / "train", dataset / "mirrored" / "simulation" / "train"
    (folder / "videos").mkdir(parents=True)
    rows = []
    for row in pq.read_table(given / "metadata.parquet").to_pylist():
        twin = seen_otherwise(row, "mirrored", SIDE_PX) | {"id": f"{row['id']}-mirrored"}
        frames = read_video(given / row["file_name"])[0]
        write_video(folder / twin["file_name"], iter(np.ascontiguousarray(frames[:, :, ::-1])), VideoSettings())
        rows.append(twin)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "metadata.parquet")
    return dataset


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model's folder, its weights random."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny")


def recipe_for(model, dataset, out, **changes):
    recipe = GRPORecipe(
        model=str(model), dataset=str(dataset), output_dir=str(out), steps=2, questions_per_step=4,
        answers_per_question=3, answers_per_device=6, max_new_tokens=5, learning_rate=1e-2, warmup_steps=0,
        bf16=False, gradient_checkpointing=False, save_steps=1,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


@pytest.fixture
def any_reward(monkeypatch):
    """Random weights say nothing that can be read: here the number of letters counts."""

    def letters(completions, row, twin_row, **_):
        assert len(completions) == len(row) == len(twin_row)
        return [float(sum(map(str.isalpha, text))) for text in completions]

    monkeypatch.setattr("stvlm.training.grpo.reward_functions", lambda names, rows: [letters] * len(names))


def with_twins(recipe):
    return dataclasses.replace(recipe, twins=("mirrored",), rewards={"closeness": 1.0, "consistency": 0.5})


def trainer_of(recipe, folder, **options):
    rows, questions, _ = load_questions(recipe)
    plan = make_plan(questions, [frame_count(row) for row in rows], recipe)
    return make_trainer(recipe, rows, plan, folder, **options)[0]


def seen_by(model):
    """A list to which every call of the vision tower adds its pixels."""
    seen = []
    tower = model.model.vision_tower if hasattr(model.model, "vision_tower") else model.model.visual
    tower.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((args[0] if args else kwargs["pixel_values"]).detach().flatten()),
        with_kwargs=True,
    )
    return seen


@pytest.mark.parametrize(
    ("kind", "lora"),
    [("llava_onevision", None), ("llava_onevision", Lora(r=2)), ("qwen2_5_vl", None), ("qwen3_vl", None)],
)
def test_every_pass_sees_the_video_of_its_own_question(dataset, tmp_path, monkeypatch, kind, lora):
    """Drawing answers; the policy's old, the reference's and the policy's new probabilities, after TRL has shuffled."""
    model = write_model(tmp_path / "model", kind)
    recipe = with_twins(recipe_for(model, dataset, tmp_path / "out", steps=1, questions_per_step=8, kl=0.1, lora=lora))
    trainer = trainer_of(recipe, tmp_path, num_iterations=2)
    policy = trainer.accelerator.unwrap_model(trainer.model)
    seen = seen_by(policy.get_base_model() if lora else policy)
    of_reference = seen_by(trainer.ref_model) if lora is None else seen
    video_processor = trainer.processing_class.video_processor
    pixels = {
        path: video_processor(videos=[decode(Path(path))], do_sample_frames=False, return_tensors="pt")
        for path in {row["video_path"] for row in trainer._rows}
    }
    checked = []

    def expected(rows):
        return torch.cat([pixels[row["video_path"]]["pixel_values_videos"].flatten() for row in rows])

    def check(what, original, calls, rows_of):
        def checking(*args, **kwargs):
            before = len(calls)
            result = original(*args, **kwargs)
            rows = rows_of(*args, **kwargs)
            assert torch.equal(torch.cat(calls[before:]), expected(rows))
            checked.append((what, len(rows)))
            return result

        return checking

    def rows_of_ids(ids, part=slice(None)):
        """By the words that TRL has given, and the index that stands for the video."""
        rows = [trainer._rows[index] for index in trainer._at_hand[part]]
        texts = trainer.processing_class.batch_decode(ids)
        assert all(row["prompt"] in text for row, text in zip(rows, texts, strict=True))
        return rows

    def of_logps(model, input_ids, *args, **kwargs):
        return rows_of_ids(input_ids)

    generate, logps = policy.generate, trainer._get_per_token_logps_and_entropies
    drawn = []

    def of_drawn(input_ids, **_):
        if sum(map(len, drawn)) % 24 == 0:
            drawn.clear()
        drawn.append(input_ids)
        before = sum(map(len, drawn[:-1]))
        return rows_of_ids(input_ids, slice(before, before + len(input_ids)))

    monkeypatch.setattr(policy, "generate", check("draw", generate, seen, of_drawn))

    def logps_checked(given_model, *args, **kwargs):
        is_reference = given_model is trainer.ref_model
        what = "reference" if is_reference else "policy" if torch.is_grad_enabled() else "frozen"
        return check(what, logps, of_reference if is_reference else seen, of_logps)(given_model, *args, **kwargs)

    monkeypatch.setattr(trainer, "_get_per_token_logps_and_entropies", logps_checked)
    assert len({trainer._rows[row]["video_path"] for row in trainer.train_dataset["row"]}) == 4
    trainer.train()
    frozen = [("frozen", 24), ("reference", 24)] if lora is None else 2 * [("frozen", 24)]
    assert checked == [*4 * [("draw", 6)], *frozen, *2 * 4 * [("policy", 6)]]


@pytest.mark.parametrize(("answers_per_device", "at_once"), [(1, 3), (3, 3), (6, 6), (12, 12)])
def test_no_more_answers_are_drawn_at_once_than_pass_or_a_question_has(
    model, dataset, tmp_path, monkeypatch, answers_per_device, at_once
):
    """Of a step's twelve; with all of them, a large model's videos and caches would fill any GPU."""
    recipe = recipe_for(model, dataset, tmp_path / "out", steps=1, answers_per_device=answers_per_device)
    trainer, sizes = trainer_of(recipe, tmp_path), []
    generate = trainer.model.generate

    def counted(input_ids, pixel_values_videos, **options):
        sizes.append((len(input_ids), len(pixel_values_videos)))
        return generate(input_ids=input_ids, pixel_values_videos=pixel_values_videos, **options)

    monkeypatch.setattr(trainer.model, "generate", counted)
    trainer.train()
    assert sizes == [(at_once, at_once)] * (12 // at_once)


def test_probabilities_are_those_of_trl(model, dataset, tmp_path, monkeypatch):
    """On a CPU they are computed otherwise."""
    trainer = trainer_of(recipe_for(model, dataset, tmp_path / "out", steps=1, temperature=0.7), tmp_path)
    ours = trainer._score_on_cpu
    compared = []

    def both(*args, **kwargs):
        found = ours(*args, **kwargs)
        kwargs["compute_entropy"] = True
        expected = GRPOTrainer._get_per_token_logps_and_entropies(trainer, *args, **kwargs)
        assert torch.allclose(found[0], expected[0], atol=1e-5)
        assert torch.allclose(found[1], expected[1], atol=1e-5)
        compared.append(found[0].shape)
        return found

    monkeypatch.setattr(trainer, "_score_on_cpu", both)
    trainer.train()
    assert compared == [(6, 5), (6, 5)]


def test_words_that_stand_for_video_are_never_said(model, dataset, tmp_path):
    """Else an answer with one would have more placeholders than pixels."""
    trainer = trainer_of(recipe_for(model, dataset, tmp_path / "out"), tmp_path)
    video = trainer.processing_class.video_token_id
    with torch.no_grad():
        trainer.model.get_output_embeddings().weight[video] *= 100
    trainer.train()
    assert trainer.state.global_step == 2


def test_a_step_asks_about_clips_of_one_length_and_twins_side_by_side(dataset):
    recipe = with_twins(recipe_for("", dataset, "", steps=7))
    rows, questions, _ = load_questions(recipe)
    lengths = [frame_count(row) for row in rows]
    plan = make_plan(questions, lengths, recipe)
    assert len(plan) == 7 * 4
    for at in range(0, len(plan), 4):
        assert len({lengths[asked.row] for asked in plan[at : at + 4]}) == 1
    for asked, twin in zip(plan[::2], plan[1::2], strict=True):
        assert (asked.row, asked.twin_row) == (twin.twin_row, twin.row)
        assert rows[twin.row]["id"] == f"{rows[asked.row]['id']}-mirrored"
        assert asked.twin == twin.twin == "mirrored"
    # 16 questions and their twins, 4 a step: each once in 8 steps.
    assert len({asked.row for asked in plan}) == 28
    assert plan == make_plan(questions, lengths, recipe)
    assert plan != make_plan(questions, lengths, dataclasses.replace(recipe, seed=1))


def test_only_the_tasks_that_are_named_are_asked(dataset):
    recipe = recipe_for("", dataset, "", tasks=("traveled_distance",))
    rows, questions, _ = load_questions(recipe)
    assert {row["task"] for row in rows} == {"traveled_distance"}
    assert len(questions) == 8
    with pytest.raises(DataError, match="has no question of movement_direction"):
        load_questions(dataclasses.replace(recipe, tasks=("movement_direction",)))


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(model, dataset, tmp_path, monkeypatch, any_reward):
    whole = learn(with_twins(recipe_for(model, dataset, tmp_path / "whole")))
    recipe = with_twins(recipe_for(model, dataset, tmp_path / "stopped"))
    with monkeypatch.context() as patch:
        patch.setattr(StopWhenAsked, "requested", True)
        with pytest.raises(KeyboardInterrupt):
            learn(recipe)
    assert not (tmp_path / "stopped").exists()
    checkpoints = tmp_path / ".stopped.training" / "checkpoints"
    assert [path.name for path in checkpoints.glob("checkpoint-*")] == ["checkpoint-1"]
    stopped = learn(recipe)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "whole"]
    records = [json.loads((out / "training.json").read_text()) for out in (whole, stopped)]
    rewards = [[log["reward"] for log in record["log"] if "reward" in log] for record in records]
    assert len(rewards[0]) == records[0]["steps"] == 2
    assert rewards[0] == rewards[1]
    fingerprint = load_split(str(dataset), "train").fingerprint
    sizes = sum(values.numel() for values in load_file(whole / "model.safetensors").values())
    assert (records[1]["dataset_fingerprint"], records[1]["parameters"]) == (fingerprint, sizes)
    assert records[1]["twin_fingerprints"].keys() == {"mirrored"}
    before, after, again = (load_file(out / "model.safetensors") for out in (model, whole, stopped))
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], again[name]) for name in after)
    assert not all(torch.equal(before[name], after[name]) for name in before)
    assert AutoProcessor.from_pretrained(stopped).chat_template == TEMPLATE
    AutoModelForImageTextToText.from_pretrained(stopped)


def test_an_adapter_is_learned_on_the_language_model_alone(model, dataset, tmp_path, any_reward):
    out = learn(recipe_for(model, dataset, tmp_path / "out", lora=Lora(r=2), gradient_checkpointing=True))
    weights = load_file(out / "adapter_model.safetensors")
    assert len(weights) == 2 * 7 * 2  # layers, matrices, and two of each
    assert {path.name for path in out.iterdir()}.isdisjoint({"training_args.bin", "README.md"})
    assert all(".language_model." in name for name in weights)
    assert any(weights[name].abs().max() > 0 for name in weights if "lora_B" in name)
    with pytest.raises(DataError, match="is a LoRA adapter; merge it"):
        learn(recipe_for(out, dataset, tmp_path / "more"))


def test_a_loss_that_is_no_number_ends_the_run(model, dataset, tmp_path, monkeypatch, any_reward):
    ours = VideoGRPOTrainer._compute_loss

    def astray(self, *args):
        return ours(self, *args) * (float("nan") if self.state.global_step == 1 else 1.0)

    monkeypatch.setattr(VideoGRPOTrainer, "_compute_loss", astray)
    with pytest.raises(DataError, match="of step 2 is nan: training has gone astray"):
        learn(recipe_for(model, dataset, tmp_path / "out"))
    assert [path.name for path in (tmp_path / ".out.training" / "checkpoints").iterdir()] == ["checkpoint-1"]


def test_memory_that_runs_out_is_one_line(model, dataset, tmp_path, monkeypatch, any_reward):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(VideoGRPOTrainer, "_compute_loss", full)
    with pytest.raises(DataError, match=r"^the device's memory is full \(CUDA .*\); lower answers_per_question, "):
        learn(recipe_for(model, dataset, tmp_path / "out"))


def test_output_of_another_recipe_is_left_alone(model, dataset, tmp_path):
    out = learn(recipe_for(model, dataset, tmp_path / "out", steps=1))
    with pytest.raises(DataError, match="holds a model of another recipe"):
        learn(recipe_for(model, dataset, out, steps=1, seed=1))
    assert learn(recipe_for(model, dataset, out, steps=1)) == out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rat": 1}, "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ({"rewards": {"acuracy": 1.0}}, "rewards: unknown 'acuracy'; did you mean 'accuracy'?"),
        ({"rewards": {"consistency": 1.0}}, "consistency and twins, which it compares with, need each other"),
        ({"tasks": ["distance"]}, "tasks: unknown 'distance'"),
        ({"answers_per_question": 1}, "answers_per_question must be at least 2"),
        ({"use_vllm": True}, "TRL hands vLLM no video"),
        ({"model": "./nowhere"}, "./nowhere: no such model folder"),
        ({"dataset": "./nowhere"}, "./nowhere: no such dataset folder"),
        ({"twins": ["reversed"], "rewards": {"consistency": 1.0}}, "has no config 'reversed'; it has "),
        ({"questions_per_step": 3}, "is not a multiple of answers_per_device 4"),
        ({"twins": ["mirrored"], "rewards": {"consistency": 1.0}, "questions_per_step": 1}, "step must be even: a"),
        ({"learning_rate": -1.0}, "learning_rate must be at least 0, got -1.0"),
        ({"temperature": float("nan")}, "recipe.yaml: temperature: expected float, got nan"),
        ({"bf16": True}, "PyTorch finds none here; run it where there is one (with a CUDA build of torch), take train"),
        ({"questions_per_step": 64}, "has too few questions on clips of one length"),
    ],
)
def test_errors_are_one_line(model, dataset, tmp_path, changes, message):
    values = {
        "model": str(model), "dataset": str(dataset), "output_dir": "out", "answers_per_question": 2,
        "answers_per_device": 4, "questions_per_step": 2, "bf16": False,
    }  # fmt: skip
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(values | changes))
    with pytest.raises((DataError, ValueError)) as caught:
        learn(load_recipe(config, GRPORecipe))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_program_ends_with_one_line(tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text("{model: ./nowhere, dataset: d, output_dir: out, use_vllm: true}")
    command = [sys.executable, str(ROOT / "training" / "grpo.py"), "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {config}: use_vllm: TRL hands vLLM no video")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["grpo_tiny", "grpo_7b_lora"])
def test_recipes_are_read(name):
    load_recipe(ROOT / "training" / "recipes" / f"{name}.yaml", GRPORecipe)


def test_what_is_worth_more_is_said_more(model, dataset, tmp_path, any_reward):
    out = learn(recipe_for(model, dataset, tmp_path / "out", steps=12, questions_per_step=8, answers_per_device=24))
    rewards = [log["reward"] for log in json.loads((out / "training.json").read_text())["log"] if "reward" in log]
    assert sum(rewards[-3:]) > 2 * sum(rewards[:3])

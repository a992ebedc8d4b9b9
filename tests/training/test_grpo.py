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
from tests.training.tiny_dataset import SIDE_PX, write_dataset
from transformers import AutoModelForImageTextToText, AutoProcessor

from stvlm.dataset.rows import SCHEMA
from stvlm.dataset.variants import seen_otherwise
from stvlm.dataset.video import VideoSettings, read_video, write_video
from stvlm.evaluation.dataset import frame_count, load_split
from stvlm.evaluation.frames import decode
from stvlm.records import DataError
from stvlm.training.callbacks import StopWhenAsked
from stvlm.training.grpo import learn, load_questions, make_plan, make_trainer
from stvlm.training.grpo_recipe import GRPORecipe, Lora
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.recipe import NewModel

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "training" / "chat_template.jinja").read_text()
SIZES = NewModel(
    image_size_px=32, patch_size_px=8, hidden_size=16, heads=2, vision_layers=1, language_layers=1, vocabulary=500
)


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
def model(dataset, tmp_path_factory):
    """A model's folder, its weights random."""
    rows = load_split(str(dataset), "train").rows
    processor = make_processor(
        SIZES, train_tokenizer((row[text] for row in rows for text in ("prompt", "answer")), SIZES.vocabulary), TEMPLATE
    )
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("model") / "tiny"
    make_model(SIZES, processor).save_pretrained(out)
    processor.save_pretrained(out)
    return out


def recipe_for(model, dataset, out, **changes):
    recipe = GRPORecipe(
        model=str(model), dataset=str(dataset), output_dir=str(out), steps=2, questions_per_step=4,
        answers_per_question=3, answers_per_device=6, max_new_tokens=5, learning_rate=1e-2, warmup_steps=0,
        bf16=False, gradient_checkpointing=False, save_steps=1,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


def with_twins(recipe):
    return dataclasses.replace(recipe, twins=("mirrored",), rewards={"closeness": 1.0, "consistency": 0.5})


def trainer_of(recipe, folder, **options):
    rows, questions, _ = load_questions(recipe)
    plan = make_plan(questions, [frame_count(row) for row in rows], recipe)
    return make_trainer(recipe, rows, plan, folder, **options)[0]


def seen_by(vision_tower):
    """A list to which every call of the tower adds its pixels."""
    seen = []
    vision_tower.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((args[0] if args else kwargs["pixel_values"]).detach()),
        with_kwargs=True,
    )
    return seen


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_every_pass_sees_the_video_of_its_own_question(model, dataset, tmp_path, monkeypatch, lora):
    """Drawing answers; the policy's old, the reference's and the policy's new probabilities, after TRL has shuffled."""
    recipe = with_twins(recipe_for(model, dataset, tmp_path / "out", steps=1, kl=0.1, lora=lora))
    trainer = trainer_of(recipe, tmp_path, num_iterations=2)
    policy = trainer.accelerator.unwrap_model(trainer.model)
    seen = seen_by((policy.get_base_model() if lora else policy).model.vision_tower)
    of_reference = seen_by(trainer.ref_model.model.vision_tower) if lora is None else seen
    video_processor = trainer.processing_class.video_processor
    pixels = {}
    for row in trainer._rows:
        frames = decode(Path(row["video_path"]))
        pixels[row["prompt"], row["video_path"]] = video_processor(videos=[frames], return_tensors="pt")
    checked = []

    def expected(rows):
        return torch.cat([pixels[row["prompt"], row["video_path"]]["pixel_values_videos"] for row in rows]).flatten(0, 1)

    def prompts_in(ids):
        return [text.split("\n")[2].removesuffix("<|im_end|>") for text in trainer.processing_class.batch_decode(ids)]

    def check(what, original, calls, rows_of):
        def checking(*args, **kwargs):
            before = len(calls)
            result = original(*args, **kwargs)
            rows = rows_of(*args, **kwargs)
            assert torch.equal(torch.cat(calls[before:]), expected(rows))
            checked.append((what, len(rows)))
            return result

        return checking

    def rows_of_ids(ids):
        """By the words that TRL has given, and the index that stands for the video."""
        rows = [trainer._rows[index] for index in trainer._at_hand]
        assert [row["prompt"] for row in rows] == prompts_in(ids)
        return rows

    def of_logps(model, input_ids, *args, **kwargs):
        return rows_of_ids(input_ids)

    generate, logps = policy.generate, trainer._get_per_token_logps_and_entropies
    monkeypatch.setattr(
        policy, "generate", check("draw", generate, seen, lambda **given: rows_of_ids(given["input_ids"]))
    )

    def logps_checked(given_model, *args, **kwargs):
        is_reference = given_model is trainer.ref_model
        what = "reference" if is_reference else "policy" if torch.is_grad_enabled() else "frozen"
        return check(what, logps, of_reference if is_reference else seen, of_logps)(given_model, *args, **kwargs)

    monkeypatch.setattr(trainer, "_get_per_token_logps_and_entropies", logps_checked)
    trainer.train()
    frozen = [("frozen", 12), ("reference", 12)] if lora is None else 2 * [("frozen", 12)]
    assert checked == [("draw", 12), *frozen, *2 * 2 * [("policy", 6)]]

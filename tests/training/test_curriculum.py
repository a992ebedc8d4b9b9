"""A model from nothing and a simulated world, as a user makes it."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file
from tests.training.test_run import SIZES, TEMPLATE
from tests.training.test_simulated_clips import LIMITS, OPTIONS
from transformers import AutoModelForImageTextToText, AutoProcessor

from stvlm.recipes import from_mapping
from stvlm.records import DataError
from stvlm.training import curriculum
from stvlm.training.curriculum import Curriculum, train
from stvlm.training.learner import Learner
from stvlm.training.recipe import Stage, Stages

STAGES = (Stage("boxes", 2, 4), Stage("motion", 2, 2), Stage("questions", 2, 2, learning_rate=1e-3, decay_share=0.5))


@pytest.fixture(autouse=True)
def few_texts(monkeypatch):
    monkeypatch.setattr(curriculum, "TOKENIZER_CLIPS", 5)


def recipe_for(out, **changes):
    recipe = Curriculum(
        str(out), dataclasses.replace(SIZES, language_layers=2), (OPTIONS,), Stages(STAGES, layer=1, save_steps=3),
        clips=LIMITS,
    )  # fmt: skip
    return dataclasses.replace(recipe, **changes)


def test_it_is_a_model_like_any_other_and_says_how_it_was_made(tmp_path):
    out = train(recipe_for(tmp_path / "tiny"), TEMPLATE)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    record = json.loads((out / "training.json").read_text())
    assert record["recipe"]["simulation"][0]["seed"] == OPTIONS["seed"]
    assert record["log"][-1]["step"] == 6
    assert record["log"][-1].keys() >= {"stage", "answers", "boxes", "motion", "hours", "told_motion", "told_hours"}
    model, processor = AutoModelForImageTextToText.from_pretrained(out), AutoProcessor.from_pretrained(out)
    assert record["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "How far?"}]}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[torch.full((5, 3, 96, 128), 255, dtype=torch.uint8)], return_tensors="pt")
    assert (inputs["pixel_values_videos"] == 1).all()  # white, as the model was shown it
    assert model.generate(**inputs, max_new_tokens=2, do_sample=False).shape[0] == 1


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    straight = train(recipe_for(tmp_path / "straight"), TEMPLATE)
    step, done = Learner._step, []

    def dies(self, loss):
        done.append(loss)
        if len(done) == 5:
            raise KeyboardInterrupt
        step(self, loss)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "_step", dies)
        with pytest.raises(KeyboardInterrupt):
            train(recipe_for(tmp_path / "killed"), TEMPLATE)
    assert not (tmp_path / "killed").exists()
    resumed = train(recipe_for(tmp_path / "killed"), TEMPLATE)
    expected, found = (load_file(out / "model.safetensors") for out in (straight, resumed))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert train(recipe_for(tmp_path / "killed"), TEMPLATE) == resumed  # done already


def test_another_recipes_work_is_left_alone(tmp_path):
    train(recipe_for(tmp_path / "tiny", learning=Stages(STAGES[:1], layer=1)), TEMPLATE)
    with pytest.raises(DataError, match="tiny: holds something else"):
        train(recipe_for(tmp_path / "tiny"), TEMPLATE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"simulation": []}, "simulation holds at least one family"),
        ({"learning": {"stages": []}}, "stages holds at least one entry"),
        ({"learning": {"stages": [{"learn": "colours", "steps": 1, "batch_size": 1}]}}, "learn is one of boxes"),
        ({"learning": {"stages": [{"learn": "boxes", "steps": 0, "batch_size": 1}]}}, "at least 1"),
        ({"learning": {"layer": 9, "stages": [{"learn": "boxes", "steps": 1, "batch_size": 1}]}}, "layer is one of"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(changes, message):
    values = {"output_dir": "x", "new_model": {}, "simulation": [{}], "learning": {}} | changes
    if "learning" not in changes:
        values["learning"] = {"layer": 1, "stages": [{"learn": "boxes", "steps": 1, "batch_size": 1}]}
    with pytest.raises(DataError, match=message):
        from_mapping(Curriculum, values, "recipe")

"""A benchmark that is answered while a model is trained, what is logged of it, and what stops a run astray."""

import dataclasses
import json
from collections import Counter

import pytest
import torch
from tests.evaluation.tiny_models import TEMPLATE
from tests.training.small_runs import losses, write_recipe

from stvlm.evaluation.run import Settings, evaluate
from stvlm.records import DataError
from stvlm.training.benchmarking import load_questions
from stvlm.training.recipe import Benchmark, Lora, Quantization
from stvlm.training.run import train
from stvlm.training.trainer import VideoSFTTrainer


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return write_recipe(tmp_path_factory.mktemp("run"), clips_per_split=2, epochs=8)


def test_questions_are_spread_over_the_tasks(recipe):
    """Of each clip two distances and two comparisons."""
    rows = load_questions(Benchmark(recipe.dataset, questions=4))
    assert sorted(Counter(row["task"] for row in rows).values()) == [1, 1, 2]
    assert rows == load_questions(Benchmark(recipe.dataset, questions=4))
    assert len(load_questions(Benchmark(recipe.dataset))) == 8


@pytest.mark.parametrize("kind", [{}, {"lora": Lora(r=8), "quantization": Quantization()}], ids=["full", "qlora"])
def test_scores_in_training_are_those_of_the_model_that_is_left(recipe, tmp_path, kind):
    """And the losses are those without a benchmark."""
    recipe = dataclasses.replace(recipe, **kind)
    asked = dataclasses.replace(
        recipe, output_dir=str(tmp_path / "asked"), benchmark=Benchmark(recipe.dataset, steps=6, max_new_tokens=24)
    )
    out = train(asked, TEMPLATE)
    log = json.loads((out / "training.json").read_text())["log"]
    scores = [entry for entry in log if "eval_average_accuracy" in entry]
    assert [entry["step"] for entry in scores] == [6, 12, 16]
    # The best constant answers: one of two distances, and the colour that always wins.
    assert scores[-1]["eval_traveled_distance_constant"] == 0.5
    assert scores[-1]["eval_traveled_distance_comparison_constant"] == 1.0
    straight = train(dataclasses.replace(recipe, output_dir=str(tmp_path / "straight")), TEMPLATE)
    unasked = losses(json.loads((straight / "training.json").read_text())["log"])
    assert losses(log) == pytest.approx(unasked, abs=1e-6)
    if not kind:  # what is left has the weights that answered
        settings = Settings(recipe.dataset, str(out), controls=(), max_new_tokens=24)
        evaluate(settings, tmp_path / "results")
        found = json.loads((tmp_path / "results" / "results.json").read_text())["scores"]["model"]
        for name, value in scores[-1].items():
            if name.endswith(("_accuracy", "parse_rate")):
                assert value == pytest.approx(found[name.removeprefix("eval_")])
        assert scores[-1]["eval_parse_rate"] > 0


def test_a_loss_that_is_no_number_ends_the_run(recipe, tmp_path, monkeypatch):
    ours = VideoSFTTrainer.compute_loss

    def astray(self, *args, **kwargs):
        loss = ours(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 2 else loss

    monkeypatch.setattr(VideoSFTTrainer, "compute_loss", astray)
    recipe = dataclasses.replace(recipe, output_dir=str(tmp_path / "out"), save_steps=1)
    with pytest.raises(DataError, match="the loss of step 3 is nan: training has gone astray; lower learning_rate"):
        train(recipe, TEMPLATE)
    (checkpoint,) = (tmp_path / ".out.training" / "checkpoints").iterdir()
    assert checkpoint.name == "checkpoint-2"
    assert all(torch.isfinite(v).all() for v in torch.load(checkpoint / "optimizer.pt")["state"][0].values())


def test_trackers_are_told(recipe, tmp_path):
    from trackio.sqlite_storage import SQLiteStorage

    recipe = dataclasses.replace(recipe, output_dir=str(tmp_path / "out"), report_to="trackio", epochs=1)
    out = train(recipe, TEMPLATE)
    told = [entry["train/loss"] for entry in SQLiteStorage.get_logs("stvlm", "out") if "train/loss" in entry]
    assert told == pytest.approx(losses(json.loads((out / "training.json").read_text())["log"]))

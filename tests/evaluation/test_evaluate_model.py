"""evaluate_model.py as a user runs it, on a model that training made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.training.tiny_dataset import write_dataset

from stvlm.evaluation.answering import Asked, answer_all
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.frames import CONTROLS, decode
from stvlm.records import DataError
from stvlm.training.recipe import NewModel, SFTRecipe
from stvlm.training.run import train

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "training" / "chat_template.jinja").read_text()
SIZES = NewModel(
    image_size_px=32, patch_size_px=8, hidden_size=32, heads=2, vision_layers=1, language_layers=1, vocabulary=500
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="module")
def model(dataset, tmp_path_factory):
    recipe = SFTRecipe(
        dataset=str(dataset), output_dir=str(tmp_path_factory.mktemp("runs") / "model"), model=None, new_model=SIZES,
        epochs=60, batch_size=2, batch_size_per_device=2, pack_questions=True, optimizer="muon", learning_rate=1e-2,
        bf16=False, gradient_checkpointing=False, cache_frames=True, workers=0, save_steps=1000,
    )  # fmt: skip
    return train(recipe, TEMPLATE)


def evaluate(*arguments):
    command = [sys.executable, str(ROOT / "evaluate_metric" / "evaluate_model.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_end_to_end_and_only_what_is_missing_is_asked_again(dataset, model, tmp_path):
    arguments = ("--model", model, "--dataset", dataset, "--out", tmp_path / "out", "--batch_size", 3)
    first = evaluate(*arguments)
    assert first.returncode == 0, first.stderr
    place = tmp_path / "out" / "responses.jsonl"
    lines = place.read_text().splitlines(keepends=True)
    assert len(lines) == 3 * 16  # the model, black frames, first frame only
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["scores"]["model"]["traveled_distance_comparison_accuracy"] == 1.0  # it is always red
    assert results["scores"]["best_constant"]["traveled_distance_comparison_accuracy"] == 1.0
    assert results["dataset"]["rows"] == 16
    assert "traveled_distance_comparison" in first.stdout
    assert "too few clips to tell: fewer than 30" in first.stdout

    place.write_text("".join(lines[:20]) + lines[20][:30])  # as an interruption leaves it
    again = evaluate(*arguments)
    assert "28/28" in again.stderr
    assert again.stdout == first.stdout
    assert sorted(place.read_text().splitlines(keepends=True)) == sorted(lines)
    assert "answering" not in evaluate(*arguments).stderr


def test_responses_of_another_model_are_left_alone(dataset, model, tmp_path):
    (tmp_path / "run.json").write_text('{"model": "another"}')
    found = evaluate("--model", model, "--dataset", dataset, "--out", tmp_path)
    assert found.returncode == 1
    assert found.stderr.strip().splitlines()[-1].startswith(f"error: {tmp_path}: holds responses of another model")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no-such-folder", "--dataset", "{dataset}"], "no-such-folder: no such model folder"),
        (["--model", "m", "--dataset", "./nowhere"], "./nowhere: no such dataset folder"),
        (
            ["--model", "m", "--dataset", "{dataset}", "--split", "validation"],
            "has no split 'validation'; it has 'train'",
        ),
    ],
)
def test_errors_are_one_line(dataset, tmp_path, arguments, message):
    found = evaluate(*(part.format(dataset=dataset) for part in arguments), "--out", tmp_path / "out")
    assert found.returncode == 1
    assert message in found.stderr.strip().splitlines()[-1]


def test_a_start_that_failed_claims_nothing(dataset, model, tmp_path):
    (tmp_path / "broken").mkdir()
    assert evaluate("--model", tmp_path / "broken", "--dataset", dataset, "--out", tmp_path / "out").returncode == 1
    found = evaluate("--model", model, "--dataset", dataset, "--out", tmp_path / "out", "--controls", "", "--limit", 1)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("value", ["0", "-1", "x"])
def test_counts_are_at_least_one(dataset, tmp_path, value):
    found = evaluate("--model", "m", "--dataset", dataset, "--out", tmp_path, "--limit", value)
    assert found.returncode == 2
    assert f"expected a whole number of at least 1, got '{value}'" in found.stderr


def test_memory_that_runs_out_halves_the_batch(dataset):
    sizes = []

    class Full:
        def answer(self, asked):
            sizes.append(len(asked))
            if len(asked) > 2:
                raise torch.OutOfMemoryError
            return [item.row["id"] for item in asked]

    asked = [Asked(row, "model") for row in load_split(str(dataset), "test").rows]
    answered = [pair for batch in answer_all(Full(), asked, 8) for pair in batch]
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert sorted(text for _, text in answered) == sorted(item.row["id"] for item in asked)
    assert all(item.row["id"] == text for item, text in answered)

    class Fuller:
        def answer(self, asked):
            raise torch.OutOfMemoryError

    with pytest.raises(DataError, match="does not fit into memory"):
        list(answer_all(Fuller(), asked, 8))


def test_controls_take_the_motion_and_the_picture_away(dataset):
    frames = decode(next((dataset / "simulation" / "test" / "videos").iterdir()))
    static, black = CONTROLS["static"](frames), CONTROLS["black"](frames)
    assert static.shape == black.shape == frames.shape
    assert not torch.equal(frames[0], frames[-1])
    assert torch.equal(static[-1], frames[0])
    assert black.max() == 0

"""evaluate_model.py as a user runs it, on a model that training made and on a random one."""

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.evaluation.tiny_models import TEMPLATE, write_model
from tests.training.tiny_dataset import write_dataset

from stvlm.evaluation.run import Settings, evaluate
from stvlm.training.recipe import NewModel, SFTRecipe
from stvlm.training.run import train

PROGRAM = Path(__file__).parents[2] / "evaluate_metric" / "evaluate_model.py"
SIZES = NewModel(
    image_size_px=32, patch_size_px=8, hidden_size=32, heads=2, vision_layers=1, language_layers=1, vocabulary=500
)


ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
"""Sums come out the same in every process, and threads do not wait for one another where there is so little to do."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "random")


def command(*arguments):
    return [sys.executable, str(PROGRAM), *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), env=ONE_THREAD, capture_output=True, text=True, timeout=600)


def test_a_trained_model_is_asked_and_scored(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # else training takes more threads
    recipe = SFTRecipe(
        dataset=str(dataset), output_dir=str(tmp_path / "model"), model=None, new_model=SIZES,
        epochs=20, batch_size=2, batch_size_per_device=2, pack_questions=True, optimizer="muon", learning_rate=1e-2,
        bf16=False, gradient_checkpointing=False, cache_frames=True, workers=0, save_steps=1000,
    )  # fmt: skip
    told = evaluate(Settings(str(dataset), str(train(recipe, TEMPLATE)), max_new_tokens=24), tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["scores"]["model"]["traveled_distance_comparison_accuracy"] == 1.0  # it is always red
    assert results["scores"]["best_constant"]["traveled_distance_comparison_accuracy"] == 1.0
    assert results["dataset"]["rows"] == 16
    assert set(results["scores"]) == {"model", "black", "static", "best_constant"}
    assert "traveled_distance_comparison" in told
    assert "too few clips to tell: fewer than 30" in told


def test_killed_it_goes_on_to_the_same_results(dataset, model, tmp_path):
    controls = ("black", "static", "shuffled", "no_boxes", "text_only")
    whole = evaluate(
        Settings(str(dataset), str(model), controls=controls, batch_size=3, max_new_tokens=32), tmp_path / "whole"
    )
    asked = ("--model", model, "--dataset", dataset, "--batch_size", 3, "--max_new_tokens", 32)
    asked += ("--controls", ",".join(controls))
    place = tmp_path / "killed" / "responses.jsonl"
    program = command(*asked, "--out", place.parent)
    with subprocess.Popen(program, env=ONE_THREAD, stderr=subprocess.DEVNULL) as running:
        while not (place.exists() and place.read_bytes().count(b"\n") >= 10):
            assert running.poll() is None
            time.sleep(0.002)
        running.kill()
    answered = place.read_bytes().count(b"\n")
    assert 10 <= answered < 6 * 16
    with place.open("a") as file:
        file.write('{"id": "test0-0", "contr')  # as a full disk leaves it
    again = run(*asked, "--out", place.parent)
    assert again.returncode == 0, again.stderr
    assert "96/96" in again.stderr
    assert again.stdout == f"{whole}\n"
    results = [(tmp_path / name / "results.json").read_bytes() for name in ("whole", "killed")]
    assert results[0] == results[1]
    lines = [sorted((tmp_path / name / "responses.jsonl").read_text().splitlines()) for name in ("whole", "killed")]
    assert lines[0] == lines[1]


def test_an_error_is_one_line(dataset, tmp_path):
    found = run("--model", "no-such-folder", "--dataset", dataset, "--out", tmp_path / "out")
    assert found.returncode == 1
    assert found.stderr.strip().splitlines()[-1].startswith("error: no-such-folder: no such model folder")
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "0"], "expected a whole number of at least 1, got '0'"),
        (["--requests_per_minute", "-1"], "expected a number above 0, got '-1'"),
        (["--controls", "black,blue"], "unknown control 'blue'; known: black, static, shuffled, no_boxes, text_only"),
        (["--context", "maps"], "unknown context 'maps'; known: extrinsics, depth"),
        (["--backend", "magic"], "invalid choice: 'magic' (choose from 'transformers', 'vllm', 'openai', 'geometry')"),
    ],
)
def test_what_no_option_takes_is_told(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", command("--model", "m", "--dataset", "d", "--out", "o", *arguments)[1:])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert message in capsys.readouterr().err

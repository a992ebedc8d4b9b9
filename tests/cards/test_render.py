"""model_card/render.py as a user runs it: what it writes, that the pictures show something, and what it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard, parse_eval_result_entries
from PIL import Image
from tests.publishing.release_folder import write_release

from stvlm.cards.figures import training_curve

PROGRAM = Path(__file__).parents[2] / "model_card" / "render.py"
FIGURES = ("errors", "examples", "pipeline", "radar", "ranges", "training")
DATASET_CARD = ("README.md", "examples.jpg", "labels.svg")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("release"))


def render(place: Path, out: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), "--results", "results", "--out", out, *more]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_every_card_is_rendered_from_files(place: Path) -> None:
    done = render(place, "cards", "--org", "me")
    assert done.returncode == 0, done.stderr
    cards = place / "cards"
    made = {path.relative_to(cards).as_posix() for path in cards.rglob("*") if path.is_file()}
    assert made == {
        "model/README.md", "model/.eval_results/stkit-bench.yaml", *(f"model/figures/{name}.png" for name in FIGURES),
        *(f"{kind}/{name}" for kind in ("dataset", "benchmark") for name in DATASET_CARD), "metric/README.md",
    }  # fmt: skip
    text = (cards / "model" / "README.md").read_text(encoding="utf-8")
    assert all(f"](figures/{name}.png)" in text for name in FIGURES)
    assert str(place) not in text, "no path of this machine is published"
    assert "not run: controls: first frame only" in done.stdout

    entries = parse_eval_result_entries(yaml.safe_load((cards / "model/.eval_results/stkit-bench.yaml").read_text()))
    scores = json.loads((place / "results" / "results.json").read_text())["scores"]["model"]
    assert {e.dataset_id for e in entries} == {"me/stkit-bench"}
    assert entries[0].value == round(100 * scores["average_accuracy"], 1) > 0
    assert ModelCard.load(cards / "model" / "README.md").data.datasets == ["me/stkit"]
    assert DatasetCard.load(cards / "dataset" / "README.md").data.license == "apache-2.0"
    benchmark = (cards / "benchmark" / "README.md").read_text(encoding="utf-8")
    assert '[`evaluate.load("me/stkit_bench")`](https://huggingface.co/spaces/me/stkit_bench)' in benchmark

    for name in FIGURES:
        picture = np.asarray(Image.open(cards / "model" / "figures" / f"{name}.png").convert("L"))
        assert picture.shape[1] > 400 and picture.std() > 10, f"{name} is empty"
    before = {path: path.read_bytes() for path in cards.rglob("*.*") if path.is_file()}
    render(place, "cards", "--org", "me")
    assert {path: path.read_bytes() for path in before} == before


def test_what_is_gone_is_left_out(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "results", tmp_path / "results")
    for name in ("results.json", "responses.jsonl"):
        path = tmp_path / "results" / name
        path.write_text(path.read_text().replace(str(place), "/elsewhere"))
    done = render(tmp_path, "cards")
    assert done.returncode == 0, done.stderr
    assert "cards/dataset: left out, as no built dataset is at hand; name it by --dataset" in done.stdout
    made = {path.name for path in (tmp_path / "cards").rglob("*") if path.is_file()}
    assert made == {"README.md", "radar.png"}
    text = (tmp_path / "cards" / "model" / "README.md").read_text(encoding="utf-8")
    assert "- how st-vlm-tiny was trained: it has no training.json" in text and "/elsewhere" not in text


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    done = render(tmp_path, "cards")
    program = "give a folder that was --out of evaluate_metric/evaluate_model.py"
    assert (done.returncode, done.stderr) == (1, f"error: results: holds no results.json; {program}\n")
    assert not (tmp_path / "cards").exists()


def test_a_run_that_logged_little_has_no_curve() -> None:
    assert training_curve([{"step": 10, "loss": 1.0}, {"train_loss": 2.0}]) is None

"""Computed answers to a built dataset are right: questions, labels, sentences and the metric agree from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stvlm.dataset.folder import build
from stvlm.dataset.prepare import BuildRequest
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.variants import VARIANTS
from stvlm.engine import Engine
from stvlm.evaluation.backends.geometry import NO_ANSWER, answer_from
from stvlm.evaluation.run import Settings, evaluate
from stvlm.evaluation.trajectories import Trajectory
from stvlm.recipes import from_mapping
from stvlm.records import DataError
from stvlm.scoring import MULTISTEP, TASKS

ROOT = Path(__file__).parents[2]
WORLD = {"seed": 5, "split": "test", "recordings": 5, "duration_s": 10.0, "frame_rate_hz": 2, "annotation_rate_hz": 2}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Annotations alone: all that tracks need."""
    given = {"name": "r", "title": "R", "sources": {"simulation": WORLD}, "splits": {"test": "test"}}
    recipe = from_mapping(Recipe, given | {"variants": list(VARIANTS)}, "recipe")
    out = tmp_path_factory.mktemp("data") / "dataset"
    build(BuildRequest(recipe, {}, annotations_only=True, limit=None, engine=Engine()), out)
    return out


@pytest.mark.parametrize("config", [None, *VARIANTS])
def test_every_answer_from_exact_tracks_is_right(dataset, tmp_path, config):
    evaluate(Settings(str(dataset), None, "geometry", config=config, controls=()), tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    scores = results["scores"]["model"]
    tasks = ("traveled_distance", "traveling_speed", *MULTISTEP) if config == "multistep" else TASKS
    assert {task: scores[f"{task}_accuracy"] for task in tasks} == dict.fromkeys(tasks, 1.0)
    assert min(scores[f"{task}_count"] for task in tasks) >= 5
    assert scores["traveled_distance_mae"] < 0.006, "half a centimetre is the targets' rounding"
    assert results["dataset"]["config"] == (config or "default")


def test_it_runs_as_a_program_and_needs_nothing_of_models(dataset, tmp_path):
    code = (
        "import sys, runpy; sys.argv[0] = sys.argv.pop(1); runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "print(*{'stvlm.evaluation.frames', 'transformers', 'openai'} & set(sys.modules), file=sys.stderr)"
    )
    program = [sys.executable, "-c", code, str(ROOT / "evaluate_metric" / "evaluate_model.py")]
    arguments = ["--backend", "geometry", "--dataset", str(dataset), "--out", str(tmp_path / "out"), "--limit", "20"]
    found = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr
    assert found.stderr.splitlines()[-1] == ""
    assert "geometry" in found.stdout
    assert len((tmp_path / "out" / "responses.jsonl").read_text().splitlines()) == 20


@pytest.fixture
def row(dataset):
    """Whether two objects move in the same direction over the whole clip, of which there are three."""
    rows = pq.read_table(dataset / "simulation" / "test" / "metadata.parquet").to_pylist()
    return next(r for r in rows if r["task"] == "movement_direction_comparison" and len(r["objects"]) == 3)


def moving(*directions):
    """Tracks that go on in these directions on the ground, 2 m a step."""
    steps = 2.0 * np.arange(40)[:, None]
    return np.array([np.hstack([steps * direction, 0 * steps]) for direction in directions])


def answered(row, **tracks):
    """The answer where the tracks of these colours go where they are said to, and the others north."""
    ways = {"east": (1.0, 0.0), "north": (0.0, 1.0), "north-east": (0.6, 0.8)}
    xyz_m = moving(*(ways[tracks.get(item["color"], "north")] for item in row["objects"]))
    n = len(row["frame_times_s"])
    return answer_from(row, Trajectory("driving", xyz_m[:, :n], np.eye(4)[None].repeat(n, axis=0)))


def test_the_objects_are_those_that_the_question_names(row):
    asked = sorted(
        (item["color"] for item in row["objects"] if f"the {item['color']} " in row["question"].lower()),
        key=row["question"].lower().index,
    )
    (left_out,) = {item["color"] for item in row["objects"]} - set(asked)
    assert answered(row) == answered(row, **{left_out: "east"})
    assert answered(row, **{asked[0]: "east"}) != answered(row)
    assert answered(row, **{asked[0]: "north-east"}) == NO_ANSWER, "37 degrees are neither the same nor different"


def test_what_it_needs_is_asked_for_in_one_line(row, dataset, tmp_path):
    with pytest.raises(DataError, match=r"^row .*: its wording mine/1 is not one of the library's own"):
        answered({**row, "template_id": "mine/1"})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "simulation").symlink_to(dataset / "simulation")
    (tmp_path / "data" / "README.md").symlink_to(dataset / "README.md")
    with pytest.raises(DataError, match=r"data: trajectories/clips.parquet cannot be read"):
        evaluate(Settings(str(tmp_path / "data"), None, "geometry", controls=()), tmp_path / "out")
    with pytest.raises(DataError, match="takes no --model"):
        Settings("data", "a-model", "geometry", controls=())

"""The metric folder as users have it: loaded by `evaluate` in a process of its own, offline, without our package."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "evaluate_metric" / "stkit_bench"


@pytest.fixture
def run(tmp_path):
    """Runs Python code beside the metric folder, where `evaluate.load("stkit_bench")` finds it; gives its output."""

    def run_code(code: str) -> str:
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        env |= {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
        command = [sys.executable, "-B", "-c", code]
        done = subprocess.run(command, cwd=FOLDER.parent, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_code


def test_the_folder_holds_the_scoring_of_the_library():
    modules = list((ROOT / "src" / "stvlm" / "scoring").glob("[!_]*.py"))
    assert {path.name for path in FOLDER.glob("*.py")} == {path.name for path in modules} | {"app.py", "stkit_bench.py"}
    for path in modules:
        assert (FOLDER / path.name).read_bytes() == path.read_bytes()


def test_it_loads_and_scores_without_our_package(run):
    results = json.loads(
        run("""
import json
import sys

import evaluate

metric = evaluate.load("stkit_bench")
distance = {"task": "traveled_distance", "target": "20.00", "choices": [], "question": "How far?"}
hour = {"task": "movement_direction", "target": "3"}
once = metric.compute(
    predictions=["21 m", "", "2 o'clock"], references=[distance, distance, hour], confidence=0.95, per_sample=True
)
metric.add(prediction="21 m", reference=distance)
metric.add_batch(predictions=["", "2 o'clock"], references=[distance, hour])
print(json.dumps({"once": once, "in pieces": metric.compute(), "ours": "stvlm" in sys.modules}))
""")
    )
    expected = {
        "average_accuracy": 0.25,
        "traveled_distance_accuracy": 0.5,
        "traveled_distance_count": 2,
        "traveled_distance_mae": 1.0,
        "movement_direction_accuracy": 0.0,
        "movement_direction_count": 1,
        "movement_direction_mae": 1.0,
        "parse_rate": pytest.approx(2 / 3),
    }
    assert results["ours"] is False
    assert results["in pieces"] == expected
    once = results["once"]
    assert {key: once[key] for key in expected} == expected
    assert [sample["value"] for sample in once["per_sample"]] == [21.0, None, 2]
    assert once["parse_rate_low"] < once["parse_rate"] < once["parse_rate_high"]


def test_whole_dataset_rows_are_references(run):
    output = run("""
import datasets
import evaluate

row = {
    "file_name": "videos/c.mp4", "id": "q", "clip_id": "c", "base_id": "q", "task": "traveled_distance_comparison",
    "question": "Which object moves slower?", "prompt": "The video lasts ...", "answer": "The red object.",
    "target": "red", "choices": ["red", "blue"], "target_sigma": None, "start_s": 0.0, "end_s": 2.0,
    "objects": [{"color": "red", "track_id": "t", "category": "car", "boxes_px": [[0.0, 0.0, 9.0, 9.0], None]}],
    "frame_times_s": [0.0, 0.5], "clip_start_ns": 1, "intrinsics_px": [1.0, 1.0, 0.0, 0.0], "source": "simulation",
    "scene_id": "s", "camera": "front", "split": "test", "label_type": "simulated", "template_id": "t1",
}
rows = datasets.Dataset.from_list([row, row | {"clip_id": "d"}])
metric = evaluate.load("stkit_bench")
answers = ["The blue one is faster.", "The blue one."]
print(metric.compute(predictions=answers, references=rows)["average_accuracy"])
print(metric.compute(predictions=answers, references=rows.to_list(), confidence=0.95)["average_accuracy_high"])
""")
    assert output.splitlines() == ["0.5", "1.0"]


def test_errors_name_the_item_and_leave_the_metric_usable(run):
    output = run("""
import evaluate

metric = evaluate.load("stkit_bench")
good = {"task": "traveled_distance", "target": "20.00"}
for predictions, references in [
    ([], []),
    (["20 m"], None),
    (["20 m"], [good, good]),
    (["20 m", None], [good, good]),
    (["20 m", "20 m"], [good, {"task": "traveled_distance", "target": 20}]),
]:
    try:
        metric.compute(predictions=predictions, references=references)
    except ValueError as error:
        print(error)
try:
    metric.add(prediction="20 m", reference={"task": "speed", "target": "20.00"})
except ValueError as error:
    print(error)
print(metric.compute(predictions=["20 m"], references=[good])["average_accuracy"])
""")
    lines = output.splitlines()
    assert lines[0] == "no predictions: there is nothing to score"
    assert lines[1] == "predictions and references are both needed"
    assert lines[2] == "1 predictions for 2 references"
    assert lines[3].startswith("predictions[1]: None is not a string")
    assert lines[4] == 'references[1]: target 20 of traveled_distance is not metres such as "20.15"'
    assert lines[5].startswith("reference: task 'speed' is not one of traveled_distance, ")
    assert lines[6:] == ["1.0"]


def test_the_examples_of_card_and_docstring_are_true(run):
    output = run("""
import doctest

import evaluate

card = doctest.testfile("stkit_bench/README.md", module_relative=False)
text = evaluate.load("stkit_bench").inputs_description
docstring = doctest.DocTestParser().get_doctest(text, {"evaluate": evaluate}, "stkit_bench", None, 0)
print(card, doctest.DocTestRunner().run(docstring))
""")
    assert output == "TestResults(failed=0, attempted=4) TestResults(failed=0, attempted=3)\n"


def test_the_card_is_that_of_a_space():
    front = (FOLDER / "README.md").read_text(encoding="utf-8").split("---")[1]
    assert re.search(r"^sdk: gradio$", front, re.MULTILINE)
    app_file = re.search(r"^app_file: (\S+)$", front, re.MULTILINE)
    assert app_file and (FOLDER / app_file[1]).is_file()


def test_the_page_scores_its_examples():
    pytest.importorskip("gradio", reason="the page needs gradio, the metric does not")
    code = "import app; app.build_demo(); print([app.judge(*example)['correct'] for example in app.EXAMPLES])"
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=FOLDER, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == str([True] * 6), done.stderr

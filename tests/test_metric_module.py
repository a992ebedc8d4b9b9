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


READER = """
import contextlib, io, json, sys, traceback

for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            exec(json.loads(line), {})
            error = ""
        except Exception:
            error = traceback.format_exc()
    print(json.dumps([said.getvalue(), error]), flush=True)
"""
"""Runs code that it reads, a line of JSON each. One process for all, as `evaluate` takes seconds to import."""


def command(code: str) -> list[str]:
    return [sys.executable, "-B", "-c", code]


def environment(home: Path, **hub: str) -> dict[str, str]:
    """That of a user who has not installed our package, without a network but to this Hub."""
    offline = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    return {name: value for name, value in (os.environ | (hub or offline)).items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs Python code beside the metric folder, where `evaluate.load("stkit_bench")` finds it; gives its output."""
    env = environment(tmp_path_factory.mktemp("home"))
    with subprocess.Popen(command(READER), cwd=FOLDER.parent, env=env, text=True, stdin=-1, stdout=-1) as reader:

        def run_code(code: str) -> str:
            print(json.dumps(code), file=reader.stdin, flush=True)
            said, error = json.loads(reader.stdout.readline())
            assert not error, error
            return said

        yield run_code


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
by = metric.compute(predictions=answers, references=rows.to_list(), confidence=0.95, by=["source", "variant"])["by"]
print(by["source"]["simulation"]["average_accuracy"], by["variant"]["original"]["average_accuracy_high"] > 0.99)
""")
    assert output.splitlines() == ["0.5", "0.5 True"]


def test_videos_are_left_alone(run, tmp_path):
    """Their column is one that would be decoded, row by row; these are none, so that the attempt would fail."""
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    output = run(f"""
import datasets
import evaluate

rows = [{{"video": {str(tmp_path / "clip.mp4")!r}, "task": "traveled_distance", "target": "20.00", "start_s": 0.5}}] * 2
rows = datasets.Dataset.from_list(rows).cast_column("video", datasets.Video())
metric = evaluate.load("stkit_bench")
print(metric.compute(predictions=["20 m", "9 m"], references=rows)["average_accuracy"])
print(metric.compare(["20 m", "9 m"], ["9 m", "9 m"], rows)["average_accuracy"]["value"])
""")
    assert output.splitlines() == ["0.5", "0.5"]


def test_what_is_asked_for_comes_through(run):
    """Twins, floors, breakdowns and a comparison, given in pieces."""
    found = json.loads(
        run("""
import json

import evaluate

metric = evaluate.load("stkit_bench")
rows = [
    {"task": "traveled_distance", "target": target, "source": source, "id": base_id + variant, "base_id": base_id}
    for base_id, target, source in [("p", "10.00", "kitti"), ("q", "40.00", "nuscenes")]
    for variant in ("", "-mirrored")
]
metric.add(prediction="10 m", reference=rows[0])
metric.add_batch(predictions=["11 m", "40 m", "20 m"], references=rows[1:])
options = {"confidence": 0.95, "groups": True, "mra": True, "floors": {"traveled_distance": 0.6}, "by": "source"}
print(json.dumps([metric.compute(**options), metric.compare(["10 m"] * 4, ["40 m"] * 4, rows)]))
""")
    )
    scores, differences = found
    assert scores["traveled_distance_accuracy"] == 0.75
    assert (scores["traveled_distance_constant"], scores["traveled_distance_floor"]) == (0.5, 0.6)
    assert scores["traveled_distance_skill"] == pytest.approx(0.375)
    assert scores["traveled_distance_mra"] == pytest.approx((1.0 + 0.8 + 1.0 + 0.0) / 4)  # 10 % off is not below 10 %
    assert (scores["traveled_distance_group_accuracy"], scores["traveled_distance_group_count"]) == (0.5, 2)
    assert scores["by"]["source"]["nuscenes"]["traveled_distance_accuracy"] == 0.5
    assert scores["average_skill_low"] < scores["average_skill"] < scores["average_skill_high"]
    assert differences["average_accuracy"] == {"value": 0.0, "low": -1.0, "high": 1.0, "clips": 2, "p_value": 1.0}


def test_from_its_space_it_is_the_same(run, hub, tmp_path):
    code = """
import json
import sys

import evaluate

metric = evaluate.load({!r})
rows = [{{"task": "movement_direction", "target": hour, "clip_id": hour}} for hour in ("3", "3", "9")]
scores = metric.compute(predictions=["3", "4", "9 o'clock"], references=rows, confidence=0.95, floors=True)
print(json.dumps([scores, metric.compare(["3"] * 3, ["9"] * 3, rows), "stvlm" in sys.modules]))
"""
    upload = """
from huggingface_hub import HfApi

HfApi().create_repo("me/stkit_bench", repo_type="space", space_sdk="gradio")
HfApi().upload_folder(repo_id="me/stkit_bench", repo_type="space", folder_path="stkit_bench")
"""
    here = json.loads(run(code.format("stkit_bench")))
    there = subprocess.run(
        command(upload + code.format("me/stkit_bench")), cwd=FOLDER.parent, capture_output=True, text=True, timeout=300,
        env=environment(tmp_path, **hub.environment(tmp_path / "empty")),
    )  # fmt: skip
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout) == here
    assert here[0]["movement_direction_skill"] == 0.0
    assert here[2] is False


def test_errors_name_the_item_and_leave_the_metric_usable(run):
    output = run("""
import evaluate

metric = evaluate.load("stkit_bench")
good = {"task": "traveled_distance", "target": "20.00"}
for predictions, references in [
    ([], []),
    (["20 m"], None),
    ("20 m", [good] * 4),
    (["20 m"], [good, good]),
    (["20 m", None], [good, good]),
    (["20 m", 20.0], [good, good]),
    (["20 m", "20 m"], [good, {"task": "traveled_distance", "target": 20}]),
    (["20 m", "20 m"], [good, {"task": "traveled_distance", "target": float("nan")}]),
]:
    try:
        metric.compute(predictions=predictions, references=references)
    except ValueError as error:
        print(error)
for prediction, reference in [("20 m", {"task": "speed", "target": "20.00"}), (None, good), ("20 m", None)]:
    try:
        metric.add(prediction=prediction, reference=reference)
    except ValueError as error:
        print(error)
for option in [{"confidence": 95}, {"by": "source"}, {"groups": True}, {"floors": {"speed": 0.5}}]:
    try:
        metric.compute(predictions=["20 m"], references=[good], **option)
    except ValueError as error:
        print(error)
print(metric.compute(predictions=["20 m"], references=[good])["average_accuracy"])
""")
    tasks = "one of traveled_distance, "
    for line, beginning in zip(
        output.splitlines(),
        [
            "no predictions: there is nothing to score",
            "references: NoneType is not a list",
            "predictions: str is not a list",
            "1 predictions for 2 references",
            "predictions[1]: None is not a string",
            "predictions[1]: 20.0 is not a string",
            'references[1]: target 20 of traveled_distance is not metres such as "20.15"',
            "references[1]: target nan of traveled_distance is not metres",
            f"reference: task 'speed' is not {tasks}",
            "prediction: None is not a string",
            "reference: NoneType is not a dict",
            "confidence 95 is not a number between 0 and 1",
            "references[0]: has no 'source'",
            "references[0]: has no 'base_id'",
            f"floors: task 'speed' is not {tasks}",
            "1.0",
        ],
        strict=True,
    ):
        assert line.startswith(beginning)


def test_the_examples_of_card_and_docstring_are_true(run):
    output = run("""
import doctest

import evaluate

card = doctest.testfile("stkit_bench/README.md", module_relative=False)
text = evaluate.load("stkit_bench").inputs_description
docstring = doctest.DocTestParser().get_doctest(text, {"evaluate": evaluate}, "stkit_bench", None, 0)
print(card, doctest.DocTestRunner().run(docstring))
""")
    assert output == "TestResults(failed=0, attempted=11) TestResults(failed=0, attempted=3)\n"


def test_the_card_is_that_of_a_space():
    front = (FOLDER / "README.md").read_text(encoding="utf-8").split("---")[1]
    assert re.search(r"^sdk: gradio$", front, re.MULTILINE)
    app_file = re.search(r"^app_file: (\S+)$", front, re.MULTILINE)
    assert app_file and (FOLDER / app_file[1]).is_file()


def test_the_page_scores_its_examples():
    pytest.importorskip("gradio", reason="the page needs gradio, the metric does not")
    code = """
import json

import app

app.build_demo()
scores, answers, labels, _ = app.judge_many(app.MANY, "source")
table = "task\\ttarget\\tchoices\\tprediction\\ntraveling_speed_comparison\\tred\\tred, blue\\tRed."
print(json.dumps([
    [app.judge_one(*example).splitlines() for example in app.EXAMPLES], scores, answers, labels,
    app.judge_many(table, "")[1][0],
]))
for text in ("", '{"task": ', "task,target\\nspeed,3", '{"task": "speed", "target": "3", "prediction": "4"}'):
    try:
        app.judge_many(text, "")
    except app.gr.Error as error:
        print(error.message.partition(",")[0])
"""
    done = subprocess.run(command(code), cwd=FOLDER, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found, *errors = done.stdout.splitlines()
    examples, scores, answers, labels, of_table = json.loads(found)
    assert [verdict for verdict, _ in examples] == ["### Right"] * 6
    assert examples[1][1] == "Read as **14.4 km/h**, where **15.04 km/h** is true: 0.64 km/h off."
    assert [row[:5] for row in scores] == [
        ["traveled_distance", 3, "33.3 (1.1 to 95.6)", "33.3", "0.0"],
        ["movement_direction", 2, "50.0 (0.2 to 99.8)", "50.0", "0.0"],
        ["traveling_speed_comparison", 2, "50.0 (0.2 to 99.8)", "50.0", "0.0"],
        ["average (71.4 % read)", 7, scores[3][2], "", "0.0"],
    ]
    assert answers[2] == [3, "traveled_distance", "I cannot tell.", "(refusal)", "35.00", "wrong"]
    assert [label[:2] for label in labels] == [["kitti", 3], ["nuscenes", 4]]
    assert of_table == [1, "traveling_speed_comparison", "Red.", "red", "red", "right"]
    assert errors == [
        "no predictions: there is nothing to score",
        "Line 1 is not JSON: Expecting value: line 1 column 9 (char 8)",
        "Row 1 has no 'prediction'",
        "references[0]: task 'speed' is not one of traveled_distance",
    ]

"""STKit-Bench in inspect-ai, where it is installed: its loader, its mock model, its log."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.harnesses.installed import environment, python_with
from tests.harnesses.seven_tasks import ANSWERS, SCORES, as_json, write_benchmark

from stvlm.scoring import score_all

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys
from inspect_ai import eval
from inspect_ai.model import ModelOutput, ModelUsage, get_model

answers, seen = json.loads(sys.argv[1]), []

def answer(messages, tools, tool_choice, config):
    seen.append([part.type for part in messages[0].content])
    output = ModelOutput.from_content("mockllm", answers[messages[0].text])
    output.usage = ModelUsage()  # else it counts tokens with a file from the network
    return output

log = eval(
    "evaluate_metric/harnesses/inspect_ai/stkit_bench.py", model=get_model("mockllm/model", custom_outputs=answer),
    task_args=json.loads(sys.argv[2]), log_dir=sys.argv[3], display="none", epochs=int(sys.argv[4]),
)[0]
assert log.status == "success", log.error
samples = [
    {"id": s.id, "value": s.scores["kinematics"].value, "answer": s.scores["kinematics"].answer,
     **s.scores["kinematics"].metadata} for s in log.samples
]
metrics = {name: metric.value for name, metric in log.results.scores[0].metrics.items()}
print("RESULT", json.dumps({"metrics": metrics, "samples": samples, "seen": seen[0]}))
"""


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "stkit-bench"
    return folder, write_benchmark(folder)


def run(rows, tmp_path, epochs=1, **arguments):
    command = [python_with("inspect_ai"), "-c", RUN, as_json(rows), json.dumps(arguments), tmp_path / "logs", epochs]
    env = environment(HF_HOME=str(tmp_path / "hf"))
    return subprocess.run(list(map(str, command)), cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)


def result(done):
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.rpartition("RESULT ")[2])


@pytest.mark.parametrize(("media", "seen"), [("video", ["video", "text"]), ("frames", ["image"] * 5 + ["text"])])
def test_inspect_ai_gives_the_scores_of_the_scorer(benchmark, tmp_path, media, seen):
    folder, rows = benchmark
    found = result(run(rows, tmp_path, dataset=str(folder), media=media))
    assert found["seen"] == seen  # the first clip has five frames
    scores = {key: value for key, value in found["metrics"].items() if not key.endswith("_count")}
    assert scores == pytest.approx(SCORES)
    assert found["metrics"] == score_all(
        [sample["response"] for sample in found["samples"]], [sample["reference"] for sample in found["samples"]]
    )
    by_id = {sample["id"]: sample for sample in found["samples"]}
    assert [by_id[row["id"]]["response"] for row in rows] == ANSWERS
    assert (by_id["row0"]["value"], by_id["row0"]["answer"]) == (1.0, "21.0")
    assert (by_id["row1"]["value"], by_id["row1"]["answer"]) == (0.0, None)


def test_every_epoch_counts(benchmark, tmp_path):
    folder, rows = benchmark
    found = result(run(rows, tmp_path, epochs=2, dataset=str(folder)))
    assert found["metrics"]["traveled_distance_count"] == 4
    assert found["metrics"]["average_accuracy"] == pytest.approx(SCORES["average_accuracy"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "stkit-bench"}, "give an absolute path, as $PWD/stkit-bench"),
        ({"dataset": "/nowhere"}, "/nowhere: no such dataset folder"),
        ({"dataset": "/nowhere", "media": "audio"}, "media 'audio' is not one of video, frames"),
    ],
)
def test_what_is_wrong_is_said_last(benchmark, tmp_path, arguments, message):
    done = run(benchmark[1], tmp_path, **arguments)
    assert done.returncode
    assert message in done.stderr.strip().splitlines()[-1]

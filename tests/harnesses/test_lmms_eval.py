"""STKit-Bench in lmms-eval: its functions here, and lmms-eval itself where it is installed."""

import importlib.util
import json
import subprocess
from pathlib import Path

import datasets
import pytest
import torch
import yaml
from tests.harnesses.installed import environment, python_with
from tests.harnesses.seven_tasks import ANSWERS, ASKED, SCORES, write_benchmark

from stvlm.evaluation.backends.transformers import TransformersModel
from stvlm.evaluation.frames import decode
from stvlm.evaluation.general import LmmsTask, read_lmms_eval
from stvlm.scoring import MULTISTEP, TASKS, score_all
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.recipe import NewModel

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "evaluate_metric" / "harnesses" / "lmms_eval"
SIZES = NewModel(
    image_size_px=32, patch_size_px=8, hidden_size=32, heads=2, vision_layers=1, language_layers=1, vocabulary=300
)


@pytest.fixture(scope="module")
def adapter():
    spec = importlib.util.spec_from_file_location("adapter", FOLDER / "stkit_bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def task():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    return yaml.load((FOLDER / "stkit_bench.yaml").read_text(), Loader)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "stkit-bench"
    return folder, write_benchmark(folder)


def aggregated(adapter, rows, answers):
    """As lmms-eval does it: a list a metric, and its aggregation over that."""
    items = {}
    for row, answer in zip(rows, answers, strict=True):
        for key, item in adapter.process_results(row, [answer]).items():
            items.setdefault(key, []).append(item)
    return {key: getattr(adapter, key)(of_key) for key, of_key in items.items()}


def test_scores_are_those_of_the_scorer(adapter, benchmark):
    rows = benchmark[1]
    scores = aggregated(adapter, rows, ANSWERS)
    assert scores == pytest.approx(SCORES)
    ours = score_all(ANSWERS, rows)
    assert scores == {key: value for key, value in ours.items() if not key.endswith("_count")}


def test_an_answer_that_says_nothing_is_in_no_mean_error(adapter, benchmark):
    counted = adapter.process_results(benchmark[1][0], ["I cannot tell."])
    assert set(counted) == {"average_accuracy", "traveled_distance_accuracy", "parse_rate"}
    assert counted["parse_rate"]["score"] == 0.0


def test_every_metric_of_the_contract_is_named_once(adapter, task):
    named = [metric["metric"] for metric in task["metric_list"]]
    with_mae = ("traveled_distance", "traveling_speed", "movement_direction", *MULTISTEP)
    expected = {"average_accuracy", "parse_rate", "direction_timestamp_iou"}
    expected |= {f"{name}_accuracy" for name in (*TASKS, *MULTISTEP)} | {f"{name}_mae" for name in with_mae}
    assert len(named) == len(set(named))
    assert set(named) == expected
    for metric in task["metric_list"]:
        assert metric["aggregation"] == f"stkit_bench.{metric['metric']}"
        assert metric["higher_is_better"] is not metric["metric"].endswith("_mae")
    functions = [value for value in task.values() if isinstance(value, str) and value.startswith("stkit_bench.")]
    assert all(callable(getattr(adapter, name.removeprefix("stkit_bench."))) for name in functions)
    assert len(functions) == 4
    assert task["generation_kwargs"]["until"] == []  # else lmms-eval ends an answer at its first empty line


def test_a_model_is_given_the_mp4_and_the_prompt(adapter, benchmark):
    folder, rows = benchmark
    split = datasets.load_dataset(str(folder), streaming=True)["test"]
    doc = next(iter(adapter.process_docs(split)))
    assert adapter.doc_to_text(doc) == rows[0]["prompt"]
    (video,) = adapter.doc_to_visual(doc)
    assert Path(video).name == "test0.mp4" and Path(video).is_file()
    with pytest.raises(ValueError, match="rows have no video"):
        adapter.process_docs(datasets.Dataset.from_list([{"prompt": "x"}]))


def run_lmms_eval(folder, out, *arguments):
    command = [python_with("lmms_eval"), "-m", "lmms_eval", "--include_path", FOLDER, "--tasks", "stkit_bench"]
    command += [*arguments, "--output_path", out, "--log_samples"]
    env = environment(HF_HOME=str(out / "hf"), HF_DATASETS_CACHE=str(out / "cache"))
    done = subprocess.run(
        list(map(str, command)), cwd=folder.parent, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (results,) = out.rglob("*_results.json")
    (samples,) = out.rglob("*_samples_stkit_bench.jsonl")
    found = json.loads(results.read_text())["results"]["stkit_bench"]
    scores = {
        key.removesuffix(",none"): value for key, value in found.items() if "_stderr" not in key and key != "alias"
    }
    return scores, [json.loads(line) for line in samples.read_text().splitlines()]


def test_lmms_eval_gives_the_scores_of_the_scorer(benchmark, tmp_path):
    """On answers of every kind, which its model `from_log` says again."""
    folder, _ = benchmark
    log = {
        "args": {"model": "m", "model_args": "", "limit": None},
        "model_configs": {"task": "stkit_bench"},
        "logs": [{"doc_id": number, "resps": [[answer]]} for number, answer in enumerate(ANSWERS)],
    }
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "log.json").write_text(json.dumps(log))
    arguments = ("--model", "from_log", "--model_args", f"logs={tmp_path / 'logs'}")
    scores, samples = run_lmms_eval(folder, tmp_path / "out", *arguments)
    assert scores == pytest.approx(SCORES)
    said = [sample["average_accuracy"]["answer"] for sample in samples]
    ours = score_all(said, [sample["average_accuracy"]["reference"] for sample in samples])
    assert scores == {key: value for key, value in ours.items() if not key.endswith("_count")}
    # lmms-eval takes <think>...</think> out of answers itself.
    assert said == [answer.replace("<think>hm</think>", "") for answer in ANSWERS]

    (tmp_path / "out" / "run.json").write_text('{"command": "", "version": ""}')
    gathered = read_lmms_eval(tmp_path / "out", "stkit_bench", LmmsTask("average_accuracy", 1))
    assert gathered.value == ours["average_accuracy"]


def test_our_model_in_lmms_eval_answers_as_it_does_to_us(benchmark, tmp_path):
    folder, rows = benchmark
    torch.manual_seed(0)
    tokenizer = train_tokenizer([row["prompt"] for row in rows], SIZES.vocabulary)
    processor = make_processor(SIZES, tokenizer, (ROOT / "training" / "chat_template.jinja").read_text())
    make_model(SIZES, processor).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    arguments = ("--model", "st_vlm", "--model_args", f"pretrained={tmp_path / 'model'}", "--batch_size", 2)
    _, samples = run_lmms_eval(folder, tmp_path / "out", *arguments)
    model = TransformersModel(str(tmp_path / "model"), max_new_tokens=64)
    videos = folder / "simulation" / "test"
    clips = [decode(videos / row["file_name"]) for row in rows]
    ours = [
        model.generate([[clip]], [row["frame_times_s"]], [row["prompt"]])[0]
        for clip, row in zip(clips, rows, strict=True)
    ]
    assert len(set(ours)) > 1
    assert [sample["average_accuracy"]["answer"] for sample in samples] == ours
    assert len(ours) == len(ASKED)

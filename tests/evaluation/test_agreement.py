"""A results folder read by a chat model and by the rules: extract_with_llm.py as a user runs it, and values by hand."""

import json
import shutil
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.chat_server import ChatServer, refusal, transformers_serve
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset

from stvlm.chat_api import Endpoint
from stvlm.dataset.rows import SCHEMA
from stvlm.evaluation.agreement import Reading, as_agreement, as_disagreements, count_kinds, is_equal
from stvlm.evaluation.extraction import UNREADABLE, Extraction
from stvlm.evaluation.extraction_folder import extract_results
from stvlm.evaluation.results import Answer
from stvlm.evaluation.run import Settings, evaluate
from stvlm.records import DataError

PROGRAM = Path(__file__).parents[2] / "evaluate_metric" / "extract_with_llm.py"
RED, BLUE, FARTHER, FASTER = "red object travel", "blue object travel", "travels farther", "is faster"
SAID = {RED: "It travels 12 m.", BLUE: "Some 13 feet.", FARTHER: "The red one.", FASTER: "You tell me."}
READ = {RED: "12", BLUE: "3.96", FARTHER: "blue", FASTER: "red"}


def by_question(text, table):
    return next(table[words] for words in table if words in text)


def said_to(request):
    """The question and the response that a chat model is asked to read."""
    told = json.loads(request["messages"][0]["content"].splitlines()[-1])
    return told["question"], told["response"]


def read(request):
    return json.dumps({"answer": by_question(said_to(request)[0], READ)})


def make_results(dataset, out, answer):
    """What evaluate_model.py leaves of a model behind an endpoint."""

    def said(request):
        return answer(request["messages"][0]["content"][-1]["text"])

    with ChatServer(said) as server:
        evaluate(
            Settings(str(dataset), "any", "openai", base_url=server.url, controls=("text_only",), concurrency=1), out
        )
    return out


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """16 questions about 4 clips; red travels 12 or 15 m, blue 4 or 5 m, and red is always the right choice.

    A distance is asked for in feet: what is extracted is in meters all the same.
    """
    folder = write_dataset(tmp_path_factory.mktemp("data") / "tiny")
    path = folder / "simulation" / "test" / "metadata.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        for column in ("question", "prompt"):
            row[column] = row[column].replace(" travel?", " travel, in feet? Name the unit.")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    return folder


@pytest.fixture(scope="module")
def evaluated(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "model"
    return make_results(dataset, out, lambda question: by_question(question, SAID))


@pytest.fixture
def results(evaluated, tmp_path):
    return Path(shutil.copytree(evaluated, tmp_path / "results"))


def command(*arguments):
    return [sys.executable, str(PROGRAM), *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600)


def test_both_readings_are_scored_side_by_side(results):
    with ChatServer(read) as server:
        found = run(results, "--endpoint", server.url, "--model", "reader")
        assert found.returncode == 0, found.stderr
        assert len(server.requests) == 4, "the same response to the same question is read once"
        again = extract_results(results, Endpoint(server.url, "reader", max_tokens=2048))
        assert again + "\n" == found.stdout
        assert len(server.requests) == 4
    assert "16/16" in found.stderr
    lines = [" ".join(line.split()) for line in found.stdout.splitlines()]
    assert [line.split(" (")[0] for line in lines[:3]] == ["rules reader", "TD Acc 100.0", "MAE m 1.0"]
    assert any(line.startswith("TDC 100.0 (") and " 0.0 (" in line for line in lines)
    assert "traveled_distance 100.0% 8 0 0 0 0 0" in lines
    assert "traveled_distance_comparison 0.0% 0 4 0 0 0 0" in lines
    assert "all 50.0% 8 4 0 4 0 0" in lines
    assert sum(line.startswith("Read in two ways: 8 responses, all in ") for line in lines) == 1
    assert lines.count('response "The red one."') == 1, "of four, as they say the same"
    assert lines[lines.index('response "The red one."') + 1 :][:2] == ["rules red, right", "LLM blue, wrong"]

    content = json.loads((results / "extraction.json").read_text())
    assert content["extractor"]["model"] == "reader"
    assert (content["responses"], content["unreadable"], content["no_reply"]) == (16, 0, 0)
    rules, llm = content["scores"]["rules"], content["scores"]["llm"]
    assert {key: rules[key] for key in llm} == json.loads((results / "results.json").read_text())["scores"]["model"]
    accuracies = ["traveled_distance", "traveled_distance_comparison", "traveling_speed_comparison"]
    assert [rules[f"{task}_accuracy"] for task in accuracies] == [1.0, 1.0, 0.0]
    assert [llm[f"{task}_accuracy"] for task in accuracies] == [1.0, 0.0, 1.0]
    assert (rules["parse_rate"], llm["parse_rate"]) == (0.75, 1.0)
    # red is off by 0 or 3 m; blue, 13 ft = 3.9624 m, by 0.0376 or 1.0376 m, and by 0.04 or 1.04 m
    assert rules["traveled_distance_mae"] == pytest.approx((0 + 3 + 0.0376 + 1.0376) / 4)
    assert llm["traveled_distance_mae"] == pytest.approx((0 + 3 + 0.04 + 1.04) / 4)

    read_lines = [json.loads(line) for line in (results / "extracted.jsonl").read_text().splitlines()]
    assert [line["id"] for line in read_lines[:4]] == ["test0-0", "test0-1", "test0-2", "test0-3"]
    assert read_lines[3] == {
        "id": "test0-3", "task": "traveling_speed_comparison", "response": "You tell me.",
        "reply": '{"answer": "red"}', "extracted": "red", "agreement": "only LLM",
        "rules": {"value": None, "reason": "no choice", "correct": False},
        "llm": {"value": "red", "reason": "", "correct": True},
    }  # fmt: skip


def test_replies_that_do_not_come_or_cannot_be_read_are_counted(results):
    def poorly(request):
        question, _ = said_to(request)
        return refusal(400, "too long") if RED in question else "red" if FASTER in question else read(request)

    with ChatServer(poorly) as server:
        told = extract_results(results, Endpoint(server.url, "reader"))
        assert "4 replies are not in the form that was asked for: counted as not read." in told
        assert "4 responses have no reply, the first, no reply: HTTP 400: too long: counted as not read; run" in told
    content = json.loads((results / "extraction.json").read_text())
    assert (content["unreadable"], content["no_reply"]) == (4, 4)
    assert content["scores"]["llm"]["parse_rate"] == 0.5
    assert content["scores"]["llm"]["traveled_distance_accuracy"] == 0.5
    assert content["agreement"]["all"] == {
        "equal": 4, "different": 4, "only rules": 0, "only LLM": 0, "neither": 0, "no extraction": 8,
    }  # fmt: skip
    lines = [json.loads(line) for line in (results / "extracted.jsonl").read_text().splitlines()]
    assert (lines[0]["extracted"], lines[0]["llm"]["reason"]) == (None, "no reply: HTTP 400: too long")
    assert (lines[3]["reply"], lines[3]["llm"]["reason"]) == ("red", UNREADABLE)
    with ChatServer(read) as server:
        extract_results(results, Endpoint(server.url, "reader"))
        assert [RED in said_to(request)[0] for request in server.requests] == [True], "what failed, and nothing else"


def test_killed_it_goes_on_where_it_was(dataset, tmp_path):
    number = count(10)
    results = make_results(dataset, tmp_path / "results", lambda question: f"It travels {next(number)} m.")
    hangs, over = threading.Event(), threading.Event()

    def answer(request):
        if len(server.requests) == 6 and not hangs.is_set():
            hangs.set()
            over.wait(30)
        return '{"answer": "none"}'

    with ChatServer(answer) as server:
        arguments = (results, "--endpoint", server.url, "--model", "reader", "--concurrency", 1)
        with subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL) as running:
            assert hangs.wait(30)
            running.kill()
        assert sorted(path.name for path in results.iterdir() if path.suffix) == [
            "responses.jsonl", "results.json", "run.json",
        ]  # fmt: skip
        before = [said_to(request) for request in server.requests[:5]]
        over.set()
        extract_results(results, Endpoint(server.url, "reader", max_tokens=2048))
        asked = [said_to(request) for request in server.requests]
    assert len(asked) == 17, "16, and once more what was not answered"
    assert all(asked.count(item) == 1 for item in before)


def test_a_real_server_whose_model_says_nothing_of_sense(results, tmp_path):
    model = write_model(tmp_path / "model")
    with transformers_serve(model) as url:
        extract_results(results, Endpoint(url, str(model), max_tokens=4))
    content = json.loads((results / "extraction.json").read_text())
    assert (content["unreadable"], content["no_reply"]) == (16, 0)
    assert content["scores"]["llm"]["parse_rate"] == content["scores"]["llm"]["average_accuracy"] == 0.0
    assert content["agreement"]["all"]["no extraction"] == 16


# --- agreement by hand ---


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (20.1168, 20.12, True), (20.0, 20.2, True), (20.0, 20.3, False), (0.0, 0.01, True), (0.0, 0.02, False),
        (10, 10.0, True), (11, 12, False), ((3.5, 6.0), (3.5, 6.0), True), ((3.5, 6.0), (3.5, 6.5), False),
        ((3.5, 6.0), 3.5, False), ("red", "red", True), ("red", "blue", False),
    ],
)  # fmt: skip
def test_what_is_equal(a, b, equal):
    assert is_equal(a, b) is is_equal(b, a) is equal


def reading(rules, llm, failure="", row_id="a", correct=(False, False), response="Well."):
    row = {"id": row_id, "task": "traveled_distance", "question": "How far?", "target": "20.00"}
    rules, llm = (
        Answer(row_id, row["task"], response, value, "", is_correct, None, None, row)
        for value, is_correct in zip((rules, llm), correct, strict=True)
    )
    return Reading(row, Extraction("", failure), rules, llm)


def test_kinds_are_counted_by_task_and_overall():
    readings = [
        reading(20.0, 20.0), reading(0.0, 0.0), reading(20.0, 30.0), reading(20.0, None), reading(None, 0.0),
        reading(None, None), reading(None, None), reading(None, None), reading(20.0, None, UNREADABLE),
        reading(None, None, "no reply: HTTP 500: broken"),
    ]  # fmt: skip
    counts = {"equal": 2, "different": 1, "only rules": 1, "only LLM": 1, "neither": 3, "no extraction": 2}
    assert count_kinds(readings) == {"traveled_distance": counts, "all": counts}
    # 2 equal and 3 neither, of 8 whose readings are known
    assert " ".join(as_agreement(count_kinds(readings)).splitlines()[-1].split()) == "all 62.5% 2 1 1 1 3 2"
    assert " ".join(as_agreement(count_kinds(readings[-2:])).splitlines()[-1].split()) == "all - 0 0 0 0 0 2"


def test_what_decides_a_score_is_shown_first():
    trifling = [reading(1.0, 2.0, row_id=f"{number:02}", response=f"Well, {number}.") for number in range(30)]
    decisive = reading(20.0, 2000.0, row_id="zz", correct=(True, False), response="x" * 500 + "\x1b[2J the end")
    shown = as_disagreements([*trifling, decisive, reading(1.0, 1.0), reading(1.0, None, UNREADABLE)], Path("there"))
    assert shown[0] == "Read in two ways: 31 responses, all in there; the first of them, each once:"
    assert len(shown) == 1 + 20
    assert shown[1].startswith("zz  traveled_distance, true: 20.00\n")
    assert "rules     20.0, right\n  LLM       2000.0, wrong" in shown[1]
    assert "xxx [...] xxx" in shown[1]
    assert r'\u001b[2J the end"' in shown[1], "nothing that a terminal takes for a command"
    assert [told[:2] for told in shown[2:]] == [f"{number:02}" for number in range(19)]
    assert as_disagreements([reading(1.0, 1.0)], Path("there")) == []


# --- what cannot be ---


def test_an_error_is_one_line(tmp_path):
    found = run(tmp_path / "no", "--endpoint", "http://localhost:1/v1", "--model", "reader")
    assert found.returncode == 1
    (line,) = found.stderr.strip().splitlines()
    assert line.startswith(f"error: {tmp_path / 'no'}: no such folder; give a folder that was --out of ")


def test_results_that_are_not_of_this_dataset_are_told(results, dataset, tmp_path):
    with ChatServer(read) as server:

        def refused(folder, of, told):
            with pytest.raises(DataError, match=told):
                extract_results(folder, Endpoint(server.url, "reader"), str(of))

        refused(dataset, dataset, "tiny: holds no results.json; give a folder that was --out of ")
        refused(results, "./nowhere", "nowhere: no such dataset folder")
        other = write_dataset(tmp_path / "other", clips_per_split=5)
        refused(results, other, r"other: not as it was when .* was made \(fingerprint")

        content = json.loads((results / "results.json").read_text())
        content["scores"]["model"]["traveled_distance_accuracy"] = 0.9
        (results / "results.json").write_text(json.dumps(content))
        refused(results, dataset, r"responses\.jsonl: does not give the traveled_distance scores in results\.json")
        del content["dataset"]["split"]
        (results / "results.json").write_text(json.dumps(content))
        refused(results, dataset, r"results\.json: not what evaluate_metric/evaluate_model\.py writes")
        assert server.requests == [], "nothing is paid for in vain"
    assert not list(results.glob("extract*"))


def test_an_endpoint_that_lets_nobody_in_leaves_nothing_half_done(results):
    told = "model reader: HTTP 401: who are you; put the endpoint's key into the env"
    with ChatServer(lambda _: refusal(401, "who are you")) as server, pytest.raises(DataError, match=told):
        extract_results(results, Endpoint(server.url, "reader"))
    assert not list(results.glob("extract*.json*"))

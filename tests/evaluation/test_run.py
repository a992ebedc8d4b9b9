"""What is asked, what is asked again, and which folders of answers are refused."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset

from stvlm.evaluation import run
from stvlm.evaluation.answering import Answered
from stvlm.evaluation.run import Settings, evaluate
from stvlm.records import DataError


class Parrot:
    """Says much the same to everything, and remembers what it was asked."""

    def __init__(self):
        self.batches = []

    def answer(self, batches):
        for batch in batches:
            self.batches.append(batch)
            yield from (Answered(item, f"about {len(item.control)} m") for item in batch)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("models") / "random"))


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data")


@pytest.fixture
def parrot(monkeypatch):
    found = Parrot()
    monkeypatch.setattr(run, "_open_backend", lambda *_: found)
    return found


def change(dataset, rows_to):
    place = dataset / "simulation" / "test" / "metadata.parquet"
    table = pq.read_table(place)
    pq.write_table(pa.Table.from_pylist([rows_to(row) for row in table.to_pylist()], table.schema), place)


def test_a_batch_of_which_an_answer_is_missing_is_asked_again_as_it_was(dataset, model, parrot, tmp_path):
    settings = Settings(str(dataset), model, controls=("black",), batch_size=8)
    evaluate(settings, tmp_path / "out")
    first = parrot.batches.copy()
    shown = [sorted({(item.row["clip_id"], item.control) for item in batch}) for batch in first]
    assert [len(batch) for batch in first] == [8] * 4
    assert shown == [[(f"test{i}", "black"), (f"test{i}", "model")] for i in (0, 2, 1, 3)]  # of 5, then of 6 frames
    place = tmp_path / "out" / "responses.jsonl"
    lines = place.read_text().splitlines(keepends=True)
    place.write_text("".join(lines[:3] + lines[4:]))
    parrot.batches.clear()
    evaluate(settings, tmp_path / "out")
    assert parrot.batches == first[:1]
    assert sorted(place.read_text().splitlines(keepends=True)) == sorted(lines)
    parrot.batches.clear()
    evaluate(settings, tmp_path / "out")
    assert parrot.batches == []


def test_more_rows_and_controls_may_be_asked_later(dataset, model, parrot, tmp_path):
    evaluate(Settings(str(dataset), model, controls=(), limit=3), tmp_path / "out")
    evaluate(Settings(str(dataset), model, controls=("static",)), tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["dataset"]["rows"] == 16
    assert len((tmp_path / "out" / "responses.jsonl").read_text().splitlines()) == 32


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"max_new_tokens": 5}, "out: holds responses of another max new tokens; choose another --out"),
        ({"split": "train"}, "out: holds responses of another split"),
        ({"model": "{other}"}, "out: holds responses of another model"),
        ({"shots": 1, "shots_from": "{dataset}"}, r"row test0-0 \(model\) was answered before its prompt"),
        ({"backend": "vllm"}, "out: holds responses of another backend"),
    ],
)
def test_answers_of_another_run_are_refused(dataset, model, parrot, tmp_path, other, told):
    settings = {"dataset": str(dataset), "model": model, "controls": (), "limit": 2}
    evaluate(Settings(**settings), tmp_path / "out")
    before = (tmp_path / "out" / "responses.jsonl").read_bytes()
    paths = {"other": str(write_model(tmp_path / "other", seed=1)) if "model" in other else "", "dataset": dataset}
    other = {name: value.format(**paths) if isinstance(value, str) else value for name, value in other.items()}
    with pytest.raises(DataError, match=told):
        evaluate(Settings(**{**settings, **other}), tmp_path / "out")
    assert (tmp_path / "out" / "responses.jsonl").read_bytes() == before


def test_answers_of_other_software_or_of_nobody_known_are_refused(dataset, model, parrot, tmp_path):
    settings = Settings(str(dataset), model, controls=(), limit=2)
    evaluate(settings, tmp_path / "out")
    record = tmp_path / "out" / "run.json"
    was = json.loads(record.read_text())
    record.write_text(json.dumps(was | {"versions": was["versions"] | {"transformers": "5.18.0"}}))
    with pytest.raises(DataError, match="out: holds responses of another version of transformers; choose another"):
        evaluate(settings, tmp_path / "out")
    record.write_text("[]")
    with pytest.raises(DataError, match=r"out: holds a run\.json that is not of this program; choose another --out"):
        evaluate(settings, tmp_path / "out")
    record.unlink()
    with pytest.raises(DataError, match=r"out: holds responses without run\.json, which says whose they are"):
        evaluate(settings, tmp_path / "out")


def test_a_start_that_failed_claims_nothing(dataset, model, parrot, monkeypatch, tmp_path):
    class Broken:
        def answer(self, batches):
            raise DataError("no memory")
            yield

    with monkeypatch.context() as patch:
        patch.setattr(run, "_open_backend", lambda *_: Broken())
        with pytest.raises(DataError, match="no memory"):
            evaluate(Settings(str(dataset), model, max_new_tokens=5), tmp_path / "out")
    evaluate(Settings(str(dataset), model), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["max_new_tokens"] == 64


@pytest.mark.parametrize(
    ("rows_to", "told"),
    [
        (lambda row: row | {"prompt": row["prompt"] + " Hm?"}, r"row test0-0 \(model\) was answered before its prompt"),
        (lambda row: row | {"target": row["target"].replace("12.00", "12.01")}, r"row test0-0 \(model\) was answered"),
        (lambda row: row | {"id": row["id"].replace("test0-0", "new")}, "row test0-0 is not in "),
    ],
)
def test_answers_to_another_revision_are_refused(dataset, model, parrot, tmp_path, rows_to, told):
    evaluate(Settings(str(dataset), model, controls=()), tmp_path / "out")
    change(dataset, rows_to)
    with pytest.raises(DataError, match=told):
        evaluate(Settings(str(dataset), model, controls=()), tmp_path / "out")


def test_examples_come_before_the_prompt(dataset, model, parrot, tmp_path):
    evaluate(Settings(str(dataset), model, controls=(), shots=2, shots_from=str(dataset)), tmp_path / "out")
    asked = [item for batch in parrot.batches for item in batch]
    assert len(asked) == 16
    for item in asked:
        assert item.prompt.endswith(item.row["prompt"])
        assert item.prompt.count("\nAnswer: ") == 2
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["settings"]["shots"], results["settings"]["shots_from"]) == (2, str(dataset))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"config": "paraphrased"}, "has no config 'paraphrased'; it has 'default'"),
        ({"split": "validation"}, "has no split 'validation'; it has 'train', 'test'"),
        ({"shots": 40, "shots_from": "{dataset}"}, "40 examples of traveled_distance are wanted, and 4 other scenes"),
        ({"shots": 1}, "--shots N needs --shots_from DATASET"),
        ({"context": ("depth",)}, "--context depth needs --depth_dir"),
        ({"context": ("depth",), "depth_dir": "nowhere"}, "nowhere/test0.npy: no such file"),
        ({"context": ("extrinsics",)}, "trajectories/clips.parquet cannot be read"),
        ({"model": None}, "--backend transformers needs a --model"),
    ],
)
def test_what_is_missing_is_told_before_any_model_is_loaded(dataset, model, parrot, tmp_path, settings, told):
    settings = {k: v.format(dataset=dataset) if isinstance(v, str) else v for k, v in settings.items()}
    with pytest.raises(DataError, match=told) as error:
        evaluate(Settings(**{"dataset": str(dataset), "model": model, "controls": (), **settings}), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert parrot.batches == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows_to", "told"),
    [
        (lambda row: row | {"task": "speed"}, r"data: row test0-0: task 'speed' is not one of traveled_distance, "),
        (lambda row: row | {"target": "0.00"}, r"data: row test0-0: target '0\.00' of traveled_distance must be above"),
        (lambda row: row | {"id": "test0-0"}, "data: has two rows test0-0; build or fetch the dataset again"),
    ],
)
def test_rows_that_cannot_be_scored_are_never_asked(dataset, model, parrot, tmp_path, rows_to, told):
    change(dataset, rows_to)
    with pytest.raises(DataError, match=told):
        evaluate(Settings(str(dataset), model, controls=()), tmp_path / "out")
    assert parrot.batches == []


def test_a_folder_of_other_data_is_refused(model, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.csv").write_text("id,question,target\na,How far?,20.00\n")
    with pytest.raises(DataError, match=r"data: its rows have no id, base_id, .*; give a dataset that dataset_builder"):
        evaluate(Settings(str(tmp_path / "data"), model, controls=()), tmp_path / "out")

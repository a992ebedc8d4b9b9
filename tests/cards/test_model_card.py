"""The card of a model: every number is a file's, what no file tells is left out and said, and the Hub reads it."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard, eval_result_entries_to_yaml, parse_eval_result_entries
from tests.evaluation.results_folder import write_results
from tests.training.tiny_dataset import write_dataset

from stvlm.cards.evidence import Evidence, Validation, gather, label_errors
from stvlm.cards.model import Names, eval_results, limits, not_run, render_model_card, told_other
from stvlm.cards.model_folder import CAPTIONS, write_model_card
from stvlm.dataset.rows import SCHEMA
from stvlm.evaluation.dataset import load_split
from stvlm.files import write_json
from stvlm.records import DataError

NAMES = Names("me/tiny", "me/stkit", "me/stkit-bench", "me/stkit_bench", "me/st-vlm")
FIGURES = dict.fromkeys(CAPTIONS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its training and results, of right answers to comparisons and half right ones to distances."""
    place = tmp_path_factory.mktemp("cards")
    data = write_dataset(place / "data", 8)
    build = {
        "stvlm": "0.1.0",
        "recipe": {"title": "Squares"},
        "report": {
            "recordings": 8, "clips": 8, "rows": 32, "variants": {"mirrored": {"rows": 9}, "retimed": {"rows": 0}},
            "by_source": {"simulation train": {"traveled_distance": 24}, "kitti train": {"traveled_distance": 8}},
        },
    }  # fmt: skip
    write_json(data / "build.json", build)
    table = data / "simulation" / "train" / "metadata.parquet"
    rows = pq.read_table(table).to_pylist()  # a quarter of the questions is about drives
    pq.write_table(pa.Table.from_pylist([row | {"source": "kitti"} for row in rows[:8]] + rows[8:], SCHEMA), table)
    rows = load_split(str(data), "test").rows
    right = [row["target"] if row["choices"] or i % 8 == 0 else "9000 m" for i, row in enumerate(rows)]
    answers = {"model": right, "black": ["red"] * len(rows)}
    write_results(place / "results", data, answers, str(place / "tiny"))
    red, blue = ({"model": [color] * len(rows)} for color in ("red", "blue"))
    write_results(place / "results" / "shots", data, red, str(place / "tiny"), settings={"shots": 3})
    write_results(place / "results" / "other", data, blue, str(place / "other"), "1")
    training = {
        "recipe": {"dataset": str(data), "split": "train", "model": None, "seed": None, "new_model": {"heads": 2}},
        "dataset_fingerprint": load_split(str(data), "train").fingerprint,
        "parameters": 42624,
        "steps": 20,
        "wall_s": 5400.0,
        "log": [],
        "versions": {"stvlm": "0.1.0", "torch": "2.15.0"},
    }
    for name, epochs in (("tiny", 4), ("other", 1)):
        write_json(place / name / "training.json", training | {"recipe": {**training["recipe"], "epochs": epochs}})
    return place


@pytest.fixture(scope="module")
def found(place: Path) -> Evidence:
    return gather(place / "results")


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_numbers_are_the_files(found: Evidence) -> None:
    text = render_model_card(found, NAMES, FIGURES)
    scores = section(text, "Scores")
    assert "`me/stkit-bench`, 32 questions about 8 clips" in scores
    line = next(line for line in scores.splitlines() if line.startswith("| traveled distance |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    # 4 of 16 distances are told; 49.5 is what the paper prints.
    assert cells[1].startswith("25.0 [") and cells[4] == "0.0" and cells[-1] == "49.5"
    assert cells[-2] == "too few clips to tell: fewer than 30"
    assert "| average | 75.0 [" in scores
    assert "42,624 weights" in text and "It was trained from nothing on `me/stkit`" in text
    lines = section(text, "Training").splitlines()
    assert lines.index("| KITTI (`kitti`) | 8 questions |") + 1 == lines.index(
        "| simulated world (`simulation`) | 24 questions |"
    )
    assert "| epochs | 4 |\n| new_model.heads | 2 |" in text and "| seed |" not in text
    assert "Training took 1.5 hours on a device that was not recorded." in section(text, "Environmental cost")


def test_other_settings_and_models_have_their_lines(found: Evidence) -> None:
    text = render_model_card(found, NAMES, FIGURES)
    assert re.search(r"^\| 3 examples before the question \| 0.0 \|", text, re.M)
    assert re.search(r"^\| other \(epochs 1, not 4\) \| 0.0 \|", text, re.M)
    assert told_other(found.others[0][0], None, found.training) == "other"
    from_nothing = {"recipe": {"simulation": []}}
    assert told_other(found.others[0][0], from_nothing, found.training) == "other"


def test_what_was_not_run_is_told_and_left_out(found: Evidence, place: Path) -> None:
    told = "\n".join(not_run(found))
    assert "controls: first frame only, frames shuffled, no boxes drawn, text only" in told
    assert "the benchmark's variants: mirrored" in told  # retimed has no rows
    assert "Table 4" in told and "camera poses" in told and "examples before" not in told
    assert "Table 6" not in told and "Table 7" in told
    alone = found._replace(settings=[], others=[], training=None, trained_on=None, questions=None, bench=None,
                           sources={}, missing=["how tiny was trained: it has no training.json"])  # fmt: skip
    text = render_model_card(alone, NAMES, FIGURES)
    assert "- how tiny was trained: it has no training.json" in text and "- ablations" in text
    assert "Asked otherwise" not in text and "Other models" not in text and "Recipe" not in text
    assert "32 questions, scored by" in text
    assert "Not known: there is no record of the training." in text


def test_the_hub_reads_scores_and_licences(found: Evidence) -> None:
    card = ModelCard(render_model_card(found, NAMES, FIGURES)).data
    assert (card.pipeline_tag, card.datasets, card.base_model) == ("video-text-to-text", ["me/stkit"], None)
    assert card.license_link == "https://huggingface.co/me/tiny#sources-and-licences"
    values = {result.metric_name: result.metric_value for result in card.eval_results}
    assert values["average, accuracy in %"] == 75.0 and values["traveled distance, accuracy in %"] == 25.0
    written = yaml.safe_dump(eval_result_entries_to_yaml(eval_results(found, "me/b")))
    entries = parse_eval_result_entries(yaml.safe_load(written))
    assert [(e.dataset_id, e.task_id, e.value) for e in entries][:2] == [
        ("me/b", "average", 75.0), ("me/b", "traveled_distance", 25.0)
    ]  # fmt: skip

    fine_tuned = {**found.training, "recipe": {**found.training["recipe"], "model": "llava-hf/llava"}}
    card = ModelCard(render_model_card(found._replace(training=fine_tuned), NAMES, FIGURES)).data
    assert (card.base_model, card.base_model_relation, card.license) == ("llava-hf/llava", "finetune", "other")


def test_what_learned_from_simulated_recordings_has_no_dataset(place: Path, tmp_path: Path) -> None:
    stages = [{"learn": "boxes", "steps": 50, "batch_size": 9}, {"learn": "questions", "steps": 100, "batch_size": 30}]
    log = [{"step": 50, "stage": 0, "boxes": 0.5}, {"step": 100, "stage": 1, "answers": 2.0, "boxes": 0.1}]
    recipe = {"simulation": [{"recordings": 600}, {"recordings": 400}], "learning": {"stages": stages}}
    training = {"recipe": recipe, "parameters": 7, "wall_s": 60.0, "log": log, "versions": {"stvlm": "0.1.0"}}
    write_json(tmp_path / "tiny" / "training.json", training)
    found = gather(place / "results", model=tmp_path / "tiny", dataset=place / "data")
    text = render_model_card(found, NAMES, FIGURES)
    assert "It was trained from nothing on a simulated world by" in text and "Recipe: 150 steps" in text
    assert "| simulated world (`simulation`) | 3,000 clips, drawn from 1,000 recordings and asked about anew |" in text
    assert "100% of what it was trained on is a simulated world" in text
    card = ModelCard(text).data
    assert (card.datasets, card.license) == (None, "apache-2.0")
    assert "Training took 1 minutes" in text
    assert "figures/training.png" in write_model_card(found, NAMES, tmp_path / "card")
    written = (tmp_path / "card" / "README.md").read_text(encoding="utf-8")
    assert "above them, what is learned from there on" in written and "the learning rate" not in written


def test_another_benchmark_is_another_setting(found: Evidence) -> None:
    moving = found.results._replace(dataset={**found.results.dataset, "path": "elsewhere/stkit-bench-moving"})
    text = render_model_card(found._replace(settings=[moving]), NAMES, FIGURES)
    assert re.search(r"^\| stkit-bench-moving \| 25.0 \|", text, re.M)


def test_what_was_blended_in_is_told_with_its_terms(found: Evidence) -> None:
    blend = {"llava_video": {"taken": 100000, "licence": "academic"}, "mine": {"taken": 7, "licence": None}}
    text = render_model_card(found._replace(training={**(found.training or {}), "blend": blend}), NAMES, FIGURES)
    assert "| blended in: `llava_video` | 100,000 conversations |" in section(text, "Training")
    assert "| `llava_video` | academic |\n| `mine` | not told |" in section(text, "Sources and licences")
    assert ModelCard(text).data.license == "other"


def test_nothing_is_published_under_no_name(found: Evidence) -> None:
    text = render_model_card(found, Names("tiny", "stkit", "stkit-bench", "stkit_bench"), FIGURES)
    assert "huggingface.co/" not in text and 'load_dataset("stkit-bench", split="test")' in text


def test_limits_are_measured(found: Evidence) -> None:
    told = "\n".join(limits(found))
    assert "25% of what it was trained on is about driving" in told
    assert "75% of what it was trained on is a simulated world" in told
    assert "plain video" not in told
    rung = {"kept": {"value": 0.5}, "moving": 32, "median_error": 0.044,
            "within_25_percent": {"value": 0.75, "low": 0.5, "high": 0.9}}  # fmt: skip
    validation = Validation("v", "embedded", ["simulation"], {"as it is": rung})
    nothing = Validation("w", "best", ["kitti", "nuplan"], {"as it is": {**rung, "within_25_percent": None},
                                                           "true poses": {**rung, "kept": None}})  # fmt: skip
    assert label_errors([validation, nothing]) == [
        "embedded on simulation, as it is: 50% of 32 moving tracks kept, 75% (50% to 90%) of these within 25 % of the "
        "truth, with a median error of +4%",
        "best on kitti, nuplan, as it is: 50% of 32 moving tracks kept",
    ]
    told = "\n".join(limits(found._replace(label_types={"pseudo": 3, "lidar": 1}, validations=[validation])))
    assert "75% of its labels were estimated from plain video. Measured: embedded on simulation" in told


def test_folders_without_results_are_refused(place: Path, tmp_path: Path) -> None:
    program = "give a folder that was --out of evaluate_metric/evaluate_model.py"
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: holds no results.json; {program}")):
        gather(tmp_path)
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'none'}: no such folder; {program}")):
        gather(tmp_path / "none")
    with pytest.raises(DataError, match="no results of giant on a whole benchmark as it is"):
        gather(place / "results", model=Path("giant"))
    for name in ("a", "b"):
        write_results(tmp_path / name, place / "data", {"model": ["red"] * 32}, f"runs/{name}")
    with pytest.raises(DataError, match=r"results of several models \(a, b\); name one by --model"):
        gather(tmp_path)
    assert gather(tmp_path, model=tmp_path / "b").results.name == "b"


def test_a_record_of_another_training_is_refused(place: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "tiny" / "training.json", {"recipe": {"dataset": "d"}})
    with pytest.raises(DataError, match=r"tiny: its training.json is of a program whose models have no cards"):
        gather(place / "results", model=tmp_path / "tiny")


def test_another_training_set_is_refused(place: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", 2)
    write_json(other / "build.json", {})
    with pytest.raises(DataError, match="other: holds other rows than tiny was trained on; give the right one"):
        gather(place / "results", dataset=other)


def test_what_learned_from_its_own_answers_has_a_card(place: Path, tmp_path: Path) -> None:
    """Of steps 1 to 40 the first twenty earn 0.25, the last twenty 0.75; half of the questions are of its task."""
    log = [
        {"step": step, "loss": -0.1, "reward": reward, "rewards/accuracy/mean": reward, "learning_rate": 1e-6}
        for step, reward in enumerate([0.25] * 20 + [0.75] * 20, start=1)
    ]
    training = {
        "recipe": {
            "dataset": str(place / "data"), "split": "train", "model": "space/tiny-before", "lora": None,
            "tasks": ["traveled_distance"], "rewards": {"accuracy": 1.0}, "twins": [], "answers_per_question": 6,
        },
        "base_model": "0123abcd",
        "dataset_fingerprint": load_split(str(place / "data"), "train").fingerprint,
        "parameters": 42624, "steps": 40, "questions": 16, "asked": 12, "wall_s": 600.0, "device": "1 core of a CPU",
        "log": log, "versions": {"stvlm": "0.1.0"},
    }  # fmt: skip
    write_json(tmp_path / "tiny" / "training.json", training)
    found = gather(place / "results", model=tmp_path / "tiny")
    text = render_model_card(found, NAMES, FIGURES)
    assert "It is `tiny-before`, trained further on its own answers to `me/stkit` by `stvlm`" in text
    told = section(text, "Training")
    assert "It answered 12 of 16 questions 6 times each time" in told
    assert "| all, weighted | 0.250 | 0.750 |\n| accuracy | 0.250 | 0.750 |" in told
    assert "| KITTI (`kitti`) | 4 questions |\n| simulated world (`simulation`) | 12 questions |" in told
    assert "Recipe: 40 steps from tiny-before" in told and "| rewards.accuracy | 1.0 |" in told
    assert "The weights began as those of `tiny-before`, whose terms hold as well." in text
    assert "Training took 10 minutes on 1 core of a CPU." in text
    assert (ModelCard(text).data.base_model, ModelCard(text).data.license) == (None, "other")
    assert "figures/training.png" in write_model_card(found, NAMES, tmp_path / "card")
    assert [label for label, _ in _others(text)] == ["tiny", "other"]  # whose recipe is one of another program

    on_hub = {**training, "recipe": {**training["recipe"], "model": "me/before"}, "base_model": "me/before@12ab"}
    text = render_model_card(found._replace(training=on_hub), NAMES, FIGURES)
    assert "It is [me/before](https://huggingface.co/me/before), trained further" in text
    assert (ModelCard(text).data.base_model, ModelCard(text).data.base_model_relation) == ("me/before", "finetune")


def _others(text: str) -> list[tuple[str, str]]:
    """Names of the models on the same questions, and the rest of their lines."""
    table = text.split("Other models on the same questions")[1].split("\n\n")[1]
    parts = (line.strip("| ").partition(" | ") for line in table.splitlines()[2:])
    return [(name, rest) for name, _, rest in parts]

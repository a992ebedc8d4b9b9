"""What ends a run before it begins, each in one clear line, and what --check tells."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset

from stvlm.records import DataError
from stvlm.training import beginning
from stvlm.training.beginning import begin, check
from stvlm.training.ownership import is_done
from stvlm.training.recipe import Benchmark, Lora, SFTRecipe

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "training" / "chat_template.jinja").read_text()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "llava")


@pytest.fixture
def recipe(model, tmp_path):
    return SFTRecipe(
        dataset=str(write_dataset(tmp_path / "stkit", clips_per_split=2)), output_dir=str(tmp_path / "out"),
        model=str(model), batch_size=4, batch_size_per_device=2, bf16=False, workers=0,
    )  # fmt: skip


def change_rows(dataset, **changes):
    """Gives the first row of the training split other values."""
    path = Path(dataset) / "simulation" / "train" / "metadata.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0] |= changes
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def test_check_tells_what_a_run_needs(recipe):
    """Sixteen patches a frame, pooled to four tokens; clips of 5 and 6 frames; a newline after the last frame."""
    told = dict(line.split(maxsplit=1) for line in check(recipe, TEMPLATE).splitlines())
    assert told["samples"] == "8: 8 of stkit"
    assert told["steps"] == "2 of 4 samples on 1 device(s)"
    assert ", 25 of them visual;" in told["tokens"]
    parameters = sum(values.numel() for values in load_file(Path(recipe.model) / "model.safetensors").values())
    assert told["parameters"] == f"{parameters:,}, trained {parameters:,}, in 4 bits 0"
    assert not Path(recipe.output_dir).exists()


def test_adapters_alone_are_trained(recipe):
    """Of rank 2, in each of 2 layers: 4 matrices of 32 x 32, 2 of 32 x 64 and 1 of 64 x 32."""
    start = begin(dataclasses.replace(recipe, lora=Lora(r=2)), TEMPLATE)
    assert start.sizes.trained == 2 * 2 * (4 * 64 + 3 * 96)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bf16": True}, "computes in bfloat16 on a GPU, and PyTorch finds none here; run it where there is one"),
        ({"model": "./nowhere"}, "./nowhere: no such model folder; give one, or a Hub id"),
        ({"dataset": "./nowhere"}, "./nowhere: no such dataset folder"),
        ({"config": "labeled"}, "has no config 'labeled'"),
        ({"batch_size": 3}, "batch_size 3 is not a multiple of batch_size_per_device 2 times 1 devices"),
        ({"max_length": 20}, "its video has 21 tokens, and max_length is 20; raise it"),
        ({"report_to": "wandb"}, "report_to: wandb is not installed; type: pip install wandb"),
        ({"push_to_hub": "name"}, "name: is no ORG/NAME of the Hub"),
        ({"benchmark": Benchmark("./nobench")}, "./nobench: no such dataset folder"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_run_that_would_end_later_does_not_begin(recipe, changes, message):
    with pytest.raises(DataError, match=message) as raised:
        begin(dataclasses.replace(recipe, **changes), TEMPLATE)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": ""}, "stkit: row train0-0 has no answer; build the dataset again"),
        ({"target": ""}, "stkit: row train0-0: target '' of traveled_distance is not metres such as"),
        ({"target": None}, "stkit: row train0-0: target None of traveled_distance is not metres such as"),
        ({"task": "speed"}, "stkit: row train0-0: task 'speed' is not one of traveled_distance, "),
        ({"id": "train0-1"}, "stkit: has two rows train0-1; build or fetch the dataset again"),
    ],
)
def test_a_row_that_is_no_question_is_named(recipe, changes, message):
    change_rows(recipe.dataset, **changes)
    with pytest.raises(DataError, match=message):
        begin(recipe, TEMPLATE)


def test_a_short_video_is_named(recipe):
    videos = Path(recipe.dataset) / "simulation" / "train" / "videos"
    (videos / "train1.mp4").write_bytes((videos / "train0.mp4").read_bytes())
    with pytest.raises(DataError, match=r"train1.mp4: has 5 frames, its row says 6; build or fetch the dataset again"):
        begin(recipe, TEMPLATE)


def test_sequences_longer_than_the_model_was_made_for_are_refused(recipe, tmp_path):
    """A clip's questions in one sequence count on from its video, each anew."""
    longest = begin(recipe, TEMPLATE).longest
    short = shutil.copytree(recipe.model, tmp_path / "short")
    recipe = dataclasses.replace(recipe, model=str(short))

    def made_for(positions):
        config = json.loads((short / "config.json").read_text())
        config["text_config"]["max_position_embeddings"] = positions
        (short / "config.json").write_text(json.dumps(config))

    made_for(longest)
    assert begin(recipe, TEMPLATE).longest == longest
    assert begin(dataclasses.replace(recipe, pack_questions=True), TEMPLATE).longest > longest
    made_for(longest - 1)
    with pytest.raises(
        DataError, match=rf"has {longest} positions, and the model was made for {longest - 1}; set max_"
    ):
        begin(recipe, TEMPLATE)
    assert begin(dataclasses.replace(recipe, max_length=longest - 1), TEMPLATE).longest < longest


def test_a_template_without_marks_is_refused(recipe):
    plain = TEMPLATE.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    with pytest.raises(DataError, match=r"has no \{% generation %\} marks"):
        begin(recipe, plain)


def test_more_processes_than_samples_are_refused(recipe, monkeypatch):
    class Machine:
        num_processes, is_main_process = 16, True

    monkeypatch.setattr(beginning, "PartialState", Machine)
    with pytest.raises(DataError, match="16 devices are more than the 4 groups of samples there are; use fewer"):
        begin(dataclasses.replace(recipe, batch_size=32), TEMPLATE)


def test_a_disk_without_room_is_refused(recipe, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10_000})())
    with pytest.raises(DataError, match=r"has 0.0 GiB free, and checkpoints and model need about 0.0 GiB; free some"):
        begin(recipe, TEMPLATE)


def test_a_model_that_is_not_on_the_hub_is_one_line(hub, tmp_path):
    recipe = {"dataset": "d", "output_dir": "o", "model": "me/mistyped", "bf16": False}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    command = [sys.executable, str(ROOT / "training" / "sft.py"), "--config", "recipe.yaml", "--check"]
    environment = {**hub.environment(tmp_path / "home"), "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: me/mistyped: cannot be loaded as a model (me/mistyped is not"
    )


@pytest.mark.parametrize("content", ["{}", "[]"])
def test_a_folder_with_the_record_of_another_program_is_left_alone(tmp_path, content):
    (tmp_path / "training.json").write_text(content)
    with pytest.raises(DataError, match=r"holds a training\.json that is not ours; choose another --output_dir"):
        is_done(tmp_path, {})

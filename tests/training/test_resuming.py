"""A run that was ended, however it was, goes on as if it never had been; several processes train as one."""

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tests.evaluation.tiny_models import TEMPLATE, write_model
from tests.training.small_runs import losses, stop_after, write_recipe

from stvlm.recipes import to_mapping
from stvlm.records import DataError
from stvlm.training.recipe import Lora, Quantization
from stvlm.training.run import train

ROOT = Path(__file__).parents[2]
KINDS = {
    "full": {},
    "lora": {"lora": Lora(r=4, dropout=0.1)},
    "qlora": {"lora": Lora(r=4, dropout=0.1), "quantization": Quantization()},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return write_recipe(tmp_path_factory.mktemp("run"), clips_per_split=3, learning_rate=1e-3, save_steps=1)


def log_of(out):
    return losses(json.loads((out / "training.json").read_text())["log"])


@pytest.mark.parametrize("kind", KINDS)
def test_losses_after_a_stop_are_those_without(recipe, tmp_path, kind):
    recipe = dataclasses.replace(recipe, **KINDS[kind])
    straight = train(dataclasses.replace(recipe, output_dir=str(tmp_path / "straight")), TEMPLATE)
    broken = dataclasses.replace(recipe, output_dir=str(tmp_path / "broken"))
    with stop_after(2), pytest.raises(KeyboardInterrupt):
        train(broken, TEMPLATE)
    found = log_of(train(broken, TEMPLATE))
    assert len(found) == 3
    assert found == pytest.approx(log_of(straight), abs=1e-6)
    assert found[2] < found[0] - 0.1  # something was learned


def test_an_adapter_does_not_go_on_upon_another_base(recipe, tmp_path):
    base = write_model(tmp_path / "base")
    recipe = dataclasses.replace(recipe, model=str(base), output_dir=str(tmp_path / "out"), lora=Lora(r=4))
    with stop_after(1), pytest.raises(KeyboardInterrupt):
        train(recipe, TEMPLATE)
    write_model(base, seed=1)
    with pytest.raises(DataError, match="holds checkpoints of another recipe, base or dataset; remove it or choose"):
        train(recipe, TEMPLATE)
    write_model(base)
    out = train(recipe, TEMPLATE)
    write_model(base, seed=1)
    with pytest.raises(DataError, match="holds a model of another recipe, base or dataset; choose another"):
        train(recipe, TEMPLATE)
    assert (out / "adapter_model.safetensors").is_file()


def start(tmp_path, recipe, *launch):
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(json.loads(json.dumps(to_mapping(recipe)))))
    command = [sys.executable, *launch, str(ROOT / "training" / "sft.py"), "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_killed_program_goes_on(recipe, tmp_path):
    recipe = dataclasses.replace(recipe, epochs=8, save_steps=3, output_dir=str(tmp_path / "killed"))
    process = start(tmp_path, recipe)
    checkpoints = tmp_path / ".killed.training" / "checkpoints"
    while not list(checkpoints.glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed").exists()
    found = log_of(train(recipe, TEMPLATE))
    assert len(found) == 24
    straight = train(dataclasses.replace(recipe, output_dir=str(tmp_path / "straight")), TEMPLATE)
    assert found == pytest.approx(log_of(straight), abs=1e-6)


def test_two_processes_train_as_one(recipe, tmp_path):
    """Twelve questions of clips of two lengths in groups of two, so that one group more fills up the last step."""
    recipe = dataclasses.replace(recipe, output_dir=str(tmp_path / "two"), batch_size=8, lora=Lora(r=4, dropout=0.0))
    alone = train(dataclasses.replace(recipe, output_dir=str(tmp_path / "one")), TEMPLATE)
    process = start(tmp_path, recipe, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert said.count("from_pretrained") == 1
    record = json.loads((tmp_path / "two" / "training.json").read_text())
    assert record["processes"] == 2
    assert losses(record["log"]) == pytest.approx(log_of(alone), abs=1e-3)


def test_a_full_disk_leaves_the_checkpoint_before(recipe, tmp_path):
    recipe = dataclasses.replace(recipe, output_dir=str(tmp_path / "full"))
    with stop_after(1), pytest.raises(KeyboardInterrupt):
        train(recipe, TEMPLATE)
    checkpoints = tmp_path / ".full.training" / "checkpoints"
    most = (checkpoints / "checkpoint-1" / "optimizer.pt").stat().st_size - 1000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))  # of a file: as good as a full disk
    try:
        with pytest.raises(DataError, match=r"checkpoint-2: cannot be written .*; free some space and run the same"):
            train(recipe, TEMPLATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-1"]
    assert len(log_of(train(recipe, TEMPLATE))) == 3

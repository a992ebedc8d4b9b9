"""A run's folder on the Hub, through the real client."""

import subprocess
import sys
from pathlib import Path

import yaml
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset

ROOT = Path(__file__).parents[2]


def test_the_result_goes_to_the_hub_also_where_only_that_is_left(hub, tmp_path):
    write_dataset(tmp_path / "stkit", clips_per_split=1)
    write_model(tmp_path / "model")
    recipe = {
        "dataset": "stkit", "output_dir": "out", "model": "model", "bf16": False, "batch_size": 2, "workers": 0,
        "lora": {"r": 2, "export": ["adapter", "merged"]}, "push_to_hub": "me/tiny",
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    command = [sys.executable, str(ROOT / "training" / "sft.py"), "--config", "recipe.yaml"]
    environment = {**hub.environment(tmp_path / "home"), "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)

    first = run()
    assert first.returncode == 0, first.stderr
    there = hub.files("models", "me/tiny")
    own = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert own == there.keys() - {".gitattributes"}
    assert {"training.json", "model.safetensors", "adapter/adapter_model.safetensors"} <= own
    assert there["model.safetensors"] == (tmp_path / "out" / "model.safetensors").read_bytes()
    del hub.repos["models", "me/tiny"]
    before = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    assert run().returncode == 0
    assert hub.files("models", "me/tiny").keys() == there.keys()
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == before

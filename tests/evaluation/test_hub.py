"""Model and dataset from the Hub: results say which commits of them they are of."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset

from stvlm.dataset.folder import CLIPS

CODE = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
from stvlm.evaluation.run import Settings, evaluate

commits = []
for kind, name in (("dataset", "data"), ("model", "model")):
    HfApi().create_repo(f"me/{name}", repo_type=kind)
    commits.append(HfApi().upload_folder(repo_id=f"me/{name}", repo_type=kind, folder_path=name).oid)
evaluate(Settings("me/data", "me/model", limit=2, max_new_tokens=2, controls=(), context=("extrinsics",)), Path("out"))
print(*commits)
"""


def test_results_name_the_commits(hub, tmp_path):
    dataset = write_dataset(tmp_path / "data", clips_per_split=1)
    pose = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    clip = {"clip_id": "test0", "source": "simulation", "split": "test", "domain": "driving"}
    clip |= {"xyz_m": [[[0.0] * 3] * 5] * 2, "world_SE3_camera": [pose] * 5}
    (dataset / "trajectories").mkdir()
    pq.write_table(pa.Table.from_pylist([clip], CLIPS), dataset / "trajectories" / "clips.parquet")
    write_model(tmp_path / "model")
    command, environment = [sys.executable, "-c", CODE], hub.environment(tmp_path / "home")
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr
    of_dataset, of_model = found.stdout.split()
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["dataset"]["revision"] == of_dataset
    assert results["model"] == {"path": "me/model", "fingerprint": f"me/model@{of_model}", "backend": "transformers"}

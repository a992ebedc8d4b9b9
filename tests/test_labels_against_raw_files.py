"""Builds from real sample files as a user does, and has check_labels.py redo every answer from those files.

STVLM_REALDATA names a folder that holds argoverse2/, nuscenes/, nuplan/ and kitti_tracking/.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stvlm.scoring import TASKS

ROOT = Path(__file__).parent.parent
REALDATA = os.environ.get("STVLM_REALDATA")
pytestmark = pytest.mark.skipif(REALDATA is None, reason="STVLM_REALDATA names no folder of real samples")
SOURCES = [
    word
    for source in ("argoverse2=argoverse2", "nuscenes=nuscenes", "nuplan=nuplan", "kitti=kitti_tracking")
    for word in ("--source", source.replace("=", f"={REALDATA}/"))
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labelled") / "stkit"
    program = [sys.executable, ROOT / "dataset_builder" / "build.py", ROOT / "dataset_builder/recipes/labelled.yaml"]
    subprocess.run([*program, *SOURCES, "--annotations-only", "--out", out], check=True, capture_output=True)
    return out


def check(dataset: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, ROOT / "tests" / "check_labels.py", dataset, *SOURCES]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_every_row_is_confirmed(dataset: Path) -> None:
    result = check(dataset)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    checked, confirmed = (int(n.replace(",", "")) for n in re.findall(r"[\d,]+", result.stdout.splitlines()[-1]))
    assert checked == confirmed >= 1000
    for task in TASKS:
        assert re.search(rf" {task} +checked +[1-9]", result.stdout), task


ALTERED = {  # what stands in a target -> what is put there instead
    "traveled_distance": lambda target: f"{1.015 * float(target):.2f}",
    "traveling_speed": lambda target: f"{0.985 * float(target):.2f}",
    "movement_direction": lambda target: str(int(target) % 12 + 1),
    "direction_timestamp": lambda target: f"{target.split('-')[0]}-{float(target.split('-')[1]) + 0.5:.2f}",
    "traveled_distance_comparison": lambda target: "blue" if target == "red" else "red",
    "traveling_speed_comparison": lambda target: "blue" if target == "red" else "red",
    "movement_direction_comparison": lambda target: "same" if target == "different" else "different",
}


def test_one_wrong_target_of_each_task_is_found(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "altered")
    path = tmp_path / "altered" / "nuscenes" / "validation" / "metadata.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    altered = set()
    for task, alter in ALTERED.items():
        row = next(row for row in rows if row["task"] == task)
        row["target"] = alter(row["target"])
        altered.add(row["id"])
    pq.write_table(type(table).from_pylist(rows, table.schema), path)

    result = check(tmp_path / "altered")
    assert result.returncode == 1
    assert {line.split()[2] for line in result.stdout.splitlines() if line.startswith("nuscenes scene-")} == altered


def test_a_clip_too_many_of_one_track_is_found(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "altered")
    path = tmp_path / "altered" / "nuscenes" / "train" / "metadata.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    again = [row | {"id": f"{i}{row['id']}", "clip_id": f"{i}{row['clip_id']}"} for row in rows[:1] for i in range(4)]
    pq.write_table(type(table).from_pylist([*rows, *again], table.schema), path)

    result = check(tmp_path / "altered")
    assert result.returncode == 1
    assert f"{rows[0]['objects'][0]['track_id']}'): in " in result.stdout

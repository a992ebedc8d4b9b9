"""docs/adding_a_source.md holds true: its reader reads, and once it has a name its recordings are asked about."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stvlm.records import DataError, Rejected

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "adding_a_source.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.S | re.M)
(READER,) = (block for kind, block in BLOCKS if kind == "python")
LICENCE, RECIPE = (block for kind, block in BLOCKS if kind == "yaml")
FILES, COMMANDS = (block for kind, block in BLOCKS if not kind)
DAY = "2026-05-04"


@pytest.fixture
def crossing(tmp_path: Path) -> Path:
    """A car that drives 30 m to the north-east in 9.9 s, in files as the page shows them."""
    told = dict(line.split(maxsplit=1) for line in FILES.splitlines())
    root = tmp_path / "crossing"
    (root / DAY / "frames").mkdir(parents=True)
    (root / "splits.json").write_text(told["/data/crossing/splits.json"])
    camera = json.loads(told[f"/data/crossing/{DAY}/camera.json"])
    (root / DAY / "camera.json").write_text(json.dumps(camera))
    columns = told[f"/data/crossing/{DAY}/boxes.csv"]
    along = np.linspace(0, 30 / np.sqrt(2), 100)
    lines = [f"{i / 10},7,CAR,{s - 5:.4f},{s + 20:.4f},4.5,1.9,1.5,45" for i, s in enumerate(along)]
    (root / DAY / "boxes.csv").write_text("\n".join([columns, *lines]) + "\n")
    image = Image.new("RGB", (camera["width"], camera["height"]), (90, 90, 90))
    for i in range(100):
        image.save(root / DAY / "frames" / f"{i:06}.jpg")
    return root


def scenes_of(root: Path) -> list[Any]:
    module = ModuleType("crossing")
    exec(compile(READER, "docs/adding_a_source.md", "exec"), module.__dict__)
    source = module.Crossing(root)
    return [found for recording in source.recordings() for found in source.scenes(recording)]


def test_its_reader_reads(crossing: Path) -> None:
    (scene,) = scenes_of(crossing)
    (track,) = scene.tracks
    assert (scene.scene_id, scene.split, track.track_id, track.category) == (DAY, "train", "7", "car")
    assert track.xyz_m[0].tolist() == [-5, 20, 0.75]  # half its height above the ground
    assert track.yaw_rad[0] == pytest.approx(np.pi / 4)  # north-east is half-way from x to y
    assert track.times_ns[[0, 1, 99]].tolist() == [0, 100_000_000, 9_900_000_000]
    # What lies on the ground where the camera looks at: 9 m up, 25 degrees down.
    ahead = np.linalg.inv(scene.world_SE3_camera[0]) @ [0, 9 / np.tan(np.deg2rad(25)), 0, 1]
    assert ahead == pytest.approx([0, 0, 9 / np.sin(np.deg2rad(25)), 1])
    right = np.linalg.inv(scene.world_SE3_camera[0]) @ [1, 0, 9, 1]
    assert right == pytest.approx([1, 0, 0, 1])  # east of the camera is right in the image


def test_its_reader_counts_damage(crossing: Path) -> None:
    boxes = crossing / DAY / "boxes.csv"
    boxes.write_text(boxes.read_text().replace("compass_deg", "heading"))
    (rejected,) = scenes_of(crossing)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.subject) == ("damaged file", f"{boxes.parent}: 'compass_deg'")
    boxes.unlink()
    with pytest.raises(DataError, match=r"holds no \*/boxes.csv, so crossing cannot be read from it"):
        scenes_of(crossing)


def test_with_a_name_it_is_checked_built_and_looked_at(crossing: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "stvlm", tmp_path / "src" / "stvlm", ignore=shutil.ignore_patterns("__pycache__"))
    sources = tmp_path / "src" / "stvlm" / "sources"
    (sources / "crossing.py").write_text(READER)
    (entry,) = re.findall(r'`("crossing": Crossing,)`', TEXT)
    named = (sources / "__init__.py").read_text().replace('    "egoexo4d":', f'    {entry}\n    "egoexo4d":')
    imported = "from stvlm.sources.crossing import Crossing\nfrom stvlm.sources.egoexo4d"
    (sources / "__init__.py").write_text(named.replace("from stvlm.sources.egoexo4d", imported))
    with (sources / "licences.yaml").open("a") as licences:
        licences.write(LICENCE)
    (tmp_path / "crossing.yaml").write_text(RECIPE)
    for command in COMMANDS.splitlines():
        words = command.replace("dataset_builder/", f"{ROOT}/dataset_builder/").replace("/data/crossing", str(crossing))
        done = subprocess.run(
            [sys.executable, *words.split()[1:]],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "src"), "PATH": "/usr/bin:/bin", "STVLM_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "mine" / "crossing" / "train" / "metadata.parquet").to_pylist()
    speeds = [float(row["target"]) for row in rows if row["task"] == "traveling_speed"]
    assert speeds and speeds == pytest.approx([3.6 * 30 / 9.9] * len(speeds), abs=0.01)
    assert {row["target"] for row in rows if row["task"] == "movement_direction"} == {"12"}
    assert (tmp_path / "mine.png").is_file()

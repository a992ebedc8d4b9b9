"""STKit and STKit-Bench by their own recipes, from raw recordings: simulated ones, in each source's format."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from stvlm.files import read_json
from stvlm.scoring import COMPARISONS, MULTISTEP, TASKS, best_constant

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "dataset_builder" / "recipes"
SHARES = {"nuplan": 1047, "nuscenes": 175, "argoverse2": 78, "egoexo4d": 100}
"""Rows of each source in the paper's benchmark."""


def roots(folder: Path, split: str, seed: int, **recordings: int) -> list[str]:
    """Raw recordings of each source, written side by side; the arguments that name them."""
    program = [sys.executable, str(ROOT / "tests" / "write_root.py")]
    jobs = [
        subprocess.Popen([*program, name, str(folder / name), str(seed + i), str(n), split])
        for i, (name, n) in enumerate(recordings.items())
    ]
    assert [job.wait() for job in jobs] == [0] * len(jobs)
    return [f"--source={name}={folder / name}" for name in recordings]


def build(recipe: Path, out: Path, *sources: str) -> str:
    command = [sys.executable, str(ROOT / "dataset_builder" / "build.py"), str(recipe), "--annotations-only"]
    result = subprocess.run([*command, *sources, "--out", str(out)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def rows_of(out: Path, pattern: str = "*/*/metadata.parquet") -> list[dict[str, Any]]:
    columns = ["id", "base_id", "source", "scene_id", "camera", "split", "task", "target", "choices", "clip_id"]
    return [row for path in sorted(out.glob(pattern)) for row in pq.read_table(path, columns=columns).to_pylist()]


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that can be asked of recordings for training: what a probe learns shortcuts from."""
    folder = tmp_path_factory.mktemp("train")
    sources = roots(folder, "train", 400, nuscenes=40, argoverse2=40, egoexo4d=10, bdd100k=80)
    recipe = yaml.safe_load((RECIPES / "stkit.yaml").read_text())
    del recipe["select"]
    (folder / "all.yaml").write_text(yaml.safe_dump(recipe))
    build(folder / "all.yaml", folder / "stkit", *sources)
    return folder / "stkit"


@pytest.fixture(scope="module")
def bench(trained_on: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("bench")
    sources = roots(folder, "validation", 300, nuplan=110, egoexo4d=24, nuscenes=32, argoverse2=18)
    against = f"--against={trained_on}"
    return folder / "stkit-bench", build(RECIPES / "stkit_bench.yaml", folder / "stkit-bench", *sources, against)


def test_the_benchmark_has_its_rows_of_every_source_and_task(bench: tuple[Path, str]) -> None:
    rows = rows_of(bench[0])
    assert Counter(row["task"] for row in rows) == dict.fromkeys(TASKS, 200)
    assert Counter(row["source"] for row in rows) == SHARES
    assert {row["split"] for row in rows} == {"test"}
    sports = Counter(row["task"] for row in rows if row["source"] == "egoexo4d")
    assert set(sports.values()) == {25} and not any("direction" in task for task in sports)
    assert "too few in the sources" not in bench[1]


def test_the_benchmark_cannot_be_guessed(bench: tuple[Path, str]) -> None:
    rows = rows_of(bench[0])
    constant = {task: best.accuracy for task, best in best_constant(rows).items()}
    for task, most in {
        "traveled_distance": 0.20,
        "traveling_speed": 0.20,
        "movement_direction": 0.15,
        "direction_timestamp": 0.35,
        **dict.fromkeys(COMPARISONS, 0.52),
    }.items():
        assert constant[task] <= most, task
    hours = Counter(row["target"] for row in rows if row["task"] == "movement_direction")
    assert max(hours.values()) <= 25

    floors = read_json(bench[0] / "build.json")["report"]["floors"]
    assert {task: of_task["constant"] for task, of_task in floors.items()} == pytest.approx(constant, abs=1e-4)
    assert floors["traveling_speed"]["class"] <= 0.30
    speed = f"traveling_speed                best constant answer {100 * constant['traveling_speed']:.1f}"
    assert speed in bench[1]


def test_cues_tell_no_more_than_a_constant_answer_and_five_points(bench: tuple[Path, str]) -> None:
    report = read_json(bench[0] / "build.json")["report"]
    for task in TASKS:
        probed = report["probe"][task]
        assert max(probed["low"], probed["cue_low"]) <= probed["floor"] + 0.05, task
        assert f"{task:30} holds: " in bench[1]
    assert "shared with the training set: no recording" in bench[1]


def test_variants_ask_the_same_otherwise(bench: tuple[Path, str]) -> None:
    target = {row["id"]: row["target"] for row in rows_of(bench[0])}
    for variant in ("paraphrased", "mirrored", "reversed", "retimed", "intrinsics"):
        rows = rows_of(bench[0], f"{variant}/*/*/metadata.parquet")
        assert len(rows) > 1200
        assert {row["id"] for row in rows} == {f"{row['base_id']}-{variant}" for row in rows}
        for row in rows:
            if row["task"] == "movement_direction" and variant in ("mirrored", "reversed"):
                assert int(row["target"]) == (12 - int(target[row["base_id"]]) or 12)
            elif variant in ("paraphrased", "intrinsics") or row["task"] in ("traveled_distance", "traveling_speed"):
                assert variant == "retimed" or row["target"] == target[row["base_id"]]
    further = Counter(row["task"] for row in rows_of(bench[0], "multistep/*/*/metadata.parquet"))
    assert further["traveled_distance"] == 200
    assert min(further[task] for task in MULTISTEP) > 30


def test_stkit_takes_its_amounts_from_every_source_and_says_what_is_missing(tmp_path: Path) -> None:
    made = {"nuscenes": 5, "argoverse2": 5, "egoexo4d": 5, "bdd100k": 8, "llava_video": 2, "multisports": 2}
    sources = roots(tmp_path, "train", 400, **made)
    recipe = yaml.safe_load((RECIPES / "stkit.yaml").read_text())
    amounts = recipe["select"]["amounts"]
    assert sum(amount["questions"] for amount in amounts.values()) == 116_000
    recipe["select"]["amounts"] = {
        name: {"questions": max(12, amount["questions"] // 1000), "videos": max(4, amount["videos"] // 1000)}
        for name, amount in amounts.items()
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    told = build(tmp_path / "small.yaml", tmp_path / "small", *sources)
    rows = rows_of(tmp_path / "small")
    for name, amount in recipe["select"]["amounts"].items():
        mine = [row for row in rows if row["source"] == name]
        assert len({(row["scene_id"], row["camera"]) for row in mine}) <= amount["videos"]
        missing = f"{name:20} questions"
        assert len(mine) == amount["questions"] or (missing in told and len(mine) < amount["questions"])
        assert name not in ("nuscenes", "argoverse2") or f"{name:20} " not in told.split("too few in the sources")[-1]
        hours = Counter(row["target"] for row in mine if row["task"] == "movement_direction")
        assert not hours or max(hours.values()) <= max(0.4 * hours.total(), hours.total() / len(hours))
    assert {row["split"] for row in rows} == {"train"}

    told = build(RECIPES / "stkit.yaml", tmp_path / "whole", *sources)
    for name, amount in amounts.items():
        found = sum(row["source"] == name for row in rows_of(tmp_path / "whole"))
        assert f"{name:20} {'questions':30} {found:7,} of {amount['questions']:,}" in told

"""dataset_builder/build.py --check: what a build would find, make and need; and that what cannot be used is refused."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from stvlm.dataset import check as checking
from stvlm.dataset.check import Cost, Sample, SourceCheck, as_text, check, expect, spread
from stvlm.dataset.folder import build
from stvlm.dataset.prepare import BuildRequest, prepare
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.select import Shortfall
from stvlm.engine import Engine
from stvlm.recipes import from_mapping
from stvlm.records import DataError, Recording
from stvlm.simulation.formats.argoverse2 import write_argoverse2
from stvlm.simulation.formats.nuplan import write_nuplan
from stvlm.simulation.formats.nuscenes import write_nuscenes
from stvlm.simulation.source import SimulationSource

ROOT = Path(__file__).parent.parent.parent
PROGRAM = [sys.executable, str(ROOT / "dataset_builder" / "build.py")]
WORLD = {"layouts": ["curve"], "width_px": 96, "height_px": 72, "duration_s": 5.0, "camera_motions": {"fixed": 1.0}}
ONE = Engine(workers=1)
CLIPS = {"min_frames": 5, "max_frames": 9, "rounds": [2]}


def recipe_of(sources: dict[str, Any], **more: Any) -> Recipe:
    return from_mapping(Recipe, {"name": "r", "title": "R", "sources": sources, "clips": CLIPS, **more}, "recipe")


def write_recipe(folder: Path, sources: dict[str, Any], **more: Any) -> Path:
    text = yaml.safe_dump({"name": "r", "title": "R", "sources": sources, "clips": CLIPS, **more})
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return folder / "recipe.yaml"


def run(*arguments: Any, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **more)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Argoverse 2 logs with images."""
    root = tmp_path_factory.mktemp("raw") / "av2"
    write_argoverse2(SimulationSource({"seed": 3, "recordings": 2, **WORLD}), root)
    return root


# --- what is told -----------------------------------------------------------------------------------------------------


def test_what_is_told_of_all_recordings_is_what_a_build_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    recipe = recipe_of({"simulation": {"seed": 3, "recordings": 3, **WORLD}}, variants=["mirrored"])
    request = BuildRequest(recipe, {}, engine=ONE)
    found = check(request, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert not list((tmp_path / "temporary").iterdir())

    report = build(request, tmp_path / "out")
    assert found.problems == [] and found.sources[0].sample.n == 3
    assert found.expected.rows == report.by_source
    assert found.expected.clips == report.clips
    made = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.suffix in (".mp4", ".parquet"))
    assert found.expected.dataset_bytes == pytest.approx(made, rel=0.3)
    assert found.expected.seconds > 0


Rows = dict[str, dict[str, int]]


def source(
    name: str, recordings: dict[str, int], sampled: dict[str, int], rows: Rows, clips: int, videos: int = 1
) -> SourceCheck:
    cost = Cost(ask_s=2.0, read_s=1.0, clip_s=0.5, clip_bytes=1000.0, row_bytes=10.0, shard_bytes=3.0, arrow_bytes=5.0)
    return SourceCheck(name, None, recordings, [], Sample(sampled, 1.0, rows, clips, clips, videos, [], cost))


def test_a_sample_is_scaled_up_by_hand() -> None:
    """20 recordings of which 4 were asked: five times their rows, clips, bytes and seconds."""
    asked = {
        "train": {"traveled_distance": 6, "traveling_speed": 3},
        "test": {"traveled_distance": 2, "traveling_speed": 1},
    }
    one = source("kitti", {"train": 15, "test": 5}, {"train": 3, "test": 1}, asked, 6)
    expected = expect([one], recipe_of({"kitti": {}}, variants=["mirrored"]))
    assert expected.rows == {
        "kitti train": {"traveled_distance": 30, "traveling_speed": 15},
        "kitti test": {"traveled_distance": 10, "traveling_speed": 5},
    }
    assert expected.clips == 30
    assert expected.dataset_bytes == 30 * 1000 + 2 * 60 * 10
    assert expected.work_bytes == 60 * 3 + 2 * 60 * 5
    assert expected.seconds == 20 * (2 + 1) + 30 * 0.5
    assert expected.shortfalls == []


def test_what_was_asked_is_counted_as_it_is() -> None:
    """Both test recordings were asked, and gave 9 rows; of four train ones two, and gave 1: a mean of 2.5."""
    asked = {"train": {"traveled_distance": 1}, "test": {"traveled_distance": 6, "traveling_speed": 3}}
    one = source("kitti", {"train": 4, "test": 2}, {"train": 2, "test": 2}, asked, 6)
    assert expect([one], recipe_of({"kitti": {}})).rows == {
        "kitti train": {"traveled_distance": 1 + 2 * 7 / 4, "traveling_speed": 2 * 3 / 4},
        "kitti test": {"traveled_distance": 6, "traveling_speed": 3},
    }
    whole = source("kitti", {"train": 2, "test": 2}, {"train": 2, "test": 2}, asked, 6)
    assert expect([whole], recipe_of({"kitti": {}})).rows == {
        "kitti train": asked["train"],
        "kitti test": asked["test"],
    }


def test_what_a_recipe_wants_is_set_against_what_is_there() -> None:
    asked = {"train": {"traveled_distance": 8, "traveling_speed": 4}}
    one = source("kitti", {"train": 20}, {"train": 4}, asked, 12, 8)  # 40 and 20 rows, of 60 clips of 40 videos
    two = source("nuscenes", {"train": 10}, {"train": 2}, {"train": {"traveled_distance": 2}}, 2)  # 10 rows of 10 clips

    table = {"kitti": {"traveled_distance": 10, "traveling_speed": 30}, "nuplan": {"traveled_distance": 7}}
    expected = expect([one, two], recipe_of({"kitti": {}, "nuplan": {}}, select={"table": table}))
    assert expected.rows["kitti train"] == {"traveled_distance": 10, "traveling_speed": 20}
    assert expected.rows["nuscenes train"] == {"traveled_distance": 0}
    assert expected.shortfalls == [
        Shortfall("kitti train", "traveling_speed", 30, 20),
        Shortfall("nuplan train", "traveled_distance", 7, 0),
    ]
    # Of 60 clips with a row each, the 30 rows that are kept show 30.
    assert expected.clips == pytest.approx(30)

    expected = expect([one, two], recipe_of({"kitti": {}}, select={"rows_per_task": 25}))
    assert expected.rows["kitti train"] == {"traveled_distance": 20, "traveling_speed": 20}
    assert expected.rows["nuscenes train"] == {"traveled_distance": 5}
    assert [item for item in expected.shortfalls if item.found] == [Shortfall("all train", "traveling_speed", 25, 20)]

    amounts = {"kitti": {"questions": 30, "videos": 100}, "nuplan": {"questions": 5, "videos": 2}}
    expected = expect([one, two], recipe_of({"kitti": {}, "nuplan": {}}, select={"amounts": amounts}))
    assert expected.rows["kitti train"] == {"traveled_distance": 20, "traveling_speed": 10}
    assert expected.shortfalls == [
        Shortfall("kitti", "videos", 100, 40),
        Shortfall("nuplan", "questions", 5, 0),
        Shortfall("nuplan", "videos", 2, 0),
    ]
    assert expected.clips == pytest.approx(30)
    amounts = {"kitti": {"questions": 30, "videos": 10}}  # which have a quarter of the clips and rows
    expected = expect([one], recipe_of({"kitti": {}}, select={"amounts": amounts}))
    assert (expected.clips, expected.shortfalls) == (15, [Shortfall("kitti", "questions", 30, 15)])


def test_videos_are_counted_as_a_build_counts_them(raw: Path, tmp_path: Path) -> None:
    select = {"amounts": {"argoverse2": {"questions": 10_000, "videos": 100}}}
    recipe = recipe_of({"argoverse2": {}}, select=select)
    request = BuildRequest(recipe, {"argoverse2": str(raw)}, annotations_only=True, engine=ONE)
    told = check(request).expected.shortfalls
    assert told == sorted(prepare(request, tmp_path / "work").shortfalls)
    assert [(item.what, item.found) for item in told if item.what == "videos"] == [("videos", 2)]


def test_a_sample_comes_from_all_over_the_list() -> None:
    recordings = [Recording("kitti", f"{i:04}", "train") for i in range(100)]
    order = spread(recordings, 4)
    assert sorted(recording.scene_id for recording in order[:4]) == ["0012", "0037", "0062", "0087"]
    assert sorted(order) == recordings
    assert spread(recordings[:2]) == spread(recordings[:2], 2)


def test_images_that_lack_are_counted(raw: Path, tmp_path: Path) -> None:
    root = shutil.copytree(raw, tmp_path / "av2")
    log = sorted(path.parent for path in root.rglob("annotations.feather"))[0]
    shutil.rmtree(log / "sensors")
    found = check(BuildRequest(recipe_of({"argoverse2": {}}), {"argoverse2": str(root)}))
    sample = found.sources[0].sample
    request = BuildRequest(recipe_of({"argoverse2": {}}), {"argoverse2": str(raw)}, annotations_only=True, engine=ONE)
    clips = set(prepare(request, tmp_path / "work").chosen.rows.column("clip_id").to_pylist())
    assert 0 < sample.clips_with_images < sample.clips == len(clips)
    assert f"{sample.clips_with_images} of {sample.clips} sampled clips have them" in as_text(found)
    assert [item.reason for item in sample.skipped] == ["no images"]


def test_images_that_lack_here_and_there_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "nuscenes"
    write_nuscenes(SimulationSource({"seed": 3, "recordings": 2, **WORLD}), root)
    rows = json.loads((root / "v1.0-trainval" / "sample_data.json").read_text(encoding="utf-8"))
    frames = [row["filename"] for row in rows if row["calibrated_sensor_token"] == rows[0]["calibrated_sensor_token"]]
    for file in frames[15:]:  # 1.5 s of 5 are left of one recording: too little for a clip
        (root / file).unlink()
    request = BuildRequest(recipe_of({"nuscenes": {}}), {"nuscenes": str(root)})
    sample = check(request).sources[0].sample
    assert 0 < sample.clips_with_images < sample.clips
    scene = "sim-3-00000 CAM_FRONT"
    assert sample.skipped == [("some frames have no image", f"{scene}: 36 of 51")]

    for file in frames[:15]:
        (root / file).unlink()
    (skipped,) = check(request).sources[0].sample.skipped
    assert skipped == ("no images", f"{scene}: {root / frames[0]}: the image is missing")


def test_problems_of_one_source_do_not_hide_another(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    recipe = write_recipe(tmp_path, {"argoverse2": {}, "nuplan": {}, "kitti": {}, "nuscenes": {}})
    given = ("--source", f"argoverse2={raw}", "--source", f"nuplan={raw}", "--source", f"kitti={tmp_path / 'empty'}")
    result = run(recipe, *given, "--source", "kity=x", "--check", cwd=tmp_path)
    assert result.returncode == 1
    problems = result.stderr.splitlines()
    assert all(problem.startswith("error: ") for problem in problems)
    assert [any(said in problem for problem in problems) for said in (
        "--source kity=...: not a source of this recipe; did you mean 'kitti'?",
        "holds no .db file of a nuPlan log, so nuplan cannot be read from it; it looks like argoverse2",
        "empty: holds no training/label_02/*.txt",
    )] == [True] * 3 and len(problems) == 3  # fmt: skip
    assert f"argoverse2  {raw}" in result.stdout and "2 train; 2 asked" in result.stdout
    assert "CC BY-NC-SA 4.0 and Motional's terms of use" in result.stdout
    assert "not given: nuscenes" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "recipe.yaml"]

    assert run(recipe, "--source", f"argoverse2={raw}", "--check", "--annotations-only").returncode == 0
    assert run(recipe, "--source", f"argoverse2={raw}").returncode == 2, "--out is missing"


def test_where_no_source_can_be_used_nothing_else_is_told(tmp_path: Path) -> None:
    recipe, missing = write_recipe(tmp_path, {"argoverse2": {}}), tmp_path / "missing"
    result = run(recipe, "--source", f"argoverse2={missing}", "--check")
    assert result.returncode == 1
    assert result.stdout == "R: nothing to build; no source can be used, and nothing was written\n"
    cure = "give --source argoverse2=PATH with the folder that holds its recordings"
    assert result.stderr == f"error: source argoverse2: {missing} is not a folder; {cure}\n"


def test_a_disk_that_is_too_small_is_a_problem(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(checking.shutil, "disk_usage", lambda place: Usage(1000))
    request = BuildRequest(recipe_of({"argoverse2": {}}), {"argoverse2": str(raw)}, annotations_only=True)
    (problem,) = check(request, tmp_path / "absent" / "out").problems
    assert problem.startswith(f"{tmp_path / 'absent' / 'out'}: the build needs about ")
    assert problem.endswith("1 kB are free; free some space or choose another --out")


# --- what is refused --------------------------------------------------------------------------------------------------


def refuses(request: BuildRequest, out: Path, message: str) -> None:
    """A build, and the check before it, end with the same line."""
    with pytest.raises(DataError, match=re.escape(message)) as error:
        build(request, out)
    assert "\n" not in str(error.value)
    assert not out.exists()
    assert message in " ".join(check(request).problems)


def test_a_source_that_gives_nothing_is_refused_with_the_reasons(raw: Path, tmp_path: Path) -> None:
    """Whatever the other sources give."""
    simulation = {"simulation": {"seed": 3, "recordings": 1, **WORLD}}
    paths = {"argoverse2": str(raw)}
    recipe = recipe_of({"argoverse2": {}, **simulation}, splits={"test": "test", "validation": "validation"})
    said = "source argoverse2: none of its recordings can be used: train split is not in the recipe "
    refuses(BuildRequest(recipe, paths, engine=ONE), tmp_path / "out", said)

    root = shutil.copytree(raw, tmp_path / "bare")
    for sensors in root.rglob("sensors"):
        shutil.rmtree(sensors)
    recipe = recipe_of({"argoverse2": {}, **simulation})
    with pytest.raises(DataError, match=r"recordings of argoverse2: no images \(2x, .*leave out --source argov"):
        build(BuildRequest(recipe, {"argoverse2": str(root)}, engine=ONE), tmp_path / "out")


def test_two_sources_that_hold_the_same_recordings_are_refused(raw: Path, tmp_path: Path) -> None:
    write_nuplan(SimulationSource({"seed": 3, "recordings": 2, **WORLD}), tmp_path / "nuplan")
    ids = sorted(path.parent.name for path in raw.rglob("annotations.feather"))
    assert ids == sorted(path.stem for path in (tmp_path / "nuplan").rglob("*.db"))
    paths = {"argoverse2": str(raw), "nuplan": str(tmp_path / "nuplan")}
    request = BuildRequest(recipe_of({"argoverse2": {}, "nuplan": {}}), paths, annotations_only=True, engine=ONE)
    refuses(request, tmp_path / "out", "argoverse2 and nuplan hold 2 recordings of the same name ")
    # The simulation itself has labels of another kind.
    simulation = {"simulation": {"seed": 3, "recordings": 2, **WORLD}}
    recipe = recipe_of({"argoverse2": {}, **simulation})
    assert len(prepare(BuildRequest(recipe, {"argoverse2": str(raw)}, True, engine=ONE), tmp_path / "work").chosen.rows)


def test_a_list_that_names_what_is_not_there_is_refused(raw: Path, tmp_path: Path) -> None:
    root = shutil.copytree(raw, tmp_path / "av2")
    lists = json.loads((root / "splits.json").read_text())
    lists["test"] = ["b", "a", "d", "c"]
    (root / "splits.json").write_text(json.dumps(lists))
    request = BuildRequest(recipe_of({"argoverse2": {}}), {"argoverse2": str(root)}, engine=ONE)
    refuses(request, tmp_path / "out", "splits.json: names 4 recordings that are not there (a, b, c, ...); drop them")


def test_an_output_folder_that_cannot_be_made_is_one_line(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recipe = write_recipe(tmp_path, {"argoverse2": {}})
    for more in ((), ("--check",)):
        given = (recipe, "--source", f"argoverse2={raw}", "--out", tmp_path / "file" / "out", "--workers", 1, *more)
        result = run(*given, "--annotations-only")
        assert result.returncode == 1
        assert [line for line in result.stderr.splitlines() if "choose another --out" in line], result.stderr
        assert result.stderr.count("\n") == 1


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(raw: Path, tmp_path: Path) -> None:
    """No file may grow over 4 kB: as on a full disk, writing fails in the middle of a file."""
    recipe = write_recipe(tmp_path, {"argoverse2": {}})
    given = (recipe, "--source", f"argoverse2={raw}", "--out", tmp_path / "out", "--workers", 1)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    result = run(*given, preexec_fn=limit, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line and "recording/s]" not in line]
    assert len(errors) == 1 and errors[0].startswith("error: ") and "free some space" in errors[0], result.stderr
    assert not (tmp_path / "out").exists() and not list(tmp_path.rglob("*.partial*"))
    assert run(*given).returncode == 0

"""dataset_builder/build.py, run as a user does: what it writes, again and again, and how it fails."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyarrow import feather
from tests.check_labels import check_caps, check_row
from tests.dataset.scenes import scene_of

from stvlm.dataset.folder import build, write_readme
from stvlm.dataset.prepare import BuildRequest, prepare
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.rows import SCHEMA
from stvlm.dataset.video import VideoSettings, read_video
from stvlm.engine import Engine
from stvlm.files import locked
from stvlm.recipes import load_recipe
from stvlm.recording_folder import write_recording
from stvlm.records import Camera, DataError, Track
from stvlm.scoring import TASKS
from stvlm.simulation.formats.argoverse2 import write_argoverse2
from stvlm.simulation.source import SimulationSource

ROOT = Path(__file__).parent.parent.parent
PROGRAM = [sys.executable, str(ROOT / "dataset_builder" / "build.py")]
RECIPE = """
name: tiny
title: Tiny
sources:
  simulation:
    {seed: 3, recordings: 3, layouts: [curve, crossroads], width_px: 96, height_px: 72, duration_s: 5.0,
     camera_motions: {fixed: 1.0}}
splits: {train: train}
clips: {min_frames: 5, max_frames: 9, rounds: [2, 3, 1]}
"""
OTHERWISE = {"PYTHONHASHSEED": "2", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
"""What must make no difference."""
PLACE = ["shard", "row"]
DRIVING = "name: mine\ntitle: Mine\nsources: {argoverse2: {}}\n"


def run(*arguments: Any, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=os.environ | environment, timeout=300
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built_and_said(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A build's folder, and what the program wrote to stdout."""
    out = tmp_path_factory.mktemp("built") / "stkit"
    result = run(recipe, "--out", out, "--workers", 1, PYTHONHASHSEED="1")
    assert result.returncode == 0, result.stderr
    assert f"{len(rows_of(out))} rows about " in result.stdout
    return out, result.stdout


@pytest.fixture(scope="module")
def built(built_and_said: tuple[Path, str]) -> Path:
    return built_and_said[0]


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("*/*/metadata.parquet")) for row in pq.read_table(path).to_pylist()]


# --- what is written --------------------------------------------------------------------------------------------------


def test_load_dataset_reads_the_folder(built: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(built), cache_dir=str(tmp_path))
    assert {split: len(part) for split, part in loaded.items()} == {"train": len(rows_of(built))}
    expected = datasets.Features.from_arrow_schema(SCHEMA.remove(0))
    assert loaded["train"].features == {"video": datasets.Video(), **expected}
    assert set(loaded["train"]["task"]) == set(TASKS)
    assert sorted(loaded["train"]["id"]) == sorted(row["id"] for row in rows_of(built))

    row = loaded["train"].cast_column("video", datasets.Video(decode=False))[0]
    frames, times_s = read_video(Path(row["video"]["path"]))
    assert Path(row["video"]["path"]).stem == row["clip_id"]
    assert len(frames) == len(row["frame_times_s"])
    pytest.importorskip("torchcodec")
    assert loaded["train"][0]["video"].metadata.num_frames == len(times_s)


def test_configs_and_streaming(built: Path) -> None:
    assert set(datasets.get_dataset_config_names(str(built))) == {"default", "labeled", "simulation"}
    for config in ("labeled", "simulation"):
        stream = datasets.load_dataset(str(built), config, split="train", streaming=True)
        stream = stream.cast_column("video", datasets.Video(decode=False))
        assert [row["id"] for row in stream.take(5)] == [row["id"] for row in rows_of(built)[:5]]


def test_videos_hold_the_sampled_frames(built: Path) -> None:
    seen = {}
    for row in rows_of(built):
        path = built / "simulation" / "train" / row["file_name"]
        if path not in seen:
            seen[path] = read_video(path)
        frames, times_s = seen[path]
        assert times_s.tolist() == row["frame_times_s"] == [i / 2 for i in range(len(frames))]
        assert frames.shape[1:] == (72, 96, 3)
        for item in row["objects"]:
            for box in filter(None, item["boxes_px"]):
                assert 0 <= box[0] < box[2] <= 96
                assert 0 <= box[1] < box[3] <= 72
    assert set(seen) == set(built.rglob("*.mp4"))


def test_another_program_confirms_every_row(built: Path) -> None:
    rows = rows_of(built)
    clips = {row["clip_id"]: row for row in pq.read_table(built / "trajectories" / "clips.parquet").to_pylist()}
    assert check_caps(rows) == []
    assert set(clips) == {row["clip_id"] for row in rows}
    for row in rows:
        places = zip(row["objects"], clips[row["clip_id"]]["xyz_m"], strict=True)
        assert check_row(row, {item["color"]: np.array(xyz_m) for item, xyz_m in places}) == [], row["id"]


def test_the_manifest_says_how_and_not_where(built: Path, tmp_path: Path) -> None:
    manifest = json.loads((built / "build.json").read_text())
    assert manifest["recipe"]["name"] == "tiny"
    assert manifest["report"]["rows"] == len(rows_of(built))
    assert str(tmp_path.parent) not in (built / "build.json").read_text() + (built / "README.md").read_text()


def test_only_annotations(recipe: Path, built: Path, tmp_path: Path) -> None:
    result = run(recipe, "--out", tmp_path / "out", "--annotations-only", "--workers", 1)
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "out").rglob("*.mp4")) == []
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names == [name for name in SCHEMA.names if name != "file_name"]
    expected = [{key: value for key, value in row.items() if key != "file_name"} for row in rows_of(built)]
    assert loaded.to_list() == expected


def test_a_variant_without_a_row_is_no_config(tmp_path: Path) -> None:
    """An object without a box: how high the camera is above the ground on which it moves is not known."""
    root, times_ns = tmp_path / "mine", np.arange(41) * 100_000_000
    track = Track("car", "car", times_ns, np.linspace([10, 0, 0.75], [34, 0, 0.75], 41))  # 6 m/s
    camera = Camera("front", 96, 72, 60.0, 60.0, 48.0, 36.0)
    scene = scene_of(track, times_ns=times_ns, scene_id="drive", camera=camera)
    write_recording(root / "drive", [scene])
    (root / "splits.json").write_text('{"train": ["drive"]}', encoding="utf-8")
    text = "name: own\ntitle: Own\nsources: {video_folder: {}}\nvariants: [intrinsics, paraphrased]\n"
    recipe = load_recipe(edited(tmp_path, text), Recipe)
    report = build(BuildRequest(recipe, {"video_folder": str(root)}, True, engine=Engine(workers=1)), tmp_path / "out")
    assert report.variants["intrinsics"] == {"rows": 0, "camera of unknown height": report.rows}
    configs = {"default", "labeled", "video_folder", "paraphrased"}
    assert set(datasets.get_dataset_config_names(str(tmp_path / "out"))) == configs
    for config in configs:
        loaded = datasets.load_dataset(str(tmp_path / "out"), config, cache_dir=str(tmp_path / "cache"))
        assert loaded.num_rows == {"train": report.rows}


# --- the same bytes, whatever happens ---------------------------------------------------------------------------------


def begin(recipe: Path, out: Path) -> "subprocess.Popen[str]":
    """The program in a process group of its own, as a shell starts it."""
    command = [*PROGRAM, str(recipe), "--out", str(out), "--workers", "2"]
    environment = os.environ | OTHERWISE
    return subprocess.Popen(
        command, start_new_session=True, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def wait_for(condition: Any, program: "subprocess.Popen[str] | None" = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        assert program is None or program.poll() is None, "ended before it could be interrupted"
        time.sleep(0.005)


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_neither_interruptions_nor_workers_nor_the_hash_seed_change_a_byte(
    recipe: Path, built: Path, tmp_path: Path
) -> None:
    out, work_dir = tmp_path / "stkit", tmp_path / ".stkit.build"

    first = begin(recipe, out)
    wait_for(lambda: list(work_dir.glob("asked/*.parquet")), first)
    os.killpg(first.pid, signal.SIGINT)  # Ctrl-C reaches every process of the group
    _, stderr = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert not out.exists()
    kept = {path: path.stat().st_mtime_ns for path in work_dir.glob("asked/*.parquet")}
    assert kept
    assert not list(work_dir.rglob("*.partial*"))
    wait_for(lambda: group_is_gone(first.pid))

    second = begin(recipe, out)
    wait_for(lambda: len(list(work_dir.glob("videos/[!.]*.mp4"))) >= 3, second)
    second.kill()
    second.communicate(timeout=60)
    assert not out.exists()
    with pytest.raises(FileNotFoundError):
        datasets.load_dataset(str(out))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what was asked is not asked again"
    wait_for(lambda: group_is_gone(second.pid))
    made = {path.name: path.stat().st_mtime_ns for path in work_dir.glob("videos/[!.]*.mp4")}

    result = run(recipe, "--out", out, "--workers", 2, **OTHERWISE)
    assert result.returncode == 0, result.stderr
    assert contents(out) == contents(built)
    for path in out.rglob("*.mp4"):
        assert path.stat().st_mtime_ns == made.get(path.name, path.stat().st_mtime_ns), "a whole clip is kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stkit"]


def test_an_engine_changes_no_byte(recipe: Path, built: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    result = run(recipe, "--out", tmp_path / "stkit", "--workers", 3, "--engine", "ray")
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "stkit") == contents(built)


POISON = """
import os, signal
from stvlm.simulation.source import SimulationSource

def scenes(self, recording, made=SimulationSource.scenes):
    if recording.scene_id == os.environ["POISONED"]:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    return made(self, recording)

SimulationSource.scenes = scenes
"""


def test_a_recording_that_kills_its_worker_is_left_out(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = BuildRequest(load_recipe(recipe, Recipe), {}, annotations_only=True, engine=Engine(workers=2))
    whole = prepare(request, tmp_path / "whole").chosen.rows.drop_columns(PLACE).to_pylist()
    poisoned = min(row["scene_id"] for row in whole)
    (tmp_path / "sitecustomize.py").write_text(POISON, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("POISONED", poisoned)
    prepared = prepare(request, tmp_path / "work")
    others = [row for row in whole if row["scene_id"] != poisoned]
    assert prepared.chosen.rows.drop_columns(PLACE).to_pylist() == others
    assert prepared.chosen.skipped == [("killed its worker process twice, perhaps for want of memory", poisoned)]
    monkeypatch.setenv("POISONED", "")
    again = prepare(request, tmp_path / "work").chosen.rows.drop_columns(PLACE).to_pylist()
    assert again == whole, "and tried again by the next build"


def test_videos_of_an_interrupted_build_are_not_those_of_another_recipe(recipe: Path, tmp_path: Path) -> None:
    """The ids of clips and questions stay where only the size of the videos changes."""
    request = BuildRequest(load_recipe(recipe, Recipe), {}, engine=Engine(workers=1))
    prepare(request, tmp_path)
    smaller = replace(request, recipe=replace(request.recipe, video=VideoSettings(max_side_px=48)))
    rows = prepare(smaller, tmp_path).chosen.rows
    for clip_id in set(rows.column("clip_id").to_pylist()):
        assert read_video(tmp_path / "videos" / f"{clip_id}.mp4")[0].shape[1:] == (36, 48, 3)


def test_what_was_damaged_is_tried_again(tmp_path: Path) -> None:
    source = SimulationSource({"recordings": 2, "seed": 5, "layouts": ["curve"], "camera_motions": {"fixed": 1}})
    write_argoverse2(source, tmp_path / "raw", images=False)
    damaged = next((tmp_path / "raw").rglob("annotations.feather"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    mine = tmp_path / "mine.yaml"
    mine.write_text(DRIVING, encoding="utf-8")
    request = BuildRequest(
        load_recipe(mine, Recipe), {"argoverse2": str(tmp_path / "raw")}, True, engine=Engine(workers=1)
    )
    first = prepare(request, tmp_path / "work")
    assert len(first.chosen.skipped) == 1
    damaged.write_bytes(whole)
    again = prepare(request, tmp_path / "work")
    assert again.chosen.skipped == []
    assert len(again.chosen.rows) > len(first.chosen.rows)


def test_only_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    """A second box of one time stays, and images may come."""
    images = write_log(tmp_path / "av2")[0].parent
    [annotations] = (tmp_path / "av2").rglob("annotations.feather")
    boxes = feather.read_table(annotations)
    feather.write_feather(pa.concat_tables([boxes, boxes[:1]]), str(annotations))
    sources = {"argoverse2": str(tmp_path / "av2")}
    request = BuildRequest(load_recipe(edited(tmp_path, DRIVING), Recipe), sources, engine=Engine(workers=1))
    images.rename(tmp_path / "images")
    with pytest.raises(DataError, match="no images"):
        prepare(request, tmp_path / "work")
    (tmp_path / "images").rename(images)
    assert "second box at one time stamp" in {item.reason for item in prepare(request, tmp_path / "work").asked.skipped}
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("asked/*.parquet")}
    prepare(request, tmp_path / "work")
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_what_is_made_from_other_files_than_lie_there_now_is_made_again_or_told(tmp_path: Path) -> None:
    """A car at 6 m/s; then its annotations say 0 m/s, and then 3 m/s."""
    write_log(tmp_path / "av2")
    [annotations] = (tmp_path / "av2").rglob("annotations.feather")
    boxes, out = feather.read_table(annotations), tmp_path / "out"
    sources = {"argoverse2": str(tmp_path / "av2")}
    request = BuildRequest(load_recipe(edited(tmp_path, DRIVING), Recipe), sources, True, engine=Engine(workers=1))

    def drive_at(share: float) -> None:
        tx_m = pa.array(10 + share * (boxes["tx_m"].to_numpy() - 10))
        feather.write_feather(boxes.set_column(boxes.column_names.index("tx_m"), "tx_m", tx_m), str(annotations))

    def speeds() -> set[str]:
        return {row["target"] for row in rows_of(out) if row["task"] == "traveling_speed"}

    drive_at(0)
    with pytest.raises(DataError, match="stays where it is"):
        build(request, out)
    drive_at(1)
    report = build(request, out)
    assert speeds() == {"21.60"}
    drive_at(0.5)
    with pytest.raises(DataError, match="out: was built from files that have changed since, or by other code; choose"):
        build(request, out)
    (tmp_path / "av2").rename(tmp_path / "elsewhere")
    assert build(request, out) == report, "without the files it is as good as it was"
    (tmp_path / "elsewhere").rename(tmp_path / "av2")
    shutil.rmtree(out)
    build(request, out)
    assert speeds() == {"10.80"}


def test_a_finished_build_is_not_made_again(recipe: Path, built_and_said: tuple[Path, str]) -> None:
    built, said = built_and_said
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    result = run(recipe, "--out", built)
    assert result.returncode == 0, result.stderr
    assert result.stdout == said
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before


def test_what_a_killed_build_left_beside_its_result_is_cleared_up(recipe: Path, built: Path) -> None:
    left = built.parent / ".stkit.build" / "videos"
    left.mkdir(parents=True)
    with locked(left.parent / "lock"):
        build(BuildRequest(load_recipe(recipe, Recipe), {}), built)
    assert left.exists(), "another process is at it"
    build(BuildRequest(load_recipe(recipe, Recipe), {}), built)
    assert [path.name for path in built.parent.iterdir()] == ["stkit"]


# --- errors -----------------------------------------------------------------------------------------------------------


def fails(*arguments: Any, out: Path, saying: str) -> None:
    """One line, exit code 1, and no output."""
    before = contents(out) if out.is_dir() else out.read_bytes() if out.exists() else None
    result = run(*arguments, "--out", out, "--workers", 1)
    errors = [line for line in result.stderr.splitlines() if line and not line.startswith(("asking: ", "rendering: "))]
    assert result.returncode == 1, result.stderr
    assert len(errors) == 1 and errors[0].startswith("error: ") and saying in errors[0], result.stderr
    assert result.stdout == ""
    assert (contents(out) if out.is_dir() else out.read_bytes() if out.exists() else None) == before


def edited(tmp_path: Path, text: str) -> Path:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "recipe.yaml"


def test_a_wrong_key_is_one_line_that_names_the_right_one(tmp_path: Path) -> None:
    wrong = edited(tmp_path, RECIPE + "qestions: {per_clip: 3}\n")
    fails(wrong, out=tmp_path / "out", saying="recipe.yaml: unknown key 'qestions'; did you mean 'questions'?")
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "give at least one --source NAME=PATH, of: argoverse2"),
        ("argoverse2=no", "no is not a folder"),
        ("argoverse2=here", "holds no annotations.feather"),
        ("argoverse=here", "did you mean 'argoverse2'?"),
    ],
)
def test_a_wrong_source_is_told(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "here").mkdir()
    name, _, folder = source.partition("=")
    request = BuildRequest(
        load_recipe(edited(tmp_path, DRIVING), Recipe),
        {name: str(tmp_path / folder)} if name else {},
        engine=Engine(workers=1),
    )
    with pytest.raises(DataError, match=re.escape(message)):
        build(request, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"here", "recipe.yaml"}


def test_what_lies_at_out_is_left_alone(recipe: Path, built: Path, tmp_path: Path) -> None:
    def refuses(out: Path, message: str, text: str = RECIPE) -> None:
        before = contents(out) if out.is_dir() else out.read_bytes()
        with pytest.raises(DataError, match=re.escape(message)):
            build(BuildRequest(load_recipe(edited(tmp_path, text), Recipe), {}), out)
        assert (contents(out) if out.is_dir() else out.read_bytes()) == before

    (tmp_path / "file").write_text("mine", encoding="utf-8")
    fails(recipe, out=tmp_path / "file", saying="file: is a file; --out names a folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", encoding="utf-8")
    refuses(tmp_path / "full", "full: is not empty and holds no build; choose another --out")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    refuses(tmp_path / "link", "link: is a link or a mounted disk, which no folder can take the place of")
    other = RECIPE.replace("seed: 3", "seed: 4")
    refuses(built, "stkit: holds another build (recipe, sources or options differ)", other)


def test_two_builds_at_once_are_refused(recipe: Path, tmp_path: Path) -> None:
    with locked(tmp_path / ".stkit.build" / "lock"):
        fails(recipe, out=tmp_path / "stkit", saying=f".stkit.build: in use by process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_has_finished_meanwhile_is_taken(
    recipe: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other ends between this one's look at --out and its turn."""
    out, request = tmp_path / "stkit", BuildRequest(load_recipe(recipe, Recipe), {})

    @contextmanager
    def after_the_other(path: Path) -> Iterator[None]:
        shutil.copytree(built, out)
        with locked(path):
            yield

    monkeypatch.setattr("stvlm.dataset.folder.locked", after_the_other)
    monkeypatch.setattr("stvlm.dataset.folder.prepare", None)
    assert build(request, out)._asdict() == json.loads((built / "build.json").read_text())["report"]
    assert [path.name for path in tmp_path.iterdir()] == ["stkit"]


def test_a_training_set_that_was_never_built_is_told(recipe: Path, tmp_path: Path) -> None:
    fails(recipe, "--against", tmp_path / "no", out=tmp_path / "out", saying="no/build.json: No such file or directory")


def write_log(root: Path) -> list[Path]:
    """An Argoverse 2 log of 3 s: one car that drives straight on at 6 m/s before a camera that stands still."""
    log = root / "logs" / "11111111-0000-0000-0000-000000000000"
    (log / "calibration").mkdir(parents=True)
    images = log / "sensors" / "cameras" / "ring_front_center"
    images.mkdir(parents=True)
    times_ns = [10**18 + i * 100_000_000 for i in range(31)]
    upright = {"qw": 1.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}
    here = {"tx_m": 0.0, "ty_m": 0.0, "tz_m": 0.0}
    box = {"track_uuid": "car", "category": "REGULAR_VEHICLE", "length_m": 4.0, "width_m": 2.0, "height_m": 1.5}
    places = [{"tx_m": 10 + 0.6 * i, "ty_m": 0.0, "tz_m": 0.0} for i in range(31)]
    boxes = [{"timestamp_ns": t, **box, **upright, **p} for t, p in zip(times_ns, places, strict=True)]
    camera = {"sensor_name": "ring_front_center", "qw": 0.5, "qx": -0.5, "qy": 0.5, "qz": -0.5, **here}
    optics = {"fx_px": 60.0, "fy_px": 60.0, "cx_px": 48.0, "cy_px": 36.0, "height_px": 72, "width_px": 96}
    tables = {
        "annotations": boxes,
        "city_SE3_egovehicle": [{"timestamp_ns": t, **upright, **here} for t in times_ns],
        "calibration/egovehicle_SE3_sensor": [camera],
        "calibration/intrinsics": [{"sensor_name": "ring_front_center", **optics}],
    }
    for name, rows in tables.items():
        feather.write_feather(pa.Table.from_pylist(rows), str(log / f"{name}.feather"))
    (root / "splits.json").write_text(json.dumps({"train": [log.name]}), encoding="utf-8")
    for t in times_ns:
        Image.new("RGB", (96, 72), (90, 90, 90)).save(images / f"{t}.jpg")
    return sorted(images.iterdir())


def test_a_recording_by_hand_and_what_damage_does_to_it(tmp_path: Path) -> None:
    images = write_log(tmp_path / "av2")
    recipe = edited(tmp_path, DRIVING)

    def made(name: str, annotations_only: bool = False) -> list[dict[str, Any]]:
        # A process opens a folder once, so each state of it has a place of its own.
        root = shutil.copytree(tmp_path / "av2", tmp_path / "states" / name)
        request = BuildRequest(
            load_recipe(recipe, Recipe), {"argoverse2": str(root)}, annotations_only, engine=Engine(workers=1)
        )
        build(request, tmp_path / name)
        return rows_of(tmp_path / name)

    rows = made("whole")
    assert {(row["clip_start_ns"], len(row["frame_times_s"])) for row in rows} == {(10**18, 7)}
    asked = {(row["task"], row["end_s"] - row["start_s"]): row["target"] for row in rows}
    assert {task for task, _ in asked} == {"traveled_distance", "traveling_speed", "movement_direction"}
    expected = {
        "traveled_distance": lambda seconds: f"{6 * seconds:.2f}",
        "traveling_speed": lambda seconds: "21.60",
        "movement_direction": lambda seconds: "12",
    }
    assert asked == {(task, seconds): expected[task](seconds) for task, seconds in asked}

    # Without the image of 2.5 s, and its neighbours are 100 ms away, the clip ends at 2 s.
    images[25].unlink()
    assert {len(row["frame_times_s"]) for row in made("shorter")} == {5}

    # An image that is cut off costs its clip, here the only one.
    images[10].write_bytes(images[10].read_bytes()[:300])
    source = ("--source", f"argoverse2={tmp_path / 'av2'}")
    fails(recipe, *source, out=tmp_path / "broken", saying="clip with an unreadable image")
    # What needs no image is not harmed, and goes by the annotations' stamps where there is none.
    shutil.rmtree(images[0].parent)
    fails(recipe, *source, out=tmp_path / "none", saying="no images (1x, 11111111-0000-0000-0000-000000000000")
    assert {len(row["frame_times_s"]) for row in made("text", annotations_only=True)} == {7}


def test_other_rows_take_the_place_of_those_whose_clip_cannot_be_rendered(tmp_path: Path) -> None:
    options = {"recordings": 2, "seed": 5, "layouts": ["curve"], "width_px": 96, "height_px": 72, "duration_s": 8.0}
    write_argoverse2(SimulationSource(options), tmp_path / "raw")
    mine = edited(tmp_path, DRIVING + "splits: {train: train}\nselect: {rows_per_task: 6}\n")
    request = BuildRequest(load_recipe(mine, Recipe), {"argoverse2": str(tmp_path / "raw")}, engine=Engine(workers=1))
    first = prepare(request, tmp_path / "work").chosen.rows
    lost = first.column("scene_id")[0].as_py()
    for image in (tmp_path / "raw").rglob(f"{lost}/sensors/cameras/*/*.jpg"):
        image.write_bytes(image.read_bytes()[:300])
    again = prepare(request, tmp_path / "other").chosen
    assert lost not in again.rows.column("scene_id").to_pylist()
    assert {item.reason for item in again.skipped} == {"clip with an unreadable image"}
    distances = [rows.column("task").to_pylist().count("traveled_distance") for rows in (first, again.rows)]
    assert distances == [6, 6]


def test_a_folder_that_was_built_again_is_read_again(tmp_path: Path) -> None:
    """`datasets` keeps rows by the folder's name and what its README says."""
    folder = tmp_path / "stkit" / "simulation" / "train"
    folder.mkdir(parents=True)
    for ids in (["a", "b"], ["c"], ["d"]):
        pq.write_table(pa.table({"id": ids}), folder / "metadata.parquet")
        recipe = Recipe(name="stkit", title="Again", sources={"simulation": {}})
        write_readme(tmp_path / "stkit", recipe, {"": {("simulation", "train", "simulated")}})
        loaded = datasets.load_dataset(str(tmp_path / "stkit"), split="train", cache_dir=str(tmp_path / "cache"))
        assert loaded["id"][:] == ids
    before = (tmp_path / "stkit" / "README.md").read_text(encoding="utf-8")
    coarser = replace(recipe, video=VideoSettings(crf=30))  # other videos of the same rows
    write_readme(tmp_path / "stkit", coarser, {"": {("simulation", "train", "simulated")}})
    assert (tmp_path / "stkit" / "README.md").read_text(encoding="utf-8") != before

"""What cannot be labelled is counted with its reason, and the rest goes on; what is asked wrongly ends in one line."""

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.pseudo_labels.programs import (
    ANYTHING_MOVES,
    ENVIRONMENT,
    LABEL,
    run,
    write_camera,
    write_recipe,
    write_street,
)
from tests.pseudo_labels.videos.tiny_videos import drifting, write_sound, write_video

from stvlm.files import locked, read_json
from stvlm.pseudo_labels.steps import NO_BOXES

SETTINGS: Mapping[str, Any] = {
    "objects": {"by": "annotations"},
    "geometry": {"by": "static_camera"},
    "filters": ANYTHING_MOVES,
    "most_side_px": 64,
}


def boxes(video: Path, count: int, left: float, step: float, side: float = 20, top: float = 10) -> None:
    """A car that moves to the right, in MOTChallenge's columns, whose pixels count from 1."""
    rows = [f"{i + 1},1,{left + step * i + 1},{top + 1},{side},{side},1,3,1" for i in range(count)]
    video.with_suffix(".mot.txt").write_text("\n".join(rows), encoding="utf-8")


def write_videos(folder: Path) -> None:
    write_street(folder / "good.mp4")
    ms = np.cumsum([0, *([60, 140, 100] * 14)])[:40].tolist()
    write_street(folder / "uneven.mp4", times_ms=ms)
    turned = write_video(folder / "turned.mp4", drifting(40), turned_deg=90)
    write_camera(turned, cx_px=23.5, cy_px=31.5)
    boxes(turned, 40, 2, 0.5, side=20)
    large = write_video(folder / "large.mp4", (np.kron(image, np.ones((5, 5, 1), np.uint8)) for image in drifting(40)))
    write_camera(large, fx_px=300, fy_px=300, cx_px=159.5, cy_px=119.5)
    boxes(large, 40, 0, 5, side=100, top=50)
    write_street(folder / "long.mp4", 360, hz=2)
    boxes(folder / "long.mp4", 360, 0, 0.1)
    cut = [*drifting(40), *(255 - image[:, ::-1] // 4 for image in drifting(40, (20, 250, 40)))]
    write_video(folder / "cut.mp4", cut)
    write_camera(folder / "cut.mp4")
    boxes(folder / "cut.mp4", 80, 0, 0.5)
    write_street(folder / "one.mp4", 1)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "torn.mp4").write_bytes((folder / "good.mp4").read_bytes()[:900])
    write_sound(folder / "sound.mp4")
    write_camera(write_video(folder / "nobody.mp4", drifting(40)))
    write_street(folder / "uncalibrated.mp4").with_suffix(".camera.json").unlink()
    write_street(folder / "misspelt.mp4").with_suffix(".camera.json").write_text('{"hfov": 60}', encoding="utf-8")
    write_street(folder / "short.mp4", 20)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    write_videos(place / "videos")
    return place


def arguments(place: Path, **settings: Any) -> list[Any]:
    recipe = write_recipe(place / "recipe.yaml", **{**SETTINGS, **settings})
    return [recipe, "--source", f"video_folder={place / 'videos'}", "--out", place / "out"]


def test_each_video_that_cannot_be_labelled_has_a_reason_and_the_others_are_labelled(place: Path) -> None:
    result = run(LABEL, *arguments(place))
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    report = read_json(place / "out" / "pseudo_labels.json")
    rejected = {name: of_stage["rejected"] for name, of_stage in report["stages"].items() if of_stage["rejected"]}
    assert rejected == {
        "excerpts": {
            "video does not open": 2,  # empty, torn
            "one frame": 1,
            "no video stream": 1,
            "video with a mistake": 1,
            "too short": 1,
        },
        "objects": {NO_BOXES: 1},
        "geometry": {
            "no intrinsics; give hfov_deg of its collection in the recipe, or a NAME.camera.json beside the video": 1
        },
    }
    labelled = sorted(path.parent.relative_to(place / "out").as_posix() for path in (place / "out").rglob("r*.json"))
    parts = [f"long/{i}" for i in range(9)]  # of 179.5 s, 20.5 s each
    assert labelled == sorted(["good/0", "uneven/0", "turned/0", "large/0", "cut/0", "cut/1", *parts])
    (told,) = [text for text in report["stages"]["excerpts"]["examples"] if "mistake" in text]
    assert "misspelt.camera.json: unknown key 'hfov'; did you mean 'hfov_deg'?" in told
    with (place / "out" / "left_out.csv").open(newline="", encoding="utf-8") as file:
        left_out = list(csv.DictReader(file))
    assert {row["reason"] for row in left_out if row["stage"] == "excerpts"} == set(rejected["excerpts"])
    assert [row["subject"] for row in left_out if row["stage"] == "objects"] == ["nobody/0"]


def test_after_a_change_what_was_left_out_before_is_left_out_again(place: Path) -> None:
    """The rejection of a stage before the changed one holds for those after it, too."""
    result = run(LABEL, *arguments(place, filters={**ANYTHING_MOVES, "least_s": 2.9}))
    assert result.returncode == 0, result.stderr
    report = read_json(place / "out" / "pseudo_labels.json")
    assert report["stages"]["objects"]["rejected"] == {NO_BOXES: 1}


def test_boxes_and_times_are_the_videos_own(place: Path) -> None:
    """What the stages saw of the large video has a fifth of its size; its labels have all of it."""

    def column(name: str, table: str, *columns: str) -> np.ndarray[Any, Any]:
        rows = pq.read_table(place / "out" / name / f"{table}.parquet")
        return np.stack([rows[column].to_numpy(zero_copy_only=False) for column in columns], axis=1)

    sides = ("x0_px", "y0_px", "x1_px", "y1_px")
    np.testing.assert_allclose(column("large/0", "boxes", *sides)[7], [34.5, 49.5, 134.5, 149.5], atol=1e-6)
    np.testing.assert_allclose(column("turned/0", "boxes", *sides)[4], [3.5, 9.5, 23.5, 29.5], atol=1e-6)
    times_ns = column("uneven/0", "frames", "time_ns")[:, 0]
    assert times_ns[:4].tolist() == [0, 60_000_000, 200_000_000, 300_000_000]


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        (["--source", "videofolder=."], {}, "not a collection of this recipe, which has: video_folder"),
        ([], {"sources": {"bdd100k": {}}}, "--source video_folder=...: not a collection of this recipe, which has"),
        ([], {"smothing": {}}, "unknown key 'smothing'; did you mean 'smoothing'?"),
        ([], {"geometry": {"by": "vip"}}, "geometry: by: 'vip' is unknown; did you mean 'vipe'?"),
        ([], {"geometry": {"by": "vipe"}}, "vipe is a tool: give the command that runs it, or the artefacts"),
        ([], {"sources": {"video_folder": {"hfov_deg": 400}}}, "hfov_deg is an angle in degrees from 1 to 170; got"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_one_line(
    place: Path, tmp_path: Path, more: list[str], settings: Mapping[str, Any], message: str
) -> None:
    out = tmp_path / "out"
    result = run(LABEL, *arguments(place, **settings), *more, "--out", out)
    assert (result.returncode, out.exists(), out.with_name("out.work").exists()) == (1, False, False)
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line


def test_a_model_that_is_not_there_is_told_in_one_line(place: Path, tmp_path: Path) -> None:
    objects = {"by": "sam3", "sam3": {"model": "nobody/none"}}
    result = run(LABEL, *arguments(place, objects=objects), "--out", tmp_path / "out", "--limit", 1)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: nobody/none: cannot be loaded (")
    assert line.endswith("give a folder, or an id on the Hub, downloaded before where there is no network")
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_written(place: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("mine")
    result = run(LABEL, *arguments(place), "--out", full)
    assert result.returncode == 1
    assert result.stderr == f"error: {full}: is not empty and holds no pseudo-labels; choose another --out\n"
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]

    among = place / "videos" / "out"
    result = run(LABEL, *arguments(place), "--out", among)
    assert result.returncode == 1
    told = "where the next run would take what is in it for videos, too; choose a folder beside it"
    assert result.stderr == f"error: {among}: lies in {place / 'videos'}, {told}\n"
    assert not list((place / "videos").glob("out*"))

    file = tmp_path / "file"
    file.write_text("")
    result = run(LABEL, *arguments(place), "--out", file / "out")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert str(file / "out.work") in result.stderr

    with locked(tmp_path / "busy" / "lock"):
        result = run(LABEL, *arguments(place), "--out", tmp_path / "out", "--work", tmp_path / "busy")
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {tmp_path / 'busy'}: in use by process {os.getpid()} on ")
    assert len(result.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()

    with locked(tmp_path / ".out.making" / "lock"):  # by one that has another --work
        result = run(LABEL, *arguments(place), "--out", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {tmp_path / '.out.making'}: in use by process {os.getpid()} on ")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.work").exists()


def test_where_nothing_can_be_labelled_there_are_no_labels(tmp_path: Path) -> None:
    write_camera(write_video(tmp_path / "videos" / "a.mp4", drifting(40)))
    result = run(LABEL, write_recipe(tmp_path / "r.yaml", **SETTINGS), "--out", tmp_path / "none", "--source",
                 f"video_folder={tmp_path / 'videos'}")  # fmt: skip
    assert result.returncode == 1 and not (tmp_path / "none").exists()
    assert result.stderr.splitlines()[-1] == (
        f"error: nothing could be labelled: {NO_BOXES} (1x, a/0); all is in {tmp_path / 'none.work' / 'left_out.csv'}"
    )


def test_an_interrupted_run_says_how_it_goes_on(place: Path, tmp_path: Path) -> None:
    command = [*LABEL, *map(str, arguments(place)), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any((tmp_path / "out.work").glob("excerpts/.engine*/go")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert said.endswith("interrupted; run the same command again to go on\n")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.work" / "lock").exists()


def test_help_says_what_it_is_for() -> None:
    result = run(LABEL, "--help")
    assert result.returncode == 0
    for word in ("pseudo_embedded.yaml", "--gpu-workers", "Ctrl-C", "build.py"):
        assert word in result.stdout
    assert json.dumps(result.stdout).isascii()
    assert max(map(len, result.stdout.splitlines())) <= 120

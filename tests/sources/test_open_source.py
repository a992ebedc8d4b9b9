"""`open_source`: a wrong name, folder or option is one line that says what to do."""

import os
from itertools import permutations
from pathlib import Path

import pytest

from stvlm.records import DataError
from stvlm.sources import open_source, state_of


def test_an_unknown_name_gets_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'nuscenes'"):
        open_source("nuscene", tmp_path, {})


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/absent is not a folder; give --source nuplan=PATH"):
        open_source("nuplan", tmp_path / "absent", {})
    with pytest.raises(DataError, match="no folder was given; add --source argoverse2=PATH"):
        open_source("argoverse2", None, {})


def test_an_option_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no option 'seed'"):
        open_source("nuplan", tmp_path, {"seed": 1})


SIGNS = {
    "argoverse2": "val/log/annotations.feather",
    "aria_digital_twin": "sequence/scene_objects.csv",
    "egoexo4d": "takes.json",
    "kitti": "training/label_02/0000.txt",
    "nuplan": "splits/mini/log.db",
    "nuscenes": "v1.0-mini/sample_annotation.json",
    "video_folder": "drive/recording.json",
}
"""A file by which each source's folder is known."""


@pytest.mark.parametrize(("given", "there"), permutations(SIGNS, 2))
def test_another_sources_folder_is_recognised(tmp_path: Path, given: str, there: str) -> None:
    (tmp_path / SIGNS[there]).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / SIGNS[there]).touch()
    with pytest.raises(DataError, match=f"so {given} cannot be read from it; .* use --source {there}={tmp_path}$"):
        open_source(given, tmp_path, {}).recordings()


@pytest.mark.parametrize("name", ["egoexo4d", "kitti", "nuscenes"])
def test_a_root_that_lies_deeper_is_told(tmp_path: Path, name: str) -> None:
    sign = tmp_path / "data" / SIGNS[name]
    sign.parent.mkdir(parents=True)
    sign.touch()
    there = sign.parent if name == "kitti" else sign
    with pytest.raises(DataError, match=f"so {name} cannot be read from it; {there} is there: give the folder"):
        open_source(name, tmp_path, {}).recordings()


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    for name in ("notes.txt", "v1.0-mini.tgz", "v1.0-trainval_meta.tgz"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=f"nuscenes cannot be read from it; unpack {tmp_path}/v1.0-mini.tgz$"):
        open_source("nuscenes", tmp_path, {}).recordings()


def test_an_empty_folder_beside_its_archive_is_no_root_that_lies_deeper(tmp_path: Path) -> None:
    (tmp_path / "training" / "label_02").mkdir(parents=True)
    (tmp_path / "data_tracking_label_2.zip").touch()
    with pytest.raises(DataError, match=f"kitti cannot be read from it; unpack {tmp_path}/data_tracking_label_2.zip$"):
        open_source("kitti", tmp_path, {}).recordings()


def test_a_folder_of_no_source_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"argoverse2 cannot be read from it$"):
        open_source("argoverse2", tmp_path, {}).recordings()


def test_the_state_of_a_source_changes_with_its_files(tmp_path: Path) -> None:
    """Of images it knows the names, and in folders of millions of images nothing unless it is asked to look."""
    for name in ("logs/a/annotations.feather", "logs/a/front/1.jpg", "logs/a/sensors/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    seen = []

    def changes(name: str = "argoverse2", images: bool = False) -> bool:
        seen.append(((name, images), state_of(name, str(tmp_path), images)))
        earlier = [state for asked, state in seen[:-1] if asked == (name, images)]
        return not earlier or earlier[-1] != seen[-1][1]

    assert changes() and changes(images=True) and changes("video_folder")
    assert not changes()
    os.utime(tmp_path / "logs/a/annotations.feather", (1, 1))
    assert changes()
    (tmp_path / "logs/a/annotations.feather").write_text("longer")
    os.utime(tmp_path / "logs/a/annotations.feather", (1, 1))
    assert changes()
    (tmp_path / "logs/a/front/1.jpg").write_text("longer")
    assert not changes()
    (tmp_path / "logs/a/front/2.jpg").touch()
    assert changes() and changes(images=True) and changes("video_folder")
    (tmp_path / "logs/a/sensors/2.jpg").touch()
    assert not changes()
    assert changes(images=True) and changes("video_folder")
    for name in (".out.build/asked/1.parquet", "out/build.json", "out/trajectories/clips.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert not changes() and not changes(images=True), "what was built here is no raw data"
    assert state_of("argoverse2", str(tmp_path / "absent")) == state_of("simulation", None) == ""

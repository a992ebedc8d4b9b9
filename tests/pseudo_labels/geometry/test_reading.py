"""Which of several files is a video's."""

from pathlib import Path

import pytest

from stvlm.pseudo_labels.geometry.reading import only_file
from stvlm.records import DataError


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_of_several_files_the_one_named_after_the_excerpt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of a video and of its excerpts start alike, and so do those of excerpts 1 and 10."""
    ids = {"street": "street", "street/1": "street_1", "street/10": "street_10"}
    make(tmp_path, *(f"{name}_depth.npz" for name in ids.values()))
    for video_id, name in ids.items():
        assert only_file(tmp_path, "*_depth.npz", video_id) == tmp_path / f"{name}_depth.npz"
    monkeypatch.chdir(tmp_path)
    assert only_file(Path(), "*_depth.npz", "street/1") == Path("street_1_depth.npz")
    with pytest.raises(DataError, match=r"holds 3 files \*_depth\.npz; give the folder or the file of one video"):
        only_file(tmp_path, "*_depth.npz", "street/2")


def test_of_several_folders_the_one_named_after_the_excerpt(tmp_path: Path) -> None:
    make(tmp_path, "street_0/poses.txt", "street_1/poses.txt", "pose/street_0.npz", "pose/street_1.npz")
    assert only_file(tmp_path, "**/poses.txt", "street/1") == tmp_path / "street_1" / "poses.txt"
    assert only_file(tmp_path, "pose/*.npz", "street/0") == tmp_path / "pose" / "street_0.npz"


def test_one_file_may_have_any_name(tmp_path: Path) -> None:
    make(tmp_path, "demo.npz")
    assert only_file(tmp_path, "*.npz", "street/0") == tmp_path / "demo.npz"
    assert only_file(tmp_path / "demo.npz", "*.npz", "street/0") == tmp_path / "demo.npz"

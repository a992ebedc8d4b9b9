"""`Bdd100k`: videos or their frames at 5 Hz, with boxes where there are any."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.videos.tiny_videos import drifting, write_video

from stvlm.pseudo_labels.videos import Video, open_videos
from stvlm.pseudo_labels.videos.bdd100k import Bdd100k
from stvlm.records import DataError, Recording, Rejected

REAL = os.environ.get("STVLM_REALDATA")


def label(track_id: str, category: str, x: float, **attributes: bool | None) -> dict[str, Any]:
    return {
        "id": track_id,
        "category": category,
        "attributes": attributes or None,
        "box2d": {"x1": x, "y1": 5, "x2": x + 8, "y2": 11},
    }


def write_labels(root: Path, video: str, frames: dict[int, list[dict[str, Any]] | None], split: str = "train") -> Path:
    path = root / "labels/box_track_20" / split / f"{video}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    named = [{"name": f"{video}-{i + 1:07}.jpg", "frameIndex": i, "labels": labels} for i, labels in frames.items()]
    path.write_text(json.dumps(named))
    return path


def write_frames(root: Path, video: str, numbers: range, split: str = "train") -> None:
    folder = root / "images/track" / split / video
    folder.mkdir(parents=True)
    for number in numbers:
        Image.new("RGB", (64, 48), (number, 0, 0)).save(folder / f"{video}-{number:07}.jpg")


def read(root: Path, video: str, **options: Any) -> Video:
    found = Bdd100k(root, options).video(Recording("bdd100k", video, "train"))
    assert isinstance(found, Video), found
    return found


def test_boxes_are_at_their_frames(tmp_path: Path) -> None:
    write_frames(tmp_path, "a-b", range(1, 5))
    write_labels(
        tmp_path,
        "a-b",
        {
            0: [label("7", "car", 1), label("r", "rider", 2), label("c", "pedestrian", 3, crowd=True)],
            1: None,
            2: [label("7", "car", 21, occluded=True, truncated=False), label("8", "other vehicle", 5)],
            3: [label("7", "car", 31, occluded=None, truncated=True), {"id": 9, "category": "lane", "box2d": None}],
            9: [label("7", "car", 41)],  # its image is not there
        },
    )
    found = read(tmp_path, "a-b", hfov_deg=90.0, camera_height_m=1.3)
    np.testing.assert_allclose(found.times_s, [0, 0.2, 0.4, 0.6])
    assert found.camera is not None and found.camera.fx_px == pytest.approx(32) and found.camera_height_m == 1.3
    assert found.domain == "driving" and found.images is not None and str(found.images[0]).endswith("a-b-0000001.jpg")
    assert found.boxes is not None
    tracks = {track.track_id: track for track in found.boxes.tracks}
    assert {name: track.category for name, track in tracks.items()} == {
        "7": "car", "r": "other", "c": "other", "8": "vehicle"
    }  # fmt: skip
    np.testing.assert_array_equal(tracks["7"].boxes_px, [[1, 5, 9, 11], [np.nan] * 4, [21, 5, 29, 11], [31, 5, 39, 11]])
    assert tracks["7"].score.tolist() == [1, 0, 1, 1]
    assert tracks["7"].occluded.tolist() == [False, False, True, False]
    assert tracks["7"].truncated.tolist() == [False, False, False, True]


def test_in_a_video_boxes_are_at_the_frames_nearest_to_their_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "bdd100k/videos/val/a.mov", drifting(31), hz=30)
    write_labels(tmp_path / "bdd100k", "a", {i: [label("7", "truck", i)] for i in (1, 2, 4, 5, 8)}, "val")
    found = read(tmp_path, "a")
    assert found.images == tuple((str(path), number) for number in (6, 12, 24, 30))
    np.testing.assert_allclose(found.times_s, [0, 0.2, 0.6, 0.8], atol=1e-6)
    assert found.start_s == pytest.approx(0.2) and found.camera is None
    assert found.boxes is not None and found.boxes.tracks[0].boxes_px[:, 0].tolist() == [1, 2, 4, 5]


def test_a_video_without_boxes_has_all_its_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "videos/train/a.mov", drifting(7), hz=30)
    write_frames(tmp_path, "a", range(1, 3))
    found = read(tmp_path, "a")
    assert len(found.times_s) == 7 and found.boxes is None


def test_the_lists_decide_the_split_and_the_archives_folders_without_them(tmp_path: Path) -> None:
    for video, split in (("a", "train"), ("b", "val"), ("c", "test"), ("d", "train")):
        write_frames(tmp_path, video, range(1, 3), split)
    write_labels(tmp_path, "e", {0: []})
    source = Bdd100k(tmp_path)
    missing = Rejected("boxes without a video", "e")
    splits = [item[2:3] if isinstance(item, Recording) else item for item in source.recordings()]
    assert splits == [("train",), ("validation",), ("test",), ("train",), missing]
    (tmp_path / "splits").mkdir()
    for split, ids in (("train", "b"), ("val", "a\nc"), ("test", "")):
        (tmp_path / "splits" / f"{split}.txt").write_text(ids)
    assert source.recordings() == [
        Recording("bdd100k", "a", "validation"),
        Recording("bdd100k", "b", "train"),
        Recording("bdd100k", "c", "validation"),
        Rejected("not in the official split lists", "d"),
        missing,
    ]
    (tmp_path / "splits" / "val.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"splits/val\.txt: does not read .*; fetch the publisher's list again"):
        source.recordings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "does not read"),
        ('[{"name": "x"}]', "does not read (Object missing required field `frameIndex`"),
        ('[{"frameIndex": 0, "labels": [{"id": 1, "category": "car", "box2d": {"x1": "a"}}]}]', "does not read"),
        ('[{"frameIndex": 0}, {"frameIndex": 0}]', "two frames have the same frameIndex"),
    ],
)
def test_damaged_labels_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    write_frames(tmp_path, "a", range(1, 3))
    path = write_labels(tmp_path, "a", {})
    path.write_text(text)
    found = Bdd100k(tmp_path).video(Recording("bdd100k", "a", "train"))
    assert isinstance(found, Rejected) and found.reason == "video with a mistake"
    assert found.subject.startswith(f"{path}: {message}") and "unpack the labels again" in found.subject


def test_a_folder_of_something_else_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no videos/\{train,val,test\}/\*\.mov nor images/track"):
        Bdd100k(tmp_path).recordings()


@pytest.mark.skipif(REAL is None, reason="STVLM_REALDATA names no folder of real samples")
def test_real_labels() -> None:
    source = open_videos("bdd100k", Path(REAL or "") / "bdd100k", {})
    assert [item[1:3] for item in source.recordings()] == [
        ("00091078-875c1f73", "train"),  # lies under val
        ("b1c66a42-6f7d68ca", "validation"),
    ]
    found = source.video(Recording("bdd100k", "b1c66a42-6f7d68ca", "validation"))
    assert isinstance(found, Video) and found.boxes is not None and found.image_size_px == (1280, 720)
    np.testing.assert_allclose(found.times_s, np.arange(6) / 5)
    seen = [(track.category, int(np.isfinite(track.boxes_px[:, 0]).sum())) for track in found.boxes.tracks]
    assert {name: sum(n for kind, n in seen if kind == name) for name, _ in seen} == {
        "car": 143, "truck": 12, "other": 6, "motorcycle": 6
    }  # fmt: skip

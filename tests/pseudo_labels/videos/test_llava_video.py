"""`LlavaVideo`: each video once, in an order that says nothing; what is missing is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.pseudo_labels.videos.tiny_videos import drifting, write_video

from stvlm.pseudo_labels.videos import Video
from stvlm.pseudo_labels.videos.llava_video import LlavaVideo
from stvlm.records import DataError, Recording, Rejected


def write_captions(root: Path, part: str, videos: list[str]) -> None:
    (root / part).mkdir(exist_ok=True)
    items = [{"id": str(i), "data_source": part, "video": video, "conversations": []} for i, video in enumerate(videos)]
    (root / part / f"{part}_cap_processed.json").write_text(json.dumps(items))
    (root / part / f"{part}_mc_v0_1_qa_processed.json").write_text("what is not read")


def test_each_video_is_taken_once(tmp_path: Path) -> None:
    charades = [f"academic_source/Charades/{i}.mp4" for i in range(6)]
    write_captions(tmp_path, "0_30_s", [*charades, charades[0], "../secret.mp4", "/etc/passwd.mp4"])
    write_captions(tmp_path, "1_2_m", [charades[0], "youtube/x.mkv"])
    for path in [*(tmp_path / "0_30_s" / name for name in charades[:5]), tmp_path / "youtube/x.mkv"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    items = LlavaVideo(tmp_path).recordings()
    ids = [item.scene_id for item in items if isinstance(item, Recording)]
    assert sorted(ids) == [*(f"academic_source/Charades/{i}" for i in range(5)), "youtube/x"]
    assert [video_id[-1] for video_id in ids] == list("123x04")  # of a hash
    assert items[6:] == [
        Rejected("its path leaves the folder", "../secret.mp4"),
        Rejected("its path leaves the folder", "/etc/passwd.mp4"),
        Rejected("video missing", "academic_source/Charades/5.mp4"),
    ]


def test_a_video_is_read(tmp_path: Path) -> None:
    write_captions(tmp_path, "0_30_s", ["a/b.mp4"])
    write_video(tmp_path / "0_30_s/a/b.mp4", drifting(3))
    source = LlavaVideo(tmp_path, {"hfov_deg": 70.0})
    (recording,) = source.recordings()
    assert recording == Recording("llava_video", "a/b", "train")
    found = source.video(recording)
    assert isinstance(found, Video) and len(found.times_s) == 3 and found.domain == "sports"
    assert found.camera is not None and found.licence.startswith("for academic research")


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no <part>/<part>_cap_processed\.json"):
        LlavaVideo(tmp_path).recordings()
    write_captions(tmp_path, "0_30_s", ["a.mp4"])
    path = tmp_path / "0_30_s/0_30_s_cap_processed.json"
    path.write_text('[{"id": "0"}]')
    with pytest.raises(DataError, match=r"0_30_s_cap_processed\.json: a row has no column 'video'"):
        LlavaVideo(tmp_path).recordings()

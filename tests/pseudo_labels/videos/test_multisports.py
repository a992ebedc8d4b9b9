"""`MultiSports`: videos of matches, with boxes while a player does something; its pickle cannot run anything."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pseudo_labels.videos.tiny_videos import drifting, write_video

from stvlm.pseudo_labels.videos import Video
from stvlm.pseudo_labels.videos.multisports import MultiSports, read_truth
from stvlm.records import DataError, Recording, Rejected

REAL = os.environ.get("STVLM_REALDATA")
TUBE = np.array([[2, 10, 5, 20, 30], [3, 11, 5, 21, 30], [9, 12, 5, 22, 30]], np.float32)  # 9: after the video's end
TRUTH = {
    "labels": ["football_shoot", "football_trap"],
    "train_videos": [["football/v_a", "football/v_gone"]],
    "test_videos": [["football/v_b"]],
    "nframes": {"football/v_a": 4},
    "resolution": {"football/v_a": (48, 64), "football/v_b": (96, 128)},
    "gttubes": {"football/v_a": {1: [TUBE, TUBE + np.array([20, 0, 0, 0, 0])]}, "football/v_b": {}},
}


def write(root: Path, truth: Any = TRUTH) -> Path:
    for name in ("v_a", "v_b"):
        write_video(root / f"trainval/football/{name}.mp4", drifting(4), hz=25)
    path = root / "trainval/multisports_GT.pkl"
    path.write_bytes(pickle.dumps(truth, protocol=2))
    return path


def test_a_tube_is_a_person_while_it_lasts(tmp_path: Path) -> None:
    write(tmp_path)
    source = MultiSports(tmp_path)
    a, b, missing = source.recordings()
    assert a == Recording("multisports", "football/v_a", "train")
    assert b == Recording("multisports", "football/v_b", "validation")
    assert missing == Rejected("video missing", "football/v_gone")
    assert isinstance(a, Recording) and isinstance(b, Recording)
    found = source.video(a)
    assert isinstance(found, Video) and found.domain == "sports" and found.boxes is not None
    (track,) = found.boxes.tracks
    assert (track.track_id, track.category) == ("football_trap/0", "person")
    nan = [np.nan] * 4
    np.testing.assert_array_equal(track.boxes_px, [nan, [10, 5, 20, 30], [11, 5, 21, 30], nan])
    assert track.score.tolist() == [0, 1, 1, 0]
    assert source.video(b) == Rejected(
        "another size than its boxes are for", "football/v_b: 64 x 48, its boxes are for 128 x 96"
    )


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ({**TRUTH, "labels": [Harmful()]}, r"names (posix|nt)\.system, which is no part of an array, and is not load"),
        ({**TRUTH, "labels": np.array([Harmful()])}, r"names (posix|nt)\.system, which is no part"),
        ({**TRUTH, "labels": [Path("a")]}, r"names pathlib\S*, which is no part of an array"),
        ({**TRUTH, "resolution": None}, r"is no multisports_GT\.pkl \(AttributeError"),
        ({"labels": []}, r"is no multisports_GT\.pkl \(KeyError: 'resolution'\)"),
        ({**TRUTH, "gttubes": {"a": {7: [TUBE]}}}, r"is no multisports_GT\.pkl \(IndexError"),
        ({**TRUTH, "gttubes": {"a": {1: [TUBE[:, :4]]}}}, r"a tube has shape \(n, 5\), got \(3, 4\)"),
    ],
)
def test_a_pickle_of_something_else_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, truth)
    with pytest.raises(DataError, match=message) as caught:
        read_truth(path)
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).endswith("fetch it again from its publisher")
    assert "\n" not in str(caught.value) and not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("kept", [0, 60])
def test_a_pickle_that_is_cut_off_is_one_line(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="fetch it again from its publisher"):
        read_truth(path)


def test_a_folder_without_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no trainval/multisports_GT\.pkl"):
        MultiSports(tmp_path).recordings()


@pytest.mark.skipif(REAL is None, reason="STVLM_REALDATA names no folder of real samples")
def test_the_real_pickle() -> None:
    truth = read_truth(Path(REAL or "") / "multisports/multisports_GT_subset.pkl")
    (video_id,) = truth.tubes
    assert truth.splits == {video_id: "validation"} and truth.sizes_px == {video_id: (1280, 720)}
    assert {action: [len(tube) for tube in tubes] for action, tubes in truth.tubes[video_id].items()} == {
        "aerobic bent leg(s) jump": [21, 21],
        "aerobic pike jump": [26, 26],
        "aerobic scissors leap": [23, 23],
        "aerobic illusion": [42, 42],
    }

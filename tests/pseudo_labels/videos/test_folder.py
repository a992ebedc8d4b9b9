"""`VideoFiles`: any folder of videos and numbered images, and what may lie beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.videos.tiny_videos import drifting, write_sound, write_video

from stvlm.pseudo_labels.artefacts import ObjectTracks
from stvlm.pseudo_labels.recipe import Objects
from stvlm.pseudo_labels.steps import objects_of
from stvlm.pseudo_labels.videos import Video, open_videos
from stvlm.pseudo_labels.videos.folder import VideoFiles
from stvlm.pseudo_labels.views import view_of
from stvlm.records import Camera, DataError, Recording, Rejected


def only(root: Path, **options: Any) -> Video | Rejected:
    """The one video under a root."""
    source = VideoFiles("video_folder", root, options)
    (recording,) = source.recordings()
    assert isinstance(recording, Recording)
    return source.video(recording)


def video(root: Path, **options: Any) -> Video:
    found = only(root, **options)
    assert isinstance(found, Video), found
    return found


def write_images(folder: Path, numbers: list[int]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("RGB", (64, 48), (number, 0, 0)).save(folder / f"frame{number}.png")
    return folder


def test_videos_at_any_depth_are_called_by_their_path(tmp_path: Path) -> None:
    for name in ("a.mp4", "trip 1/b.MOV", "trip 1/deep/c.mkv"):
        write_video(tmp_path / name.lower(), drifting(2)).rename(tmp_path / name)
    for other in ("notes.txt", "._a.mp4"):
        (tmp_path / other).write_text("")
    source = VideoFiles("video_folder", tmp_path)
    assert source.recordings() == [
        Recording("video_folder", video_id, "train") for video_id in ("a", "trip 1/b", "trip 1/deep/c")
    ]
    (tmp_path / "splits.json").write_text('{"train": ["a"], "test": ["trip 1/b"]}')
    assert source.recordings() == [
        Recording("video_folder", "a", "train"),
        Recording("video_folder", "trip 1/b", "test"),
        Rejected("not in splits.json", "trip 1/deep/c"),
    ]


def test_a_videos_frames_are_at_the_times_at_which_it_shows_them(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", drifting(4), times_ms=[500, 540, 700, 1100])
    found = video(tmp_path)
    np.testing.assert_allclose(found.times_s, [0, 0.04, 0.2, 0.6], atol=1e-9)
    assert found.image_size_px == (64, 48) and found.camera is None and found.boxes is None
    assert found.images == tuple((str(path), i) for i in range(4)) and found.frames.available().all()
    assert found.frames.read(3)[20, 5].tolist() == pytest.approx([200, 120, 60], abs=12)
    assert found.licence == "for their owner to say"


def test_an_upright_video_from_a_phone_is_higher_than_wide(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", drifting(2), turned_deg=90)
    found = video(tmp_path, hfov_deg=90.0, camera_height_m=1.5)
    assert found.image_size_px == (48, 64) and found.frames.read(0).shape == (64, 48, 3)
    assert found.camera is not None and (found.camera.width_px, found.camera.height_px) == (48, 64)
    assert found.camera.fx_px == found.camera.fy_px == pytest.approx(24)
    assert (found.camera.cx_px, found.camera.cy_px) == (23.5, 31.5)
    assert found.camera_height_m == 1.5


def test_numbers_tell_when_images_were_taken(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "drive/left", [8, 9, 10, 11, 14])
    assert only(tmp_path) == Rejected(
        "video with a mistake",
        f"{folder}: does not say when its images were taken; write how many there are each second into fps.txt, "
        "or file,time_s of each into frames.csv, or set images_hz in the recipe",
    )
    np.testing.assert_allclose(video(tmp_path, images_hz=4.0).times_s, [0, 0.25, 0.5, 0.75, 1.5])
    (folder / "fps.txt").write_text("10\n")
    found = video(tmp_path, images_hz=4.0)
    np.testing.assert_allclose(found.times_s, [0, 0.1, 0.2, 0.3, 0.6], atol=1e-9)
    assert found.recording.scene_id == "drive/left" and found.images[2] == str(folder / "frame10.png")
    assert found.frames.read(4)[0, 0].tolist() == [14, 0, 0]
    (folder / "frames.csv").write_text("file,time_s\nframe11.png,5.5\nframe8.png,5.75\n")
    found = video(tmp_path)
    assert found.times_s.tolist() == [0, 0.25] and found.images[0] == str(folder / "frame11.png")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fps.txt", "ten", r"fps\.txt: holds no number; write the images' rate into it"),
        ("fps.txt", "0", r"fps\.txt: 0\.0 is no rate"),
        ("frames.csv", "file,time_s\nframe1.png,x\n", r"frames\.csv, row 1: does not read .*wanted the columns file"),
        ("frames.csv", "name,time_s\nframe1.png,0\n", r"frames\.csv, row 0: does not read .*wanted the columns file"),
        ("frames.csv", "file,time_s\nframe9.png,0\n", r"frames\.csv: names frame9\.png, which is not beside it"),
        ("frames.csv", "file,time_s\nframe1.png,1\nframe2.png,1\n", r"frames\.csv: time_s must be given and grow"),
        ("frames.csv", "file,time_s\n", r"frames\.csv: time_s must be given and grow"),
        ("left0001.png", None, "another image has the number of frame1.png; one folder holds one sequence"),
    ],
)
def test_a_mistake_in_an_image_sequence_is_one_line(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    folder = write_images(tmp_path / "a", [1, 2, 3, 4, 5])
    if text is None:
        (folder / "frame1.png").with_name(name).write_bytes((folder / "frame1.png").read_bytes())
    else:
        (folder / name).write_text(text)
    found = only(tmp_path, images_hz=5.0)
    assert isinstance(found, Rejected) and found.reason == "video with a mistake"
    assert "\n" not in found.subject
    assert re.search(message, found.subject)


def test_a_few_images_beside_videos_are_no_sequence(tmp_path: Path) -> None:
    write_images(tmp_path, [1, 2, 3, 4])
    write_video(tmp_path / "a.mp4", drifting(2))
    assert VideoFiles("video_folder", tmp_path).recordings() == [Recording("video_folder", "a", "train")]


def test_boxes_of_no_video_are_mentioned(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.marks.txt", "street/b.mot.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert VideoFiles("video_folder", tmp_path).recordings() == [
        Recording("video_folder", "a", "train"),
        Rejected("boxes without a video", str(tmp_path / "street/b.mot.txt")),
    ]


def test_no_two_videos_share_an_id(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4", "a/0.mp4", "a/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_images(tmp_path, [1, 2, 3, 4, 5])
    write_images(tmp_path / "a/b", [1, 2, 3, 4, 5])
    assert VideoFiles("video_folder", tmp_path).recordings() == [
        Recording("video_folder", "a", "train"),
        Recording("video_folder", "a/b", "train"),
        Rejected("another video has its id", str(tmp_path / "a.mp4")),
        Rejected("images without a folder of their own", str(tmp_path)),
        Rejected("images without a folder of their own", str(tmp_path / "a/b")),
        Rejected("its id is that of another video's excerpt", "a/0"),
    ]


def test_what_cannot_be_opened_is_counted(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole/a.mp4", drifting(30)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video")
    write_sound(tmp_path / "sound.mp4")
    write_video(tmp_path / "photo.mp4", drifting(1))
    write_images(tmp_path / "images", [1, 2, 3, 4, 5])
    (tmp_path / "images/frame1.png").write_bytes(b"\x89PNG and no more")
    source = VideoFiles("video_folder", tmp_path, {"images_hz": 10.0})
    found = {r.scene_id: source.video(r) for r in source.recordings() if isinstance(r, Recording)}
    reasons = {name: answer.reason for name, answer in found.items() if isinstance(answer, Rejected)}
    assert reasons == {
        "cut": "video does not open",
        "empty": "video does not open",
        "images": "image does not decode",
        "photo": "one frame",
        "sound": "no video stream",
        "text": "video does not open",
    }
    assert isinstance(found["whole/a"], Video)


def test_a_file_beside_a_video_describes_its_camera(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", drifting(2))
    beside = tmp_path / "a.camera.json"
    intrinsics = {"fx_px": 50, "fy_px": 51, "cx_px": 31.5, "cy_px": 24}
    beside.write_text(json.dumps(intrinsics | {"distortion": [0.1, 0, 0, 0, 0], "height_m": 1.2}))
    found = video(tmp_path, hfov_deg=60.0, camera_height_m=9.0)
    assert (
        found.camera == Camera("camera", 64, 48, 50, 51, 31.5, 24, (0.1, 0, 0, 0, 0)) and found.camera_height_m == 1.2
    )
    beside.write_text('{"hfov_deg": 90}')
    found = video(tmp_path, hfov_deg=60.0, camera_height_m=9.0)
    assert found.camera is not None and found.camera.fx_px == pytest.approx(32) and found.camera_height_m == 9.0


def test_boxes_beside_a_video_are_of_all_frames_or_to_be_followed(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", drifting(6))
    (tmp_path / "a.marks.txt").write_text("2,1,11.5,5.5,20,10,1,bus,1\n")
    found = video(tmp_path)
    assert found.to_follow and found.boxes is not None
    (track,) = found.boxes.tracks
    assert track.category == "bus" and np.flatnonzero(~np.isnan(track.boxes_px[:, 0])).tolist() == [1]
    assert track.boxes_px[1].tolist() == [10, 4, 30, 14]
    followed = objects_of(view_of(found, None), Objects())
    assert isinstance(followed, ObjectTracks)
    assert followed.tracks[0].boxes_px[1].tolist() == [10, 4, 30, 14]
    assert np.isnan(followed.tracks[0].boxes_px[4:]).all()  # nothing in it has a corner
    (tmp_path / "a.mot.txt").write_text("2,1,11.5,5.5,20,10,1,3,1\n")
    source = VideoFiles("video_folder", tmp_path)
    told = f"{tmp_path / 'a'}: has boxes in .mot.txt and .marks.txt; leave one of the files"
    assert source.video(Recording("video_folder", "a", "train")) == Rejected("video with a mistake", told)
    (tmp_path / "a.marks.txt").unlink()
    assert not video(tmp_path).to_follow


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"fx_px": 50}', "give fx_px, fy_px, cx_px, cy_px together, or hfov_deg alone"),
        ('{"hfov_deg": 1.2}', None),
        ('{"hfov_deg": 190}', "hfov_deg is an angle in degrees from 1 to 170; got 190"),
        ('{"hfov_deg": 60, "distortion": [0.1, 0, 0, 0, 0]}', "distortion is given with fx_px"),
        ('{"fx_px": 50, "fy_px": 50, "cx_px": 640, "cy_px": 24}', "cx_px and cy_px lie outside of 64 x 48: give them"),
        ('{"fx_px": 0, "fy_px": 50, "cx_px": 32, "cy_px": 24}', "needs a positive size and focal length"),
        ('{"focal": 50}', "unknown key 'focal'"),
        ('{"height_m": -1}', "height_m is above 0"),
        ('{"hfov_deg": ', "not valid JSON"),
    ],
)
def test_a_mistake_in_a_camera_is_one_line(tmp_path: Path, text: str, message: str | None) -> None:
    write_video(tmp_path / "a.mp4", drifting(2))
    (tmp_path / "a.camera.json").write_text(text)
    found = only(tmp_path)
    if message is None:
        assert isinstance(found, Video)
        return
    assert isinstance(found, Rejected) and found.reason == "video with a mistake"
    assert found.subject.startswith(f"{tmp_path / 'a.camera.json'}: ") and message in found.subject
    assert "\n" not in found.subject


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hfov": 60.0}, "source video_folder: unknown key 'hfov'; did you mean 'hfov_deg'"),
        ({"domain": "cooking"}, "domain is one of driving, sports; got 'cooking'"),
        ({"images_hz": 0.0}, "images_hz is above 0; got 0.0"),
        ({"camera_height_m": "high"}, "camera_height_m: expected float, got 'high'"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_videos("video_folder", tmp_path, options)


def test_a_folder_without_videos_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no videos \(\.mp4, .*nor folders of numbered images"):
        VideoFiles("video_folder", tmp_path).recordings()

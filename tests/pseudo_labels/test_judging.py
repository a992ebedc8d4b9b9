"""dataset_builder/judge_pseudo_labels.py as a user runs it, on an endpoint of this machine with the real client."""

import base64
import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.chat_server import ChatServer, Raw, refusal
from tests.pseudo_labels.programs import ROOT, run
from tests.pseudo_labels.videos.tiny_videos import HEIGHT, WIDTH, drifting, write_video

from stvlm.chat_api import Endpoint
from stvlm.files import write_json
from stvlm.pseudo_labels.judging import Judgement, Said, as_text, judge, picture, read_reply
from stvlm.recording_folder import write_recording
from stvlm.records import Camera, DataError, Recording, Scene, Track
from stvlm.sources.video_folder import VideoFolder, read_recording

JUDGE = [sys.executable, str(ROOT / "dataset_builder" / "judge_pseudo_labels.py")]
COUNT = 10
YES = json.dumps({"same_object": True, "category": True, "box": True})
CATEGORIES = {"drive": ("car", "bus", "person", "truck", "other"), "walk": ("animal",)}


def a_track(track_id: str, category: str, times_ns: np.ndarray) -> Track:
    return Track(track_id, category, times_ns, np.stack([np.arange(COUNT), np.zeros(COUNT), np.ones(COUNT)], axis=1))


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Two recordings as of pseudo_label.py: boxes around the square of one video, in all frames but the first."""
    root, times_ns = tmp_path / "labelled", np.arange(COUNT) * 100_000_000
    video = write_video(tmp_path / "videos" / "one.mp4", drifting(COUNT))
    boxes_px = np.array([[i, 10.0, i + 20, 30] for i in range(COUNT)])
    boxes_px[0] = np.nan
    for name, categories in CATEGORIES.items():
        tracks = tuple(a_track(str(k), category, times_ns) for k, category in enumerate(categories))
        scene = Scene(
            source="video_folder",
            scene_id=name,
            split="train",
            label_type="pseudo",
            domain="driving",
            centre_noise_m=0.1,
            camera=Camera("camera", WIDTH, HEIGHT, 60.0, 60.0, 32.0, 24.0),
            frame_times_ns=times_ns,
            world_SE3_camera=np.tile(np.eye(4), (COUNT, 1, 1)),
            tracks=tracks,
            boxes_px={track.track_id: boxes_px for track in tracks},
            licence="CC BY 4.0",
        )
        write_recording(root / name, [scene], {"camera": [("images.mp4", i) for i in range(COUNT)]})
        (root / name / "images.mp4").symlink_to(video)
    write_json(root / "splits.json", {"train": ["drive"], "test": ["walk"]})
    write_json(root / "pseudo_labels.json", {"collections": ["video_folder"]})
    return root


def run_judge(server: ChatServer, labelled: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    return run(JUDGE, labelled, "--endpoint", server.url, "--model", "tiny-vlm", "--out", out)


def judged_by(server: ChatServer, labelled: Path, out: Path, concurrency: int = 8) -> list[Judgement]:
    endpoint = Endpoint(server.url, "tiny-vlm", concurrency=concurrency, max_retries=1)
    return judge(labelled, out, endpoint, labelled.with_name("replies"))


def words_of(request: dict[str, Any]) -> str:
    return str(request["messages"][0]["content"][-1]["text"])


def images_of(request: dict[str, Any]) -> list[np.ndarray]:
    urls = [part["image_url"]["url"] for part in request["messages"][0]["content"][:-1]]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]


def by_category(**answers: str | Raw) -> Callable[[dict[str, Any]], str | Raw]:
    """Answers by what the track is taken for, and yes to all others."""

    def answer(request: dict[str, Any]) -> str | Raw:
        return next((said for name, said in answers.items() if f" {name}?" in words_of(request)), YES)

    return answer


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "judged.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


ANSWERS = by_category(
    bus=json.dumps({"same_object": False, "category": True, "box": False}),
    person="I cannot tell.",
    truck=refusal(400, "too many images"),
    animal='<think>A pram?</think>```json\n{"same_object": true, "category": false, "box": true}\n```',
)


def test_what_a_model_sees_a_mistake_in_is_left_out_and_what_it_does_not_judge_is_kept(
    labelled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "judged"
    with ChatServer(ANSWERS) as server:
        done = run_judge(server, labelled, out)
        assert (done.returncode, len(server.requests)) == (0, 5), done.stderr
    told, _, not_judged = done.stdout.partition(", 3 not judged and kept (")
    assert told == (
        "6 tracks of 2 recordings: 2 left out (not the same object in every picture: 1, the box does not fit: 1, "
        "another category: 1)"
    )
    for reason in ("unreadable answer: 1", "no reply: HTTP 400: too many images: 1", "category other: 1"):
        assert reason in not_judged  # in the order in which they came
    assert not_judged.endswith("; 1 recordings dropped, of which no track was left\n")
    assert [tuple(row.values()) for row in rows(out)] == [
        ("drive", "0", "car", "true", "true", "true", "true"),
        ("drive", "1", "bus", "false", "true", "false", "false"),
        ("drive", "2", "person", "", "", "", "true"),
        ("drive", "3", "truck", "", "", "", "true"),
        ("drive", "4", "other", "", "", "", "true"),
        ("walk", "0", "animal", "true", "false", "true", "false"),
    ]
    recording = Recording("video_folder", "drive", "train")
    assert VideoFolder("video_folder", out).recordings() == [recording]
    (scene,) = read_recording(out / "drive", recording)
    (before,) = read_recording(labelled / "drive", recording)
    assert [track.track_id for track in scene.tracks] == ["0", "2", "3", "4"] and len(before.tracks) == 5
    assert scene.boxes_px is not None and before.boxes_px is not None
    np.testing.assert_array_equal(scene.boxes_px["2"], before.boxes_px["2"])
    assert scene.licence == "CC BY 4.0" and scene.frames is not None and scene.frames.available().all()
    assert (out / "drive" / "images.mp4").readlink() == (tmp_path / "videos" / "one.mp4").resolve()
    assert (out / "pseudo_labels.json").read_bytes() == (labelled / "pseudo_labels.json").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"labelled", "videos", "judged", "judged.replies"}


def test_a_failed_request_is_asked_again_and_what_was_answered_is_not(labelled: Path, tmp_path: Path) -> None:
    with ChatServer(by_category(bus=refusal(500, "out of memory"))) as server:
        first = judged_by(server, labelled, tmp_path / "first")
        assert len(server.requests) == 6  # the bus twice
    assert first[1] == Judgement("drive", "1", "bus", None, "no reply: HTTP 500: out of memory") and first[1].kept
    with ChatServer(lambda _: YES) as server:
        second = judged_by(server, labelled, tmp_path / "second")
        assert [" bus?" in words_of(request) for request in server.requests] == [True]
    assert [judgement.category for judgement in second if judgement.said != Said(True, True, True)] == ["other"]
    with ChatServer(lambda _: refusal(500, "nothing is to be asked")) as server:
        assert judged_by(server, labelled, tmp_path / "third") == second and server.requests == []
    assert (tmp_path / "third" / "judged.csv").read_bytes() == (tmp_path / "second" / "judged.csv").read_bytes()


def test_four_pictures_show_the_object_in_a_red_box(labelled: Path, tmp_path: Path) -> None:
    with ChatServer(lambda _: YES) as server:
        judged_by(server, labelled, tmp_path / "judged", concurrency=1)
    request = server.requests[0]
    assert "is that object a car?" in words_of(request)
    images = images_of(request)
    assert len(images) == 4
    for image, left in zip(images, (1, 4, 6, 9), strict=True):  # of frames 1 to 9
        assert image.shape == (HEIGHT, min(left + 10 + 48, WIDTH), 3)
        red = (image[..., 0] > 200) & (image[..., 1] < 80) & (image[..., 2] < 80)
        across, down = np.flatnonzero(red[20]), np.flatnonzero(red[:, left + 10])
        assert [across.min(), across.max()] == pytest.approx([max(left - 2, 0), left + 21], abs=1)
        assert [down.min(), down.max()] == pytest.approx([8, 31], abs=1)
        assert image[20, left + 10] == pytest.approx([200, 120, 60], abs=12)  # nothing is drawn over the object


def test_a_picture_is_what_is_around_the_box_and_never_large() -> None:
    image = np.zeros((1080, 1920, 3), np.uint8)
    assert picture(image, np.array([0.0, 0, 1000, 600])).shape == (316, 512, 3)  # 1750 x 1080 are in it
    assert picture(image, np.array([900.0, 500, 910, 510])).shape == (96, 96, 3)
    assert picture(image, np.array([900.0, 400, 1000, 500])).shape == (250, 250, 3)
    large = picture(image, np.array([400.0, 400, 800, 700]))  # 100 to 1100 x 50 to 1050, by 0.512
    across = np.flatnonzero(large[round((550 - 50) * 0.512), :, 0])
    assert large.shape == (512, 512, 3)
    assert (across.min(), across.max()) == (np.floor(300 * 0.512) - 3, np.ceil(700 * 0.512) + 2)


@pytest.mark.parametrize(
    "reply",
    ["", "{", "true", '{"same_object": true, "category": true}', YES.replace("true", '"true"', 1), f"{YES} {YES}"],
)
def test_what_is_not_in_the_form_is_not_read(reply: str) -> None:
    assert read_reply(reply) is None
    assert read_reply(f"<think>{reply}</think> Here: {YES}.") == Said(True, True, True)


def test_a_track_without_images_is_kept_and_counted(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "videos" / "one.mp4").unlink()
    with ChatServer(lambda _: YES) as server:
        judgements = judged_by(server, labelled, tmp_path / "judged")
        assert server.requests == []
    assert "0 left out, 6 not judged and kept (no image of it: 5, category other: 1)" in as_text(judgements)


def test_errors_are_one_line_and_leave_nothing(labelled: Path, tmp_path: Path) -> None:
    full, out = tmp_path / "full", tmp_path / "out"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with ChatServer(lambda _: json.dumps({"same_object": False, "category": False, "box": False})) as server:
        done = run_judge(server, tmp_path / "videos", out)
        wanted = f"error: {tmp_path / 'videos'}: has no pseudo_labels.json; give a folder that pseudo_label.py wrote\n"
        assert (done.returncode, done.stderr) == (1, wanted)
        with pytest.raises(DataError, match="full: is not empty; choose another --out, or remove it"):
            judged_by(server, labelled, full)
        (tmp_path / "empty").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "empty")
        with pytest.raises(DataError, match="link: is a link or a mounted disk, which no folder can take the place of"):
            judged_by(server, labelled, tmp_path / "link")
        assert server.requests == []
        write_json(labelled / "splits.json", {"test": ["walk"]})
        with pytest.raises(DataError, match="labelled: drive is not in splits"):
            judged_by(server, labelled, out)
        (labelled / "drive" / "recording.json").unlink()  # it is no recording then
        with pytest.raises(DataError, match="tiny-vlm: leaves no track of 1; try another model"):
            judged_by(server, labelled, out)
    assert not out.exists() and [path.name for path in full.iterdir()] == ["mine.txt"]

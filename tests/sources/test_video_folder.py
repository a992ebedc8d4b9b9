"""One's own recordings, written with pandas as a user does: what is read, and one clear line for each mistake."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stvlm.recording_folder import NOISE, write_recording
from stvlm.records import Camera, DataError, Noise, Recording, Rejected, Scene
from stvlm.sources import open_source
from stvlm.sources.images import ImageFiles
from stvlm.sources.video_files import VideoFrames
from stvlm.sources.video_folder import VideoFolder, read_recording

HERE = Recording("video_folder", "drive", "train")
SECOND = 1_000_000_000
LENS = {"width_px": 64, "height_px": 48, "fx_px": 50, "fy_px": 50, "cx_px": 32, "cy_px": 24}
FRAMES = pd.DataFrame(
    {"camera": "front", "time_ns": [0, SECOND, 2 * SECOND], "qw": 0.5, "qx": -0.5, "qy": 0.5, "qz": -0.5}
).assign(tx_m=[0.0, 1.0, 2.0], ty_m=0.0, tz_m=1.5)  # looks along world x
TRACKS = pd.DataFrame(
    {
        "track_id": ["a", "b", "a"],
        "category": ["car", "person", "car"],
        "time_ns": [0, 0, SECOND],
        "x_m": [10.0, 5.0, 12.0],
        "y_m": [1.0, 2.0, 1.0],
        "z_m": [0.8, 0.9, 0.8],
        "length_m": [4.0, None, 4.0],
        "width_m": [2.0, None, 2.0],
        "height_m": [1.6, None, 1.6],
        "yaw_rad": [0.1, None, 0.2],
    }
)


def description(**changes: Any) -> dict[str, Any]:
    described = {
        "label_type": "lidar",
        "domain": "driving",
        "centre_noise_m": 0.05,
        "cameras": [{"name": "front"} | LENS],
    }
    return described | changes


def write(root: Path, frames: pd.DataFrame = FRAMES, tracks: pd.DataFrame = TRACKS, **changes: Any) -> Path:
    """The recording "drive" below a root, and its folder."""
    folder = root / "drive"
    folder.mkdir(exist_ok=True)
    frames.to_parquet(folder / "frames.parquet")
    tracks.to_parquet(folder / "tracks.parquet")
    (folder / "recording.json").write_text(json.dumps(description(**changes)))
    (root / "splits.json").write_text('{"train": ["drive"]}')
    return folder


def test_what_pandas_wrote_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (scene,) = read_recording(folder, HERE)
    assert (scene.source, scene.scene_id, scene.split) == ("video_folder", "drive", "train")
    assert (scene.label_type, scene.domain, scene.centre_noise_m, scene.frames) == ("lidar", "driving", 0.05, None)
    assert scene.camera == Camera("front", 64, 48, 50.0, 50.0, 32.0, 24.0)
    assert scene.frame_times_ns.tolist() == [0, SECOND, 2 * SECOND]
    looks_along_x = [[0, 0, 1, 2], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]]
    np.testing.assert_allclose(scene.world_SE3_camera[2], looks_along_x, atol=1e-12)
    car, person = scene.tracks
    assert (car.track_id, car.category, person.track_id, person.category) == ("a", "car", "b", "person")
    assert car.times_ns.tolist() == [0, SECOND] and car.xyz_m.tolist() == [[10, 1, 0.8], [12, 1, 0.8]]
    assert car.size_lwh_m is not None and car.size_lwh_m.tolist() == [[4, 2, 1.6]] * 2
    assert car.yaw_rad is not None and car.yaw_rad.tolist() == [0.1, 0.2] and car.seen is None
    assert person.xyz_m.tolist() == [[5, 2, 0.9]] and person.size_lwh_m is None and person.yaw_rad is None


def test_every_name_that_the_form_serves_is_its_scenes_source(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("video_folder", "bdd100k", "llava_video", "multisports"):
        source = open_source(name, tmp_path, {})
        assert source.recordings() == [Recording(name, "drive", "train")]
        (scene,) = source.scenes(Recording(name, "drive", "train"))
        assert isinstance(scene, Scene) and (source.name, scene.source) == (name, name)


def test_a_recordings_id_is_its_path_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()  # where others keep sensor data
    write(tmp_path / "samples")
    write(tmp_path)
    (tmp_path / "splits.json").write_text('{"test": ["samples/drive"]}')
    source = VideoFolder("video_folder", tmp_path)
    assert source.recordings() == [
        Rejected("not in splits.json", "drive"),
        Recording("video_folder", "samples/drive", "test"),
    ]


def test_images_are_files_or_frames_of_a_video(tmp_path: Path) -> None:
    two = description()["cameras"] + [{"name": "rear", "distortion": [0.1, 0, 0, 0, 0]} | LENS]
    front = FRAMES.assign(file=["a.png", "b.png", "c.png"])
    rear = FRAMES.assign(camera="rear", file="rear.mp4", frame_number=[0, 10, 20])
    folder = write(tmp_path, pd.concat([rear, front], ignore_index=True).astype({"frame_number": "Int64"}), cameras=two)
    Image.new("RGB", (64, 48), (255, 0, 0)).save(folder / "b.png")
    with av.open(str(folder / "rear.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in range(50, 75):
            image = np.full((48, 64, 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    seen_front, seen_rear = read_recording(folder, HERE)
    assert seen_rear.camera.distortion == (0.1, 0, 0, 0, 0)
    assert isinstance(seen_front.frames, ImageFiles) and isinstance(seen_rear.frames, VideoFrames)
    assert seen_front.frames.available().tolist() == [False, True, False]
    assert seen_front.frames.read(1)[0, 0].tolist() == [255, 0, 0]
    assert seen_rear.frames.available().tolist() == [True, True, True]
    assert [round(float(seen_rear.frames.read(i).mean())) for i in (0, 1, 2)] == pytest.approx([50, 60, 70], abs=1)


def test_a_recording_is_written_as_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, FRAMES.assign(file=["a.png", "b.png", "c.png"]), TRACKS.assign(seen=[True, None, False]))
    (scene,) = read_recording(tmp_path / "drive", HERE)
    boxes_px = np.array([[1.0, 2, 30, 40], [np.nan] * 4, [2.0, 2, 31, 40]])
    first, *others = scene.tracks
    first = replace(first, noise=Noise(0.4, 0.1, 0.08, 0.6), grade="B")
    seen_at = {track.track_id: boxes_px for track in scene.tracks}
    scene = replace(scene, tracks=(first, *others), boxes_px=seen_at, licence="CC BY 4.0")
    write_recording(tmp_path / "again", [scene], {"front": ["a.png", "b.png", "c.png"]})
    (again,) = read_recording(tmp_path / "again", HERE)
    assert json.loads((tmp_path / "again" / "recording.json").read_text())["licence"] == "CC BY 4.0"
    assert again.camera == scene.camera and again.centre_noise_m == 0.05
    np.testing.assert_allclose(again.world_SE3_camera, scene.world_SE3_camera, atol=1e-12)
    for a, b in zip(again.tracks, scene.tracks, strict=True):
        assert (a.track_id, a.category, a.times_ns.tolist()) == (b.track_id, b.category, b.times_ns.tolist())
        for name in ("xyz_m", "size_lwh_m", "yaw_rad", "seen"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    told = (again.licence, again.tracks[0].noise, again.tracks[0].grade)
    assert told == ("CC BY 4.0", Noise(0.4, 0.1, 0.08, 0.6), "B")
    assert [track.noise for track in again.tracks[1:]] == [None] * len(others)
    assert again.boxes_px is not None and again.boxes_px.keys() == seen_at.keys()
    np.testing.assert_array_equal(again.boxes_px[first.track_id], boxes_px)
    assert again.tracks[0].seen is not None and again.tracks[0].seen.tolist() == [True, False]
    assert isinstance(again.frames, ImageFiles) and again.frames.paths[2] == tmp_path / "again" / "c.png"


def test_where_noise_across_is_not_told_it_is_that_of_a_centre(tmp_path: Path) -> None:
    told = dict(zip(NOISE, (0.4, 0.1, 0.08), strict=False))
    (scene,) = read_recording(write(tmp_path, tracks=TRACKS.assign(**told)), HERE)
    assert {track.noise for track in scene.tracks} == {Noise(0.4, 0.1, 0.08, 0.4)}
    (scene,) = read_recording(write(tmp_path, tracks=TRACKS.assign(**told, noise_across_m=0.6)), HERE)
    assert {track.noise for track in scene.tracks} == {Noise(0.4, 0.1, 0.08, 0.6)}
    with pytest.raises(DataError, match="noise_centre_m, noise_step_m, noise_stretch are given together or not at all"):
        read_recording(write(tmp_path, tracks=TRACKS.assign(noise_across_m=0.6)), HERE)


def test_cameras_that_are_not_of_one_recording_are_not_written(tmp_path: Path) -> None:
    (scene,) = read_recording(write(tmp_path), HERE)
    (other,) = read_recording(write(tmp_path, centre_noise_m=0.1), HERE)
    with pytest.raises(ValueError, match="its cameras differ in more than frames and poses"):
        write_recording(tmp_path / "both", [scene, other])
    with pytest.raises(ValueError, match="2 images for 3 frames"):
        write_recording(tmp_path / "few", [scene], {"front": ["a.png", "b.png"]})
    assert not (tmp_path / "both").exists() and not (tmp_path / "few" / "recording.json").exists()


def test_a_recording_without_annotations_is_counted(tmp_path: Path) -> None:
    write(tmp_path, tracks=TRACKS.iloc[:0])
    assert list(VideoFolder("video_folder", tmp_path).scenes(HERE)) == [Rejected("no annotations", "drive")]


VIDEO = FRAMES.assign(file="a.mp4", frame_number=[0, 1, 2])
FILES = FRAMES.assign(file=["a.png", "b.png", "c.png"])
Change = Callable[[pd.DataFrame], pd.DataFrame]


def at(row: int, column: str, value: Any) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = list(table[column])
        values[row] = value
        return table.assign(**{column: values})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="y_m"), ": column 'y_m' is missing; it has to be there, of type double"),
        (lambda t: t.rename(columns={"yaw_rad": "yaw"}), ": column 'yaw' is not of this form; did you mean 'yaw_rad'"),
        (lambda t: t.assign(track_id=[1, 2, 1]), r": column 'track_id' holds int64, not string; .*\.astype\('str'\)"),
        (lambda t: t.assign(time_ns=[0.0, 0.0, 1.0]), ": column 'time_ns' holds double, not int64"),
        (lambda t: t.assign(time_ns=pd.to_datetime([0, 0, 1])), r"'time_ns' holds timestamp\[ns\], not int64"),
        (at(1, "time_ns", None), "'time_ns' holds double, not int64"),
        (at(1, "x_m", math.nan), ", row 1: x_m is empty; fill it or drop the row"),
        (at(2, "x_m", math.inf), ", row 2: x_m is not finite"),
        (at(1, "track_id", None), ", row 1: track_id is empty"),
        (at(1, "category", "pedestrian"), ", row 1: category is none of car, truck, .* other; map it to one"),
        (at(2, "category", "truck"), ", row 2: category is another than in the first row of its track_id"),
        (at(2, "time_ns", 0), ", row 2: time_ns is no later than in the row before of its track_id; sort"),
        (at(0, "time_ns", 2 * SECOND), ", row 2: time_ns is no later"),
        (at(0, "yaw_rad", None), ", row 0: length_m, width_m, height_m, yaw_rad are given together"),
        (lambda t: t.assign(track_id="a", category="car", time_ns=[0, 1, 2]), ", row 1: length_m, .* given together"),
        (lambda t: t.drop(columns="length_m"), ", row 0: length_m, width_m, height_m, yaw_rad are given together"),
        (at(2, "width_m", 0.0), ", row 2: length_m, width_m, height_m are in metres, above 0"),
        (lambda t: t.assign(seen=[True, None, None]), ", row 2: seen is given in all rows of a track_id or in none"),
    ],
)  # fmt: skip
def test_a_mistake_in_tracks_is_one_line(tmp_path: Path, change: Change, message: str) -> None:
    assert_refused(write(tmp_path, tracks=change(TRACKS)), "tracks.parquet", message)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (FRAMES, lambda t: t.drop(columns="qw"), ": column 'qw' is missing"),
        (FRAMES, at(1, "camera", "rear"), r", row 1: camera is none of recording\.json's: front"),
        (
            FRAMES,
            lambda t: t.iloc[:0],
            ": has no row of camera 'front'; add its frames, or drop it",
        ),
        (FRAMES, at(1, "time_ns", 0), ", row 1: time_ns is no later than in the row before of its camera; sort"),
        (FRAMES, lambda t: t.iloc[::-1], ", row 1: time_ns is no later"),
        (FRAMES, at(2, "qw", 0.6), ", row 2: qw, qx, qy, qz are no rotation: their squares have to add up to 1"),
        (FRAMES, lambda t: t.assign(qw=0.0, qx=0.0, qy=0.0, qz=0.0), ", row 0: qw, qx, qy, qz are no rotation"),
        (FRAMES, at(1, "tz_m", math.nan), ", row 1: tz_m is empty"),
        (FILES, at(1, "file", "../b.png"), r", row 1: file is no path inside the recording's folder; put or link"),
        (FILES, at(1, "file", "/b.png"), ", row 1: file is no path inside"),
        (FILES, at(1, "file", "C:\\b.png"), ", row 1: file is no path inside"),
        (FILES, at(1, "file", "images\\..\\..\\b.png"), ", row 1: file is no path inside"),
        (FILES, at(2, "file", None), ", row 2: file is given for all frames of camera 'front' or for none"),
        (FILES, at(2, "file", "a.png"), ", row 2: file is another frame's too; .* which frame in frame_number"),
        (VIDEO, lambda t: t.drop(columns="file"), ", row 0: file is given for all"),
        (VIDEO, at(1, "file", "b.mp4"), ", row 1: file is another video than the first of camera 'front'"),
        (VIDEO, at(0, "frame_number", -1), ", row 0: frame_number is below 0"),
        (VIDEO, at(2, "frame_number", 1), ", row 2: frame_number does not grow with time_ns"),
        (VIDEO, at(2, "frame_number", None), r"'frame_number' holds double, not int64; .*\.astype\('Int64'\)"),
        (VIDEO.astype({"frame_number": "Int64"}), at(2, "frame_number", pd.NA), ", row 2: frame_number is given"),
    ],
)
def test_a_mistake_in_frames_is_one_line(tmp_path: Path, table: pd.DataFrame, change: Change, message: str) -> None:
    changed = change(table)
    if str(table.get("frame_number", table["time_ns"]).dtype) == "Int64":
        changed = changed.astype({"frame_number": "Int64"})
    assert_refused(write(tmp_path, changed), "frames.parquet", message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_type": "gps"}, "label_type is one of lidar, slam, simulated, pseudo; got 'gps'"),
        ({"domain": "cooking"}, "domain is one of driving, sports; got 'cooking'"),
        ({"centre_noise_m": -1}, "centre_noise_m is a standard deviation in metres; got -1"),
        ({"centre_noise_m": "small"}, "centre_noise_m: expected float, got 'small'"),
        ({"center_noise_m": 0.1}, "unknown key 'center_noise_m'; did you mean 'centre_noise_m'"),
        ({"cameras": []}, "cameras holds at least one camera, each with a name of its own"),
        ({"cameras": [{"name": "front"} | LENS] * 2}, "each with a name of its own"),
        (
            {"cameras": [{"name": "front"} | LENS | {"fx_pixel": 1}]},
            "cameras: unknown key 'fx_pixel'; did you mean 'fx_px'",
        ),
        ({"cameras": [{"name": "front"}]}, "cameras: the key 'width_px' is missing"),
        ({"cameras": [{"name": "front"} | LENS | {"fx_px": 0}]}, "'front' needs a positive size and focal length"),
    ],
)
def test_a_mistake_in_the_description_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert_refused(write(tmp_path, **changes), "recording.json", ": .*" + message)


def test_seconds_in_one_table_and_nanoseconds_in_the_other_are_noticed(tmp_path: Path) -> None:
    folder = write(tmp_path, frames=FRAMES.assign(time_ns=[5 * SECOND, 6 * SECOND, 7 * SECOND]))
    with pytest.raises(
        DataError, match=r"drive: tracks\.parquet has time_ns from 0 to 1000000000, .* no time in common"
    ):
        read_recording(folder, HERE)


@pytest.mark.parametrize(
    ("file", "kept"),  # bytes; None where the file is missing
    [(file, kept) for file in ("frames.parquet", "tracks.parquet", "recording.json") for kept in (50, 0)]
    + [("frames.parquet", None), ("tracks.parquet", None)],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, file: str, kept: int | None) -> None:
    path = write(tmp_path) / file
    path.unlink() if kept is None else path.write_bytes(path.read_bytes()[:kept])
    assert_refused(path.parent, file, ": ")


def assert_refused(folder: Path, file: str, message: str) -> None:
    """Reading raises one line about the file; as a source, the recording is left out with that line."""
    with pytest.raises(DataError, match=message) as caught:
        read_recording(folder, HERE)
    assert str(caught.value).startswith(str(folder / file)) and "\n" not in str(caught.value)
    rejected = list(VideoFolder("video_folder", folder.parent).scenes(HERE))
    assert rejected == [Rejected("recording with a mistake", str(caught.value))]


def test_a_root_that_is_none_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"<recording>/recording\.json, which pseudo_label\.py makes of plain video"):
        VideoFolder("bdd100k", tmp_path).recordings()
    folder = write(tmp_path)
    with pytest.raises(
        DataError, match=r"drive: is one recording; give --source video_folder=PATH with the folder above"
    ):
        VideoFolder("video_folder", folder).recordings()
    with pytest.raises(DataError, match=r"it looks like video_folder: use --source video_folder="):
        open_source("nuscenes", tmp_path, {}).recordings()
    (tmp_path / "splits.json").unlink()
    with pytest.raises(DataError, match=r"splits\.json: is missing, and video_folder has no official splits; write {"):
        VideoFolder("video_folder", tmp_path).recordings()

"""KITTI roots made by hand, and sequence 0001 of the real benchmark: kitti_tracking/ in the folder STVLM_REALDATA.

The car drives east along the equator, 1 m a frame. Camera 0 looks ahead and lies 1.1 m before, 0.3 m right of and 0.8 m
above the inertial unit; camera 2 lies 0.06 m left of it. A car is parked 10 m ahead of where camera 0 is at first.
"""

import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stvlm.geometry import box_corners, inverse_se3, project_boxes, transform
from stvlm.records import ImageError, Recording, Rejected, Scene
from stvlm.sources.kitti import Kitti

SEQUENCE = "0000"
METRE_DEG = math.degrees(1 / 6378137)  # along a meridian, or the equator
CALIBRATION = """\
P0: 721.5377 0 609.5593 0 0 721.5377 172.854 0 0 0 1 0
P2: 721.5377 0 609.5593 43.292262 0 721.5377 172.854 0 0 0 1 0
R_rect 1 0 0 0 1 0 0 0 1
Tr_velo_cam 0 -1 0 0 0 0 -1 0 1 0 0 -0.3
Tr_imu_velo 1 0 0 -0.8 0 1 0 0.3 0 0 1 -0.8
"""
DONT_CARE = "0 -1 DontCare -1 -1 -10 300 100 400 200 -1000 -1000 -1000 -10 -1 -1 -1"


def label(frame: int, ahead_m: float, track: int = 7, kind: str = "Car", yaw: float = -math.pi / 2) -> str:
    """A box 1.6 m high, 1.8 m wide, 4.2 m long, 2 m to the right of camera 0 and with its bottom 1.5 m below it."""
    return f"{frame} {track} {kind} 0 0 -1.5 700 180 800 250 1.6 1.8 4.2 2 1.5 {ahead_m} {yaw}"


def oxts(east_m: float = 0, north_m: float = 0, roll: float = 0, pitch: float = 0, yaw: float = 0) -> str:
    """The line of a place near latitude and longitude 0; yaw is 0 in the east."""
    return " ".join(map(str, [METRE_DEG * north_m, METRE_DEG * east_m, 100, roll, pitch, yaw, *[0] * 24]))


def write(root: Path, folder: str, *lines: str) -> Path:
    path = root / "training" / folder / f"{SEQUENCE}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "calib", CALIBRATION)
    write(tmp_path, "oxts", *(oxts(east_m=frame) for frame in range(4)))
    write(tmp_path, "label_02", DONT_CARE, *(label(frame, 10 - frame) for frame in range(4)))
    return tmp_path


def read(root: Path) -> list[Scene | Rejected]:
    return list(Kitti(root).scenes(Recording("kitti", SEQUENCE, "train")))


def only_scene(root: Path) -> Scene:
    (scene,) = (item for item in read(root) if isinstance(item, Scene))
    return scene


def test_a_parked_car_stays_where_it_is_while_the_camera_drives_towards_it(root: Path) -> None:
    scene = only_scene(root)
    (track,) = scene.tracks
    assert (track.track_id, track.category, track.seen) == ("7", "car", None)
    assert track.times_ns.tolist() == scene.frame_times_ns.tolist() == [0, 100_000_000, 200_000_000, 300_000_000]
    np.testing.assert_allclose(track.xyz_m, [[11.1, -2.3, 0.1]] * 4, atol=1e-6)  # 1.5 m down, half of 1.6 m up
    assert track.size_lwh_m is not None and track.size_lwh_m[0].tolist() == [4.2, 1.8, 1.6]
    seen = transform(inverse_se3(scene.world_SE3_camera), track.xyz_m[:1])
    np.testing.assert_allclose(seen[:, 0], [[2.06, 0.7, 10 - frame] for frame in range(4)], atol=1e-6)
    assert (scene.camera.name, scene.camera.fx_px, scene.camera.cy_px) == ("image_02", 721.5377, 172.854)


@pytest.mark.parametrize(
    ("rotation_y", "yaw"),
    [(-math.pi / 2, 0), (0, -math.pi / 2), (math.pi / 4, -3 * math.pi / 4), (math.pi / 2, math.pi)],
)
def test_rotation_y_is_clockwise_seen_from_above(root: Path, rotation_y: float, yaw: float) -> None:
    write(root, "label_02", label(0, 10, yaw=rotation_y))
    found = only_scene(root).tracks[0].yaw_rad
    assert found is not None
    np.testing.assert_allclose(np.exp(1j * found), np.exp([1j * yaw]), atol=1e-9)


def test_ahead_is_north_where_the_car_looks_north(root: Path) -> None:
    write(root, "oxts", *(oxts(north_m=frame, yaw=math.pi / 2) for frame in range(4)))
    (track,) = only_scene(root).tracks
    np.testing.assert_allclose(track.xyz_m, [[2.3, 11.1, 0.1]] * 4, atol=1e-6)
    np.testing.assert_allclose(track.yaw_rad, math.pi / 2)


def test_roll_is_about_the_cars_own_axis_and_pitch_looks_down(root: Path) -> None:
    write(root, "oxts", oxts(roll=math.pi / 2, pitch=math.asin(0.6), yaw=math.pi / 2))
    right, _, ahead = only_scene(root).world_SE3_camera[0, :3, :3].T
    np.testing.assert_allclose(ahead, [0, 0.8, -0.6], atol=1e-9)
    np.testing.assert_allclose(right, [0, -0.6, -0.8], atol=1e-9)  # before the pitch: straight down


def test_a_degree_of_longitude_is_half_as_long_at_60_degrees(root: Path) -> None:
    first, second = oxts().split(), oxts(east_m=2, north_m=1).split()
    first[0], second[0] = "60", str(60 + float(second[0]))
    write(root, "oxts", " ".join(first), " ".join(second))
    places_m = only_scene(root).world_SE3_camera[:, :3, 3]
    np.testing.assert_allclose(places_m[1] - places_m[0], [1, 1, 0], atol=1e-6)


def test_the_object_benchmarks_keys_are_read_as_well(root: Path) -> None:
    before = only_scene(root)
    text = CALIBRATION.replace("R_rect", "R0_rect:").replace("velo_cam", "velo_to_cam:")
    write(root, "calib", text.replace("imu_velo", "imu_to_velo:"), "")
    assert only_scene(root).world_SE3_camera.tolist() == before.world_SE3_camera.tolist()


def test_labels_are_in_the_rectified_frame(root: Path) -> None:
    """Rectified axes turned so that what was 10 m ahead of camera 0 lies at x = 6, z = 8: there is the box now."""
    write(root, "calib", CALIBRATION.replace("R_rect 1 0 0 0 1 0 0 0 1", "R_rect 0.8 0 0.6 0 1 0 -0.6 0 0.8"))
    write(root, "label_02", "0 7 Car 0 0 0 0 0 9 9 1.6 1.8 4.2 6 1.5 8 0")
    scene = only_scene(root)
    np.testing.assert_allclose(scene.tracks[0].xyz_m, [[11.1, -0.3, 0.1]], atol=1e-6)
    seen = transform(inverse_se3(scene.world_SE3_camera[0]), scene.tracks[0].xyz_m)
    np.testing.assert_allclose(seen, [[6.06, 0.7, 8]], atol=1e-6)


def test_categories(root: Path) -> None:
    kinds = ["Car", "Van", "Truck", "Tram", "Cyclist", "Pedestrian", "Person", "Person_sitting", "Misc"]
    write(root, "label_02", *(label(0, 10, track, kind) for track, kind in enumerate(kinds)))
    found = [track.category for track in only_scene(root).tracks]
    assert found == ["car", "car", "truck", "vehicle", "bicycle", "person", "other", "other", "other"]


def test_images_are_png_or_jpg_and_may_be_missing(root: Path) -> None:
    assert only_scene(root).frames is None
    folder = root / "training" / "image_02" / SEQUENCE
    folder.mkdir(parents=True)
    Image.new("RGB", (1242, 375), (0, 0, 9)).save(folder / "000001.png")
    Image.new("RGB", (1242, 375), (0, 0, 9)).save(folder / "000003.jpg")
    (folder / "000002.png").write_text("no image")
    frames = only_scene(root).frames
    assert frames is not None and frames.available().tolist() == [False, True, True, True]
    assert frames.read(1)[0, 0].tolist() == [0, 0, 9] and frames.read(3).shape == (375, 1242, 3)
    with pytest.raises(ImageError, match=r"000002\.png: the image does not decode"):
        frames.read(2)


def test_another_cameras_images_tell_their_size(root: Path) -> None:
    write(root, "calib", CALIBRATION.replace("721.5377", "100"))
    (item,) = read(root)
    assert isinstance(item, Rejected) and "so the images' size is unknown; put images into image_02" in item.subject
    image = root / "training" / "image_02" / SEQUENCE / "000000.png"
    image.parent.mkdir(parents=True)
    image.write_text("no image")
    (item,) = read(root)
    assert isinstance(item, Rejected) and item.subject.startswith(f"{image}: the image does not decode")
    Image.new("RGB", (64, 48)).save(image)
    camera = only_scene(root).camera
    assert (camera.width_px, camera.height_px, camera.fx_px) == (64, 48, 100)


def test_boxes_without_a_pose_or_a_size_are_counted(root: Path) -> None:
    flat = label(1, 10, track=8).replace(" 1.8 ", " 0 ")
    write(root, "label_02", label(0, 10), label(4, 6), flat, label(0, 20), label(999999, 6))
    assert [item for item in read(root) if isinstance(item, Rejected)] == [
        Rejected("box without a position", "track 7 at 400000000 ns"),
        Rejected("box without a position", "track 7 at 99999900000000 ns"),
        Rejected("box without a size", "track 8 at 100000000 ns"),
        Rejected("second box at one time stamp", "track 7 at 0 ns"),
    ]


@pytest.mark.parametrize(("folder", "reason"), [("calib", "no calibration"), ("oxts", "no ego poses")])
def test_a_sequence_without_a_part_is_rejected(root: Path, folder: str, reason: str) -> None:
    file = root / "training" / folder / f"{SEQUENCE}.txt"
    file.unlink()
    assert read(root) == [Rejected(reason, f"{file}: is missing; unpack it there")]


@pytest.mark.parametrize(("folder", "reason"), [("label_02", "no annotations"), ("oxts", "no ego poses")])
def test_an_empty_file_rejects_its_sequence(root: Path, folder: str, reason: str) -> None:
    write(root, folder, "")
    assert read(root) == [Rejected(reason, SEQUENCE)]


@pytest.mark.parametrize(
    ("folder", "old", "new", "message"),
    [
        ("label_02", " 10 -1.57", " 10\n-1.57", "line 2: has 16 columns, not 17; unpack"),
        ("label_02", " 4.2 2 1.5 8 ", " 4.2 2 east 8 ", "line 4: 'east' is not a number; unpack"),
        ("label_02", " 4.2 2 1.5 8 ", " 4.2 2 nan 8 ", "line 4: 'nan' is not a finite number; unpack"),
        ("label_02", "\n2 7", "\n-2 7", "line 4: '-2' is no number of a frame; unpack"),
        ("label_02", "\n2 7", "\n\n2 7", "line 4: has 0 columns, not 17; unpack"),
        ("oxts", " 0\n", "\n", "line 1: has 29 columns, not 30; unpack"),
        ("oxts", " 100 ", " high ", "line 1: 'high' is not a number; unpack"),
        ("calib", "Tr_velo_cam", "Tr_cam", "has no line Tr_velo_cam or Tr_velo_to_cam; unpack"),
        ("calib", "P2:", "P4:", "has no line P2; unpack"),
        ("calib", "-0.3\n", "\n", "line 4: Tr_velo_cam has 11 numbers, not 12; unpack"),
        ("calib", "R_rect 1", "R_rect one", "line 3: 'one' is not a number; unpack"),
        ("calib", "R_rect 1", "R_rect 2", "line 3: R_rect does not hold a rotation; unpack"),
        ("calib", " 43.292262 0 721.5377", " 43.292262 0 -721.5377", "line 2: camera 'image_02' needs a positive size"),
        ("calib", "172.854 0 0 0 1 0\nR", "172.854 0 0 0 0 0\nR", "line 2: Singular matrix; unpack"),
    ],
)
def test_a_spoiled_file_rejects_its_sequence(root: Path, folder: str, old: str, new: str, message: str) -> None:
    path = root / "training" / folder / f"{SEQUENCE}.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    (item,) = read(root)
    assert isinstance(item, Rejected) and item.reason == "damaged file" and "\n" not in item.subject
    assert item.subject.startswith(str(path)) and message in item.subject


@pytest.mark.parametrize("folder", ["label_02", "oxts", "calib"])
def test_a_file_that_is_not_text_rejects_its_sequence(root: Path, folder: str) -> None:
    path = root / "training" / folder / f"{SEQUENCE}.txt"
    path.write_bytes(b"\x89PNG\r\n")
    (item,) = read(root)
    assert isinstance(item, Rejected) and item.reason == "damaged file" and str(path) in item.subject


def test_every_labelled_sequence_is_train_and_others_are_counted(root: Path) -> None:
    (root / "training" / "label_02" / "0099.txt").touch()
    assert Kitti(root).recordings() == [
        Recording("kitti", SEQUENCE, "train"),
        Rejected("not in the official split lists", "0099"),
    ]
    assert Kitti(root / "training").recordings() == Kitti(root).recordings()
    (root / "splits.json").write_text(json.dumps({"test": [SEQUENCE, "0099"]}))
    assert Kitti(root).recordings()[0] == Recording("kitti", SEQUENCE, "test")


# --- sequence 0001 of the benchmark ----------------------------------------------------------------------------------

REALDATA = os.environ.get("STVLM_REALDATA")
needs_realdata = pytest.mark.skipif(REALDATA is None, reason="STVLM_REALDATA names no folder of real samples")
REAL = Path(REALDATA or "") / "kitti_tracking"


@pytest.fixture(scope="module")
def real_scene() -> Scene:
    (scene,) = (item for item in Kitti(REAL).scenes(Recording("kitti", "0001", "train")) if isinstance(item, Scene))
    return scene


def paths_m(scene: Scene) -> list[float]:
    """Distances from the first to the last centre of the tracks of at least 2 s."""
    tracks = [track for track in scene.tracks if track.times_ns[-1] - track.times_ns[0] >= 2_000_000_000]
    return [float(np.linalg.norm(track.xyz_m[-1] - track.xyz_m[0])) for track in tracks]


@needs_realdata
def test_only_a_sequence_with_gps_readings_is_read() -> None:
    source = Kitti(REAL)
    recordings = [item for item in source.recordings() if isinstance(item, Recording)]
    assert Counter(recording.split for recording in recordings) == {"train": 21}
    (rejected,) = source.scenes(recordings[0])
    assert isinstance(rejected, Rejected) and rejected.reason == "no ego poses"
    assert rejected.subject.endswith("/oxts/0000.txt: is missing; unpack it there")


@needs_realdata
def test_a_real_sequence(real_scene: Scene) -> None:
    assert len(real_scene.frame_times_ns) == 447 and len(real_scene.tracks) == 98
    assert Counter(track.category for track in real_scene.tracks).most_common(1)[0][0] == "car"
    ways_m = np.linalg.norm(np.diff(real_scene.world_SE3_camera[:, :3, 3], axis=0), axis=1)
    assert ways_m.sum() == pytest.approx(332, abs=2)
    assert real_scene.frames is not None
    assert np.flatnonzero(real_scene.frames.available()).tolist() == [0, 1, 10, 15, 20]
    assert real_scene.frames.read(0).shape == (375, 1242, 3)


@needs_realdata
def test_parked_cars_stay_put(real_scene: Scene) -> None:
    net_m = np.array(paths_m(real_scene))
    assert (len(net_m), (net_m >= 2).sum()) == (70, 10)
    assert np.median(net_m[net_m < 2]) < 0.42 and net_m[net_m < 2].max() < 1.5


@needs_realdata
def test_no_box_jumps_where_the_lidar_has_no_scans(real_scene: Scene) -> None:
    van = next(track for track in real_scene.tracks if track.track_id == "90")  # parked, and passed at frame 180
    frames = van.times_ns // 100_000_000
    assert {176, 181} <= set(frames.tolist()) and not {177, 178, 179, 180} & set(frames.tolist())
    near = (frames >= 170) & (frames <= 187)
    assert np.ptp(van.xyz_m[near, :2], axis=0).max() < 0.3  # 1.3 m with the boxes of those frames


@needs_realdata
def test_boxes_project_onto_the_labels_rectangles(real_scene: Scene) -> None:
    labelled_px = {}
    for line in (REAL / "training" / "label_02" / "0001.txt").read_text().splitlines():
        words = line.split()
        labelled_px[words[1], int(words[0])] = np.array(words[6:10], dtype=float)
    ious = []
    for track in real_scene.tracks:
        assert track.size_lwh_m is not None and track.yaw_rad is not None
        frames = track.times_ns // 100_000_000
        corners_m = box_corners(track.xyz_m, track.size_lwh_m, track.yaw_rad)
        corners_m = transform(inverse_se3(real_scene.world_SE3_camera[frames]), corners_m)
        boxes_px = np.clip(project_boxes(real_scene.camera, corners_m), 0, [1242, 375] * 2)
        for frame, box in zip(frames.tolist(), boxes_px, strict=True):
            wanted = labelled_px[track.track_id, frame]
            both = np.prod(np.clip(np.minimum(box, wanted)[2:] - np.maximum(box, wanted)[:2], 0, None))
            ious.append(both / (np.prod(box[2:] - box[:2]) + np.prod(wanted[2:] - wanted[:2]) - both))
    assert len(ious) == 3014
    assert np.median(ious) > 0.94 and np.percentile(ious, 5) > 0.85  # 0.949 and 0.860

"""Argoverse 2 roots made by hand: boxes in the ego frame at their sweep, poses by exact time stamp."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import feather

from stvlm.geometry import inverse_se3, transform
from stvlm.records import Recording, Rejected, Scene
from stvlm.sources.argoverse2 import Argoverse2

LOG = "log-a"
T0, T1 = 315966253660357000, 315966253760553000  # 18 digits: a float64 cannot hold them
LEFT_90 = {"qw": math.sqrt(0.5), "qx": 0.0, "qy": 0.0, "qz": math.sqrt(0.5)}
LEVEL = {"qw": 1.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}
FORWARD = {"qw": 0.5, "qx": -0.5, "qy": 0.5, "qz": -0.5}  # a camera that looks along the car's x axis


def at(x: float, y: float, z: float) -> dict[str, float]:
    return {"tx_m": x, "ty_m": y, "tz_m": z}


def box(time_ns: int, track: str = "t", category: str = "REGULAR_VEHICLE", **changes: Any) -> dict[str, Any]:
    row = {"timestamp_ns": time_ns, "track_uuid": track, "category": category, **LEVEL, **at(10, 0, 1)}
    return {**row, "length_m": 4.5, "width_m": 2.0, "height_m": 1.5, **changes}


def pose(time_ns: int, **changes: Any) -> dict[str, Any]:
    """The car at (100, 200), turned left by 90 degrees."""
    return {"timestamp_ns": time_ns, **LEFT_90, **at(100, 200, 0), **changes}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(pa.Table.from_pylist(rows), path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """One log with one car 10 m ahead of a car that faces the city's y axis, and one camera."""
    log = tmp_path / "sensor" / "val" / LOG
    write(log / "annotations.feather", [box(T0), box(T1)])
    write(log / "city_SE3_egovehicle.feather", [pose(T0), pose(T1)])
    mount = {"sensor_name": "ring_front_center", **FORWARD, **at(1.5, 0, 1.6)}
    write(log / "calibration" / "egovehicle_SE3_sensor.feather", [mount])
    lens = {"fx_px": 1700.0, "fy_px": 1700.0, "cx_px": 775.0, "cy_px": 1024.0, "k1": -0.2, "k2": 0.0, "k3": 0.0}
    size = {"height_px": 2048, "width_px": 1550}
    write(log / "calibration" / "intrinsics.feather", [{"sensor_name": "ring_front_center", **lens, **size}])
    (tmp_path / "splits.json").write_text(json.dumps({"train": [LOG]}))
    return log


def read(root: Path) -> list[Scene | Rejected]:
    return list(Argoverse2(root).scenes(Recording("argoverse2", LOG, "train")))


def only_scene(root: Path) -> Scene:
    (scene,) = (item for item in read(root) if isinstance(item, Scene))
    return scene


def test_a_box_in_front_of_a_turned_car_lies_along_the_citys_y_axis(log: Path, tmp_path: Path) -> None:
    scene = only_scene(tmp_path)
    (track,) = scene.tracks
    assert track.times_ns.tolist() == [T0, T1] and track.category == "car"
    np.testing.assert_allclose(track.xyz_m, [[100, 210, 1]] * 2, atol=1e-9)
    np.testing.assert_allclose(track.yaw_rad, math.pi / 2)
    assert track.size_lwh_m is not None and track.size_lwh_m[0].tolist() == [4.5, 2.0, 1.5]


def test_the_box_is_ahead_of_the_camera(log: Path, tmp_path: Path) -> None:
    scene = only_scene(tmp_path)
    seen = transform(inverse_se3(scene.world_SE3_camera), scene.tracks[0].xyz_m[:1])
    np.testing.assert_allclose(seen, [[[0, 0.6, 8.5]]] * 2, atol=1e-9)  # 1.6 - 1.0 below, 10.0 - 1.5 ahead
    assert (scene.camera.width_px, scene.camera.height_px, scene.camera.distortion) == (1550, 2048, ())


def test_annotation_stamps_stand_in_for_images(log: Path, tmp_path: Path) -> None:
    scene = only_scene(tmp_path)
    assert scene.frames is None and scene.frame_times_ns.tolist() == [T0, T1]


def test_images_bring_their_own_stamps(log: Path, tmp_path: Path) -> None:
    folder = log / "sensors" / "cameras" / "ring_front_center"
    folder.mkdir(parents=True)
    for stem in (str(T1 + 5), str(T0 - 5), str(T0 + 7), "thumbnail"):
        Image.new("RGB", (1550, 2048)).save(folder / f"{stem}.jpg")
    write(log / "city_SE3_egovehicle.feather", [pose(t) for t in (T0 - 5, T0, T1, T1 + 5)])  # none at T0 + 7
    scene, rejected = only_scene(tmp_path), [item for item in read(tmp_path) if isinstance(item, Rejected)]
    assert scene.frame_times_ns.tolist() == [T0 - 5, T1 + 5]
    assert scene.frames is not None and scene.frames.available().tolist() == [True, True]
    assert scene.frames.read(1).shape == (2048, 1550, 3)
    assert rejected == [Rejected("frame without an ego pose", f"{LOG} ring_front_center at {T0 + 7} ns")]


def test_a_camera_whose_images_have_no_poses_is_rejected(log: Path, tmp_path: Path) -> None:
    folder = log / "sensors" / "cameras" / "ring_front_center"
    folder.mkdir(parents=True)
    (folder / f"{T0 + 7}.jpg").touch()
    assert read(tmp_path)[-1] == Rejected("no ego poses", f"{LOG} ring_front_center")


def test_the_recording_car_is_no_object(log: Path, tmp_path: Path) -> None:
    (log / "annotations.feather").unlink()
    write(log / "annotations_with_ego.feather", [box(T0), box(T0, "ego", "EGO_VEHICLE"), box(T0, "x", "STROLLER")])
    assert [(t.track_id, t.category) for t in only_scene(tmp_path).tracks] == [("t", "car"), ("x", "other")]


def test_bad_rows_are_counted_and_the_rest_is_read(log: Path, tmp_path: Path) -> None:
    rows = [box(T0), box(T0, tx_m=99.0), box(T1, length_m=0.0), box(T1, "u", tx_m=None), box(T0 + 1, "v"), box(T1, "w")]
    write(log / "annotations.feather", rows)
    items = read(tmp_path)
    assert [item.reason for item in items if isinstance(item, Rejected)] == [
        "box without a position",  # u: an empty cell
        "box without a position",  # v: a sweep without a pose
        "box without a size",
        "second box at one time stamp",
        "frame without an ego pose",  # that sweep again, as the stand-in for an image
    ]
    assert [(t.track_id, len(t.times_ns)) for t in only_scene(tmp_path).tracks] == [("t", 1), ("w", 1)]


@pytest.mark.parametrize(
    ("file", "reason", "subject"),
    [
        ("annotations.feather", "no annotations", LOG),  # as in the test split
        ("city_SE3_egovehicle.feather", "no ego poses", "{file}: is missing; download it"),
        ("calibration/intrinsics.feather", "no calibration", "{file}: is missing; download it"),
    ],
)
def test_a_log_without_a_part_is_rejected(log: Path, tmp_path: Path, file: str, reason: str, subject: str) -> None:
    (log / file).unlink()
    assert read(tmp_path) == [Rejected(reason, subject.format(file=log / file))]


def test_a_log_whose_cameras_are_not_told_is_rejected(log: Path, tmp_path: Path) -> None:
    file = log / "calibration" / "intrinsics.feather"
    feather.write_feather(feather.read_table(file).slice(0, 0), file)
    assert read(tmp_path) == [Rejected("no calibration", f"{file}: names no camera")]


@pytest.mark.parametrize(
    "file",
    [
        "annotations.feather",
        "city_SE3_egovehicle.feather",
        "calibration/intrinsics.feather",
        "calibration/egovehicle_SE3_sensor.feather",
    ],
)
def test_a_truncated_file_rejects_its_log(log: Path, tmp_path: Path, file: str) -> None:
    (log / file).write_bytes((log / file).read_bytes()[:100])
    (item,) = read(tmp_path)
    assert isinstance(item, Rejected) and item.reason == "damaged file" and f"{log / file}: " in item.subject


def test_a_missing_column_rejects_its_log(log: Path, tmp_path: Path) -> None:
    write(log / "annotations.feather", [{"timestamp_ns": T0}])
    (item,) = read(tmp_path)
    assert isinstance(item, Rejected) and 'annotations.feather: does not read (\'Field "track_uuid"' in item.subject


def test_a_camera_without_extrinsics_rejects_its_log(log: Path, tmp_path: Path) -> None:
    write(log / "calibration" / "egovehicle_SE3_sensor.feather", [{"sensor_name": "up_lidar", **LEVEL, **at(0, 0, 0)}])
    (item,) = read(tmp_path)
    assert isinstance(item, Rejected) and "camera 'ring_front_center' has intrinsics" in item.subject


def test_of_two_copies_the_fuller_one_is_read(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "annotations_only" / LOG
    write(copy / "annotations.feather", [box(T0)])
    assert Argoverse2(tmp_path).recordings() == [
        Recording("argoverse2", LOG, "train"),
        Rejected("log found twice", str(copy)),
    ]
    assert only_scene(tmp_path).frame_times_ns.tolist() == [T0, T1]

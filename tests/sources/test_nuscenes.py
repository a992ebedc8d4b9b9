"""nuScenes roots made by hand: sizes in another order, microseconds, one ego pose an image."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stvlm.sources.json_rows as json_rows
from stvlm.geometry import inverse_se3, transform
from stvlm.records import DataError, Recording, Rejected, Scene
from stvlm.sources.nuscenes import NuScenes

T0_US, T1_US = 1532402927647951, 1532402928147847
LEFT_90 = [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]
FORWARD = [0.5, -0.5, 0.5, -0.5]  # a camera that looks along the car's x axis
SCENE = "scene-0061"  # officially train

Tables = dict[str, list[dict[str, Any]]]
Spoil = Callable[[Tables], None]


def image(token: str, sample: str, time_us: int, sensor: str = "front", **changes: Any) -> dict[str, Any]:
    file = f"samples/{sensor}/{token}.jpg"
    row = {"token": token, "sample_token": sample, "ego_pose_token": token, "calibrated_sensor_token": sensor}
    return {**row, "timestamp": time_us, "width": 1600, "height": 900, "filename": file, **changes}


def box(sample: str, instance: str = "car", **changes: Any) -> dict[str, Any]:
    row = {"token": f"{instance} {sample}", "sample_token": sample, "instance_token": instance}
    box = {"translation": [100.0, 210.0, 1.0], "size": [2.0, 4.5, 1.5], "rotation": LEFT_90}
    return {**row, **box, "num_lidar_pts": 5, "num_radar_pts": 0, **changes}


def tables() -> Tables:
    """Two samples, two key frames and a sweep of one camera; a car 10 m ahead of a car at (100, 200) that faces y."""
    lens = [[1266.0, 0.0, 816.0], [0.0, 1266.0, 491.0], [0.0, 0.0, 1.0]]
    poses = [
        {"token": token, "timestamp": 0, "rotation": LEFT_90, "translation": [100.0, 200.0 + ahead_m, 0.0]}
        for token, ahead_m in (("k0", 0.0), ("sweep", 1.0), ("k1", 2.0), ("scan", 0.0))
    ]
    return {
        "scene": [{"token": "s", "name": SCENE}],
        "sample": [
            {"token": "a", "timestamp": T0_US, "scene_token": "s"},
            {"token": "b", "timestamp": T1_US, "scene_token": "s"},
        ],
        "category": [{"token": "c", "name": "vehicle.car"}, {"token": "d", "name": "movable_object.trafficcone"}],
        "instance": [{"token": "car", "category_token": "c"}, {"token": "cone", "category_token": "d"}],
        "sensor": [
            {"token": "cam", "channel": "CAM_FRONT", "modality": "camera"},
            {"token": "top", "channel": "LIDAR_TOP", "modality": "lidar"},
        ],
        "calibrated_sensor": [
            {
                "token": "front",
                "sensor_token": "cam",
                "rotation": FORWARD,
                "translation": [1.5, 0.0, 1.6],
                "camera_intrinsic": lens,
            },
            {
                "token": "lidar",
                "sensor_token": "top",
                "rotation": LEFT_90,
                "translation": [0.0, 0.0, 2.0],
                "camera_intrinsic": [],
            },
        ],
        "ego_pose": poses,
        "sample_data": [
            image("k1", "b", T1_US - 40_000),
            image("k0", "a", T0_US - 40_000),
            image("sweep", "b", T0_US + 200_000, filename="sweeps/front/sweep.jpg"),
            image("scan", "a", T0_US, "lidar", width=0, height=0),
        ],
        "sample_annotation": [box("a"), box("b"), box("a", "cone")],
    }


def write(root: Path, content: Tables, version: str = "v1.0-mini") -> Path:
    folder = root / version
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in content.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0))
    return root


def read(root: Path) -> list[Scene | Rejected]:
    return list(NuScenes(root).scenes(Recording("nuscenes", SCENE, "train")))


def only_scene(root: Path) -> Scene:
    (scene,) = (item for item in read(root) if isinstance(item, Scene))
    return scene


def test_sizes_become_length_width_height_and_yaw_turns_left(tmp_path: Path) -> None:
    car, cone = only_scene(write(tmp_path, tables())).tracks
    assert (car.track_id, car.category, cone.category) == ("car", "car", "other")
    assert car.size_lwh_m is not None and car.size_lwh_m[0].tolist() == [4.5, 2.0, 1.5]
    assert car.yaw_rad is not None and car.yaw_rad[0] == pytest.approx(math.pi / 2)
    assert car.xyz_m.tolist() == [[100.0, 210.0, 1.0]] * 2
    assert car.times_ns.tolist() == [T0_US * 1000, T1_US * 1000]


def test_key_frames_and_sweeps_each_with_its_own_pose(tmp_path: Path) -> None:
    scene = only_scene(write(tmp_path, tables()))
    assert scene.frame_times_ns.tolist() == [t * 1000 for t in (T0_US - 40_000, T0_US + 200_000, T1_US - 40_000)]
    car_seen = transform(inverse_se3(scene.world_SE3_camera), scene.tracks[0].xyz_m[:1])[:, 0]
    np.testing.assert_allclose(car_seen, [[0, 0.6, 8.5], [0, 0.6, 7.5], [0, 0.6, 6.5]], atol=1e-9)
    assert scene.frames is not None and scene.frames.available().tolist() == [False, False, False]
    with pytest.raises(DataError, match=r"/sweeps/front/sweep.jpg: the image is missing"):
        scene.frames.read(1)


def test_images_may_share_a_pose(tmp_path: Path) -> None:
    content = tables()
    content["sample_data"][0]["ego_pose_token"] = "k0"  # k1's row comes first, and takes the pose of the next one
    poses = only_scene(write(tmp_path, content)).world_SE3_camera
    np.testing.assert_array_equal(poses[2], poses[0])
    assert poses[1, 1, 3] - poses[0, 1, 3] == pytest.approx(1.0)


def test_a_version_folder_is_a_root_too(tmp_path: Path) -> None:
    write(tmp_path, tables())
    assert NuScenes(tmp_path / "v1.0-mini").recordings() == NuScenes(tmp_path).recordings()


def test_the_log_tells_the_car_and_the_day(tmp_path: Path) -> None:
    content = tables()
    content["scene"][0]["log_token"] = "drive"
    content["log"] = [{"token": "drive", "vehicle": "n015", "date_captured": "2018-07-24"}]
    write(tmp_path, content)
    assert NuScenes(tmp_path).recordings() == [Recording("nuscenes", SCENE, "train", "n015 2018-07-24")]
    del content["log"][0]["vehicle"]
    write(tmp_path, content)
    with pytest.raises(DataError, match=r"log.json: a row is damaged \('vehicle'\); unpack it again"):
        NuScenes(tmp_path).recordings()


def test_a_scene_of_two_versions_is_read_once_from_trainval(tmp_path: Path) -> None:
    full = tables()
    full["sample_annotation"] = full["sample_annotation"][:1]
    write(write(tmp_path, tables(), "v1.0-mini"), full, "v1.0-trainval")
    assert NuScenes(tmp_path).recordings() == [Recording("nuscenes", SCENE, "train")]
    assert len(only_scene(tmp_path).tracks) == 1


def test_rows_are_read_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "_PIECE_BYTES", 7)
    assert len(only_scene(write(tmp_path, tables())).frame_times_ns) == 3


def change(table: str, **changes: Any) -> Spoil:
    return lambda content: content[table][0].update(changes)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (change("sample_annotation", translation=[math.nan, 0.0, 0.0]), "box without a position"),
        (change("sample_annotation", size=[0.0, 4.5, 1.5]), "box without a size"),
        (change("sample_annotation", sample_token="b"), "second box at one time stamp"),
        (change("sample_data", ego_pose_token="?"), "frame without an ego pose"),
        (change("sample_data", timestamp=T0_US - 40_000), "second frame at one time stamp"),
    ],
)
def test_a_bad_row_is_counted_and_the_rest_is_read(tmp_path: Path, spoil: Spoil, reason: str) -> None:
    content = tables()
    spoil(content)
    items = read(write(tmp_path, content))
    assert [item.reason for item in items if isinstance(item, Rejected)] == [reason]
    assert len(only_scene(tmp_path).tracks) == 2


@pytest.mark.parametrize(
    ("table", "rows", "reason", "subject"),
    [
        ("sample_annotation", [], "no annotations", SCENE),  # as in v1.0-test
        ("ego_pose", [], "no ego poses", f"{SCENE} CAM_FRONT"),
        ("sample_data", [], "no frames", SCENE),
    ],
)
def test_a_scene_without_a_part_is_rejected(tmp_path: Path, table: str, rows: list, reason: str, subject: str) -> None:
    items = read(write(tmp_path, {**tables(), table: rows}))
    assert items[-1] == Rejected(reason, subject)
    assert not any(isinstance(item, Scene) for item in items)


def test_a_camera_without_a_focal_length_is_rejected(tmp_path: Path) -> None:
    content = tables()
    content["calibrated_sensor"][0]["camera_intrinsic"] = [[0.0] * 3] * 3
    (item,) = read(write(tmp_path, content))
    assert isinstance(item, Rejected) and item.reason == "unusable calibration"


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    write(tmp_path, tables())
    (tmp_path / "v1.0-mini" / "ego_pose.json").unlink()
    with pytest.raises(DataError, match=r"ego_pose\.json: the table is missing; unpack"):
        NuScenes(tmp_path).recordings()


def test_damage_inside_what_is_kept_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STVLM_CACHE", str(tmp_path / "cache"))
    source = NuScenes(write(tmp_path, tables()))
    source.recordings()
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    at = whole.index(b"\xff\xff\xff\xff", 16)  # where the scene's batch begins
    kept.write_bytes(whole[:at] + bytes(64) + whole[at + 64 :])
    with pytest.raises(DataError, match=r"^/.*/v1\.0-mini: what is kept of it .* does not read \(.*\); remove that$"):
        list(source.scenes(Recording("nuscenes", SCENE, "train")))


@pytest.mark.parametrize("keep", [0, 0.5, 0.99])
def test_a_table_that_is_cut_off_is_named(tmp_path: Path, keep: float) -> None:
    path = write(tmp_path, tables()) / "v1.0-mini" / "sample_data.json"
    path.write_text(path.read_text()[: int(keep * path.stat().st_size)])
    with pytest.raises(DataError, match=r"sample_data\.json: is cut off or not JSON; unpack"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content["sample_annotation"][0].pop("size"), "annotation.json: a row has no column 'size'"),
        (lambda content: content["sample"].pop(), "sample_data.json: a row refers to 'b', which no table has"),
        (change("instance", category_token="?"), "instance.json: a row refers to '\\?', which no table has"),
        (change("sample_annotation", instance_token="x"), "sample_annotation.json: a row refers to 'x'"),
        (change("ego_pose", translation=[1.0, 2.0]), "a value is of the wrong kind"),
        (change("instance", token="cone"), "/instance.json: two rows have the token 'cone'; unpack"),
        (lambda content: content["scene"].append({"token": "t", "name": SCENE}), "rows have the name 'scene-0061'"),
    ],
)
def test_tables_that_do_not_fit_are_an_error(tmp_path: Path, spoil: Spoil, message: str) -> None:
    content = tables()
    spoil(content)
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, content))

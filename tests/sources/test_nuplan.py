"""nuPlan roots made by hand, with the table definitions of the devkit and pickles as its cameras store them."""

import json
import math
import os
import pickle
import sqlite3
import sys
import types
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stvlm.geometry import inverse_se3, transform
from stvlm.records import Recording, Rejected, Scene
from stvlm.sources.nuplan import NuPlan, unpickle

LOG = "2021.05.12.22.28.35_veh-35_00350_00568"  # officially train
DAY = "veh-35 2021-05-12"
T0_US, T1_US = 1620858910687330, 1620858910737330
EAST_M, NORTH_M = 664860.0, 3999609.0  # UTM
FORWARD = [0.5, -0.5, 0.5, -0.5]  # a camera that looks along the car's x axis
LENS = [[1545.0, 0.0, 960.0], [0.0, 1545.0, 560.0], [0.0, 0.0, 1.0]]
DISTORTION = [-0.356123, 0.172545, -0.00213, 0.000464, -0.05231]

SCHEMA = """
CREATE TABLE category (token BLOB NOT NULL, name VARCHAR(64), description TEXT, PRIMARY KEY (token));
CREATE TABLE camera (token BLOB NOT NULL, log_token BLOB NOT NULL, channel VARCHAR(64), model VARCHAR(64),
    translation BLOB, rotation BLOB, intrinsic BLOB, distortion BLOB, width INTEGER, height INTEGER,
    PRIMARY KEY (token));
CREATE TABLE ego_pose (token BLOB NOT NULL, timestamp INTEGER, x FLOAT, y FLOAT, z FLOAT,
    qw FLOAT, qx FLOAT, qy FLOAT, qz FLOAT, PRIMARY KEY (token));
CREATE TABLE image (token BLOB NOT NULL, ego_pose_token BLOB NOT NULL, camera_token BLOB NOT NULL,
    filename_jpg VARCHAR(128), timestamp INTEGER, PRIMARY KEY (token));
CREATE TABLE lidar_pc (token BLOB NOT NULL, ego_pose_token BLOB NOT NULL, timestamp INTEGER, PRIMARY KEY (token));
CREATE TABLE track (token BLOB NOT NULL, category_token BLOB NOT NULL, width FLOAT, length FLOAT, height FLOAT,
    PRIMARY KEY (token));
CREATE TABLE lidar_box (token BLOB NOT NULL, lidar_pc_token BLOB NOT NULL, track_token BLOB NOT NULL,
    x FLOAT, y FLOAT, z FLOAT, width FLOAT, length FLOAT, height FLOAT, yaw FLOAT, PRIMARY KEY (token));
"""


def token(number: int) -> bytes:
    return number.to_bytes(8, "big")


@contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as log, log:
        yield log


def insert(log: sqlite3.Connection, table: str, **values: Any) -> None:
    marks = ", ".join("?" * len(values))
    log.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def insert_box(log: sqlite3.Connection, number: int, sweep: int, track: int = 0xAB, **changes: Any) -> None:
    keys = {"token": token(number), "lidar_pc_token": token(sweep), "track_token": token(track)}
    place = {"x": EAST_M, "y": NORTH_M + 10, "z": 1.0, "yaw": math.pi / 2}
    insert(log, "lidar_box", **{**keys, **place, "width": 2.0, "length": 4.5, "height": 1.5, **changes})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A vehicle 10 m ahead of a car that faces north, two lidar sweeps, and an image 10 ms and 1 m further on."""
    path = tmp_path / "nuplan-v1.1" / "splits" / "mini" / f"{LOG}.db"
    path.parent.mkdir(parents=True)
    with changing(path) as log:
        log.executescript(SCHEMA)
        fill(log)
    return path


def fill(log: sqlite3.Connection) -> None:
    north = {"qw": math.sqrt(0.5), "qx": 0.0, "qy": 0.0, "qz": math.sqrt(0.5), "x": EAST_M, "z": 0.0}
    for number, (time_us, ahead_m) in enumerate([(T0_US, 0.0), (T1_US, 0.0), (T0_US + 10_000, 1.0)], start=1):
        insert(log, "ego_pose", token=token(number), timestamp=time_us, y=NORTH_M + ahead_m, **north)
    for number, time_us in enumerate([T0_US, T1_US], start=1):
        insert(log, "lidar_pc", token=token(number), ego_pose_token=token(number), timestamp=time_us)
    blobs = {"translation": [1.5, 0.0, 1.6], "rotation": FORWARD, "intrinsic": LENS, "distortion": DISTORTION}
    pickles = {name: pickle.dumps(value) for name, value in blobs.items()}
    insert(log, "camera", token=token(1), log_token=b"", channel="CAM_F0", width=1920, height=1080, **pickles)
    file = f"{LOG}/CAM_F0/{token(7).hex()}.jpg"
    link = {"ego_pose_token": token(3), "camera_token": token(1)}
    insert(log, "image", token=token(7), filename_jpg=file, timestamp=T0_US + 10_000, **link)
    insert(log, "category", token=token(1), name="vehicle")
    insert(log, "track", token=token(0xAB), category_token=token(1), width=2.0, length=4.5, height=1.5)
    insert_box(log, 1, sweep=1)
    insert_box(log, 2, sweep=2)


def read(root: Path) -> list[Scene | Rejected]:
    return list(NuPlan(root).scenes(Recording("nuplan", LOG, "train")))


def only_scene(root: Path) -> Scene:
    (scene,) = (item for item in read(root) if isinstance(item, Scene))
    return scene


def test_boxes_are_global_and_tracks_are_named_in_hex(log: Path, tmp_path: Path) -> None:
    (track,) = only_scene(tmp_path).tracks
    assert (track.track_id, track.category) == ("00000000000000ab", "vehicle")
    assert track.times_ns.tolist() == [T0_US * 1000, T1_US * 1000]
    assert track.xyz_m.tolist() == [[EAST_M, NORTH_M + 10, 1.0]] * 2
    assert track.size_lwh_m is not None and track.size_lwh_m[0].tolist() == [4.5, 2.0, 1.5]
    assert track.yaw_rad is not None and track.yaw_rad[0] == math.pi / 2


def test_an_image_has_its_own_pose_and_the_lens_is_distorted(log: Path, tmp_path: Path) -> None:
    scene = only_scene(tmp_path)
    assert scene.frame_times_ns.tolist() == [(T0_US + 10_000) * 1000]
    seen = transform(inverse_se3(scene.world_SE3_camera[0]), scene.tracks[0].xyz_m[:1])
    np.testing.assert_allclose(seen, [[0, 0.6, 7.5]], atol=1e-6)  # 10.0 - 1.5 - 1.0 ahead
    camera = scene.camera
    assert (camera.fx_px, camera.cx_px, camera.fy_px, camera.cy_px) == (1545.0, 960.0, 1545.0, 560.0)
    assert camera.distortion == tuple(DISTORTION)


def test_images_lie_beside_the_splits_folder(log: Path, tmp_path: Path) -> None:
    assert only_scene(tmp_path).frames is None
    file = tmp_path / "nuplan-v1.1" / "sensor_blobs" / LOG / "CAM_F0" / f"{token(7).hex()}.jpg"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (1920, 1080), (0, 0, 9)).save(file)
    for root in (tmp_path, log.parent):
        frames = only_scene(root).frames
        assert frames is not None and frames.read(0)[0, 0, 2] in range(7, 12)


def test_sweeps_stand_in_where_a_camera_has_no_images(log: Path, tmp_path: Path) -> None:
    with changing(log) as connection:
        connection.execute("DELETE FROM image")
    scene = only_scene(tmp_path)
    assert scene.frames is None and scene.frame_times_ns.tolist() == [T0_US * 1000, T1_US * 1000]


def test_bad_rows_are_counted_and_the_rest_is_read(log: Path, tmp_path: Path) -> None:
    with changing(log) as connection:
        insert_box(connection, 3, sweep=1)
        insert(connection, "track", token=token(0xCD), category_token=token(9))
        insert_box(connection, 4, sweep=1, track=0xCD, x=None)
        insert_box(connection, 5, sweep=2, track=0xCD, width=0.0)
        connection.execute("UPDATE image SET ego_pose_token = x'ff'")
    assert read(tmp_path) == [
        Rejected("box without a position", f"track 00000000000000cd at {T0_US * 1000} ns"),
        Rejected("box without a size", f"track 00000000000000cd at {T1_US * 1000} ns"),
        Rejected("second box at one time stamp", f"track 00000000000000ab at {T0_US * 1000} ns"),
        Rejected("frame without an ego pose", f"{LOG} CAM_F0 at {(T0_US + 10_000) * 1000} ns"),
        Rejected("no ego poses", f"{LOG} CAM_F0"),
    ]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("DELETE FROM lidar_box", "no annotations"),
        ("DELETE FROM camera", "no calibration"),
        ("UPDATE camera SET width = 0", "unusable calibration"),
        ("UPDATE camera SET rotation = NULL", "unusable calibration"),
        ("UPDATE camera SET intrinsic = x'80'", "unusable calibration"),
        ("UPDATE camera SET intrinsic = x'800495ffffffffffffffff'", "unusable calibration"),
        ("UPDATE lidar_box SET x = 'east'", "damaged file"),
        ("DROP TABLE lidar_pc", "damaged file"),
    ],
)
def test_a_spoiled_log_is_rejected(log: Path, tmp_path: Path, statement: str, reason: str) -> None:
    with changing(log) as connection:
        connection.execute(statement)
    (item,) = read(tmp_path)
    assert isinstance(item, Rejected) and item.reason == reason and LOG in item.subject and "\n" not in item.subject


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_truncated_file_rejects_its_log(log: Path, tmp_path: Path, keep: int) -> None:
    log.write_bytes(log.read_bytes()[:keep])
    (item,) = read(tmp_path)
    assert isinstance(item, Rejected) and item.reason == "damaged file" and item.subject.startswith(f"{log}: ")


def test_of_two_copies_the_first_is_read_and_unlisted_logs_are_counted(log: Path, tmp_path: Path) -> None:
    copy = log.parent.with_name("trainval") / log.name
    copy.parent.mkdir()
    copy.write_bytes(log.read_bytes())
    log.with_name("my_drive.db").touch()
    assert NuPlan(tmp_path).recordings() == [
        Recording("nuplan", LOG, "train", DAY),
        Rejected("not in the official split lists", "my_drive"),
        Rejected("log found twice", str(copy)),
    ]


def test_a_root_may_bring_its_own_split(log: Path, tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text(json.dumps({"test": [LOG]}))
    assert NuPlan(tmp_path).recordings() == [Recording("nuplan", LOG, "test", DAY)]


def test_reading_leaves_no_file_behind(log: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    read(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


class Runs:
    """What unpickling must never do: run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch pwned",)


def test_a_pickle_that_runs_a_command_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"the pickle asks for (posix|nt)\.system, which is refused"):
        unpickle(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match=r"builtins\.eval, which is refused"):
        unpickle(b"cbuiltins\neval\n(S'1+1'\ntR.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", [3, 4])  # what Python 3 has written so far
def test_lists_tuples_and_arrays_are_read(protocol: int) -> None:
    for value in ([1, 2.5], (1.0, 2.5), np.array([1.0, 2.5]), [np.float64(1), np.float64(2.5)]):
        assert unpickle(pickle.dumps(value, protocol)).tolist() == [1.0, 2.5]


def test_the_devkits_lists_are_read_without_the_devkit(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "nuplan.database.common.data_types"
    module = types.ModuleType(name)
    module.Translation = type("Translation", (list,), {"__module__": name})  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for parent in ("nuplan", "nuplan.database", "nuplan.database.common"):
            patch.setitem(sys.modules, parent, types.ModuleType(parent))
        patch.setitem(sys.modules, name, module)
        blob = pickle.dumps(module.Translation([1.0, 2.0, 3.0]))
    assert unpickle(blob).tolist() == [1.0, 2.0, 3.0]

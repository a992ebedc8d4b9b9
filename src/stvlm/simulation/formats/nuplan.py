"""nuPlan logs: one SQLite file a log, 8-byte tokens, pickled calibration, boxes in the world's frame, microseconds."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.records import Array, Scene, Track
from stvlm.simulation.formats.recorder import (
    ego_SE3_camera,
    quat_wxyz,
    scenes_of,
    token,
    world_SE3_ego,
    write_images,
    write_splits,
)
from stvlm.simulation.source import SimulationSource

_CATEGORIES = {"car": "vehicle", "truck": "vehicle", "bicycle": "bicycle", "person": "pedestrian"}

_SCHEMA = """
CREATE TABLE category (token BLOB NOT NULL, name VARCHAR(64), description TEXT, PRIMARY KEY (token));
CREATE TABLE log (token BLOB NOT NULL, vehicle_name VARCHAR(64), date VARCHAR(64), timestamp INTEGER,
    logfile VARCHAR(64), location VARCHAR(64), map_version VARCHAR(64), PRIMARY KEY (token));
CREATE TABLE camera (token BLOB NOT NULL, log_token BLOB NOT NULL, channel VARCHAR(64), model VARCHAR(64),
    translation BLOB, rotation BLOB, intrinsic BLOB, distortion BLOB, width INTEGER, height INTEGER,
    PRIMARY KEY (token));
CREATE TABLE ego_pose (token BLOB NOT NULL, timestamp INTEGER, x FLOAT, y FLOAT, z FLOAT, qw FLOAT, qx FLOAT,
    qy FLOAT, qz FLOAT, vx FLOAT, vy FLOAT, vz FLOAT, acceleration_x FLOAT, acceleration_y FLOAT,
    acceleration_z FLOAT, angular_rate_x FLOAT, angular_rate_y FLOAT, angular_rate_z FLOAT, epsg INTEGER,
    log_token BLOB NOT NULL, PRIMARY KEY (token));
CREATE TABLE image (token BLOB NOT NULL, next_token BLOB, prev_token BLOB, ego_pose_token BLOB NOT NULL,
    camera_token BLOB NOT NULL, filename_jpg VARCHAR(128), timestamp INTEGER, PRIMARY KEY (token));
CREATE TABLE lidar (token BLOB NOT NULL, log_token BLOB NOT NULL, channel VARCHAR(64), model VARCHAR(64),
    translation BLOB, rotation BLOB, PRIMARY KEY (token));
CREATE TABLE lidar_pc (token BLOB NOT NULL, next_token BLOB, prev_token BLOB, ego_pose_token BLOB NOT NULL,
    lidar_token BLOB NOT NULL, scene_token BLOB, filename VARCHAR(128), timestamp INTEGER, PRIMARY KEY (token));
CREATE TABLE track (token BLOB NOT NULL, category_token BLOB NOT NULL, width FLOAT, length FLOAT, height FLOAT,
    PRIMARY KEY (token));
CREATE TABLE lidar_box (token BLOB NOT NULL, lidar_pc_token BLOB NOT NULL, track_token BLOB NOT NULL,
    next_token BLOB, prev_token BLOB, x FLOAT, y FLOAT, z FLOAT, width FLOAT, length FLOAT, height FLOAT,
    vx FLOAT, vy FLOAT, vz FLOAT, yaw FLOAT, confidence FLOAT, PRIMARY KEY (token));
CREATE TABLE scene (token BLOB NOT NULL, log_token BLOB NOT NULL, name TEXT, goal_ego_pose_token BLOB,
    roadblock_ids TEXT, PRIMARY KEY (token));
CREATE TABLE scenario_tag (token BLOB NOT NULL, lidar_pc_token BLOB NOT NULL, type TEXT, agent_track_token BLOB,
    PRIMARY KEY (token));
CREATE TABLE traffic_light_status (token BLOB NOT NULL, lidar_pc_token BLOB NOT NULL, lane_connector_id INTEGER,
    status VARCHAR(8), PRIMARY KEY (token));
"""


def write_nuplan(source: SimulationSource, root: Path, images: bool = True) -> None:
    """Write every recording of a source as a log below ``root``, with or without image files."""
    folder = root / "nuplan-v1.1" / "splits" / "trainval"
    folder.mkdir(parents=True, exist_ok=True)
    for _, scene, annotation_ns in scenes_of(source):
        path = folder / f"{scene.scene_id}.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as log, log:
            log.executescript(_SCHEMA)
            _fill(log, scene, annotation_ns)
        if images:
            blobs = root / "nuplan-v1.1" / "sensor_blobs"
            write_images(scene, [blobs / _file(scene, int(time)) for time in scene.frame_times_ns])
    write_splits(source, root)


def _token(*parts: object) -> bytes:
    return bytes.fromhex(token(16, *parts))


def _file(scene: Scene, time_ns: int) -> str:
    return f"{scene.scene_id}/{scene.camera.name}/{token(16, 'image', scene.scene_id, time_ns)}.jpg"


def _insert(log: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    columns = [name for _, name, *_ in log.execute(f"PRAGMA table_info({table})")]
    log.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)


def _linked(tokens: list[bytes]) -> Iterable[tuple[bytes, bytes | None, bytes | None]]:
    """Each token with the next and the previous one."""
    return zip(tokens, [*tokens[1:], None], [None, *tokens[:-1]], strict=True)


def _fill(log: sqlite3.Connection, scene: Scene, annotation_ns: Array) -> None:
    name, camera = scene.scene_id, scene.camera
    log_token, mount, lidar, part = (_token(kind, name) for kind in ("log", "camera", "lidar", "scene"))
    times = scene.frame_times_ns.tolist()
    start_us = times[0] // 1000
    _insert(log, "log", [(log_token, "simulated", "2020-01-01", start_us, name, "simulated", "none")])
    _insert(log, "category", [(_token("category", kind), kind, "") for kind in sorted(set(_CATEGORIES.values()))])
    extrinsics = ego_SE3_camera(scene)
    lens = [[camera.fx_px, 0.0, camera.cx_px], [0.0, camera.fy_px, camera.cy_px], [0.0, 0.0, 1.0]]
    place = (extrinsics[:3, 3].tolist(), quat_wxyz(extrinsics[:3, :3]).tolist(), lens, [0.0] * 5)
    blobs = tuple(pickle.dumps(value) for value in place)
    _insert(log, "camera", [(mount, log_token, camera.name, "", *blobs, camera.width_px, camera.height_px)])
    level = tuple(pickle.dumps(value) for value in ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]))
    _insert(log, "lidar", [(lidar, log_token, "MergedPointCloud", "", *level)])

    poses = world_SE3_ego(scene)
    quats = quat_wxyz(poses[:, :3, :3]).tolist()
    rates = [0.0] * 9  # speeds, accelerations and turn rates are not filled in
    _insert(
        log,
        "ego_pose",
        (
            (_token("pose", name, time), time // 1000, *xyz, *quat, *rates, 32611, log_token)
            for time, xyz, quat in zip(times, poses[:, :3, 3].tolist(), quats, strict=True)
        ),
    )
    images = list(_linked([_token("image", name, time) for time in times]))
    _insert(
        log,
        "image",
        (
            (*tokens, _token("pose", name, time), mount, _file(scene, time), time // 1000)
            for tokens, time in zip(images, times, strict=True)
        ),
    )
    sweeps = annotation_ns.tolist()
    _insert(
        log,
        "lidar_pc",
        (
            (*tokens, _token("pose", name, time), lidar, part, "", time // 1000)
            for tokens, time in zip(_linked([_token("sweep", name, time) for time in sweeps]), sweeps, strict=True)
        ),
    )
    _insert(log, "scene", [(part, log_token, "simulated", _token("pose", name, times[-1]), "")])
    for track in scene.tracks:
        _insert_track(log, name, track)


def _insert_track(log: sqlite3.Connection, name: str, track: Track) -> None:
    assert track.size_lwh_m is not None and track.yaw_rad is not None
    who = bytes.fromhex(track.track_id)
    length, width, height = track.size_lwh_m[0].tolist()
    _insert(log, "track", [(who, _token("category", _CATEGORIES[track.category]), width, length, height)])
    times = track.times_ns.tolist()
    velocity = np.gradient(track.xyz_m, track.times_ns / 1e9, axis=0)
    _insert(
        log,
        "lidar_box",
        (
            (tokens[0], _token("sweep", name, time), who, *tokens[1:], *xyz, wide, long, tall, *speed, yaw, 1.0)
            for tokens, time, xyz, (long, wide, tall), speed, yaw in zip(
                _linked([_token("box", track.track_id, time) for time in times]),
                times,
                track.xyz_m.tolist(),
                track.size_lwh_m.tolist(),
                velocity.tolist(),
                track.yaw_rad.tolist(),
                strict=True,
            )
        ),
    )

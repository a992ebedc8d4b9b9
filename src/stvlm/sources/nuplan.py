"""nuPlan logs.

    <any folder>/splits/<any>/<log name>.db               SQLite, one file a log
    <any folder>/sensor_blobs/<log name>/<camera>/*.jpg   images, named by the table `image`

Boxes and ego poses are global (UTM), sizes are columns, yaw is global, quaternions are scalar first, tokens are 8-byte
blobs and the clock ticks in microseconds. Boxes come at 20 Hz, from an offline detector and tracker; images at
10 Hz, distorted, each with its own ego pose.
"""

from __future__ import annotations

import io
import pickle
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.geometry import se3
from stvlm.records import Array, Camera, Recording, Rejected, Scene
from stvlm.sources.folders import by_name, copies, wrong_root
from stvlm.sources.images import ImageFiles
from stvlm.sources.rows import frame_rows, se3_or_nan, tracks_of
from stvlm.sources.splits import listed

CENTRE_NOISE_M = 0.05
"""Measured by benchmarks/centre_noise.py on one log of 4.5 s: 0.020 m parked (rms of 0.5 s steps), 0.045 m for moving
vehicles and 0.019 m for walkers (median residual of 2 s parabolas). The largest, rounded up; the car stood still."""

CATEGORIES = {"vehicle": "vehicle", "bicycle": "bicycle", "pedestrian": "person"}
"""Every other name (traffic_cone, barrier, czone_sign, generic_object) is "other": not asked about, but it may hide
others."""

_TRACKS = """
    SELECT t.rowid, lower(hex(t.token)), c.name
    FROM track t LEFT JOIN category c ON c.token = t.category_token ORDER BY t.rowid"""
_BOXES = """
    SELECT t.rowid, p.timestamp, b.x, b.y, b.z, b.length, b.width, b.height, b.yaw
    FROM lidar_box b JOIN lidar_pc p ON p.token = b.lidar_pc_token JOIN track t ON t.token = b.track_token"""
_CAMERAS = """
    SELECT token, channel, width, height, intrinsic, distortion, rotation, translation FROM camera ORDER BY channel"""
_POSE = "e.qw, e.qx, e.qy, e.qz, e.x, e.y, e.z"
_IMAGES = f"""
    SELECT i.timestamp, {_POSE}, i.filename_jpg
    FROM image i LEFT JOIN ego_pose e ON e.token = i.ego_pose_token WHERE i.camera_token = ?"""
_SWEEPS = f"SELECT p.timestamp, {_POSE} FROM lidar_pc p LEFT JOIN ego_pose e ON e.token = p.ego_pose_token"


class NuPlan:
    """Every log under a folder; satisfies ``records.Source``."""

    name = "nuplan"

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _logs(self) -> dict[str, list[Path]]:
        """The files of each log, by path."""
        logs = by_name(
            self._path,
            lambda folder, files: [(file.removesuffix(".db"), folder / file) for file in files if file.endswith(".db")],
        )
        if not logs:
            raise wrong_root(self.name, self._path, ".db file of a nuPlan log")
        return logs

    def recordings(self) -> list[Recording | Rejected]:
        """Every log, by name; where a log lies in two folders (mini and trainval), the first is read."""
        days = {log: _vehicle_day(log) for log in self._logs}
        return [*listed(self.name, self._path, self._logs, days), *copies(self._logs, "log")]

    def scenes(self, recording: Recording) -> Iterator[Scene | Rejected]:
        """The log as seen by each camera."""
        path = self._logs[recording.scene_id][0]
        image_root = next((p / "sensor_blobs" for p in path.parents if (p / "sensor_blobs").is_dir()), None)
        try:
            # immutable: read-only media have no place for the lock files that SQLite would otherwise make
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as log:
                track_rows = log.execute(_TRACKS).fetchall()
                boxes, sweeps = _numbers(log, _BOXES), _numbers(log, _SWEEPS)
                cameras = log.execute(_CAMERAS).fetchall()
                images = {token: log.execute(_IMAGES, (token,)).fetchall() for token, *_ in cameras}
        except (sqlite3.DatabaseError, ValueError) as error:
            yield Rejected("damaged file", f"{path}: {error}")
            return
        rowids = np.array([rowid for rowid, _, _ in track_rows], dtype=np.int64)
        tracks, rejected = tracks_of(
            [token for _, token, _ in track_rows],
            [CATEGORIES.get(category, "other") for _, _, category in track_rows],
            np.searchsorted(rowids, boxes[:, 0]),
            _ns(boxes[:, 1]),
            boxes[:, 2:5],
            boxes[:, 5:8],
            boxes[:, 8],
        )
        yield from rejected
        if not tracks or not cameras:
            yield Rejected("no calibration" if tracks else "no annotations", recording.scene_id)
            return
        for token, channel, width_px, height_px, *blobs in cameras:
            subject = f"{recording.scene_id} {channel}"
            try:
                (fx, _, cx), (_, fy, cy), _ = unpickle(blobs[0]).tolist()
                distortion = tuple(unpickle(blobs[1]).tolist())
                camera = Camera(channel, width_px, height_px, fx, fy, cx, cy, distortion)
                ego_SE3_camera = se3(unpickle(blobs[2]), unpickle(blobs[3]))
            except (ValueError, TypeError) as error:
                yield Rejected("unusable calibration", f"{subject}: {error}")
                continue
            files = [file for *_, file in images[token]]
            table = np.array([row[:-1] for row in images[token]], dtype=np.float64) if files else sweeps
            times_ns = _ns(table[:, 0])
            world_SE3_camera = se3_or_nan(table[:, 1:5], table[:, 5:8]) @ ego_SE3_camera
            rows, rejected = frame_rows(times_ns, world_SE3_camera, subject)
            yield from rejected
            if not len(rows):
                yield Rejected("no ego poses", subject)
                continue
            frames = None
            if files and image_root:
                frames = ImageFiles(tuple(image_root / files[i] for i in rows), width_px, height_px)
            yield Scene(
                source=self.name,
                scene_id=recording.scene_id,
                split=recording.split,
                label_type="lidar",
                domain="driving",
                centre_noise_m=CENTRE_NOISE_M,
                camera=camera,
                frame_times_ns=times_ns[rows],
                world_SE3_camera=world_SE3_camera[rows],
                tracks=tracks,
                frames=frames,
            )


def _vehicle_day(log: str) -> str:
    """Car and day of a log, which its name tells: 2021.05.12.22.28.35_veh-35_00350_00568."""
    told = re.match(r"(\d{4})\.(\d\d)\.(\d\d)\.[\d.]+_(veh-\d+)_", log)
    return f"{told[4]} {told[1]}-{told[2]}-{told[3]}" if told else ""


def _numbers(log: sqlite3.Connection, query: str) -> Array:
    """A query's rows (N, C) as float64, in which microseconds are exact; an empty cell is NaN."""
    cursor = log.execute(query)
    pieces = [np.empty((0, len(cursor.description)))]
    while rows := cursor.fetchmany(100_000):  # an hour's log has millions of boxes: too many for tuples
        pieces.append(np.array(rows, dtype=np.float64))
    return np.concatenate(pieces)


def _ns(time_us: Array) -> Array:
    return time_us.astype(np.int64) * 1000


# What a pickled numpy array or number asks for; numpy 2 renamed numpy.core.
_NUMPY = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "numpy.core.multiarray._reconstruct": np.empty(0).__reduce__()[0],
    "numpy._core.multiarray._reconstruct": np.empty(0).__reduce__()[0],
    "numpy.core.multiarray.scalar": np.float64(0).__reduce__()[0],
    "numpy._core.multiarray.scalar": np.float64(0).__reduce__()[0],
}
_PICKLE_DAMAGE = (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, OverflowError, TypeError)


class _NumbersOnly(pickle.Unpickler):
    """Loads lists, numbers and numpy arrays, and refuses whatever else a pickle may ask to import and call."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "nuplan.database.common.data_types":
            return list  # Translation, Rotation and CameraIntrinsic are lists with named fields
        if f"{module}.{name}" not in _NUMPY:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which is refused")
        return _NUMPY[f"{module}.{name}"]


def unpickle(blob: bytes) -> Array:
    """The numbers in a calibration blob as float64; ValueError for all but lists, numbers and numpy arrays."""
    try:
        return np.asarray(_NumbersOnly(io.BytesIO(blob)).load(), dtype=np.float64)
    except _PICKLE_DAMAGE as error:
        raise ValueError(str(error)) from error

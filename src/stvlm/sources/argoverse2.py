"""Argoverse 2 sensor logs.

    <any folder>/<log id>/annotations.feather              boxes at 10 Hz, in the ego frame of their lidar sweep
                          city_SE3_egovehicle.feather      a pose at every time stamp of any sensor
                          calibration/intrinsics.feather, calibration/egovehicle_SE3_sensor.feather
                          sensors/cameras/<camera>/<timestamp_ns>.jpg

The scenario mining files (``annotations_with_ego.feather``) are read as well, without the recording car's own box.
World frame: the city's. Nanoseconds of the dataset's own clock. Quaternions are scalar first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

from stvlm.geometry import se3, yaw_of
from stvlm.records import Array, Camera, DataError, Recording, Rejected, Scene, Track
from stvlm.sources.folders import by_name, copies, wrong_root
from stvlm.sources.images import ImageFiles
from stvlm.sources.rows import frame_rows, se3_or_nan, tracks_of
from stvlm.sources.splits import listed

CENTRE_NOISE_M = 0.025
"""Measured by benchmarks/centre_noise.py on one validation log: 0.022 m parked (rms of 0.5 s steps), 0.014 m for moving
vehicles and 0.005 m for walkers (median residual of 2 s parabolas). The largest, rounded up."""

CATEGORIES = {
    "REGULAR_VEHICLE": "car",
    "BOX_TRUCK": "truck",
    "TRUCK": "truck",
    "TRUCK_CAB": "truck",
    "ARTICULATED_BUS": "bus",
    "BUS": "bus",
    "SCHOOL_BUS": "bus",
    "VEHICULAR_TRAILER": "trailer",
    "MOTORCYCLE": "motorcycle",
    "BICYCLE": "bicycle",
    "BICYCLIST": "person",  # the rider; the bicycle under them has a box of its own
    "MOTORCYCLIST": "person",
    "WHEELED_RIDER": "person",
    "OFFICIAL_SIGNALER": "person",
    "PEDESTRIAN": "person",
    "ANIMAL": "animal",
    "DOG": "animal",
    "LARGE_VEHICLE": "vehicle",  # fire engines, motor homes, construction vehicles
    "RAILED_VEHICLE": "vehicle",
}
"""Every other name (signs, cones, strollers, wheelchairs, ...) is "other": not asked about, but it may hide others."""

_ANNOTATIONS = ("annotations.feather", "annotations_with_ego.feather")
_POSES = "city_SE3_egovehicle.feather"
_QUAT, _XYZ = ("qw", "qx", "qy", "qz"), ("tx_m", "ty_m", "tz_m")


class Argoverse2:
    """Every log under a folder; satisfies ``records.Source``."""

    name = "argoverse2"

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _logs(self) -> dict[str, list[Path]]:
        """The folders of each log, the fullest first."""
        signs = {*_ANNOTATIONS, _POSES}
        logs = by_name(self._path, lambda folder, files: [(folder.name, folder)] if signs & set(files) else [])
        if not logs:
            raise wrong_root(self.name, self._path, "annotations.feather of an Argoverse 2 log")
        return {log: sorted(folders, key=_missing_parts) for log, folders in logs.items()}

    def recordings(self) -> list[Recording | Rejected]:
        """Every log, by id; where one lies in two folders, the fuller one is read."""
        return [*listed(self.name, self._path, self._logs), *copies(self._logs, "log")]

    def scenes(self, recording: Recording) -> Iterator[Scene | Rejected]:
        """The log as seen by each ring and stereo camera."""
        log = self._logs[recording.scene_id][0]
        annotations = next((log / name for name in _ANNOTATIONS if (log / name).is_file()), None)
        if annotations is None:
            yield Rejected("no annotations", recording.scene_id)
            return
        for reason, file in (("no ego poses", _POSES), ("no calibration", "calibration/intrinsics.feather")):
            if not (log / file).is_file():
                yield Rejected(reason, f"{log / file}: is missing; download it")
                return
        try:
            poses = _Poses(log / _POSES)
            sweeps_ns, tracks, rejected = _read_tracks(annotations, poses)
            cameras = _read_cameras(log / "calibration")
        except DataError as error:
            yield Rejected("damaged file", str(error))
            return
        yield from rejected
        if not tracks:
            yield Rejected("no annotations", recording.scene_id)
            return
        if not cameras:
            yield Rejected("no calibration", f"{log / 'calibration' / 'intrinsics.feather'}: names no camera")
            return
        for camera, ego_SE3_camera in cameras:
            folder = log / "sensors" / "cameras" / camera.name
            images = {int(path.stem): path for path in folder.glob("*.jpg") if path.stem.isdigit()}
            times_ns = np.array(sorted(images), dtype=np.int64) if images else sweeps_ns
            world_SE3_camera = poses.at(times_ns) @ ego_SE3_camera
            subject = f"{recording.scene_id} {camera.name}"
            rows, rejected = frame_rows(times_ns, world_SE3_camera, subject)
            yield from rejected
            if not len(rows):
                yield Rejected("no ego poses", subject)
                continue
            frames = None
            if images:
                paths = tuple(images[time_ns] for time_ns in times_ns[rows].tolist())
                frames = ImageFiles(paths, camera.width_px, camera.height_px)
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


def _missing_parts(log: Path) -> int:
    return sum(not (log / part).exists() for part in (_POSES, "calibration", "sensors"))


class _Poses:
    """The pose table: ``at`` looks time stamps up exactly, since every sensor's stamps are in it."""

    def __init__(self, path: Path) -> None:
        table = _read(path, "timestamp_ns", *_QUAT, *_XYZ)
        self._times_ns, first = np.unique(table["timestamp_ns"].to_numpy(), return_index=True)
        self._city_SE3_ego = se3_or_nan(_numbers(table, *_QUAT), _numbers(table, *_XYZ))[first]

    def at(self, times_ns: Array) -> Array:
        """City_SE3_ego (N, 4, 4); NaN where the table has no such time stamp."""
        out = np.full((len(times_ns), 4, 4), np.nan)
        if len(self._times_ns):
            i = np.minimum(np.searchsorted(self._times_ns, times_ns), len(self._times_ns) - 1)
            known = self._times_ns[i] == times_ns
            out[known] = self._city_SE3_ego[i[known]]
        return out


def _read_tracks(path: Path, poses: _Poses) -> tuple[Array, tuple[Track, ...], list[Rejected]]:
    """Time stamps of the sweeps (S,), tracks in the city frame, and the rows that were left out."""
    sizes = ("length_m", "width_m", "height_m")
    table = _read(path, "timestamp_ns", "track_uuid", "category", *sizes, *_QUAT, *_XYZ)
    times_ns = table["timestamp_ns"].to_numpy()
    categories = table["category"].to_pylist()
    points = table["num_interior_pts"] if "num_interior_pts" in table.column_names else None  # not in older files
    uuids = table["track_uuid"].combine_chunks().dictionary_encode()
    owner = uuids.indices.to_numpy()
    _, first = np.unique(owner, return_index=True)
    sweeps_ns, sweep = np.unique(times_ns, return_inverse=True)
    ego_SE3_object = se3_or_nan(_numbers(table, *_QUAT), _numbers(table, *_XYZ))
    city_SE3_object = poses.at(sweeps_ns)[sweep] @ ego_SE3_object
    others = np.array([category != "EGO_VEHICLE" for category in categories], dtype=bool)
    tracks, rejected = tracks_of(
        uuids.dictionary.to_pylist(),
        [CATEGORIES.get(categories[i], "other") for i in first],
        owner[others],
        times_ns[others],
        city_SE3_object[others, :3, 3],
        _numbers(table, *sizes)[others],
        yaw_of(city_SE3_object[others]),
        None if points is None else points.to_numpy()[others] > 0,
    )
    return sweeps_ns, tracks, rejected


def _read_cameras(folder: Path) -> list[tuple[Camera, Array]]:
    """Each camera with its ego_SE3_camera, by name. k1, k2, k3 are left unused, as the devkit's own projection does."""
    table = _read(folder / "egovehicle_SE3_sensor.feather", "sensor_name", *_QUAT, *_XYZ)
    quats, places = _numbers(table, *_QUAT), _numbers(table, *_XYZ)
    row = {name: i for i, name in enumerate(table["sensor_name"].to_pylist())}
    columns = ("sensor_name", "width_px", "height_px", "fx_px", "fy_px", "cx_px", "cy_px")
    table = _read(folder / "intrinsics.feather", *columns)
    try:
        cameras = [Camera(*values) for values in zip(*(table[c].to_pylist() for c in columns), strict=True)]
        cameras.sort(key=lambda camera: camera.name)
        return [(camera, se3(quats[row[camera.name]], places[row[camera.name]])) for camera in cameras]
    except KeyError as error:
        raise DataError(f"{folder}: camera {error} has intrinsics, but no extrinsics") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{folder}: {error}") from error


def _read(path: Path, *columns: str) -> pa.Table:
    """A table that has at least these columns, without empty cells but in numbers."""
    try:
        table = feather.read_table(path, memory_map=False)
        table.select(columns)
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: does not read ({reason}); download it again") from error
    for column in columns:
        if table[column].null_count and not pa.types.is_floating(table[column].type):
            raise DataError(f"{path}: has empty cells in column {column}; download it again")
    return table


def _numbers(table: pa.Table, *columns: str) -> Array:
    """Columns (N, C) as float64; an empty cell is NaN."""
    return np.stack([np.asarray(table[column].to_numpy(), dtype=np.float64) for column in columns], axis=1)

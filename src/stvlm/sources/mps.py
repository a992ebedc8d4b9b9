"""Files of Project Aria's machine perception services (MPS): where the glasses were, and static cameras around them.

World frame: that of a map, gravity-aligned, z up. A recording may have several maps, each with a graph_uid; what lies
in two of them cannot be compared. Quaternions are scalar last and transforms sensor-to-world. Microseconds of the
glasses' own clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from stvlm.geometry import se3
from stvlm.kinematics import interpolate
from stvlm.records import Array, Camera, DataError, Rejected

MIN_QUALITY = 0.5
"""A good position has a quality_score above this: MPS gives 1 to nearly all, and 0.5 to those that it is not sure of,
as in its sample to the first tenth of a second."""

_XYZ = tuple(f"t{axis}_world_device" for axis in "xyz")
_GRAVITY = tuple(f"gravity_{axis}_world" for axis in "xyz")
_CAMERA_XYZ = tuple(f"t{axis}_world_cam" for axis in "xyz")
_CAMERA_QUAT = tuple(f"q{axis}_world_cam" for axis in "wxyz")
_INTRINSICS = tuple(f"intrinsics_{i}" for i in range(8))


class Trajectory(NamedTuple):
    """Where the glasses were, at N times; only good positions."""

    times_ns: Array  # (N,) int64, increasing
    xyz_m: Array  # (N, 3) world frame
    graph: Array  # (N,) which of `graphs` the world frame is that of
    graphs: tuple[str, ...]

    def on(self, graph: str) -> Trajectory:
        """The part in one map."""
        rows = self.graph == self.graphs.index(graph)
        return Trajectory(self.times_ns[rows], self.xyz_m[rows], np.zeros(rows.sum(), dtype=np.int64), (graph,))

    def at(self, times_ns: Array) -> Array:
        """Positions (n, 3) at times (n,); NaN where unknown. Of one map only."""
        assert len(self.graphs) == 1, "positions in different maps are not joined"
        return interpolate(self.times_ns, self.xyz_m, times_ns)


def read_trajectory(path: Path) -> Trajectory | Rejected:
    """Reads a closed_loop_trajectory.csv, with or without the columns of geolocation.

    Rejected where z is not up or no position is good; raises DataError.
    """
    numbers = {name: pa.float64() for name in (*_XYZ, *_GRAVITY, "quality_score")}
    table = read_csv(path, {"graph_uid": pa.string(), "tracking_timestamp_us": pa.int64(), **numbers})
    gravity_mps2 = _columns(table, _GRAVITY)
    if len(gravity_mps2) and not np.allclose(gravity_mps2, [0.0, 0.0, -9.81], atol=0.05):
        return Rejected("world is not upright", f"{path}: gravity is {gravity_mps2[0].tolist()} m/s^2")
    times_us, first = np.unique(table["tracking_timestamp_us"].to_numpy(), return_index=True)
    xyz_m, quality = _columns(table, _XYZ)[first], table["quality_score"].to_numpy()[first]
    good = (quality > MIN_QUALITY) & np.isfinite(xyz_m).all(axis=1)
    if not good.any():
        return Rejected("trajectory without good positions", str(path))
    uids = table["graph_uid"].combine_chunks().dictionary_encode()
    of_uid, graph = np.unique(uids.indices.to_numpy()[first][good], return_inverse=True)
    graphs = tuple(uids.dictionary[i].as_py().strip() for i in of_uid.tolist())
    return Trajectory(times_us[good] * 1000, xyz_m[good], graph, graphs)


class StaticCamera(NamedTuple):
    """A camera, and the frames of its video in which it stands where it is."""

    camera: Camera
    graph: str
    world_SE3_camera: Array
    first: int
    last: int


def read_static_cameras(path: Path) -> list[StaticCamera | Rejected]:
    """Reads a gopro_calibs.csv, sorted by name; raises DataError. What has no place in the map has quality 0."""
    numbers = {name: pa.float64() for name in (*_CAMERA_XYZ, *_CAMERA_QUAT, *_INTRINSICS)}
    text = {name: pa.string() for name in ("cam_uid", "graph_uid", "intrinsics_type")}
    whole = {name: pa.int64() for name in ("image_width", "image_height")}
    optional = {"start_frame_idx": pa.int64(), "end_frame_idx": pa.int64(), "quality": pa.float64()}
    rows = read_csv(path, {**text, **whole, **numbers}, optional=optional).to_pylist()
    return [_static_camera(row) for row in sorted(rows, key=lambda row: str(row["cam_uid"]).strip())]


def _static_camera(row: Mapping[str, Any]) -> StaticCamera | Rejected:
    name, graph, kind = (row[key].strip() for key in ("cam_uid", "graph_uid", "intrinsics_type"))
    if row["quality"] is not None and row["quality"] <= 0:
        return Rejected("camera without a place in the map", name)
    if kind != "KANNALABRANDTK3":
        return Rejected("unusable calibration", f"{name}: intrinsics are {kind}, not KANNALABRANDTK3")
    fx, fy, cx, cy, *distortion = (row[key] for key in _INTRINSICS)
    try:
        size_px = (row["image_width"], row["image_height"])
        camera = Camera(name, *size_px, fx, fy, cx, cy, tuple(distortion), "fisheye")
        pose = se3(np.array([row[key] for key in _CAMERA_QUAT]), np.array([row[key] for key in _CAMERA_XYZ]))
    except ValueError as error:
        return Rejected("unusable calibration", f"{name}: {error}")
    first, last = (-1 if row[key] is None else row[key] for key in ("start_frame_idx", "end_frame_idx"))
    return StaticCamera(camera, graph, pose, first, last if last >= 0 else 2**62)  # -1 and -1: in the whole video


def read_csv(
    path: Path,
    full: Mapping[str, pa.DataType],
    sparse: Mapping[str, pa.DataType] | None = None,
    optional: Mapping[str, pa.DataType] | None = None,
) -> pa.Table:
    """Columns of a CSV file; raises DataError.

    Args:
        path: the file.
        full: columns without empty cells.
        sparse: columns of which some cells may be empty.
        optional: columns that may be missing, and are empty then.
    """
    sparse, optional = sparse or {}, optional or {}
    types = {**full, **sparse, **optional}
    options = csv.ConvertOptions(include_columns=list(types), column_types=types, include_missing_columns=True)
    try:
        table = csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: does not read ({reason}); download it again") from error
    for name in (*full, *sparse):
        empty = table[name].null_count
        if empty and (name in full or empty == len(table)):
            raise DataError(f"{path}: lacks column {name}, or has empty cells in it; download it again")
    return table


def _columns(table: pa.Table, names: tuple[str, ...]) -> Array:
    """Columns (N, C) as float64."""
    return np.stack([np.asarray(table[name].to_numpy(), dtype=np.float64) for name in names], axis=1)

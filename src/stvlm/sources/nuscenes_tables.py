"""nuScenes' tables, joined and cut into one row a scene.

Their rows refer to each other by token, and a scene's lie anywhere in files of over a gigabyte. So all of them are read
once, only the columns and rows that a scene is made of, into arrays; these are kept in the cache.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from stvlm.geometry import se3
from stvlm.records import Array, DataError
from stvlm.sources.json_rows import read_rows
from stvlm.sources.table_cache import Made, cached_batches

_Xyz = tuple[float, float, float]
_Quat = tuple[float, float, float, float]


class _Row(msgspec.Struct, gc=False):
    """Columns that are read; gc=False: rows live too briefly to be worth tracking."""

    token: str


class _Scene(_Row):
    name: str


class _Sample(_Row):
    scene_token: str
    timestamp: int


class _Category(_Row):
    name: str


class _Instance(_Row):
    category_token: str


class _Sensor(_Row):
    channel: str
    modality: str


class _CalibratedSensor(_Row):
    sensor_token: str
    rotation: _Quat
    translation: _Xyz
    camera_intrinsic: list[list[float]]


class _SampleAnnotation(msgspec.Struct, gc=False):
    sample_token: str
    instance_token: str
    translation: _Xyz
    size: _Xyz
    rotation: _Quat
    num_lidar_pts: int
    num_radar_pts: int


class _SampleData(msgspec.Struct, gc=False):
    sample_token: str
    calibrated_sensor_token: str
    ego_pose_token: str
    timestamp: int
    width: int
    height: int
    filename: str


class _EgoPose(_Row):
    rotation: _Quat
    translation: _Xyz


_NO_POSE = _EgoPose("", (np.nan,) * 4, (np.nan,) * 3)

_TABLES: dict[str, type[msgspec.Struct]] = {
    "scene": _Scene,
    "sample": _Sample,
    "category": _Category,
    "instance": _Instance,
    "sensor": _Sensor,
    "calibrated_sensor": _CalibratedSensor,
    "sample_annotation": _SampleAnnotation,
    "sample_data": _SampleData,
    "ego_pose": _EgoPose,
}

_BOX = np.dtype(
    [
        ("scene", "i4"),
        ("instance", "i4"),
        ("time_ns", "i8"),
        ("xyz_m", "f8", 3),
        ("size_wlh_m", "f8", 3),
        ("quat", "f8", 4),
        ("seen", "u1"),
    ]
)
_FRAME = np.dtype(
    [("scene", "i4"), ("mount", "i4"), ("time_ns", "i8"), ("width_px", "i4"), ("height_px", "i4"), ("pose", "f8", 7)]
)
_Samples = dict[str, tuple[int, int]]  # token: scene, time_ns


class SceneRows(NamedTuple):
    """A scene's T tracks with N boxes, M cameras on cars, and F frames of all of these."""

    track_ids: list[str]
    categories: list[str]  # of each track, nuScenes' names
    owner: Array  # (N,) the track of each box; boxes are sorted by track, then by time
    time_ns: Array  # (N,)
    xyz_m: Array  # (N, 3)
    size_wlh_m: Array  # (N, 3)
    quat: Array  # (N, 4) scalar first
    seen: Array  # (N,) 0 or 1, whether a lidar or radar point fell into it
    cameras: list[str]  # of each mount
    intrinsics_px: Array  # (M, 3, 3)
    ego_SE3_camera: Array  # (M, 4, 4)
    frame_mount: Array  # (F,)
    frame_time_ns: Array  # (F,)
    frame_pose: Array  # (F, 7) qw, qx, qy, qz, x, y, z of the car in the world; NaN where the table has no such row
    frame_size_px: Array  # (F, 2) width, height
    files: list[str]  # of each frame


def _lists(of: pa.DataType, *shape: int) -> pa.DataType:
    """The type of a column that holds, for each scene, an array (N, *shape)."""
    for width in reversed(shape):
        of = pa.list_(of, width)
    return pa.list_(of)


_SCHEMA = pa.schema(
    {
        "track_ids": _lists(pa.string()),
        "categories": _lists(pa.string()),
        "owner": _lists(pa.int64()),
        "time_ns": _lists(pa.int64()),
        "xyz_m": _lists(pa.float64(), 3),
        "size_wlh_m": _lists(pa.float64(), 3),
        "quat": _lists(pa.float64(), 4),
        "seen": _lists(pa.uint8()),
        "cameras": _lists(pa.string()),
        "intrinsics_px": _lists(pa.float64(), 3, 3),
        "ego_SE3_camera": _lists(pa.float64(), 4, 4),
        "frame_mount": _lists(pa.int64()),
        "frame_time_ns": _lists(pa.int64()),
        "frame_pose": _lists(pa.float64(), 7),
        "frame_size_px": _lists(pa.int32(), 2),
        "files": _lists(pa.string()),
    }
)


class Tables:
    """One version's tables. Opening them reads them, once: after that their rows come from the cache."""

    def __init__(self, folder: Path) -> None:
        files = [folder / f"{name}.json" for name in _TABLES]
        for file in files:
            if not file.is_file():
                raise DataError(f"{file}: the table is missing; unpack the metadata archive again")
        self._folder = folder
        self._batches = cached_batches("nuscenes", files, partial(_make, folder))
        names = json.loads(self._batches.schema.metadata[b"scenes"])
        self._batch_of = {name: batch for batch, name in enumerate(names)}

    def names(self) -> list[str]:
        """The scenes' names, in the table's order."""
        return list(self._batch_of)

    def scene(self, name: str) -> SceneRows:
        """The rows of one scene."""
        try:
            return _restored(self._batches.get_batch(self._batch_of[name]))
        except (OSError, pa.ArrowInvalid) as error:
            kept = f"what is kept of it in $STVLM_CACHE or ~/.cache/stvlm does not read ({error}); remove that"
            raise DataError(f"{self._folder}: {' '.join(kept.split())}") from error


def _stored(rows: SceneRows) -> pa.RecordBatch:
    """A batch of one row, with a list in each column."""
    columns = []
    for values, kind in zip(rows, _SCHEMA.types, strict=True):
        if isinstance(values, np.ndarray):
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            for width in reversed(values.shape[1:]):
                flat = pa.FixedSizeListArray.from_arrays(flat, width)
            columns.append(pa.ListArray.from_arrays([0, len(values)], flat))
        elif isinstance(values, pa.Array):
            columns.append(pa.ListArray.from_arrays([0, len(values)], values))
        else:
            columns.append(pa.array([values], kind))
    return pa.record_batch(columns, _SCHEMA)


def _restored(batch: pa.RecordBatch) -> SceneRows:
    fields: list[Any] = []
    for column in batch.columns:
        values, shape = column.values, [-1]
        while pa.types.is_fixed_size_list(values.type):
            shape.append(values.type.list_size)
            values = values.values
        text = pa.types.is_string(values.type)
        # to_numpy would do as well, but it imports pandas.
        fields.append(values.to_pylist() if text else np.from_dlpack(values).reshape(shape))
    return SceneRows(*fields)


def _make(folder: Path) -> Made:
    """A batch a scene."""
    try:
        return _joined(folder)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{folder}: a value is of the wrong kind ({error}); unpack the metadata again") from error


@contextmanager
def _joining(folder: Path, table: str) -> Iterator[None]:
    """Names the table one of whose rows refers to what is not there."""
    try:
        yield
    except KeyError as error:
        wrong = f"a row refers to {error}, which no table has"
        raise DataError(f"{folder / table}.json: {wrong}; unpack the metadata again") from error


def _joined(folder: Path) -> Made:
    scenes = _read(folder, "scene")
    _refuse_doubles(folder, "scene", "name", [scene.name for scene in scenes])
    scene_of = {scene.token: i for i, scene in enumerate(scenes)}
    with _joining(folder, "sample"):
        samples = {row.token: (scene_of[row.scene_token], row.timestamp * 1000) for row in _read(folder, "sample")}
    category_of = {row.token: row.name for row in _read(folder, "category")}
    with _joining(folder, "instance"):
        instances = [(row.token, category_of[row.category_token]) for row in _read(folder, "instance")]
    with _joining(folder, "calibrated_sensor"):
        mounts, mount_of = _mounts(folder)
    with _joining(folder, "sample_data"):
        frames, files = _frames(folder, samples, mount_of)
    with _joining(folder, "sample_annotation"):
        boxes = _boxes(folder, samples, {token: i for i, (token, _) in enumerate(instances)})

    def batches() -> Iterator[pa.RecordBatch]:
        for box_index, frame_index in zip(_by_scene(boxes, len(scenes)), _by_scene(frames, len(scenes)), strict=True):
            box, frame = boxes[box_index], frames[frame_index]
            box = box[np.lexsort((box["time_ns"], box["instance"]))]
            tracks, owner = np.unique(box["instance"], return_inverse=True)
            cameras, frame_mount = np.unique(frame["mount"], return_inverse=True)
            yield _stored(
                SceneRows(
                    track_ids=[instances[i][0] for i in tracks],
                    categories=[instances[i][1] for i in tracks],
                    owner=owner,
                    **{name: box[name] for name in ("time_ns", "xyz_m", "size_wlh_m", "quat", "seen")},
                    cameras=[mounts[i].camera for i in cameras],
                    intrinsics_px=np.reshape([mounts[i].intrinsics_px for i in cameras], (-1, 3, 3)),
                    ego_SE3_camera=np.reshape([mounts[i].ego_SE3_camera for i in cameras], (-1, 4, 4)),
                    frame_mount=frame_mount,
                    frame_time_ns=frame["time_ns"],
                    frame_pose=frame["pose"],
                    frame_size_px=np.stack([frame["width_px"], frame["height_px"]], axis=1),
                    files=files.take(pa.array(frame_index)),
                )
            )

    names = json.dumps([scene.name for scene in scenes])
    return Made(_SCHEMA.with_metadata({"scenes": names}), batches)


def _boxes(folder: Path, samples: _Samples, instance_of: dict[str, int]) -> Array:
    """_BOX, in the table's order."""
    parts = [np.empty(0, _BOX)]
    for rows in read_rows(folder / "sample_annotation.json", _SampleAnnotation):
        part = np.empty(len(rows), _BOX)
        sample = [samples[row.sample_token] for row in rows]
        part["scene"] = [scene for scene, _ in sample]
        part["time_ns"] = [time_ns for _, time_ns in sample]
        part["instance"] = [instance_of[row.instance_token] for row in rows]
        part["xyz_m"] = _numbers([row.translation for row in rows], 3)
        part["size_wlh_m"] = _numbers([row.size for row in rows], 3)
        part["quat"] = _numbers([row.rotation for row in rows], 4)
        part["seen"] = [row.num_lidar_pts + row.num_radar_pts != 0 for row in rows]
        parts.append(part)
    return np.concatenate(parts)


class _Mount(NamedTuple):
    """A row of calibrated_sensor: one camera on one car."""

    camera: str
    intrinsics_px: Array
    ego_SE3_camera: Array


def _mounts(folder: Path) -> tuple[list[_Mount], dict[str, int | None]]:
    """The cameras, and which of them each row of calibrated_sensor is: None for what is no camera."""
    sensors = {row.token: row for row in _read(folder, "sensor")}
    mounts: list[_Mount] = []
    mount_of: dict[str, int | None] = {}
    for row in _read(folder, "calibrated_sensor"):
        sensor = sensors[row.sensor_token]
        mount_of[row.token] = len(mounts) if sensor.modality == "camera" else None
        if sensor.modality == "camera":
            intrinsics_px = np.array(row.camera_intrinsic, dtype=np.float64).reshape(3, 3)
            mounts.append(_Mount(sensor.channel, intrinsics_px, se3(row.rotation, row.translation)))
    return mounts, mount_of


def _frames(folder: Path, samples: _Samples, mount_of: dict[str, int | None]) -> tuple[Array, pa.Array]:
    """_FRAME, in the table's order, and their files.

    As published, a frame's pose stands in the same row of ego_pose. So both are read side by side, and only poses that
    stand elsewhere are looked up by their tokens.
    """
    parts = [np.empty(0, _FRAME)]
    files = [pa.array([], pa.string())]
    elsewhere: list[tuple[int, str]] = []  # frame, token of its pose
    poses = chain.from_iterable(read_rows(folder / "ego_pose.json", _EgoPose))
    frames = 0
    for every in read_rows(folder / "sample_data.json", _SampleData):
        beside = list(islice(poses, len(every)))
        beside += [_NO_POSE] * (len(every) - len(beside))
        pairs = zip(every, beside, strict=True)
        both = [(row, pose) for row, pose in pairs if mount_of[row.calibrated_sensor_token] is not None]
        rows = [row for row, _ in both]
        own = [pose if pose.token == row.ego_pose_token else _NO_POSE for row, pose in both]
        elsewhere += [(frames + i, row.ego_pose_token) for i, row in enumerate(rows) if own[i] is _NO_POSE]
        part = np.empty(len(rows), _FRAME)
        part["scene"] = [samples[row.sample_token][0] for row in rows]
        part["mount"] = [mount_of[row.calibrated_sensor_token] for row in rows]
        part["time_ns"] = [row.timestamp * 1000 for row in rows]
        part["width_px"] = [row.width for row in rows]
        part["height_px"] = [row.height for row in rows]
        part["pose"] = _poses(own)
        parts.append(part)
        files.append(pa.array([row.filename for row in rows], pa.string()))
        frames += len(rows)
    out = np.concatenate(parts)
    if elsewhere:
        out["pose"][[frame for frame, _ in elsewhere]] = _poses_by_token(folder, [token for _, token in elsewhere])
    return out, pa.concat_arrays(files)


def _poses_by_token(folder: Path, tokens: list[str]) -> Array:
    """The poses (n, 7) that the tokens refer to; NaN where there is none."""
    row_of = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    poses = np.full((len(row_of), 7), np.nan)
    for rows in read_rows(folder / "ego_pose.json", _EgoPose):
        wanted = [row for row in rows if row.token in row_of]
        poses[[row_of[row.token] for row in wanted]] = _poses(wanted)
    return np.asarray(poses[[row_of[token] for token in tokens]])


def _poses(rows: list[_EgoPose]) -> Array:
    return np.hstack([_numbers([row.rotation for row in rows], 4), _numbers([row.translation for row in rows], 3)])


def _by_scene(rows: Array, scenes: int) -> list[Array]:
    """The indices of each scene's rows, in the table's order."""
    order = np.argsort(rows["scene"], kind="stable")
    return np.split(order, np.searchsorted(rows["scene"], np.arange(1, scenes), sorter=order))


def _read(folder: Path, table: str) -> list[Any]:
    """All rows of a small table, each with a token of its own."""
    rows: list[Any] = list(chain.from_iterable(read_rows(folder / f"{table}.json", _TABLES[table])))
    _refuse_doubles(folder, table, "token", [row.token for row in rows])
    return rows


def _refuse_doubles(folder: Path, table: str, column: str, values: list[str]) -> None:
    """Raises DataError where two rows have one value: which of them is meant would be a guess."""
    if len(set(values)) < len(values):
        (double, _), *_ = Counter(values).most_common(1)
        raise DataError(f"{folder / table}.json: two rows have the {column} {double!r}; unpack the metadata again")


def _numbers(rows: list[tuple[float, ...]], width: int) -> Array:
    return np.fromiter(chain.from_iterable(rows), np.float64, width * len(rows)).reshape(-1, width)

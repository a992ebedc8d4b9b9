"""Argoverse 2 sensor logs: feather tables, boxes in the recording car's frame at their sweep, nanoseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

from stvlm.geometry import inverse_se3, se3
from stvlm.records import Array, Scene, Track
from stvlm.simulation.formats.recorder import (
    ego_SE3_camera,
    quat_wxyz,
    scenes_of,
    world_SE3_ego,
    write_images,
    write_splits,
    yaw_quat_wxyz,
)
from stvlm.simulation.source import SimulationSource

_CATEGORIES = {"car": "REGULAR_VEHICLE", "truck": "TRUCK", "bicycle": "BICYCLE", "person": "PEDESTRIAN"}
_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
_POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")


def write_argoverse2(source: SimulationSource, root: Path, images: bool = True) -> None:
    """Write every recording of a source as a log below ``root``, with or without image files."""
    for recording, scene, _ in scenes_of(source):
        log = root / "sensor" / _FOLDERS[recording.split] / scene.scene_id
        (log / "calibration").mkdir(parents=True, exist_ok=True)
        poses = world_SE3_ego(scene)
        _write(log / "city_SE3_egovehicle.feather", {"timestamp_ns": scene.frame_times_ns, **_pose_columns(poses)})
        _write_annotations(log / "annotations.feather", scene, poses)
        _write_calibration(log / "calibration", scene)
        if images:
            folder = log / "sensors" / "cameras" / scene.camera.name
            write_images(scene, [folder / f"{time}.jpg" for time in scene.frame_times_ns])
    write_splits(source, root)


def _write_annotations(path: Path, scene: Scene, city_SE3_ego: Array) -> None:
    rows = [(track, _in_ego(track, scene, city_SE3_ego)) for track in scene.tracks]
    counts = [len(track.times_ns) for track in scene.tracks]
    sizes = np.concatenate([np.empty((0, 3)), *(track.size_lwh_m for track, _ in rows if track.size_lwh_m is not None)])
    columns = {
        "timestamp_ns": np.concatenate([np.empty(0, dtype=np.int64), *(track.times_ns for track in scene.tracks)]),
        "track_uuid": np.repeat(np.array([track.track_id for track in scene.tracks], dtype=object), counts),
        "category": np.repeat(np.array([_CATEGORIES[track.category] for track in scene.tracks], dtype=object), counts),
        "length_m": sizes[:, 0],
        "width_m": sizes[:, 1],
        "height_m": sizes[:, 2],
        **_pose_columns(np.concatenate([np.empty((0, 4, 4)), *(pose for _, pose in rows)])),
        "num_interior_pts": np.ones(len(sizes), dtype=np.int64),  # none were counted, but loaders drop empty boxes
    }
    order = np.argsort(columns["timestamp_ns"], kind="stable")
    _write(path, {name: values[order] for name, values in columns.items()})


def _in_ego(track: Track, scene: Scene, city_SE3_ego: Array) -> Array:
    """The track's boxes (N, 4, 4) in the frame of the recording car at each of their times."""
    assert track.yaw_rad is not None
    frame = np.searchsorted(scene.frame_times_ns, track.times_ns)
    return inverse_se3(city_SE3_ego[frame]) @ se3(yaw_quat_wxyz(track.yaw_rad), track.xyz_m)


def _write_calibration(folder: Path, scene: Scene) -> None:
    camera = scene.camera
    extrinsics = _pose_columns(ego_SE3_camera(scene)[None])
    _write(folder / "egovehicle_SE3_sensor.feather", {"sensor_name": np.array([camera.name]), **extrinsics})
    numbers = {"fx_px": camera.fx_px, "fy_px": camera.fy_px, "cx_px": camera.cx_px, "cy_px": camera.cy_px}
    _write(
        folder / "intrinsics.feather",
        {
            "sensor_name": np.array([camera.name]),
            **{name: np.array([value]) for name, value in numbers.items()},
            **{name: np.zeros(1) for name in ("k1", "k2", "k3")},
            "height_px": np.array([camera.height_px], dtype=np.uint16),
            "width_px": np.array([camera.width_px], dtype=np.uint16),
        },
    )


def _pose_columns(poses: Array) -> dict[str, Array]:
    """Quaternion and translation columns of transforms (N, 4, 4)."""
    quats = quat_wxyz(poses[:, :3, :3]) if len(poses) else np.empty((0, 4))
    return dict(zip(_POSE, np.concatenate([quats, poses[:, :3, 3]], axis=-1).T, strict=True))


def _write(path: Path, columns: dict[str, Array]) -> None:
    feather.write_feather(pa.table({name: pa.array(values.tolist()) if values.dtype == object else pa.array(values)
                                    for name, values in columns.items()}), path)  # fmt: skip

"""nuScenes scenes.

    <root>/v1.0-trainval/*.json        13 tables, joined by token; v1.0-mini and v1.0-test likewise
    <root>/samples, <root>/sweeps      images, named by sample_data.json

Boxes and ego poses are in the map's frame, sizes are width, length, height, quaternions are scalar first, and the clock
ticks in microseconds. Boxes come at 2 Hz (key frames), images at 12 Hz (key frames and sweeps), each image with its own
time stamp and ego pose.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from stvlm.files import read_json
from stvlm.geometry import yaw_of
from stvlm.records import Camera, DataError, Recording, Rejected, Scene
from stvlm.sources.folders import wrong_root
from stvlm.sources.images import ImageFiles
from stvlm.sources.nuscenes_tables import Tables
from stvlm.sources.rows import frame_rows, se3_or_nan, tracks_of
from stvlm.sources.splits import listed

CENTRE_NOISE_M = 0.06
"""Measured by benchmarks/centre_noise.py on six scenes: 0.058 m for moving vehicles and 0.017 m for walkers (median
residual of 2 s parabolas), 0.021 m parked (rms of 0.5 s steps, mostly copied boxes). The largest, rounded up."""

CATEGORIES = {
    "vehicle.car": "car",
    "vehicle.truck": "truck",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.trailer": "trailer",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.bicycle": "bicycle",
    "vehicle.construction": "vehicle",
    "vehicle.emergency.ambulance": "vehicle",
    "vehicle.emergency.police": "vehicle",  # cars, motorcycles and bicycles alike
    "human.pedestrian.adult": "person",
    "human.pedestrian.child": "person",
    "human.pedestrian.construction_worker": "person",
    "human.pedestrian.police_officer": "person",
    "human.pedestrian.personal_mobility": "person",  # the rider is inside the box
    "animal": "animal",
}
"""Every other name (cones, barriers; strollers and wheelchairs, which may be empty) is "other": not asked about, but it
may hide others."""

_VERSIONS = ("v1.0-trainval", "v1.0-test", "v1.0-mini")  # a scene of two versions is read from the first


class NuScenes:
    """The scenes of every version under a folder, or of one version folder; satisfies ``records.Source``."""

    name = "nuscenes"

    def __init__(self, path: Path) -> None:
        self._root = path.parent if (path / "scene.json").is_file() else path
        self._folders = [path] if self._root != path else [path / v for v in _VERSIONS if (path / v).is_dir()]
        if not self._folders:
            raise wrong_root(self.name, path, f"folder {' or '.join(_VERSIONS)}")

    @cached_property
    def _tables(self) -> dict[str, Tables]:
        """Scene name to the tables that it is read from."""
        tables: dict[str, Tables] = {}
        for folder in self._folders:
            version = Tables(folder)
            tables = dict.fromkeys(version.names(), version) | tables
        return tables

    def recordings(self) -> list[Recording | Rejected]:
        """Every scene, by name. Reads the tables into the cache, where other processes find them."""
        return listed(self.name, self._root, self._tables, self._vehicle_days())

    def _vehicle_days(self) -> dict[str, str]:
        """Scene name to the car and day of its log, where the tables tell."""
        days: dict[str, str] = {}
        for folder in self._folders:
            if (folder / "log.json").is_file():
                try:
                    logs = {
                        log["token"]: f"{log['vehicle']} {log['date_captured']}"
                        for log in read_json(folder / "log.json")
                    }
                    scenes = read_json(folder / "scene.json")
                    days |= {scene["name"]: logs.get(scene.get("log_token"), "") for scene in scenes}
                except (KeyError, TypeError, AttributeError) as error:
                    raise DataError(f"{folder / 'log.json'}: a row is damaged ({error}); unpack it again") from error
        return days

    def scenes(self, recording: Recording) -> Iterator[Scene | Rejected]:
        """The scene as seen by each camera."""
        rows = self._tables[recording.scene_id].scene(recording.scene_id)
        tracks, rejected = tracks_of(
            rows.track_ids,
            [CATEGORIES.get(category, "other") for category in rows.categories],
            rows.owner,
            rows.time_ns,
            rows.xyz_m,
            rows.size_wlh_m[:, [1, 0, 2]],
            yaw_of(se3_or_nan(rows.quat, rows.xyz_m)),
            rows.seen,
        )
        yield from rejected
        if not tracks:
            yield Rejected("no annotations", recording.scene_id)
            return
        if not rows.cameras:
            yield Rejected("no frames", recording.scene_id)
            return
        seen_by = np.array(rows.cameras)[rows.frame_mount]
        for name in sorted(set(rows.cameras)):
            of_camera = np.flatnonzero(seen_by == name)
            mount, pose = rows.frame_mount[of_camera], rows.frame_pose[of_camera]
            times_ns = rows.frame_time_ns[of_camera]
            world_SE3_camera = se3_or_nan(pose[:, :4], pose[:, 4:]) @ rows.ego_SE3_camera[mount]
            subject = f"{recording.scene_id} {name}"
            kept, rejected = frame_rows(times_ns, world_SE3_camera, subject)
            yield from rejected
            if not len(kept):
                yield Rejected("no ego poses", subject)
                continue
            width_px, height_px = rows.frame_size_px[of_camera[kept[0]]].tolist()
            (fx, _, cx), (_, fy, cy), _ = rows.intrinsics_px[mount[kept[0]]].tolist()
            try:
                camera = Camera(name, width_px, height_px, fx, fy, cx, cy)
            except ValueError as error:
                yield Rejected("unusable calibration", f"{subject}: {error}")
                continue
            yield Scene(
                source=self.name,
                scene_id=recording.scene_id,
                split=recording.split,
                label_type="lidar",
                domain="driving",
                centre_noise_m=CENTRE_NOISE_M,
                camera=camera,
                frame_times_ns=times_ns[kept],
                world_SE3_camera=world_SE3_camera[kept],
                tracks=tracks,
                frames=ImageFiles(tuple(self._root / rows.files[i] for i in of_camera[kept]), width_px, height_px),
            )

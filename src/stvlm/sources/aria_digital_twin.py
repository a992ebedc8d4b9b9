"""Sequences of the Aria Digital Twin dataset, seen through the glasses of somebody who walks around in a flat.

    <any folder>/<sequence>/scene_objects.csv               poses of objects; -1 for a time: it never moves
                            3d_bounding_box.csv             their extents, each in its object's own frame
                            instances.json                  what they are
                            skeleton_aria_association.json  who wears which glasses; Skeleton_*.json: their joints
                            2d_bounding_box.csv             how much of them each camera sees
                            aria_trajectory.csv             poses of the glasses
                            metadata.json                   their serial number
                            camera.json, images/*.jpg       exported from video.vrs, as docs/aria_digital_twin.md says

Their world has y up; a point (x, y, z) of it is (x, -z, y) here:

    theirs  y                here  z
            |                      |  y
            |                      | /
            o---> x                o---> x
           /
          z

Time stamps are the glasses' own, in nanoseconds; the trajectory's lack the last three digits. Positions were measured
by motion capture, for which the label type "slam" comes nearest. No splits are published: a sequence is train, unless
the root's splits.json says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stvlm.files import read_json
from stvlm.geometry import transform
from stvlm.kinematics import MAX_GAP_S
from stvlm.recipes import from_mapping
from stvlm.records import Array, Camera, DataError, Recording, Rejected, Scene, Track
from stvlm.sources.folders import by_name, copies, wrong_root
from stvlm.sources.images import ImageFiles
from stvlm.sources.mps import read_csv
from stvlm.sources.rows import frame_rows, se3_or_nan, tracks_of
from stvlm.sources.splits import listed

CENTRE_NOISE_M = 0.02
"""An estimate, to be replaced once longer recordings are at hand: a hip joint jitters by 0.1 mm within 0.16 s, but the
marker suit shifts on the body while it walks."""

SURROUNDINGS = ("shelter",)
"""Categories of things that one is inside of: their boxes would hide everything."""
MIN_VISIBLE = 0.4
"""Least share of a person that the dataset says is seen by the colour camera: walls are in none of its boxes."""
POSE_TOLERANCE_NS = 1_000_000
FRAME_NS = 100_000_000
COLOR_STREAM = "214-1"

_OBJECTS, _EXTENTS, _SEEN = "scene_objects.csv", "3d_bounding_box.csv", "2d_bounding_box.csv"
_TRAJECTORY = "aria_trajectory.csv"
_IDS = ("object_uid", "timestamp[ns]")
_STATIC = -1  # the time stamp of what never moves
_HIP = 0  # joint "Skeleton", the root
_GRAVITY = (0.0, -9.81, 0.0)
_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


class AriaDigitalTwin:
    """Every sequence under a folder; satisfies ``records.Source``."""

    name = "aria_digital_twin"

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _sequences(self) -> dict[str, list[Path]]:
        """The folders of each sequence, by path."""
        signs = {_OBJECTS, _TRAJECTORY}
        sequences = by_name(
            self._path, lambda folder, files: [(folder.resolve().name, folder)] if signs <= set(files) else []
        )
        if not sequences:
            raise wrong_root(self.name, self._path, f"{_OBJECTS} beside {_TRAJECTORY}")
        return sequences

    def recordings(self) -> list[Recording | Rejected]:
        """Every sequence, by name; where one lies in two folders, the first is read."""
        sequences = self._sequences
        found: list[Recording | Rejected] = [Recording(self.name, name, "train") for name in sorted(sequences)]
        if (self._path / "splits.json").is_file():
            found = listed(self.name, self._path, sequences)
        return [*found, *copies(sequences, "sequence")]

    def scenes(self, recording: Recording) -> Iterator[Scene | Rejected]:
        """The sequence as seen by the camera that was exported."""
        folder = self._sequences[recording.scene_id][0]
        try:
            stamps_ns, objects, rejected = _read_objects(folder)
            people, left_out = _read_people(folder, _read_serial(folder / "metadata.json"))
            poses = _Poses(folder / _TRAJECTORY)
            export = _read_export(folder / "camera.json")
        except DataError as error:
            yield Rejected("damaged file", str(error))
            return
        yield from (*rejected, *left_out)
        if export is None:
            cure = "export it as docs/aria_digital_twin.md says"
            yield Rejected("no calibration", f"{folder / 'camera.json'}: is missing; {cure}")
            return
        images = {int(path.stem): path for path in folder.glob("images/*.jpg") if path.stem.isdecimal()}
        times_ns = np.array(sorted(images), dtype=np.int64) if images else _thinned(stamps_ns)
        world_SE3_camera = poses.at(times_ns) @ np.array(export.device_SE3_camera)
        rows, rejected = frame_rows(times_ns, world_SE3_camera, recording.scene_id)
        yield from rejected
        if not len(rows):
            yield Rejected("no ego poses", recording.scene_id)
            return
        camera, frames = export.camera, None
        if images:
            paths = tuple(images[time_ns] for time_ns in times_ns[rows].tolist())
            frames = ImageFiles(paths, camera.width_px, camera.height_px)
        yield Scene(
            source=self.name,
            scene_id=recording.scene_id,
            split=recording.split,
            label_type="slam",
            domain="sports",  # people on foot: distances are horizontal, for a hip bobs without getting anywhere
            centre_noise_m=CENTRE_NOISE_M,
            camera=camera,
            frame_times_ns=times_ns[rows],
            world_SE3_camera=world_SE3_camera[rows],
            tracks=tuple(sorted((*objects, *people), key=lambda track: track.track_id)),
            frames=frames,
        )


@dataclass(frozen=True)
class _Export:
    """camera.json: the camera whose images were exported, and where it is on the glasses."""

    camera: Camera
    device_SE3_camera: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        matrix = np.array([row for row in self.device_SE3_camera if len(row) == 4])
        good = matrix.shape == (4, 4) and np.allclose(matrix[3], [0, 0, 0, 1])
        good = good and np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-3)
        if not good or np.linalg.det(matrix) < 0:
            raise ValueError("device_SE3_camera is 4 rows of 4 numbers, a rotation and a translation in metres")


def _read_export(path: Path) -> _Export | None:
    return from_mapping(_Export, read_json(path), str(path)) if path.exists() else None


class _Poses:
    """The trajectory: ``at`` looks time stamps up, give or take what the file rounds off."""

    def __init__(self, path: Path) -> None:
        columns = [
            f"{quantity}{axis}_world_device" for quantity, axes in (("t", "xyz"), ("q", "wxyz")) for axis in axes
        ]
        columns += [f"gravity_{axis}_world" for axis in "xyz"]
        times_us, poses = _read(path, ["tracking_timestamp_us"], columns)
        if not len(poses) or not np.allclose(poses[:, 7:], _GRAVITY, atol=1e-3):
            raise DataError(f"{path}: gravity is not {_GRAVITY}, as it is in this dataset; download it again")
        order = np.argsort(times_us[:, 0], kind="stable")
        self._times_ns = times_us[order, 0] * 1000
        self._world_SE3_device = _Z_UP @ se3_or_nan(poses[order, 3:7], poses[order, :3])

    def at(self, times_ns: Array) -> Array:
        """World_SE3_device (N, 4, 4); NaN where the trajectory has no pose at that time."""
        index = _nearest(self._times_ns, times_ns)
        out = self._world_SE3_device[index]
        out[np.abs(self._times_ns[index] - times_ns) > POSE_TOLERANCE_NS] = np.nan
        return np.asarray(out)


def _nearest(sorted_ns: Array, at_ns: Array) -> Array:
    """Indices (N,) of the stamps nearest to given times."""
    right = np.searchsorted(sorted_ns, at_ns).clip(max=len(sorted_ns) - 1)
    left = (right - 1).clip(min=0)
    return np.where(np.abs(sorted_ns[left] - at_ns) < np.abs(sorted_ns[right] - at_ns), left, right)


def _read_objects(folder: Path) -> tuple[Array, tuple[Track, ...], list[Rejected]]:
    """Time stamps of the poses (S,), the objects, all of category other, and what was left out."""
    columns = [*(f"t_wo_{axis}[m]" for axis in "xyz"), *(f"q_wo_{axis}" for axis in "wxyz")]
    ids, poses = _read(folder / _OBJECTS, _IDS, columns)
    around = np.isin(ids[:, 0], _read_surroundings(folder / "instances.json"))
    poses, ids = poses[~around], ids[~around]
    extents_m = _read_extents(folder / _EXTENTS, ids[:, 0])
    unsized = np.isnan(extents_m).any(axis=1)
    rejected = [Rejected("object without extents", str(uid)) for uid in np.unique(ids[unsized, 0])]
    poses, ids, extents_m = poses[~unsized], ids[~unsized], extents_m[~unsized]
    world_SE3_object = _Z_UP @ se3_or_nan(poses[:, 3:], poses[:, :3])
    xyz_m, size_lwh_m, yaw_rad = _upright(world_SE3_object, extents_m[:, :3], extents_m[:, 3:])

    still = ids[:, 1] == _STATIC
    stamps_ns = np.unique(ids[~still, 1])
    still_ns = _within_gaps(stamps_ns)
    rows = np.concatenate([np.flatnonzero(~still), np.repeat(np.flatnonzero(still), len(still_ns))])
    times_ns = np.concatenate([ids[~still, 1], np.tile(still_ns, int(still.sum()))])
    uids, owner = np.unique(ids[rows, 0], return_inverse=True)
    categories = ["other"] * len(uids)
    tracks, more = tracks_of(
        [*map(str, uids)], categories, owner, times_ns, xyz_m[rows], size_lwh_m[rows], yaw_rad[rows]
    )
    return stamps_ns, tracks, [*rejected, *more]


def _read_surroundings(path: Path) -> list[int]:
    try:
        return [int(uid) for uid, item in read_json(path).items() if item["category"] in SURROUNDINGS]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: does not say what the objects are ({error!r}); download it again") from error


def _read_extents(path: Path, uids: Array) -> Array:
    """Least and greatest x, y, z (N, 6) of objects (N,) in their own frames; NaN where the file has none."""
    columns = [f"p_local_obj_{axis}{end}[m]" for end in ("min", "max") for axis in "xyz"]
    ids, extents_m = _read(path, _IDS, columns)
    known, first = np.unique(ids[:, 0], return_index=True)
    out = np.full((len(uids), 6), np.nan)
    given = np.isin(uids, known)
    out[given] = extents_m[first[np.searchsorted(known, uids[given])]]
    return out


def _thinned(stamps_ns: Array) -> Array:
    """About ten stamps a second: enough to stand in for images, and 350 objects a frame take memory."""
    step = round(FRAME_NS / np.median(np.diff(stamps_ns))) if len(stamps_ns) > 1 else 1
    return stamps_ns[:: max(step, 1)]


def _within_gaps(stamps_ns: Array) -> Array:
    """The first stamp of every half of a gap, and the last: enough for positions to be interpolated between them."""
    if not len(stamps_ns):
        return stamps_ns
    _, first = np.unique((stamps_ns - stamps_ns[0]) // int(MAX_GAP_S / 2 * 1e9), return_index=True)
    return np.unique(np.append(stamps_ns[first], stamps_ns[-1]))


def _upright(world_SE3_object: Array, low_m: Array, high_m: Array) -> tuple[Array, Array, Array]:
    """Upright boxes around N tilted ones, from `low_m` to `high_m` (N, 3) in their objects' frames: centres (N, 3),
    sizes (N, 3) and headings (N,) of their fronts, which are their z axes.
    """
    ends = np.stack([low_m, high_m], axis=1)  # (N, 2, 3)
    corners = np.stack([ends[:, [i, j, k], [0, 1, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)], axis=1)
    yaw_rad = np.arctan2(world_SE3_object[:, 1, 2], world_SE3_object[:, 0, 2])
    box_R_world = np.zeros((len(yaw_rad), 3, 3))  # rows: along its heading, to the left of it, up
    box_R_world[:, 0, 0] = box_R_world[:, 1, 1] = np.cos(yaw_rad)
    box_R_world[:, 0, 1], box_R_world[:, 1, 0] = np.sin(yaw_rad), -np.sin(yaw_rad)
    box_R_world[:, 2, 2] = 1.0
    in_box = transform(world_SE3_object, corners) @ np.swapaxes(box_R_world, 1, 2)  # (N, 8, 3)
    low, high = in_box.min(axis=1), in_box.max(axis=1)
    centre = ((low + high) / 2)[:, None] @ box_R_world
    return centre[:, 0], high - low, yaw_rad


def _read_serial(path: Path) -> str:
    """The serial number of the glasses."""
    metadata = read_json(path)
    try:
        if metadata.get("dataset_version", "1.0") != "1.0":  # there quaternions had another order
            return str(metadata["serial"])
    except (AttributeError, KeyError) as error:
        raise DataError(f"{path}: has no serial number; download it again") from error
    raise DataError(f"{path}: is of version 1.0; download version 2.0 of the dataset")


def _read_people(folder: Path, serial: str) -> tuple[list[Track], list[Rejected]]:
    """Everybody whose joints were tracked, as hips without a box, and who was left out: who wears the camera is not in
    its images.
    """
    path = folder / "skeleton_aria_association.json"
    people: list[Track] = []
    left_out: list[Rejected] = []
    try:
        known = read_json(path)["SkeletonMetadata"] if path.exists() else []
        for name, worn, uid in ((p["SkeletonName"], p["AssociatedDeviceSerial"], p["SkeletonId"]) for p in known):
            if name == "NONE":  # glasses without a person
                continue
            if worn == serial:
                left_out.append(Rejected("person who wears the camera", f"{folder.name} {name}"))
                continue
            person = _read_person(folder / f"{name}.json", int(uid), *_read_seen(folder / _SEEN, int(uid)))
            if len(person.times_ns):
                people.append(person)
            else:
                left_out.append(Rejected("person without joints", f"{folder.name} {name}"))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: does not say who is who ({error!r}); download it again") from error
    return people, left_out


def _read_seen(path: Path, uid: int) -> tuple[Array, Array]:
    """Time stamps (S,) of the colour camera's frames, and whether each shows enough of somebody, (S,) bool."""
    whole = dict.fromkeys(_IDS, pa.int64())
    table = read_csv(path, {"stream_id": pa.string(), **whole}, {"visibility_ratio[%]": pa.float64()})
    table = table.filter(pc.equal(table["stream_id"], COLOR_STREAM))
    uids, times_ns, visible = (table[name].to_numpy() for name in table.column_names[1:])
    stamps_ns = np.unique(times_ns)
    enough = (uids == uid) & (visible >= MIN_VISIBLE)  # a share from 0 to 1, for all its name
    return stamps_ns, np.isin(stamps_ns, times_ns[enough])


def _read_person(path: Path, uid: int, stamps_ns: Array, shown: Array) -> Track:
    frames: Any = read_json(path)
    try:
        hips = {int(frame["timestamp_ns"]): frame["joints"][_HIP] for frame in frames["frames"]}
        times_ns = np.array(sorted(hips), dtype=np.int64)
        xyz_m = np.array([hips[time_ns] for time_ns in times_ns.tolist()], dtype=np.float64).reshape(-1, 3)
        seen = shown[_nearest(stamps_ns, times_ns)] if len(stamps_ns) else np.zeros(len(times_ns), dtype=bool)
        return Track(str(uid), "person", times_ns, transform(_Z_UP, xyz_m), seen=seen)
    except (IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DataError(f"{path}: holds no joints at times ({error!r}); download it again") from error


def _read(path: Path, whole: Sequence[str], columns: Sequence[str]) -> tuple[Array, Array]:
    """Columns of whole numbers (N, W) as int64, and others (N, C) as float64, in which an empty cell is NaN."""
    table = read_csv(path, dict.fromkeys(whole, pa.int64()), dict.fromkeys(columns, pa.float64()))
    ids, numbers = (np.stack([table[name].to_numpy() for name in names], axis=1) for names in (whole, columns))
    return ids, numbers

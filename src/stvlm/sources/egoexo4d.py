"""Takes of Ego-Exo4D in which people do sports.

    <root>/takes.json, annotations/splits.json
           captures/<capture>/timesync.csv                       times of the frames, by the clock of the glasses
           takes/<take>/trajectory/closed_loop_trajectory.csv    where the glasses were, 1000 times a second
                                   gopro_calibs.csv              the static cameras around their wearer
                        frame_aligned_videos/<camera>.mp4        frame i of every camera shows the same instant
                                   downscaled/448/<camera>.mp4   read instead where it is there
           annotations/ego_pose/<split>/body/{annotation,automatic}/<take uid>.json    bodies at some frames

World frame: that of the glasses' map (see `mps`). Nanoseconds of the glasses' own clock.

Who wears the glasses is asked about: the centre of the wearer's box is where the glasses are, on the ground plan.
Wherever a body is given within 0.5 s, the box reaches around its joints, else it is of the size of a body, from the
ground to the crown. Others are asked about where the files hold their bodies beside the wearer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stvlm.files import read_json
from stvlm.records import Array, Camera, DataError, ImageError, Recording, Rejected, Scene, Split, Track
from stvlm.sources.bodies import CROWN_M, SOLE_M, body_box, follow, head_m, joints_of, torso_m
from stvlm.sources.folders import wrong_root
from stvlm.sources.mps import StaticCamera, Trajectory, read_csv, read_static_cameras, read_trajectory
from stvlm.sources.video_files import VideoFrames, size_px

CENTRE_NOISE_M = 0.035
"""How far the glasses are off the way of their wearer: 0.033 m (rms), measured by benchmarks/centre_noise.py with
parabolas through 2 s on the walk of 11 s that Project Aria's tools come with. It is the swaying and turning of a head:
the trajectory itself is smooth to a millimetre over 0.5 s."""
BODY_NOISE_M = 0.05
"""The same where others are asked about, whose bodies were found in videos: a guess, no sample of them is public."""

SCENARIOS = ("Basketball", "Dance", "Soccer")
"""Values of parent_task_name that are read: sports on the ground. In Rock Climbing the way goes up, while distances in
sports are horizontal; in Bike Repair, Cooking, Health and Music people stay where they are."""

RATE_HZ = 10
"""Frames and annotations a second, of the 30 that the videos have."""
BODY_M = 0.6
"""Length and width of a body of which nothing is given."""
EYES_M = 1.6
"""How high the glasses are while their wearer stands, which is how the ground is found where no body is given."""
BODY_NS = 500_000_000
"""A body says nothing about the wearer further away in time than this."""
WEARER_M = 0.5
"""A head further from the glasses than this is not the wearer's."""

WEARER = "camera_wearer"
_SPLITS: dict[str, Split] = {"train": "train", "val": "validation", "test": "test"}
_TRAJECTORY, _CAMERAS = "trajectory/closed_loop_trajectory.csv", "trajectory/gopro_calibs.csv"


class EgoExo4D:
    """The sports takes of a download; satisfies ``records.Source``."""

    name = "egoexo4d"

    def __init__(self, path: Path) -> None:
        self._root = path

    @cached_property
    def _takes(self) -> dict[str, _Take | Rejected]:
        """Every take by name."""
        path = self._root / "takes.json"
        if not path.is_file():
            raise wrong_root(self.name, self._root, "takes.json")
        entries = read_json(path)
        if not isinstance(entries, list) or not all(isinstance(take, dict) and "take_name" in take for take in entries):
            raise DataError(f"{path}: is no list of takes with a take_name; download the metadata again")
        return {entry["take_name"]: _read_take(entry) for entry in entries}

    def _splits(self) -> dict[str, Split]:
        """Take uid to split, from the official list, which is part of the download."""
        path = self._root / "annotations" / "splits.json"
        lists = read_json(path) if path.is_file() else None
        splits = lists.get("take_uid_to_split") if isinstance(lists, dict) else None
        if not isinstance(splits, dict) or not set(splits.values()) <= set(_SPLITS):
            raise DataError(f"{path}: has no take_uid_to_split of train, val and test; download the annotations again")
        return {uid: _SPLITS[split] for uid, split in splits.items()}

    def recordings(self) -> list[Recording | Rejected]:
        """Every take of the scenarios that are read, by name."""
        takes, splits = sorted(self._takes.items()), self._splits()
        found: list[Recording | Rejected] = []
        for name, take in takes:
            if isinstance(take, Rejected):
                found.append(take)
            elif take.uid not in splits:
                found.append(Rejected("not in the official split lists", name))
            else:
                found.append(Recording(self.name, name, splits[take.uid]))
        return found

    def scenes(self, recording: Recording) -> Iterator[Scene | Rejected]:
        """The take as seen by each static camera."""
        take = self._takes[recording.scene_id]
        assert isinstance(take, _Take)
        folder = self._root / take.folder
        timesync = self._root / "captures" / take.capture / "timesync.csv"
        for reason, file in (
            ("no trajectory", folder / _TRAJECTORY),
            ("no calibration", folder / _CAMERAS),
            ("no time stamps", timesync),
        ):
            if not file.is_file():
                yield Rejected(reason, recording.scene_id)
                return
        try:
            frames = _read_frames(timesync, take)
            trajectory = read_trajectory(folder / _TRAJECTORY)
            cameras = read_static_cameras(folder / _CAMERAS)
            bodies = self._read_bodies(take, frames)
        except DataError as error:
            yield Rejected("damaged file", str(error))
            return
        if isinstance(trajectory, Rejected):
            yield trajectory
            return
        maps = {static.graph for static in cameras if isinstance(static, StaticCamera)} & set(trajectory.graphs)
        tracks_in: dict[str, tuple[Track, ...]] = {}
        for graph in sorted(maps):
            tracks_in[graph], rejected = _people(recording.scene_id, trajectory.on(graph), frames, bodies)
            yield from rejected
        for static in cameras:
            if isinstance(static, Rejected):
                yield Rejected(static.reason, f"{recording.scene_id} {static.subject}")
                continue
            if static.camera.name in take.worn:
                continue
            subject = f"{recording.scene_id} {static.camera.name}"
            if static.graph not in maps:
                yield Rejected("the wearer is never in the camera's map", subject)
                continue
            elsewhere = int((trajectory.graph != trajectory.graphs.index(static.graph)).sum())
            if elsewhere:
                counts = f"{elsewhere} of {len(trajectory.graph)}"
                yield Rejected("positions in another map than the camera's", f"{subject}: {counts}")
            yield _scene(recording, folder, take, frames, static, tracks_in[static.graph])

    def _read_bodies(self, take: _Take, frames: _Frames) -> dict[int, list[Array]]:
        """Joints (17, 3) of the bodies at each frame that has any; those marked by hand replace the automatic ones."""
        bodies: dict[int, list[Array]] = {}
        for kind in ("automatic", "annotation"):
            for path in sorted(self._root.glob(f"annotations/ego_pose/*/body/{kind}/{take.uid}.json")):
                try:
                    for frame, group in read_json(path).items():
                        bodies[int(frame)] = [joints_of(body["annotation3D"]) for body in group]
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    raise DataError(f"{path}: holds no bodies by frame ({error!r}); download it again") from error
        return {i: bodies[i] for i in sorted(bodies) if 0 <= i < len(frames.times_ns) and frames.known[i]}


class _Take(NamedTuple):
    """An entry of takes.json."""

    uid: str
    folder: str
    capture: str
    device: str  # the wearer's glasses, as aria01
    rows: slice  # of the capture's timesync.csv, one a frame
    videos: dict[str, str]  # of each camera, relative to the folder
    worn: set[str]  # cameras that move


def _read_take(entry: Mapping[str, Any]) -> _Take | Rejected:
    name = entry["take_name"]
    if entry.get("parent_task_name") not in SCENARIOS:
        return Rejected("not a sport on the ground", f"{name}: {entry.get('parent_task_name')}")
    try:
        streams = {
            camera: [stream["relative_path"] for stream in by_stream.values() if stream.get("relative_path")]
            for camera, by_stream in entry["frame_aligned_videos"].items()
        }
        devices = [camera for camera in streams if camera.startswith("aria")]
        if len(devices) != 1:
            return Rejected("not one pair of glasses", f"{name}: {', '.join(devices) or 'none'}")
        return _Take(
            uid=entry["take_uid"],
            folder=entry["root_dir"],
            capture=entry["capture"]["capture_name"],
            device=devices[0],
            rows=slice(int(entry["timesync_start_idx"]) + 1, int(entry["timesync_end_idx"])),
            videos={camera: paths[0] for camera, paths in streams.items() if paths},
            worn={camera["cam_id"] for camera in entry["capture"]["cameras"] if camera["is_ego"]},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return Rejected("damaged entry in takes.json", f"{name}: {error!r}")


class _Frames(NamedTuple):
    """The F frames of a take's videos."""

    times_ns: Array  # (F,) int64; 0 where unknown
    known: Array  # (F,) bool
    chosen: Array  # (n,) the frames that are read, whose times are known and increase


def _read_frames(path: Path, take: _Take) -> _Frames:
    """Times of a take's frames. Pandas wrote them, so that where one of a capture is unknown, all are floats."""
    column = f"{take.device}_214-1_capture_timestamp_ns"
    stamps = read_csv(path, {}, optional={column: pa.decimal128(30, 3)})[column][take.rows].to_pylist()
    if len(stamps) != take.rows.stop - take.rows.start or len(stamps) < 2:
        raise DataError(f"{path}: ends before row {take.rows.stop}, where the take does; download the captures again")
    known = np.array([stamp is not None for stamp in stamps])
    times_ns = np.array([int(stamp or 0) for stamp in stamps], dtype=np.int64)
    later = np.concatenate([[True], times_ns[1:] > np.maximum.accumulate(times_ns)[:-1]])
    known &= later
    if known.sum() < 2:
        raise DataError(f"{path}: has no increasing time stamps in column {column}; download the captures again")
    step_s = np.median(np.diff(times_ns[known])) / 1e9
    chosen = np.arange(0, len(stamps), max(1, round(1 / (RATE_HZ * step_s))))
    return _Frames(times_ns, known, chosen[known[chosen]])


def _video(folder: Path, relative: str | None) -> Path | None:
    """A camera's video: the small copy where there is one, for clips are no larger and it decodes faster."""
    if relative is None:
        return None
    path = folder / relative
    small = path.with_name("downscaled") / "448" / path.name
    return next((video for video in (small, path) if video.is_file()), None)


def _has_shape(camera: Camera, width_px: int, height_px: int) -> bool:
    """Whether a video of this size is one of the camera's, made smaller: its shape is another by rounding at most."""
    apart = abs(width_px * camera.height_px - height_px * camera.width_px)
    return apart <= 2 * min(camera.width_px, camera.height_px)


def _scene(
    recording: Recording, folder: Path, take: _Take, frames: _Frames, static: StaticCamera, tracks: tuple[Track, ...]
) -> Scene | Rejected:
    camera, subject = static.camera, f"{recording.scene_id} {static.camera.name}"
    if not tracks:
        return Rejected("no positions during the take", subject)
    numbers = frames.chosen[(frames.chosen >= static.first) & (frames.chosen <= static.last)]
    if not len(numbers):
        return Rejected("camera does not stand still", subject)
    video = _video(folder, take.videos.get(camera.name))
    size = (camera.width_px, camera.height_px)
    if video is not None:
        with suppress(ImageError):  # the frames then say that there are none
            size = size_px(video)
        if not _has_shape(camera, *size):
            wanted = f"{camera.width_px} x {camera.height_px}"
            found = f"the video has {size[0]} x {size[1]} pixels, which is not the shape of {wanted}"
            return Rejected("video and calibration differ in shape", f"{video}: {found}")
    return Scene(
        source=recording.source,
        scene_id=recording.scene_id,
        split=recording.split,
        label_type="slam",
        domain="sports",
        centre_noise_m=CENTRE_NOISE_M if len(tracks) == 1 else BODY_NOISE_M,
        camera=camera,
        frame_times_ns=frames.times_ns[numbers],
        world_SE3_camera=np.tile(static.world_SE3_camera, (len(numbers), 1, 1)),
        tracks=tracks,
        frames=None if video is None else VideoFrames(video, numbers, *size),
    )


class _Worn(NamedTuple):
    """The wearer's body at a moment: its box beside and above the glasses."""

    time_ns: int
    size_lw_m: Array
    yaw_rad: float
    bottom_m: float  # over the glasses, so negative
    top_m: float
    ground_m: float


def _people(
    scene_id: str, trajectory: Trajectory, frames: _Frames, bodies: Mapping[int, list[Array]]
) -> tuple[tuple[Track, ...], list[Rejected]]:
    """The tracks of a take in one map, the wearer's first."""
    worn, others, rejected = _tell_apart(scene_id, trajectory, frames, bodies)
    times_ns = frames.times_ns[frames.chosen]
    xyz_m = trajectory.at(times_ns)
    here = np.isfinite(xyz_m).all(axis=1)
    if not here.any():
        return (), rejected
    tracks = [_wearer(times_ns[here], xyz_m[here], worn)]
    moments_ns = [time_ns for time_ns, _ in others]
    places_m = [np.array([torso_m(joints_m)[:2] for joints_m in group]).reshape(-1, 2) for _, group in others]
    chains, doubts = follow(moments_ns, places_m)
    if doubts:
        rejected.append(Rejected("people who could be either of two", f"{scene_id}: {doubts} times"))
    for number, chain in enumerate((chain for chain in chains if len(chain) > 1), start=1):
        boxes = [(others[moment][0], others[moment][1][row], places_m[moment][row]) for moment, row in chain]
        tracks.append(_other(f"person_{number:02}", boxes))
    return tuple(tracks), rejected


def _tell_apart(
    scene_id: str, trajectory: Trajectory, frames: _Frames, bodies: Mapping[int, list[Array]]
) -> tuple[list[_Worn], list[tuple[int, list[Array]]], list[Rejected]]:
    """The wearer's bodies, and those of others at moments at which the wearer's is among them.

    Only then are the others known to be others: a body that is off by a metre may be the wearer's own, badly placed.
    """
    numbers = np.array(list(bodies), dtype=np.int64)
    glasses_m = trajectory.at(frames.times_ns[numbers])
    worn: list[_Worn] = []
    others: list[tuple[int, list[Array]]] = []
    nobody = 0
    for number, xyz_m in zip(numbers.tolist(), glasses_m, strict=True):
        group = [joints_m for joints_m in bodies[number] if np.isfinite(torso_m(joints_m)).all()]
        away_m = np.array([np.linalg.norm(head_m(joints_m) - xyz_m) for joints_m in group])
        near = np.flatnonzero(away_m <= WEARER_M)
        if len(near) != 1:
            nobody += 1
            continue
        time_ns = int(frames.times_ns[number])
        mine = np.vstack([group.pop(int(near[0])), xyz_m])
        box = body_box(mine, xyz_m[:2])
        over = (box.bottom_m - xyz_m[2], box.top_m - xyz_m[2])
        worn.append(_Worn(time_ns, box.size_lw_m, box.yaw_rad, *over, box.bottom_m))
        others.append((time_ns, group))
    rejected = [Rejected("body poses without the wearer's", f"{scene_id}: {nobody} frames")] if nobody else []
    return worn, others, rejected


def _wearer(times_ns: Array, xyz_m: Array, worn: list[_Worn]) -> Track:
    """The wearer's track, from where the glasses are (N, 3); the crown is above them and the ground below."""
    ground_m = np.median([body.ground_m for body in worn]) if worn else np.quantile(xyz_m[:, 2], 0.9) - EYES_M
    bottom_m = np.minimum(np.full(len(times_ns), ground_m), xyz_m[:, 2] - SOLE_M)
    top_m = xyz_m[:, 2] + CROWN_M
    size_lw_m, yaw_rad = np.full((len(times_ns), 2), BODY_M), np.zeros(len(times_ns))
    given_ns = np.array([body.time_ns for body in worn], dtype=np.int64)
    for i, time_ns in enumerate(times_ns.tolist() if worn else []):
        body = worn[int(np.abs(given_ns - time_ns).argmin())]
        if abs(body.time_ns - time_ns) <= BODY_NS:
            bottom_m[i], top_m[i] = xyz_m[i, 2] + body.bottom_m, xyz_m[i, 2] + body.top_m
            size_lw_m[i], yaw_rad[i] = body.size_lw_m, body.yaw_rad
    centre_m = np.column_stack([xyz_m[:, :2], (bottom_m + top_m) / 2])
    return Track(WEARER, "person", times_ns, centre_m, np.column_stack([size_lw_m, top_m - bottom_m]), yaw_rad)


def _other(track_id: str, bodies: list[tuple[int, Array, Array]]) -> Track:
    """The track of somebody else, from times, joints (17, 3) and places on the ground (2,)."""
    boxes = [body_box(joints_m, place_m) for _, joints_m, place_m in bodies]
    return Track(
        track_id,
        "person",
        np.array([time_ns for time_ns, _, _ in bodies]),
        np.array([[*place_m, (b.bottom_m + b.top_m) / 2] for (_, _, place_m), b in zip(bodies, boxes, strict=True)]),
        np.array([[*box.size_lw_m, box.top_m - box.bottom_m] for box in boxes]),
        np.array([box.yaw_rad for box in boxes]),
    )

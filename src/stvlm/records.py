"""The types that every stage shares: Camera, Track, Scene, Clip, Question.

Each is validated once, when it is made, and trusted afterwards. Arrays are copied in and read-only.

Conventions: metres, seconds, radians, pixels. The world frame is gravity-aligned, z up. The camera frame is OpenCV's
(x right, y down, z forward). Transforms are named destination first: ``world_SE3_camera`` maps camera points to world
points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Split = Literal["train", "validation", "test"]
LabelType = Literal["lidar", "slam", "simulated", "pseudo"]
Domain = Literal["driving", "sports"]
Lens = Literal["pinhole", "fisheye"]
Task = Literal[
    "traveled_distance",
    "traveling_speed",
    "movement_direction",
    "direction_timestamp",
    "traveled_distance_comparison",
    "traveling_speed_comparison",
    "movement_direction_comparison",
]
MultistepTask = Literal["time_to_cover", "catch_up_time", "speed_ratio"]
"""What is asked beside them in the variant `multistep`."""

COLORS_RGB: dict[str, tuple[int, int, int]] = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}
"""Box colours, in the order in which a clip's objects receive them."""

CATEGORIES = ("car", "truck", "bus", "trailer", "motorcycle", "bicycle", "person", "animal", "vehicle", "other")
"""What a track may be. ``vehicle``: a motor vehicle of unknown kind; ``other``: never asked about."""


class DataError(Exception):
    """Input that cannot be used; the message is one line that names the file and the cure."""


class LackingError(DataError):
    """A package or a network that is not there, or is not what it is taken for: so for every input."""


class ImageError(DataError):
    """An image that is missing or does not decode."""


class Rejected(NamedTuple):
    """Something left out on purpose: a countable reason, and what it was about."""

    reason: str
    subject: str = ""


class Noise(NamedTuple):
    """One standard deviation of what is wrong with a track's positions."""

    centre_m: float = 0.0
    """Of a position, per axis."""
    step_m: float = 0.0
    """Of a position against those a second or two before and after: the same where noise is independent, and less where
    a track was smoothed."""
    stretch: float = 0.0
    """Of its motion as a whole, relative: a scale that is wrong throughout."""
    across_m: float = 0.0
    """Of a position to the side of where it goes, on the ground, however long after another one: what turns the whole
    way. The same as `centre_m` where noise is independent."""


NOISELESS = Noise()


def white(centre_m: float) -> Noise:
    """Noise that is independent from position to position."""
    return Noise(centre_m, step_m=centre_m, across_m=centre_m)


class Frames(Protocol):
    """The images of one scene, index-aligned with ``Scene.frame_times_ns``."""

    def available(self) -> Array:
        """Whether each image exists, (F,) bool, without decoding it."""

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        """The image, (H, W, 3) uint8 RGB at the camera's size; raises ImageError.

        It may be smaller, but no less wide than `least_width_px`, where that spares decoding what is not needed.
        """


def read_only(value: Any, dtype: type, shape: tuple[int | None, ...], what: str) -> Array:
    """A read-only copy of ``value`` with the given dtype; None in ``shape`` stands for any length."""
    array: Array = np.array(value, dtype=dtype)
    if array.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, array.shape, strict=True)):
        wanted = tuple("N" if n is None else n for n in shape)
        raise ValueError(f"{what} must have shape {wanted}, got {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{what} holds a value that is not finite")
    array.setflags(write=False)
    return array


def boxes_of(value: Any, n: int) -> Array:
    """A read-only copy of boxes (n, 4) x0, y0, x1, y1 in pixels, each of which may be NaN as a whole: unseen."""
    boxes_px = np.array(value, dtype=np.float64)
    if boxes_px.shape != (n, 4):
        raise ValueError(f"boxes_px must have shape ({n}, 4), got {boxes_px.shape}")
    seen = boxes_px[~np.isnan(boxes_px).all(axis=1)]
    if not np.isfinite(seen).all() or (seen[:, :2] >= seen[:, 2:]).any():
        raise ValueError("a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1, or NaN as a whole")
    boxes_px.setflags(write=False)
    return boxes_px


def set_fields(record: object, **fields: object) -> None:
    """Sets fields of a frozen record that is being made."""
    for name, value in fields.items():
        object.__setattr__(record, name, value)


def check_increasing(times: Array, what: str) -> None:
    """Raises ValueError where times (N,) do not increase."""
    if (np.diff(times) <= 0).any():
        raise ValueError(f"{what} must increase strictly")


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera, with OpenCV's distortion (k1, k2, p1, p2, k3) where its images are distorted; or OpenCV's
    fisheye camera with (k1, k2, k3, k4), the model of Kannala and Brandt.
    """

    name: str
    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, ...] = ()
    lens: Lens = "pinhole"

    def __post_init__(self) -> None:
        numbers = (self.fx_px, self.fy_px, self.cx_px, self.cy_px, *self.distortion)
        if not np.isfinite(numbers).all() or min(self.width_px, self.height_px, self.fx_px, self.fy_px) <= 0:
            raise ValueError(f"camera {self.name!r} needs a positive size and focal length, got {self}")
        known = {"pinhole": "(k1, k2, p1, p2, k3) or ()", "fisheye": "(k1, k2, k3, k4)"}
        if self.lens not in known:
            raise ValueError(f"camera {self.name!r}: lens is pinhole or fisheye, got {self.lens!r}")
        if len(self.distortion) not in ((0, 5) if self.lens == "pinhole" else (4,)):
            raise ValueError(
                f"camera {self.name!r}: {self.lens} distortion is {known[self.lens]}, got {self.distortion}"
            )


@dataclass(frozen=True, eq=False, slots=True)
class Track:
    """One object over time, at its annotations' own time stamps."""

    track_id: str
    category: str
    times_ns: Array  # (N,) int64, strictly increasing
    xyz_m: Array  # (N, 3) box centre, world frame
    size_lwh_m: Array | None = None  # (N, 3) length, width, height
    yaw_rad: Array | None = None  # (N,) heading of the box's length axis, from world x towards world y
    seen: Array | None = None  # (N,) bool, whether the source's sensors saw it then; None where it does not say
    noise: Noise | None = None  # None where it is the scene's
    grade: str = ""  # of a pseudo-label: A, B or C

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise ValueError(f"track {self.track_id!r}: category {self.category!r} is not one of {CATEGORIES}")
        times_ns = read_only(self.times_ns, np.int64, (None,), "times_ns")
        n = len(times_ns)
        check_increasing(times_ns, f"track {self.track_id!r}: times_ns")
        if (self.size_lwh_m is None) != (self.yaw_rad is None):
            raise ValueError(f"track {self.track_id!r}: size_lwh_m and yaw_rad are given together or not at all")
        set_fields(self, times_ns=times_ns, xyz_m=read_only(self.xyz_m, np.float64, (n, 3), "xyz_m"))
        if self.size_lwh_m is not None:
            size_lwh_m = read_only(self.size_lwh_m, np.float64, (n, 3), "size_lwh_m")
            if (size_lwh_m <= 0).any():
                raise ValueError(f"track {self.track_id!r}: a box needs a positive size")
            set_fields(self, size_lwh_m=size_lwh_m, yaw_rad=read_only(self.yaw_rad, np.float64, (n,), "yaw_rad"))
        if self.seen is not None:
            set_fields(self, seen=read_only(self.seen, np.bool_, (n,), "seen"))
        if self.noise is not None and not (np.isfinite(self.noise).all() and min(self.noise) >= 0):
            raise ValueError(f"track {self.track_id!r}: noise is 0 or more, got {self.noise}")


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """One recording seen by one camera."""

    source: str
    scene_id: str  # as the source names the recording; every camera of it shares this id
    split: Split
    label_type: LabelType
    domain: Domain
    centre_noise_m: float  # one standard deviation of a track's centre, per axis
    camera: Camera
    frame_times_ns: Array  # (F,) int64 in the source's own clock; annotation stamps where there are no images
    world_SE3_camera: Array  # (F, 4, 4)
    tracks: tuple[Track, ...]
    frames: Frames | None = None  # None where the source holds no images
    boxes_px: Mapping[str, Array] | None = None
    """Where a tracker or people saw each track in the images: (F, 4) x0, y0, x1, y1 by its id, NaN where unseen. None
    where that follows from centres, sizes and poses."""
    licence: str = ""  # of images and labels, where a recording says so

    def __post_init__(self) -> None:
        times_ns = read_only(self.frame_times_ns, np.int64, (None,), "frame_times_ns")
        check_increasing(times_ns, f"scene {self.scene_id!r}: frame_times_ns")
        poses = read_only(self.world_SE3_camera, np.float64, (len(times_ns), 4, 4), "world_SE3_camera")
        if self.centre_noise_m < 0:
            raise ValueError(f"scene {self.scene_id!r}: centre_noise_m must not be negative, got {self.centre_noise_m}")
        tracks = tuple(self.tracks)
        if len({track.track_id for track in tracks}) != len(tracks):
            raise ValueError(f"scene {self.scene_id!r}: two tracks share an id")
        if self.boxes_px is not None:
            if self.boxes_px.keys() != {track.track_id for track in tracks}:
                raise ValueError(f"scene {self.scene_id!r}: boxes_px holds the boxes of each track, and no others")
            boxes_px = {track_id: boxes_of(boxes, len(times_ns)) for track_id, boxes in self.boxes_px.items()}
            set_fields(self, boxes_px=boxes_px)
        set_fields(self, frame_times_ns=times_ns, world_SE3_camera=poses, tracks=tracks)


@dataclass(frozen=True, eq=False, slots=True)
class Clip:
    """5 to 40 frames of a scene, every 0.5 s, with one to three chosen objects; object j has the j-th colour."""

    clip_id: str
    scene: Scene
    tracks: tuple[Track, ...]  # J chosen objects
    start_ns: int
    frame_index: Array  # (n,) int64 into the scene's frames, the nearest to each grid point
    xyz_m: Array  # (J, n, 3) centres, interpolated at the grid points
    boxes_px: Array  # (J, n, 4) x0, y0, x1, y1 at the camera's size; NaN where unseen

    def __post_init__(self) -> None:
        n, j = len(self.frame_index), len(self.tracks)
        if not 1 <= j <= len(COLORS_RGB):
            raise ValueError(f"clip {self.clip_id!r}: one to {len(COLORS_RGB)} objects, got {j}")
        boxes_px = np.array(self.boxes_px, dtype=np.float64)
        if boxes_px.shape != (j, n, 4):
            raise ValueError(f"clip {self.clip_id!r}: boxes_px must have shape {(j, n, 4)}, got {boxes_px.shape}")
        boxes_px.setflags(write=False)  # not read_only: NaN says unseen
        set_fields(
            self,
            frame_index=read_only(self.frame_index, np.int64, (None,), "frame_index"),
            xyz_m=read_only(self.xyz_m, np.float64, (j, n, 3), "xyz_m"),
            boxes_px=boxes_px,
        )

    @property
    def colors(self) -> tuple[str, ...]:
        """The colour of each object."""
        return tuple(COLORS_RGB)[: len(self.tracks)]


class Step(NamedTuple):
    """A value on the way to an answer, as it is printed."""

    name: str  # such as "traveling_speed of red"
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a clip, with its answer."""

    task: Task | MultistepTask
    template_id: str
    question: str
    answer: str
    target: str  # canonical: "20.15" m, "15.04" km/h, "10" hour, "3.50-6.00" s, a colour, "same" or "different"
    choices: tuple[str, ...]
    target_sigma: float | None  # in the target's unit, from the label noise
    start_s: float
    end_s: float
    steps: tuple[Step, ...] = ()  # from what is measured or given to what is asked for; of the variant `multistep`


class Recording(NamedTuple):
    """One recording of a source, before it is read: the unit of work."""

    source: str
    scene_id: str
    split: Split
    vehicle_day: str = ""
    """What recordings of one place and hour have in common, such as "n015 2018-07-24"; empty where that is unknown."""


class Source(Protocol):
    """A folder of raw recordings. Opening one reads indices only; a recording is read when its scenes are asked for."""

    name: str

    def recordings(self) -> Sequence[Recording | Rejected]:
        """Every recording, sorted by id, and what is left out (in no split list, a second copy); raises DataError when
        the folder is not this source's.
        """

    def scenes(self, recording: Recording) -> Iterable[Scene | Rejected]:
        """A recording's scenes, one a camera, sorted by camera name; what cannot be used is Rejected."""

"""What the stages hand to each other: Footage, Geometry, MetricDepth, ObjectTracks, LiftedTrack.

Each is validated once, when it is made, and trusted afterwards; arrays are read-only.

Conventions: those of `stvlm.records`, and seconds count from the footage's own start. The middle of a pixel has whole
coordinates, so that an image reaches from -0.5 to its width - 0.5. Depth is along the optical axis, not along the ray.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from stvlm.records import CATEGORIES, Array, DataError, boxes_of, check_increasing, read_only, set_fields

Scale = Literal["metric", "arbitrary"]

TIME_TOLERANCE_S = 1e-6
RIGID_TOLERANCE = 1e-3
"""How far a pose's rotation may be from orthonormal: float32 files are off by 1e-6, a wrong file by 1."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made an artefact, and under which licence what it makes may be used."""

    tool: str
    model: str = ""
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Footage:
    """The frames of one video that are labelled: what every stage knows of it."""

    video_id: str
    times_s: Array  # (N,) float64, from the video's start, strictly increasing
    image_size_px: tuple[int, int]  # width, height of its images, which may be reduced and undistorted

    def __post_init__(self) -> None:
        times_s = read_only(self.times_s, np.float64, (None,), "times_s")
        check_increasing(times_s, f"video {self.video_id!r}: times_s")
        if not len(times_s):
            raise ValueError(f"video {self.video_id!r}: footage has at least one frame")
        set_fields(self, times_s=times_s, image_size_px=_size(self.image_size_px))

    def frames_every(self, every_s: float) -> Array:
        """Frames (m,) int64: the first, and each that comes so long, or longer, after the last one that was taken."""
        taken = [0]
        for frame, time_s in enumerate(self.times_s):
            if frame and time_s - self.times_s[taken[-1]] >= every_s - TIME_TOLERANCE_S:
                taken.append(frame)
        return np.array(taken)

    def checked(self, image: Array) -> Array:
        """An image (H, W, 3) as it is; raises DataError where it is of another size."""
        width, height = self.image_size_px
        if image.shape != (height, width, 3):
            found = f"an image has the shape {image.shape}, not {(height, width, 3)}"
            raise DataError(f"{self.video_id}: {found}; give RGB images of one size")
        return image


@dataclass(frozen=True, slots=True)
class DepthCrop:
    """Where a depth map's pixels lie in the image: image = scale * depth pixel + offset, per axis.

    A map that shows the whole image at a third of its size has scale 3 and offset 1: its first pixel covers the
    image's pixels 0, 1 and 2.
    """

    scale_xy: tuple[float, float]
    offset_xy_px: tuple[float, float]

    def __post_init__(self) -> None:
        if not np.isfinite([*self.scale_xy, *self.offset_xy_px]).all() or min(self.scale_xy) <= 0:
            raise ValueError(f"a depth map's scale is positive and its offset finite, got {self}")

    def to_image(self, depth_px: Array) -> Array:
        """Pixels (..., 2) of the image at pixels (..., 2) of the depth map."""
        return np.asarray(depth_px * np.array(self.scale_xy) + self.offset_xy_px)

    def to_depth(self, image_px: Array) -> Array:
        """Pixels (..., 2) of the depth map at pixels (..., 2) of the image."""
        return np.asarray((image_px - np.array(self.offset_xy_px)) / self.scale_xy)

    def image_K(self, depth_K_px: Array) -> Array:
        """Intrinsics (..., 3, 3) for the image, of those for the depth map."""
        return np.asarray(self._matrix() @ depth_K_px)

    def depth_K(self, image_K_px: Array) -> Array:
        """Intrinsics (..., 3, 3) for the depth map, of those for the image."""
        return np.asarray(np.linalg.inv(self._matrix()) @ image_K_px)

    def _matrix(self) -> Array:
        (sx, sy), (x, y) = self.scale_xy, self.offset_xy_px
        return np.array([[sx, 0, x], [0, sy, y], [0, 0, 1.0]])


def resized(image_size_px: tuple[int, int], resized_px: tuple[int, int], cut_px: tuple[int, int] = (0, 0)) -> DepthCrop:
    """The crop of maps made from an image that was resized to (width, height), after which `cut_px` columns and rows
    were cut off at the left and the top.
    """
    sx, sy = image_size_px[0] / resized_px[0], image_size_px[1] / resized_px[1]
    return DepthCrop((sx, sy), (sx * (cut_px[0] + 0.5) - 0.5, sy * (cut_px[1] + 0.5) - 0.5))


@dataclass(frozen=True, eq=False, slots=True)
class Geometry:
    """How the camera moved, and how far everything was from it: in metres where `scale` is metric, else in a unit
    that translations and depth share throughout the video.

    Arrays of maps that are read-only already are kept as they are, so that they may be mapped from a file.
    """

    times_s: Array  # (N,) of the footage
    world_SE3_camera: Array  # (N, 4, 4)
    K_px: Array  # (N, 3, 3) pinhole intrinsics for the footage's images
    image_size_px: tuple[int, int]  # width, height
    is_upright: bool  # whether the world's z axis points up; if not, the frame is any, mostly the first camera's
    scale: Scale
    provenance: Provenance
    depth: Array | None = None  # (N, h, w) float32 along the optical axis; 0 where unknown, in the sky for example
    crop: DepthCrop | None = None  # where the pixels of depth, confidence and moving lie in the image
    confidence: Array | None = None  # (N, h, w) float32 in 0..1, of depth
    moving: Array | None = None  # (N, h, w) bool, whether a pixel shows something that moves
    is_sparse: bool = False  # whether depth is that of a few points, which tell the scale and lift no object
    scaled_by_height: bool = False  # whether its metres are those of the camera's height above the road

    def __post_init__(self) -> None:
        times_s = read_only(self.times_s, np.float64, (None,), "times_s")
        check_increasing(times_s, "times_s")
        n = len(times_s)
        poses = read_only(self.world_SE3_camera, np.float64, (n, 4, 4), "world_SE3_camera")
        K_px = read_only(self.K_px, np.float64, (n, 3, 3), "K_px")
        _check_poses(poses)
        if (K_px[:, [0, 1], [0, 1]] <= 0).any() or (K_px[:, [1, 2, 2], [0, 0, 1]] != 0).any():
            raise ValueError("K_px holds no pinhole intrinsics: fx and fy are positive, what lies below them is 0")
        if self.scale not in get_args(Scale):
            raise ValueError(f"scale is one of {', '.join(get_args(Scale))}, got {self.scale!r}")
        size_px = _size(self.image_size_px)
        set_fields(self, times_s=times_s, world_SE3_camera=poses, K_px=K_px, image_size_px=size_px)
        given = {name: getattr(self, name) for name in ("depth", "confidence", "moving")}
        if (self.crop is None) != all(maps is None for maps in given.values()):
            raise ValueError("crop is given with depth, confidence or moving, and only with them")
        shape: tuple[int | None, ...] = (n, None, None)
        for name, maps in given.items():
            if maps is not None:
                maps = _maps(maps, np.bool_ if name == "moving" else np.float32, shape, name)
                shape = maps.shape
                set_fields(self, **{name: maps})
        _check_maps(self.depth, _is_depth, "depth is 0 or more, and finite")
        _check_maps(self.confidence, _is_share, "confidence lies in 0..1")


@dataclass(frozen=True, eq=False, slots=True)
class MetricDepth:
    """How far everything was in some frames of a footage, as a network for single images says it, in metres.

    Maps that are read-only already are kept as they are, as in a `Geometry`.
    """

    times_s: Array  # (N,) of the footage
    image_size_px: tuple[int, int]  # width, height
    frames: Array  # (m,) int64, those of the N that have a map, strictly increasing
    depth_m: Array  # (m, h, w) float32 along the optical axis; 0 where unknown
    crop: DepthCrop  # where the pixels of depth_m lie in the image
    provenance: Provenance
    focal_px: Array | None = None  # (m,) focal length in the footage's images, of networks that tell it

    def __post_init__(self) -> None:
        times_s = read_only(self.times_s, np.float64, (None,), "times_s")
        check_increasing(times_s, "times_s")
        frames = read_only(self.frames, np.int64, (None,), "frames")
        check_increasing(frames, "frames")
        if not len(frames) or frames[0] < 0 or frames[-1] >= len(times_s):
            raise ValueError(f"frames are at least one, and of the {len(times_s)} of the footage")
        depth_m = _maps(self.depth_m, np.float32, (len(frames), None, None), "depth_m")
        _check_maps(depth_m, _is_depth, "depth_m is 0 or more, and finite")
        size_px = _size(self.image_size_px)
        set_fields(self, times_s=times_s, image_size_px=size_px, frames=frames, depth_m=depth_m)
        if self.focal_px is not None:
            focal_px = read_only(self.focal_px, np.float64, (len(frames),), "focal_px")
            if (focal_px <= 0).any():
                raise ValueError("focal_px is positive")
            set_fields(self, focal_px=focal_px)


@dataclass(frozen=True, eq=False, slots=True)
class ObjectTrack:
    """One object in the image, in each frame of the footage."""

    track_id: str
    category: str
    boxes_px: Array  # (N, 4) x0, y0, x1, y1 in the footage's images; NaN where unseen
    score: Array  # (N,) float64 in 0..1, how sure the tool is of it; 0 where unseen
    truncated: Array  # (N,) bool, whether the image's border cuts it off
    occluded: Array  # (N,) bool, whether something hides a part of it
    masks: tuple[Array | None, ...] | None = None  # N of run lengths (R,), see `encode_mask`; None where unseen
    hidden_foot: float | None = None  # one standard deviation of where a box ends below that holds what is hidden, too,
    # as a share of its height; None where boxes end at what hides an object

    def __post_init__(self) -> None:
        what = f"track {self.track_id!r}"
        if self.category not in CATEGORIES:
            raise ValueError(f"{what}: category {self.category!r} is not one of {CATEGORIES}")
        n = len(self.boxes_px)
        try:
            boxes_px = boxes_of(self.boxes_px, n)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from error
        score = read_only(self.score, np.float64, (n,), f"{what}: score")
        if not _is_share(score):
            raise ValueError(f"{what}: score lies in 0..1")
        flags = {name: read_only(getattr(self, name), np.bool_, (n,), name) for name in ("truncated", "occluded")}
        set_fields(self, boxes_px=boxes_px, score=score, **flags)
        if not 0 <= (self.hidden_foot or 0) < np.inf:
            raise ValueError(f"{what}: hidden_foot is 0 or more, or None")
        if self.masks is not None:
            if len(self.masks) != n:
                raise ValueError(f"{what}: {n} frames need as many masks, got {len(self.masks)}")
            runs = [None if mask is None else read_only(mask, np.int64, (None,), "mask") for mask in self.masks]
            set_fields(self, masks=tuple(runs))


@dataclass(frozen=True, eq=False, slots=True)
class ObjectTracks:
    """The objects in one video's images."""

    times_s: Array  # (N,) of the footage
    image_size_px: tuple[int, int]  # width, height
    tracks: tuple[ObjectTrack, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        times_s = read_only(self.times_s, np.float64, (None,), "times_s")
        check_increasing(times_s, "times_s")
        size_px, tracks = _size(self.image_size_px), tuple(self.tracks)
        if len({track.track_id for track in tracks}) != len(tracks):
            raise ValueError("two tracks share an id")
        for track in tracks:
            if len(track.boxes_px) != len(times_s):
                raise ValueError(f"track {track.track_id!r}: {len(track.boxes_px)} boxes for {len(times_s)} frames")
            if any(mask is not None and mask.sum() != size_px[0] * size_px[1] for mask in track.masks or ()):
                raise ValueError(f"track {track.track_id!r}: a mask's run lengths add up to the image's pixels")
        set_fields(self, times_s=times_s, image_size_px=size_px, tracks=tracks)


@dataclass(frozen=True, eq=False, slots=True)
class LiftedTrack:
    """One object in the world, at the times at which its place could be told."""

    track_id: str
    category: str
    times_s: Array  # (n,) strictly increasing
    xyz_m: Array  # (n, 3) in the geometry's world frame
    covariance_m2: Array  # (n, 3, 3) of xyz_m, in the same frame
    stretch: float = 0.0  # one standard deviation of what is wrong with all its distances from the camera, relative
    step_m: float | None = None  # the same of how far it goes to the side in half a second; None before it is smoothed
    outliers: float = 0.0  # share of its places that the smoother left out

    def __post_init__(self) -> None:
        what = f"track {self.track_id!r}"
        if self.category not in CATEGORIES:
            raise ValueError(f"{what}: category {self.category!r} is not one of {CATEGORIES}")
        times_s = read_only(self.times_s, np.float64, (None,), f"{what}: times_s")
        n = len(times_s)
        check_increasing(times_s, f"{what}: times_s")
        covariance = read_only(self.covariance_m2, np.float64, (n, 3, 3), f"{what}: covariance_m2")
        if not np.allclose(covariance, np.swapaxes(covariance, 1, 2)) or (np.linalg.eigvalsh(covariance) < -1e-9).any():
            raise ValueError(f"{what}: covariance_m2 holds matrices that are symmetric and not negative")
        if not (0 <= self.stretch < np.inf and 0 <= self.outliers <= 1 and 0 <= (self.step_m or 0) < np.inf):
            raise ValueError(f"{what}: stretch and step_m are 0 or more, and outliers is a share")
        xyz_m = read_only(self.xyz_m, np.float64, (n, 3), f"{what}: xyz_m")
        set_fields(self, times_s=times_s, xyz_m=xyz_m, covariance_m2=covariance)


def encode_mask(mask: Array) -> Array:
    """A mask (H, W) bool as run lengths (R,) int64, down the columns, background first: COCO's plain `counts`."""
    flat = np.concatenate([[False], np.asarray(mask, dtype=bool).ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(edges, prepend=0, append=len(flat) - 1)


def decode_mask(counts: Array, image_size_px: tuple[int, int]) -> Array:
    """The mask (H, W) bool of run lengths (R,) for an image of (width, height)."""
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(image_size_px[1], image_size_px[0], order="F")


def _maps(value: Array, dtype: type, shape: tuple[int | None, ...], what: str) -> Array:
    """Maps (N, h, w) of a dtype, copied only where somebody could write into them."""
    given = all(a is None or a == b for a, b in zip(shape, value.shape, strict=False))
    if value.ndim != 3 or not given or not value.size:
        wanted = tuple(name if n is None else n for name, n in zip("Nhw", shape, strict=True))
        raise ValueError(f"{what} must have shape {wanted}, got {value.shape}")
    if value.dtype == dtype and not value.flags.writeable:
        return value
    value = np.array(value, dtype=dtype)
    value.setflags(write=False)
    return value


def _check_maps(maps: Array | None, holds: Callable[[Array], bool], what: str) -> None:
    # What is mapped from a file was checked when it was written, and is read frame by frame.
    if maps is not None and not isinstance(maps, np.memmap) and not all(holds(frame) for frame in maps):
        raise ValueError(what)


def _is_depth(values: Array) -> bool:
    return bool(np.isfinite(values).all() and (values >= 0).all())


def _is_share(values: Array) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _size(size_px: tuple[int, int]) -> tuple[int, int]:
    if len(size_px) != 2 or min(size_px) <= 0:
        raise ValueError(f"image_size_px is a positive width and height, got {size_px}")
    return int(size_px[0]), int(size_px[1])


def _check_poses(poses: Array) -> None:
    rotations = poses[:, :3, :3]
    apart = np.abs(rotations @ np.swapaxes(rotations, 1, 2) - np.eye(3)).max(initial=0.0)
    if apart > RIGID_TOLERANCE or (np.linalg.det(rotations) < 0).any() or (poses[:, 3] != [0, 0, 0, 1]).any():
        raise ValueError("world_SE3_camera holds a matrix that is no rigid transform")

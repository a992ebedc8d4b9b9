"""From boxes and masks in the image to places in the world.

With depth, as the paper does it: the points behind an object's mask, and their barycentre. Three things are added, each
of which can be switched off: the rim of a mask, where depth mixes with what lies behind, is cut off; points far off
along the ray are left out, and the median is taken; and as the points lie on the side that the camera sees, the
barycentre is pushed outwards along the ray by as much as that side is from the middle of an object of this class.

Without depth, a box tells its distance twice. Where it stands on the ground, seen from a known height: good when near.
By how tall objects of its class are: good when far, and at how that changes, as nobody grows. The two are averaged by
their variances, in logarithms, over all frames.

             o camera                      the angle below the horizon -> where it stands
             |  `--.__      ____
    height_m |        `--. |____|  h       h pixels of a class so tall -> how far it is
    _________|____________`|_||_|______
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import yaml
from scipy.ndimage import binary_erosion

from stvlm.geometry import transform
from stvlm.pseudo_labels.artefacts import Geometry, LiftedTrack, ObjectTrack, decode_mask
from stvlm.pseudo_labels.points import rays
from stvlm.recipes import from_mapping
from stvlm.records import Array, Rejected, read_only, set_fields

Barycentre = Literal["median", "mean"]
Region = Literal["america_asia", "europe"]
GAUSSIAN_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

SLOPE_RAD = 0.02
"""One standard deviation of the ground's slope. Along the axis of KITTI's camera it is 0.0125 among the 21 sequences of
its tracking benchmark, and roads bend."""
LEAST_TURN = 0.025
"""The least that is not known of how far an object's middle is behind its edge, as a share of its length."""
BESIDE_PX, NEARER = 2, 0.1
"""What hides an object is so many pixels of the depth map beside its mask, and by such a share nearer."""
LEAST_CORE = 0.25
"""A mask of which cutting off its rim would leave less than this share keeps it."""

_SIZES = Path(__file__).with_name("class_sizes.yaml")


@dataclass(frozen=True)
class ClassSize:
    """How large objects of a class are."""

    length_m: float
    width_m: float
    height_m: float
    spread: float
    """One standard deviation of height, relative."""
    objects: int
    """So many were measured."""


@dataclass(frozen=True)
class Lifting:
    """How objects are lifted."""

    barycentre: Barycentre = "median"
    to_centre: bool = True
    """Whether a place on the visible side is pushed on to the object's middle."""
    region: Region = "america_asia"
    """Whose class sizes hold; a class that is not in them has the other's."""
    erode_px: int = 1
    """Rim of a mask that is cut off, in pixels of the depth map."""
    box_inset: float = 0.2
    """Share of a box that is cut off at each side where it stands in for a mask."""
    least_confidence: float = 0.0
    least_pixels: int = 10
    """A frame with fewer pixels of known depth gives no place."""
    most_hidden: float = 0.5
    """A frame gives no place where something nearer ends more than this share of a mask's rows, at the same side."""
    outlier_sigmas: float = 3.0
    """Depth further off the median is left out; the median deviation tells a standard deviation. With 0, none is."""
    depth_noise: float = 0.05
    """One standard deviation of depth, relative, from frame to frame."""
    depth_stretch: float = 0.03
    """One standard deviation of an object's depth against the camera's path, the same in all frames, relative."""
    edge_px: float = 2.0
    """One standard deviation of where a box's edge is."""

    def __post_init__(self) -> None:
        for name, kinds in (("barycentre", get_args(Barycentre)), ("region", get_args(Region))):
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} is one of {', '.join(kinds)}, got {getattr(self, name)!r}")
        if not 0 <= self.box_inset < 0.5 or min(self.depth_noise, self.edge_px) <= 0:
            raise ValueError("box_inset lies in 0..0.5; depth_noise and edge_px are positive")


@dataclass(frozen=True, eq=False, slots=True)
class Ground:
    """The ground below a moving camera, in each frame."""

    down: Array  # (N, 3) unit vectors at right angles to it, in the camera's frame
    height_m: float  # of the camera above it
    slope_rad: float = SLOPE_RAD
    """One standard deviation of its slope against `down`."""
    height_sigma: float = 0.0
    """The same of the height, relative, where class sizes told it."""

    def __post_init__(self) -> None:
        down = read_only(self.down, np.float64, (None, 3), "down")
        is_certain = self.slope_rad <= 0 or self.height_sigma < 0
        if self.height_m <= 0 or is_certain or not np.allclose(np.linalg.norm(down, axis=1), 1, atol=1e-6):
            raise ValueError("a ground lies below the camera, its slope is not certain, and down are unit vectors")
        set_fields(self, down=down)


def level_ground(n: int, height_m: float) -> Ground:
    """The ground below a camera that looks along it, in n frames."""
    return Ground(np.tile([0.0, 1.0, 0.0], (n, 1)), height_m)


@cache
def class_sizes(region: Region) -> Mapping[str, ClassSize]:
    """The sizes of a region, and those of the others for classes that it lacks."""
    entries = yaml.safe_load(_SIZES.read_text(encoding="utf-8"))
    merged = {}
    for name in sorted(entries, key=lambda name: name == region):  # its own last, so that they stay
        merged.update(entries[name])
    return {category: from_mapping(ClassSize, entry, f"{_SIZES}: {category}") for category, entry in merged.items()}


def lift(
    track: ObjectTrack, geometry: Geometry, settings: Lifting, ground: Ground | None = None
) -> LiftedTrack | Rejected:
    """Where an object was in each frame that tells it: by depth where the geometry has any, else by ground and size.

    What the image's border cuts off is left out; and without depth what is hidden in part, where its box ends at what
    hides it. Raises ValueError where the geometry is not metric.
    """
    if geometry.scale != "metric":
        raise ValueError("lifting needs a metric geometry; scale it first")
    size = class_sizes(settings.region).get(track.category)
    if size is None and (settings.to_centre or geometry.depth is None):
        return Rejected("no size is known of its class", f"track {track.track_id}: {track.category}")
    frames, places_m, covariances_m2, stretches = [], [], [], []
    if geometry.depth is None:
        assert size is not None
        places = _from_boxes(track, geometry, size, settings, ground)
    else:
        told = ((frame, _from_depth(track, geometry, size, settings, frame)) for frame in _uncut(track).tolist())
        places = {frame: place for frame, place in told if place is not None}
    for frame, place in places.items():
        frames.append(frame)
        pose = geometry.world_SE3_camera[frame]
        places_m.append(transform(pose, place.xyz_m[None])[0])
        along = place.xyz_m / np.linalg.norm(place.xyz_m)
        along = np.outer(along, along)
        covariance_m2 = place.along_m**2 * along + place.across_m**2 * (np.eye(3) - along)
        covariances_m2.append(pose[:3, :3] @ covariance_m2 @ pose[:3, :3].T)
        stretches.append(place.stretch)
    if not frames:
        return Rejected("no frame tells where it is", f"track {track.track_id}")
    return LiftedTrack(
        track_id=track.track_id,
        category=track.category,
        times_s=geometry.times_s[frames],
        xyz_m=np.array(places_m),
        covariance_m2=np.array(covariances_m2),
        stretch=float(np.median(stretches)),
    )


class _Place(NamedTuple):
    """A place in the camera's frame, and one standard deviation along its ray and across it, in metres: what differs
    from frame to frame. What is the same in all frames is `stretch`, relative to the distance.
    """

    xyz_m: Array
    along_m: float
    across_m: float
    stretch: float


def _from_depth(
    track: ObjectTrack, geometry: Geometry, size: ClassSize | None, settings: Lifting, frame: int
) -> _Place | None:
    assert geometry.depth is not None and geometry.crop is not None
    x0, y0, x1, y1 = box = track.boxes_px[frame]
    h, w = geometry.depth.shape[1:]
    # The part of the depth map that the box covers, and a rim for the erosion and for what hides it.
    corners = geometry.crop.to_depth(box.reshape(2, 2))
    reach = np.array([[-BESIDE_PX, -BESIDE_PX], [BESIDE_PX + 1, BESIDE_PX + 1]])
    (left, top), (right, bottom) = np.clip(np.round(corners).astype(int) + reach, 0, [w, h])
    if left >= right or top >= bottom:
        return None
    pixels = np.stack(np.broadcast_arrays(np.arange(left, right), np.arange(top, bottom)[:, None]), axis=-1)
    in_image = geometry.crop.to_image(pixels)
    counts = None if track.masks is None else track.masks[frame]
    if counts is None:
        inset_px = settings.box_inset * np.array([x1 - x0, y1 - y0])
        inside = ((in_image >= box[:2] + inset_px) & (in_image <= box[2:] - inset_px)).all(axis=-1)
    else:
        mask = decode_mask(counts, geometry.image_size_px)
        column, row = np.moveaxis(np.round(in_image).astype(int), -1, 0)
        inside = (column >= 0) & (row >= 0) & (column < mask.shape[1]) & (row < mask.shape[0])
        inside[inside] = mask[row[inside], column[inside]]
    whole = inside
    if counts is not None and settings.erode_px:
        core = binary_erosion(inside, iterations=settings.erode_px)
        if core.sum() >= max(settings.least_pixels, LEAST_CORE * inside.sum()):
            inside = core
    depth_m = np.asarray(geometry.depth[frame, top:bottom, left:right], dtype=np.float64)
    inside = inside & (depth_m > 0)
    if geometry.confidence is not None:
        inside &= geometry.confidence[frame, top:bottom, left:right] >= settings.least_confidence
    if not inside.any():
        return None
    if settings.outlier_sigmas and size is not None:
        inside &= _within(depth_m, inside, float(np.hypot(size.length_m, size.width_m)))
    if settings.outlier_sigmas:
        off_m = np.abs(depth_m - np.median(depth_m[inside]))
        inside &= off_m <= max(settings.outlier_sigmas * GAUSSIAN_MAD * np.median(off_m[inside]), 1e-6)
    if inside.sum() < settings.least_pixels:
        return None
    hidden = 0.0 if counts is None else _hidden(depth_m, whole, float(np.quantile(depth_m[inside], 0.05)))
    if hidden > settings.most_hidden:
        return None
    K_px = geometry.K_px[frame]
    points_m = rays(K_px, in_image[inside]) * depth_m[inside, None]
    middle_m = np.median(points_m, axis=0) if settings.barycentre == "median" else points_m.mean(axis=0)
    along_m = settings.depth_noise * np.linalg.norm(middle_m)
    across_m = settings.edge_px / K_px[0, 0] * middle_m[2]
    if settings.to_centre and size is not None:
        middle_m = _pushed(middle_m, depth_of_side_m(size, (x1 - x0) / K_px[0, 0] * middle_m[2]))
        along_m = np.hypot(along_m, _stance_m(size))
    if size is not None:
        unseen_m = hidden * max(size.length_m, size.width_m) / 2
        along_m, across_m = np.hypot(along_m, unseen_m), np.hypot(across_m, unseen_m)
    return _Place(middle_m, float(along_m), float(across_m), settings.depth_stretch)


def _hidden(depth_m: Array, mask: Array, near_m: float) -> float:
    """The share of a mask's rows at whose left, or right, end there is something that is nearer than `near_m`."""
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    shares = []
    for column in (first - BESIDE_PX, last + BESIDE_PX):
        beside_m = depth_m[rows, np.clip(column, 0, mask.shape[1] - 1)]
        shares.append(((beside_m > 0) & (beside_m < (1 - NEARER) * near_m)).mean())
    return float(max(shares))


def _within(depth_m: Array, inside: Array, length_m: float) -> Array:
    """Which depths (h, w) lie in the stretch so long that holds most of those inside; of several, in the nearest."""
    sorted_m = np.sort(depth_m[inside])
    count = np.searchsorted(sorted_m, sorted_m + length_m, side="right") - np.arange(len(sorted_m))
    near_m = sorted_m[np.argmax(count)]
    return np.asarray((depth_m >= near_m) & (depth_m <= near_m + length_m))


def _from_boxes(
    track: ObjectTrack, geometry: Geometry, size: ClassSize, settings: Lifting, ground: Ground | None
) -> dict[int, _Place]:
    """Its place by frame. Both distances are those of the nearest edge: it stands lowest, and is as tall as the object.

    An object stays as tall as it is: by how much its class is wrong about that is one number for all frames, which the
    ground tells too. So the ground says how far away it is, and never that it moves: where roads bend, all that moves
    would seem to change its speed.
    """
    frames = whole_frames(track)
    boxes_px, K_px, foot_px = track.boxes_px[frames], geometry.K_px[frames], feet_px(track, frames, settings)
    by_class_m = distance_by_size(boxes_px, K_px, size)
    noise = np.hypot(settings.edge_px, foot_px) / (boxes_px[:, 3] - boxes_px[:, 1])
    taller, stretch = 0.0, size.spread  # than its class, in logarithms; and what remains unknown of it
    if ground is not None:
        below = np.einsum("ki,ki->k", foot_rays(boxes_px, K_px), ground.down[frames])
        uncertain = np.hypot(foot_px / K_px[:, 1, 1], ground.slope_rad)
        # By the other's distance: by its own, it would be trusted the more the nearer it errs.
        sigma = np.hypot(uncertain * by_class_m / ground.height_m, noise)[below > uncertain]
        if len(sigma):
            seen = np.log(ground.height_m / (below * by_class_m)[below > uncertain])
            of_ground = np.average(sigma, weights=1 / sigma**2)  # slopes are alike from frame to frame
            share = size.spread**2 / (size.spread**2 + of_ground**2)
            taller = share * np.average(seen, weights=1 / sigma**2)
            # Where sizes told the ground's height, both are wrong in the same direction.
            stretch = size.spread * np.sqrt(1 - share) + ground.height_sigma * share
    places = {}
    for k, frame in enumerate(frames.tolist()):
        x0, y0, x1, y1 = boxes_px[k]
        depth_m = float(by_class_m[k] * np.exp(taller))
        place_m = rays(K_px[k], np.array([(x0 + x1) / 2, (y0 + y1) / 2])) * depth_m
        width_m = (x1 - x0) / K_px[k, 0, 0] * depth_m
        if settings.to_centre:
            place_m = _pushed(place_m, depth_of_corner_m(size, width_m))
        along_m = np.hypot(noise[k] * np.linalg.norm(place_m), _turn_m(size, width_m))
        across_m = foot_px[k] / K_px[k, 0, 0] * depth_m
        places[frame] = _Place(place_m, float(along_m), float(across_m), float(stretch))
    return places


def depth_of_side_m(size: ClassSize, width_m: float) -> float:
    """From the barycentre of what is seen of a box to its middle, along the ray; `width_m`: how wide it looks.

    At an angle t to the ray, width cos t of its end is seen, length / 2 cos t before the middle, and length sin t of
    its side, width / 2 sin t before it: on average length width / 2 over what is seen.
    """
    long_m, wide_m = max(size.length_m, size.width_m), min(size.length_m, size.width_m)
    return long_m * wide_m / (2 * float(np.clip(width_m, wide_m, np.hypot(long_m, wide_m))))


def depth_of_corner_m(size: ClassSize, width_m: float) -> float:
    """From a box's nearest edge to its middle, along the ray; `width_m`: how wide it looks.

    At an angle t to the ray it looks length sin t + width cos t wide, and its nearest edge is (length cos t + width
    sin t) / 2 before the middle. Of the two angles that look wider than the length the smaller is taken.
    """
    long_m, wide_m = max(size.length_m, size.width_m), min(size.length_m, size.width_m)
    across_m = float(np.hypot(long_m, wide_m))
    diagonal_rad = np.arctan2(long_m, wide_m)
    angle_rad = diagonal_rad - np.arccos(np.clip(width_m, wide_m, across_m) / across_m)
    return float(long_m * np.cos(angle_rad) + wide_m * np.sin(angle_rad)) / 2


def _turn_m(size: ClassSize, width_m: float) -> float:
    """What is not known of how far the nearest edge is before the middle, as a width off by a tenth tells another turn:
    little where it shows its end, much where it shows its side.
    """
    wider_m, narrower_m = (depth_of_corner_m(size, share * width_m) for share in (1.1, 0.9))
    return max(abs(wider_m - narrower_m) / 2, LEAST_TURN * size.length_m)


def _stance_m(size: ClassSize) -> float:
    """What is not known of how far the seen side is from the middle: an eighth of what it depends on."""
    return abs(size.length_m - size.width_m) / 8


def _uncut(track: ObjectTrack) -> Array:
    """The frames in which the image holds all of an object."""
    return np.flatnonzero(~np.isnan(track.boxes_px[:, 0]) & ~track.truncated)


def whole_frames(track: ObjectTrack) -> Array:
    """The frames in which a box holds all of an object."""
    frames = _uncut(track)
    return frames[~track.occluded[frames]] if track.hidden_foot is None else frames


def feet_px(track: ObjectTrack, frames: Array, settings: Lifting) -> Array:
    """One standard deviation of where boxes end below, in frames (n,): what hides an object stands before its foot."""
    boxes_px = track.boxes_px[frames]
    guessed_px = (track.hidden_foot or 0) * (boxes_px[:, 3] - boxes_px[:, 1]) * track.occluded[frames]
    return np.hypot(settings.edge_px, guessed_px)


def distance_by_size(boxes_px: Array, K_px: Array, size: ClassSize) -> Array:
    """Depth (...) at which an object of a class is as tall as boxes (..., 4)."""
    return np.asarray(K_px[..., 1, 1] * size.height_m / (boxes_px[..., 3] - boxes_px[..., 1]))


def foot_rays(boxes_px: Array, K_px: Array) -> Array:
    """Points (..., 3) at depth 1 behind the middle of the lower edge of boxes (..., 4)."""
    middle_px = (boxes_px[..., [0]] + boxes_px[..., [2]]) / 2
    return rays(K_px, np.concatenate([middle_px, boxes_px[..., [3]]], axis=-1))


def _pushed(xyz_m: Array, by_m: float) -> Array:
    return np.asarray(xyz_m * (1 + by_m / np.linalg.norm(xyz_m)))

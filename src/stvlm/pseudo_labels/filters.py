"""Which pseudo-labels are kept, which of them count as moving, and how good each is.

The paper filters by confidence and by box size. Here every rule has a reason, which is counted, and what is kept has a
standard deviation and a grade after it, so that whoever trains on it can weigh it.

    clear_frames      before lifting     frames that show too little of an object
    longest_part      before smoothing   places too far away; the longest stretch without a gap
    judge             after smoothing    impossible motion, stationary or moving, sigma, grade
    static_residual   of a whole video   by how much static things seem to move: large where scale or poses are wrong
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import median_filter

from stvlm import kinematics
from stvlm.geometry import inverse_se3, transform
from stvlm.kinematics import Measurement
from stvlm.pseudo_labels.artefacts import Geometry, LiftedTrack, ObjectTrack, ObjectTracks
from stvlm.pseudo_labels.objects.classes import check_classes
from stvlm.pseudo_labels.points import still_pixels, world_points
from stvlm.pseudo_labels.smoothing import across_m2
from stvlm.records import Array, Noise, Rejected

Grade = Literal["A", "B", "C"]
FRAMES_AROUND = 11
"""A second of them, at the rate at which most videos are looked at."""
GRADE_FLOOR_M = 2.0
"""Errors are told relative to the way, but to no shorter one than is ever asked about."""


@dataclass(frozen=True)
class Caps:
    """What a class can do."""

    speed_mps: float
    acceleration_mps2: float


VEHICLE, LIVING = Caps(70.0, 10.0), Caps(12.0, 6.0)


@dataclass(frozen=True)
class Limits:
    """Which pseudo-labels are kept.

    The defaults of `most_sigma` and `most_range_m` were chosen on KITTI's tracking benchmark and on simulated clips, of
    those that `validation` sweeps: whoever reports figures on these has seen them.
    """

    least_score: float = 0.35
    least_height_px: float = 24.0
    least_area: float = 0.001
    """Share of the image that a box covers."""
    fill: tuple[float, float] = (0.2, 0.95)
    """Share of its box that a mask fills."""
    most_range_m: float = 60.0
    least_s: float = 3.0
    least_coverage: float = 0.6
    """Share of the frames in which an object has a place."""
    most_gap_s: float = kinematics.MAX_GAP_S
    most_outliers: float = 0.2
    """Share of its places that the smoother left out."""
    caps: Mapping[str, Caps] = field(
        default_factory=lambda: {"person": LIVING, "animal": Caps(25.0, 10.0), "bicycle": Caps(25.0, 6.0)}
    )
    """By class; a class that is not here has a vehicle's."""
    significant_sigmas: float = 3.0
    significant_m: float = 1.0
    """What ends nearer to where it began than either of them is stationary."""
    grades: tuple[float, float] = (0.1, 0.2)
    """Relative sigma up to which a label is an A, and a B."""
    most_sigma: float = 0.3
    """The tightest that keeps 60 % of what moves on both, whichever region class sizes are of; nearer ranges cost more
    labels than they make right."""
    most_static_kmh: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.grades[0] <= self.grades[1] <= self.most_sigma:
            raise ValueError("grades and most_sigma increase")
        if not 0 <= self.fill[0] < self.fill[1] <= 1:
            raise ValueError("fill is a range of shares")
        if not 0 < self.most_gap_s <= kinematics.MAX_GAP_S:
            raise ValueError(f"most_gap_s is above 0 and at most {kinematics.MAX_GAP_S}, over which nothing is joined")
        check_classes("caps", self.caps)


OF_FRAMES = ("least_score", "least_height_px", "least_area", "fill")
"""The limits that `clear_frames` keeps."""
OF_PLACES = ("most_range_m", "least_s", "least_coverage", "most_gap_s")
"""The limits that `longest_part` keeps."""


class Label(NamedTuple):
    """A track that is kept."""

    track: LiftedTrack
    moving: bool  # a stationary one may be compared with others, but has no direction
    distance_m: Measurement
    speed_kmh: Measurement
    noise: Noise  # what makes up the sigmas, for any part of the way
    grade: Grade


def clear_frames(
    track: ObjectTrack, image_size_px: tuple[int, int], limits: Limits
) -> tuple[ObjectTrack | Rejected, Counter[str]]:
    """A track without the frames that show too little of it, and how many those are, by reason.

    How large an object looks is told by the median of the frames around: by its own box alone, only those frames of a
    far object would stay whose box is too large, and all of them tell that it is nearer than it is.
    """
    width_px, height_px = (track.boxes_px[:, 2:] - track.boxes_px[:, :2]).T
    area_px2 = width_px * height_px
    seen = ~np.isnan(area_px2)
    fill = np.full(len(seen), np.mean(limits.fill))
    for frame, counts in enumerate(track.masks or ()):
        if counts is not None and seen[frame]:
            fill[frame] = counts[1::2].sum() / area_px2[frame]
    rules = {
        "the detector is not sure": track.score >= limits.least_score,
        "the box is low": _around(height_px) >= limits.least_height_px,
        "the box is small": _around(area_px2) >= limits.least_area * image_size_px[0] * image_size_px[1],
        "the mask fills little of its box": fill >= limits.fill[0],
        "the mask fills all of its box": fill <= limits.fill[1],
    }
    why: Counter[str] = Counter()
    clear = seen.copy()
    for reason, kept in rules.items():
        why[reason] = int((clear & ~kept).sum())
        clear &= kept
    why = +why
    if not clear.any():
        return Rejected("no frame shows it clearly", f"track {track.track_id}"), why
    masks = None
    if track.masks is not None:
        masks = tuple(mask if ok else None for mask, ok in zip(track.masks, clear, strict=True))
    boxes_px, score = np.where(clear[:, None], track.boxes_px, np.nan), np.where(clear, track.score, 0)
    return replace(track, boxes_px=boxes_px, score=score, masks=masks), why


def _around(sizes: Array) -> Array:
    """The median of the sizes (N,), NaN where it is unseen, around each."""
    out = sizes.copy()
    seen = ~np.isnan(sizes)
    if seen.any():
        out[seen] = median_filter(sizes[seen], FRAMES_AROUND, mode="reflect")
    return out


def longest_part(track: LiftedTrack, geometry: Geometry, limits: Limits) -> LiftedTrack | Rejected:
    """The longest stretch of a track within range and without a gap."""
    what = f"track {track.track_id}"
    poses = geometry.world_SE3_camera[np.searchsorted(geometry.times_s, track.times_s)]
    near = np.flatnonzero(np.linalg.norm(track.xyz_m - poses[:, :3, 3], axis=1) <= limits.most_range_m)
    if not len(near):
        return Rejected("too far away", what)
    parts = np.split(near, np.flatnonzero(np.diff(track.times_s[near]) > limits.most_gap_s) + 1)
    part = max(parts, key=lambda part: track.times_s[part[-1]] - track.times_s[part[0]])
    start_s, end_s = track.times_s[part[[0, -1]]]
    if end_s - start_s < limits.least_s - kinematics.ROUNDING:
        return Rejected("too short", what)
    frames = ((geometry.times_s >= start_s) & (geometry.times_s <= end_s)).sum()
    if len(part) < limits.least_coverage * frames:
        return Rejected("too few frames tell where it is", what)
    return replace(track, times_s=track.times_s[part], xyz_m=track.xyz_m[part], covariance_m2=track.covariance_m2[part])


def judge(track: LiftedTrack, geometry: Geometry, scale_sigma: float, limits: Limits) -> Label | Rejected:
    """What a smooth track without gaps says of its motion, and how well.

    `scale_sigma` is one standard deviation of the scale of the geometry's world, relative.

    The sigma of its way has three parts. Errors that change from frame to frame are worth, on a way that turns little,
    those of its ends along it. A wrong scale of the whole world stretches the way. And what is wrong with an object's
    distance alone, its size for example, stretches its motion relative to the camera: of a car that stays before a
    moving camera it changes nothing, of a parked one that is approached it makes a moving one.

    What turns its way is across it: of the net displacement d = (p1 - c1) - (p0 - c0) + (c1 - c0), from place p0 seen
    by the camera at c0 to p1 seen from c1, the errors of both ends, and the object's stretch times the first two terms,
    which lies along d where the camera stands still. The scale of the world stretches d, and turns nothing.
    """
    what = f"track {track.track_id}"
    if track.outliers > limits.most_outliers:
        return Rejected("its places contradict each other", what)
    grid_m = on_grid(track)
    if len(grid_m) < 2:
        return Rejected("too short", what)
    velocity_mps = np.diff(grid_m, axis=0) / kinematics.STEP_S
    caps = limits.caps.get(track.category, VEHICLE)
    if np.linalg.norm(velocity_mps, axis=1).max() > caps.speed_mps:
        return Rejected("faster than its class can be", what)
    change_mps = np.linalg.norm(np.diff(velocity_mps, axis=0), axis=1)
    if (change_mps > caps.acceleration_mps2 * kinematics.STEP_S).any():
        return Rejected("changes its speed faster than its class can", what)

    way_m = kinematics.traveled_distance(grid_m).value
    net_m = grid_m[-1] - grid_m[0]
    ends = track.covariance_m2[[0, -1]]
    frames = np.searchsorted(geometry.times_s, track.times_s[[0, -1]])
    away_m = track.xyz_m[[0, -1]] - geometry.world_SE3_camera[frames, :3, 3]
    seems_m = track.stretch * (away_m[1] - away_m[0])
    stretch_m = np.hypot(scale_sigma * way_m, np.linalg.norm(seems_m))
    ends_m = _sigma_along(ends, velocity_mps[[0, -1]])
    sigma_m = float(np.hypot(ends_m, stretch_m))
    net_sigma_m = np.hypot(_sigma_along(ends, np.stack([net_m, net_m])), stretch_m)
    moving = bool(np.linalg.norm(net_m) > max(limits.significant_sigmas * net_sigma_m, limits.significant_m))
    relative = sigma_m / max(way_m, GRADE_FLOOR_M)
    if relative > limits.most_sigma:
        return Rejected("too uncertain", what)
    grade: Grade = "A" if relative <= limits.grades[0] else "B" if relative <= limits.grades[1] else "C"
    distance_m = Measurement(way_m, sigma_m, 0.0)
    to_kmh = kinematics.MPS_TO_KMH / ((len(grid_m) - 1) * kinematics.STEP_S)
    centre_m = ends_m / np.sqrt(2)
    net_m2 = ends.sum(axis=0) + np.outer(seems_m, seems_m)
    side_m = float(np.sqrt(across_m2(net_m[None], net_m2[None])[0] / 2))
    step_m = centre_m if track.step_m is None else track.step_m
    noise = Noise(centre_m, step_m, float(stretch_m / max(way_m, 1e-9)), max(side_m, step_m))
    return Label(track, moving, distance_m, Measurement(*(part * to_kmh for part in distance_m)), noise, grade)


def on_grid(track: LiftedTrack) -> Array:
    """Places (n, 3) of a track every half second from its start, in metres."""
    times_ns = np.round((track.times_s - track.times_s[0]) * 1e9).astype(np.int64)
    steps = int((times_ns[-1] / 1e9 + kinematics.ROUNDING) // kinematics.STEP_S)
    at_ns = np.round(np.arange(steps + 1) * kinematics.STEP_S * 1e9).astype(np.int64)
    return kinematics.interpolate(times_ns, track.xyz_m, at_ns)


def _sigma_along(covariances_m2: Array, along: Array) -> float:
    """One standard deviation of a way whose ends have covariances (2, 3, 3) and directions (2, 3); 0 is any."""
    lengths = np.linalg.norm(along, axis=1, keepdims=True)
    units = np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0)
    variances = np.einsum("ki,kij,kj->k", units, covariances_m2, units)
    any_m2 = np.linalg.eigvalsh(covariances_m2)[:, -1]
    return float(np.sqrt(np.where(lengths[:, 0] > 0, variances, any_m2).sum()))


def static_residual(
    geometry: Geometry, limits: Limits, objects: ObjectTracks | None = None, most_m: float = 20.0
) -> float | Rejected:
    """How fast, in km/h, what does not move seems to, in the median; Rejected where that is too fast.

    Each point that a frame shows up to 20 m away is looked for in the frame half a second later. By how much the depth
    there differs from its own, over the time between, is the speed that a thing would be given in its place. Networks'
    depth flickers, by a factor for a whole frame, which smoothing evens out: of that factor only its mean over the
    clip counts, its drift. Needs depth; what `moving` marks, and what lies in an object's box, is left out. Without a
    single pair it is Rejected.
    """
    if geometry.depth is None or geometry.crop is None:
        raise ValueError("the geometry has no depth")
    seen_twice = []
    h, w = geometry.depth.shape[1:]
    for frame, time_s in enumerate(geometry.times_s):
        later = int(np.searchsorted(geometry.times_s, time_s + kinematics.STEP_S - kinematics.ROUNDING))
        if later == len(geometry.times_s):
            break
        still = still_pixels(geometry, frame, objects) & (np.asarray(geometry.depth[frame]) <= most_m)
        points_m = transform(inverse_se3(geometry.world_SE3_camera[later]), world_points(geometry, frame)[still])
        points_m = points_m[points_m[:, 2] > 0]
        pixels = points_m @ geometry.crop.depth_K(geometry.K_px[later]).T
        column, row = np.round(pixels[:, :2] / pixels[:, 2:]).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < w) & (row < h)
        column, row, expected_m = column[inside], row[inside], points_m[inside, 2]
        found_m = geometry.depth[later][row, column]
        known = still_pixels(geometry, later, objects)[row, column]
        if known.any():
            seen_twice.append((geometry.times_s[later] - time_s, expected_m[known], found_m[known]))
    if not seen_twice:
        return Rejected("nothing static is seen twice")
    logs = [np.median(np.log(found_m / expected_m)) for _, expected_m, found_m in seen_twice]
    steady = np.exp(np.mean(logs) - logs)
    speeds_mps = [
        np.median(np.abs(factor * found_m - expected_m)) / seconds
        for factor, (seconds, expected_m, found_m) in zip(steady, seen_twice, strict=True)
    ]
    speed_kmh = float(np.median(speeds_mps)) * kinematics.MPS_TO_KMH
    if speed_kmh > limits.most_static_kmh:
        return Rejected("static things seem to move", f"{speed_kmh:.1f} km/h")
    return speed_kmh

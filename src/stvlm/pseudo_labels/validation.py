"""How right pseudo-labels are: beside the true tracks of the same frames.

    match      one excerpt      which tracked object is which true track, by where both are in the image
    compare    one excerpt      each true track that could have been labelled, and what was made of it: pairs
    validate   all pairs        shares, errors and calibration, each with its interval; by group; a sweep of limits

A pseudo-label is held to the truth over its own seconds, on the grid of 0.5 s; frames of reference need not agree, as
nothing that is compared depends on them. Intervals are those of the scores: Wilson's, with an excerpt as the unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from stvlm import kinematics
from stvlm.geometry import box_corners, inverse_se3, project, project_boxes, transform
from stvlm.pseudo_labels.artefacts import ObjectTracks
from stvlm.pseudo_labels.filters import GRADE_FLOOR_M, Label, on_grid
from stvlm.records import Array, Rejected, Scene, Track
from stvlm.scoring.intervals import mean_of, positive_bounds, share_bounds

TOLERANCE = 0.25
"""Relative error within which a distance or speed is right, as in the metric."""
RATIO = 1.25
"""By so much the faster of two is faster where they are compared."""
CONFIDENCE = 0.95
LEAST_OVERLAP = 0.2
"""Mean intersection over union of the boxes of an object and a true track that are the same."""
UNMATCHED = "no object was found there"
SIGMA_LIMITS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
RANGE_LIMITS_M = (20.0, 30.0, 40.0, 60.0)
EDGES: dict[str, tuple[float, ...]] = {
    "range_m": (0, 10, 20, 30, 40, 60),
    "speed_kmh": (0, 5, 15, 30, 60),
    "ego_speed_kmh": (0, 5, 15, 30, 60),
}
SIGMA_EDGES = (0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Of the relative sigma."""


@dataclass(frozen=True)
class Asking:
    """Which true tracks could have been labelled: the whole box is in the image, and large enough, for long enough."""

    least_height_px: float = 30.0
    """Of the box in three dimensions: it looks larger than what it holds."""
    least_s: float = 3.0
    least_move_m: float = 5.0
    """What moves so far within that time counts as moving."""
    most_still_m: float = 0.5
    """What moves no farther is parked; what lies between counts as neither."""


class Found(NamedTuple):
    """What a pseudo-label says, beside what is true over the same seconds."""

    seconds: float
    moving: bool
    grade: str
    true_xyz_m: Array  # (n, 3) on the grid, in the true world
    found_xyz_m: Array  # (n, 3) in the reconstruction's
    true_m: float
    found_m: float
    sigma_m: float
    true_hour: int | None  # None where it has none
    found_hour: int | None

    @property
    def relative(self) -> float:
        """Error of the distance, and of the speed, over what is true."""
        return self.found_m / self.true_m - 1

    @property
    def relative_sigma(self) -> float:
        """One standard deviation of the distance, over the distance, as the label tells them."""
        return self.sigma_m / max(self.found_m, GRADE_FLOOR_M)

    @property
    def displacement_error_m(self) -> float:
        """Error of how far apart start and end are."""
        found_m, true_m = (np.linalg.norm(way_m[-1] - way_m[0]) for way_m in (self.found_xyz_m, self.true_xyz_m))
        return float(found_m - true_m)

    @property
    def error_kmh(self) -> float:
        """Error of the speed."""
        return (self.found_m - self.true_m) / self.seconds * kinematics.MPS_TO_KMH


class Pair(NamedTuple):
    """A true track that could have been labelled, and what was made of it."""

    excerpt: str
    true_id: str
    category: str
    moves: bool | None  # None for neither
    range_m: float  # in the median
    speed_kmh: float
    ego_speed_kmh: float
    found: Found | Rejected


class Report(NamedTuple):
    """What was measured; `scores` is plain data."""

    scores: dict[str, Any]
    pairs: Sequence[Pair]


def match(scene: Scene, objects: ObjectTracks) -> dict[str, str]:
    """The true track's id by the object's: the assignment whose boxes overlap most, over the frames of both.

    True tracks without a size are matched by how often their centre lies in the box.
    """
    frames = _frames(scene, objects)
    overlaps = np.zeros((len(objects.tracks), len(scene.tracks)))
    for column, track in enumerate(scene.tracks):
        true_px = _true_boxes_px(scene, track)[frames]
        for row, tracked in enumerate(objects.tracks):
            both = ~np.isnan(true_px[:, 0]) & ~np.isnan(tracked.boxes_px[:, 0])
            if both.any():
                overlaps[row, column] = _overlap(true_px[both], tracked.boxes_px[both]).mean()
    rows, columns = linear_sum_assignment(-overlaps)
    return {
        objects.tracks[row].track_id: scene.tracks[column].track_id
        for row, column in zip(rows, columns, strict=True)
        if overlaps[row, column] >= LEAST_OVERLAP
    }


def compare(
    excerpt: str, scene: Scene, objects: ObjectTracks, labels: Mapping[str, Label | Rejected], asking: Asking
) -> list[Pair]:
    """A pair for each true track of a scene that could have been labelled.

    Args:
        excerpt: what the objects' times begin at is the scene's first frame.
        scene: the truth, with true poses.
        objects: as tracked in the image.
        labels: by the object's id.
        asking: which true tracks count.
    """
    whose = {true: found for found, true in match(scene, objects).items()}
    pairs = []
    for track in scene.tracks:
        window = _window(scene, track, asking)
        if window is None:
            continue
        true_m = _at(track, window)
        away_m = true_m - _at_poses(scene, window)
        way_m = kinematics.traveled_distance(true_m).value
        seconds = (len(window) - 1) * kinematics.STEP_S
        ego_m = kinematics.traveled_distance(_at_poses(scene, window)).value
        label = labels.get(whose.get(track.track_id, ""), Rejected(UNMATCHED))
        pairs.append(
            Pair(
                excerpt=excerpt,
                true_id=track.track_id,
                category=track.category,
                moves=True if way_m >= asking.least_move_m else False if way_m <= asking.most_still_m else None,
                range_m=float(np.median(np.linalg.norm(away_m, axis=1))),
                speed_kmh=way_m / seconds * kinematics.MPS_TO_KMH,
                ego_speed_kmh=ego_m / seconds * kinematics.MPS_TO_KMH,
                found=label if isinstance(label, Rejected) else _held(scene, track, label),
            )
        )
    return pairs


def validate(pairs: Sequence[Pair]) -> Report:
    """All figures of some pairs. Accuracies are of what is told as moving and is long enough to be asked about."""
    movers = [pair for pair in pairs if pair.moves]
    parked = [pair for pair in pairs if pair.moves is False]
    kept = [pair for pair in movers if _kept(pair)]
    scores: dict[str, Any] = {
        "excerpts": len({pair.excerpt for pair in pairs}),
        "moving": len(movers),
        "parked": len(parked),
        "kept": _share(movers, _kept),
        "moving_called_parked": _share(movers, lambda pair: isinstance(pair.found, Found) and not pair.found.moving),
        "parked_called_moving": _share(parked, _kept),
        "left_out": dict(sorted(Counter(p.found.reason for p in movers if isinstance(p.found, Rejected)).items())),
        **_errors(kept),
        **_directions(kept),
        "comparison": _comparison(kept),
        "calibration": _calibration(kept),
        "by": {
            "category": {name: _group([p for p in movers if p.category == name]) for name in _names(movers)},
            "grade": {
                grade: _errors([pair for pair in kept if found_of(pair).grade == grade]) | {"pairs": count}
                for grade, count in sorted(Counter(found_of(pair).grade for pair in kept).items())
            },
            "relative_sigma": {
                name: _errors(group) | {"pairs": len(group)}
                for name, group in _between(kept, lambda pair: found_of(pair).relative_sigma, SIGMA_EDGES)
            },
            **{name: _by_edges(movers, name, edges) for name, edges in EDGES.items()},
        },
        "sweep": _sweep(movers),
    }
    return Report(scores, pairs)


# --- one excerpt -----------------------------------------------------------------------------------------------------


def _frames(scene: Scene, objects: ObjectTracks) -> Array:
    """The scene's frames (N,) nearest to the objects'."""
    times_s = (scene.frame_times_ns - scene.frame_times_ns[0]) / 1e9
    right = np.clip(np.searchsorted(times_s, objects.times_s), 1, max(len(times_s) - 1, 1))
    right = np.minimum(right, len(times_s) - 1)
    left = np.maximum(right - 1, 0)
    nearer = objects.times_s - times_s[left] < times_s[right] - objects.times_s
    return np.where(nearer, left, right)


def _true_boxes_px(scene: Scene, track: Track) -> Array:
    """Boxes (F, 4) around a track in each of the scene's frames, as far as they reach; NaN where it is not.

    Where it has no size, both corners are its centre.
    """
    places_m = kinematics.interpolate(track.times_ns, track.xyz_m, scene.frame_times_ns)
    boxes_px = np.full((len(places_m), 4), np.nan)
    there = np.flatnonzero(~np.isnan(places_m[:, 0]))
    if not len(there):
        return boxes_px
    camera_SE3_world = inverse_se3(scene.world_SE3_camera[there])
    centres_m = transform(camera_SE3_world, places_m[there][:, None])[:, 0]
    if track.size_lwh_m is None or track.yaw_rad is None:
        ahead = centres_m[:, 2] > 0
        boxes_px[there[ahead]] = np.tile(project(scene.camera, centres_m[ahead]), 2)
        return boxes_px
    sizes_m = kinematics.interpolate(track.times_ns, track.size_lwh_m, scene.frame_times_ns)[there]
    yaw_rad = kinematics.interpolate_angle(track.times_ns, track.yaw_rad, scene.frame_times_ns)[there]
    corners_m = box_corners(places_m[there], sizes_m, yaw_rad)
    boxes_px[there] = project_boxes(scene.camera, transform(camera_SE3_world, corners_m))
    boxes_px[there[centres_m[:, 2] <= 0]] = np.nan
    return boxes_px


def _overlap(true_px: Array, found_px: Array) -> Array:
    """Intersection over union (K,) of boxes (K, 4); of a point and a box, whether it lies inside."""
    low, high = np.maximum(true_px[:, :2], found_px[:, :2]), np.minimum(true_px[:, 2:], found_px[:, 2:])
    if (true_px[:, :2] == true_px[:, 2:]).all():
        return np.asarray((low <= high).all(axis=1), dtype=float)
    common = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (true_px, found_px)]
    return np.asarray(common / (areas[0] + areas[1] - common))


def _window(scene: Scene, track: Track, asking: Asking) -> Array | None:
    """The grid (n,) in ns of the longest time for which a track could be labelled; None where that is too short."""
    boxes_px = _true_boxes_px(scene, track)
    most_px = [scene.camera.width_px - 0.5, scene.camera.height_px - 0.5]
    with np.errstate(invalid="ignore"):
        good = (boxes_px[:, :2] >= -0.5).all(axis=1) & (boxes_px[:, 2:] <= most_px).all(axis=1)
        good &= boxes_px[:, 3] - boxes_px[:, 1] >= (asking.least_height_px if track.size_lwh_m is not None else 0)
    times_ns = scene.frame_times_ns[good]
    if not len(times_ns):
        return None
    parts = np.split(times_ns, np.flatnonzero(np.diff(times_ns) > kinematics.MAX_GAP_S * 1e9) + 1)
    part = max(parts, key=lambda part: part[-1] - part[0])
    seconds = (part[-1] - part[0]) / 1e9
    if seconds < asking.least_s - kinematics.ROUNDING:
        return None
    steps = int((seconds + kinematics.ROUNDING) // kinematics.STEP_S)
    return np.asarray(part[0] + (np.arange(steps + 1) * kinematics.STEP_S * 1e9).astype(np.int64))


def _held(scene: Scene, track: Track, label: Label) -> Found | Rejected:
    """A label beside the truth over the label's seconds."""
    found_m = on_grid(label.track)
    start_s = float(label.track.times_s[0])
    at_s = start_s + np.arange(len(found_m)) * kinematics.STEP_S
    true_m = _at(track, scene.frame_times_ns[0] + np.round(at_s * 1e9).astype(np.int64))
    if np.isnan(true_m).any():
        return Rejected("it outlasts the truth", label.track.track_id)
    return Found(
        seconds=(len(found_m) - 1) * kinematics.STEP_S,
        moving=label.moving,
        grade=label.grade,
        true_xyz_m=true_m,
        found_xyz_m=found_m,
        true_m=kinematics.traveled_distance(true_m).value,
        found_m=label.distance_m.value,
        sigma_m=label.distance_m.sigma,
        true_hour=_hour(true_m),
        found_hour=_hour(found_m),
    )


def _hour(xyz_m: Array) -> int | None:
    direction = kinematics.movement_direction(xyz_m)
    return None if isinstance(direction, Rejected) else direction.hour


def _at(track: Track, at_ns: Array) -> Array:
    return kinematics.interpolate(track.times_ns, track.xyz_m, at_ns)


def _at_poses(scene: Scene, at_ns: Array) -> Array:
    """The camera's places (n, 3)."""
    return kinematics.interpolate(scene.frame_times_ns, scene.world_SE3_camera[:, :3, 3], at_ns)


# --- all pairs -------------------------------------------------------------------------------------------------------


def found_of(pair: Pair) -> Found:
    """The label of a pair that has one."""
    assert isinstance(pair.found, Found)
    return pair.found


def _kept(pair: Pair) -> bool:
    return isinstance(pair.found, Found) and pair.found.moving


def _right(pair: Pair) -> bool:
    return abs(found_of(pair).relative) <= TOLERANCE + kinematics.ROUNDING


def _share(pairs: Sequence[Pair], holds: Callable[[Pair], bool | None]) -> dict[str, Any] | None:
    """The share of pairs for which something holds, its bounds and their number; None for none."""
    if not pairs:
        return None
    mean = mean_of(np.array([bool(holds(pair)) for pair in pairs], float), np.ones(len(pairs), bool), _excerpts(pairs))
    low, high = share_bounds(mean, CONFIDENCE)
    return {"value": mean.value, "low": low, "high": high, "of": len(pairs)}


def _mean(pairs: Sequence[Pair], value: Callable[[Pair], float]) -> dict[str, Any] | None:
    """The mean of something positive, its bounds where it has any, and of how many."""
    if not pairs:
        return None
    mean = mean_of(np.array([value(pair) for pair in pairs]), np.ones(len(pairs), bool), _excerpts(pairs))
    low, high = positive_bounds(mean, CONFIDENCE) or (None, None)
    return {"value": mean.value, "low": low, "high": high, "of": len(pairs)}


def _excerpts(pairs: Sequence[Pair]) -> Array:
    return np.unique([pair.excerpt for pair in pairs], return_inverse=True)[1].astype(np.intp)


def _errors(kept: Sequence[Pair]) -> dict[str, Any]:
    relative = np.array([found_of(pair).relative for pair in kept])
    return {
        "within_25_percent": _share(kept, _right),
        "median_error": float(np.median(relative)) if len(relative) else None,
        "median_absolute_error": float(np.median(np.abs(relative))) if len(relative) else None,
        "distance_mae_m": _mean(kept, lambda pair: abs(found_of(pair).found_m - found_of(pair).true_m)),
        "displacement_mae_m": _mean(kept, lambda pair: abs(found_of(pair).displacement_error_m)),
        "speed_mae_kmh": _mean(kept, lambda pair: abs(found_of(pair).error_kmh)),
    }


def _directions(kept: Sequence[Pair]) -> dict[str, Any]:
    """Of those whose true path has an hour; a path that has none where the true one does is wrong."""
    asked = [pair for pair in kept if found_of(pair).true_hour is not None]

    def apart(pair: Pair) -> float:
        found = found_of(pair)
        if found.true_hour is None or found.found_hour is None:
            return np.inf
        hours = abs(found.true_hour - found.found_hour)
        return min(hours, 12 - hours)

    return {
        "hour": _share(asked, lambda pair: apart(pair) == 0),
        "within_an_hour": _share(asked, lambda pair: apart(pair) <= 1),
    }


def _comparison(kept: Sequence[Pair]) -> dict[str, Any] | None:
    """Of two in one excerpt, of which one is truly faster by a quarter: how often it is told as the faster one."""
    told: list[bool] = []
    where: list[str] = []
    for first, second in combinations(kept, 2):
        if first.excerpt != second.excerpt:
            continue
        true = [found_of(pair).true_m / found_of(pair).seconds for pair in (first, second)]
        found = [found_of(pair).found_m / found_of(pair).seconds for pair in (first, second)]
        if max(true) >= RATIO * min(true):
            told.append((true[0] > true[1]) == (found[0] > found[1]))
            where.append(first.excerpt)
    if not told:
        return None
    excerpts = np.unique(where, return_inverse=True)[1].astype(np.intp)
    mean = mean_of(np.array(told, float), np.ones(len(told), bool), excerpts)
    low, high = share_bounds(mean, CONFIDENCE)
    return {"value": mean.value, "low": low, "high": high, "of": len(told)}


def _calibration(kept: Sequence[Pair]) -> dict[str, Any]:
    """How many sigmas the errors are: of a normal distribution 68.3 % are within one, and 95.4 % within two."""
    z = np.array([(found_of(pair).found_m - found_of(pair).true_m) / found_of(pair).sigma_m for pair in kept])
    edges = np.arange(-4, 4.5, 0.5)
    return {
        "within_1_sigma": _share(kept, lambda pair: abs(_z(pair)) <= 1),
        "within_2_sigma": _share(kept, lambda pair: abs(_z(pair)) <= 2),
        "z_edges": edges.tolist(),
        "z_count": np.histogram(np.clip(z, -3.99, 3.99), edges)[0].tolist(),
    }


def _z(pair: Pair) -> float:
    found = found_of(pair)
    return (found.found_m - found.true_m) / found.sigma_m


def _group(movers: Sequence[Pair]) -> dict[str, Any]:
    kept = [pair for pair in movers if _kept(pair)]
    return {"moving": len(movers), "kept": _share(movers, _kept), **_errors(kept)}


def _names(pairs: Iterable[Pair]) -> list[str]:
    return sorted({pair.category for pair in pairs})


def _by_edges(movers: Sequence[Pair], name: str, edges: Sequence[float]) -> dict[str, Any]:
    """Groups by a field's value, each from one edge to the next; the last is open."""
    return {name_of: _group(group) for name_of, group in _between(movers, lambda pair: getattr(pair, name), edges)}


def _between(
    pairs: Sequence[Pair], value: Callable[[Pair], float], edges: Sequence[float]
) -> Iterator[tuple[str, list[Pair]]]:
    """The pairs from one edge to the next, and what they are called."""
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        group = [pair for pair in pairs if low <= value(pair) < high]
        if group:
            yield f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}-", group


def _sweep(movers: Sequence[Pair]) -> list[dict[str, Any]]:
    """What is kept, and how much of it is right, under tighter limits of relative sigma and of range.

    `best` are those that no other beats in both.
    """
    points: list[dict[str, Any]] = []
    for most_range_m in RANGE_LIMITS_M:
        for most_sigma in SIGMA_LIMITS:
            kept = [
                pair
                for pair in movers
                if _kept(pair) and pair.range_m <= most_range_m and found_of(pair).relative_sigma <= most_sigma
            ]
            if kept:
                points.append(
                    {
                        "most_range_m": most_range_m,
                        "most_sigma": most_sigma,
                        "kept": len(kept) / len(movers),
                        "within_25_percent": sum(map(_right, kept)) / len(kept),
                    }
                )
    for point in points:
        point["best"] = not any(
            other["kept"] >= point["kept"]
            and other["within_25_percent"] >= point["within_25_percent"]
            and (other["kept"], other["within_25_percent"]) != (point["kept"], point["within_25_percent"])
            for other in points
        )
    return points

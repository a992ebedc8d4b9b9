"""Pseudo-labels of an excerpt beside the true tracks of the same frames.

    match      which tracked object is which true track, by where both are in the image
    compare    each true track that could have been labelled, and what was made of it: pairs

A pseudo-label is held to the truth over its own seconds, on the grid of 0.5 s; frames of reference need not agree, as
nothing that is compared depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from stvlm import kinematics
from stvlm.geometry import box_corners, inverse_se3, project, project_boxes, transform
from stvlm.pseudo_labels.artefacts import ObjectTracks
from stvlm.pseudo_labels.filters import GRADE_FLOOR_M, Label, on_grid
from stvlm.records import Array, Rejected, Scene, Track

LEAST_OVERLAP = 0.2
"""Mean intersection over union of the boxes of an object and a true track that are the same."""
UNMATCHED = "no object was found there"


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


def found_of(pair: Pair) -> Found:
    """The label of a pair that has one."""
    assert isinstance(pair.found, Found)
    return pair.found


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

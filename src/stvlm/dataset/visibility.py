"""Where a scene's objects are in its frames, and which of them can be seen well enough to be asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stvlm.geometry import NEAR_M, box_corners, inverse_se3, project, project_boxes, transform
from stvlm.kinematics import interpolate, interpolate_angle
from stvlm.records import Array, Camera, Scene, Track

POINT_BOX_LWH_M = (0.6, 0.6, 1.7)
"""The box drawn around a track that has none: a person's."""
_SAMPLES = (np.arange(8) + 0.5) / 8
"""Where along each side of a box its cover by nearer boxes is sampled."""
_BLOCK_FRAMES = 256
"""How many frames are worked on at a time."""
_FACES = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])
"""Corners of `box_corners` around each face."""


@dataclass(frozen=True)
class VisibilityGates:
    """How well an object must be seen in a frame."""

    min_size: float = 0.02
    """Least square root of the box's area inside the image, as a share of the image's width."""
    min_inside: float = 0.5
    """Least share of the box inside the image."""
    max_occluded: float = 0.6
    """Greatest share of the box inside the image that nearer boxes may cover."""

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is a share of 1, got {share}")


class Visibility(NamedTuple):
    """A scene's T tracks in its F frames."""

    visible: Array  # (F, T) bool, all gates passed
    why_not: Array  # (F, T) int8, index into REASONS of the first gate that failed


REASONS = (
    "visible",
    "not annotated",
    "outside the image",
    "too small in the image",
    "seen by no sensor",
    "occluded by nearer objects",
)


def box_track(track: Track, at_ns: Array) -> Array:
    """Box corners (n, 8, 3) of a track in the world at the given times; NaN where it is not annotated."""
    xyz_m = interpolate(track.times_ns, track.xyz_m, at_ns)
    if track.size_lwh_m is None or track.yaw_rad is None:
        return box_corners(xyz_m, np.tile(POINT_BOX_LWH_M, (len(at_ns), 1)), np.zeros(len(at_ns)))
    size_lwh_m = interpolate(track.times_ns, track.size_lwh_m, at_ns)
    return box_corners(xyz_m, size_lwh_m, interpolate_angle(track.times_ns, track.yaw_rad, at_ns))


def boxes_in_view(scene: Scene, tracks: Sequence[Track], frames: Array) -> Array:
    """Boxes (n, T, 4) x0, y0, x1, y1 of tracks in frames (n,), cut at the image border; NaN where nothing is inside.

    Where the scene has boxes of its own those are given, with what lies between two of them at most a second apart.
    """
    if scene.boxes_px is not None:
        return _cut(_seen_boxes(scene, tracks, frames), scene.camera)
    return _cut(project_boxes(scene.camera, _corners(scene, tracks, frames)), scene.camera)


def _seen_boxes(scene: Scene, tracks: Sequence[Track], frames: Array) -> Array:
    """The scene's own boxes (n, T, 4)."""
    assert scene.boxes_px is not None
    out = np.full((len(frames), len(tracks), 4), np.nan)
    for j, track in enumerate(tracks):
        boxes_px = scene.boxes_px[track.track_id]
        known = np.flatnonzero(~np.isnan(boxes_px[:, 0]))
        if len(known):
            at_ns = scene.frame_times_ns
            out[:, j] = interpolate(at_ns[known], boxes_px[known], at_ns[frames])
    return out


def _corners(scene: Scene, tracks: Sequence[Track], frames: Array) -> Array:
    """Box corners (n, T, 8, 3) in the camera frame at the times of frames (n,); NaN where not annotated."""
    world_corners = np.stack([box_track(track, scene.frame_times_ns[frames]) for track in tracks], axis=1)
    camera_SE3_world = inverse_se3(scene.world_SE3_camera[frames])
    return transform(camera_SE3_world[:, None], world_corners)


def see(scene: Scene, gates: VisibilityGates) -> Visibility:
    """Visibility of every track in every frame, at the frames' own times.

    Works on a block of frames at a time, and on the tracks that are annotated then: an hour has too many of both.
    """
    times_ns = scene.frame_times_ns
    why_not = np.full((len(times_ns), len(scene.tracks)), REASONS.index("not annotated"), dtype=np.int8)
    for first in range(0, len(times_ns), _BLOCK_FRAMES):
        frames = np.arange(first, min(first + _BLOCK_FRAMES, len(times_ns)))
        start_ns, end_ns = times_ns[frames[[0, -1]]]
        alive = [i for i, t in enumerate(scene.tracks) if t.times_ns[0] <= end_ns and start_ns <= t.times_ns[-1]]
        if alive:
            why_not[frames[:, None], alive] = _why_not(scene, [scene.tracks[i] for i in alive], frames, gates)
    return Visibility(why_not == 0, why_not)


def _why_not(scene: Scene, tracks: Sequence[Track], frames: Array, gates: VisibilityGates) -> Array:
    """Index into REASONS for each of n frames and T tracks, (n, T)."""
    if scene.boxes_px is not None:
        return _why_not_seen(scene, tracks, frames, gates)
    corners = _corners(scene, tracks, frames)
    whole_px = project_boxes(scene.camera, corners)
    depth_m = corners[..., 2].mean(axis=-1)
    boxes_px = _cut(whole_px, scene.camera)

    with np.errstate(invalid="ignore"):
        inside = _area(boxes_px) / _area(whole_px)
        size = np.sqrt(_area(boxes_px)) / scene.camera.width_px
        annotated = ~np.isnan(corners).any(axis=(-1, -2))
        is_inside = annotated & (depth_m > NEAR_M) & (inside >= gates.min_inside)
        is_large = is_inside & (size >= gates.min_size)
        in_front = np.where((corners[..., 2] >= NEAR_M)[..., None], corners, np.nan)
    corners_px = project(scene.camera, in_front)
    is_seen = is_large & np.stack([_seen(track, scene.frame_times_ns[frames]) for track in tracks], axis=1)
    clear = is_seen.copy()  # and stays so for what is never asked about: whether that is hidden, nobody asks
    asked_about = np.array([track.category != "other" for track in tracks])
    for frame, track in np.argwhere(is_seen & asked_about):
        nearer = np.flatnonzero(_overlapping(boxes_px[frame], track) & (depth_m[frame] < depth_m[frame, track]))
        if len(nearer):
            covered = _covered(boxes_px[frame, track], boxes_px[frame, nearer], corners_px[frame, nearer])
            clear[frame, track] = covered <= gates.max_occluded
    passed = annotated.astype(int) + is_inside + is_large + is_seen + clear
    return np.where(clear, 0, passed + 1)


def _why_not_seen(scene: Scene, tracks: Sequence[Track], frames: Array, gates: VisibilityGates) -> Array:
    """As `_why_not`, by the scene's own boxes: they end at the image's border and where something hides an object, so
    that only their size tells how well it is seen.
    """
    at_ns = scene.frame_times_ns[frames]
    boxes_px = boxes_in_view(scene, tracks, frames)
    annotated = np.stack([np.isfinite(interpolate(t.times_ns, t.xyz_m, at_ns)).all(axis=1) for t in tracks], axis=1)
    is_inside = annotated & ~np.isnan(boxes_px[..., 0])
    with np.errstate(invalid="ignore"):
        is_large = is_inside & (np.sqrt(_area(boxes_px)) / scene.camera.width_px >= gates.min_size)
    clear = is_large & np.stack([_seen(track, at_ns) for track in tracks], axis=1)
    return np.where(clear, 0, annotated.astype(int) + is_inside + is_large + 1)


def _seen(track: Track, at_ns: Array) -> Array:
    """Whether the source saw the track at the annotation nearest to each time (n,)."""
    if track.seen is None:
        return np.ones(len(at_ns), dtype=bool)
    between_ns = track.times_ns[:-1] + np.diff(track.times_ns) // 2
    return np.asarray(track.seen[np.searchsorted(between_ns, at_ns)])


def _cut(boxes_px: Array, camera: Camera) -> Array:
    """Boxes (..., 4) cut at the image border; NaN where nothing is left."""
    limit = np.array([camera.width_px, camera.height_px] * 2, dtype=np.float64)
    cut = np.clip(boxes_px, 0.0, limit)
    empty = ~((cut[..., 2] > cut[..., 0]) & (cut[..., 3] > cut[..., 1]))
    return np.where(empty[..., None], np.nan, cut)


def _area(boxes_px: Array) -> Array:
    return np.asarray((boxes_px[..., 2] - boxes_px[..., 0]) * (boxes_px[..., 3] - boxes_px[..., 1]))


def _overlapping(boxes_px: Array, track: int) -> Array:
    """Whether each box (T, 4) shares pixels with that of one track; not so where it is NaN."""
    x0, y0, x1, y1 = boxes_px[track]
    return np.asarray((boxes_px[:, 0] < x1) & (boxes_px[:, 2] > x0) & (boxes_px[:, 1] < y1) & (boxes_px[:, 3] > y0))


def _covered(box_px: Array, nearer_px: Array, corners_px: Array) -> float:
    """Share of a box (4,) that nearer ones cover together, from 8 by 8 points in it.

    A nearer one covers its faces, not all of the rectangle around them, from their corners (N, 8, 2); where some of
    these lie behind the camera (NaN), it covers its rectangle (N, 4).
    """
    x, y = np.meshgrid(box_px[0] + (box_px[2] - box_px[0]) * _SAMPLES, box_px[1] + (box_px[3] - box_px[1]) * _SAMPLES)
    points = np.stack([x.ravel(), y.ravel()], axis=-1)  # (64, 2)
    faces = corners_px[:, _FACES]  # (N, 6, 4, 2)
    sides = np.roll(faces, -1, axis=2) - faces
    to_points = points[:, None, None, None] - faces  # (64, N, 6, 4, 2)
    with np.errstate(invalid="ignore"):
        turns = sides[..., 0] * to_points[..., 1] - sides[..., 1] * to_points[..., 0]
        on_face = (turns >= 0).all(axis=-1) | (turns <= 0).all(axis=-1)
        in_rectangle = ((points[:, None] >= nearer_px[:, :2]) & (points[:, None] <= nearer_px[:, 2:])).all(axis=-1)
    partly_behind = np.isnan(corners_px).any(axis=(-1, -2))
    covers = np.where(partly_behind, in_rectangle, on_face.any(axis=-1))  # (64, N)
    return float(covers.any(axis=-1).mean())

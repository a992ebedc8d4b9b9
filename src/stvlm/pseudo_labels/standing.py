"""The ground that objects stand on: how a camera is held, and how high, as their boxes tell where no depth shows it.

Each box tells twice how far away it is: by the ray r to its foot, whose angle below the horizon is the smaller the
farther it is, and by how tall objects of its class are, at depth z. Where d is the unit vector down to a plane, and h
the camera's height above it,

    r . d = h / z        a straight line: its slope is the height, and where it meets 0 is the horizon

Objects are not all as tall as their class: each has a factor of its own, the same in all frames, and each class one
that all of its objects share, as its mean is not that of every place. Near and far, one object tells the horizon
whatever its size; many tell the height, up to what their classes share (Hoiem, Efros and Hebert, 2008).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from stvlm.pseudo_labels.artefacts import Geometry, ObjectTrack, ObjectTracks
from stvlm.pseudo_labels.ground import axes, mean_up
from stvlm.pseudo_labels.lifting import (
    ClassSize,
    Lifting,
    class_sizes,
    distance_by_size,
    feet_px,
    foot_rays,
    whole_frames,
)
from stvlm.records import Array, Rejected

PITCH_RAD, ROLL_RAD = np.deg2rad(10.0), np.deg2rad(3.0)
"""One standard deviation of how cameras are held."""
UPRIGHT_RAD = 0.02
"""The same where the geometry says what is up: of the road's slope."""
HEIGHT_M, HEIGHT_SPREAD = 1.6, 0.5
"""A camera of unknown height: the median, and one standard deviation, relative."""
SIZES_SIGMA = 0.07
"""One standard deviation of a class's mean from place to place: of cars it differs by 13 % between continents, and of
people by 3."""
BUMPS_RAD = 0.0125
"""The same of the ground's slope from one object to the next."""
LEAST_HEIGHT_PX = 24.0
FRAMES_A_TRACK, MOST_TRACKS = 8, 40
"""What is wrong with a box is wrong with those after it: more frames tell little that is new."""
LEAST_BOXES, MOST_SLOPE_RAD, MOST_HEIGHT_SIGMA = 6, 0.05, 0.25
"""Boxes that tell less than this tell no ground."""


class Standing(NamedTuple):
    """A plane below the camera, and one standard deviation each of what it does not tell."""

    down: Array  # unit vector (3,) at right angles to it, in the geometry's world
    height_m: float  # of the camera above it
    slope_rad: float  # along the rays to the objects
    height_sigma: float  # relative, and the same in all frames; 0 where the height was known
    boxes: int  # so many told it


class _Boxes(NamedTuple):
    """What m boxes tell: the equation above, but for what is not known."""

    rays: Array  # (m, 3) to their feet, at depth 1, in the world's axes
    nearness: Array  # (m,) 1 / z, by the means of their classes
    noise: Array  # (m,) one standard deviation of that, relative, by the box's edges
    angle_rad: Array  # (m,) the same of the angle to the foot
    track: Array  # (m,) index
    of_class: Array  # (tracks,) index
    spread: Array  # (tracks,) one standard deviation of sizes within the class


def standing_on(
    geometry: Geometry, objects: ObjectTracks, camera_height_m: float | None, settings: Lifting
) -> Standing | Rejected:
    """The one plane, the same below the camera in all frames, that fits all boxes that hold all of an object.

    Args:
        geometry: how the camera turned; where it is upright, its z axis is believed but for the road's slope.
        objects: of the same footage.
        camera_height_m: where it is known.
        settings: whose sizes hold, and how sure edges are.
    """
    boxes = _boxes_of(geometry, objects, settings)
    if isinstance(boxes, Rejected):
        return boxes
    up = np.array([0.0, 0.0, 1.0]) if geometry.is_upright else mean_up(geometry)
    ahead, left, up = axes(up, geometry.world_SE3_camera[0])
    prior_rad = np.full(2, UPRIGHT_RAD) if geometry.is_upright else np.array([PITCH_RAD, ROLL_RAD])
    classes = len(set(boxes.of_class.tolist()))
    parts = np.cumsum([2, int(camera_height_m is None), classes])
    prior = np.concatenate(
        [prior_rad, np.full(parts[1] - 2, HEIGHT_SPREAD), np.full(classes, SIZES_SIGMA), boxes.spread]
    )

    def plane(x: Array) -> tuple[Array, float]:
        down = x[0] * ahead + x[1] * left - up
        height_m = camera_height_m or HEIGHT_M * np.exp(float(x[2]))
        return down / np.linalg.norm(down), height_m

    def missed(x: Array, about_m: float) -> Array:
        down, height_m = plane(x)
        sizes = x[parts[2] :] + x[parts[1] : parts[2]][boxes.of_class]
        sigma = np.hypot(boxes.noise * boxes.nearness, np.hypot(boxes.angle_rad, BUMPS_RAD) / about_m)
        off = boxes.rays @ down / height_m - boxes.nearness * np.exp(-sizes[boxes.track])
        return np.concatenate([off / sigma, x / prior])

    x = np.zeros(len(prior))
    for _ in range(1 + (camera_height_m is None)):  # what a slope is worth depends on the height
        fit = least_squares(missed, x, loss="cauchy", x_scale=prior, args=(plane(x)[1],))
        x = fit.x
    covariance = np.linalg.inv(fit.jac.T @ fit.jac)
    down, height_m = plane(x)
    across = boxes.rays @ np.stack([ahead, left], axis=1)
    slope_rad = float(np.sqrt(np.median(np.einsum("mi,ij,mj->m", across, covariance[:2, :2], across))))
    height_sigma = 0.0 if camera_height_m is not None else float(np.sqrt(covariance[2, 2]))
    if slope_rad > MOST_SLOPE_RAD or height_sigma > MOST_HEIGHT_SIGMA:
        return Rejected("boxes do not tell the ground", f"slope +- {slope_rad:.3f}, height +- {height_sigma:.0%}")
    return Standing(down, height_m, slope_rad, height_sigma, len(boxes.nearness))


def _boxes_of(geometry: Geometry, objects: ObjectTracks, settings: Lifting) -> _Boxes | Rejected:
    """Frames evenly spread over each of the objects that are seen in most."""
    sizes = class_sizes(settings.region)
    chosen: list[tuple[ClassSize, ObjectTrack, Array]] = []
    for track in objects.tracks:
        height_px = track.boxes_px[:, 3] - track.boxes_px[:, 1]
        frames = whole_frames(track)
        frames = frames[height_px[frames] >= LEAST_HEIGHT_PX]
        if track.category in sizes and len(frames):
            chosen.append((sizes[track.category], track, frames))
    chosen = sorted(chosen, key=lambda of_track: -len(of_track[2]))[:MOST_TRACKS]
    if not chosen:
        return Rejected("boxes do not tell the ground", "none holds all of an object")
    names = sorted({track.category for _, track, _ in chosen})
    columns = []
    for index, (size, track, frames) in enumerate(chosen):
        some = frames[np.unique(np.linspace(0, len(frames) - 1, FRAMES_A_TRACK).round().astype(int))]
        K_px, boxes_px, foot_px = geometry.K_px[some], track.boxes_px[some], feet_px(track, some, settings)
        in_world = np.einsum("kij,kj->ki", geometry.world_SE3_camera[some, :3, :3], foot_rays(boxes_px, K_px))
        noise = np.hypot(settings.edge_px, foot_px) / (boxes_px[:, 3] - boxes_px[:, 1])
        nearness = 1 / distance_by_size(boxes_px, K_px, size)
        columns.append((in_world, nearness, noise, foot_px / K_px[:, 1, 1], np.full(len(some), index)))
    rays, nearness, noise, angle_rad, track_of = (np.concatenate(column) for column in zip(*columns, strict=True))
    if len(nearness) < LEAST_BOXES:
        return Rejected("boxes do not tell the ground", f"{len(nearness)} hold all of an object")
    of_class = np.array([names.index(track.category) for _, track, _ in chosen])
    return _Boxes(rays, nearness, noise, angle_rad, track_of, of_class, np.array([of[0].spread for of in chosen]))

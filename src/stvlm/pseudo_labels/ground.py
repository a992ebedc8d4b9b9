"""The ground that depth shows below a camera, frame by frame: no road is one plane for long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stvlm.pseudo_labels.artefacts import Geometry, ObjectTracks
from stvlm.pseudo_labels.points import camera_points, map_pixels, still_pixels
from stvlm.records import Array, Rejected

TRIALS = 300
POINTS_A_FRAME = 2000


@dataclass(frozen=True)
class GroundFit:
    """What counts as ground."""

    most_tilt_deg: float = 20.0
    """Between its normal and where the cameras have their upper side, on average."""
    tolerance: float = 0.1
    """What is off the plane by less than this share of the camera's height lies on it: depth on it is as much off."""
    least_share: float = 0.4
    """Share of the points in the lower half of the image, the nearer half of them, that lie on it."""
    least_points: int = 30
    most_frames: int = 25
    """So many of a clip's frames are looked at, evenly spaced."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.most_tilt_deg < 90 or not 0 < self.tolerance < 1 or not 0 <= self.least_share <= 1:
            raise ValueError("most_tilt_deg lies in 0..90, tolerance and least_share in 0..1")
        if min(self.least_points, self.most_frames) < 3:
            raise ValueError("least_points and most_frames are 3 or more")


class GroundPlanes(NamedTuple):
    """The ground below the camera, in the frames in which it was found."""

    frames: Array  # (k,) int
    down: Array  # (k, 3) unit vectors at right angles to it, in the camera's frame
    height: Array  # (k,) of the camera above it, in the geometry's unit


def mean_up(geometry: Geometry) -> Array:
    """The median direction (3,) in the world of the cameras' upper sides."""
    return median_direction(-geometry.world_SE3_camera[:, :3, 1])


def median_direction(units: Array) -> Array:
    """The direction (3,) in the middle of unit vectors (n, 3)."""
    middle = np.median(units, axis=0)
    return np.asarray(middle / np.linalg.norm(middle))


def axes(up: Array, pose: Array) -> Array:
    """Rows (3, 3): x, y and z of the upright world. Where a camera looks straight up or down, x is the image's top."""
    ahead = pose[:3, 2] - (up @ pose[:3, 2]) * up
    if np.linalg.norm(ahead) < 1e-6:
        ahead = -pose[:3, 1]
    ahead = ahead / np.linalg.norm(ahead)
    return np.stack([ahead, np.cross(up, ahead), up])


def ground_planes(geometry: Geometry, objects: ObjectTracks | None, settings: GroundFit) -> GroundPlanes | Rejected:
    """The planes through the static points in the lower half of the images (RANSAC, then least squares).

    Half of the frames looked at have to show one, else there is none. Raises ValueError where there is no depth.
    """
    n = len(geometry.times_s)
    rng = np.random.default_rng(settings.seed)
    up = mean_up(geometry)
    row_px = map_pixels(geometry)[..., 1]
    below = row_px > (geometry.image_size_px[1] - 1) / 2
    looked_at = np.unique(np.linspace(0, n - 1, min(n, settings.most_frames)).round().astype(int))
    found = []
    for frame in looked_at.tolist():
        seen = below & still_pixels(geometry, frame, objects)
        if not seen.any():
            continue
        # The nearer half, by where it is in the image: by depth, it would be what noise makes nearer.
        points = camera_points(geometry, frame)[seen & (row_px >= np.median(row_px[seen]))]
        if len(points) > POINTS_A_FRAME:
            points = points[rng.choice(len(points), POINTS_A_FRAME, replace=False)]
        plane = _plane(points, geometry.world_SE3_camera[frame, :3, :3].T @ up, settings, rng)
        if plane is not None:
            found.append((frame, *plane))
    if 2 * len(found) < len(looked_at):
        return Rejected("no ground plane")
    frames, downs, heights = zip(*found, strict=True)
    return GroundPlanes(np.array(frames), np.array(downs), np.array(heights))


def _plane(points: Array, up: Array, settings: GroundFit, rng: np.random.Generator) -> tuple[Array, float] | None:
    """The unit vector (3,) down to the plane that most points (P, 3) lie on, and how far it is from 0."""
    if len(points) < settings.least_points:
        return None
    corners = points[rng.integers(len(points), size=(TRIALS, 3))]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    down = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    height = (down * corners[:, 0]).sum(axis=1)
    down, height = down * np.sign(height)[:, None], np.abs(height)
    least_up = np.cos(np.deg2rad(settings.most_tilt_deg))
    level = (-down @ up >= least_up) & (height > 0)
    if not level.any():
        return None
    down, height = down[level], height[level]
    off = np.abs(points @ down.T / height - 1)
    best = int((off <= settings.tolerance).sum(axis=0).argmax())
    by_down = down[best] / height[best]
    for _ in range(3):  # through the points that lie on it, a better plane; on that, more points
        on = np.abs(points @ by_down - 1) <= settings.tolerance
        if on.sum() < max(settings.least_points, settings.least_share * len(points)):
            return None
        # In inverse depth, which is linear in the ray and has all the noise.
        by_down = np.linalg.lstsq(points[on] / points[on, 2:], 1 / points[on, 2], rcond=None)[0]
    length = np.linalg.norm(by_down)
    if -by_down @ up < least_up * length:
        return None
    return by_down / length, float(1 / length)

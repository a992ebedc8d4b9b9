"""How an object moved: arrays of positions -> distance, speed, clock hours, and their uncertainty.

Positions are centres on the 0.5 s grid of a clip, (n, 3) metres, world frame, z up. The formulas for distance and speed
are the paper's (arXiv 2503.19355, section 3.2). Its direction formula, an arccos in 3D, has no sign and cannot tell 3
o'clock from 9; here angles are signed and lie on the ground, which is a deviation. What has no answer is a `Rejected`
with its reason.

           12
        11    1        12 is the object's initial heading, seen from above;
      10        2      clockwise is positive, so a right turn ends at 3
     9           3     and a left turn at 9.
      8         4
        7     5
           6
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stvlm.records import NOISELESS, Array, Noise, Rejected

STEP_S = 0.5
"""The grid's spacing in seconds."""
MPS_TO_KMH = 3.6
MAX_GAP_S = 1.0
"""Annotations further apart than this are not joined by interpolation."""
HEADING_BASE_M = 1.0
"""An initial or final heading is taken over at least this horizontal distance."""
MOVING_STEP_M = 0.5
"""A step shorter than this has no direction of its own."""
BORDER_RAD = np.deg2rad(3.0)
"""Angles this near to the border between two hours are not asked about."""
HOUR_RAD = 2 * np.pi / 12
ROUNDING = 1e-9
"""What a sum may lose: a value this little under a threshold has reached it, on any machine."""


class Measurement(NamedTuple):
    """A quantity, one standard deviation of it, and what noise adds to it on average, all in one unit."""

    value: float
    sigma: float
    bias: float

    @property
    def relative_noise(self) -> float:
        """Root mean square error over the value; infinite where the value is 0."""
        return float(np.hypot(self.sigma, self.bias) / self.value) if self.value > 0 else np.inf


class Heading(NamedTuple):
    """A direction on the ground, from world x towards world y, and one standard deviation of it, in radians."""

    angle_rad: float
    sigma_rad: float


class Interval(NamedTuple):
    """Grid steps first to last (exclusive) in which an object moves into one hour: grid points first to last."""

    hour: int
    first: int
    last: int
    sigma_rad: float  # of the least certain step


def interpolate(times_ns: Array, values: Array, at_ns: Array) -> Array:
    """Values (N, D) at times_ns (N,) interpolated linearly at at_ns (n,); NaN outside, and in gaps of over 1 s."""
    times_ns, at_ns = np.asarray(times_ns, np.int64), np.asarray(at_ns, np.int64)
    right = np.clip(np.searchsorted(times_ns, at_ns, side="left"), 1, max(len(times_ns) - 1, 1))
    if len(times_ns) < 2:
        return np.where((at_ns == times_ns[0])[:, None], values[[0]], np.nan)
    left = right - 1
    # Differences first: stamps of 1e18 ns do not fit a float64 exactly, their differences do.
    span = (times_ns[right] - times_ns[left]).astype(np.float64)
    weight = ((at_ns - times_ns[left]) / span)[:, None]
    out = values[left] * (1 - weight) + values[right] * weight
    exact = (at_ns == times_ns[left]) | (at_ns == times_ns[right])
    unknown = (at_ns < times_ns[0]) | (at_ns > times_ns[-1]) | ((span > MAX_GAP_S * 1e9) & ~exact)
    return np.where(unknown[:, None], np.nan, out)


def interpolate_angle(times_ns: Array, angle_rad: Array, at_ns: Array) -> Array:
    """As `interpolate`, for angles (N,) in radians, the short way round."""
    return interpolate(times_ns, np.unwrap(angle_rad)[:, None], at_ns)[:, 0]


def traveled_distance(xyz_m: Array, noise: Noise = NOISELESS, horizontal: bool = False) -> Measurement:
    """Sum of the distances between consecutive grid positions (n, D), in metres.

    With independent noise of standard deviation s per axis on each position, to first order: position k enters the sum
    through the unit vectors of the steps before and after it, so var = s^2 * sum |u_before - u_after|^2; and noise
    across a step of length d, of variance 2 s^2 on each of its D - 1 axes, lengthens it to sqrt(d^2 + 2 (D - 1) s^2).
    For the latter s is `noise.step_m`, and `noise.stretch` adds its share of the sum to the standard deviation.
    `horizontal` leaves height out: in sports, the bobbing of a head is not travel (a deviation from the paper).
    """
    xyz_m = xyz_m[:, :2] if horizontal else xyz_m
    steps = np.diff(xyz_m, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    units = np.divide(steps, lengths[:, None], out=np.zeros_like(steps), where=lengths[:, None] > 0)
    padded = np.vstack([np.zeros((1, xyz_m.shape[1])), units, np.zeros((1, xyz_m.shape[1]))])
    way_m = float(lengths.sum())
    sigma = float(np.hypot(noise.centre_m * np.sqrt((np.diff(padded, axis=0) ** 2).sum()), noise.stretch * way_m))
    across = 2 * (xyz_m.shape[1] - 1) * noise.step_m**2
    bias = float((np.sqrt(lengths**2 + across) - lengths).sum())
    return Measurement(way_m, sigma, bias)


def traveling_speed(xyz_m: Array, noise: Noise = NOISELESS, horizontal: bool = False) -> Measurement:
    """Traveled distance over the grid positions (n, D) divided by the seconds they span, in km/h."""
    scale = MPS_TO_KMH / ((len(xyz_m) - 1) * STEP_S)
    return Measurement(*(part * scale for part in traveled_distance(xyz_m, noise, horizontal)))


def clock_angle(initial_rad: float, final_rad: float) -> float:
    """Angle from one heading to another in radians, clockwise positive, in (-pi, pi]."""
    return float(np.pi - (np.pi - (initial_rad - final_rad)) % (2 * np.pi))


def clock_hour(angle_rad: float) -> int | Rejected:
    """The hour 1 to 12 nearest to a clockwise angle; rejected within 3 degrees of the border between two hours."""
    hours = angle_rad / HOUR_RAD
    nearest = np.floor(hours + 0.5)
    if (0.5 - abs(hours - nearest)) * HOUR_RAD <= BORDER_RAD + ROUNDING:
        return Rejected("direction near the border of two hours")
    return int(nearest) % 12 or 12


def initial_heading(xyz_m: Array, noise: Noise = NOISELESS) -> Heading | Rejected:
    """Heading from the first grid position to the first one at least 1 m away horizontally."""
    return _heading_from(xyz_m, noise)


def final_heading(xyz_m: Array, noise: Noise = NOISELESS) -> Heading | Rejected:
    """Heading from the last grid position at least 1 m away horizontally from the end, to the end."""
    heading = _heading_from(xyz_m[::-1], noise)
    return heading if isinstance(heading, Rejected) else Heading(heading.angle_rad + np.pi, heading.sigma_rad)


def _heading_from(xyz_m: Array, noise: Noise) -> Heading | Rejected:
    away = xyz_m[:, :2] - xyz_m[0, :2]
    lengths = np.linalg.norm(away, axis=1)
    far = np.flatnonzero(lengths >= HEADING_BASE_M - ROUNDING)
    if not len(far):
        return Rejected("stationary")
    return _heading(away[far[0]], noise, int(far[0]))


def _heading(xy_m: Array, noise: Noise, steps: int = 1) -> Heading:
    """Direction of a displacement (2,) in so many steps, both of whose ends carry the noise.

    In a track that was smoothed errors are those of its velocity: they grow with the steps, up to those of places far
    apart. Independent noise is as large after one step as after many.
    """
    side_m = min(steps * noise.step_m, noise.across_m)
    return Heading(float(np.arctan2(xy_m[1], xy_m[0])), float(np.sqrt(2) * side_m / np.linalg.norm(xy_m)))


class Direction(NamedTuple):
    """A clock hour, and one standard deviation of the angle behind it in radians."""

    hour: int
    sigma_rad: float


def movement_direction(xyz_m: Array, noise: Noise = NOISELESS) -> Direction | Rejected:
    """The hour into which an object moves at the end of its clip, 12 being its heading at the clip's start."""
    start, end = initial_heading(xyz_m, noise), final_heading(xyz_m, noise)
    if isinstance(start, Rejected):
        return start
    if isinstance(end, Rejected):
        return end
    hour = clock_hour(clock_angle(start.angle_rad, end.angle_rad))
    return hour if isinstance(hour, Rejected) else Direction(hour, float(np.hypot(start.sigma_rad, end.sigma_rad)))


def direction_intervals(xyz_m: Array, noise: Noise = NOISELESS) -> list[Interval] | Rejected:
    """The longest runs of grid steps that are each at least 0.5 m long and point into one hour.

    Steps near the border of two hours belong to none, and end a run.
    """
    start = initial_heading(xyz_m, noise)
    if isinstance(start, Rejected):
        return start
    steps = np.diff(xyz_m[:, :2], axis=0)
    runs: list[Interval] = []
    for k, step in enumerate(steps):
        if np.linalg.norm(step) < MOVING_STEP_M - ROUNDING:
            continue
        heading = _heading(step, noise)
        hour = clock_hour(clock_angle(start.angle_rad, heading.angle_rad))
        if isinstance(hour, Rejected):
            continue
        sigma_rad = float(np.hypot(start.sigma_rad, heading.sigma_rad))
        if runs and runs[-1].hour == hour and runs[-1].last == k:
            runs[-1] = Interval(hour, runs[-1].first, k + 1, max(sigma_rad, runs[-1].sigma_rad))
        else:
            runs.append(Interval(hour, k, k + 1, sigma_rad))
    return runs


def net_displacement(xyz_m: Array) -> Array:
    """Horizontal displacement (2,) in metres from the first grid position to the last."""
    return np.asarray(xyz_m[-1, :2] - xyz_m[0, :2])


def bearing_difference(first_xyz_m: Array, second_xyz_m: Array) -> float:
    """Angle in radians, 0 to pi, between the net displacements of two objects."""
    (ax, ay), (bx, by) = net_displacement(first_xyz_m), net_displacement(second_xyz_m)
    return float(abs(np.arctan2(ax * by - ay * bx, ax * bx + ay * by)))

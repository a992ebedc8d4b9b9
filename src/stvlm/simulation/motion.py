"""How an object moves along its way: stretches of constant acceleration, so that every position is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stvlm.records import Array

STEP_M = 0.25
"""A way is resampled to points this far apart; between them, position is linear in the distance travelled."""


class State(NamedTuple):
    """Where something is at N times."""

    xy_m: Array  # (N, 2)
    yaw_rad: Array  # (N,)
    arc_m: Array  # (N,) distance travelled along the way
    speed_mps: Array  # (N,)


@dataclass(frozen=True, eq=False, slots=True)
class Motion:
    """A way, and when each of its points is reached. K points, at strictly increasing times."""

    xy_m: Array  # (K, 2)
    yaw_rad: Array  # (K,) continuous, not wrapped
    arc_m: Array  # (K,)
    times_s: Array  # (K,)
    speed_mps: Array  # (K,) at the points; between two of them acceleration is constant

    @property
    def start_s(self) -> float:
        """When it enters the world."""
        return float(self.times_s[0])

    @property
    def end_s(self) -> float:
        """When it leaves the world."""
        return float(self.times_s[-1])

    def at(self, times_s: Array) -> State:
        """The state at times (N,); before the start and after the end it stands at the way's ends."""
        times_s = np.clip(np.asarray(times_s, dtype=np.float64), self.start_s, self.end_s)
        i = np.clip(np.searchsorted(self.times_s, times_s, side="right") - 1, 0, len(self.times_s) - 2)
        elapsed = times_s - self.times_s[i]
        acceleration = (self.speed_mps[i + 1] - self.speed_mps[i]) / (self.times_s[i + 1] - self.times_s[i])
        arc = self.arc_m[i] + elapsed * (self.speed_mps[i] + acceleration * elapsed / 2)
        xy = np.stack([np.interp(arc, self.arc_m, self.xy_m[:, axis]) for axis in (0, 1)], axis=-1)
        speed = self.speed_mps[i] + acceleration * elapsed
        return State(xy, np.interp(arc, self.arc_m, self.yaw_rad), arc, speed)


class Limits(NamedTuple):
    """What a kind of object can do, in m/s^2."""

    accelerate: float
    brake: float
    sideways: float


def standing(xy_m: Array, yaw_rad: float, duration_s: float) -> Motion:
    """Something parked for the whole recording."""
    return Motion(np.array([xy_m, xy_m]), np.full(2, yaw_rad), np.zeros(2), np.array([0.0, duration_s]), np.zeros(2))


def resample(way_m: Array) -> tuple[Array, Array, Array]:
    """Points (K, 2) every STEP_M along a way (N, 2), their headings (K,) without jumps, and distances (K,)."""
    lengths = np.linalg.norm(np.diff(way_m, axis=0), axis=-1)
    keep = np.concatenate([[True], lengths > 1e-9])
    way_m, total = way_m[keep], np.concatenate([[0.0], np.cumsum(lengths[lengths > 1e-9])])
    arc = np.arange(0.0, total[-1], STEP_M)
    xy = np.stack([np.interp(arc, total, way_m[:, axis]) for axis in (0, 1)], axis=-1)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=-1))])
    tangent = np.gradient(xy, axis=0)
    return xy, np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0])), arc


def drive(
    way_m: Array, cruise_mps: Array, cruise_from_m: Array, limits: Limits, stop_m: float | None, wait_s: float
) -> Motion:
    """Travel a way (N, 2) from time 0 as fast as the wishes and limits allow.

    The wish is ``cruise_mps[i]`` from ``cruise_from_m[i]`` on; bends are taken at the sideways limit; at ``stop_m`` it
    halts for ``wait_s``. With v^2 linear in distance under constant acceleration, both limits are running minima.
    """
    xy, yaw, arc = resample(way_m)
    bend = np.abs(np.gradient(yaw, arc))
    bend = np.convolve(np.pad(bend, 2, mode="edge"), np.full(5, 1 / 5), mode="valid")
    wish = np.asarray(cruise_mps)[np.searchsorted(cruise_from_m, arc, side="right") - 1]
    square = np.minimum(wish**2, limits.sideways / np.maximum(bend, 1e-6))
    halt = None
    if stop_m is not None and STEP_M < stop_m < arc[-1] - STEP_M:
        halt = int(np.searchsorted(arc, stop_m))
        square[halt] = 0.0
    gain, loss = 2 * limits.accelerate * arc, 2 * limits.brake * arc
    square = np.minimum.accumulate(square - gain) + gain
    square = (np.minimum.accumulate((square + loss)[::-1]))[::-1] - loss
    speed = np.sqrt(np.maximum(square, 0.0))
    took = 2 * np.diff(arc) / (speed[1:] + speed[:-1])
    times = np.concatenate([[0.0], np.cumsum(took)])
    if halt is not None and wait_s > 0:  # a stretch of no length at no speed

        def twice(a: Array, more: float = 0.0) -> Array:
            return np.concatenate([a[: halt + 1], a[halt:] + more])

        xy, yaw, arc, speed, times = twice(xy), twice(yaw), twice(arc), twice(speed), twice(times, wait_s)
    return Motion(xy, yaw, arc, times, speed)


def shifted(motion: Motion, by_s: float) -> Motion:
    """The same motion, later by ``by_s``."""
    return Motion(motion.xy_m, motion.yaw_rad, motion.arc_m, motion.times_s + by_s, motion.speed_mps)

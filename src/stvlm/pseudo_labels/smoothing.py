"""From noisy places to a smooth path: at the rate at which they were measured, before anything is computed from them.

A path of noisy positions is too long: every step across the noise adds to it. The paper leaves open how it smooths. Of
the methods tried on real tracks with the noise of depth networks, a Kalman filter of constant velocity, run forwards
and back (Rauch, Tung and Striebel, 1965), came closest: it knows that depth is noisy along the ray and not across.
`none` is the paper's formula alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from scipy.signal import savgol_filter

from stvlm.kinematics import STEP_S
from stvlm.pseudo_labels.artefacts import LiftedTrack
from stvlm.pseudo_labels.objects.classes import check_classes
from stvlm.records import Array

Method = Literal["rts", "savgol", "none"]
START_SPEED_MPS = 30.0
"""One standard deviation of an object's speed per axis, before anything is known of it."""
SAVGOL_ORDER = 2


@dataclass(frozen=True)
class Smoothing:
    """How paths are smoothed."""

    method: Method = "rts"
    acceleration_m2s3: float = 3.0
    """Power of the white acceleration that an object may have, per axis: in a second its speed changes by the root."""
    of_class_m2s3: Mapping[str, float] = field(default_factory=lambda: {"person": 0.5})
    """The same of classes that keep their velocity better. benchmarks/accelerations.py says 0.03 of people and 1.1 of
    cars; both are given more, as the camera's path is noisy too."""
    drift: float = 0.25
    """Share of the places' variance that outlasts the smoothing: networks err alike in frames that look alike."""
    gate: float = 16.27
    """Squared Mahalanobis distance from the prediction beyond which a place is left out: 0.1 % of chi-squared (3)."""
    window_s: float = 2.1
    """Of `savgol`."""

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ValueError(f"method is one of {', '.join(get_args(Method))}, got {self.method!r}")
        if min(self.acceleration_m2s3, self.gate, self.window_s, *self.of_class_m2s3.values()) <= 0:
            raise ValueError("acceleration_m2s3, of_class_m2s3, gate and window_s are positive")
        check_classes("of_class_m2s3", self.of_class_m2s3)


def smooth(track: LiftedTrack, settings: Smoothing) -> LiftedTrack:
    """A track, smoothed, at the times at which it was measured; of one or two places, and with `none`, at its places.

    `rts` gives the covariance of what it found, the other methods leave what was measured.
    """
    times_s, xyz_m, covariance_m2 = track.times_s, track.xyz_m, track.covariance_m2
    if not len(times_s):
        return track
    if settings.method == "rts" and len(times_s) > SAVGOL_ORDER:
        of_class_m2s3 = settings.of_class_m2s3.get(track.category, settings.acceleration_m2s3)
        states, used = _rts(times_s, xyz_m, covariance_m2, replace(settings, acceleration_m2s3=of_class_m2s3))
        velocity_mps, shift_m2 = states.mean[:, 3:], states.covariance[:, 3:, 3:] * (STEP_S**2 / 2)
        found_m2 = states.covariance[:, :3, :3] + settings.drift * covariance_m2
        step_m = _median_sigma(across_m2(velocity_mps, shift_m2))
        outliers = 1 - float(used.mean())
        return replace(track, xyz_m=states.mean[:, :3], covariance_m2=found_m2, step_m=step_m, outliers=outliers)
    if settings.method == "savgol" and len(times_s) > SAVGOL_ORDER:
        xyz_m = _savgol(times_s, xyz_m, settings.window_s)
    return replace(track, xyz_m=xyz_m, step_m=_median_sigma(across_m2(xyz_m - xyz_m[:1], covariance_m2)))


def across_m2(along: Array, covariances_m2: Array) -> Array:
    """Variances (n,) that covariances (n, 3, 3) have across directions (n, 3), on the ground; 0 is any."""
    lengths = np.linalg.norm(along[:, :2], axis=1, keepdims=True)
    units = np.divide(along[:, :2], lengths, out=np.zeros((len(along), 2)), where=lengths > 0)
    across = np.stack([-units[:, 1], units[:, 0]], axis=1)
    flat_m2 = covariances_m2[:, :2, :2]
    side_m2 = np.einsum("ki,kij,kj->k", across, flat_m2, across)
    any_m2 = np.linalg.eigvalsh(flat_m2)[:, -1]
    return np.maximum(np.where(lengths[:, 0] > 0, side_m2, any_m2), 0)


def _median_sigma(variances_m2: Array) -> float:
    return float(np.sqrt(np.median(variances_m2)))


def _savgol(times_s: Array, xyz_m: Array, window_s: float) -> Array:
    """Savitzky and Golay's filter on a grid of the median step, and back: scipy's knows no times."""
    step_s = float(np.median(np.diff(times_s)))
    grid_s = np.linspace(times_s[0], times_s[-1], max(round((times_s[-1] - times_s[0]) / step_s) + 1, len(times_s)))
    width = min(round(window_s / step_s), len(grid_s))
    width -= 1 - width % 2  # the filter has a middle
    even_m = np.stack([np.interp(grid_s, times_s, axis_m) for axis_m in xyz_m.T], axis=1)
    even_m = savgol_filter(even_m, max(width, SAVGOL_ORDER + 1), SAVGOL_ORDER, axis=0)
    return np.stack([np.interp(times_s, grid_s, axis_m) for axis_m in even_m.T], axis=1)


def _rts(times_s: Array, xyz_m: Array, covariance_m2: Array, settings: Smoothing) -> tuple[_States, Array]:
    """The smoothed states, and which places (n,) were used."""
    forwards = _filter(times_s, xyz_m, covariance_m2, settings)
    if not forwards.used.all():
        # Where the first place is wrong, all that follow look wrong: begin at the other end, and believe the majority.
        backwards = _filter(-times_s[::-1], xyz_m[::-1], covariance_m2[::-1], settings)
        if backwards.used.sum() > forwards.used.sum():
            found = _back(backwards)
            turned = np.repeat([1.0, -1.0], 3)  # velocities, in a time that ran backwards
            mean, covariance = found.mean[::-1] * turned, found.covariance[::-1] * np.outer(turned, turned)
            return _States(mean, covariance), backwards.used[::-1]
    return _back(forwards), forwards.used


class _States(NamedTuple):
    """Place and velocity (n, 6) and covariance (n, 6, 6), given all measurements."""

    mean: Array
    covariance: Array


class _Pass(NamedTuple):
    """The filter's states: place and velocity (n, 6) and covariance (n, 6, 6), after and before each measurement."""

    mean: Array
    covariance: Array
    predicted: Array
    predicted_covariance: Array
    steps: Array  # (n, 6, 6) from the state before
    used: Array


def _filter(times_s: Array, xyz_m: Array, covariance_m2: Array, settings: Smoothing) -> _Pass:
    n = len(times_s)
    mean, covariance = np.zeros((n, 6)), np.zeros((n, 6, 6))
    predicted, predicted_covariance = np.zeros((n, 6)), np.zeros((n, 6, 6))
    steps, used = np.tile(np.eye(6), (n, 1, 1)), np.ones(n, dtype=bool)
    mean[0, :3] = predicted[0, :3] = xyz_m[0]
    covariance[0, :3, :3], covariance[0, 3:, 3:] = covariance_m2[0], START_SPEED_MPS**2 * np.eye(3)
    for k in range(1, n):
        dt = times_s[k] - times_s[k - 1]
        steps[k, :3, 3:] = dt * np.eye(3)
        noise = settings.acceleration_m2s3 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        predicted[k] = steps[k] @ mean[k - 1]
        predicted_covariance[k] = steps[k] @ covariance[k - 1] @ steps[k].T + np.kron(noise, np.eye(3))
        surprise = xyz_m[k] - predicted[k, :3]
        expected = predicted_covariance[k, :3, :3] + covariance_m2[k]
        mean[k], covariance[k] = predicted[k], predicted_covariance[k]
        if surprise @ np.linalg.solve(expected, surprise) > settings.gate:
            used[k] = False
            continue
        gain = np.linalg.solve(expected, predicted_covariance[k, :3]).T
        mean[k] += gain @ surprise
        covariance[k] -= gain @ expected @ gain.T
    return _Pass(mean, covariance, predicted, predicted_covariance, steps, used)


def _back(states: _Pass) -> _States:
    mean, covariance = states.mean.copy(), states.covariance.copy()
    for k in range(len(mean) - 2, -1, -1):
        before = states.predicted_covariance[k + 1]
        gain = np.linalg.solve(before, states.steps[k + 1] @ states.covariance[k]).T
        mean[k] += gain @ (mean[k + 1] - states.predicted[k + 1])
        covariance[k] += gain @ (covariance[k + 1] - before) @ gain.T
    return _States(mean, (covariance + np.swapaxes(covariance, 1, 2)) / 2)

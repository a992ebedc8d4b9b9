"""How noisy are a source's box centres, per axis, at the 0.5 s steps that the questions are about?

    python benchmarks/centre_noise.py argoverse2=PATH nuscenes=PATH nuplan=PATH
    python benchmarks/centre_noise.py closed_loop_trajectory.csv

Prints, in metres, the standard deviation of a centre on a horizontal axis, pooled over x and y:

- parked: from the 0.5 s steps of tracks that stay within 0.5 m. The mean square of a step is two variances.
- moving: from the residuals of parabolas through five centres (2 s) of tracks that end over 2 m away. Five points less
  three coefficients leave two degrees of freedom, so the mean sum of squares is two variances as well. Real jerk counts
  as noise; the median, scaled by that of chi-squared with two degrees of freedom, keeps hard braking from deciding it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from labelled_tracks import tracks_of

from stvlm.records import Array, Track
from stvlm.sources.mps import Trajectory, read_trajectory

STEP_NS, SLACK_NS = 500_000_000, 60_000_000
CHI2_2_MEDIAN = 2 * np.log(2)


def half_seconds(track: Track) -> Iterator[tuple[Array, Array]]:
    """Times (n,) in seconds and horizontal centres (n, 2) of runs of annotations that lie about 0.5 s apart."""
    picked = [0]
    for i in range(1, len(track.times_ns)):
        wait_ns = track.times_ns[i] - track.times_ns[picked[-1]]
        if wait_ns >= STEP_NS - SLACK_NS:
            picked.append(i)
    times_s, xy_m = (track.times_ns[picked] - track.times_ns[0]) / 1e9, track.xyz_m[picked, :2]
    for run in np.split(np.arange(len(picked)), np.flatnonzero(np.diff(times_s) > (STEP_NS + SLACK_NS) / 1e9) + 1):
        yield times_s[run], xy_m[run]


def parabola_residuals(times_s: Array, xy_m: Array) -> Array:
    """Sums (n - 4, 2) of squared residuals in square metres of the parabola through each five centres in a row."""
    windows_s = np.lib.stride_tricks.sliding_window_view(times_s, 5)
    windows_m = np.lib.stride_tricks.sliding_window_view(xy_m, 5, axis=0)  # (n - 4, 2, 5)
    powers = (windows_s - windows_s[:, :1])[..., None] ** np.arange(3)
    residual = np.eye(5) - powers @ np.linalg.pinv(powers)
    return np.asarray(((windows_m @ residual) ** 2).sum(axis=-1))


def measure(tracks: Iterable[Track]) -> Iterator[tuple[str, Array]]:
    """("parked", squared steps) or ("moving ...", sums of squared residuals), both in units of two variances."""
    for track in tracks:
        away_m = np.linalg.norm(track.xyz_m[:, :2] - track.xyz_m[0, :2], axis=1)
        for times_s, xy_m in half_seconds(track):
            if away_m.max() < 0.5:
                yield "parked", (np.diff(xy_m, axis=0) ** 2).ravel()
            elif away_m[-1] >= 2 and len(xy_m) >= 5:
                kind = "person" if track.category == "person" else "vehicle"
                yield f"moving {kind}", parabola_residuals(times_s, xy_m).ravel()


def tracks_of_wearer(path: Path) -> Iterator[Track]:
    """Those of whoever wears Project Aria's glasses, begun at 20 times within 0.5 s."""
    trajectory = read_trajectory(path)
    assert isinstance(trajectory, Trajectory), trajectory
    for start_ns in range(0, STEP_NS, STEP_NS // 20):
        times_ns = np.arange(trajectory.times_ns[0] + start_ns, trajectory.times_ns[-1], STEP_NS // 5)
        yield Track("wearer", "person", times_ns, trajectory.at(times_ns))


def main() -> None:
    for argument in sys.argv[1:]:
        name, _, path = argument.rpartition("=")
        found: dict[str, list[Array]] = defaultdict(list)
        for kind, values in measure(tracks_of(name, Path(path)) if name else tracks_of_wearer(Path(path))):
            found[kind].append(values)
        for kind, arrays in sorted(found.items()):
            squares_m2 = np.concatenate(arrays)
            rms_m, median_m = np.sqrt(squares_m2.mean() / 2), np.sqrt(np.median(squares_m2) / CHI2_2_MEDIAN)
            what = f"{name or 'trajectory':11} {kind:15}"
            print(f"{what} rms {rms_m:.3f} m  median {median_m:.3f} m  n {len(squares_m2)}")


if __name__ == "__main__":
    main()

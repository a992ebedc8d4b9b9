"""How much do objects of each class change their velocity? What `pseudo_labels/smoothing.py` takes for granted.

    python benchmarks/accelerations.py nuscenes=PATH argoverse2=PATH nuplan=PATH

Prints, for each class, the power of the white acceleration that moves its objects, in m^2/s^3 and per axis, and of how
many objects: those that end 2 m or more from where they began, and are labelled for 2 s. A place is off the middle of
those a second before and after, doubled, by a variance of 2/3 of the power. Noise of the labels counts as motion.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from labelled_tracks import tracks_of

from stvlm.kinematics import interpolate
from stvlm.records import Array, Track

LEAST_MOVE_M = 2.0
SECOND_NS = 1_000_000_000


def powers(track: Track) -> Array:
    """The power (n,) at each whole second but the first and last."""
    at_ns = np.arange(track.times_ns[0], track.times_ns[-1] + 1, SECOND_NS)
    xy_m = interpolate(track.times_ns, track.xyz_m, at_ns)[:, :2]
    off_m2 = np.square(xy_m[2:] - 2 * xy_m[1:-1] + xy_m[:-2]).mean(axis=1)
    return off_m2[np.isfinite(off_m2)] * 3 / 2


def main() -> None:
    found: dict[str, list[Array]] = defaultdict(list)
    for argument in sys.argv[1:]:
        name, _, path = argument.rpartition("=")
        for track in tracks_of(name, Path(path)):
            is_moving = np.linalg.norm(track.xyz_m[-1] - track.xyz_m[0]) >= LEAST_MOVE_M
            if is_moving and len(of_track := powers(track)):
                found[track.category].append(of_track)
    for category, tracks in sorted(found.items()):
        print(f"{category:12}{np.concatenate(tracks).mean():6.2f} m2/s3 of {len(tracks)}")


if __name__ == "__main__":
    main()

"""How much do objects of each class change their velocity? What `pseudo_labels/smoothing.py` takes for granted.

    python benchmarks/accelerations.py nuscenes=PATH argoverse2=PATH nuplan=PATH

Prints, for each class, the power of the white acceleration that moves its objects, in m^2/s^3 and per axis, and of how
many objects: those that end 2 m or more from where they began, and are labelled for 2 s. A place is off the middle of
those a second before and after, doubled, by a variance of 2/3 of the power. Noise of the labels counts as motion.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from stvlm.kinematics import interpolate
from stvlm.records import Array, Recording, Scene, Track
from stvlm.sources import open_source

LEAST_MOVE_M = 2.0
SECOND_NS = 1_000_000_000


def moving(name: str, path: Path) -> Iterator[Track]:
    """The tracks of a source that move."""
    source = open_source(name, path, {})
    for recording in source.recordings():
        if isinstance(recording, Recording):
            scenes = (scene for scene in source.scenes(recording) if isinstance(scene, Scene))
            for scene in islice(scenes, 1):  # one camera will do: all of a recording see the same tracks
                for track in scene.tracks:
                    far = np.linalg.norm(track.xyz_m[-1] - track.xyz_m[0]) >= LEAST_MOVE_M
                    if far and track.category != "other":
                        yield track


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
        for track in moving(name, Path(path)):
            if len(of_track := powers(track)):
                found[track.category].append(of_track)
    for category, tracks in sorted(found.items()):
        print(f"{category:12}{np.concatenate(tracks).mean():6.2f} m2/s3 of {len(tracks)}")


if __name__ == "__main__":
    main()

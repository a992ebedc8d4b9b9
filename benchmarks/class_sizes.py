"""How large are the objects of each class, and how much do they differ? What `pseudo_labels/class_sizes.yaml` holds.

    python benchmarks/class_sizes.py nuscenes=PATH argoverse2=PATH nuplan=PATH     # the set `america_asia`
    python benchmarks/class_sizes.py kitti_tracking=PATH/training                  # the set `europe`

Prints, for each class of at least 8 objects, their median length, width and height in metres, and how much heights
differ: half of what the middle 68 % span, over the median. Of KITTI only the sequences with even numbers are counted,
so that the others can test what follows from these sizes.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from kitti_labels import read_labels
from labelled_tracks import tracks_of

from stvlm.records import Array

LEAST_OBJECTS = 8


def sizes(name: str, path: Path) -> Iterator[tuple[str, Array]]:
    """(class, median size (3,)) of each object."""
    if name == "kitti_tracking":
        for file in sorted(path.glob("label_02/*.txt"))[::2]:
            for labels in read_labels(file):
                yield labels.category, np.median(labels.size_lwh_m, axis=0)
        return
    for track in tracks_of(name, path):
        if track.size_lwh_m is not None:
            yield track.category, np.median(track.size_lwh_m, axis=0)


def main() -> None:
    found: dict[str, list[Array]] = defaultdict(list)
    for argument in sys.argv[1:]:
        name, _, path = argument.rpartition("=")
        for category, size_lwh_m in sizes(name, Path(path)):
            found[category].append(size_lwh_m)
    for category, rows in sorted(found.items()):
        if len(rows) < LEAST_OBJECTS:
            continue
        lwh_m = np.array(rows)
        length_m, width_m, height_m = np.median(lwh_m, axis=0)
        spread = np.ptp(np.percentile(lwh_m[:, 2], [16, 84])) / 2 / height_m
        values = f"length_m: {length_m:.2f}, width_m: {width_m:.2f}, height_m: {height_m:.2f}, spread: {spread:.2f}"
        print(f"  {category}: {{{values}, objects: {len(rows)}}}")


if __name__ == "__main__":
    main()

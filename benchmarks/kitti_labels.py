"""Labels of the KITTI tracking benchmark as the benchmarks need them: boxes in the image beside those in space.

They are read in the frame of the camera, so that sequences without GPS readings count too.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stvlm.records import Array
from stvlm.sources.kitti import CATEGORIES


class Labels(NamedTuple):
    """One object of a sequence, in n frames."""

    track_id: str
    category: str
    frame: Array  # (n,) int64
    truncated: Array  # (n,) bool
    occluded: Array  # (n,) int64: 0 fully visible, 1 partly occluded, 2 largely, 3 unknown
    boxes_px: Array  # (n, 4) x0, y0, x1, y1 in camera 2
    size_lwh_m: Array  # (n, 3)
    xyz_m: Array  # (n, 3) centre, in the rectified frame of camera 0


def read_labels(path: Path) -> list[Labels]:
    """The objects in a file of `label_02` that have a category."""
    rows: dict[str, list[list[str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[2] in CATEGORIES:
            rows.setdefault(words[1], []).append(words)
    found = []
    for track_id, words in rows.items():
        n = np.array([[*row[:2], *row[3:]] for row in words], dtype=np.float64)
        xyz_m = n[:, 12:15] - [0, 0.5, 0] * n[:, [9]]
        found.append(
            Labels(
                track_id=track_id,
                category=CATEGORIES[words[0][2]],
                frame=n[:, 0].astype(np.int64),
                truncated=n[:, 2] > 0,
                occluded=n[:, 3].astype(np.int64),
                boxes_px=n[:, 5:9],
                size_lwh_m=n[:, [11, 10, 9]],
                xyz_m=xyz_m,
            )
        )
    return found


def read_K_px(path: Path) -> Array:
    """Intrinsics (3, 3) of camera 2, from a file of `calib`."""
    (line,) = (line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("P2"))
    return np.array(line.split()[1:], dtype=np.float64).reshape(3, 4)[:, :3]

"""Artefacts of MonST3R (github.com/Junyi42/monst3r, at 574cc77; CC BY-NC-SA 4.0): the geometry of ST-VLM's authors.

In its own environment and its folder, with the video's frames as images in FRAMES, in the order of their names:

    python demo.py --input_dir FRAMES --output_dir OUT --seq_name NAME --not_batchify

and OUT or OUT/NAME is read here. (`--real_time` writes no poses.)

    pred_traj.txt        a line a frame: number, x y z, qw qx qy qz, camera to world; the order of the TUM format, which
                         it is called after, is qx qy qz qw
    pred_intrinsics.txt  a line a frame: the matrix row by row, in pixels of the image that the network saw
    frame_0000.npy       depth along the optical axis; one unit throughout the video, which is no metre
    conf_0.npy           logarithm of the confidence 1 + exp(x), of depth that others do not contradict
    dynamic_mask_0.png   255 where something moves

The network sees images of 512 pixels on the longer side (or 224 x 224), cut at the middle to multiples of 16.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from stvlm.geometry import se3
from stvlm.pseudo_labels.artefacts import DepthCrop, Footage, Geometry
from stvlm.pseudo_labels.geometry.reading import (
    OF_THIS_VIDEO,
    another_size,
    centred,
    check_count,
    geometry_of,
    known_depth,
    only_file,
    read_npy,
    share,
    stacked,
    unreadable,
)
from stvlm.pseudo_labels.licences import provenance_of
from stvlm.records import Array, DataError

UNIT_TOLERANCE = 1e-3
"""How far a quaternion's length may be from 1."""


def read(path: Path, footage: Footage, model: str | None = None) -> Geometry:
    """The geometry in a folder that MonST3R wrote; see `geometry.Reader`."""
    trajectory = only_file(path, "**/pred_traj.txt", footage.video_id)
    path = trajectory.parent
    intrinsics = path / "pred_intrinsics.txt"
    motion, K_px = _rows(trajectory, 8), _rows(intrinsics, 9).reshape(-1, 3, 3)
    check_count(trajectory, len(motion), footage)
    check_count(intrinsics, len(K_px), footage)
    n = len(motion)
    if (extra := path / f"frame_{n:04d}.npy").exists():
        raise DataError(f"{extra}: is of another run, longer than pred_traj.txt; remove {path} and run MonST3R again")
    if (abs(np.linalg.norm(motion[:, 4:], axis=1) - 1) > UNIT_TOLERANCE).any():
        raise DataError(f"{trajectory}: has a line whose last four numbers are no unit quaternion; {OF_THIS_VIDEO}")
    depth = stacked(path, (known_depth(read_npy(path / f"frame_{i:04d}.npy")) for i in range(n)), n)
    crop = next((crop for size_px, crop in _crops(footage.image_size_px) if size_px == depth.shape[:0:-1]), None)
    if crop is None:
        raise another_size(path, depth, footage)
    return geometry_of(
        path,
        footage,
        provenance_of("monst3r", model),
        "arbitrary",
        se3(motion[:, 4:8], motion[:, 1:4]),
        crop.image_K(K_px),
        crop,
        depth,
        _confidence(path, n),
        _moving(path, n),
    )


def _rows(path: Path, columns: int) -> Array:
    """Numbers (N, columns) of a text file."""
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if rows.shape[1] != columns or not np.isfinite(rows).all():
        raise DataError(f"{path}: has not {columns} finite numbers in each line; let MonST3R make it again")
    return rows


def _crops(image_size_px: tuple[int, int]) -> Iterator[tuple[tuple[int, int], DepthCrop]]:
    """The sizes of what the network may see of an image, and where it lies in it."""
    long_side = max(image_size_px)
    w, h = (round(side * 512 / long_side) for side in image_size_px)
    half_w, half_h = (side // 2 * 2 // 16 * 8 for side in (w, h))
    kept_px = (2 * half_w, 3 * half_w // 4 * 2 if w == h else 2 * half_h)
    yield kept_px, centred(image_size_px, (w, h), kept_px)
    long_px = round(224 * (long_side / min(image_size_px)))
    w, h = (round(side * long_px / long_side) for side in image_size_px)
    kept_px = (min(w, h) // 2 * 2,) * 2
    yield kept_px, centred(image_size_px, (w, h), kept_px)


def _confidence(path: Path, n: int) -> Array | None:
    files = [path / f"conf_{i}.npy" for i in range(n)]
    if not files[0].exists():
        return None
    return stacked(path, (share(np.exp(read_npy(file))) for file in files), n)


def _moving(path: Path, n: int) -> Array | None:
    files = [path / f"dynamic_mask_{i}.png" for i in range(n)]
    if not files[0].exists():
        return None
    return stacked(path, (_mask(file) for file in files), n)


def _mask(path: Path) -> Array:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L")) > 127
    except OSError as error:
        raise unreadable(path, error) from error

"""Artefacts of MegaSaM (github.com/mega-sam/mega-sam, at c2e0099; Apache-2.0, with UniDepth's CC BY-NC 4.0 weights).

In its own environment and its folder, with the video's frames as images in the folder that the scripts name:

    ./mono_depth_scripts/run_mono-depth_demo.sh && ./tools/evaluate_demo.sh && ./cvd_opt/cvd_opt_demo.sh

and outputs_cvd, or outputs_cvd/NAME_sgd_cvd_hr.npz, is read here:

    depths     (N, h, w) float16 along the optical axis, cut off at 100
    intrinsic  (3, 3) for all frames, in pixels of the depth map
    cam_c2w    (N, 4, 4) camera to world, OpenCV axes

Its unit is no metre: before tracking, UniDepth's depth is scaled so that the clip's 98th percentile of inverse depth is
2, what is near lies at 0.5. What was cut off is left out as unknown: it is the sky, or too far.
The images were resized to about 384 x 512 pixels' area, then cut at the right and the bottom to multiples of 8.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stvlm.pseudo_labels.artefacts import Footage, Geometry, resized
from stvlm.pseudo_labels.geometry.reading import (
    another_size,
    check_count,
    geometry_of,
    known_depth,
    maps_of,
    matrices_of,
    only_file,
    read_npz,
)
from stvlm.pseudo_labels.licences import provenance_of
from stvlm.records import DataError

FARTHEST = 100.0
"""What depth is cut off at."""


def read(path: Path, footage: Footage, model: str | None = None) -> Geometry:
    """The geometry in a folder or file that MegaSaM wrote; see `geometry.Reader`."""
    path = only_file(path, "*_sgd_cvd_hr.npz", footage.video_id)
    arrays = read_npz(path, ("depths", "intrinsic", "cam_c2w"))
    depth = maps_of(path, arrays, "depths")
    check_count(path, len(depth), footage)
    width, height = footage.image_size_px
    shrink = np.sqrt((384 * 512) / (height * width))
    resized_px = (int(width * shrink), int(height * shrink))
    if depth.shape[:0:-1] != tuple(side - side % 8 for side in resized_px):
        raise another_size(path, depth, footage)
    K_px = arrays["intrinsic"]
    if K_px.shape != (3, 3):
        raise DataError(f"{path}: array 'intrinsic' has shape {K_px.shape}, not (3, 3); is it another tool's file?")
    crop = resized(footage.image_size_px, resized_px)
    return geometry_of(
        path,
        footage,
        provenance_of("megasam", model),
        "arbitrary",
        matrices_of(path, arrays, "cam_c2w", (4, 4)),
        np.tile(crop.image_K(K_px), (len(depth), 1, 1)),
        crop,
        known_depth(depth, depth < FARTHEST),
    )

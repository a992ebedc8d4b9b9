r"""Artefacts of Depth Anything 3 (github.com/ByteDance-Seed/Depth-Anything-3, at 2c21ea8; Apache-2.0, weights differ).

In its own environment, with the video's frames as images in FRAMES, in the order of their names:

    da3 images FRAMES --export-dir OUT --auto-cleanup --export-format mini_npz \
        --model-dir depth-anything/DA3NESTED-GIANT-LARGE-1.1

and OUT, or OUT/exports/mini_npz/results.npz, is read here (`npz` in place of `mini_npz` as well):

    depth       (N, h, w) along the optical axis: in metres of the nested models, else in a unit of its own
    extrinsics  (N, 3, 4) or (N, 4, 4), world to camera, OpenCV axes
    intrinsics  (N, 3, 3) in pixels of the depth map
    conf        (N, h, w) 1 + exp(x); exactly 1 in the sky, whose depth, a large one, the nested models make up

The file does not say which model made it. The network sees the whole image, its longer side at `--process-res`, both
sides stretched to multiples of 14 (`--process-res-method upper_bound_resize`, the default; that cropped is not read).
"""

from __future__ import annotations

from pathlib import Path

from stvlm.pseudo_labels.artefacts import Footage, Geometry, resized
from stvlm.pseudo_labels.geometry.reading import (
    another_size,
    check_count,
    geometry_of,
    inverse,
    known_depth,
    maps_of,
    matrices_of,
    only_file,
    read_npz,
    share,
)
from stvlm.pseudo_labels.licences import provenance_of

PATCH_PX = 14


def read(path: Path, footage: Footage, model: str | None = None) -> Geometry:
    """The geometry in a folder or file that Depth Anything 3 wrote; see `geometry.Reader`."""
    path = only_file(path, "exports/*npz/results.npz", footage.video_id)
    arrays = read_npz(path, ("depth", "extrinsics", "intrinsics"), ("conf",))
    depth = maps_of(path, arrays, "depth")
    check_count(path, len(depth), footage)
    if not _whole(footage.image_size_px, depth.shape[:0:-1]):
        raise another_size(path, depth, footage)
    confidence = maps_of(path, arrays, "conf", depth) if "conf" in arrays else None
    provenance = provenance_of("depth_anything3", model)
    crop = resized(footage.image_size_px, depth.shape[:0:-1])
    return geometry_of(
        path,
        footage,
        provenance,
        "metric" if "NESTED" in provenance.model else "arbitrary",
        inverse(matrices_of(path, arrays, "extrinsics", (3, 4), (4, 4))),
        crop.image_K(matrices_of(path, arrays, "intrinsics", (3, 3))),
        crop,
        known_depth(depth, None if confidence is None else confidence > 1),
        None if confidence is None else share(confidence),
    )


def _whole(image_size_px: tuple[int, int], size_px: tuple[int, int]) -> bool:
    """Whether maps of a size may show the whole image: at one scale, but for rounding to patches."""
    off_px = PATCH_PX / 2 + 0.5
    least = max((side - off_px) / whole for side, whole in zip(size_px, image_size_px, strict=True))
    most = min((side + off_px) / whole for side, whole in zip(size_px, image_size_px, strict=True))
    return least <= most and not any(side % PATCH_PX for side in size_px)

"""Artefacts of MapAnything (github.com/facebookresearch/map-anything, at f7ebafb; Apache-2.0, weights by model).

It has no program that writes what is needed. In its own environment, with the video's frames as images in FRAMES, in
the order of their names,

    python dataset_builder/run_mapanything.py FRAMES OUT

and OUT, or OUT/predictions.npz, is read here:

    depth_z       (N, h, w, 1) metres along the optical axis
    camera_poses  (N, 4, 4) camera to world, OpenCV axes
    intrinsics    (N, 3, 3) in pixels of the depth map
    conf          (N, h, w) 1 + exp(x)
    mask          (N, h, w, 1) 0 in the sky and on edges, where depth means nothing

The network sees the middle of the image, in that of ten shapes, 518 pixels long, which is nearest to it. It was not
made for things that move.
"""

from __future__ import annotations

from pathlib import Path

from stvlm.pseudo_labels.artefacts import Footage, Geometry
from stvlm.pseudo_labels.geometry.reading import (
    another_size,
    centred,
    check_count,
    geometry_of,
    known_depth,
    maps_of,
    matrices_of,
    only_file,
    read_npz,
    share,
)
from stvlm.pseudo_labels.licences import provenance_of

_SIZES_PX = {
    1.000: (518, 518),
    1.321: (518, 392),
    1.542: (518, 336),
    1.762: (518, 294),
    2.056: (518, 252),
    3.083: (518, 168),
    0.757: (392, 518),
    0.649: (336, 518),
    0.567: (294, 518),
    0.486: (252, 518),
}
"""Width and height of what the network sees, by the aspect of the images to which it is the nearest."""


def read(path: Path, footage: Footage, model: str | None = None) -> Geometry:
    """The geometry in a folder or file made as above; see `geometry.Reader`."""
    path = only_file(path, "predictions.npz", footage.video_id)
    arrays = read_npz(path, ("depth_z", "camera_poses", "intrinsics"), ("conf", "mask"))
    depth = maps_of(path, arrays, "depth_z")
    check_count(path, len(depth), footage)
    aspect = footage.image_size_px[0] / footage.image_size_px[1]
    size_px = _SIZES_PX[min(_SIZES_PX, key=lambda known: abs(known - aspect))]
    if depth.shape[:0:-1] != size_px:
        raise another_size(path, depth, footage)
    scale = max(seen / whole for seen, whole in zip(size_px, footage.image_size_px, strict=True)) + 1e-8
    width, height = (int(side * scale) for side in footage.image_size_px)
    crop = centred(footage.image_size_px, (width, height), size_px)
    mask = maps_of(path, arrays, "mask", depth) > 0.5 if "mask" in arrays else None
    return geometry_of(
        path,
        footage,
        provenance_of("mapanything", model),
        "metric",
        matrices_of(path, arrays, "camera_poses", (4, 4)),
        crop.image_K(matrices_of(path, arrays, "intrinsics", (3, 3))),
        crop,
        known_depth(depth, mask),
        share(maps_of(path, arrays, "conf", depth)) if "conf" in arrays else None,
    )

"""Artefacts of VGGT-Omega and VGGT (github.com/facebookresearch/vggt-omega, at 39a0cb8, and /vggt, at 2494ff7).

VGGT-Omega stands under the FAIR Noncommercial Research License, which holds for what is made with it too; VGGT's code
under the VGGT License, its weights by model. Neither has a program that writes what is needed but its demo, whose
predictions.npz is read as well. In its own environment, with the video's frames as images in FRAMES, in the order of
their names, `python export.py FRAMES OUT/predictions.npz`, where export.py is for VGGT-Omega

    import sys, numpy, torch
    from pathlib import Path
    from vggt_omega.models import VGGTOmega
    from vggt_omega.utils.load_fn import load_and_preprocess_images
    from vggt_omega.utils.pose_enc import encoding_to_camera as camera_of
    model = VGGTOmega().to("cuda").eval()
    model.load_state_dict(torch.load("vggt_omega_1b_512.pt", map_location="cpu"))
    images = load_and_preprocess_images(sorted(map(str, Path(sys.argv[1]).iterdir()))).to("cuda")
    with torch.inference_mode():
        found = model(images)
    extrinsic, intrinsic = camera_of(found["pose_enc"], images.shape[-2:])
    arrays = {"extrinsic": extrinsic, "intrinsic": intrinsic, **{name: found[name] for name in ("depth", "depth_conf")}}
    numpy.savez(sys.argv[2], **{name: array[0].float().cpu().numpy() for name, array in arrays.items()})

and for VGGT the same with `VGGT.from_pretrained("facebook/VGGT-1B")` of vggt.models.vggt, `load_and_preprocess_images`
of vggt.utils.load_fn and `pose_encoding_to_extri_intri` of vggt.utils.pose_enc. OUT, or the file, is read here:

    depth       (N, h, w, 1) along the optical axis, in a unit of its own
    depth_conf  (N, h, w) 1 + exp(x)
    extrinsic   (N, 3, 4) world to camera, OpenCV axes
    intrinsic   (N, 3, 3) in pixels of the depth map
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stvlm.pseudo_labels.artefacts import DepthCrop, Footage, Geometry, resized
from stvlm.pseudo_labels.geometry.reading import (
    another_size,
    centred,
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

Size = tuple[int, int]


def read(path: Path, footage: Footage, model: str | None = None) -> Geometry:
    """The geometry in a folder or file made with VGGT as above; see `geometry.Reader`."""
    return _read("vggt", path, footage, model, _crop(footage.image_size_px))


def read_omega(path: Path, footage: Footage, model: str | None = None) -> Geometry:
    """The geometry in a folder or file made with VGGT-Omega as above; see `geometry.Reader`."""
    return _read("vggt_omega", path, footage, model, _crops_of_omega(footage.image_size_px))


def _read(tool: str, path: Path, footage: Footage, model: str | None, crops: Mapping[Size, DepthCrop]) -> Geometry:
    path = only_file(path, "predictions.npz", footage.video_id)
    arrays = read_npz(path, ("depth", "extrinsic", "intrinsic"), ("depth_conf",))
    depth = maps_of(path, arrays, "depth")
    check_count(path, len(depth), footage)
    if depth.shape[:0:-1] not in crops:
        raise another_size(path, depth, footage)
    crop = crops[depth.shape[:0:-1]]
    return geometry_of(
        path,
        footage,
        provenance_of(tool, model),
        "arbitrary",
        inverse(matrices_of(path, arrays, "extrinsic", (3, 4))),
        crop.image_K(matrices_of(path, arrays, "intrinsic", (3, 3))),
        crop,
        known_depth(depth),
        share(maps_of(path, arrays, "depth_conf", depth)) if "depth_conf" in arrays else None,
    )


def _crop(image_size_px: Size) -> Mapping[Size, DepthCrop]:
    """What VGGT sees of an image: 518 pixels in width, its height stretched to a multiple of 14 and cut at 518."""
    width, height = image_size_px
    resized_px = (518, round(height * (518 / width) / 14) * 14)
    kept_px = (518, min(resized_px[1], 518))
    return {kept_px: centred(image_size_px, resized_px, kept_px)}


def _crops_of_omega(image_size_px: Size) -> Mapping[Size, DepthCrop]:
    """What VGGT-Omega may see of an image: its middle, at most twice as wide as high or the other way round, stretched
    to multiples of 16 with as many pixels as a square of 512 (or 256), or as long as that.
    """
    width, height = image_size_px
    if width > 2 * height:
        kept_px = (round(height * 2), height)
    elif height > 2 * width:
        kept_px = (width, round(width * 2))
    else:
        kept_px = image_size_px
    left, top = (width - kept_px[0]) // 2, (height - kept_px[1]) // 2
    aspect = kept_px[1] / kept_px[0]
    crops = {}
    for patches in (32, 16):
        wide = (patches * patches / aspect) ** 0.5
        long_side = (patches, patches * aspect) if aspect < 1 else (patches / aspect, patches)
        for columns, rows in ((wide, patches * patches / wide), long_side):
            seen_px = (max(1, round(columns)) * 16, max(1, round(rows)) * 16)
            inside = resized(kept_px, seen_px)
            x, y = inside.offset_xy_px
            crops[seen_px] = DepthCrop(inside.scale_xy, (x + left, y + top))
    return crops

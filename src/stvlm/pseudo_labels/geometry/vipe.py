"""Artefacts of ViPE (github.com/nv-tlabs/vipe, at 157494a, version 1.1.0; Apache-2.0, weights by pipeline).

In its own environment (`pip install nvidia-vipe`), with a video, or its frames as images in FRAMES:

    vipe infer VIDEO.mp4 --output OUT --pipeline default
    vipe infer --image-dir FRAMES --output OUT --pipeline default

and OUT is read here, for the one video in it or the one called after its id. (Of images it believes that there are 30 a
second, and looks for new instances in every 60th.) `model` is the pipeline; those for wide-angle and panoramic cameras
are not read.

    pose/NAME.npz              data (N, 4, 4) camera to world, OpenCV axes; inds (N,) the frames' numbers
    intrinsics/NAME.npz        data (N, 4) fx, fy, cx, cy at the video's size; inds
    intrinsics/NAME_camera.txt "0: PINHOLE", a line a frame
    depth/NAME.zip             00000.exr, ...: one channel Z of half floats, metres along the optical axis
    mask/NAME.zip, NAME.txt    00000.png, ...: which instance a pixel shows, 0 for none; "1: car", a line an instance

Instances are of kinds of things that may move, parked cars too: `moving` holds them all. One of them is the sky, whose
depth is left out. vipe/NAME_info.pkl is a pickle and is not opened.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from stvlm.pseudo_labels.artefacts import DepthCrop, Footage, Geometry
from stvlm.pseudo_labels.geometry.reading import (
    DAMAGE,
    OF_THIS_VIDEO,
    another_size,
    check_count,
    geometry_of,
    known_depth,
    matrices_of,
    only_file,
    read_npz,
    stacked,
    unreadable,
)
from stvlm.pseudo_labels.licences import provenance_of
from stvlm.records import Array, DataError

LONG_SIDE_PX = 640
"""Depth comes at the video's own size: of larger maps only every second, third, ... pixel is kept, none is averaged."""


def read(path: Path, footage: Footage, model: str | None = None) -> Geometry:
    """The geometry in a folder that ViPE wrote; see `geometry.Reader`."""
    poses_file = only_file(path, "pose/*.npz", footage.video_id)
    root, name = poses_file.parent.parent, poses_file.stem
    poses = _of_every_frame(poses_file, footage, (4, 4))
    intrinsics_file = root / "intrinsics" / f"{name}.npz"
    fx, fy, cx, cy = _pinhole(intrinsics_file, footage).T
    K_px = np.zeros((len(poses), 3, 3))
    K_px[:, 0, 0], K_px[:, 1, 1], K_px[:, 0, 2], K_px[:, 1, 2], K_px[:, 2, 2] = fx, fy, cx, cy, 1
    step = -(-max(footage.image_size_px) // LONG_SIDE_PX)
    first = (step - 1) // 2
    kept = (slice(first, None, step),) * 2
    depth = _maps(root / "depth" / f"{name}.zip", _depth, footage, kept)
    moving = None
    masks_file = root / "mask" / f"{name}.zip"
    if masks_file.exists():
        instances = _maps(masks_file, _instances, footage, kept)
        sky = np.isin(instances, _sky(masks_file.with_suffix(".txt")))
        depth[sky] = 0
        moving = (instances > 0) & ~sky
    return geometry_of(
        path,
        footage,
        provenance_of("vipe", model),
        "metric",
        poses,
        K_px,
        DepthCrop((step, step), (first, first)),
        depth,
        moving=moving,
    )


def _of_every_frame(path: Path, footage: Footage, shape: tuple[int, ...]) -> Array:
    """An array (N, *shape) with what belongs to each frame of the footage."""
    arrays = read_npz(path, ("data", "inds"))
    values = matrices_of(path, arrays, "data", shape)
    check_count(path, len(values), footage)
    if arrays["inds"].tolist() != list(range(len(footage.times_s))):
        raise DataError(f"{path}: leaves out frames; {OF_THIS_VIDEO}")
    return values


def _pinhole(path: Path, footage: Footage) -> Array:
    """fx, fy, cx, cy (N, 4); raises DataError for another kind of camera."""
    kinds = path.with_name(f"{path.stem}_camera.txt")
    if kinds.exists():
        found = {line.rpartition(":")[2].strip() for line in _lines(kinds)} - {"PINHOLE"}
        if found:
            raise DataError(f"{kinds}: the camera is {found.pop()}, not PINHOLE; run ViPE with --pipeline default")
    return _of_every_frame(path, footage, (4,))


def _maps(path: Path, decode: Callable[[bytes], Array], footage: Footage, kept: tuple[slice, slice]) -> Array:
    """Maps (N, h, w) of a zip file that holds one a frame at the video's size, thinned out."""

    def thinned(data: bytes) -> Array:
        full = decode(data)
        if full.shape[::-1] != footage.image_size_px:
            raise another_size(path, full, footage)
        return full[kept]

    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
            check_count(path, len(names), footage)
            return stacked(path, (thinned(archive.read(name)) for name in names), len(names))
    except DAMAGE as error:
        raise unreadable(path, error) from error


def _depth(data: bytes) -> Array:
    try:
        import OpenEXR
    except ImportError as error:
        raise DataError("ViPE's depth is in OpenEXR files: type pip install 'stvlm[pseudo]'") from error
    return known_depth(OpenEXR.File(io.BytesIO(data)).channels()["Z"].pixels)


def _instances(data: bytes) -> Array:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L"))


def _sky(path: Path) -> list[int]:
    """Ids of the instances that are sky."""
    pairs = [line.partition(":") for line in _lines(path)] if path.exists() else []
    return [int(number) for number, _, phrase in pairs if phrase.strip() == "sky" and number.strip().isdigit()]


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error

"""What the readers have in common: opening arrays, and telling when they are not of the footage."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from stvlm.pseudo_labels.artefacts import DepthCrop, Footage, Geometry, Provenance, Scale, resized
from stvlm.records import Array, DataError

OF_THIS_VIDEO = "make it again from the frames of this video, at their original size"
"""The cure where artefacts are of another video, or of other frames of it."""

DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading arrays and archives raises where they are damaged or missing."""


def only_file(path: Path, pattern: str, video_id: str) -> Path:
    """The file that `path` is, or the one under that folder that matches; of several, the one named after the video.

    That has the id where the pattern's last star is, each "/" of it as "_": of excerpt "street/0", "*_depth.npz" is
    street_0_depth.npz, and "**/poses.txt" lies in a folder street_0. Raises DataError.
    """
    if path.is_file():
        return path
    found = sorted(path.glob(pattern))
    ending = "/" + video_id.replace("/", "_") + pattern.rpartition("*")[2]
    named = [file for file in found if f"/{file.as_posix()}".endswith(ending)]
    if len(found) > 1 and len(named) != 1:
        raise DataError(f"{path}: holds {len(found)} files {pattern}; give the folder or the file of one video")
    if not found:
        raise DataError(f"{path / pattern}: is missing; give the folder that the tool wrote, once it has ended")
    return (named or found)[0]


def read_npz(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Array]:
    """Arrays of an npz file, by name; raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := [name for name in required if name not in file]:
                raise DataError(f"{path}: has no array {missing[0]!r}; is it another tool's file?")
            return {name: file[name] for name in (*required, *optional) if name in file}
    except DAMAGE as error:
        raise unreadable(path, error) from error


def read_npy(path: Path) -> Array:
    """The array of an npy file; raises DataError."""
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except DAMAGE as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DataError:
    """What is said of a file that is damaged or missing."""
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    return DataError(f"{path}: does not read ({reason}); let the tool make it again")


def matrices_of(path: Path, arrays: Mapping[str, Array], name: str, *shapes: tuple[int, ...]) -> Array:
    """The array of that name, which holds one of a shape for each frame; raises DataError."""
    array = arrays[name]
    if array.shape[1:] not in shapes or array.dtype.kind not in "fiu":
        wanted = " or ".join(str(("N", *shape)) for shape in shapes)
        raise DataError(f"{path}: array {name!r} has shape {array.shape}, not {wanted}; is it another tool's file?")
    return array


def maps_of(path: Path, arrays: Mapping[str, Array], name: str, like: Array | None = None) -> Array:
    """The array of that name as maps (N, h, w), of the shape of others where those are given; raises DataError.

    In the file they may have an axis of length 1 at the end.
    """
    array = arrays[name]
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    wanted = "(N, h, w)" if like is None else str(like.shape)
    if array.ndim != 3 or array.dtype.kind not in "fiub" or (like is not None and array.shape != like.shape):
        raise DataError(f"{path}: array {name!r} has shape {array.shape}, not {wanted}; is it another tool's file?")
    return array


def check_count(path: Path, found: int, footage: Footage) -> None:
    """Raises DataError unless there is one of what was found in a file for each frame of the footage."""
    if found != len(footage.times_s):
        raise DataError(f"{path}: has {found} frames, the video {len(footage.times_s)}; {OF_THIS_VIDEO}")


def stacked(path: Path, frames: Iterable[Array], count: int) -> Array:
    """Maps (h, w) of as many frames as one array (count, h, w); raises DataError where they differ in size."""
    maps = np.empty((count, 0, 0))
    for number, frame in enumerate(frames):
        if not number:
            maps = np.empty((count, *frame.shape), dtype=frame.dtype)
        if frame.ndim != 2 or frame.shape != maps.shape[1:]:
            shapes = f"{maps.shape[1:]} and {frame.shape}"
            raise DataError(f"{path}: frame {number} is no map like the first, of shapes {shapes}; {OF_THIS_VIDEO}")
        maps[number] = frame
    return maps


def another_size(path: Path, maps: Array, footage: Footage) -> DataError:
    """What is said of maps (N, h, w) that are not made of images of the footage's size."""
    h, w = maps.shape[-2:]
    size = "{} x {}".format(*footage.image_size_px)
    return DataError(f"{path}: has maps of {w} x {h}, which are not made of images of {size}; {OF_THIS_VIDEO}")


def centred(image_size_px: tuple[int, int], resized_px: tuple[int, int], kept_px: tuple[int, int]) -> DepthCrop:
    """The crop of maps made from an image that was resized, and then cut to its middle of `kept_px` (w, h)."""
    left, top = ((whole - kept) // 2 for whole, kept in zip(resized_px, kept_px, strict=True))
    return resized(image_size_px, resized_px, (left, top))


def known_depth(depth: Array, known: Array | None = None) -> Array:
    """Depth as float32 with 0 where it is not a finite number above 0, or not `known`."""
    good = np.isfinite(depth) & (depth > 0)
    if known is not None:
        good &= known
    return np.where(good, depth, 0).astype(np.float32)


def share(confidence: Array) -> Array:
    """Confidence 1 + exp(x), which networks of DUSt3R's kind predict, as float32 in 0..1: 1 - 1 / confidence."""
    return np.asarray(1 - 1 / np.maximum(np.nan_to_num(confidence, nan=1.0), 1.0), dtype=np.float32)


def inverse(camera_SE3_world: Array) -> Array:
    """world_SE3_camera (N, 4, 4) of extrinsics (N, 3, 4) or (N, 4, 4), which map world points to camera points."""
    rotation = np.swapaxes(camera_SE3_world[:, :3, :3], 1, 2).astype(np.float64)
    poses = np.tile(np.eye(4), (len(rotation), 1, 1))
    poses[:, :3, :3] = rotation
    poses[:, :3, 3] = -(rotation @ camera_SE3_world[:, :3, 3:].astype(np.float64))[..., 0]
    return poses


def geometry_of(
    path: Path,
    footage: Footage,
    provenance: Provenance,
    scale: Scale,
    world_SE3_camera: Array,
    image_K_px: Array,
    crop: DepthCrop,
    depth: Array,
    confidence: Array | None = None,
    moving: Array | None = None,
) -> Geometry:
    """The geometry of a footage, whose maps are taken over; raises DataError that names `path`.

    None of the tools knows where up is.
    """
    for maps in (depth, confidence, moving):
        if maps is not None:
            maps.setflags(write=False)
    try:
        return Geometry(
            times_s=footage.times_s,
            world_SE3_camera=world_SE3_camera,
            K_px=image_K_px,
            image_size_px=footage.image_size_px,
            is_upright=False,
            scale=scale,
            provenance=provenance,
            depth=depth,
            crop=crop,
            confidence=confidence,
            moving=moving,
        )
    except ValueError as error:
        raise DataError(f"{path}: {error}; is it another tool's file? else let the tool make it again") from error

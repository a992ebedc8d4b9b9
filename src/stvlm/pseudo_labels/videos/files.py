"""A video file, or a folder of numbered images, as a `Video`; and what is known of all videos of a collection."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from stvlm.pseudo_labels.videos.video import Video
from stvlm.recipes import from_mapping
from stvlm.records import Array, Camera, DataError, Domain, ImageError, Recording, Rejected, Split
from stvlm.sources.images import DAMAGE, ImageFiles
from stvlm.sources.licences import licence_of
from stvlm.sources.splits import listed
from stvlm.sources.video_files import NoVideoError, VideoFrames, size_px, times_s

CAMERA = "camera"
"""The name of the one camera of a plain video."""
TIME_FILES = ("frames.csv", "fps.txt")
"""What may tell when the images beside it were taken; the first that there is counts."""


@dataclass(frozen=True)
class About:
    """What is known of all videos of a collection; what stands beside a video overrules it."""

    domain: Domain = "driving"
    licence: str = ""
    hfov_deg: float | None = None
    """What the images show from their left border to their right one."""
    camera_height_m: float | None = None
    """Above the ground."""
    images_hz: float | None = None
    """How many images of a sequence were taken each second, where no file beside them says."""

    def __post_init__(self) -> None:
        if self.domain not in get_args(Domain):
            raise ValueError(f"domain is one of {', '.join(get_args(Domain))}; got {self.domain!r}")
        if self.hfov_deg is not None:
            check_hfov(self.hfov_deg)
        for name in ("camera_height_m", "images_hz"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"{name} is above 0; got {value}")


def about(source: str, options: Mapping[str, Any], **known: Any) -> About:
    """What is known of a source's videos, overruled by a recipe's options; raises DataError."""
    terms = licence_of(source).terms
    return from_mapping(About, {"licence": terms, **known, **options}, f"source {source}")


def check_hfov(hfov_deg: float) -> None:
    """Raises ValueError where a pinhole camera cannot see so far to the sides."""
    if not 1 <= hfov_deg <= 170:
        raise ValueError(f"hfov_deg is an angle in degrees from 1 to 170; got {hfov_deg}")


def camera_of_hfov(image_size_px: tuple[int, int], hfov_deg: float) -> Camera:
    """A pinhole camera with square pixels that looks through the middle of its images."""
    width_px, height_px = image_size_px
    focal_px = width_px / 2 / float(np.tan(np.deg2rad(hfov_deg) / 2))
    return Camera(CAMERA, width_px, height_px, focal_px, focal_px, (width_px - 1) / 2, (height_px - 1) / 2)


def split_of_each(
    name: str, root: Path, ids: Iterable[str], official: Mapping[str, Split] | None
) -> list[Recording | Rejected]:
    """A Recording for each id, sorted: by the root's splits.json, else by the publisher's lists, else "train".

    Raises DataError.
    """
    if (root / "splits.json").is_file():
        return listed(name, root, ids)
    return [
        Recording(name, video_id, "train" if official is None else official[video_id])
        if official is None or video_id in official
        else Rejected("not in the official split lists", video_id)
        for video_id in sorted(ids)
    ]


def of_video_file(recording: Recording, path: Path, known: About) -> Video | Rejected:
    """All frames of a video file, at the times at which it shows them."""
    try:
        shown_s, image_size_px = times_s(path), size_px(path)
    except NoVideoError as error:
        return Rejected("no video stream", str(error))
    except ImageError as error:
        return Rejected("video does not open", str(error))
    if len(shown_s) < 2:
        return Rejected("one frame", f"{path}: has {len(shown_s)} frame; nothing moves in it")
    numbers = np.arange(len(shown_s))
    return Video(
        recording=recording,
        domain=known.domain,
        times_s=shown_s,
        image_size_px=image_size_px,
        frames=VideoFrames(path, numbers, *image_size_px),
        images=tuple((str(path.absolute()), number) for number in numbers.tolist()),
        camera=None if known.hfov_deg is None else camera_of_hfov(image_size_px, known.hfov_deg),
        camera_height_m=known.camera_height_m,
        licence=known.licence,
    )


def of_image_files(recording: Recording, paths: list[Path], taken_s: Array, known: About) -> Video | Rejected:
    """Images that were taken at given times (N,)."""
    try:
        with Image.open(paths[0]) as image:
            image_size_px = image.size
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        return Rejected("image does not decode", f"{paths[0]}: the image does not decode ({reason})")
    return Video(
        recording=recording,
        domain=known.domain,
        times_s=taken_s - taken_s[0],
        image_size_px=image_size_px,
        frames=ImageFiles(tuple(paths), *image_size_px),
        images=tuple(str(path.absolute()) for path in paths),
        camera=None if known.hfov_deg is None else camera_of_hfov(image_size_px, known.hfov_deg),
        camera_height_m=known.camera_height_m,
        licence=known.licence,
    )


def image_times(folder: Path, names: list[str], images_hz: float | None) -> tuple[list[str], Array]:
    """The images of a sequence in order, and when each was taken (N,) in seconds; raises DataError.

    By frames.csv (file,time_s), else by their numbers and the rate in fps.txt, else by their numbers and `images_hz`.
    """
    listed_times, rate = (folder / name for name in TIME_FILES)
    if listed_times.is_file():
        return _listed_times(listed_times, names)
    if rate.is_file():
        images_hz = _rate(rate)
    if images_hz is None:
        cure = "write how many there are each second into fps.txt, or file,time_s of each into frames.csv"
        raise DataError(f"{folder}: does not say when its images were taken; {cure}, or set images_hz in the recipe")
    numbers = [number_of(name) for name in names]
    order = sorted(range(len(names)), key=numbers.__getitem__)
    numbers.sort()
    doubles = [names[i] for i, a, b in zip(order, numbers, numbers[1:], strict=False) if a == b]
    if doubles:
        again = f"another image has the number of {doubles[0]}"
        raise DataError(f"{folder}: {again}; one folder holds one sequence, each number once")
    return [names[i] for i in order], np.array(numbers, dtype=np.float64) / images_hz


def number_of(name: str) -> int:
    """The number at the end of an image's name, before its suffix; -1 where there is none."""
    stem = Path(name).stem
    digits = stem[len(stem.rstrip("0123456789")) :]
    return int(digits) if digits else -1


def _rate(path: Path) -> float:
    try:
        rate = float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: holds no number; write the images' rate into it, such as 29.97") from error
    if not 0 < rate < np.inf:
        raise DataError(f"{path}: {rate} is no rate; write how many images there are each second")
    return rate


def _listed_times(path: Path, names: list[str]) -> tuple[list[str], Array]:
    files: list[str] = []
    times: list[float] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                files.append(row["file"])
                times.append(float(row["time_s"]))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        where = f"{path}, row {len(files)}"
        raise DataError(f"{where}: does not read ({error}); wanted the columns file and time_s, in seconds") from error
    missing = sorted(set(files) - set(names))
    if missing:
        raise DataError(f"{path}: names {missing[0]}, which is not beside it; drop the row, or add the image")
    taken_s = np.array(times, dtype=np.float64)
    if not len(taken_s) or not np.isfinite(taken_s).all() or (np.diff(taken_s) <= 0).any():
        raise DataError(f"{path}: time_s must be given and grow from row to row; sort it, and drop doubles")
    return files, taken_s

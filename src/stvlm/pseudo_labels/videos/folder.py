"""Anybody's plain videos, and sequences of images, under any folder.

<root>/splits.json              {"train": [ids], "validation": [...], "test": [...]}; all are "train" without it
       <id>.mp4                 or .mov .mkv .avi .webm .m4v, at any depth; the path without suffix is the id
       <id>/000001.jpg, ...     or an image sequence: at least 5 numbered .jpg or .png files, with
            fps.txt             how many there are each second; the number in a name tells its time
            frames.csv          or file,time_s: the images in order, and when each was taken
       <id>.camera.json         optional: `CameraFile`
       <id>.mot.txt             optional: boxes of the objects in it, or <id>.coco.json
       <id>.marks.txt           or boxes in a few frames, which are followed through the others: MOTChallenge's nine
                                columns, such as "31,1,548.5,194.5,196,170,1,car,1" for object 1 in the 31st frame

An object is marked where it comes into view, where it leaves, and where it turns; each excerpt has marks of its own.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from stvlm.files import read_json
from stvlm.pseudo_labels.artefacts import Footage, ObjectTracks
from stvlm.pseudo_labels.objects.files import read_coco, read_mot
from stvlm.pseudo_labels.videos.files import (
    CAMERA,
    TIME_FILES,
    about,
    camera_of_hfov,
    check_hfov,
    image_times,
    number_of,
    of_image_files,
    of_video_file,
    split_of_each,
)
from stvlm.pseudo_labels.videos.video import Video
from stvlm.recipes import from_mapping
from stvlm.records import Camera, DataError, Recording, Rejected
from stvlm.sources.folders import walk, wrong_root

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
IMAGES = (".jpg", ".jpeg", ".png")
LEAST_IMAGES = 5
CAMERA_FILE = ".camera.json"

BoxReader = Callable[[Path, Footage], tuple[ObjectTracks, Counter[str]]]
MARKS = ".marks.txt"
BOX_FILES: Mapping[str, BoxReader] = {".mot.txt": read_mot, ".coco.json": read_coco, MARKS: read_mot}
"""How a file of boxes is read that lies beside a video <id>, by what follows the id in its name, such as ".mot.txt"."""

_INTRINSICS = ("fx_px", "fy_px", "cx_px", "cy_px")


@dataclasses.dataclass(frozen=True)
class CameraFile:
    """What <id>.camera.json says, for images of the video's size, upright."""

    fx_px: float | None = None
    fy_px: float | None = None
    cx_px: float | None = None
    cy_px: float | None = None
    hfov_deg: float | None = None
    """Or what the images show from their left border to their right one."""
    distortion: tuple[float, ...] = ()
    """OpenCV's k1, k2, p1, p2, k3."""
    height_m: float | None = None
    """Of the camera above the ground."""

    def __post_init__(self) -> None:
        given = [name for name in _INTRINSICS if getattr(self, name) is not None]
        if 0 < len(given) < 4 or (given and self.hfov_deg is not None):
            raise ValueError(f"give {', '.join(_INTRINSICS)} together, or hfov_deg alone")
        if self.distortion and not given:
            raise ValueError(f"distortion is given with {', '.join(_INTRINSICS)}")
        if self.hfov_deg is not None:
            check_hfov(self.hfov_deg)
        if self.height_m is not None and not self.height_m > 0:
            raise ValueError(f"height_m is above 0; got {self.height_m}")

    def camera(self, image_size_px: tuple[int, int]) -> Camera | None:
        """For images of (width, height); raises ValueError."""
        if self.hfov_deg is not None:
            return camera_of_hfov(image_size_px, self.hfov_deg)
        if self.fx_px is None or self.fy_px is None or self.cx_px is None or self.cy_px is None:
            return None
        width_px, height_px = image_size_px
        if not (0 < self.cx_px < width_px and 0 < self.cy_px < height_px):
            raise ValueError(f"cx_px and cy_px lie outside of {width_px} x {height_px}: give them for the video's size")
        return Camera(CAMERA, *image_size_px, self.fx_px, self.fy_px, self.cx_px, self.cy_px, self.distortion)


class VideoFiles:
    """Every video under a folder; satisfies ``VideoSource``."""

    def __init__(self, name: str, path: Path, options: Mapping[str, Any] | None = None) -> None:
        self.name, self._path = name, path
        self._about = about(name, options or {})

    @cached_property
    def _found(self) -> tuple[dict[str, Path | list[Path]], list[Rejected]]:
        """The video file or the images of each id; and what is left out."""
        found: dict[str, Path | list[Path]] = {}
        rejected: list[Rejected] = []
        boxes: dict[Path, str] = {}
        for folder, _, files in walk(self._path, skipped=()):
            images = []
            for name in files:
                path, suffix = folder / name, Path(name).suffix.lower()
                if name.startswith("."):  # what a Mac adds to each file that it packs
                    continue
                for end in BOX_FILES:
                    if name.endswith(end):
                        boxes[path] = path.relative_to(self._path).as_posix().removesuffix(end)
                if suffix in IMAGES and number_of(name) >= 0:
                    images.append(path)
                elif suffix in SUFFIXES:
                    video_id = path.relative_to(self._path).with_suffix("").as_posix()
                    if video_id in found:
                        rejected.append(Rejected("another video has its id", str(path)))
                    else:
                        found[video_id] = path
            if len(images) >= LEAST_IMAGES:
                video_id = folder.relative_to(self._path).as_posix()
                if video_id in found or video_id == ".":
                    rejected.append(Rejected("images without a folder of their own", str(folder)))
                else:
                    found[video_id] = images
        if not found:
            raise wrong_root(self.name, self._path, f"videos ({', '.join(SUFFIXES)}) nor folders of numbered images")
        rejected += [
            Rejected("boxes without a video", str(path)) for path, video_id in boxes.items() if video_id not in found
        ]
        for video_id in [video_id for video_id in found if _inside_another(video_id, found)]:
            rejected.append(Rejected("its id is that of another video's excerpt", video_id))
            del found[video_id]
        return found, rejected

    def recordings(self) -> list[Recording | Rejected]:
        """Every video, by id."""
        found, rejected = self._found
        return [*split_of_each(self.name, self._path, found, None), *rejected]

    def files(self, recording: Recording) -> list[Path]:
        """The video or its images, and what lies beside it."""
        place = self._found[0][recording.scene_id]
        beside = [self._path / f"{recording.scene_id}{suffix}" for suffix in (CAMERA_FILE, *BOX_FILES)]
        if isinstance(place, list):
            beside += [place[0].parent / name for name in TIME_FILES]
        return [*([place] if isinstance(place, Path) else place), *(path for path in beside if path.is_file())]

    def video(self, recording: Recording) -> Video | Rejected:
        """The video, with what lies beside it."""
        place = self._found[0][recording.scene_id]
        try:
            if isinstance(place, Path):
                video = of_video_file(recording, place, self._about)
            else:
                names, taken_s = image_times(place[0].parent, [path.name for path in place], self._about.images_hz)
                video = of_image_files(recording, [place[0].parent / name for name in names], taken_s, self._about)
            return video if isinstance(video, Rejected) else self._with_what_lies_beside(video)
        except DataError as error:
            return Rejected("video with a mistake", str(error))

    def _with_what_lies_beside(self, video: Video) -> Video:
        video_id = video.recording.scene_id
        path = self._path / f"{video_id}{CAMERA_FILE}"
        if path.is_file():
            described = from_mapping(CameraFile, read_json(path), str(path))
            try:
                camera = described.camera(video.image_size_px)
            except ValueError as error:
                raise DataError(f"{path}: {error}") from error
            video = dataclasses.replace(
                video,
                camera=camera or video.camera,
                camera_height_m=described.height_m or video.camera_height_m,
            )
        there = [suffix for suffix in BOX_FILES if (self._path / f"{video_id}{suffix}").is_file()]
        if len(there) > 1:
            raise DataError(f"{self._path / video_id}: has boxes in {' and '.join(there)}; leave one of the files")
        for suffix in there:
            boxes, left_out = BOX_FILES[suffix](self._path / f"{video_id}{suffix}", video.footage())
            return dataclasses.replace(video, boxes=boxes, to_follow=suffix == MARKS, left_out=left_out)
        return video


def _inside_another(video_id: str, ids: Mapping[str, object]) -> bool:
    """Whether an id is "a/0" or below it, where "a" is a video, too: a's excerpts are called so."""
    parts = video_id.split("/")
    return any(parts[i].isdecimal() and "/".join(parts[:i]) in ids for i in range(1, len(parts)))

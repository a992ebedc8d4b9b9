"""BDD100K: drives seen by telephones behind windscreens, some of them with boxes at 5 Hz.

    <root>/videos/{train,val,test}/<video>.mov                        40 s at 30 Hz
           images/track/{train,val,test}/<video>/<video>-0000001.jpg  or its frames at 5 Hz, numbered from 1
           labels/box_track_20/{train,val}/<video>.json               boxes at 5 Hz, for 1600 of 100,000 videos
           splits/{train,val,test}.txt                                optional: the publisher's lists

or the same below <root>/bdd100k. Where a video has boxes, its frames are those that were marked; else all of them.
How the marked frames were taken out of the videos is not documented: where only the video is there, they are those
nearest to k / 5 s. The publisher's own images of 10 s were seen two frames later than that, so boxes may be 0.07 s off.

The camera's intrinsics and height were not published: a recipe's `hfov_deg` and `camera_height_m` say what to assume.
The folder says to which split a video belongs, as the publisher's archives have it, where there are no lists.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from stvlm.pseudo_labels.artefacts import ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.videos.files import about, number_of, of_image_files, of_video_file, split_of_each
from stvlm.pseudo_labels.videos.video import Video, excerpt
from stvlm.records import Array, DataError, Recording, Rejected, Split
from stvlm.sources.folders import wrong_root

CATEGORIES = {
    "pedestrian": "person",
    "other person": "person",
    "car": "car",
    "truck": "truck",
    "bus": "bus",
    "trailer": "trailer",
    "train": "vehicle",  # as KITTI's Tram
    "other vehicle": "vehicle",
    "motorcycle": "motorcycle",
    "bicycle": "bicycle",
    "rider": "other",  # what they ride has a box of its own, and is asked about
}
"""Every other name is "other": not asked about, but it may hide others. So is a box around a crowd."""

LABELS_HZ = 5.0
SPLITS: dict[str, Split] = {"train": "train", "val": "validation", "test": "test"}


class Bdd100k:
    """The videos under a folder; satisfies ``VideoSource``."""

    name = "bdd100k"

    def __init__(self, path: Path, options: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._root = path / "bdd100k" if (path / "bdd100k").is_dir() else path
        self._about = about(self.name, options or {}, domain="driving")

    def _places(self, pattern: str) -> dict[str, Path]:
        """Files or folders by name, of every split, such as "videos/{split}/*.mov"."""
        return {
            place.stem: place for folder in SPLITS for place in sorted(self._root.glob(pattern.format(split=folder)))
        }

    @cached_property
    def _videos(self) -> dict[str, Path]:
        return self._places("videos/{split}/*.mov")

    @cached_property
    def _images(self) -> dict[str, Path]:
        return self._places("images/track/{split}/*")

    @cached_property
    def _labels(self) -> dict[str, Path]:
        return self._places("labels/box_track_20/{split}/*.json")

    def recordings(self) -> list[Recording | Rejected]:
        """Every video, by id; one that has boxes but neither a video nor images is left out."""
        places = self._images | self._videos
        if not places:
            wanted = "videos/{train,val,test}/*.mov nor images/track/{train,val,test}/<video>/*.jpg"
            raise wrong_root(self.name, self._path, wanted)
        lists = [self._root / "splits" / f"{name}.txt" for name in SPLITS]
        if all(path.is_file() for path in lists):
            splits = {
                video_id: split
                for path, split in zip(lists, SPLITS.values(), strict=True)
                for video_id in _read_list(path)
            }
        else:
            splits = {video_id: SPLITS[place.parent.name] for video_id, place in places.items()}
        missing = [Rejected("boxes without a video", video_id) for video_id in sorted(set(self._labels) - set(places))]
        return [*split_of_each(self.name, self._path, places, splits), *missing]

    def files(self, recording: Recording) -> list[Path]:
        """The video, its images and its boxes, those that there are."""
        video_id = recording.scene_id
        images = sorted(self._images[video_id].glob("*.jpg")) if video_id in self._images else []
        return [*images, *(places[video_id] for places in (self._videos, self._labels) if video_id in places)]

    def video(self, recording: Recording) -> Video | Rejected:
        """The video at the frames that have boxes, if any have."""
        video_id = recording.scene_id
        try:
            marked = _read_labels(self._labels[video_id]) if video_id in self._labels else {}
            if video_id in self._images and (marked or video_id not in self._videos):
                video, index = self._of_images(recording)
            else:
                video = of_video_file(recording, self._videos[video_id], self._about)
                index = np.array(sorted(marked))
                if isinstance(video, Video) and marked:
                    index, frames = _nearest(video.times_s, index)
                    video = excerpt(video, frames, video_id)
            if isinstance(video, Video) and marked:
                boxes = _tracks(video, [marked.get(int(i), []) for i in index], self._about.licence)
                video = dataclasses.replace(video, boxes=boxes)
        except DataError as error:
            return Rejected("video with a mistake", str(error))
        return video

    def _of_images(self, recording: Recording) -> tuple[Video | Rejected, Array]:
        """The video of the images that are there, and the number of each frame from 0."""
        paths = [path for path in self._images[recording.scene_id].glob("*.jpg") if number_of(path.name) > 0]
        if len(paths) < 2:
            return Rejected("one frame", f"{self._images[recording.scene_id]}: has {len(paths)} images"), np.zeros(0)
        paths.sort(key=lambda path: number_of(path.name))
        index = np.array([number_of(path.name) - 1 for path in paths])
        return of_image_files(recording, paths, index / LABELS_HZ, self._about), index


def _read_list(path: Path) -> list[str]:
    """The ids of a split; raises DataError."""
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: does not read ({error}); fetch the publisher's list again") from error


class _Attributes(msgspec.Struct):
    occluded: bool | None = None
    truncated: bool | None = None
    crowd: bool | None = None


class _Box(msgspec.Struct):
    x1: float
    y1: float
    x2: float
    y2: float


class _Label(msgspec.Struct):
    id: str | int
    category: str
    box2d: _Box | None = None
    attributes: _Attributes | None = None


class _Frame(msgspec.Struct):
    frameIndex: int  # from 0
    labels: list[_Label] | None = None


def _read_labels(path: Path) -> dict[int, list[_Label]]:
    """Labels by the frame's number, from 0, of a file in Scalabel's format; raises DataError."""
    try:
        frames = msgspec.json.decode(path.read_bytes(), type=list[_Frame])
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{path}: does not read ({error}); unpack the labels again") from error
    by_number = {frame.frameIndex: frame.labels or [] for frame in frames}
    if len(by_number) < len(frames):
        raise DataError(f"{path}: two frames have the same frameIndex; unpack the labels again")
    return by_number


def _nearest(times_s: Array, index: Array) -> tuple[Array, Array]:
    """Of label frames (n,), those that the video lasts to; and its frame nearest to each."""
    at_s = index / LABELS_HZ
    index = index[at_s <= times_s[-1] + 0.5 / LABELS_HZ]
    frames, first = np.unique(np.searchsorted((times_s[:-1] + times_s[1:]) / 2, index / LABELS_HZ), return_index=True)
    return index[first], frames


def _tracks(video: Video, labels: list[list[_Label]], licence: str) -> ObjectTracks:
    """What is marked in each of a video's N frames."""
    n = len(video.times_s)
    boxes: dict[str, Array] = {}
    categories: dict[str, str] = {}
    flags: dict[str, Array] = {}  # of each (2, N) truncated and occluded
    for i, of_frame in enumerate(labels):
        for label in of_frame:
            box, said = label.box2d, label.attributes or _Attributes()
            if box is None or not (box.x1 < box.x2 and box.y1 < box.y2):
                continue
            track_id = str(label.id)
            boxes.setdefault(track_id, np.full((n, 4), np.nan))[i] = box.x1, box.y1, box.x2, box.y2
            flags.setdefault(track_id, np.zeros((2, n), dtype=bool))[:, i] = bool(said.truncated), bool(said.occluded)
            category = "other" if said.crowd else CATEGORIES.get(label.category, "other")
            if categories.setdefault(track_id, category) != category:
                categories[track_id] = "other"
    tracks = tuple(
        ObjectTrack(track_id, categories[track_id], of_track, ~np.isnan(of_track[:, 0]), *flags[track_id])
        for track_id, of_track in boxes.items()
    )
    return ObjectTracks(video.times_s, video.image_size_px, tracks, Provenance("BDD100K's labels", licence=licence))

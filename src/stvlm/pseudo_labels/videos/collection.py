"""Which video, and which part of it, and whether it is what it was: small enough to be sent to another process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stvlm.hashing import stable_hash
from stvlm.pseudo_labels.artefacts import ObjectTrack
from stvlm.pseudo_labels.videos import open_videos
from stvlm.pseudo_labels.videos.video import OF_FRAME, Video, VideoSource, excerpt
from stvlm.records import DataError, Recording, Rejected


class Collection(NamedTuple):
    """A collection of videos and where it lies; enough to open it in another process."""

    name: str
    path: str | None
    options: str  # JSON: hashable, so that an open one can be kept

    def open(self) -> VideoSource:
        """The collection, opened once a process."""
        return _open(self)


@lru_cache(maxsize=8)
def _open(collection: Collection) -> VideoSource:
    path = None if collection.path is None else Path(collection.path)
    return open_videos(collection.name, path, json.loads(collection.options))


@lru_cache(maxsize=1)
def video_of(collection: Collection, recording: Recording) -> Video | Rejected:
    """A video of a collection, or why it cannot be labelled; the last one is kept."""
    return collection.open().video(recording)


class Excerpt(NamedTuple):
    """A part of a video."""

    collection: Collection
    recording: Recording  # of the video
    name: str
    frames: tuple[int, ...]
    content: str  # hash of all that is known of its images

    def video(self) -> Video:
        """The part alone."""
        video = video_of(self.collection, self.recording)
        if isinstance(video, Rejected):
            raise DataError(f"{self.recording.scene_id}: {video.reason}; it was another video before; run it again")
        return excerpt(video, np.array(self.frames), self.name)


def content_of(video: Video) -> str:
    """A hash of what is known of an excerpt: of its files their size and time, not their bytes."""
    found = state_of({Path(image if isinstance(image, str) else image[0]) for image in video.images or ()})
    boxes = [] if video.boxes is None else [_known(track) for track in video.boxes.tracks]
    poses = [] if video.world_SE3_camera is None else video.world_SE3_camera.tolist()
    numbers = [image if isinstance(image, str) else image[1] for image in video.images or ()]
    known = (video.recording, video.domain, video.camera, video.camera_height_m, video.licence, video.image_size_px,
             video.to_follow)  # fmt: skip
    return stable_hash(known, found, [Path(str(n)).name for n in numbers], video.times_s.tolist(), boxes, poses)


def _known(track: ObjectTrack) -> list[Any]:
    masks = [None if mask is None else mask.tolist() for mask in track.masks or ()]
    return [
        track.track_id,
        track.category,
        track.hidden_foot,
        masks,
        *(getattr(track, name).tolist() for name in OF_FRAME),
    ]


def state_of(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Names, sizes and times of files, which tell when one was changed."""
    found = []
    for path in sorted(files):
        with suppress(OSError):  # a link that leads nowhere
            found.append((path.name, path.stat().st_size, path.stat().st_mtime_ns))
    return found

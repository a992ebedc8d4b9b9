"""What a video is before anybody has looked at it, and what collections of them answer: `Video`, `VideoSource`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from stvlm.pseudo_labels.artefacts import Footage, ObjectTracks
from stvlm.recording_folder import ImageRef
from stvlm.records import Array, Camera, Domain, Frames, Recording, Rejected, check_increasing, read_only, set_fields

OF_FRAME = ("boxes_px", "score", "truncated", "occluded")
"""What a track of a video's own boxes has for each frame."""


@dataclass(frozen=True, eq=False, slots=True)
class Video:
    """A camera's images, and what is known of them before anybody looks at them."""

    recording: Recording
    domain: Domain
    times_s: Array  # (N,) float64, when each frame is shown, strictly increasing
    image_size_px: tuple[int, int]  # width, height, as it is seen: upright
    frames: Frames  # N of them
    images: tuple[ImageRef, ...] | None  # where each frame is on disk, as absolute paths; None where they are rendered
    camera: Camera | None = None  # of that size; None where its intrinsics are not known
    camera_height_m: float | None = None  # above the ground, where that is known
    world_SE3_camera: Array | None = None  # (N, 4, 4), z up, where its source tells how the camera moved
    boxes: ObjectTracks | None = None  # what people or a tracker have marked, at `times_s`
    to_follow: bool = False  # whether boxes are marked in a few frames alone, and to be followed through the others
    licence: str = ""  # of the images
    start_s: float = 0.0  # where it begins in the video that it is an excerpt of
    left_out: Mapping[str, int] = field(default_factory=dict)  # why boxes of its file are not among them, and how many

    def __post_init__(self) -> None:
        what = f"video {self.recording.scene_id!r}"
        times_s = read_only(self.times_s, np.float64, (None,), f"{what}: times_s")
        check_increasing(times_s, f"{what}: times_s")
        if not len(times_s):
            raise ValueError(f"{what}: has no frames")
        if self.images is not None and len(self.images) != len(times_s):
            raise ValueError(f"{what}: {len(times_s)} times for {len(self.images)} images")
        if self.camera is not None and (self.camera.width_px, self.camera.height_px) != self.image_size_px:
            raise ValueError(f"{what}: its camera has another size than {self.image_size_px}")
        if self.boxes is not None and not np.array_equal(self.boxes.times_s, times_s):
            raise ValueError(f"{what}: its boxes are of other times")
        set_fields(self, times_s=times_s)
        if self.world_SE3_camera is not None:
            poses = read_only(self.world_SE3_camera, np.float64, (len(times_s), 4, 4), f"{what}: world_SE3_camera")
            set_fields(self, world_SE3_camera=poses)

    def footage(self) -> Footage:
        """What the stages know of it."""
        return Footage(self.recording.scene_id, self.times_s, self.image_size_px)


class VideoSource(Protocol):
    """A collection of videos. Opening one reads indices only; a video is read when it is asked for."""

    name: str

    def recordings(self) -> Sequence[Recording | Rejected]:
        """Every video, in an order that stays, and what is left out; raises DataError when the folder is not this
        source's.
        """

    def files(self, recording: Recording) -> Sequence[Path]:
        """All files that a video is read from, of which some may tell of others, too."""

    def video(self, recording: Recording) -> Video | Rejected:
        """A video, its images not decoded; what cannot be used is Rejected."""


def excerpt(video: Video, frames: Array, name: str) -> Video:
    """Some frames (n,) of a video, in order, as a video called `name`; its times begin with 0."""
    times_s = video.times_s[frames] - video.times_s[frames[0]]
    boxes = video.boxes
    if boxes is not None:
        tracks = []
        for track in boxes.tracks:
            if np.isnan(track.boxes_px[frames]).all():
                continue
            masks = None if track.masks is None else tuple(track.masks[frame] for frame in frames)
            of_frames = {key: getattr(track, key)[frames] for key in OF_FRAME}
            tracks.append(replace(track, masks=masks, **of_frames))
        boxes = replace(boxes, times_s=times_s, tracks=tuple(tracks))
    return replace(
        video,
        recording=video.recording._replace(scene_id=name),
        times_s=times_s,
        frames=_Chosen(video.frames, frames),
        images=None if video.images is None else tuple(video.images[frame] for frame in frames),
        world_SE3_camera=None if video.world_SE3_camera is None else video.world_SE3_camera[frames],
        boxes=boxes,
        start_s=video.start_s + float(video.times_s[frames[0]]),
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Chosen:
    """Some of a video's frames; satisfies ``records.Frames``."""

    frames: Frames
    chosen: Array  # (n,) int

    def available(self) -> Array:
        return np.asarray(self.frames.available()[self.chosen])

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        return self.frames.read(int(self.chosen[index]), least_width_px)

"""Labelled recordings as videos, so that labels made from their images alone can be held against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from stvlm.dataset.visibility import VisibilityGates, boxes_in_view, see
from stvlm.pseudo_labels.artefacts import ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.videos.video import Video, excerpt
from stvlm.recording_folder import ImageRef
from stvlm.records import Array, DataError, Frames, ImageError, Recording, Rejected, Scene, Source
from stvlm.sources.folders import IMAGES, walk
from stvlm.sources.images import ImageFiles
from stvlm.sources.licences import licence_of
from stvlm.sources.video_files import VideoFrames

HIDDEN, OCCLUDED = 0.8, 0.2
"""Of an object that nearer ones cover more than this nobody would draw a box; and it is hidden in part above that."""
NEAR_M, LEAST_NEAR = 15.0, 20
"""The ground is where boxes so near to the camera end, if there are as many, by the median."""


class HiddenLabels:
    """A source's recordings, one video a camera, called <scene id>/<camera>; a
    ``VideoSource`` but for its files.

    A video has the camera's intrinsics and poses, and boxes that are the projections of the 3D ones; whoever wants to
    do without takes them off (``dataclasses.replace``). The truth is in its `scene`.
    """

    def __init__(self, source: Source, cameras: Sequence[str] | None = None, path: Path | None = None) -> None:
        """`cameras`: which are used; those of the first recording that can be read, if None. `path`: where it lies."""
        self.name, self._source, self._chosen, self._path = source.name, source, cameras, path
        self._scenes = lru_cache(maxsize=1)(self._read)  # a recording's cameras are asked for one after the other

    @cached_property
    def _listed(self) -> dict[str, Recording | Rejected]:
        """The source's recordings by id."""
        items = self._source.recordings()
        return {item.subject if isinstance(item, Rejected) else item.scene_id: item for item in items}

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        """The cameras whose videos are used."""
        if self._chosen is not None:
            return tuple(self._chosen)
        for item in self._listed.values():
            if isinstance(item, Recording) and (scenes := self._scenes(item)[0]):
                return tuple(scenes)
        raise DataError(f"source {self.name}: none of its recordings can be read; check it with build.py --check")

    def recordings(self) -> list[Recording | Rejected]:
        """A video for each recording and camera, by id, and what the source leaves out."""
        items = self._listed.values()
        rejected = [item for item in items if isinstance(item, Rejected)]
        found = [item for item in items if isinstance(item, Recording)]
        videos = [item._replace(scene_id=f"{item.scene_id}/{camera}") for item in found for camera in self.cameras]
        return [*sorted(videos), *rejected]

    def files(self, recording: Recording) -> list[Path]:
        """All annotations of the source: which of them tell of one recording, the source alone knows."""
        return self._annotations

    @cached_property
    def _annotations(self) -> list[Path]:
        folders = [] if self._path is None else walk(self._path)
        files = [folder / name for folder, _, names in folders for name in names]
        return [file for file in files if file.suffix.lower() not in IMAGES]

    def scene(self, video_id: str) -> Scene | Rejected:
        """The labelled scene that a video shows. Its frames are those of the video from ``Video.start_s`` on."""
        scene_id, _, camera = video_id.rpartition("/")
        scenes, rejected = self._scenes(self._listed[scene_id])
        if camera in scenes:
            return scenes[camera]
        return rejected[0] if rejected and not scenes else Rejected("no such camera", video_id)

    def video(self, recording: Recording) -> Video | Rejected:
        """The scene's frames that have an image, or all where most have none, and what is known of them."""
        scene = self.scene(recording.scene_id)
        if isinstance(scene, Rejected):
            return scene
        times_s = (scene.frame_times_ns - scene.frame_times_ns[0]) / 1e9
        there = np.zeros(len(times_s), dtype=bool) if scene.frames is None else scene.frames.available()
        video = Video(
            recording=recording,
            domain=scene.domain,
            times_s=times_s,
            image_size_px=(scene.camera.width_px, scene.camera.height_px),
            frames=scene.frames or _NoImages(len(times_s)),
            images=None if scene.frames is None or 2 * there.sum() < len(there) else _on_disk(scene.frames),
            camera=scene.camera,
            camera_height_m=camera_height_m(scene),
            world_SE3_camera=scene.world_SE3_camera,
            boxes=projected(scene),
            licence=licence_of(self.name).terms,
        )
        most = 2 * there.sum() >= len(there) and not there.all()
        return excerpt(video, np.flatnonzero(there), recording.scene_id) if most else video

    def _read(self, recording: Recording) -> tuple[dict[str, Scene], list[Rejected]]:
        """A recording's scenes by camera, and what it leaves out."""
        items = list(self._source.scenes(recording))
        scenes = {item.camera.name: item for item in items if isinstance(item, Scene)}
        return scenes, [item for item in items if isinstance(item, Rejected)]


def projected(scene: Scene) -> ObjectTracks:
    """The 3D boxes of a scene's tracks as boxes in its images, where they are to be seen."""
    times_s = (scene.frame_times_ns - scene.frame_times_ns[0]) / 1e9
    size_px = (scene.camera.width_px, scene.camera.height_px)
    seen, clear = (see(scene, VisibilityGates(0, 0, most)).visible for most in (HIDDEN, OCCLUDED))
    tracks = []
    for i, track in enumerate(scene.tracks):
        frames = np.flatnonzero(seen[:, i])
        if not len(frames):
            continue
        boxes_px = np.full((len(times_s), 4), np.nan)
        boxes_px[frames] = boxes_in_view(scene, [track], frames)[:, 0]
        x0, y0, x1, y1 = boxes_px.T
        truncated = (x0 <= 0) | (y0 <= 0) | (x1 >= size_px[0]) | (y1 >= size_px[1])
        tracks.append(
            ObjectTrack(
                track_id=track.track_id,
                category=track.category,
                boxes_px=boxes_px,
                score=seen[:, i].astype(float),
                truncated=truncated,
                occluded=seen[:, i] & ~clear[:, i],
                hidden_foot=0.0,  # nobody had to guess it
            )
        )
    return ObjectTracks(times_s, size_px, tuple(tracks), Provenance(f"projected labels of {scene.source}"))


def camera_height_m(scene: Scene) -> float | None:
    """The camera's height above the ground, which is where the boxes near it end; None where there are too few."""
    heights_m = []
    for track in scene.tracks:
        if track.size_lwh_m is None:
            continue
        frame = np.searchsorted(scene.frame_times_ns[1:], track.times_ns, side="right")
        camera_xyz_m = scene.world_SE3_camera[frame, :3, 3]
        away_m = np.linalg.norm((track.xyz_m - camera_xyz_m)[:, :2], axis=1)
        height_m = camera_xyz_m[:, 2] - track.xyz_m[:, 2] + track.size_lwh_m[:, 2] / 2
        heights_m += height_m[away_m < NEAR_M].tolist()
    return float(np.median(heights_m)) if len(heights_m) >= LEAST_NEAR else None


@dataclass(frozen=True)
class _NoImages:
    """Stands for images that are not there: boxes and poses can be used without."""

    count: int

    def available(self) -> Array:
        return np.zeros(self.count, dtype=bool)

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        raise ImageError("there are no images; without them only its boxes and known_poses can be used")


def _on_disk(frames: Frames) -> tuple[ImageRef, ...] | None:
    """Where each image is; None where they are no files."""
    if isinstance(frames, ImageFiles):
        return tuple(str(path.absolute()) for path in frames.paths)
    if isinstance(frames, VideoFrames):
        return tuple((str(frames.path.absolute()), int(number)) for number in frames.frame_numbers)
    return None

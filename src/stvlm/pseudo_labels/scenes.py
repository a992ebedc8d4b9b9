"""Labels -> a Scene of label type `pseudo`, and from there on the ordinary builder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stvlm.pseudo_labels.artefacts import ObjectTracks, Provenance
from stvlm.pseudo_labels.filters import Label
from stvlm.pseudo_labels.steps import World
from stvlm.pseudo_labels.videos.files import CAMERA
from stvlm.pseudo_labels.views import View
from stvlm.records import Array, Camera, Scene, Track


def scene_of(view: View, world: World, objects: ObjectTracks, labels: Sequence[Label], made_by: Provenance) -> Scene:
    """The labels that move, as a scene of the video's own images; its clock begins with them.

    What stands still is left out: nothing is asked about it. A camera whose intrinsics were not known has those that
    the geometry tells, in the median.
    """
    video = view.video
    boxes_of = {track.track_id: track.boxes_px for track in objects.tracks}
    moving = [label for label in labels if label.moving]
    labels_by = f"{made_by.tool}: {made_by.licence}" if made_by.licence else made_by.tool
    return Scene(
        source=video.recording.source,
        scene_id=video.recording.scene_id,
        split=video.recording.split,
        label_type="pseudo",
        domain=video.domain,
        centre_noise_m=0.0,  # each track has its own
        camera=video.camera or _camera(view, world.geometry.K_px),
        frame_times_ns=_ns(video.times_s),
        world_SE3_camera=world.geometry.world_SE3_camera,
        tracks=tuple(
            Track(
                track_id=label.track.track_id,
                category=label.track.category,
                times_ns=_ns(label.track.times_s),
                xyz_m=label.track.xyz_m,
                noise=label.noise,
                grade=label.grade,
            )
            for label in moving
        ),
        frames=video.frames,
        boxes_px={label.track.track_id: view.boxes_in_video(boxes_of[label.track.track_id]) for label in moving},
        licence=f"images: {video.licence or 'unknown'}; labels: {labels_by}",
    )


def _ns(times_s: Array) -> Array:
    return np.round(times_s * 1e9).astype(np.int64)


def _camera(view: View, K_px: Array) -> Camera:
    """For the video's images, of intrinsics (N, 3, 3) for the view's."""
    fx, fy, cx, cy = np.median(view.crop.image_K(K_px)[:, [0, 1, 0, 1], [0, 1, 2, 2]], axis=0).tolist()
    return Camera(CAMERA, *view.video.image_size_px, fx, fy, cx, cy)

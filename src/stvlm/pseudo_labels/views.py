"""A video as the stages see it: through a pinhole, and no larger than need be.

Stages know nothing of distortion and of 4K. What they find in a view's images is told in the video's own at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from stvlm.geometry import project
from stvlm.pseudo_labels.artefacts import (
    DepthCrop,
    Footage,
    ObjectTrack,
    ObjectTracks,
    decode_mask,
    encode_mask,
    resized,
)
from stvlm.pseudo_labels.points import rays
from stvlm.pseudo_labels.videos.video import Video
from stvlm.records import Array, Camera, LackingError

STEPS = 20
"""By which points without distortion are brought nearer to where they belong."""


@dataclass(frozen=True, eq=False)
class View:
    """A video's images without distortion, in a size of their own; satisfies ``records.Frames``."""

    video: Video
    footage: Footage
    K_px: Array | None  # (3, 3) for images of that size; None where the camera is not known

    def available(self) -> Array:
        """Whether each image exists, (N,) bool."""
        return self.video.frames.available()

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        """The image (H, W, 3) uint8 RGB; raises ImageError."""
        image = self.video.frames.read(index)
        if image.shape[1::-1] != self.footage.image_size_px:
            image = np.asarray(Image.fromarray(image).resize(self.footage.image_size_px, Image.Resampling.BOX))
        if not self._is_bent:
            return image
        cv2 = opencv()
        return np.asarray(cv2.remap(image, *self._sources, cv2.INTER_LINEAR))

    def objects(self) -> ObjectTracks | None:
        """The video's own boxes and masks, in the view's images; no masks where a lens is straightened."""
        boxes = self.video.boxes
        if boxes is None or (not self._is_bent and self.footage.image_size_px == self.video.image_size_px):
            return boxes
        tracks = [
            replace(track, boxes_px=self._boxes(track.boxes_px, self._to_view), masks=self._masks(track))
            for track in boxes.tracks
        ]
        return replace(boxes, image_size_px=self.footage.image_size_px, tracks=tuple(tracks))

    def boxes_in_video(self, boxes_px: Array) -> Array:
        """Boxes (N, 4) of the view in the video's images, which may be NaN."""
        return self._boxes(boxes_px, self._to_video)

    @property
    def _camera(self) -> Camera | None:
        return self.video.camera

    @property
    def _is_bent(self) -> bool:
        return self._camera is not None and bool(self._camera.distortion)

    @property
    def crop(self) -> DepthCrop:
        return resized(self.video.image_size_px, self.footage.image_size_px)

    def _to_video(self, pixels: Array) -> Array:
        pixels = self.crop.to_image(pixels)
        if self._camera is None or not self._is_bent:
            return pixels
        return np.asarray(project(self._camera, rays(intrinsics(self._camera), pixels)))

    def _to_view(self, pixels: Array) -> Array:
        if self._camera is not None and self._is_bent:
            K_px, distortion = intrinsics(self._camera), np.array(self._camera.distortion)
            lens = opencv().fisheye if self._camera.lens == "fisheye" else opencv()
            flat = lens.undistortPoints(pixels.reshape(-1, 1, 2), K_px, distortion, P=K_px).reshape(pixels.shape)
            for _ in range(STEPS):  # it stops after a few of its own, 0.4 px off in the corners of a wide image
                flat = flat + pixels - project(self._camera, rays(K_px, flat))
            pixels = flat
        return self.crop.to_depth(pixels)

    def _boxes(self, boxes_px: Array, to: Any) -> Array:
        """Around where a box's corners and the middles of its edges come to lie, cut at nothing."""
        x0, y0, x1, y1 = boxes_px.T
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        rim = [(x0, y0), (x, y0), (x1, y0), (x1, y), (x1, y1), (x, y1), (x0, y1), (x0, y)]
        there = to(np.moveaxis(np.array(rim), -1, 0))  # (N, 8, 2)
        return np.concatenate([there.min(axis=1), there.max(axis=1)], axis=1)

    def _masks(self, track: ObjectTrack) -> tuple[Array | None, ...] | None:
        """A track's masks at the middles of the view's pixels; None for one that has none of them."""
        if track.masks is None or self._is_bent:
            return None
        size_px = self.footage.image_size_px
        middles_px = [self.crop.to_image(np.repeat(np.arange(side)[:, None], 2, axis=1)) for side in size_px]
        columns, rows = (np.rint(at_px[:, axis]).astype(np.int64) for axis, at_px in enumerate(middles_px))
        masks: list[Array | None] = []
        for counts in track.masks:  # one at a time is decoded
            seen = None if counts is None else decode_mask(counts, self.video.image_size_px).T[columns][:, rows].T
            masks.append(None if seen is None or not seen.any() else encode_mask(seen))
        return tuple(masks)

    @cached_property
    def _sources(self) -> tuple[Array, Array]:
        """Where in the video's image, at the view's size, each of its pixels is: columns and rows (H, W) float32."""
        width, height = self.footage.image_size_px
        grid = np.stack(np.meshgrid(np.arange(float(width)), np.arange(float(height))), axis=-1)
        columns, rows = np.moveaxis(self.crop.to_depth(self._to_video(grid)).astype(np.float32), -1, 0)
        return np.ascontiguousarray(columns), np.ascontiguousarray(rows)


def view_of(video: Video, most_side_px: int | None) -> View:
    """The view of a video whose longer side has at most so many pixels; None for as many as the video's."""
    width, height = video.image_size_px
    shrink = 1.0 if most_side_px is None else min(1.0, most_side_px / max(width, height))
    size_px = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    K_px = None
    if video.camera is not None:
        K_px = resized(video.image_size_px, size_px).depth_K(intrinsics(video.camera))
    return View(video, Footage(video.recording.scene_id, video.times_s, size_px), K_px)


def intrinsics(camera: Camera) -> Array:
    """The matrix (3, 3) of a camera's intrinsics."""
    return np.array([[camera.fx_px, 0, camera.cx_px], [0, camera.fy_px, camera.cy_px], [0, 0, 1]])


def opencv() -> Any:
    """OpenCV; raises LackingError where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise LackingError("pseudo-labelling needs OpenCV; type: pip install 'stvlm[pseudo]'") from error
    return cv2

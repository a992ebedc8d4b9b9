"""Clips -> mp4: the sampled frames with the chosen objects' boxes drawn as outlines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

from stvlm.files import whole_file
from stvlm.kinematics import STEP_S
from stvlm.records import COLORS_RGB, Array, Camera, Clip, Frames

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
"""x264's, each slower than the one before, and its files smaller."""


@dataclass(frozen=True)
class VideoSettings:
    """How clips are written."""

    max_side_px: int = 640
    """Images are made smaller, never larger, so that their longer side is at most this."""
    crf: int = 18
    preset: str = "veryfast"

    def __post_init__(self) -> None:
        if self.max_side_px < 16:
            raise ValueError(f"max_side_px must be at least 16, got {self.max_side_px}")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf is x264's, 0 to 51, got {self.crf}")
        if self.preset not in PRESETS:
            raise ValueError(f"preset is one of {', '.join(PRESETS)}; got {self.preset!r}")


def video_size_px(camera: Camera, settings: VideoSettings) -> tuple[int, int]:
    """Width and height of a clip's mp4: the camera's shape, both even, as yuv420p demands."""
    scale = min(1.0, settings.max_side_px / max(camera.width_px, camera.height_px))
    most = settings.max_side_px // 2
    sides = (camera.width_px, camera.height_px)
    width, height = (max(1, min(round(side * scale / 2), side // 2, most)) for side in sides)
    return 2 * width, 2 * height


def scaled_boxes_px(clip: Clip, settings: VideoSettings) -> Array:
    """The clip's boxes (J, n, 4) in the mp4's pixels; NaN where unseen."""
    width, height = video_size_px(clip.scene.camera, settings)
    scale = np.array([width / clip.scene.camera.width_px, height / clip.scene.camera.height_px] * 2)
    return np.asarray(clip.boxes_px * scale)


class Shot(NamedTuple):
    """What an mp4 shows: frames of a scene, and boxes in the mp4's own pixels."""

    frame_index: Array  # (n,) int into the scene's frames
    boxes_px: Array  # (J, n, 4) x0, y0, x1, y1; NaN where unseen
    colors: Sequence[str]  # of each object's box
    step_s: float = STEP_S  # from one frame to the next
    is_mirrored: bool = False  # left and right exchanged; the boxes are where they are then


def draw_outline(image: Array, box_px: Array, color: str, thickness_px: int) -> None:
    """Draws the outline of a box (4,) into an image (H, W, 3) uint8, in place.

    It lies around the box, so that it hides nothing of a small object; at the image's border it lies inside.
    """
    height, width = image.shape[:2]
    t, rgb = thickness_px, COLORS_RGB[color]
    x0, y0 = (max(int(np.floor(v)) - t, 0) for v in box_px[:2])
    x1, y1 = (min(int(np.ceil(v)) + t, most) for v, most in zip(box_px[2:], (width, height), strict=True))
    image[y0 : y0 + t, x0:x1] = rgb
    image[y1 - t : y1, x0:x1] = rgb
    image[y0:y1, x0 : x0 + t] = rgb
    image[y0:y1, x1 - t : x1] = rgb


def outline_px(width_px: int, height_px: int) -> int:
    """Thickness of an outline: 4 pixels in 640, so that it survives scaling down to a model's 384 pixels."""
    return max(2, round(max(width_px, height_px) / 160))


def drawn_frames(frames: Frames, shot: Shot, size_px: tuple[int, int]) -> Iterator[Array]:
    """The shot's images (H, W, 3) uint8 RGB at a width and height, boxes drawn, the first object's on top."""
    for i, index in enumerate(shot.frame_index):
        image = frames.read(int(index), size_px[0])
        if (image.shape[1], image.shape[0]) != size_px:
            image = np.asarray(Image.fromarray(image).resize(size_px, Image.Resampling.BOX, reducing_gap=2.0))
        image = np.array(image[:, ::-1] if shot.is_mirrored else image)
        for box_px, color in reversed(list(zip(shot.boxes_px[:, i], shot.colors, strict=True))):
            if not np.isnan(box_px).any():
                draw_outline(image, box_px, color, outline_px(*size_px))
        yield image


def write_video(path: Path, frames: Iterator[Array], settings: VideoSettings, step_s: float = STEP_S) -> None:
    """Writes frames (H, W, 3) as H.264 mp4: frame i at i * step_s, every frame a key frame, one encoder thread.

    One thread, because x264's output depends on their number.
    """
    rate = Fraction(1 / step_s).limit_denominator(1000)
    with whole_file(path) as temporary, av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container:
        stream = None
        for image in frames:
            if stream is None:
                options = {"crf": str(settings.crf), "preset": settings.preset}
                stream = container.add_stream("libx264", rate=rate, options=options)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.gop_size = 1
                stream.codec_context.thread_count = 1
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        if stream is None:
            raise ValueError(f"{path}: a video needs at least one frame")
        for packet in stream.encode():
            container.mux(packet)


def read_video(path: Path) -> tuple[Array, Array]:
    """All frames of an mp4 (n, H, W, 3) uint8 RGB, and their presentation times (n,) in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), np.array([frame.time for frame in frames])

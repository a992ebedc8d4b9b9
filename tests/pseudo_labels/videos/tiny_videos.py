"""Tiny videos, made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stvlm.records import Array

WIDTH, HEIGHT = 64, 48


def drifting(count: int, colour: tuple[int, int, int] = (200, 120, 60), width: int = WIDTH) -> Iterable[Array]:
    """A coloured square that moves to the right by a pixel a frame, and comes back on the left, over grey."""
    for i in range(count):
        image = np.full((HEIGHT, width, 3), 90, np.uint8)
        image[10:30, (np.arange(20) + i) % width] = colour
        yield image


def write_video(
    path: Path, images: Iterable[Array], hz: int = 10, times_ms: Iterable[int] | None = None, turned_deg: int = 0
) -> Path:
    """A video of RGB images (H, W, 3), evenly spaced or at the given times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = list(images)
    times = list(times_ms) if times_ms is not None else [1000 * i // hz for i in range(len(images))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000, options={"crf": "1", "bf": "0", "g": "250"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if turned_deg:
            stream.set_display_rotation(turned_deg)
        for image, time_ms in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A second of silence, in the container of a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path

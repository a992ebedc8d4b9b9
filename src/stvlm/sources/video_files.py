"""Frames of a video file as the frames of a scene, by their number and never by a guess from the frame rate.

Images are as a player shows them: upright, turned by the file's display matrix, which phones write; and with square
pixels, the width stretched where the file says that its pixels are not. Sizes are those of such images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData

from stvlm.records import Array, ImageError

MAX_SKIP = 60
"""How many frames are decoded and thrown away, at most, before the reader seeks instead."""


class NoVideoError(ImageError):
    """A file that holds no pictures, but sound for example."""


@dataclass(frozen=True, eq=False, slots=True)
class VideoFrames:
    """Chosen frames of one video; satisfies ``records.Frames``. Reading them in order decodes each frame once."""

    path: Path
    frame_numbers: Array  # (F,) int, from 0 in order of presentation; may lie outside the video
    width_px: int
    height_px: int

    def available(self) -> Array:
        """Whether the video holds each frame, (F,) bool, without decoding it; none where it cannot be opened."""
        try:
            count = len(presentation_times(self.path))
        except ImageError:
            count = 0
        return np.asarray((self.frame_numbers >= 0) & (self.frame_numbers < count))

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        """The image, (height_px, width_px, 3) uint8 RGB; raises ImageError."""
        number = int(self.frame_numbers[index])
        try:
            pixels = _reader(self.path).read(number)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ImageError(f"{self.path}: frame {number} does not decode ({error})") from error
        height_px, width_px = pixels.shape[:2]
        if (width_px, height_px) != (self.width_px, self.height_px):
            wanted = f"the calibration is for {self.width_px} x {self.height_px}"
            raise ImageError(f"{self.path}: the video has {width_px} x {height_px} pixels, {wanted}")
        if least_width_px and width_px < least_width_px:  # of a camera that has a smaller copy of its video here
            wanted = f"clips are {least_width_px}; take a smaller max_side_px"
            raise ImageError(f"{self.path}: the video is {width_px} pixels wide, {wanted}")
        return pixels


def size_px(path: Path) -> tuple[int, int]:
    """Width and height of a video's frames; raises ImageError."""
    try:
        with av.open(str(path)) as container:
            stream = _stream(path, container)
            for frame in container.decode(stream):
                height_px, width_px = as_shown(frame, stream.sample_aspect_ratio).shape[:2]
                return width_px, height_px
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unopened(path, error) from error
    raise _unopened(path, "it has no frames")


def presentation_times(path: Path) -> Array:
    """When each frame is shown, (N,) int64 in the stream's time base, increasing; raises ImageError."""
    return _index(path).times


@lru_cache(maxsize=64)
def _index(path: Path) -> _Index:
    try:
        with av.open(str(path)) as container:
            packets = container.demux(_stream(path, container))
            shown = (packet for packet in packets if not packet.is_discard)  # by the edit list of a cut video
            times = [(packet.pts, packet.is_keyframe) for packet in shown if packet.pts is not None]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unopened(path, error) from error
    keys = (time for time, is_key in times if is_key)
    return _Index(np.unique(np.array([time for time, _ in times], np.int64)), np.unique(np.array([*keys], np.int64)))


class _Index(NamedTuple):
    """When frames are shown, in the stream's time base, increasing."""

    times: Array  # (N,) int64
    key_times: Array  # (K,) int64, of those from which decoding can begin


def times_s(path: Path) -> Array:
    """When each frame is shown, (N,) seconds from the first; raises ImageError."""
    times = presentation_times(path)
    with av.open(str(path)) as container:
        time_base = _stream(path, container).time_base
    return np.asarray((times - times[:1]) * time_base.numerator / time_base.denominator)


def _stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    if not container.streams.video:
        raise NoVideoError(f"{path}: holds no video stream; give a video file, or remove it")
    return container.streams.video[0]


def _unopened(path: Path, reason: object) -> ImageError:
    return ImageError(f"{path}: the video cannot be opened ({reason})")


def as_shown(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> Array:
    """The image (H, W, 3) uint8 RGB, with square pixels and upright."""
    if frame.is_corrupt:
        raise ValueError("it is damaged")
    width_px = round(frame.width * (pixel_aspect or 1))
    pixels = frame.to_ndarray(format="rgb24", width=width_px, height=frame.height)
    matrix = frame.side_data.get(SideData.DISPLAYMATRIX)
    if matrix is None:
        return np.asarray(pixels)
    (a, b), (c, d) = np.frombuffer(matrix, dtype=np.int32).reshape(3, 3)[:2, :2].astype(float)
    # A pixel at (x, y) is shown at (a x + c y, b x + d y). Players round to right angles, and so do we.
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


class _Reader:
    """A decoder that goes forward, and seeks where a frame lies behind or far ahead."""

    def __init__(self, path: Path) -> None:
        self.times, self.key_times = _index(path)
        self.container = av.open(str(path))
        self.stream = _stream(path, self.container)
        self.stream.thread_type = "AUTO"
        self.frames: Iterator[av.VideoFrame] = self.container.decode(self.stream)
        self.ahead: av.VideoFrame | None = None  # decoded, and not asked for yet
        self.next = 0
        self.broken = (-1, 0)  # how many key frames there are until then, and the first frame that was not reached

    def read(self, number: int) -> Array:
        if not 0 <= number < len(self.times):
            raise ValueError(f"the video has {len(self.times)} frames")
        wanted = self.times[number]
        key = int(np.searchsorted(self.key_times, wanted, side="right"))
        if key == self.broken[0] and number >= self.broken[1]:
            raise ValueError("it is damaged")  # decoding from the same key frame would fail at the same place
        reached = 0 <= number - self.next <= MAX_SKIP and self._decode_to(wanted)
        if not reached:  # there may be a key frame behind damage, too
            # Not to the frame: one that is shown before a key frame may be stored after it, and need those before.
            begin = self.key_times[key - 1] if key else wanted
            self.container.seek(int(begin), stream=self.stream, backward=True)
            self.frames, self.ahead = self.container.decode(self.stream), None
            reached = self._decode_to(wanted)
        if not reached:
            self.next, self.broken = -MAX_SKIP - 1, (key, number)
            raise ValueError("it is damaged")
        self.next = number + 1
        frame = self.ahead
        if frame is None or frame.pts != wanted:
            raise ValueError("it is damaged")
        self.ahead = None
        return as_shown(frame, self.stream.sample_aspect_ratio)

    def _decode_to(self, wanted: int) -> bool:
        """Goes on until `ahead` is shown at a time or later; whether it came so far."""
        try:
            while self.ahead is None or self.ahead.pts is None or self.ahead.pts < wanted:
                self.ahead = next(self.frames)
        except (StopIteration, av.FFmpegError):
            return False
        return True


@lru_cache(maxsize=1)  # a scene's frames are read in order, one scene at a time
def _reader(path: Path) -> _Reader:
    return _Reader(path)

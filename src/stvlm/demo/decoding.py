"""A stranger's video on standard input -> a plain mp4: run as a process of its own that gets little memory and time.

    python -m stvlm.demo.decoding OUT.mp4 < FILE      prints {"refused": "why"}, or what `Decoded` holds

The file has neither name nor path here, only containers that cannot point to other files are opened, and only by the
decoders that phones, cameras and browsers need. What comes out is small, evenly timed, and written by ourselves: nobody
else reads the file itself.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
import numpy as np
from PIL import Image

from stvlm.dataset.video import VideoSettings, write_video
from stvlm.records import Array
from stvlm.sources.video_files import as_shown

LEAST_S, MOST_S = 2.0, 19.5
"""A clip of questions is never shorter or longer."""
MOST_PIXELS, KEPT_PIXELS, LEAST_SIDE_PX = 4096 * 2304, 640 * 640, 64
"""Of a frame as it is sent, and as it comes out: enough of a wide one for the road to be seen."""
MOST_FRAMES = 20 * 240
"""That are decoded, before one says that a file never ends."""
STEPS_S = (0.1, 0.25, 0.5)
"""From frame to frame of what comes out: the shortest that is no shorter than in the file."""
MEMORY_BYTES, CPU_S, FILE_BYTES = 3 << 30, 60, 64 << 20
ROUNDING_S = 1e-3
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: by which signal a process ends when its parent does."""
CODECS = frozenset({"h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mjpeg", "prores"})
_MOV = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


class Decoded(NamedTuple):
    """What a plain mp4 holds."""

    frames: int
    step_s: float
    width_px: int
    height_px: int
    sent_px: tuple[int, int]
    """Width and height of the file that was sent, as players show it."""
    is_cut: bool
    """Whether the file goes on after the longest that is taken."""


class RefusedError(Exception):
    """A file that is not taken, and why in one line for the visitor."""


def container_of(head: bytes) -> str:
    """FFmpeg's name of the container that begins with 12 bytes; raises RefusedError for any that is not taken."""
    if not head:
        raise RefusedError("The file is empty. Send a video.")
    if head[4:8] in _MOV:
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    raise RefusedError(
        "Whatever its name says, this is no video that can be read here. Send an mp4, mov, webm, mkv or avi file."
    )


def decode(file: BinaryIO, out: Path) -> Decoded:
    """Writes the plain mp4 of a file; raises RefusedError."""
    container = container_of(file.read(12))
    file.seek(0)
    # Nothing but the bytes at hand is opened, whatever the file refers to.
    with av.open(file, format=container, options={"protocol_whitelist": "", "enable_drefs": "0"}) as opened:
        stream = next((it for it in opened.streams.video if not it.disposition & it.disposition.attached_pic), None)
        if stream is None:
            raise RefusedError("This file holds no pictures, only sound or text. Send a video.")
        context = stream.codec_context
        if context.name not in CODECS:
            raise RefusedError(f"The video is coded as {context.name}, which is not read here. Send it as H.264 mp4.")
        if context.width * context.height > MOST_PIXELS:
            size = f"{context.width} x {context.height}"
            raise RefusedError(f"The video is {size} pixels large. Send one of at most 4096 x 2304.")
        context.thread_count = 1
        rate_hz = float(stream.average_rate or 0)
        step_s = next((step_s for step_s in STEPS_S if rate_hz * step_s >= 0.999), None)
        if step_s is None:
            raise RefusedError("The video shows less than two pictures a second. Send one with more.")
        frames = _Evenly(opened.decode(stream), stream, step_s)
        try:
            write_video(out, iter(frames), VideoSettings(crf=21), step_s)
        except ValueError as error:  # not one frame
            raise RefusedError("No picture of this video can be decoded. Is the file whole?") from error
    if (frames.count - 1) * step_s < LEAST_S:
        shown_s, needed = (frames.count - 1) * step_s, f"at least {LEAST_S:g} seconds"
        if frames.is_damaged:
            raise RefusedError(f"Only the first {shown_s:.1f} seconds of this video are whole. Send one with {needed}.")
        told = f"The video is too short: {shown_s:.1f} seconds from its first frame to its last. Send one of {needed}."
        raise RefusedError(told)
    return Decoded(frames.count, step_s, *frames.size_px, frames.sent_px, frames.is_cut)


class _Evenly:
    """The small frames of a stream every `step_s`, each the last that was shown by then."""

    def __init__(self, frames: Iterator[av.VideoFrame], stream: av.VideoStream, step_s: float) -> None:
        self._frames, self._stream, self._step_s = frames, stream, step_s
        self.count, self.size_px, self.sent_px = 0, (0, 0), (0, 0)
        self.is_cut = self.is_damaged = False

    def __iter__(self) -> Iterator[Array]:
        began_s, shown, last_s = None, None, 0.0
        for number, (time_s, frame) in enumerate(self._decoded()):
            began_s = time_s if began_s is None else began_s
            last_s = time_s - began_s
            while shown is not None and self._is_due_before(last_s - ROUNDING_S):
                yield self._next(shown)  # until this one comes
            if not self._is_due_before(MOST_S + ROUNDING_S) or number >= MOST_FRAMES:
                self.is_cut = True
                return
            shown = frame
        if shown is not None and self._is_due_before(last_s + ROUNDING_S):
            yield self._next(shown)

    def _is_due_before(self, time_s: float) -> bool:
        """Whether the next frame is, and belongs into the clip."""
        return self.count * self._step_s < min(time_s, MOST_S + ROUNDING_S)

    def _decoded(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Frames and their times, up to the first that is damaged or goes back in time."""
        last_s = -np.inf
        try:
            for frame in self._frames:
                if frame.time is None or frame.is_corrupt or frame.time <= last_s:
                    self.is_damaged = True
                    return
                last_s = frame.time
                yield frame.time, frame
        except (av.FFmpegError, ValueError):
            self.is_damaged = True

    def _next(self, frame: av.VideoFrame) -> Array:
        image = Image.fromarray(as_shown(frame, self._stream.sample_aspect_ratio))
        if not self.count:
            self.sent_px, self.size_px = image.size, _small(*image.size)
        self.count += 1
        return np.asarray(image.resize(self.size_px, Image.Resampling.BOX, reducing_gap=2.0))


def _small(width_px: int, height_px: int) -> tuple[int, int]:
    """An even width and height of the same shape; raises RefusedError."""
    scale = min(1.0, (KEPT_PIXELS / (width_px * height_px)) ** 0.5)
    width, height = (2 * round(side * scale / 2) for side in (width_px, height_px))
    if min(width, height) < LEAST_SIDE_PX:
        raise RefusedError(f"The video is {width_px} x {height_px} pixels: too small or too narrow to see anything.")
    return width, height


def confine() -> None:
    """Takes from this process what it does not need, and has it end with the one that waits for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in limits.items():
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))


def main() -> None:
    """Decodes standard input; the answer is one line of JSON."""
    confine()
    av.logging.set_level(None)
    try:
        with open(0, "rb", closefd=False) as file:
            answer = decode(file, Path(sys.argv[1]))._asdict()
    except RefusedError as error:
        answer = {"refused": str(error)}
    except (av.FFmpegError, OSError, ValueError, OverflowError, MemoryError):
        answer = {"refused": "The video is damaged, or not what its ending says. Send another file."}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

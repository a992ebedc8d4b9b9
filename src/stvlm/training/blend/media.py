"""What can be told of a video or an image before it is trained on: whether it is whole, and when its frames are."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image

from stvlm.evaluation.frames import spread
from stvlm.programs import first_line
from stvlm.records import Array, ImageError, Rejected
from stvlm.sources.images import DAMAGE
from stvlm.sources.video_files import presentation_times
from stvlm.training.samples import Medium

LEAST_FRAMES = 2
BROKEN_VIDEO = "video does not open"
CUT_OFF = "video cut off; fetch it again"
TOO_SHORT = "video of fewer than two frames"
FOLDER = "folder of frames in place of a video file"
BROKEN_IMAGE = "image does not decode"
DRAFT_PX = (32, 32)
"""A JPEG decoded so small takes a fraction of the time, and is still read to its end."""


class Shown(NamedTuple):
    """Frames that a model is given: when each is to be seen, in seconds, and its number. Both empty for an image."""

    times_s: list[float]
    frame_indices: list[int]


class Media:
    """Looks at media, in any thread, and keeps what it saw in a file, so that no later run looks again.

    Args:
        path: of that file.
        max_frames: of a video with more, as many are shown, spread evenly from first to last.
    """

    def __init__(self, path: Path, max_frames: int) -> None:
        self._max_frames, self._lock = max_frames, Lock()
        self._seen = _read(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def __call__(self, medium: Medium, path: Path) -> Shown | Rejected:
        """What a model is given of a file, or why it cannot be."""
        if path.is_dir():
            return Rejected(FOLDER, str(path))
        state = path.stat()
        key = (str(path), state.st_size, state.st_mtime_ns, self._max_frames)
        if key not in self._seen:
            found = self._look_at_video(path) if medium == "video" else look_at_image(path)
            self._seen[key] = found
            with self._lock:
                self._file.write(json.dumps([key, type(found) is Shown, found]) + "\n")
                self._file.flush()
        return self._seen[key]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _look_at_video(self, path: Path) -> Shown | Rejected:
        try:
            times_s = frame_times_s(path)
        except ImageError as error:
            return Rejected(BROKEN_VIDEO, first_line(error))
        if isinstance(times_s, Rejected):
            return times_s
        if len(times_s) < LEAST_FRAMES:
            return Rejected(TOO_SHORT, str(path))
        numbers = spread(len(times_s), self._max_frames)
        return Shown([round(float(times_s[number]), 6) for number in numbers], numbers)


def frame_times_s(path: Path) -> Array | Rejected:
    """When each frame is shown, (n,) seconds, in order, of a file that has all of them. Raises ImageError.

    An mp4's header has the frames in the order in which they are decoded, and where in the file they end. Where they
    are evenly spaced, so they are in the order of presentation; else the whole file is read, though not decoded.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ImageError(f"{path}: holds no video stream")
            stream = container.streams.video[0]
            second = float(stream.time_base)
            start = stream.start_time or 0
            # The entries themselves are gone when the file is closed.
            entries = [(entry.timestamp, entry.pos + entry.size, entry.is_discard) for entry in stream.index_entries]
            all_frames = len(entries) == stream.frames
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ImageError(f"{path}: the video cannot be opened ({first_line(error)})") from error
    stamps, ends, discarded = np.array(entries, dtype=np.int64).reshape(-1, 3).T
    if len(ends) and ends.max() > path.stat().st_size:
        return Rejected(CUT_OFF, str(path))
    steps = np.diff(stamps)
    if all_frames and not discarded.any() and len(steps) and (steps == steps[0]).all():
        return np.asarray((start + steps[0] * np.arange(len(entries))) * second)
    return np.asarray(presentation_times(path) * second)


def look_at_image(path: Path) -> Shown | Rejected:
    """That an image decodes to its end."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", DRAFT_PX)
            image.load()
    except DAMAGE as error:
        return Rejected(BROKEN_IMAGE, f"{path}: {first_line(error)}")
    return Shown([], [])


def _read(path: Path) -> dict[tuple[Any, ...], Shown | Rejected]:
    """What was seen before, without a line that was cut off, which is taken out of the file."""
    if not path.exists():
        return {}
    whole = path.read_bytes().rpartition(b"\n")[0]
    path.write_bytes(whole + b"\n" if whole else b"")
    lines = map(json.loads, whole.splitlines())
    return {tuple(key): Shown(*found) if is_shown else Rejected(*found) for key, is_shown, found in lines}

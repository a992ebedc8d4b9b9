"""Clips as the tensors that a model is given, decoded and resized once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from stvlm.dataset.video import read_video
from stvlm.files import whole_file
from stvlm.hashing import stable_hash
from stvlm.records import DataError

try:
    from torchcodec.decoders import VideoDecoder
except (ImportError, OSError, RuntimeError):  # no FFmpeg libraries, or built for another torch
    VideoDecoder = None


def decode(path: Path) -> torch.Tensor:
    """All frames of an mp4, (n, 3, H, W) uint8 RGB. Raises DataError."""
    try:
        if VideoDecoder is not None:
            return VideoDecoder(str(path), num_ffmpeg_threads=1)[:]
        return torch.from_numpy(read_video(path)[0]).permute(0, 3, 1, 2).contiguous()
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: cannot be decoded ({str(error).splitlines()[0]}); build or fetch it again") from error


class Sample(NamedTuple):
    """Some frames of a video: (n, 3, H, W) uint8 RGB, and when they are to be seen, in seconds."""

    frames: torch.Tensor
    times_s: list[float]


def sample(path: Path, most: int) -> Sample:
    """All frames of any video or, of one that has over `most`, as many, spread evenly from first to last.

    Raises DataError.
    """
    if VideoDecoder is None:
        raise DataError(f"{path}: is sampled by torchcodec, which is missing or finds no FFmpeg libraries")
    try:
        video = VideoDecoder(str(path), num_ffmpeg_threads=1)
        taken = video.get_frames_at(spread(len(video), most))
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: cannot be decoded ({str(error).splitlines()[0]}); fetch it again") from error
    return Sample(taken.data, taken.pts_seconds.tolist())


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, evenly from first to last."""
    return [int(number) for number in np.linspace(0, count - 1, min(count, most)).round()]


class FrameReader:
    """Frames at a model's resolution, (n, 3, h, w) uint8: what its video processor has before it scales the values.

    With a folder, each clip is decoded once and kept there under a hash of the mp4 and of the processor's settings.
    """

    def __init__(self, video_processor: Any, folder: Path | None = None) -> None:
        self._processor, self._folder = video_processor, folder
        self._places: dict[Path, Path] = {}
        settings = video_processor.to_dict()
        self._settings = [settings.get(key) for key in ("size", "resample", "do_resize", "crop_size", "do_center_crop")]

    def __call__(self, path: Path) -> torch.Tensor:
        if self._folder is None:
            return self._resized(path)
        place = self._places.get(path)
        if place is None:
            place = self._places[path] = self._folder / f"{self._key(path)}.npy"
            if not place.exists():
                with whole_file(place) as temporary:
                    np.save(temporary, self._resized(path).numpy())
        # Copy-on-write: torch has no read-only tensors, and a stray write must not reach the file.
        return torch.from_numpy(np.load(place, mmap_mode="c"))

    def _key(self, path: Path) -> str:
        try:
            return stable_hash(hashlib.sha256(path.read_bytes()).hexdigest(), *self._settings)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error

    def _resized(self, path: Path) -> torch.Tensor:
        frames = self._processor(
            videos=[decode(path)], do_rescale=False, do_normalize=False, do_sample_frames=False, return_tensors="pt"
        )["pixel_values_videos"]
        return frames[0]


def as_pixel_values(video_processor: Any, clips: list[torch.Tensor]) -> torch.Tensor:
    """Clips from `FrameReader`, of equal length, as `pixel_values_videos` (B, n, 3, h, w) float32."""
    given = video_processor(videos=clips, do_resize=False, do_sample_frames=False, return_tensors="pt")
    return given["pixel_values_videos"]


def black(frames: torch.Tensor) -> torch.Tensor:
    """The clip with nothing to see."""
    return torch.zeros_like(frames)


def static(frames: torch.Tensor) -> torch.Tensor:
    """The clip with its first frame throughout: appearance without motion."""
    return frames[:1].expand_as(frames)


CONTROLS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"black": black, "static": static}
"""What a model is given in place of the clip, to see what it knows without it."""

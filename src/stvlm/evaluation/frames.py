"""Clips as the tensors that a model is given, decoded and resized once."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt

from stvlm.dataset.video import draw_outline, outline_px, read_video
from stvlm.evaluation.dataset import frame_count
from stvlm.evaluation.prompts import DEPTH_FAR_M, depth_path
from stvlm.evaluation.responses import MODEL, TEXT_ONLY
from stvlm.files import whole_file
from stvlm.hashing import stable_hash
from stvlm.kinematics import STEP_S
from stvlm.programs import first_line
from stvlm.records import DataError

try:
    from torchcodec.decoders import VideoDecoder
except (ImportError, OSError, RuntimeError):  # no FFmpeg libraries, or built for another torch
    VideoDecoder = None

Row = Mapping[str, Any]
SMEAR_PX = 4
"""How far around an outline its colour is taken off: chroma has half the resolution in an mp4, and edges ring. Farther
off less than 6 % of the colour is left.
"""


def decode(path: Path, indices: Sequence[int] = ()) -> torch.Tensor:
    """All frames of a video or, where `indices` are given, those, (n, 3, H, W) uint8 RGB. Raises DataError."""
    try:
        if VideoDecoder is not None:
            video = VideoDecoder(str(path), num_ffmpeg_threads=1)
            return video.get_frames_at(list(indices)).data if indices else video[:]
        frames = read_video(path)[0]
        frames = frames[list(indices)] if indices else frames
        return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise DataError(f"{path}: cannot be decoded ({first_line(error)}); build or fetch it again") from error


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
        raise DataError(f"{path}: cannot be decoded ({first_line(error)}); fetch it again") from error
    return Sample(taken.data, taken.pts_seconds.tolist())


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, evenly from first to last."""
    return [int(number) for number in np.linspace(0, count - 1, min(count, most)).round()]


def resized(video_processor: Any, frames: torch.Tensor) -> torch.Tensor:
    """Frames (n, 3, H, W) uint8 as a video processor resizes them, (n, 3, h, w) uint8."""
    return video_processor(
        videos=[frames], do_rescale=False, do_normalize=False, do_sample_frames=False, return_tensors="pt"
    )["pixel_values_videos"][0]


class FrameReader:
    """Frames at a model's resolution, (n, 3, h, w) uint8: what its video processor has before it scales the values.

    With a folder, each clip is decoded once and kept there under a hash of the mp4 and of the processor's settings.

    Args:
        video_processor: of the model.
        folder: where frames are kept.
        resize: for processors that do more to frames than to resize them.
    """

    def __init__(
        self,
        video_processor: Any,
        folder: Path | None = None,
        resize: Callable[[Any, torch.Tensor], torch.Tensor] = resized,
    ) -> None:
        self._processor, self._folder, self._resize = video_processor, folder, resize
        self._places: dict[tuple[Path, tuple[int, ...]], Path] = {}
        settings = video_processor.to_dict()
        self._settings = [settings.get(key) for key in ("size", "resample", "do_resize", "crop_size", "do_center_crop")]

    def __call__(self, path: Path, indices: Sequence[int] = ()) -> torch.Tensor:
        """All frames, or those of some numbers. Raises DataError."""
        if self._folder is None:
            return self._resized(path, indices)
        place = self._places.get((path, tuple(indices)))
        if place is None:
            place = self._places[path, tuple(indices)] = self._folder / f"{self._key(path, indices)}.npy"
            if not place.exists():
                with whole_file(place) as temporary:
                    np.save(temporary, self._resized(path, indices).numpy())
        # Copy-on-write: torch has no read-only tensors, and a stray write must not reach the file.
        return torch.from_numpy(np.load(place, mmap_mode="c"))

    def _key(self, path: Path, indices: Sequence[int]) -> str:
        try:
            return stable_hash(hashlib.sha256(path.read_bytes()).hexdigest(), *self._settings, list(indices))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error

    def _resized(self, path: Path, indices: Sequence[int]) -> torch.Tensor:
        return self._resize(self._processor, decode(path, indices))


def as_pixel_values(video_processor: Any, clips: list[torch.Tensor]) -> torch.Tensor:
    """Clips from `FrameReader`, of equal length, as `pixel_values_videos` (B, n, 3, h, w) float32."""
    given = video_processor(videos=clips, do_resize=False, do_sample_frames=False, return_tensors="pt")
    return given["pixel_values_videos"]


def as_metadata(times_s: Sequence[float]) -> dict[str, Any]:
    """What processors want to know of frames at these seconds: they are all of their video, at so many a second."""
    count = len(times_s)
    fps = (count - 1) / (times_s[-1] - times_s[0]) if count > 1 else 1 / STEP_S
    return {"fps": fps, "total_num_frames": count, "frames_indices": list(range(count)), "duration": count / fps}


# What a model is given in place of the clip, to see what it knows without it.


def black(frames: torch.Tensor, row: Row) -> torch.Tensor:
    """Nothing to see."""
    return torch.zeros_like(frames)


def static(frames: torch.Tensor, row: Row) -> torch.Tensor:
    """The first frame throughout: appearance without motion."""
    return frames[:1].expand_as(frames)


def shuffled(frames: torch.Tensor, row: Row) -> torch.Tensor:
    """The frames in another order, the same one for all questions of a clip: motion without time."""
    count = len(frames)
    order = random.Random(row["clip_id"]).sample(range(count), count)
    return frames[order if order != sorted(order) else order[::-1]]


def no_boxes(frames: torch.Tensor, row: Row) -> torch.Tensor:
    """The outlines filled with the pixels around them: which object is asked about is not shown."""
    filled = frames.permute(0, 2, 3, 1).numpy().copy()
    thickness_px = outline_px(frames.shape[3], frames.shape[2])
    for i, image in enumerate(filled):
        boxes_px = [np.array(item["boxes_px"][i]) for item in row["objects"] if item["boxes_px"][i] is not None]
        drawn = np.zeros_like(image)
        for box_px in boxes_px:
            draw_outline(drawn, box_px, "red", thickness_px)
        covered = binary_dilation(drawn.any(axis=2), np.ones((3, 3)), iterations=SMEAR_PX)
        before = image.copy()
        margin_px = thickness_px + SMEAR_PX + 2
        for box_px in boxes_px:  # around each box alone: what is near to an outline is near to its box
            x0, y0 = np.maximum(np.floor(box_px[:2]).astype(int) - margin_px, 0)
            x1, y1 = np.ceil(box_px[2:]).astype(int) + margin_px
            part = np.s_[y0:y1, x0:x1]
            if not covered[part].all():
                nearest = distance_transform_edt(covered[part], return_distances=False, return_indices=True)
                image[part] = before[part][tuple(nearest)]
    return torch.from_numpy(filled).permute(0, 3, 1, 2).contiguous()


CONTROLS: dict[str, Callable[[torch.Tensor, Row], torch.Tensor]] = {
    "black": black,
    "static": static,
    "shuffled": shuffled,
    "no_boxes": no_boxes,
}
"""By name. The control `text_only` has no frames at all."""


class Shown:
    """What a model sees of a row: its video, and after it its depth maps where there is a folder of them."""

    def __init__(self, depth_dir: Path | None = None) -> None:
        self._depth_dir = depth_dir
        self._decoded = lru_cache(maxsize=2)(decode)  # a clip's questions and controls come one after the other

    def __call__(self, row: Row, control: str) -> list[torch.Tensor]:
        """No, one or two videos (n, 3, H, W) uint8 RGB. Raises DataError."""
        if control == TEXT_ONLY:
            return []
        path = Path(row["video_path"])
        frames = self._decoded(path)
        if len(frames) != frame_count(row):
            raise DataError(f"{path}: has {len(frames)} frames, its row says {frame_count(row)}; build it again")
        videos = [frames]
        if self._depth_dir is not None:
            videos.append(read_depth(depth_path(self._depth_dir, row), frame_count(row)))
        if control == MODEL:
            return videos
        if control == "no_boxes":  # depth maps have none
            return [no_boxes(frames, row), *videos[1:]]
        return [CONTROLS[control](video, row) for video in videos]


def read_depth(path: Path, count: int) -> torch.Tensor:
    """A clip's depth maps, an array (n, H, W) of metres, as grey frames (n, 3, H, W) uint8. Raises DataError."""
    try:
        depth_m = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as depth maps ({error}); --dataset's every clip needs one") from error
    if depth_m.ndim != 3 or len(depth_m) != count or depth_m.dtype.kind != "f":
        raise DataError(
            f"{path}: holds {depth_m.dtype} of shape {depth_m.shape}, not ({count}, H, W) floating point metres"
        )
    near = 1 - np.clip(np.nan_to_num(depth_m, nan=DEPTH_FAR_M), 0, DEPTH_FAR_M) / DEPTH_FAR_M
    grey = torch.from_numpy(np.rint(255 * near).astype(np.uint8))
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()

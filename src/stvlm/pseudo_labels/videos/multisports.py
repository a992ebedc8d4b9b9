"""MultiSports: matches filmed for television, with boxes around players while they do something.

    <root>/trainval/multisports_GT.pkl       or <root>/multisports_GT.pkl
           trainval/<sport>/<video>.mp4      or <root>/<sport>/<video>.mp4

The pickle is a dict: `train_videos` and `test_videos` (the validation split; nothing is told of the real test split),
`resolution` (height, width), and `gttubes`: for each video and each kind of action a list of tubes (n, 5), a row a
frame: its number from 1, and x1, y1, x2, y2. A tube covers one action of one player, 20 to 40 frames mostly: these
boxes tell where a player is, but are no tracks through a video.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.pseudo_labels.artefacts import ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.videos.files import about, of_video_file, split_of_each
from stvlm.pseudo_labels.videos.video import Video
from stvlm.records import Array, DataError, Recording, Rejected, Split
from stvlm.sources.folders import wrong_root

_PICKLE = "multisports_GT.pkl"


class MultiSports:
    """The training and validation videos under a folder; satisfies ``VideoSource``."""

    name = "multisports"

    def __init__(self, path: Path, options: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._root = path / "trainval" if (path / "trainval").is_dir() else path
        self._about = about(self.name, options or {}, domain="sports")

    @cached_property
    def _pickle(self) -> Path:
        for path in (self._root / _PICKLE, self._path / _PICKLE):
            if path.is_file():
                return path
        raise wrong_root(self.name, self._path, f"trainval/{_PICKLE}")

    @cached_property
    def _truth(self) -> _Truth:
        return read_truth(self._pickle)

    def recordings(self) -> list[Recording | Rejected]:
        """Every video of the lists, by sport and name; one whose file is not there is left out."""
        splits = self._truth.splits
        there = {video_id for video_id in splits if (self._root / f"{video_id}.mp4").is_file()}
        missing = [Rejected("video missing", video_id) for video_id in sorted(set(splits) - there)]
        return [*split_of_each(self.name, self._path, there, splits), *missing]

    def files(self, recording: Recording) -> list[Path]:
        """The video and the pickle."""
        return [self._root / f"{recording.scene_id}.mp4", self._pickle]

    def video(self, recording: Recording) -> Video | Rejected:
        """All frames of the video, with the boxes of its tubes."""
        video_id = recording.scene_id
        video = of_video_file(recording, self._root / f"{video_id}.mp4", self._about)
        if isinstance(video, Rejected):
            return video
        size_px = self._truth.sizes_px.get(video_id, video.image_size_px)
        if size_px != video.image_size_px:
            sizes = "{} x {}, its boxes are for {} x {}".format(*video.image_size_px, *size_px)
            return Rejected("another size than its boxes are for", f"{video_id}: {sizes}")
        tracks = []
        for action, tubes in self._truth.tubes.get(video_id, {}).items():
            for i, tube in enumerate(tubes):
                track = _track(f"{action}/{i}", tube, len(video.times_s))
                if track is not None:
                    tracks.append(track)
        provenance = Provenance("MultiSports' labels", licence=self._about.licence)
        return dataclasses.replace(
            video, boxes=ObjectTracks(video.times_s, video.image_size_px, tuple(tracks), provenance)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Truth:
    """What the pickle tells of each video."""

    splits: dict[str, Split]
    sizes_px: dict[str, tuple[int, int]]  # width, height
    tubes: dict[str, dict[str, list[Array]]]  # by the action's name, each (n, 5)


def read_truth(path: Path) -> _Truth:
    """The pickle's contents, which may hold numbers and arrays alone; raises DataError."""
    cure = "fetch it again from its publisher"
    try:
        with path.open("rb") as file:
            content = _OnlyArrays(file, encoding="latin1").load()
        lists: dict[Split, str] = {"train": "train_videos", "validation": "test_videos"}
        splits = {video_id: split for split, key in lists.items() for part in content.get(key, []) for video_id in part}
        sizes_px = {video_id: (int(w), int(h)) for video_id, (h, w) in content["resolution"].items()}
        names = list(content["labels"])
        tubes = {
            video_id: {names[label]: [_checked(tube) for tube in of_label] for label, of_label in by_label.items()}
            for video_id, by_label in content["gttubes"].items()
        }
    except pickle.UnpicklingError as error:
        raise DataError(f"{path}: {error}; {cure}") from error
    except (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(f"{path}: is no {_PICKLE} ({type(error).__name__}: {error}); {cure}") from error
    return _Truth(splits, sizes_px, tubes)


class _OnlyArrays(pickle.Unpickler):
    """Makes numpy arrays, and calls nothing else: a pickle may name any function, and have it called."""

    def find_class(self, module: str, name: str) -> Any:
        made_of: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # type: ignore[dict-item]
            ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # type: ignore[dict-item]
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),  # bytes, as Python 2 kept them
        }
        if (module, name) not in made_of:
            raise pickle.UnpicklingError(f"names {module}.{name}, which is no part of an array, and is not loaded")
        return made_of[module, name]


def _checked(tube: Any) -> Array:
    tube = np.array(tube, dtype=np.float64)
    if tube.ndim != 2 or tube.shape[1] != 5 or not np.isfinite(tube).all():
        raise ValueError(f"a tube has shape (n, 5), got {tube.shape}")
    return np.asarray(tube)


def _track(track_id: str, tube: Array, count: int) -> ObjectTrack | None:
    """A tube as boxes in a video's frames; None where none of it is in them."""
    frame = tube[:, 0].astype(np.int64) - 1
    inside = (frame >= 0) & (frame < count) & (tube[:, 1] < tube[:, 3]) & (tube[:, 2] < tube[:, 4])
    if not inside.any():
        return None
    boxes_px = np.full((count, 4), np.nan)
    boxes_px[frame[inside]] = tube[inside, 1:]
    seen = ~np.isnan(boxes_px[:, 0])
    return ObjectTrack(track_id, "person", boxes_px, seen, np.zeros(count), np.zeros(count))

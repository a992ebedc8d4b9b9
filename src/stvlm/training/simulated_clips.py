"""Endless clips of simulated recordings, without one mp4: cut anew, boxed anew and mirrored every time.

A built dataset shows a recording's objects in a few clips, with the boxes drawn into them. Here a recording is kept as
small grey frames with all of its tracks, and any one, two or three of them, over any seconds in which all are seen, are
a clip. The boxes' outlines are put over the frames at the model's resolution, as resizing an image with them would have
left them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate as resize
from tqdm import trange

from stvlm.dataset.clips import MAX_HIDDEN_SHARE, ClipLimits
from stvlm.dataset.video import outline_px
from stvlm.dataset.visibility import VisibilityGates, boxes_in_view, see
from stvlm.files import whole_file
from stvlm.kinematics import HOUR_RAD, MAX_GAP_S, STEP_S, interpolate
from stvlm.records import COLORS_RGB, Array, DataError, Scene
from stvlm.simulation.source import SimulationSource
from stvlm.training.augment import CHANNEL
from stvlm.training.trajectories import Cut, mirrored, turns


class Recorded(NamedTuple):
    """A recording of F frames, every 0.5 s, and its T tracks."""

    grey: Array  # (F, h, w) uint8 at the model's resolution
    size_px: tuple[int, int]  # width and height that boxes are given in
    xyz_m: Array  # (T, F, 3) NaN where not annotated
    boxes_px: Array  # (T, F, 4) NaN where nothing is inside the image
    visible: Array  # (T, F) bool
    world_SE3_camera: Array  # (F, 4, 4)


class Window(NamedTuple):
    """Two tracks of a recording over n frames."""

    recording: int
    tracks: tuple[int, int]
    first: int


def record(source: SimulationSource, index: int, gates: VisibilityGates, side_px: int) -> Recorded:
    """Renders a recording of a family of grey ones of streets, at 2 frames a second. Raises DataError for any other."""
    parameters = source.parameters
    if not parameters.monochrome or parameters.frame_rate_hz * STEP_S != 1:
        raise DataError("simulation: endless clips need monochrome: true and frame_rate_hz: 2")
    (scene,) = source.scenes(source.recordings()[index])
    if scene.domain == "sports":  # where directions are not asked for, and here they are
        raise DataError("simulation: endless clips are of streets; take field and court out of layouts")
    count, times_ns = len(scene.frame_times_ns), scene.frame_times_ns
    tracks = [track for track in scene.tracks if track.category != "other"]
    frames = np.stack([_image(scene, i) for i in range(count)])
    down, across = _resizing(frames.shape[1], side_px), _resizing(frames.shape[2], side_px)
    grey = (down @ torch.from_numpy(frames).float() @ across.T).round().clamp(0, 255).to(torch.uint8).numpy()
    nothing = np.zeros((0, count))
    return Recorded(
        grey,
        (scene.camera.width_px, scene.camera.height_px),
        np.stack([interpolate(t.times_ns, t.xyz_m, times_ns) for t in tracks]) if tracks else nothing[..., None],
        boxes_in_view(scene, tracks, np.arange(count)).swapaxes(0, 1) if tracks else nothing[..., None],
        see(scene, gates).visible.T[[t.category != "other" for t in scene.tracks]],
        scene.world_SE3_camera,
    )


def _image(scene: Scene, index: int) -> Array:
    assert scene.frames is not None
    return scene.frames.read(index)[..., 0]


def recorded(options: Mapping[str, Any], gates: VisibilityGates, side_px: int, folder: Path) -> list[Recorded]:
    """Every recording of a family, kept in a folder from then on."""
    source, found = SimulationSource(options), []
    for index in trange(source.parameters.recordings, desc="rendering", unit="recording"):
        place = folder / f"{source.recordings()[index].scene_id}.npz"
        if not place.exists():
            with whole_file(place) as temporary, temporary.open("wb") as file:
                np.savez(file, **record(source, index, gates, side_px)._asdict())
        with np.load(place) as arrays:
            kept = {name: arrays[name] for name in Recorded._fields}
        found.append(Recorded(**kept | {"size_px": tuple(kept["size_px"].tolist())}))
    return found


class SimulatedClips:
    """Clips of up to three objects; what is drawn follows from the recordings and the generator that is given.

    Args:
        recordings: in which two objects at least are seen together.
        limits: of clips.
        turning: the share of clips in which an object turns, and into each hour as often; most go straight on.
        boxes: shares of clips of one, two and three objects; where there is no third, a clip has two.
    """

    def __init__(
        self, recordings: Sequence[Recorded], limits: ClipLimits, turning: float, boxes: Sequence[float]
    ) -> None:
        self._recordings, self._limits, self._turning, self._boxes = recordings, limits, turning, boxes
        self._all: dict[int, list[Window]] = defaultdict(list)
        self._turned: dict[int, dict[int, list[Window]]] = defaultdict(lambda: defaultdict(list))
        for number, recording in enumerate(recordings):
            hours = cache(partial(_hours, recording, limits.max_frames))
            for window, n in _windows(number, recording, limits):
                self._all[n].append(window)
                for track in window.tracks:
                    if hour := hours(track, window.first)[n - 1]:
                        self._turned[n][hour].append(window)
        if not self._all:
            raise DataError("no two objects of the simulated recordings are seen together; make more recordings")
        self.lengths = sorted(self._all)

    def draw(self, n: int, rng: np.random.Generator, whole: bool = True) -> Cut:
        """A clip of n frames, or one frame of it."""
        windows, turned = self._all[n], self._turned[n]
        if rng.random() < self._turning and turned:
            windows = turned[sorted(turned)[rng.integers(len(turned))]]
        window = windows[rng.integers(len(windows))]
        recording, tracks = self._recordings[window.recording], self._boxed(window, n, rng)
        shown = slice(window.first, window.first + n)
        if not whole:
            at = window.first + int(rng.integers(n))
            shown = slice(at, at + 1)
        boxes_px = np.where(recording.visible[tracks, shown, None], recording.boxes_px[tracks, shown], np.nan)
        colors = tuple(COLORS_RGB)[: len(tracks)]
        cut = Cut(
            outlined(recording.grey[shown], boxes_px, colors, recording.size_px),
            colors,
            boxes_px / np.tile(recording.size_px, 2),
            recording.xyz_m[tracks, shown],
            recording.world_SE3_camera[shown],
        )
        return mirrored(cut) if rng.random() < 0.5 else cut

    def _boxed(self, window: Window, n: int, rng: np.random.Generator) -> Array:
        """The tracks that have boxes, in the order of the colours."""
        count, recording = 1 + rng.choice(len(self._boxes), p=self._boxes), self._recordings[window.recording]
        tracks = list(window.tracks)
        if count > len(tracks):
            others = [track for track in range(len(recording.xyz_m)) if track not in tracks]
            fit = [track for track in others if are_seen(recording, [*tracks, track], window.first, n, self._limits)]
            tracks += [fit[rng.integers(len(fit))]] if fit else []
        return rng.permutation(tracks)[:count]


def are_seen(recording: Recorded, tracks: Sequence[int], first: int, n: int, limits: ClipLimits) -> bool:
    """Whether tracks are seen together over n frames, and all get anywhere, so that these would do as a clip."""
    shown = slice(first, first + n)
    seen = np.logical_and.reduce(recording.visible[tracks, shown])
    if not (seen[0] and seen[-1] and seen.mean() >= 1 - MAX_HIDDEN_SHARE):
        return False
    return bool(
        np.isfinite(recording.xyz_m[tracks, shown]).all()
        and np.diff(np.flatnonzero(seen)).max(initial=0) * STEP_S <= MAX_GAP_S
        and all(_ways_m(recording, n, track, first)[-1] >= limits.min_net_m for track in tracks)
    )


def _hours(recording: Recorded, most: int, track: int, first: int) -> list[int]:
    """The hour nearest to where an object heads after each length of a clip; 0 for straight on, and where unknown."""
    turn_rad = turns(recording.xyz_m[track, first : first + most])[0]
    return [round(angle / HOUR_RAD) % 12 for angle in np.nan_to_num(turn_rad).tolist()]


def _ways_m(recording: Recorded, most: int, track: int, first: int) -> Array:
    """How far an object has got at most from where it was, after each length of a clip, in metres."""
    xy_m = recording.xyz_m[track, first : first + most, :2]
    return np.fmax.accumulate(np.linalg.norm(xy_m - xy_m[0], axis=1))


def _windows(number: int, recording: Recorded, limits: ClipLimits) -> list[tuple[Window, int]]:
    """Every window of every two tracks that would do as a clip, shorter ones within longer ones too."""
    known = np.isfinite(recording.xyz_m[..., 0])
    ways_m = cache(partial(_ways_m, recording, limits.max_frames))
    windows = []
    for pair in combinations(range(len(known)), 2):
        seen = np.logical_and(*recording.visible[list(pair)])
        exists = np.logical_and(*known[list(pair)])
        count = np.concatenate([[0], seen.cumsum()])
        for first in np.flatnonzero(seen).tolist():
            last = first
            for end in range(first, min(len(seen), first + limits.max_frames)):
                if not exists[end] or (end - last) * STEP_S > MAX_GAP_S:
                    break
                if not seen[end]:
                    continue
                last, n = end, end - first + 1
                often = count[end + 1] - count[first] >= (1 - MAX_HIDDEN_SHARE) * n
                if n >= limits.min_frames and often and all(ways_m(t, first)[n - 1] >= limits.min_net_m for t in pair):
                    windows.append((Window(number, pair, first), n))
    return windows


@cache
def _resizing(from_px: int, to_px: int) -> torch.Tensor:
    """The matrix (to, from) that resizes as video processors do: bicubic, smoothed where it becomes smaller."""
    identity = torch.eye(from_px)[None, None]
    return resize(identity, size=(to_px, from_px), mode="bicubic", antialias=True, align_corners=False)[0, 0]


@cache
def _until(from_px: int, to_px: int) -> torch.Tensor:
    """(from + 1, to): what is left, at the new size, of a line that is white up to each pixel."""
    matrix = _resizing(from_px, to_px).T
    return torch.cat([torch.zeros(1, to_px), matrix.cumsum(dim=0)])


def outlined(grey: Array, boxes_px: Array, colors: Sequence[str], size_px: tuple[int, int]) -> torch.Tensor:
    """Frames (n, 3, h, w) uint8: grey ones (n, h, w), under the outlines of boxes (J, n, 4) that `draw_outline` draws.

    An outline is a rectangle without a smaller one, and a resized rectangle a product of a row and a column.
    """
    (width, height), thick = size_px, outline_px(*size_px)
    seen = torch.from_numpy(np.isfinite(boxes_px[..., 0]))[..., None, None]
    box = np.nan_to_num(boxes_px, nan=1.0)
    most = np.array([width, height])
    low = np.maximum(np.floor(box[..., :2]).astype(int) - thick, 0)
    high = np.minimum(np.ceil(box[..., 2:]).astype(int) + thick, most)
    inner_low = np.minimum(low + thick, most)
    inner_high = np.maximum(high - thick, inner_low)
    across, down = _until(width, grey.shape[2]), _until(height, grey.shape[1])

    def rectangle(low: Array, high: Array) -> torch.Tensor:
        row = across[high[..., 0]] - across[low[..., 0]]
        column = down[high[..., 1]] - down[low[..., 1]]
        return column[..., :, None] * row[..., None, :]

    cover = (rectangle(low, high) - rectangle(inner_low, inner_high)) * seen  # (J, n, h, w)
    left = torch.from_numpy(grey).float() * (1 - cover.sum(dim=0)).clamp(0, 1)
    image = left[:, None].repeat(1, 3, 1, 1)
    for color, of_box in zip(colors, cover, strict=True):
        image[:, CHANNEL[color]] += 255 * of_box
    return image.round().clamp(0, 255).to(torch.uint8)

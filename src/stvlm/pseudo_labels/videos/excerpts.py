"""Cutting videos into excerpts that can be labelled: one shot each, short, and no more frames than it takes.

    1. frames: those nearest to an even grid, at their true times; where a video has fewer, all of them
    2. shots:  what looks different all over from one frame to the next is a cut; so are darkness, damage and pauses
    3. parts:  of a shot, as long as allowed; what is left over and too short is left out

Frames are decoded once, in order, and only numbers are kept of them. Fades from shot to shot through anything but black
are not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from stvlm.pseudo_labels.videos.video import Video, excerpt
from stvlm.records import Array, ImageError, Rejected

CUT, PEAK = 0.3, 3.5
"""A cut changes this share of the colours, and so many times what the frames around it change (by the median). Measured
at 10 and 5 Hz on 13 real shots, joined in every order. Inside them: 0.31 at most, and 2.5 times among those above 0.11,
from a car that passes close to the camera. At the joins: 0.37 and 4.5 times at least, between drives by one camera.
It changes the pattern as well, which a flash does not: at the joins, by 0.43 at least."""
BLACK = 24
"""Nothing in a black frame is brighter, of 255: video noise is about 16."""

SAME = 1
"""Frames of which no 64 x 36th part differs by more, of 255, are the same one again."""

_SHEET_PX, _LEVELS = (64, 36), 5
_AROUND = 3
_STILL = 0.01
"""What noise changes in a still camera's image; keeps the smallest change from being many times none."""


@dataclass(frozen=True)
class Cutting:
    """How videos are cut."""

    most_hz: float = 10.0
    most_s: float = 20.5
    """The longest clip of questions, 19.5 s, and a second to place it in."""
    least_s: float = 3.0
    most_gap_s: float = 1.0
    """Between one frame and the next that shows something new."""

    def __post_init__(self) -> None:
        if not (0 < self.most_hz < np.inf and 0 < self.most_gap_s < np.inf and 0 < self.least_s <= self.most_s):
            raise ValueError("most_hz and most_gap_s are above 0, and least_s at most most_s")


def excerpts(video: Video, cutting: Cutting | None = None) -> list[Video | Rejected]:
    """The excerpts of a video, called <its id>/0, /1, ...; then each part that is left out, with the reason."""
    cutting = cutting or Cutting()
    video_id = video.recording.scene_id
    frames = evenly(video.times_s, cutting.most_hz, _marked(video))
    times_s = video.times_s[frames]
    kind, colour, pattern = _look_at(video, frames) if video.world_SE3_camera is None else _one_shot(len(frames))
    _find_frozen(kind, times_s, cutting.most_gap_s)

    kept = np.flatnonzero(kind == _KEPT)
    lost = np.cumsum(~np.isin(kind, (_KEPT, _REPEATED)))
    ends = (
        _cuts(colour[kept], pattern[kept])[1:]
        | (np.diff(lost[kept]) > 0)
        | (np.diff(times_s[kept]) > cutting.most_gap_s)
    )
    out: list[Video | Rejected] = []
    rejected = []
    for shot in np.split(kept, np.flatnonzero(ends) + 1):
        for chosen in _parts(shot, times_s[shot], cutting.most_s):
            if np.ptp(times_s[chosen]) >= cutting.least_s:
                out.append(excerpt(video, frames[chosen], f"{video_id}/{len(out)}"))
            else:
                rejected.append(("too short", chosen))
    for run in np.split(np.arange(len(kind)), np.flatnonzero(kind[1:] != kind[:-1]) + 1):
        if kind[run[0]] not in (_KEPT, _REPEATED):
            rejected.append((kind[run[0]], run))
    for reason, part in rejected:
        out.append(Rejected(reason, f"{video_id}, {times_s[part[0]]:.2f} to {times_s[part[-1]]:.2f} s"))
    return out


def evenly(times_s: Array, most_hz: float, wanted: Array | None = None) -> Array:
    """Which frames (n,) of those at times (N,) stand for a grid of so many a second: of those for which one of its
    points is the nearest, the nearest to it, or one that is wanted (N,) bool.
    """
    steps = (times_s - times_s[0]) * most_hz
    point = np.rint(steps)
    others = np.zeros(len(steps)) if wanted is None else ~wanted
    nearest_first = np.lexsort((np.abs(steps - point), others, point))
    points, first = np.unique(point[nearest_first], return_index=True)
    return np.sort(nearest_first[first[points <= steps[-1] + 1e-6]])  # a point after the end has no frame


def _marked(video: Video) -> Array | None:
    """Which frames (N,) bool have boxes that are to be followed from there; None where all boxes are known."""
    if video.boxes is None or not video.to_follow:
        return None
    boxes_px = [track.boxes_px[:, 0] for track in video.boxes.tracks]
    return np.asarray(~np.isnan(np.reshape(boxes_px, (-1, len(video.times_s)))).all(axis=0))


_KEPT, _REPEATED, _FROZEN, _BLACK, _UNREADABLE = "", "repeated", "frozen", "black", "unreadable"


class _Looks(NamedTuple):
    """n frames. How a kept one differs from the one kept before it; 0 for others."""

    kind: Array  # (n,) of the above
    colour: Array  # (n,) share of the image that has another colour
    pattern: Array  # (n,) 1 - the correlation of their brightness, which more light does not change


def _look_at(video: Video, frames: Array) -> _Looks:
    looks = _Looks(np.full(len(frames), _KEPT, dtype=object), np.zeros(len(frames)), np.zeros(len(frames)))
    before: tuple[Array, Array, Array] | None = None
    for i, frame in enumerate(frames.tolist()):
        try:
            pixels = video.frames.read(frame, min(_SHEET_PX[0], video.image_size_px[0]))
        except ImageError:
            looks.kind[i] = _UNREADABLE
            continue
        sheet = np.asarray(Image.fromarray(pixels).resize(_SHEET_PX, Image.Resampling.BOX)).astype(np.int64)
        if sheet.max() <= BLACK:
            looks.kind[i] = _BLACK
        elif before is not None and np.abs(sheet - before[0]).max() <= SAME:
            looks.kind[i] = _REPEATED
        else:
            now = sheet, _colours(sheet), _pattern(sheet)
            if before is not None:
                looks.colour[i] = np.abs(now[1] - before[1]).sum() / 2
                looks.pattern[i] = 1 - now[2] @ before[2]
            before = now
    return looks


def _one_shot(n: int) -> _Looks:
    """Of a camera whose poses are known: nobody has cut what it saw."""
    return _Looks(np.full(n, _KEPT, dtype=object), np.zeros(n), np.zeros(n))


def _pattern(sheet: Array) -> Array:
    """An image's brightness, (H * W,), with mean 0 and length 1."""
    brightness = sheet.sum(axis=2).ravel() - sheet.sum(axis=2).mean()
    return np.asarray(brightness / max(float(np.linalg.norm(brightness)), 1.0))


def _colours(sheet: Array) -> Array:
    """How much of each quarter of an image each of 5 x 5 x 5 colours makes up, (4 * 125,), all together 1.

    A colour between others counts as some of each: else a little more light would make a grey road another colour.
    """
    height, width = sheet.shape[:2]
    quarter = (np.arange(height)[:, None] * 2 // height * 2 + np.arange(width) * 2 // width).ravel()
    level = sheet.reshape(-1, 3) * ((_LEVELS - 1) / 255)
    below = np.minimum(level.astype(np.int64), _LEVELS - 2)
    made_up = np.zeros(4 * _LEVELS**3)
    for above in np.ndindex(2, 2, 2):
        share = np.where(above, level - below, 1 - level + below).prod(axis=1)
        colour = (below + above) @ np.array([_LEVELS**2, _LEVELS, 1])
        made_up += np.bincount(quarter * _LEVELS**3 + colour, share, minlength=len(made_up))
    return np.asarray(made_up / len(level))


def _cuts(colour: Array, pattern: Array) -> Array:
    """Which of n changes are cuts, (n,) bool: large, and much larger than those around them."""
    cut = (colour >= CUT) & (pattern >= CUT)
    for i in np.flatnonzero(cut):
        around = np.concatenate([colour[max(i - _AROUND, 0) : i], colour[i + 1 : i + 1 + _AROUND]])
        cut[i] = colour[i] >= PEAK * ((np.median(around) if len(around) else 0.0) + _STILL)
    return cut


def _find_frozen(kind: Array, times_s: Array, most_gap_s: float) -> None:
    """Turns repeated frames into frozen ones where nothing changes for too long."""
    repeated = np.flatnonzero(kind == _REPEATED)
    for run in np.split(repeated, np.flatnonzero(np.diff(repeated) > 1) + 1):
        if len(run) and times_s[run[-1]] - times_s[max(run[0] - 1, 0)] > most_gap_s:
            kind[run] = _FROZEN


def _parts(shot: Array, times_s: Array, most_s: float) -> list[Array]:
    """A shot's frames (n,), which are at times (n,), in parts that are each as long as allowed."""
    parts, start = [], 0
    while start < len(shot):
        end = int(np.searchsorted(times_s, times_s[start] + most_s + 1e-9, side="right"))
        parts.append(shot[start:end])
        start = end
    return parts

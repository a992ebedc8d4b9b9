"""A clip that is looked at: its plain frames, the boxes in them, and what is known of it beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from stvlm.dataset.video import VideoSettings, draw_outline, outline_px, read_video
from stvlm.demo.working import Tell, Told
from stvlm.kinematics import STEP_S
from stvlm.pseudo_labels.artefacts import Footage, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.objects.following import follow_boxes
from stvlm.questions.asking import Motion
from stvlm.records import COLORS_RGB, Array, Camera, DataError, Rejected

LEAST_FRAMES = 5
"""On the grid of half seconds that a model is shown; a clip of questions has at least as many."""
LEAST_BOX_PX = 6
DRAW_AGAIN = "Draw the box again in another frame that shows all of the object."


class Mark(NamedTuple):
    """A box that a visitor has drawn in one frame."""

    color: str
    time_s: float
    box_px: tuple[float, float, float, float]


class Known(NamedTuple):
    """What is known of a simulated clip."""

    categories: tuple[str, ...]  # of each of J objects
    boxes_px: Array  # (J, N, 4) in the plain frames; NaN where unseen
    motion: Motion  # at the grid points
    camera: Camera
    camera_height_m: float
    world_SE3_camera: Array  # (N, 4, 4)


@dataclass(frozen=True, eq=False)
class Clip:
    """Plain frames on disk: an mp4 of ours, without boxes."""

    path: Path
    step_s: float
    """From frame to frame; a divisor of half a second."""
    count: int
    size_px: tuple[int, int]
    clip_id: str = ""
    """Of an example; empty for an upload."""
    known: Known | None = None
    sent_px: tuple[int, int] | None = None
    """Width and height of an upload as it was sent."""

    @property
    def times_s(self) -> Array:
        """(N,) of the frames."""
        return np.asarray(np.arange(self.count) * self.step_s)

    def frames(self) -> Array:
        """(N, H, W, 3) uint8 RGB; raises DataError where they are gone."""
        try:
            return read_video(self.path)[0]
        except (OSError, ValueError) as error:
            raise DataError("This clip is gone, as old ones are removed. Send it again.") from error


@dataclass(frozen=True, eq=False)
class Study:
    """A clip and the boxes in it: those that are known of an example, or those that follow from a visitor's marks."""

    clip: Clip
    marks: tuple[Mark, ...] = ()
    boxes_px: dict[str, Array] = field(default_factory=dict)
    """By colour: (N, 4) in the plain frames, NaN where unseen."""

    @property
    def colors(self) -> tuple[str, ...]:
        """Of the boxes there are, in the order in which objects receive them."""
        return tuple(color for color in COLORS_RGB if color in self.boxes_px)

    @property
    def truth(self) -> Motion | None:
        """How the boxed objects really move, where that is known."""
        return self.clip.known.motion if self.clip.known is not None and not self.marks else None


def example_study(clip: Clip) -> Study:
    """An example with its own boxes."""
    assert clip.known is not None
    return Study(clip, boxes_px=dict(zip(COLORS_RGB, clip.known.boxes_px, strict=False)))


def add_mark(study: Study, mark: Mark) -> Study:
    """A study with one box more, not yet followed. The first one in an example takes the place of its own boxes.

    Raises DataError, in words for the visitor.
    """
    if (color := mark.color) not in COLORS_RGB:
        raise DataError(f"A box is {', '.join(COLORS_RGB)}; {color!r} is none of them.")
    (width, height), last_s = study.clip.size_px, study.clip.times_s[-1]
    if not -study.clip.step_s <= mark.time_s <= last_s + study.clip.step_s:
        raise DataError(f"The clip has 0 to {last_s:.1f} s; a box at {mark.time_s:g} s is not in it.")
    x0, x1 = sorted(float(np.clip(x, 0, width)) for x in mark.box_px[::2])
    y0, y1 = sorted(float(np.clip(y, 0, height)) for y in mark.box_px[1::2])
    if not np.isfinite([x0, x1, y0, y1, mark.time_s]).all() or min(x1 - x0, y1 - y0) < LEAST_BOX_PX:
        raise DataError("The box is too small, or outside the picture. Draw it around the whole object.")
    frame = _nearest(study.clip, mark.time_s)
    kept = tuple(it for it in study.marks if (it.color, _nearest(study.clip, it.time_s)) != (color, frame))
    boxes_px = {color: box for color, box in study.boxes_px.items() if study.marks}
    mark = Mark(color, frame * study.clip.step_s, (x0, y0, x1, y1))
    order = [*COLORS_RGB]
    if missing := [it for it in order[: order.index(color)] if it not in boxes_px]:
        raise DataError(f"Draw the {missing[0]} box first.")
    return Study(study.clip, (*kept, mark), boxes_px)


def in_pixels_of(clip: Clip, mark: Mark) -> Mark:
    """A box that was given in pixels of the file that was sent, in those of the clip."""
    across, down = (here / there for here, there in zip(clip.size_px, clip.sent_px or clip.size_px, strict=True))
    x0, y0, x1, y1 = mark.box_px
    return mark._replace(box_px=(x0 * across, y0 * down, x1 * across, y1 * down))


def first_boxes(study: Study, count: int) -> Study:
    """The same with the boxes of the first objects alone."""
    return replace(study, boxes_px={color: study.boxes_px[color] for color in study.colors[:count]})


def mark_of(data: Any) -> Mark:
    """A box as a page or a program sends it: {"color", "time_s", "box"}. Raises DataError."""
    try:
        x0, y0, x1, y1 = (float(value) for value in data["box"])
        return Mark(str(data["color"]), float(data["time_s"]), (x0, y0, x1, y1))
    except (KeyError, TypeError, ValueError):
        raise DataError('A box is {"color": "red", "time_s": 0.0, "box": [x0, y0, x1, y1]}.') from None


def without_marks(study: Study) -> Study:
    """The clip alone, or an example with its own boxes."""
    return Study(study.clip) if study.clip.known is None else example_study(study.clip)


def follow(study: Study, color: str, tell: Tell) -> Study:
    """The marks of a colour followed through the clip. Raises DataError where they cannot be."""
    clip = study.clip
    images = clip.frames()
    footage = Footage("clip", clip.times_s, clip.size_px)
    marked = np.full((clip.count, 4), np.nan)
    for mark in study.marks:
        if mark.color == color:
            marked[_nearest(clip, mark.time_s)] = np.array(mark.box_px) - 0.5  # a pixel's middle is whole there
    track = ObjectTrack(color, "vehicle", marked, (~np.isnan(marked[:, 0])).astype(float), *_no_flags(clip.count))

    def read(frame: int) -> Array:
        tell(Told(frame / clip.count, "following the box"))
        return np.asarray(images[frame])

    found = follow_boxes(footage, read, ObjectTracks(clip.times_s, clip.size_px, (track,), Provenance("visitor")))
    if isinstance(found, Rejected):
        raise DataError("The box cannot be followed. Draw it again, on a frame that shows the object clearly.")
    boxes_px = found.tracks[0].boxes_px + 0.5
    return Study(clip, study.marks, {**study.boxes_px, color: boxes_px})


class Shown(NamedTuple):
    """What a model is shown of a clip."""

    first_s: float
    """Where it begins in the clip."""
    frames: Array  # (n, H, W, 3) uint8 RGB, boxes drawn
    times_s: list[float]  # from its own beginning


def shown_frames(study: Study, within_s: tuple[float, float] = (0.0, np.inf)) -> Array:
    """Every half second from the first frame to the last that has all boxes, or of these seconds those given: (n,)."""
    step_s = study.clip.step_s
    grid = np.arange(0, study.clip.count, round(STEP_S / step_s))
    grid = grid[(grid * step_s >= within_s[0] - 1e-6) & (grid * step_s <= within_s[1] + 1e-6)]
    are_seen = [~np.isnan(boxes_px[grid, 0]) for boxes_px in study.boxes_px.values()]
    there = np.flatnonzero(np.logical_and.reduce([np.ones(len(grid), dtype=bool), *are_seen]))
    return grid[there[0] : there[-1] + 1] if len(there) else grid[:0]


def losses(study: Study) -> list[str]:
    """A sentence for each box that is lost for half a second or longer: when it is there."""
    told, last_s = [], study.clip.times_s[-1]
    for color in study.colors:
        there = ~np.isnan(study.boxes_px[color][:, 0])
        spans_s = _spans_s(there, study.clip, STEP_S)
        if len(spans_s) != 1 or max(spans_s[0][0], last_s - spans_s[0][1]) >= STEP_S - 1e-6:
            told.append(f"{color.capitalize()} was followed {when(there, study.clip, STEP_S)} (of {last_s:.1f} s).")
    return told


def when(is_so: Array, clip: Clip, bridged_s: float = 0.0) -> str:
    """In which seconds something is so, (N,) bool for the frames, one of which is, in words."""
    last_s = clip.times_s[-1]
    return " and ".join(_span_in_words(*span_s, last_s) for span_s in _spans_s(is_so, clip, bridged_s))


def _spans_s(is_so: Array, clip: Clip, bridged_s: float) -> list[tuple[float, float]]:
    """The first and the last second of each stretch, over gaps of no more than that."""
    frames = np.flatnonzero(is_so)
    parts = np.split(frames, np.flatnonzero(np.diff(frames) * clip.step_s > max(bridged_s, clip.step_s) + 1e-6) + 1)
    return [(part[0] * clip.step_s, part[-1] * clip.step_s) for part in parts if len(part)]


def _span_in_words(first_s: float, end_s: float, last_s: float) -> str:
    if first_s == end_s:
        return f"at {first_s:.1f} s"
    if end_s > last_s - 1e-6:
        return f"from {first_s:.1f} s on" if first_s else "throughout"
    return f"from {first_s:.1f} to {end_s:.1f} s" if first_s else f"until {end_s:.1f} s"


def shown_to_model(
    study: Study, sees_px: tuple[int, int] | None, within_s: tuple[float, float] = (0.0, np.inf)
) -> Shown:
    """A frame every half second, boxes drawn, while all of them are there, or of these seconds those given.

    Without a box all of the clip, as it is. `sees_px` is what a model makes of a frame's size, if that is known: an
    outline is at least a pixel there. If it is not, frames are no larger than those of a dataset.

    Raises DataError where that is too short.
    """
    clip, chosen = study.clip, shown_frames(study, within_s)
    if len(chosen) < LEAST_FRAMES:
        needed = f"A model needs two seconds{' with all boxes' if len(study.colors) > 1 else ''}."
        raise DataError(" ".join([*losses(study), needed, DRAW_AGAIN]))
    images = clip.frames()[chosen].copy()
    thick_px = max(outline_px(*clip.size_px), round(max(clip.size_px) / max(sees_px)) if sees_px else 0)
    for image, frame in zip(images, chosen, strict=True):
        for color in reversed(study.colors):
            if not np.isnan(box_px := study.boxes_px[color][frame]).any():
                draw_outline(image, box_px, color, thick_px)
    if sees_px is None:
        images = _as_in_a_dataset(images)
    return Shown(float(chosen[0] * clip.step_s), images, [i * STEP_S for i in range(len(chosen))])


def _as_in_a_dataset(images: Array) -> Array:
    """Frames (n, h, w, 3) no larger than those that models are trained on."""
    height, width = images.shape[1:3]
    scale = VideoSettings().max_side_px / max(height, width)
    if scale >= 1:
        return images
    size = round(width * scale), round(height * scale)
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images])


def _nearest(clip: Clip, time_s: float) -> int:
    return int(np.clip(round(time_s / clip.step_s), 0, clip.count - 1))


def _no_flags(count: int) -> tuple[Array, Array]:
    return np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)

"""Boxes that somebody has drawn in a few frames, followed through the others by OpenCV alone: no network, no weights.

From each mark, until the next one or out of sight, once forwards and once backwards (after Median Flow; Kalal et al.,
"Forward-Backward Error", 2010):

    1. step:    the box's picture, looked for around where it should be; its corners from there, and back
    2. anchor:  the same from an older frame, warped onto this one, so that errors do not add up
    3. check:   enough corners move as one; the box looks as it did; its size does not jump; it is in the image

What corners tell of a box is a shift and one scale, each the robust mean of all of them. The anchor is the mark itself
until too little of it is found; then the last frame takes its place. Between two marks the two ways are blended by how
far each of them is; where they disagree, one has slipped onto something else, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from stvlm.pseudo_labels.artefacts import Footage, ObjectTrack, ObjectTracks
from stvlm.pseudo_labels.objects.finishing import BORDER_PX, flagged
from stvlm.pseudo_labels.views import opencv
from stvlm.records import Array, Rejected

PATCH_PX = 96
"""A box is looked at as if its mean side were as long, but enlarged no more than `MOST_ZOOM`."""
MOST_ZOOM = 2.0
ROOM = 0.5
"""Of a box's sides, what is looked at around it, for corners to move into."""
CORNERS, LEAST_CORNERS = 120, 6
RETURN_PX = 0.7
"""In the patch: a corner tracked there and back comes back this near to where it was."""
FIT_PX = 1.0
"""In the patch: a corner that is off by so much counts a quarter of one that is not."""
TEXTURE_PX = 32
LEVELS = 3
"""Halvings of an image that are kept, for boxes that are larger than a patch."""


@dataclass(frozen=True)
class Following:
    """When a box that is followed is lost."""

    least_agreeing: float = 0.4
    """Share of its corners that move as one."""
    least_likeness: float = 0.5
    """Correlation of what it shows with what its anchor did."""
    least_score: float = 0.3
    """The same with what was marked."""
    most_growth: float = 1.25
    """From one frame to the next, or shrinkage."""
    least_side_px: float = 5.0
    least_inside: float = 0.3
    """Share of it that is in the image."""
    least_iou: float = 0.5
    """Of the box followed forwards and the one followed backwards."""
    least_known: float = 0.75
    """Where a mark is cut off by the image's border: the share of the box that what was marked makes up. The rest lies
    between that and the border, as if the object were as large as it can be.
    """

    def __post_init__(self) -> None:
        names = ("least_agreeing", "least_likeness", "least_score", "least_inside", "least_iou", "least_known")
        if not all(0 <= getattr(self, name) <= 1 for name in names):
            raise ValueError(f"{', '.join(names)} are shares")
        if not (self.most_growth > 1 and self.least_side_px > 0):
            raise ValueError("most_growth is above 1, and least_side_px above 0")


def follow_boxes(
    footage: Footage,
    read: Callable[[int], Array],
    given: ObjectTracks,
    options: Following | None = None,
) -> ObjectTracks | Rejected:
    """Tracks through all frames in which they can be followed; the same frames give the same tracks.

    A side at which a mark touches the image's border stays there, and the box is lost where what was marked comes too
    far into the image: where the object ends, another mark has to tell. The score of a box is the correlation of what
    it shows with what was marked. All frames are kept in memory, grey.

    Args:
        footage: the frames.
        read: frame index -> image (H, W, 3) uint8 RGB.
        given: boxes in the marked frames, NaN in the others.
        options: when they are lost.

    Raises DataError where OpenCV is not installed, or an image has another size.
    """
    options = options or Following()
    if not given.tracks:
        return Rejected("no boxes are marked", footage.video_id)
    cv2 = opencv()
    pyramids = [_pyramid(cv2, footage.checked(read(k))) for k in range(len(footage.times_s))]
    frames = _Frames(cv2, footage, pyramids)
    tracks = [_followed(frames, track, options) for track in given.tracks]
    told = flagged(replace(given, tracks=tuple(tracks))).tracks
    hidden = [replace(it, occluded=it.occluded | track.occluded) for it, track in zip(told, tracks, strict=True)]
    return replace(given, tracks=tuple(hidden))


class _Frames(NamedTuple):
    """What is looked at."""

    cv2: Any
    footage: Footage
    pyramids: list[list[Array]]  # of each frame, grey: (H, W), (H / 2, W / 2), ...


class _Anchor(NamedTuple):
    """A frame that others are held against, and the box in it."""

    frame: int
    box_px: Array  # (4,)


class _Match(NamedTuple):
    """Where an anchor's box is in another frame."""

    box_px: Array  # (4,)
    agreeing: float  # share of the corners that move as one


class _Way(NamedTuple):
    """Boxes from one mark on, in one direction."""

    boxes_px: Array  # (N, 4) in the image; NaN before the mark and where it is lost
    score: Array  # (N,)
    is_cut: bool  # whether the mark touches the border


def _followed(frames: _Frames, track: ObjectTrack, options: Following) -> ObjectTrack:
    """A track through all frames; what a mark says of being hidden holds for the frames nearest to it."""
    n = len(frames.pyramids)
    marked = np.flatnonzero(~np.isnan(track.boxes_px[:, 0]))
    if not len(marked):
        return track
    boxes_px, score = np.full((n, 4), np.nan), np.zeros(n)
    boxes_px[marked], score[marked] = track.boxes_px[marked], 1
    nothing = _Way(np.full((n, 4), np.nan), np.zeros(n), is_cut=False)
    for a, b in pairwise([None, *marked.tolist(), None]):
        there = back = nothing
        if a is not None:
            there = _way(frames, boxes_px[a], range(a, n if b is None else b + 1), options)
        if b is not None:
            back = _way(frames, boxes_px[b], range(b, -1 if a is None else a - 1, -1), options)
        if a is not None and b is not None:
            slipped = [_iou(way.boxes_px[k], boxes_px[k]) < options.least_iou for way, k in ((there, b), (back, a))]
            if slipped == [True, False]:
                there = nothing
            elif slipped == [False, True]:
                back = nothing
        between = np.arange(0 if a is None else a + 1, n if b is None else b)
        boxes_px[between], score[between] = _blended(frames.footage.times_s, there, back, between, options)
    nearest = marked[np.abs(np.arange(n)[:, None] - marked).argmin(axis=1)]
    unknown = np.zeros(n, dtype=bool)
    return ObjectTrack(track.track_id, track.category, boxes_px, score, unknown, track.occluded[nearest])


def _way(frames: _Frames, mark_px: Array, order: range, options: Following) -> _Way:
    """Follows a box of the first frame of `order` through the others, until it is lost."""
    n, size_px = len(frames.pyramids), np.array(frames.footage.image_size_px)
    boxes_px, score = np.full((n, 4), np.nan), np.zeros(n)
    mark = last = anchor = _Anchor(order[0], mark_px)
    moved_px = np.zeros(4)
    for k in order[1:]:
        step = _match(frames, last, k, last.box_px + moved_px)
        found = _match(frames, anchor, k, last.box_px + moved_px if step is None else step.box_px)
        if found is None or not _holds(frames, anchor, k, found, last, options):
            anchor, found = last, step
            if found is None or not _holds(frames, anchor, k, found, last, options):
                break
        now = _Anchor(k, found.box_px)
        likeness = _likeness(frames, mark, now)
        if likeness < options.least_score:
            break
        boxes_px[k], score[k] = now.box_px, min(likeness, 1.0)
        moved_px, last = now.box_px - last.box_px, now
    at_border = np.concatenate([mark_px[:2] <= BORDER_PX - 0.5, mark_px[2:] >= size_px - 0.5 - BORDER_PX])
    whole_px = np.where(at_border, np.array([-0.5, -0.5, *(size_px - 0.5)]), boxes_px)
    known = _size(boxes_px).prod(axis=1) >= options.least_known * _size(whole_px).prod(axis=1)  # False for NaN
    boxes_px = np.where(known[:, None], np.clip(whole_px, -0.5, np.tile(size_px - 0.5, 2)), np.nan)
    return _Way(boxes_px, np.where(known, score, 0), bool(at_border.any()))


def _holds(frames: _Frames, anchor: _Anchor, k: int, found: _Match, last: _Anchor, options: Following) -> bool:
    """Whether it may be the box."""
    size_px = _size(found.box_px)
    inside_px = np.clip(found.box_px, -0.5, np.tile(frames.footage.image_size_px, 2) - 0.5)
    growth = float(size_px[0] / _size(last.box_px)[0])
    return bool(
        found.agreeing >= options.least_agreeing
        and 1 / options.most_growth <= growth <= options.most_growth
        and size_px.min() >= options.least_side_px
        and _size(inside_px).prod() >= options.least_inside * size_px.prod()
        and _likeness(frames, anchor, _Anchor(k, found.box_px)) >= options.least_likeness
    )


def _match(frames: _Frames, anchor: _Anchor, k: int, guess_px: Array) -> _Match | None:
    """Where an anchor's box is in frame k, near a guess of the same shape; None where too few corners tell."""
    cv2 = frames.cv2
    size_px, centre_px, guessed_px = _size(anchor.box_px), _centre(anchor.box_px), _centre(guess_px)
    zoom = min(PATCH_PX / float(np.sqrt(size_px.prod())), MOST_ZOOM)
    zoom_there = zoom * float(size_px[0] / _size(guess_px)[0])
    patch_px = np.round(size_px * zoom * (1 + 2 * ROOM)).astype(int)
    middle = (patch_px - 1) / 2
    first = _patch(frames, anchor.frame, centre_px, zoom, patch_px)
    second = _patch(frames, k, guessed_px, zoom_there, patch_px)

    last_px = np.array(frames.footage.image_size_px) - 1  # corners are in the box, and in the image
    low = np.ceil(middle + zoom * (np.maximum(anchor.box_px[:2], 0) - centre_px)).astype(int)
    high = np.floor(middle + zoom * (np.minimum(anchor.box_px[2:], last_px) - centre_px)).astype(int)
    inside = np.zeros(first.shape, dtype=np.uint8)
    inside[max(low[1], 0) : max(high[1] + 1, 0), max(low[0], 0) : max(high[0] + 1, 0)] = 255
    corners = cv2.goodFeaturesToTrack(first, CORNERS, 0.01, 4, mask=inside, blockSize=5)
    if corners is None:
        return None
    (left, top), (right, bottom) = np.maximum(low, 0), high + 1
    half = second[::2, ::2], first[top:bottom:2, left:right:2]  # near enough for corners to be found from there
    alike = cv2.matchTemplate(*half, cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(int(np.argmax(alike)), alike.shape)
    shift = np.array([2 * column - left, 2 * row - top], dtype=np.float32)
    window = {"winSize": (15, 15), "maxLevel": 1, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    moved, found, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, corners + shift, **window)
    back, again, _ = cv2.calcOpticalFlowPyrLK(second, first, moved, moved - shift, **window)
    good = (found[:, 0] == 1) & (again[:, 0] == 1) & (np.linalg.norm((back - corners)[:, 0], axis=1) < RETURN_PX)
    if good.sum() < LEAST_CORNERS:
        return None
    p, q = (points[good, 0].astype(np.float64) - middle for points in (corners, moved))
    scale, shift, agree = _similarity(p, q)
    there_px, half_px = guessed_px + shift / zoom_there, scale * zoom / zoom_there * size_px / 2
    return _Match(np.concatenate([there_px - half_px, there_px + half_px]), float(agree.sum() / len(corners)))


def _similarity(p: Array, q: Array) -> tuple[float, Array, Array]:
    """Scale and shift (2,) with q ~ scale p + shift for most of the points (P, 2), and which (P,) those are.

    Begins with the median of how far pairs of points moved apart; Geman and McClure's weights follow.
    """
    i, j = np.triu_indices(len(p), 1)
    apart = np.linalg.norm(p[i] - p[j], axis=1)
    far = apart >= np.median(apart)
    scale = float(np.median(np.linalg.norm(q[i] - q[j], axis=1)[far] / apart[far]))
    shift = np.median(q - scale * p, axis=0)
    for _ in range(10):
        weight = (1 + ((q - scale * p - shift) ** 2).sum(axis=1) / FIT_PX**2) ** -2
        weight /= weight.sum()
        p_mean, q_mean = weight @ p, weight @ q
        scale = float((weight @ ((p - p_mean) * (q - q_mean))).sum() / (weight @ (p - p_mean) ** 2).sum())
        shift = q_mean - scale * p_mean
    return scale, shift, np.linalg.norm(q - scale * p - shift, axis=1) < 2 * FIT_PX


def _likeness(frames: _Frames, one: _Anchor, other: _Anchor) -> float:
    """The correlation of what two boxes show, where both are in the image."""
    steps = (np.arange(TEXTURE_PX) + 0.5) / TEXTURE_PX
    looks, inside = [], np.ones((TEXTURE_PX, TEXTURE_PX), dtype=bool)
    for at in (one, other):
        size_px = _size(at.box_px)
        x, y = (at.box_px[:2, None] + size_px[:, None] * steps).astype(np.float32)
        width, height = frames.footage.image_size_px
        inside &= (x >= 0) & (x <= width - 1) & ((y >= 0) & (y <= height - 1))[:, None]
        level = _level(TEXTURE_PX / float(np.sqrt(size_px.prod())))
        columns, rows = np.meshgrid(x / 2**level, y / 2**level)
        image = frames.pyramids[at.frame][level]
        looks.append(frames.cv2.remap(image, columns, rows, frames.cv2.INTER_LINEAR).astype(np.float64))
    if inside.sum() < TEXTURE_PX:
        return 0.0
    a, b = (look[inside] - look[inside].mean() for look in looks)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9))


def _patch(frames: _Frames, k: int, centre_px: Array, zoom: float, patch_px: Array) -> Array:
    """What lies around a point of frame k, enlarged, in an image of width and height `patch_px`."""
    cv2, level = frames.cv2, _level(zoom)
    zoom *= 2**level
    shift = (patch_px - 1) / 2 - zoom * centre_px / 2**level
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    image = frames.pyramids[k][level]
    return np.asarray(cv2.warpAffine(image, matrix, patch_px.tolist(), borderMode=cv2.BORDER_REPLICATE))


def _level(zoom: float) -> int:
    """The smallest level of a pyramid that need not be halved for it."""
    return int(np.clip(np.floor(-np.log2(zoom)), 0, LEVELS))


def _size(box_px: Array) -> Array:
    return np.asarray(box_px[..., 2:] - box_px[..., :2])


def _centre(box_px: Array) -> Array:
    return np.asarray(box_px[:2] + box_px[2:]) / 2


def _pyramid(cv2: Any, image: Array) -> list[Array]:
    """Grey (H, W) and halves of it."""
    levels = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)]
    for _ in range(LEVELS):
        levels.append(cv2.pyrDown(levels[-1]))
    return levels


def _blended(times_s: Array, there: _Way, back: _Way, between: Array, options: Following) -> tuple[Array, Array]:
    """Boxes (n, 4) and scores (n,) of frames `between` two marks, of the ways from either of them."""
    if not len(between):
        return np.empty((0, 4)), np.empty(0)
    boxes_px, scores = (
        np.array([getattr(way, name)[between] for way in (there, back)]) for name in ("boxes_px", "score")
    )
    seen = ~np.isnan(boxes_px[..., 0])
    apart = seen.all(axis=0) & (_iou(*boxes_px) < options.least_iou)
    if there.is_cut != back.is_cut:  # the other knows where the box ends
        whole = 1 if there.is_cut else 0
        seen[1 - whole] &= ~seen[whole]
    first_s, last_s = times_s[max(between[0] - 1, 0)], times_s[min(between[-1] + 1, len(times_s) - 1)]
    share = (times_s[between] - first_s) / (last_s - first_s)
    weights = np.where(seen & ~apart, np.maximum([1 - share, share], 1e-6), 0.0)
    known = weights.sum(axis=0) > 0
    weights /= np.where(known, weights.sum(axis=0), 1)
    blended_px = (weights[..., None] * np.nan_to_num(boxes_px)).sum(axis=0)
    return np.where(known[:, None], blended_px, np.nan), (weights * scores).sum(axis=0)


def _iou(a: Array, b: Array) -> Array:
    """Of boxes (..., 4); NaN where one is."""
    both = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(min=0).prod(axis=-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (a, b)]
    return np.asarray(both / (areas[0] + areas[1] - both))

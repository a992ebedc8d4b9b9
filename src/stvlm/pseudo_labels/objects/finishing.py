"""What all object tracks have in common, whoever found them: clean masks, and which boxes show only a part.

A box that touches the image's border is truncated. A box is occluded where objects nearer to the camera, which are
those that reach further down in the image, cover more than a fifth of it; or where its mask is suddenly much smaller
than in the second around it, as when something passes before it that nobody tracks. Lifting takes neither by its size.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from stvlm.pseudo_labels.artefacts import ObjectTracks, encode_mask
from stvlm.records import Array

BORDER_PX = 2.0
"""Boxes that end this near to the border are cut off by it: masks and detectors seldom reach the last pixel."""
CRUMB = 0.1
"""A fragment of less than this share of a mask is none of the object."""
COVERED = 0.2
"""Share of a box that nearer objects may cover."""
SHRUNK = 0.6
"""A mask that has less than this share of the median area around it is hidden in part."""
AROUND_S = 0.5

_SAMPLES = 32
"""Along each side of a box: by how many points is told how much of it is covered."""


def mask_and_box(mask: Array) -> tuple[Array, Array] | None:
    """A mask (H, W) bool without crumbs, as run lengths, and the box (4,) around it; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    parts, count = ndimage.label(mask[window], np.ones((3, 3)))
    clean = mask
    if count > 1:
        areas = np.bincount(parts.ravel())[1:]
        kept = np.concatenate([[False], areas >= CRUMB * areas.sum()])
        kept[1 + np.argmax(areas)] = True
        clean = np.zeros_like(mask)
        clean[window] = kept[parts]
        rows, columns = np.flatnonzero(clean.any(axis=1)), np.flatnonzero(clean.any(axis=0))
    box_px = np.array([columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5])
    return _encoded(clean, int(columns[0]), int(columns[-1]) + 1), box_px


def flagged(objects: ObjectTracks, truncated: bool = True, occluded: bool = True) -> ObjectTracks:
    """Object tracks with those flags told from boxes and masks that their source does not tell itself."""
    if not objects.tracks:
        return objects
    boxes_px = np.array([track.boxes_px for track in objects.tracks])
    cut = is_truncated(boxes_px, objects.image_size_px)
    hidden = np.zeros_like(cut)
    if occluded:
        for frame in range(len(objects.times_s)):
            masks = [None if track.masks is None else track.masks[frame] for track in objects.tracks]
            hidden[:, frame] = covered(boxes_px[:, frame], masks, objects.image_size_px) > COVERED
        for i, track in enumerate(objects.tracks):
            if track.masks is not None:
                areas = [np.nan if mask is None else mask[1::2].sum() for mask in track.masks]
                hidden[i] |= shrunk(np.array(areas, dtype=np.float64), objects.times_s) & ~cut[i]
    tracks = [
        replace(
            track,
            truncated=cut[i] if truncated else track.truncated,
            occluded=hidden[i] if occluded else track.occluded,
        )
        for i, track in enumerate(objects.tracks)
    ]
    return replace(objects, tracks=tuple(tracks))


def is_truncated(boxes_px: Array, image_size_px: tuple[int, int]) -> Array:
    """Whether boxes (..., 4) touch the border, (...) bool; NaN does not."""
    far_px = np.array(image_size_px) - 0.5 - BORDER_PX
    return np.asarray((boxes_px[..., :2] <= BORDER_PX - 0.5).any(axis=-1) | (boxes_px[..., 2:] >= far_px).any(axis=-1))


def covered(boxes_px: Array, masks: list[Array | None], image_size_px: tuple[int, int]) -> Array:
    """Share (T,) of each of a frame's boxes (T, 4) that nearer objects cover: with their mask, or else with their box.

    0 for a box that is NaN.
    """
    shares = np.zeros(len(boxes_px))
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    ends = [None if mask is None else np.cumsum(mask) for mask in masks]
    for i, (x0, y0, x1, y1) in enumerate(boxes_px):
        x, y = np.meshgrid(x0 + (x1 - x0) * steps, y0 + (y1 - y0) * steps)
        hidden = np.zeros(x.shape, dtype=bool)
        nearer = boxes_px[:, 3] > y1  # False for NaN
        meets = ((boxes_px[:, :2] < [x1, y1]) & (boxes_px[:, 2:] > [x0, y0])).all(axis=1)
        for j in np.flatnonzero(nearer & meets).tolist():
            left, top, right, bottom = boxes_px[j]
            inside = (x > left) & (x < right) & (y > top) & (y < bottom)
            if (ends_j := ends[j]) is not None:
                inside &= _is_set(ends_j, x, y, image_size_px)
            hidden |= inside
        shares[i] = hidden.mean()
    return shares


def shrunk(areas: Array, times_s: Array) -> Array:
    """Whether a mask's areas (N,), NaN where it is unseen, are far below the median around each, (N,) bool."""
    seen = ~np.isnan(areas)
    out = np.zeros(len(areas), dtype=bool)
    for k in np.flatnonzero(seen).tolist():
        near = seen & (np.abs(times_s - times_s[k]) <= AROUND_S + 1e-6)
        out[k] = areas[k] < SHRUNK * np.median(areas[near])
    return out


def _encoded(mask: Array, left: int, right: int) -> Array:
    """`encode_mask` of a mask whose pixels lie in some columns: ten times as fast, as it looks at no others."""
    height, width = mask.shape
    counts = encode_mask(mask[:, left:right])
    counts[0] += left * height
    after = (width - right) * height
    if len(counts) % 2:
        counts[-1] += after
    elif after:
        counts = np.append(counts, after)
    return counts


def _is_set(ends: Array, x: Array, y: Array, image_size_px: tuple[int, int]) -> Array:
    """Whether a mask covers points, of where its run lengths end: without decoding it."""
    width, height = image_size_px
    column = np.clip(np.round(x), 0, width - 1).astype(np.int64)
    row = np.clip(np.round(y), 0, height - 1).astype(np.int64)
    return np.asarray(np.searchsorted(ends, column * height + row, side="right") % 2 == 1)

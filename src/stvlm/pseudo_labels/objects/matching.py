"""Which detection is which object: pure functions of arrays, no network in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from stvlm.records import Array


class Detections(NamedTuple):
    """What a detector found in one frame, the surest first."""

    boxes_px: Array  # (D, 4) x0, y0, x1, y1
    scores: Array  # (D,) in 0..1
    categories: list[str]  # D


def without_duplicates(found: Detections, same_class_iou: float, any_class_iou: float) -> Detections:
    """Detections of which no two of a class overlap by more than the first IoU, and no two at all by the second."""
    import torch
    from torchvision.ops import batched_nms

    order = np.argsort(-found.scores, kind="stable")
    for iou, names in ((same_class_iou, found.categories), (any_class_iou, [""] * len(found.categories))):
        classes = np.unique([names[i] for i in order], return_inverse=True)[1].astype(np.int64)
        boxes, scores = (torch.from_numpy(x[order].astype(np.float32)) for x in (found.boxes_px, found.scores))
        kept = batched_nms(boxes, scores, torch.from_numpy(classes), iou).numpy()
        order = order[np.sort(kept)]
    return Detections(found.boxes_px[order], found.scores[order], [found.categories[i] for i in order])


def overlaps(masks: Sequence[Array], owner: Array, count: int) -> Array:
    """IoU (D, T) of masks (H, W) bool with the masks of `count` objects.

    `owner` (H, W) int: whose a pixel is, -1 for nobody's.
    """
    areas = np.bincount(owner.ravel() + 1, minlength=count + 1)[1:]
    iou = np.zeros((len(masks), count))
    for i, mask in enumerate(masks):
        shared = np.bincount(owner[mask] + 1, minlength=count + 1)[1:]
        iou[i] = shared / np.maximum(areas + mask.sum() - shared, 1)
    return iou


def matched(iou: Array, same_class: Array, least_iou: float, least_iou_other_class: float) -> list[tuple[int, int]]:
    """Pairs of detection and object with the largest sum of IoU (D, T), each at least as large as asked for.

    Detectors confuse classes, and a rider is not a bicycle: what is not of one class (D, T) has to overlap more.
    """
    worth = np.where(iou >= np.where(same_class, least_iou, least_iou_other_class), iou, 0)
    pairs = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
    return [(int(d), int(t)) for d, t in pairs if worth[d, t] > 0]


def vote(categories: Sequence[str], scores: Sequence[float]) -> tuple[str, float]:
    """The category with the largest sum of scores, and the share of them that it has; of equals the first found."""
    sums: dict[str, float] = {}
    for category, score in zip(categories, scores, strict=True):
        sums[category] = sums.get(category, 0.0) + score
    best = max(sums, key=lambda category: sums[category])
    return best, sums[best] / max(sum(sums.values()), 1e-12)

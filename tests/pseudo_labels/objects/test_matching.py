"""Detections and objects made by hand."""

import numpy as np
import pytest

from stvlm.pseudo_labels.objects.classes import CATEGORY_OF, category_of, check_phrases
from stvlm.pseudo_labels.objects.matching import (
    Detections,
    matched,
    overlaps,
    vote,
    without_duplicates,
)
from stvlm.records import CATEGORIES, DataError


def test_iou_of_masks_with_objects() -> None:
    """Object 0 has the left 4 columns of 4 x 8 pixels, object 1 the next two; the mask has columns 2 to 4."""
    owner = np.full((4, 8), -1)
    owner[:, :4], owner[:, 4:6] = 0, 1
    mask = np.zeros((4, 8), dtype=bool)
    mask[:, 2:5] = True
    iou = overlaps([mask, ~mask & False], owner, 3)
    np.testing.assert_allclose(iou, [[8 / 20, 4 / 16, 0], [0, 0, 0]])


def test_the_best_sum_of_overlaps_wins() -> None:
    """One at a time, detection 0 would take object 0, and leave detection 1 with none."""
    iou = np.array([[0.6, 0.5], [0.55, 0.0]])
    same = np.ones((2, 2), dtype=bool)
    assert matched(iou, same, 0.4, 0.7) == [(0, 1), (1, 0)]
    assert matched(iou, same, 0.58, 0.7) == [(0, 0)]
    assert matched(np.zeros((0, 2)), np.zeros((0, 2), bool), 0.4, 0.7) == []


def test_another_class_needs_more_overlap() -> None:
    iou, other = np.array([[0.65]]), np.zeros((1, 1), dtype=bool)
    assert matched(iou, other, 0.4, 0.7) == []
    assert matched(iou + 0.1, other, 0.4, 0.7) == [(0, 0)]


def test_votes_weigh_what_their_scores_are() -> None:
    category, share = vote(["car", "truck", "car"], [0.4, 0.9, 0.6])
    assert (category, share) == ("car", pytest.approx(1.0 / 1.9))
    assert vote(["bus", "car"], [0.5, 0.5]) == ("bus", 0.5)


def found(*rows: tuple[list[float], float, str]) -> Detections:
    return Detections(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), [row[2] for row in rows])


def test_two_boxes_of_one_thing_are_one_detection() -> None:
    """IoU 80 / 100 of the same class; 90 / 110 of two classes; 50 / 150 = 0.33 is another car."""
    twice = found(
        ([0, 0, 10, 10], 0.5, "car"),
        ([0, 0, 10, 8], 0.7, "car"),
        ([5, 0, 15, 10], 0.4, "car"),
        ([40, 0, 50, 10], 0.6, "car"),
    )
    kept = without_duplicates(twice, 0.5, 0.7)
    assert (kept.scores.tolist(), kept.boxes_px[:, 0].tolist()) == ([0.7, 0.6, 0.4], [0, 40, 5])
    kept = without_duplicates(found(([0, 0, 10, 10], 0.5, "car"), ([1, 0, 11, 10], 0.6, "truck")), 0.5, 0.7)
    assert kept.categories == ["truck"]
    rider = found(
        ([0, 0, 10, 10], 0.5, "bicycle"), ([0, -2, 10, 8], 0.6, "person")
    )  # 80 / 120: alike, but not the same
    assert without_duplicates(rider, 0.5, 0.7).categories == ["person", "bicycle"]
    assert without_duplicates(Detections(np.empty((0, 4)), np.empty(0), []), 0.5, 0.7).categories == []


def test_names_have_a_category_of_ours() -> None:
    assert set(CATEGORY_OF.values()) == set(CATEGORIES) - {"other"}
    names = ["Fire_Truck", " motor-cycle", "Cyclist", "pedestrian", "vase", "MOTORBIKE"]
    assert [category_of(name) for name in names] == ["truck", "other", "bicycle", "person", "other", "motorcycle"]


def test_phrases_are_known_names() -> None:
    with pytest.raises(DataError, match="phrases: 'cars' is of no known class; did you mean 'car'"):
        check_phrases(["bus", "cars"])
    with pytest.raises(DataError, match="phrases: name at least one class"):
        check_phrases([])

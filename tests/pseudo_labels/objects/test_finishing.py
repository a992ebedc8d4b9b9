"""Masks and boxes drawn by hand, and which of them show only a part of an object."""

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import ObjectTrack, ObjectTracks, Provenance, decode_mask, encode_mask
from stvlm.pseudo_labels.objects.finishing import covered, flagged, is_truncated, mask_and_box, shrunk
from stvlm.records import Array

SIZE_PX = (40, 20)
NOTHING = np.full(4, np.nan)


def filled(x0: int, y0: int, x1: int, y1: int) -> Array:
    mask = np.zeros(SIZE_PX[::-1], dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def track(name: str, boxes_px: list[Array], masks: list[Array | None] | None = None) -> ObjectTrack:
    n = len(boxes_px)
    runs = None if masks is None else tuple(None if mask is None else encode_mask(mask) for mask in masks)
    return ObjectTrack(name, "car", np.array(boxes_px), np.ones(n), np.zeros(n, bool), np.zeros(n, bool), runs)


def objects(*tracks: ObjectTrack, step_s: float = 0.1) -> ObjectTracks:
    return ObjectTracks(np.arange(len(tracks[0].score)) * step_s, SIZE_PX, tracks, Provenance("hand"))


def test_a_box_reaches_half_a_pixel_beyond_its_mask() -> None:
    found = mask_and_box(filled(4, 5, 9, 7))
    assert found is not None and found[1].tolist() == [3.5, 4.5, 8.5, 6.5]
    np.testing.assert_array_equal(decode_mask(found[0], SIZE_PX), filled(4, 5, 9, 7))
    assert mask_and_box(filled(4, 5, 4, 7)) is None


@pytest.mark.parametrize("corners", [(4, 5, 9, 7), (0, 0, 40, 20), (3, 12, 5, 20), (38, 12, 40, 20), (0, 3, 1, 4)])
def test_run_lengths_are_those_of_the_whole_image(corners: tuple[int, int, int, int]) -> None:
    found = mask_and_box(filled(*corners))
    assert found is not None and found[0].tolist() == encode_mask(filled(*corners)).tolist()


def test_crumbs_are_left_out_and_large_parts_kept() -> None:
    """30, 4 and 1 pixels: 4 are 11 % of them, 1 is 3 %; a diagonal neighbour is no part of its own."""
    large, small, crumb = filled(2, 2, 8, 7), filled(20, 2, 22, 4), filled(30, 10, 31, 11)
    found = mask_and_box(large | small | crumb)
    assert found is not None and found[1].tolist() == [1.5, 1.5, 21.5, 6.5]
    np.testing.assert_array_equal(decode_mask(found[0], SIZE_PX), large | small)
    corner = filled(8, 7, 9, 8)
    found = mask_and_box(large | corner)
    assert found is not None and found[1].tolist() == [1.5, 1.5, 8.5, 7.5]


def test_of_crumbs_alone_the_largest_is_the_object() -> None:
    dust = np.zeros(SIZE_PX[::-1], dtype=bool)
    dust[::2, ::2] = True  # 200 pixels apart
    found = mask_and_box(dust)
    assert found is not None and decode_mask(found[0], SIZE_PX).sum() == 1


def test_boxes_near_the_border_are_truncated() -> None:
    boxes_px = np.array([[1.6, 5, 9, 9], [1.5, 5, 9, 9], [5, 5, 37.4, 17.4], [5, 5, 37.5, 9], [5, 5, 9, 17.5], NOTHING])
    assert is_truncated(boxes_px, SIZE_PX).tolist() == [False, True, False, True, True, False]


def test_the_nearer_box_covers_the_farther_one() -> None:
    """Half of the far box, none of the near; a third that is nowhere, and a fourth that is beside both."""
    boxes_px = np.array([[0, 0, 10, 8], [5, 0, 15, 9], NOTHING, [20, 0, 30, 12]], dtype=float)
    assert covered(boxes_px, [None] * 4, SIZE_PX).tolist() == [0.5, 0, 0, 0]


def test_two_that_overlap_cover_once() -> None:
    boxes_px = np.array([[0, 0, 10, 8], [5, 0, 15, 9], [5, 0, 12, 10]], dtype=float)
    assert covered(boxes_px, [None] * 3, SIZE_PX)[0] == 0.5


def test_of_a_mask_only_its_pixels_cover() -> None:
    """The near object is a pole: its mask is two columns of ten, whatever its box."""
    boxes_px = np.array([[3.5, 1.5, 13.5, 9.5], [7.5, 1.5, 20.5, 11.5]])
    pole = encode_mask(filled(8, 2, 10, 12) | filled(8, 11, 21, 12))
    share = covered(boxes_px, [None, pole], SIZE_PX)[0]
    assert share == pytest.approx(0.2, abs=1 / 32)


def test_a_mask_that_is_suddenly_small_is_hidden_in_part() -> None:
    areas = np.array([100.0, 100, 59, 100, np.nan, 61, 100])
    assert shrunk(areas, np.arange(7) * 0.1).tolist() == [False, False, True, False, False, False, False]
    slowly = 100 * 0.9 ** np.arange(20)  # to 59 % within half a second, which is also how much larger it was before
    assert not shrunk(slowly, np.arange(20) * 0.1)[5:-5].any()


def test_flags_are_told_from_boxes_and_masks() -> None:
    far, near = np.array([5.0, 3, 15, 11]), np.array([10.0, 4, 20, 13])
    cut = np.array([0.0, 3, 10, 11])
    told = flagged(objects(track("far", [far, far, cut]), track("near", [NOTHING, near, NOTHING])))
    assert [it.occluded.tolist() for it in told.tracks] == [[False, True, False], [False, False, False]]
    assert [it.truncated.tolist() for it in told.tracks] == [[False, False, True], [False, False, False]]


def test_what_the_source_tells_stays() -> None:
    far, near = np.array([5.0, 3, 15, 11]), np.array([10.0, 4, 20, 13])
    given = objects(track("far", [far]), track("near", [near]))
    assert not any(it.occluded.any() for it in flagged(given, occluded=False).tracks)
    at_border = objects(track("cut", [np.array([0.0, 3, 10, 11])]))
    assert not flagged(at_border, truncated=False).tracks[0].truncated.any()


def test_something_unknown_before_an_object_shows_in_its_mask() -> None:
    """A car of 10 x 6 pixels, of which a bush hides the right half in the fourth frame; then it leaves the image."""
    masks: list[Array | None] = [filled(5, 5, 15, 11)] * 7
    masks[3], masks[6] = filled(5, 5, 10, 11), filled(0, 5, 5, 11)
    boxes = [mask_and_box(mask)[1] for mask in masks]  # type: ignore[arg-type,index]
    (car,) = flagged(objects(track("car", boxes, masks))).tracks
    assert car.occluded.tolist() == [False, False, False, True, False, False, False]
    assert car.truncated.tolist() == [False] * 6 + [True]


def test_without_tracks_there_is_nothing_to_flag() -> None:
    empty = ObjectTracks(np.arange(3.0), SIZE_PX, (), Provenance("hand"))
    assert flagged(empty) is empty

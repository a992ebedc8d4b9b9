"""Boxes followed through images whose truth is known: patterns that move over others, and simulated streets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stvlm.pseudo_labels.artefacts import Footage, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.objects.files import read_mot
from stvlm.pseudo_labels.objects.following import Following, follow_boxes
from stvlm.pseudo_labels.simulated import rendered, simulated
from stvlm.records import Array, DataError, Rejected
from stvlm.simulation.source import SimulationSource

SIZE_PX = (320, 180)


def pattern(seed: int, size_px: tuple[int, int]) -> Array:
    """Blotches (H, W, 3) uint8 a few pixels wide."""
    noise = np.random.default_rng(seed).normal(size=(size_px[1], size_px[0]))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.tile(np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)[..., None], 3)


BEHIND, CAR, OTHER = pattern(0, SIZE_PX), pattern(1, (120, 90)), pattern(2, (120, 90))


def pasted(image: Array, look: Array, box_px: Array) -> Array:
    """An image in which a pattern fills a box; pixels that the box's sides run through are cut where they are."""
    columns, rows = np.meshgrid(np.arange(image.shape[1]), np.arange(image.shape[0]))
    (x0, y0, x1, y1), (height, width) = box_px, look.shape[:2]
    u, v = (columns - x0) / (x1 - x0) * width - 0.5, (rows - y0) / (y1 - y0) * height - 0.5
    drawn = cv2.remap(
        look, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    inside = (columns > x0) & (columns < x1) & (rows > y0) & (rows < y1)
    return np.where(inside[..., None], drawn, image)


def film(boxes_px: Array, look: Array = CAR) -> list[Array]:
    """An image for each box (N, 4) of a car."""
    return [pasted(BEHIND, look, box_px) for box_px in boxes_px]


def approaching(n: int = 11) -> Array:
    """Boxes (n, 4): from 60 x 45 px to 120 x 90, further by 8 px to the right and 1 px down in each frame."""
    middle = np.array([80, 70]) + np.arange(n)[:, None] * [8, 1]
    half = np.linspace(1, 2, n)[:, None] * [30, 22.5]
    return np.concatenate([middle - half, middle + half], axis=1)


def marks(boxes_px: Array, frames: Sequence[int], hidden: Sequence[int] = ()) -> ObjectTracks:
    """Boxes of one car in some frames alone, in some of which it is hidden in part."""
    n = len(boxes_px)
    marked, flags = np.full((n, 4), np.nan), np.zeros(n, dtype=bool)
    marked[list(frames)] = boxes_px[list(frames)]
    occluded = np.isin(np.arange(n), hidden)
    score = (~np.isnan(marked[:, 0])).astype(float)
    track = ObjectTrack("1", "car", marked, score, flags, occluded)
    return ObjectTracks(np.arange(n) / 10, SIZE_PX, (track,), Provenance("annotations", "a.marks.txt"))


def followed(images: Sequence[Array], given: ObjectTracks, options: Following | None = None) -> ObjectTrack:
    found = follow_boxes(Footage("a", given.times_s, SIZE_PX), lambda k: images[k], given, options)
    assert isinstance(found, ObjectTracks) and found.provenance == given.provenance
    (track,) = found.tracks
    return track


@pytest.mark.parametrize("frame", [0, 5, 10])
def test_one_mark_is_followed_both_ways_to_a_pixel(frame: int) -> None:
    truth_px = approaching()
    found = followed(film(truth_px), marks(truth_px, [frame]))
    np.testing.assert_allclose(found.boxes_px, truth_px, atol=1.0)
    assert found.boxes_px[frame].tolist() == truth_px[frame].tolist() and found.score[frame] == 1
    assert (found.score > 0.9).all() and not found.truncated.any() and not found.occluded.any()
    assert found.category == "car" and found.masks is None


def test_what_differs_between_marks_is_shared_out_by_time() -> None:
    truth_px = np.tile([100.0, 60, 160, 105], (11, 1))
    drawn_px = truth_px.copy()
    drawn_px[10] += 4
    given = marks(drawn_px, [0, 10])
    uneven = replace(given, times_s=np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.8]))
    even, other = (followed(film(truth_px), it).boxes_px for it in (given, uneven))
    np.testing.assert_allclose(even[[1, 5, 9]] - truth_px[0], np.array([[0.4], [2], [3.6]]) + np.zeros(4), atol=0.2)
    np.testing.assert_allclose(other[9] - truth_px[0], 2, atol=0.2)  # halfway in time


def test_a_box_is_lost_where_something_hides_it_and_found_again_at_the_next_mark() -> None:
    truth_px = approaching(15)
    images = film(truth_px)
    for k in range(5, 9):
        images[k] = pasted(images[k], OTHER, truth_px[k] + [-15, -15, 15, 15])
    alone = followed(images, marks(truth_px, [0]))
    assert (~np.isnan(alone.boxes_px[:, 0])).tolist() == [True] * 5 + [False] * 10
    assert (alone.score[5:] == 0).all()
    both = followed(images, marks(truth_px, [0, 14]))
    assert np.flatnonzero(np.isnan(both.boxes_px[:, 0])).tolist() == [5, 6, 7, 8]
    seen = [0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14]
    np.testing.assert_allclose(both.boxes_px[seen], truth_px[seen], atol=1.0)


def test_two_things_under_one_name_are_not_joined() -> None:
    left_px, right_px = np.tile([40.0, 50, 100, 95], (7, 1)), np.tile([200.0, 50, 260, 95], (7, 1))
    images = [pasted(image, OTHER, right_px[0]) for image in film(left_px)]
    drawn_px = left_px.copy()
    drawn_px[6] = right_px[6]
    found = followed(images, marks(drawn_px, [0, 6]))
    assert np.flatnonzero(~np.isnan(found.boxes_px[:, 0])).tolist() == [0, 6]


def test_a_box_that_leaves_the_image_is_cut_at_its_border_and_then_lost() -> None:
    truth_px = np.array([200.0, 60, 260, 105]) + np.arange(16)[:, None] * [10, 0, 10, 0]
    found = followed(film(truth_px), marks(truth_px, [0]))
    right = found.boxes_px[:, 2]
    np.testing.assert_allclose(right[:11], np.minimum(truth_px[:11, 2], 319.5), atol=0.7)
    np.testing.assert_allclose(found.boxes_px[:10, 0], truth_px[:10, 0], atol=0.7)
    assert found.truncated[:11].tolist() == [False] * 6 + [True] * 5
    assert np.isnan(right[-1]) and not found.truncated[-1]


def test_where_a_mark_is_cut_off_its_box_stays_at_the_border_while_most_of_it_is_what_was_marked() -> None:
    truth_px = np.array([-30.0, 60, 30, 105]) + np.arange(11)[:, None] * [8, 0, 8, 0]
    drawn_px = np.maximum(truth_px, -0.5)
    alone = followed(film(truth_px), marks(drawn_px, [0]))
    seen = ~np.isnan(alone.boxes_px[:, 0])
    assert seen.tolist() == [True] * 2 + [False] * 9, "in the third frame 30 of 46 px are what was marked"
    np.testing.assert_allclose(alone.boxes_px[:2], drawn_px[:2], atol=0.7)
    assert alone.truncated[:2].all() and not alone.truncated[2:].any() and not alone.score[2:].any()
    both = followed(film(truth_px), marks(drawn_px, [0, 10]))
    np.testing.assert_allclose(both.boxes_px[1:], drawn_px[1:], atol=0.7)
    assert both.truncated.tolist() == [True] * 4 + [False] * 7


def test_what_is_cut_off_goes_on_out_of_the_image() -> None:
    truth_px = np.array([30.0, 60, 90, 105]) - np.arange(11)[:, None] * [8, 0, 8, 0]
    found = followed(film(truth_px), marks(np.maximum(truth_px, -0.5), [4]))
    seen = found.boxes_px[4:8]
    np.testing.assert_allclose(seen, np.maximum(truth_px[4:8], -0.5), atol=0.7)
    assert found.truncated[4:8].all()


def test_what_a_mark_says_of_being_hidden_holds_for_the_frames_nearest_to_it() -> None:
    truth_px = approaching(9)
    found = followed(film(truth_px), marks(truth_px, [0, 6], hidden=[6]))
    assert found.occluded.tolist() == [False] * 4 + [True] * 5


def test_what_looks_otherwise_than_it_did_is_lost() -> None:
    truth_px = approaching()
    images = film(truth_px[:4]) + film(truth_px[4:], OTHER)
    assert np.isnan(followed(images, marks(truth_px, [0])).boxes_px[4:]).all()
    flat = [np.full_like(BEHIND, 90)] * 11
    assert np.isnan(followed(flat, marks(truth_px, [3])).boxes_px[[0, 2, 4, 10]]).all()


def test_a_box_that_grows_too_fast_or_is_too_small_is_lost() -> None:
    truth_px = approaching()
    images = film(truth_px)
    slow = followed(images, marks(truth_px, [0]), Following(most_growth=1.05))
    assert np.flatnonzero(~np.isnan(slow.boxes_px[:, 0])).tolist() == [0]  # it grows by a tenth in the first step
    large = followed(images, marks(truth_px, [10]), Following(least_side_px=60.0))
    assert (~np.isnan(large.boxes_px[:, 0])).tolist() == [False] * 4 + [True] * 7  # 63 px high in frame 4


def test_vehicles_of_a_simulated_street_are_followed_to_a_pixel() -> None:
    options = {"recordings": 1, "seed": 5, "width_px": 640, "height_px": 360, "duration_s": 2.0}
    source = SimulationSource(options | {"camera_motions": {"driving": 1.0}})
    seen = rendered(source, source.recordings()[0], depth_step=8)
    truth = simulated(seen).objects
    n = len(truth.times_s)
    tracks = []
    for track in truth.tracks:
        small = (track.boxes_px[:, 2:] - track.boxes_px[:, :2]).min() < 15  # NaN, where it is out of sight, is not
        if not small and not track.truncated.any():
            marked = np.isin(np.arange(n), [0, n // 2, n - 1])[:, None]
            tracks.append(replace(track, boxes_px=np.where(marked, track.boxes_px, np.nan), masks=None))
    assert [track.category for track in tracks] == ["car", "car", "bicycle", "bicycle", "truck"]
    footage = Footage("street", truth.times_s, truth.image_size_px)
    frames = seen.scene.frames
    assert frames is not None
    found, again = (follow_boxes(footage, frames.read, replace(truth, tracks=tuple(tracks))) for _ in range(2))
    assert isinstance(found, ObjectTracks) and isinstance(again, ObjectTracks)
    true_px = {track.track_id: track.boxes_px for track in truth.tracks}
    off_px = np.array([track.boxes_px - true_px[track.track_id] for track in found.tracks])
    assert np.isnan(off_px[..., 0]).mean() < 0.1
    assert np.nanmedian(np.abs(off_px).max(axis=2)) < 1.0
    assert np.nanquantile(np.abs(off_px), 0.95) < 2.0
    for one, other in zip(found.tracks, again.tracks, strict=True):
        np.testing.assert_array_equal(one.boxes_px, other.boxes_px)


@pytest.mark.skipif("STVLM_REALDATA" not in os.environ, reason="STVLM_REALDATA names no folder of real samples")
def test_a_mark_that_is_left_out_is_found_again_in_a_real_drive() -> None:
    """Drawn by eye around a car that brakes, in frames 1, 31 and 78; that of frame 31 is kept for comparison."""
    folder = Path(os.environ["STVLM_REALDATA"]) / "unlabeled_video/kitti_raw_sfnd/image_02"
    images = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.jpg"))]
    footage = Footage("drive", np.arange(len(images)) / 10, (images[0].shape[1], images[0].shape[0]))
    drawn, _ = read_mot(Path(__file__).parents[1] / "data/kitti_raw_sfnd.marks.txt", footage)
    (track,) = drawn.tracks
    boxes_px = track.boxes_px.copy()
    boxes_px[30] = np.nan
    found = follow_boxes(footage, lambda k: images[k], replace(drawn, tracks=(replace(track, boxes_px=boxes_px),)))
    assert isinstance(found, ObjectTracks)
    np.testing.assert_allclose(found.tracks[0].boxes_px[30], track.boxes_px[30], atol=3)  # it is 170 px high
    assert not np.isnan(found.tracks[0].boxes_px).any()


def test_what_cannot_be_followed() -> None:
    given = marks(approaching(), [0])
    footage = Footage("a", given.times_s, SIZE_PX)
    assert follow_boxes(footage, lambda k: BEHIND, replace(given, tracks=())) == Rejected("no boxes are marked", "a")
    with pytest.raises(DataError, match="give RGB images of one size"):
        follow_boxes(footage, lambda k: BEHIND[:, :-1], given)
    with pytest.raises(ValueError, match=r"least_agreeing, .* are shares"):
        Following(least_iou=1.5)
    with pytest.raises(ValueError, match="most_growth is above 1"):
        Following(most_growth=1.0)

"""Tracks from detections made by hand, by a follower that knows an object by its colour.

A street of 12 x 8 pixels, one frame every half second. A car is a block of 3 x 2 pixels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import Footage, ObjectTrack, decode_mask
from stvlm.pseudo_labels.objects.matching import Detections
from stvlm.pseudo_labels.objects.tracking import Rules, View, _follow_back, _Object, follow
from stvlm.records import Array, DataError

SIZE_PX = (12, 8)
RED, BLUE, GREEN = (200, 0, 0), (0, 0, 200), (0, 200, 0)


class Block(NamedTuple):
    """Pixels of one colour, in one frame: left, top, and how sure the follower is of them."""

    colour: tuple[int, int, int]
    x: int
    y: int = 3
    width: int = 3
    height: int = 2

    def box(self) -> list[int]:
        return [self.x, self.y, self.x + self.width, self.y + self.height]


def painted(blocks: Sequence[Block]) -> Array:
    image = np.zeros((SIZE_PX[1], SIZE_PX[0], 3), dtype=np.uint8)
    for colour, x, y, width, height in blocks:
        image[y : y + height, x : x + width] = colour
    return image


class ColourFollower:
    """Satisfies ``tracking.Follower``: an object is all pixels of the colour in the middle of its box."""

    def __init__(self) -> None:
        self.images: dict[int, Array] = {}
        self.steps: list[tuple[int, bool]] = []

    def show(self, k: int, image: Array) -> None:
        self.images[k] = image

    def begin(self, k: int, box_px: Array) -> Any:
        x, y = ((box_px[:2] + box_px[2:]) / 2).astype(int)
        return tuple(self.images[k][y, x])

    def step(self, session: Any, k: int, reverse: bool = False) -> View:
        self.steps.append((k, reverse))
        return View(np.where((self.images[k] == session).all(axis=2), 1.0, -1.0), 0.9)

    def owner(self, views: Sequence[View]) -> Array:
        owner = np.full(SIZE_PX[::-1], -1)
        for i, view in enumerate(views):
            owner[view.logits > 0] = i
        return owner


def tracks(
    frames: Sequence[Sequence[Block]], found: dict[int, list[tuple[Block, str, float]]], rules: Rules | None = None
) -> tuple[ObjectTrack, ...]:
    """Tracks of frames half a second apart; what the detector finds in each in which it is asked."""
    images = [painted(blocks) for blocks in frames]

    def detect(image: Array) -> Detections:
        (k,) = (k for k, other in enumerate(images) if other is image)
        boxes = np.array([block.box() for block, _, _ in found.get(k, [])], dtype=np.float64).reshape(-1, 4)
        return Detections(boxes, np.array([s for *_, s in found.get(k, [])]), [c for _, c, _ in found.get(k, [])])

    footage = Footage("street", np.arange(len(frames)) / 2, SIZE_PX)
    return follow(footage, images.__getitem__, detect, ColourFollower(), rules or Rules())


def seen(track: ObjectTrack) -> list[int]:
    return np.flatnonzero(~np.isnan(track.boxes_px[:, 0])).tolist()


def test_a_detection_becomes_a_track_through_all_frames() -> None:
    frames = [[Block(RED, k)] for k in range(5)]
    (track,) = tracks(frames, {0: [(frames[0][0], "car", 0.8)], 2: [(frames[2][0], "car", 0.5)]})
    assert (track.track_id, track.category, seen(track)) == ("1", "car", [0, 1, 2, 3, 4])
    np.testing.assert_allclose(track.boxes_px[1], [0.5, 2.5, 3.5, 4.5])  # its pixels are columns 1 to 3, rows 3 and 4
    np.testing.assert_allclose(track.score, [0.72, 0.72, 0.45, 0.45, 0.45])  # as last found, times 0.9
    assert track.masks is not None and track.masks[1] is not None
    assert np.argwhere(decode_mask(track.masks[1], SIZE_PX)).tolist() == [
        [3, 1],
        [3, 2],
        [3, 3],
        [4, 1],
        [4, 2],
        [4, 3],
    ]


def test_what_comes_into_view_between_detections_is_followed_back_to_there() -> None:
    red, blue = Block(RED, 0), Block(BLUE, 6)
    frames = [[red], [red, blue], [red, blue], [red, blue]]
    first, second = tracks(frames, {0: [(red, "car", 0.8)], 2: [(red, "car", 0.8), (blue, "bus", 0.6)]})
    assert (first.track_id, first.category, seen(first)) == ("1", "car", [0, 1, 2, 3])
    assert (second.track_id, second.category, seen(second)) == ("2", "bus", [1, 2, 3])
    assert second.score.tolist() == pytest.approx([0, 0.54, 0.54, 0.54])


def test_going_back_ends_where_it_may() -> None:
    blue = Block(BLUE, 6)
    frames = [[blue]] * 5
    found = {4: [(blue, "bus", 0.6)]}
    assert [seen(track) for track in tracks(frames, found)] == [[2, 3, 4]]
    assert [seen(track) for track in tracks(frames, found, Rules(back_s=0))] == [[4]]
    assert [seen(track) for track in tracks(frames, found, Rules(back_s=9))] == [[0, 1, 2, 3, 4]]


def test_an_object_that_is_hidden_for_a_while_keeps_its_number() -> None:
    red = Block(RED, 0)
    frames = [[red], [red], [], [], [red], [red]]
    (track,) = tracks(frames, {0: [(red, "car", 0.8)], 4: [(red, "car", 0.8)]})
    assert (track.track_id, seen(track)) == ("1", [0, 1, 4, 5])


def test_an_object_that_is_hidden_for_long_is_another_when_it_is_back() -> None:
    red = Block(RED, 0)
    frames = [[red], *[[]] * 5, [red], [red]]
    first, second = tracks(frames, {0: [(red, "car", 0.8)], 6: [(red, "car", 0.8)]})
    assert (seen(first), seen(second)) == ([0], [6, 7])


def test_an_object_that_the_detector_no_longer_finds_ends_where_it_last_did() -> None:
    red = Block(RED, 0)
    found = {0: [(red, "car", 0.8)], 2: [(red, "car", 0.8)]}
    (track,) = tracks([[red]] * 9, found)
    assert seen(track) == [0, 1, 2]
    (track,) = tracks([[red]] * 8, found)
    assert seen(track) == [0, 1, 2, 3, 4, 5, 6, 7], "missed twice is not three times"


def test_only_misses_in_a_row_count() -> None:
    red = Block(RED, 0)
    (track,) = tracks([[red]] * 12, {k: [(red, "car", 0.8)] for k in (0, 6)})
    assert seen(track) == list(range(12)), "missed at 1, 2, 4 and 5 s, found at 3 s"


def test_what_is_hidden_is_not_missed() -> None:
    red = Block(RED, 0)
    frames = [[red], [], [], [], [red]]
    found = {k: [(red, "car", 0.8)] for k in (0, 4)}
    (track,) = tracks(frames, found, Rules(detect_every_s=0.5))
    assert seen(track) == [0, 4]


@pytest.mark.parametrize(("taken", "columns"), [(1, [1, 2]), (2, [])])
def test_going_back_an_object_has_what_is_nobodys_yet(taken: int, columns: list[int]) -> None:
    """Of three columns, one is another's: it has the others. Or two, which are most of it: it was not there yet."""
    follower = ColourFollower()
    for k in range(2):
        follower.show(k, painted([Block(RED, 0)]))
    known, new = _Object(None), _Object(RED)
    for it in (known, new):
        it.find(1, "car", 1.0)
    known.see(0, painted([Block(BLUE, 0, width=taken)])[..., 2] > 0, 1.0)
    _follow_back(follower, 1, 0, [new], [known, new], 0.5)
    masks = [decode_mask(it.mask, SIZE_PX) for it in new.seen.values()]
    assert [np.flatnonzero(mask.any(axis=0)).tolist() for mask in masks] == ([columns] if columns else [])


def test_the_class_is_voted_on_and_the_score_tells_how_clearly() -> None:
    red = Block(RED, 0)
    votes = {0: [(red, "truck", 0.9)], 2: [(red, "car", 0.6)], 4: [(red, "car", 0.6)]}
    (track,) = tracks([[red]] * 5, votes)
    assert track.category == "car"
    share = 1.2 / 2.1
    np.testing.assert_allclose(track.score, 0.9 * share * np.array([0.9, 0.9, 0.6, 0.6, 0.6]))


def test_a_rider_and_the_bicycle_are_two_objects() -> None:
    """The rider sits on the bicycle: their boxes overlap by an IoU of 2 / 10 = 0.2."""
    rider, bicycle = Block(RED, 2, 1, 3, 3), Block(BLUE, 2, 4, 3, 2)
    both = [(rider, "person", 0.9), (bicycle._replace(y=3, height=3), "bicycle", 0.8)]
    found = tracks([[bicycle, rider]] * 3, {0: both, 2: both})
    assert [(track.category, seen(track)) for track in found] == [("person", [0, 1, 2]), ("bicycle", [0, 1, 2])]


def test_what_is_mostly_another_objects_is_none() -> None:
    """A window of the car is found as a person: the mask in its box is the car's."""
    car = Block(RED, 0, 2, 6, 4)
    (track,) = tracks([[car]] * 2, {0: [(car, "car", 0.9), (Block(RED, 2, 3, 2, 2), "person", 0.8)]})
    assert (track.category, track.score[0]) == ("car", pytest.approx(0.81))


def test_only_the_surest_are_followed_where_there_are_many() -> None:
    blocks = [Block(RED, 0), Block(BLUE, 4), Block(GREEN, 8)]
    found = {0: [(block, "car", score) for block, score in zip(blocks, (0.5, 0.9, 0.7), strict=True)]}
    some = tracks([blocks] * 2, found, Rules(most_objects=2))
    assert [track.boxes_px[0, 0] for track in some] == [3.5, 7.5]


def test_without_detections_there_are_no_tracks() -> None:
    assert tracks([[Block(RED, 0)]] * 3, {}) == ()


def test_an_image_of_another_size_is_told() -> None:
    footage = Footage("street", np.arange(1.0), SIZE_PX)
    with pytest.raises(DataError, match=r"street: an image has the shape \(12, 8, 3\), not \(8, 12, 3\); give RGB"):
        follow(footage, lambda k: np.zeros((12, 8, 3), np.uint8), lambda image: None, ColourFollower(), Rules())


def test_rules_that_make_no_sense_are_told() -> None:
    with pytest.raises(DataError, match="detect_every_s is above 0"):
        Rules(detect_every_s=0)
    with pytest.raises(DataError, match="most_misses and most_objects are at least 1"):
        Rules(most_objects=0)

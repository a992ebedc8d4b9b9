"""Boxes that visitors draw, followed, and what a model is shown of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.demo.worlds import street, write_mp4

from stvlm.demo.clips import (
    Clip,
    Mark,
    Study,
    add_mark,
    follow,
    in_pixels_of,
    losses,
    mark_of,
    shown_to_model,
    when,
    without_marks,
)
from stvlm.demo.working import untold
from stvlm.records import DataError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = write_mp4(tmp_path_factory.mktemp("clip") / "clip.mp4", street(30), crf="12")
    return Clip(path, 0.1, 30, (320, 200))


def boxed(clip: Clip, **boxes: tuple[int, int]) -> Study:
    """Boxes that are there from one frame to another, inclusive."""
    found = {}
    for color, (first, last) in boxes.items():
        found[color] = np.full((clip.count, 4), np.nan)
        found[color][first : last + 1] = (40, 80, 88, 128)
    return Study(clip, (Mark("red", 0.0, (40, 80, 88, 128)),), found)


def test_a_box_follows_what_it_was_drawn_around(clip: Clip) -> None:
    told = []
    study = add_mark(Study(clip), Mark("red", 1.02, (70.0, 80.0, 118.0, 128.0)))  # frame 10: x is 40 + 3 * 10
    study = follow(study, "red", lambda it: told.append(it.share))
    left = 40 + 3 * np.arange(30)
    expected = np.stack([left, np.full(30, 80), left + 48, np.full(30, 128)], axis=1)
    assert np.abs(study.boxes_px["red"] - expected).max() < 2
    assert told[0] == 0 and told[-1] == pytest.approx(29 / 30)


def test_corners_may_come_in_any_order_and_lie_outside(clip: Clip) -> None:
    study = add_mark(Study(clip), Mark("red", 3.0, (118.0, 240.0, -5.0, 80.0)))
    assert study.marks == (Mark("red", pytest.approx(2.9), (0.0, 80.0, 118.0, 200.0)),)


def test_boxes_of_programs_are_in_pixels_of_what_they_sent(clip: Clip) -> None:
    mark = Mark("red", 1.0, (40, 80, 100, 120))
    assert in_pixels_of(clip, mark) == mark
    larger = replace(clip, sent_px=(2 * clip.size_px[0], 4 * clip.size_px[1]))
    assert in_pixels_of(larger, mark) == Mark("red", 1.0, (20, 20, 50, 30))


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        (Mark("red", 0.0, (10, 10, 14, 40)), "too small"),
        (Mark("red", 0.0, (float("nan"), 10, 40, 40)), "too small"),
        (Mark("red", 0.0, (400, 10, 440, 40)), "outside the picture"),
        (Mark("red", 9.0, (10, 10, 40, 40)), "0 to 2.9 s; a box at 9 s is not in it"),
        (Mark("pink", 0.0, (10, 10, 12, 12)), "A box is red, blue, green; 'pink' is none"),
        (Mark("blue", 0.0, (10, 10, 40, 40)), "Draw the red box first"),
    ],
)
def test_boxes_that_are_none(clip: Clip, mark: Mark, words: str) -> None:
    with pytest.raises(DataError, match=words):
        add_mark(Study(clip), mark)


@pytest.mark.parametrize("data", [{}, None, {"box": [1, 2, 3]}, {"box": "abcd", "color": "red", "time_s": 0}, "box"])
def test_what_a_page_sends_is_checked(data: object) -> None:
    with pytest.raises(DataError, match="A box is"):
        mark_of(data)
    assert mark_of({"color": "red", "time_s": "1", "box": [1, 2, 3, 4]}) == Mark("red", 1.0, (1.0, 2.0, 3.0, 4.0))


def test_a_second_mark_of_a_frame_takes_the_place_of_the_first(clip: Clip) -> None:
    study = add_mark(Study(clip), Mark("red", 0.0, (10, 10, 40, 40)))
    study = add_mark(study, Mark("red", 0.04, (20, 20, 50, 50)))
    assert study.marks == (Mark("red", 0.0, (20, 20, 50, 50)),)
    assert add_mark(study, Mark("red", 1.0, (9, 9, 40, 40))).marks[0] == study.marks[0]
    assert without_marks(study).marks == ()


def test_a_box_around_nothing_cannot_be_followed(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "clip.mp4", (np.full((96, 128, 3), 90, np.uint8) for _ in range(30)))
    study = add_mark(Study(Clip(path, 0.1, 30, (128, 96))), Mark("red", 0.0, (20, 20, 60, 60)))
    with pytest.raises(
        DataError, match=r"^Red was followed at 0\.0 s \(of 2\.9 s\)\. A model needs two seconds\. Draw the box"
    ):
        shown_to_model(follow(study, "red", untold), None)


def test_a_model_sees_half_seconds_with_boxes(clip: Clip) -> None:
    shown = shown_to_model(boxed(clip, red=(0, 29)), None)
    assert shown.times_s == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5] and shown.first_s == 0
    assert shown.frames.shape == (6, 200, 320, 3)
    assert shown.frames[0, 79, 60].tolist() == [255, 0, 0]  # above the box, whose top is 80
    assert (shown.frames[0, 90, 60] != [255, 0, 0]).any()


def test_a_model_of_any_size_sees_what_it_was_trained_on(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "wide.mp4", street(30, 1000, 200), crf="12")
    wide = boxed(Clip(path, 0.1, 30, (1000, 200)), red=(0, 29))
    assert shown_to_model(wide, None).frames.shape == (6, 128, 640, 3)
    assert shown_to_model(wide, (96, 96)).frames.shape == (6, 200, 1000, 3), "which the model brings to its own size"


def test_a_model_sees_them_while_all_boxes_are_there(clip: Clip) -> None:
    shown = shown_to_model(boxed(clip, red=(0, 27), blue=(4, 29)), None)
    assert (shown.first_s, shown.times_s) == (0.5, [0.0, 0.5, 1.0, 1.5, 2.0])
    with pytest.raises(
        DataError, match=r"^Blue was followed from 0\.6 s on \(of 2\.9 s\)\. A model needs two seconds with"
    ):
        shown_to_model(boxed(clip, red=(0, 27), blue=(6, 29)), None)
    # Without a box all of the 2.9 seconds.
    plain = shown_to_model(Study(clip), None)
    assert (plain.first_s, plain.times_s) == (0.0, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    assert np.array_equal(plain.frames, clip.frames()[::5])


def test_which_box_is_lost_and_when(clip: Clip) -> None:
    assert losses(boxed(clip, red=(0, 29), blue=(4, 28))) == [], "half a second is shown to nobody"
    gone = boxed(clip, red=(0, 15), blue=(5, 29), green=(8, 20))
    gone.boxes_px["red"][5:10] = np.nan
    assert losses(gone) == [
        "Red was followed until 0.4 s and from 1.0 to 1.5 s (of 2.9 s).",
        "Blue was followed from 0.5 s on (of 2.9 s).",
        "Green was followed from 0.8 to 2.0 s (of 2.9 s).",
    ]


def test_when_something_is_so(clip: Clip) -> None:
    is_so = np.ones(clip.count, dtype=bool)
    assert when(is_so, clip) == "throughout"
    is_so[[10, 11, 12, 13, 14, 15, 28, 29]] = False
    assert when(is_so, clip) == "until 0.9 s and from 1.6 to 2.7 s"
    assert when(is_so, clip, 0.7) == "until 2.7 s"
    assert when(~is_so, clip) == "from 1.0 to 1.5 s and from 2.8 s on"


def test_a_clip_that_was_removed_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is gone, as old ones are removed"):
        Clip(tmp_path / "none.mp4", 0.1, 30, (320, 200)).frames()

"""Boxes and gates of tests/dataset/scenes.py's camera: each gate just passed and just failed."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.dataset.scenes import MS, mover, plate, scene_of

import stvlm.dataset.visibility as visibility
from stvlm.dataset.visibility import REASONS, VisibilityGates, boxes_in_view, see
from stvlm.records import Array, Track

GATES = VisibilityGates()


def reasons(*tracks: Track, gates: VisibilityGates = GATES) -> list[str]:
    """Of each track in the scene's one frame."""
    return [REASONS[i] for i in see(scene_of(*tracks), gates).why_not[0]]


def boxes(*tracks: Track, times_ns: Sequence[int] = (0,)) -> Array:
    """Of each track in each frame, (F, T, 4)."""
    return boxes_in_view(scene_of(*tracks, times_ns=times_ns), tracks, np.arange(len(times_ns)))


def test_a_box_by_hand_and_cut_at_the_border() -> None:
    # 2 m at 10 m are 100 px. The second one's centre lies at u = 0.
    boxes_px = boxes(plate("a", (10, 1, 2)), plate("b", (10, 10, 0)), plate("c", (-10, 0, 0)))[0]
    np.testing.assert_allclose(boxes_px[0], [400, 100, 500, 200], atol=0.01)
    np.testing.assert_allclose(boxes_px[1], [0, 200, 50, 300], atol=0.01)
    assert np.isnan(boxes_px[2]).all()


def test_half_of_the_box_has_to_be_inside() -> None:
    assert reasons(plate("a", (10, 9.99, 0))) == ["visible"]
    assert reasons(plate("a", (10, 10.01, 0))) == ["outside the image"]
    assert reasons(plate("a", (-10, 0, 0))) == ["outside the image"]


def test_the_part_inside_has_to_be_20_pixels_wide_of_1000() -> None:
    assert reasons(plate("a", (24.99, 0, 0), (1.0, 1.0))) == ["visible"]
    assert reasons(plate("a", (25.01, 0, 0), (1.0, 1.0))) == ["too small in the image"]
    assert reasons(plate("a", (25.01, 0, 0), (0.5, 2.1))) == ["visible"]  # of that area


def hider(until_px: float, depth_m: float = 5.0) -> Track:
    """A plate as high as the picture from u = 400 to `until_px`."""
    width_m = (until_px - 400) * depth_m / 500
    return plate("near", (depth_m, (500 - 400) * depth_m / 500 - width_m / 2, 0), (width_m, 4.0))


def test_up_to_60_percent_may_be_hidden_by_what_is_nearer() -> None:
    target = plate("far", (10, 0, 0))  # u from 450 to 550: columns of 12.5 px with middles at 456.25, 468.75, ...
    assert reasons(target, hider(505)) == ["visible", "visible"]  # four of eight columns
    assert reasons(target, hider(507)) == ["occluded by nearer objects", "visible"]  # five
    assert reasons(target, hider(600, depth_m=10.5))[0] == "visible"  # that one is farther
    assert reasons(target, hider(507), gates=VisibilityGates(max_occluded=0.7)) == ["visible", "visible"]


def test_several_nearer_ones_hide_together_what_none_hides_alone() -> None:
    left, right = hider(481), plate("right", (5, -0.5, 0), (0.7, 4.0))  # u from 515 to 585: three columns
    target = plate("far", (10, 0, 0))
    assert reasons(target, left)[0] == reasons(target, right)[0] == "visible"
    assert reasons(target, left, right)[0] == "occluded by nearer objects"


def test_a_box_hides_what_is_behind_its_faces_not_behind_the_rectangle_around_it() -> None:
    # A wall, 1 m high, from (4, 2) to (24, 2): the picture of its face narrows from u = 250, v = 188 to 312, to
    # u = 458, v = 240 to 260. The target, v from 200 to 230 at u near 440, stands above it.
    wall = Track("wall", "other", [0], [[14.0, 2.0, 0.0]], [[20.0, 0.01, 1.0]], [0.0])
    above, behind = plate("above", (25, 3, 1.75), (1.5, 1.5)), plate("behind", (25, 3, 0), (1.5, 0.9))
    assert reasons(above, wall)[0] == "visible"
    assert reasons(behind, wall)[0] == "occluded by nearer objects"


def test_what_hides_may_be_something_that_is_never_asked_about() -> None:
    cone = plate("cone", (5, 0, 0), (2.0, 2.0), category="other")
    assert reasons(plate("far", (10, 0, 0)), cone)[0] == "occluded by nearer objects"


def test_the_nearest_annotation_tells_whether_a_sensor_saw_it() -> None:
    track = plate("a", (10, 0, 0), times_ns=[0, 500 * MS, 1000 * MS], seen=[True, False, True])
    seen = see(scene_of(track, times_ns=[0, 240 * MS, 260 * MS, 740 * MS, 760 * MS]), GATES)
    assert seen.visible[:, 0].tolist() == [True, True, False, False, True]
    assert REASONS[seen.why_not[2, 0]] == "seen by no sensor"


def test_boxes_are_drawn_at_the_stamp_of_the_image() -> None:
    # From y = 0 to y = -2 within a second: at 0.3 s its centre is at y = -0.6, u = 530.
    track = plate("a", [[10, 0, 0], [10, -2, 0]], times_ns=[0, 1000 * MS])
    times_ns = [0, 300 * MS, 1000 * MS, 1100 * MS]
    np.testing.assert_allclose(boxes(track, times_ns=times_ns)[:3, 0, 0], [450, 480, 550], atol=0.01)
    seen = see(scene_of(track, times_ns=times_ns), GATES)
    assert [REASONS[i] for i in seen.why_not[:, 0]] == ["visible"] * 3 + ["not annotated"]


def test_headings_of_boxes_are_interpolated_the_short_way_round() -> None:
    long = {"size_lwh_m": [[4.0, 0.1, 1.0]] * 2, "yaw_rad": np.deg2rad([170.0, -150.0])}
    track = plate("a", (20, 0, 0), times_ns=[0, 500 * MS], **long)
    # After a quarter of the time it points along x: its near end, 0.1 m wide, is at 18 m.
    box_px = boxes(track, times_ns=[125 * MS])[0, 0]
    assert box_px[2] - box_px[0] == pytest.approx(500 * 0.1 / 18, abs=0.01)


def test_a_track_without_a_box_is_given_a_persons() -> None:
    track = Track("a", "person", [0], [[10.3, 0.0, 0.0]])
    np.testing.assert_allclose(boxes(track)[0, 0], [485, 207.5, 515, 292.5])


def test_a_scenes_own_boxes_are_what_is_seen_and_drawn() -> None:
    """Boxes at 0 and 0.4 s, so that the one at 0.2 s lies between; the image is 1000 wide, so that 20 px are needed."""
    times_ns = [0, 200 * MS, 400 * MS, 2000 * MS]
    track = mover("a", times_ns)
    boxes_px = np.array([[10.0, 10, 50, 40], [np.nan] * 4, [30.0, 10, 70, 40], [30.0, 10, 45, 25]])
    scene = scene_of(track, times_ns=times_ns, boxes_px={"a": boxes_px})
    drawn = boxes_in_view(scene, [track], np.arange(4))[:, 0]
    np.testing.assert_allclose(drawn, [boxes_px[0], [20, 10, 60, 40], boxes_px[2], boxes_px[3]])
    why_not = see(scene, GATES).why_not[:, 0]
    assert [REASONS[k] for k in why_not] == ["visible"] * 3 + ["too small in the image"]


def test_a_scene_without_tracks_has_none_to_see() -> None:
    assert see(scene_of(times_ns=[0, 1]), GATES).visible.shape == (2, 0)


def test_blocks_of_frames_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    times_ns = [i * 100 * MS for i in range(40)]
    late = mover("late", times_ns[17:], at_m=(15, 4, 0))
    early, long = mover("early", times_ns[:9]), mover("long", times_ns, velocity_mps=(0.5, -2.0))
    scene = scene_of(early, late, long, times_ns=times_ns)
    whole = see(scene, GATES).why_not
    assert set(whole.ravel().tolist()) >= {0, 1, 5}
    for frames in (1, 7, 39):
        monkeypatch.setattr(visibility, "_BLOCK_FRAMES", frames)
        np.testing.assert_array_equal(see(scene, GATES).why_not, whole)

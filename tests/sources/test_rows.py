"""Rows to tracks and frames: what cannot be used is left out and named, and order never depends on the file's."""

import numpy as np

from stvlm.geometry import se3
from stvlm.records import Rejected
from stvlm.sources.rows import frame_rows, se3_or_nan, tracks_of

LEVEL = [1.0, 0.0, 0.0, 0.0]


def boxes(*rows: tuple[int, int, float, float]):  # owner, time, x, width
    owner, times_ns, x_m, width_m = map(np.array, zip(*rows, strict=True))
    n = len(owner)
    xyz_m = np.stack([x_m, np.zeros(n), np.zeros(n)], axis=1)
    size_lwh_m = np.stack([np.full(n, 4.0), width_m, np.full(n, 1.5)], axis=1)
    return tracks_of(["b", "a"], ["car", "person"], owner, times_ns, xyz_m, size_lwh_m, np.zeros(n))


def test_tracks_are_sorted_by_id_and_time() -> None:
    tracks, rejected = boxes((0, 20, 2.0, 2.0), (1, 10, 5.0, 2.0), (0, 10, 1.0, 2.0))
    found = [(track.track_id, track.category, track.times_ns.tolist()) for track in tracks]
    assert found == [("a", "person", [10]), ("b", "car", [10, 20])]
    assert tracks[1].xyz_m[:, 0].tolist() == [1.0, 2.0]
    assert rejected == []


def test_bad_rows_are_left_out_one_by_one() -> None:
    tracks, rejected = boxes((0, 10, 1.0, 2.0), (0, 20, np.nan, 2.0), (0, 30, 3.0, 0.0), (1, 10, np.inf, 2.0))
    assert [t.track_id for t in tracks] == ["b"]
    assert rejected == [
        Rejected("box without a position", "track b at 20 ns"),
        Rejected("box without a position", "track a at 10 ns"),
        Rejected("box without a size", "track b at 30 ns"),
    ]


def test_of_two_boxes_at_one_time_the_first_is_kept() -> None:
    tracks, rejected = boxes((0, 10, 1.0, 2.0), (0, 10, 9.0, 2.0), (1, 10, 5.0, 2.0))
    assert tracks[1].xyz_m[:, 0].tolist() == [1.0]
    assert rejected == [Rejected("second box at one time stamp", "track b at 10 ns")]


def test_no_rows_are_no_tracks() -> None:
    nothing = np.empty((0, 3))
    assert tracks_of([], [], np.empty(0, int), np.empty(0, int), nothing, nothing, np.empty(0)) == ((), [])


def test_a_zero_quaternion_is_no_pose() -> None:
    poses = se3_or_nan(np.array([LEVEL, [0, 0, 0, 0], [np.nan, 0, 0, 1]]), np.ones((3, 3)))
    assert np.isfinite(poses).all(axis=(1, 2)).tolist() == [True, False, False]


def test_frames_are_in_time_order_each_with_a_pose_of_its_own_time() -> None:
    poses = se3(np.array([LEVEL] * 4), np.zeros((4, 3)))
    poses[1] = np.nan
    rows, rejected = frame_rows(np.array([30, 20, 10, 10]), poses, "scene camera")
    assert rows.tolist() == [2, 0]
    assert rejected == [
        Rejected("frame without an ego pose", "scene camera at 20 ns"),
        Rejected("second frame at one time stamp", "scene camera at 10 ns"),
    ]

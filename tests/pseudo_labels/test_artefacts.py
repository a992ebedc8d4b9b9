"""What the records between the stages refuse, how masks are kept, and where a depth map's pixels lie."""

from typing import Any

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import (
    DepthCrop,
    Footage,
    Geometry,
    LiftedTrack,
    MetricDepth,
    ObjectTrack,
    ObjectTracks,
    Provenance,
    decode_mask,
    encode_mask,
    resized,
)

MADE = Provenance("made")


def geometry(**changes: Any) -> Geometry:
    fields = {
        "times_s": [0.0, 0.5],
        "world_SE3_camera": np.tile(np.eye(4), (2, 1, 1)),
        "K_px": np.tile([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]], (2, 1, 1)),
        "image_size_px": (64, 48),
        "is_upright": False,
        "scale": "metric",
        "provenance": MADE,
        "depth": np.ones((2, 6, 8), dtype=np.float32),
        "crop": resized((64, 48), (8, 6)),
    }
    return Geometry(**fields | changes)


def metric_depth(**changes: Any) -> MetricDepth:
    fields = {
        "times_s": [0.0, 0.5, 1.0],
        "image_size_px": (64, 48),
        "frames": [0, 2],
        "depth_m": np.ones((2, 6, 8), dtype=np.float32),
        "crop": resized((64, 48), (8, 6)),
        "provenance": MADE,
        "focal_px": [50.0, 51.0],
    }
    return MetricDepth(**fields | changes)


def object_track(**changes: Any) -> ObjectTrack:
    fields = {
        "track_id": "a",
        "category": "car",
        "boxes_px": [[1, 2, 3, 4], [np.nan] * 4],
        "score": [0.9, 0],
        "truncated": [False, False],
        "occluded": [True, False],
        "masks": (np.array([0, 3, 9]), None),
    }
    return ObjectTrack(**fields | changes)


def lifted(**changes: Any) -> LiftedTrack:
    fields = {
        "track_id": "a",
        "category": "car",
        "times_s": [0.0, 0.5],
        "xyz_m": np.zeros((2, 3)),
        "covariance_m2": np.tile(np.diag([0.1, 0.1, 2.0]), (2, 1, 1)),
    }
    return LiftedTrack(**fields | changes)


def test_maps_are_copied_unless_nobody_can_write_into_them() -> None:
    mine = np.ones((2, 6, 8), dtype=np.float32)
    record = geometry(depth=mine)
    mine[...] = 7
    assert record.depth is not None and record.depth.max() == 1 and not record.depth.flags.writeable
    mine.setflags(write=False)
    assert geometry(depth=mine).depth is mine


def test_every_array_is_read_only() -> None:
    track = object_track()
    assert track.masks is not None
    records = [geometry().K_px, geometry().times_s, track.boxes_px, track.score, track.masks[0], lifted().covariance_m2]
    for array in records:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1  # type: ignore[index]


SCALED = np.diag([2.0, 2.0, 2.0, 1.0])
MIRRORED = np.diag([1.0, 1.0, -1.0, 1.0])
TRANSPOSED = [[50, 0, 0], [0, 50, 0], [32, 24, 1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times_s": [0.5, 0.5]}, "times_s must increase strictly"),
        ({"world_SE3_camera": np.tile(np.eye(4), (3, 1, 1))}, r"must have shape \(2, 4, 4\), got \(3, 4, 4\)"),
        ({"world_SE3_camera": np.tile(SCALED, (2, 1, 1))}, "no rigid transform"),
        ({"world_SE3_camera": np.tile(MIRRORED, (2, 1, 1))}, "no rigid transform"),
        ({"K_px": np.tile(TRANSPOSED, (2, 1, 1))}, "no pinhole intrinsics"),
        ({"K_px": np.tile(-np.eye(3), (2, 1, 1))}, "no pinhole intrinsics"),
        ({"scale": "unknown"}, "scale is one of metric, arbitrary, got 'unknown'"),
        ({"image_size_px": (0, 48)}, "positive width and height"),
        ({"depth": None}, "crop is given with depth, confidence or moving"),
        ({"crop": None}, "crop is given with depth, confidence or moving"),
        ({"depth": np.ones((6, 8))}, r"depth must have shape \(2, 'h', 'w'\), got \(6, 8\)"),
        ({"depth": np.full((2, 6, 8), -1)}, "depth is 0 or more, and finite"),
        ({"depth": np.full((2, 6, 8), np.inf)}, "depth is 0 or more, and finite"),
        ({"confidence": np.full((2, 6, 8), 1.5)}, r"confidence lies in 0\.\.1"),
        ({"confidence": np.full((2, 6, 8), np.nan)}, r"confidence lies in 0\.\.1"),
        ({"moving": np.zeros((2, 6, 9))}, r"moving must have shape \(2, 6, 8\), got \(2, 6, 9\)"),
    ],
)
def test_a_geometry_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        geometry(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times_s": [0.5, 0.5, 1.0]}, "times_s must increase strictly"),
        ({"frames": [2, 0]}, "frames must increase strictly"),
        ({"frames": [0, 3]}, "frames are at least one, and of the 3 of the footage"),
        ({"frames": [-1, 0]}, "frames are at least one, and of the 3 of the footage"),
        ({"frames": np.zeros(0), "depth_m": np.ones((0, 6, 8))}, "frames are at least one"),
        ({"depth_m": np.ones((3, 6, 8))}, r"depth_m must have shape \(2, 'h', 'w'\), got \(3, 6, 8\)"),
        ({"depth_m": np.full((2, 6, 8), np.nan)}, "depth_m is 0 or more, and finite"),
        ({"focal_px": [50.0]}, r"focal_px must have shape \(2,\), got \(1,\)"),
        ({"focal_px": [50.0, 0.0]}, "focal_px is positive"),
    ],
)
def test_metric_depth_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric_depth(**changes)


def test_metric_depth_of_the_last_frame_alone() -> None:
    last = metric_depth(frames=[2], depth_m=np.ones((1, 6, 8)), focal_px=None)
    assert (last.frames.tolist(), last.depth_m.dtype, last.focal_px) == ([2], np.float32, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category": "tank"}, "category 'tank' is not one of"),
        ({"boxes_px": [[1, 2, 3, 4], [1, 2, 3, np.nan]]}, "or NaN as a whole"),
        ({"boxes_px": [[1, 2, 3, 4], [5, 2, 3, 4]]}, "x0 < x1"),
        ({"boxes_px": [[1, 2, 3, 4]]}, r"score must have shape \(1,\), got \(2,\)"),
        ({"score": [1.2, 0]}, r"score lies in 0\.\.1"),
        ({"masks": (None,)}, "2 frames need as many masks, got 1"),
    ],
)
def test_an_object_track_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        object_track(**changes)


def test_object_tracks_belong_to_their_footage() -> None:
    tracks = ObjectTracks([0.0, 0.5], (4, 3), (object_track(),), MADE)  # type: ignore[arg-type]
    assert tracks.tracks[0].track_id == "a"
    with pytest.raises(ValueError, match="two tracks share an id"):
        ObjectTracks(tracks.times_s, (4, 3), (object_track(), object_track()), MADE)
    with pytest.raises(ValueError, match="track 'a': 2 boxes for 1 frames"):
        ObjectTracks(tracks.times_s[:1], (4, 3), (object_track(),), MADE)
    with pytest.raises(ValueError, match="add up to the image's pixels"):
        ObjectTracks(tracks.times_s, (4, 4), (object_track(),), MADE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times_s": [1.0, 0.5]}, "times_s must increase strictly"),
        ({"xyz_m": np.zeros((1, 3))}, r"xyz_m must have shape \(2, 3\)"),
        ({"covariance_m2": np.tile(-np.eye(3), (2, 1, 1))}, "symmetric and not negative"),
        ({"covariance_m2": np.tile(np.triu(np.ones((3, 3))), (2, 1, 1))}, "symmetric and not negative"),
    ],
)
def test_a_lifted_track_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lifted(**changes)


def test_footage_refuses_no_frames_and_times_that_stand_still() -> None:
    with pytest.raises(ValueError, match="video 'v': footage has at least one frame"):
        Footage("v", np.zeros(0), (64, 48))
    with pytest.raises(ValueError, match="video 'v': times_s must increase strictly"):
        Footage("v", np.zeros(2), (64, 48))


def test_every_so_often_a_frame_is_taken() -> None:
    """At 0 and 1.2 s, and 2.2 s would be next; after a gap it counts from the frame that was taken."""
    for times_s, frames in (
        (np.arange(6) * 0.4, [0, 3]),
        (np.arange(4) * 0.1 * 10, [0, 1, 2, 3]),
        (np.zeros(1), [0]),
        (np.array([0, 0.5, 7, 7.5, 8]), [0, 2, 4]),
    ):
        assert Footage("v", times_s, (64, 48)).frames_every(1.0).tolist() == frames


def test_masks_are_run_lengths_down_the_columns() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)
    assert encode_mask(mask).tolist() == [2, 3, 1]  # column 0, then 1 1, then 1 0
    assert encode_mask(~mask).tolist() == [0, 2, 3, 1]
    assert encode_mask(np.zeros((2, 3), dtype=bool)).tolist() == [6]
    assert encode_mask(np.ones((2, 3), dtype=bool)).tolist() == [0, 6]
    drawn = np.random.default_rng(0).random((9, 7)) < 0.4
    np.testing.assert_array_equal(decode_mask(encode_mask(drawn), (7, 9)), drawn)


def test_a_depth_pixel_lies_in_the_middle_of_what_it_covers() -> None:
    third = resized((6, 3), (2, 1))
    assert third == DepthCrop((3.0, 3.0), (1.0, 1.0))
    np.testing.assert_allclose(third.to_image(np.array([[0, 0], [1, 0]])), [[1, 1], [4, 1]])
    np.testing.assert_allclose(third.to_depth(np.array([[4, 1]])), [[1, 0]])
    cut = resized((640, 360), (320, 180), cut_px=(0, 2))  # the first row left shows rows 4 and 5
    np.testing.assert_allclose(cut.to_image(np.array([0, 0])), [0.5, 4.5])
    with pytest.raises(ValueError, match="scale is positive"):
        DepthCrop((0.0, 1.0), (0.0, 0.0))

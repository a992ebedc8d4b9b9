"""Clips that are cut from simulated recordings while training."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from stvlm.dataset.clips import ClipLimits
from stvlm.dataset.video import draw_outline
from stvlm.dataset.visibility import VisibilityGates
from stvlm.records import DataError
from stvlm.training.simulated_clips import Recorded, SimulatedClips, _windows, are_seen, outlined, recorded

OPTIONS = {
    "seed": 3, "recordings": 2, "layouts": ["crossroads"], "width_px": 128, "height_px": 96, "duration_s": 8.0,
    "frame_rate_hz": 2, "annotation_rate_hz": 2, "camera_height_m": [12, 16], "pitch_deg": [30, 40],
    "camera_motions": {"fixed": 1.0}, "monochrome": True,
}  # fmt: skip
POSE = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 10], [0, 0, 0, 1]], dtype=float)
"""10 m above the origin, looking along the world's x."""
LIMITS = ClipLimits(min_frames=5, max_frames=8)
TWO = (0.0, 1.0, 0.0)


def test_outlines_are_those_of_a_drawn_image_that_was_resized():
    grey = np.full((1, 64, 64), 90, dtype=np.uint8)
    boxes_px = np.array([[[20.3, 30.6, 60.2, 50.1]], [[90.0, 10.0, 127.9, 40.0]]])
    found = outlined(grey, boxes_px, ("red", "blue"), (128, 96))
    image = np.full((96, 128, 3), 90, dtype=np.uint8)
    for box_px, color in zip(boxes_px[:, 0], ("red", "blue"), strict=True):
        draw_outline(image, box_px, color, 2)
    drawn = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = interpolate(drawn, size=(64, 64), mode="bicubic", antialias=True)
    assert (found - expected.clamp(0, 255)).abs().max() < 40  # overshoot at an edge, which is cut off at 0 and 255
    assert (found - expected.clamp(0, 255)).abs().mean() < 1


def test_nothing_is_drawn_of_what_is_not_seen():
    grey = np.full((2, 8, 8), 50, dtype=np.uint8)
    boxes_px = np.array([[[2.0, 2.0, 6.0, 6.0], [np.nan] * 4]])
    assert (outlined(grey, boxes_px, ("red",), (8, 8))[1] == 50).all()


def walker(speed_mps, frames=10):
    return np.array([[10 + speed_mps * t / 2, 0, 0.9] for t in range(frames)])


def recording(*ways, hidden=()):
    visible = np.ones((len(ways), len(ways[0])), dtype=bool)
    for track, frame in hidden:
        visible[track, frame] = False
    count = len(ways[0])
    boxes_px = np.tile([4.0, 4.0, 12.0, 12.0], (len(ways), count, 1))
    poses = np.tile(POSE, (count, 1, 1))
    return Recorded(np.zeros((count, 32, 32), np.uint8), (32, 24), np.stack(ways), boxes_px, visible, poses)


def test_windows_are_those_that_a_dataset_would_take():
    hidden = [(0, 0), (1, 3), (1, 5)]
    clips = SimulatedClips([recording(walker(2), walker(4), walker(0.1), hidden=hidden)], LIMITS, 0.0, TWO)
    # From frame 4 to 8 and to 9; any other that begins and ends in sight has more than a fifth of its frames hidden.
    assert clips.lengths == [5, 6]
    for n, ways_m in ((5, [4.0, 8.0]), (6, [5.0, 10.0])):
        cut = clips.draw(n, np.random.default_rng(0))
        assert cut.frames.shape == (n, 3, 32, 32)
        assert sorted(np.ptp(cut.xyz_m[..., 0], axis=1).tolist()) == ways_m
        assert cut.xyz_m[:, 0, 0].min() == 14


def test_clips_have_one_two_or_three_boxes():
    # The fourth gets nowhere, the fifth is seen too seldom, the sixth is annotated too late.
    late = walker(3)
    late[:5] = np.nan
    ways = [walker(2), walker(4), walker(1), walker(0.1), walker(5), late]
    hidden = [(4, t) for t in range(0, 10, 2)]
    clips = SimulatedClips([recording(*ways, hidden=hidden)], LIMITS, 0.0, (0.25, 0.5, 0.25))
    drawn = [clips.draw(6, np.random.default_rng(i)) for i in range(400)]
    counts = np.bincount([len(cut.colors) for cut in drawn])
    assert (abs(counts[1:] / 400 - (0.25, 0.5, 0.25)) < 0.08).all()
    for cut in drawn:
        assert cut.colors == ("red", "blue", "green")[: len(cut.colors)]
        assert len(cut.boxes) == len(cut.xyz_m) == len(cut.colors)
        assert set(np.ptp(cut.xyz_m[..., 0], axis=1).tolist()) <= {5.0, 10.0, 2.5}
        # Outlines are in the channels of their colours alone.
        shown = cut.frames.amax(dim=(0, 2, 3)).tolist()
        assert [value > 0 for value in shown] == [c in cut.colors for c in ("red", "green", "blue")]


def test_two_are_seen_together_where_there_is_a_window():
    rng = np.random.default_rng(0)
    ways = [walker(speed) for speed in (0.5, 1, 2)]
    ways[2][4] = np.nan
    hidden = [
        (int(track), int(frame)) for track, frame in zip(rng.integers(3, size=6), rng.integers(10, size=6), strict=True)
    ]
    one = recording(*ways, hidden=hidden)
    found = {(window.tracks, window.first, n) for window, n in _windows(0, one, LIMITS)}
    expected = {
        (pair, first, n)
        for pair in combinations(range(3), 2)
        for n in range(LIMITS.min_frames, min(LIMITS.max_frames, 10) + 1)
        for first in range(11 - n)
        if are_seen(one, pair, first, n, LIMITS)
    }
    assert found == expected and found


def test_turns_are_drawn_by_the_hour():
    turning = np.concatenate([walker(4, 5), [[18, -2 * k, 0.9] for k in range(1, 6)]])
    straight = [walker(2) for _ in range(4)]
    clips = SimulatedClips([recording(turning, *straight)], LIMITS, 1.0, TWO)
    drawn = [clips.draw(8, np.random.default_rng(i)) for i in range(20)]
    assert all((np.ptp(cut.xyz_m[..., 1], axis=1) > 1).any() for cut in drawn)


def test_recordings_are_rendered_once_and_drawn_from_alike(tmp_path):
    first = recorded(OPTIONS, VisibilityGates(), 32, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(written) == 2
    again = recorded(OPTIONS, VisibilityGates(), 32, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    a, b = (SimulatedClips(kept, LIMITS, 0.5, TWO).draw(6, np.random.default_rng(1)) for kept in (first, again))
    assert torch.equal(a.frames, b.frames)
    np.testing.assert_array_equal(a.xyz_m, b.xyz_m)
    assert (a.frames[:, 0].int() - a.frames[:, 1].int()).max() > 60  # a red outline


@pytest.mark.parametrize(
    ("change", "told"),
    [({"monochrome": False}, "monochrome"), ({"frame_rate_hz": 4}, "monochrome"), ({"layouts": ["court"]}, "streets")],
)
def test_other_families_are_refused(tmp_path, change, told):
    with pytest.raises(DataError, match=told):
        recorded(OPTIONS | change, VisibilityGates(), 32, tmp_path)


def test_recordings_in_which_nothing_meets_are_refused():
    with pytest.raises(DataError, match="more recordings"):
        SimulatedClips([recording(walker(2))], LIMITS, 0.0, TWO)

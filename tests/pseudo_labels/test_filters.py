"""Tracks of 4 s at 10 Hz in front of a camera that stands still, or drives."""

from dataclasses import replace

import numpy as np
import pytest

from stvlm.pseudo_labels import filters
from stvlm.pseudo_labels.artefacts import DepthCrop, Geometry, LiftedTrack, ObjectTrack, Provenance, encode_mask
from stvlm.pseudo_labels.filters import (
    Caps,
    Label,
    Limits,
    clear_frames,
    judge,
    longest_part,
    on_grid,
    static_residual,
)
from stvlm.records import Array, Rejected

N = 41
TIMES_S = np.arange(N) / 10
AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def camera(speed_mps: float = 0.0) -> Geometry:
    """Looks and drives along x."""
    poses = np.tile(np.eye(4), (N, 1, 1))
    poses[:, :3, :3] = AHEAD
    poses[:, 0, 3] = speed_mps * TIMES_S
    K_px = np.tile(np.diag([500.0, 500, 1]), (N, 1, 1))
    return Geometry(TIMES_S, poses, K_px, (100, 100), True, "metric", Provenance("made"))


def moving(start_m: float, speed_mps: float, sigma_m: float = 0.1, category: str = "car") -> LiftedTrack:
    """Along x."""
    xyz_m = np.array([start_m, 0, 0]) + TIMES_S[:, None] * [speed_mps, 0, 0]
    return LiftedTrack("7", category, TIMES_S, xyz_m, np.tile(sigma_m**2 * np.eye(3), (N, 1, 1)))


def at(track: LiftedTrack, frames: Array) -> LiftedTrack:
    return replace(
        track, times_s=track.times_s[frames], xyz_m=track.xyz_m[frames], covariance_m2=track.covariance_m2[frames]
    )


def label(
    track: LiftedTrack, geometry: Geometry | None = None, limits: Limits | None = None, scale_sigma: float = 0.08
) -> Label | Rejected:
    return judge(track, geometry or camera(), scale_sigma, limits or Limits())


def kept(*args: object) -> Label:
    found = label(*args)  # type: ignore[arg-type]
    assert isinstance(found, Label), found
    return found


# --- frames ----------------------------------------------------------------------------------------------------------


def test_each_frame_has_the_first_reason_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an image of 200 x 200 the least area is 40 px. Each frame is looked at alone."""
    monkeypatch.setattr(filters, "FRAMES_AROUND", 1)
    boxes = np.tile([10.0, 10, 50, 50], (8, 1))
    boxes[1, 3], boxes[2, 2], boxes[7] = 33, 11, np.nan  # 23 px high; 1 x 40 px is enough, so the next
    boxes[2, 2] = 10.9
    score = np.array([0.35, 0.9, 0.9, 0.3, 0.9, 0.9, 0.9, 0])
    masks = []
    for share in (0.5, 0.5, 0.5, 0.5, 0.1, 1.0, 0.9):
        mask = np.zeros((200, 200), dtype=bool)
        mask[10:50, 10 : 10 + round(40 * share)] = True
        masks.append(encode_mask(mask))
    masks[2] = None  # type: ignore[call-overload]
    no = np.zeros(8, dtype=bool)
    track = ObjectTrack("7", "car", boxes, score, no, no, (*masks, None))
    found, why = clear_frames(track, (200, 200), Limits())
    assert isinstance(found, ObjectTrack) and found.masks is not None
    assert np.flatnonzero(~np.isnan(found.boxes_px[:, 0])).tolist() == [0, 6]
    assert [mask is not None for mask in found.masks] == [True, *[False] * 5, True, False]
    assert dict(why) == {
        "the detector is not sure": 1,
        "the box is low": 1,
        "the box is small": 1,
        "the mask fills little of its box": 1,
        "the mask fills all of its box": 1,
    }
    nothing, _ = clear_frames(track, (200, 200), Limits(least_score=0.95))
    assert nothing == Rejected("no frame shows it clearly", "track 7")


def test_noise_does_not_choose_the_frames_of_a_far_object() -> None:
    """21 px high, and 27 in every third frame: 24 are needed, and by its own box every third would stay."""
    boxes = np.tile([10.0, 10, 50, 31], (30, 1))
    boxes[::3, 3] = 37
    no = np.zeros(30, dtype=bool)
    far = ObjectTrack("7", "car", boxes, np.ones(30), no, no)
    found, why = clear_frames(far, (200, 200), Limits())
    assert isinstance(found, Rejected) and why == {"the box is low": 30}
    boxes[:, 3] += 6
    found, why = clear_frames(replace(far, boxes_px=boxes), (200, 200), Limits())
    assert isinstance(found, ObjectTrack) and not why


# --- parts -----------------------------------------------------------------------------------------------------------


def test_the_longest_part_within_range_and_without_a_gap_is_kept() -> None:
    away = moving(57, 1)  # beyond 60 m after 3 s
    found = longest_part(away, camera(), Limits())
    assert isinstance(found, LiftedTrack) and found.times_s.tolist() == TIMES_S[:31].tolist()
    assert longest_part(away, camera(), Limits(most_range_m=59)) == Rejected("too short", "track 7")
    assert longest_part(moving(61, 1), camera(), Limits()) == Rejected("too far away", "track 7")
    followed = longest_part(away, camera(1.0), Limits())
    assert isinstance(followed, LiftedTrack) and len(followed.times_s) == N

    gap = at(moving(20, 1), np.r_[0:5, 15:41])  # 0.4 s, then 1.1 s of nothing, then 2.5 s
    assert longest_part(gap, camera(), Limits()) == Rejected("too short", "track 7")
    part = longest_part(gap, camera(), Limits(least_s=2.5))
    assert isinstance(part, LiftedTrack) and part.times_s[0] == 1.5
    sparse = at(moving(20, 1), np.arange(0, N, 2))
    assert longest_part(sparse, camera(), Limits()) == Rejected("too few frames tell where it is", "track 7")
    assert isinstance(longest_part(sparse, camera(), Limits(least_coverage=0.5)), LiftedTrack)


# --- labels ----------------------------------------------------------------------------------------------------------


def test_a_label_has_its_way_speed_and_sigma() -> None:
    """20 m in 4 s; both ends 0.5 m unsure, and 8 % of 20 m."""
    found = kept(moving(10, 5, sigma_m=0.5))
    assert found.moving and found.grade == "A"
    assert found.distance_m == pytest.approx((20, np.sqrt(0.5 + 1.6**2), 0))
    assert found.speed_kmh == pytest.approx((18, np.sqrt(0.5 + 1.6**2) / 4 * 3.6, 0))
    assert on_grid(found.track)[:, 0].tolist() == pytest.approx((10 + 2.5 * np.arange(9)).tolist())


@pytest.mark.parametrize(("sigma_m", "grade"), [(0.8, "A"), (2.0, "B"), (3.0, "C")])
def test_grades_follow_the_relative_sigma(sigma_m: float, grade: str) -> None:
    """Of 20 m: 1.96 m is an A, 3.25 m a B, 4.5 m a C."""
    assert kept(moving(10, 5, sigma_m)).grade == grade
    assert label(moving(10, 5, 7.0)) == Rejected("too uncertain", "track 7")


def test_only_a_significant_displacement_is_motion() -> None:
    assert not kept(moving(10, 0.2)).moving  # 0.8 m, less than a metre
    assert kept(moving(10, 0.3)).moving  # 1.2 m, and three sigmas are 0.51 m
    assert not kept(moving(10, 0.3, sigma_m=0.3)).moving  # they are 1.3 m
    still = kept(moving(10, 0.0))
    assert (still.moving, still.distance_m.value, still.grade) == (False, 0, "A")


def test_a_wrong_distance_moves_what_is_approached_and_not_what_stays_ahead() -> None:
    """The camera drives 40 m: 8 % of that is 3.2 m. What seems to move 4 m then may well be parked. Were the camera's
    path wrong by the same factor, what is parked would stay where it is.
    """
    seems = moving(60, 1)
    assert kept(seems, camera(10.0)).distance_m.sigma == pytest.approx(np.hypot(0.08 * 4, 0.1 * np.sqrt(2)))
    doubtful = replace(seems, stretch=0.08)
    found = label(doubtful, camera(10.0))
    assert found == Rejected("too uncertain", "track 7")
    found = kept(doubtful, camera(10.0), Limits(most_sigma=1.0), 0.0)
    assert not found.moving and found.distance_m.sigma == pytest.approx(np.hypot(0.08 * 36, 0.1 * np.sqrt(2)))
    ahead = kept(replace(moving(20, 10), stretch=0.08), camera(10.0))
    assert ahead.moving and ahead.distance_m.sigma == pytest.approx(np.hypot(0.08 * 40, 0.1 * np.sqrt(2)))


def test_what_turns_a_way_is_across_it() -> None:
    """It goes 20 m along x. Of its ends, 0.3 m to the side count, and neither 2 m along it nor 5 m of height. A camera
    that drives 40 m along y sees it 40 m further to the side: 1 % of that is the net displacement's, sqrt(1 / 2) of it
    each end's. What is wrong with the distance of what goes with the camera turns nothing.
    """
    ends = np.tile(np.diag([4.0, 0.09, 25.0]), (N, 1, 1))
    goes = replace(moving(10, 5), covariance_m2=ends, step_m=0.1)
    assert kept(goes).noise == pytest.approx((2, 0.1, 0.08, 0.3))
    aside = camera().world_SE3_camera.copy()
    aside[:, 1, 3] = 10 * TIMES_S
    aside_m = replace(camera(), world_SE3_camera=aside)
    assert kept(replace(goes, stretch=0.01), aside_m).noise.across_m == pytest.approx(np.sqrt(0.09 + 0.4**2 / 2))
    assert kept(replace(goes, stretch=0.01), camera(10.0)).noise.across_m == pytest.approx(0.3)
    assert kept(goes, aside_m).noise.across_m == pytest.approx(0.3)  # the scale of the world turns nothing
    assert kept(replace(goes, step_m=0.4)).noise.across_m == 0.4
    assert kept(moving(10, 0)).noise.across_m == pytest.approx(0.1)  # in any direction


def test_a_camera_that_turns_moves_nothing() -> None:
    """A quarter turn within 4 s, on the spot."""
    poses = camera().world_SE3_camera.copy()
    angle = np.linspace(0, np.pi / 2, N)
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros(N), np.ones(N)
    turn = np.array([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]).transpose(2, 0, 1)
    poses[:, :3, :3] = turn @ poses[:, :3, :3]
    still = kept(replace(moving(10, 0), stretch=0.5), replace(camera(), world_SE3_camera=poses))
    assert still.distance_m.sigma == pytest.approx(0.1 * np.sqrt(2))


def test_what_cannot_be_is_rejected() -> None:
    assert label(moving(0, 13, category="person")) == Rejected("faster than its class can be", "track 7")
    assert isinstance(label(moving(0, 13)), Label)
    jolt = moving(0, 10)
    xyz_m = np.minimum(jolt.xyz_m, 20)  # stops within half a second
    assert label(replace(jolt, xyz_m=xyz_m)) == Rejected("changes its speed faster than its class can", "track 7")
    doubtful = replace(moving(0, 5), outliers=0.21)
    assert label(doubtful) == Rejected("its places contradict each other", "track 7")
    assert label(at(moving(0, 5), np.arange(3))) == Rejected("too short", "track 7")


# --- a whole video ---------------------------------------------------------------------------------------------------


def wall(per_frame: float = 1.0, moving_pixels: Array | None = None) -> Geometry:
    """A camera that drives 4 m towards a wall at 14 m; its depth is wrong by a factor that grows with each frame."""
    depth_m = (14 - 1.0 * TIMES_S)[:, None, None] * np.ones((20, 20)) * per_frame ** np.arange(N)[:, None, None]
    return replace(camera(1.0), depth=depth_m.astype(np.float32), crop=DepthCrop((5, 5), (2, 2)), moving=moving_pixels)


def test_a_wall_stands_still_where_depth_and_poses_agree() -> None:
    assert static_residual(wall(), Limits()) == pytest.approx(0, abs=1e-4)


def test_a_wall_that_drifts_gives_the_scale_away() -> None:
    """0.1 % a frame is 6.1 cm in half a second, at 12.2 m after 18 frames; less 1.2 cm, as the 0.5 m driven look 2.3 %
    longer by then. That is 0.35 km/h; ten times as much is too fast.
    """
    slow = static_residual(wall(1.001), Limits())
    assert isinstance(slow, float) and slow == pytest.approx(0.35, abs=0.02)
    fast = static_residual(wall(1.01), Limits())
    assert isinstance(fast, Rejected) and fast.reason == "static things seem to move"


def test_depth_that_flickers_does_not_move_a_wall() -> None:
    """By 4 % from frame to frame: at 12 m some 0.5 m in half a second, or 3 km/h, were it not one factor a frame."""
    flicker = 1 + 0.04 * np.random.default_rng(0).normal(size=(N, 1, 1))
    steady = wall()
    assert steady.depth is not None
    found = static_residual(replace(steady, depth=(steady.depth * flicker).astype(np.float32)), Limits())
    assert isinstance(found, float) and found < 0.5


def test_what_moves_does_not_count() -> None:
    everything = np.ones((N, 20, 20), dtype=bool)
    assert static_residual(wall(1.01, everything), Limits()) == Rejected("nothing static is seen twice")
    with pytest.raises(ValueError, match="the geometry has no depth"):
        static_residual(camera(), Limits())


def test_limits_that_mean_nothing() -> None:
    with pytest.raises(ValueError, match="grades and most_sigma increase"):
        Limits(grades=(0.2, 0.1))
    with pytest.raises(ValueError, match="most_gap_s is above 0 and at most "):  # beyond, places would be NaN
        Limits(most_gap_s=1.5)
    with pytest.raises(ValueError, match="caps: 'persn' is no class; did you mean 'person'"):
        Limits(caps={"persn": Caps(3.0, 3.0)})
    with pytest.raises(ValueError, match="fill is a range of shares"):
        Limits(fill=(0.9, 0.2))

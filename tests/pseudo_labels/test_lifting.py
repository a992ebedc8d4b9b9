"""Cars and people where a pencil puts them: 1000 px of focal length, so that 1 m at 20 m is 50 px."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import (
    DepthCrop,
    Geometry,
    LiftedTrack,
    ObjectTrack,
    Provenance,
    encode_mask,
)
from stvlm.pseudo_labels.lifting import (
    ClassSize,
    Ground,
    Lifting,
    class_sizes,
    depth_of_corner_m,
    depth_of_side_m,
    level_ground,
    lift,
)
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.recipes import load_recipe
from stvlm.records import Array, Rejected

PAPER = load_recipe(Path(__file__).parents[2] / "dataset_builder/recipes/pseudo_paper.yaml", PseudoLabelling).lifting
SIZE_PX = (400, 300)
K_PX = np.array([[1000.0, 0, 200], [0, 1000, 100], [0, 0, 1]])
TURNED = np.array([[0.0, 0, 1, 5], [-1, 0, 0, 6], [0, -1, 0, 2], [0, 0, 0, 1]])  # looks along world x
CAR = class_sizes("america_asia")["car"]
BOX = ClassSize(4.0, 2.0, 1.5, 0.1, 1)


def geometry(n: int = 1, pose: Array = TURNED) -> Geometry:
    return Geometry(
        np.arange(n) / 10, np.tile(pose, (n, 1, 1)), np.tile(K_PX, (n, 1, 1)), SIZE_PX, True, "metric", Provenance("x")
    )


def with_depth(depth_m: Array) -> Geometry:
    """Half the image's size: depth pixel 0 shows the image's pixels 0 and 1."""
    return replace(geometry(), depth=depth_m[None].astype(np.float32), crop=DepthCrop((2, 2), (0.5, 0.5)))


def track(*boxes_px: list[float], category: str = "car", mask: Array | None = None) -> ObjectTrack:
    n = len(boxes_px)
    no = np.zeros(n, dtype=bool)
    masks = None if mask is None else (encode_mask(mask),)
    return ObjectTrack("7", category, np.array(boxes_px), np.ones(n), no, no, masks)


def lifted(*args: object) -> LiftedTrack:
    found = lift(*args)  # type: ignore[arg-type]
    assert isinstance(found, LiftedTrack)
    return found


def test_what_is_seen_tells_how_far_in_the_middle_is() -> None:
    assert depth_of_side_m(BOX, 2.0) == pytest.approx(2)  # its end: half the length
    assert depth_of_side_m(BOX, 4.0) == pytest.approx(1)  # its side: half the width
    assert depth_of_side_m(BOX, 0.5) == pytest.approx(2)
    assert depth_of_corner_m(BOX, 2.0) == pytest.approx(2)
    assert depth_of_corner_m(BOX, 6 / np.sqrt(2)) == pytest.approx(3 / np.sqrt(2))  # at 45 degrees
    assert depth_of_corner_m(ClassSize(2.0, 4.0, 1.5, 0.1, 1), 2.0) == pytest.approx(2)


# --- without depth ---------------------------------------------------------------------------------------------------


def test_a_car_stands_where_its_height_and_the_ground_agree() -> None:
    """A car's rear, 20 m ahead: 50 px a metre, its foot 1.5 m below the camera, so 75 px below the horizon."""
    top = 175 - 50 * CAR.height_m
    half = 25 * CAR.width_m
    found = lifted(track([200 - half, top, 200 + half, 175]), geometry(), Lifting(), level_ground(1, 1.5))
    down_m = ((top + 175) / 2 - 100) / 50
    ahead_m = np.hypot(20, down_m)
    ray = np.array([20, 0, -down_m]) / ahead_m
    place_m = np.array([5, 6, 2]) + ray * (ahead_m + CAR.length_m / 2)
    np.testing.assert_allclose(found.xyz_m, [place_m], atol=1e-6)
    side = np.array([0.0, 1, 0])
    assert side @ found.covariance_m2[0] @ side == pytest.approx((2 / 1000 * 20) ** 2)  # two pixels
    along_m = np.sqrt(2) * 2 / (175 - top) * (ahead_m + CAR.length_m / 2)
    least_m = 0.025 * CAR.length_m  # its end is seen: how it is turned matters little
    assert ray @ found.covariance_m2[0] @ ray == pytest.approx(along_m**2 + least_m**2)
    assert 0 < found.stretch < CAR.spread


def test_two_distances_are_averaged_by_what_they_are_worth() -> None:
    """A person 177 px tall would be 10 m away. Ground at 5 m: of the same worth, it makes that the root of 5 * 10."""
    person = class_sizes("america_asia")["person"]
    assert person.height_m == 1.77
    settings = Lifting(to_centre=False, edge_px=1e-6)
    box = [190.0, 300 - 177, 210, 300]  # the foot is 200 px below the horizon
    ground = Ground(np.array([[0.0, 1, 0]]), 1.0, slope_rad=person.spread * 1.0 / 10)
    found = lifted(track(box, category="person"), geometry(), settings, ground)
    np.testing.assert_allclose(_ahead_m(found), 50**0.5)
    assert found.stretch == pytest.approx(person.spread / 2**0.5)
    np.testing.assert_allclose(_ahead_m(lifted(track(box, category="person"), geometry(), settings)), 10)
    # Where sizes told the ground's height, it is wrong as they are.
    told = replace(ground, height_sigma=person.spread)
    by_sizes = lifted(track(box, category="person"), geometry(), settings, told)
    assert by_sizes.stretch == pytest.approx(person.spread * (1 / 2**0.5 + 1 / 2))
    unknown = replace(ground, slope_rad=1e3)
    np.testing.assert_allclose(_ahead_m(lifted(track(box, category="person"), geometry(), settings, unknown)), 10)
    # a camera that looks down by 0.1: the foot is 0.3 below the horizon
    tilted = Ground(np.array([[0.0, np.cos(0.1), np.sin(0.1)]]), 1.0, slope_rad=1e-5)
    down_m = 1 / (np.cos(0.1) * 0.2 + np.sin(0.1))
    found_m = _ahead_m(lifted(track(box, category="person"), geometry(), settings, tilted))
    np.testing.assert_allclose(found_m, down_m, rtol=1e-4)


def test_the_side_of_a_car_tells_less_of_where_its_middle_is() -> None:
    """Of its end and of its side, both 20 m away."""
    top = 175 - 50 * CAR.height_m
    sigmas_m = []
    for width_m in (CAR.width_m, CAR.length_m):
        box = [200 - 25 * width_m, top, 200 + 25 * width_m, 175]
        found = lifted(track(box), geometry(), Lifting(to_centre=False), level_ground(1, 1.5))
        sigmas_m.append(np.sqrt(np.linalg.eigvalsh(found.covariance_m2[0])[-1]))
    narrower_m, wider_m = (depth_of_corner_m(CAR, share * CAR.length_m) for share in (0.9, 1.1))
    turn_m2 = ((narrower_m - wider_m) / 2) ** 2 - (0.025 * CAR.length_m) ** 2
    assert sigmas_m[1] ** 2 - sigmas_m[0] ** 2 == pytest.approx(turn_m2) and turn_m2 > 0.05


def test_a_road_that_bends_moves_nobody() -> None:
    """A person as tall as before, who seems to stand at 5 m, and where the road ahead has dropped, at 20 m."""
    box = [190.0, 300 - 177, 210, 300]
    dropped_rad = np.arctan(0.2) - np.arctan(0.05)
    down = np.array([[0.0, 1, 0], [0, np.cos(dropped_rad), -np.sin(dropped_rad)]])
    seen, settings = track(box, box, category="person"), Lifting(to_centre=False)
    near, found = (lifted(seen, geometry(2), settings, Ground(d, 1.0)) for d in (down[[0, 0]], down))
    np.testing.assert_allclose(found.xyz_m[1], found.xyz_m[0])
    assert 5 < _ahead_m(near) < _ahead_m(found)


def _ahead_m(found: LiftedTrack) -> float:
    return float(found.xyz_m[0, 0] - 5)


def test_frames_that_do_not_tell_are_left_out() -> None:
    boxes = [[190.0, 80, 210, 160]] * 4
    boxes[1] = [np.nan] * 4
    cut, hidden = np.array([False, False, True, False]), np.array([False, False, False, True])
    seen = replace(track(*boxes), truncated=cut, occluded=hidden)
    assert lifted(seen, geometry(4), Lifting()).times_s.tolist() == [0]
    assert lift(replace(seen, truncated=~hidden), geometry(4), Lifting()) == Rejected(
        "no frame tells where it is", "track 7"
    )


def test_feet_that_somebody_guessed_are_less_sure() -> None:
    """A person 100 px tall: 5 px beside the 2 of any edge; at 17.7 m, 1000 px are 17.7 m."""
    boxes = [[190.0, 60, 210, 160]] * 2
    seen = replace(track(*boxes, category="person"), occluded=np.array([False, True]), hidden_foot=0.05)
    found = lifted(seen, geometry(2), Lifting(to_centre=False))
    assert found.times_s.tolist() == [0, 0.1]
    np.testing.assert_allclose(found.xyz_m[0], found.xyz_m[1])
    side_m = np.sqrt(found.covariance_m2[:, 1, 1])
    np.testing.assert_allclose(side_m, np.array([2, np.hypot(2, 5)]) * 17.7 / 1000)
    known = lifted(replace(seen, hidden_foot=0.0), geometry(2), Lifting(to_centre=False))
    np.testing.assert_allclose(known.covariance_m2, found.covariance_m2[[0, 0]])


# --- with depth ------------------------------------------------------------------------------------------------------


def wall_and_rear() -> tuple[Array, Array]:
    """Depth (150, 200) of a wall at 50 m and a car's rear at 10 m; and its mask, by a depth pixel too large."""
    depth_m = np.full((150, 200), 50.0)
    depth_m[60:90, 80:120] = 10.0
    mask = np.zeros((300, 400), dtype=bool)
    mask[118:182, 158:242] = True
    return depth_m, mask


@pytest.mark.parametrize(
    "settings",
    [Lifting(), Lifting(barycentre="mean", outlier_sigmas=0), Lifting(barycentre="mean", erode_px=0)],
    ids=["default", "by erosion alone", "by outliers alone"],
)
def test_a_mask_is_freed_of_its_rim_and_pushed_to_the_middle(settings: Lifting) -> None:
    depth_m, mask = wall_and_rear()
    found = lifted(track([158, 118, 241, 181], mask=mask), with_depth(depth_m), settings)
    # The middle of columns 160..239 is 199.5, of rows 120..179 it is 149.5.
    near_m = np.array([-0.005, 0.495, 10])
    near_m *= 1 + depth_of_side_m(CAR, 0.83) / np.linalg.norm(near_m)
    np.testing.assert_allclose(found.xyz_m, [[5 + near_m[2], 6 - near_m[0], 2 - near_m[1]]], atol=1e-6)


def test_the_papers_barycentre_is_the_mean_of_all_points() -> None:
    depth_m, mask = wall_and_rear()
    found = lifted(track([158, 118, 241, 181], mask=mask), with_depth(depth_m), PAPER)
    rear, rim = 30 * 40, 32 * 42 - 30 * 40
    np.testing.assert_allclose(found.xyz_m[0, 0] - 5, (rear * 10 + rim * 50) / (rear + rim))


def test_what_lies_far_behind_in_the_middle_of_a_mask_is_left_out() -> None:
    depth_m, mask = wall_and_rear()
    depth_m[60:90, 80:120] += np.linspace(-0.2, 0.2, 40)  # a rear at an angle
    depth_m[60:70, 100:120] = 50  # seen through its window
    settings = Lifting(to_centre=False, barycentre="mean")
    found = lifted(track([158, 118, 241, 181], mask=mask), with_depth(depth_m), settings)
    assert found.xyz_m[0, 0] - 5 == pytest.approx(10, abs=0.05)


def test_what_is_hidden_at_one_side_is_less_certain() -> None:
    """A third of the rows have something nearer beside them: 20 of 60, and half a car's length is 2.3 m."""
    depth_m, mask = wall_and_rear()
    mask[:] = False
    mask[120:180, 160:240] = True
    seen = track([160, 120, 239, 179], mask=mask)
    free = lifted(seen, with_depth(depth_m), Lifting())
    depth_m[80:90, 120:130] = 5
    hidden = lifted(seen, with_depth(depth_m), Lifting())
    np.testing.assert_allclose(hidden.xyz_m, free.xyz_m)
    added_m2 = (CAR.length_m / 2 / 3) ** 2
    np.testing.assert_allclose(hidden.covariance_m2 - free.covariance_m2, added_m2 * np.eye(3)[None], atol=1e-9)
    assert free.stretch == Lifting().depth_stretch


def test_a_thin_mask_keeps_its_rim_and_loses_what_is_behind() -> None:
    """A person two depth pixels wide, and as much of the wall on each side."""
    depth_m = np.full((150, 200), 50.0)
    depth_m[60:90, 99:101] = 10.0
    mask = np.zeros((300, 400), dtype=bool)
    mask[120:180, 196:204] = True  # of its four columns of depth, two are the wall
    seen = track([196, 120, 203, 179], category="person", mask=mask)
    found = lifted(seen, with_depth(depth_m), Lifting(to_centre=False))
    assert found.xyz_m[0, 0] - 5 == pytest.approx(10)


def test_a_box_stands_in_for_a_mask() -> None:
    depth_m, _ = wall_and_rear()
    found = lifted(track([150, 110, 249, 189]), with_depth(depth_m), Lifting(to_centre=False))
    np.testing.assert_allclose(found.xyz_m, [[15, 6.005, 1.505]], atol=0.011)


def test_depth_that_is_unknown_unsure_or_little_gives_no_place() -> None:
    depth_m, mask = wall_and_rear()
    seen = track([158, 118, 241, 181], mask=mask)
    nothing = Rejected("no frame tells where it is", "track 7")
    assert lift(seen, with_depth(depth_m * 0), Lifting()) == nothing
    assert lift(seen, with_depth(depth_m), Lifting(least_pixels=1201)) == nothing
    unsure = replace(with_depth(depth_m), confidence=np.full((1, 150, 200), 0.4, dtype=np.float32))
    assert lift(seen, unsure, Lifting(least_confidence=0.5)) == nothing
    assert isinstance(lift(seen, unsure, Lifting(least_confidence=0.3)), LiftedTrack)


# --- sizes and settings ----------------------------------------------------------------------------------------------


def test_sizes_of_a_region_and_for_what_it_lacks_the_others() -> None:
    assert class_sizes("europe")["car"].height_m == 1.48 and class_sizes("america_asia")["car"].height_m == 1.68
    assert class_sizes("europe")["bus"] == class_sizes("america_asia")["bus"]


def test_a_class_without_a_size_needs_depth_alone() -> None:
    depth_m, mask = wall_and_rear()
    seen = track([158, 118, 241, 181], category="animal", mask=mask)
    assert lift(seen, geometry(), Lifting()) == Rejected("no size is known of its class", "track 7: animal")
    assert lift(seen, with_depth(depth_m), Lifting()) == Rejected("no size is known of its class", "track 7: animal")
    assert isinstance(lift(seen, with_depth(depth_m), PAPER), LiftedTrack)


def test_what_means_nothing() -> None:
    with pytest.raises(ValueError, match="needs a metric geometry"):
        lift(track([1, 1, 2, 2]), replace(geometry(), scale="arbitrary"), Lifting())
    with pytest.raises(ValueError, match="region is one of america_asia, europe, got 'mars'"):
        Lifting(region="mars")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"box_inset lies in 0\.\.0\.5"):
        Lifting(box_inset=0.5)
    with pytest.raises(ValueError, match="down are unit vectors"):
        Ground(np.array([[0.0, 2, 0]]), 1.5)

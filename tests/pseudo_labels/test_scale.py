"""The scale of a street whose unit is known, by each cue alone, and what is left out where they disagree."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri
from tests.pseudo_labels.street_depth import HEIGHT_M, K_PX, SIZE_PX, depth_m, poses, street

from stvlm.pseudo_labels.artefacts import Geometry, MetricDepth, ObjectTrack, ObjectTracks, Provenance, resized
from stvlm.pseudo_labels.ground import GroundFit, ground_planes
from stvlm.pseudo_labels.lifting import class_sizes
from stvlm.pseudo_labels.scale import Scale, Scaling, scale_of, scaled, with_depth
from stvlm.records import Array, DataError, Rejected

UNIT_M = 0.37
MADE = Provenance("made")


def metric(n: int = 5, frames: Array | None = None, map_px: tuple[int, int] = (96, 54)) -> MetricDepth:
    """What a perfect network says, on a finer grid than the geometry's."""
    frames = np.arange(n) if frames is None else frames
    crop = resized(SIZE_PX, map_px)
    depth = np.stack([depth_m(pose, crop, map_px) for pose in poses(n)[frames]])
    return MetricDepth(np.arange(n) / 2, SIZE_PX, frames, depth, crop, MADE)


def found(*args: Any, **settings: Any) -> Scale:
    scale = scale_of(*args, Scaling(**settings))
    assert isinstance(scale, Scale), scale
    return scale


def tracks(n: int, *boxes_px: list[float], category: str = "car") -> ObjectTracks:
    """Objects that are in the same place in each frame."""
    no = np.zeros(n, dtype=bool)
    made = [ObjectTrack(str(k), category, np.tile(box, (n, 1)), np.ones(n), no, no) for k, box in enumerate(boxes_px)]
    return ObjectTracks(np.arange(n) / 2, SIZE_PX, tuple(made), MADE)


def spoilt(geometry: Geometry, **changes: Any) -> Geometry:
    return replace(geometry, **changes)


# --- metric depth ----------------------------------------------------------------------------------------------------


def test_without_noise_the_unit_is_found_to_a_thousandth() -> None:
    scale = found(street(5, UNIT_M), metric(5), None, None)
    assert scale.factor == pytest.approx(UNIT_M, rel=1e-3)
    assert (scale.by, scale.others) == ("metric depth", {})
    assert scale.frame_spread < 1e-3 and scale.pixels > 5 * 80 * 45 / 3


def test_how_well_the_scale_is_known() -> None:
    """8 % by a network. Known poses are exact; another tool's metres are a network's. Where frames, or two cues, differ
    it is known less.
    """
    geometry = street(5, UNIT_M)
    assert found(geometry, metric(5), None, None).sigma == pytest.approx(0.08, abs=1e-4)
    factor = np.array([0.95, 0.95, 1, 1.05, 1.05])
    uneven = replace(metric(5), depth_m=(metric(5).depth_m * factor[:, None, None]).astype(np.float32))
    assert found(geometry, uneven, None, None).sigma == pytest.approx(np.hypot(0.08, 0.1 / 1.349), rel=0.02)
    two = found(geometry, metric(5), None, HEIGHT_M * 1.1)
    assert two.sigma == pytest.approx(np.hypot(0.08, np.log(1.1) / 2), rel=0.02)
    for tool, sigma in (("known_poses", 0), ("static_camera", 0), ("opencv_vo", 0.05), ("vipe", 0.08)):
        own = replace(street(5), scale="metric", provenance=Provenance(tool))
        assert found(own, None, None, None).sigma == sigma


def test_of_every_other_frame_is_enough() -> None:
    assert found(street(5, UNIT_M), metric(5, np.array([1, 3])), None, None).factor == pytest.approx(UNIT_M, rel=1e-3)


def contaminated() -> tuple[Geometry, MetricDepth, ObjectTracks]:
    """40 frames with 4 % of noise for a frame and 6 % for a pixel; a sky at some depth in 15 % of the image, what is
    beyond 30 m drawn near, and things that move, of which the geometry is wrong by 40 %, in 10 % of it.
    """
    n, (w, h) = 40, (80, 45)
    rng = np.random.default_rng(0)
    true_m = np.stack([depth_m(pose, resized(SIZE_PX, (w, h)), (w, h)) for pose in poses(n)])
    depth = np.where(true_m > 0, true_m, 90) / UNIT_M
    jitter = np.exp(0.04 * rng.permutation(ndtri((np.arange(n) + 0.5) / n)))  # chance does not shift its middle
    network_m = np.where(true_m > 30, 30 + 0.3 * (true_m - 30), np.where(true_m > 0, true_m, 90))
    network_m = network_m * jitter[:, None, None] * np.exp(0.06 * rng.normal(size=(n, h, w)))
    depth[:, :7], network_m[:, :7] = 400 / UNIT_M, 60  # sky
    depth[:, 20:32, 30:60] *= 1.4
    objects = tracks(n, [30 * 8 - 4, 20 * 8 - 4, 60 * 8 - 5, 32 * 8 - 5], category="other")
    geometry = spoilt(street(n, UNIT_M), depth=depth)
    return (
        geometry,
        MetricDepth(geometry.times_s, SIZE_PX, np.arange(n), network_m, resized(SIZE_PX, (w, h)), MADE),
        objects,
    )


def test_sky_distance_and_motion_do_not_spoil_it() -> None:
    geometry, network, objects = contaminated()
    assert geometry.depth is not None
    x, y = geometry.depth.ravel().astype(float), network.depth_m.ravel().astype(float)
    assert abs((x @ y) / (x @ x) / UNIT_M - 1) > 0.2  # what least squares make of it
    scale = found(geometry, network, objects, None)
    assert scale.factor == pytest.approx(UNIT_M, rel=0.01)
    assert 0.03 < scale.frame_spread < 0.08 < scale.spread < 0.15


def test_what_moves_is_not_looked_at() -> None:
    """Half of the image moves, by the tool's own mask; its depth is wrong by a half."""
    geometry, moving = street(3, UNIT_M), np.zeros((3, 45, 80), dtype=bool)
    assert geometry.depth is not None
    moving[:, :, :45] = True
    wrong = spoilt(geometry, depth=np.where(moving, 1.5 * geometry.depth, geometry.depth))
    assert isinstance(scale_of(wrong, metric(3), None, None, Scaling()), Rejected)
    masked = found(spoilt(wrong, moving=moving), metric(3), None, None)
    assert masked.factor == pytest.approx(UNIT_M, rel=1e-3)


def test_the_least_confident_pixels_are_left_out() -> None:
    """Of a quarter of the image the geometry is not sure, and there wrong by a half."""
    geometry, confidence = street(3, UNIT_M), np.full((3, 45, 80), 0.8)
    assert geometry.depth is not None
    confidence[:, :, :20] = 0.1
    wrong = spoilt(
        geometry, depth=np.where(confidence < 0.5, 1.5 * geometry.depth, geometry.depth), confidence=confidence
    )
    assert found(wrong, metric(3), None, None).spread < 1e-2
    assert isinstance(scale_of(wrong, metric(3), None, None, Scaling(least_confident=0)), Rejected)


def test_every_frame_counts_the_same() -> None:
    """Three frames say 2 with few pixels, two say 1 with many: a median of pixels would be 1."""
    geometry = street(5, 1.0)
    assert geometry.depth is not None
    depth = np.array(geometry.depth)
    depth[:3] /= 2
    depth[:3, :35] = 0
    scale = found(spoilt(geometry, depth=depth, scale="arbitrary"), metric(5), None, None, most_spread=9)
    assert scale.factor == pytest.approx(2, rel=1e-3)


def test_depth_of_another_shape_is_left_out() -> None:
    geometry = street(3, UNIT_M)
    assert geometry.depth is not None
    bent = spoilt(geometry, depth=np.where(geometry.depth > 0, 5 + 0.3 * geometry.depth, 0))
    rejected = scale_of(bent, metric(3), None, None, Scaling())
    assert isinstance(rejected, Rejected) and rejected.reason == "the scale varies within the clip"


# --- the other cues --------------------------------------------------------------------------------------------------


def test_the_cameras_height_tells_the_scale() -> None:
    scale = found(street(6, UNIT_M), None, None, HEIGHT_M)
    assert scale.factor == pytest.approx(UNIT_M, rel=1e-5) and scale.by == "ground plane"


def test_the_ground_is_found_below_noise_and_cars() -> None:
    """5 % of noise, and a quarter of the lower image is a car's side."""
    geometry = street(9, UNIT_M)
    assert geometry.depth is not None
    rng = np.random.default_rng(1)
    depth = geometry.depth * np.exp(0.05 * rng.normal(size=geometry.depth.shape))
    depth[:, 25:, 60:] = 6 / UNIT_M
    noisy = spoilt(geometry, depth=depth)
    planes = ground_planes(noisy, None, GroundFit())
    assert not isinstance(planes, Rejected) and len(planes.frames) == 9
    down = geometry.world_SE3_camera[:, :3, :3].transpose(0, 2, 1) @ [0, 0, -1]
    assert np.rad2deg(np.arccos((planes.down * down[planes.frames]).sum(axis=1))).max() < 2.5
    assert found(noisy, None, None, HEIGHT_M).factor == pytest.approx(UNIT_M, rel=0.01)


def test_a_wall_is_no_ground() -> None:
    geometry = street(4, UNIT_M)
    facing_a_wall = spoilt(geometry, depth=np.full((4, 45, 80), 9.0))
    assert ground_planes(facing_a_wall, None, GroundFit()) == Rejected("no ground plane")
    assert scale_of(facing_a_wall, None, None, HEIGHT_M, Scaling()) == Rejected("no cue tells the scale")


def cars(n: int, far_m: tuple[float, ...], height_m: float) -> tuple[ObjectTracks, Geometry]:
    """Cars of that height whose boxes lie side by side, and the street with them in it."""
    geometry, boxes_px = street(n, UNIT_M), []
    assert geometry.depth is not None and geometry.crop is not None
    depth = np.array(geometry.depth)
    for k, z_m in enumerate(far_m):
        height_px = K_PX[1, 1] * height_m / z_m
        box = [20 + 150 * k, 200 - height_px, 140 + 150 * k, 200.0]
        boxes_px.append(box)
        (left, top), (right, bottom) = np.round(geometry.crop.to_depth(np.array(box).reshape(2, 2))).astype(int)
        depth[:, top : bottom + 1, left : right + 1] = z_m / UNIT_M
    return tracks(n, *boxes_px), spoilt(geometry, depth=depth)


def test_cars_that_are_as_tall_as_cars_tell_the_scale() -> None:
    size = class_sizes("america_asia")["car"]
    objects, geometry = cars(3, (6, 7, 8, 9), size.height_m)
    scale = found(geometry, None, objects, None)
    assert scale.factor == pytest.approx(UNIT_M, rel=1e-5) and scale.by == "class sizes"
    objects, geometry = cars(3, (6, 7), size.height_m)
    assert scale_of(geometry, None, objects, None, Scaling()) == Rejected("no cue tells the scale")


@pytest.mark.parametrize("why", ["truncated", "occluded"])
def test_cars_in_full_view_alone_tell_it(why: str) -> None:
    objects, geometry = cars(3, (6, 7, 8), class_sizes("america_asia")["car"].height_m)
    assert found(geometry, None, objects, None).by == "class sizes"
    cut = replace(objects.tracks[2], **{why: np.ones(3, dtype=bool)})
    fewer = replace(objects, tracks=(*objects.tracks[:2], cut))
    assert scale_of(geometry, None, fewer, None, Scaling()) == Rejected("no cue tells the scale")


def test_the_cameras_height_is_not_above_an_object() -> None:
    """A platform fills the lower image to the left, half as far below the camera; it is in a box."""
    geometry = street(4, UNIT_M)
    assert geometry.depth is not None
    depth = np.array(geometry.depth)
    depth[:, 25:, :60] /= 2
    objects = tracks(4, [0, 25 * 8, 60 * 8, 359], category="other")
    spoilt_by = spoilt(geometry, depth=depth)
    assert found(spoilt_by, None, None, HEIGHT_M).factor == pytest.approx(2 * UNIT_M, rel=0.01)
    assert found(spoilt_by, None, objects, HEIGHT_M).factor == pytest.approx(UNIT_M, rel=1e-3)


# --- together --------------------------------------------------------------------------------------------------------


def test_cues_that_agree_are_told_and_those_that_do_not_leave_the_clip_out() -> None:
    geometry = street(4, UNIT_M)
    scale = found(geometry, metric(4), None, 1.2 * HEIGHT_M)
    assert scale.by == "metric depth" and scale.factor == pytest.approx(UNIT_M, rel=1e-3)
    assert scale.others == {"ground plane": pytest.approx(1.2 * UNIT_M, rel=1e-3)}
    rejected = scale_of(geometry, metric(4), None, 1.4 * HEIGHT_M, Scaling())
    assert rejected == Rejected("cues disagree about the scale", "metric depth 0.37, ground plane 0.518")


@pytest.mark.parametrize(
    ("tools_metres", "expected"),
    [("trust", 1.0), ("check", Rejected("cues disagree about the scale", "tool 1, metric depth 2")), ("rescale", 2.0)],
)
def test_a_tools_metres(tools_metres: str, expected: object) -> None:
    """They are half as long as they should be."""
    wrong = spoilt(street(3, 2.0), scale="metric")
    scale = scale_of(wrong, metric(3), None, None, Scaling(tools_metres=tools_metres))  # type: ignore[arg-type]
    assert (scale if isinstance(scale, Rejected) else pytest.approx(scale.factor, rel=1e-3)) == expected


def test_a_tools_metres_hold_where_the_cues_agree_or_there_is_none() -> None:
    scale = found(street(3), metric(3), None, 1.1 * HEIGHT_M)
    assert (scale.factor, scale.by, set(scale.others)) == (1.0, "tool", {"metric depth", "ground plane"})
    assert found(spoilt(street(3), depth=None, crop=None), metric(3), None, None).by == "tool"


def test_poses_of_no_unit_have_no_scale() -> None:
    bare = spoilt(street(3, UNIT_M), depth=None, crop=None)
    assert scale_of(bare, metric(3), None, HEIGHT_M, Scaling()) == Rejected("no cue tells the scale")


def test_depth_and_translations_are_scaled() -> None:
    geometry = scaled(street(3, UNIT_M), found(street(3, UNIT_M), None, None, HEIGHT_M))
    same = street(3)
    assert geometry.scale == "metric" and geometry.depth is not None and same.depth is not None
    np.testing.assert_allclose(geometry.world_SE3_camera, same.world_SE3_camera, atol=1e-5)
    np.testing.assert_allclose(geometry.depth, same.depth, rtol=1e-5)


def test_poses_take_a_networks_depth() -> None:
    bare = spoilt(street(3), depth=None, crop=None)
    geometry = with_depth(bare, metric(3))
    assert geometry.depth is not None and geometry.depth.shape == (3, 54, 96)
    assert found(geometry, None, None, HEIGHT_M).others == {"ground plane": pytest.approx(1, rel=1e-5)}
    with pytest.raises(
        DataError, match=r"has 2 of 3 frames, and poses without depth need all of them; set every_s to 0"
    ):
        with_depth(bare, metric(3, np.array([0, 2])))
    np.testing.assert_array_equal(with_depth(street(3), metric(3)).depth, metric(3).depth_m)
    for wrong in (street(3, UNIT_M), spoilt(street(3), moving=np.zeros((3, 45, 80), dtype=bool))):
        with pytest.raises(ValueError, match="metric geometries without confidence and moving"):
            with_depth(wrong, metric(3))
    with pytest.raises(ValueError, match="other footage"):
        with_depth(bare, metric(4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tools_metres": "believe"}, "tools_metres is one of trust, check, rescale, got 'believe'"),
        ({"most_spread": 0}, "most_spread, .* are positive"),
        ({"least_confident": 1.0}, "least_confident is a share"),
    ],
)
def test_settings_refuse(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scaling(**changes)

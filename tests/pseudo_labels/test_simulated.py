"""From rendered depth and masks to labels, by moving cameras: what our own steps add to the error of the tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stvlm.geometry import inverse_se3
from stvlm.pseudo_labels.artefacts import LiftedTrack, decode_mask
from stvlm.pseudo_labels.filters import Label
from stvlm.pseudo_labels.pairs import Asking, compare
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.pseudo_labels.simulated import ARBITRARY, REALISTIC, Noise, Seen, rendered, simulated, told_of
from stvlm.pseudo_labels.steps import labels_of, lifted, smoothed, world_of
from stvlm.pseudo_labels.validation import validate
from stvlm.records import Array, Rejected
from stvlm.simulation.source import SimulationSource

SMALL = {"width_px": 480, "height_px": 270, "duration_s": 10.0, "frame_rate_hz": 5, "annotation_rate_hz": 5}
MOVING_CAMERAS = {
    **SMALL, "recordings": 5, "seed": 5,
    "layouts": ["straight", "curve", "boulevard", "crossroads", "roundabout", "t_junction", "s_bend"],
    "camera_motions": {"driving": 0.8, "panning": 0.2}, "objects": [12, 18], "parked_cars": [10, 16],
}  # fmt: skip
PARKED_CARS = {
    **SMALL, "recordings": 3, "seed": 12, "layouts": ["straight", "curve", "s_bend", "crossroads", "boulevard"],
    "camera_motions": {"driving": 1.0}, "objects": [1, 2], "parked_cars": [16, 20], "focal_per_width": [1.6, 2.2],
}  # fmt: skip
RECIPE = PseudoLabelling("simulated", {})


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    sources = [SimulationSource(options) for options in (MOVING_CAMERAS, PARKED_CARS)]
    return [rendered(source, recording) for source in sources for recording in source.recordings()]


def told(seen: list[Seen], noise: Noise) -> tuple[dict[str, Any], float]:
    """All figures, and by how much the worst scale is off; nothing is told of a clip that is left out."""
    pairs, off = [], []
    for recording in seen:
        video = simulated(recording, noise)
        found = told_of(video, RECIPE)
        labels: Mapping[str, Label | Rejected] = {}
        if not isinstance(found, Rejected):
            labels, world = found
            off.append(abs(world.scale.factor * ARBITRARY - 1))
        pairs += compare(f"{video.scene.scene_id} {noise.seed}", video.scene, video.objects, labels, Asking())
    return validate(pairs).scores, max(off)


def test_artefacts_hold_what_was_rendered(seen: list[Seen]) -> None:
    video = simulated(seen[0])
    geometry, frame = video.geometry, 30
    assert geometry.scale == "arbitrary" and geometry.depth is not None and geometry.depth.shape[1:] == (135, 240)
    assert not geometry.is_upright
    assert video.metric.frames.tolist() == list(range(0, len(geometry.times_s), 5))
    metric_m = geometry.depth[video.metric.frames] / ARBITRARY
    np.testing.assert_allclose(metric_m, video.metric.depth_m, rtol=1e-6)
    moved, true = geometry.world_SE3_camera.copy(), video.scene.world_SE3_camera
    moved[:, :3, 3] /= ARBITRARY
    np.testing.assert_allclose(moved, inverse_se3(true[0]) @ true, atol=1e-9)
    for track in video.objects.tracks:
        counts = (track.masks or ())[frame]
        if counts is None:
            continue
        mask = decode_mask(counts, geometry.image_size_px)
        index = [agent.track_id for agent in seen[0].agents].index(track.track_id)
        assert (mask == (seen[0].instance[frame] == index + 1)).all()
        rows, columns = np.nonzero(mask)
        box = [columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]
        assert track.boxes_px[frame].tolist() == box
        assert track.truncated[frame] == (min(box[:2]) < 1 or box[2] > 478 or box[3] > 268)


def test_noise_is_as_large_as_asked_for(seen: list[Seen]) -> None:
    videos = [simulated(seen[0], replace(REALISTIC, seed=seed)) for seed in range(12)]
    exact = simulated(seen[0])
    known_m = exact.metric.depth_m > 0
    scales = [np.median(video.metric.depth_m[known_m] / exact.metric.depth_m[known_m]) for video in videos]
    assert 0.04 < np.std(scales) < 0.13 and np.mean(scales) == pytest.approx(1, abs=0.06)
    assert exact.geometry.depth is not None
    known = exact.geometry.depth > 0
    errors: list[Array] = []
    for video in videos:
        assert video.geometry.depth is not None
        errors.append(video.geometry.depth[known][::50] / exact.geometry.depth[known][::50] - 1)
    assert np.std(errors) == pytest.approx(np.hypot(0.04, 0.02), rel=0.2)
    again = simulated(seen[0], replace(REALISTIC, seed=3))
    assert again.geometry.depth is not None and videos[3].geometry.depth is not None
    np.testing.assert_array_equal(again.geometry.depth, videos[3].geometry.depth)
    edges = [
        (noisy.boxes_px - track.boxes_px)[(track.boxes_px[:, 0] > 0) & ~np.isnan(noisy.boxes_px[:, 0]), 0]
        for track, noisy in zip(exact.objects.tracks, videos[0].objects.tracks, strict=True)
    ]
    assert np.std(np.concatenate(edges)) == pytest.approx(2, rel=0.2)


def test_without_noise_nearly_every_label_is_right(seen: list[Seen]) -> None:
    scores, off = told(seen, Noise())
    assert off < 0.01
    assert scores["moving"] >= 15  # of so few, a share of 70 % may come out as 45 %
    assert scores["within_25_percent"]["value"] >= 0.99 and scores["kept"]["value"] >= 0.45
    assert abs(scores["median_error"]) < 0.02 and scores["parked_called_moving"]["value"] == 0


def test_with_the_noise_of_networks_most_labels_are_right_and_nothing_parked_moves(seen: list[Seen]) -> None:
    scores, off = told(seen, REALISTIC)
    assert off < 4 * 0.08
    assert scores["moving"] >= 15
    assert scores["within_25_percent"]["value"] >= 0.8 and scores["kept"]["value"] >= 0.45
    assert scores["parked"] >= 8 and scores["parked_called_moving"]["value"] == 0
    assert scores["calibration"]["within_2_sigma"]["value"] > 0.8


def test_sigmas_know_whose_metres_they_are(seen: list[Seen]) -> None:
    """Where the world's scale is exact, a way is as much better known; where the depth is another network's, what it
    says of the motion before the camera is 8 % unsure, beside the 3 % of any depth.
    """
    video = simulated(seen[0])
    world = world_of(video.geometry, video.metric, video.objects, None, RECIPE)
    assert not isinstance(world, Rejected)
    known = world._replace(scale=world.scale._replace(sigma=0.0))
    places, _ = lifted(video.objects, world, RECIPE)
    tracks = {key: item for key, item in places.items() if not isinstance(item, Rejected)}
    others, _ = lifted(video.objects, world._replace(depth_is_own=False), RECIPE)
    for key, track in tracks.items():
        other = others[key]
        assert track.stretch == 0.03
        assert isinstance(other, LiftedTrack) and other.stretch == pytest.approx(np.hypot(0.03, 0.08))
    paths = smoothed(tracks, world, RECIPE)
    smooth = {key: item for key, item in paths.items() if not isinstance(item, Rejected)}
    unsure, sure = (labels_of(smooth, video.objects, each, RECIPE.filters) for each in (world, known))
    assert not isinstance(unsure, Rejected) and not isinstance(sure, Rejected)
    compared = 0
    for key, label in unsure.items():
        better = sure[key]
        if isinstance(label, Rejected) or isinstance(better, Rejected):
            continue
        way_m, sigma_m, _ = label.distance_m
        assert sigma_m == pytest.approx(np.hypot(better.distance_m.sigma, world.scale.sigma * way_m))
        compared += 1
    assert compared

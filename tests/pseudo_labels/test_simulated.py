"""From rendered depth and masks to labels, by moving cameras: what our own steps add to the error of the tools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import Geometry, decode_mask
from stvlm.pseudo_labels.filters import Label, Limits, clear_frames, judge, longest_part
from stvlm.pseudo_labels.lifting import Lifting, lift
from stvlm.pseudo_labels.simulated import ARBITRARY, REALISTIC, Noise, Seen, Simulated, rendered, simulated
from stvlm.pseudo_labels.smoothing import Smoothing, smooth
from stvlm.pseudo_labels.validation import Asking, Pair, compare, validate
from stvlm.records import Array, Rejected
from stvlm.simulation.source import SimulationSource

MOVING_CAMERAS = {
    "recordings": 10, "seed": 5, "width_px": 480, "height_px": 270, "duration_s": 8.0,
    "layouts": ["straight", "curve", "boulevard", "crossroads", "roundabout", "t_junction", "s_bend"],
    "camera_motions": {"driving": 0.8, "panning": 0.2}, "objects": [12, 18], "parked_cars": [10, 16],
}  # fmt: skip


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    source = SimulationSource(MOVING_CAMERAS)
    return [rendered(source, recording) for recording in source.recordings()]


def scale_of(video: Simulated) -> float:
    """Metres a unit: the median over what is near."""
    depth = video.geometry.depth
    assert depth is not None
    near = (depth > 0) & (video.metric_m > 0) & (video.metric_m < 40)
    return float(np.exp(np.median(np.log(video.metric_m[near] / depth[near]))))


def metric(geometry: Geometry, factor: float) -> Geometry:
    poses = geometry.world_SE3_camera.copy()
    poses[:, :3, 3] *= factor
    assert geometry.depth is not None
    return replace(geometry, world_SE3_camera=poses, depth=geometry.depth * np.float32(factor), scale="metric")


def labels_of(video: Simulated) -> dict[str, Label | Rejected]:
    geometry = metric(video.geometry, scale_of(video))
    labels: dict[str, Label | Rejected] = {}
    for track in video.objects.tracks:
        found, _ = clear_frames(track, geometry.image_size_px, Limits())
        lifted = found if isinstance(found, Rejected) else lift(found, geometry, Lifting())
        part = lifted if isinstance(lifted, Rejected) else longest_part(lifted, geometry, Limits())
        labels[track.track_id] = (
            part if isinstance(part, Rejected) else judge(smooth(part, Smoothing()), geometry, Limits())
        )
    return labels


def pairs_of(seen: list[Seen], noise: Noise) -> list[Pair]:
    pairs = []
    for recording in seen:
        video = simulated(recording, noise)
        name = f"{video.scene.scene_id} {noise.seed}"
        pairs += compare(name, video.scene, video.objects, labels_of(video), Asking())
    return pairs


def test_artefacts_hold_what_was_rendered(seen: list[Seen]) -> None:
    video = simulated(seen[0])
    geometry, frame = video.geometry, 30
    assert geometry.scale == "arbitrary" and geometry.depth is not None and geometry.depth.shape[1:] == (135, 240)
    np.testing.assert_allclose(geometry.depth * (1 / ARBITRARY), video.metric_m, rtol=1e-6)
    np.testing.assert_allclose(
        geometry.world_SE3_camera[:, :3, 3] / ARBITRARY, video.scene.world_SE3_camera[:, :3, 3], rtol=1e-12
    )
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
    scales = [scale_of(video) * ARBITRARY - 1 for video in videos]
    assert 0.04 < np.std(scales) < 0.13
    exact = simulated(seen[0])
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
    assert abs(scale_of(simulated(seen[0])) * ARBITRARY - 1) < 0.01
    scores = validate(pairs_of(seen, Noise())).scores
    assert scores["moving"] >= 20
    assert scores["within_25_percent"]["value"] >= 0.99 and scores["kept"]["value"] >= 0.6
    assert abs(scores["median_error"]) < 0.02 and scores["parked_called_moving"]["value"] == 0


def test_with_the_noise_of_networks_most_labels_are_right_and_nothing_parked_moves(seen: list[Seen]) -> None:
    pairs = [pair for seed in range(2) for pair in pairs_of(seen, replace(REALISTIC, seed=seed))]
    scores = validate(pairs).scores
    assert scores["moving"] >= 40
    assert scores["within_25_percent"]["value"] >= 0.85 and scores["kept"]["value"] >= 0.6
    assert scores["parked_called_moving"]["value"] < 0.01
    assert scores["calibration"]["within_2_sigma"]["value"] > 0.85

"""Depth of the real model classes, in small and with random weights; some answer one depth, which a pencil tells."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.pseudo_labels.metric_depth.tiny_models import depth_anything, depth_pro, vit, zoedepth
from transformers import (
    DepthAnythingForDepthEstimation,
    DPTImageProcessor,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessor,
)

from stvlm.pseudo_labels.artefacts import Footage, MetricDepth, resized
from stvlm.pseudo_labels.metric_depth.transformers_depth import TransformersDepth, predict
from stvlm.records import Array, DataError, Rejected

SIZE_PX = (120, 80)
FOOTAGE = Footage("clip", np.arange(5) / 10, SIZE_PX)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 80, 120, 3), dtype=np.uint8)
K_PX = np.array([[60.0, 0, 60], [0, 60, 40], [0, 0, 1]])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def found(model: str, K_px: Array | None = None, **options: Any) -> MetricDepth:
    depth = predict(FOOTAGE, IMAGES.__getitem__, K_px, TransformersDepth(model, **options))
    assert isinstance(depth, MetricDepth)
    return depth


def test_depth_anything_is_what_it_says_whatever_the_batch(tmp_path: Path) -> None:
    model = depth_anything(tmp_path)
    depth = found(model, batch=2, longest_side_px=60)
    assert (depth.frames.tolist(), depth.focal_px, depth.crop) == ([0, 1, 2, 3, 4], None, resized(SIZE_PX, (60, 40)))
    assert (depth.provenance.tool, depth.provenance.model) == ("transformers_depth", model)
    processor = DPTImageProcessor.from_pretrained(model)
    network = DepthAnythingForDepthEstimation.from_pretrained(model).eval()
    with torch.inference_mode():
        answer = network(**processor(images=IMAGES[3], return_tensors="pt")).predicted_depth
    expected = torch.nn.functional.interpolate(answer[None], (40, 60), mode="bicubic")[0, 0].numpy()
    np.testing.assert_allclose(depth.depth_m[3], expected, atol=1e-3)
    assert np.abs(depth.depth_m[2] - depth.depth_m[3]).max() > 0.01


def test_depth_anything_in_metres_calibrated_and_for_another_camera(tmp_path: Path) -> None:
    """A quarter of 80 m. Of 80 rows 56 are shown, so that 60 px of focal length are 42: over 21, depth is doubled."""
    model = depth_anything(tmp_path, share=0.25)
    depth = found(model)
    assert depth.depth_m.shape == (5, 80, 120)  # no larger than the image
    np.testing.assert_allclose(depth.depth_m, 20, rtol=1e-5)
    np.testing.assert_allclose(found(model, K_PX, calibration=0.9).depth_m, 18, rtol=1e-5)
    np.testing.assert_allclose(found(model, K_PX, canonical_focal_px=21).depth_m, 40, rtol=1e-5)
    no = predict(FOOTAGE, IMAGES.__getitem__, None, TransformersDepth(model, canonical_focal_px=21))
    assert no == Rejected("no intrinsics", "clip")


def test_every_other_frame(tmp_path: Path) -> None:
    model = depth_anything(tmp_path)
    some, all_ = found(model, every_s=0.2), found(model)
    assert some.frames.tolist() == [0, 2, 4]
    np.testing.assert_allclose(some.depth_m, all_.depth_m[::2], rtol=1e-4)


def test_depth_pro_guesses_the_focal_length_or_is_told_it(tmp_path: Path) -> None:
    """60 degrees over 120 px are a focal length of 60 / tan 30 = 103.92 px, so 1 / 0.1 m are 8.66."""
    model = depth_pro(tmp_path)
    depth = found(model, longest_side_px=60)
    assert depth.focal_px == pytest.approx(np.full(5, 60 / np.tan(np.pi / 6)), rel=1e-5)
    np.testing.assert_allclose(depth.depth_m, 10 * 60 / np.tan(np.pi / 6) / 120, rtol=1e-4)
    told = found(model, K_PX)
    assert told.focal_px == pytest.approx(depth.focal_px, rel=1e-5)
    np.testing.assert_allclose(told.depth_m, 10 * 60 / 120, rtol=1e-4)


def test_zoedepth_takes_its_padding_off(tmp_path: Path) -> None:
    model = zoedepth(tmp_path)
    depth = found(model)
    processor = ZoeDepthImageProcessor.from_pretrained(model)
    network = ZoeDepthForDepthEstimation.from_pretrained(model).eval()
    with torch.inference_mode():
        answer = network(**processor(images=IMAGES[1], return_tensors="pt")).predicted_depth
    # 18 rows and 23 columns on each side: int(3 sqrt(80 / 2)) and int(3 sqrt(120 / 2))
    whole = torch.nn.functional.interpolate(answer[None], (80 + 36, 120 + 46), mode="bicubic")[0, 0].numpy()
    np.testing.assert_allclose(depth.depth_m[1], whole[18:-18, 23:-23], rtol=1e-3, atol=1e-4)
    assert np.ptp(depth.depth_m[1]) > 0.01 and depth.focal_px is None


def test_what_tells_no_metres_is_refused(tmp_path: Path) -> None:
    def says(model: str, message: str, **options: Any) -> None:
        with pytest.raises(DataError, match=message) as caught:
            found(model, **options)
        assert "\n" not in str(caught.value)

    says(depth_anything(tmp_path / "relative", "relative"), "relative: tells relative depth, not metres; choose one of")
    says(depth_pro(tmp_path / "blind", with_field=False), "blind: tells no field of view, and so no metres")
    vit(14, 56).save_pretrained(tmp_path / "other")
    says(str(tmp_path / "other"), "other: is a dinov2, not one of depth_anything, depth_pro, zoedepth")
    says(str(tmp_path / "none"), r"none: cannot be had \(.*\); check its name, or give the folder")
    weights = Path(depth_anything(tmp_path / "cut")) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    says(str(tmp_path / "cut"), r"cut: cannot be had \(.*\); check its name, or give the folder")
    (tmp_path / "relative" / "config.json").write_text("{")
    says(str(tmp_path / "relative"), "relative: cannot be had", batch=1, revision="main")
    says(
        depth_pro(tmp_path / "pro"), "pro: was trained with many cameras; leave out canonical", canonical_focal_px=1000
    )


def test_a_model_that_is_not_on_the_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"nobody/none: cannot be had \(.*\); check its name") as caught:
        found("nobody/none")
    assert "\n" not in str(caught.value)


def test_an_image_of_another_size_is_told(tmp_path: Path) -> None:
    model = TransformersDepth(depth_anything(tmp_path))
    with pytest.raises(DataError, match=r"clip: an image has the shape \(80, 100, 3\), not \(80, 120, 3\)"):
        predict(FOOTAGE, lambda k: IMAGES[k, :, :100], None, model)


def test_options_refuse() -> None:
    for change in ({"batch": 0}, {"canonical_focal_px": 0.0}):
        with pytest.raises(ValueError, match="batch and canonical_focal_px are positive"):
            replace(TransformersDepth(), **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every_s is 0 or more"):
        TransformersDepth(every_s=-0.1)

"""Metric3D's preparation and what is done to its answer, by networks that answer what a pencil does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from tests.pseudo_labels.metric_depth.tiny_models import a_tenth_of_red, mean_of_all_it_is_shown, write_onnx

from stvlm.pseudo_labels.artefacts import DepthCrop, Footage, MetricDepth
from stvlm.pseudo_labels.metric_depth.metric3d_onnx import Metric3D, predict
from stvlm.records import Array, DataError, Rejected

WIDE = Footage("wide", np.arange(3) / 10, (800, 400))
"""Fits with 1064 x 532 pixels: 42 rows of padding above, and as many below."""
TALL = Footage("tall", np.zeros(1), (256, 616))
"""Fits as it is: 404 columns to the left, and as many to the right."""


def K_px(focal_px: float) -> Array:
    return np.array([[focal_px, 0, 400], [0, focal_px, 200], [0, 0, 1]])


def plain(footage: Footage, *rgb: int) -> Callable[[int], Array]:
    """Images of one colour, a little redder from frame to frame."""
    width, height = footage.image_size_px
    return lambda k: np.tile(np.array(rgb, dtype=np.uint8) + np.array([10 * k, 0, 0], np.uint8), (height, width, 1))


def found(*args: object) -> MetricDepth:
    depth = predict(*args)  # type: ignore[arg-type]
    assert isinstance(depth, MetricDepth)
    return depth


@pytest.mark.parametrize(("names", "half"), [
    (("pixel_values", "predicted_depth"), False), (("image", "pred_depth"), False),
    (("pixel_values", "predicted_depth"), True),
])  # fmt: skip
def test_the_answer_is_for_a_focal_length_of_1000(tmp_path: Path, names: tuple[str, str], half: bool) -> None:
    """At 1.33 times the size, 500 px are 665: red of 50 is 5 canonical metres, and 3.325 true ones."""
    model = a_tenth_of_red(tmp_path / "red.onnx", names, half)
    depth = found(WIDE, plain(WIDE, 50, 9, 9), K_px(500), Metric3D(model))
    assert depth.depth_m.shape == (3, 320, 640) and depth.crop == DepthCrop((1.25, 1.25), (0.125, 0.125))
    np.testing.assert_allclose(
        depth.depth_m[0], 3.325, rtol=2e-3 if half else 1e-5
    )  # no padding at the rims: it is 8.2
    np.testing.assert_allclose(depth.depth_m[2], 70 / 50 * 3.325, rtol=2e-3 if half else 1e-5)
    assert (depth.frames.tolist(), depth.focal_px, depth.provenance.tool) == ([0, 1, 2], None, "metric3d_onnx")


def test_what_is_around_the_image_is_cut_off_again(tmp_path: Path) -> None:
    """Red is the column's number."""
    columns = np.zeros((616, 256, 3), dtype=np.uint8)
    columns[..., 0] = np.arange(256)
    depth = found(
        TALL, lambda _: columns, K_px(1000), Metric3D(a_tenth_of_red(tmp_path / "m.onnx"), longest_side_px=616)
    )
    np.testing.assert_allclose(depth.depth_m[0], np.tile(np.arange(256) / 10, (616, 1)), rtol=1e-5)


def test_around_the_image_is_the_mean_colour(tmp_path: Path) -> None:
    """Black in 532 of 616 rows: 123.675 + 116.28 + 103.53 in 84 of them, and times 0.665."""
    depth = found(WIDE, plain(WIDE, 0, 0, 0), K_px(500), Metric3D(mean_of_all_it_is_shown(tmp_path / "m.onnx")))
    np.testing.assert_allclose(depth.depth_m[0], 343.485 * 84 / 616 * 0.665, rtol=1e-3)


def test_nothing_is_farther_than_300_m(tmp_path: Path) -> None:
    model = Metric3D(a_tenth_of_red(tmp_path / "m.onnx"))
    assert found(TALL, plain(TALL, 250, 0, 0), K_px(13_000), model).depth_m.max() == 300
    assert found(TALL, plain(TALL, 0, 0, 0), K_px(1000), model).depth_m.max() == 0


def test_some_frames_and_a_calibration(tmp_path: Path) -> None:
    options = Metric3D(a_tenth_of_red(tmp_path / "m.onnx"), every_s=0.2, calibration=1.1)
    depth = found(WIDE, plain(WIDE, 50, 9, 9), K_px(500), options)
    assert depth.frames.tolist() == [0, 2]
    np.testing.assert_allclose(depth.depth_m[1], 1.1 * 70 / 50 * 3.325, rtol=1e-5)


def test_without_intrinsics_it_tells_nothing(tmp_path: Path) -> None:
    options = Metric3D(str(tmp_path / "none.onnx"))
    assert predict(WIDE, plain(WIDE, 0, 0, 0), None, options) == Rejected("no intrinsics", "wide")


def test_what_is_no_metric3d(tmp_path: Path) -> None:
    def says(model: str, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            predict(WIDE, plain(WIDE, 0, 0, 0), K_px(500), Metric3D(model))
        assert "\n" not in str(caught.value)

    says(
        str(tmp_path / "none.onnx"), r"none\.onnx: is missing; give an \.onnx file, or a name on the Hub such as onnx-"
    )
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    says(str(tmp_path / "broken.onnx"), r"broken\.onnx: cannot be had \(.*\); check its name")
    other = a_tenth_of_red(tmp_path / "other.onnx", ("rgb", "disparity"))
    says(other, r"other\.onnx: takes rgb and answers disparity; it is no Metric3D")
    whole = write_onnx(tmp_path / "whole.onnx", [helper.make_node("Identity", ["pixel_values"], ["predicted_depth"])])
    says(whole, r"whole\.onnx: answers with shape \(3, 616, 1064\), not \(616, 1064\); is it Metric3D")


def test_a_model_that_is_not_on_the_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match=r"nobody/none: cannot be had \(.*\); check its name, or give the folder"
    ) as caught:
        predict(WIDE, plain(WIDE, 0, 0, 0), K_px(500), Metric3D("nobody/none"))
    assert "\n" not in str(caught.value)


def test_an_image_of_another_size_is_told(tmp_path: Path) -> None:
    model = Metric3D(a_tenth_of_red(tmp_path / "m.onnx"))
    with pytest.raises(DataError, match=r"wide: an image has the shape \(616, 256, 3\), not \(400, 800, 3\)"):
        predict(WIDE, plain(TALL, 0, 0, 0), K_px(500), model)


def test_options_refuse() -> None:
    for change in ({"every_s": -1}, {"longest_side_px": 0}, {"calibration": 0}):
        with pytest.raises(ValueError, match="every_s is 0 or more; longest_side_px and calibration are positive"):
            replace(Metric3D(), **change)  # type: ignore[arg-type]

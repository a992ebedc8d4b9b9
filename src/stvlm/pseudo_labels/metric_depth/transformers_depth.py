"""Metric depth by the networks that transformers has: Depth Anything V2 (metric), Depth Pro and ZoeDepth.

Depth Anything V2 (metric) and ZoeDepth know depth for the camera that they were trained with: how large a thing looks
tells how far it is only where the focal length is the same. Depth Pro guesses the focal length, or takes a known one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from stvlm.pseudo_labels.artefacts import Footage, MetricDepth, resized
from stvlm.pseudo_labels.geometry.reading import known_depth
from stvlm.pseudo_labels.licences import made_by
from stvlm.pseudo_labels.metric_depth.predicting import (
    Read,
    check_options,
    map_size,
    not_had,
)
from stvlm.records import Array, LackingError, Rejected

KNOWN = ("depth_anything", "depth_pro", "zoedepth")
"""Kinds of models whose output is known to be metres. Others' is a disparity, a canopy's height, or needs a lidar."""


@dataclass(frozen=True)
class TransformersDepth:
    """Which network, and how it is used."""

    model: str = "depth-anything/Depth-Anything-V2-Metric-Outdoor-Large-hf"
    """A name on the Hub, or a folder."""
    revision: str | None = None
    batch: int = 4
    every_s: float = 0.0
    """Frames are seen that lie so far apart, or farther; with 0, all are."""
    longest_side_px: int = 640
    """Of the maps: depth is resized to it, or to the image's size where that is smaller."""
    calibration: float = 1.0
    """Factor on depth, by which a camera is known to be misjudged."""
    canonical_focal_px: float | None = None
    """Focal length of the camera that the network was trained with, in pixels of what it is shown: where it is given,
    depth is multiplied by the known focal length over it. For Depth Anything V2 Metric Outdoor 1001.5 (Virtual KITTI's
    725 px, with its 375 rows resized to 518)."""

    def __post_init__(self) -> None:
        check_options(self.every_s, self.longest_side_px, self.calibration)
        if self.batch < 1 or (self.canonical_focal_px is not None and self.canonical_focal_px <= 0):
            raise ValueError("batch and canonical_focal_px are positive")


def predict(
    footage: Footage, read: Read, K_px: Array | None, options: TransformersDepth | None = None
) -> MetricDepth | Rejected:
    """The depth that a network sees in a footage's frames.

    Args:
        footage: its frames.
        read: frame index -> image (H, W, 3) uint8 RGB of the footage's size, undistorted.
        K_px: intrinsics (3, 3) for images of that size. Depth Pro takes the focal length in place of its own guess.
        options: what is not the default.

    Raises DataError where the model cannot be had, is none for metric depth, or an image has another size.
    """
    options = options or TransformersDepth()
    processor, model = _loaded(options.model, options.revision)
    import torch

    kind = model.config.model_type
    if options.canonical_focal_px is not None:
        if kind == "depth_pro":
            raise LackingError(f"{options.model}: was trained with many cameras; leave out canonical_focal_px")
        if K_px is None:
            return Rejected("no intrinsics", footage.video_id)
    frames = footage.frames_every(options.every_s)
    width, height = footage.image_size_px
    w, h = map_size(footage.image_size_px, options.longest_side_px)
    depth_m, focal_px = np.empty((len(frames), h, w), dtype=np.float32), np.full(len(frames), np.nan)
    for start in range(0, len(frames), options.batch):
        images = [footage.checked(read(frame)) for frame in frames[start : start + options.batch].tolist()]
        shown = processor(images=images, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            results = _in_metres(processor, model(**shown), kind, len(images), (height, width), (h, w))
        for index, result in enumerate(results, start):
            depth = result["predicted_depth"].float().cpu().numpy()
            factor = options.calibration
            if result.get("focal_length") is not None:
                focal_px[index] = float(result["focal_length"]) * width / w
                factor *= 1 if K_px is None else K_px[0, 0] / focal_px[index]
            elif options.canonical_focal_px is not None and K_px is not None:
                factor *= K_px[0, 0] * shown["pixel_values"].shape[-1] / width / options.canonical_focal_px
            depth_m[index] = known_depth(depth * factor)
    depth_m.setflags(write=False)
    return MetricDepth(
        times_s=footage.times_s,
        image_size_px=footage.image_size_px,
        frames=frames,
        depth_m=depth_m,
        crop=resized(footage.image_size_px, (w, h)),
        provenance=made_by("transformers_depth", options.model, getattr(model.config, "_commit_hash", None) or ""),
        focal_px=None if np.isnan(focal_px).any() else focal_px,
    )


def _in_metres(
    processor: Any, outputs: Any, kind: str, count: int, image_hw: tuple[int, int], map_hw: tuple[int, int]
) -> Sequence[dict[str, Any]]:
    how = {"source_sizes": [image_hw] * count} if kind == "zoedepth" else {}  # it takes its own padding off again
    results: Sequence[dict[str, Any]] = processor.post_process_depth_estimation(
        outputs, target_sizes=[map_hw] * count, **how
    )
    return results


@lru_cache(maxsize=1)
def _loaded(name: str, revision: str | None) -> tuple[Any, Any]:
    """A network and what prepares its images, on CUDA where there is one; raises DataError."""
    try:
        import torch
        from transformers import AutoConfig, AutoImageProcessor, AutoModelForDepthEstimation
    except ImportError as error:
        raise LackingError("metric depth needs torch and transformers; type: pip install 'stvlm[pseudo]'") from error
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        raise not_had(name, error) from error
    if config.model_type not in KNOWN:
        raise LackingError(
            f"{name}: is a {config.model_type}, not one of {', '.join(KNOWN)}; choose a model for metres"
        )
    if config.model_type == "depth_anything" and config.depth_estimation_type != "metric":
        raise LackingError(f"{name}: tells relative depth, not metres; choose one of Depth Anything's metric models")
    if config.model_type == "depth_pro" and not config.use_fov_model:
        raise LackingError(f"{name}: tells no field of view, and so no metres; choose a Depth Pro with one")
    try:
        processor = AutoImageProcessor.from_pretrained(name, revision=revision)
        model = AutoModelForDepthEstimation.from_pretrained(name, revision=revision)
    except Exception as error:  # damaged weights have no class of exceptions in common
        raise not_had(name, error) from error
    return processor, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

"""Metric depth by Metric3Dv2 (github.com/YvanYin/Metric3D, at eb5b6fa; BSD-2-Clause) through ONNX Runtime.

It is the network of ST-VLM's authors. Its own code wants mmcv; its ONNX files (on the Hub onnx-community/
metric3d-vit-small, -large and -giant2) want nothing. They take RGB in 0..255 as `pixel_values` (1, 3, 616, 1064), and
normalise it themselves; so do those of its own export script, as `image`. What they answer is depth for a canonical
camera of 1000 pixels of focal length: it has to be multiplied by the focal length of what they were shown over that.

    image -> resized to fit -> the mean colour around it -> network -> cut out -> times f / 1000, at most 300 m
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
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

INPUT_HW = (616, 1064)
MEAN_RGB = (123.675, 116.28, 103.53)
CANONICAL_FOCAL_PX = 1000.0
FARTHEST_M = 300.0
NAMES = {"pixel_values": "predicted_depth", "image": "pred_depth"}
"""Of the input and of the output: those on the Hub, and those of the tool's own export script."""
FILE = "onnx/model.onnx"


@dataclass(frozen=True)
class Metric3D:
    """Which network, and how it is used."""

    model: str = "onnx-community/metric3d-vit-large"
    """A name on the Hub, or an .onnx file."""
    revision: str | None = None
    every_s: float = 0.0
    """Frames are seen that lie so far apart, or farther; with 0, all are."""
    longest_side_px: int = 640
    """Of the maps: depth is resized to it, or to the image's size where that is smaller."""
    calibration: float = 1.0
    """Factor on depth, by which a camera is known to be misjudged."""

    def __post_init__(self) -> None:
        check_options(self.every_s, self.longest_side_px, self.calibration)


def predict(
    footage: Footage, read: Read, K_px: Array | None, options: Metric3D | None = None
) -> MetricDepth | Rejected:
    """The depth that Metric3Dv2 sees in a footage's frames; Rejected without intrinsics.

    Args:
        footage: its frames.
        read: frame index -> image (H, W, 3) uint8 RGB of the footage's size, undistorted.
        K_px: intrinsics (3, 3) for images of that size.
        options: what is not the default.

    Raises DataError where the model cannot be had or is another, or an image has another size.
    """
    if K_px is None:
        return Rejected("no intrinsics", footage.video_id)
    try:
        import cv2
    except ImportError as error:
        raise LackingError("Metric3D needs OpenCV; type: pip install 'stvlm[pseudo]'") from error
    options = options or Metric3D()
    session, revision = _loaded(options.model, options.revision)
    (given,) = session.get_inputs()
    dtype = np.float16 if given.type == "tensor(float16)" else np.float32
    width, height = footage.image_size_px
    shrink = min(INPUT_HW[0] / height, INPUT_HW[1] / width)
    shown_w, shown_h = int(width * shrink), int(height * shrink)
    top, left = (INPUT_HW[0] - shown_h) // 2, (INPUT_HW[1] - shown_w) // 2
    inside = (slice(top, top + shown_h), slice(left, left + shown_w))
    factor = options.calibration * K_px[0, 0] * shrink / CANONICAL_FOCAL_PX
    frames = footage.frames_every(options.every_s)
    size_px = map_size(footage.image_size_px, options.longest_side_px)
    depth_m = np.empty((len(frames), *size_px[::-1]), dtype=np.float32)
    for index, frame in enumerate(frames.tolist()):
        padded = np.tile(np.array(MEAN_RGB, dtype=np.float32), (*INPUT_HW, 1))
        padded[inside] = cv2.resize(footage.checked(read(frame)), (shown_w, shown_h), interpolation=cv2.INTER_LINEAR)
        blob = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], dtype=dtype)
        canonical = np.squeeze(session.run([NAMES[given.name]], {given.name: blob})[0])
        if canonical.shape != INPUT_HW:
            raise LackingError(
                f"{options.model}: answers with shape {canonical.shape}, not {INPUT_HW}; is it Metric3D?"
            )
        shown_m = np.clip(canonical[inside].astype(np.float32) * factor, 0, FARTHEST_M)
        depth_m[index] = known_depth(cv2.resize(shown_m, size_px, interpolation=cv2.INTER_LINEAR))
    depth_m.setflags(write=False)
    return MetricDepth(
        times_s=footage.times_s,
        image_size_px=footage.image_size_px,
        frames=frames,
        depth_m=depth_m,
        crop=resized(footage.image_size_px, size_px),
        provenance=made_by("metric3d_onnx", options.model, revision),
    )


@lru_cache(maxsize=1)
def _loaded(name: str, revision: str | None) -> tuple[Any, str]:
    """A session, on CUDA where ONNX Runtime has it, and the revision of its file on the Hub; raises DataError."""
    try:
        import onnxruntime
    except ImportError as error:
        raise LackingError("Metric3D needs ONNX Runtime; type: pip install 'stvlm[pseudo]'") from error
    path = Path(name)
    found = ""
    if path.suffix != ".onnx":
        path, found = _downloaded(name, revision)
    elif not path.is_file():
        raise LackingError(f"{path}: is missing; give an .onnx file, or a name on the Hub such as {Metric3D().model}")
    providers = [
        p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in onnxruntime.get_available_providers()
    ]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=providers)
    except Exception as error:  # its exceptions have no class in common
        raise not_had(name, error) from error
    inputs, outputs = ([entry.name for entry in entries] for entries in (session.get_inputs(), session.get_outputs()))
    if len(inputs) != 1 or NAMES.get(inputs[0]) not in outputs:
        raise LackingError(f"{name}: takes {', '.join(inputs)} and answers {', '.join(outputs)}; it is no Metric3D")
    return session, found


def _downloaded(name: str, revision: str | None) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:  # the largest keeps its weights in a file beside it
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[FILE, f"{FILE}_data*"]))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise not_had(name, error) from error
    if not (folder / FILE).is_file():
        raise LackingError(f"{name}: has no {FILE}; give a Metric3D in ONNX, such as {Metric3D().model}")
    return folder / FILE, folder.name

"""Objects by Grounding DINO and SAM2, as in the paper's Grounded-SAM2: words -> boxes -> masks through the video.

How detections become tracks is told in `tracking`. Here are the two networks.

A rider and the bicycle are two objects, as they are two detections: their masks share no pixel, and the IoU of their
boxes is far from that of two names for one thing. People in a car are none: their masks are the car's.

Each object has a SAM2 session of its own; all share the features of a frame, so that it is encoded once. One session
for all would go on with objects that have ended, and going back for a new one would overwrite the memory of the others;
SAM2 follows them one by one in any case. Frames are streamed, and memories that are no longer looked at are dropped:
200 frames take as much memory as 20. With SAM2.1 large in bfloat16 that is about 20 MB an object and, for each frame
that can be gone back to, 6 MB of pixels and 50 MB of features. (A session that is given the 200 frames holds 1.3 GB of
them, and 3 MB more for each object and frame, 2 MB of which is a mask that is never read again.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from stvlm.pseudo_labels.artefacts import Footage, ObjectTracks
from stvlm.pseudo_labels.licences import joined, made_by
from stvlm.pseudo_labels.objects.classes import PHRASES, category_of, check_phrases
from stvlm.pseudo_labels.objects.finishing import flagged
from stvlm.pseudo_labels.objects.matching import Detections
from stvlm.pseudo_labels.objects.models import Network, forget, load, torch_and_transformers
from stvlm.pseudo_labels.objects.tracking import Rules, View, follow
from stvlm.records import Array, LackingError, Rejected

_DETECTORS = ("grounding-dino", "mm-grounding-dino")
_TRACKERS = {"sam2_video": "sam2", "edgetam_video": "edgetam"}
"""By the type of the model, as its config says: the tool in licences.yaml."""


@dataclass(frozen=True)
class Options:
    """Which networks look for what."""

    detector: str = "IDEA-Research/grounding-dino-base"
    detector_revision: str | None = None
    tracker: str = "facebook/sam2.1-hiera-large"
    """SAM2 of any size; or EdgeTAM, which needs the package timm."""
    tracker_revision: str | None = None
    phrases: tuple[str, ...] = PHRASES
    """Names of `classes.CATEGORY_OF`."""
    least_score: float = 0.3
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        check_phrases(self.phrases)


def find(footage: Footage, read: Callable[[int], Array], options: Options) -> ObjectTracks | Rejected:
    """The objects of a video; the same frames give the same tracks.

    Args:
        footage: its frames.
        read: frame index -> image (H, W, 3) uint8 RGB.
        options: which models, which words, and how sure they have to be.

    Raises LackingError where a model cannot be had, DataError where an image has another size.
    """
    detector = load(options.detector, options.detector_revision, "AutoModelForZeroShotObjectDetection", half=False)
    tracker = load(options.tracker, options.tracker_revision, "AutoModel", half=True, processor="Sam2VideoProcessor")
    tool = _TRACKERS.get(tracker.model.config.model_type)
    if tool is None:
        raise LackingError(f"{options.tracker}: follows no boxes; give a SAM2 or EdgeTAM video model")
    if detector.model.config.model_type not in _DETECTORS:
        raise LackingError(f"{options.detector}: scores no words; give a Grounding DINO model")
    detect = partial(_detect, detector, phrases=options.phrases, least_score=options.least_score)
    frames_back = options.rules.frames_back(footage.times_s)
    tracks = follow(footage, read, detect, _Following(tracker, footage.image_size_px, frames_back), options.rules)
    if not tracks:
        return Rejected("no object was found", footage.video_id)
    provenance = joined(
        made_by("grounding_dino", options.detector, detector.revision),
        made_by(tool, options.tracker, tracker.revision),
    )
    return flagged(ObjectTracks(footage.times_s, footage.image_size_px, tracks, provenance))


class _Following:
    """SAM2 on a stream of frames, of which so many can be gone back to; satisfies ``tracking.Follower``."""

    def __init__(self, network: Network, image_size_px: tuple[int, int], frames_back: int) -> None:
        self._torch, _ = torch_and_transformers()
        self._model, self._processor = network.model, network.processor
        self._size_px, self._window = image_size_px, frames_back + 1
        self._frames: dict[int, Any] = {}  # their pixels as SAM2 wants them
        self._features = self._session().cache  # of the frames that were last looked at
        config = network.model.config
        self._reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)

    def show(self, k: int, image: Array) -> None:
        """The next frame."""
        inputs = self._processor(images=image, return_tensors="pt", input_data_format="channels_last")
        self._frames[k] = inputs["pixel_values"][0].to(self._model.device, self._model.dtype)
        self._frames.pop(k - self._window, None)

    def begin(self, k: int, box_px: Array) -> Any:
        """The session of an object that fills a box (4,) of frame k, whose pixels begin at 0."""
        session = self._session()
        session.cache = self._features
        box = [[box_px.tolist()]]
        size = self._size_px[::-1]
        self._processor.add_inputs_to_inference_session(session, k, obj_ids=1, input_boxes=box, original_size=size)
        return session

    def step(self, session: Any, k: int, reverse: bool = False) -> View:
        """An object in frame k, of the frames before it or, in reverse, after it."""
        frame = self._frames[k]
        found = self._model(inference_session=session, frame=frame, frame_idx=k, reverse=reverse)
        session.processed_frames.clear()
        forget(session, k, self._reach)
        probability = found.object_score_logits.float().sigmoid().item()
        return View(found.pred_masks[0, 0].float(), probability)

    def owner(self, views: Sequence[View]) -> Array:
        """Whose each pixel is (H, W) int16, by the place among the views; -1 where none of them says its own."""
        torch = self._torch
        shape = self._size_px[::-1]
        best = torch.zeros(shape, device=self._model.device)
        owner = torch.full(shape, -1, dtype=torch.int16, device=self._model.device)
        for i, view in enumerate(views):
            logits = torch.nn.functional.interpolate(view.logits[None, None], shape, mode="bilinear")[0, 0]
            owner[logits > best] = i
            best = torch.maximum(best, logits)
        return np.asarray(owner.cpu().numpy())

    def _session(self) -> Any:
        return self._processor.init_video_session(
            inference_device=self._model.device,
            dtype=self._model.dtype,
            max_vision_features_cache_size=self._window,
        )


def _detect(network: Network, image: Array, phrases: Sequence[str], least_score: float) -> Detections:
    """Boxes whose pixels begin at 0, as both networks have them.

    Of which phrase a box is, its surest token says. (The text that the processor puts together of all tokens above a
    threshold may be half of a phrase, or two.)
    """
    torch, _ = torch_and_transformers()
    model, processor = network.model, network.processor
    text = " ".join(f"{phrase}." for phrase in phrases)
    inputs = processor(images=image, text=text, return_tensors="pt", input_data_format="channels_last")
    with torch.inference_mode():
        found = model(**inputs.to(model.device))
    tokenizer = processor.tokenizer
    between = {tokenizer.convert_tokens_to_ids("."), tokenizer.cls_token_id, tokenizer.sep_token_id}
    phrase_of = _phrase_of_token(inputs["input_ids"][0].tolist(), between)
    sure = found.logits[0, :, : len(phrase_of)].float().sigmoid().cpu().numpy().astype(np.float64)
    scores = np.stack([sure[:, phrase_of == i].max(axis=1) for i in range(len(phrases))], axis=1)
    centre, extent = np.split(found.pred_boxes[0].float().cpu().numpy().astype(np.float64), 2, axis=1)
    height, width = image.shape[:2]
    corners = np.concatenate([centre - extent / 2, centre + extent / 2], axis=1) * [width, height, width, height]
    boxes_px = np.clip(corners, 0, [width, height, width, height])
    kept = (scores.max(axis=1) > least_score) & (boxes_px[:, 2:] - boxes_px[:, :2] >= 1).all(axis=1)
    categories = [category_of(phrases[i]) for i in scores[kept].argmax(axis=1)]
    return Detections(boxes_px[kept], scores[kept].max(axis=1), categories)


def _phrase_of_token(ids: Sequence[int], between: set[int]) -> Array:
    """To which phrase each token belongs (n,) int; -1 for those that stand between phrases."""
    out = np.full(len(ids), -1)
    phrase = -1
    for at, token in enumerate(ids):
        if token not in between:
            phrase += at == 0 or ids[at - 1] in between
            out[at] = phrase
    return out

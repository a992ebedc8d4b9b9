"""Objects by SAM 3, which finds all that a word names in each frame, and follows it.

Each phrase is looked for on its own, so that one thing may be found twice: as a car and as a truck; and without the
package `kernels` the library leaves out its own search for doubles. So in each frame a pixel is the object's that the
detector was surest of, and an object most of which is another's is not there. Its score is the detector's, times the
probability with which it is followed.

Frames are read as they are looked at, and what the network remembers of those that it no longer looks at is dropped, so
that memory does not grow with the video. (It could also be given frame by frame, but then it cannot take back what
turns out to be nothing in the first 15 frames after it was found.) Time and memory grow with the number of objects:
about 20 MB each in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stvlm.pseudo_labels.artefacts import Footage, ObjectTrack, ObjectTracks
from stvlm.pseudo_labels.licences import made_by
from stvlm.pseudo_labels.objects.classes import PHRASES, category_of, check_phrases
from stvlm.pseudo_labels.objects.finishing import flagged, mask_and_box
from stvlm.pseudo_labels.objects.models import Network, forget, load
from stvlm.records import Array, DataError, Rejected


@dataclass(frozen=True)
class Options:
    """What is looked for. How sure the network has to be, its own configuration says."""

    model: str = "facebook/sam3"
    revision: str | None = None
    phrases: tuple[str, ...] = PHRASES
    """Names of `classes.CATEGORY_OF`."""
    most_taken: float = 0.5
    """Share of an object's mask that may be that of a surer one."""
    most_objects: int = 30
    """At a time; the surest are taken."""

    def __post_init__(self) -> None:
        check_phrases(self.phrases)
        if self.most_objects < 1:
            raise DataError("most_objects is at least 1")


def find(footage: Footage, read: Callable[[int], Array], options: Options) -> ObjectTracks | Rejected:
    """The objects of a video; the same frames give the same tracks.

    Args:
        footage: its frames.
        read: frame index -> image (H, W, 3) uint8 RGB.
        options: which model, and which words.

    Raises DataError where the model cannot be had, or an image has another size.
    """
    network = load(options.model, options.revision, "Sam3VideoModel", half=True, processor="Sam3VideoProcessor")
    model, processor = network.model, network.processor
    model.max_num_objects = options.most_objects
    session = processor.init_video_session(inference_device=model.device, dtype=model.dtype)
    session.video_width, session.video_height = footage.image_size_px
    session.processed_frames = _Frames(network, footage, read)
    processor.add_text_prompt(session, list(options.phrases))
    config = model.config.tracker_config
    reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)
    frames = len(footage.times_s)
    category_of_id: dict[int, str] = {}
    boxes_px: dict[int, Array] = {}
    scores: dict[int, Array] = {}
    masks: dict[int, list[Array | None]] = {}
    for output in model.propagate_in_video_iterator(session):
        k = output.frame_idx
        found = processor.postprocess_outputs(session, output)
        forget(session, k, reach)
        for phrase, named in found["prompt_to_obj_ids"].items():
            category_of_id.update(dict.fromkeys(named, category_of(phrase)))
        sure = found["scores"].float().cpu().numpy().astype(np.float64)
        parts = apart(found["masks"].cpu().numpy(), sure, options.most_taken)
        for i, score, mask in zip(found["object_ids"].tolist(), sure, parts, strict=True):
            if (clean := mask_and_box(mask)) is not None:
                masks.setdefault(i, [None] * frames)[k], boxes_px.setdefault(i, np.full((frames, 4), np.nan))[k] = clean
                followed = output.obj_id_to_tracker_score.get(i, 1.0)  # it is not, in the frame in which it is found
                scores.setdefault(i, np.zeros(frames))[k] = score * followed
    if not boxes_px:
        return Rejected("no object was found", footage.video_id)
    tracks = []
    unknown = np.zeros(frames, dtype=bool)
    for number, i in enumerate(boxes_px, start=1):  # in the order in which they came into view
        flags = (unknown, unknown)
        tracks.append(ObjectTrack(str(number), category_of_id[i], boxes_px[i], scores[i], *flags, tuple(masks[i])))
    provenance = made_by("sam3", options.model, network.revision)
    return flagged(ObjectTracks(footage.times_s, footage.image_size_px, tuple(tracks), provenance))


def apart(masks: Array, scores: Array, most_taken: float) -> Sequence[Array]:
    """Masks (T, H, W) bool without the pixels of surer ones; empty where those are more than such a share of one."""
    out = [np.zeros_like(mask) for mask in masks]
    taken = np.zeros(masks.shape[1:], dtype=bool)
    for i in np.argsort(-scores, kind="stable").tolist():
        if masks[i].any() and taken[masks[i]].mean() <= most_taken:
            out[i] = masks[i] & ~taken
            taken |= masks[i]
    return out


class _Frames(Mapping[int, Any]):
    """The pixels of a video's frames as the network wants them, read when they are asked for."""

    def __init__(self, network: Network, footage: Footage, read: Callable[[int], Array]) -> None:
        self._network, self._footage, self._read = network, footage, read

    def __getitem__(self, k: int) -> Any:
        image = self._footage.checked(self._read(k))
        inputs = self._network.processor.video_processor(videos=[image[None]], return_tensors="pt")
        return inputs["pixel_values_videos"][0, 0].to(self._network.model.dtype)

    def __len__(self) -> int:
        return len(self._footage.times_s)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

"""Both networks in small, with random weights: what they find means nothing, but it goes the whole way."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pseudo_labels.objects.tiny_models import write_grounding_dino, write_sam2, write_sam3
from transformers import (
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTTextConfig,
    OwlViTVisionConfig,
)
from transformers.utils import logging

from stvlm.pseudo_labels.artefacts import Footage, ObjectTracks, decode_mask
from stvlm.pseudo_labels.objects.grounding_dino_sam2 import Options, _detect, _Following, _phrase_of_token, find
from stvlm.pseudo_labels.objects.models import load
from stvlm.pseudo_labels.objects.tracking import Rules
from stvlm.records import Array, DataError, Rejected

SIZE_PX = (80, 60)
FRAMES = 20
BOX_PX = np.array([10.0, 10, 60, 40])


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_grounding_dino(tmp_path_factory.mktemp("models") / "grounding_dino")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sam2(tmp_path_factory.mktemp("models") / "sam2")


@pytest.fixture(scope="module")
def images() -> Array:
    return np.random.default_rng(0).integers(0, 256, (FRAMES, *SIZE_PX[::-1], 3), dtype=np.uint8)


def options(detector: str, tracker: str, least_score: float = 0.0) -> Options:
    """No detection is like a mask of random weights: so objects begin at each, until there are as many as may be."""
    rules = Rules(most_objects=4, most_misses=9, most_taken=0.9)
    return Options(detector=detector, tracker=tracker, least_score=least_score, rules=rules)


def test_from_frames_to_tracks(detector: str, tracker: str, images: Array) -> None:
    footage = Footage("street", np.arange(6) / 2, SIZE_PX)
    found = find(footage, images.__getitem__, options(detector, tracker))
    assert isinstance(found, ObjectTracks)
    assert found.image_size_px == SIZE_PX and found.times_s.tolist() == footage.times_s.tolist()
    assert [track.track_id for track in found.tracks] == [str(i + 1) for i in range(len(found.tracks))]
    assert len(found.tracks) >= 2
    made_by = found.provenance
    assert (made_by.tool, made_by.model) == ("grounding_dino + sam2", f"{detector} + {tracker}")
    assert made_by.licence == f"{detector}: not known; {tracker}: not known"
    for k in range(6):
        masks = [
            decode_mask(track.masks[k], SIZE_PX) for track in found.tracks if track.masks and track.masks[k] is not None
        ]
        assert np.sum(masks, axis=0).max() == 1, "a pixel is of one object"
    for track in found.tracks:
        seen = ~np.isnan(track.boxes_px[:, 0])
        assert ((track.score > 0) == seen).all() and track.masks is not None
        for k in np.flatnonzero(seen):
            rows, columns = np.nonzero(decode_mask(track.masks[k], SIZE_PX))
            box = [columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]
            assert track.boxes_px[k].tolist() == box
    again = find(footage, images.__getitem__, options(detector, tracker))
    assert isinstance(again, ObjectTracks)
    for a, b in zip(found.tracks, again.tracks, strict=True):
        np.testing.assert_array_equal(a.boxes_px, b.boxes_px)
        np.testing.assert_array_equal(a.score, b.score)


def test_where_nothing_is_sure_enough_there_is_no_object(detector: str, tracker: str, images: Array) -> None:
    footage = Footage("street", np.arange(3) / 2, SIZE_PX)
    found = find(footage, images.__getitem__, options(detector, tracker, least_score=1.0))
    assert found == Rejected("no object was found", "street")


def streamed(tracker: str, images: Array, begin: int, order: range) -> dict[int, Array]:
    """The mask's logits in frames, followed one by one, of an object that fills a box in one of them."""
    following = _Following(load(tracker, None, "AutoModel", half=True, processor="Sam2VideoProcessor"), SIZE_PX, FRAMES)
    for k in range(begin):
        following.show(k, images[k])
    following.show(begin, images[begin])
    session = following.begin(begin, BOX_PX)
    out = {begin: following.step(session, begin).logits.numpy()}
    for k in order:
        if k > begin:
            following.show(k, images[k])
        out[k] = following.step(session, k, reverse=k < begin).logits.numpy()
    kept = session.output_dict_per_obj[0]["non_cond_frame_outputs"]
    assert len(kept) <= 16 + 1 and not any("high_res_masks" in output for output in kept.values())
    assert not session.processed_frames
    return out


def at_once(tracker: str, images: Array, begin: int, reverse: bool) -> dict[int, Array]:
    """The same by the library's own way: the whole video in a session."""
    model, processor, _ = load(tracker, None, "AutoModel", half=True, processor="Sam2VideoProcessor")
    session = processor.init_video_session(video=list(images))
    processor.add_inputs_to_inference_session(session, begin, obj_ids=1, input_boxes=[[BOX_PX.tolist()]])
    with torch.inference_mode():
        model(inference_session=session, frame_idx=begin)
        steps = model.propagate_in_video_iterator(session, start_frame_idx=begin, reverse=reverse)
        return {step.frame_idx: step.pred_masks[0, 0].numpy() for step in steps}


def test_streaming_and_forgetting_change_nothing(tracker: str, images: Array) -> None:
    mine, theirs = streamed(tracker, images, 0, range(1, FRAMES)), at_once(tracker, images, 0, reverse=False)
    assert mine.keys() == theirs.keys()
    for k, logits in mine.items():
        np.testing.assert_array_equal(logits, theirs[k])
    assert np.abs(mine[19] - mine[18]).max() > 0.1 * np.abs(mine[19]).max(), (
        "the frames must differ for this to mean anything"
    )


def test_going_back_is_the_librarys(tracker: str, images: Array) -> None:
    mine, theirs = streamed(tracker, images, 12, range(11, 5, -1)), at_once(tracker, images, 12, reverse=True)
    for k in range(6, 13):
        np.testing.assert_array_equal(mine[k], theirs[k])


def test_each_token_belongs_to_the_phrase_it_is_in(detector: str) -> None:
    tokenizer = load(detector, None, "AutoModelForZeroShotObjectDetection", half=False).processor.tokenizer
    ids = tokenizer("car. motorcycle. bus.")["input_ids"]
    between = {tokenizer.convert_tokens_to_ids("."), tokenizer.cls_token_id, tokenizer.sep_token_id}
    assert _phrase_of_token(ids, between).tolist() == [-1, 0, -1, 1, 1, -1, 2, -1, -1]


def test_detections_are_the_processors(detector: str, images: Array) -> None:
    """Boxes and scores are those of the library's own reading, where the surest token is one of a phrase."""
    network = load(detector, None, "AutoModelForZeroShotObjectDetection", half=False)
    found = _detect(network, images[0], ("car", "motorcycle"), 0.0)
    inputs = network.processor(images=images[0], text="car. motorcycle.", return_tensors="pt")
    with torch.inference_mode():
        outputs = network.model(**inputs)
    (theirs,) = network.processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], threshold=0.0, target_sizes=[SIZE_PX[::-1]]
    )
    boxes_px = np.clip(theirs["boxes"].numpy(), 0, [*SIZE_PX, *SIZE_PX])
    assert len(found.boxes_px) == len(boxes_px) == 10
    np.testing.assert_allclose(found.boxes_px, boxes_px, atol=1e-3)
    assert (found.scores <= theirs["scores"].numpy() + 1e-6).all() and set(found.categories) <= {"car", "motorcycle"}


def test_a_model_that_cannot_be_had_is_told(tracker: str, images: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    footage = Footage("street", np.zeros(1), SIZE_PX)
    with pytest.raises(
        DataError, match=r"nobody/nothing: cannot be loaded .*; give a folder, or an id on the Hub"
    ) as told:
        find(footage, images.__getitem__, options("nobody/nothing", tracker))
    assert "\n" not in str(told.value)


def test_a_folder_that_holds_no_model_is_told(tracker: str, images: Array, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path}: cannot be loaded"):
        find(Footage("street", np.zeros(1), SIZE_PX), images.__getitem__, options(str(tmp_path), tracker))


def test_a_model_that_follows_nothing_is_told(detector: str, images: Array, tmp_path: Path) -> None:
    footage, sam3 = Footage("street", np.zeros(1), SIZE_PX), write_sam3(tmp_path / "sam3")
    with pytest.raises(DataError, match=f"{sam3}: follows no boxes; give a SAM2 or EdgeTAM video model"):
        find(footage, images.__getitem__, options(detector, sam3))
    with pytest.raises(DataError, match=f"{detector}: cannot be loaded"):
        find(footage, images.__getitem__, options(detector, detector))


def test_a_detector_of_another_kind_is_told(tracker: str, images: Array, tmp_path: Path) -> None:
    vision = OwlViTVisionConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32)
    text = OwlViTTextConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64)
    config = OwlViTConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    OwlViTForObjectDetection(config).save_pretrained(tmp_path)
    OwlViTImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(DataError, match=f"{tmp_path}: scores no words; give a Grounding DINO model"):
        find(Footage("street", np.zeros(1), SIZE_PX), images.__getitem__, options(str(tmp_path), tracker))


def test_loading_leaves_the_librarys_words_as_they_were(detector: str) -> None:
    before = logging.get_verbosity()
    load.cache_clear()
    load(detector, None, "AutoModelForZeroShotObjectDetection", half=False)
    assert logging.get_verbosity() == before

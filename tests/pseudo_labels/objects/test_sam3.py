"""SAM 3 in small, with random weights: what it finds means nothing, but it goes the whole way."""

import numpy as np
import pytest
import torch
from tests.pseudo_labels.objects.tiny_models import write_sam3

from stvlm.pseudo_labels.artefacts import Footage, ObjectTracks, decode_mask
from stvlm.pseudo_labels.objects.finishing import mask_and_box
from stvlm.pseudo_labels.objects.models import load
from stvlm.pseudo_labels.objects.sam3 import Options, apart, find
from stvlm.records import Array, DataError, Rejected

SIZE_PX = (80, 60)
FOOTAGE = Footage("street", np.arange(6) / 2, SIZE_PX)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sam3(tmp_path_factory.mktemp("models") / "sam3")


@pytest.fixture(scope="module")
def images() -> Array:
    return np.random.default_rng(0).integers(0, 256, (6, *SIZE_PX[::-1], 3), dtype=np.uint8)


def options(model: str) -> Options:
    return Options(model=model, phrases=("car", "person"), most_objects=4)


def at_once(model: str, images: Array) -> dict[int, list[list[float]]]:
    """Boxes in each frame by the library's own way: the whole video in a session, nothing forgotten."""
    network, processor, _ = load(model, None, "Sam3VideoModel", half=True, processor="Sam3VideoProcessor")
    network.max_num_objects = 4
    session = processor.init_video_session(video=list(images))
    processor.add_text_prompt(session, ["car", "person"])
    out = {}
    for output in network.propagate_in_video_iterator(session):
        found = processor.postprocess_outputs(session, output)
        clean = [mask_and_box(mask) for mask in apart(found["masks"].numpy(), found["scores"].numpy(), 0.5)]
        out[output.frame_idx] = sorted(it[1].tolist() for it in clean if it is not None)
    return out


def test_from_frames_to_tracks_as_with_the_whole_video_at_once(model: str, images: Array) -> None:
    reads: list[int] = []

    def read(k: int) -> Array:
        reads.append(k)
        return np.asarray(images[k])

    found = find(FOOTAGE, read, options(model))
    assert isinstance(found, ObjectTracks) and found.tracks
    assert reads == list(range(6)), "each frame is read once, in order"
    assert {track.category for track in found.tracks} <= {"car", "person"}
    assert [track.track_id for track in found.tracks] == [str(i + 1) for i in range(len(found.tracks))]
    for k, theirs in at_once(model, images).items():
        mine = [track.boxes_px[k].tolist() for track in found.tracks if not np.isnan(track.boxes_px[k, 0])]
        assert sorted(mine) == theirs
        masks = [track.masks[k] for track in found.tracks if track.masks is not None]
        shown = [decode_mask(mask, SIZE_PX) for mask in masks if mask is not None]
        assert np.sum(shown, axis=0).max(initial=0) <= 1, "a pixel is of one object"
    for track in found.tracks:
        assert ((track.score > 0) == ~np.isnan(track.boxes_px[:, 0])).all()


def test_where_nothing_is_sure_enough_there_is_no_object(
    model: str, images: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load(model, None, "Sam3VideoModel", half=True, processor="Sam3VideoProcessor").model
    monkeypatch.setattr(network, "score_threshold_detection", 1.1)
    assert find(FOOTAGE, images.__getitem__, options(model)) == Rejected("no object was found", "street")


def test_the_surer_one_takes_the_pixels_and_a_double_has_none() -> None:
    """Columns 0 to 3, surest; 2 to 7, a third of which is taken; 1 to 4, three quarters of which are."""
    masks = np.zeros((3, 2, 10), dtype=bool)
    masks[0, :, 2:8], masks[1, :, 0:4], masks[2, :, 1:5] = True, True, True
    first, second, third = apart(masks, np.array([0.7, 0.9, 0.8]), 0.5)
    assert np.flatnonzero(second[0]).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(first[0]).tolist() == [4, 5, 6, 7]
    assert not third.any()


def test_a_model_that_cannot_be_had_is_told(images: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match=r"nobody/nothing: cannot be loaded .*; give a folder, or an id on the Hub"
    ) as told:
        find(FOOTAGE, images.__getitem__, options("nobody/nothing"))
    assert "\n" not in str(told.value)


def test_options_that_make_no_sense_are_told() -> None:
    with pytest.raises(DataError, match="most_objects is at least 1"):
        Options(most_objects=0)
    with pytest.raises(DataError, match="phrases: 'walker' is of no known class"):
        Options(phrases=("walker",))

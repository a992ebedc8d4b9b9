"""Both ways of packing train as padding does: the same loss, and the same gradient of every weight, to 1e-5."""

import numpy as np
import pytest
from tests.training.media import load, loss_and_gradients, make_samples

from stvlm.evaluation.frames import FrameReader
from stvlm.records import DataError
from stvlm.training.collator import Collator
from stvlm.training.families import FAMILIES, family_of
from stvlm.training.packing import IGNORED, Conversation, as_batch, pack
from stvlm.training.plan import Group
from stvlm.training.samples import Asked, write_samples

QUESTIONS = [
    [Asked("The video lasts for 2.00 seconds. How far does red go?", "It goes 3.00 meters.")],
    [Asked("The video lasts for 2.00 seconds. Which is faster?", "The red one."), Asked("Sure?", "Yes.")],
    [Asked("The video lasts for 2.00 seconds. Where does it go?", "To 3 o'clock.")],
]


def conversation(ids, answer):
    """Ids with the last `answer` of them an answer."""
    is_answer = np.arange(len(ids)) >= len(ids) - answer
    return Conversation(np.array(ids), is_answer, np.arange(len(ids))[None])


def test_what_conversations_share_stands_once():
    packed = pack([conversation([1, 2, 3, 4, 5], 1), conversation([1, 2, 6, 7], 1)])
    assert packed.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 2, 3]]
    assert packed.segments.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert packed.labels.tolist() == [IGNORED] * 4 + [5, IGNORED, 7]


def test_an_answer_is_never_shared():
    packed = pack([conversation([1, 2, 3, 4], 2), conversation([1, 2, 3, 5], 2)])
    assert packed.ids.tolist() == [1, 2, 3, 4, 2, 3, 5]
    assert packed.labels.tolist() == [IGNORED, IGNORED, 3, 4, IGNORED, 3, 5]


def test_a_token_sees_what_is_shared_and_its_own():
    packed = pack([conversation([1, 2, 3], 1), conversation([1, 4, 5], 1)])
    [[mask]] = as_batch([packed], 0)["attention_mask"].int().tolist()
    assert mask == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 1, 1]]


def test_padded_and_padding_free():
    single = [pack([conversation(ids, 1)]) for ids in ([1, 2, 3], [4, 5])]
    padded = as_batch(single, 9)
    assert padded["input_ids"].tolist() == [[1, 2, 3], [4, 5, 9]]
    assert padded["position_ids"].tolist() == [[0, 1, 2], [0, 1, 0]]
    assert padded["attention_mask"].int().tolist() == [[1, 1, 1], [1, 1, 0]]
    assert padded["labels"].tolist() == [[IGNORED, IGNORED, 3], [IGNORED, 5, IGNORED]]
    free = as_batch(single, 9, padding_free=True)
    assert free.keys() == {"input_ids", "position_ids", "labels"}
    assert free["input_ids"].tolist() == [[1, 2, 3, 4, 5]]
    assert free["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert free["labels"].tolist() == [[IGNORED, IGNORED, 3, IGNORED, 5]]


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return load("llava_onevision", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Two videos and an image about which the same is asked: as one sample each, and as one a conversation."""
    folder = tmp_path_factory.mktemp("samples")
    first, second, _, image, *_ = make_samples(folder / "media")
    shown = [one._replace(conversations=QUESTIONS[i:]) for i, one in enumerate((first, second, image))]
    alone = [one._replace(conversations=[talk]) for one in shown for talk in one.conversations]
    return write_samples(shown, folder / "packed.arrow"), write_samples(alone, folder / "alone.arrow")


def batch_of(kind, processor, samples, **how):
    reader = FrameReader(processor.video_processor, resize=family_of(kind).resized)
    group = Group(tuple(range(len(samples))), 0)
    return Collator(processor, kind, reader, samples, **how)([group._asdict()])


def assert_equal_training(model, batch, padded):
    loss, gradients = loss_and_gradients(model, batch)
    expected_loss, expected = loss_and_gradients(model, padded)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        scale = max(1, float(expected[name].abs().max()))
        assert float((gradient - expected[name]).abs().max()) <= 1e-5 * scale, name


@pytest.mark.parametrize("kind", FAMILIES)
def test_packed_questions_train_as_each_alone(kind, tables, tmp_path):
    model, processor = load(kind, tmp_path)
    packed, alone = (batch_of(kind, processor, table) for table in tables)
    assert packed["attention_mask"].dim() == 4
    assert alone["attention_mask"].dim() == 2
    assert packed["input_ids"].numel() < 0.8 * alone["input_ids"].numel()
    assert_equal_training(model, packed, alone)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_free_trains_as_padding_does(llava, tables, attention):
    model, processor = llava
    model.set_attn_implementation(attention)
    padded, free = (batch_of("llava_onevision", processor, tables[1], padding_free=value) for value in (False, True))
    assert len(padded["input_ids"]) == 6
    assert free["input_ids"].shape == (1, int(padded["attention_mask"].sum()))
    assert_equal_training(model, free, padded)


def test_packed_questions_without_padding_train_as_each_alone(llava, tables):
    model, processor = llava
    model.set_attn_implementation("sdpa")
    free = batch_of("llava_onevision", processor, tables[0], padding_free=True)
    assert len(free["input_ids"]) == 1
    assert_equal_training(model, free, batch_of("llava_onevision", processor, tables[1]))


def test_padding_free_is_refused_where_positions_have_axes(tables, tmp_path):
    _, processor = load("qwen3_vl", tmp_path)
    with pytest.raises(DataError, match="padding_free: positions of qwen3_vl have 3 axes"):
        batch_of("qwen3_vl", processor, tables[0], padding_free=True)


def test_every_sequence_begins_with_a_token_that_carries_no_loss(llava, tables):
    """Or, without padding, the last token of one would be taught to foretell the next."""
    _, processor = llava
    batch = batch_of("llava_onevision", processor, tables[1], padding_free=True)
    assert (batch["labels"][batch["position_ids"] == 0] == IGNORED).all()

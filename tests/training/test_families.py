"""Each family of models is given what its own processor would give it, and sees what it is given."""

import pickle
from pathlib import Path

import pytest
import torch
import trl
from tests.training.media import TRAINING, load, loss_and_gradients, make_samples

from stvlm.evaluation.frames import FrameReader, as_metadata, decode
from stvlm.records import DataError
from stvlm.training.collator import Collator
from stvlm.training.drawing import read_image
from stvlm.training.families import FAMILIES, family_of
from stvlm.training.lengths import measure, too_long
from stvlm.training.packing import IGNORED, tokenize
from stvlm.training.plan import Group
from stvlm.training.samples import Asked, write_samples

VIDEO, LONGER, IMAGE, BROAD, TEXT = 1, 2, 3, 4, 5
"""Rows of the table; 0 and 1 are videos of 5 frames, 2 of 6."""


@pytest.fixture(scope="module", params=FAMILIES)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def loaded(kind, tmp_path_factory):
    return load(kind, tmp_path_factory.mktemp(kind))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    return write_samples(make_samples(folder / "media"), folder / "samples.arrow")


def collator_of(kind, processor, samples):
    reader = FrameReader(processor.video_processor, resize=family_of(kind).resized)
    return Collator(processor, kind, reader, samples)


def batch_of(kind, processor, samples, *indices):
    return collator_of(kind, processor, samples)([Group(indices, 0)._asdict()])


def as_the_processor_has_it(processor, sample):
    """What the model's own processor makes of a sample."""
    messages = []
    for turn in sample["conversations"][0]:
        messages.append({"role": "user", "content": [{"type": "text", "text": turn["prompt"]}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn["answer"]}]})
    media = {}
    if sample["medium"]:
        messages[0]["content"].insert(0, {"type": sample["medium"]})
    if sample["medium"] == "video":
        media["videos"] = [decode(Path(sample["path"]))]
        media["video_metadata"] = [as_metadata(sample["times_s"])]
        media["do_sample_frames"] = False
    elif sample["medium"] == "image":
        media["images"] = [read_image(Path(sample["path"]))]
    return processor(text=processor.apply_chat_template(messages), **media, return_tensors="pt")


@pytest.mark.parametrize("index", [0, VIDEO, LONGER, IMAGE, BROAD, TEXT])
def test_tokens_and_pixels_are_those_of_the_processor(kind, loaded, samples, index):
    _, processor = loaded
    expected = as_the_processor_has_it(processor, samples[index])
    batch = batch_of(kind, processor, samples, index)
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    pixels = {"pixel_values", "pixel_values_videos", "image_sizes", "image_grid_thw", "video_grid_thw"}
    assert pixels & batch.keys() == pixels & expected.keys()
    for name in pixels & batch.keys():
        assert torch.equal(batch[name], expected[name])


def test_times_before_pairs_of_frames_are_the_means_of_the_samples_own(samples, tmp_path):
    _, processor = load("qwen3_vl", tmp_path / "model")
    text = processor.tokenizer.decode(batch_of("qwen3_vl", processor, samples, 0)["input_ids"][0])
    assert [part.rpartition("<")[2] for part in text.split(" seconds>")[:-1]] == ["0.2", "1.2", "2.0"]
    later = [{**row, "times_s": [3.0, 4.0, 7.0, 9.0, 11.5]} for row in samples.select([0])]
    moved = samples.from_list(later, features=samples.features)
    text = processor.tokenizer.decode(batch_of("qwen3_vl", processor, moved, 0)["input_ids"][0])
    assert [part.rpartition("<")[2] for part in text.split(" seconds>")[:-1]] == ["3.5", "8.0", "11.5"]


def tower_of(model):
    return model.model.vision_tower if hasattr(model.model, "vision_tower") else model.model.visual


@pytest.mark.parametrize("index", [VIDEO, IMAGE])
def test_pixels_arrive_at_the_vision_tower(kind, loaded, samples, index):
    model, processor = loaded
    seen = []
    hook = tower_of(model).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(**batch_of(kind, processor, samples, index))
    hook.remove()
    expected = as_the_processor_has_it(processor, samples[index])
    expected = expected["pixel_values_videos" if index == VIDEO else "pixel_values"]
    assert len(seen) == 1
    assert torch.equal(seen[0], expected.flatten(0, 1) if kind == "llava_onevision" else expected)


@pytest.mark.parametrize("index", [VIDEO, IMAGE])
def test_loss_depends_on_what_is_seen(kind, loaded, samples, index):
    model, processor = loaded
    batch = batch_of(kind, processor, samples, index)
    name = "pixel_values_videos" if index == VIDEO else "pixel_values"
    assert abs(model(**batch).loss - model(**{**batch, name: -batch[name]}).loss) > 1e-4


def test_a_group_of_all_media_trains_as_each_of_its_samples_does(kind, loaded, samples):
    model, processor = loaded
    indices = (0, VIDEO, IMAGE, BROAD, TEXT, 6)
    loss, gradients = loss_and_gradients(model, batch_of(kind, processor, samples, *indices))
    parts = [loss_and_gradients(model, batch_of(kind, processor, samples, index)) for index in indices]
    assert loss == pytest.approx(sum(part for part, _ in parts), rel=1e-5)
    for name, gradient in gradients.items():
        expected = sum(of_one[name] for _, of_one in parts if name in of_one)
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5 * max(1, expected.abs().max()))


def test_texts_alone_train(kind, loaded, samples):
    model, processor = loaded
    batch = batch_of(kind, processor, samples, TEXT, 6)
    assert batch.keys() == {"input_ids", "position_ids", "labels", "attention_mask"}
    assert loss_and_gradients(model, batch)[0] > 0


def test_texts_with_a_blank_video_train_as_they_do_without(kind, loaded, samples):
    """And pass through the vision tower once, as each group of one medium does."""
    model, processor = loaded
    reader = FrameReader(processor.video_processor, resize=family_of(kind).resized)
    seeing = Collator(processor, kind, reader, samples, always_visual=True)
    calls = []
    hook = tower_of(model).register_forward_pre_hook(lambda *_: calls.append(1))
    for indices in ((0, VIDEO), (IMAGE, BROAD), (TEXT, 6)):
        batch = seeing([Group(indices, 0)._asdict()])
        loss, gradients = loss_and_gradients(model, batch)
        assert len(calls) == 1
        calls.clear()
    assert "pixel_values_videos" in batch
    hook.remove()
    expected_loss, expected = loss_and_gradients(model, batch_of(kind, processor, samples, TEXT, 6))
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected.get(name, torch.zeros_like(gradient)), rtol=1e-4, atol=1e-5)


def test_videos_of_unlike_lengths_pass_together_where_a_model_can(samples, tmp_path):
    model, processor = load("qwen3_vl", tmp_path / "model")
    loss, _ = loss_and_gradients(model, batch_of("qwen3_vl", processor, samples, VIDEO, LONGER))
    parts = [loss_and_gradients(model, batch_of("qwen3_vl", processor, samples, index))[0] for index in (VIDEO, LONGER)]
    assert loss == pytest.approx(sum(parts), rel=1e-5)


def test_positions_are_those_that_the_model_would_find(samples, tmp_path):
    model, processor = load("qwen3_vl", tmp_path / "model")
    batch = batch_of("qwen3_vl", processor, samples, LONGER, IMAGE, BROAD, TEXT)
    kinds = torch.tensor(processor.create_mm_token_type_ids(batch["input_ids"].tolist()))
    expected, _ = model.model.get_rope_index(
        batch["input_ids"], kinds, batch["image_grid_thw"], batch["video_grid_thw"], batch["attention_mask"]
    )
    assert torch.equal(batch["position_ids"], expected)


def test_every_answer_of_a_dialogue_carries_loss(kind, loaded, samples):
    _, processor = loaded
    batch = batch_of(kind, processor, samples, VIDEO)
    said = processor.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])
    assert said == "It goes 3.00 meters.<|im_end|>At 5.00 km/h.<|im_end|>"


def test_contents_that_are_plain_text_are_said_whole(kind, loaded):
    """As chat clients send them; an assistant's was left out without a word."""
    _, processor = loaded
    said = [("system", "Be brief."), ("user", "How far?"), ("assistant", "3 m."), ("user", "Sure?")]
    plain = [{"role": role, "content": text} for role, text in said]
    in_parts = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in said]
    found, expected = (
        processor.tokenizer.apply_chat_template(
            messages, chat_template=processor.chat_template, return_dict=True, return_assistant_tokens_mask=True
        )
        for messages in (plain, in_parts)
    )
    assert found["input_ids"] == expected["input_ids"]
    assert found["assistant_masks"] == expected["assistant_masks"]
    assert "3 m." in processor.tokenizer.decode(found["input_ids"])


def test_template_without_marks_is_refused(kind, loaded):
    _, processor = loaded
    marked = processor.chat_template
    try:
        for mark in ("{%- generation -%}", "{%- endgeneration -%}"):
            processor.chat_template = processor.chat_template.replace(mark, "")
        with pytest.raises(DataError, match=r"no {% generation %} marks around what the assistant says"):
            tokenize(processor, (Asked("unmarked", "no"),), "")
    finally:
        processor.chat_template = marked


def test_template_of_another_model_is_refused(samples, kind, loaded):
    _, processor = loaded
    own = processor.chat_template
    [other] = FAMILIES.keys() - {kind}
    try:
        processor.chat_template = (TRAINING / family_of(other).CHAT_TEMPLATE).read_text()
        with pytest.raises(DataError, match="0 placeholders of videos stand in a conversation with video to see"):
            tokenize(processor, (Asked("of another model", "yes"),), "video")
    finally:
        processor.chat_template = own
    with pytest.raises(DataError, match="1 placeholders of images stand in a conversation with nothing to see"):
        tokenize(processor, (Asked(f"{processor.image_token} What is it?", "Nothing."),), "")


def test_template_is_the_one_that_trl_knows_for_qwen3_vl(tmp_path):
    """But for a video, which TRL's marks twice: the processor writes the marks, and so does TRL's template."""
    _, processor = load("qwen3_vl", tmp_path / "model")
    trls = (Path(trl.__file__).parent / "chat_templates" / "qwen3_vl.jinja").read_text()
    for medium in ("image", None):
        shown = [{"type": medium}] if medium else []
        messages = [{"role": "user", "content": [*shown, {"type": "text", "text": "How far?"}]}]
        messages.append({"role": "assistant", "content": [{"type": "text", "text": "3 m."}]})
        messages.append({"role": "user", "content": [{"type": "text", "text": "Sure?"}]})
        for ends in (False, True):
            ours, theirs = (
                processor.tokenizer.apply_chat_template(
                    messages, chat_template=template, tokenize=False, add_generation_prompt=ends
                )
                for template in (processor.chat_template, trls)
            )
            assert ours == theirs


def test_lengths_are_those_of_the_batches(kind, loaded, samples):
    _, processor = loaded
    lengths = measure(samples, processor, kind)
    assert lengths.media.tolist() == ["video"] * 3 + ["image"] * 2 + [""] * 2
    assert lengths.frames.tolist() == [5, 5, 6, 0, 0, 0, 0]
    expected = [batch_of(kind, processor, samples, index)["input_ids"].shape[1] for index in range(7)]
    assert lengths.tokens.tolist() == expected
    assert (lengths.visual[:5] > 0).all() and lengths.visual[5:].tolist() == [0, 0]


def test_visual_tokens_are_never_cut_off(kind, loaded, samples):
    """Of 48 x 64 pixels: 2 x 2 tokens a frame and a newline; or 3 x 4 a pair of frames, their times and marks."""
    _, processor = loaded
    ids = batch_of(kind, processor, samples, 0)["input_ids"]
    seen = int((ids == processor.video_token_id).sum())
    assert seen == {"llava_onevision": 5 * 4 + 1, "qwen3_vl": 3 * 12}[kind]
    video = samples.select([0])
    times = sum(len(processor.tokenizer(f"<{t} seconds>").input_ids) for t in ("0.2", "1.2", "2.0"))
    whole = seen if kind == "llava_onevision" else seen + times + 3 * 2
    with pytest.raises(
        DataError, match=f"sample v0 of own: its video has {whole} tokens, and max_length is {whole - 1};"
    ):
        measure(video, processor, kind, whole - 1)
    lengths = measure(video, processor, kind, whole)
    assert too_long(lengths, whole).all()
    assert not too_long(lengths, ids.shape[1]).any()
    assert not too_long(lengths, None).any()


def test_collator_goes_to_another_process(kind, loaded, samples):
    _, processor = loaded
    sent = pickle.loads(pickle.dumps(collator_of(kind, processor, samples)))
    groups = [Group((VIDEO, IMAGE, TEXT), 0)._asdict()]
    expected, found = collator_of(kind, processor, samples)(groups), sent(groups)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_media_that_cannot_be_read_are_named(kind, loaded, samples, tmp_path):
    _, processor = loaded
    (tmp_path / "torn.png").write_bytes(b"half")
    torn = samples.from_list(
        [{**samples[IMAGE], "path": str(tmp_path / "torn.png")}, {**samples[VIDEO], "path": str(tmp_path / "no.mp4")}],
        features=samples.features,
    )
    with pytest.raises(DataError, match=r"torn\.png: cannot be read as an image"):
        batch_of(kind, processor, torn, 0)
    with pytest.raises(DataError, match=r"no\.mp4: cannot be decoded"):
        batch_of(kind, processor, torn, 1)
    with pytest.raises(DataError, match=r"torn\.png: cannot be opened"):
        measure(torn.select([0]), processor, kind)


def test_other_models_are_refused():
    with pytest.raises(
        DataError, match="models of type 'gpt2' cannot be trained; take one of llava_onevision, qwen3_vl"
    ):
        family_of("gpt2")

"""What the model is given: the clip's own pixels, and loss on the answers alone."""

import random
import re
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest
import torch
from tests.training.tiny_dataset import write_dataset
from torch.utils.data import DataLoader

from stvlm.evaluation.chat import as_messages
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.frames import FrameReader, decode
from stvlm.records import COLORS_RGB
from stvlm.training.augment import Drawn, exchange_colors
from stvlm.training.collator import Collator
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.packing import IGNORED
from stvlm.training.plan import Group
from stvlm.training.recipe import NewModel
from stvlm.training.samples import Asked, of_rows, write_samples

TEMPLATE = (Path(__file__).parents[2] / "training" / "chat_template.jinja").read_text()
SIZES = NewModel(
    image_size_px=32, patch_size_px=8, hidden_size=16, heads=2, vision_layers=1, language_layers=2, vocabulary=500
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return load_split(str(write_dataset(tmp_path_factory.mktemp("data") / "tiny")), "train").rows


@pytest.fixture(scope="module")
def processor(rows):
    texts = [text for row in rows for text in (row["prompt"], row["answer"])]
    return make_processor(SIZES, train_tokenizer(texts, SIZES.vocabulary), TEMPLATE)


@pytest.fixture(scope="module")
def model(processor):
    torch.manual_seed(0)
    return make_model(SIZES, processor).eval()


@pytest.fixture(scope="module")
def packed(rows, tmp_path_factory):
    """A sample a clip."""
    return write_samples(of_rows(rows, pack_questions=True), tmp_path_factory.mktemp("packed") / "samples.arrow")


@pytest.fixture(scope="module")
def alone(rows, tmp_path_factory):
    """A sample a question."""
    return write_samples(of_rows(rows, pack_questions=False), tmp_path_factory.mktemp("alone") / "samples.arrow")


def collator_of(processor, samples, augment=False):
    reader = FrameReader(processor.video_processor)
    return Collator(processor, "llava_onevision", reader, samples, augment=augment)


def group(*samples, seed=0):
    return [Group(samples, seed)._asdict()]


def answers_in(processor, batch):
    return processor.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])


def test_pixels_reach_the_model_and_are_the_processors(packed, processor, model):
    seen = []
    hook = model.model.vision_tower.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(args[0] if args else kwargs["pixel_values"]), with_kwargs=True
    )
    model(**collator_of(processor, packed)(group(0, 2)))
    hook.remove()
    videos = [decode(Path(packed[index]["path"])) for index in (0, 2)]
    expected = processor.video_processor(videos=videos, return_tensors="pt")["pixel_values_videos"]
    assert expected.shape == (2, 5, 3, 32, 32)
    assert torch.equal(seen[0], expected.flatten(0, 1))


def test_cached_frames_are_the_same_and_decoded_once(rows, processor, tmp_path, monkeypatch):
    path = Path(rows[0]["video_path"])
    reader = FrameReader(processor.video_processor, tmp_path)
    first = reader(path)
    assert torch.equal(first, FrameReader(processor.video_processor)(path))
    monkeypatch.setattr("stvlm.evaluation.frames.decode", lambda path: pytest.fail("decoded again"))
    assert torch.equal(reader(path), first)


def test_loss_depends_on_the_video(packed, processor, model):
    batch = collator_of(processor, packed)(group(0))
    other = {**batch, "pixel_values_videos": batch["pixel_values_videos"].flip(-1)}
    assert abs(model(**batch).loss - model(**other).loss) > 1e-4


def test_only_answers_carry_loss(rows, packed, alone, processor):
    of_clip = [f"{row['answer']}<|im_end|>" for row in rows[:4]]
    assert answers_in(processor, collator_of(processor, packed)(group(0))) == "".join(of_clip)
    assert answers_in(processor, collator_of(processor, alone)(group(3))) == of_clip[3]


def test_tokens_are_those_of_the_processor(rows, alone, processor):
    """Placeholders put in by the collator leave what the processor makes of the whole conversation."""
    messages = as_messages(rows[0]["prompt"], rows[0]["answer"])
    messages[0]["content"][0] |= {"path": rows[0]["video_path"]}
    expected = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt")
    batch = collator_of(processor, alone)(group(0))
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["pixel_values_videos"], expected["pixel_values_videos"])


def test_exchanged_colors_agree_in_image_and_words():
    """A box drawn in red is in the channel of whatever colour the words then say, and nowhere else."""
    frames = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    frames[:, 0, 1] = 255  # red
    frames[:, 2, 3] = 255  # blue
    seen = set()
    for seed in range(40):
        drawn = Drawn(frames, [Asked("red, not blue?", "The red one.")])
        changed, [asked] = exchange_colors(drawn, random.Random(seed))
        first, second = re.findall("red|blue|green", asked.prompt)
        seen.add((first, second))
        assert asked.answer == f"The {first} one."
        for color, row in ((first, 1), (second, 3)):
            channel = COLORS_RGB[color].index(255)
            assert (changed[:, channel, row] == 255).all()
            assert changed[:, channel].sum() == 2 * 4 * 255
    assert seen == set(permutations(COLORS_RGB, 2))


def test_mirrored_clips_are_not_asked_for_hours(rows, packed, processor, tmp_path):
    """Half of the time the clip is mirrored, and what depends on left and right is left out."""
    hour = rows[0] | {"task": "movement_direction", "answer": "It moves to 3 o'clock."}
    samples = write_samples(of_rows([hour, rows[0]], pack_questions=True), tmp_path / "samples.arrow")
    collator = collator_of(processor, samples, augment=True)
    given = processor.video_processor
    mean, std = (torch.tensor(values)[:, None, None] for values in (given.image_mean, given.image_std))

    def grey(batch):  # whatever the colours
        return (batch["pixel_values_videos"] * std + mean).sum(2)

    plain = grey(collator_of(processor, packed)(group(0)))
    said = Counter()
    for seed in range(30):
        batch = collator(group(0, seed=seed))
        hours = "o'clock" in answers_in(processor, batch)
        assert torch.allclose(grey(batch), plain if hours else plain.flip(-1), atol=1e-4)
        said[hours] += 1
    assert min(said[True], said[False]) > 5


def test_frames_that_a_sample_names_are_shown(packed, processor, tmp_path):
    row = {**packed[0], "frame_indices": [0, 2, 4], "times_s": [0.0, 1.0, 2.0]}
    some = collator_of(processor, packed.from_list([row], features=packed.features))(group(0))
    every = collator_of(processor, packed)(group(0))
    assert torch.equal(some["pixel_values_videos"], every["pixel_values_videos"][:, ::2])
    reader = FrameReader(processor.video_processor, tmp_path)
    path = Path(row["path"])
    assert torch.equal(reader(path, [0, 2, 4]), reader(path)[::2])


def test_group_that_only_fills_up_carries_no_loss(packed, processor, model):
    [filling] = group(0)
    batch = collator_of(processor, packed)([filling | {"counts": False}])
    assert (batch["labels"] == IGNORED).all()
    assert torch.equal(batch["input_ids"], collator_of(processor, packed)(group(0))["input_ids"])


def test_batches_are_the_same_with_any_number_of_workers(packed, processor):
    groups = [Group((0, 2), seed)._asdict() for seed in range(4)]
    collator = collator_of(processor, packed, augment=True)
    alone, helped = (list(DataLoader(groups, collate_fn=collator, num_workers=workers)) for workers in (0, 2))
    for first, second in zip(alone, helped, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

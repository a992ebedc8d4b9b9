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
from stvlm.questions.templates import wordings
from stvlm.records import COLORS_RGB
from stvlm.scoring import parse_answer
from stvlm.training.augment import Drawn, exchange_colors, shift
from stvlm.training.collator import Collator
from stvlm.training.grounding import clear_winners, compared_in_the_image, moves_farther
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.packing import IGNORED
from stvlm.training.plan import Group
from stvlm.training.recipe import NewModel
from stvlm.training.samples import Asked, of_rows, write_samples

TEMPLATE = (Path(__file__).parents[2] / "training" / "chat_template.jinja").read_text()
ALL_TEMPLATES = {wording.template_id for of_task in wordings().values() for wording in of_task}
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


def collator_of(processor, samples, comparisons=0, augment=False):
    reader = FrameReader(processor.video_processor)
    return Collator(processor, "llava_onevision", reader, samples, augment=augment, comparisons_per_clip=comparisons)


def group(*samples, stage="questions", seed=0):
    return [Group(stage, samples, seed)._asdict()]


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


def test_grounding_asks_about_the_boxes_in_the_rows(packed, processor):
    collator = collator_of(processor, packed, comparisons=2)
    batch = collator(group(0, stage="frames"))
    assert batch["pixel_values_videos"].shape == (1, 1, 3, 32, 32)
    # The first clip's boxes end at heights 22 and 47 of 64 pixels: tenths 3 and 7.
    assert [answer[-1] for answer in answers_in(processor, batch).split("<|im_end|>")[:2]] == ["3", "7"]
    batch = collator(group(0, 2, stage="plain"))
    assert batch["pixel_values_videos"].shape == (2, 5, 3, 32, 32)
    assert answers_in(processor, batch) == 4 * "The object in the red bounding box.<|im_end|>"


def test_grounding_compares_ways_in_the_image_in_the_datasets_wordings(rows):
    """Red moves 6 pixels a frame and blue 2: whoever is asked for, the answer says so."""
    asked = compared_in_the_image(rows[0]["objects"], 200, random.Random(0), ALL_TEMPLATES)
    assert len({question for question, _ in asked}) > 20
    for question, answer in asked:
        assert "in the image" in question or "In the image" in question
        named = [color for color in question.split() if color in ("red", "blue")]
        parsed = parse_answer("traveled_distance_comparison", answer, named or ["red", "blue"], question)
        asks_for_less = any(word in question for word in ("least", "less", "short", "small", "slow", "low"))
        assert parsed.value == ("blue" if asks_for_less else "red"), (question, answer)


def test_grounding_keeps_to_the_wordings_of_the_dataset(rows):
    asked = compared_in_the_image(rows[0]["objects"], 50, random.Random(0), {"traveling_speed_comparison/1"})
    assert {question for question, _ in asked} == {"Which object moves the fastest in the image?"}


def test_grounding_leaves_out_what_is_close(rows):
    def moving(**step_px):
        boxes = {color: [[i * step, 0, i * step + 9, 9] for i in range(5)] for color, step in step_px.items()}
        return [{"color": color, "boxes_px": of_object} for color, of_object in boxes.items()]

    assert clear_winners(moving(red=10)) == {}
    assert clear_winners(moving(red=10, blue=9)) == {}
    assert clear_winners(moving(red=10, blue=5)) == {"most": "red", "least": "blue"}
    assert clear_winners(moving(red=10, blue=9, green=4)) == {"least": "green"}
    assert clear_winners(moving(red=0, blue=0)) == {}
    assert compared_in_the_image(moving(red=10, blue=9), 3, random.Random(0), ALL_TEMPLATES) == []
    assert moves_farther(moving(red=10, blue=9), 3, random.Random(0)) == []


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


def test_shifted_boxes_stay_in_the_image():
    image = torch.zeros(1, 3, 40, 80, dtype=torch.uint8)
    image[..., 10:20, 60:76] = 255
    objects = [{"color": "red", "boxes_px": [[120.0, 20.0, 152.0, 40.0], None]}]  # in an image of twice the size
    places = set()
    for seed in range(60):
        moved = shift(image, objects, (160, 80), random.Random(seed))
        rows, columns = (moved[0, 0] > 0).nonzero().T
        assert (rows.max() - rows.min(), columns.max() - columns.min()) == (9, 15)
        places.add((int(rows.min()), int(columns.min())))
    assert min(y for y, _ in places) >= 0 and max(y for y, _ in places) <= 20  # 10 up to the border, 10 down: a quarter
    assert min(x for _, x in places) == 40 and max(x for _, x in places) <= 64
    assert len(places) > 40


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


def test_group_that_only_fills_up_carries_no_loss(packed, processor, model):
    [filling] = group(0)
    batch = collator_of(processor, packed)([filling | {"counts": False}])
    assert (batch["labels"] == IGNORED).all()
    assert torch.equal(batch["input_ids"], collator_of(processor, packed)(group(0))["input_ids"])


def test_batches_are_the_same_with_any_number_of_workers(packed, processor):
    stages = ("questions", "plain", "motion", "frames")
    groups = [Group(stage, (0, 2), seed)._asdict() for stage in stages for seed in (1, 2)]
    collator = collator_of(processor, packed, comparisons=2, augment=True)
    alone, helped = (list(DataLoader(groups, collate_fn=collator, num_workers=workers)) for workers in (0, 2))
    for first, second in zip(alone, helped, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

"""What the model is given: the clip's own pixels, and loss on the answers alone."""

import dataclasses
import random
import re
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest
import torch
from tests.training.tiny_dataset import write_dataset

from stvlm.evaluation.chat import as_messages
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.frames import FrameReader, decode
from stvlm.questions.templates import wordings
from stvlm.records import COLORS_RGB
from stvlm.scoring import parse_answer
from stvlm.training.augment import Asked, Drawn, exchange_colors, shift
from stvlm.training.collator import VideoCollator
from stvlm.training.grounding import clear_winners, compared_in_the_image, moves_farther
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.packing import IGNORED
from stvlm.training.plan import Group, Item, make_items, make_plan
from stvlm.training.recipe import Grounding, NewModel, SFTRecipe

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


def collator_of(processor, items, comparisons=0, folder=None, augment=False):
    return VideoCollator(
        processor,
        FrameReader(processor.video_processor, folder),
        items,
        augment=augment,
        comparisons_per_clip=comparisons,
    )


def group(*items, stage="questions"):
    return [Group(stage, items, 0)._asdict()]


def test_pixels_reach_the_model_and_are_the_processors(rows, processor, model):
    items = make_items(rows, together=True)
    seen = []
    hook = model.model.vision_tower.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(args[0] if args else kwargs["pixel_values"]), with_kwargs=True
    )
    model(**collator_of(processor, items)(group(0, 2)))
    hook.remove()
    videos = [decode(Path(items[index].clip["video_path"])) for index in (0, 2)]
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


def test_loss_depends_on_the_video(rows, processor, model):
    batch = collator_of(processor, make_items(rows, together=True))(group(0))
    other = {**batch, "pixel_values_videos": batch["pixel_values_videos"].flip(-1)}
    assert abs(model(**batch).loss - model(**other).loss) > 1e-4


@pytest.mark.parametrize("together", [True, False])
def test_only_answers_carry_loss(rows, processor, together):
    items = make_items(rows, together)
    batch = collator_of(processor, items)(group(0))
    texts = processor.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])
    assert texts == "".join(f"{row['answer']}<|im_end|>" for row in items[0].rows)


def test_tokens_are_those_of_the_processor(rows, processor):
    """Placeholders put in by the collator leave what the processor makes of the whole conversation."""
    row = rows[0]
    messages = as_messages(row["prompt"], row["answer"])
    messages[0]["content"][0] |= {"path": row["video_path"]}
    expected = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt")
    batch = collator_of(processor, make_items(rows, together=False))(group(0))
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["pixel_values_videos"], expected["pixel_values_videos"])


def test_packed_loss_is_the_loss_of_each_alone(rows, processor, model):
    together, alone = make_items(rows, True), make_items(rows, False)
    packed = collator_of(processor, together)(group(0, 2))
    assert packed["attention_mask"].dim() == 4
    of_two_clips = [i for i, item in enumerate(alone) if item.clip["clip_id"] in ("train0", "train2")]
    single = collator_of(processor, alone)(group(*of_two_clips))
    assert single["attention_mask"].dim() == 2
    assert packed["input_ids"].numel() < 0.6 * single["input_ids"].numel()
    assert torch.allclose(model(**packed).loss, model(**single).loss, atol=1e-5)


def test_grounding_asks_about_the_boxes_in_the_rows(rows, processor):
    items = make_items(rows, together=True)
    collator = collator_of(processor, items, comparisons=2)
    batch = collator(group(0, stage="frames"))
    assert batch["pixel_values_videos"].shape == (1, 1, 3, 32, 32)
    # The first clip's boxes end at heights 22 and 47 of 64 pixels: tenths 3 and 7.
    answers = processor.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED]).split("<|im_end|>")
    assert [answer[-1] for answer in answers[:2]] == ["3", "7"]
    batch = collator(group(0, 2, stage="plain"))
    assert batch["pixel_values_videos"].shape == (2, 5, 3, 32, 32)
    answers = processor.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])
    assert answers == 4 * "The object in the red bounding box.<|im_end|>"


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


def test_mirrored_clips_are_not_asked_for_hours(rows, processor):
    """Half of the time the clip is mirrored, and what depends on left and right is left out."""
    hour = rows[0] | {"task": "movement_direction", "answer": "It moves to 3 o'clock."}
    collator = collator_of(processor, [Item((hour, rows[0]))], augment=True)
    given = processor.video_processor
    mean, std = (torch.tensor(values)[:, None, None] for values in (given.image_mean, given.image_std))

    def grey(batch):  # whatever the colours
        return (batch["pixel_values_videos"] * std + mean).sum(2)

    plain = grey(collator_of(processor, [Item((hour, rows[0]))])(group(0)))
    said = Counter()
    for seed in range(30):
        batch = collator([Group("questions", (0,), seed)._asdict()])
        hours = "o'clock" in processor.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])
        assert torch.allclose(grey(batch), plain if hours else plain.flip(-1), atol=1e-4)
        said[hours] += 1
    assert min(said[True], said[False]) > 5


def test_plan_shows_every_clip_once_an_epoch_in_groups_of_one_length(rows):
    items = make_items(rows, together=True)
    recipe = SFTRecipe(
        dataset="", output_dir="", epochs=3, batch_size=4, batch_size_per_device=2, pack_questions=True,
        grounding=Grounding(frame_steps=5, frames_per_step=8, motion_steps=4, comparisons_per_clip=1),
    )  # fmt: skip
    plan = make_plan(items, recipe, groups_per_step=2)
    stages = Counter(g.stage for g in plan)
    assert stages.pop("plain") + stages.pop("motion") == 8
    assert stages == {"frames": 10, "questions": 6}
    for g in plan:
        if g.stage != "frames":
            assert len({len(items[index].clip["frame_times_s"]) for index in g.items}) == 1
    shown = [index for g in plan if g.stage == "questions" for index in g.items]
    assert sorted(shown) == sorted(3 * list(range(4)))
    assert plan == make_plan(items, recipe, 2) != make_plan(items, dataclasses.replace(recipe, seed=1), 2)


def test_video_that_is_not_the_rows_clip_is_refused(rows, processor):
    wrong = {**rows[0], "frame_times_s": [0.0, 0.5]}
    with pytest.raises(Exception, match="has 5 frames, its row says 2"):
        collator_of(processor, [Item((wrong,))])(group(0))

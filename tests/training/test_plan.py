"""The order of a run: every sample as often as the recipe says, in groups that fit."""

import dataclasses

import numpy as np
import pytest
from tests.training.tiny_dataset import write_dataset

from stvlm.evaluation.dataset import load_split
from stvlm.records import DataError
from stvlm.training.lengths import Lengths
from stvlm.training.plan import SHORT, STRETCH, Group, fill_up, make_plan
from stvlm.training.recipe import SFTRecipe
from stvlm.training.samples import Asked, Sample, of_rows, write_samples

RECIPE = SFTRecipe(dataset="", output_dir="", epochs=3, batch_size=4, batch_size_per_device=2, pack_questions=True)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Four clips of 5 and 6 frames in turn."""
    folder = tmp_path_factory.mktemp("data")
    rows = load_split(str(write_dataset(folder / "tiny")), "train").rows
    return write_samples(of_rows(rows, pack_questions=True), folder / "samples.arrow")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    samples = (Sample(str(i), "chat", "", "", (), (), [[Asked("Hi.", "Hello.")]]) for i in range(300))
    return write_samples(samples, tmp_path_factory.mktemp("texts") / "samples.arrow")


def lengths_of(media, frames, tokens):
    none = np.zeros(len(media), dtype=int)
    return Lengths(np.array(media), np.array(frames), np.array(tokens), visual=none, positions=none)


CLIPS = lengths_of(["video"] * 4, [5, 6, 5, 6], [90, 100, 90, 100])


def test_every_clip_is_shown_once_an_epoch_in_groups_of_one_length(clips):
    plan = make_plan(clips, CLIPS, RECIPE, groups_per_step=2)
    assert len(plan) == 6
    for group in plan:
        assert len({CLIPS.frames[index] for index in group.samples}) == 1
    assert sorted(index for group in plan for index in group.samples) == sorted(3 * list(range(4)))
    assert plan == make_plan(clips, CLIPS, RECIPE, 2) != make_plan(clips, CLIPS, dataclasses.replace(RECIPE, seed=1), 2)


def test_groups_hold_one_medium_of_like_frames_and_lengths(texts):
    """Of three media, two frame counts and lengths from 100 to 9000, in fours."""
    rng = np.random.default_rng(0)
    media = rng.choice(["video", "image", ""], 300)
    frames = np.where(media == "video", rng.choice([8, 16], 300), 0)
    lengths = lengths_of(media, frames, rng.integers(100, 9000, 300))
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size_per_device=4)
    plan = make_plan(texts, lengths, recipe, groups_per_step=1)
    assert sorted(index for group in plan for index in group.samples) == list(range(300))
    like = 0
    for group in plan:
        assert len(set(media[list(group.samples)])) == len(set(frames[list(group.samples)])) == 1
        tokens = lengths.tokens[list(group.samples)]
        like += tokens.max() <= max(SHORT, STRETCH * tokens.min())
        assert len(group.samples) <= 4
    assert sum(len(group.samples) < 4 for group in plan) <= 4  # the last of each medium and frame count
    assert like >= 0.8 * len(plan)  # but for what is left at the end


def test_a_step_begins_with_what_costs_most_and_holds_what_it_held(texts):
    tokens = np.tile([300, 5000, 1200], 100)
    lengths = lengths_of([""] * 300, [0] * 300, tokens)
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size_per_device=2)
    plan = make_plan(texts, lengths, recipe, groups_per_step=4)
    one_each = make_plan(texts, lengths, recipe, groups_per_step=1)
    for start in range(0, len(plan), 4):
        costs = [tokens[list(group.samples)].max() for group in plan[start : start + 4]]
        assert costs == sorted(costs, reverse=True)
        assert sorted(plan[start : start + 4]) == sorted(one_each[start : start + 4])


def test_too_long_texts_are_left_out(texts):
    lengths = lengths_of([""] * 300, [0] * 300, [10] * 299 + [400])
    recipe = dataclasses.replace(RECIPE, epochs=1, max_length=399)
    assert 299 not in {index for group in make_plan(texts, lengths, recipe, 1) for index in group.samples}
    recipe = dataclasses.replace(RECIPE, epochs=1, max_length=400)
    assert 299 in {index for group in make_plan(texts, lengths, recipe, 1) for index in group.samples}
    with pytest.raises(DataError, match="max_length: all samples are longer than 9 tokens"):
        make_plan(texts, lengths, dataclasses.replace(RECIPE, max_length=9), 1)


def test_devices_get_equally_many_groups_and_what_fills_up_does_not_count():
    plan = [Group((index,), index) for index in range(5)]
    filled = fill_up(plan, 4)
    assert filled[:5] == plan
    assert filled[5:] == [Group((4,), 4, counts=False)] * 3
    assert fill_up(plan, 5) == fill_up(plan, 1) == plan
    with pytest.raises(DataError, match="6 devices are more than the 5 groups of samples"):
        fill_up(plan, 6)

"""The order in which a run sees its samples: all of it follows from their table, the recipe and the seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np
from datasets import Dataset

from stvlm.records import DataError
from stvlm.training.grounding import clear_winners
from stvlm.training.lengths import Lengths, too_long
from stvlm.training.recipe import SFTRecipe

FRAMES_END = 0.15
"""Single frames are shown from a run's start to here."""
PLAIN_END = 0.6
"""From there to here motion is compared in one plain wording; beside that, and on to the end, in the dataset's own."""
PLAIN_SHARE = 0.4
"""Of the comparisons of motion: how many are plain."""
SHORT = 1024
"""Sequences of up to so many tokens may share a group, whatever their lengths: padding them costs little."""
STRETCH = 1.25
"""Of longer ones the longest of a group has less than this many times the tokens of the shortest."""

Stage = Literal["frames", "plain", "motion", "questions"]
Bucket = tuple[str, int, int]
"""Medium, frames, and a class of lengths."""


class Group(NamedTuple):
    """Samples that pass through a device at once."""

    stage: Stage
    samples: tuple[int, ...]
    seed: int
    """Of what is drawn when the batch is made."""
    counts: bool = True
    """Whether its answers carry loss; those of a group that only fills up a step do not."""


def make_plan(samples: Dataset, lengths: Lengths, recipe: SFTRecipe, groups_per_step: int) -> list[Group]:
    """Every group of the run, in order, the same for any number of devices. Raises DataError where there is none.

    A group has samples of one medium, with equally many frames and of like lengths. With grounding, what is easier
    comes earlier, but never alone: a model that meets new words all at once forgets what it learned.
    """
    rng = random.Random(recipe.seed)
    fitting = [int(index) for index in np.flatnonzero(~too_long(lengths, recipe.max_length))]
    if not fitting:
        raise DataError(f"max_length: all samples are longer than {recipe.max_length} tokens; raise it")
    buckets = _buckets(lengths)
    size = recipe.batch_size_per_device
    plan = list(_by_bucket("questions", buckets, fitting, size, recipe.epochs, rng))
    if recipe.grounding is not None:
        boxed = {index: objects for index in fitting if (objects := samples[index]["objects"])}
        plan = _grounded(plan, boxed, buckets, recipe, groups_per_step, rng)
    return _balanced(plan, lengths, groups_per_step)


def fill_up(plan: Sequence[Group], devices: int) -> list[Group]:
    """The plan with as many groups more as give every device equally many: copies of the last, which carry no loss.

    Raises DataError where there are more devices than groups.
    """
    if len(plan) < devices:
        raise DataError(
            f"{devices} devices are more than the {len(plan)} groups of samples there are; use fewer, or a smaller "
            "batch_size_per_device"
        )
    return [*plan, *[plan[-1]._replace(counts=False)] * (-len(plan) % devices)]


def _buckets(lengths: Lengths) -> list[Bucket]:
    stretched = np.log(np.maximum(lengths.tokens, SHORT) / SHORT) / np.log(STRETCH)
    classes = np.where(lengths.tokens <= SHORT, 0, 1 + np.floor(stretched)).astype(int)
    return list(zip(lengths.media.tolist(), lengths.frames.tolist(), classes.tolist(), strict=True))


def _grounded(
    plan: Sequence[Group],
    boxed: Mapping[int, Sequence[Mapping[str, object]]],
    buckets: Sequence[Bucket],
    recipe: SFTRecipe,
    groups_per_step: int,
    rng: random.Random,
) -> list[Group]:
    """The plan among groups that only ask where boxes are; `boxed` are the objects of the samples that have some."""
    assert recipe.grounding is not None  # the caller has seen to it
    indices, size = list(boxed), recipe.grounding.frames_per_step
    frames = [
        Group("frames", tuple(rng.choices(indices, k=size)), rng.getrandbits(32))
        for _ in range(recipe.grounding.frame_steps * groups_per_step)
    ]
    compared = [index for index, objects in boxed.items() if clear_winners(objects)]
    wanted = recipe.grounding.motion_steps * groups_per_step if compared else 0
    motion = list(islice(_by_bucket("motion", buckets, compared, recipe.batch_size_per_device, wanted, rng), wanted))
    placed = [(rng.uniform(0, FRAMES_END), group) for group in frames]
    for group in motion:
        if rng.random() < PLAIN_SHARE:
            placed.append((rng.uniform(FRAMES_END, PLAIN_END), group._replace(stage="plain")))
        else:
            placed.append((rng.uniform(FRAMES_END, 1), group))
    placed += [(rng.random() ** 0.5, group) for group in plan]
    return [group for _, group in sorted(placed, key=itemgetter(0))]


def _by_bucket(
    stage: Stage, buckets: Sequence[Bucket], indices: Sequence[int], size: int, epochs: int, rng: random.Random
) -> Iterator[Group]:
    """Groups of `size` samples of one bucket. What fills none waits for the next epoch, and joins what is left of like
    buckets at the end.
    """
    waiting: dict[Bucket, list[int]] = defaultdict(list)
    for _ in range(epochs):
        full = []
        for index in rng.sample(indices, len(indices)):
            same = waiting[buckets[index]]
            same.append(index)
            if len(same) == size:
                full.append(tuple(same))
                same.clear()
        rng.shuffle(full)
        for group in full:
            yield Group(stage, group, rng.getrandbits(32))
    left: dict[tuple[str, int], list[int]] = defaultdict(list)
    for bucket in waiting:
        left[bucket[:2]] += []  # in the order in which they came up
    for bucket in sorted(waiting, key=itemgetter(2)):
        left[bucket[:2]] += waiting[bucket]
    for rest in left.values():
        for start in range(0, len(rest), size):
            yield Group(stage, tuple(rest[start : start + size]), rng.getrandbits(32))


def _balanced(plan: Sequence[Group], lengths: Lengths, groups_per_step: int) -> list[Group]:
    """Within each step what costs most first: devices, which take a step's groups in turn, then wait the least."""

    def cost(group: Group) -> int:
        return int(lengths.tokens[list(group.samples)].max()) * len(group.samples)

    steps = (plan[start : start + groups_per_step] for start in range(0, len(plan), groups_per_step))
    return [group for step in steps for group in sorted(step, key=cost, reverse=True)]

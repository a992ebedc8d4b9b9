"""The order in which a run sees its samples: all of it follows from their table, the recipe and the seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from datasets import Dataset

from stvlm.records import DataError
from stvlm.training.lengths import Lengths, too_long
from stvlm.training.recipe import SFTRecipe

SHORT = 1024
"""Sequences of up to so many tokens may share a group, whatever their lengths: padding them costs little."""
STRETCH = 1.25
"""Of longer ones the longest of a group has less than this many times the tokens of the shortest."""

Bucket = tuple[str, int, int]
"""Medium, frames, and a class of lengths."""


class Group(NamedTuple):
    """Samples that pass through a device at once."""

    samples: tuple[int, ...]
    seed: int
    """Of what is drawn when the batch is made."""
    counts: bool = True
    """Whether its answers carry loss; those of a group that only fills up a step do not."""


def make_plan(samples: Dataset, lengths: Lengths, recipe: SFTRecipe, groups_per_step: int) -> list[Group]:
    """Every group of the run, in order, the same for any number of devices. Raises DataError where there is none.

    A group has samples of one medium, with equally many frames and of like lengths.
    """
    rng = random.Random(recipe.seed)
    fitting = [int(index) for index in np.flatnonzero(~too_long(lengths, recipe.max_length))]
    if not fitting:
        raise DataError(f"max_length: all samples are longer than {recipe.max_length} tokens; raise it")
    plan = list(_by_bucket(_buckets(lengths), fitting, recipe.batch_size_per_device, recipe.epochs, rng))
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


def _by_bucket(
    buckets: Sequence[Bucket], indices: Sequence[int], size: int, epochs: int, rng: random.Random
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
            yield Group(group, rng.getrandbits(32))
    left: dict[tuple[str, int], list[int]] = defaultdict(list)
    for bucket in waiting:
        left[bucket[:2]] += []  # in the order in which they came up
    for bucket in sorted(waiting, key=itemgetter(2)):
        left[bucket[:2]] += waiting[bucket]
    for rest in left.values():
        for start in range(0, len(rest), size):
            yield Group(tuple(rest[start : start + size]), rng.getrandbits(32))


def _balanced(plan: Sequence[Group], lengths: Lengths, groups_per_step: int) -> list[Group]:
    """Within each step what costs most first: devices, which take a step's groups in turn, then wait the least."""

    def cost(group: Group) -> int:
        return int(lengths.tokens[list(group.samples)].max()) * len(group.samples)

    steps = (plan[start : start + groups_per_step] for start in range(0, len(plan), groups_per_step))
    return [group for step in steps for group in sorted(step, key=cost, reverse=True)]

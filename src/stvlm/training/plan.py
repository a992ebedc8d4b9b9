"""The order in which a run sees its clips: all of it follows from the rows, the recipe and the seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from stvlm.evaluation.dataset import frame_count
from stvlm.training.grounding import clear_winners
from stvlm.training.recipe import SFTRecipe

FRAMES_END = 0.15
"""Single frames are shown from a run's start to here."""
PLAIN_END = 0.6
"""From there to here motion is compared in one plain wording; beside that, and on to the end, in the dataset's own."""
PLAIN_SHARE = 0.4
"""Of the comparisons of motion: how many are plain."""

Stage = Literal["frames", "plain", "motion", "questions"]


class Item(NamedTuple):
    """Questions that are asked about one clip together: all of its, or one."""

    rows: tuple[dict[str, Any], ...]

    @property
    def clip(self) -> dict[str, Any]:
        """A row of the clip; the columns about the clip are the same in all of them."""
        return self.rows[0]


class Group(NamedTuple):
    """Items that pass through a device at once; their clips have equally many frames, as the model requires."""

    stage: Stage
    items: tuple[int, ...]
    seed: int
    """Of what is drawn when the batch is made."""


def make_items(rows: Sequence[dict[str, Any]], together: bool) -> list[Item]:
    """One item a clip, or one a question, in the rows' order."""
    if not together:
        return [Item((row,)) for row in rows]
    clips: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        clips[row["clip_id"]].append(row)
    return [Item(tuple(of_clip)) for of_clip in clips.values()]


def make_plan(items: Sequence[Item], recipe: SFTRecipe, groups_per_step: int) -> list[Group]:
    """Every group of the run, in order.

    With grounding, what is easier comes earlier, but never alone: a model that meets new words all at once forgets
    what it learned.
    """
    rng = random.Random(recipe.seed)
    lengths = [frame_count(item.clip) for item in items]
    size = recipe.batch_size_per_device
    plan = list(_by_length("questions", lengths, range(len(items)), size, recipe.epochs, rng))
    if recipe.grounding is None:
        return plan
    frames = [
        Group("frames", tuple(rng.choices(range(len(items)), k=recipe.grounding.frames_per_step)), rng.getrandbits(32))
        for _ in range(recipe.grounding.frame_steps * groups_per_step)
    ]
    compared = [index for index, item in enumerate(items) if clear_winners(item.clip["objects"])]
    wanted = recipe.grounding.motion_steps * groups_per_step if compared else 0
    motion = list(islice(_by_length("motion", lengths, compared, size, wanted, rng), wanted))
    placed = [(rng.uniform(0, FRAMES_END), group) for group in frames]
    for group in motion:
        if rng.random() < PLAIN_SHARE:
            placed.append((rng.uniform(FRAMES_END, PLAIN_END), group._replace(stage="plain")))
        else:
            placed.append((rng.uniform(FRAMES_END, 1), group))
    placed += [(rng.random() ** 0.5, group) for group in plan]
    return [group for _, group in sorted(placed, key=itemgetter(0))]


def _by_length(
    stage: Stage, lengths: Sequence[int], indices: Sequence[int], size: int, epochs: int, rng: random.Random
) -> Iterator[Group]:
    """Groups of `size` items of equal length. What fills none waits for the next epoch; the last come as they are."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for _ in range(epochs):
        full = []
        for index in rng.sample(indices, len(indices)):
            same = waiting[lengths[index]]
            same.append(index)
            if len(same) == size:
                full.append(tuple(same))
                same.clear()
        rng.shuffle(full)
        for group in full:
            yield Group(stage, group, rng.getrandbits(32))
    for rest in waiting.values():
        if rest:
            yield Group(stage, tuple(rest), rng.getrandbits(32))

"""Questions about where boxes are in the image, made from the rows' `boxes_px` while training.

A model made from nothing has to find the drawn boxes before any answer about motion can depend on them. These questions
teach that, and nothing about metres or seconds; a pretrained model knows it already. They are not part of the dataset.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise, permutations
from math import dist
from typing import Any

from stvlm.questions.templates import boxed, comparison_words, sentence, wordings
from stvlm.records import Task
from stvlm.training.samples import Asked

Point = tuple[float, float]
CLEAR_WINNER = 2.0
"""The longer way is at least this many times the shorter: plain enough for a model that is only starting to see."""
COMPARED: tuple[Task, ...] = ("traveled_distance_comparison", "traveling_speed_comparison")


def foot_points_px(clip_object: Mapping[str, Any]) -> list[Point | None]:
    """Middle of the lower edge of an object's box in each frame."""
    return [None if box is None else ((box[0] + box[2]) / 2, box[3]) for box in clip_object["boxes_px"]]


def frames_with_a_box(objects: Sequence[Mapping[str, Any]]) -> list[int]:
    """Indices of the frames in which an object is seen."""
    return [i for i, boxes in enumerate(zip(*(item["boxes_px"] for item in objects), strict=True)) if any(boxes)]


def where(objects: Sequence[Mapping[str, Any]], frame: int, size_px: tuple[int, int]) -> list[Asked]:
    """Where each object seen in a single frame is: tenths of the image's width, then of its height."""
    asked = []
    for item in objects:
        point = foot_points_px(item)[frame]
        if point is not None:
            x, y = (min(9, max(0, int(10 * at / side))) for at, side in zip(point, size_px, strict=True))
            asked.append(Asked(f"Where is the object in the {item['color']} bounding box?", f"{x}{y}"))
    return asked


def path_length_px(clip_object: Mapping[str, Any]) -> float:
    """Length of an object's way through the image, over the frames in which it is seen."""
    seen = [point for point in foot_points_px(clip_object) if point is not None]
    return sum(dist(a, b) for a, b in pairwise(seen))


def clear_winners(objects: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The colours of what moves the farthest ("most") and the least far ("least") in the image, where it is clear."""
    if len(objects) < 2:
        return {}
    shortest, *_, longest = ranked = sorted((path_length_px(item), item["color"]) for item in objects)
    clear = {}
    if longest[0] >= CLEAR_WINNER * ranked[-2][0] and longest[0] > 0:
        clear["most"] = longest[1]
    if ranked[1][0] >= CLEAR_WINNER * shortest[0] and ranked[1][0] > 0:
        clear["least"] = shortest[1]
    return clear


def moves_farther(objects: Sequence[Mapping[str, Any]], count: int, rng: random.Random) -> list[Asked]:
    """`count` times in one wording, of two objects in either order: which one moves farther in the image?

    None where no pair has a clear winner.
    """
    lengths = {item["color"]: path_length_px(item) for item in objects}
    clear = [(a, b) for a, b in permutations(lengths, 2) if lengths[a] >= CLEAR_WINNER * lengths[b] and lengths[a] > 0]
    asked = []
    for pair in rng.choices(clear, k=count if clear else 0):
        a, b = (boxed(color) for color in rng.sample(pair, 2))
        question = f"Which moves farther in the image, {a} or {b}?"
        asked.append(Asked(question, sentence(f"{boxed(pair[0])}.")))
    return asked


def compared_in_the_image(
    objects: Sequence[Mapping[str, Any]], count: int, rng: random.Random, template_ids: Collection[str]
) -> list[Asked]:
    """`count` comparisons of the objects' ways through the image, in the dataset's wordings; none if none is clear.

    Over the same frames the longer way is the faster one, so the wordings for speeds fit as well.
    """
    winners = clear_winners(objects)
    fitting = [
        wording
        for task in COMPARED
        for wording in wordings()[task]
        if wording.template_id in template_ids and wording.polarity in winners and wording.objects in (0, len(objects))
    ]
    asked = []
    for wording in rng.choices(fitting, k=count if fitting else 0):
        order = rng.sample([item["color"] for item in objects], len(objects))
        winner = order.index(winners[wording.polarity])
        words = comparison_words([boxed(color) for color in order], winner) | {"span": "in the image"}
        answer = wording.answer
        if wording.is_yes_no:
            answer = wording.affirm if winner == 0 else wording.deny
        asked.append(Asked(sentence(wording.question.format(**words)), sentence(answer.format(**words))))
    return asked

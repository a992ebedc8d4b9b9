"""What a model is asked about a row: its prompt, and before it the context that a run gives.

For the paper's Table 4 GPT-4V is given "QA pairs in a few-shot manner", and "camera extrinsics as textual prompts and
depth maps as extra image inputs". So examples are text alone, without their videos; depth maps are in frames.py.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stvlm.evaluation.dataset import load_columns
from stvlm.evaluation.trajectories import Trajectories, extrinsics_told, trajectory_of
from stvlm.records import DataError

Row = Mapping[str, Any]

DEPTH_FAR_M = 80.0
"""What is black in a depth map."""
DEPTH_TOLD = (
    "After the video come depth maps of its frames, in the same order: white is at the camera, black is "
    f"{DEPTH_FAR_M:.0f} meters away or more."
)


class Asked(NamedTuple):
    """A row to be answered, of the clip as it is or of a control."""

    row: Row
    control: str
    prompt: str


class Example(NamedTuple):
    """A question of another scene with its answer."""

    scene: tuple[str, str]  # source and scene id
    question: str
    answer: str


Examples = Mapping[str, Sequence[Example]]
"""By task."""


def load_examples(dataset: str, split: str) -> Examples:
    """Every question of a split with its answer. Raises DataError."""
    found = defaultdict(list)
    for row in load_columns(dataset, split, ("task", "source", "scene_id", "question", "answer")):
        found[row["task"]].append(Example((row["source"], row["scene_id"]), row["question"], row["answer"]))
    return found


def draw(row: Row, examples: Examples, count: int) -> list[Example]:
    """Examples of a row's task, from as many scenes, none of them its own; the same ones for every variant of a row.

    Raises DataError where there are too few.
    """
    of_task, drawn, scenes = examples.get(row["task"], ()), [], {(row["source"], row["scene_id"])}
    for index in random.Random(row["base_id"]).sample(range(len(of_task)), len(of_task)):
        if of_task[index].scene not in scenes:
            drawn.append(of_task[index])
            scenes.add(of_task[index].scene)
        if len(drawn) == count:
            return drawn
    raise DataError(
        f"row {row['id']}: {count} examples of {row['task']} are wanted, and {len(drawn)} other scenes have one; "
        "choose fewer --shots or another --shots_from"
    )


def depth_path(depth_dir: Path, row: Row) -> Path:
    """Where a row's depth maps are."""
    return depth_dir / f"{row['clip_id']}.npy"


def make_prompt(
    row: Row,
    *,
    shots: int = 0,
    examples: Examples | None = None,
    trajectories: Trajectories | None = None,
    with_depth: bool = False,
) -> str:
    """A row's prompt. What is the same for all questions of a clip comes first, so that a model reads it once.

    Args:
        row: of the dataset.
        shots: how many examples are shown.
        examples: where they are drawn from.
        trajectories: of the clips, where the camera's poses are told.
        with_depth: whether depth maps are shown.
    """
    parts = []
    if with_depth:
        parts.append(DEPTH_TOLD)
    if trajectories is not None:
        parts.append(extrinsics_told(row, trajectory_of(row, trajectories).world_SE3_camera))
    if shots and examples is not None:
        pairs = [f"Question: {shot.question}\nAnswer: {shot.answer}" for shot in draw(row, examples, shots)]
        parts.append("\n\n".join(["Examples of other videos:", *pairs, "Now this video."]))
    return "\n\n".join([*parts, row["prompt"]])

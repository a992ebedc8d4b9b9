"""A small model from nothing and a simulated world: where boxes are, how they move, and at last questions about it."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import set_seed

from stvlm.dataset.clips import ClipLimits
from stvlm.dataset.visibility import VisibilityGates
from stvlm.evaluation.versions import versions
from stvlm.files import write_json
from stvlm.questions.asking import QuestionGates
from stvlm.recipes import to_mapping
from stvlm.training.cost import Clock
from stvlm.training.learner import Learner, questions_of
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.ownership import CLAIM, RECORD, check_unclaimed, is_done, places, that_matters
from stvlm.training.recipe import NewModel, Stages
from stvlm.training.simulated_clips import SimulatedClips, recorded

TOKENIZER_CLIPS = 3000
"""How many clips' questions the tokenizer is made from."""


@dataclass(frozen=True)
class Curriculum:
    """A run."""

    output_dir: str
    new_model: NewModel
    simulation: tuple[dict[str, Any], ...]
    """Families of recordings, each the options of the source `simulation`."""
    learning: Stages
    visibility: VisibilityGates = field(default_factory=VisibilityGates)
    clips: ClipLimits = field(default_factory=ClipLimits)
    questions: QuestionGates = field(default_factory=QuestionGates)
    turning: float = 0.6
    """The share of clips that are drawn by the hour, evenly, into which an object turns."""
    boxes: tuple[float, float, float] = (0.3, 0.6, 0.1)
    """The shares of clips with one, two and three boxes."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.simulation:
            raise ValueError("simulation holds at least one family of recordings")
        if min(self.boxes) < 0 or not math.isclose(sum(self.boxes), 1):
            raise ValueError(f"boxes are three shares that add up to 1, got {list(self.boxes)}")
        if self.learning.layer > self.new_model.language_layers:
            raise ValueError("learning: layer is one of the language model's, from 1")


def train(recipe: Curriculum, chat_template: str) -> Path:
    """Trains as the recipe says and returns its output folder, which appears when the model is whole.

    Killed, a run goes on from its last checkpoint when it is started again, to the same weights: what a step draws
    follows from its number. Raises DataError where the output folder holds anything else.
    """
    out, work = places(recipe.output_dir)
    identity = {"recipe": that_matters(recipe)}
    if is_done(out, identity):
        return out
    check_unclaimed(work, identity)
    write_json(work / CLAIM, identity)
    clock = Clock(work)
    clips = _clips(recipe, work)
    set_seed(recipe.seed)
    tokenizer = train_tokenizer(_texts(clips, recipe), recipe.new_model.vocabulary)
    processor = make_processor(recipe.new_model, tokenizer, chat_template)
    learner = Learner(
        make_model(recipe.new_model, processor), processor, recipe.learning, recipe.questions, recipe.seed
    )
    log = learner.run(clips, work / "checkpoint.pt", clock)
    model = work / "model"
    learner.model.to(torch.bfloat16).save_pretrained(model)
    processor.save_pretrained(model)
    record = {
        "recipe": to_mapping(recipe),
        "versions": versions(),
        "parameters": sum(parameter.numel() for parameter in learner.model.parameters()),
        "log": log,
        **clock.cost(),
    }
    write_json(model / RECORD, record)
    model.replace(out)
    shutil.rmtree(work)
    return out


def _clips(recipe: Curriculum, work: Path) -> SimulatedClips:
    side_px = recipe.new_model.image_size_px
    kept = [
        recording
        for number, options in enumerate(recipe.simulation)
        for recording in recorded(options, recipe.visibility, side_px, work / "recordings" / str(number))
    ]
    return SimulatedClips(kept, recipe.clips, recipe.turning, recipe.boxes)


def _texts(clips: SimulatedClips, recipe: Curriculum) -> list[str]:
    """What a tokenizer is made from."""
    texts = []
    for number in range(TOKENIZER_CLIPS):
        rng = np.random.default_rng([recipe.seed, number])
        cut = clips.draw(int(rng.choice(clips.lengths)), rng)
        texts += [text for pair in questions_of(cut, f"tokenizer-{number}", recipe.questions) for text in pair]
    return texts

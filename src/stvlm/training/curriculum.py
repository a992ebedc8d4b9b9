"""A small model from nothing and a simulated world: where boxes are, how they move, and at last questions about it."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import set_seed

from stvlm.dataset.clips import ClipLimits
from stvlm.dataset.visibility import VisibilityGates
from stvlm.evaluation.frames import as_pixel_values
from stvlm.evaluation.versions import versions
from stvlm.files import read_json, whole_file, write_json
from stvlm.kinematics import STEP_S
from stvlm.questions.asking import Motion, QuestionGates, ask, common_prompt
from stvlm.recipes import to_mapping
from stvlm.records import NOISELESS, DataError
from stvlm.training.augment import Asked
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.optimizer import MuonAndAdamW
from stvlm.training.packing import IGNORED, as_batch, expand_video, pack, tokenize
from stvlm.training.recipe import NewModel
from stvlm.training.run import RECORD
from stvlm.training.simulated_clips import SimulatedClips, recorded
from stvlm.training.trajectories import Cut, Heads, features_of, frame_tokens, read, stacked

WARMUP_STEPS = 20
TOKENIZER_CLIPS = 3000
"""How many clips' questions the tokenizer is made from."""
LOGGED_EVERY = 20
"""Optimizer steps."""
Subject = Literal["boxes", "motion", "questions"]


@dataclass(frozen=True)
class Stage:
    """Some optimizer steps on one subject; those before it are learned on beside it."""

    learn: Subject
    steps: int
    batch_size: int
    """Clips, or of boxes single frames."""
    learning_rate: float = 3e-3
    decay_share: float = 0.0
    """Of the steps: how many, at the end, the learning rate falls to zero over."""

    def __post_init__(self) -> None:
        if self.learn not in get_args(Subject):
            raise ValueError(f"learn is one of {', '.join(get_args(Subject))}; got {self.learn!r}")
        if min(self.steps, self.batch_size) < 1 or not 0 <= self.decay_share <= 1:
            raise ValueError("steps and batch_size are at least 1, decay_share is between 0 and 1")


@dataclass(frozen=True)
class Curriculum:
    """A run."""

    output_dir: str
    new_model: NewModel
    simulation: tuple[dict[str, Any], ...]
    """Families of recordings, each the options of the source `simulation`."""
    stages: tuple[Stage, ...]
    visibility: VisibilityGates = field(default_factory=VisibilityGates)
    clips: ClipLimits = field(default_factory=ClipLimits)
    questions: QuestionGates = field(default_factory=QuestionGates)
    turning: float = 0.6
    """The share of clips that are drawn by the hour, evenly, into which an object turns."""
    trajectory_layer: int = 4
    """After how many of the language model's layers frames are asked how objects move; see `trajectories`."""
    trajectory_weight: float = 0.5
    """Of what the heads lose, where questions are learned as well."""
    max_grad_norm: float = 1.0
    save_steps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.simulation or not self.stages:
            raise ValueError("simulation and stages hold at least one entry")
        if not 0 < self.trajectory_layer <= self.new_model.language_layers:
            raise ValueError("trajectory_layer is one of the language model's layers, from 1")


class Batch(NamedTuple):
    """Cuts of one length, and what is asked about each."""

    cuts: list[Cut]
    asked: list[list[Asked]]


def train(recipe: Curriculum, chat_template: str) -> Path:
    """Trains as the recipe says and returns its output folder, which appears when the model is whole.

    Killed, a run goes on from its last checkpoint when it is started again, to the same weights: what a step draws
    follows from its number. Raises DataError where the output folder holds anything else.
    """
    out = Path(recipe.output_dir)
    work = out.absolute().parent / f".{out.name}.training"
    identity = json.loads(json.dumps({"recipe": to_mapping(recipe)}))  # as it is read again
    _check_place(out, work, identity)
    if (out / RECORD).exists():
        return out
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / "run.json", identity)
    started = time.monotonic()
    clips = _clips(recipe, work)
    set_seed(recipe.seed)
    tokenizer = train_tokenizer(_texts(clips, recipe), recipe.new_model.vocabulary)
    processor = make_processor(recipe.new_model, tokenizer, chat_template)
    learner = Learner(make_model(recipe.new_model, processor), processor, recipe)
    log = learner.run(clips, work / "checkpoint.pt")
    model = work / "model"
    learner.model.save_pretrained(model)
    processor.save_pretrained(model)
    record = {
        **identity,
        "versions": versions(),
        "parameters": sum(parameter.numel() for parameter in learner.model.parameters()),
        "log": log,
        "wall_s": round(time.monotonic() - started, 1),
    }
    write_json(model / RECORD, record)
    model.replace(out)
    shutil.rmtree(work)
    return out


def _check_place(out: Path, work: Path, identity: dict[str, Any]) -> None:
    """Raises where either folder holds the work of another recipe."""
    for path, claim in ((out, out / RECORD), (work, work / "run.json")):
        known = read_json(claim) if claim.is_file() else None
        if known is None and (path == work or not path.exists() or not any(path.iterdir())):
            continue
        if known is None or any(known.get(key) != value for key, value in identity.items()):
            raise DataError(f"{path}: holds something else; remove it or choose another --output_dir")


def _clips(recipe: Curriculum, work: Path) -> SimulatedClips:
    side_px = recipe.new_model.image_size_px
    kept = [
        recording
        for number, options in enumerate(recipe.simulation)
        for recording in recorded(options, recipe.visibility, side_px, work / "recordings" / str(number))
    ]
    return SimulatedClips(kept, recipe.clips, recipe.turning)


def _texts(clips: SimulatedClips, recipe: Curriculum) -> list[str]:
    """What a tokenizer is made from."""
    texts = []
    for number in range(TOKENIZER_CLIPS):
        rng = np.random.default_rng([recipe.seed, number])
        cut = clips.draw(int(rng.choice(clips.lengths)), rng)
        texts += [text for pair in questions_of(cut, f"tokenizer-{number}", recipe.questions) for text in pair]
    return texts


def questions_of(cut: Cut, clip_id: str, gates: QuestionGates) -> list[Asked]:
    """What a dataset would ask about a cut; the id decides in which words."""
    motion = Motion(clip_id, "driving", (NOISELESS,) * len(cut.colors), cut.xyz_m)
    common = common_prompt([i * STEP_S for i in range(len(cut.frames))], cut.colors)
    asked = ask(motion, gates, Counter())
    return [Asked(f"{common} {question.question}", question.answer) for _, question in asked]


class Learner:
    """A model, its heads and their optimizer."""

    def __init__(self, model: Any, processor: Any, recipe: Curriculum) -> None:
        self.model, self._processor, self._recipe = model, processor, recipe
        self._heads = Heads(model.config.text_config.hidden_size, frame_tokens(model))
        any_conversation = tokenize(processor, "", "").ids
        self._start = any_conversation[: any_conversation.index(processor.video_token_id)]
        self._all = nn.ModuleDict({"model": model, "heads": self._heads})
        self._all.get_output_embeddings = model.get_output_embeddings
        self._optimizer = MuonAndAdamW(self._all, recipe.stages[0].learning_rate, 0.0)

    def run(self, clips: SimulatedClips, checkpoint: Path) -> list[dict[str, Any]]:
        """All stages, from the checkpoint on where there is one; the losses on the way."""
        steps = [(s, step) for s, stage in enumerate(self._recipe.stages) for step in range(stage.steps)]
        log: list[dict[str, Any]] = []
        done = 0
        if checkpoint.exists():
            kept = torch.load(checkpoint, weights_only=True)
            self._all.load_state_dict(kept["weights"])
            self._optimizer.load_state_dict(kept["optimizer"])
            done, log = kept["steps"], kept["log"]
        self._all.train()
        learn: dict[Subject, Callable[..., dict[str, torch.Tensor]]]
        learn = {"boxes": self._learn_boxes, "motion": self._learn_motion, "questions": self._learn_questions}
        bar = tqdm(steps[done:], initial=done, total=len(steps), desc="training", smoothing=0)
        for number, (s, step) in enumerate(bar, start=done + 1):
            stage, rng = self._recipe.stages[s], np.random.default_rng([self._recipe.seed, s, step])
            self._set_rate(stage, step)
            losses = learn[stage.learn](clips, stage.batch_size, rng, f"{s}-{step}")
            self._step(sum(losses.values()))
            if number % LOGGED_EVERY == 0 or number == len(steps):
                told = {name: round(loss.item(), 4) for name, loss in losses.items()}
                log.append({"step": number, "stage": s, **told})
                bar.set_postfix(told)
            if number % self._recipe.save_steps == 0:
                with whole_file(checkpoint) as temporary:
                    state = {"weights": self._all.state_dict(), "optimizer": self._optimizer.state_dict()}
                    torch.save({**state, "steps": number, "log": log}, temporary)
        return log

    def _set_rate(self, stage: Stage, step: int) -> None:
        left = (stage.steps - step) / max(1.0, stage.decay_share * stage.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = stage.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS, left)

    def _step(self, loss: Any) -> None:
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._all.parameters(), self._recipe.max_grad_norm)
        self._optimizer.step()

    def _pixels(self, cuts: Sequence[Cut]) -> torch.Tensor:
        return as_pixel_values(self._processor.video_processor, [cut.frames for cut in cuts])

    def _learn_boxes(
        self, clips: SimulatedClips, count: int, rng: np.random.Generator, name: str
    ) -> dict[str, torch.Tensor]:
        """On single frames."""
        cuts = [clips.draw(int(rng.choice(clips.lengths)), rng, whole=False) for _ in range(count)]
        return {"boxes": self._heads.boxes_loss(features_of(self.model, self._pixels(cuts)), stacked(cuts))}

    def _learn_motion(
        self, clips: SimulatedClips, count: int, rng: np.random.Generator, name: str
    ) -> dict[str, torch.Tensor]:
        """On clips without words."""
        cuts = _draw(clips, count, rng)
        pixels = self._pixels(cuts)
        until = [*self._start, *[self._processor.video_token_id] * self._tokens_of(pixels)]
        seen = read(self.model, self._recipe.trajectory_layer, pixels, torch.tensor([until] * len(cuts)))
        return self._heads.losses(seen.features, seen.seen, stacked(cuts))._asdict()

    def _learn_questions(
        self, clips: SimulatedClips, count: int, rng: np.random.Generator, name: str
    ) -> dict[str, torch.Tensor]:
        """On clips with their questions; the heads go on reading what the words follow."""
        cuts = _draw(clips, count, rng)
        asked = [questions_of(cut, f"{name}-{i}", self._recipe.questions) for i, cut in enumerate(cuts)]
        cuts, asked = zip(*[(cut, of_cut) for cut, of_cut in zip(cuts, asked, strict=True) if of_cut], strict=True)
        pixels, video = self._pixels(cuts), self._processor.video_token_id
        count = self._tokens_of(pixels)
        sequences = [
            pack([expand_video(tokenize(self._processor, *pair), video, count) for pair in of_cut]) for of_cut in asked
        ]
        batch = as_batch(sequences, self._processor.tokenizer.pad_token_id)
        labels = batch.pop("labels")[:, 1:]
        seen, answered = read(self.model, self._recipe.trajectory_layer, pixels, **batch), labels != IGNORED
        answers = cross_entropy(self.model.lm_head(seen.hidden[:, :-1][answered]), labels[answered])
        losses = self._heads.losses(seen.features, seen.seen, stacked(cuts))._asdict()
        return {"answers": answers} | {k: self._recipe.trajectory_weight * loss for k, loss in losses.items()}

    def _tokens_of(self, pixels: torch.Tensor) -> int:
        """How many tokens a clip (B, n, 3, h, w) has, with the one that ends it."""
        return int(pixels.shape[1]) * frame_tokens(self.model) + 1


def _draw(clips: SimulatedClips, count: int, rng: np.random.Generator) -> list[Cut]:
    n = int(rng.choice(clips.lengths))
    return [clips.draw(n, rng) for _ in range(count)]

"""Learning in stages: where boxes are, how they move, and what is asked about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from stvlm.evaluation.frames import as_pixel_values
from stvlm.files import whole_file
from stvlm.kinematics import STEP_S
from stvlm.questions.asking import Motion, QuestionGates, ask, common_prompt
from stvlm.records import NOISELESS, DataError
from stvlm.training.cost import Clock
from stvlm.training.families.llava_onevision import AXES, medium_tokens
from stvlm.training.optimizer import MuonAndAdamW
from stvlm.training.packing import IGNORED, MediumTokens, as_batch, sequence, tokenize
from stvlm.training.recipe import Stage, Stages, Subject
from stvlm.training.samples import Asked
from stvlm.training.trajectories import Cut, Heads, Targets, features_of, frame_tokens, read, stacked

WARMUP_STEPS = 20
LOGGED_EVERY = 20
"""Optimizer steps."""
MAX_GRAD_NORM = 1.0
_ATTEMPTS = 100


class Clips(Protocol):
    """Where clips are cut from."""

    lengths: list[int]
    """Numbers of frames that a clip may have."""

    def draw(self, n: int, rng: np.random.Generator, whole: bool = True) -> Cut:
        """A clip of n frames, or one frame of it; it follows from the generator."""


def questions_of(cut: Cut, clip_id: str, gates: QuestionGates) -> list[Asked]:
    """What a dataset would ask about a cut; the id decides in which words."""
    motion = Motion(clip_id, "driving", (NOISELESS,) * len(cut.colors), cut.xyz_m)
    common = common_prompt([i * STEP_S for i in range(len(cut.frames))], cut.colors)
    asked = ask(motion, gates, Counter())
    return [Asked(f"{common} {question.question}", question.answer) for _, question in asked]


class Learner:
    """A model, its heads and their optimizer."""

    def __init__(self, model: Any, processor: Any, recipe: Stages, gates: QuestionGates, seed: int) -> None:
        self.model, self._processor, self._recipe, self._gates, self._seed = model, processor, recipe, gates, seed
        self._heads = Heads(model.config.text_config.hidden_size, frame_tokens(model)).to(model.device)
        any_conversation, _ = tokenize(processor, (Asked("", ""),), "video")
        self._start = any_conversation[: int((any_conversation == processor.video_token_id).argmax())].tolist()
        self._all = nn.ModuleDict({"model": model, "heads": self._heads})
        self._all.get_output_embeddings = model.get_output_embeddings
        self._optimizer = MuonAndAdamW(self._all, recipe.stages[0].learning_rate, 0.0)

    def run(self, clips: Clips, checkpoint: Path, clock: Clock) -> list[dict[str, Any]]:
        """All stages, from the checkpoint on where there is one; the losses on the way."""
        steps = [(s, step) for s, stage in enumerate(self._recipe.stages) for step in range(stage.steps)]
        log: list[dict[str, Any]] = []
        done = 0
        if checkpoint.exists():
            kept = torch.load(checkpoint, map_location=self.model.device, weights_only=True)
            self._all.load_state_dict(kept["weights"])
            self._optimizer.load_state_dict(kept["optimizer"])
            done, log = kept["steps"], kept["log"]
        self._all.train()
        learn: dict[Subject, Callable[..., dict[str, torch.Tensor]]]
        learn = {"boxes": self._learn_boxes, "motion": self._learn_motion, "questions": self._learn_questions}
        bar = tqdm(steps[done:], initial=done, total=len(steps), desc="training", smoothing=0)
        for number, (s, step) in enumerate(bar, start=done + 1):
            stage, rng = self._recipe.stages[s], np.random.default_rng([self._seed, s, step])
            self._set_rate(stage, step)
            losses = learn[stage.learn](clips, stage, rng, f"{s}-{step}")
            self._step(sum(losses.values()))
            if number % LOGGED_EVERY == 0 or number == len(steps):
                told = {name: round(loss.item(), 4) for name, loss in losses.items()}
                log.append({"step": number, "stage": s, **told})
                bar.set_postfix(told)
            if number % self._recipe.save_steps == 0:
                with whole_file(checkpoint) as temporary:
                    state = {"weights": self._all.state_dict(), "optimizer": self._optimizer.state_dict()}
                    torch.save({**state, "steps": number, "log": log}, temporary)
                clock.keep()
        self._optimizer.zero_grad()
        return log

    def _set_rate(self, stage: Stage, step: int) -> None:
        left = (stage.steps - step) / max(1.0, stage.decay_share * stage.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = stage.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS, left)

    def _step(self, loss: Any) -> None:
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._all.parameters(), MAX_GRAD_NORM)
        self._optimizer.step()

    def _targets(self, cuts: Sequence[Cut]) -> Targets:
        return Targets(*(values.to(self.model.device) for values in stacked(cuts)))

    def _pixels(self, cuts: Sequence[Cut]) -> torch.Tensor:
        frames = [cut.frames for cut in cuts]
        return as_pixel_values(self._processor.video_processor, frames).to(self.model.device)

    def _learn_boxes(self, clips: Clips, stage: Stage, rng: np.random.Generator, name: str) -> dict[str, torch.Tensor]:
        """On single frames."""
        cuts = [clips.draw(int(rng.choice(clips.lengths)), rng, whole=False) for _ in range(stage.batch_size)]
        return {"boxes": self._heads.boxes_loss(features_of(self.model, self._pixels(cuts)), self._targets(cuts))}

    def _learn_motion(self, clips: Clips, stage: Stage, rng: np.random.Generator, name: str) -> dict[str, torch.Tensor]:
        """On clips without words."""
        cuts = _draw(clips, stage.batch_size, rng)
        pixels = self._pixels(cuts)
        until = [*self._start, *self._tokens_of(pixels).ids.tolist()]
        seen = read(self.model, self._recipe.layer, pixels, torch.tensor([until] * len(cuts), device=pixels.device))
        losses: dict[str, torch.Tensor] = self._heads.losses(seen.features, seen.seen, self._targets(cuts))._asdict()
        return losses

    def _learn_questions(
        self, clips: Clips, stage: Stage, rng: np.random.Generator, name: str
    ) -> dict[str, torch.Tensor]:
        """On clips with their questions; the heads go on reading what the words follow."""
        cuts, asked = self._draw_asked(clips, stage.batch_size, rng, name)
        pixels, video = self._pixels(cuts), self._processor.video_token_id
        tokens = self._tokens_of(pixels)
        sequences = [sequence(self._processor, AXES, [[pair] for pair in of_cut], "video", tokens) for of_cut in asked]
        batch = as_batch(sequences, self._processor.tokenizer.pad_token_id)
        batch = {name: values.to(pixels.device) for name, values in batch.items()}
        labels = batch.pop("labels")[:, 1:]
        seen, answered = read(self.model, self._recipe.layer, pixels, **batch), labels != IGNORED
        answers = cross_entropy(self.model.lm_head(seen.hidden[:, :-1][answered]), labels[answered])
        targets = self._targets(cuts)
        losses = self._heads.losses(seen.features, seen.seen, targets)._asdict()
        # What stands before the video does not see it.
        is_word = (batch["input_ids"] != video) & (batch["input_ids"] != self._processor.tokenizer.pad_token_id)
        is_word[:, : len(self._start)] = False
        losses["told_motion"], losses["told_hours"] = self._heads.clip_losses(
            seen.later[is_word], torch.nonzero(is_word)[:, 0], targets
        )
        return {"answers": answers} | {k: stage.weight * loss for k, loss in losses.items()}

    def _draw_asked(
        self, clips: Clips, count: int, rng: np.random.Generator, name: str
    ) -> tuple[list[Cut], list[list[Asked]]]:
        """Clips of one length that can be asked about, and what; those drawn in vain leave their places empty."""
        for attempt in range(_ATTEMPTS):
            drawn = _draw(clips, count, rng)
            asked = [questions_of(cut, f"{name}-{attempt}-{i}", self._gates) for i, cut in enumerate(drawn)]
            if any(asked):
                return [cut for cut, of_cut in zip(drawn, asked, strict=True) if of_cut], [a for a in asked if a]
        raise DataError("no question can be asked about the clips; make more of them, or lower the questions' gates")

    def _tokens_of(self, pixels: torch.Tensor) -> MediumTokens:
        """What stands for a clip of (B, n, 3, h, w)."""
        _, n, _, height, width = pixels.shape
        return medium_tokens(self._processor, "video", (n, height, width), ())


def _draw(clips: Clips, count: int, rng: np.random.Generator) -> list[Cut]:
    n = int(rng.choice(clips.lengths))
    return [clips.draw(n, rng) for _ in range(count)]

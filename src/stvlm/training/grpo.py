"""A run that learns from its own answers, from a recipe to a model folder."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging
from trl import GRPOConfig

from stvlm.evaluation.answering import adapter_base, fingerprint
from stvlm.evaluation.dataset import frame_count, load_split
from stvlm.evaluation.versions import versions
from stvlm.files import write_json
from stvlm.programs import first_line
from stvlm.recipes import to_mapping
from stvlm.records import DataError
from stvlm.training.callbacks import LossBar, StopAtNonsense, StopWhenAsked
from stvlm.training.cost import Clock, KeepTime
from stvlm.training.exporting import TRAINED, finish
from stvlm.training.grpo_recipe import GRPORecipe
from stvlm.training.grpo_trainer import VideoGRPOTrainer
from stvlm.training.opening import add_adapters, check_device
from stvlm.training.ownership import CLAIM, check_unclaimed, is_done, places, remove_torsos, that_matters
from stvlm.training.rewards import reward_functions
from stvlm.training.sizes import fits

SMALLER = (
    "lower answers_per_question, answers_per_device or max_new_tokens, or train an adapter (lora), under another "
    "--output_dir"
)
"""What to do where memory is full."""
Row = dict[str, Any]
KEPT = ("id", "base_id", "task", "question", "prompt", "target", "choices", "frame_times_s", "video_path")
"""What is needed of a row; boxes of a large dataset take memory."""


class Planned(NamedTuple):
    """A question in the plan: its row, and its twin's where there is one, as indices."""

    row: int
    twin_row: int | None = None
    twin: str | None = None


class RewardBar(LossBar):
    """A progress bar with the mean reward in it."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Shows the last reward."""
        if self.training_bar is not None and logs and "reward" in logs:
            self.training_bar.set_postfix_str(f"reward {logs['reward']:.3f}")


def learn(recipe: GRPORecipe) -> Path:
    """Trains as the recipe says and returns its output folder, which appears when the model is whole.

    An interrupted run goes on from its last step when it is started again. Raises DataError where data are missing,
    memory is full, and where the output folder holds the work of another recipe; KeyboardInterrupt when asked to stop.
    """
    check_device(recipe)
    out, work = places(recipe.output_dir)
    clock = Clock(work)
    rows, questions, fingerprints = load_questions(recipe)
    identity = {"recipe": that_matters(recipe), "base_model": fingerprint(recipe.model), **fingerprints}
    if is_done(out, identity):
        return out
    check_unclaimed(work, identity)
    plan = make_plan(questions, [frame_count(row) for row in rows], recipe)
    set_seed(recipe.seed)
    logging.disable_progress_bar()  # of loading and saving; training shows its own
    checkpoints = work / "checkpoints"
    with fits(SMALLER):
        trainer, stop = make_trainer(recipe, rows, plan, checkpoints)
        parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
        if trainer.accelerator.is_main_process:
            remove_torsos(checkpoints)
            write_json(work / CLAIM, identity)
        trainer.accelerator.wait_for_everyone()
        trainer.add_callback(KeepTime(clock))
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    if stop.requested:
        raise KeyboardInterrupt
    trainer.save_trained(work / TRAINED)
    if trainer.accelerator.is_main_process:
        record = {
            **identity,
            "recipe": to_mapping(recipe),
            "parameters": parameters,
            "versions": versions(),
            "processes": trainer.accelerator.num_processes,
            "questions": len(rows),
            "asked": len({asked.row for asked in plan}),
            "steps": trainer.state.global_step,
            "log": trainer.state.log_history,
            **clock.cost(),
        }
        finish(recipe, record, trainer.processing_class, work, out)
    trainer.accelerator.wait_for_everyone()
    return out


def load_questions(recipe: GRPORecipe) -> tuple[list[Row], list[tuple[Planned, ...]], dict[str, Any]]:
    """Rows, the questions that are asked together, and the fingerprints of the dataset and its twins, for the record.

    With twins a question and its twin go together, and what has none is not asked. Raises DataError.
    """
    rows: list[Row] = []
    found: list[tuple[Planned, ...]] = []
    fingerprints = {}
    place: dict[str, int] = {}
    for config in ("", *recipe.twins):
        split = load_split(recipe.dataset, recipe.split, config=config or None)
        fingerprints[config] = split.fingerprint
        for row in split.rows:
            if row["task"] not in recipe.tasks:
                continue
            if not config:
                place[row["base_id"]] = len(rows)
                if not recipe.twins:
                    found.append((Planned(len(rows)),))
            elif row["base_id"] in place:
                original = place[row["base_id"]]
                found.append((Planned(original, len(rows), config), Planned(len(rows), original, config)))
            rows.append({name: row[name] for name in KEPT})
    if not found:
        told = f" that has a twin in {', '.join(recipe.twins)}" if recipe.twins else ""
        raise DataError(f"{recipe.dataset}: split {recipe.split!r} has no question of {', '.join(recipe.tasks)}{told}")
    return rows, found, {"dataset_fingerprint": fingerprints.pop(""), "twin_fingerprints": fingerprints}


def make_plan(questions: Sequence[tuple[Planned, ...]], lengths: Sequence[int], recipe: GRPORecipe) -> list[Planned]:
    """All questions of the run in order, those of a step about clips of equally many frames, as models require.

    What fills no step is left out of an epoch. Raises DataError where no step can be filled.
    """
    rng = random.Random(recipe.seed)
    per_step = recipe.questions_per_step // len(questions[0])
    of_length = defaultdict(list)
    for together in questions:
        of_length[lengths[together[0].row]].append(together)
    plan: list[Planned] = []
    while len(plan) < recipe.steps * recipe.questions_per_step:
        epoch = []
        for same in of_length.values():
            drawn = rng.sample(same, len(same))
            epoch += [drawn[at : at + per_step] for at in range(0, len(drawn) - per_step + 1, per_step)]
        if not epoch:
            raise DataError(f"{recipe.dataset}: has too few questions on clips of one length for questions_per_step")
        rng.shuffle(epoch)
        plan += [asked for step in epoch for together in step for asked in together]
    return plan[: recipe.steps * recipe.questions_per_step]


def make_trainer(
    recipe: GRPORecipe, rows: Sequence[Row], plan: Sequence[Planned], folder: Path, **options: Any
) -> tuple[VideoGRPOTrainer, StopWhenAsked]:
    """The trainer, which keeps its checkpoints in `folder`; `options` are further ones of GRPOConfig."""
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    passes, rest = divmod(recipe.questions_per_step * recipe.answers_per_question, recipe.answers_per_device * devices)
    if rest:
        raise DataError(
            f"questions_per_step {recipe.questions_per_step} times answers_per_question {recipe.answers_per_question} "
            f"is not a multiple of answers_per_device {recipe.answers_per_device} times {devices} devices"
        )
    if recipe.twins and recipe.questions_per_step % (2 * devices):
        raise DataError(
            f"questions_per_step {recipe.questions_per_step} is not a multiple of 2 times {devices} devices: "
            "a question and its twin are asked on one"
        )
    processor, model = _open_model(recipe)
    arguments = GRPOConfig(
        output_dir=str(folder),
        num_train_epochs=1,  # of the plan, which holds the recipe's steps
        shuffle_dataset=False,
        per_device_train_batch_size=recipe.answers_per_device,
        gradient_accumulation_steps=passes,
        num_generations=recipe.answers_per_question,
        max_completion_length=recipe.max_new_tokens,
        temperature=recipe.temperature,
        # A placeholder of a video that a model says itself would have no pixels behind it.
        generation_kwargs={"suppress_tokens": [model.config.image_token_id, model.config.video_token_id]},
        beta=recipe.kl,
        reward_weights=list(recipe.rewards.values()),
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup_steps,
        max_grad_norm=recipe.max_grad_norm,
        bf16=recipe.bf16,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=None,  # the old name of the next
        activation_checkpointing=recipe.gradient_checkpointing,
        dataloader_pin_memory=False,
        logging_steps=1,
        logging_nan_inf_filter=False,  # or it shows the mean of the steps before in place of what is no number
        save_steps=recipe.save_steps,
        save_total_limit=1,
        seed=recipe.seed,
        report_to="none",
        remove_unused_columns=False,
        **options,
    )
    columns = [asked._asdict() | {"prompt": rows[asked.row]["prompt"]} for asked in plan]
    stop = StopWhenAsked()
    trainer = VideoGRPOTrainer(
        rows=rows,
        args=arguments,
        model=model,
        processing_class=processor,
        reward_funcs=reward_functions(list(recipe.rewards), rows),
        train_dataset=datasets.Dataset.from_list(columns),
        callbacks=[stop, StopAtNonsense()],
    )
    RewardBar.replace_progress(trainer)
    return trainer, stop


def _open_model(recipe: GRPORecipe) -> tuple[Any, Any]:
    if adapter_base(recipe.model) is not None:
        raise DataError(f"{recipe.model}: is a LoRA adapter; merge it into its base and give that")
    # Weights in float32 also where bf16 computes: an update of 1e-6 of a weight is lost in a bfloat16.
    dtype = "bfloat16" if recipe.lora and recipe.bf16 else "float32"
    try:
        processor = AutoProcessor.from_pretrained(recipe.model)
        model = AutoModelForImageTextToText.from_pretrained(recipe.model, dtype=dtype)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise DataError(f"{recipe.model}: cannot be loaded as a model ({first_line(error)})") from error
    if getattr(processor, "video_processor", None) is None:
        raise DataError(f"{recipe.model}: takes no video; choose a video model")
    if processor.chat_template is None:
        raise DataError(f"{recipe.model}: has no chat template; put its chat_template.jinja there")
    return processor, model if recipe.lora is None else add_adapters(model, recipe.lora)

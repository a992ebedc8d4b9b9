"""A fine-tuning run, from a recipe to a model folder."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, set_seed
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging
from trl import SFTConfig

from stvlm.evaluation.dataset import Split, load_split, may_be_on_the_hub
from stvlm.evaluation.frames import FrameReader
from stvlm.evaluation.trajectories import load_trajectories
from stvlm.evaluation.versions import versions
from stvlm.files import read_json, write_json
from stvlm.programs import first_line
from stvlm.questions.asking import QuestionGates
from stvlm.recipes import to_mapping
from stvlm.records import DataError
from stvlm.training.callbacks import LossBar, StopWhenAsked
from stvlm.training.collator import VideoCollator
from stvlm.training.dataset_clips import DatasetClips
from stvlm.training.learner import Learner
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.optimizer import MuonAndAdamW
from stvlm.training.plan import make_items, make_plan
from stvlm.training.recipe import SFTRecipe
from stvlm.training.trainer import VideoSFTTrainer

RECORD = "training.json"
"""Beside the weights: the recipe, the data and the versions that made them."""
CLAIM = "run.json"
"""Beside the checkpoints: whose they are."""


def train(recipe: SFTRecipe, chat_template: str) -> Path:
    """Trains as the recipe says and returns its output folder, which appears when the model is whole.

    An interrupted run goes on from its last step when it is started again. Raises DataError where data are missing,
    and where the output folder holds the work of another recipe; KeyboardInterrupt when asked to stop.
    """
    started = time.monotonic()
    out = Path(recipe.output_dir)
    work = out.absolute().parent / f".{out.name}.training"
    split = load_split(recipe.dataset, recipe.split)
    identity = {"recipe": to_mapping(recipe), "dataset_fingerprint": split.fingerprint}
    if _is_done(out, identity):
        return out
    _check_unclaimed(work, identity)
    set_seed(recipe.seed)
    # Each worker has a core to itself: threads that wait for one another on a shared core take longer than fewer would.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) - recipe.workers))
    logging.disable_progress_bar()  # of loading and saving; training shows its own
    processor, model = _open_model(recipe, split, chat_template)
    trainer, stop = _make_trainer(recipe, split, processor, model, work)
    write_json(work / CLAIM, identity)
    checkpoint = _last_checkpoint(work / "checkpoints")
    if recipe.trajectories is not None and checkpoint is None:
        _learn_trajectories(recipe, split, processor, model, work)
    trainer.train(resume_from_checkpoint=checkpoint)
    if stop.requested:
        raise KeyboardInterrupt
    trainer.save_model(str(work / "model"))
    if trainer.accelerator.is_main_process:
        # A pickle of the arguments, with this machine's paths in it; the record says all that matters.
        (work / "model" / "training_args.bin").unlink()
        record = {
            **identity,
            "versions": versions(),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": trainer.state.global_step,
            "log": trainer.state.log_history,
            "wall_s": round(time.monotonic() - started, 1),
        }
        write_json(work / "model" / RECORD, record)
        (work / "model").replace(out)
        shutil.rmtree(work)
    trainer.accelerator.wait_for_everyone()
    return out


def _is_done(out: Path, identity: dict[str, Any]) -> bool:
    """Whether `out` holds this run's model already; raises where it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if (out / RECORD).is_file():
        record = read_json(out / RECORD)
        if all(record.get(key) == value for key, value in identity.items()):
            return True
        raise DataError(f"{out}: holds a model of another recipe or dataset; choose another --output_dir")
    raise DataError(f"{out}: is not empty and holds no model of ours; choose another --output_dir")


def _check_unclaimed(work: Path, identity: dict[str, Any]) -> None:
    """Raises where `work` holds the checkpoints of another run."""
    if (work / CLAIM).exists() and read_json(work / CLAIM) != identity:
        raise DataError(
            f"{work}: holds checkpoints of another recipe or dataset; remove it or choose another --output_dir"
        )


def _last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; torsos of a killed run are removed."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / "trainer_state.json").is_file():
            shutil.rmtree(checkpoint)
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def _open_model(recipe: SFTRecipe, split: Split, chat_template: str) -> tuple[Any, PreTrainedModel]:
    if recipe.new_model is not None:
        texts = (text for row in split.rows for text in (row["prompt"], row["answer"]))
        tokenizer = train_tokenizer(texts, recipe.new_model.vocabulary)
        processor = make_processor(recipe.new_model, tokenizer, chat_template)
        return processor, make_model(recipe.new_model, processor)
    assert recipe.model is not None  # the recipe has seen to it
    if not Path(recipe.model).is_dir() and not may_be_on_the_hub(recipe.model):
        raise DataError(f"{recipe.model}: no such model folder; give one, or a Hub id")
    try:
        processor = AutoProcessor.from_pretrained(recipe.model)
        # Weights in float32 also where bf16 computes: an update of 1e-5 of a weight is lost in a bfloat16.
        model = AutoModelForImageTextToText.from_pretrained(recipe.model, dtype="float32")
    except (OSError, ValueError) as error:
        raise DataError(f"{recipe.model}: cannot be loaded as a model ({first_line(error)})") from error
    processor.chat_template = chat_template
    return processor, model


def _learn_trajectories(recipe: SFTRecipe, split: Split, processor: Any, model: PreTrainedModel, work: Path) -> None:
    assert recipe.trajectories is not None
    reader = FrameReader(processor.video_processor, work / "frames" if recipe.cache_frames else None)
    clips = DatasetClips(split.rows, load_trajectories(recipe.dataset, recipe.split), reader)
    learner = Learner(model, processor, recipe.trajectories, QuestionGates(parts=0), recipe.seed)
    learner.run(clips, work / "trajectories.pt")


def _make_trainer(
    recipe: SFTRecipe, split: Split, processor: Any, model: PreTrainedModel, work: Path
) -> tuple[VideoSFTTrainer, StopWhenAsked]:
    items = make_items(split.rows, recipe.pack_questions)
    groups_per_step, rest = divmod(recipe.batch_size, recipe.batch_size_per_device)
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    if rest or groups_per_step % devices:
        raise DataError(
            f"batch_size {recipe.batch_size} is not a multiple of batch_size_per_device {recipe.batch_size_per_device} "
            f"times {devices} devices"
        )
    decaying = recipe.schedule == "hold_then_decay"
    plan = make_plan(items, recipe, groups_per_step)
    steps = -(-len(plan) // groups_per_step)
    arguments = SFTConfig(
        output_dir=str(work / "checkpoints"),
        num_train_epochs=1,  # of the plan, which holds the recipe's epochs
        train_sampling_strategy="sequential",
        per_device_train_batch_size=1,  # group of the plan
        gradient_accumulation_steps=groups_per_step // devices,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type="warmup_stable_decay" if decaying else "cosine",
        lr_scheduler_kwargs={"num_decay_steps": round(recipe.decay_share * steps)} if decaying else None,
        max_grad_norm=recipe.max_grad_norm,
        bf16=recipe.bf16,
        gradient_checkpointing=None,  # the old name of the next
        activation_checkpointing=recipe.gradient_checkpointing,
        dataloader_num_workers=recipe.workers,
        dataloader_pin_memory=False,
        save_steps=recipe.save_steps,
        save_total_limit=1,
        seed=recipe.seed,
        report_to="none",
        # TRL tokenizes, truncates and drops columns for text; the collator does all of it for video.
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        max_length=None,
    )
    cache = work / "frames" if recipe.cache_frames else None
    comparisons = recipe.grounding.comparisons_per_clip if recipe.grounding else 0
    reader = FrameReader(processor.video_processor, cache)
    stop = StopWhenAsked()
    trainer = VideoSFTTrainer(
        model=model,
        args=arguments,
        processing_class=processor,
        train_dataset=datasets.Dataset.from_list([group._asdict() for group in plan]),
        data_collator=VideoCollator(processor, reader, items, augment=recipe.augment, comparisons_per_clip=comparisons),
        optimizers=(_muon(model, recipe), None) if recipe.optimizer == "muon" else (None, None),
        callbacks=[stop],
    )
    LossBar.replace_progress(trainer)
    return trainer, stop


def _muon(model: PreTrainedModel, recipe: SFTRecipe) -> MuonAndAdamW:
    return MuonAndAdamW(model, recipe.learning_rate, recipe.weight_decay)

"""A fine-tuning run, from a recipe to a model folder."""

from __future__ import annotations

import os
import warnings
from datetime import timedelta
from pathlib import Path

import datasets
import torch
from accelerate import PartialState
from transformers import PreTrainedModel, set_seed
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging
from trl import SFTConfig

from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.frames import FrameReader
from stvlm.evaluation.trajectories import load_trajectories
from stvlm.evaluation.versions import versions
from stvlm.files import write_json
from stvlm.hub import upload
from stvlm.questions.asking import QuestionGates
from stvlm.recipes import to_mapping
from stvlm.training.beginning import Start, begin, in_main_process, spreads_weights
from stvlm.training.benchmarking import AnswerBenchmark
from stvlm.training.callbacks import LossBar, StopAtNonsense, StopWhenAsked
from stvlm.training.collator import Collator
from stvlm.training.cost import Clock, KeepTime
from stvlm.training.dataset_clips import DatasetClips
from stvlm.training.exporting import TRAINED, finish
from stvlm.training.families import family_of
from stvlm.training.learner import Learner
from stvlm.training.opening import open_model
from stvlm.training.optimizer import MuonAndAdamW
from stvlm.training.ownership import CLAIM, RECORD, places, remove_torsos
from stvlm.training.recipe import SFTRecipe
from stvlm.training.sizes import fits
from stvlm.training.trainer import VideoSFTTrainer

SMALLER = (
    "lower batch_size_per_device, share the weights among more GPUs (training/accelerate/fsdp2.yaml), or train "
    "adapters (lora, quantization), under another --output_dir"
)
"""What to do where memory is full: all of it changes which groups pass, or the weights."""
PATIENCE = timedelta(hours=6)
"""How long processes wait for the one that prepares what all of them need."""


def train(recipe: SFTRecipe, chat_template: str) -> Path:
    """Trains as the recipe says and returns its output folder, which appears when the model is whole.

    An interrupted run goes on from its last step when it is started again. Raises DataError for whatever `begin` finds,
    and where memory or a disk is full or a loss is no number; KeyboardInterrupt when asked to stop.
    """
    out, work = places(recipe.output_dir)
    clock = Clock(work)
    # Without a GPU and this word, each of several processes would take itself for the only one.
    machine = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    start = in_main_process(lambda: begin(recipe, chat_template))
    if start is not None:
        with fits(SMALLER):
            _make(recipe, start, work, out, clock)
    if recipe.push_to_hub is not None and machine.is_main_process:
        upload(out, recipe.push_to_hub, "model", marker=RECORD)
    return out


def _make(recipe: SFTRecipe, start: Start, work: Path, out: Path, clock: Clock) -> None:
    """Makes the output folder."""
    machine = PartialState()
    set_seed(recipe.seed)
    # Each worker has a core to itself: threads that wait for one another on a shared core take longer than fewer would.
    cores = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or max(1, cores - recipe.workers)))
    logging.disable_progress_bar()  # of loading and saving; training shows its own
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)  # peft asks for it
    arguments = _make_arguments(recipe, start, work)  # first: of ZeRO-3, they have each process load its part alone
    model = open_model(recipe, start.processor)
    trainer, stop = _make_trainer(recipe, start, model, arguments, work)
    checkpoints = work / "checkpoints"
    if machine.is_main_process:
        remove_torsos(checkpoints)
        write_json(work / CLAIM, start.identity)
    machine.wait_for_everyone()
    checkpoint = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    if recipe.trajectories is not None and checkpoint is None:
        _learn_trajectories(recipe, start, model, work, clock)
    trainer.add_callback(KeepTime(clock))
    trainer.train(resume_from_checkpoint=checkpoint)
    if stop.requested:
        raise KeyboardInterrupt
    trainer.save_trained(work / TRAINED)
    record = {
        **start.identity,
        **start.data,
        "recipe": to_mapping(recipe),
        "parameters": start.sizes.parameters,
        "trained_parameters": start.sizes.trained,
        "versions": versions(),
        "processes": machine.num_processes,
        "steps": trainer.state.global_step,
        "log": trainer.state.log_history,
        **clock.cost(),
    }
    machine.destroy_process_group()
    if machine.is_main_process:
        finish(recipe, record, start.processor, work, out)


def _learn_trajectories(recipe: SFTRecipe, start: Start, model: PreTrainedModel, work: Path, clock: Clock) -> None:
    """Teaches a new model how the dataset's clips move, before their rows; goes on where it was killed."""
    assert recipe.trajectories is not None  # the caller has seen to it
    rows = load_split(recipe.dataset, recipe.split, None, recipe.config).rows
    clips = DatasetClips(rows, load_trajectories(recipe.dataset, recipe.split), _reader(recipe, start, model, work))
    learner = Learner(model, start.processor, recipe.trajectories, QuestionGates(parts=0), recipe.seed)
    learner.run(clips, work / "trajectories.pt", clock)


def _reader(recipe: SFTRecipe, start: Start, model: PreTrainedModel, work: Path) -> FrameReader:
    cache = work / "frames" if recipe.cache_frames else None
    return FrameReader(start.processor.video_processor, cache, family_of(model.config.model_type).resized)


def _make_arguments(recipe: SFTRecipe, start: Start, work: Path) -> SFTConfig:
    decaying = recipe.schedule == "hold_then_decay"
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(work / "runs")  # the place where the Hub looks for them
    os.environ.setdefault("WANDB_PROJECT", "stvlm")
    return SFTConfig(
        output_dir=str(work / "checkpoints"),
        num_train_epochs=1,  # of the plan, which holds the recipe's epochs
        train_sampling_strategy="sequential",
        per_device_train_batch_size=1,  # group of the plan
        gradient_accumulation_steps=start.groups_per_step // PartialState().num_processes,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type="warmup_stable_decay" if decaying else "cosine",
        lr_scheduler_kwargs={"num_decay_steps": round(recipe.decay_share * start.steps)} if decaying else None,
        max_grad_norm=recipe.max_grad_norm,
        bf16=recipe.bf16,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=None,  # the old name of the next
        activation_checkpointing=recipe.gradient_checkpointing,
        dataloader_num_workers=recipe.workers,
        dataloader_persistent_workers=recipe.workers > 0,
        dataloader_pin_memory=False,
        save_steps=recipe.save_steps,
        save_total_limit=1,
        logging_steps=1,
        logging_nan_inf_filter=False,  # or it shows the mean of the steps before in place of what is no number
        seed=recipe.seed,
        report_to=recipe.report_to,
        project="stvlm",
        run_name=Path(recipe.output_dir).name,
        ddp_timeout=int(PATIENCE.total_seconds()),
        # TRL tokenizes, truncates and drops columns for text; the collator does all of it for video.
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        max_length=None,
    )


def _make_trainer(
    recipe: SFTRecipe, start: Start, model: PreTrainedModel, arguments: SFTConfig, work: Path
) -> tuple[VideoSFTTrainer, StopWhenAsked]:
    collator = Collator(
        start.processor,
        model.config.model_type,
        _reader(recipe, start, model, work),
        start.samples,
        augment=recipe.augment,
        padding_free=recipe.padding_free,
        always_visual=spreads_weights(),
    )
    muon = MuonAndAdamW(model, recipe.learning_rate, recipe.weight_decay) if recipe.optimizer == "muon" else None
    stop = StopWhenAsked()
    trainer = VideoSFTTrainer(
        model=model,
        args=arguments,
        processing_class=start.processor,
        train_dataset=datasets.Dataset.from_list([group._asdict() for group in start.plan]),
        data_collator=collator,
        optimizers=(muon, None),
        callbacks=[stop, StopAtNonsense()],
    )
    if recipe.quantization is not None:
        # TRL has made the adapters bfloat16, in which small updates are lost.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    if recipe.benchmark is not None:
        trainer.add_callback(AnswerBenchmark(recipe.benchmark, start.questions, trainer, in_step=spreads_weights()))
    LossBar.replace_progress(trainer)
    return trainer, stop

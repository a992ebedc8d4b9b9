"""A fine-tuning run, from a recipe to a model folder."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import torch
from accelerate import PartialState
from safetensors import SafetensorError
from transformers import PreTrainedModel, set_seed
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging
from trl import SFTConfig

from stvlm.evaluation.answering import fingerprint
from stvlm.evaluation.dataset import Row, Split, load_split
from stvlm.evaluation.frames import FrameReader
from stvlm.evaluation.versions import versions
from stvlm.files import read_json, write_json
from stvlm.programs import first_line
from stvlm.publishing.hub import check_target, upload
from stvlm.recipes import to_mapping
from stvlm.records import DataError
from stvlm.training.benchmarking import AnswerBenchmark, load_questions
from stvlm.training.callbacks import LossBar, StopAtNonsense, StopWhenAsked
from stvlm.training.collator import VideoCollator
from stvlm.training.exporting import export
from stvlm.training.opening import check_device, check_model, open_model, open_processor
from stvlm.training.optimizer import MuonAndAdamW
from stvlm.training.packing import IGNORED
from stvlm.training.plan import Group, Item, make_items, make_plan
from stvlm.training.recipe import SFTRecipe
from stvlm.training.trainer import VideoSFTTrainer

RECORD = "training.json"
"""Beside the weights: the recipe, the data and the versions that made them."""
CLAIM = "run.json"
"""Beside the checkpoints: whose they are."""
PATIENCE = timedelta(hours=6)
"""How long processes wait for the one that prepares what all of them need."""
NO_MATTER = ("output_dir", "workers", "save_steps", "report_to", "push_to_hub")
"""Keys of a recipe that change nothing about the weights, and may change before a run goes on."""


class Start(NamedTuple):
    """What a run trains on, in order, once nothing is found that would end it."""

    split: Split
    items: list[Item]
    plan: list[Group]
    groups_per_step: int
    questions: list[Row]
    """Of the benchmark; none without one."""
    identity: dict[str, Any]
    """What two runs have in common of which one may go on where the other stopped."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return -(-len(self.plan) // self.groups_per_step)


def train(recipe: SFTRecipe, chat_template: str) -> Path:
    """Trains as the recipe says and returns its output folder, which appears when the model is whole.

    An interrupted run goes on from its last step when it is started again. Raises DataError where data are missing,
    and where the output folder holds the work of another recipe; KeyboardInterrupt when asked to stop.
    """
    started = time.monotonic()
    out, work = _places(recipe)
    machine = PartialState(timeout=PATIENCE)
    start = begin(recipe, chat_template)
    if is_done(out, start.identity):
        _publish(recipe, out, machine)
        return out
    set_seed(recipe.seed)
    # Each worker has a core to itself: threads that wait for one another on a shared core take longer than fewer would.
    cores = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(max(1, cores - recipe.workers))
    logging.disable_progress_bar()  # of loading and saving; training shows its own
    processor = open_processor(recipe, _texts(start.split), chat_template)
    model = open_model(recipe, processor)
    trainer, stop = _make_trainer(recipe, start, processor, model, work)
    if machine.is_main_process:
        remove_torsos(work / "checkpoints")
        write_json(work / CLAIM, start.identity)
    machine.wait_for_everyone()
    checkpoints = work / "checkpoints"
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    if stop.requested:
        raise KeyboardInterrupt
    trainer.save_model(str(work / "trained"))
    record = {
        **start.identity,
        "recipe": _plain(recipe),
        "base_model": recipe.model,
        "versions": versions(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained_parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "processes": machine.num_processes,
        "steps": trainer.state.global_step,
        "log": trainer.state.log_history,
        "wall_s": round(time.monotonic() - started, 1),
    }
    del trainer, model  # what is merged and rounded needs their memory
    machine.destroy_process_group()
    if machine.is_main_process:
        _finish(recipe, record, processor, work, out)
    _publish(recipe, out, machine)
    return out


def begin(recipe: SFTRecipe, chat_template: str) -> Start:
    """Everything that a run needs to know before it loads a model; raises DataError for whatever would end it later.

    What takes longest comes last.
    """
    _, work = _places(recipe)
    check_device(recipe)
    check_model(recipe)
    if recipe.report_to != "none" and find_spec(recipe.report_to) is None:
        raise DataError(f"report_to: {recipe.report_to} is not installed; type: pip install {recipe.report_to}")
    if "{% generation %}" not in chat_template.replace("{%-", "{%").replace("-%}", "%}"):
        raise DataError("the chat template has no {% generation %} marks around what the assistant says: no token would "
                        "carry loss; use training/chat_template.jinja")  # fmt: skip
    if recipe.push_to_hub is not None:
        check_target(recipe.push_to_hub, "model", marker=RECORD)
    questions = load_questions(recipe.benchmark) if recipe.benchmark else []
    split = load_split(recipe.dataset, recipe.split, None, recipe.config)
    for row in split.rows:
        if not row["answer"] or not row["target"]:
            raise DataError(f"{recipe.dataset}: row {row['id']} has no answer or no target; build the dataset again")
    items = make_items(split.rows, recipe.pack_questions)
    groups_per_step, rest = divmod(recipe.batch_size, recipe.batch_size_per_device)
    devices = PartialState().num_processes
    if rest or groups_per_step % devices:
        raise DataError(
            f"batch_size {recipe.batch_size} is not a multiple of batch_size_per_device {recipe.batch_size_per_device} "
            f"times {devices} devices"
        )
    plan = make_plan(items, recipe, groups_per_step)
    if len(plan) < devices:
        raise DataError(
            f"{recipe.dataset}: {len(plan)} groups of samples are fewer than {devices} processes; use fewer"
        )
    kept = {key: value for key, value in _plain(recipe).items() if key not in NO_MATTER}
    identity = {"recipe": kept, "dataset_fingerprint": split.fingerprint}
    check_unclaimed(work, identity)
    return Start(split, items, plan, groups_per_step, questions, identity)


def is_done(out: Path, identity: dict[str, Any]) -> bool:
    """Whether `out` holds this run's model already; raises where it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if (out / RECORD).is_file():
        record = read_json(out / RECORD)
        record["recipe"] = {key: value for key, value in record["recipe"].items() if key not in NO_MATTER}
        if all(record.get(key) == value for key, value in identity.items()):
            return True
        raise DataError(f"{out}: holds a model of another recipe or dataset; choose another --output_dir")
    raise DataError(f"{out}: is not empty and holds no model of ours; choose another --output_dir")


def check_unclaimed(work: Path, identity: dict[str, Any]) -> None:
    """Raises where `work` holds the checkpoints of another run."""
    if (work / CLAIM).exists() and read_json(work / CLAIM) != identity:
        raise DataError(
            f"{work}: holds checkpoints of another recipe or dataset; remove it or choose another --output_dir"
        )


def remove_torsos(folder: Path) -> None:
    """Removes checkpoints that were not written to their end, as a kill or a full disk leaves them."""
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            read_json(checkpoint / "trainer_state.json")  # is written last
        except DataError:
            shutil.rmtree(checkpoint)


def _places(recipe: SFTRecipe) -> tuple[Path, Path]:
    """The output folder, and the hidden one beside it that a run works in."""
    out = Path(recipe.output_dir)
    return out, out.absolute().parent / f".{out.name}.training"


def _plain(recipe: SFTRecipe) -> dict[str, Any]:
    """The recipe as it is read back from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(to_mapping(recipe)))
    return plain


def _texts(split: Split) -> list[str]:
    return [text for row in split.rows for text in (row["prompt"], row["answer"])]


def _finish(recipe: SFTRecipe, record: dict[str, Any], processor: Any, work: Path, out: Path) -> None:
    """Makes the output folder of what was trained, at once."""
    if recipe.model is not None:
        record["base_model"] = fingerprint(recipe.model)
    try:
        export(recipe, work / "trained", processor, work / "model")
        # What is exported has been copied; so is what the trackers keep in files.
        if (work / "runs").is_dir():
            shutil.copytree(work / "runs", work / "model" / "runs")
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{work}: the model cannot be written ({first_line(error)}); free some space and run the same command "
            "again, which only has that left to do"
        ) from error
    write_json(work / "model" / RECORD, record)
    (work / "model").replace(out)
    shutil.rmtree(work)


def _publish(recipe: SFTRecipe, out: Path, machine: PartialState) -> None:
    if recipe.push_to_hub is not None and machine.is_main_process:
        upload(out, recipe.push_to_hub, "model", marker=RECORD)


def _make_trainer(
    recipe: SFTRecipe, start: Start, processor: Any, model: PreTrainedModel, work: Path
) -> tuple[VideoSFTTrainer, StopWhenAsked]:
    machine = PartialState()
    decaying = recipe.schedule == "hold_then_decay"
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(work / "runs")  # the place where the Hub looks for them
    os.environ.setdefault("WANDB_PROJECT", "stvlm")
    arguments = SFTConfig(
        output_dir=str(work / "checkpoints"),
        num_train_epochs=1,  # of the plan, which holds the recipe's epochs
        train_sampling_strategy="sequential",
        per_device_train_batch_size=1,  # group of the plan
        gradient_accumulation_steps=start.groups_per_step // machine.num_processes,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type="warmup_stable_decay" if decaying else "cosine",
        lr_scheduler_kwargs={"num_decay_steps": round(recipe.decay_share * start.steps)} if decaying else None,
        max_grad_norm=recipe.max_grad_norm,
        bf16=recipe.bf16,
        gradient_checkpointing=None,  # the old name of the next
        activation_checkpointing=recipe.gradient_checkpointing,
        dataloader_num_workers=recipe.workers,
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
    cache = work / "frames" if recipe.cache_frames else None
    comparisons = recipe.grounding.comparisons_per_clip if recipe.grounding else 0
    reader = FrameReader(processor.video_processor, cache)
    collator = VideoCollator(processor, reader, start.items, augment=recipe.augment, comparisons_per_clip=comparisons)
    stop = StopWhenAsked()
    trainer = VideoSFTTrainer(
        model=model,
        args=arguments,
        processing_class=processor,
        train_dataset=datasets.Dataset.from_list(_shared_out(start.plan, machine.num_processes)),
        data_collator=_Filled(collator),
        optimizers=(MuonAndAdamW(model, recipe.learning_rate, recipe.weight_decay), None)
        if recipe.optimizer == "muon"
        else (None, None),
        callbacks=[stop, StopAtNonsense()],
    )
    if recipe.quantization is not None:
        # TRL has made the adapters bfloat16, in which small updates are lost.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    if recipe.benchmark is not None:
        trainer.add_callback(AnswerBenchmark(recipe.benchmark, start.questions, trainer))
    LossBar.replace_progress(trainer)
    return trainer, stop


def _shared_out(plan: list[Group], processes: int) -> list[dict[str, Any]]:
    """The plan's groups, filled up so that all processes get equally many; what fills it up carries no loss.

    Filled up by accelerate, the last step would count its first groups twice.
    """
    rows = [{**group._asdict(), "counts": True} for group in plan]
    return rows + [{**rows[-1], "counts": False}] * (-len(rows) % processes)


class _Filled:
    """A collator's batches, without labels where a group only fills up the last step."""

    def __init__(self, collate: VideoCollator) -> None:
        self._collate = collate

    def __call__(self, groups: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        counts = groups[0].pop("counts")
        batch = self._collate(groups)
        if not counts:
            batch["labels"] = torch.full_like(batch["labels"], IGNORED)
        return batch

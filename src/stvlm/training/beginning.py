"""The start of a run: what it trains on and in which order, once nothing is found that would end it later."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset

from stvlm.evaluation.answering import fingerprint
from stvlm.evaluation.dataset import Row, load_split
from stvlm.files import read_json
from stvlm.hub import check_target
from stvlm.records import DataError
from stvlm.training.benchmarking import load_questions
from stvlm.training.blend.make import MANIFEST, make_samples
from stvlm.training.families import family_of
from stvlm.training.lengths import Lengths, measure, too_long
from stvlm.training.opening import check_device, model_type, open_processor
from stvlm.training.ownership import RECORD, check_unclaimed, is_done, places, that_matters
from stvlm.training.plan import Group, fill_up, make_plan
from stvlm.training.recipe import SFTRecipe
from stvlm.training.samples import of_rows, write_samples
from stvlm.training.sizes import Sizes, check_disk, disk_bytes, measure_model, memory_bytes

T = TypeVar("T")

SAMPLES = "samples.arrow"
"""Beside them: what is trained on of the dataset, and in a folder of its own what it is blended with."""
BLEND = "blend"


class Start(NamedTuple):
    """What a run trains on, in order, and what it is like."""

    processor: Any
    samples: Dataset
    plan: list[Group]
    """Filled up for all devices."""
    groups_per_step: int
    questions: list[Row]
    """Of the benchmark; none without one."""
    longest: int
    """Tokens of the longest sample that is trained on."""
    mean_tokens: float
    visual: int
    """Tokens of the longest sample's medium."""
    sizes: Sizes
    disk_bytes: int
    """About, at the most."""
    data: dict[str, Any]
    """What went in, for the record."""
    identity: dict[str, Any]
    """What two runs have in common of which one may go on where the other stopped."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return -(-len(self.plan) // self.groups_per_step)


def in_main_process(do: Callable[[], T]) -> T:
    """What `do` returns in the main process, in all of them. Raises DataError in all of them where it failed."""
    machine = PartialState()
    if machine.num_processes == 1:
        return do()
    outcome: list[Any] = [None, None]
    if machine.is_main_process:
        try:
            outcome[0] = do()
        except (DataError, OSError) as error:
            outcome[1] = str(error)
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise DataError(outcome[1])
    result: T = outcome[0]
    return result


def begin(recipe: SFTRecipe, chat_template: str) -> Start | None:
    """Everything that a run needs to know before it loads a model; None where its output folder holds it already.

    Raises DataError for whatever would end the run later. What takes longest comes last.
    """
    out, work = places(recipe.output_dir)
    kind = _check_surroundings(recipe)
    groups_per_step = _groups_per_step(recipe)
    questions = load_questions(recipe.benchmark) if recipe.benchmark else []
    split = load_split(recipe.dataset, recipe.split, None, recipe.config)
    for row in split.rows:
        if not row["answer"]:
            raise DataError(f"{recipe.dataset}: row {row['id']} has no answer; build the dataset again")
    identity = {"recipe": that_matters(recipe), "dataset_fingerprint": split.fingerprint}
    base = None
    if recipe.model is not None and Path(recipe.model).is_dir():  # on the Hub, a new commit may be a new card alone
        identity["base_model"] = base = fingerprint(recipe.model)
    if is_done(out, identity):
        return None
    check_unclaimed(work, identity)
    samples = write_samples(of_rows(split.rows, recipe.pack_questions), work / SAMPLES)
    if recipe.blend is not None:
        samples = make_samples(recipe.blend, samples, recipe.seed, work / BLEND)
    processor = open_processor(recipe, _texts(samples), chat_template)
    lengths = measure(samples, processor, kind, recipe.max_length)
    plan = make_plan(samples, lengths, recipe, groups_per_step)
    left_out = too_long(lengths, recipe.max_length)
    longest = int(np.argmax(np.where(left_out, 0, lengths.tokens)))
    sizes = measure_model(recipe, processor)
    reach = np.where(left_out, 0, lengths.positions)
    if (most := int(reach.max())) > sizes.positions:
        raise DataError(
            f"sample {samples[int(reach.argmax())]['id']}: has {most} positions, and the model was made for "
            f"{sizes.positions}; set max_length to {sizes.positions}, which leaves out what has more tokens"
        )
    needed = disk_bytes(sizes, recipe) + (_cache_bytes(samples, lengths, processor, kind) if recipe.cache_frames else 0)
    check_disk(needed, work)
    return Start(
        processor=processor,
        samples=samples,
        plan=fill_up(plan, PartialState().num_processes),
        groups_per_step=groups_per_step,
        questions=questions,
        longest=int(lengths.tokens[longest]),
        mean_tokens=float(lengths.tokens[~left_out].mean()),
        visual=int(lengths.visual[longest]),
        sizes=sizes,
        disk_bytes=needed,
        data={
            "base_model": None if recipe.model is None else base or fingerprint(recipe.model),
            "dataset": {"path": recipe.dataset, "revision": split.revision, "questions": len(split.rows)},
            "samples": dict(Counter(samples["source"])),
            "blend": None if recipe.blend is None else read_json(work / BLEND / MANIFEST),
            "left_out": {f"over {recipe.max_length} tokens": int(left_out.sum())} if left_out.any() else {},
        },
        identity=identity,
    )


def spreads_weights() -> bool:
    """Whether each process holds a part of the model's weights (FSDP, ZeRO-3), as the launch file told accelerate."""
    return any(os.environ.get(f"ACCELERATE_USE_{way}", "").lower() == "true" for way in ("FSDP", "DEEPSPEED"))


def check(recipe: SFTRecipe, chat_template: str) -> str:
    """What a run would need, for a screen; raises DataError for what would end it."""
    start, machine = in_main_process(lambda: begin(recipe, chat_template)), PartialState()
    if start is None:
        return f"{recipe.output_dir}: holds the model of this recipe and dataset already"
    sizes, tokens = start.sizes, start.longest * recipe.batch_size_per_device
    shards = machine.num_processes if spreads_weights() else 1
    memory = memory_bytes(sizes, recipe, tokens, start.visual * recipe.batch_size_per_device, shards)
    there = f" of {torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB" if torch.cuda.is_available() else ""
    of_source = ", ".join(f"{count:,} of {source}" for source, count in start.data["samples"].items())
    told = {
        "samples": f"{len(start.samples):,}: {of_source}",
        "left out": ", ".join(f"{count:,} {reason}" for reason, count in start.data["left_out"].items()),
        "steps": f"{start.steps:,} of {recipe.batch_size} samples on {machine.num_processes} device(s)",
        "tokens": f"{start.longest:,} in the longest sample, {start.visual:,} of them visual; {start.mean_tokens:,.0f} "
        "on average",
        "parameters": f"{sizes.parameters:,}, trained {sizes.trained:,}, in 4 bits {sizes.in_four_bits:,}",
        "memory": f"about {memory / 1e9:,.1f} GB{there} a device (an estimate)",
        "disk": f"about {start.disk_bytes / 1e9:,.1f} GB at the most",
    }
    return "\n".join(f"{name:<12}{text}" for name, text in told.items() if text)


def _check_surroundings(recipe: SFTRecipe) -> str:
    """The model's type. Raises DataError where the machine, the model, a package or the Hub would end the run."""
    check_device(recipe)
    if recipe.trajectories is not None and PartialState().num_processes > 1:
        raise DataError("trajectories are learned by one process; start it without accelerate")
    if recipe.report_to != "none" and find_spec(recipe.report_to) is None:
        raise DataError(f"report_to: {recipe.report_to} is not installed; type: pip install {recipe.report_to}")
    kind = model_type(recipe)
    family_of(kind)
    if recipe.push_to_hub is not None:
        check_target(recipe.push_to_hub, "model", marker=RECORD)
    return kind


def _groups_per_step(recipe: SFTRecipe) -> int:
    groups_per_step, rest = divmod(recipe.batch_size, recipe.batch_size_per_device)
    devices = PartialState().num_processes
    if rest or groups_per_step % devices:
        raise DataError(
            f"batch_size {recipe.batch_size} is not a multiple of batch_size_per_device {recipe.batch_size_per_device} "
            f"times {devices} devices"
        )
    return groups_per_step


def _texts(samples: Dataset) -> Iterator[str]:
    for row in samples.select_columns(["conversations"]):
        for turns in row["conversations"]:
            for turn in turns:
                yield from (turn["prompt"], turn["answer"])


def _cache_bytes(samples: Dataset, lengths: Lengths, processor: Any, kind: str) -> int:
    """About what all videos' frames have in the size that the model sees."""
    frames_of = dict(zip(samples["path"], lengths.frames.tolist(), strict=True))
    width, height = samples[0]["size_px"]  # of STKit, which comes first
    frame = torch.empty((1, 3, height, width), dtype=torch.uint8, device="meta")
    return sum(frames_of.values()) * int(family_of(kind).resized(processor.video_processor, frame).numel())

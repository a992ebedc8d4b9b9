"""What a model is trained from, on and how: the recipe files of training/recipes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Optimizer = Literal["adamw", "muon"]
Schedule = Literal["cosine", "hold_then_decay"]
Tracker = Literal["none", "tensorboard", "trackio", "wandb"]
Export = Literal["adapter", "merged"]
FourBits = Literal["nf4", "fp4"]
Reader = Literal["llava_video", "open_spatial", "conversations"]
Subject = Literal["boxes", "motion", "questions"]


def check_least(recipe: Any, least: Mapping[str, float]) -> None:
    """Raises ValueError for a recipe's key whose number is under its least one, or is none."""
    for name, bound in least.items():
        if not bound <= (value := getattr(recipe, name)) < math.inf:
            raise ValueError(f"{name} must be at least {bound}, got {value}")


@dataclass(frozen=True)
class NewModel:
    """A LLaVA-OneVision made from nothing, in the sizes that a CPU trains."""

    image_size_px: int = 112
    patch_size_px: int = 28
    """A frame gives (image / patch / 2)^2 tokens: LLaVA-OneVision pools pairs of patches in both axes."""
    hidden_size: int = 64
    heads: int = 4
    vision_layers: int = 2
    language_layers: int = 2
    vocabulary: int = 1200
    """Tokens at most, the 256 bytes among them; the tokenizer is trained on the dataset's prompts and answers."""
    initializer_range: float = 0.1
    """Standard deviation of the new weights. At this width the usual 0.02 leaves a model on its first plateau."""

    def __post_init__(self) -> None:
        sizes = ("image_size_px", "patch_size_px", "hidden_size", "heads", "vision_layers", "language_layers")
        check_least(self, dict.fromkeys((*sizes, "vocabulary"), 1) | {"initializer_range": 0})
        if self.image_size_px % (2 * self.patch_size_px):
            raise ValueError("image_size_px must be a multiple of twice patch_size_px")
        if self.hidden_size % self.heads:
            raise ValueError("hidden_size must be a multiple of heads")


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (LoRA), trained in place of the weights that they are added to."""

    r: int = 64
    alpha: int = 128
    dropout: float = 0.05
    targets: str = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
    """A regular expression that the whole names of the adapted modules match. A list of last names would be met by the
    vision tower's as well.
    """
    export: tuple[Export, ...] = ("adapter",)
    """What is left at the end: the adapter, the model that it is merged into, or both, in `adapter` within the model's
    folder.
    """

    def __post_init__(self) -> None:
        if not self.export or not set(self.export) <= set(get_args(Export)):
            raise ValueError(f"lora: export lists one or more of {', '.join(get_args(Export))}; got {self.export!r}")
        if self.r < 1 or self.alpha < 1 or not 0 <= self.dropout < 1:
            raise ValueError("lora: r and alpha are at least 1, dropout is at least 0 and below 1")
        try:
            re.compile(self.targets)
        except re.error as error:
            raise ValueError(f"lora: targets is no regular expression ({error})") from error


@dataclass(frozen=True)
class Quantization:
    """Frozen weights in 4 bits, by bitsandbytes; the defaults are QLoRA's."""

    type: FourBits = "nf4"
    double: bool = True
    """Whether the quantisation constants are quantised as well."""
    skip: tuple[str, ...] = (".*vision_tower", ".*multi_modal_projector", ".*visual", ".*lm_head")
    """Regular expressions of the modules that keep their precision, and all within them."""

    def __post_init__(self) -> None:
        if self.type not in get_args(FourBits):
            raise ValueError(f"quantization: type is one of {', '.join(get_args(FourBits))}; got {self.type!r}")


@dataclass(frozen=True)
class Benchmark:
    """Questions that the model answers while it is trained, scored as `evaluate_model.py` scores them."""

    dataset: str
    """A built benchmark's folder, or its Hub id."""
    config: str | None = None
    split: str = "test"
    questions: int = 210
    """At most, evenly over the tasks."""
    steps: int = 200
    """How many optimizer steps apart; the last step is always followed by one."""
    batch_size: int = 32
    """Questions at once. What does not fit into memory is halved; where processes share weights, it ends the run."""
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        check_least(self, dict.fromkeys(("questions", "steps", "batch_size", "max_new_tokens"), 1))


@dataclass(frozen=True)
class BlendSource:
    """Conversations of another data set, as the modules of `stvlm.training.blend` that are named as readers tell."""

    reader: Reader
    path: str
    """Of its list of conversations; LLaVA-Video-178K has many, below this folder."""
    count: int
    """How many are taken: exactly so many, or the run does not start."""
    media: str | None = None
    """The folder that its images or videos are below; null where they are beside the list."""
    licence: str | None = None
    """Its terms, for the manifest; null for what its reader knows of them."""

    def __post_init__(self) -> None:
        if self.reader not in get_args(Reader):
            raise ValueError(f"reader is one of {', '.join(get_args(Reader))}; got {self.reader!r}")
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")


@dataclass(frozen=True)
class Blend:
    """What STKit is blended with, so that a model keeps what it knew (the paper's section 3.4)."""

    sources: Mapping[str, BlendSource]
    """By name, which is the samples' `source`."""
    max_frames: int = 32
    """Of a video with more, as many are shown, spread evenly from first to last. The paper does not say how many."""

    def __post_init__(self) -> None:
        for name in self.sources:
            if not re.fullmatch("[a-z0-9_]+", name) or name == "stkit":
                raise ValueError(f"blend: {name!r} names no source; take small letters, digits and _, and not 'stkit'")
        if self.max_frames < 2:
            raise ValueError(f"blend: max_frames must be at least 2, got {self.max_frames}")


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
    weight: float = 0.5
    """Of what frames and words are asked about motion, where questions are learned as well."""

    def __post_init__(self) -> None:
        if self.learn not in get_args(Subject):
            raise ValueError(f"learn is one of {', '.join(get_args(Subject))}; got {self.learn!r}")
        check_least(self, {"steps": 1, "batch_size": 1, "learning_rate": 0, "decay_share": 0, "weight": 0})
        if self.decay_share > 1:
            raise ValueError(f"decay_share must be at most 1, got {self.decay_share}")


@dataclass(frozen=True)
class Stages:
    """What a new model learns from clips whose trajectories are known (see `trajectories`)."""

    stages: tuple[Stage, ...]
    layer: int = 4
    """After how many of the language model's layers frames are asked how objects move."""
    save_steps: int = 200

    def __post_init__(self) -> None:
        if not self.stages or self.layer < 1 or self.save_steps < 1:
            raise ValueError("stages holds at least one entry; layer and save_steps are at least 1")


@dataclass(frozen=True)
class SFTRecipe:
    """A fine-tuning run. The defaults are the paper's (section 5.1): one epoch, batches of 128, cosine from 1e-5."""

    dataset: str
    """A built dataset's folder, or its Hub id."""
    output_dir: str
    model: str | None = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
    """A checkpoint's folder or Hub id; null where `new_model` is given."""
    new_model: NewModel | None = None
    lora: Lora | None = None
    """Without it every weight of the model is trained."""
    quantization: Quantization | None = None
    config: str | None = None
    """Of the dataset; its default where none is named."""
    split: str = "train"
    blend: Blend | None = None
    """What the dataset is blended with; null for nothing."""
    epochs: int = 1
    batch_size: int = 128
    """Questions, or clips where `pack_questions` is set, of one optimizer step on all devices together."""
    batch_size_per_device: int = 1
    """Of them, how many pass through a device at once; the rest is accumulated."""
    pack_questions: bool = False
    """Whether a clip's questions share one sequence, and with it the cost of its frames."""
    padding_free: bool = False
    """Whether what passes through a device at once stands in one row, without padding."""
    max_length: int | None = None
    """Tokens of a sequence at most; what has more is left out and counted, and refused where a video alone has more."""
    trajectories: Stages | None = None
    """What a new model learns from the clips' trajectories before it is trained on their rows."""
    augment: bool = False
    """Whether box colours are exchanged, in the image and in the words, and clips are mirrored where hours allow it."""
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-5
    weight_decay: float = 0.0
    warmup_steps: int = 30
    schedule: Schedule = "cosine"
    decay_share: float = 0.5
    """Of the steps, with `hold_then_decay`: how many, at the end, the learning rate falls over."""
    max_grad_norm: float = 1.0
    bf16: bool = True
    gradient_checkpointing: bool = True
    cache_frames: bool = False
    """Whether decoded clips are kept on disk for later epochs: 3 * image_size^2 bytes a frame."""
    workers: int = 2
    """Processes that decode and tokenize."""
    save_steps: int = 200
    """A checkpoint is written every so many optimizer steps, and takes the place of the one before."""
    benchmark: Benchmark | None = None
    report_to: Tracker = "none"
    push_to_hub: str | None = None
    """ORG/NAME of the model repository that the output folder is uploaded to."""
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.model is None) == (self.new_model is None):
            raise ValueError("give either model, a checkpoint, or new_model with model: null")
        for name, kind in (("optimizer", Optimizer), ("schedule", Schedule), ("report_to", Tracker)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} is one of {', '.join(get_args(kind))}; got {getattr(self, name)!r}")
        if self.lora is not None and self.model is None:
            raise ValueError("lora needs a model: the weights of a new one are all to be trained")
        if self.quantization is not None and self.lora is None:
            raise ValueError("quantization needs lora: weights of 4 bits cannot be trained")
        check_least(self, dict.fromkeys(("epochs", "batch_size", "batch_size_per_device", "save_steps"), 1))
        others = ("learning_rate", "weight_decay", "warmup_steps", "decay_share", "max_grad_norm", "workers", "seed")
        check_least(self, dict.fromkeys(others, 0))
        if self.decay_share > 1:
            raise ValueError(f"decay_share must be at most 1, got {self.decay_share}")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {self.max_length}")
        if self.trajectories is not None and self.new_model is None:
            raise ValueError("trajectories are for a new_model; a checkpoint can see already")
        if self.new_model and self.trajectories and self.trajectories.layer > self.new_model.language_layers:
            raise ValueError("trajectories: layer is one of the language model's, from 1")

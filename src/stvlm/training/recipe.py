"""What a model is trained from, on and how: the recipe files of training/recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Optimizer = Literal["adamw", "muon"]
Schedule = Literal["cosine", "hold_then_decay"]
Subject = Literal["boxes", "motion", "questions"]


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
        if self.image_size_px % (2 * self.patch_size_px):
            raise ValueError("new_model: image_size_px must be a multiple of twice patch_size_px")
        if self.hidden_size % self.heads:
            raise ValueError("new_model: hidden_size must be a multiple of heads")


@dataclass(frozen=True)
class Grounding:
    """Questions about where boxes are in the image, made from the rows' boxes while training (see `grounding`)."""

    frame_steps: int
    """Optimizer steps on single frames: where is the box?"""
    frames_per_step: int
    motion_steps: int
    """Steps on clips: which box moves farther in the image?"""
    comparisons_per_clip: int
    """How often that is asked about one clip, there and beside the clip's own questions."""

    def __post_init__(self) -> None:
        if min(self.frame_steps, self.motion_steps) < 0 or min(self.frames_per_step, self.comparisons_per_clip) < 1:
            raise ValueError("grounding: steps are at least 0, frames_per_step and comparisons_per_clip at least 1")


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
        if min(self.steps, self.batch_size) < 1 or not 0 <= self.decay_share <= 1:
            raise ValueError("steps and batch_size are at least 1, decay_share is between 0 and 1")


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
    split: str = "train"
    epochs: int = 1
    batch_size: int = 128
    """Questions, or clips where `pack_questions` is set, of one optimizer step on all devices together."""
    batch_size_per_device: int = 1
    """Of them, how many pass through a device at once; the rest is accumulated."""
    pack_questions: bool = False
    """Whether a clip's questions share one sequence, and with it the cost of its frames."""
    grounding: Grounding | None = None
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
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.model is None) == (self.new_model is None):
            raise ValueError("give either model, a checkpoint, or new_model with model: null")
        for name, known in (("optimizer", get_args(Optimizer)), ("schedule", get_args(Schedule))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}; got {getattr(self, name)!r}")
        for name in ("epochs", "batch_size", "batch_size_per_device", "save_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.trajectories is not None and self.new_model is None:
            raise ValueError("trajectories are for a new_model; a checkpoint can see already")
        if self.grounding is not None and not self.pack_questions:
            raise ValueError("grounding needs pack_questions: its questions share a clip's sequence")

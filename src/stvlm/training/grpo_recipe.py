"""What a model learns from its own answers, and how: the recipe files training/recipes/grpo_*.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from stvlm.recipes import nearest
from stvlm.scoring import TASKS
from stvlm.training.recipe import Lora, check_least

REWARDS = ("accuracy", "closeness", "format", "consistency")
TWINS = ("mirrored", "reversed")


@dataclass(frozen=True)
class GRPORecipe:
    """A run of group relative policy optimization (arXiv 2402.03300) on the metric's own reading of the answers."""

    model: str
    """A fine-tuned checkpoint's folder or Hub id."""
    dataset: str
    """A built dataset's folder, or its Hub id."""
    output_dir: str
    split: str = "train"
    tasks: tuple[str, ...] = TASKS
    """What is asked."""
    rewards: Mapping[str, float] = field(default_factory=lambda: {"closeness": 1.0, "format": 0.2})
    """Weights of what an answer is worth; see training/rewards.py."""
    twins: tuple[str, ...] = ()
    """Configs of the dataset, `mirrored` and `reversed`, in which each question is asked again: for `consistency`."""
    steps: int = 500
    """Optimizer steps, as many epochs as they take."""
    questions_per_step: int = 16
    """On all devices together; twins are questions too."""
    answers_per_question: int = 8
    """Drawn from the model; each is as good as it is better than the others."""
    answers_per_device: int = 8
    """How many pass through a device at once; the rest is accumulated. As many are drawn at once, or a question's."""
    temperature: float = 1.0
    max_new_tokens: int = 64
    kl: float = 0.0
    """Weight of the divergence from the model that the run began with."""
    use_vllm: bool = False
    lora: Lora | None = None
    """Without it every weight of the model is trained."""
    learning_rate: float = 1e-6
    weight_decay: float = 0.0
    warmup_steps: int = 10
    max_grad_norm: float = 1.0
    bf16: bool = True
    gradient_checkpointing: bool = True
    save_steps: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for what, given, known in (
            ("tasks", self.tasks, TASKS), ("rewards", self.rewards, REWARDS), ("twins", self.twins, TWINS),
        ):  # fmt: skip
            for name in given:
                if name not in known:
                    raise ValueError(f"{what}: unknown {name!r}{nearest(name, known)}")
        if not self.tasks or not self.rewards:
            raise ValueError("tasks and rewards must each name at least one")
        if not all(isinstance(weight, int | float) and weight > 0 for weight in self.rewards.values()):
            raise ValueError(f"rewards: weights must be above 0, got {dict(self.rewards)}")
        if ("consistency" in self.rewards) != bool(self.twins):
            raise ValueError("the reward consistency and twins, which it compares with, need each other")
        if self.lora is not None and self.lora.export != ("adapter",):
            raise ValueError("lora: export can only be [adapter] here; merge it afterwards with peft")
        if self.use_vllm:
            raise ValueError("use_vllm: TRL hands vLLM no video, so that answers would be blind; leave it false")
        counts = ("steps", "questions_per_step", "answers_per_device", "max_new_tokens", "save_steps")
        rates = ("kl", "learning_rate", "weight_decay", "warmup_steps", "max_grad_norm", "seed")
        check_least(self, dict.fromkeys(counts, 1) | dict.fromkeys(rates, 0))
        if self.twins and self.questions_per_step % 2:
            raise ValueError("questions_per_step must be even: a question and its twin are asked in one step")
        if self.answers_per_question < 2:
            raise ValueError(f"answers_per_question must be at least 2, to compare; got {self.answers_per_question}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")

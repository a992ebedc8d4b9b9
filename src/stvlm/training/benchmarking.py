"""A benchmark's questions, answered and scored while a model is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, cycle, islice, zip_longest
from typing import Any

import torch
from accelerate.utils import gather_object, is_peft_model
from transformers import TrainerCallback

from stvlm.evaluation.answering import make_batches
from stvlm.evaluation.backends.transformers import TransformersModel
from stvlm.evaluation.dataset import Row, load_split
from stvlm.evaluation.prompts import Asked, make_prompt
from stvlm.evaluation.responses import MODEL
from stvlm.hashing import stable_hash
from stvlm.scoring import score_all
from stvlm.training.recipe import Benchmark


def load_questions(benchmark: Benchmark) -> list[Row]:
    """Rows of the benchmark, evenly over its tasks, and the same ones each time. Raises DataError."""
    of_task: dict[str, list[Row]] = defaultdict(list)
    for row in load_split(benchmark.dataset, benchmark.split, None, benchmark.config).rows:
        of_task[row["task"]].append(row)
    ranked = [sorted(rows, key=lambda row: stable_hash(row["id"])) for _, rows in sorted(of_task.items())]
    return [row for row in chain.from_iterable(zip_longest(*ranked)) if row is not None][: benchmark.questions]


class AnswerBenchmark(TrainerCallback):  # type: ignore[misc]
    """Every so many steps, and after the last: logs the scores of what the model answers, as `eval_...`.

    Beside each task's accuracy stands that of its best constant answer. Processes share the questions out; `in_step` is
    for those that share the model's weights.
    """

    def __init__(self, benchmark: Benchmark, rows: Sequence[Row], trainer: Any, *, in_step: bool = False) -> None:
        self._benchmark, self._rows, self._trainer, self._in_step = benchmark, rows, trainer, in_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Has the model answer, where it is time."""
        if state.global_step % self._benchmark.steps == 0 or state.global_step >= state.max_steps:
            answers = self._answers()
            scores = score_all([answers[row["id"]] for row in self._rows], self._rows, floors=True)
            is_due = control.should_log
            self._trainer.log(as_metrics(scores))
            control.should_log = is_due  # the step's own loss, too
            self._trainer.model.train()

    def _answers(self) -> dict[str, str]:
        """Each row's answer, of all processes."""
        trainer, accelerator = self._trainer, self._trainer.accelerator
        trainer.model.eval()
        for module in trainer.model.modules():
            if type(module).__name__ == "Linear4bit":  # which on a CPU rounds its weights anew, for good, when in eval
                module.training = True
        # Adapters are inside of the model that they are added to.
        model = trainer.model.get_base_model() if is_peft_model(trainer.model) else trainer.model
        asked = [Asked(row, MODEL, make_prompt(row)) for row in self._rows]
        batches = make_batches(asked, self._benchmark.batch_size)
        # Where weights are spread over processes, all of them take part in every batch: all have equally many.
        even = -(-len(batches) // accelerator.num_processes) * accelerator.num_processes
        own = list(islice(cycle(batches), accelerator.process_index, even, accelerator.num_processes))
        answerer = TransformersModel.of(
            model, trainer.processing_class, self._benchmark.max_new_tokens, in_step=self._in_step
        )
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=trainer.args.bf16):
            found = [(answered.item.row["id"], answered.text or "") for answered in answerer.answer(own)]
        return dict(gather_object(found))


def as_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """Accuracies, the best constant answers' accuracies, what is between, and the share of answers that can be read."""
    kept = ("_accuracy", "_constant", "average_skill", "parse_rate")
    return {f"eval_{name}": float(value) for name, value in scores.items() if name.endswith(kept)}

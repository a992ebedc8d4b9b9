"""The metric of STKit-Bench for `evaluate`: free-text answers about motion against dataset rows."""

# `evaluate` reads these lines by a pattern: one module a line, unindented, with no comment after it. Only files named
# here come along, so those that others of them import are named too.
import datasets
import evaluate

from .choices import settle
from .floors import best_constant
from .measures import read_measure
from .moments import read_hour
from .parsing import parse_answer
from .quantities import Mention
from .references import read_prediction, read_reference
from .scores import score_all
from .text import tokens_of

_CITATION = """\
@article{ko2025stvlm,
  title={ST-VLM: Kinematic Instruction Tuning for Spatio-Temporal Reasoning in Vision-Language Models},
  author={Ko, Dohwan and Kim, Sihyeon and Suh, Yumin and {Vijay Kumar B.G} and Yoon, Minseo and Chandraker, Manmohan
    and Kim, Hyunwoo J.},
  journal={arXiv preprint arXiv:2503.19355},
  year={2025}
}
"""

_DESCRIPTION = """\
Scores answers in free text to the seven kinematic tasks of STKit-Bench: traveled distance, traveling speed, movement
direction, direction timestamp, and comparisons of distance, speed and direction. The scores are those of the ST-VLM
paper, section 4. Two deviations: fixed rules instead of GPT-4 extract an answer from its sentence, so that a score can
be repeated; and an answer that cannot be read is wrong, lowers `parse_rate`, and stays out of the mean absolute errors.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (`list` of `str`): what a model said, "" where it said nothing.
    references (`list` of `dict`): dataset rows, or dicts of their keys `task`, `target`, `choices` (for comparisons)
        and `question` (which may be missing; it tells "which is faster?" from "which is slower?"). `clip_id`, where
        present, tells the bootstrap which questions share a clip. Further keys are ignored.
    confidence (`float`, *optional*): for example 0.95; adds bootstrap bounds `<key>_low` and `<key>_high`.
    per_sample (`bool`): adds `per_sample`, what was read from each answer and how it scored. Defaults to `False`.
Returns:
    `dict` of fractions of 1 where no unit is given: `average_accuracy` (the mean over the tasks present),
    `<task>_accuracy`, `<task>_count`, `traveled_distance_mae` (m), `traveling_speed_mae` (km/h),
    `movement_direction_mae` (clock hours), `direction_timestamp_iou`, `parse_rate`.
Raises:
    `ValueError`: there is nothing to score, or a prediction or reference is not sound; the message names the item.
Examples:
    >>> metric = evaluate.load("stkit_bench")
    >>> results = metric.compute(
    ...     predictions=["It travels about 20 m."],
    ...     references=[{"task": "traveled_distance", "target": "20.15", "choices": [], "question": "How far?"}],
    ... )
    >>> results["traveled_distance_accuracy"], round(results["traveled_distance_mae"], 2)
    (1.0, 0.15)
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class StkitBench(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": {
                        "task": datasets.Value("string"),
                        "target": datasets.Value("string"),
                        "choices": datasets.List(datasets.Value("string")),
                        "question": datasets.Value("string"),
                        "clip_id": datasets.Value("string"),
                    },
                }
            ),
            reference_urls=["https://arxiv.org/abs/2503.19355"],
        )

    # `evaluate` casts every input to the features above and refuses further keys, so that a whole dataset row would
    # fail, without a word on which one: what is scored is taken out, and checked, before. It also appends the inputs to
    # the docstrings of both methods, which must have one.

    def add(self, *, prediction=None, reference=None):
        """Add one answer and the row that it is scored against."""
        row = read_reference(reference)._asdict()
        super().add(prediction=read_prediction(prediction), reference=row)

    def add_batch(self, *, predictions=None, references=None):
        """Add answers and the rows that they are scored against; an error counts items from the start of this batch."""
        if predictions is None or references is None:
            raise ValueError("predictions and references are both needed")
        if len(predictions) != len(references):
            raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
        texts = [read_prediction(text, f"predictions[{index}]") for index, text in enumerate(predictions)]
        rows = [read_reference(row, f"references[{index}]")._asdict() for index, row in enumerate(references)]
        super().add_batch(predictions=texts, references=rows)

    def _compute(self, predictions, references, confidence=None, per_sample=False):
        return score_all(predictions, references, confidence=confidence, per_sample=per_sample)

"""The metric of STKit-Bench for `evaluate`: free-text answers about motion against dataset rows."""

# `evaluate` reads these lines by a pattern: one module a line, unindented, with no comment after it. Only files named
# here come along, so those that others of them import are named too.
import datasets
import evaluate

from .choices import settle
from .floors import best_constant
from .groups import COLUMNS, read_columns
from .intervals import share_bounds
from .measures import read_measure
from .moments import read_hour
from .outcomes import score
from .paired import compare
from .parsing import parse_answer
from .quantities import Mention
from .references import Reference, read_prediction, read_reference
from .sameness import read_sameness
from .scores import check_lengths, score_all
from .text import tokens_of
from .winners import read_winner

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
        present, tells which questions share a clip; `id`, `base_id`, `source`, `split`, `label_type`, `scene_id`,
        `camera` and `template_id` are for `groups` and `by`. Further keys are ignored.
    confidence (`float`, *optional*): for example 0.95; adds bounds `<key>_low` and `<key>_high`.
    per_sample (`bool`): adds `per_sample`, what was read from each answer and how it scored. Defaults to `False`.
    floors (`bool` or `dict` of task to accuracy): adds `<task>_constant`, `<task>_skill` and `average_skill`; as a dict
        of what a model reaches without the video, also `<task>_floor`. Defaults to `False`.
    mra (`bool`): adds `<task>_mra`, the mean relative accuracy of VSI-Bench. Defaults to `False`.
    groups (`bool`): adds `<task>_group_accuracy`, `<task>_group_count` and `average_group_accuracy`, of questions that
        are right in each of their variants. Defaults to `False`.
    by (`str` or `list` of `str`, *optional*): a column, "variant" or "range"; adds `by`, the scores of each label.
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
                        **{column: datasets.Value("string") for column in COLUMNS},
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
        super().add(prediction=read_prediction(prediction), reference=_read(reference, "reference"))

    def add_batch(self, *, predictions=None, references=None):
        """Add answers and the rows that they are scored against; an error counts items from the start of this batch."""
        check_lengths(predictions, references)
        texts = [read_prediction(text, f"predictions[{index}]") for index, text in enumerate(predictions)]
        rows = [_read(row, f"references[{index}]") for index, row in enumerate(_without_video(references))]
        super().add_batch(predictions=texts, references=rows)

    def compare(self, predictions_a, predictions_b, references):
        """Accuracies of one model minus another's, each with a 95 % interval, a p-value, and the number of clips."""
        differences = compare(predictions_a, predictions_b, list(_without_video(references)))
        return {key: difference._asdict() for key, difference in differences.items()}

    def _compute(self, predictions, references, **options):
        return score_all(predictions, references, **options)


def _read(row, name):
    return read_reference(row, name)._asdict() | read_columns(row)


def _without_video(references):
    """A dataset without the columns that are not scored, as reading its rows would decode each video."""
    if not isinstance(references, datasets.Dataset):
        return references
    scored = {*Reference._fields, *COLUMNS}
    return references.select_columns([name for name in references.column_names if name in scored])

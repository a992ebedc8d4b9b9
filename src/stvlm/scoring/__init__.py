"""Scores free-text answers about motion: text -> parsed answer -> accuracy, error, IoU.

Metrics of STKit-Bench (ST-VLM, arXiv 2503.19355, section 4). Deviation: the paper has GPT-4 extract the answer from
the response; here fixed rules do, so that a score can be repeated. A response they cannot read is counted wrong
under a named reason, never guessed.

The modules beside this one use the standard library and numpy only and import nothing but each other: the metric folder
that `evaluate` loads holds a copy of each.
"""

from stvlm.scoring.floors import Constant, best_constant
from stvlm.scoring.outcomes import LEAST_IOU, RELATIVE_TOLERANCE, ROUNDING, Outcome, score
from stvlm.scoring.paired import FEW_CLIPS, RESAMPLES, Difference, compare, paired_difference
from stvlm.scoring.parsing import Parsed, parse_answer
from stvlm.scoring.references import (
    COMPARISONS,
    MULTISTEP,
    TASKS,
    Reference,
    Value,
    parse_target,
    read_prediction,
    read_reference,
)
from stvlm.scoring.scores import score_all

__all__ = [
    "COMPARISONS",
    "FEW_CLIPS",
    "LEAST_IOU",
    "MULTISTEP",
    "RELATIVE_TOLERANCE",
    "RESAMPLES",
    "ROUNDING",
    "TASKS",
    "Constant",
    "Difference",
    "Outcome",
    "Parsed",
    "Reference",
    "Value",
    "best_constant",
    "compare",
    "paired_difference",
    "parse_answer",
    "parse_target",
    "read_prediction",
    "read_reference",
    "score",
    "score_all",
]

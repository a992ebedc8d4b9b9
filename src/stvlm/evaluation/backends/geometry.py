"""Answers computed from tracks, as a tool would: what a model that looks at the video has to be better than.

The tracks are the dataset's own, so this is also the ceiling: what is missing from 100 % is lost in rounding, or in the
metric's reading of a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, permutations
from typing import Any

from stvlm.evaluation.answering import Answered
from stvlm.evaluation.prompts import Asked
from stvlm.evaluation.trajectories import Trajectories, Trajectory, trajectory_of
from stvlm.kinematics import STEP_S
from stvlm.questions.asking import Motion, Query, QuestionGates, Span, answer
from stvlm.questions.multistep import KINDS, take_further
from stvlm.records import NOISELESS, DataError, Question, Task
from stvlm.scoring import COMPARISONS

Row = Mapping[str, Any]
ANSWERED_IF_AT_ALL = QuestionGates(
    win_ratio=1.0, min_distance_m=0.0, max_relative_noise=float("inf"), max_heading_noise_deg=float("inf")
)
NO_ANSWER = "The tracks do not tell."


class Geometry:
    """Kinematics on given tracks; it reads the question, and neither its target nor its answer."""

    def __init__(self, trajectories: Trajectories) -> None:
        self._trajectories = trajectories

    def answer(self, batches: Iterable[Sequence[Asked]]) -> Iterator[Answered]:
        """Whole sentences. Raises DataError for a clip without tracks."""
        for item in chain.from_iterable(batches):
            yield Answered(item, answer_from(item.row, trajectory_of(item.row, self._trajectories)))


def answer_from(row: Row, trajectory: Trajectory) -> str:
    """The answer to a row's question as its wording gives it, or NO_ANSWER where there is none that is certain.

    Raises DataError for a wording that is not the library's own.
    """
    motion = Motion(row["clip_id"], trajectory.domain, (NOISELESS,) * len(trajectory.xyz_m), trajectory.xyz_m)
    first, last = round(row["start_s"] / STEP_S), round(row["end_s"] / STEP_S)
    span = Span(first, last, (first, last) == (0, motion.whole.last))
    is_multistep = row["id"].endswith("-multistep")
    tasks: Sequence[Any] = tuple(KINDS) if is_multistep else (row["task"],)
    for query in (query for task in tasks for query in _readings(task, motion, span, row["template_id"])):
        try:
            if is_multistep:
                found = take_further(row["base_id"], motion, query, ANSWERED_IF_AT_ALL)
            else:
                found = answer(motion, query, ANSWERED_IF_AT_ALL)
        except KeyError:
            raise DataError(
                f"row {row['id']}: its wording {row['template_id']} is not one of the library's own, which computed "
                "answers need; ask about another --config"
            ) from None
        if isinstance(found, Question) and found.question == row["question"]:
            return found.answer
    return NO_ANSWER


def _readings(task: Task, motion: Motion, span: Span, template_id: str) -> Iterator[Query]:
    """All that a question of a task may ask about these seconds; the one whose words are the row's is meant."""
    count = len(motion.xyz_m)
    if task == "movement_direction_comparison":
        sizes: Sequence[int] = (2,)
    else:
        sizes = range(2, count + 1) if task in COMPARISONS else (1,)
    # The largest group first: a question without names is about all.
    groups = (group for size in reversed(sizes) for group in permutations(range(count), size))
    for objects in groups:
        for hour in range(1, 13) if task == "direction_timestamp" else (0,):
            yield Query(task, objects, span, template_id, hour)

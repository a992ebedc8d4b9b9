"""How many answers are right: the scores of STKit-Bench, with intervals, floors and breakdowns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .floors import constants_of, skill
from .groups import clip_of, in_order, labels_of, read_label
from .intervals import Mean, mean_of, mean_of_means, positive_bounds, share_bounds
from .outcomes import Outcome, relative_accuracy, score
from .parsing import Parsed, parse_answer
from .references import MULTISTEP, TASKS, Reference, read_prediction, read_reference

_ALL_TASKS = (*TASKS, *MULTISTEP)
_MRA_TASKS = ("traveled_distance", "traveling_speed", *MULTISTEP)
_MAE_TASKS = (*_MRA_TASKS, "movement_direction")


def score_all(
    predictions: Sequence[str],
    references: Sequence[Mapping[str, Any]],
    confidence: float | None = None,
    per_sample: bool = False,
    *,
    floors: bool | Mapping[str, float] = False,
    mra: bool = False,
    groups: bool = False,
    by: str | Sequence[str] = (),
) -> dict[str, Any]:
    """Score free-text answers against dataset rows (`read_reference` says what is taken from them).

    Returns, as fractions of 1 where no unit is given: `average_accuracy` (the mean over the tasks present) and
    `parse_rate`; for every task present `<task>_accuracy` and `<task>_count`; `traveled_distance_mae` (m),
    `traveling_speed_mae` (km/h), `movement_direction_mae` (clock hours), of the multistep tasks `time_to_cover_mae` and
    `catch_up_time_mae` (s) and `speed_ratio_mae`, each over the parsed answers and absent where
    there are none; `direction_timestamp_iou`. More on request:

    `confidence`, such as 0.95, adds `<key>_low` and `<key>_high` to each but counts and floors. Questions on one clip
    (`clip_id`), or on clips made from it, share its difficulty; items without one stand alone. A mean absolute error
    over a single clip has no bounds.
    `per_sample` adds the list `per_sample`: a dict of value, reason, correct, error and iou for each answer.
    `floors` adds `<task>_constant`, the accuracy of the best constant answer, `<task>_skill`, how much of what that
    leaves open is answered right (absent where it leaves nothing), and `average_skill`. As a dict it holds, for some
    tasks, accuracies without the video; `<task>_floor` is then the higher of the two, and skill is above it. Bounds of
    a skill take its floor as given, as it belongs to the references.
    `mra` adds `<task>_mra`, the mean relative accuracy (`relative_accuracy`), for tasks that ask for a number.
    `groups` adds `<task>_group_accuracy`, the share of the questions with twins (rows of one `base_id`) of which every
    twin is answered right, their number `<task>_group_count`, and the mean over tasks, `average_group_accuracy`.
    `by` names columns, or "variant" (of the `id`) or "range" (of a distance's or speed's target): `by` is then a dict
    of column to label to the scores of the items with that label, without floors.

    Raises ValueError for no items, unequal lengths, a prediction that is no string, or a reference that is not sound or
    lacks what is asked for; it names the item.
    """
    if confidence is not None and not (isinstance(confidence, float) and 0.0 < confidence < 1.0):
        raise ValueError(f"confidence {confidence!r} is not a number between 0 and 1")
    if not isinstance(floors, (bool, Mapping)):
        raise ValueError(f"floors {floors!r} is neither True nor a dict of task to accuracy")
    check_lengths(predictions, references)
    references = list(references)  # the rows of a dataset are made anew whenever they are read
    judged = judge(predictions, references)
    items = _items(judged, references)
    if groups:
        items = items._replace(base=_bases(references))
    scores = _scores(items, confidence, mra)
    if floors or isinstance(floors, Mapping):
        scores |= _skills(items, judged.rows, floors if isinstance(floors, Mapping) else {}, confidence)
    if by:
        columns = (by,) if isinstance(by, str) else tuple(by)
        labels = [labels_of(row, columns, f"references[{index}]") for index, row in enumerate(references)]
        scores["by"] = {
            column: _scores_by(np.array([of_row[column] for of_row in labels]), items, confidence, mra)
            for column in columns
        }
    if per_sample:
        scores["per_sample"] = [
            answer._asdict() | outcome._asdict()
            for answer, outcome in zip(judged.answers, judged.outcomes, strict=True)
        ]
    return scores


class Judged(NamedTuple):
    """Answers, what was read from each, and whether it is right."""

    rows: list[Reference]
    answers: list[Parsed]
    outcomes: list[Outcome]


def judge(predictions: Sequence[str], references: Sequence[Mapping[str, Any]], name: str = "predictions") -> Judged:
    """Judge each answer by itself. Raises ValueError as `score_all` does, which calls the predictions `name`."""
    check_lengths(predictions, references, name)
    rows = [read_reference(row, f"references[{index}]") for index, row in enumerate(references)]
    texts = [read_prediction(text, f"{name}[{index}]") for index, text in enumerate(predictions)]
    answers = [parse_answer(row.task, text, row.choices, row.question) for text, row in zip(texts, rows, strict=True)]
    outcomes = [score(row.task, answer, row.target) for row, answer in zip(rows, answers, strict=True)]
    return Judged(rows, answers, outcomes)


def check_lengths(predictions: object, references: object, name: str = "predictions") -> None:
    """Raises ValueError for what is no list, for lists of unequal length, and for empty ones."""
    lengths = []
    for what, items in ((name, predictions), ("references", references)):
        if isinstance(items, (str, Mapping)) or not isinstance(items, Sized):
            raise ValueError(f"{what}: {type(items).__name__} is not a list")
        lengths.append(len(items))
    if lengths[0] != lengths[1]:
        raise ValueError(f"{lengths[0]} {name} for {lengths[1]} references")
    if not lengths[0]:
        raise ValueError(f"no {name}: there is nothing to score")


class _Items(NamedTuple):
    """Of each of N items, as arrays of shape (N,)."""

    task: NDArray[np.str_]
    correct: NDArray[np.float64]
    parsed: NDArray[np.bool_]
    error: NDArray[np.float64]  # NaN where nothing was parsed
    iou: NDArray[np.float64]  # NaN but for direction_timestamp
    truth: NDArray[np.float64]  # NaN where the target is no number
    clip: NDArray[np.intp]
    base: NDArray[np.str_]  # the base_id, where twins are asked for; else ""


def _items(judged: Judged, references: Sequence[Mapping[str, Any]]) -> _Items:
    rows, answers, outcomes = judged
    return _Items(
        task=np.array([row.task for row in rows]),
        correct=np.array([outcome.correct for outcome in outcomes], dtype=np.float64),
        parsed=np.array([answer.value is not None for answer in answers]),
        error=np.array([outcome.error for outcome in outcomes], dtype=np.float64),
        iou=np.array([outcome.iou for outcome in outcomes], dtype=np.float64),
        truth=np.array([row.target if row.task in _MRA_TASKS else "nan" for row in rows]).astype(np.float64),
        clip=numbers_of_clips(references),
        base=np.full(len(rows), ""),
    )


def numbers_of_clips(references: Sequence[Mapping[str, Any]]) -> NDArray[np.intp]:
    """(N,) numbers, equal where two references are about one clip."""
    numbers: dict[str, int] = {}
    clips = [clip_of(row) or f"item {index}" for index, row in enumerate(references)]
    return np.array([numbers.setdefault(clip, len(numbers)) for clip in clips])


def _bases(references: Sequence[Mapping[str, Any]]) -> NDArray[np.str_]:
    """(N,) base ids. Raises ValueError where one is missing, where an id comes twice, and where nothing has a twin."""
    first: dict[str, int] = {}
    bases = []
    for index, row in enumerate(references):
        bases.append(read_label(row, "base_id", f"references[{index}]"))
        before = first.setdefault(read_label(row, "id", f"references[{index}]"), index)
        if before < index:
            raise ValueError(f"references[{index}]: has the id {row['id']!r} of references[{before}]")
    if len({(row["task"], base) for row, base in zip(references, bases, strict=True)}) == len(bases):
        raise ValueError("no two references share a task and a base_id: there are no twins to group")
    return np.array(bases)


def _scores(items: _Items, confidence: float | None, mra: bool) -> dict[str, Any]:
    present = [task for task in _ALL_TASKS if task in items.task]
    means: dict[str, Mean] = {}
    for task in present:
        its = items.task == task
        means[f"{task}_accuracy"] = mean_of(items.correct, its, items.clip)
        if task in _MAE_TASKS and np.any(its & items.parsed):
            means[f"{task}_mae"] = mean_of(items.error, its & items.parsed, items.clip)
        if mra and task in _MRA_TASKS:
            means[f"{task}_mra"] = mean_of(relative_accuracy(items.error, items.truth), its, items.clip)
        if task == "direction_timestamp":
            means[f"{task}_iou"] = mean_of(items.iou, its, items.clip)
    means["parse_rate"] = mean_of(items.parsed.astype(np.float64), items.task != "", items.clip)
    means = {"average_accuracy": mean_of_means([means[f"{task}_accuracy"] for task in present])} | means
    counts = {f"{task}_count": int(np.sum(items.task == task)) for task in present}
    if np.any(items.base != ""):
        of_groups = _means_of_groups(items)
        counts |= {f"{task}_group_count": int(np.sum(mean.weights > 0.0)) for task, mean in of_groups.items()}
        means |= {f"{task}_group_accuracy": mean for task, mean in of_groups.items()}
        if of_groups:
            means["average_group_accuracy"] = mean_of_means(list(of_groups.values()))
    scores: dict[str, Any] = {key: mean.value for key, mean in means.items()} | counts
    if confidence is not None:
        for key, mean in means.items():
            bounds = (positive_bounds if key.endswith("_mae") else share_bounds)(mean, confidence)
            if bounds is not None:
                scores[f"{key}_low"], scores[f"{key}_high"] = bounds
    return scores


def _means_of_groups(items: _Items) -> dict[str, Mean]:
    """Of every task with twins the share of its groups of twins that are all right."""
    names = np.char.add(np.char.add(items.task, " "), items.base)
    _, first, group, sizes = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
    all_right = (np.bincount(group, items.correct) == sizes).astype(np.float64)
    task = np.where(sizes > 1, items.task[first], "")
    return {name: mean_of(all_right, task == name, items.clip[first]) for name in _ALL_TASKS if name in task}


def _scores_by(
    labels: NDArray[np.str_], items: _Items, confidence: float | None, mra: bool
) -> dict[str, dict[str, Any]]:
    """The scores of the items of each label, which are left out where it is empty."""
    return {
        label: _scores(_Items(*(column[labels == label] for column in items)), confidence, mra)
        for label in in_order(set(labels.tolist()) - {""})
    }


def _skills(
    items: _Items, rows: Sequence[Reference], given: Mapping[str, float], confidence: float | None
) -> dict[str, float]:
    """Constants, floors and skills; `given` are floors of some tasks, beside that of the constant answer."""
    for name, accuracy in given.items():
        if name not in _ALL_TASKS:
            raise ValueError(f"floors: task {name!r} is not one of {', '.join(_ALL_TASKS)}")
        if not (isinstance(accuracy, (int, float)) and 0.0 <= accuracy <= 1.0):
            raise ValueError(f"floors: {accuracy!r} of {name} is not a fraction of 1")
    scores = {}
    above: dict[str, tuple[Mean, float]] = {}
    for task, constant in constants_of(rows).items():
        scores[f"{task}_constant"] = constant.accuracy
        floor = max(constant.accuracy, given.get(task, 0.0))
        if given:
            scores[f"{task}_floor"] = floor
        if floor < 1.0:
            above[f"{task}_skill"] = mean_of(items.correct, items.task == task, items.clip), floor
    if above:
        # The mean of skills is itself the skill of a mean accuracy, in which a task counts as much as a point of it
        # adds to its skill.
        means, floors = zip(*above.values(), strict=True)
        slopes = np.array([1.0 / (1.0 - floor) for floor in floors])
        average = mean_of_means(means, slopes / slopes.sum()), 1.0 - len(slopes) / float(slopes.sum())
        above = {"average_skill": average} | above
    for key, (mean, floor) in above.items():
        scores[key] = skill(mean.value, floor)
        if confidence is not None:
            low, high = share_bounds(mean, confidence)
            scores[f"{key}_low"], scores[f"{key}_high"] = skill(low, floor), skill(high, floor)
    return scores

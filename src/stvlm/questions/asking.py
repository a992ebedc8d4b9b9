"""Asks a clip what can be answered with certainty, and counts why the rest is not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from typing import NamedTuple

import numpy as np

from stvlm.hashing import stable_hash
from stvlm.kinematics import (
    ROUNDING,
    STEP_S,
    Measurement,
    bearing_difference,
    direction_intervals,
    movement_direction,
    net_displacement,
    traveled_distance,
    traveling_speed,
)
from stvlm.questions.templates import (
    Wording,
    boxed,
    comparison_words,
    listed,
    pair_words,
    sentence,
    wording_named,
    wordings,
)
from stvlm.records import COLORS_RGB, NOISELESS, Array, Clip, Domain, Noise, Question, Rejected, Task, white
from stvlm.scoring import COMPARISONS

SAME_RAD, DIFFERENT_RAD = np.deg2rad(30.0), np.deg2rad(60.0)
"""Bearings up to the first are the same direction, from the second on different ones; between, nobody is asked."""
MIN_PART_S = 2.0
"""A question about a part of the clip is about at least this long."""
MIN_INTERVAL_S, MAX_INTERVAL_SHARE = 1.0, 0.6
"""How long, and for which share of the clip at most, an object moves into an hour whose time is asked for."""
DIRECTIONS: tuple[Task, ...] = ("movement_direction", "direction_timestamp", "movement_direction_comparison")
"""Not asked in sports, as in the paper: the trajectories there are too complex."""


@dataclass(frozen=True)
class QuestionGates:
    """What is asked. Noise is met by not asking where it could decide the answer."""

    per_clip: int = 6
    comparisons_per_clip: int = 4
    win_ratio: float = 1.25
    """The winner of a comparison beats every other by at least this factor."""
    parts: int = 2
    """How many parts of the clip are asked about beside the whole of it."""
    min_distance_m: float = 2.0
    max_relative_noise: float = 0.1
    """Greatest root mean square error of a distance, as a share of it, that comes from its positions."""
    max_stretch: float = 0.15
    """Greatest standard deviation of a scale that is wrong throughout; only pseudo-labels have any."""
    max_heading_noise_deg: float = 10.0
    """Greatest standard deviation of the angle behind a clock hour or a bearing."""

    def __post_init__(self) -> None:
        if min(self.per_clip, self.comparisons_per_clip, self.parts) < 0:
            raise ValueError("per_clip, comparisons_per_clip and parts are 0 or more")
        if not self.win_ratio >= 1:
            raise ValueError(f"win_ratio is at least 1, got {self.win_ratio}")


class Motion(NamedTuple):
    """How the objects of a clip move: all that its answers depend on."""

    clip_id: str
    domain: Domain
    noise: tuple[Noise, ...]  # of each of J objects
    xyz_m: Array  # (J, n, 3) positions on the grid

    @classmethod
    def of(cls, clip: Clip) -> Motion:
        """A clip's."""
        of_scene = white(clip.scene.centre_noise_m)
        noise = tuple(track.noise or of_scene for track in clip.tracks)
        return cls(clip.clip_id, clip.scene.domain, noise, clip.xyz_m)

    @property
    def colors(self) -> tuple[str, ...]:
        """The colour of each object's box."""
        return tuple(COLORS_RGB)[: len(self.xyz_m)]

    @property
    def whole(self) -> Span:
        """All of its grid points."""
        return Span(0, self.xyz_m.shape[1] - 1, True)


class Span(NamedTuple):
    """Grid points first to last, inclusive, of a clip."""

    first: int
    last: int
    is_whole: bool

    @property
    def points(self) -> slice:
        """The points as a slice."""
        return slice(self.first, self.last + 1)

    @property
    def start_s(self) -> float:
        """Seconds from the clip's start to the first point."""
        return self.first * STEP_S

    @property
    def end_s(self) -> float:
        """Seconds from the clip's start to the last point."""
        return self.last * STEP_S


class Query(NamedTuple):
    """What is asked of a clip, whether or not it can be answered."""

    task: Task
    objects: tuple[int, ...]  # indices into the clip's objects, in the order in which the question names them
    span: Span
    template_id: str
    hour: int = 0  # into which the object moves, where the question is when it does; else 0


def query_id(clip: Clip, query: Query) -> str:
    """Stable id of a question, from what it is about and nothing measured."""
    scene = clip.scene
    tracks = [clip.tracks[j].track_id for j in query.objects]
    identity = (scene.source, scene.scene_id, scene.camera.name, clip.start_ns, clip.clip_id, *tracks)
    window = (query.span.first, query.span.last)
    return stable_hash(*identity, query.task, *window, query.template_id, query.hour)[:20]


def frames_told(times_s: Sequence[float]) -> str:
    """The words before every question about a video: its length, and when its frames are (the paper's Table 1)."""
    times = ", ".join(f"{time_s:.2f}" for time_s in times_s)
    return (
        f"The video lasts for {times_s[-1]:.2f} seconds, and {len(times_s)} frames are uniformly sampled from it. "
        f"These frames are located at {times} seconds."
    )


def common_prompt(frame_times_s: Sequence[float], colors: Sequence[str]) -> str:
    """The words before every question about a clip: its length, its frames' times, and the boxes."""
    boxes = (
        f"There is 1 object annotated with a {colors[0]} bounding box in the video."
        if len(colors) == 1
        else f"There are {len(colors)} objects annotated with {listed(colors)} bounding boxes in the video."
    )
    return f"{frames_told(frame_times_s)} {boxes}"


def ask(motion: Motion, gates: QuestionGates, rejected: Counter[str]) -> list[tuple[Query, Question]]:
    """Up to `gates.per_clip` queries with their questions, from every task in turn; comparisons, the rarest, first.

    Why the others were not asked is counted into `rejected` as "<task>: <reason>".
    """
    asked: dict[Task, list[tuple[Query, Question]]] = {}
    for task, find in _FINDERS.items():
        if motion.domain == "sports" and task in DIRECTIONS:
            continue
        asked[task] = []
        for query in find(task, motion, gates):
            answered = query if isinstance(query, Rejected) else answer(motion, query, gates)
            if isinstance(answered, Rejected):
                rejected[f"{task}: {answered.reason}"] += 1
            elif isinstance(query, Query):
                asked[task].append((query, answered))
    order = sorted(asked, key=lambda task: stable_hash(motion.clip_id, task))
    comparing = _in_turn([asked[task] for task in order if task in COMPARISONS])[: gates.comparisons_per_clip]
    return (comparing + _in_turn([asked[task] for task in order if task not in COMPARISONS]))[: gates.per_clip]


def answer(motion: Motion, query: Query, gates: QuestionGates, wording: Wording | None = None) -> Question | Rejected:
    """The question that a query stands for, with its answer; Rejected where there is none that is certain.

    `wording` is given where it is none of the library's own.
    """
    return _ANSWERS[query.task](motion, query, wording or wording_named(query.template_id), gates)


def _in_turn(lists: Sequence[Sequence[tuple[Query, Question]]]) -> list[tuple[Query, Question]]:
    """The first of each list, then the second of each, and so on."""
    return [item for turn in zip_longest(*lists) for item in turn if item is not None]


# What to ask: a few queries of each task, chosen by hashes of the clip's id, so that nothing measured decides.


def _single_queries(task: Task, motion: Motion, gates: QuestionGates) -> Iterator[Query | Rejected]:
    """About one object over the whole clip, and about one over each of a few parts of it."""
    for span in _spans(task, motion, gates):
        objects = range(len(motion.xyz_m))
        j = min(objects, key=lambda j: stable_hash(motion.clip_id, task, *span, j))
        yield Query(task, (j,), span, _choose_wording(motion, task, (j,), *span))


def _direction_queries(task: Task, motion: Motion, gates: QuestionGates) -> Iterator[Query | Rejected]:
    """The final direction of each object."""
    for j in range(len(motion.xyz_m)):
        yield Query(task, (j,), motion.whole, _choose_wording(motion, task, (j,)))


def _timestamp_queries(task: Task, motion: Motion, gates: QuestionGates) -> Iterator[Query | Rejected]:
    """When each object moves into each hour that it ever moves into."""
    for j, xyz_m in enumerate(motion.xyz_m):
        runs = direction_intervals(xyz_m, motion.noise[j])
        if isinstance(runs, Rejected):
            yield runs
            continue
        hours = {run.hour for run in runs}
        for hour in sorted(hours, key=lambda hour: stable_hash(motion.clip_id, j, hour)):
            yield Query(task, (j,), motion.whole, _choose_wording(motion, task, (j,), hour), hour)


def _comparison_queries(task: Task, motion: Motion, gates: QuestionGates) -> Iterator[Query | Rejected]:
    """About two or three objects over the whole clip and over a few parts of it."""
    if len(motion.xyz_m) < 2:
        return
    most = 2 if task == "movement_direction_comparison" else len(motion.xyz_m)
    for span in _spans(task, motion, gates):
        objects = range(len(motion.xyz_m))
        order = sorted(objects, key=lambda j: stable_hash(motion.clip_id, task, *span, j))
        group = tuple(order)[:most]
        yield Query(task, group, span, _choose_wording(motion, task, group, *span))


_FINDERS: Mapping[Task, Callable[[Task, Motion, QuestionGates], Iterator[Query | Rejected]]] = {
    "traveled_distance_comparison": _comparison_queries,
    "traveling_speed_comparison": _comparison_queries,
    "movement_direction_comparison": _comparison_queries,
    "traveled_distance": _single_queries,
    "traveling_speed": _single_queries,
    "movement_direction": _direction_queries,
    "direction_timestamp": _timestamp_queries,
}


def _spans(task: Task, motion: Motion, gates: QuestionGates) -> list[Span]:
    """The whole clip and parts of it, in an order that differs from task to task."""
    last, shortest = motion.whole.last, round(MIN_PART_S / STEP_S)
    parts = [Span(i, k, False) for i, k in combinations(range(last + 1), 2) if shortest <= k - i < last]
    parts.sort(key=lambda span: stable_hash(motion.clip_id, task, span.first, span.last))
    spans = [motion.whole, *parts[: gates.parts]]
    return sorted(spans, key=lambda span: stable_hash(motion.clip_id, task, "turn", *span))


def _choose_wording(motion: Motion, task: Task, objects: tuple[int, ...], *window: object) -> str:
    usable = [wording.template_id for wording in wordings()[task] if wording.objects in (0, len(objects))]
    return min(usable, key=lambda template_id: stable_hash(motion.clip_id, *objects, *window, template_id))


# How to answer.


def _answer_measurement(motion: Motion, query: Query, wording: Wording, gates: QuestionGates) -> Question | Rejected:
    (j,) = query.objects
    measured = measure(motion, query, j, gates)
    if isinstance(measured, Rejected):
        return measured
    value = f"{measured.value:.2f}"
    sigma = round(measured.sigma, 4) if motion.noise[j] != NOISELESS else None
    words = {"object": name_of(motion, j), "value": value}
    return make_question(query, wording, wording.answer, words, value, sigma=sigma)


def _answer_direction(motion: Motion, query: Query, wording: Wording, gates: QuestionGates) -> Question | Rejected:
    (j,) = query.objects
    direction = movement_direction(motion.xyz_m[j], motion.noise[j])
    if isinstance(direction, Rejected):
        return direction
    if _too_noisy(direction.sigma_rad, gates):
        return Rejected("heading lost in label noise")
    hour = str(direction.hour)
    return make_question(query, wording, wording.answer, {"object": name_of(motion, j), "hour": hour}, hour)


def _answer_timestamp(motion: Motion, query: Query, wording: Wording, gates: QuestionGates) -> Question | Rejected:
    (j,) = query.objects
    runs = direction_intervals(motion.xyz_m[j], motion.noise[j])
    if isinstance(runs, Rejected):
        return runs
    runs = [run for run in runs if run.hour == query.hour]
    if not runs:
        return Rejected("does not move into the hour")
    if len(runs) > 1:
        return Rejected("moves into the hour more than once")
    (run,) = runs
    if (run.last - run.first) * STEP_S < MIN_INTERVAL_S:
        return Rejected("moves into the hour for under 1 s")
    if run.last - run.first > MAX_INTERVAL_SHARE * motion.whole.last:
        return Rejected("moves into the hour for most of the clip")
    if _too_noisy(run.sigma_rad, gates):
        return Rejected("heading lost in label noise")
    start, end = f"{run.first * STEP_S:.2f}", f"{run.last * STEP_S:.2f}"
    words = {"object": name_of(motion, j), "hour": str(query.hour), "start": start, "end": end}
    return make_question(query, wording, wording.answer, words, f"{start}-{end}")


def _answer_winner(motion: Motion, query: Query, wording: Wording, gates: QuestionGates) -> Question | Rejected:
    """Which of two or three objects gets farther or is faster, or the opposite."""
    group = query.objects
    measured = [measure(motion, query, j, gates) for j in group]
    known = [m for m in measured if isinstance(m, Measurement)]
    for m in measured:
        if isinstance(m, Rejected):
            return m
    by_value = sorted(zip(known, group, strict=True), reverse=wording.polarity == "most")
    (best, winner), (second, _) = by_value[:2]
    low, high = sorted([best, second])
    if high.value < gates.win_ratio * low.value - ROUNDING:
        return Rejected("no clear winner")
    if high.value - low.value < 2 * np.hypot(high.sigma + high.bias, low.sigma + low.bias):
        return Rejected("winner lost in label noise")
    words = comparison_words([name_of(motion, j) for j in group], group.index(winner))
    text = (wording.affirm if winner == group[0] else wording.deny) if wording.is_yes_no else wording.answer
    return make_question(query, wording, text, words, motion.colors[winner], tuple(motion.colors[j] for j in group))


def _answer_bearings(motion: Motion, query: Query, wording: Wording, gates: QuestionGates) -> Question | Rejected:
    """Whether two objects move in the same direction."""
    a, b = (motion.xyz_m[j, query.span.points] for j in query.objects)
    nets_m = [float(np.linalg.norm(net_displacement(xyz_m))) for xyz_m in (a, b)]
    if min(nets_m) < gates.min_distance_m - ROUNDING:
        return Rejected("moved too little")
    noise_m = np.array([motion.noise[j].across_m for j in query.objects])
    if _too_noisy(float(np.hypot(*(np.sqrt(2) * noise_m / np.array(nets_m)))), gates):
        return Rejected("heading lost in label noise")
    angle_rad = bearing_difference(a, b)
    if SAME_RAD + ROUNDING < angle_rad < DIFFERENT_RAD - ROUNDING:
        return Rejected("neither the same nor a different direction")
    target = "same" if angle_rad <= SAME_RAD + ROUNDING else "different"
    choices = ("same", "different") if wording.polarity == "same" else ("different", "same")
    text = wording.affirm if target == wording.polarity else wording.deny
    return make_question(query, wording, text, pair_words([name_of(motion, j) for j in query.objects]), target, choices)


_ANSWERS: Mapping[Task, Callable[[Motion, Query, Wording, QuestionGates], Question | Rejected]] = {
    "traveled_distance": _answer_measurement,
    "traveling_speed": _answer_measurement,
    "movement_direction": _answer_direction,
    "direction_timestamp": _answer_timestamp,
    "traveled_distance_comparison": _answer_winner,
    "traveling_speed_comparison": _answer_winner,
    "movement_direction_comparison": _answer_bearings,
}


def measure(motion: Motion, query: Query, j: int, gates: QuestionGates) -> Measurement | Rejected:
    """How far object j gets in the seconds asked about, in metres; where speed is asked for, its average in km/h."""
    how = traveling_speed if query.task.startswith("traveling_speed") else traveled_distance
    xyz_m, horizontal = motion.xyz_m[j, query.span.points], motion.domain == "sports"
    if traveled_distance(xyz_m, horizontal=horizontal).value < gates.min_distance_m - ROUNDING:
        return Rejected("moved too little")
    noise = motion.noise[j]
    if how(xyz_m, noise._replace(stretch=0.0), horizontal).relative_noise > gates.max_relative_noise:
        return Rejected("motion lost in label noise")
    if noise.stretch > gates.max_stretch:
        return Rejected("scale too uncertain")
    return how(xyz_m, noise, horizontal)


def _too_noisy(sigma_rad: float, gates: QuestionGates) -> bool:
    return bool(np.rad2deg(sigma_rad) > gates.max_heading_noise_deg)


def name_of(motion: Motion, j: int) -> str:
    """What object j is called in a question."""
    return "the object" if len(motion.xyz_m) == 1 else boxed(motion.colors[j])


def make_question(
    query: Query,
    wording: Wording,
    text: str,
    words: dict[str, str],
    target: str,
    choices: tuple[str, ...] = (),
    sigma: float | None = None,
) -> Question:
    """The question in a wording whose placeholders are `words`, beside those of the span, and `text`, its answer."""
    span = query.span
    bounds = {"start": f"{span.start_s:.2f}", "end": f"{span.end_s:.2f}"}
    words = {**bounds, "span": (wording.whole if span.is_whole else wording.part).format(**bounds), **words}
    return Question(
        task=query.task,
        template_id=wording.template_id,
        question=sentence(wording.question.format(**words)),
        answer=sentence(text.format(**words)),
        target=target,
        choices=choices,
        target_sigma=sigma,
        start_s=span.start_s,
        end_s=span.end_s,
    )

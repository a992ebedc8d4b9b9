"""Asks a clip what can be answered with certainty, and counts why the rest is not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from stvlm.questions.templates import Wording, boxed, comparison_words, listed, pair_words, sentence, wordings
from stvlm.records import Clip, Question, Rejected, Task

SAME_RAD, DIFFERENT_RAD = np.deg2rad(30.0), np.deg2rad(60.0)
"""Bearings up to the first are the same direction, from the second on different ones; between, nobody is asked."""
MIN_PART_S = 2.0
"""A question about a part of the clip is about at least this long."""
MIN_INTERVAL_S, MAX_INTERVAL_SHARE = 1.0, 0.6
"""How long, and for which share of the clip at most, an object moves into an hour whose time is asked for."""
COMPARISONS: tuple[Task, ...] = (
    "traveled_distance_comparison",
    "traveling_speed_comparison",
    "movement_direction_comparison",
)
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
    """Greatest root mean square error of a distance, as a share of it."""
    max_heading_noise_deg: float = 10.0
    """Greatest standard deviation of the angle behind a clock hour or a bearing."""


class _Span(NamedTuple):
    """Grid points first to last, inclusive, of a clip."""

    first: int
    last: int
    is_whole: bool

    @property
    def points(self) -> slice:
        return slice(self.first, self.last + 1)

    @property
    def start_s(self) -> float:
        return self.first * STEP_S

    @property
    def end_s(self) -> float:
        return self.last * STEP_S


def question_id(clip: Clip, question: Question, objects: Sequence[int]) -> str:
    """Stable id of a question, from what it is about and nothing measured."""
    scene = clip.scene
    window = (round(question.start_s / STEP_S), round(question.end_s / STEP_S))
    tracks = [clip.tracks[j].track_id for j in objects]
    hour = question.question if question.task == "direction_timestamp" else ""
    identity = (scene.source, scene.scene_id, scene.camera.name, clip.start_ns, clip.clip_id, *tracks)
    return stable_hash(*identity, question.task, *window, question.template_id, hour)[:20]


def common_prompt(clip: Clip) -> str:
    """The words before every question: the clip's length, its frames' times, and the boxes (the paper's Table 1)."""
    n, colors = len(clip.frame_index), clip.colors
    times = ", ".join(f"{i * STEP_S:.2f}" for i in range(n))
    boxes = (
        f"There is 1 object annotated with a {colors[0]} bounding box in the video."
        if len(colors) == 1
        else f"There are {len(colors)} objects annotated with {listed(colors)} bounding boxes in the video."
    )
    return (
        f"The video lasts for {(n - 1) * STEP_S:.2f} seconds, and {n} frames are uniformly sampled from it. "
        f"These frames are located at {times} seconds. {boxes}"
    )


def ask(clip: Clip, gates: QuestionGates, rejected: Counter[str]) -> list[tuple[str, Question]]:
    """Up to `gates.per_clip` questions with their ids, from every task in turn; comparisons, which are rarest, first.

    Why the others were not asked is counted into `rejected` as "<task>: <reason>".
    """
    asker = _Asker(clip, gates)
    askable: dict[Task, Callable[[], Iterator[tuple[tuple[int, ...], Question] | Rejected]]] = {
        "traveled_distance_comparison": lambda: asker.winners("traveled_distance_comparison", traveled_distance),
        "traveling_speed_comparison": lambda: asker.winners("traveling_speed_comparison", traveling_speed),
        "movement_direction_comparison": asker.bearings,
        "traveled_distance": lambda: asker.measurements("traveled_distance", traveled_distance),
        "traveling_speed": lambda: asker.measurements("traveling_speed", traveling_speed),
        "movement_direction": asker.directions,
        "direction_timestamp": asker.timestamps,
    }
    if clip.scene.domain == "sports":
        askable = {task: find for task, find in askable.items() if task not in DIRECTIONS}
    asked: dict[Task, list[tuple[str, Question]]] = {}
    for task, find in askable.items():
        asked[task] = []
        for found in find():
            if isinstance(found, Rejected):
                rejected[f"{task}: {found.reason}"] += 1
            else:
                objects, question = found
                asked[task].append((question_id(clip, question, objects), question))
    order = sorted(asked, key=lambda task: stable_hash(clip.clip_id, task))
    comparing = _in_turn([asked[task] for task in order if task in COMPARISONS])[: gates.comparisons_per_clip]
    return (comparing + _in_turn([asked[task] for task in order if task not in COMPARISONS]))[: gates.per_clip]


def _in_turn(lists: Sequence[Sequence[tuple[str, Question]]]) -> list[tuple[str, Question]]:
    """The first of each list, then the second of each, and so on."""
    return [item for turn in zip_longest(*lists) for item in turn if item is not None]


@dataclass(frozen=True)
class _Asker:
    """Finds the questions of one clip, task by task; each with the indices of the objects that it is about."""

    clip: Clip
    gates: QuestionGates

    def measurements(
        self, task: Task, measure: Callable[..., Measurement]
    ) -> Iterator[tuple[tuple[int, ...], Question] | Rejected]:
        """Distance or speed of an object over the whole clip, and of an object over a part of it."""
        for span in self._spans(task):
            j = self._pick(range(len(self.clip.tracks)), task, *span)
            measured = self._measure(measure, j, span)
            if isinstance(measured, Rejected):
                yield measured
                continue
            value = f"{measured.value:.2f}"
            wording = self._wording(task, j, *span)
            words = {"object": self._name(j), "value": value}
            sigma = round(measured.sigma, 4) if self.clip.scene.centre_noise_m else None
            yield (j,), self._question(task, wording, wording.answer, words, span, value, (), sigma)

    def directions(self) -> Iterator[tuple[tuple[int, ...], Question] | Rejected]:
        """The final direction of each object."""
        task: Task = "movement_direction"
        for j in range(len(self.clip.tracks)):
            direction = movement_direction(self.clip.xyz_m[j], self.clip.scene.centre_noise_m)
            if isinstance(direction, Rejected):
                yield direction
            elif self._too_noisy(direction.sigma_rad):
                yield Rejected("heading lost in label noise")
            else:
                wording = self._wording(task, j)
                words = {"object": self._name(j), "hour": str(direction.hour)}
                yield (j,), self._question(task, wording, wording.answer, words, self._whole, str(direction.hour))

    def timestamps(self) -> Iterator[tuple[tuple[int, ...], Question] | Rejected]:
        """When each object moves into an hour that it moves into once."""
        task: Task = "direction_timestamp"
        for j in range(len(self.clip.tracks)):
            runs = direction_intervals(self.clip.xyz_m[j], self.clip.scene.centre_noise_m)
            if isinstance(runs, Rejected):
                yield runs
                continue
            times = Counter(run.hour for run in runs)
            for run in sorted(runs, key=lambda run: stable_hash(self.clip.clip_id, j, run.hour)):
                length = run.last - run.first
                if times[run.hour] > 1:
                    yield Rejected("moves into the hour more than once")
                elif length * STEP_S < MIN_INTERVAL_S:
                    yield Rejected("moves into the hour for under 1 s")
                elif length > MAX_INTERVAL_SHARE * self._whole.last:
                    yield Rejected("moves into the hour for most of the clip")
                elif self._too_noisy(run.sigma_rad):
                    yield Rejected("heading lost in label noise")
                else:
                    start, end = f"{run.first * STEP_S:.2f}", f"{run.last * STEP_S:.2f}"
                    wording = self._wording(task, j, run.hour)
                    words = {"object": self._name(j), "hour": str(run.hour), "start": start, "end": end}
                    target = f"{start}-{end}"
                    yield (j,), self._question(task, wording, wording.answer, words, self._whole, target)

    def winners(
        self, task: Task, measure: Callable[..., Measurement]
    ) -> Iterator[tuple[tuple[int, ...], Question] | Rejected]:
        """Which of two or three objects gets farther or is faster, or the opposite."""
        for span in self._spans(task) if len(self.clip.tracks) > 1 else ():
            group = self._group(task, span)
            measured = [self._measure(measure, j, span) for j in group]
            reason = next((m for m in measured if isinstance(m, Rejected)), None)
            if reason is not None:
                yield reason
                continue
            wording = self._wording(task, *group, *span, objects=len(group))
            known = [m for m in measured if isinstance(m, Measurement)]
            by_value = sorted(zip(known, group, strict=True), reverse=wording.polarity == "most")
            (best, winner), (second, _) = by_value[:2]
            low, high = sorted([best, second])
            if high.value < self.gates.win_ratio * low.value - ROUNDING:
                yield Rejected("no clear winner")
                continue
            if high.value - low.value < 2 * np.hypot(high.sigma + high.bias, low.sigma + low.bias):
                yield Rejected("winner lost in label noise")
                continue
            target = self.clip.colors[winner]
            words = comparison_words([self._name(j) for j in group], group.index(winner))
            answer = (wording.affirm if winner == group[0] else wording.deny) if wording.is_yes_no else wording.answer
            choices = tuple(self.clip.colors[j] for j in group)
            yield group, self._question(task, wording, answer, words, span, target, choices)

    def bearings(self) -> Iterator[tuple[tuple[int, ...], Question] | Rejected]:
        """Whether two objects move in the same direction."""
        task: Task = "movement_direction_comparison"
        for span in self._spans(task) if len(self.clip.tracks) > 1 else ():
            group = self._group(task, span)[:2]
            a, b = (self.clip.xyz_m[j, span.points] for j in group)
            nets_m = [float(np.linalg.norm(net_displacement(xyz_m))) for xyz_m in (a, b)]
            if min(nets_m) < self.gates.min_distance_m - ROUNDING:
                yield Rejected("moved too little")
                continue
            if self._too_noisy(float(np.hypot(*(np.sqrt(2) * self.clip.scene.centre_noise_m / np.array(nets_m))))):
                yield Rejected("heading lost in label noise")
                continue
            angle_rad = bearing_difference(a, b)
            if SAME_RAD + ROUNDING < angle_rad < DIFFERENT_RAD - ROUNDING:
                yield Rejected("neither the same nor a different direction")
                continue
            target = "same" if angle_rad <= SAME_RAD + ROUNDING else "different"
            wording = self._wording(task, *group, *span)
            choices = ("same", "different") if wording.polarity == "same" else ("different", "same")
            answer = wording.affirm if target == wording.polarity else wording.deny
            words = pair_words([self._name(j) for j in group])
            yield group, self._question(task, wording, answer, words, span, target, choices)

    @property
    def _whole(self) -> _Span:
        return _Span(0, len(self.clip.frame_index) - 1, True)

    def _spans(self, task: Task) -> list[_Span]:
        """The whole clip and parts of it, in an order that differs from task to task."""
        last, shortest = self._whole.last, round(MIN_PART_S / STEP_S)
        parts = [_Span(i, k, False) for i, k in combinations(range(last + 1), 2) if shortest <= k - i < last]
        parts.sort(key=lambda span: stable_hash(self.clip.clip_id, task, span.first, span.last))
        spans = [self._whole, *parts[: self.gates.parts]]
        return sorted(spans, key=lambda span: stable_hash(self.clip.clip_id, task, "turn", *span))

    def _measure(self, measure: Callable[..., Measurement], j: int, span: _Span) -> Measurement | Rejected:
        scene, xyz_m = self.clip.scene, self.clip.xyz_m[j, span.points]
        horizontal = scene.domain == "sports"
        if traveled_distance(xyz_m, 0.0, horizontal).value < self.gates.min_distance_m - ROUNDING:
            return Rejected("moved too little")
        measured = measure(xyz_m, scene.centre_noise_m, horizontal)
        if measured.relative_noise > self.gates.max_relative_noise:
            return Rejected("motion lost in label noise")
        return measured

    def _too_noisy(self, sigma_rad: float) -> bool:
        return bool(np.rad2deg(sigma_rad) > self.gates.max_heading_noise_deg)

    def _pick(self, objects: Sequence[int], *key: object) -> int:
        return min(objects, key=lambda j: stable_hash(self.clip.clip_id, *key, j))

    def _group(self, task: Task, span: _Span) -> tuple[int, ...]:
        """The clip's objects, in the order in which the question names them."""
        return tuple(sorted(range(len(self.clip.tracks)), key=lambda j: stable_hash(self.clip.clip_id, task, *span, j)))

    def _wording(self, task: Task, *key: object, objects: int = 0) -> Wording:
        usable = [wording for wording in wordings()[task] if wording.objects in (0, objects)]
        return min(usable, key=lambda wording: stable_hash(self.clip.clip_id, *key, wording.template_id))

    def _name(self, j: int) -> str:
        return "the object" if len(self.clip.tracks) == 1 else boxed(self.clip.colors[j])

    def _question(
        self,
        task: Task,
        wording: Wording,
        answer: str,
        words: dict[str, str],
        span: _Span,
        target: str,
        choices: tuple[str, ...] = (),
        sigma: float | None = None,
    ) -> Question:
        bounds = {"start": f"{span.start_s:.2f}", "end": f"{span.end_s:.2f}"}
        words = {**bounds, "span": (wording.whole if span.is_whole else wording.part).format(**bounds), **words}
        return Question(
            task=task,
            template_id=wording.template_id,
            question=sentence(wording.question.format(**words)),
            answer=sentence(answer.format(**words)),
            target=target,
            choices=choices,
            target_sigma=sigma,
            start_s=span.start_s,
            end_s=span.end_s,
        )

"""The same questions otherwise: in other words, mirrored, played backwards, at another rate, with the camera told, or
asking for a step further.

A variant keeps a question's `base_id`. Where it changes what is seen, the answer is computed anew from the objects'
motion (the old one only tells which interval was asked about); a question that then has no certain answer is left out
with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stvlm.dataset.rows import steps_of
from stvlm.hashing import stable_hash
from stvlm.kinematics import direction_intervals
from stvlm.questions.asking import Motion, Query, QuestionGates, Span, answer, common_prompt
from stvlm.questions.multistep import take_further
from stvlm.questions.templates import Wording, boxed, held_out_wordings, wording_named
from stvlm.records import Noise, Rejected, Task

Row = Mapping[str, Any]
"""A row of the dataset, with the columns `query` and `trajectory` of shards.SHARD_SCHEMA."""
Changed = tuple[Motion, Query]

NOTHING_NEW_TO_SEE = ("paraphrased", "intrinsics", "multistep")
"""Variants that show the clip as it is."""
STRIDES = (2, 3, 4)
"""What `retimed` shows: every second frame, that is 1 a second, every third or every fourth."""
LEAST_SHOWN = 5
"""Frames that a rate under 1 a second has to leave, as many as the shortest clips have."""


def vary(
    row: Row, variant: str, gates: QuestionGates, own: Mapping[Task, Sequence[Wording]] | None = None
) -> dict[str, Any] | Rejected:
    """A row's variant, with its own id, answer and boxes; or why there is none.

    `own` wordings take the place of the held-out ones in the variant `paraphrased`.
    """
    changed = VARIANTS[variant](row, motion_of(row), query_of(row))
    if isinstance(changed, Rejected):
        return changed
    if variant == "multistep":
        question = take_further(row["base_id"], *changed, gates)
    elif variant == "paraphrased":
        words = _other_words(row, own or held_out_wordings())
        question = words if isinstance(words, Rejected) else answer(*changed, gates, words)
    else:
        question = answer(*changed, gates)
    if isinstance(question, Rejected):
        return question
    out = seen_otherwise(row, variant, row["trajectory"]["width_px"])
    prompt = common_prompt(out["frame_times_s"], [item["color"] for item in out["objects"]])
    told = _camera_told(row) if variant == "intrinsics" else ""
    for name in ("task", "question", "answer", "target", "target_sigma", "start_s", "end_s", "template_id"):
        out[name] = getattr(question, name)
    out |= {"choices": list(question.choices), "steps": steps_of(question)}
    return out | {"id": f"{row['base_id']}-{variant}", "prompt": f"{prompt} {told}{question.question}"}


def seen_otherwise(row: Row, variant: str, width_px: int) -> dict[str, Any]:
    """A row with the boxes, times and intrinsics of what a variant shows; `width_px` is the mp4's."""
    out = dict(row)
    if variant in ("", *NOTHING_NEW_TO_SEE):
        return out
    out["clip_id"] = f"{row['clip_id']}-{variant}"
    out["file_name"] = f"videos/{out['clip_id']}.mp4"
    shown = slice(None)
    if variant == "mirrored":
        fx, fy, cx, cy = row["intrinsics_px"]
        out["intrinsics_px"] = [fx, fy, round(width_px - cx, 3), cy]
    elif variant == "reversed":
        shown = slice(None, None, -1)
    elif variant == "retimed":
        shown = slice(None, None, _stride(row))
        out["frame_times_s"] = row["frame_times_s"][shown]
    boxes_of = [[_flip(box, width_px) if variant == "mirrored" else box for box in item["boxes_px"][shown]]
                for item in row["objects"]]  # fmt: skip
    out["objects"] = [item | {"boxes_px": boxes} for item, boxes in zip(row["objects"], boxes_of, strict=True)]
    return out


def motion_of(row: Row) -> Motion:
    """How the objects of a row's clip move."""
    trajectory = row["trajectory"]
    xyz_m = np.array(trajectory["xyz_m"])
    noise = tuple(Noise(**of_object) for of_object in trajectory["noise"])
    return Motion(row["clip_id"], trajectory["domain"], noise, xyz_m)


def query_of(row: Row) -> Query:
    """What a row asks."""
    query = row["query"]
    span = _span(query["first"], query["last"], len(row["frame_times_s"]))
    return Query(row["task"], tuple(query["objects"]), span, row["template_id"], query["hour"])


def _span(first: int, last: int, n: int) -> Span:
    return Span(first, last, (first, last) == (0, n - 1))


def _other_words(row: Row, of_task: Mapping[Task, Sequence[Wording]]) -> Wording | Rejected:
    """Words that no training set holds, asking for the same."""
    polarity, count = wording_named(row["template_id"]).polarity, len(row["query"]["objects"])
    fitting = [w for w in of_task.get(row["task"], ()) if w.polarity == polarity and w.objects in (0, count)]
    if not fitting:
        return Rejected("no wording for this kind of question")
    return min(fitting, key=lambda wording: stable_hash(row["base_id"], wording.template_id))


def _mirrored(row: Row, motion: Motion, query: Query) -> Changed | Rejected:
    """Left and right exchanged: hour 3 is then 9, and lengths stay."""
    mirror = np.array([1.0, -1.0, 1.0])
    hour = (12 - query.hour) or 12 if query.hour else 0
    return motion._replace(xyz_m=motion.xyz_m * mirror), query._replace(hour=hour)


def _reversed(row: Row, motion: Motion, query: Query) -> Changed | Rejected:
    """Played from the end: what was last comes first, and 12 o'clock is another direction."""
    motion = motion._replace(xyz_m=motion.xyz_m[:, ::-1])
    last = motion.whole.last
    query = query._replace(span=_span(last - query.span.last, last - query.span.first, last + 1))
    if query.hour:
        start_s, end_s = (last / 2 - float(bound) for bound in reversed(row["target"].split("-")))
        runs = direction_intervals(motion.xyz_m[query.objects[0]], motion.noise[query.objects[0]])
        if isinstance(runs, Rejected):
            return runs
        same = [run for run in runs if (run.first / 2, run.last / 2) == (start_s, end_s)]
        if not same:
            return Rejected("the interval is another one backwards")
        query = query._replace(hour=same[0].hour)
    return motion, query


def _retimed(row: Row, motion: Motion, query: Query) -> Changed | Rejected:
    """Fewer frames a second; the clip ends with the last one shown, up to 1.5 s earlier.

    More would need images and boxes between the grid points, which rows do not hold.
    """
    stride = _stride(row)
    shown = (motion.whole.last // stride) * stride + 1  # grid points up to the last frame shown
    last = shown - 1 if query.span.is_whole else query.span.last
    if last >= shown:
        return Rejected("about more than is shown at the other rate")
    motion = motion._replace(xyz_m=motion.xyz_m[:, :shown])
    if query.hour:
        runs = direction_intervals(motion.xyz_m[query.objects[0]], motion.noise[query.objects[0]])
        if isinstance(runs, Rejected):
            return runs
        if any(run.hour == query.hour and run.last - run.first < stride for run in runs):
            return Rejected("in the hour for less than the time between two frames")
    return motion, query._replace(span=_span(query.span.first, last, shown))


def _stride(row: Row) -> int:
    """How many grid points lie from one frame to the next where a row's clip is retimed: the same for all its rows."""
    n = len(row["frame_times_s"])
    slow = [stride for stride in STRIDES if (n - 1) // stride + 1 >= LEAST_SHOWN]
    return min(slow or STRIDES[:1], key=lambda stride: stable_hash(row["clip_id"], "retimed", stride))


def _as_it_is(row: Row, motion: Motion, query: Query) -> Changed | Rejected:
    """The clip and what is asked of it stay; `paraphrased` and `multistep` word it otherwise, and go on from there."""
    return motion, query


def _of_known_camera(row: Row, motion: Motion, query: Query) -> Changed | Rejected:
    """Nothing changes but the prompt, which tells the camera's focal length and height."""
    height_m = row["trajectory"]["camera_height_m"]
    if height_m is None:
        return Rejected("camera of unknown height")
    if height_m <= 0:
        return Rejected("camera below the object's ground")
    return motion, query


VARIANTS: Mapping[str, Callable[[Row, Motion, Query], Changed | Rejected]] = {
    "paraphrased": _as_it_is,
    "mirrored": _mirrored,
    "reversed": _reversed,
    "retimed": _retimed,
    "intrinsics": _of_known_camera,
    "multistep": _as_it_is,
}
"""By the name that their ids and configs have."""


def _camera_told(row: Row) -> str:
    trajectory, colors = row["trajectory"], [item["color"] for item in row["objects"]]
    camera = "fisheye camera" if trajectory["lens"] == "fisheye" else "camera"
    first = "the object" if len(colors) == 1 else boxed(colors[0])
    return (
        f"The {camera}'s focal length is {row['intrinsics_px'][0]:.0f} pixels in an image of "
        f"{trajectory['width_px']} pixels' width, and at the start of the video it is "
        f"{trajectory['camera_height_m']:.2f} meters above the ground on which {first} moves. "
    )


def _flip(box_px: list[float] | None, width_px: int) -> list[float] | None:
    if box_px is None:
        return None
    x0, y0, x1, y1 = box_px
    return [round(width_px - x1, 2), y0, round(width_px - x0, 2), y1]

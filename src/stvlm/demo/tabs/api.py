"""What programs and agents call: an endpoint for each tab, which keeps nothing between two calls."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from stvlm.demo.asking import DEFAULT_HOUR, Asked, as_words, judge
from stvlm.demo.clips import Study, add_mark, example_study, follow, in_pixels_of, mark_of, shown_to_model
from stvlm.demo.desk import Desk, receive
from stvlm.demo.exploring import Catalogue, find
from stvlm.demo.judging import score_text
from stvlm.demo.measuring import Measured, Setting, answers, span_s
from stvlm.demo.measuring import measure as by_geometry
from stvlm.demo.reasons import with_cure
from stvlm.demo.tabs.ask import FIRST_TASK, asked_about, question_of
from stvlm.demo.tabs.parts import IN_LINE, friendly, visitor_of
from stvlm.demo.working import Tell, Told, in_steps, untold
from stvlm.records import DataError, Question, Rejected

MOST_FOUND = 50
MOST_MARKS = 30
"""Boxes of a call, each of which is followed through the clip."""


def build(desk: Desk, catalogue: Catalogue | None) -> None:
    """Adds the endpoints; nothing of them is to be seen."""
    rows = {} if catalogue is None else {row["id"]: row for item in catalogue.items.values() for row in item.rows}

    @friendly
    def ask(
        video: str | None = None,
        question: str = "",
        task: str = FIRST_TASK,
        boxes: Any = None,
        clip: str = "",
        hour: float = DEFAULT_HOUR,
        request: gr.Request | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Ask the model how an object in a video moves: in your own words, or by task. The answer streams.

        A video and a question or a task are enough. A box says which object is meant, and is followed through the
        video; with two, in two colours, they can be compared.

        Args:
            video: a video file of at least two seconds; nothing where `clip` names an example.
            question: in your own words; empty for the task's.
            task: traveled_distance, traveling_speed, movement_direction or direction_timestamp; with two boxes also
                traveled_distance_comparison, traveling_speed_comparison or movement_direction_comparison.
            boxes: a list of {"color": "red", "time_s": 0.0, "box": [x0, y0, x1, y1]}: colours are red, blue and green
                in that order, pixels those of the video that is sent, seconds from its beginning; [] for none.
            clip: the id of an example clip that `explore` finds, with boxes and a truth of its own; where `boxes` are
                given, these take their place, and the truth is not known.
            hour: the hour on the clock, 12 ahead and 3 to the right, that direction_timestamp asks about.
        """
        visitor = visitor_of(request)
        told: dict[str, Any] = {"question": (question or "").strip(), "answer": ""}
        hour = int(hour) if hour in range(1, 13) else 0

        def say(tell: Callable[[Told | str], None]) -> tuple[str, Asked | None, str]:
            with _study(desk, visitor, video, boxes, clip, tell) as study:
                shown = shown_to_model(study, desk.frame_size_px)
                told["question"] = told["question"] or question_of(study, task, hour)
                asked = asked_about(study, shown, task, hour, told["question"])
                answer = desk.answer(visitor, study, shown, told["question"], tell)
                told["about_s"] = [shown.first_s, shown.first_s + shown.times_s[-1]]
                return answer, asked, desk.doubt(study)

        def show(news: Told | str) -> dict[str, Any]:
            return {**told, "progress": news.words} if isinstance(news, Told) else {**told, "answer": news}

        answer, asked, doubt = yield from in_steps(say, show)
        whole: dict[str, Any] = {**told, "answer": answer} | ({"note": doubt} if doubt else {})
        if asked is not None:
            verdict, truth = judge(asked, answer), asked.truth
            value = verdict.parsed.value
            whole["read_as"] = None if value is None else as_words(task, value)
            whole["truth"] = as_words(task, truth.target) if isinstance(truth, Question) else None
            whole["right"] = None if verdict.outcome is None else verdict.outcome.correct
        yield whole

    @friendly
    def measure(
        video: str | None = None,
        boxes: Any = None,
        categories: Any = None,
        hfov_deg: float = Setting.hfov_deg,
        height_m: float = 1.5,
        motion_by: Any = Setting.motion_by,
        clip: str = "",
        request: gr.Request | None = None,
    ) -> dict[str, Any]:
        """Measure by geometry how boxed objects in a video move: paths, distances, speeds and directions.

        Args:
            video: a video file of at least two seconds; nothing where `clip` names an example.
            boxes: as for `ask`, at least one where there is no `clip`.
            categories: a list with the class of each object: car, truck, bus, trailer, motorcycle, bicycle, person,
                animal or vehicle; [] for cars.
            hfov_deg: the camera's horizontal field of view.
            height_m: the camera's height above the ground; 0 where it is not known.
            motion_by: opencv_vo (found from the road), static_camera, or known_poses for an example.
            clip: the id of an example clip that `explore` finds, whose camera is known.
        """
        visitor = visitor_of(request)
        classes = tuple(str(it) for it in _listed(categories)) or Setting().categories
        setting = Setting(classes, hfov_deg or 0.0, height_m or None, motion_by)
        with _study(desk, visitor, video, boxes, clip, untold) as study, desk.for_work.turn(visitor, untold):
            found = by_geometry(study, setting, untold)
        is_example = study.clip.known is not None
        return {
            "objects": {color: _described(found, color, is_example) for color in found.courses},
            "answers": [
                {
                    "task": it.asked.task,
                    "question": it.asked.question,
                    "value": it.value or None,
                    "sigma": it.sigma,
                    "why_not": with_cure(it.why_not, is_example) if it.why_not else "",
                    "truth": it.asked.truth.target if isinstance(it.asked.truth, Question) else None,
                }
                for it in answers(found, study.truth)
            ],
            "about_s": None if found.motion is None else list(span_s(found)),
            "notes": list(found.notes),
        }

    @friendly
    def explore(
        source: str = "", task: str = "", category: str = "", distance: str = "", speed: str = "", most: int = 10
    ) -> list[dict[str, Any]]:
        """Find clips of the dataset with their questions and answers; whatever is left empty counts for nothing.

        Args:
            source: such as simulation or nuscenes.
            task: such as traveled_distance.
            category: the class of an object, such as car.
            distance: how far it travels in meters: "under 10", "10 to 30" or "over 30".
            speed: how fast it is in km/h: "under 10", "10 to 30" or "over 30".
            most: how many clips.
        """
        if catalogue is None:
            raise DataError("There is no dataset here.")
        found = find(catalogue, source, task, category, distance, speed)[: min(max(int(most), 0), MOST_FOUND)]
        columns = ("id", "task", "question", "answer", "target", "label_type", "label_grade")
        return [
            {
                "clip_id": item.clip_id,
                "source": item.rows[0]["source"],
                "objects": [thing["category"] for thing in item.rows[0]["objects"]],
                "distances_m": [round(it, 2) for it in item.distances_m],
                "speeds_kmh": [round(it, 2) for it in item.speeds_kmh],
                "can_be_asked_about": item.clip_id in desk.examples,
                "questions": [{key: row[key] for key in columns} for row in item.rows],
            }
            for item in found
        ]

    @friendly
    def score(answers: str) -> dict[str, Any]:
        """Score answers in free text to questions about motion: how each is read, and accuracy with intervals.

        Args:
            answers: lines of JSON with task, target, prediction, for comparisons choices, and maybe question and
                clip_id; or with the id of a row of this dataset and prediction.
        """
        return score_text(answers, rows).scores

    with gr.Row(visible=False):
        # What these hold are the defaults that programs are told of.
        video, boxes, clip = gr.File(file_types=["video"]), gr.JSON([]), gr.Textbox("")
        task, hour, question = gr.Textbox(FIRST_TASK), gr.Number(DEFAULT_HOUR), gr.Textbox("")
        asked, found = gr.JSON(), gr.JSON()
        default = Setting()
        classes, motion_by = gr.JSON([]), gr.Textbox(default.motion_by)
        hfov_deg, height_m = gr.Number(default.hfov_deg), gr.Number(default.camera_height_m)
        inputs = [video, question, task, boxes, clip, hour]
        gr.Button().click(ask, inputs, asked, api_name="ask", **IN_LINE)
        inputs = [video, boxes, classes, hfov_deg, height_m, motion_by, clip]
        gr.Button().click(measure, inputs, found, api_name="measure", **IN_LINE)
    gr.api(explore, api_name="explore")
    gr.api(score, api_name="score")


@contextmanager
def _study(desk: Desk, visitor: str, video: str | None, boxes: Any, clip_id: str, tell: Tell) -> Iterator[Study]:
    """The boxed clip; that of a visitor is removed afterwards."""
    marks = [mark_of(box) for box in _listed(boxes)]
    if len(marks) > MOST_MARKS:
        raise DataError(f"These are {len(marks):,} boxes. Send at most {MOST_MARKS}.")
    if video and clip_id:
        raise DataError("Give a video or a clip, not both.")
    if not video and clip_id not in desk.examples:
        raise DataError(f"Give a video, or one of the clips: {', '.join(desk.examples)}.")
    if not video and not marks:
        yield example_study(desk.examples[clip_id][1])
        return
    with ExitStack() as afterwards:
        with desk.for_work.turn(visitor, tell):
            if video:
                clip, _ = receive(Path(video), desk.work, tell)
                afterwards.callback(shutil.rmtree, clip.path.parent, ignore_errors=True)
                study = Study(clip)
            else:
                study = example_study(desk.examples[clip_id][1])
            for mark in marks:
                study = follow(add_mark(study, in_pixels_of(study.clip, mark)), mark.color, tell)
        yield study


def _listed(given: Any) -> list[Any]:
    """One that is not in a list as a list."""
    return given if isinstance(given, list) else [given] if given else []


def _described(found: Measured, color: str, is_example: bool) -> dict[str, Any]:
    course, told = found.courses[color], {"box": found.unseen[color]} if color in found.unseen else {}
    if isinstance(course, Rejected):
        return {"why_not": with_cure(course.reason, is_example), **told}
    return {
        **told,
        "times_s": course.times_s.round(2).tolist(),
        "xyz_m": course.xyz_m.round(3).tolist(),
        "sigma_m": course.sigma_m.round(3).tolist(),
        "grade": course.grade,
    }

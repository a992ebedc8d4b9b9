"""What programs and agents call: an endpoint for each tab, which keeps nothing between two calls."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from stvlm.demo.asking import as_words, judge
from stvlm.demo.clips import Study, add_mark, example_study, follow, mark_of, shown_to_model
from stvlm.demo.desk import Desk, receive
from stvlm.demo.exploring import Catalogue, find
from stvlm.demo.judging import score_text
from stvlm.demo.measuring import Course, Setting, answers
from stvlm.demo.measuring import measure as by_geometry
from stvlm.demo.tabs.ask import answered, asked_about, question_of
from stvlm.demo.tabs.parts import friendly
from stvlm.records import DataError, Question, Rejected

MOST_FOUND = 50


def build(desk: Desk, catalogue: Catalogue | None) -> None:
    """Adds the endpoints; nothing of them is to be seen."""
    rows = {} if catalogue is None else {row["id"]: row for item in catalogue.items.values() for row in item.rows}

    @friendly
    def ask(
        video: str | None, boxes: Any, clip: str, task: str, hour: float, question: str
    ) -> Iterator[dict[str, Any]]:
        """Ask the model how an object in a video moves. Give a video with boxes, or the id of an example clip.

        Args:
            video: a video file of at least two seconds; nothing where `clip` names an example.
            boxes: a list of {"color": "red", "time_s": 0.0, "box": [x0, y0, x1, y1]}, in pixels of at most 640 a side.
            clip: the id of an example clip, with boxes of its own.
            task: one of stvlm's tasks: traveled_distance, traveling_speed, movement_direction, direction_timestamp, ...
            hour: the clock hour that direction_timestamp asks about.
            question: other words for it; nothing for the library's own.
        """
        study, folder = _study(desk, video, boxes, clip)
        try:
            shown = shown_to_model(study)
            words = question.strip() or question_of(study, task, int(hour))
            asked = asked_about(study, shown, task, int(hour), words)
            told: dict[str, Any] = {"question": words, "answer": ""}
            for text in answered(desk, study, shown, words):
                told = {**told, "answer": text}
                yield told
            if asked is not None:
                verdict, truth = judge(asked, told["answer"]), asked.truth
                value = verdict.parsed.value
                told["read_as"] = None if value is None else as_words(task, value)
                told["truth"] = as_words(task, truth.target) if isinstance(truth, Question) else None
                told["right"] = None if verdict.outcome is None else verdict.outcome.correct
            yield told
        finally:
            _remove(folder)

    @friendly
    def measure(
        video: str | None, boxes: Any, clip: str, categories: Any, hfov_deg: float, height_m: float, motion_by: Any
    ) -> dict[str, Any]:
        """Measure by geometry how boxed objects in a video move: paths, distances, speeds and directions.

        Args:
            video: a video file of at least two seconds; nothing where `clip` names an example.
            boxes: as for `ask`.
            clip: the id of an example clip, whose camera is known.
            categories: a list with the class of each object, such as car, truck, bus, motorcycle, bicycle or person.
            hfov_deg: the camera's horizontal field of view.
            height_m: the camera's height above the ground; 0 where it is not known.
            motion_by: opencv_vo (found from the road), static_camera, or known_poses for an example.
        """
        study, folder = _study(desk, video, boxes, clip)
        try:
            classes = tuple(str(it) for it in categories or ()) or Setting().categories
            found = by_geometry(
                study, Setting(classes, hfov_deg, height_m or None, motion_by), lambda share, words: None
            )
        finally:
            _remove(folder)
        return {
            "objects": {color: _described(course) for color, course in found.courses.items()},
            "answers": [
                {
                    "task": it.asked.task,
                    "question": it.asked.question,
                    "value": it.value or None,
                    "sigma": it.sigma,
                    "why_not": it.why_not,
                    "truth": it.asked.truth.target if isinstance(it.asked.truth, Question) else None,
                }
                for it in answers(found, study.truth)
            ],
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
        video, boxes, clip = gr.File(file_types=["video"]), gr.JSON(), gr.Textbox()
        task, hour, question = gr.Textbox("traveled_distance"), gr.Number(3), gr.Textbox()
        asked, found = gr.JSON(), gr.JSON()
        classes, hfov_deg, height_m, motion_by = gr.JSON(), gr.Number(65), gr.Number(1.5), gr.Textbox("opencv_vo")
        inputs = [video, boxes, clip, task, hour, question]
        gr.Button().click(ask, inputs, asked, api_name="ask", concurrency_id="model", concurrency_limit=1)
        inputs = [video, boxes, clip, classes, hfov_deg, height_m, motion_by]
        gr.Button().click(measure, inputs, found, api_name="measure", concurrency_id="video", concurrency_limit=2)
    gr.api(explore, api_name="explore")
    gr.api(score, api_name="score")


def _study(desk: Desk, video: str | None, boxes: Any, clip_id: str) -> tuple[Study, Path | None]:
    """The boxed clip, and a folder to remove afterwards."""
    if not video:
        if clip_id not in desk.examples:
            raise DataError(f"Give a video, or one of the clips: {', '.join(desk.examples)}.")
        return example_study(desk.examples[clip_id][1]), None
    clip, _ = receive(Path(video), desk.work)
    try:
        study = Study(clip)
        for given in boxes if isinstance(boxes, list) else []:
            mark = mark_of(given)
            study = follow(add_mark(study, mark), mark.color, lambda share, words: None)
        return study, clip.path.parent
    except BaseException:
        _remove(clip.path.parent)
        raise


def _described(course: Course | Rejected) -> dict[str, Any]:
    if isinstance(course, Rejected):
        return {"why_not": course.reason}
    return {
        "times_s": course.times_s.round(2).tolist(),
        "xyz_m": course.xyz_m.round(3).tolist(),
        "sigma_m": course.sigma_m.round(3).tolist(),
        "grade": course.grade,
    }


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)

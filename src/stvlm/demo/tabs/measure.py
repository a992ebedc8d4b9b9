"""The tab Measure: the same clip by geometry, seen from above and over time, and beside it what the model says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import torch

from stvlm.demo import drawing, showing
from stvlm.demo.asking import prompt_for
from stvlm.demo.clips import Study, shown_to_model
from stvlm.demo.desk import Desk
from stvlm.demo.measuring import CLASSES, Course, Measured, Setting, answers, measure
from stvlm.demo.tabs.parts import friendly, make_stage
from stvlm.demo.working import in_steps
from stvlm.records import COLORS_RGB, DataError

BY = [
    ("find out from the road", "opencv_vo"),
    ("it stood still", "static_camera"),
    ("known, of examples", "known_poses"),
]
_NOTHING_YET = '<p class="quiet">What geometry tells will stand here.</p>'
ABOUT = """
<p class="quiet">Without any network: how tall things of a class are and where they stand tell how far away they are,
the road tells how the camera moves. A wrong class, camera height or field of view shifts everything.</p>
"""


def build(desk: Desk, study: gr.State) -> None:
    """Makes the tab inside the current context, for the clip of the tab Ask."""
    default = Setting()
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            stage = make_stage(elem_id="measured-stage")
            motion_by = gr.Radio(BY, value=default.motion_by, label="How did the camera move?", elem_id="motion")
            classes = [
                gr.Dropdown(list(CLASSES), value=category, label=f"What is in the {color} box?", visible=False)
                for color, category in zip(COLORS_RGB, default.categories, strict=True)
            ]
            with gr.Row(visible=False) as lens:
                hfov_deg = gr.Number(default.hfov_deg, label="Field of view, degrees", minimum=20, maximum=150)
                height_m = gr.Number(default.camera_height_m, label="Camera height, m", minimum=0.1, maximum=100)
            with gr.Row():
                button = gr.Button("Measure", variant="primary", elem_id="measure", scale=4)
                stop = gr.Button("Stop", scale=1, min_width=80)
            gr.HTML(ABOUT, apply_default_css=False)
        with gr.Column(scale=7, min_width=320):
            table = gr.HTML(
                '<p class="quiet">What geometry tells will stand here.</p>', elem_id="measured", apply_default_css=False
            )
            plots = gr.HTML("", elem_id="plots", apply_default_css=False)
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    def show(now: Study | None) -> list[Any]:
        """The clip of the tab Ask; of an example camera and classes are known."""
        colors = () if now is None else now.colors
        is_known = now is not None and now.clip.known is not None
        says_class = not is_known or bool(now and now.marks)
        seen = [gr.update(visible=says_class and color in colors) for color in COLORS_RGB]
        value = showing.stage_value(now, draw=False)
        kinds = BY if is_known else BY[:2]
        return [value, gr.update(choices=kinds, value=default.motion_by), gr.update(visible=not is_known), *seen, ""]

    @friendly
    def run(
        now: Study | None, motion_by: Any, hfov_deg: float, height_m: float, *categories: str
    ) -> Iterator[tuple[Any, Any]]:
        if now is None:
            raise DataError("Choose a clip in the tab Ask first.")
        setting = Setting(tuple(categories), hfov_deg or 0.0, height_m or None, motion_by)
        steps = in_steps(lambda tell: measure(now, setting, tell))
        found: Measured
        try:
            while True:
                try:
                    told = next(steps)
                except StopIteration as done:
                    found = done.value
                    break
                yield showing.working(told), gr.skip()
        finally:
            steps.close()
        rows = answers(found, now.truth)
        pictures = _plots(found)
        said = [""] * len(rows)
        yield showing.measured_table(found, rows, said), pictures
        if found.motion is None:
            return
        last_s = found.first_s + (found.motion.xyz_m.shape[1] - 1) / 2
        shown = shown_to_model(now, (found.first_s, last_s))
        video = torch.from_numpy(shown.frames).permute(0, 3, 1, 2).contiguous()
        for i, row in enumerate(rows):
            for text in desk.stream(video, shown.times_s, prompt_for(now, shown.times_s, row.asked.question)):
                said[i] = text
            yield showing.measured_table(found, rows, said), gr.skip()

    study.change(show, study, [stage, motion_by, lens, *classes, plots], **hidden)
    inputs = [study, motion_by, hfov_deg, height_m, *classes]
    running = button.click(run, inputs, [table, plots], **hidden, concurrency_id="model", concurrency_limit=1)
    stop.click(None, cancels=[running], **hidden)


def _plots(found: Measured) -> str:
    courses = {color: course for color, course in found.courses.items() if isinstance(course, Course)}
    if not courses:
        return ""
    figures = [
        ("From above: a dot every half second", drawing.top_view(courses, found.world_SE3_camera)),
        ("Speed", drawing.speeds(courses)),
        ("Direction, from the start in the middle to the end at the rim", drawing.clock(courses)),
    ]
    cells = "".join(f"<figure><figcaption>{title}</figcaption>{plot}</figure>" for title, plot in figures)
    dashed = " Dotted: the truth." if any(it.truth_m is not None for it in courses.values()) else ""
    shade = "Shaded: one standard deviation."
    return f'<div class="plots three">{cells}</div><p class="quiet">{shade}{dashed}</p>'

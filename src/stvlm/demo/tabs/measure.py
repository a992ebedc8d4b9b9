"""The tab Measure: the same clip by geometry, seen from above and over time, and beside it what the model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gradio as gr

from stvlm.demo import drawing, showing
from stvlm.demo.clips import Study, first_boxes, shown_to_model
from stvlm.demo.desk import Desk
from stvlm.demo.measuring import CLASSES, Course, Measured, Setting, answers, measure
from stvlm.demo.reasons import KNOWN, STOOD_STILL
from stvlm.demo.tabs.parts import HIDDEN, IN_LINE, end_with, friendly, make_stage, visitor_of
from stvlm.demo.working import Tell, Told, in_steps
from stvlm.kinematics import STEP_S
from stvlm.records import COLORS_RGB, DataError

BY = [("find out from the road", "opencv_vo"), (STOOD_STILL, "static_camera"), (KNOWN, "known_poses")]
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
                hfov_deg = gr.Number(default.hfov_deg, label="Field of view, degrees")
                height_m = gr.Number(default.camera_height_m, label="Camera height, m")
            with gr.Row():
                button = gr.Button("Measure", variant="primary", elem_id="measure", scale=4)
                stop = gr.Button("Stop", elem_id="stop-measuring", scale=1, min_width=80, interactive=False)
            gr.HTML(ABOUT, apply_default_css=False)
        with gr.Column(scale=7, min_width=320):
            progress = gr.HTML(_NOTHING_YET, elem_id="measuring", apply_default_css=False)
            table = gr.HTML("", elem_id="measured", apply_default_css=False)
            plots = gr.HTML("", elem_id="plots", apply_default_css=False)

    def show(now: Study | None) -> list[Any]:
        """The clip of the tab Ask; of an example camera and classes are known."""
        colors = () if now is None else now.colors
        is_known = now is not None and now.clip.known is not None
        says_class = not is_known or bool(now and now.marks)
        asks = [says_class and color in colors for color in COLORS_RGB]
        seen = [
            gr.update(visible=True) if is_asked else gr.update(visible=False, value=category)
            for is_asked, category in zip(asks, default.categories, strict=True)
        ]
        value = showing.stage_value(now, draw=False)
        kinds = BY if is_known else BY[:2]
        of_clip = {} if now is not None and now.marks else {"value": "known_poses" if is_known else default.motion_by}
        motion = gr.update(choices=kinds, **of_clip)  # with another box, it moved as it did
        return [value, motion, gr.update(visible=not is_known), *seen, _NOTHING_YET, "", ""]

    def unmeasured(why: str, *_: Any, **__: Any) -> list[Any]:
        return [showing.refused(why), gr.skip(), gr.skip(), gr.update(interactive=False)]

    @partial(friendly, left=unmeasured)
    def run(
        now: Study | None, motion_by: Any, hfov_deg: float, height_m: float, request: gr.Request, *categories: str
    ) -> Iterator[list[Any]]:
        if now is None:
            raise DataError("Choose a clip in the tab Ask first.")
        setting = Setting(tuple(categories), hfov_deg or 0.0, height_m or None, motion_by)
        visitor = visitor_of(request)
        yield [showing.waiting("It begins …"), "", "", gr.update(interactive=True)]

        def work(tell: Tell) -> Measured:
            with desk.for_work.turn(visitor, tell):
                return measure(now, setting, tell)

        def show_work(told: Told) -> list[Any]:
            return [showing.working(told), gr.skip(), gr.skip(), gr.update(interactive=True)]

        found = yield from in_steps(work, show_work)
        rows = answers(found, now.truth)
        said: list[str] = []

        def compared() -> str:
            return showing.measured_table(found, now, rows, [*said, *[""] * (len(rows) - len(said))])

        yield ["", compared(), _plots(found), gr.update(interactive=True)]
        if found.motion is not None:
            count, frames = found.motion.xyz_m.shape[:2]
            last_s = found.first_s + (frames - 1) * STEP_S
            measured = first_boxes(now, count)  # those that the questions are about
            shown = shown_to_model(measured, desk.frame_size_px, (found.first_s, last_s))

            def say(tell: Callable[[Told | str], None]) -> None:
                for row in rows:
                    said.append(desk.answer(visitor, measured, shown, row.asked.question, tell))

            def show_said(told: Told | str) -> list[Any]:
                doing = f"The model answers question {min(len(said) + 1, len(rows))} of {len(rows)} …"
                return [showing.waiting(doing), compared(), gr.skip(), gr.update(interactive=True)]

            yield from in_steps(say, show_said)
        yield ["", compared(), gr.skip(), gr.update(interactive=False)]

    shown_anew = [stage, motion_by, lens, *classes, progress, table, plots]
    study.change(show, study, shown_anew, **HIDDEN)
    inputs = [study, motion_by, hfov_deg, height_m, *classes]
    running = button.click(run, inputs, [progress, table, plots, stop], **HIDDEN, **IN_LINE)
    end_with(running, stop, progress)


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

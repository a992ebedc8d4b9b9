"""The tab Explore: the dataset's clips by what they show, and how its labels are spread."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlencode

import gradio as gr

from stvlm.demo import drawing, showing
from stvlm.demo.asking import TITLES
from stvlm.demo.clips import Clip, Study
from stvlm.demo.exploring import RANGES, Catalogue, Item, find, picture
from stvlm.demo.tabs.parts import friendly, make_shelf, make_stage
from stvlm.evaluation.trajectories import trajectory_of
from stvlm.kinematics import STEP_S
from stvlm.records import DataError

A_PAGE = 12
FILTERS = ("source", "task", "category", "distance", "speed")


class Explore(NamedTuple):
    """What the page needs of it."""

    link: gr.Textbox
    open_from: Any
    """A query string's values -> the outputs `opened`."""
    opened: list[Any]


def build(catalogue: Catalogue) -> Explore:
    """Makes the tab inside the current context."""
    with gr.Row():
        choices = [
            [("every source", ""), *((it, it) for it in catalogue.values("source"))],
            [("every question", ""), *((title, task) for task, title in TITLES.items())],
            [("every class", ""), *((it, it) for it in catalogue.categories)],
            [("any distance", ""), *((f"{it} m", it) for it in RANGES if it)],
            [("any speed", ""), *((f"{it} km/h", it) for it in RANGES if it)],
        ]
        filters = [
            gr.Dropdown(
                of,
                value="",
                label=name.capitalize(),
                show_label=False,
                container=False,
                min_width=150,
                elem_id=f"by-{name}",
            )
            for name, of in zip(FILTERS, choices, strict=True)
        ]
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            stage = make_stage(elem_id="explored-stage")
            facts = gr.HTML("", elem_id="facts", apply_default_css=False)
        with gr.Column(scale=5, min_width=320):
            count = gr.HTML("", apply_default_css=False, elem_id="count")
            shelf = make_shelf("", "row", elem_id="found")
            with gr.Row():
                before = gr.Button("Previous", size="sm")
                after = gr.Button("Next", size="sm", elem_id="more")
            above = gr.HTML("", elem_id="above", apply_default_css=False)
    if catalogue.labels:
        with gr.Accordion("How its labels are spread, before and after balancing", open=False, elem_id="labels"):
            gr.HTML(f'<div class="wide">{catalogue.labels}</div>', apply_default_css=False)
    page = gr.State(0)
    link = gr.Textbox(visible=False)
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    opened = [*filters, page, count, shelf, stage, facts, above, link]

    def found(page: int, items: list[Item]) -> tuple[int, str, str]:
        pages = max(-(-len(items) // A_PAGE), 1)
        page = min(max(page, 0), pages - 1)
        shown = items[page * A_PAGE : (page + 1) * A_PAGE]
        rows = sum(len(item.rows) for item in items)
        if not items:
            return 0, '<p class="quiet">No clip has all of these: choose fewer.</p>', ""
        told = f'<p class="quiet">{len(items):,} clips with {rows:,} questions; page {page + 1} of {pages}</p>'
        pictures = [(item.clip_id, ", ".join(sorted(item.categories)), picture(item)) for item in shown]
        return page, told, showing.shelf(pictures)

    def clip_shown(clip_id: str) -> tuple[Any, str, str]:
        if clip_id not in catalogue.items:
            raise DataError("There is no such clip in this dataset.")
        item = catalogue.items[clip_id]
        row = item.rows[0]
        times_s = row["frame_times_s"]
        step_s = times_s[1] - times_s[0] if len(times_s) > 1 else STEP_S
        height_px, width_px = picture(item).shape[:2]
        clip = Clip(row["video_path"], step_s, len(times_s), (width_px, height_px))
        motion = trajectory_of(row, catalogue.trajectories)
        plot = drawing.top_view(drawing.true_courses(motion), motion.world_SE3_camera)
        above = f'<div class="plots"><figure><figcaption>From above</figcaption>{plot}</figure></div>'
        return showing.stage_value(Study(clip), draw=False), showing.clip_facts(item), above

    def address(clip_id: str, values: tuple[str, ...]) -> str:
        by = {f"by_{name}": value for name, value in zip(FILTERS, values, strict=True)}
        return urlencode({"tab": "explore", "row": clip_id, **by})

    @friendly
    def filtered(*values: str) -> list[Any]:
        items = find(catalogue, *values)
        clip_id = items[0].clip_id if items else ""
        shown = clip_shown(clip_id) if clip_id else (gr.skip(), gr.skip(), gr.skip())
        return [*found(0, items), *shown, address(clip_id, values)]

    @friendly
    def turned(page: int, by: int, *values: str) -> list[Any]:
        return [*found(page + by, find(catalogue, *values))]

    @friendly
    def choose(event: gr.EventData, *values: str) -> list[Any]:
        clip_id = str(event._data.get("id"))
        return [*clip_shown(clip_id), address(clip_id, values)]

    def open_from(given: dict[str, str]) -> list[Any]:
        values = tuple(given.get(f"by_{name}", "") for name in FILTERS)
        known = [{value for _, value in of} for of in choices]
        values = tuple(value if value in of else "" for value, of in zip(values, known, strict=True))
        items = find(catalogue, *values)
        clip_id = given.get("row", "")
        if clip_id not in catalogue.items:
            clip_id = items[0].clip_id if items else next(iter(catalogue.items))
        return [*values, *found(0, items), *clip_shown(clip_id), gr.skip()]

    for chosen in filters:
        chosen.input(filtered, filters, [page, count, shelf, stage, facts, above, link], **hidden)
    for button, by in ((before, -1), (after, 1)):
        turn = gr.State(by)
        button.click(turned, [page, turn, *filters], [page, count, shelf], **hidden)
    shelf.choose(choose, filters, [stage, facts, above, link], **hidden)
    return Explore(link, open_from, opened)

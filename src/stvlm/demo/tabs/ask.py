"""The tab Ask: a clip, a box, a question; the answer as it grows, and beside it the truth."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import gradio as gr
import torch

from stvlm.demo import showing
from stvlm.demo.asking import DEFAULT_HOUR, TITLES, Asked, ask_by_task, hours_of, prompt_for, tasks_for
from stvlm.demo.clips import (
    Shown,
    Study,
    add_mark,
    example_study,
    follow,
    mark_of,
    shown_to_model,
    without_marks,
)
from stvlm.demo.desk import Desk, receive
from stvlm.demo.tabs.parts import friendly, make_shelf, make_stage
from stvlm.demo.working import Told, in_steps
from stvlm.records import DataError

FIRST_TASK = "traveled_distance"
MOST_LETTERS = 500
NO_CLIP = "Choose an example or upload a video first."


class Ask(NamedTuple):
    """What the other tabs need of it."""

    study: gr.State
    link: gr.Textbox
    open_from: Any
    """A query string's values -> the outputs `opened`."""
    opened: list[Any]


def build(desk: Desk) -> Ask:
    """Makes the tab inside the current context."""
    study = gr.State(None)
    shelf = make_shelf(_shelf_of(desk), elem_id="examples")
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            stage = make_stage(elem_id="stage")
            upload = gr.UploadButton("Upload a video of your own", file_types=["video"], size="sm", elem_id="upload")
            stop_following = gr.Button("Stop", size="sm", visible=False)
        with gr.Column(scale=5, min_width=320):
            task = gr.Radio(_choices(1), value=FIRST_TASK, label="Question", elem_id="task")
            hour = gr.Radio(
                list(range(1, 13)), value=DEFAULT_HOUR, label="Towards which hour?", visible=False, elem_id="hour"
            )
            question = gr.Textbox(
                label="In words: change them as you like", lines=2, max_length=MOST_LETTERS, elem_id="question"
            )
            with gr.Row():
                button = gr.Button("Ask", variant="primary", elem_id="ask", scale=4)
                stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=80)
            card = gr.HTML(showing.NO_ANSWER_YET, elem_id="answer", apply_default_css=False)
    frames = gr.HTML("", elem_id="frames", apply_default_css=False)
    link = gr.Textbox(visible=False)
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    opened = [study, stage, task, hour, question, card, frames, link]

    def show(now: Study, task: str, hour: int, note: str = "") -> list[Any]:
        count = max(len(now.colors), 1)
        if task not in tasks_for(count):
            task = FIRST_TASK
        hours = hours_of(now.truth)
        hour = hour if hour in hours else hours[-1]
        return [
            now, showing.stage_value(now, note=note),
            gr.update(choices=_choices(count), value=task),
            gr.update(choices=hours, value=hour, visible=task == "direction_timestamp"),
            question_of(now, task, hour), showing.NO_ANSWER_YET, "", _link(now, task, hour),
        ]  # fmt: skip

    def open_example(clip_id: str, task: str, hour: int) -> list[Any]:
        if clip_id not in desk.examples:
            raise DataError("There is no such example.")
        return show(example_study(desk.examples[clip_id][1]), task, hour)

    @friendly
    def choose(task: str, hour: int, event: gr.EventData) -> list[Any]:
        return open_example(str(event._data.get("id")), task, hour)

    @friendly
    def take(path: str, task: str, hour: int, progress: Any = gr.Progress()) -> list[Any]:  # noqa: B008
        progress(0.2, desc="decoding")
        clip, is_cut = receive(Path(path), desk.work)
        note = f"Only the first {clip.times_s[-1]:.1f} seconds are used." if is_cut else ""
        return show(Study(clip), task, hour, note)

    @friendly
    def mark(now: Study | None, task: str, hour: int, event: gr.EventData) -> Iterator[list[Any]]:
        if now is None:
            raise DataError(NO_CLIP)
        drawn = mark_of(event._data)
        steps = in_steps(lambda tell: follow(add_mark(now, drawn), drawn.color, tell))
        found = yield from _told(steps, len(opened))
        yield [*show(found, task, hour, _coverage(found, drawn.color)), gr.update(visible=False)]

    @friendly
    def clear(now: Study | None, task: str, hour: int) -> list[Any]:
        if now is None:
            raise DataError(NO_CLIP)
        return show(without_marks(now), task, hour)

    @friendly
    def compose(now: Study | None, task: str, hour: int) -> tuple[Any, str, str]:
        words = question_of(now, task, hour) if now is not None else ""
        return gr.update(visible=task == "direction_timestamp"), words, _link(now, task, hour)

    @friendly
    def answer(now: Study | None, task: str, hour: int, question: str) -> Iterator[tuple[str, Any]]:
        if now is None:
            raise DataError(NO_CLIP)
        shown = shown_to_model(now)
        asked = asked_about(now, shown, task, hour, question)
        seen = showing.strip(shown.frames, [shown.first_s + t for t in shown.times_s], desk.frame_size_px)
        yield showing.answer_card("", asked, False), _seen_card(desk, seen)
        text = ""
        for text in answered(desk, now, shown, question):
            yield showing.answer_card(text, asked, False), gr.skip()
        yield showing.answer_card(text, asked, True), gr.skip()

    shelf.choose(choose, [task, hour], opened, **hidden)
    upload.upload(
        take, [upload, task, hour], opened, api_visibility="private", concurrency_id="video", concurrency_limit=2
    )
    marking = stage.mark(
        mark, [study, task, hour], [*opened, stop_following], **hidden, concurrency_id="video", concurrency_limit=2
    )
    stop_following.click(lambda: gr.update(visible=False), None, stop_following, cancels=[marking], **hidden)
    stage.clear(clear, [study, task, hour], opened, **hidden)
    for chosen in (task, hour):
        chosen.input(compose, [study, task, hour], [hour, question, link], **hidden)
    inputs, outputs = [study, task, hour, question], [card, frames]
    asking = gr.on(
        [button.click, question.submit], answer, inputs, outputs, **hidden, concurrency_id="model", concurrency_limit=1
    )
    stop.click(None, cancels=[asking], **hidden)
    return Ask(study, link, open_example, opened)


def answered(desk: Desk, study: Study, shown: Shown, question: str) -> Iterator[str]:
    """What the model says, as it grows."""
    video = torch.from_numpy(shown.frames).permute(0, 3, 1, 2).contiguous()
    yield from desk.stream(video, shown.times_s, prompt_for(study, shown.times_s, question))


def asked_about(study: Study, shown: Shown, task: str, hour: int, question: str) -> Asked | None:
    """The question by task where its words are still those, else None."""
    if not question.strip():
        raise DataError("Type a question first.")
    if len(question) > MOST_LETTERS:
        raise DataError(f"The question is longer than {MOST_LETTERS} letters.")
    truth = study.truth
    if truth is not None and truth.xyz_m.shape[1] != len(shown.frames):
        truth = None
    asked = ask_by_task(task, len(study.colors), len(shown.frames), hour, truth)
    return asked if asked.question == question.strip() else None


def question_of(study: Study, task: str, hour: int) -> str:
    """The words of a task's question about a clip."""
    return ask_by_task(task, max(len(study.colors), 1), 5, hour).question


def _choices(count: int) -> list[tuple[str, str]]:
    return [(TITLES[task], task) for task in tasks_for(count)]


def _link(study: Study | None, task: str, hour: int) -> str:
    """The query string that opens the same again; an upload is nobody else's."""
    parts = {"tab": "ask", "clip": study.clip.clip_id if study else "", "task": task}
    if task == "direction_timestamp":
        parts["hour"] = str(hour)
    return urlencode({key: value for key, value in parts.items() if value})


def _told(steps: Generator[Told, None, Study], outputs: int) -> Generator[list[Any], None, Study]:
    """Shows how far work is, and that it can be stopped; returns its result."""
    skipped = [gr.skip()] * outputs
    try:
        while True:
            try:
                next(steps)
            except StopIteration as done:
                found: Study = done.value
                return found
            yield [*skipped, gr.update(visible=True)]
    finally:
        steps.close()


def _coverage(study: Study, color: str) -> str:
    seen = (study.boxes_px[color][:, 0] == study.boxes_px[color][:, 0]).mean()
    if seen > 0.98:
        return ""
    return f"Followed through {100 * seen:.0f} % of the clip. Where it is lost, draw it again."


def _seen_card(desk: Desk, seen: str) -> str:
    size = desk.frame_size_px
    how = f"each brought to {size[0]} × {size[1]} pixels" if size else "in a resolution of its choice"
    told = f"What {escape(desk.model_name)} sees: a frame every half second, boxes drawn, {how}."
    return f'<p class="quiet">{told}</p>{seen}'


def _shelf_of(desk: Desk) -> str:
    items = []
    for clip_id, (name, clip) in desk.examples.items():
        shown = shown_to_model(example_study(clip))
        items.append((clip_id, name, shown.frames[0]))
    return showing.shelf(items)

"""The tab Ask: a clip, a box, a question; the answer as it grows, and beside it the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

import gradio as gr

from stvlm.demo import showing
from stvlm.demo.asking import DEFAULT_HOUR, Asked, ask_by_task, hours_of, tasks_for, title_of
from stvlm.demo.clips import (
    DRAW_AGAIN,
    Clip,
    Shown,
    Study,
    add_mark,
    example_study,
    follow,
    losses,
    mark_of,
    shown_to_model,
    without_marks,
)
from stvlm.demo.desk import Desk, receive
from stvlm.demo.tabs.parts import (
    HIDDEN,
    IN_LINE,
    end_with,
    friendly,
    make_shelf,
    make_stage,
    visitor_of,
    wait_for_the_last,
)
from stvlm.demo.working import Tell, Told, in_steps
from stvlm.records import DataError

FIRST_TASK = "traveled_distance"
MOST_LETTERS = 500
NO_CLIP = "Choose an example or upload a video first."
WHICH_HOUR = "Towards which hour? 12 is the way it moves at first, 3 to the right of it, 9 to the left"


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
    shelf = make_shelf(_shelf_of(desk), "clip", elem_id="examples")
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            stage = make_stage(elem_id="stage")
            upload = gr.UploadButton("Upload a video of your own", file_types=["video"], size="sm", elem_id="upload")
            taking = gr.HTML("", elem_id="taking", apply_default_css=False)
            stop_following = gr.Button("Stop", size="sm", visible=False, elem_id="stop-following")
        with gr.Column(scale=5, min_width=320):
            task = gr.Radio(_choices(1, DEFAULT_HOUR), value=FIRST_TASK, label="Question", elem_id="task")
            hours = list(range(1, 13))
            # Without a value until a clip is there: gradio refuses one that is none of the clip's hours.
            hour = gr.Radio(hours, label=WHICH_HOUR, visible="hidden", elem_id="hour")
            question = gr.Textbox(
                label="In words: change them as you like", lines=2, max_length=MOST_LETTERS, elem_id="question"
            )
            with gr.Row():
                button = gr.Button("Ask", variant="primary", elem_id="ask", scale=4)
                stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=80, interactive=False)
            card = gr.HTML(showing.NO_ANSWER_YET, elem_id="answer", apply_default_css=False)
    frames = gr.HTML("", elem_id="frames", apply_default_css=False)
    link = gr.Textbox(visible=False)
    opened = [study, stage, task, hour, question, card, frames, taking, link]

    def awaited(now: Study | None) -> str:
        doubt = desk.doubt(now) if now is not None else ""
        return showing.waiting(doubt) if doubt else showing.NO_ANSWER_YET

    def show(now: Study, task: str, hour: int, note: str = "") -> list[Any]:
        count = max(len(now.colors), 1)
        if task not in tasks_for(count):
            task = FIRST_TASK
        hours = hours_of(now.truth)
        hour = hour if hour in hours else hours[-1]
        return [
            now, showing.stage_value(now, note=note),
            gr.update(choices=_choices(count, hour), value=task),
            gr.update(choices=hours, value=hour, visible=_shows_hours(task)),
            question_of(now, task, hour), awaited(now), "", "", _link(now, task, hour),
        ]  # fmt: skip

    def open_example(clip_id: str, task: str, hour: int) -> list[Any]:
        if clip_id not in desk.examples:
            raise DataError("There is no such example.")
        return show(example_study(desk.examples[clip_id][1]), task, hour)

    @friendly
    def choose(task: str, hour: int, event: gr.EventData) -> list[Any]:
        return open_example(str(event._data.get("id")), task, hour)

    def untaken(why: str, *_: Any, **__: Any) -> list[Any]:
        return [showing.refused(why) if it is taking else gr.skip() for it in opened]

    @partial(friendly, left=untaken)
    def take(path: str, task: str, hour: int, request: gr.Request) -> Iterator[list[Any]]:
        def work(tell: Tell) -> tuple[Clip, bool]:
            with desk.for_work.turn(visitor_of(request), tell):
                return receive(Path(path), desk.work, tell)

        def show_work(told: Told) -> list[Any]:
            return [showing.working(told) if it is taking else gr.skip() for it in opened]

        clip, is_cut = yield from in_steps(work, show_work)
        note = f"Only the first {clip.times_s[-1]:.1f} seconds are used." if is_cut else ""
        yield show(Study(clip), task, hour, note)

    def unmarked(why: str, now: Study | None, *_: Any, **__: Any) -> list[Any]:
        as_before = showing.stage_value(now, note=why)
        return [as_before if it is stage else gr.skip() for it in opened] + [gr.update(visible=False)]

    @partial(friendly, left=unmarked)
    def mark(now: Study | None, task: str, hour: int, event: gr.EventData, request: gr.Request) -> Iterator[list[Any]]:
        if now is None:
            raise DataError(NO_CLIP)
        drawn = mark_of(event._data)
        marked = add_mark(now, drawn)

        def work(tell: Tell) -> Study:
            with desk.for_work.turn(visitor_of(request), tell):
                return follow(marked, drawn.color, tell)

        skipped = [gr.skip()] * len(opened)
        found = yield from in_steps(work, lambda told: [*skipped, gr.update(visible=True)])
        lost = losses(found)
        note = " ".join([*lost, DRAW_AGAIN]) if lost else f"{drawn.color.capitalize()} is followed."
        yield [*show(found, task, hour, note), gr.update(visible=False)]

    @friendly
    def clear(now: Study | None, task: str, hour: int) -> list[Any]:
        if now is None:
            raise DataError(NO_CLIP)
        return show(without_marks(now), task, hour)

    @friendly
    def compose(now: Study | None, task: str, hour: int | None) -> tuple[Any, Any, str, str, str]:
        hour = hour or DEFAULT_HOUR
        words = question_of(now, task, hour) if now is not None else ""
        choices = gr.update(choices=_choices(len(now.colors) if now is not None else 1, hour))
        hours = gr.update(visible=_shows_hours(task))
        return choices, hours, words, _link(now, task, hour), awaited(now)

    def unanswered(why: str, *_: Any, **__: Any) -> tuple[str, Any, Any]:
        return showing.refused(why), gr.skip(), gr.update(interactive=False)

    @partial(friendly, left=unanswered)
    def answer(
        now: Study | None, task: str, hour: int, question: str, request: gr.Request
    ) -> Iterator[tuple[str, Any, Any]]:
        if now is None:
            raise DataError(NO_CLIP)
        shown = shown_to_model(now, desk.frame_size_px)
        if question in _words_of_tasks(now):  # maybe of the task before, whose words are still in the page
            question = question_of(now, task, hour)
        asked = asked_about(now, shown, task, hour, question)
        seen = showing.strip(shown.frames, [shown.first_s + t for t in shown.times_s], desk.frame_size_px)
        within_s = shown.first_s, shown.first_s + shown.times_s[-1]
        yield showing.answer_card("", asked, False), _seen_card(desk, now, seen), gr.update(interactive=True)

        def work(tell: Callable[[Told | str], None]) -> str:
            return desk.answer(visitor_of(request), now, shown, question, tell)

        def show(told: Told | str) -> tuple[str, Any, Any]:
            if isinstance(told, Told):
                return showing.waiting(f"{told.words} …"), gr.skip(), gr.update(interactive=True)
            return showing.answer_card(told, asked, False), gr.skip(), gr.update(interactive=True)

        text = yield from in_steps(work, show)
        yield showing.answer_card(text, asked, True, within_s, desk.doubt(now)), gr.skip(), gr.update(interactive=False)

    def stopped(now: Study | None) -> tuple[Any, Any]:
        wait_for_the_last()
        return showing.stage_value(now, note="Stopped."), gr.update(visible=False)

    shelf.choose(choose, [task, hour], opened, **HIDDEN)
    upload.upload(take, [upload, task, hour], opened, **HIDDEN, **IN_LINE)
    marking = stage.mark(mark, [study, task, hour], [*opened, stop_following], **HIDDEN, **IN_LINE)
    followed = [stage, stop_following]
    stop_following.click(None, cancels=[marking], **HIDDEN).then(stopped, study, followed, **HIDDEN)
    stage.clear(clear, [study, task, hour], opened, **HIDDEN)
    for chosen in (task, hour):
        chosen.input(compose, [study, task, hour], [task, hour, question, link, card], **HIDDEN)
    inputs, outputs = [study, task, hour, question], [card, frames, stop]
    asking = gr.on([button.click, question.submit], answer, inputs, outputs, **HIDDEN, **IN_LINE)
    end_with(asking, stop, card)
    return Ask(study, link, open_example, opened)


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
    return ask_by_task(task, len(study.colors), 5, hour).question


def _words_of_tasks(study: Study) -> set[str]:
    return {question_of(study, task, hour) for task in tasks_for(max(len(study.colors), 1)) for hour in range(1, 13)}


def _shows_hours(task: str) -> bool | Literal["hidden"]:
    """Hidden, and not left out: a page keeps the value of what it leaves out, whatever it is told."""
    return True if task == "direction_timestamp" else "hidden"


def _choices(count: int, hour: int) -> list[tuple[str, str]]:
    return [(title_of(task, hour, count), task) for task in tasks_for(count)]


def _link(study: Study | None, task: str, hour: int) -> str:
    """The query string that opens the same again; an upload is nobody else's."""
    asked_hour = str(hour) if task == "direction_timestamp" else ""
    return urlencode({"tab": "ask", "clip": study.clip.clip_id if study else "", "task": task, "hour": asked_hour})


def _seen_card(desk: Desk, study: Study, seen: str) -> str:
    size = desk.frame_size_px
    how = f"each brought to {size[0]} × {size[1]} pixels" if size else "in a resolution of its choice"
    boxes = "boxes drawn" if study.colors else "no box drawn, so that it has to guess what is meant"
    told = f"What {escape(desk.model_name)} sees: a frame every half second, {boxes}, {how}."
    return f'<p class="quiet">{told}</p>{seen}'


def _shelf_of(desk: Desk) -> str:
    items = []
    for clip_id, (name, clip) in desk.examples.items():
        shown = shown_to_model(example_study(clip), desk.frame_size_px)
        items.append((clip_id, name, shown.frames[0]))
    return showing.shelf(items)

"""What several tabs are made of: the stage that a clip plays on, the shelf of examples, and errors in one line."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from stvlm.demo import showing
from stvlm.demo.working import LOOK_S
from stvlm.records import DataError

HERE = Path(__file__).parent.parent
LOG = logging.getLogger("stvlm.demo")
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
IN_LINE: dict[str, Any] = {"concurrency_id": "in line", "concurrency_limit": 64}
"""Of events that wait in the desk's lines, where everybody sees how many are before."""
_SHELF_JS = """
const mark = (id) => {
  const buttons = element.querySelectorAll('[data-id]');
  for (const button of buttons) button.setAttribute('aria-current', button.dataset.id === id);
};
const marked = () => mark(new URLSearchParams(location.search).get('%s'));
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-id]');
  if (!button) return;
  mark(button.dataset.id);
  trigger('choose', { id: button.dataset.id });
});
window.addEventListener('address', marked);
watch('value', marked);
marked();
"""


def make_stage(value: dict[str, object] | None = None, **options: Any) -> Any:
    """A clip that plays with its boxes over it; its events `mark` and `clear` say that one was drawn or none is wanted.

    A function and no class: gradio writes a file beside each module that derives from its classes.
    """
    template = (HERE / "stage.html").read_text(encoding="utf-8")
    script = (HERE / "stage.js").read_text(encoding="utf-8")
    return gr.HTML(value, html_template=template, js_on_load=script, apply_default_css=False, **options)


def make_shelf(value: str, chosen: str, **options: Any) -> Any:
    """Pictures to choose from; its event `choose` says which. `chosen`: what that is called in the page's address."""
    return gr.HTML(value, js_on_load=_SHELF_JS % chosen, apply_default_css=False, **options)


def visitor_of(request: gr.Request | None) -> str:
    """Who asks: a page that is open, or a program's connection."""
    return str(request and request.session_hash)


def end_with(running: Any, stop: gr.Button, card: gr.HTML) -> None:
    """Has a button end a running event, and a card say so: afterwards, or what the event leaves comes last."""

    def ended() -> tuple[str, Any]:
        wait_for_the_last()
        return showing.STOPPED, gr.update(interactive=False)

    stop.click(None, cancels=[running], **HIDDEN).then(ended, None, [card, stop], **HIDDEN)


def wait_for_the_last() -> None:
    """Until what a cancelled event had on its way is in the page."""
    time.sleep(2 * LOOK_S)


def friendly(work: Callable[..., Any], left: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """The same, but whatever goes wrong is one line for the visitor, and for the log where it is our fault.

    Shown as a message that goes away, or, with `left`, as what `left(line, *arguments)` returns, which stays.
    Gradio's own `failure` comes with a cancelled event, too.
    """
    if inspect.isgeneratorfunction(work):

        @functools.wraps(work)
        def in_steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from work(*args, **kwargs)
            except Exception as error:
                told = _in_one_line(error)
                if left is None:
                    raise told from None
                yield left(told.message, *args, **kwargs)

        return in_steps

    @functools.wraps(work)
    def at_once(*args: Any, **kwargs: Any) -> Any:
        try:
            return work(*args, **kwargs)
        except Exception as error:
            told = _in_one_line(error)
            if left is None:
                raise told from None
            return left(told.message, *args, **kwargs)

    return at_once


def _in_one_line(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, DataError):
        return gr.Error(str(error), title="Sorry", print_exception=False)
    LOG.error("%s", error, exc_info=error)
    return gr.Error(
        "Something went wrong on our side. Try again, or try another clip.", title="Sorry", print_exception=False
    )

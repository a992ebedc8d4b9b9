"""What several tabs are made of: the stage that a clip plays on, the shelf of examples, and errors in one line."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from stvlm.records import DataError

HERE = Path(__file__).parent.parent
LOG = logging.getLogger("stvlm.demo")
_SHELF_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-id]');
  if (button) trigger('choose', { id: button.dataset.id });
});
"""

from gradio.events import Dependency

class Stage(gr.HTML):
    """A clip that plays with its boxes over it; `mark` and `clear` tell that a visitor drew a box or wants none."""

    def __init__(self, value: dict[str, object] | None = None, **options: Any) -> None:
        super().__init__(
            value,
            html_template=(HERE / "stage.html").read_text(encoding="utf-8"),
            js_on_load=(HERE / "stage.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **options,
        )

    def api_info(self) -> dict[str, Any]:
        """What a client sees of it."""
        return {"type": "object"}
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

class Shelf(gr.HTML):
    """Pictures to choose from; `choose` tells which."""

    def __init__(self, value: str, **options: Any) -> None:
        super().__init__(value, js_on_load=_SHELF_JS, apply_default_css=False, **options)
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def friendly(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but whatever goes wrong is one line for the visitor, and for the log where it is our fault."""
    if inspect.isgeneratorfunction(work):
        @functools.wraps(work)
        def in_steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from work(*args, **kwargs)
            except Exception as error:
                raise _in_one_line(error) from None

        return in_steps

    @functools.wraps(work)
    def at_once(*args: Any, **kwargs: Any) -> Any:
        try:
            return work(*args, **kwargs)
        except Exception as error:
            raise _in_one_line(error) from None

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

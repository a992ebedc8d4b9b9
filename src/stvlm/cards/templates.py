"""Cards are text made of a template beside this file and values."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """A template's text; a value that it names and does not get is an error."""
    jinja = Environment(
        loader=PackageLoader("stvlm.cards", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    return jinja.get_template(template).render(values)

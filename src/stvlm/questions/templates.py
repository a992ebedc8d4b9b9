"""The wordings of templates.yaml, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from stvlm.records import Task

ASKED_FOR = {
    "traveled_distance_comparison": ("most", "least"),
    "traveling_speed_comparison": ("most", "least"),
    "movement_direction_comparison": ("same", "different"),
}
"""The polarities of each comparison."""


@dataclass(frozen=True)
class Wording:
    """One question and its answer, with the placeholders that templates.yaml explains."""

    template_id: str
    question: str
    answer: str = ""
    affirm: str = ""
    deny: str = ""
    polarity: str = ""
    whole: str = ""
    part: str = ""
    objects: int = 0  # the only number of objects that the words fit; 0 for any

    @property
    def is_yes_no(self) -> bool:
        """Whether the question is answered by yes or no."""
        return bool(self.affirm)


@cache
def wordings() -> Mapping[Task, tuple[Wording, ...]]:
    """Every wording, by task, in the file's order; its place there is its template_id."""
    data = yaml.safe_load(files(__package__).joinpath("templates.yaml").read_text(encoding="utf-8"))
    spans = data.pop("spans")
    return {
        task: tuple(
            Wording(f"{task}/{i}", **spans.get(entry.pop("span", None), {}), **entry)
            for i, entry in enumerate(entries, start=1)
        )
        for task, entries in data.items()
    }

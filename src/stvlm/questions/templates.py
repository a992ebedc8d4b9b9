"""The wordings of templates.yaml, templates_held_out.yaml and templates_multistep.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

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


def wordings() -> Mapping[Task, tuple[Wording, ...]]:
    """Every wording, by task, in the file's order; its place there is its template_id."""
    return _read("templates.yaml", "")


def held_out_wordings() -> Mapping[Task, tuple[Wording, ...]]:
    """Other wordings of the same questions, which no dataset for training holds."""
    return _read("templates_held_out.yaml", "held-out-")


def multistep_wordings() -> Mapping[str, tuple[Wording, ...]]:
    """Wordings of a further step, by its kind; see questions/multistep.py."""
    return _read("templates_multistep.yaml", "")


def held_out_spans() -> Mapping[str, Mapping[str, str]]:
    """What the held-out wordings call the whole of a clip and a part of it, by name."""
    spans: Mapping[str, Mapping[str, str]] = _load("templates_held_out.yaml")["spans"]
    return spans


@cache
def wording_named(template_id: str) -> Wording:
    """The wording with this id; raises KeyError."""
    every = (of_task for of_all in (wordings(), held_out_wordings()) for of_task in of_all.values())
    return {wording.template_id: wording for of_task in every for wording in of_task}[template_id]


@cache
def _read(name: str, prefix: str) -> Mapping[Any, tuple[Wording, ...]]:
    data = _load(name)
    spans = data.pop("spans")
    return {
        task: tuple(
            Wording(f"{task}/{prefix}{i}", **spans.get(entry.pop("span", None), {}), **entry)
            for i, entry in enumerate(entries, start=1)
        )
        for task, entries in data.items()
    }


def _load(name: str) -> Any:
    return yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def boxed(color: str) -> str:
    """What an object is called by the colour of its box."""
    return f"the object in the {color} bounding box"


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def sentence(text: str) -> str:
    """The text with a capital at its start."""
    return text[:1].upper() + text[1:]


def comparison_words(names: Sequence[str], winner: int) -> dict[str, str]:
    """The placeholders of a comparison of what is called `names`, the one at `winner` winning."""
    losers = [*names[:winner], *names[winner + 1 :]]
    return pair_words(names) | {"winner": names[winner], "losers": listed(losers)}


def pair_words(names: Sequence[str]) -> dict[str, str]:
    """The placeholders for what is compared, in the order in which the question names it."""
    return {"a": names[0], "b": names[1], "objects": listed(names)}

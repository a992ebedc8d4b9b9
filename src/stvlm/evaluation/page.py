"""The report as one HTML file, with nothing to load: tables, figures, and the worst mistakes with their frames."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from stvlm import __version__
from stvlm.dataset.contact_sheet import view_from_above
from stvlm.dataset.video import read_video
from stvlm.evaluation.dataset import Row
from stvlm.evaluation.mistakes import UNITS, Mistake, Motion, worst
from stvlm.evaluation.results import Answer, Results
from stvlm.evaluation.tables import Table, as_html
from stvlm.programs import first_line
from stvlm.records import DataError
from stvlm.scoring import COMPARISONS, parse_target

FRAMES, FRAME_PX = 6, 320
"""Frames shown of a clip, and their greatest width."""
MOST_CHARACTERS = 2000
"""Shown of a response."""
UNREAD = 3
"""Responses shown of those that could not be read for one reason."""


class Figure(NamedTuple):
    """A figure and what it shows."""

    svg: Path
    caption: str
    is_broad: bool


class Section(NamedTuple):
    """One result's mistakes."""

    results: Results
    answers: Sequence[Answer]


def render_page(
    tables: Sequence[Table],
    figures: Sequence[Figure],
    sections: Sequence[Section],
    motions: Mapping[str, Motion],
    notes: Sequence[str],
    most: int,
) -> str:
    """The page's text.

    Args:
        tables: in their order.
        figures: likewise.
        sections: each result and its model's answers.
        motions: rows of trajectories/clips.parquet by clip id, as far as at hand.
        notes: what is left out or to be kept in mind.
        most: how many mistakes of a task are shown.
    """
    jinja = Environment(
        loader=PackageLoader("stvlm.evaluation", "."), undefined=StrictUndefined, autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    first = sections[0].results
    return jinja.get_template("page.html.j2").render(
        title=" and ".join(section.results.name for section in sections),
        dataset=first.dataset,
        notes=notes,
        tables=[Markup(as_html(table)) for table in tables],
        figures=[
            {"src": _data_url("svg+xml", f.svg.read_bytes()), "caption": f.caption, "is_broad": f.is_broad}
            for f in figures
        ],
        sections=[
            {
                "name": section.results.name,
                "tasks": {
                    task.replace("_", " "): [_shown(mistake, motions) for mistake in mistakes]
                    for task, mistakes in worst(section.answers, motions, most).items()
                },
                "unread": _unread(section.answers),
                "made": _provenance(section.results),
            }
            for section in sections
        ],
        version=__version__,
    )


def _shown(mistake: Mistake, motions: Mapping[str, Motion]) -> dict[str, Any]:
    answer, row = mistake.answer, mistake.answer.row
    motion = motions.get(row["clip_id"]) if row else None
    return {
        "id": answer.id,
        "told": mistake.told,
        "response": visible(answer.response),
        "read": told(answer.task, answer.value),
        "truth": _truth(row) if row else "",
        "question": row["question"] if row else "",
        "where": f"{row['source']} {row['scene_id']} {row['camera']}" if row else "",
        "frames": _frames(row) if row and row["video_path"] else [],
        "view": _data_url("png", _encoded(view_from_above(motion), "PNG", optimize=True)) if motion else "",
    }


def told(task: str, value: Any) -> str:
    """A parsed value or target in words."""
    if isinstance(value, tuple):
        return f"{value[0]:.2f}–{value[1]:.2f} s"
    if task == "movement_direction":
        return f"{value} o'clock"
    if task in COMPARISONS:
        return str(value)
    return f"{value:.2f} {UNITS.get(task, '')}".strip()


def _truth(row: Row) -> str:
    sigma = row["target_sigma"]
    truth = told(row["task"], parse_target(row["task"], row["target"]))
    return f"{truth} (σ {sigma:.2f})" if sigma else truth


def visible(text: str) -> str:
    """A response without what cannot be seen or turns the text around it, cut where it is very long."""
    cut = text[:MOST_CHARACTERS]
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in cut)
    return shown if cut == text else f"{shown}… ({len(text):,} characters)"


def _frames(row: Row) -> list[dict[str, Any]]:
    """Frames from the clip's first to its last, and which of them lie in the seconds asked about."""
    times_s = row["frame_times_s"]
    chosen = np.unique(np.linspace(0, len(times_s) - 1, FRAMES).round().astype(int)).tolist()
    return [
        {"src": src, "time": f"{times_s[i]:.1f} s", "asked": row["start_s"] <= times_s[i] <= row["end_s"]}
        for i, src in zip(chosen, _strip(Path(row["video_path"]), tuple(chosen)), strict=True)
    ]


@lru_cache(maxsize=64)
def _strip(video: Path, chosen: tuple[int, ...]) -> list[str]:
    """Frames as data URLs. Raises DataError for a video that does not decode."""
    try:
        images = [Image.fromarray(frame) for frame in read_video(video)[0][list(chosen)]]
    except (OSError, ValueError, IndexError) as error:
        reason = first_line(error)
        raise DataError(f"{video}: cannot be decoded ({reason}); build or fetch the dataset again") from error
    for image in images:
        image.thumbnail((FRAME_PX, FRAME_PX))
    return [_data_url("jpeg", _encoded(image, "JPEG", quality=80)) for image in images]


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    with BytesIO() as buffer:
        image.save(buffer, form, **options)
        return buffer.getvalue()


def _data_url(form: str, content: bytes) -> str:
    return f"data:image/{form};base64,{base64.b64encode(content).decode()}"


def _unread(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """What could not be read, by reason, the most frequent first, with a few of the responses."""
    of_reason: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.value is None:
            of_reason.setdefault(answer.reason, []).append(answer)
    return [
        {
            "reason": reason,
            "count": len(some),
            "examples": [
                {"task": a.task.replace("_", " "), "id": a.id, "response": visible(a.response)} for a in some[:UNREAD]
            ],
        }
        for reason, some in sorted(of_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _provenance(results: Results) -> dict[str, str]:
    """What the numbers come from."""
    dataset = results.dataset
    return {
        "results": str(results.folder),
        "dataset": f"{dataset['path']}, {dataset['config']}, {dataset['split']}, fingerprint {dataset['fingerprint']}",
        "settings": ", ".join(f"{key} {_plain(value)}" for key, value in sorted(results.settings.items())),
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items())),
    }


def _plain(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)

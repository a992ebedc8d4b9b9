"""Answers, frames and tables as HTML; whatever a visitor or a model wrote is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from stvlm.demo.asking import UNITS, Asked, Verdict, as_words, judge
from stvlm.demo.clips import Clip, Study
from stvlm.records import Array, Question, Rejected

THUMBNAIL_PX = 220
NO_ANSWER_YET = '<div class="card"><p class="said wait">The answer will stand here.</p></div>'


def jpeg(image: Array, most_px: int | None = None) -> str:
    """A data URL of an image (H, W, 3), its longer side at most so long."""
    picture = Image.fromarray(image)
    if most_px is not None:
        picture.thumbnail((most_px, most_px))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def strip(frames: Sequence[Array], times_s: Sequence[float], size_px: tuple[int, int] | None) -> str:
    """Frames side by side; with a size, each as a model has it that brings all frames to that."""
    figures = []
    for image, time_s in zip(frames, times_s, strict=True):
        seen = (
            image if size_px is None else np.asarray(Image.fromarray(image).resize(size_px, Image.Resampling.BICUBIC))
        )
        source = jpeg(seen, None if size_px else THUMBNAIL_PX)
        figures.append(f'<figure><img src="{source}" alt=""><figcaption>{time_s:.1f} s</figcaption></figure>')
    return f'<div class="strip">{"".join(figures)}</div>'


def answer_card(response: str, asked: Asked | None, is_done: bool) -> str:
    """What a model says, and once it is done what is read from it and how that compares with the truth."""
    if not response and not is_done:
        return '<div class="card"><p class="said wait">The model looks at the clip …</p></div>'
    said = f'<p class="said">{escape(response) or "(it says nothing)"}</p>'
    if not is_done:
        return f'<div class="card">{said}</div>'
    if asked is None:
        return (
            f'<div class="card">{said}<dl><dt>Truth</dt><dd>not known of a question in your own words</dd></dl></div>'
        )
    verdict = judge(asked, response)
    facts = [("Read as", _read_as(asked, verdict)), ("Truth", _truth(asked))]
    if verdict.outcome is not None:
        right = verdict.outcome.correct
        chip = f'<span class="chip {"right" if right else "wrong"}">{"right" if right else "wrong"}</span>'
        facts.append(("Verdict", f"{chip} {_off(asked.task, verdict)}"))
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return f'<div class="card">{said}<dl>{rows}</dl></div>'


def _read_as(asked: Asked, verdict: Verdict) -> str:
    value, reason = verdict.parsed
    return f"nothing: {escape(reason)}" if value is None else escape(as_words(asked.task, value))


def _truth(asked: Asked) -> str:
    if isinstance(asked.truth, Question):
        return escape(as_words(asked.task, asked.truth.target))
    if isinstance(asked.truth, Rejected):
        return f"has no certain answer: {escape(asked.truth.reason)}"
    return "not known of this clip; see what geometry tells in the tab Measure"


def _off(task: str, verdict: Verdict) -> str:
    outcome = verdict.outcome
    if outcome is None or (outcome.error is None and outcome.iou is None):
        return ""
    if outcome.iou is not None:
        return f"overlap (IoU) {outcome.iou:.2f}"
    unit = "hours" if task == "movement_direction" else UNITS.get(task, "")
    return f"{outcome.error:.4g} {unit} off"


def stage_value(study: Study | None, *, draw: bool = True, note: str = "") -> dict[str, object] | None:
    """What the stage shows of a study."""
    if study is None:
        return None
    clip = study.clip
    return {
        "src": file_url(clip),
        "width": clip.size_px[0],
        "height": clip.size_px[1],
        "step": clip.step_s,
        "count": clip.count,
        "draw": draw,
        "note": note,
        "boxes": {
            color: [None if np.isnan(box).any() else [round(float(v), 1) for v in box] for box in boxes_px]
            for color, boxes_px in study.boxes_px.items()
        },
    }


def file_url(clip: Clip) -> str:
    """From the page."""
    return f"gradio_api/file={clip.path}"


def shelf(items: Sequence[tuple[str, str, Array]]) -> str:
    """Pictures to choose from: id, name and image (H, W, 3) of each."""
    cells = [
        f'<button type="button" data-id="{escape(key)}"><img src="{jpeg(image, THUMBNAIL_PX)}" alt="">'
        f"<span>{escape(name)}</span></button>"
        for key, name, image in items
    ]
    return f'<div class="shelf">{"".join(cells)}</div>'

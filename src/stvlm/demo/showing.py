"""Answers, frames and tables as HTML; whatever a visitor or a model wrote is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from stvlm.demo.asking import UNITS, Asked, Verdict, as_words, judge
from stvlm.demo.clips import DRAW_AGAIN, LEAST_FRAMES, Clip, Study, shown_frames
from stvlm.demo.exploring import Item
from stvlm.demo.judging import Scored
from stvlm.demo.measuring import Answer as MeasuredAnswer
from stvlm.demo.measuring import Measured, span_s
from stvlm.demo.reasons import in_words, with_cure
from stvlm.demo.working import Told
from stvlm.records import Array, Question, Rejected
from stvlm.scoring import LEAST_IOU, RELATIVE_TOLERANCE, Parsed, parse_target, score

THUMBNAIL_PX = 220


def waiting(words: str) -> str:
    """A card that holds no answer."""
    return f'<div class="card"><p class="said wait">{escape(words)}</p></div>'


def refused(why: str) -> str:
    """A card that says why there is nothing else in it."""
    return f'<div class="card"><p>{escape(why)}</p></div>'


CLASS_MATTERS = (
    "The tab Measure goes by how large things are: it takes each box for a car until you say there what is in it."
)
NO_ANSWER_YET, STOPPED = waiting("The answer will stand here."), waiting("Stopped.")


def jpeg(image: Array, most_px: int | None = None) -> str:
    """A data URL of an image (H, W, 3), its longer side at most so long."""
    picture = Image.fromarray(image)
    if most_px is not None:
        picture.thumbnail((most_px, most_px))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def strip(frames: Iterable[Array], times_s: Sequence[float], size_px: tuple[int, int] | None) -> str:
    """Frames side by side; with a size, each as a model has it that brings all frames to that."""
    figures = []
    for image, time_s in zip(frames, times_s, strict=True):
        seen = (
            image if size_px is None else np.asarray(Image.fromarray(image).resize(size_px, Image.Resampling.BICUBIC))
        )
        source = jpeg(seen, None if size_px else THUMBNAIL_PX)
        figures.append(f'<figure><img src="{source}" alt=""><figcaption>{time_s:.1f} s</figcaption></figure>')
    return f'<div class="strip">{"".join(figures)}</div>'


def answer_card(
    response: str,
    asked: Asked | None,
    is_done: bool,
    within_s: tuple[float, float] = (0.0, 0.0),
    doubt: str = "",
) -> str:
    """What a model says of these seconds of a clip, and once it is done what is read from it, how that compares with
    the truth, and why to doubt it.
    """
    if not response and not is_done:
        return waiting("The model looks at the clip …")
    said = f'<p class="said">{escape(response) or "(it says nothing)"}</p>'
    if not is_done:
        return f'<div class="card">{said}</div>'
    foot = f'<p class="quiet">{escape(doubt)}</p>' if doubt else ""
    if asked is None:
        fact = "<dt>Truth</dt><dd>not known of a question in your own words</dd>"
        return f'<div class="card">{said}<dl>{fact}</dl>{foot}</div>'
    verdict = judge(asked, response)
    facts = [("Read as", _read_as(asked, verdict)), ("Truth", _truth(asked))]
    if verdict.outcome is not None:
        right = verdict.outcome.correct
        chip = f'<span class="chip {"right" if right else "wrong"}">{"right" if right else "wrong"}</span>'
        facts.append(("Verdict", f"{chip} {_off(asked.task, verdict)}"))
    facts.append(("About", about(within_s)))
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return f'<div class="card">{said}<dl>{rows}</dl>{foot}</div>'


def _read_as(asked: Asked, verdict: Verdict) -> str:
    value, reason = verdict.parsed
    return f"nothing: {escape(reason)}" if value is None else escape(as_words(asked.task, value))


def _truth(asked: Asked) -> str:
    if isinstance(asked.truth, Question):
        return escape(as_words(asked.task, asked.truth.target))
    if isinstance(asked.truth, Rejected):
        return f"none that is certain. {escape(in_words(asked.truth.reason))}"
    return "not known of this clip; see what geometry tells in the tab Measure"


def about(within_s: tuple[float, float]) -> str:
    """Which seconds of a clip an answer is about."""
    first_s, last_s = within_s
    told = f"{first_s:.1f} to {last_s:.1f} s of the clip"
    return f"{told}; times in an answer count from {first_s:.1f} s" if first_s else told


def _off(task: str, verdict: Verdict) -> str:
    outcome = verdict.outcome
    if outcome is None or (outcome.error is None and outcome.iou is None):
        return ""
    if outcome.iou is not None:
        return f"overlap (IoU) {outcome.iou:.2f}; right is {LEAST_IOU:g} or more"
    if outcome.error == 0:
        return ""
    if task == "movement_direction":
        return f"{outcome.error:g} {'hour' if outcome.error == 1 else 'hours'} off"
    return f"{outcome.error:.4g} {UNITS.get(task, '')} off; right is up to {100 * RELATIVE_TOLERANCE:g} %"


def working(told: Told) -> str:
    """How far work is."""
    return (
        f'<div class="card"><p class="said wait">{escape(told.words).capitalize()} …</p>'
        f'<progress max="1" value="{told.share:.2f}"></progress></div>'
    )


def measured_table(measured: Measured, study: Study, rows: Sequence[MeasuredAnswer], said: Sequence[str]) -> str:
    """A line a question: what geometry measures, what the model says, and the truth. Without one, why."""
    is_example = study.clip.known is not None
    why = []
    for color, item in measured.courses.items():
        words = [f"Not measured. {with_cure(item.reason, is_example)}"] if isinstance(item, Rejected) else []
        words += [measured.unseen[color]] if color in measured.unseen else []
        if words:
            why.append(f'<b class="ink-{color}">{color.capitalize()}</b>: {escape(" ".join(words))}')
    foot = f'<p class="quiet">{escape(" ".join(measured.notes))}</p>'
    if not rows:
        if not any(isinstance(item, Rejected) for item in measured.courses.values()):
            why.insert(0, f"The objects are never measured at the same time for two seconds. {DRAW_AGAIN}")
        told = "".join(f"<p>{it}</p>" for it in why)
        return f'<div class="card"><p class="said wait">Geometry has no answers here.</p>{told}</div>{foot}'
    foot = "".join(f'<p class="quiet">{it}</p>' for it in why) + foot
    has_truth = any(isinstance(row.asked.truth, Question) for row in rows)
    heads = ["", "Geometry", "Model", *(["Truth"] if has_truth else [])]
    body = []
    for row, text in zip(rows, said, strict=True):
        asked = row.asked
        cells = [escape(asked.title), _geometry(row, is_example), _model(asked, text)]
        if has_truth:
            truth = asked.truth
            cells.append(escape(as_words(asked.task, truth.target)) if isinstance(truth, Question) else "–")
        body.append(_row(cells))
    measured_s = span_s(measured)
    others, asked_s = "", shown_frames(study) * study.clip.step_s
    if len(asked_s) >= LEAST_FRAMES and not np.allclose(asked_s[[0, -1]], measured_s):
        others = f" In the tab Ask they are about {about((asked_s[0], asked_s[-1]))}."
    title = f'<p class="quiet">These answers are about {about(measured_s)}.{others}</p>'
    return f"{title}{_table(heads, body)}{foot}"


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _geometry(row: MeasuredAnswer, is_example: bool) -> str:
    if not row.value:
        return _faint(with_cure(row.why_not, is_example))
    words = escape(as_words(row.asked.task, row.value))
    sigma = f' <span class="faint">± {row.sigma:.2g}</span>' if row.sigma else ""
    return f"{words}{sigma} {_mark(row.asked, row.value)}"


def _mark(asked: Asked, value: str) -> str:
    """A tick or a cross where the truth is known."""
    if not isinstance(asked.truth, Question):
        return ""
    right = score(asked.task, Parsed(parse_target(asked.task, value)), asked.truth.target).correct
    return _tick(right)


def _tick(right: bool) -> str:
    word = "right" if right else "wrong"
    return f'<span class="chip {word}" title="{word}">{"✓" if right else "✗"}</span>'


def _model(asked: Asked, text: str) -> str:
    if not text:
        return '<span class="faint">…</span>'
    verdict = judge(asked, text)
    value, reason = verdict.parsed
    words = _faint(f"nothing read: {reason}") if value is None else escape(as_words(asked.task, value))
    tick = "" if verdict.outcome is None else _tick(verdict.outcome.correct)
    return f'<span title="{escape(text)}">{words}</span> {tick}'


def _faint(words: str) -> str:
    return f'<span class="faint">{escape(words)}</span>'


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
        "hint": CLASS_MATTERS if draw and len(study.marks) == 1 else "",
        "boxes": {
            color: [None if np.isnan(box).any() else [round(float(v), 1) for v in box] for box in boxes_px]
            for color, boxes_px in study.boxes_px.items()
        },
    }


def file_url(clip: Clip) -> str:
    """From the page."""
    return f"gradio_api/file={quote(str(clip.path))}"


def shelf(items: Sequence[tuple[str, str, Array]]) -> str:
    """Pictures to choose from: id, name and image (H, W, 3) of each."""
    cells = [
        f'<button type="button" data-id="{escape(key)}"><img src="{jpeg(image, THUMBNAIL_PX)}" alt="">'
        f"<span>{escape(name)}</span></button>"
        for key, name, image in items
    ]
    return f'<div class="shelf">{"".join(cells)}</div>'


def percent(scores: Mapping[str, Any], key: str) -> str:
    """A share of 1 in percent with its interval; a dash where there is none."""
    if key not in scores:
        return "–"
    value = f"{100 * scores[key]:.1f}"
    if f"{key}_low" not in scores:
        return value
    return f'{value} <span class="faint">{100 * scores[f"{key}_low"]:.0f} to {100 * scores[f"{key}_high"]:.0f}</span>'


def score_table(scored: Scored) -> str:
    """A line a task: how many, how many right, what a constant answer gets, and how far off."""
    scores = scored.scores
    tasks = [key.removesuffix("_count") for key in scores if key.endswith("_count")]
    body = []
    for task in tasks:
        off = "–"
        if f"{task}_iou" in scores:
            off = f"IoU {scores[f'{task}_iou']:.2f}"
        elif f"{task}_mae" in scores:
            off = f"{scores[f'{task}_mae']:.3g} {'hours' if task == 'movement_direction' else UNITS.get(task, '')}"
        cells = [task.replace("_", " "), scores[f"{task}_count"], percent(scores, f"{task}_accuracy"),
                 percent(scores, f"{task}_constant"), percent({**scores}, f"{task}_skill"), off]  # fmt: skip
        body.append(_row(cells))
    average = [
        "average", len(scored.rows), percent(scores, "average_accuracy"), "", percent(scores, "average_skill"),
        f"{100 * scores['parse_rate']:.0f} % read",
    ]  # fmt: skip
    heads = ["Task", "Answers", "Right, %", "Best constant, %", "Skill, %", "Error"]
    return _table(heads, [*body, _row(average)])


def answers_table(scored: Scored, most: int = 200) -> str:
    """A line an answer: what is read of it, the truth, and whether it is right."""
    body = []
    for text, row, sample in list(zip(scored.predictions, scored.rows, scored.scores["per_sample"], strict=True))[
        :most
    ]:
        task, value = row["task"], sample["value"]
        read = (
            f'<span class="faint">{escape(sample["reason"])}</span>' if value is None else escape(as_words(task, value))
        )
        said = escape(text[:300])
        cells = [said, read, escape(as_words(task, row["target"])), _tick(sample["correct"])]
        body.append(_row(cells))
    more = len(scored.rows) - most
    left = f'<p class="quiet">And {more:,} more.</p>' if more > 0 else ""
    return _table(["Answer", "Read as", "Truth", ""], body) + left


def _row(cells: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def clip_facts(item: Item) -> str:
    """A clip's questions with answers and what is known of their labels."""
    first = item.rows[0]
    things = ", ".join(
        f'<span class="chip ink-{thing["color"]}">{escape(thing["category"])} '
        f"{distance_m:.1f} m, {speed_kmh:.1f} km/h</span>"
        for thing, distance_m, speed_kmh in zip(first["objects"], item.distances_m, item.speeds_kmh, strict=True)
    )
    where = " · ".join(escape(str(first[key])) for key in ("source", "scene_id", "camera", "split"))
    questions = "".join(
        f'<li><p class="asked">{escape(row["question"])}</p><p>{escape(row["answer"])}</p>'
        f'<p class="quiet">{escape(row["task"].replace("_", " "))} · target '
        f"{escape(as_words(row['task'], row['target']))}{_quality(row)}</p></li>"
        for row in item.rows
    )
    return f'<p class="quiet">{where}</p><p>{things}</p><ul class="questions">{questions}</ul>'


def _quality(row: Mapping[str, Any]) -> str:
    sigma = f" ± {row['target_sigma']:.2g}" if row["target_sigma"] else ""
    grade = f", grade {escape(row['label_grade'])}" if row.get("label_grade") else ""
    return f"{sigma} · label: {escape(row['label_type'])}{grade}"

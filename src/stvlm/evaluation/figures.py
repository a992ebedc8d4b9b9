"""Figures for a paper: a radar over the tasks, accuracy and error by how far and how fast, and what could not be read.

Colours are Okabe and Ito's, which the colour-blind tell apart; in grey print the markers and dashes do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stvlm.evaluation.published import ST_VLM, published
from stvlm.evaluation.report import CONSTANT
from stvlm.evaluation.responses import MODEL
from stvlm.evaluation.results import Answer, Results
from stvlm.files import whole_file
from stvlm.records import Array, DataError
from stvlm.scoring import MULTISTEP, RELATIVE_TOLERANCE, RESAMPLES, TASKS
from stvlm.scoring.groups import EDGES, UNITS
from stvlm.scoring.intervals import mean_of, share_bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, FAINT, RULE = "#24292f", "#6e7781", "#d8dee4"
CONTROL_COLOR = "#E69F00"
SEED = 0
MOST = len(COLORS)
"""Results that can be told apart in one figure."""

SHORT = {
    "traveled_distance": "TD", "traveling_speed": "TS", "movement_direction": "MD", "direction_timestamp": "DT",
    "traveled_distance_comparison": "TDC", "traveling_speed_comparison": "TSC", "movement_direction_comparison": "MDC",
    "time_to_cover": "time", "catch_up_time": "catch-up", "speed_ratio": "ratio",
}  # fmt: skip
LEAST_PERCENT = 1.0
"""Relative errors below are drawn there: a logarithmic axis has no zero."""
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "text.parse_math": False,  # a model's name is none
    "svg.hashsalt": "stvlm",  # ids in the file are then the same every time
    "savefig.dpi": 300,
}


def check_installed() -> None:
    """Raises DataError where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise DataError("figures need matplotlib, which is not installed: pip install matplotlib")


def draw_all(results: Sequence[Results], answers: Sequence[Mapping[str, Sequence[Answer]]], out: Path) -> list[str]:
    """Writes NAME.png and NAME.svg of every figure for which there is something to show; returns the names."""
    import matplotlib

    results = [r._replace(name=shorten(r.name)) for r in results]
    with matplotlib.rc_context(STYLE):
        figures = {
            "radar": radar(results),
            "unread": unread([r.name for r in results], [of[MODEL] for of in answers]),
            "ranges": ranges([r.name for r in results], answers),
        }
        drawn = {name: figure for name, figure in figures.items() if figure is not None}
        for name, figure in drawn.items():
            for suffix in ("png", "svg"):
                save(figure, out / f"{name}.{suffix}")
    return list(drawn)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as .png or .svg: neither a date nor a version in it, so that equal numbers give equal bytes."""
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with whole_file(path) as temporary:
        figure.savefig(temporary, bbox_inches="tight", pad_inches=0.05, metadata=metadata)


def shorten(name: str, most: int = 32) -> str:
    """A name that fits over a panel."""
    return name if len(name) <= most else name[: most - 1] + "…"


def radar(results: Sequence[Results]) -> Figure | None:
    """Accuracy over the tasks asked: models, the best constant answers, and the paper's ST-VLM.

    Of a single model also its best control, which is another one from task to task. None for fewer than three tasks,
    which span no area.
    """
    tasks = [task for task in TASKS if f"{task}_accuracy" in results[0].scores[MODEL]]
    if len(tasks) < 3:
        return None
    figure = new_figure(3.5, 3.4)
    axes: Any = figure.add_axes((0.16, 0.2, 0.68, 0.7), polar=True)
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    angles = np.linspace(0, 2 * np.pi, len(tasks), endpoint=False)

    def of(scores: Mapping[str, float]) -> Array:
        return np.array([100 * scores[f"{task}_accuracy"] for task in tasks])

    def line(values: Array, fill: float = 0.0, **style: Any) -> None:
        axes.plot([*angles, angles[0]], [*values, values[0]], **{"markersize": 3.5, "clip_on": False, **style})
        axes.fill(angles, values, color=style["color"], alpha=fill, linewidth=0)

    for i, r in enumerate(results):
        fill = 0.1 if len(results) == 1 else 0.0
        line(of(r.scores[MODEL]), fill, color=COLORS[i], marker=MARKERS[i], linewidth=1.8, zorder=4, label=r.name)
    if len(results) == 1 and results[0].controls:
        best = np.max([of(results[0].scores[name]) for name in results[0].controls], axis=0)
        line(best, color=CONTROL_COLOR, linestyle=(0, (1, 1.2)), linewidth=1.6, zorder=3, label="its best control")
    line(of(results[0].scores[CONSTANT]), 0.15, color=FAINT, linewidth=0.8, label="best constant answer")
    paper = of(published().of(ST_VLM))
    line(paper, color=INK, linestyle=(0, (4, 2)), linewidth=1.0, label=f"{ST_VLM}, published (other questions)")
    axes.set_ylim(0, 100)
    axes.set_yticks([20, 40, 60, 80, 100], [])
    between = angles[1] / 2
    for ring in (20, 40, 60, 80, 100):
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.75}
        axes.text(between, ring, f"{ring} %" if ring == 100 else str(ring), fontsize=6, color=FAINT, ha="center",
                  va="center", bbox=behind, zorder=1.5)  # fmt: skip
    axes.set_xticks(angles, [])
    for angle, task in zip(angles, tasks, strict=True):
        side, height = np.sin(angle), np.cos(angle)
        across = "center" if abs(side) < 0.3 else "left" if side > 0 else "right"
        along = "center" if abs(height) < 0.4 else "bottom" if height > 0 else "top"
        axes.text(angle, 106, _two_lines(task), ha=across, va=along, multialignment="center")
    axes.spines["polar"].set_color(RULE)
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.11), ncols=2, handlelength=2.4, columnspacing=1.4)
    return figure


def _two_lines(task: str) -> str:
    words = task.replace("_", " ").capitalize().split(" ")
    return " ".join(words[:-1]) + "\n" + words[-1]


class Range(NamedTuple):
    """The answers whose truth lies in a range; fractions of 1."""

    low: float
    high: float
    """m or km/h."""
    questions: int
    accuracy: tuple[float, float, float] | None
    """With the bounds of its 95 % interval; None without questions."""
    relative_error: tuple[float, float, float] | None
    """The median over what could be read, with its bounds; None where nothing could."""


def by_range(answers: Sequence[Answer], task: str) -> list[Range]:
    """A task's answers by the truth's range, from the first to the last one that holds any; they need their rows."""
    asked = [(answer, float(answer.row["target"])) for answer in answers if answer.task == task and answer.row]
    bounds = list(pairwise((*EDGES, np.inf)))
    members = [[answer for answer, truth in asked if low <= truth < high] for low, high in bounds]
    filled = [i for i, some in enumerate(members) if some]
    if not filled:
        return []
    kept = range(filled[0], filled[-1] + 1)
    return [range_of(*bounds[i], members[i]) for i in kept]


def range_of(low: float, high: float, answers: Sequence[Answer]) -> Range:
    """The answers that lie in a range; they need their rows."""
    if not answers:
        return Range(low, high, 0, None, None)
    rows = [answer.row for answer in answers if answer.row]
    clips = np.unique([row["clip_id"] for row in rows], return_inverse=True)[1]
    truths = np.array([float(row["target"]) for row in rows])
    errors = np.array([answer.error for answer in answers], dtype=np.float64) / truths
    was_read = ~np.isnan(errors)
    share = mean_of(np.array([answer.correct for answer in answers], np.float64), np.full(len(rows), True), clips)
    median = _median(errors[was_read], clips[was_read]) if was_read.any() else None
    return Range(low, high, len(answers), (share.value, *share_bounds(share, 0.95)), median)


def _median(values: Array, clips: Array) -> tuple[float, float, float]:
    """The median of (N,) values, and the 95 % interval of a bootstrap that draws whole clips."""
    order = np.argsort(values)
    values, clips = values[order], np.unique(clips[order], return_inverse=True)[1]
    count = int(clips.max()) + 1
    drawn = np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count)) + count * np.arange(RESAMPLES)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=count * RESAMPLES).reshape(RESAMPLES, count)[:, clips]
    reached = weights.cumsum(axis=1) >= weights.sum(axis=1, keepdims=True) / 2
    low, high = np.quantile(values[reached.argmax(axis=1)], [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def ranges(names: Sequence[str], answers: Sequence[Mapping[str, Sequence[Answer]]]) -> Figure | None:
    """Accuracy and median relative error by the true distance and speed; None without rows or such questions."""
    tasks = [task for task in UNITS if any(answer.task == task and answer.row for answer in answers[0][MODEL])]
    if not tasks:
        return None
    figure = new_figure(3.45 * len(tasks), 3.9)
    grid = figure.subplots(2, len(tasks), squeeze=False, sharex="col", gridspec_kw={"hspace": 0.2, "wspace": 0.25})
    for column, task in enumerate(tasks):
        top, bottom = grid[:, column]
        found = [by_range(of[MODEL], task) for of in answers]
        floor = by_range(answers[0][CONSTANT], task)
        for i, (name, of_model) in enumerate(zip(names, found, strict=True)):
            draw_points(top, i, len(names), name, [r.accuracy for r in of_model])
            drawn = [r.relative_error and np.maximum(r.relative_error, LEAST_PERCENT / 100) for r in of_model]
            draw_points(bottom, i, len(names), name, drawn)
        shares = [100 * r.accuracy[0] if r.accuracy else 0.0 for r in floor]
        top.bar(range(len(floor)), shares, width=0.86, color=RULE, label="best constant answer", zorder=0)
        top.set_title(task.replace("_", " ").capitalize(), loc="left")
        top.set_ylim(-4, 104)
        top.set_yticks([0, 25, 50, 75, 100])
        limit = f"limit of a right answer ({100 * RELATIVE_TOLERANCE:.0f} %)"
        bottom.axhline(100 * RELATIVE_TOLERANCE, color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)), label=limit)
        relative_scale(bottom, [r.relative_error for of_model in found for r in of_model if r.relative_error])
        bounds = [floor[0].low, *(r.high for r in floor)]
        bottom.set_xticks(
            np.arange(len(bounds)) - 0.5, [f"{bound:g}" if np.isfinite(bound) else "∞" for bound in bounds]
        )
        bottom.set_xlim(-0.5, len(floor) - 0.5)
        bottom.set_xlabel(f"truth, {UNITS[task]}")
        for i, r in enumerate(floor):
            top.text(i, -13, f"{r.questions:,}", ha="center", va="center", fontsize=6.5, color=FAINT)
        top.text(-0.62, -13, "n", ha="right", va="center", fontsize=6.5, color=FAINT)
        for axes in (top, bottom):
            axes.grid(True, axis="y")
            axes.set_axisbelow(True)
        top.tick_params(axis="x", length=0)
    grid[0, 0].set_ylabel("accuracy, %")
    grid[1, 0].set_ylabel("median relative error, %")
    shown = {
        label: handle for axes in grid[:, 0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = min(3 if len(tasks) > 1 else 1, len(shown))
    figure.legend(shown.values(), shown.keys(), loc="lower center", bbox_to_anchor=(0.5, 0.93), ncols=columns)
    return figure


def draw_points(axes: Axes, i: int, count: int, name: str, values: Sequence[Any]) -> None:
    """A point with its interval for each range, or None; side by side with those of the other series."""
    shift = (i - (count - 1) / 2) * min(0.22, 0.7 / count)
    known = [(x + shift, *(100 * v for v in value)) for x, value in enumerate(values) if value is not None]
    if not known:
        return
    x, middle, low, high = np.array(known).T
    axes.errorbar(
        x, middle, yerr=[np.maximum(middle - low, 0), np.maximum(high - middle, 0)], fmt=MARKERS[i], color=COLORS[i],
        markersize=4, linewidth=1.1, label=name,
    )  # fmt: skip


def relative_scale(axes: Axes, values: Sequence[tuple[float, float, float]]) -> None:
    """A logarithmic axis of percents that holds all values: errors reach from a few percent to many times the truth."""
    if not values:
        axes.text(0.5, 0.75, "no answer could be read", transform=axes.transAxes, ha="center", color=FAINT)
    percents = 100 * np.array(values)
    low = max(LEAST_PERCENT, percents.min(initial=10.0)) / 1.4
    high = percents.max(initial=50.0) * 1.4
    steps = [step * 10.0**power for power in range(9) for step in (1, 2, 5)]
    shown = [step for step in steps if low <= step <= high]
    shown = shown[:: 1 + len(shown) // 9]
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_yticks(shown, [f"{'≤ ' if step == LEAST_PERCENT else ''}{step:,.0f}" for step in shown])
    axes.minorticks_off()


def unread(names: Sequence[str], answers: Sequence[Sequence[Answer]]) -> Figure:
    """How many answers could not be read, by reason and task: a panel for each result."""
    asked = {answer.task for answer in answers[0]}
    tasks = [task for task in (*TASKS, *MULTISTEP) if task in asked]
    counts = [Counter((answer.reason, answer.task) for answer in of if answer.value is None) for of in answers]
    of_reason: Counter[str] = Counter()
    for (reason, _), n in sum(counts, Counter[tuple[str, str]]()).items():
        of_reason[reason] += n
    reasons = sorted(of_reason, key=lambda reason: (-of_reason[reason], reason))
    most = max((n for of in counts for n in of.values()), default=0)
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    figure = new_figure(3.5 * columns, lines * (0.75 + 0.24 * max(len(reasons), 1)))
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True, gridspec_kw={"wspace": 0.12, "hspace": 0.55})
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name, of, total in zip(panels.flat, names, counts, map(len, answers), strict=False):
        axes.set_title(f"{name}\n{100 * (1 - of.total() / total):.1f} % of {total:,} answers read", loc="left")
        axes.spines[:].set_visible(False)
        axes.tick_params(which="both", length=0)
        if not reasons:
            axes.text(0.5, 0.5, "every answer could be read", transform=axes.transAxes, ha="center", color=FAINT)
            axes.set_xticks([])
            axes.set_yticks([])
            continue
        shades = np.array([[of[reason, task] for task in tasks] for reason in reasons])
        darkest = 1.6 * max(most, 4)  # so that dark ink can be read on all of it
        axes.imshow(shades, cmap="Blues", vmin=0, vmax=darkest, aspect="auto")
        for y, reason in enumerate(reasons):
            for x, task in enumerate(tasks):
                n = of[reason, task]
                axes.text(x, y, f"{n:,}" if n else "·", ha="center", va="center", color=INK if n else FAINT, fontsize=7)
            axes.text(len(tasks) - 0.4, y, f"{shades[y].sum():,}", va="center", fontweight="bold", fontsize=7)
        axes.set_xticks(range(len(tasks)), [SHORT.get(task, task) for task in tasks])
        axes.set_yticks(range(len(reasons)), reasons)
        axes.set_xticks(np.arange(len(tasks) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(reasons) + 1) - 0.5, minor=True)
        axes.grid(True, which="minor", color="white", linewidth=1.5)
    return figure


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure, white, that no window shows."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), facecolor="white")

"""The pictures of a model's card: a clip for each task, the way from recordings to scores, errors, and the training."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stvlm.dataset.report import TASKS
from stvlm.dataset.video import read_video
from stvlm.evaluation.dataset import Row
from stvlm.evaluation.figures import (
    COLORS,
    FAINT,
    INK,
    LEAST_PERCENT,
    RULE,
    draw_points,
    new_figure,
    range_of,
    relative_scale,
)
from stvlm.evaluation.results import Answer
from stvlm.evaluation.trajectories import Trajectories, trajectory_of
from stvlm.hashing import stable_hash
from stvlm.kinematics import MPS_TO_KMH, STEP_S, traveled_distance
from stvlm.records import COLORS_RGB, Array
from stvlm.scoring import RELATIVE_TOLERANCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRAMES = 3
"""Shown of a clip."""
CELL_IN, LINE_CHARACTERS = 2.0, 96
"""Height of an example, and how much of a question stands in a line."""
PARTS = 4
"""Of the answers, by how far away or fast the object is; equally many in each."""
STAGE_LOSSES = {
    "boxes": "boxes in a frame",
    "motion": "motion until a frame",
    "hours": "clock hours until a frame",
    "answers": "answers",
}
SMOOTHED = 0.05
"""Of a run's logged steps, how many a point of the smooth loss is a mean of."""


def examples(rows: Sequence[Row], trajectories: Trajectories) -> Figure | None:
    """A clip for each task: frames, the paths from above, question and answer. None where there is no video.

    Which clip is arbitrary, but always the same.
    """
    shown = [row for row in sorted(rows, key=lambda row: stable_hash("example", row["id"])) if row["video_path"]]
    chosen = [next((row for row in shown if row["task"] == task), None) for task in TASKS]
    of_task = [row for row in chosen if row is not None]
    if not of_task:
        return None
    lines = -(-len(of_task) // 2)
    figure = new_figure(10.4, CELL_IN * lines)
    cells = figure.subfigures(lines, 2, squeeze=False)
    for cell, row in zip(cells.flat, of_task, strict=False):
        _example(cell, row, trajectories)
    return figure


def _example(cell: Any, row: Row, trajectories: Trajectories) -> None:
    images = read_video(Path(row["video_path"]))[0]
    indices = np.linspace(0, len(images) - 1, FRAMES).round().astype(int)
    ratios = [images.shape[2] / images.shape[1]] * FRAMES + [1]  # all equally high
    place = {"left": 0.01, "right": 0.97, "top": 1 - 0.27 / CELL_IN, "bottom": 0.64 / CELL_IN}
    axes = cell.subplots(1, FRAMES + 1, gridspec_kw={**place, "wspace": 0.04, "width_ratios": ratios})
    for frame, index in zip(axes, indices, strict=False):
        frame.imshow(images[index])
        frame.set_anchor("SW")
        frame.set_axis_off()
        frame.text(0.03, 0.04, f"{row['frame_times_s'][index]:.1f} s", transform=frame.transAxes, fontsize=6.5,
                   color="white", bbox={"facecolor": INK, "alpha": 0.65, "edgecolor": "none", "pad": 1.5})  # fmt: skip
    _from_above(axes[-1], row, trajectories)
    cell.text(
        0.01,
        1 - 0.16 / CELL_IN,
        row["task"].replace("_", " ").capitalize(),
        fontweight="bold",
        fontsize=8.5,
        va="center",
    )
    question = textwrap.wrap(row["question"], LINE_CHARACTERS)[:2]
    cell.text(0.01, 0.57 / CELL_IN, "\n".join(question), fontsize=7.2, va="top", linespacing=1.25)
    answer = textwrap.shorten(row["answer"], LINE_CHARACTERS, placeholder="…")
    low = 0.57 - 0.145 * len(question)
    cell.text(0.01, low / CELL_IN, answer, fontsize=7.2, va="top", color=COLORS[2])


def _from_above(axes: Axes, row: Row, trajectories: Trajectories) -> None:
    """Paths over the ground, a dot every 0.5 s, ringed at the start; the camera's in grey."""
    motion = trajectory_of(row, trajectories)
    paths_m = [path[:, :2] for path in motion.xyz_m]
    camera_m = motion.world_SE3_camera[:, :2, 3]
    colors = [tuple(channel / 255 for channel in COLORS_RGB[item["color"]]) for item in row["objects"]]
    for path_m, color in zip([camera_m, *paths_m], [FAINT, *colors], strict=True):
        axes.plot(*path_m.T, color=color, marker="o", markersize=1.6, linewidth=0.9)
        axes.plot(*path_m[0], color=color, marker="o", markersize=5, markerfacecolor="none", markeredgewidth=0.9)
    points_m = np.concatenate([camera_m, *paths_m])
    middle, span_m = (points_m.min(axis=0) + points_m.max(axis=0)) / 2, max(np.ptp(points_m, axis=0).max(), 5.0) * 1.4
    axes.set_xlim(middle[0] - span_m / 2, middle[0] + span_m / 2)
    axes.set_ylim(middle[1] - span_m / 2, middle[1] + span_m / 2)
    axes.set_aspect("equal")
    axes.set_anchor("SE")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#f6f8fa")
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar_m = _round_length(span_m / 3)
    left, low = middle - 0.46 * span_m
    axes.plot([left, left + bar_m], [low, low], color=INK, linewidth=1.2, solid_capstyle="butt")
    axes.text(left, low + 0.03 * span_m, f"{bar_m:g} m", fontsize=6, color=INK)


def _round_length(metres: float) -> float:
    """1, 2 or 5 times a power of ten, at most `metres`."""
    power = 10.0 ** np.floor(np.log10(metres))
    return float(max(step * power for step in (1, 2, 5) if step * power <= metres))


def pipeline(train: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]]) -> Figure:
    """The way from recordings to a model, and below it from other recordings through the model to its scores.

    Args:
        train: recordings, clips, questions, training, model: what each is, and how much there was of it.
        test: recordings, clips, questions, answers, scores.
    """
    columns = (range(5), (0, 1, 2, 4, 5))  # answers stand below the model that gives them
    figure = new_figure(10.4, 2.1)
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 10.4)
    axes.set_ylim(0, 2.1)
    axes.set_axis_off()
    left, step, width, arrow = 0.35, 1.7, 1.4, {"arrowstyle": "-|>", "color": FAINT, "lw": 0.9}
    for y, steps, places, color, title in (
        (1.58, train, columns[0], COLORS[0], "trained"),
        (0.52, test, columns[1], COLORS[1], "tested"),
    ):
        axes.text(0.12, y, title, rotation=90, va="center", ha="center", fontsize=7.5, color=color, fontweight="bold")
        for (what, amount), column in zip(steps, places, strict=True):
            _box(axes, left + step * column, y, width, color, what, amount)
        for before, after in pairwise(places):
            start, end = left + step * before + width + 0.03, left + step * after - 0.03
            axes.annotate("", (end, y), (start, y), arrowprops=arrow)
    under = left + step * 4 + width / 2
    axes.annotate("", (under, 0.52 + 0.36), (under, 1.58 - 0.36), arrowprops=arrow)
    return figure


def _box(axes: Axes, x: float, y: float, width: float, color: str, what: str, amount: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = ((x, y - 0.34), width, 0.68, "round,pad=0,rounding_size=0.07")
    axes.add_patch(FancyBboxPatch(*shape, facecolor=color, alpha=0.09, edgecolor="none"))
    axes.add_patch(FancyBboxPatch(*shape, facecolor="none", edgecolor=color, linewidth=0.8))
    axes.text(x + width / 2, y + 0.1, what, ha="center", va="center", fontsize=8, fontweight="bold", color=INK)
    axes.text(x + width / 2, y - 0.14, amount, ha="center", va="center", fontsize=6.8, color=FAINT)


def errors(answers: Sequence[Answer], trajectories: Trajectories) -> Figure | None:
    """Median relative error of distances and speeds by how far away the object is and how fast it goes.

    Of answers with their rows. None where no distance or speed was asked, or none could be read.
    """
    tasks = {"traveled_distance": "distance", "traveling_speed": "speed"}
    asked = [
        (answer, *_range_and_speed(answer.row, trajectories))
        for answer in answers
        if answer.task in tasks and answer.row
    ]
    if not any(answer.error is not None for answer, *_ in asked):
        return None
    figure = new_figure(7.0, 2.5)
    panels = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.12})
    found = []
    for k, (axes, label) in enumerate(zip(panels, ("distance from the camera, m", "true speed, km/h"), strict=True), 1):
        edges = np.unique(np.quantile([entry[k] for entry in asked], np.linspace(0, 1, PARTS + 1)))
        bounds = list(pairwise([*edges[:-1], np.inf]))
        for i, (task, name) in enumerate(tasks.items()):
            parts = [
                range_of(low, high, [entry[0] for entry in asked if low <= entry[k] < high and entry[0].task == task])
                for low, high in bounds
            ]
            drawn = [p.relative_error and np.maximum(p.relative_error, LEAST_PERCENT / 100) for p in parts]
            draw_points(axes, i, len(tasks), name, drawn)
            found += [p.relative_error for p in parts if p.relative_error]
        axes.set_xticks(np.arange(len(edges)) - 0.5, [f"{edge:.0f}" for edge in edges])
        axes.set_xlim(-0.5, len(bounds) - 0.5)
        axes.set_xlabel(label)
    for axes in panels:
        relative_scale(axes, found)
        axes.axhline(
            100 * RELATIVE_TOLERANCE, color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)), label="limit of a right answer"
        )
        axes.grid(True, axis="y")
        axes.set_axisbelow(True)
    panels[0].set_ylabel("median relative error, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 0.9), ncols=3)
    return figure


def _range_and_speed(row: Row, trajectories: Trajectories) -> tuple[float, float]:
    """How far away the object asked about is on average, in m, and its speed in km/h, in the seconds asked about.

    Of several objects the one whose colour the question names.
    """
    motion = trajectory_of(row, trajectories)
    named = re.findall(r"\w+", row["question"])
    which = next((i for i, item in enumerate(row["objects"]) if item["color"] in named), 0)
    times_s = np.array(row["frame_times_s"])
    shown = (times_s >= row["start_s"] - 1e-6) & (times_s <= row["end_s"] + 1e-6)
    at = np.rint(times_s[shown] / STEP_S).astype(int)
    apart_m = np.linalg.norm(motion.xyz_m[which][at] - motion.world_SE3_camera[shown, :3, 3], axis=1)
    span = slice(round(row["start_s"] / STEP_S), round(row["end_s"] / STEP_S) + 1)
    moved_m = traveled_distance(motion.xyz_m[which][span]).value
    return float(apart_m.mean()), MPS_TO_KMH * moved_m / (row["end_s"] - row["start_s"])


def training_curve(log: Sequence[Mapping[str, Any]], stages: Sequence[tuple[str, int]] = ()) -> Figure | None:
    """Loss and learning rate by step, and between them accuracy on a benchmark where it was taken meanwhile.

    Of a model that learned from its own answers the reward, as the loss of that says nothing. Of a model that learned
    in stages, each a subject and a number of steps: the losses of all that it was asked. None where little was logged.
    """
    if stages:
        return _losses_by_stage(log, stages)
    shown = "reward" if any("reward" in entry for entry in log) else "loss"
    entries = [entry for entry in log if shown in entry]
    scored = [entry for entry in log if "eval_average_accuracy" in entry]
    if len(entries) < 3:
        return None
    steps, values = (np.array([entry[key] for entry in entries], np.float64) for key in ("step", shown))
    heights = [4, 2.5, 1] if scored else [4, 1]
    figure = new_figure(7.0, 0.2 + 0.5 * sum(heights))
    panels = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.12})
    top, bottom = panels[0], panels[-1]
    width = max(1, round(SMOOTHED * len(values)))
    top.plot(steps, values, color=COLORS[0], linewidth=0.7, alpha=0.35 if width > 1 else 1.0)
    if width > 1:
        top.plot(_running_mean(steps, width), _running_mean(values, width), color=COLORS[0], linewidth=1.6)
    top.set_ylabel(shown)
    if scored:
        _accuracy_by_step(panels[1], scored)
    rates = np.array([entry.get("learning_rate", np.nan) for entry in entries], np.float64)
    bottom.plot(steps, rates, color=FAINT, linewidth=1.0)
    if np.nanmax(rates, initial=0.0) > 0:
        bottom.set_yticks([0, float(np.nanmax(rates))], ["0", f"{np.nanmax(rates):.0e}".replace("e-0", "e-")])
    bottom.set_ylabel("rate")
    bottom.set_xlabel("step")
    for axes in panels:
        axes.set_ylim(bottom=0)
        axes.grid(True, axis="y", color=RULE)
        axes.set_axisbelow(True)
    figure.align_ylabels()
    return figure


def _losses_by_stage(log: Sequence[Mapping[str, Any]], stages: Sequence[tuple[str, int]]) -> Figure:
    figure = new_figure(7.0, 3.0)
    axes = figure.subplots()
    for color, (name, label) in zip(COLORS, STAGE_LOSSES.items(), strict=False):
        points = np.array([(entry["step"], entry[name]) for entry in log if name in entry], np.float64)
        width = max(1, round(SMOOTHED * len(points)))
        if len(points):
            axes.plot(*points.T, color=color, linewidth=0.7, alpha=0.35)
            axes.plot(*(_running_mean(values, width) for values in points.T), color=color, linewidth=1.6, label=label)
    start = 0
    for subject, steps in stages:
        axes.axvline(start, color=RULE, linewidth=0.8)
        axes.text(start, 1.01, f" {subject}", transform=axes.get_xaxis_transform(), color=FAINT, fontsize=8)
        start += steps
    axes.set(xlabel="step", ylabel="loss", yscale="log", xlim=(0, start))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(True, axis="y", color=RULE)
    axes.legend(loc="best")
    return figure


def _accuracy_by_step(axes: Axes, scored: Sequence[Mapping[str, Any]]) -> None:
    """Average accuracy, and what the best constant answers reach."""
    steps, accuracy = (np.array([entry[key] for entry in scored]) for key in ("step", "eval_average_accuracy"))
    axes.plot(steps, 100 * accuracy, color=COLORS[2], marker="o", markersize=3, linewidth=1.2)
    constants = [value for name, value in scored[-1].items() if name.startswith("eval_") and name.endswith("_constant")]
    if constants:
        axes.axhline(100 * np.mean(constants), color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
        axes.text(steps[0], 100 * np.mean(constants), "best constant answers", color=FAINT, fontsize=7, va="bottom")
    axes.set_ylabel("accuracy, %")


def _running_mean(values: Array, width: int) -> Array:
    return np.convolve(values, np.full(width, 1 / width), mode="valid")

"""What the validation of pseudo-labels found, as figures and one HTML file with nothing to load."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from scipy.special import erf

from stvlm import __version__
from stvlm.evaluation.figures import COLORS, FAINT, INK, MARKERS, RULE, STYLE, check_installed, new_figure
from stvlm.files import whole_file, write_json, write_text
from stvlm.pseudo_labels.pairs import Found, Pair, found_of
from stvlm.pseudo_labels.validation import TOLERANCE, Report
from stvlm.records import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULT = "validation.json"
GRADES = "ABC"
FEW = 10
"""Labels under which figures say little."""
CAPTIONS = {
    "calibration": "Whether sigmas are right: the share of labels whose error is within so many of them, and what a "
    "normal distribution has. Above the line they are too large, below too small.",
    "range": "Relative error of the distance against how far away an object is. Between the dashed lines it counts as "
    "right.",
    "sweep": "What is kept, and how much of that is right, under limits of range and relative sigma; the line joins "
    "those that no other beats in both.",
    "views": "The best, the median and the worst labels from above: true paths dashed, labels drawn, each turned and "
    "moved onto the truth, but not scaled.",
}


class _Table(NamedTuple):
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_page(
    reports: Mapping[str, Report], folder: Path, about: Mapping[str, Any], title: str = "Pseudo-labels beside the truth"
) -> None:
    """Writes index.html, validation.json, and each figure as PNG and SVG; raises DataError where matplotlib is missing.

    Args:
        reports: by what of the truth was given; the first that has more than a few labels is shown in full.
        folder: where to.
        about: what the reports are of: the recipe, the sources.
        title: the page's.
    """
    check_installed()
    labels = {name: len(_kept(report)) for name, report in reports.items()}
    shown = next((name for name, count in labels.items() if count >= FEW), max(labels, key=labels.__getitem__))
    report = reports[shown]
    tables = [_ladder(reports), *_tables(report.scores)] if len(reports) > 1 else _tables(report.scores)
    jinja = Environment(
        loader=PackageLoader("stvlm.evaluation", "."), undefined=StrictUndefined, autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    text = jinja.get_template("pseudo_page.html.j2").render(
        title=title,
        shown=shown if len(reports) > 1 else "",
        sources=", ".join(about["sources"]),
        **{name: report.scores[name] for name in ("moving", "parked", "excerpts")},
        tables=tables,
        figures=_drawn(report, folder),
        version=__version__,
    )
    scores = {name: report.scores for name, report in reports.items()}
    write_json(folder / RESULT, {"stvlm": __version__, **about, "rungs": scores})
    write_text(folder / "index.html", text)


def _kept(report: Report) -> list[Pair]:
    return [pair for pair in report.pairs if pair.moves and isinstance(pair.found, Found) and pair.found.moving]


def _drawn(report: Report, folder: Path) -> list[dict[str, Any]]:
    """The figures of a report, written to files, and as the page shows them."""
    import matplotlib

    kept = _kept(report)
    if not kept:
        return []
    figures = []
    with matplotlib.rc_context(STYLE):
        drawn = {
            "calibration": calibration(kept),
            "range": by_range(kept),
            "sweep": sweep(report),
            "views": views(kept),
        }
        for name, figure in drawn.items():
            for suffix in ("png", "svg"):
                with whole_file(folder / f"{name}.{suffix}") as temporary:
                    metadata = {"Date": None, "Creator": None} if suffix == "svg" else {"Software": None}
                    figure.savefig(temporary, bbox_inches="tight", pad_inches=0.05, metadata=metadata)
            content = base64.b64encode((folder / f"{name}.svg").read_bytes()).decode()
            src = f"data:image/svg+xml;base64,{content}"
            figures.append({"src": src, "caption": CAPTIONS[name], "is_broad": name == "views"})
    return figures


def _ladder(reports: Mapping[str, Report]) -> _Table:
    """What each part of the truth mends that is given."""
    heads = ("given", "kept", "of", "within 25 %", "median error", "speed, km/h", "hour", "parked told as moving")
    rows = []
    for name, report in reports.items():
        scores = report.scores
        rows.append(
            (
                name,
                *_percent(scores["kept"]),
                _percent(scores["within_25_percent"])[0],
                _signed(scores["median_error"])[0],
                _plain(scores["speed_mae_kmh"])[0],
                _percent(scores["hour"])[0],
                _percent(scores["parked_called_moving"])[0],
            )
        )
    return _Table("What each part of the truth mends that is given", heads, rows)


def calibration(kept: Sequence[Pair]) -> Figure:
    """The share of labels whose error is within k sigmas against k, by grade, and a normal distribution's."""
    figure = new_figure(3.5, 2.6)
    axes: Any = figure.add_subplot()
    sigmas = np.linspace(0, 4, 81)
    axes.plot(sigmas, 100 * erf(sigmas / np.sqrt(2)), color=INK, linewidth=1, linestyle=(0, (4, 2)), label="normal")
    for grade, color in zip(("all", *GRADES), (FAINT, *COLORS), strict=False):
        found = [pair.found for pair in kept if isinstance(pair.found, Found) and grade in ("all", pair.found.grade)]
        if found:
            off = np.array([abs(f.found_m - f.true_m) / f.sigma_m for f in found])
            shares = 100 * (off <= sigmas[:, None]).mean(axis=1)
            label = f"all, {len(found)}" if grade == "all" else f"grade {grade}, {len(found)}"
            axes.plot(sigmas, shares, color=color, linewidth=2.2 if grade == "all" else 1.1, label=label)
    axes.set(xlim=(0, 4), ylim=(0, 102), xlabel="error, sigmas", ylabel="labels within, %")
    axes.grid(True)
    axes.legend(loc="lower right")
    return figure


def by_range(kept: Sequence[Pair]) -> Figure:
    """Each label's relative error against its range."""
    figure = new_figure(3.5, 2.6)
    axes: Any = figure.add_subplot()
    most = 100 * np.clip(max(abs(found_of(pair).relative) for pair in kept), 1.2 * TOLERANCE, 1.0)
    for category, color, marker in zip(_common(kept), COLORS, MARKERS, strict=False):
        some = [pair for pair in kept if pair.category == category]
        errors = np.clip([100 * found_of(pair).relative for pair in some], -most, most)
        axes.scatter(
            [p.range_m for p in some], errors, s=9, color=color, marker=marker, alpha=0.6, linewidths=0, label=category
        )
    for at in (-TOLERANCE, TOLERANCE):
        axes.axhline(100 * at, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.axhline(0, color=RULE, linewidth=0.8, zorder=0)
    axes.set(ylim=(-1.05 * most, 1.05 * most), xlabel="range, m", ylabel="error of the distance, %")
    axes.set_xlim(left=0)
    figure.legend(loc="upper center", ncols=len(COLORS), bbox_to_anchor=(0.55, 1.02), handletextpad=0.1)
    return figure


def sweep(report: Report) -> Figure:
    """What is right against what is kept, under each pair of limits."""
    figure = new_figure(3.5, 2.6)
    axes: Any = figure.add_subplot()
    points = report.scores["sweep"]
    ranges = sorted({point["most_range_m"] for point in points})
    for most_range_m, color, marker in zip(ranges, COLORS, MARKERS, strict=False):
        some = [point for point in points if point["most_range_m"] == most_range_m]
        kept, right = ([100 * p[name] for p in some] for name in ("kept", "within_25_percent"))
        axes.plot(kept, right, color=color, marker=marker, markersize=3.5, linewidth=0, label=f"{most_range_m:g} m")
    best = sorted((100 * p["kept"], 100 * p["within_25_percent"]) for p in points if p["best"])
    axes.plot(*zip(*best, strict=True), color=FAINT, linewidth=0.8, zorder=0)
    axes.set(xlabel="kept of what moves, %", ylabel="within 25 %, %")
    axes.grid(True)
    axes.legend(title="range up to", title_fontsize=7.5)
    return figure


def views(kept: Sequence[Pair], columns: int = 4) -> Figure:
    """Paths from above: the best, those around the median, and the worst."""
    ranked = sorted(kept, key=lambda pair: (abs(found_of(pair).relative), pair.excerpt, pair.true_id))
    columns = min(columns, len(ranked))
    middle = max((len(ranked) - columns) // 2, 0)
    rows = {"best": ranked[:columns], "median": ranked[middle : middle + columns], "worst": ranked[-columns:]}
    figure = new_figure(1.75 * columns, 1.75 * len(rows))
    all_axes: Any = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, some) in zip(all_axes, rows.items(), strict=True):
        for axes, pair in zip(line, some, strict=True):
            found = found_of(pair)
            true_m = found.true_xyz_m - found.true_xyz_m.mean(axis=0)
            found_m = _onto(found.found_xyz_m - found.found_xyz_m.mean(axis=0), true_m)
            axes.plot(*true_m[:, :2].T, color=INK, linewidth=1, linestyle=(0, (4, 2)))
            axes.plot(*found_m[:, :2].T, color=COLORS[1], linewidth=1.4, marker="o", markersize=1.8)
            half_m = 1.1 * max(np.abs(true_m[:, :2]).max(), np.abs(found_m[:, :2]).max())
            axes.set(xlim=(-half_m, half_m), ylim=(-half_m, half_m), xticks=[], yticks=[], aspect="equal")
            for spine in axes.spines.values():
                spine.set_visible(True)
                spine.set_color(RULE)
            axes.set_title(f"{found.true_m:.1f} m, told {found.found_m:.1f}", fontsize=7, fontweight="normal")
        line[0].set_ylabel(name)
    return figure


def _onto(found_m: Array, true_m: Array) -> Array:
    """Centred places (n, 3) turned onto others (Kabsch, 1976): no figure depends on the reconstruction's frame."""
    left, _, right = np.linalg.svd(found_m.T @ true_m)
    left[:, 2] *= np.linalg.det(left @ right)
    return np.asarray(found_m @ left @ right)


def _common(kept: Sequence[Pair]) -> list[str]:
    names = [pair.category for pair in kept]
    return sorted(set(names), key=lambda name: (-names.count(name), name))


def _tables(scores: Mapping[str, Any]) -> list[_Table]:
    share, mean = _percent, _plain
    rows = [
        ("kept of what moves", share(scores["kept"])),
        ("distance and speed within 25 %", share(scores["within_25_percent"])),
        ("median error of the distance", _signed(scores["median_error"])),
        ("mean error of the distance, m", mean(scores["distance_mae_m"])),
        ("mean error of the speed, km/h", mean(scores["speed_mae_kmh"])),
        ("hour of the direction", share(scores["hour"])),
        ("within one hour of it", share(scores["within_an_hour"])),
        ("which of two is faster", share(scores["comparison"])),
        ("parked, told as moving", share(scores["parked_called_moving"])),
        ("moving, told as parked", share(scores["moving_called_parked"])),
        ("error within 1 sigma (68 %)", share(scores["calibration"]["within_1_sigma"])),
        ("error within 2 sigmas (95 %)", share(scores["calibration"]["within_2_sigma"])),
    ]
    tables = [_Table("Overall", ("", "found", "of"), [(name, *cells) for name, cells in rows])]
    titles = {
        "category": "By class", "grade": "By grade", "range_m": "By range, m", "speed_kmh": "By speed, km/h",
        "ego_speed_kmh": "By the camera's speed, km/h",
    }  # fmt: skip
    for name, title in titles.items():
        lines = [
            (
                group,
                share(of.get("kept"))[0],
                *share(of["within_25_percent"]),
                _signed(of["median_error"])[0],
                mean(of["speed_mae_kmh"])[0],
            )
            for group, of in scores["by"][name].items()
        ]
        heads = ("", "kept", "within 25 %", "of", "median error", "speed, km/h")
        if lines:
            tables.append(_Table(title, heads, lines))
    left_out = [(reason, str(count)) for reason, count in scores["left_out"].items()]
    if left_out:
        tables.append(_Table("Left out of what moves", ("", "objects"), left_out))
    return tables


def _percent(share: Mapping[str, Any] | None) -> tuple[str, str]:
    if share is None:
        return "–", ""
    return f"{share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}]", str(share["of"])


def _plain(mean: Mapping[str, Any] | None) -> tuple[str, str]:
    if mean is None:
        return "–", ""
    bounds = "" if mean["low"] is None else f" [{mean['low']:.2f}, {mean['high']:.2f}]"
    return f"{mean['value']:.2f}{bounds}", str(mean["of"])


def _signed(value: float | None) -> tuple[str, str]:
    return ("–" if value is None else f"{value:+.1%}"), ""

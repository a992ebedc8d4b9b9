"""Tables for a paper: the paper's Table 3 with other results under it, and paired differences of results.

A table is made once and written in three forms: Markdown, LaTeX with booktabs, HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from stvlm.evaluation.published import CAUTION, published
from stvlm.evaluation.report import COLUMNS, CONSTANT, NAMES, as_number
from stvlm.evaluation.responses import MODEL
from stvlm.evaluation.results import Results, told_apart
from stvlm.scoring import FEW_CLIPS, Difference


class Cell(NamedTuple):
    """A number as text, and its 95 % interval."""

    text: str
    interval: str = ""


class Line(NamedTuple):
    """A row of a table."""

    name: str
    cells: Sequence[Cell]
    is_indented: bool = False


class Group(NamedTuple):
    """Rows under a title."""

    title: str
    lines: Sequence[Line]


class Table(NamedTuple):
    """Headings from the topmost level down, each with the columns that it spans; then groups of rows."""

    label: str
    """What LaTeX refers to it by."""
    caption: str
    heads: Sequence[Sequence[tuple[str, int]]]
    short_heads: Sequence[str]
    """One a column, where there is but one level."""
    groups: Sequence[Group]


NOTHING = Cell("–")
_KEYS = [(key, factor) for _, key, factor in COLUMNS] + [("parse_rate", 100)]
_ACCURACY = ("Acc ↑", 1)
_HEADS = (
    [("", 1), ("Single object", 8), ("Multiple objects", 3), ("", 2)],
    [
        *[("", 1), ("Traveled Distance", 2), ("Traveling Speed", 2), ("Movement Direction", 2)],
        *[("Direction Timestamp", 2), ("Distance Comp.", 1), ("Speed Comp.", 1), ("Direction Comp.", 1)],
        *[("Average", 1), ("Read", 1)],
    ],
    [
        *[("", 1), _ACCURACY, ("MAE ↓ (m)", 1), _ACCURACY, ("MAE ↓ (km/h)", 1), _ACCURACY, ("MAE ↓ (clock)", 1)],
        *[_ACCURACY, ("IoU ↑", 1), *[_ACCURACY] * 4, ("%", 1)],
    ],
)


def main_table(results: Sequence[Results], clip_count: int | None) -> Table:
    """The paper's Table 3 and, under it, each results' model with its controls, then the best constant answers.

    Results of several datasets follow in a group each. Of no results it is the paper's alone.

    Args:
        results: of any datasets.
        clip_count: how many clips the dataset's questions are about, where it is one and they are at hand.
    """
    paper = published()
    groups = [
        Group(f"{kind}, published", [Line(name, [_cell(scores, *key) for key in _KEYS]) for name, scores in of.items()])
        for kind, of in paper.groups.items()
    ]  # fmt: skip
    heads = [*(heading for heading, _, _ in COLUMNS), "Read"]
    origin = f"Published rows: {paper.source}, {CAUTION}."
    if not results:
        return Table("stkit-bench", f"Accuracy in %. {origin}", _HEADS, heads, groups)
    by_dataset: dict[str, list[Results]] = {}
    for r in results:
        by_dataset.setdefault(r.dataset["fingerprint"], []).append(r)
    told = []
    for of_dataset in by_dataset.values():
        dataset, lines = of_dataset[0].dataset, []
        for r in told_apart(of_dataset):
            lines.append(_line(r.name, r.scores[MODEL]))
            lines += [_line(NAMES.get(name, name), r.scores[name], is_indented=True) for name in r.controls]
        lines.append(_line(NAMES[CONSTANT], of_dataset[0].scores[CONSTANT]))
        name = Path(dataset["path"]).name + ("" if dataset["config"] == "default" else f" {dataset['config']}")
        groups.append(Group("this evaluation" if len(by_dataset) == 1 else f"this evaluation, {name}", lines))
        clips = f" about {clip_count:,} clips" if clip_count else ""
        told.append(f"{name} ({dataset['split']}: {dataset['rows']:,} questions{clips})")
    caption = (
        f"Results on {' and '.join(told)}. Accuracy in %; MAE over the answers that could be "
        "read, whose share stands in the last column; in brackets 95 % intervals over clips. Indented: the "
        "same model without what the control takes from it; the best constant answer is a floor for every model. "
        + origin
    )
    return Table("stkit-bench", caption, _HEADS, heads, groups)


def _line(name: str, scores: Mapping[str, float], is_indented: bool = False) -> Line:
    return Line(name, [_cell(scores, *key) for key in _KEYS], is_indented)


def _cell(scores: Mapping[str, float], key: str, factor: int) -> Cell:
    if key not in scores:
        return NOTHING
    low, high = (as_number(scores, f"{key}_{bound}", factor) for bound in ("low", "high"))
    return Cell(as_number(scores, key, factor), f"{low}–{high}" if f"{key}_low" in scores else "")


class Paired(NamedTuple):
    """Accuracies of two results on the same questions, fractions of 1, and the second's minus the first's."""

    task: str
    first: float
    second: float
    difference: Difference
    questions: int


def difference_table(first: str, others: Mapping[str, Sequence[Paired]]) -> Table:
    """Each other results' accuracy minus that of the first ones, task by task."""
    groups = [
        Group(f"{name} minus {first}", [_paired_line(*paired) for paired in of_tasks])
        for name, of_tasks in others.items()
    ]
    heads = ["", "First", "Second", "Difference", "p", "Questions", "Clips"]
    caption = (
        "Accuracy in % on the same questions, and the second's minus the first's with its 95 % interval (paired "
        f"bootstrap over clips, too narrow for fewer than {FEW_CLIPS}); p: how often chance alone, giving each clip's "
        "answers to one or the other, makes as large a difference. Not corrected for the number of comparisons."
    )
    return Table("paired", caption, [[(head, 1) for head in heads]], heads[1:], groups)


def _paired_line(task: str, first: float, second: float, difference: Difference, questions: int) -> Line:
    d = difference
    accuracies = [Cell(f"{100 * accuracy:.1f}") for accuracy in (first, second)]
    p_value = Cell("< 0.001" if d.p_value < 0.001 else f"{d.p_value:.3f}")
    gain = Cell(_signed(d.value), f"{_signed(d.low)} to {_signed(d.high)}")
    return Line(task.replace("_", " "), [*accuracies, gain, p_value, Cell(f"{questions:,}"), Cell(f"{d.clips:,}")])


def _signed(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:+.1f}".replace("-", "−")  # adding zero makes 0.0 of -0.0


def as_markdown(table: Table) -> str:
    """A table that GitHub shows, the caption above it."""
    lines = [_escaped_markdown(table.caption), "", "| | " + " | ".join(table.short_heads) + " |"]
    lines.append("|---|" + "--:|" * len(table.short_heads))
    for group in table.groups:
        lines.append(f"| *{_escaped_markdown(group.title)}* |" + " |" * len(table.short_heads))
        for line in group.lines:
            name = "&ensp;" * 2 * line.is_indented + _escaped_markdown(line.name)
            cells = [f"{cell.text} [{cell.interval}]" if cell.interval else cell.text for cell in line.cells]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _escaped_markdown(text: str) -> str:
    return "".join(f"\\{c}" if c in r"\`*_[]<>|~#$" else c for c in " ".join(text.split()))


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "*": "{*}",  # after a line's end they would be its options
    "–": "--", "−": "$-$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def as_latex(table: Table) -> str:
    r"""A floating table over both columns; needs \usepackage{booktabs,graphicx}."""
    width = sum(span for _, span in table.heads[0])
    lines = [
        r"% \usepackage{booktabs,graphicx}", r"\begin{table*}[t]", r"\centering",
        rf"\caption{{{_escaped_latex(table.caption)}}}", rf"\label{{tab:{table.label}}}",
        r"\resizebox{\linewidth}{!}{%", rf"\begin{{tabular}}{{@{{}}l*{{{width - 1}}}{{c}}@{{}}}}", r"\toprule",
    ]  # fmt: skip
    for level, heads in enumerate(table.heads):
        spanned = [
            rf"\multicolumn{{{n}}}{{c}}{{{_escaped_latex(t)}}}" if n > 1 else _escaped_latex(t) for t, n in heads
        ]
        lines.append(" & ".join(spanned) + r" \\")
        if level + 1 < len(table.heads):
            lines.append(" ".join(_rules(heads)))
    for group in table.groups:
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{@{{}}l}}{{\textit{{{_escaped_latex(group.title)}}}}} \\"]
        for line in group.lines:
            name = r"\quad " * line.is_indented + _escaped_latex(line.name)
            lines.append(" & ".join([name, *(_escaped_latex(cell.text) for cell in line.cells)]) + r" \\")
            if any(cell.interval for cell in line.cells):
                small = [rf"\scriptsize[{_escaped_latex(c.interval)}]" if c.interval else "" for c in line.cells]
                lines.append(" & ".join(["", *small]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _rules(heads: Sequence[tuple[str, int]]) -> list[str]:
    """A line under every heading that spans several columns."""
    rules, column = [], 1
    for text, span in heads:
        if span > 1 and text:
            rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return rules


def _escaped_latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in " ".join(text.split()))


def as_html(table: Table) -> str:
    """A <figure> whose table can be scrolled sideways."""
    width = sum(span for _, span in table.heads[0])
    lines = [
        "<figure>",
        f"<figcaption>{escape(table.caption)}</figcaption>",
        '<div class="wide">',
        "<table>",
        "<thead>",
    ]
    for heads in table.heads:
        cells = [
            f'<th colspan="{span}">{escape(text)}</th>' if span > 1 else f"<th>{escape(text)}</th>"
            for text, span in heads
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</thead>")
    for group in table.groups:
        lines += ["<tbody>", f'<tr class="group"><th colspan="{width}">{escape(group.title)}</th></tr>']
        for line in group.lines:
            numbers = [
                f"<td>{escape(c.text)}" + (f"<small>{escape(c.interval)}</small>" if c.interval else "") + "</td>"
                for c in line.cells
            ]
            kind = ' class="indented"' if line.is_indented else ""
            lines.append(f'<tr><th scope="row"{kind}>{escape(line.name)}</th>{"".join(numbers)}</tr>')
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>", "</div>", "</figure>"]) + "\n"

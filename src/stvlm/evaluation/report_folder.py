"""Results folders -> a folder with what goes into a paper: tables, figures, and a page of the worst mistakes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import pyarrow.parquet as pq

from stvlm.dataset.folder import TRAJECTORIES
from stvlm.evaluation import figures
from stvlm.evaluation.dataset import Row
from stvlm.evaluation.mistakes import Motion
from stvlm.evaluation.page import Figure, Section, render_page
from stvlm.evaluation.published import CAUTION, ST_VLM, published
from stvlm.evaluation.responses import MODEL
from stvlm.evaluation.results import Answer, load_rows, read_answers, read_results
from stvlm.evaluation.tables import Paired, as_latex, as_markdown, difference_table, main_table
from stvlm.files import write_text
from stvlm.records import DataError
from stvlm.scoring import FEW_CLIPS, compare

PAGE = "report.html"


def write_report(folders: Sequence[Path], out: Path, dataset: str | None = None, most: int = 4) -> list[str]:
    """Writes the report of one or several results folders into `out`; returns what there is to know about it.

    Args:
        folders: that evaluate_model.py wrote, on one dataset; others are compared with the first.
        out: receives table.md and .tex, differences.md and .tex, figures as .png and .svg, and report.html.
        dataset: where the dataset lies now, if not where the results say.
        most: how many mistakes of a task the page shows.

    Raises DataError, one line, for folders that are none or not of one dataset, and for another dataset.
    """
    figures.check_installed()
    if len(folders) > figures.MOST:
        raise DataError(f"{len(folders)} results cannot be told apart in a figure; give at most {figures.MOST}")
    results = read_results(folders)
    split = load_rows(results[0], dataset)
    rows = split.rows if split else None
    answers = [read_answers(r, rows) for r in results]
    clip_count = len({row["clip_id"] for row in rows}) if rows else None
    notes = _notes(results[0].dataset["path"], rows is not None, clip_count, len(results))

    tables = {"table": main_table(results, clip_count)}
    if rows is not None and len(results) > 1:
        models = [of[MODEL] for of in answers]
        others = {r.name: _paired(models[0], model, rows) for r, model in zip(results[1:], models[1:], strict=True)}
        tables["differences"] = difference_table(results[0].name, others)
    for name, table in tables.items():
        write_text(out / f"{name}.md", as_markdown(table))
        write_text(out / f"{name}.tex", as_latex(table))
    broad = {"ranges"} if len(results) == 1 else {"ranges", "unread"}
    drawn = [
        Figure(out / f"{name}.svg", _CAPTIONS[name], name in broad) for name in figures.draw_all(results, answers, out)
    ]
    sections = [Section(r, of[MODEL]) for r, of in zip(results, answers, strict=True)]
    wrong = {a.row["clip_id"] for section in sections for a in section.answers if a.row and not a.correct}
    motions = _motions(dataset or results[0].dataset["path"], wrong)
    write_text(out / PAGE, render_page(list(tables.values()), drawn, sections, motions, notes, most))
    made = {PAGE, *_files(tables, ("md", "tex")), *_files([figure.svg.stem for figure in drawn], ("png", "svg"))}
    for name in {*_files(("differences",), ("md", "tex")), *_files(_CAPTIONS, ("png", "svg"))} - made:
        (out / name).unlink(missing_ok=True)  # what an earlier report has, and this one has nothing to show in
    return [*notes, f"{out}: {', '.join(sorted(made))}"]


def _files(names: Iterable[str], suffixes: Iterable[str]) -> set[str]:
    return {f"{name}.{suffix}" for name, suffix in product(names, suffixes)}


_CAPTIONS = {
    "radar": (
        f"Accuracy in %. Dashed: {ST_VLM} of {published().source}, {CAUTION}. Of a single model the best control "
        "of each task is shown; the best constant answer is a floor."
    ),
    "unread": (
        "Answers that could not be read, by reason and task: traveled distance (TD), traveling speed (TS), movement "
        "direction (MD), direction timestamp (DT), and the comparisons (TDC, TSC, MDC)."
    ),
    "ranges": (
        "Above: accuracy by the true distance and speed, with 95 % intervals over clips. "
        "Below: the median relative error of the answers that could be read, with bootstrap intervals over clips. n: "
        "questions."
    ),
}


def _notes(place: str, has_rows: bool, clip_count: int | None, count: int) -> list[str]:
    notes = []
    if not has_rows:
        missing = "questions, truths and frames of the mistakes, and the figure by distance and speed, are left out"
        paired = "; so are paired differences" if count > 1 else ""
        notes.append(f"The dataset {place} is not here: {missing}{paired}. Give its place by --dataset.")
    if clip_count is not None and clip_count < FEW_CLIPS:
        clips = "1 clip" if clip_count == 1 else f"{clip_count} clips"
        notes.append(f"These are questions about {clips}: fewer than {FEW_CLIPS} tell little.")
    return notes


def _paired(first: Sequence[Answer], second: Sequence[Answer], rows: Sequence[Row]) -> list[Paired]:
    """Differences of two models' answers to the same rows, task by task, then of the average over tasks."""
    differences = compare([answer.response for answer in second], [answer.response for answer in first], rows)
    of_average = differences.pop("average_accuracy")
    paired = []
    for key, difference in differences.items():
        task = key.removesuffix("_accuracy")
        a, b = ([answer.correct for answer in answers if answer.task == task] for answers in (first, second))
        paired.append(Paired(task, sum(a) / len(a), sum(b) / len(b), difference, len(a)))
    a_mean, b_mean = (sum(accuracies) / len(paired) for accuracies in zip(*(p[1:3] for p in paired), strict=True))
    return [*paired, Paired("average", a_mean, b_mean, of_average, len(rows))]


def _motions(dataset: str, clip_ids: Collection[str]) -> Mapping[str, Motion]:
    """Positions and camera poses of some clips; none where they do not lie beside the dataset."""
    path = Path(dataset) / TRAJECTORIES / "clips.parquet"
    if not path.is_file() or not clip_ids:
        return {}
    rows = pq.read_table(path, filters=[("clip_id", "in", sorted(clip_ids))]).to_pylist()
    return {row["clip_id"]: row for row in rows}

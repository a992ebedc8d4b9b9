"""All cards of a release, each in a folder of its own, as they are published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stvlm.cards.dataset import CARD, Publication, kept_back, write_dataset_card
from stvlm.cards.evidence import Evidence, gather, label_errors
from stvlm.cards.metric import UNPUBLISHED, render_metric_card
from stvlm.cards.model import Names, not_run
from stvlm.cards.model_folder import write_model_card
from stvlm.dataset.folder import BUILD
from stvlm.files import write_text
from stvlm.hub import check_names

METRIC, DEMO = "stkit_bench", "st-vlm"
"""What the Spaces are called."""


def names_of(found: Evidence, org: str | None) -> Names:
    """What cards call the model, its data and its metric: ids under the name of `org`, else folders.

    Raises DataError for ids that the Hub would not take.
    """
    dataset = found.dataset_at.resolve().name if found.dataset_at else "stkit"
    model, bench = found.results.name, found.questions_at.resolve().name
    if org is None:
        return Names(model, dataset, bench, METRIC)
    ids = [f"{org}/{name}" for name in (model, dataset, bench, METRIC, DEMO)]
    check_names(ids)
    return Names(*ids)


def write_cards(
    results: Path,
    out: Path,
    measured: Path,
    org: str | None = None,
    *,
    model: Path | None = None,
    dataset: Path | None = None,
    bench: Path | None = None,
    validations: Path | None = None,
) -> list[str]:
    """Writes the cards of model, dataset, benchmark and metric into folders of `out`; returns what came of each.

    Args:
        results: see `gather`, as for those from `model` on.
        out: folder of the cards.
        measured: benchmarks/results, where the metric's figures are.
        org: under whose name all is published.
        model: the model's folder.
        dataset: what it was trained on.
        bench: what it was asked.
        validations: folder of those of pseudo-labels.

    Raises DataError, one line.
    """
    found = gather(results, model, dataset, bench, validations)
    names = names_of(found, org)
    said = [_told(out / "model", write_model_card(found, names, out / "model"))]
    said += [f"not run: {told}" for told in not_run(found)]
    errors = label_errors(found.validations)
    for kind, flag, name, folder in (
        ("dataset", "dataset", names.dataset, found.dataset_at),
        ("benchmark", "bench", names.bench, found.questions_at),
    ):
        if folder is None or not (folder / BUILD).is_file():
            said.append(f"{out / kind}: left out, as no built {kind} is at hand; name it by --{flag}")
            continue
        publication = None if org is None else Publication(name, kept_back(folder), names.metric, errors)
        said.append(_told(out / kind, write_dataset_card(folder, publication, out / kind)))
    write_text(out / "metric" / CARD, render_metric_card(measured, names.metric if org else UNPUBLISHED))
    return [*said, _told(out / "metric", [CARD])]


def _told(folder: Path, files: Iterable[str]) -> str:
    return f"{folder}: {', '.join(files)}"

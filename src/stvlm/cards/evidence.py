"""What is known of a model: its scores, how it was trained and on what, as files tell it; and what no file tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stvlm.dataset.folder import BUILD
from stvlm.evaluation.dataset import Row, Split, load_split
from stvlm.evaluation.general import RESULTS as GENERAL
from stvlm.evaluation.results import PROGRAM, Results, files_named, load_rows, read_all
from stvlm.files import read_json
from stvlm.records import DataError

TRAINING, VALIDATION = "training.json", "validation.json"


class Validation(NamedTuple):
    """How right pseudo-labels are, as validate_pseudo_labels.py measured it."""

    name: str
    recipe: str
    sources: Sequence[str]
    rungs: Mapping[str, Mapping[str, Any]]


class Dataset(NamedTuple):
    """A built dataset."""

    name: str
    build: Mapping[str, Any]
    """Its build.json."""


class Evidence(NamedTuple):
    """Of one model. What is None or empty was not at hand; `missing` says so in words."""

    results: Results
    """The model on the benchmark as it is."""
    settings: Sequence[Results]
    """The same model, asked otherwise."""
    others: Sequence[tuple[Results, Mapping[str, Any] | None]]
    """Other models on the same questions, with what training.json says of them where it is at hand."""
    general: Sequence[Mapping[str, Any]]
    """Scores on other benchmarks, as evaluate_metric/general.py gathers them."""
    training: Mapping[str, Any] | None
    """What the program that trained it wrote beside the weights."""
    steps: int
    """Of its training."""
    trained_on: Dataset | None
    """None as well where it learned from simulated recordings themselves."""
    dataset_at: Path | None
    """Where the dataset lies, or lay, that is published with it: what it was trained on, unless another is named."""
    recordings: int
    """How many simulated ones it learned from without a dataset in between."""
    sources: Mapping[str, int]
    """The questions that it was trained on, by their source; of such recordings the clips that were drawn."""
    label_types: Mapping[str, int]
    """The same by how they were labelled: lidar, slam, simulated, pseudo."""
    bench: Dataset | None
    questions: Split | None
    """The benchmark's rows."""
    questions_at: Path
    """Where they lie, or lay."""
    validations: Sequence[Validation]
    missing: Sequence[str]


def gather(
    results: Path,
    model: Path | None = None,
    dataset: Path | None = None,
    bench: Path | None = None,
    validations: Path | None = None,
) -> Evidence:
    """Reads what there is about the model whose results lie in a folder.

    Args:
        results: a folder that evaluate_model.py wrote, or one that holds several of them: of the model in several
            settings, and of others to compare it with.
        model: its folder, if it is not where the results say; also decides which model of several is meant.
        dataset: what it was trained on, if it is not where its training.json says; of a model that learned from
            simulated recordings themselves, the one to publish with it.
        bench: what it was asked, if it is not where the results say.
        validations: a folder of those that validate_pseudo_labels.py wrote.

    Raises DataError, one line, for a folder without results or with several models' where none is chosen, and for a
    benchmark that is not the one that was asked.
    """
    found = read_all(results)
    main = _main_of(found, results, model)
    missing: list[str] = []
    training = _training(model or Path(main.model["path"]))
    if training is None:
        missing.append(f"how {main.name} was trained: it has no {TRAINING}")
    recipe = training["recipe"] if training else {}
    place = dataset or (Path(recipe["dataset"]) if "dataset" in recipe else None)
    families, steps = recipe.get("simulation", ()), training["steps"] if training and "steps" in training else 0
    sources, label_types, trained_on = Counter[str](), Counter[str](), None
    if families:
        stages = recipe["learning"]["stages"]
        steps = sum(stage["steps"] for stage in stages)
        drawn = sum(stage["steps"] * stage["batch_size"] for stage in stages if stage["learn"] == "questions")
        sources, label_types = Counter(simulation=drawn), Counter(simulated=drawn)
    elif training and "dataset_fingerprint" not in training:
        raise DataError(
            f"{main.name}: its {TRAINING} is of a program whose models have no cards; name another by --model"
        )
    elif place is not None:
        trained_on = _dataset(place, missing, f"what {main.name} was trained on")
        rows = _rows_of(place, training) if training and trained_on else []
        if rows is None:
            raise DataError(
                f"{place}: holds other rows than {main.name} was trained on; give the right one by --dataset"
            )
        sources, label_types = (Counter(row[name] for row in rows) for name in ("source", "label_type"))
    bench = bench or Path(main.dataset["path"])
    return Evidence(
        results=main,
        settings=[r for r in found if r is not main and _same_model(r, main)],
        others=[
            (r, _training(Path(r.model["path"])))
            for r in found
            if not _same_model(r, main) and _same_questions(r, main) and _is_plain(r)
        ],
        general=[score for path in files_named(GENERAL, results) for score in read_json(path)],
        training=training,
        steps=steps,
        trained_on=trained_on,
        dataset_at=place,
        recordings=sum(family["recordings"] for family in families),
        sources=dict(sorted(sources.items())),
        label_types=label_types,
        bench=_dataset(bench, missing, "how the benchmark was built"),
        questions=load_rows(main, str(bench)) if bench.is_dir() else None,
        questions_at=bench,
        validations=[_validation(path) for path in files_named(VALIDATION, validations)] if validations else [],
        missing=missing,
    )


def label_errors(validations: Iterable[Validation]) -> list[str]:
    """How right pseudo-labels are, a clause for each recipe, sources and what it was given."""
    told = []
    for v in validations:
        for rung, scores in v.rungs.items():
            where = f"{v.recipe} on {', '.join(v.sources)}, {rung}"
            if scores["kept"] is None:
                continue  # nothing moved
            within = scores["within_25_percent"]
            kept = f"{scores['kept']['value']:.0%} of {scores['moving']} moving tracks kept"
            if within is None:
                told.append(f"{where}: {kept}")
                continue
            bounds = f"{within['low']:.0%} to {within['high']:.0%}"
            told.append(
                f"{where}: {kept}, {within['value']:.0%} ({bounds}) of these within 25 % of the truth, "
                f"with a median error of {scores['median_error']:+.0%}"
            )
    return told


def _main_of(found: Sequence[Results], folder: Path, model: Path | None) -> Results:
    """The results that a card is about: of the model meant, on all questions as they are, with nothing added."""
    plain = [r for r in found if _is_plain(r)]
    if model is not None:
        plain = [r for r in plain if r.name == model.name]
    if not plain:
        of = f" of {model.name}" if model else ""
        raise DataError(f"{folder}: no results{of} on a whole benchmark as it is; run {PROGRAM} without --limit")
    names = {r.name for r in plain}
    if len(names) > 1 and plain[0].folder != folder:
        raise DataError(f"{folder}: results of several models ({', '.join(sorted(names))}); name one by --model")
    return plain[0]


def _is_plain(r: Results) -> bool:
    extra = any(r.settings.get(name) for name in ("limit", "shots", "context"))
    return r.dataset["config"] == "default" and not extra


def _same_model(a: Results, b: Results) -> bool:
    return bool(a.model["fingerprint"] == b.model["fingerprint"])


def _same_questions(a: Results, b: Results) -> bool:
    return bool(a.dataset["fingerprint"] == b.dataset["fingerprint"])


def _rows_of(place: Path, training: Mapping[str, Any]) -> Sequence[Row] | None:
    """The rows that a model was trained on; None where a dataset's are others."""
    recipe = training["recipe"]
    split = load_split(str(place), recipe["split"], None, recipe.get("config"), needs_video=False)
    if split.fingerprint != training["dataset_fingerprint"]:
        return None
    return [row for row in split.rows if row["task"] in recipe.get("tasks", (row["task"],))]


def _training(model: Path) -> Mapping[str, Any] | None:
    path = model / TRAINING
    return dict(read_json(path)) if path.is_file() else None


def _dataset(folder: Path, missing: list[str], what: str) -> Dataset | None:
    """A built dataset; None, and a word about it, where there is none."""
    if not (folder / BUILD).is_file():
        missing.append(f"{what}: there is no {BUILD} of {folder.name}")
        return None
    return Dataset(folder.resolve().name, read_json(folder / BUILD))


def _validation(path: Path) -> Validation:
    content = read_json(path)
    return Validation(path.parent.name, content["recipe"]["name"], content["sources"], content["rungs"])

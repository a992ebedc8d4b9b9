"""The card of a model: README.md with what the Hub reads, every number of it out of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData

from stvlm.cards.dataset import DRIVING, VARIANTS_TOLD, licence_fields, terms_of_the_sources, variants_made
from stvlm.cards.evidence import Evidence, label_errors
from stvlm.cards.templates import render
from stvlm.dataset.report import TASKS
from stvlm.evaluation.figures import SHORT
from stvlm.evaluation.published import CAUTION, ST_VLM, published
from stvlm.evaluation.report import COLUMNS, CONSTANT, NAMES, as_number, verdict
from stvlm.evaluation.responses import MODEL
from stvlm.evaluation.results import Results
from stvlm.evaluation.run import CONTROLS
from stvlm.scoring import MULTISTEP
from stvlm.sources.licences import licence_of

AVERAGE = "average"
_UNITS = {key.removesuffix("_mae"): heading.removeprefix("MAE ") for heading, key, _ in COLUMNS if "_mae" in key}
"""Of a task's error; those of tasks that are not in the paper's table are in seconds."""
FIRST_AND_LAST = 20
"""Of how many steps, at either end of a training, a reward's mean is given."""
TAGS = ("video", "kinematics", "spatio-temporal-reasoning", "st-vlm")


class Names(NamedTuple):
    """What a card calls each part: ids of the Hub, or folders where nothing is published."""

    model: str
    dataset: str
    bench: str
    metric: str
    demo: str | None = None
    """The Space; where there is one, all others are on the Hub too."""


class Figure(NamedTuple):
    """A picture beside the card."""

    file: str
    caption: str


def render_model_card(found: Evidence, names: Names, figures: Mapping[str, Figure | None]) -> str:
    """The card's text.

    Args:
        found: what is known of the model.
        names: what it, its data and its metric are called.
        figures: by name, None where there is none: examples, pipeline, radar, ranges, errors, training.
    """
    r, recipe = found.results, found.training["recipe"] if found.training else {}
    controls = [CONSTANT, *r.controls]
    return render(
        "model.md.j2",
        front_matter=_front_matter(found, names).to_yaml(),
        names=names,
        title=r.name,
        training=found.training,
        base=base_of(found),
        base_on_hub=base_on_hub(found),
        rewards=_rewards(found.training or {}),
        first_and_last=FIRST_AND_LAST,
        found=found,
        heads=[NAMES.get(name, name) for name in controls],
        lines=[_score_line(r, task, controls) for task in (*_tasks(r), AVERAGE)],
        rows=r.dataset["rows"],
        clips=len({row["clip_id"] for row in found.questions.rows}) if found.questions else None,
        read=as_number(r.scores[MODEL], "parse_rate", 100),
        paper={"model": ST_VLM, "source": published().source, "caution": CAUTION},
        short={task: SHORT[task] for task in _tasks(r)},
        settings=[_accuracies(told_setting(other, r), other, r) for other in (r, *found.settings)],
        others=[_accuracies(told_other(other, training, found.training), other, r) for other, training in found.others],
        recipe=_flat({key: value for key, value in recipe.items() if key not in ("dataset", "output_dir", "model")}),
        cost=_cost(found.training) if found.training else None,
        limits=limits(found),
        not_run=not_run(found),
        sources=[
            {"name": source, "licence": licence_of(source), "amount": _amount(found, count)}
            for source, count in found.sources.items()
        ],
        blend=(found.training or {}).get("blend") or {},
        figures=figures,
    )


def eval_results(found: Evidence, bench: str) -> list[EvalResultEntry]:
    """The scores as the Hub gathers them on the benchmark's page; `bench` is its id."""
    r = found.results
    return [
        EvalResultEntry(
            dataset_id=bench,
            task_id=task,
            value=round(100 * r.scores[MODEL][f"{task}_accuracy"], 1),
            dataset_revision=r.dataset.get("revision"),
            notes=f"accuracy in %, 95 % interval {_interval(r.scores[MODEL], f'{task}_accuracy', 100)}; "
            f"best constant answer {as_number(r.scores[CONSTANT], f'{task}_accuracy', 100)}",
        )
        for task in (AVERAGE, *_tasks(r))
    ]


def limits(found: Evidence) -> list[str]:
    """What a user has to know before trusting an answer."""
    told = [
        "Metres and km/h come out of one camera, which sees no scale: the model goes by the sizes of things and by how "
        "cameras were held where it was trained. With another lens or height, count on another factor.",
        "It answers questions in the words of its templates, in English, about objects in drawn boxes; asked otherwise "
        "or about what has no box, it still answers.",
        "An answer comes without its uncertainty. Nothing that moves people or things may rely on it.",
    ]
    by_source = found.sources
    if total := sum(by_source.values()):
        driving = sum(rows for source, rows in by_source.items() if source in DRIVING)
        if driving:
            told.append(f"{driving / total:.0%} of what it was trained on is about driving.")
        if simulated := by_source.get("simulation", 0):
            told.append(
                f"{simulated / total:.0%} of what it was trained on is a simulated world, made of "
                "simple shapes; what was learned there need not hold for real video."
            )
    if pseudo := found.label_types.get("pseudo", 0):
        told.append(
            f"{pseudo / sum(found.label_types.values()):.0%} of its labels were estimated from plain video. Measured: "
            f"{'; '.join(label_errors(found.validations)) or 'nothing'}."
        )
    if found.results.scores[MODEL]["parse_rate"] < 1:
        read = as_number(found.results.scores[MODEL], "parse_rate", 100)
        told.append(f"{read} % of its answers to the benchmark could be read; the others count as wrong.")
    return told


def not_run(found: Evidence) -> list[str]:
    """What the paper or this project knows to measure, and no result is at hand of."""
    r = found.results
    told = list(found.missing)
    if without := [NAMES[name] for name in CONTROLS if name not in r.scores]:
        told.append(f"controls: {', '.join(without)}")
    made = variants_made(found.bench.build["report"]) if found.bench else set()
    asked = {other.dataset["config"] for other in found.settings}
    if without := sorted(made - asked):
        told.append(f"the benchmark's variants: {', '.join(without)}")
    elif not made and not asked & set(VARIANTS_TOLD):
        told.append("variants of the questions (the paper's Table 5 has them paraphrased): the benchmark has none")
    for name, what in (
        ("shots", "examples before the question"),
        ("context", "camera poses or depth beside the video"),
    ):
        if not any(other.settings.get(name) for other in found.settings):
            told.append(f"{what} (the paper's Table 4)")
    if not found.others:
        told.append("ablations of the training data (the paper's Table 6), and other models on the same questions")
    if not found.general:
        told.append("general video benchmarks (the paper's Table 7)")
    if found.bench and set(_sources(found.bench.build)) == {"simulation"}:
        told.append("questions about real recordings: all of the benchmark's are simulated")
    return told


def _amount(found: Evidence, count: int) -> str:
    if found.recordings:
        return f"{count:,} clips, drawn from {found.recordings:,} recordings and asked about anew"
    return f"{count:,} questions"


def base_of(found: Evidence) -> str | None:
    """What a model was made from: an id of the Hub, or a folder's name; None where nothing, or nothing is known."""
    base = found.training["recipe"].get("model") if found.training else None
    return base if base is None or base == base_on_hub(found) else Path(base).name


def base_on_hub(found: Evidence) -> str | None:
    """The same where it is on the Hub: of a folder the training's record has the hash of its files."""
    training = found.training or {"recipe": {}}
    base = training["recipe"].get("model")
    is_folder = base and not str(training.get("base_model", f"{base}@")).startswith(f"{base}@")
    return None if is_folder else base


def _rewards(training: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Names, means over the first and over the last steps, of what a model's own answers were worth to it."""
    log = [entry for entry in training.get("log", ()) if "reward" in entry]
    ends = log[:FIRST_AND_LAST], log[-FIRST_AND_LAST:]
    keys = {"all, weighted": "reward"} | {
        name: f"rewards/{name}/mean" for name in training.get("recipe", {}).get("rewards", ())
    }
    means = {name: [sum(entry[key] for entry in end) / len(end) for end in ends] for name, key in keys.items() if log}
    return [(name, f"{first:.3f}", f"{last:.3f}") for name, (first, last) in means.items()]


def _cost(training: Mapping[str, Any]) -> str:
    """How long training took, on what."""
    hours = training["wall_s"] / 3600
    time = f"{hours:.1f} hours" if hours >= 1 else f"{training['wall_s'] / 60:.0f} minutes"
    processes = training.get("processes", 1)
    several = f", {processes} processes" if processes > 1 else ""
    return f"{time} on {training.get('device', 'a device that was not recorded')}{several}"


def told_setting(r: Results, usual: Results) -> str:
    """What is asked otherwise than on the benchmark as it is."""
    config, settings = r.dataset["config"], r.settings
    told = [] if config == "default" else [VARIANTS_TOLD.get(config, f"config {config}")]
    if (place := Path(r.dataset["path"]).name) != Path(usual.dataset["path"]).name:
        told.append(place)
    if settings.get("shots"):
        told.append(f"{settings['shots']} examples before the question")
    if settings.get("context"):
        told.append(f"told {' and '.join(settings['context'])}")
    if settings.get("limit"):
        told.append(f"the first {settings['limit']:,} questions")
    return ", ".join(told) or "as it is"


def told_other(r: Results, training: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> str:
    """Another model's name, and what its recipe has otherwise."""
    if training is None or own is None or _program_of(training) != _program_of(own):
        return r.name  # of programs whose recipes have little in common
    mine, theirs = (dict(_flat(record["recipe"])) for record in (own, training))
    changed = [
        f"{key} {theirs.get(key, 'none')}, not {mine.get(key, 'none')}"
        for key in sorted({*mine, *theirs} - {"output_dir"})
        if mine.get(key) != theirs.get(key)
    ]
    return f"{r.name} ({'; '.join(changed) or 'the same recipe'})"


def _program_of(training: Mapping[str, Any]) -> set[str]:
    """Told by the keys that only some programs' recipes have."""
    return {"dataset", "rewards"}.intersection(training["recipe"])


def _tasks(r: Results) -> list[str]:
    return [task for task in (*TASKS, *MULTISTEP) if f"{task}_accuracy" in r.scores[MODEL]]


def _score_line(r: Results, task: str, controls: Sequence[str]) -> dict[str, Any]:
    """A task's line of the table of scores."""
    own, paper = r.scores[MODEL], published().of(ST_VLM)
    key = f"{task}_accuracy"
    error = "–"
    if (mae := f"{task}_mae") in own:
        error = f"{as_number(own, mae, 1)} {_UNITS.get(task, 's')}"
    elif task == "direction_timestamp":
        error = f"IoU {as_number(own, 'direction_timestamp_iou', 1)}"
    return {
        "task": task.replace("_", " "),
        "accuracy": as_number(own, key, 100),
        "interval": _interval(own, key, 100),
        "error": error,
        "controls": [as_number(r.scores[name], key, 100) for name in controls],
        "verdict": verdict(r.differences[task]) if task in r.differences else "",
        "paper": as_number(paper, key, 100) if key in paper else "–",
    }


def _interval(scores: Mapping[str, float], key: str, factor: int) -> str:
    if f"{key}_low" not in scores:
        return ""
    return "–".join(as_number(scores, f"{key}_{bound}", factor) for bound in ("low", "high"))


def _accuracies(label: str, r: Results, as_in: Results) -> tuple[str, list[str]]:
    """A label, and the accuracies of a model in the tasks that another was asked, then its average with interval."""
    of = r.scores[MODEL]
    average = f"{as_number(of, 'average_accuracy', 100)} [{_interval(of, 'average_accuracy', 100)}]"
    return label, [*(as_number(of, f"{task}_accuracy", 100) for task in _tasks(as_in)), average]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Keys and values that are set, those of inner mappings as `outer.inner`."""
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{key}.")
        elif value is not None and value != []:
            flat.append((f"{prefix}{key}", value))
    return flat


def _sources(build: Mapping[str, Any]) -> list[str]:
    return [key.rsplit(" ", 1)[0] for key in build["report"]["by_source"]]


def _front_matter(found: Evidence, names: Names) -> ModelCardData:
    """What the Hub reads."""
    r = found.results
    base = base_on_hub(found)
    return ModelCardData(
        language="en",
        library_name="transformers",
        pipeline_tag="video-text-to-text",
        tags=list(TAGS),
        base_model=base,
        base_model_relation=_relation(found) if base else None,
        datasets=[names.dataset] if names.demo and found.trained_on else None,
        model_name=r.name,
        eval_results=[
            EvalResult(
                task_type="video-text-to-text",
                dataset_type=names.bench,
                dataset_name=found.bench.build["recipe"]["title"] if found.bench else names.bench,
                dataset_config=r.dataset["config"],
                dataset_split=r.dataset["split"],
                metric_type="accuracy",
                metric_name=f"{task.replace('_', ' ')}, accuracy in %",
                metric_value=round(100 * r.scores[MODEL][f"{task}_accuracy"], 1),
            )
            for task in (AVERAGE, *_tasks(r))
        ],
        **licence(found, names, base_of(found)),
    )


def _relation(found: Evidence) -> str:
    """What a model is to its base."""
    lora = (found.training or {})["recipe"].get("lora")
    return "adapter" if lora and "merged" not in lora.get("export", ()) else "finetune"


def licence(found: Evidence, names: Names, base: str | None) -> Mapping[str, Any]:
    """That of the training data, where one holds for all and nothing else went in; else where the terms stand."""
    page = f"https://huggingface.co/{names.model}" if names.demo else None
    sources = list(found.sources)
    if sources and base is None and not (found.training or {}).get("blend"):
        return licence_fields(sources, page)
    return terms_of_the_sources(page)

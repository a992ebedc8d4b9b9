"""All of a release on the Hub: dataset, benchmark, metric, model in its forms, demo, and a collection of them.

Everything is made ready in a folder first, and looked through, before anything is sent. Each part's repository then
holds what its folder holds: what is there already is not sent again, so that a release that broke off goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from stvlm import __version__
from stvlm.cards.dataset import CARD
from stvlm.cards.evidence import TRAINING, Evidence, gather, label_errors
from stvlm.cards.metric import render_metric_card
from stvlm.cards.model import Names
from stvlm.cards.model_folder import write_model_card
from stvlm.cards.release_cards import METRIC, names_of
from stvlm.cards.variant import Kind, render_variant_card
from stvlm.dataset.folder import BUILD
from stvlm.evaluation.answering import fingerprint
from stvlm.files import read_json, write_json, write_text
from stvlm.hub import Kind as Item
from stvlm.hub import changes, check_org, check_target, collect, set_variable, upload
from stvlm.publishing.dataset import EVALUATION, stage
from stvlm.publishing.quantised import is_possible, quantise
from stvlm.records import DataError

PAPER = "2503.19355"
TITLE, DESCRIPTION = "STKit and ST-VLM", "How real objects move: questions with measured answers, models, metric, demo."
MADE_BY = "stvlm.json"
"""Marks the demo as ours; the other repositories have files that nobody else's have."""
ADAPTER = "adapter"
"""Where training/sft.py leaves the adapters of a merged model, in its folder."""
MODEL_VARIABLE = "ST_VLM_MODEL"
MAKE_EXAMPLES, EXAMPLES = "make_examples.py", Path("examples", "plain", "clips.parquet")
"""What makes a demo's examples, and what it writes last."""
_NOT_OURS = ("__pycache__", ".*", "*.pyc")


@dataclass(frozen=True)
class Release:
    """What is published, and where."""

    org: str
    results: Path
    metric: Path
    """evaluate_metric/stkit_bench."""
    measured: Path
    """benchmarks/results."""
    work: Path
    """Where parts are made ready; what takes long is kept there."""
    model: Path | None = None
    dataset: Path | None = None
    bench: Path | None = None
    """Where these lie, if not where the results say."""
    space: Path | None = None
    """The demo's folder."""
    library: Path | None = None
    """src/stvlm, which the demo brings along."""
    validations: Path | None = None
    """Folder of those of pseudo-labels."""
    nf4: bool = True


class Part(NamedTuple):
    """A repository of the release, made ready in a folder."""

    repo_id: str
    repo_type: Literal["dataset", "model", "space"]
    folder: Path
    marker: str
    optional: Sequence[str] = ()
    """Files that the Hub may refuse."""
    notes: Sequence[str] = ()

    @property
    def files(self) -> dict[str, int]:
        """Its files and their bytes."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in paths}

    @property
    def licence(self) -> str:
        """What its card says of it."""
        fields = yaml.safe_load((self.folder / CARD).read_text(encoding="utf-8").split("---\n", 2)[1])
        return str(fields.get("license_name") or fields.get("license") or "none named")


class Prepared(NamedTuple):
    """A release that is ready to be sent."""

    parts: Sequence[Part]
    model: str
    """Its id."""
    left_out: Sequence[str]
    """What the release lacks, and why."""


def prepare(release: Release) -> Prepared:
    """Makes all parts ready in the work folder; sends nothing.

    Raises DataError, one line, for results that are none or of another model, and for a model that is none for video.
    """
    found = gather(release.results, release.model, release.dataset, release.bench, release.validations)
    model = release.model or Path(found.results.model["path"])
    _check_model(model, found)
    names = names_of(found, release.org)
    for kind, place in (("dataset", found.dataset_at), ("bench", found.questions_at)):
        if place is None or not (place / BUILD).is_file():
            raise DataError(f"{release.results}: no built {kind} where they say; name its folder by --{kind}")
    if names.dataset == names.bench:
        raise DataError(
            f"{names.bench}: is what dataset and benchmark would both be called; rename one of their folders"
        )
    if release.space is not None:
        _check_examples(release.space)
    staged = release.work / release.org
    shutil.rmtree(staged, ignore_errors=True)
    parts, left_out = [], []
    for name, place in ((names.dataset, found.dataset_at), (names.bench, found.questions_at)):
        assert place is not None  # as was seen
        parts.append(_dataset(place, name, staged, names.metric, label_errors(found.validations)))
    parts.append(_metric(release, names.metric, staged))
    parts.append(_model(model, found, names, staged))
    if (model / ADAPTER).is_dir():
        parts.append(_variant(model / ADAPTER, found, names, "lora", staged))
    else:
        left_out.append("adapters: the model has none")
    if not release.nf4:
        left_out.append("nf4: left out as asked")
    elif not is_possible():
        left_out.append("nf4: bitsandbytes is not installed; pip install bitsandbytes")
    elif not (model / "config.json").is_file():
        left_out.append("nf4: the model is an adapter, and its base is another's")
    else:
        quantised = release.work / f"{model.resolve().name}-nf4"
        quantise(model, quantised)
        parts.append(_variant(quantised, found, names, "nf4", staged))
    if release.space is not None and (release.space / "app.py").is_file():
        parts.append(_demo(release.space, release.library, names, staged))
    else:
        left_out.append("demo: there is no folder space with an app.py")
    return Prepared(parts, names.model, left_out)


def publish(prepared: Prepared, org: str, private: bool = False) -> Iterator[str]:
    """Sends what is not on the Hub yet, and tells what it does. Raises DataError, one line with a cure.

    Every repository is looked at before the first is touched.
    """
    check_org(org)
    for part in prepared.parts:
        check_target(part.repo_id, part.repo_type, marker=part.marker, private=private)
    for part in prepared.parts:
        wanted = changes(part.folder, part.repo_id, part.repo_type)
        if not wanted.send and not wanted.remove:
            yield f"{part.repo_id} ({part.repo_type}): all {len(part.files):,} files are there"
        else:
            refused = upload(part.folder, part.repo_id, part.repo_type, marker=part.marker, private=private,
                             optional=part.optional)  # fmt: skip
            sent = f"{len(wanted.send):,} of {len(part.files):,} files sent, {_size(sum(wanted.send.values()))}"
            removed = f", {len(wanted.remove)} removed" if wanted.remove else ""
            yield f"{part.repo_id} ({part.repo_type}): {sent}{removed}"
            for name, why in refused.items():
                yield f"{part.repo_id} ({part.repo_type}): the Hub did not take {name} ({why}), which is no loss"
        if part.marker == MADE_BY and set_variable(part.repo_id, MODEL_VARIABLE, prepared.model):
            yield f"{part.repo_id} (space): asks {prepared.model}"
    items: list[tuple[str, Item]] = [*((part.repo_id, part.repo_type) for part in prepared.parts), (PAPER, "paper")]
    added = collect(org, TITLE, DESCRIPTION, items, private)
    yield f"{org}, collection {TITLE!r}: {f'{added} of {len(items)} added' if added else f'all {len(items)} are there'}"


def as_table(prepared: Prepared, private: bool) -> str:
    """What a release would send, for a screen."""
    lines = [["repository", "kind", "files", "size", "licence", "seen by"]]
    for part in prepared.parts:
        size = _size(sum(part.files.values()))
        seen = "its owner" if private else "all"
        lines.append([part.repo_id, part.repo_type, f"{len(part.files):,}", size, part.licence, seen])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"{part.repo_id}: {note}" for part in prepared.parts for note in part.notes]
    return "\n".join([*told, f"and a collection, {TITLE!r}, of these and the paper", *notes, *left_out_lines(prepared)])


def left_out_lines(prepared: Prepared) -> list[str]:
    """What the release lacks, for a screen."""
    return [f"left out: {told}" for told in prepared.left_out]


def _check_model(model: Path, found: Evidence) -> None:
    """Raises where a folder holds no model for video that training/sft.py made, or another than was scored."""
    if not model.is_dir():
        raise DataError(f"{model}: no such model folder; name it by --model")
    if found.training is None:
        raise DataError(f"{model}: has no {TRAINING}, which says what it was trained on; train it by training/sft.py")
    if (model / "config.json").is_file():
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

        kind = read_json(model / "config.json").get("model_type")
        processor = model / "processor_config.json"
        sees_video = processor.is_file() and "video_processor" in read_json(processor)
        if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES or not sees_video:
            raise DataError(
                f"{model}: a model of type {kind!r} without a video processor is no video VLM; name another"
            )
    elif not (model / "adapter_config.json").is_file():
        raise DataError(f"{model}: holds neither config.json nor adapter_config.json; give a folder of training/sft.py")
    if fingerprint(str(model)) != found.results.model["fingerprint"]:
        raise DataError(
            f"{found.results.folder}: are results of another model than {model} now holds; evaluate it again into "
            "another folder"
        )


def _check_examples(space: Path) -> None:
    """Raises where the demo would have nothing to show: its examples are large, and made where they are needed."""
    program = space / MAKE_EXAMPLES
    if program.is_file() and not (space / EXAMPLES).is_file():
        raise DataError(f"{space / EXAMPLES.parts[0]}: the demo's examples are not there; type: python {program}")


def _dataset(place: Path, repo_id: str, staged: Path, metric: str, errors: Sequence[str]) -> Part:
    folder = staged / "datasets" / repo_id.split("/")[1]
    left_out = stage(place, folder, repo_id, metric, errors)
    notes = [f"without the video of {', '.join(left_out)}, as the licence may not allow to pass it on"]
    return Part(repo_id, "dataset", folder, BUILD, [EVALUATION], notes if left_out else [])


def _metric(release: Release, repo_id: str, staged: Path) -> Part:
    folder = staged / "spaces" / METRIC
    _link_all(release.metric, folder, but=(CARD,))
    write_text(folder / CARD, render_metric_card(release.measured, repo_id))
    return Part(repo_id, "space", folder, f"{METRIC}.py")


def _model(model: Path, found: Evidence, names: Names, staged: Path) -> Part:
    folder = staged / "models" / found.results.name
    _link_all(model, folder, but=(CARD, TRAINING, ADAPTER))
    write_json(folder / TRAINING, _published(found.training, names))
    write_model_card(found, names, folder)
    return Part(names.model, "model", folder, TRAINING)


def _variant(weights: Path, found: Evidence, names: Names, kind: Kind, staged: Path) -> Part:
    repo_id = f"{names.model}-{kind}"
    folder = staged / "models" / repo_id.split("/")[1]
    _link_all(weights, folder, but=(CARD,))
    write_json(folder / TRAINING, _published(found.training, names))
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    write_text(folder / CARD, render_variant_card(found, names, kind, repo_id, size))
    return Part(repo_id, "model", folder, TRAINING)


def _demo(space: Path, library: Path | None, names: Names, staged: Path) -> Part:
    """The demo's folder, with the library beside its app: it is in no registry that a Space could install it from."""
    assert names.demo is not None  # names of an org have one
    folder = staged / "spaces" / names.demo.split("/")[1]
    _link_all(space, folder, but=(CARD,))
    if library is not None and not (folder / library.name).exists():
        _link_all(library, folder / library.name)
    write_json(folder / MADE_BY, {"stvlm": __version__})
    try:
        _, fields, text = (space / CARD).read_text(encoding="utf-8").split("---\n", 2)
        shown = {**yaml.safe_load(fields), "models": [names.model], "datasets": [names.bench]}
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{space / CARD}: does not begin with what the Hub reads to start it; add its YAML") from error
    write_text(folder / CARD, f"---\n{yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)}---\n{text}")
    return Part(names.demo, "space", folder, MADE_BY)


def _published(training: Mapping[str, Any] | None, names: Names) -> Mapping[str, Any]:
    """The record of a training with names in place of this machine's folders."""
    assert training is not None  # a model without it is refused
    recipe = {**training["recipe"], "output_dir": names.model.split("/")[1]}
    if "dataset" in recipe:
        recipe["dataset"] = names.dataset
    return dict(_without_folders({**training, "recipe": recipe}))


def _without_folders(value: Any) -> Any:
    """Plain values with the last part of every path of this machine in place of the path, in keys too."""
    if isinstance(value, Mapping):
        return {_without_folders(key): _without_folders(of_key) for key, of_key in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    is_path = isinstance(value, str) and value.startswith(("/", "~/", "./", "../"))
    return Path(value).name if is_path else value


def _link_all(folder: Path, into: Path, but: Sequence[str] = ()) -> None:
    """Links to all files of a folder but hidden ones, bytecode, and those in `but`."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if not path.is_file() or place.parts[0] in but or any(_is_left_out(part) for part in place.parts):
            continue
        (into / place).parent.mkdir(parents=True, exist_ok=True)
        (into / place).symlink_to(path.resolve())


def _is_left_out(part: str) -> bool:
    return any(Path(part).match(pattern) for pattern in _NOT_OURS)


def _size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"

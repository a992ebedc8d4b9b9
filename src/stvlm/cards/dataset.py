"""The card of a built dataset: README.md with what the Hub reads, and the pictures it shows.

Every number comes from the folder itself: build.json, and how many rows its tables hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import yaml

from stvlm.cards.label_figure import label_figure
from stvlm.cards.templates import render
from stvlm.dataset.contact_sheet import contact_sheet
from stvlm.dataset.folder import BUILD, tables_of
from stvlm.dataset.report import GUESSERS, TASKS
from stvlm.files import read_json, whole_file, write_text
from stvlm.kinematics import STEP_S
from stvlm.records import DataError
from stvlm.simulation.streets import LAYOUTS
from stvlm.sources.licences import licence_of

CARD, FIGURE, EXAMPLES = "README.md", "labels.svg", "examples.jpg"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LIMITS = (
    "An answer is as exact as the annotations it is computed from; `target_sigma` says how exact, where it is known.",
    "What noise could decide is not asked, so that clear motion is more frequent here than in the world.",
    "Questions and answers follow templates, in English.",
)
VARIANTS_TOLD = {
    "paraphrased": "in other words",
    "mirrored": "with left and right exchanged",
    "reversed": "played backwards",
    "retimed": "with a frame every 1, 1.5 or 2 seconds",
    "intrinsics": "with the camera's focal length and height told",
    "multistep": "going an exact step further (another unit, a duration, a ratio), the values on the way in `steps`",
}
"""What each variant changes; see dataset/variants.py."""
DRIVING = {"argoverse2", "bdd100k", "kitti", "nuplan", "nuscenes"}
"""Sources of drives, in which nobody does sports; of any other but simulated streets, some recordings may."""


class Publication(NamedTuple):
    """Where a folder is published, and what of it is not."""

    repo_id: str
    left_out: Sequence[str] = ()
    """Sources whose video is not passed on."""
    metric: str | None = None
    """The Space of the metric, where it is published too."""
    label_errors: Sequence[str] = ()
    """How far off pseudo-labels were found to be, in words."""


class Table(NamedTuple):
    """What the card has to know of a metadata.parquet."""

    rows: int
    sources: frozenset[str]


def write_dataset_card(folder: Path, publication: Publication | None = None, out: Path | None = None) -> list[str]:
    """Writes README.md, labels.svg and examples.jpg about a folder that `build` made, or about its published form.

    They go into `out`, else into the folder itself. The README has to be there already: its `configs` are what the new
    one says as well. Gives the files' names.
    """
    out = out or folder
    manifest = read_json(folder / BUILD)
    report = manifest["report"]
    write_text(out / FIGURE, label_figure(report["labels"], _asked(report)))
    with whole_file(out / EXAMPLES) as temporary:
        contact_sheet(folder, clips=2, frames=3).save(temporary, quality=88)
    text = render_dataset_card(manifest, read_configs(folder), _tables(folder), publication)
    write_text(out / CARD, text)
    return [CARD, EXAMPLES, FIGURE]


def kept_back(folder: Path) -> list[str]:
    """Sources of a built folder whose video is there and may not be passed on."""
    tables = [path for path in folder.rglob("metadata.parquet") if "file_name" in pq.read_schema(path).names]
    sources = frozenset[str]().union(*(sources_of(path) for path in tables))
    return sorted(source for source in sources if not licence_of(source).redistribute_video)


def sources_of(table: Path) -> frozenset[str]:
    """The sources of a metadata.parquet's rows."""
    return frozenset(pq.read_table(table, columns=["source"]).column(0).unique().to_pylist())


def read_configs(folder: Path) -> list[dict[str, Any]]:
    """The `configs` of a folder's README; raises DataError where it says none."""
    path = folder / CARD
    try:
        parts = path.read_text(encoding="utf-8").split("---\n", 2)
        return list(yaml.safe_load(parts[1])["configs"])
    except (OSError, IndexError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: names no configs; build the dataset again") from error


def is_benchmark(manifest: Mapping[str, Any]) -> bool:
    """Whether a build makes nothing but a test split."""
    return set(manifest["recipe"]["splits"].values()) == {"test"}


def _tables(folder: Path) -> dict[str, Table]:
    """The tables of rows, by their path from the folder."""
    tables = {}
    for path in sorted(folder.rglob("metadata.parquet")):
        sources = pq.read_table(path, columns=["source"]).column(0)
        tables[path.relative_to(folder).as_posix()] = Table(len(sources), frozenset(sources.unique().to_pylist()))
    return tables


def render_dataset_card(
    manifest: Mapping[str, Any],
    configs: Sequence[Mapping[str, Any]],
    tables: Mapping[str, Table],
    publication: Publication | None,
) -> str:
    """The card's text.

    Args:
        manifest: what build.json holds.
        configs: what the README says that `load_dataset` may be asked for.
        tables: the tables of rows, by their path from the folder.
        publication: where it is published; None for a folder of one's own.
    """
    report, recipe = manifest["report"], manifest["recipe"]
    sources = sorted(frozenset[str]().union(*(table.sources for table in tables.values())))
    left_out = list(publication.left_out if publication else ())
    not_given = manifest.get("materialized", {}).get("without_video", ())
    without = set(sources) if manifest["annotations_only"] else {*left_out, *not_given}
    floors = {task: report["floors"][task] for task in TASKS if task in report["floors"]}
    skipped = {f"skipped: {reason}": _count(subjects) for reason, subjects in report["skipped"].items()}
    not_asked = {**report["rejected"], **skipped}
    made = variants_made(report)
    return render(
        "dataset.md.j2",
        front_matter=yaml.safe_dump(_front_matter(manifest, configs, sources, publication), sort_keys=False),
        title=recipe["title"],
        version=manifest["stvlm"],
        report=report,
        benchmark=is_benchmark(manifest),
        where=publication.repo_id if publication else "path/to/this/folder",
        metric=publication.metric if publication else None,
        configs=[
            _config_line(config, tables, without) for config in sorted(configs, key=lambda c: not c.get("default"))
        ],
        variants=[f"`{name}` {told}" for name, told in VARIANTS_TOLD.items() if name in made],
        has_video=without < set(sources),
        by_licence=bool(left_out),
        without=[licence_of(source).name for source in sorted(without)] if publication else [],
        win_ratio=f"{recipe['questions']['win_ratio']:g}",
        max_seconds=f"{(recipe['clips']['max_frames'] - 1) * STEP_S:g}",
        sports=_may_be_sports(sources, recipe["sources"]),
        tasks=TASKS,
        by_source=dict(sorted(report["by_source"].items())),
        asked=_asked(report),
        shortfalls=report["shortfalls"],
        floors=floors,
        guessers={name: text for name, text in GUESSERS.items() if any(name in shares for shares in floors.values())},
        sources=[
            {"name": source, "licence": licence_of(source), "video": "no" if source in without else "yes"}
            for source in sources
        ],
        citations=[licence_of(source).citation for source in sources if licence_of(source).citation],
        limits=limits(report, sources, configs, publication.label_errors if publication else ()),
        not_asked=sorted(not_asked.items(), key=lambda item: (-item[1], item[0])),
    )


def limits(
    report: Mapping[str, Any],
    sources: Collection[str],
    configs: Sequence[Mapping[str, Any]],
    label_errors: Sequence[str] = (),
) -> list[str]:
    """What a user has to know before trusting the dataset."""
    found = list(_LIMITS)
    if driving := share_of(report, DRIVING):
        found.append(f"{driving:.0%} of the questions are about driving.")
    if any(config["config_name"] == "pseudo" for config in configs):
        found.append("Rows of the config `pseudo` have labels estimated from plain video, not measured.")
        found += [f"Such labels, {told}." for told in label_errors]
    if "simulation" in sources:
        found.append("The simulated world is made of simple shapes; what is learnt there need not hold for real video.")
    if set(sources) - {"simulation"}:
        found.append("Places, weather and kinds of road users are those of the sources, and people appear in them.")
    return found


def variants_made(report: Mapping[str, Any]) -> set[str]:
    """The variants of which a build has rows."""
    return {name for name, counts in report["variants"].items() if counts["rows"]}


def share_of(report: Mapping[str, Any], sources: Collection[str]) -> float:
    """Of a build's rows, the share that is about some sources."""
    rows = {key: sum(of_task.values()) for key, of_task in report["by_source"].items()}
    chosen = sum(n for key, n in rows.items() if key.rsplit(" ", 1)[0] in sources)
    return float(chosen / max(sum(rows.values()), 1))


def _config_line(config: Mapping[str, Any], tables: Mapping[str, Table], without: set[str]) -> dict[str, str]:
    """A config's rows by split, and of which of its sources there is video."""
    counts, sources = [], set[str]()
    for item in config["data_files"]:
        chosen = [tables[path] for path in tables_of(item, tables)]
        counts.append(f"{item['split']} {sum(table.rows for table in chosen):,}")
        sources |= frozenset[str]().union(*(table.sources for table in chosen))
    missing = sorted(sources & without)
    video = "yes" if not missing else "no" if set(missing) == sources else f"all but {', '.join(missing)}"
    return {"name": config["config_name"], "rows": ", ".join(counts), "video": video}


def _front_matter(
    manifest: Mapping[str, Any],
    configs: Sequence[Mapping[str, Any]],
    sources: Sequence[str],
    publication: Publication | None,
) -> dict[str, Any]:
    """What the Hub reads."""
    rows = manifest["report"]["rows"]
    tags = ["video", "kinematics", "spatio-temporal-reasoning", *(["benchmark"] if is_benchmark(manifest) else [])]
    return {
        "pretty_name": manifest["recipe"]["title"],
        **licence_fields(sources, publication and f"https://huggingface.co/datasets/{publication.repo_id}"),
        "task_categories": ["video-text-to-text", "visual-question-answering"],
        "language": ["en"],
        "annotations_creators": ["machine-generated"],
        "tags": tags,
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")],
        "configs": list(configs),
    }


def licence_fields(sources: Sequence[str], page: str | None) -> dict[str, str]:
    """The Hub's identifier where one licence holds for all; else where the terms stand.

    Args:
        sources: at least one.
        page: where a card that lists the sources is read, if it is published.
    """
    of_sources = [licence_of(source) for source in sources]
    if len({licence.hub for licence in of_sources}) == 1 and of_sources[0].hub:
        return {"license": of_sources[0].hub}
    of_one = {"license_link": of_sources[0].url} if len(of_sources) == 1 else {}
    return {**terms_of_the_sources(page), **of_one}


def terms_of_the_sources(page: str | None) -> dict[str, str]:
    """The Hub's fields where no one licence holds; `page` as for `licence_fields`."""
    fields = {"license": "other", "license_name": "terms-of-the-sources"}
    return {**fields, "license_link": f"{page}#sources-and-licences"} if page else fields


def _may_be_sports(sources: Collection[str], options: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether recordings may show sports: those of any source but drives, and a simulated world that has fields."""
    layouts = options.get("simulation", {}).get("layouts", LAYOUTS)
    streets = {"simulation"} if all(LAYOUTS[name].domain == "driving" for name in layouts) else set()
    return bool(set(sources) - DRIVING - streets)


def _asked(report: Mapping[str, Any]) -> Any:
    """The labels before selection, where that has changed them."""
    return report["asked_labels"] if report["asked_labels"] != report["labels"] else None


def _count(subjects: int | Sequence[str]) -> int:
    """How many were skipped: a published build.json holds the number, a local one the names."""
    return subjects if isinstance(subjects, int) else len(subjects)

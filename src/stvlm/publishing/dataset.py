"""A built dataset on the Hub: its rows, its card, and the video of those sources whose licence lets it be passed on."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from stvlm.cards.dataset import (
    CARD,
    Publication,
    is_benchmark,
    kept_back,
    limits,
    read_configs,
    sources_of,
    write_dataset_card,
)
from stvlm.dataset.folder import BUILD, with_video_first
from stvlm.dataset.report import TASKS
from stvlm.files import read_json, whole_file, write_json, write_text
from stvlm.hub import check_target, upload
from stvlm.publishing.croissant import croissant
from stvlm.records import DataError
from stvlm.sources.licences import licence_of

EVALUATION = "eval.yaml"
"""Marks a dataset as a benchmark, so that the Hub gathers models' scores on it."""
CROISSANT = "croissant.json"
FILES_PER_FOLDER = 10_000
"""More the Hub does not take."""


def check_publication(repo_id: str, private: bool = False) -> None:
    """Raises DataError where `publish_dataset` could not even begin."""
    check_target(repo_id, "dataset", marker=BUILD, private=private)


def publish_dataset(folder: Path, repo_id: str, private: bool = False) -> list[str]:
    """Makes the Hub's dataset `repo_id` the published form of a folder that `build` made, and says what came of it.

    Raises DataError.
    """
    with tempfile.TemporaryDirectory(prefix="stvlm-") as temporary:
        left_out = stage(folder, Path(temporary), repo_id)
        refused = upload(Path(temporary), repo_id, "dataset", marker=BUILD, private=private, optional=[EVALUATION])
    said = [f"load_dataset({repo_id!r}) reads it"]
    if left_out:
        said.append(f"without the video of {', '.join(left_out)}, as the licence may not allow to pass it on")
    return said + [
        f"the Hub did not take {name} ({why}), which is no loss to load_dataset" for name, why in refused.items()
    ]


def stage(
    folder: Path, into: Path, repo_id: str, metric: str | None = None, label_errors: Sequence[str] = ()
) -> list[str]:
    """Writes the published form of a built folder and gives the sources whose video it leaves out.

    Its card names the Space of the metric, and how far off pseudo-labels were found to be, where these are given.

    Only tables, and videos that a row of a source with a free licence names, come into it: the videos as links. Where
    some sources' video is left out, `file_name` is null in their rows, so that all rows keep one schema; where all is,
    the column goes.
    """
    manifest = read_json(folder / BUILD)
    tables = {path.relative_to(folder): path for path in sorted(folder.rglob("metadata.parquet"))}
    with_video = {path for path, table in tables.items() if "file_name" in pq.read_schema(table).names}
    sources = {path: sources_of(table) for path, table in tables.items()}
    every = frozenset[str]().union(*sources.values())
    forbidden = {source for source in every if not licence_of(source).redistribute_video}
    left_out = kept_back(folder)
    shown = {path for path in with_video if sources[path] - forbidden}
    for path, table in tables.items():
        if path in with_video and sources[path] & forbidden:
            _without_video(table, into / path, forbidden, keep_column=bool(shown))
        else:
            _link(table, into / path)
        if path in shown:
            _link_videos(into / path, table.parent)
    for path in sorted(folder.rglob("*.parquet")):
        if path.name != "metadata.parquet":
            _link(path, into / path.relative_to(folder))
    write_json(into / BUILD, _counted(manifest))
    configs = with_video_first(read_configs(folder), [path.as_posix() for path in shown])
    _write_yaml(into / CARD, {"configs": configs}, "---\n")
    write_dataset_card(into, Publication(repo_id, left_out, metric, label_errors))
    if is_benchmark(manifest):
        _write_yaml(into / EVALUATION, _evaluation(manifest, configs))
    schema = pq.read_schema(into / next(iter(tables)))
    told = limits(manifest["report"], every, configs, label_errors)
    write_json(into / CROISSANT, croissant(manifest, repo_id, schema, every, told))
    return left_out


def _counted(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What build.json says, with how many were left out instead of their names, which may hold local paths."""
    report = manifest["report"]
    skipped = {reason: len(subjects) for reason, subjects in report["skipped"].items()}
    counted = {**manifest, "report": {**report, "skipped": skipped}}
    if materialized := manifest.get("materialized"):
        counted["materialized"] = {**materialized, "clips_left_out": len(materialized["clips_left_out"])}
    return counted


def _without_video(table: Path, place: Path, forbidden: Collection[str], keep_column: bool) -> None:
    """The table with `file_name` null for some sources, or without it."""
    file = pq.ParquetFile(table)
    column = file.schema_arrow.get_field_index("file_name")
    schema = file.schema_arrow if keep_column else file.schema_arrow.remove(column)
    with whole_file(place) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for i in range(file.num_row_groups):
            rows = file.read_row_group(i)
            named = rows.column("file_name")
            hidden = pc.is_in(rows.column("source"), pa.array(sorted(forbidden)))
            kept = pc.if_else(hidden, pa.scalar(None, pa.string()), named)
            rows = rows.set_column(column, "file_name", kept) if keep_column else rows.drop_columns(["file_name"])
            writer.write_table(rows.cast(schema))


def _link_videos(table: Path, folder: Path) -> None:
    """Links to the videos that the rows name."""
    names = pq.read_table(table, columns=["file_name"]).column(0).unique().drop_null().to_pylist()
    if len(names) > FILES_PER_FOLDER:
        raise DataError(
            f"{folder}: has {len(names):,} videos, and the Hub takes {FILES_PER_FOLDER:,} files a folder; "
            "build it with fewer rows_per_task, or with --annotations-only"
        )
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: the video is missing; build the dataset again")
        _link(folder / name, table.parent / name)


def _link(there: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(there.resolve())


def _evaluation(manifest: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The Hub's description of a benchmark: one score a task, and their average."""
    default = next(config["config_name"] for config in configs if config.get("default"))
    return {
        "name": manifest["recipe"]["title"],
        "description": "Questions with measured answers about how real objects move, scored from free text.",
        "evaluation_framework": "stvlm",
        "tasks": [{"id": task, "config": default, "split": "test"} for task in ("average", *TASKS)],
    }


def _write_yaml(path: Path, value: Any, fence: str = "") -> None:
    write_text(path, f"{fence}{yaml.safe_dump(value, sort_keys=False)}{fence}")

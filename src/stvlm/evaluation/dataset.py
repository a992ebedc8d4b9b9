"""Rows of a built dataset, as a model is trained on them or asked about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import datasets

from stvlm.programs import first_line
from stvlm.records import DataError
from stvlm.scoring import read_reference

Row = Mapping[str, Any]
NEEDED = ("id", "base_id", "clip_id", "task", "question", "prompt", "answer", "target", "choices", "start_s", "end_s",
          "objects", "frame_times_s", "source", "scene_id")  # fmt: skip
"""The columns that a model is trained on or asked by."""


class Split(NamedTuple):
    """The rows of one split, each with `video_path` and `video_bytes` beside the contract's columns; None and 0 where
    there is no video and none is needed.
    """

    rows: list[dict[str, Any]]
    fingerprint: str
    """Hash of what was asked and answered, and of the boxes and sizes of the videos that it was asked about."""
    revision: str | None
    """The commit of a dataset on the Hub; None of a folder."""


def load_split(
    dataset: str, split: str, limit: int | None = None, config: str | None = None, *, needs_video: bool = True
) -> Split:
    """The first `limit` rows of a split of a folder or a Hub dataset, of its default config or another.

    Raises DataError, one line, for a missing dataset, config, split or video, and for rows that are no questions.
    """
    part, revision = _open_split(dataset, split, config)
    names = part.column_names or ()
    if missing := [name for name in NEEDED if name not in names]:
        raise DataError(
            f"{dataset}: its rows have no {', '.join(missing)}; give a dataset that dataset_builder/build.py made"
        )
    if "video" in names:
        part = part.cast_column("video", datasets.Video(decode=False))
    elif needs_video:
        raise DataError(
            f"{dataset}: its rows have no video; where it was published without, add it with build.py --materialize, "
            "and where it was built with --annotations-only, build it without that"
        )
    rows = [_with_path(row, dataset, needs_video) for row in islice(part, limit)]
    if not rows:
        raise DataError(f"{dataset}: split {split!r} has no rows")
    _check(rows, dataset)
    return Split(rows, _fingerprint(rows), revision)


def load_columns(dataset: str, split: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns of all rows of a split; needs no video. Raises DataError."""
    return list(_open_split(dataset, split, None)[0].select_columns(list(names)))


def _open_split(dataset: str, split: str, config: str | None) -> tuple[Any, str | None]:
    """The rows of a split, and the dataset's commit on the Hub."""
    if not (is_folder := Path(dataset).is_dir()) and not may_be_on_the_hub(dataset):
        raise DataError(f"{dataset}: no such dataset folder; build one with dataset_builder/build.py")
    try:
        if config is not None and config not in (known := datasets.get_dataset_config_names(dataset)):
            raise DataError(f"{dataset}: has no config {config!r}; it has {', '.join(map(repr, known))}")
        # A folder is streamed: load_dataset else keeps a copy of the table, with the old paths when the folder moves.
        table = datasets.load_dataset(dataset, config, streaming=is_folder)
        revision = None if is_folder else datasets.load_dataset_builder(dataset, config).hash
    except (OSError, ValueError) as error:
        raise DataError(f"{dataset}: cannot be loaded as a dataset ({first_line(error)})") from error
    if split not in table:
        raise DataError(f"{dataset}: has no split {split!r}; it has {', '.join(map(repr, table))}")
    return table[split], revision


def may_be_on_the_hub(name: str) -> bool:
    """Whether a name has the form ORG/NAME of a Hub id."""
    return not name.startswith((".", "/", "~")) and name.count("/") == 1


def _with_path(row: dict[str, Any], dataset: str, needs_video: bool) -> dict[str, Any]:
    path = (row.pop("video", None) or {}).get("path")
    if path and Path(path).is_file():
        return {**row, "video_path": path, "video_bytes": Path(path).stat().st_size}
    if needs_video:
        raise DataError(
            f"{dataset}: the video of row {row['id']} is missing ({path}); build or fetch the dataset again"
        )
    return {**row, "video_path": None, "video_bytes": 0}


def _check(rows: Sequence[Row], dataset: str) -> None:
    """Raises DataError for a row that cannot be scored, and for two of one id: their answers cannot be told apart."""
    seen: set[str] = set()
    for row in rows:
        try:
            read_reference(row, f"{dataset}: row {row['id']}")
        except ValueError as error:
            raise DataError(f"{error}; build or fetch the dataset again") from error
        if row["id"] in seen:
            raise DataError(f"{dataset}: has two rows {row['id']}; build or fetch the dataset again")
        seen.add(row["id"])


def _fingerprint(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(
            json.dumps([row[name] for name in ("id", "prompt", "answer", "target", "objects", "video_bytes")]).encode()
        )
    return digest.hexdigest()


def frame_count(row: Row) -> int:
    """Frames of the row's clip, the mp4's as well."""
    return len(row["frame_times_s"])

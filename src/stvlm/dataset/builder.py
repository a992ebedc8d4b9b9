"""The `datasets` builder: raw recordings in, rows and clips out.

A `GeneratorBasedBuilder` is the successor of a loading script, which `datasets` no longer runs: a program
(dataset_builder/build.py) calls it, and its result is written as a folder that needs no code to be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from stvlm.dataset.prepare import BuildRequest, Prepared, prepare
from stvlm.dataset.recipe import SPLITS
from stvlm.dataset.rows import SCHEMA


@dataclass
class STKitConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """One dataset to be built."""

    request: BuildRequest | None = None
    work_dir: str = ""
    """Where shards and clips are kept, so that a build can be resumed."""


class STKit(datasets.GeneratorBasedBuilder):  # type: ignore[misc]
    """Rows of the contract, with the clip as a `video` column unless only annotations are built."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = STKitConfig
    config: STKitConfig
    prepared: Prepared
    """Set once the builder has run: the rows, and what was left out."""

    def __init__(self, request: BuildRequest, work_dir: Path) -> None:
        super().__init__(
            cache_dir=str(work_dir / "arrow"),
            dataset_name="stkit",
            config_name=request.recipe.name,
            hash="0" * 64,  # the cache lies in work_dir, which belongs to one request
            request=request,
            work_dir=str(work_dir),
        )
        self.request, self.work_dir = request, work_dir

    def _info(self) -> datasets.DatasetInfo:
        assert self.config.request is not None
        features = datasets.Features.from_arrow_schema(SCHEMA.remove(SCHEMA.get_field_index("file_name")))
        if not self.config.request.annotations_only:
            features["video"] = datasets.Video()
        return datasets.DatasetInfo(description="Questions about how real objects move.", features=features)

    def _split_generators(self, dl_manager: object) -> list[datasets.SplitGenerator]:
        self.prepared = prepare(self.request, self.work_dir)
        present = set(self.prepared.rows.column("split").to_pylist())
        return [datasets.SplitGenerator(name=name, gen_kwargs={"split": name}) for name in SPLITS if name in present]

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        rows: pa.Table = self.prepared.rows
        rows = rows.filter(pc.equal(rows.column("split"), split)).drop_columns(["trajectory"])
        for batch in rows.to_batches(max_chunksize=1000):
            for row in batch.to_pylist():
                file_name = row.pop("file_name")
                if not self.request.annotations_only:
                    row["video"] = str(self.work_dir / file_name)
                yield row["id"], row

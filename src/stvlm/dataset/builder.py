"""The `datasets` builder: recordings that were asked, chosen and rendered -> a `datasets` dataset.

It is the successor of a loading script, which `datasets` no longer runs: a program (dataset_builder/build.py) calls
it, and its result is written as a folder that needs no code to be loaded. Arrow-based, so that rows are passed on in
tables and never as Python objects, and memory does not grow with their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow as pa
from datasets.builder import Key

from stvlm.dataset.prepare import Prepared
from stvlm.dataset.recipe import SPLITS
from stvlm.dataset.rows import SCHEMA


@dataclass
class STKitConfig(datasets.BuilderConfig):  # type: ignore[misc]  # datasets has no types
    """One dataset to be built."""

    videos: str = ""
    """The folder of its clips; empty for annotations only."""


class STKit(datasets.ArrowBasedBuilder):  # type: ignore[misc]  # datasets has no types
    """Rows of the contract, with the clip as a `video` column unless only annotations are built."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = STKitConfig
    config: STKitConfig
    rejected: Counter[str]
    """Why rows have no variant, once it was built."""

    def __init__(self, prepared: Prepared, cache_dir: Path, videos: Path | None, variant: str = "") -> None:
        super().__init__(
            cache_dir=str(cache_dir),
            dataset_name="stkit",
            config_name=variant or "default",
            hash="0" * 64,  # cache_dir belongs to one request
            videos=str(videos or ""),
        )
        self.prepared, self.videos, self.variant, self.rejected = prepared, videos, variant, Counter()

    def _info(self) -> datasets.DatasetInfo:
        features = datasets.Features.from_arrow_schema(SCHEMA.remove(SCHEMA.get_field_index("file_name")))
        if self.config.videos:
            features["video"] = datasets.Video()
        return datasets.DatasetInfo(description="Questions about how real objects move.", features=features)

    def _split_generators(self, dl_manager: object) -> list[datasets.SplitGenerator]:
        present = self.prepared.chosen.rows.column("split").unique().to_pylist()
        return [datasets.SplitGenerator(name=name, gen_kwargs={"split": name}) for name in SPLITS if name in present]

    def _generate_tables(self, split: str) -> Iterator[tuple[Key, pa.Table]]:
        tables = self.prepared.tables(split)
        if self.variant:
            tables = self.prepared.varied(self.variant, split, self.rejected)
        for number, rows in enumerate(tables):
            out = rows.select([name for name in SCHEMA.names if name != "file_name"])
            if self.videos:
                paths = [str(self.videos.parent / name) for name in rows.column("file_name").to_pylist()]
                nothing = pa.nulls(len(paths), pa.binary())
                video = pa.StructArray.from_arrays([nothing, pa.array(paths, pa.string())], ["bytes", "path"])
                out = out.append_column("video", video)
            yield Key(number, 0), out

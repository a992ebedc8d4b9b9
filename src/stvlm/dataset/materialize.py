"""Rows without video, and one's own copy of the raw recordings -> the same rows with video.

Where a source's licence does not let its video be passed on, a published dataset holds its rows alone. They say what
each clip shows, so that nothing is asked again: the clips are rendered, and the tables get the column `file_name`.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from huggingface_hub import snapshot_download

from stvlm.dataset import leakage
from stvlm.dataset.folder import (
    BUILD,
    CLIPS,
    MADE_FROM,
    TRAJECTORIES,
    Pair,
    clear_up,
    finished,
    link_video,
    made_beside,
    pairs_of,
    raw_state,
    without_results,
    write_readme,
)
from stvlm.dataset.prepare import forget_other_videos, render, shown_variants, source_spec
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.report import Report, counts
from stvlm.dataset.rows import SCHEMA, video_file_name
from stvlm.dataset.shards import SHOWN, Rendering, SourceSpec, Video
from stvlm.engine import Engine
from stvlm.files import read_json, whole_file, write_json
from stvlm.hashing import stable_hash
from stvlm.recipes import from_mapping, nearest
from stvlm.records import DataError, Rejected
from stvlm.sources import EMBEDDED

UNRENDERED = "clip that could not be rendered"
"""Why rows are left out."""


class Materialized(NamedTuple):
    """What a dataset with video was made of."""

    rows: int
    rows_left_out: int
    clips_left_out: Mapping[str, str]  # and why they cannot be rendered
    without_video: Mapping[str, int]  # rows of the sources that were not given


class _Table(NamedTuple):
    """One metadata.parquet."""

    path: Path
    variant: str  # "" for the questions as they are; or leakage.NO_SHARED_DAY, some of these
    source: str
    split: str
    has_video: bool

    @property
    def folder(self) -> str:
        """Where it stands in the dataset."""
        return "/".join(filter(None, (self.variant, self.source, self.split)))


def fetch(dataset: str) -> Path:
    """The folder of a dataset: itself, or what the Hub has under this name. Raises DataError."""
    if Path(dataset).is_dir():
        return Path(dataset)
    try:
        return Path(snapshot_download(dataset, repo_type="dataset"))
    except (OSError, ValueError) as error:  # what the Hub's client raises is one of these
        reason = str(error).strip().split("\n")[0]
        raise DataError(f"{dataset}: no such folder, and not to be had from the Hub ({reason})") from error


def materialize(
    dataset: Path,
    paths: Mapping[str, str],
    out: Path,
    complete: Callable[[Path], None] | None = None,
    engine: Engine | None = None,
) -> Materialized:
    """Writes the rows of `dataset` with video into `out`, going on where an interrupted run stopped.

    Rows of sources that are not in `paths` stay as they are; those of clips that cannot be rendered are left out.
    `complete` adds to the folder what else belongs into it, such as its card. Raises DataError.
    """
    tables = _tables(dataset)
    manifest = read_json(dataset / BUILD)
    try:
        made, results = without_results(manifest)
        recipe_made, report = made["recipe"], Report(**results["report"])
    except (AttributeError, KeyError, TypeError) as error:
        reason = f"was made by another version of stvlm ({error!r})"
        raise DataError(f"{dataset / BUILD}: {reason}; use that one, or make the dataset again") from error
    recipe = from_mapping(Recipe, recipe_made, f"{dataset / BUILD}: recipe")
    specs = _specs(tables, recipe, paths)
    origin = stable_hash(json.dumps(manifest, sort_keys=True))
    identity = {**made, "annotations_only": False, "given": sorted(paths), "origin": origin}
    state = raw_state(specs.values(), images=True)
    if (there := finished(out, identity, state)) is not None:
        clear_up(out)
        return Materialized(**there["materialized"])
    with made_beside(out) as work_dir:
        if (there := finished(out, identity, state)) is not None:  # by the process that was at it till now
            return Materialized(**there["materialized"])
        forget_other_videos(work_dir, {"origin": origin, "sources": [*map(str, specs.values())]})
        new, videos = work_dir / "new", work_dir / "videos"
        renderings, failed = _renderings(tables, specs, recipe, work_dir)
        rendered = render(renderings, work_dir / "rendered", engine or Engine())
        failed |= rendered.failed
        written = {
            table: _write(table, new, None if table.has_video or table.source not in specs else videos, failed)
            for table in tables
        }
        shown = [table for table, n in written.items() if n and (table.has_video or table.source in specs)]
        if lost := sorted(specs.keys() - {table.source for table in shown}):  # all its rows would be left out
            table = next(table for table in tables if table.source == lost[0] and not table.variant)
            clip_id = pq.read_table(table.path, columns=["clip_id"]).column(0)[0].as_py()
            raise DataError(f"{dataset}: no clip of {', '.join(lost)} could be rendered ({failed[clip_id]})")
        result = Materialized(
            rows=sum(written.values()),
            rows_left_out=sum(pq.read_metadata(table.path).num_rows for table in tables) - sum(written.values()),
            clips_left_out=dict(sorted(failed.items())),
            without_video={
                source: sum(n for table, n in written.items() if table.source == source)
                for source in sorted({table.source for table in written} - {table.source for table in shown})
            },
        )
        report = _recounted(report, new, written, failed)
        _write_trajectories(dataset, new, failed)
        _write_manifest(dataset, new, failed, rendered.hashes)
        kept = [table for table, n in written.items() if n]
        write_readme(new, recipe, _pairs(new, kept), [f"{table.folder}/metadata.parquet" for table in shown])
        write_json(new / BUILD, {**identity, "report": report._asdict(), "materialized": result._asdict()})
        (new / MADE_FROM).write_text(state, encoding="utf-8")
        if complete is not None:
            complete(new)
    return result


def _tables(dataset: Path) -> list[_Table]:
    """The tables of a built dataset; raises DataError where there are none."""
    tables = []
    for path in sorted([*dataset.glob("*/*/metadata.parquet"), *dataset.glob("*/*/*/metadata.parquet")]):
        *variant, source, split = path.parent.relative_to(dataset).parts
        try:
            names = pq.read_schema(path).names
            given = pq.read_table(path, columns=[name for name in ("clip_id", "file_name") if name in names])
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: does not read ({error}); make or fetch the dataset again") from error
        if missing := set(SCHEMA.names) - {"file_name", *names}:
            raise DataError(f"{path}: has no column {min(missing)}; it was made by another version of stvlm")
        _refuse_other_places(path, given.group_by(given.column_names).aggregate([]), "".join(variant))
        has_video = "file_name" in names and given.column("file_name").null_count < len(given)
        tables.append(_Table(path, "".join(variant), source, split, has_video))
    if not tables or not (dataset / BUILD).is_file():
        raise DataError(f"{dataset}: no built dataset; give the folder that build.py made, or its name on the Hub")
    return tables


def _refuse_other_places(path: Path, given: pa.Table, variant: str) -> None:
    """Raises DataError where a clip or its video has another name than a build gives: names become paths."""
    suffix = f"(-{re.escape(variant)})?" if variant else ""
    for row in given.to_pylist():
        clip_id, file_name = row["clip_id"], row.get("file_name")
        if not re.fullmatch(f"[0-9a-f]+{suffix}", str(clip_id)):
            raise DataError(f"{path}: {clip_id!r} is no clip_id of a build; fetch the dataset from whom you trust")
        if file_name not in (None, video_file_name(clip_id)):
            raise DataError(f"{path}: {file_name!r} is no file_name of a build; fetch the dataset from whom you trust")


def _specs(tables: Sequence[_Table], recipe: Recipe, paths: Mapping[str, str]) -> dict[str, SourceSpec]:
    """The sources whose clips are rendered; raises DataError where there are none."""
    without = sorted({table.source for table in tables if not table.has_video})
    if not without:
        raise DataError("all rows of the dataset have video; there is nothing to render")
    for name in paths:
        if name not in without:
            raise DataError(f"--source {name}=...: no rows of it are without video{nearest(name, without)}")
    specs = {name: source_spec(name, paths.get(name), recipe) for name in without if name in paths or name in EMBEDDED}
    if not specs:
        raise DataError(f"give at least one --source NAME=PATH, of: {', '.join(without)}")
    return specs


def _renderings(
    tables: Sequence[_Table], specs: Mapping[str, SourceSpec], recipe: Recipe, work_dir: Path
) -> tuple[list[Rendering], dict[str, str]]:
    """A unit of work for each recording that rows without video name; and the clips that are in none, and why."""
    renderings: list[Rendering] = []
    failed: dict[str, str] = {}
    for spec in specs.values():
        at_hand = {item.scene_id: item for item in spec.open().recordings() if not isinstance(item, Rejected)}
        for scene_id, (clips, videos) in sorted(_shown(tables, spec.name, recipe).items()):
            orphans = {video.clip_id for video in videos} - set(clips)
            failed |= dict.fromkeys(orphans, f"{scene_id}: only a variant of the clip is in the dataset")
            if scene_id not in at_hand:
                failed |= dict.fromkeys(clips, f"{scene_id}: is not in {spec.path}")
                continue
            place = work_dir / "rows" / f"{stable_hash(spec.name, scene_id)}.parquet"
            with whole_file(place) as temporary:
                pq.write_table(pa.concat_tables(clips.values()), temporary)
            of_clips = frozenset(video for video in videos if video.clip_id in clips)
            renderings.append(Rendering(spec, at_hand[scene_id], recipe, place, of_clips, work_dir / "videos"))
    return renderings, failed


def _shown(tables: Sequence[_Table], source: str, recipe: Recipe) -> dict[str, tuple[dict[str, pa.Table], set[Video]]]:
    """Of each recording of a source: one row of each clip, and the videos that rows name."""
    out: dict[str, tuple[dict[str, pa.Table], set[Video]]] = defaultdict(lambda: ({}, set()))
    for table in tables:
        if table.source != source or table.has_video or table.variant not in shown_variants(recipe):
            continue
        columns = ["scene_id", "clip_id"] if table.variant else ["scene_id", *SHOWN]
        with pq.ParquetFile(table.path) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=columns)
                names = (rows.column(name).to_pylist() for name in ("scene_id", "clip_id"))
                for i, (scene_id, clip_id) in enumerate(zip(*names, strict=True)):
                    clips, videos = out[scene_id]
                    videos.add(Video(_base(clip_id, table.variant), table.variant))
                    if not table.variant and clip_id not in clips:
                        clips[clip_id] = rows.take([i]).select(list(SHOWN))
    return out


def _base(clip_id: str, variant: str) -> str:
    """The clip of which a clip is a variant."""
    return clip_id.removesuffix(f"-{variant}")


def _write(table: _Table, new: Path, videos: Path | None, failed: Collection[str]) -> int:
    """Writes a table, in row groups as they were, with its videos beside it; how many rows it has then.

    `videos` holds the clips rendered for it, those of `failed` left out; None where it stays as it is.
    """
    folder, n = new / table.folder, 0
    place = folder / "metadata.parquet"
    with (
        pq.ParquetFile(table.path) as file,
        whole_file(place) as temporary,
        pq.ParquetWriter(temporary, SCHEMA) as writer,
    ):
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            clip_ids = rows.column("clip_id").to_pylist()
            names = rows.column("file_name").to_pylist() if table.has_video else [None] * len(rows)
            if videos is not None:
                kept = [i for i, clip_id in enumerate(clip_ids) if _base(clip_id, table.variant) not in failed]
                rows, names = rows.take(pa.array(kept, pa.int64())), [video_file_name(clip_ids[i]) for i in kept]
            for name in sorted({name for name in names if name}):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                made = table.path.parent / name if videos is None else videos.parent / name
                link_video(made.resolve(), folder / name)
            columns = {"file_name": pa.array(names, pa.string())}
            columns |= {name: rows.column(name) for name in SCHEMA.names[1:]}
            if len(rows):
                writer.write_table(pa.table(columns).cast(SCHEMA).combine_chunks())
            n += len(rows)
    if not n:
        place.unlink()
    return n


def _recounted(report: Report, new: Path, written: Mapping[_Table, int], failed: Mapping[str, str]) -> Report:
    """The report of what is left; `floors` and what was asked stay those of all rows."""
    if not failed:
        return report
    places = [new / table.folder / "metadata.parquet" for table, n in written.items() if n and not table.variant]
    columns = ["source", "split", "scene_id", "camera", "clip_id", "task", "target"]
    rows = pa.concat_tables([pq.read_table(place, columns=columns) for place in places])
    objects = (pq.read_table(place, columns=["source", "scene_id", "objects"]) for place in places)
    variants = {
        name: {**of_variant, "rows": sum(n for table, n in written.items() if table.variant == name)}
        for name, of_variant in report.variants.items()
    }
    skipped = {**report.skipped, UNRENDERED: sorted(failed.values())}
    return report._replace(**counts(rows, objects), variants=variants, skipped=skipped)


def _write_trajectories(dataset: Path, new: Path, failed: Collection[str]) -> None:
    path = dataset / TRAJECTORIES / "clips.parquet"
    if not path.is_file():
        return
    lost = pa.array(sorted(failed), pa.string())
    with (
        pq.ParquetFile(path) as file,
        whole_file(new / TRAJECTORIES / "clips.parquet") as temporary,
        pq.ParquetWriter(temporary, CLIPS) as writer,
    ):
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            writer.write_table(rows.filter(pc.invert(pc.is_in(rows.column("clip_id"), lost))).cast(CLIPS))


def _write_manifest(dataset: Path, new: Path, failed: Collection[str], hashes: Mapping[str, Sequence[str]]) -> None:
    """What clips look like was not known without video."""
    clips = [
        clip | {"frame_hashes": hashes.get(clip["clip_id"], clip["frame_hashes"])}
        for clip in leakage.read_manifests([str(dataset)]).to_pylist()
        if clip["clip_id"] not in failed
    ]
    with whole_file(new / leakage.MANIFEST) as temporary:
        pq.write_table(pa.Table.from_pylist(clips, leakage.SCHEMA), temporary)


def _pairs(new: Path, tables: Sequence[_Table]) -> dict[str, set[Pair]]:
    """What the tables hold, by variant."""
    pairs: dict[str, set[Pair]] = defaultdict(set)
    for table in tables:
        columns = ["source", "split", "label_type"]
        pairs[table.variant] |= pairs_of(pq.read_table(new / table.folder / "metadata.parquet", columns=columns))
    return pairs


def as_text(result: Materialized) -> str:
    """What was made and what was not, for a terminal."""
    lines = [f"{result.rows:,} rows"]
    for source, n in result.without_video.items():
        lines.append(f"  {n:,} of {source} without video; --source {source}=PATH would render it")
    if result.rows_left_out:
        clips = result.clips_left_out
        lines.append(f"left out {result.rows_left_out:,} rows of {len(clips):,} clips that cannot be rendered")
        reasons = Counter(clips.values()).most_common(3)
        lines += [f"  {n:8,}  {reason}" for reason, n in reasons]
    return "\n".join(lines)

"""Writes a built dataset as a folder that `load_dataset` reads without code: metadata.parquet, videos and a README."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from stvlm import __version__
from stvlm.dataset import leakage
from stvlm.dataset.builder import STKit
from stvlm.dataset.leakage import NO_SHARED_DAY
from stvlm.dataset.prepare import BuildRequest, Prepared, prepare, sources_of
from stvlm.dataset.probe import check_installed, probe, read_cues
from stvlm.dataset.recipe import SPLITS, Recipe
from stvlm.dataset.report import Report, make_report
from stvlm.dataset.rows import SCHEMA
from stvlm.dataset.shards import TRAJECTORY, SourceSpec
from stvlm.files import check_movable, locked, read_json, whole_file, write_json, write_text
from stvlm.hashing import code_version, stable_hash
from stvlm.recipes import to_mapping
from stvlm.records import DataError
from stvlm.sources import state_of

BUILD = "build.json"
MADE_FROM = ".made_from"
"""Says from which state of the raw data a dataset was made; it is for this machine, and not published."""
RESULTS = ("report", "materialized")
"""What of it is not asked for, but found."""
TRAJECTORIES = "trajectories"
CLIPS = pa.schema(
    [("clip_id", pa.string()), ("source", pa.string()), ("split", pa.string())]
    + [TRAJECTORY.field(name) for name in ("domain", "xyz_m", "world_SE3_camera")]
)
"""Columns of trajectories/clips.parquet."""
BATCH_ROWS = 1000
"""Rows that are written at a time."""
Pair = tuple[str, str, str]
"""A source, a split of it, and its label type."""


def build(request: BuildRequest, out: Path, complete: Callable[[Path], None] | None = None) -> Report:
    """Builds a dataset into `out`, going on where an interrupted build stopped.

    `complete` adds to the folder what else belongs into it, such as its card. Raises DataError; refuses an `out` with
    other contents, and one that another process is building.
    """
    if request.against:
        check_installed()
    identity, state = identity_of(request), raw_state(sources_of(request))
    if (results := finished(out, identity, state)) is not None:
        clear_up(out)
        return Report(**results["report"])
    datasets.disable_progress_bars()
    with made_beside(out) as work_dir:
        if (results := finished(out, identity, state)) is not None:  # by the process that was at it till now
            return Report(**results["report"])
        new = work_dir / "new"
        shutil.rmtree(work_dir / "arrow", ignore_errors=True)
        trained = read_cues(request.against) if request.against else None
        prepared = prepare(request, work_dir)
        manifest = prepared.manifest()
        shared = leakage.compare(manifest, leakage.read_manifests(request.against)) if request.against else None
        videos = None if request.annotations_only else work_dir / "videos"
        pairs: dict[str, set[Pair]] = defaultdict(set)  # by folder
        varied = {}
        for variant in ("", *request.recipe.variants):
            builder = STKit(prepared, work_dir / "arrow", videos, variant)
            try:
                builder.download_and_prepare()
            except datasets.exceptions.DatasetGenerationError as error:
                raise DataError(f"{work_dir}: the rows cannot be written ({error.__cause__ or error})") from error
            rows = {name: split.num_examples for name, split in builder.info.splits.items() if split.num_examples}
            for split in rows:
                files = sorted(Path(builder.cache_dir).glob(f"*-{split}*.arrow"))
                pairs[variant] |= _write_split(new / variant, _batches(files), videos)
                if not variant and shared is not None:
                    unshared = map(partial(_unshared, shared), _batches(files))
                    pairs[NO_SHARED_DAY] |= _write_split(new / NO_SHARED_DAY, unshared, videos)
            if variant:
                varied[variant] = {"rows": sum(rows.values()), **builder.rejected}
        probed = None if trained is None else probe(trained, prepared.chosen.rows)
        report = make_report(prepared, varied, shared, probed)
        with whole_file(new / leakage.MANIFEST) as temporary:
            pq.write_table(manifest, temporary)
        _write_trajectories(new, prepared)
        write_readme(new, request.recipe, pairs)
        write_json(new / BUILD, {**identity, "report": report._asdict()})
        (new / MADE_FROM).write_text(state, encoding="utf-8")
        if complete is not None:
            complete(new)
    return report


@contextmanager
def made_beside(out: Path) -> Iterator[Path]:
    """A folder beside `out` to work in, whose folder `new` is moved to `out` when the block ends.

    So `out` is a whole dataset or nothing, and one process at a time makes it: what it holds is to be asked for again
    in the block. What else is in the folder stays when the block raises, for the next run.
    """
    work_dir = work_dir_of(out)
    new = work_dir / "new"
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error
    with locked(work_dir / "lock"):
        shutil.rmtree(new, ignore_errors=True)
        yield work_dir
        if new.exists():
            new.replace(out.absolute())
        shutil.rmtree(work_dir, ignore_errors=True)


def work_dir_of(out: Path) -> Path:
    """Where `out` is made."""
    return out.absolute().with_name(f".{out.absolute().name}.build")


def clear_up(out: Path) -> None:
    """Removes what a run leaves beside a finished `out` that was killed between moving it there and its own end."""
    work_dir = work_dir_of(out)
    if work_dir.exists():
        with suppress(DataError, OSError), locked(work_dir / "lock"):  # or it is at that now
            shutil.rmtree(work_dir, ignore_errors=True)


def identity_of(request: BuildRequest) -> dict[str, Any]:
    """What makes two builds the same. Not where the sources lie: the result does not say, and it may be published."""
    return {
        "stvlm": __version__,
        "recipe": to_mapping(request.recipe),
        "sources": sorted(request.paths),
        "annotations_only": request.annotations_only,
        "limit": request.limit,
        "against": [leakage.fingerprint(folder) for folder in request.against],
        "wordings": {task: [to_mapping(wording) for wording in of_task] for task, of_task in request.wordings.items()},
    }


def raw_state(specs: Iterable[SourceSpec], images: bool = False) -> str:
    """What a dataset is made from, on this machine; empty where a source does not lie there any more."""
    states = [state_of(spec.name, spec.path, images) if images else spec.state for spec in specs if spec.path]
    return stable_hash(code_version(), *states) if all(states) else ""


def finished(out: Path, identity: Mapping[str, Any], state: str) -> dict[str, Any] | None:
    """The results of the same build, where `out` holds it already; raises where `out` holds something else.

    `state` is the raw data's, as `raw_state` has it.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; --out names a folder")
    if not out.is_dir() or not any(out.iterdir()):
        check_movable(out)
        return None
    if not (out / BUILD).exists():
        raise DataError(f"{out}: is not empty and holds no build; choose another --out")
    found, results = without_results(read_json(out / BUILD))
    if json.dumps(found, sort_keys=True) != json.dumps(identity, sort_keys=True):
        raise DataError(f"{out}: holds another build (recipe, sources or options differ); choose another --out")
    if state and (out / MADE_FROM).exists() and (out / MADE_FROM).read_text(encoding="utf-8") != state:
        was = "was built from files that have changed since, or by other code"
        raise DataError(f"{out}: {was}; choose another --out, or remove it")
    return results


def without_results(manifest: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What build.json says of how a dataset is made, and what of what came of it."""
    results = {key: value for key, value in manifest.items() if key in RESULTS}
    return {key: value for key, value in manifest.items() if key not in RESULTS}, results


def _unshared(shared: leakage.Shared, rows: pa.Table) -> pa.Table:
    return rows.filter(pa.array(shared.others(rows.column("clip_id"))))


def _batches(files: Iterable[Path]) -> Iterator[pa.Table]:
    """Rows in pieces of one size. Read from their files, not mapped from them: what is mapped counts as memory."""
    waiting: list[pa.RecordBatch] = []
    for file in files:
        with pa.OSFile(str(file)) as source:
            for batch in pa.ipc.open_stream(source):
                waiting.append(batch)
                while sum(map(len, waiting)) >= BATCH_ROWS:
                    rows = pa.Table.from_batches(waiting)
                    yield rows[:BATCH_ROWS]
                    waiting = rows[BATCH_ROWS:].to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting)


def _write_split(new: Path, tables: Iterable[pa.Table], videos: Path | None) -> set[Pair]:
    """The rows of one split, by source, with their clips moved beside them; what they are of."""
    pairs = set()
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}
        for batch in tables:
            pairs |= pairs_of(batch)
            for source in pc.unique(batch.column("source")).to_pylist():
                part = batch.filter(pc.equal(batch.column("source"), source))
                folder = new / source / part.column("split")[0].as_py()
                columns = {name: part.column(name) for name in SCHEMA.names if name != "file_name"}
                if videos is not None:
                    names = [Path(path).name for path in pc.struct_field(part.column("video"), "path").to_pylist()]
                    columns = {"file_name": pa.array([f"videos/{name}" for name in names]), **columns}
                    (folder / "videos").mkdir(parents=True, exist_ok=True)
                    for name in set(names):
                        link_video(videos / name, folder / "videos" / name)
                schema = pa.schema([SCHEMA.field(name) for name in columns])
                if source not in writers:
                    temporary = stack.enter_context(whole_file(folder / "metadata.parquet"))
                    writers[source] = stack.enter_context(pq.ParquetWriter(temporary, schema))
                # In one piece: then a file's bytes depend on its rows, and not on how they were passed on.
                writers[source].write_table(pa.table(columns).cast(schema).combine_chunks())
    return pairs


def link_video(made: Path, place: Path) -> None:
    """A second name for a clip, so that an interrupted build finds it again; a copy where the disk has no links."""
    try:
        os.link(made, place)
    except FileExistsError:
        pass
    except OSError:
        shutil.copyfile(made, place)


def _write_trajectories(new: Path, prepared: Prepared) -> None:
    """Positions and camera poses of every clip, one row a clip, outside the configs' folders."""
    with whole_file(new / TRAJECTORIES / "clips.parquet") as temporary, pq.ParquetWriter(temporary, CLIPS) as writer:
        for rows in prepared.tables():
            first = np.sort(np.unique(rows.column("clip_id").to_numpy(), return_index=True)[1])
            clips = rows.select(["clip_id", "source", "split", "trajectory"]).take(first).to_pylist()
            clips = [clip | clip["trajectory"] for clip in clips]
            for clip in clips:
                clip["xyz_m"] = np.array(clip["xyz_m"]).round(4).tolist()
                clip["world_SE3_camera"] = np.array(clip["world_SE3_camera"]).round(6).tolist()
            writer.write_table(pa.Table.from_pylist(clips, CLIPS))


def write_readme(new: Path, recipe: Recipe, pairs: Mapping[str, Collection[Pair]], shown: Collection[str] = ()) -> None:
    """What `load_dataset` needs of a README: which files are which split of which config.

    Args:
        new: the dataset's folder.
        recipe: says the title and the variants.
        pairs: what the dataset holds, by the folder of the config: "", a variant, or `no_shared_day`.
        shown: the tables that have video, by their path from `new`.
    """
    configs = _configs({folder: sorted(pairs.get(folder, ())) for folder in ("", *recipe.variants, NO_SHARED_DAY)})
    # `datasets` keeps a copy of a folder's rows, and finds it by the folder's name and its configs as written: what is
    # built again with other rows, or elsewhere under that name with other videos of the same rows, needs other ones.
    made_by = (__version__, json.dumps(to_mapping(recipe), sort_keys=True))
    rows = stable_hash(*made_by, *map(_hash_of, sorted(new.rglob("metadata.parquet"))))
    configs = [config | {"description": f"rows {rows[:16]}"} for config in configs]
    front_matter = {"pretty_name": recipe.title, "configs": with_video_first(configs, shown)}
    text = yaml.safe_dump(front_matter, sort_keys=False)
    write_text(new / "README.md", f"---\n{text}---\n")


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pairs_of(rows: pa.Table) -> set[Pair]:
    """The sources, splits and label types of rows."""
    return {*zip(*(rows.column(name).to_pylist() for name in ("source", "split", "label_type")), strict=True)}


def _configs(of_folder: Mapping[str, list[Pair]]) -> list[dict[str, Any]]:
    """`default` with all, `labeled`, `pseudo`, one for each source and each variant, and `no_shared_day`; configs and
    splits only where they exist.
    """
    pairs = of_folder[""]
    chosen = {
        "default": ("", pairs),
        "labeled": ("", [pair for pair in pairs if pair[2] != "pseudo"]),
        "pseudo": ("", [pair for pair in pairs if pair[2] == "pseudo"]),
        **{source: ("", [pair for pair in pairs if pair[0] == source]) for source, _, _ in pairs},
        **{folder: (f"{folder}/", members) for folder, members in of_folder.items() if folder},
    }
    return [
        {
            "config_name": name,
            **({"default": True} if name == "default" else {}),
            "data_files": [
                {"split": split, "path": [f"{folder}{source}/{split}/**" for source, s, _ in members if s == split]}
                for split in SPLITS
                if any(s == split for _, s, _ in members)
            ],
        }
        for name, (folder, members) in chosen.items()
        if members
    ]


def with_video_first(configs: Iterable[dict[str, Any]], shown: Collection[str]) -> list[dict[str, Any]]:
    """The configs, those first of whose every split some table has video; `shown` are these tables.

    `load_dataset` goes by the files of the first to tell how all of them are to be read.
    """
    return sorted(configs, key=lambda config: not all(tables_of(item, shown) for item in config["data_files"]))


def tables_of(data_files: Mapping[str, Any], tables: Iterable[str]) -> list[str]:
    """Which tables, by their path from the dataset's folder, are of one of a config's splits."""
    patterns = data_files["path"] if isinstance(data_files["path"], list) else [data_files["path"]]
    return [table for table in tables if any(fnmatch(table, pattern) for pattern in patterns)]

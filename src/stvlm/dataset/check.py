"""What a build would find, make and need, told from a sample of each source before anything is written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from stvlm.dataset.folder import finished, identity_of, raw_state
from stvlm.dataset.leakage import read_manifests, refuse_shared_recordings
from stvlm.dataset.prepare import (
    BuildRequest,
    recordings_of,
    same_recordings,
    shown_variants,
    sources_of,
    why_nothing,
    wrong_names,
)
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.report import TASKS, reason_lines, row_lines, shortfall_lines
from stvlm.dataset.rows import SCHEMA, frequencies
from stvlm.dataset.select import Selection, Shortfall
from stvlm.dataset.shards import (
    NO_IMAGES,
    SOME_IMAGES,
    Asked,
    Asking,
    Rendering,
    SourceSpec,
    Video,
    ask_recording,
    read_asked,
    render_recording,
)
from stvlm.files import read_json
from stvlm.hashing import stable_hash
from stvlm.kinematics import STEP_S
from stvlm.records import DataError, Recording, Rejected
from stvlm.sources.licences import licences

SAMPLED = 8
"""Recordings of each source that are asked; more where none of these gives a row."""
SAMPLED_S = 60.0
"""After which no further one is begun."""
RENDERED = 6
"""Clips of each source that are rendered, of two of the recordings."""
Key = tuple[str, str, str]
"""A source, a split of the dataset and a task."""


class Cost(NamedTuple):
    """What a sample has taken, on one process."""

    ask_s: float = 0.0  # a recording
    read_s: float = 0.0  # a recording, once more where clips are rendered
    clip_s: float = 0.0  # a clip, with its variants
    clip_bytes: float = 0.0  # of its mp4s
    row_bytes: float = 0.0  # in the dataset
    shard_bytes: float = 0.0  # of a row that was asked
    arrow_bytes: float = 0.0  # of a row of the dataset, on its way into it


class Sample(NamedTuple):
    """What was asked of some recordings of a source."""

    recordings: Mapping[str, int]  # by the dataset's split
    seconds: float
    rows: Mapping[str, Mapping[str, int]]  # by split and task
    clips: int
    clips_with_images: int
    videos: int  # recordings as seen by one camera, of which these clips are
    skipped: Sequence[Rejected]
    cost: Cost

    @property
    def n(self) -> int:
        """How many recordings were asked."""
        return sum(self.recordings.values())


class SourceCheck(NamedTuple):
    """A source that can be used."""

    name: str
    path: str | None
    recordings: Mapping[str, int]  # that would be asked, by the dataset's split
    left_out: Sequence[Rejected]
    sample: Sample

    @property
    def n(self) -> int:
        """How many recordings would be asked."""
        return sum(self.recordings.values())


class Expected(NamedTuple):
    """What a build would make and take, as far as samples tell.

    At most these rows: answers are evened out, and how far that goes only all rows can tell. What was asked is counted
    as it is; of each other recording the mean is expected.
    """

    rows: Mapping[str, Mapping[str, float]]  # "source split" -> task -> rows
    clips: float
    shortfalls: Sequence[Shortfall]
    dataset_bytes: float
    work_bytes: float  # beside it, until it is built
    seconds: float  # on one process


class Check(NamedTuple):
    """What is there, and what would come of it."""

    title: str
    sources: Sequence[SourceCheck]
    given: Sequence[str]  # sources of the recipe that are at hand, usable or not
    not_given: Sequence[str]
    problems: Sequence[str]  # why a source, or --out, cannot be used; one line each
    expected: Expected
    workers: int
    free_bytes: int | None  # where the dataset would lie


def check(request: BuildRequest, out: Path | None = None) -> Check:
    """Opens every source and asks a sample of its recordings. What is wrong with one does not hide the others."""
    problems, specs = wrong_names(request), sources_of(request)
    sources: list[SourceCheck] = []
    asked: list[pa.Table] = []
    everything: list[Recording] = []
    with tempfile.TemporaryDirectory(prefix="stvlm-check-") as temporary:
        for spec in tqdm(specs, "checking", unit="source", leave=False, disable=None):
            try:
                recordings, left_out = recordings_of(spec, request.recipe)
                recordings = recordings[: request.limit]
                everything += recordings
                sample, rows = _sample(spec, recordings, request, Path(temporary) / spec.name)
            except (DataError, OSError) as error:
                problems.append(str(error))
                continue
            of_split = Counter(request.recipe.splits[recording.split] for recording in recordings)
            sources.append(SourceCheck(spec.name, spec.path, dict(of_split), left_out, sample))
            asked.append(rows)
    if problem := same_recordings(pa.concat_tables(asked)) if asked else "":
        problems.append(problem)
    try:
        if request.against:
            refuse_shared_recordings(everything, read_manifests(request.against))
    except DataError as error:
        problems.append(str(error))
    given = [spec.name for spec in specs]
    expected = expect(sources, request.recipe)
    free_bytes = None
    try:
        free_bytes = _free_bytes(out, request, specs) if out else None
    except DataError as error:
        problems.append(str(error))
    if free_bytes is not None and free_bytes < expected.dataset_bytes + expected.work_bytes:
        needed = _size(expected.dataset_bytes + expected.work_bytes)
        cure = "free some space or choose another --out"
        problems.append(f"{out}: the build needs about {needed}, of which {_size(free_bytes)} are free; {cure}")
    return Check(
        title=request.recipe.title,
        sources=sources,
        given=given,
        not_given=[name for name in request.recipe.sources if name not in given],
        problems=[" ".join(problem.split()) for problem in problems],
        expected=expected,
        workers=request.engine.workers or os.cpu_count() or 1,
        free_bytes=free_bytes,
    )


def spread(recordings: Sequence[Recording], n: int = SAMPLED) -> list[Recording]:
    """The recordings in an order that begins with n from all over the list, and of which any beginning is spread."""
    n = min(n, len(recordings))
    chosen = {(2 * i + 1) * len(recordings) // (2 * n) for i in range(n)}
    keys = [(i not in chosen, stable_hash("sample", recording.scene_id)) for i, recording in enumerate(recordings)]
    return [recordings[i] for i in sorted(range(len(recordings)), key=keys.__getitem__)]


def _sample(
    spec: SourceSpec, recordings: Sequence[Recording], request: BuildRequest, folder: Path
) -> tuple[Sample, pa.Table]:
    """What some recordings give, and their rows; raises DataError where that is nothing."""
    with_video = not request.annotations_only
    units: list[Asking] = []
    shards: list[Path] = []
    took_s: list[float] = []
    begun_s = perf_counter()
    for recording in spread(recordings):
        enough = len(units) >= SAMPLED and any(pq.read_metadata(shard).num_rows for shard in shards)
        if enough or (units and perf_counter() - begun_s > SAMPLED_S):
            break
        units.append(Asking(spec, recording, request.recipe, with_video))
        shards.append(folder / f"{len(units)}.parquet")
        unit_begun_s = perf_counter()
        ask_recording(units[-1], shards[-1])
        took_s.append(perf_counter() - unit_begun_s)
    seconds = perf_counter() - begun_s
    asked = read_asked(shards)
    if not len(asked.rows):
        raise DataError(why_nothing(f"{len(units)} of the {len(recordings)} recordings of {spec.name}", asked))
    clips = len(set(asked.rows.column("clip_id").to_pylist()))
    cost = Cost(ask_s=float(np.mean(took_s[1:] or took_s)), **_row_bytes(asked, folder))  # the first opens the source
    if with_video:
        cost = cost._replace(**_render_some(asked, units, folder))
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for (split, task), n in frequencies(asked.rows, "split", "task").items():
        rows[split][task] = n
    sample = Sample(
        recordings=Counter(request.recipe.splits[unit.recording.split] for unit in units),
        seconds=seconds,
        rows=dict(rows),
        clips=clips,
        clips_with_images=clips,
        videos=len(frequencies(asked.rows, "scene_id", "camera")),
        skipped=asked.skipped,
        cost=cost,
    )
    if any(item.reason in (NO_IMAGES, SOME_IMAGES) for item in asked.skipped):
        sample = sample._replace(clips=_clips_without_regard_to_images(units, folder))
    return sample, asked.rows


def _clips_without_regard_to_images(units: Sequence[Asking], folder: Path) -> int:
    shards = [folder / "unseen" / f"{i}.parquet" for i in range(len(units))]
    for unit, shard in zip(units, shards, strict=True):
        ask_recording(unit._replace(with_video=False), shard)
    return len(set(read_asked(shards).rows.column("clip_id").to_pylist()))


def _row_bytes(asked: Asked, folder: Path) -> dict[str, float]:
    """What a row takes in the dataset, and in the files that a build makes on its way."""
    tables = [pq.read_table(shard).replace_schema_metadata(None) for shard in asked.shards]
    rows = pa.concat_tables(tables).select(SCHEMA.names)
    place = folder / "metadata.parquet"
    pq.write_table(rows, place)
    return {
        "row_bytes": place.stat().st_size / len(rows),
        "shard_bytes": sum(shard.stat().st_size for shard in asked.shards) / len(rows),
        "arrow_bytes": rows.nbytes / len(rows),
    }


def _render_some(asked: Asked, units: Sequence[Asking], folder: Path) -> dict[str, float]:
    """What it takes to render a clip; raises DataError where none can be rendered."""
    clips: dict[int, set[str]] = defaultdict(set)
    frames: dict[str, float] = {}  # of each clip
    columns = (asked.rows.column(name).to_pylist() for name in ("shard", "clip_id", "clip_s"))
    for shard, clip_id, clip_s in zip(*columns, strict=True):
        clips[shard].add(clip_id)
        frames[clip_id] = clip_s / STEP_S + 1
    numbers = sorted(clips)[:2]
    read_s: list[float] = []
    rendered_s, rendered, failed = 0.0, set[str](), dict[str, str]()
    for number in numbers:
        unit = units[number]
        chosen = sorted(clips[number], key=lambda clip_id: stable_hash("render", clip_id))[: RENDERED // len(numbers)]
        videos = frozenset(Video(clip_id, name) for clip_id in chosen for name in shown_variants(unit.recipe))
        rendering = Rendering(unit.source, unit.recording, unit.recipe, asked.shards[number], videos, folder / "videos")
        times_s = [perf_counter()]
        for _ in unit.source.open().scenes(unit.recording):
            pass
        times_s.append(perf_counter())
        render_recording(rendering, folder / f"rendered-{number}.json")
        times_s.append(perf_counter())
        read_s.append(times_s[1] - times_s[0])
        rendered_s += max(0.0, times_s[2] - times_s[1] - read_s[-1])
        rendered |= set(chosen)
        failed |= read_json(folder / f"rendered-{number}.json")["failed"]
    rendered -= set(failed)
    if not rendered:
        raise DataError(f"no clip of the sample can be rendered ({next(iter(failed.values()))})")
    n_bytes = sum(path.stat().st_size for path in (folder / "videos").iterdir())
    # By the frame, because few clips are rendered, and their lengths differ.
    of_a_clip = float(np.mean(list(frames.values()))) / sum(frames[clip_id] for clip_id in rendered)
    return {"read_s": float(np.mean(read_s)), "clip_s": rendered_s * of_a_clip, "clip_bytes": n_bytes * of_a_clip}


def expect(sources: Sequence[SourceCheck], recipe: Recipe) -> Expected:
    """Scales samples up to all recordings, and takes from them what the recipe wants."""
    asked = {(source.name, *key): n for source in sources for key, n in _asked_of(source).items()}
    videos = dict.fromkeys(recipe.select.amounts, 0.0)
    videos |= {source.name: source.sample.videos * source.n / source.sample.n for source in sources}
    shown = {name: min(1.0, wanted.videos / max(videos[name], 1e-9)) for name, wanted in recipe.select.amounts.items()}
    kept, shortfalls = _selected({key: n * shown.get(key[0], 1.0) for key, n in asked.items()}, recipe.select)
    copies = 1 + len(recipe.variants)
    clips = dataset_bytes = work_bytes = seconds = 0.0
    for source in sources:
        cost, mine = source.sample.cost, [key for key in asked if key[0] == source.name]
        rows, chosen = sum(asked[key] for key in mine), sum(kept[key] for key in mine)
        share = shown.get(source.name, 1.0)
        n_clips = share * source.sample.clips_with_images * source.n / source.sample.n
        of_source = _clips_kept(n_clips, share * rows, chosen)
        clips += of_source
        dataset_bytes += of_source * cost.clip_bytes + copies * chosen * cost.row_bytes
        work_bytes += rows * cost.shard_bytes + copies * chosen * cost.arrow_bytes
        seconds += source.n * (cost.ask_s + cost.read_s) + of_source * cost.clip_s
    for name, amount in recipe.select.amounts.items():
        if videos[name] < amount.videos:
            shortfalls.append(Shortfall(name, "videos", amount.videos, int(videos[name])))
    by_source: dict[str, dict[str, float]] = defaultdict(dict)
    for (name, split, task), n_rows in kept.items():
        by_source[f"{name} {split}"][task] = n_rows
    return Expected(dict(by_source), clips, sorted(shortfalls), dataset_bytes, work_bytes, seconds)


def _asked_of(source: SourceCheck) -> dict[tuple[str, str], float]:
    """How many rows can be asked of all recordings of a source, by split and task."""
    sample, expected = source.sample, dict[tuple[str, str], float]()
    in_sample = sum((Counter(of_task) for of_task in sample.rows.values()), Counter[str]())
    for split, n in source.recordings.items():
        others = n - sample.recordings.get(split, 0)
        for task, rows in in_sample.items():
            if here := sample.rows.get(split, {}).get(task, 0) + others * rows / sample.n:
                expected[split, task] = here
    return expected


def _selected(asked: Mapping[Key, float], selection: Selection) -> tuple[dict[Key, float], list[Shortfall]]:
    """How many of the rows that can be asked are kept, and what there is too little of."""
    kept, shortfalls = dict(asked), list[Shortfall]()

    def keep(where: str, what: str, wanted: int, keys: Collection[Key]) -> None:
        there = sum(asked[key] for key in keys)
        if there < wanted:
            shortfalls.append(Shortfall(where, what, wanted, int(there)))
        for key in keys:
            kept[key] *= min(1.0, wanted / there)

    names, splits = sorted({key[0] for key in asked}), sorted({key[1] for key in asked})
    for split, task in product(splits, TASKS):
        here = [key for key in asked if key[1:] == (split, task)]
        if selection.rows_per_task:
            keep(f"all {split}", task, selection.rows_per_task, here)
        for name in sorted({*names, *selection.table}) if selection.table else ():
            wanted = selection.table.get(name, {}).get(task, 0)
            keep(f"{name} {split}", task, wanted, [key for key in here if key[0] == name])
    for name in sorted({*names, *selection.amounts}) if selection.amounts else ():
        questions = selection.amounts[name].questions if name in selection.amounts else 0
        keep(name, "questions", questions, [key for key in asked if key[0] == name])
    return kept, shortfalls


def _clips_kept(clips: float, rows: float, chosen: float) -> float:
    """Of how many clips some row is among the chosen, were these drawn by chance."""
    return clips * (1 - (1 - min(1.0, chosen / rows)) ** (rows / clips)) if clips and rows else 0.0


def _free_bytes(out: Path, request: BuildRequest, specs: Sequence[SourceSpec]) -> int:
    """The space where a dataset would lie; raises DataError where it cannot."""
    finished(out, identity_of(request), raw_state(specs))
    parent = next(path for path in out.absolute().parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise DataError(f"{out}: {parent} is no folder that can be written to; choose another --out")
    return shutil.disk_usage(parent).free


def as_text(found: Check) -> str:
    """The check for a terminal."""
    if not found.sources:
        return f"{found.title}: nothing to build; no source can be used, and nothing was written"
    expected = found.expected
    lines = [f"{found.title}: what a build would make, told from a sample; nothing was written", ""]
    rounded = {key: {task: round(n) for task, n in of_task.items()} for key, of_task in expected.rows.items()}
    lines += row_lines("rows expected, at most", rounded)
    for source in found.sources:
        sample = source.sample
        recordings = ", ".join(f"{n:,} {split}" for split, n in source.recordings.items())
        lines += ["", f"{source.name}" + (f"  {source.path}" if source.path else "")]
        lines += [f"  {'recordings':12} {recordings}; {sample.n:,} asked, in {_time(sample.seconds)}"]
        if sample.cost.clip_s:
            share = f"{sample.clips_with_images:,} of {sample.clips:,} sampled clips have them"
            each = f"{_size(sample.cost.clip_bytes)} and {_time(sample.cost.clip_s)} a clip"
            lines += [f"  {'images':12} {share}; {each}"]
        for title, items in (("left out", source.left_out), ("left out of the sample", sample.skipped)):
            reasons: dict[str, list[str]] = defaultdict(list)
            for reason, subject in items:
                reasons[reason].append(subject)
            lines += [f"  {title}", *reason_lines(reasons)] if items else []
    lines += ["", "licences", *(f"  {name:12} {_licence(name)}" for name in found.given)]
    if found.not_given:
        lines += ["", f"not given: {', '.join(found.not_given)}"]
    lines += shortfall_lines(expected.shortfalls)
    free = f"; {_size(found.free_bytes)} are free" if found.free_bytes is not None else ""
    disk = f"{_size(expected.dataset_bytes)}, and {_size(expected.work_bytes)} more until it is built{free}"
    lines += ["", "needed, about", f"  {'clips':12} {round(expected.clips):,}", f"  {'disk':12} {disk}"]
    lines += [f"  {'time':12} {_time(expected.seconds / found.workers)} with {found.workers} workers"]
    return "\n".join(lines)


def _licence(source: str) -> str:
    if source not in licences():
        return "unknown; read its terms before you pass anything on"
    licence = licences()[source]
    video = "may" if licence.redistribute_video else "may not"
    return f"{licence.terms}, {licence.url}; its video {video} be passed on"


def _size(n_bytes: float) -> str:
    if n_bytes < 1e6:
        return f"{n_bytes / 1e3:.3g} kB"
    return f"{n_bytes / 1e6:.3g} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.3g} GB"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} seconds"
    return f"{seconds / 60:.3g} minutes" if seconds < 6000 else f"{seconds / 3600:.3g} hours"

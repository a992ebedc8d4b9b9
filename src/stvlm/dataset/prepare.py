"""Recordings -> the rows and clips of a dataset: asked, chosen, rendered. Every step can be interrupted and goes on."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stvlm.dataset.leakage import SCHEMA, read_manifests, refuse_shared_recordings
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.rows import frequencies
from stvlm.dataset.select import Shortfall, select
from stvlm.dataset.shards import (
    NO_IMAGES,
    SHARD_SCHEMA,
    SOME_IMAGES,
    Asked,
    Asking,
    Rendering,
    SourceSpec,
    Video,
    ask_recording,
    give_up_asking,
    give_up_rendering,
    may_pass,
    read_asked,
    render_recording,
    whole_rows,
)
from stvlm.dataset.variants import NOTHING_NEW_TO_SEE, vary
from stvlm.engine import Engine, run_units
from stvlm.files import read_json, write_json
from stvlm.hashing import code_version, stable_hash
from stvlm.questions.templates import Wording
from stvlm.recipes import nearest, to_mapping
from stvlm.records import DataError, Recording, Rejected, Task
from stvlm.sources import EMBEDDED, state_of


@dataclass(frozen=True)
class BuildRequest:
    """A dataset to be made from raw recordings."""

    recipe: Recipe
    paths: Mapping[str, str]
    """Where each source lies."""
    annotations_only: bool = False
    limit: int | None = None
    """At most this many recordings of each source."""
    engine: Engine = field(default_factory=Engine)
    against: tuple[str, ...] = ()
    """Folders of the training set that the dataset must share no recording with."""
    wordings: Mapping[Task, Sequence[Wording]] = field(default_factory=dict)
    """What the variant `paraphrased` asks in, in place of the held-out wordings."""

    def __post_init__(self) -> None:
        if self.wordings and "paraphrased" not in self.recipe.variants:
            raise DataError("--wordings are for the variant paraphrased; add it to the recipe's variants")


class Prepared(NamedTuple):
    """What a dataset is written from."""

    asked: Asked  # all that was asked
    chosen: Asked  # of that, what the dataset holds
    shortfalls: list[Shortfall]
    recipe: Recipe
    recordings: Sequence[Recording]  # by shard
    hashes: Mapping[str, list[str]]  # clip -> of its frames; empty without video
    wordings: Mapping[Task, Sequence[Wording]]  # as BuildRequest has them

    def manifest(self) -> pa.Table:
        """The dataset's clips, of leakage.SCHEMA, in a stable order."""
        clips = sorted(frequencies(self.chosen.rows, "clip_id", "source", "split", "scene_id", "shard"))
        rows = [(*clip, self.recordings[shard].vehicle_day, self.hashes.get(clip[0], [])) for *clip, shard in clips]
        return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)

    def tables(self, split: str | None = None) -> Iterator[pa.Table]:
        """The rows of a split, or all, of SHARD_SCHEMA, one recording at a time, in a stable order."""
        rows = self.chosen.rows.select(["split", "shard", "row"])
        of_split = rows if split is None else rows.filter(pc.equal(rows.column("split"), split))
        return whole_rows(self.chosen._replace(rows=of_split))

    def varied(self, variant: str, split: str, rejected: Counter[str]) -> Iterator[pa.Table]:
        """As `tables`, of a variant; why rows have none is counted into `rejected`."""
        for table in self.tables(split):
            rows = [vary(row, variant, self.recipe.questions, self.wordings) for row in table.to_pylist()]
            rejected.update(row.reason for row in rows if isinstance(row, Rejected))
            yield pa.Table.from_pylist([row for row in rows if not isinstance(row, Rejected)], SHARD_SCHEMA)


def prepare(request: BuildRequest, work_dir: Path) -> Prepared:
    """Asks all questions, selects rows, and renders their clips to `work_dir`/videos.

    Raises DataError where no row comes out, and before anything is asked where a recording is in `request.against`.
    """
    specs = sources_of(request)
    units, skipped = _units(request, specs)
    if request.against:
        refuse_shared_recordings([unit.recording for unit in units], read_manifests(request.against))
    forget_other_videos(work_dir, {"recipe": to_mapping(request.recipe), "sources": [*map(str, specs)]})
    asked = _ask(units, request, work_dir)
    for spec in specs:
        _refuse_empty(spec.name, asked, units)
    if problem := same_recordings(asked.rows):
        raise DataError(problem)
    asked = asked._replace(skipped=skipped + asked.skipped)
    usable, rendered = asked, Rendered({}, {})
    while True:
        kept, shortfalls = select(usable.rows, request.recipe.select)
        chosen = usable if len(kept) == len(usable.rows) else usable._replace(rows=usable.rows.take(kept))
        if not len(kept):
            raise DataError(why_nothing("these recordings", chosen))
        if not request.annotations_only:
            rendered = _render(chosen, units, request, work_dir)
        if not rendered.failed:
            recordings = [unit.recording for unit in units]
            hashes, wordings = rendered.hashes, request.wordings
            return Prepared(asked, chosen, shortfalls, request.recipe, recordings, hashes, wordings)
        # What cannot be rendered is left out, and rows are chosen anew, so that others take its place.
        others = pc.invert(pc.is_in(usable.rows.column("clip_id"), pa.array(sorted(rendered.failed))))
        skipped = [Rejected("clip with an unreadable image", why) for _, why in sorted(rendered.failed.items())]
        usable = usable._replace(rows=usable.rows.filter(others), skipped=usable.skipped + skipped)


def _units(request: BuildRequest, specs: Sequence[SourceSpec]) -> tuple[list[Asking], list[Rejected]]:
    """The recordings that are asked, and those that are not."""
    if problems := wrong_names(request):
        raise DataError(problems[0])
    skipped: list[Rejected] = []
    units: list[Asking] = []
    with_video = not request.annotations_only
    for spec in specs:
        wanted, left_out = recordings_of(spec, request.recipe)
        skipped += left_out
        units += [Asking(spec, recording, request.recipe, with_video) for recording in wanted[: request.limit]]
    return units, skipped


def recordings_of(spec: SourceSpec, recipe: Recipe) -> tuple[list[Recording], list[Rejected]]:
    """A source's recordings that the recipe is about, and why others are left out; raises DataError for none."""
    wanted: list[Recording] = []
    left_out: list[Rejected] = []
    for item in spec.open().recordings():
        if isinstance(item, Rejected):
            left_out.append(item)
        elif item.split not in recipe.splits:
            left_out.append(Rejected(f"{item.split} split is not in the recipe", item.scene_id))
        else:
            wanted.append(item)
    if not wanted:
        reasons = _told(Counter(item.reason for item in left_out), left_out)
        raise DataError(f"source {spec.name}: none of its recordings can be used: {reasons}{_leave_out(spec.name)}")
    return wanted, left_out


def _ask(units: list[Asking], request: BuildRequest, work_dir: Path) -> Asked:
    keyed = [(unit, work_dir / "asked" / f"{_key(unit)}.parquet") for unit in units]
    for _, shard in keyed:
        if shard.exists() and may_pass(shard):
            shard.unlink()
    run_units(ask_recording, keyed, request.engine, "asking", give_up_asking)
    return read_asked([shard for _, shard in keyed])


def _render(chosen: Asked, units: list[Asking], request: BuildRequest, work_dir: Path) -> Rendered:
    """Renders the chosen clips."""
    shown = shown_variants(request.recipe)
    clips: dict[int, set[str]] = defaultdict(set)
    for shard, clip_id in frequencies(chosen.rows, "shard", "clip_id"):
        clips[shard].add(clip_id)
    renderings = []
    for number, clip_ids in sorted(clips.items()):
        unit, videos = units[number], frozenset(Video(clip_id, name) for clip_id in clip_ids for name in shown)
        place = work_dir / "videos"
        renderings.append(Rendering(unit.source, unit.recording, unit.recipe, chosen.shards[number], videos, place))
    return render(renderings, work_dir / "rendered", request.engine)


class Rendered(NamedTuple):
    """What came of rendering clips."""

    failed: dict[str, str]  # clip -> why it could not be rendered
    hashes: dict[str, list[str]]  # clip -> of its frames


def render(renderings: Sequence[Rendering], done: Path, engine: Engine) -> Rendered:
    """Renders clips; `done` holds what says that a recording is done."""
    keyed = []
    for unit in renderings:
        recipe = json.dumps(to_mapping(unit.recipe), sort_keys=True)
        key = stable_hash(code_version(), recipe, unit.source, unit.recording, *sorted(unit.videos))
        keyed.append((unit, done / f"{key}.json"))
    for _, shard in keyed:
        if shard.exists() and read_json(shard)["failed"]:  # what was damaged or missing may be mended now
            shard.unlink()
    run_units(render_recording, keyed, engine, "rendering", give_up_rendering)
    rendered = Rendered({}, {})
    for _, shard in keyed:
        of_shard = Rendered(**read_json(shard))
        rendered.failed.update(of_shard.failed)
        rendered.hashes.update(of_shard.hashes)
    return rendered


def shown_variants(recipe: Recipe) -> list[str]:
    """The variants that have videos of their own, after "", the clip as it is."""
    return ["", *(name for name in recipe.variants if name not in NOTHING_NEW_TO_SEE)]


def _refuse_empty(name: str, asked: Asked, units: list[Asking]) -> None:
    """Raises DataError where a source gives no row."""
    if not pc.any(pc.equal(asked.rows.column("source"), name)).as_py():
        shards = [shard for unit, shard in zip(units, asked.shards, strict=True) if unit.source.name == name]
        raise DataError(why_nothing(f"the recordings of {name}", read_asked(shards)) + _leave_out(name))


def same_recordings(rows: pa.Table) -> str:
    """What is wrong where two sources hold the same recordings, by id and kind of label; empty where nothing is."""
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for scene_id, label_type, source in frequencies(rows, "scene_id", "label_type", "source"):
        sources[scene_id, label_type].add(source)
    shared = {key: names for key, names in sources.items() if len(names) > 1}
    if not shared:
        return ""
    names = " and ".join(sorted(set[str]().union(*shared.values())))
    scene_ids = sorted({scene_id for scene_id, _ in shared})
    told = f"{len(scene_ids)} recordings of the same name ({', '.join(scene_ids[:3])})"
    return f"{names} hold {told}, which would be asked twice; give each folder under one name, or rename what differs"


def why_nothing(subject: str, asked: Asked) -> str:
    """Why no row comes out."""
    counts = Counter(item.reason for item in asked.skipped if item.reason != SOME_IMAGES) or asked.rejected
    hint = ". Without images only --annotations-only builds rows" if NO_IMAGES in counts else ""
    return f"no question can be asked about {subject}: {_told(counts, asked.skipped)}{hint}"


def _told(counts: Counter[str], skipped: list[Rejected]) -> str:
    examples = {item.reason: f", {item.subject}" for item in reversed(skipped)}
    reasons = [f"{reason} ({n}x{examples.get(reason, '')})" for reason, n in counts.most_common(3)]
    return "; ".join(reasons) or "there are none"


def _leave_out(name: str) -> str:
    return "" if name in EMBEDDED else f"; give another folder, or leave out --source {name}"


def forget_other_videos(work_dir: Path, made_from: Mapping[str, Any]) -> None:
    """Removes clips that an interrupted run left and that this one, of something else, would render otherwise."""
    made_by = {"key": stable_hash(code_version(), json.dumps(made_from, sort_keys=True))}
    place = work_dir / "videos.json"
    if not place.exists() or read_json(place) != made_by:
        for name in ("videos", "rendered"):
            shutil.rmtree(work_dir / name, ignore_errors=True)
        write_json(place, made_by)


def wrong_names(request: BuildRequest) -> list[str]:
    """What is wrong with the names of the sources given."""
    problems = []
    for name in request.paths:
        if name in EMBEDDED:
            problems.append(f"--source {name}=...: lies in no folder; its recipe says all about it")
        elif name not in request.recipe.sources:
            problems.append(f"--source {name}=...: not a source of this recipe{nearest(name, request.recipe.sources)}")
    if not problems and not sources_of(request):
        problems.append(f"give at least one --source NAME=PATH, of: {', '.join(request.recipe.sources)}")
    return problems


def sources_of(request: BuildRequest) -> list[SourceSpec]:
    """The recipe's sources that are at hand, in its order."""
    return [
        source_spec(name, request.paths.get(name), request.recipe)
        for name in request.recipe.sources
        if name in request.paths or name in EMBEDDED
    ]


def source_spec(name: str, path: str | None, recipe: Recipe) -> SourceSpec:
    """A source as it is now."""
    options = json.dumps(recipe.sources.get(name) or {}, sort_keys=True)
    return SourceSpec(name, path, options, state_of(name, path))


def _key(unit: Asking) -> str:
    """What the unit's result depends on."""
    recipe = to_mapping(unit.recipe)
    return stable_hash(code_version(), json.dumps(recipe, sort_keys=True), unit.source, unit.recording, unit.with_video)

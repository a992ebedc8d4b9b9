"""The two units of work behind a dataset, each on one recording: asking its questions, and rendering its clips."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stvlm.dataset import cues
from stvlm.dataset.clips import frame_tolerance_ns, make_clips, nearest
from stvlm.dataset.leakage import frame_hashes
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.rows import SCHEMA, make_row
from stvlm.dataset.variants import seen_otherwise
from stvlm.dataset.video import Shot, VideoSettings, drawn_frames, video_size_px, write_video
from stvlm.engine import KILLED
from stvlm.files import whole_file, write_json
from stvlm.questions.asking import Motion, ask
from stvlm.records import Clip, DataError, ImageError, Noise, Recording, Rejected, Scene, Source
from stvlm.sources import open_source

TRAJECTORY = pa.struct(
    [
        ("domain", pa.string()),
        ("noise", pa.list_(pa.struct([(name, pa.float64()) for name in Noise._fields]))),  # of each object
        ("xyz_m", pa.list_(pa.list_(pa.list_(pa.float64())))),  # (J, n, 3) world frame
        ("world_SE3_camera", pa.list_(pa.list_(pa.float64()))),  # (n, 16)
        ("camera_height_m", pa.float64()),  # over the ground below the first object, at the clip's start
        ("lens", pa.string()),
        ("width_px", pa.int32()),  # of the mp4
    ]
)
"""What lies behind a clip's questions: its objects' positions and its camera's poses at the grid points."""
QUERY = pa.struct([("objects", pa.list_(pa.int8())), ("first", pa.int16()), ("last", pa.int16()), ("hour", pa.int8())])
"""What a row asks, beside its task and wording; see `questions.asking.Query`."""
SHARD_SCHEMA = pa.schema([*SCHEMA, ("query", QUERY), ("trajectory", TRAJECTORY), *cues.SCHEMA])
LIGHT = ("id", "source", "split", "label_type", "scene_id", "camera", "clip_id", "task", "target", "choices",
         "template_id", *cues.SCHEMA.names)  # fmt: skip
"""The columns by which rows are chosen: a hundred bytes a row, where a whole row takes kilobytes."""
_REPEATED = tuple(name for name in LIGHT if SHARD_SCHEMA.field(name).type == pa.string() and name != "id")
"""Those whose values many rows share: each is held once, and of a row its number."""
SHOWN = ("clip_id", "camera", "clip_start_ns", "frame_times_s", "intrinsics_px", "objects")
"""The columns that say what an mp4 shows."""
FAILED, NO_IMAGES, UNREADABLE = "failed: ", "no images", "unreadable recording"
SOME_IMAGES = "some frames have no image"
PASSING = (FAILED, NO_IMAGES, UNREADABLE, KILLED)
"""How the reasons begin that may be the machine's, or of images that may come: the state of a source knows neither."""
ORDER = [(name, "ascending") for name in ("camera", "clip_start_ns", "clip_id", "id")]


@dataclass(frozen=True)
class SourceSpec:
    """A source and where it lies; enough to open it in another process."""

    name: str
    path: str | None
    options: str  # JSON: hashable, so that an open source can be kept
    state: str  # of its files; what was made from them as they were is made again

    def open(self) -> Source:
        """The source, opened once a process."""
        return _open(self)


@lru_cache(maxsize=8)
def _open(spec: SourceSpec) -> Source:
    return open_source(spec.name, Path(spec.path) if spec.path else None, json.loads(spec.options))


class Video(NamedTuple):
    """An mp4: a clip as it is, or a variant of it."""

    clip_id: str
    variant: str = ""

    @property
    def file_name(self) -> str:
        """Its file."""
        return f"{self.clip_id}-{self.variant}.mp4" if self.variant else f"{self.clip_id}.mp4"


class Asking(NamedTuple):
    """The unit of work of `ask_recording`."""

    source: SourceSpec
    recording: Recording
    recipe: Recipe
    with_video: bool


class Rendering(NamedTuple):
    """The unit of work of `render_recording`."""

    source: SourceSpec
    recording: Recording
    recipe: Recipe
    table: Path  # a Parquet file that holds rows of the clips
    videos: frozenset[Video]
    folder: Path  # where they go


def ask_recording(unit: Asking, shard: Path) -> None:
    """Writes the recording's rows, and in the file's metadata why others were left out."""
    rejected: Counter[str] = Counter()
    skipped: list[Rejected] = []
    rows: list[dict[str, Any]] = []
    try:
        for clip in _clips(unit, rejected, skipped):
            asked = ask(Motion.of(clip), unit.recipe.questions, rejected)
            if not asked:
                rejected["clip: nothing to ask"] += 1
            trajectory = _trajectory(clip, unit.recipe.video)
            for query, question in asked:
                row = make_row(clip, query, question, unit.recipe.video)
                split = unit.recipe.splits[row["split"]]
                span = {"objects": query.objects, "first": query.span.first, "last": query.span.last}
                rows.append(row | {"split": split, "query": span | {"hour": query.hour}, "trajectory": trajectory})
    except Exception as error:  # one poisoned recording must not cost the others
        rows, reason = [], f"{FAILED}{type(error).__name__}"
        skipped.append(Rejected(reason, f"{unit.recording.scene_id}: {error}"))
    _write_asked(shard, rows, rejected, skipped)


def give_up_asking(unit: Asking, shard: Path, reason: str) -> None:
    """Writes the shard of a recording that cannot be asked about."""
    _write_asked(shard, [], Counter(), [Rejected(reason, unit.recording.scene_id)])


def _write_asked(shard: Path, rows: list[dict[str, Any]], rejected: Counter[str], skipped: list[Rejected]) -> None:
    schema = pa.schema([SHARD_SCHEMA.field(name) for name in SHARD_SCHEMA.names if name not in cues.SCHEMA.names])
    table = pa.Table.from_pylist(rows, schema).sort_by(ORDER)
    shown = cues.cue_table(table)
    for name in shown.column_names:
        table = table.append_column(shown.schema.field(name), shown.column(name))
    notes = {"rejected": json.dumps(rejected), "skipped": json.dumps(skipped)}
    with whole_file(shard) as temporary:
        pq.write_table(table.replace_schema_metadata(notes), temporary)


class Asked(NamedTuple):
    """What was asked of all recordings, and what was not."""

    shards: Sequence[Path]
    rows: pa.Table  # LIGHT columns, and where each row stands: shard, row
    rejected: Counter[str]  # why tracks and questions were left out
    skipped: list[Rejected]  # recordings and scenes that were left out, whole or but for some frames


def read_asked(shards: Sequence[Path]) -> Asked:
    """What choosing needs of all shards, in their order."""
    rejected: Counter[str] = Counter()
    skipped: list[Rejected] = []
    pieces: list[pa.Table] = []
    tables: list[pa.Table] = []
    for number, shard in enumerate(shards):
        with pq.ParquetFile(shard, read_dictionary=_REPEATED) as file:
            notes: Mapping[bytes, bytes] = file.schema_arrow.metadata
            table = file.read(columns=list(LIGHT)).replace_schema_metadata(None)
        rejected.update(json.loads(notes[b"rejected"]))
        skipped += [Rejected(*item) for item in json.loads(notes[b"skipped"])]
        place = {"shard": np.full(len(table), number, np.int32), "row": np.arange(len(table), dtype=np.int32)}
        for name, values in place.items():
            table = table.append_column(name, pa.array(values))
        tables.append(table)
        if len(tables) == 32:  # a small table takes more memory than its rows
            pieces.append(pa.concat_tables(tables).combine_chunks())
            tables = []
    return Asked(shards, pa.concat_tables([*pieces, *tables]).combine_chunks(), rejected, skipped)


def may_pass(shard: Path) -> bool:
    """Whether something was left out of a shard that the next try may hold though the source's state is the same."""
    skipped = json.loads(pq.read_schema(shard).metadata[b"skipped"])
    return any(reason.startswith(PASSING) for reason, _ in skipped)


def whole_rows(asked: Asked) -> Iterator[pa.Table]:
    """The rows with all their columns, one recording at a time."""
    shard, row = (asked.rows.column(name).to_numpy() for name in ("shard", "row"))
    numbers, first = np.unique(shard, return_index=True)  # rows stand in the order of their shards
    for number, rows in zip(numbers, np.split(row, first[1:]), strict=True):
        table = pq.read_table(asked.shards[number]).replace_schema_metadata(None)
        yield table.take(rows)


def render_recording(unit: Rendering, shard: Path) -> None:
    """Writes the mp4s of the clips, and then which could not be made and why, and the frame hashes of the others."""
    rows = pq.read_table(unit.table, columns=list(SHOWN))
    rows = rows.filter(pc.is_in(rows.column("clip_id"), pa.array(sorted({clip_id for clip_id, _ in unit.videos}))))
    clip = {row["clip_id"]: row for row in rows.to_pylist()}
    missing = {video for video in unit.videos if not (unit.folder / video.file_name).exists()}
    failed: dict[str, str] = {}
    for scene in unit.source.open().scenes(unit.recording) if missing else ():
        if isinstance(scene, Rejected) or scene.frames is None:
            continue
        size_px = video_size_px(scene.camera, unit.recipe.video)
        for video in sorted(video for video in missing if clip[video.clip_id]["camera"] == scene.camera.name):
            missing.discard(video)
            try:
                shot = make_shot(scene, clip[video.clip_id], size_px[0], video.variant)
                images = drawn_frames(scene.frames, shot, size_px)
                write_video(unit.folder / video.file_name, images, unit.recipe.video, shot.step_s)
            except ImageError as error:
                failed[video.clip_id] = str(error)
    camera = {clip_id: clip[clip_id]["camera"] for clip_id, _ in missing}
    failed |= {clip_id: f"{unit.recording.scene_id} {name}: has no images" for clip_id, name in camera.items()}
    made = [video for video in unit.videos if not video.variant and video.clip_id not in failed]
    hashes = {video.clip_id: frame_hashes(unit.folder / video.file_name) for video in made}
    write_json(shard, {"failed": failed, "hashes": hashes})


def make_shot(scene: Scene, row: Mapping[str, Any], width_px: int, variant: str = "") -> Shot:
    """What the mp4 of a row shows, or of a variant of it, as frames of its scene; raises ImageError where one lacks."""
    row = seen_otherwise(row, variant, width_px)
    times_s = np.array(row["frame_times_s"])
    if variant == "reversed":
        times_s = times_s[-1] - times_s
    at_ns = row["clip_start_ns"] + np.rint(times_s * 1e9).astype(np.int64)
    boxes_px = [[box or [np.nan] * 4 for box in item["boxes_px"]] for item in row["objects"]]
    step_s = row["frame_times_s"][1] - row["frame_times_s"][0]
    colors = [item["color"] for item in row["objects"]]
    frame_index = nearest(scene.frame_times_ns, at_ns)
    away_ns = np.abs(scene.frame_times_ns[frame_index] - at_ns)
    if away_ns.max() > frame_tolerance_ns(scene):  # rows may come from where all images are, and these not
        raise ImageError(f"{scene.scene_id} {scene.camera.name}: has no image at {at_ns[away_ns.argmax()]} ns")
    return Shot(frame_index, np.array(boxes_px), colors, step_s, variant == "mirrored")


def give_up_rendering(unit: Rendering, shard: Path, reason: str) -> None:
    """Writes that none of the recording's clips that are not there yet could be made."""
    lost = {video.clip_id for video in unit.videos if not (unit.folder / video.file_name).exists()}
    failed = dict.fromkeys(sorted(lost), f"{unit.recording.scene_id}: {reason}")
    write_json(shard, {"failed": failed, "hashes": {}})


def _clips(unit: Asking, rejected: Counter[str], skipped: list[Rejected]) -> list[Clip]:
    """The recording's clips; a scene that cannot be used, or not in all frames, is added to `skipped`."""
    scenes: list[Scene] = []
    try:
        for scene in unit.source.open().scenes(unit.recording):
            if isinstance(scene, Rejected):
                skipped.append(scene)
            elif not unit.with_video:
                scenes.append(replace(scene, frames=None))  # whether an image exists must not matter
            else:
                lacking = _images_lacking(scene)
                skipped += [lacking] if lacking else []
                scenes += [] if lacking and lacking.reason == NO_IMAGES else [scene]
    except DataError as error:
        skipped.append(Rejected(UNREADABLE, str(error)))
        return []
    return list(make_clips(scenes, unit.recipe.visibility, unit.recipe.clips, rejected))


def _images_lacking(scene: Scene) -> Rejected | None:
    """How many of a scene's images are not there, or where the first was looked for if none is; None if all are."""
    subject = f"{scene.scene_id} {scene.camera.name}"
    if scene.frames is None:
        return Rejected(NO_IMAGES, subject)
    available = scene.frames.available()
    if available.any():
        n = int((~available).sum())
        return Rejected(SOME_IMAGES, f"{subject}: {n} of {len(available)}") if n else None
    try:
        scene.frames.read(0)
    except ImageError as error:
        subject = f"{subject}: {error}"
    return Rejected(NO_IMAGES, subject)


def _trajectory(clip: Clip, settings: VideoSettings) -> dict[str, Any]:
    n, scene = len(clip.frame_index), clip.scene
    return {
        "domain": scene.domain,
        "noise": [noise._asdict() for noise in Motion.of(clip).noise],
        "xyz_m": clip.xyz_m.tolist(),
        "world_SE3_camera": scene.world_SE3_camera[clip.frame_index].reshape(n, 16).tolist(),
        "camera_height_m": _camera_height_m(clip),
        "lens": scene.camera.lens,
        "width_px": video_size_px(scene.camera, settings)[0],
    }


def _camera_height_m(clip: Clip) -> float | None:
    """How far the camera is above the foot of the first object's box, at the clip's start; None where it has no box."""
    first = clip.tracks[0]
    if first.size_lwh_m is None:
        return None
    height_m = first.size_lwh_m[np.searchsorted(first.times_ns, clip.start_ns).clip(max=len(first.times_ns) - 1), 2]
    camera_m = clip.scene.world_SE3_camera[clip.frame_index[0], 2, 3]
    return float(camera_m - (clip.xyz_m[0, 0, 2] - height_m / 2))

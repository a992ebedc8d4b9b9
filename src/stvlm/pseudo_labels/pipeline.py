"""Plain video -> recordings with tracks, stage by stage; what each makes is kept under what it was made from, and how.

    excerpts    shots of a video, and the frames of them that are looked at
    objects     boxes and masks of what moves
    geometry    how the camera moved, and depth where the tool tells it
    depth       depth in metres, by a network
    scale       the camera's poses in metres, upright
    lifting     places in the world
    smoothing   paths
    filters     what is kept of them, as a recording

A stage with networks or a tool is run for all excerpts before the next begins, so that networks are loaded once a
process, and such stages can run on machines of their own; the others are run together, excerpt by excerpt. A result
lies in <work>/<stage>/<key>, and its key is a hash of the stage's options, of the excerpt's content, and of the keys of
what it reads: what depends on an option is made again where that changes, and nothing else. What this package's own
code makes depends on that code as well; what networks and tools make, which takes hours, does not.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stvlm.engine import KILLED, Engine, run_units
from stvlm.files import write_json
from stvlm.hashing import code_version, stable_hash
from stvlm.pseudo_labels import stages
from stvlm.pseudo_labels.artefacts import LiftedTrack, MetricDepth, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.filters import OF_FRAMES, OF_PLACES, Label
from stvlm.pseudo_labels.geometry import READERS
from stvlm.pseudo_labels.gravity import ground_of
from stvlm.pseudo_labels.licences import joined
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.pseudo_labels.scale import Scale
from stvlm.pseudo_labels.scenes import scene_of
from stvlm.pseudo_labels.steps import (
    TOOL_FAILED,
    World,
    depth_of,
    geometry_of,
    labels_of,
    lifted,
    objects_of,
    smoothed,
    world_of,
)
from stvlm.pseudo_labels.videos import open_videos
from stvlm.pseudo_labels.videos.excerpts import excerpts
from stvlm.pseudo_labels.videos.video import Video, VideoSource, excerpt
from stvlm.pseudo_labels.views import View, view_of
from stvlm.records import DataError, ImageError, Recording, Rejected

NOTHING_MOVES = "nothing in it moves for sure"
UNREADABLE, OUT_OF_MEMORY = "an image does not decode", "out of the GPU's memory"
PASSING = (TOOL_FAILED, UNREADABLE, OUT_OF_MEMORY, KILLED)
"""Reasons that may be the machine's, or of files that may come: tried again in the next run."""
COST = "cost.json"
OF_FRAME = ("boxes_px", "score", "truncated", "occluded")
"""What a track of a video's own boxes has for each frame."""
TIME_TOLERANCE_S = 1e-6
LINK = "images"
"""What the video, or the folder of its images, is called in its recording."""


@dataclass(frozen=True)
class Request:
    """Video that is to be labelled."""

    recipe: PseudoLabelling
    paths: Mapping[str, str | None]
    """Where each collection lies; None for the simulation."""
    limit: int | None = None
    """At most this many videos of each collection."""
    engine: Engine = field(default_factory=Engine)
    gpu_engine: Engine | None = None
    """Where stages run that use a GPU; where the others do, if None."""

    def __post_init__(self) -> None:
        for name in self.paths:
            if name not in self.recipe.sources:
                known = ", ".join(self.recipe.sources)
                raise DataError(f"--source {name}=...: not a collection of this recipe, which has: {known}")
        if not self.paths:
            raise DataError(f"give at least one --source NAME=PATH, of: {', '.join(self.recipe.sources)}")


class Collection(NamedTuple):
    """A collection of videos and where it lies; enough to open it in another process."""

    name: str
    path: str | None
    options: str  # JSON: hashable, so that an open one can be kept

    def open(self) -> VideoSource:
        """The collection, opened once a process."""
        return _open(self)


@lru_cache(maxsize=8)
def _open(collection: Collection) -> VideoSource:
    path = None if collection.path is None else Path(collection.path)
    return open_videos(collection.name, path, json.loads(collection.options))


@lru_cache(maxsize=1)
def _video(collection: Collection, recording: Recording) -> Video | Rejected:
    return collection.open().video(recording)


class Excerpt(NamedTuple):
    """A part of a video."""

    collection: Collection
    recording: Recording  # of the video
    name: str
    frames: tuple[int, ...]
    content: str  # hash of all that is known of its images

    def video(self) -> Video:
        """The part alone."""
        video = _video(self.collection, self.recording)
        if isinstance(video, Rejected):
            raise DataError(f"{self.recording.scene_id}: {video.reason}; it was another video before; run it again")
        return excerpt(video, np.array(self.frames), self.name)


class Cut(NamedTuple):
    """The unit of work of `cut_video`."""

    collection: Collection
    recording: Recording
    recipe: PseudoLabelling
    key: str


class Unit(NamedTuple):
    """The unit of work of `run_stages`: some stages of one excerpt."""

    stages: tuple[str, ...]
    excerpt: Excerpt
    recipe: PseudoLabelling
    folders: Mapping[str, Path]
    """Where each stage's result is, or will be."""


class Stage(NamedTuple):
    """What makes a result from those of others."""

    run: Callable[[Unit, Path], Rejected | None]
    options: Callable[[PseudoLabelling], Any]
    """Of the recipe, what its result depends on."""
    reads: Callable[[PseudoLabelling], tuple[str, ...]] = lambda recipe: ()
    """The stages whose results it reads."""
    is_slow: Callable[[PseudoLabelling], bool] = lambda recipe: False
    """Whether a network or tool makes it: then it may need a GPU, and outlives a change of this package's code."""
    is_there: Callable[[PseudoLabelling], bool] = lambda recipe: True


class Done(NamedTuple):
    """What became of an excerpt: the folders of its stages' results, up to one that rejected it."""

    excerpt: Excerpt
    folders: Mapping[str, Path]
    rejected: Rejected | None

    @property
    def recording(self) -> Path:
        """The folder of its recording, where it has labels."""
        return self.folders["filters"]


class Outcome(NamedTuple):
    """What became of all videos."""

    excerpts: list[Done]
    rejected: dict[str, list[Rejected]]  # by stage
    folders: dict[str, list[Path]]  # results, by stage

    @property
    def labelled(self) -> list[Done]:
        """The excerpts that have labels."""
        return [done for done in self.excerpts if done.rejected is None]


def label_videos(request: Request, work: Path) -> Outcome:
    """Runs all stages for all videos, going on where an interrupted run stopped; raises DataError."""
    outcome = Outcome([], defaultdict(list), defaultdict(list))
    left: list[tuple[Excerpt, Mapping[str, Path]]] = [
        (excerpt, _folders(excerpt, request.recipe, work)) for excerpt in _cut(request, work, outcome)
    ]
    names_of = Counter(excerpt.name for excerpt, _ in left)
    if twice := [name for name, n in names_of.items() if n > 1]:
        raise DataError(f"two collections hold a video {twice[0]!r}; rename one, or label them into two folders")
    for names in _passes(request.recipe):
        units = [Unit(names, excerpt, request.recipe, folders) for excerpt, folders in left]
        slow = STAGES[names[0]].is_slow(request.recipe) and request.gpu_engine is not None
        engine = request.gpu_engine if slow else request.engine
        _run(run_stages, [(unit, unit.folders[names[-1]]) for unit in units], engine, ", ".join(names), _give_up)
        left = []
        for unit in units:
            failed = stages.read_manifest(unit.folders[names[-1]])
            done = names
            if failed.kind == "rejected":
                stage, reason, subject = (failed.details[key] for key in ("stage", "reason", "subject"))
                outcome.rejected[stage].append(Rejected(reason, subject))
                outcome.excerpts.append(Done(unit.excerpt, unit.folders, outcome.rejected[stage][-1]))
                done = names[: names.index(stage) + 1]
            else:
                left.append((unit.excerpt, unit.folders))
            for name in done:
                outcome.folders[name].append(unit.folders[name])
    outcome.excerpts.extend(Done(excerpt, folders, None) for excerpt, folders in left)
    return outcome


def _passes(recipe: PseudoLabelling) -> list[tuple[str, ...]]:
    """The stages there are: each slow one alone, and others that follow each other together."""
    passes: list[tuple[str, ...]] = []
    for name, stage in STAGES.items():
        if not stage.is_there(recipe):
            continue
        if stage.is_slow(recipe) or not passes or STAGES[passes[-1][0]].is_slow(recipe):
            passes.append((name,))
        else:
            passes[-1] = (*passes[-1], name)
    return passes


def _cut(request: Request, work: Path, outcome: Outcome) -> list[Excerpt]:
    """The excerpts of all videos."""
    units = []
    options = _plain(request.recipe.cutting)
    for name, path in request.paths.items():
        collection = Collection(name, path, json.dumps(dict(request.recipe.sources[name]), sort_keys=True))
        source = collection.open()
        items = source.recordings()
        outcome.rejected["excerpts"] += [item for item in items if isinstance(item, Rejected)]
        for recording in [item for item in items if isinstance(item, Recording)][: request.limit]:
            state = _state(source.files(recording))
            key = stable_hash(code_version(), options, collection, recording, state)
            units.append(Cut(collection, recording, request.recipe, key))
    folders = [work / "excerpts" / unit.key for unit in units]
    _run(cut_video, list(zip(units, folders, strict=True)), request.engine, "excerpts", _give_up_cutting, "video")
    outcome.folders["excerpts"] += folders
    found = []
    for unit, folder in zip(units, folders, strict=True):
        details = stages.read_manifest(folder).details
        outcome.rejected["excerpts"] += [Rejected(*item) for item in details["rejected"]]
        for item in details["excerpts"]:
            frames = tuple(item["frames"])
            found.append(Excerpt(unit.collection, unit.recording, item["name"], frames, item["content"]))
    return found


def _folders(excerpt: Excerpt, recipe: PseudoLabelling, work: Path) -> dict[str, Path]:
    """Where the results of an excerpt's stages are, whether they are there or not."""
    folders: dict[str, Path] = {}
    for name, stage in STAGES.items():
        if stage.is_there(recipe):
            version = "" if stage.is_slow(recipe) else code_version()
            read = [folders[other].name for other in stage.reads(recipe) if other in folders]
            folders[name] = work / name / stable_hash(version, _plain(stage.options(recipe)), excerpt.content, *read)
    return folders


def _plain(options: Any) -> str:
    return json.dumps(options, sort_keys=True, default=asdict)


def _run(
    do: Callable[[Any, Path], None],
    units: Sequence[tuple[Any, Path]],
    engine: Engine | None,
    title: str,
    give_up: Callable[[Any, Path, str], None],
    kind: str = "excerpt",
) -> None:
    """Has all units done whose folders are not whole."""
    shards = [(unit, folder / stages.MANIFEST) for unit, folder in units]
    for _, shard in shards:
        if shard.exists() and not _is_whole(shard.parent):
            shard.unlink()
    run_units(do, shards, engine, title, give_up, kind)


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds a result, or a reason against one that cannot have passed since."""
    try:
        return stages.read_manifest(folder).details.get("reason") not in PASSING
    except DataError:
        return False


# --- in the workers ---------------------------------------------------------------------------------------------------


def cut_video(unit: Cut, shard: Path) -> None:
    """Finds the excerpts of a video."""
    began_s = time.perf_counter()
    video = _video(unit.collection, unit.recording)
    items = [video] if isinstance(video, Rejected) else excerpts(video, unit.recipe.cutting)
    found, left_out = [], {}
    if isinstance(video, Video):
        left_out = {f"box: {reason}": n for reason, n in video.left_out.items()}
        for part in items:
            if isinstance(part, Video):
                at_s = part.start_s - video.start_s + part.times_s
                frames = np.searchsorted(video.times_s, at_s - TIME_TOLERANCE_S).tolist()
                found.append({"name": part.recording.scene_id, "frames": frames, "content": _content(part)})
    details = {"excerpts": found, "rejected": [item for item in items if isinstance(item, Rejected)]}
    stages.write_details(shard.parent, "excerpts", details, unit.key, {}, left_out)
    _note_cost(shard.parent, began_s)


def _give_up_cutting(unit: Cut, shard: Path, reason: str) -> None:
    details = {"excerpts": [], "rejected": [Rejected(reason, unit.recording.scene_id)], "reason": reason}
    stages.write_details(shard.parent, "excerpts", details, unit.key, {})


def run_stages(unit: Unit, shard: Path) -> None:
    """Makes the results of some stages, one after the other, up to one that rejects the excerpt."""
    for name in unit.stages:
        stage, folder = STAGES[name], unit.folders[name]
        if (folder / stages.MANIFEST).exists() and _is_whole(folder):
            found = stages.read_manifest(folder)
            if found.kind != "rejected":
                continue
            _reject(unit, name, Rejected(found.details["reason"], found.details["subject"]), found.details["stage"])
            break
        began_s = time.perf_counter()
        if stage.is_slow(unit.recipe):
            _choose_gpu()
        try:
            rejected = stage.run(unit, folder)
        except ImageError as error:
            rejected = Rejected(UNREADABLE, str(error))
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":
                raise
            rejected = Rejected(OUT_OF_MEMORY)
        if rejected is not None:
            _reject(unit, name, rejected)
        _note_cost(folder, began_s)
        if rejected is not None:
            break


def _give_up(unit: Unit, shard: Path, reason: str) -> None:
    begun = [name for name in unit.stages if not (unit.folders[name] / stages.MANIFEST).exists()]
    _reject(unit, begun[0], Rejected(reason))


def _reject(unit: Unit, stage: str, rejected: Rejected, by: str = "") -> None:
    """Says of a stage, and of those of the unit that would follow, that there is no result; `by`: the stage that said
    so, if it was another.
    """
    details = {"stage": by or stage, "reason": rejected.reason, "subject": rejected.subject or unit.excerpt.name}
    for name in unit.stages[unit.stages.index(stage) :]:
        folder = unit.folders[name]
        if not (folder / stages.MANIFEST).exists():
            stages.write_details(folder, "rejected", details, folder.name, {})


def _note_cost(folder: Path, began_s: float) -> None:
    write_json(folder / COST, {"seconds": round(time.perf_counter() - began_s, 3), **_peak_mb()})


def _choose_gpu() -> None:
    """On a machine with several GPUs, each worker process has its own, and so have the tools that it runs."""
    import multiprocess

    number = multiprocess.current_process()._identity
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = given.split(",") if given else [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]
    if number and len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[(number[0] - 1) % len(gpus)]


def _peak_mb() -> dict[str, float]:
    """The most memory that this process has had so far, and that PyTorch has had on a GPU."""
    unit = 1024 if sys.platform == "linux" else 1024**2
    peak = {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak["gpu_peak_mb"] = round(torch.cuda.max_memory_allocated() / 1024**2, 1)
    return peak


def _view(unit: Unit) -> View:
    return view_of(unit.excerpt.video(), unit.recipe.most_side_px)


def _run_objects(unit: Unit, folder: Path) -> Rejected | None:
    found = objects_of(_view(unit), unit.recipe.objects)
    if isinstance(found, Rejected):
        return found
    stages.write_object_tracks(folder, found, folder.name, asdict(unit.recipe.objects))
    return None


def _run_geometry(unit: Unit, folder: Path) -> Rejected | None:
    found = geometry_of(_view(unit), _objects(unit), unit.recipe, folder / "tool")
    if isinstance(found, Rejected):
        return found
    stages.write_geometry(folder, found, folder.name, asdict(unit.recipe.geometry))
    return None


def _run_depth(unit: Unit, folder: Path) -> Rejected | None:
    found = depth_of(_view(unit), unit.recipe.depth)
    if isinstance(found, Rejected):
        return found
    stages.write_metric_depth(folder, found, folder.name, asdict(unit.recipe.depth))
    return None


def _run_scale(unit: Unit, folder: Path) -> Rejected | None:
    geometry = stages.read_geometry(unit.folders["geometry"])
    height_m = unit.excerpt.video().camera_height_m
    found = world_of(geometry, _depth(unit), _objects(unit), height_m, unit.recipe)
    if isinstance(found, Rejected):
        return found
    # Where its maps lie already they need not lie twice.
    dense = None if found.geometry.depth is None else "geometry" if found.depth_is_own else "depth"
    ground = found.ground
    notes = {
        "scale": found.scale._asdict(),
        "up_by": found.up_by,
        "depth_of": dense,
        "ground": None if ground is None else [ground.height_m, ground.slope_rad, ground.height_sigma],
        "path_sigma": found.path_sigma,
    }
    poses = replace(found.geometry, depth=None, crop=None, confidence=None, moving=None)
    stages.write_geometry(folder, poses, folder.name, asdict(unit.recipe.scale), notes)
    return None


def _world(unit: Unit) -> World:
    """What the stage `scale` found, with the maps that it left where they are."""
    folder = unit.folders["scale"]
    poses, notes = stages.read_geometry(folder), stages.read_manifest(folder, "geometry").notes
    scale = Scale(**notes["scale"])
    if notes["depth_of"] == "geometry":
        maps = stages.read_geometry(unit.folders["geometry"])
        assert maps.depth is not None
        depth = maps.depth if scale.factor == 1 else maps.depth * np.float32(scale.factor)
        poses = replace(poses, depth=depth, crop=maps.crop, confidence=maps.confidence, moving=maps.moving)
    elif notes["depth_of"] == "depth":
        metric = _depth(unit)
        assert metric is not None
        poses = replace(poses, depth=metric.depth_m, crop=metric.crop)
    ground = None if notes["ground"] is None else ground_of(poses, *notes["ground"])
    return World(poses, scale, notes["up_by"], notes["depth_of"] == "geometry", ground, notes["path_sigma"])


def _objects(unit: Unit) -> ObjectTracks:
    return stages.read_object_tracks(unit.folders["objects"])


def _depth(unit: Unit) -> MetricDepth | None:
    return stages.read_metric_depth(unit.folders["depth"]) if "depth" in unit.folders else None


def _run_lifting(unit: Unit, folder: Path) -> None:
    found, left_out = lifted(_objects(unit), _world(unit), unit.recipe)
    _write_tracks(unit, folder, found, asdict(unit.recipe.lifting), left_out)


def _run_smoothing(unit: Unit, folder: Path) -> None:
    found = smoothed(_tracks(unit, "lifting"), _world(unit), unit.recipe)
    _write_tracks(unit, folder, found, asdict(unit.recipe.smoothing))


def _write_tracks(
    unit: Unit,
    folder: Path,
    found: Mapping[str, LiftedTrack | Rejected],
    options: Mapping[str, Any],
    left_out: Mapping[str, int] | None = None,
) -> None:
    tracks = [track for track in found.values() if not isinstance(track, Rejected)]
    counts, notes = _why_not(found)
    counts |= left_out or {}
    stages.write_lifted_tracks(folder, tracks, _made_by(unit), folder.name, options, counts, notes)


def _why_not(found: Mapping[str, object]) -> tuple[dict[str, int], dict[str, Any]]:
    """How many tracks were rejected for each reason, and which for which."""
    rejected = {track_id: item.reason for track_id, item in found.items() if isinstance(item, Rejected)}
    counts = Counter(f"track: {reason}" for reason in rejected.values())
    return dict(counts), {"rejected": rejected}


def labels_in(done: Done, recipe: PseudoLabelling) -> dict[str, Label | Rejected]:
    """The label of each object of an excerpt, or why it has none."""
    objects = stages.read_object_tracks(done.folders["objects"])
    if done.rejected is not None and done.rejected.reason != NOTHING_MOVES:
        return {track.track_id: done.rejected for track in objects.tracks}
    unit = Unit((), done.excerpt, recipe, done.folders)
    labels: dict[str, Label | Rejected] = {}
    for name in ("lifting", "smoothing"):
        rejected = stages.read_manifest(done.folders[name]).notes["rejected"]
        labels.update({track_id: Rejected(reason) for track_id, reason in rejected.items()})
    found = labels_of(_tracks(unit, "smoothing"), _objects(unit), _world(unit), recipe.filters)
    assert not isinstance(found, Rejected)
    return labels | found


def _run_filters(unit: Unit, folder: Path) -> Rejected | None:
    world = _world(unit)
    found = labels_of(_tracks(unit, "smoothing"), _objects(unit), world, unit.recipe.filters)
    if isinstance(found, Rejected):
        return found
    labels = [label for label in found.values() if not isinstance(label, Rejected)]
    if not any(label.moving for label in labels):
        return Rejected(NOTHING_MOVES)
    view, made_by = _view(unit), _made_by(unit)
    scene = scene_of(view, world, _objects(unit), labels, made_by)
    counts, notes = _why_not(found)
    if still := sum(not label.moving for label in labels):
        counts["track: stationary"] = still
    notes |= {"grades": dict(Counter(track.grade for track in scene.tracks)), "licence": scene.licence}
    options = asdict(unit.recipe.filters)
    stages.write_scene(folder, scene, _images(view.video), made_by, folder.name, options, counts, notes)
    return None


def _tracks(unit: Unit, stage: str) -> dict[str, LiftedTrack]:
    return {track.track_id: track for track in stages.read_lifted_tracks(unit.folders[stage])}


def _made_by(unit: Unit) -> Provenance:
    """Who found objects, geometry and depth."""
    names = [name for name in ("objects", "geometry", "depth") if name in unit.folders]
    return joined(*(stages.read_manifest(unit.folders[name]).provenance for name in names))


def _images(video: Video) -> list[Any] | None:
    """Where a recording's images are, from its folder: the video is linked there, or the folder of its images."""
    if video.images is None:
        return None
    return [
        f"{LINK}/{Path(image).name}" if isinstance(image, str) else (f"{LINK}{Path(image[0]).suffix}", image[1])
        for image in video.images
    ]


def _content(video: Video) -> str:
    """A hash of what is known of an excerpt: of its files their size and time, not their bytes."""
    found = _state({Path(image if isinstance(image, str) else image[0]) for image in video.images or ()})
    boxes = [] if video.boxes is None else [_known(track) for track in video.boxes.tracks]
    poses = [] if video.world_SE3_camera is None else video.world_SE3_camera.tolist()
    numbers = [image if isinstance(image, str) else image[1] for image in video.images or ()]
    known = (video.recording, video.domain, video.camera, video.camera_height_m, video.licence, video.image_size_px,
             video.to_follow)  # fmt: skip
    return stable_hash(known, found, [Path(str(n)).name for n in numbers], video.times_s.tolist(), boxes, poses)


def _known(track: ObjectTrack) -> list[Any]:
    masks = [None if mask is None else mask.tolist() for mask in track.masks or ()]
    return [
        track.track_id,
        track.category,
        track.hidden_foot,
        masks,
        *(getattr(track, name).tolist() for name in OF_FRAME),
    ]


def _state(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Names, sizes and times of files, which tell when one was changed."""
    found = []
    for path in sorted(files):
        with suppress(OSError):  # a link that leads nowhere
            found.append((path.name, path.stat().st_size, path.stat().st_mtime_ns))
    return found


def _of_tool(recipe: PseudoLabelling) -> bool:
    return recipe.geometry.by in READERS


def _of_networks(recipe: PseudoLabelling) -> bool:
    return recipe.objects.by != "annotations"


def _limits(recipe: PseudoLabelling, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(recipe.filters, name) for name in names}


_TO_LIFT = ("objects", "geometry", "depth", "scale")


STAGES: Mapping[str, Stage] = {
    "objects": Stage(
        _run_objects,
        lambda recipe: [
            recipe.objects.by,
            getattr(recipe.objects, recipe.objects.by, recipe.objects.following),
            recipe.most_side_px,
        ],
        is_slow=_of_networks,
    ),
    "geometry": Stage(
        _run_geometry,
        lambda recipe: [
            replace(recipe.geometry, timeout_s=None),
            recipe.most_side_px,
            # By which a camera's height is told; a tool does not ask.
            None if _of_tool(recipe) else (recipe.lifting.region, recipe.lifting.edge_px),
        ],
        lambda recipe: () if _of_tool(recipe) else ("objects",),  # which are masked out
        is_slow=_of_tool,
    ),
    "depth": Stage(
        _run_depth,
        lambda recipe: [recipe.depth.by, getattr(recipe.depth, recipe.depth.by, None), recipe.most_side_px],
        is_slow=lambda recipe: True,
        is_there=lambda recipe: recipe.depth.by != "none",
    ),
    "scale": Stage(
        _run_scale,
        lambda recipe: [recipe.scale, recipe.ground, recipe.lifting.region, recipe.lifting.edge_px],
        lambda recipe: ("objects", "geometry", "depth"),
    ),
    "lifting": Stage(
        _run_lifting, lambda recipe: [recipe.lifting, _limits(recipe, OF_FRAMES)], lambda recipe: _TO_LIFT
    ),
    "smoothing": Stage(
        _run_smoothing,
        lambda recipe: [recipe.smoothing, _limits(recipe, OF_PLACES)],
        lambda recipe: (*_TO_LIFT, "lifting"),
    ),
    "filters": Stage(_run_filters, lambda recipe: recipe.filters, lambda recipe: (*_TO_LIFT, "smoothing")),
}
"""In the order in which they run, once videos are cut."""

"""Plain video -> recordings with tracks, stage by stage; what each makes is kept under what it was made from, and how.

    excerpts    shots of a video, and the frames of them that are looked at
    objects     boxes and masks of what moves
    geometry    how the camera moved, and depth where the tool tells it
    depth       depth in metres, by a network
    scale       the camera's poses in metres, upright
    lifting     places in the world
    smoothing   paths
    filters     what is kept of them, as a recording

Each stage is run for all excerpts before the next begins, so that its networks are loaded once a process, and stages
can run on machines of their own. A result lies in <work>/<stage>/<key>, and its key is a hash of the stage's options,
of the excerpt's content, and of the keys of what it reads: what depends on an option is made again where that changes,
and nothing else. What this package's own code makes depends on that code as well; what networks and tools make, which
takes hours, does not.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stvlm.engine import KILLED, Engine, run_units
from stvlm.files import write_json
from stvlm.hashing import code_version, stable_hash
from stvlm.pseudo_labels import stages
from stvlm.pseudo_labels.artefacts import MetricDepth, Provenance
from stvlm.pseudo_labels.filters import OF_FRAMES, OF_PLACES
from stvlm.pseudo_labels.geometry import READERS
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
from stvlm.sources import state_of

UNREADABLE, OUT_OF_MEMORY = "an image does not decode", "out of the GPU's memory"
PASSING = (TOOL_FAILED, UNREADABLE, OUT_OF_MEMORY, KILLED)
"""Reasons that may be the machine's, or of files that may come: tried again in the next run."""
COST = "cost.json"
TIME_TOLERANCE_S = 1e-6
LINK = "images"
"""What the video, or the folder of its images, is called in its recording."""


@dataclass(frozen=True)
class Request:
    """Video that is to be labelled."""

    recipe: PseudoLabelling
    paths: Mapping[str, str]
    """Where each collection lies."""
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
    path: str
    options: str  # JSON: hashable, so that an open one can be kept

    def open(self) -> VideoSource:
        """The collection, opened once a process."""
        return _open(self)


@lru_cache(maxsize=8)
def _open(collection: Collection) -> VideoSource:
    return open_videos(collection.name, Path(collection.path), json.loads(collection.options))


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


class Unit(NamedTuple):
    """What a stage does for one excerpt, or, to cut it, for one video."""

    stage: str
    about: Excerpt | tuple[Collection, Recording]
    recipe: PseudoLabelling
    results: Mapping[str, Path]
    """The folders of the stages before."""
    key: str


class Stage(NamedTuple):
    """What makes a result from those of others."""

    run: Callable[[Unit, Path], None]
    options: Callable[[PseudoLabelling], Any]
    """Of the recipe, what its result depends on."""
    reads: Callable[[PseudoLabelling], tuple[str, ...]] = lambda recipe: ()
    """The stages whose results it reads."""
    is_slow: Callable[[PseudoLabelling], bool] = lambda recipe: False
    """Whether a network or tool makes it: then it may need a GPU, and outlives a change of this package's code."""
    is_there: Callable[[PseudoLabelling], bool] = lambda recipe: True


class Labelled(NamedTuple):
    """An excerpt that has labels, and the folder of its recording."""

    excerpt: Excerpt
    recording: Path


class Outcome(NamedTuple):
    """What became of all videos."""

    labelled: list[Labelled]
    rejected: dict[str, list[Rejected]]  # by stage
    folders: dict[str, list[Path]]  # results, by stage


def label_videos(request: Request, work: Path) -> Outcome:
    """Runs all stages for all videos, going on where an interrupted run stopped; raises DataError."""
    outcome = Outcome([], {name: [] for name in STAGES}, {name: [] for name in STAGES})
    results: dict[Excerpt, dict[str, Path]] = {}
    for number in _cut(request, work, outcome):
        results[number] = {}
    for name, stage in STAGES.items():
        if name == "excerpts" or not stage.is_there(request.recipe):
            continue
        units = [_unit(name, about, request.recipe, done, work) for about, done in results.items()]
        folders = _run(name, units, request, work)
        outcome.folders[name] += folders
        for unit, folder in zip(units, folders, strict=True):
            assert isinstance(unit.about, Excerpt)
            if (rejected := _rejection(folder)) is None:
                results[unit.about][name] = folder
            else:
                outcome.rejected[name].append(rejected)
                del results[unit.about]
    outcome.labelled.extend(Labelled(about, done["filters"]) for about, done in results.items())
    return outcome


def _cut(request: Request, work: Path, outcome: Outcome) -> list[Excerpt]:
    """The excerpts of all videos."""
    units = []
    for name, path in request.paths.items():
        collection = Collection(name, path, json.dumps(dict(request.recipe.sources[name]), sort_keys=True))
        videos = []
        for item in collection.open().recordings():
            if isinstance(item, Rejected):
                outcome.rejected["excerpts"].append(item)
            else:
                videos.append(item)
        for recording in videos[: request.limit]:
            options = _options("excerpts", request.recipe)
            key = stable_hash("excerpts", code_version(), options, collection, recording, state_of(name, path))
            units.append(Unit("excerpts", (collection, recording), request.recipe, {}, key))
    found = []
    folders = _run("excerpts", units, request, work)
    outcome.folders["excerpts"] += folders
    for unit, folder in zip(units, folders, strict=True):
        details = stages.read_manifest(folder).details
        outcome.rejected["excerpts"] += [Rejected(*item) for item in details["rejected"]]
        for item in details["excerpts"]:
            collection, recording = unit.about[:2]
            assert isinstance(collection, Collection) and isinstance(recording, Recording)
            found.append(Excerpt(collection, recording, item["name"], tuple(item["frames"]), item["content"]))
    return found


def _unit(name: str, about: Excerpt, recipe: PseudoLabelling, done: Mapping[str, Path], work: Path) -> Unit:
    stage = STAGES[name]
    results = {other: done[other] for other in stage.reads(recipe) if other in done}
    version = "" if stage.is_slow(recipe) else code_version()
    keys = [folder.name for _, folder in sorted(results.items())]
    return Unit(name, about, recipe, results, stable_hash(name, version, _options(name, recipe), about.content, *keys))


def _options(name: str, recipe: PseudoLabelling) -> str:
    return json.dumps(STAGES[name].options(recipe), sort_keys=True, default=asdict)


def _run(name: str, units: Sequence[Unit], request: Request, work: Path) -> list[Path]:
    """Has a stage done for all units; the folder of each."""
    folders = [work / name / unit.key for unit in units]
    for folder in folders:
        _forget_unless_whole(folder)
    engine = request.engine
    if STAGES[name].is_slow(request.recipe) and request.gpu_engine is not None:
        engine = request.gpu_engine
    shards = [(unit, folder / stages.MANIFEST) for unit, folder in zip(units, folders, strict=True)]
    run_units(run_stage, shards, engine, name, _give_up)
    return folders


def _forget_unless_whole(folder: Path) -> None:
    """Removes the manifest of what is damaged, and of what was rejected for a reason that may have passed."""
    manifest = folder / stages.MANIFEST
    if not manifest.exists():
        return
    try:
        again = stages.read_manifest(folder).details.get("reason") in PASSING
    except DataError:
        again = True
    if again:
        manifest.unlink()


def _rejection(folder: Path) -> Rejected | None:
    manifest = stages.read_manifest(folder)
    return Rejected(**manifest.details) if manifest.kind == "rejected" else None


# --- in the workers ---------------------------------------------------------------------------------------------------


def run_stage(unit: Unit, shard: Path) -> None:
    """Makes a result, and beside it a note of what it cost."""
    folder = shard.parent
    folder.mkdir(parents=True, exist_ok=True)
    began_s = time.perf_counter()
    stage = STAGES[unit.stage]
    if stage.is_slow(unit.recipe):
        _choose_gpu()
    try:
        stage.run(unit, folder)
    except ImageError as error:
        _reject(unit, folder, Rejected(UNREADABLE, str(error)))
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        _reject(unit, folder, Rejected(OUT_OF_MEMORY, _subject(unit)))
    write_json(folder / COST, {"seconds": round(time.perf_counter() - began_s, 3), **_peak_mb()})


def _give_up(unit: Unit, shard: Path, reason: str) -> None:
    _reject(unit, shard.parent, Rejected(reason, _subject(unit)))


def _subject(unit: Unit) -> str:
    return unit.about.name if isinstance(unit.about, Excerpt) else unit.about[1].scene_id


def _reject(unit: Unit, folder: Path, rejected: Rejected) -> None:
    if unit.stage == "excerpts":
        details = {"excerpts": [], "rejected": [rejected], "reason": rejected.reason}
        stages.write_details(folder, "excerpts", details, unit.key, {})
    else:
        subject = {"subject": rejected.subject or _subject(unit)}
        stages.write_details(folder, "rejected", {"reason": rejected.reason, **subject}, unit.key, {})


def _choose_gpu() -> None:
    """On a machine with several GPUs, each worker process has its own."""
    import multiprocess
    import torch

    number = multiprocess.current_process()._identity
    if number and (count := torch.cuda.device_count()) > 1:
        torch.cuda.set_device((number[0] - 1) % count)


def _peak_mb() -> dict[str, float]:
    """The most memory that this process has had so far, and that PyTorch has had on a GPU."""
    unit = 1024 if sys.platform == "linux" else 1024**2
    peak = {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak["gpu_peak_mb"] = round(torch.cuda.max_memory_allocated() / 1024**2, 1)
    return peak


def _view(unit: Unit) -> View:
    assert isinstance(unit.about, Excerpt)
    return view_of(unit.about.video(), unit.recipe.most_side_px)


def _run_excerpts(unit: Unit, folder: Path) -> None:
    assert not isinstance(unit.about, Excerpt)
    video = _video(*unit.about)
    items = [video] if isinstance(video, Rejected) else excerpts(video, unit.recipe.cutting)
    found = []
    for item in items:
        if isinstance(item, Video):
            assert not isinstance(video, Rejected)
            frames = np.searchsorted(video.times_s, item.start_s + item.times_s - TIME_TOLERANCE_S).tolist()
            found.append({"name": item.recording.scene_id, "frames": frames, "content": _content(item)})
    rejected = [item for item in items if isinstance(item, Rejected)]
    left_out = {} if isinstance(video, Rejected) else {f"box: {reason}": n for reason, n in video.left_out.items()}
    stages.write_details(folder, "excerpts", {"excerpts": found, "rejected": rejected}, unit.key, {}, left_out)


def _run_objects(unit: Unit, folder: Path) -> None:
    found = objects_of(_view(unit), unit.recipe.objects)
    if isinstance(found, Rejected):
        _reject(unit, folder, found)
    else:
        stages.write_object_tracks(folder, found, unit.key, asdict(unit.recipe.objects))


def _run_geometry(unit: Unit, folder: Path) -> None:
    objects = stages.read_object_tracks(unit.results["objects"]) if "objects" in unit.results else None
    found = geometry_of(_view(unit), objects, unit.recipe.geometry, folder / "tool")
    if isinstance(found, Rejected):
        _reject(unit, folder, found)
    else:
        stages.write_geometry(folder, found, unit.key, asdict(unit.recipe.geometry))


def _run_depth(unit: Unit, folder: Path) -> None:
    found = depth_of(_view(unit), unit.recipe.depth)
    if isinstance(found, Rejected):
        _reject(unit, folder, found)
    else:
        stages.write_metric_depth(folder, found, unit.key, asdict(unit.recipe.depth))


def _run_scale(unit: Unit, folder: Path) -> None:
    geometry = stages.read_geometry(unit.results["geometry"])
    objects = stages.read_object_tracks(unit.results["objects"])
    assert isinstance(unit.about, Excerpt)
    height_m = unit.about.video().camera_height_m
    found = world_of(geometry, _depth(unit), objects, height_m, unit.recipe)
    if isinstance(found, Rejected):
        _reject(unit, folder, found)
        return
    poses = replace(found.geometry, depth=None, crop=None, confidence=None, moving=None)
    dense = "" if found.geometry.depth is None else "geometry" if geometry.depth is not None else "depth"
    if dense == "geometry" and found.geometry.crop != geometry.crop:
        dense = "depth"
    notes = {"scale": found.scale._asdict(), "up_by": found.up_by, "depth_of": dense}
    stages.write_geometry(folder, poses, unit.key, asdict(unit.recipe.scale), notes)


def _world(unit: Unit) -> World:
    """What the stage `scale` found, with the maps that it left where they are."""
    folder = unit.results["scale"]
    poses, notes = stages.read_geometry(folder), stages.read_manifest(folder, "geometry").notes
    scale = Scale(**notes["scale"])
    if notes["depth_of"] == "geometry":
        maps = stages.read_geometry(unit.results["geometry"])
        assert maps.depth is not None
        depth = maps.depth if scale.factor == 1 else maps.depth * np.float32(scale.factor)
        poses = replace(poses, depth=depth, crop=maps.crop, confidence=maps.confidence, moving=maps.moving)
    elif notes["depth_of"] == "depth":
        metric = _depth(unit)
        assert metric is not None
        poses = replace(poses, depth=metric.depth_m, crop=metric.crop)
    return World(poses, scale, notes["up_by"])


def _depth(unit: Unit) -> MetricDepth | None:
    return stages.read_metric_depth(unit.results["depth"]) if "depth" in unit.results else None


def _run_lifting(unit: Unit, folder: Path) -> None:
    objects = stages.read_object_tracks(unit.results["objects"])
    assert isinstance(unit.about, Excerpt)
    tracks, left_out = lifted(objects, _world(unit), unit.about.video().camera_height_m, unit.recipe)
    options = asdict(unit.recipe.lifting)
    stages.write_lifted_tracks(folder, tracks, _made_by(unit), unit.key, options, left_out)


def _run_smoothing(unit: Unit, folder: Path) -> None:
    tracks = stages.read_lifted_tracks(unit.results["lifting"])
    kept, left_out = smoothed(tracks, _world(unit), unit.recipe)
    options = asdict(unit.recipe.smoothing)
    stages.write_lifted_tracks(folder, kept, _made_by(unit), unit.key, options, left_out)


def _run_filters(unit: Unit, folder: Path) -> None:
    world = _world(unit)
    found = labels_of(stages.read_lifted_tracks(unit.results["smoothing"]), world, unit.recipe.filters)
    if isinstance(found, Rejected):
        _reject(unit, folder, found)
        return
    labels, left_out = found
    if not any(label.moving for label in labels):
        _reject(unit, folder, Rejected("nothing in it moves for sure"))
        return
    view, made_by = _view(unit), _made_by(unit)
    scene = scene_of(view, world, stages.read_object_tracks(unit.results["objects"]), labels, made_by)
    left_out["track: stationary"] = sum(not label.moving for label in labels)
    options, grades = asdict(unit.recipe.filters), Counter(track.grade for track in scene.tracks)
    notes = {"grades": dict(grades), "licence": scene.licence}
    stages.write_scene(folder, scene, _images(view.video), made_by, unit.key, options, +left_out, notes)


def _made_by(unit: Unit) -> Provenance:
    """Who found objects, geometry and depth."""
    names = [name for name in ("objects", "geometry", "depth") if name in unit.results]
    return joined(*(stages.read_manifest(unit.results[name]).provenance for name in names))


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
    files: dict[str, Path] = {}
    for image in video.images or ():
        path = Path(image if isinstance(image, str) else image[0])
        files.setdefault(path.name, path)
    found = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in sorted(files.items())]
    boxes = [] if video.boxes is None else [
        (track.track_id, track.category, track.boxes_px.tolist(), track.score.tolist()) for track in video.boxes.tracks
    ]  # fmt: skip
    numbers = [image if isinstance(image, str) else image[1] for image in video.images or ()]
    known = (video.recording, video.domain, video.camera, video.camera_height_m, video.licence, video.image_size_px)
    return stable_hash(known, found, [Path(str(n)).name for n in numbers], video.times_s.tolist(), boxes)


def _of_tool(recipe: PseudoLabelling) -> bool:
    return recipe.geometry.by in READERS


def _of_networks(recipe: PseudoLabelling) -> bool:
    return recipe.objects.by != "annotations"


def _limits(recipe: PseudoLabelling, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(recipe.filters, name) for name in names}


_TO_LIFT = ("objects", "geometry", "depth", "scale")
STAGES: Mapping[str, Stage] = {
    "excerpts": Stage(_run_excerpts, lambda recipe: recipe.cutting),
    "objects": Stage(
        _run_objects,
        lambda recipe: [recipe.objects.by, getattr(recipe.objects, recipe.objects.by, None), recipe.most_side_px],
        is_slow=_of_networks,
    ),
    "geometry": Stage(
        _run_geometry,
        lambda recipe: [recipe.geometry, recipe.most_side_px],
        lambda recipe: () if _of_tool(recipe) else ("objects",),
        is_slow=_of_tool,
    ),
    "depth": Stage(
        _run_depth,
        lambda recipe: [recipe.depth.by, getattr(recipe.depth, recipe.depth.by, None), recipe.most_side_px],
        is_slow=lambda recipe: True,
        is_there=lambda recipe: recipe.depth.by != "none",
    ),
    "scale": Stage(
        _run_scale, lambda recipe: [recipe.scale, recipe.ground], lambda recipe: ("objects", "geometry", "depth")
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
"""In the order in which they run."""

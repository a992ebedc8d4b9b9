"""Plain video -> recordings with tracks, stage by stage; what each makes is kept under what it was made from, and how.

Videos are cut into excerpts: shots, and the frames of them that are looked at. The stages of each, in the order in
which they run, are those of `stages.STAGES`.

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
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stvlm.engine import KILLED, Engine, run_units
from stvlm.files import is_full, write_json, write_text
from stvlm.hashing import code_version, stable_hash
from stvlm.programs import first_line
from stvlm.pseudo_labels import results
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.pseudo_labels.stages import STAGES, Case
from stvlm.pseudo_labels.steps import TOOL_FAILED
from stvlm.pseudo_labels.videos.collection import Collection, Excerpt, content_of, state_of, video_of
from stvlm.pseudo_labels.videos.excerpts import excerpts
from stvlm.pseudo_labels.videos.video import Video
from stvlm.records import DataError, ImageError, LackingError, Recording, Rejected

UNREADABLE, OUT_OF_MEMORY, UNUSABLE = "an image does not decode", "out of the GPU's memory", "cannot be used"
FAILED = "failed: "
"""How the reason of an exception begins that nobody had foreseen."""
PASSING = (TOOL_FAILED, UNREADABLE, OUT_OF_MEMORY, UNUSABLE, FAILED, KILLED)
"""How the reasons begin that may be the machine's, of files that may come, or a mistake of ours: tried again in the
next run."""
COST, TRACEBACK = "cost.json", "traceback.txt"
TIME_TOLERANCE_S = 1e-6


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


class Cut(NamedTuple):
    """The unit of work of `cut_video`."""

    collection: Collection
    recording: Recording
    recipe: PseudoLabelling
    key: str


class Unit(NamedTuple):
    """The unit of work of `run_stages`: some stages of one excerpt."""

    stages: tuple[str, ...]
    case: Case


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
    """Runs all stages for all videos, going on where an interrupted run stopped; raises DataError.

    Whatever a stage raises of an excerpt is why that has no labels, and the others go on; a full disk, and a package or
    a network that is lacking, end the run.
    """
    outcome = Outcome([], defaultdict(list), defaultdict(list))
    left = [
        Case(excerpt, request.recipe, _folders(excerpt, request.recipe, work))
        for excerpt in _cut(request, work, outcome)
    ]
    names_of = Counter(case.excerpt.name for case in left)
    if twice := [name for name, n in names_of.items() if n > 1]:
        raise DataError(f"two collections hold a video {twice[0]!r}; rename one, or label them into two folders")
    for names in _passes(request.recipe):
        cases, left = left, []
        slow = STAGES[names[0]].is_slow(request.recipe) and request.gpu_engine is not None
        engine = request.gpu_engine if slow else request.engine
        units = [(Unit(names, case), case.folders[names[-1]]) for case in cases]
        _run(run_stages, units, engine, ", ".join(names), _give_up)
        for case in cases:
            last = results.read_manifest(case.folders[names[-1]])
            done = names
            if last.kind == "rejected":
                stage, reason, subject = (last.details[key] for key in ("stage", "reason", "subject"))
                outcome.rejected[stage].append(Rejected(reason, subject))
                outcome.excerpts.append(Done(case.excerpt, case.folders, outcome.rejected[stage][-1]))
                done = names[: names.index(stage) + 1]
            else:
                left.append(case)
            for name in done:
                outcome.folders[name].append(case.folders[name])
    outcome.excerpts.extend(Done(case.excerpt, case.folders, None) for case in left)
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
            state = state_of(source.files(recording))
            key = stable_hash(code_version(), options, collection, recording, state)
            units.append(Cut(collection, recording, request.recipe, key))
    folders = [work / "excerpts" / unit.key for unit in units]
    _run(cut_video, list(zip(units, folders, strict=True)), request.engine, "excerpts", _give_up_cutting, "video")
    outcome.folders["excerpts"] += folders
    found = []
    for unit, folder in zip(units, folders, strict=True):
        details = results.read_manifest(folder).details
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
    shards = [(unit, folder / results.MANIFEST) for unit, folder in units]
    for _, shard in shards:
        if shard.exists() and not _is_whole(shard.parent):
            shard.unlink()
    run_units(do, shards, engine, title, give_up, kind)


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds a result, or a reason against one that cannot have passed since."""
    try:
        return not results.read_manifest(folder).details.get("reason", "").startswith(PASSING)
    except DataError:
        return False


# --- in the workers ---------------------------------------------------------------------------------------------------


def cut_video(unit: Cut, shard: Path) -> None:
    """Finds the excerpts of a video."""
    began_s = time.perf_counter()
    try:
        details, left_out = _excerpts_of(unit)
    except Exception as error:  # one video must not cost the others
        _give_up_cutting(unit, shard, *_rejected_by(error, unit.recording.scene_id, shard.parent))
        return
    results.write_details(shard.parent, "excerpts", details, unit.key, {}, left_out)
    _note_cost(shard.parent, began_s)


def _excerpts_of(unit: Cut) -> tuple[dict[str, Any], dict[str, int]]:
    """The excerpts of a video and what was rejected, and why boxes were left out."""
    video = video_of(unit.collection, unit.recording)
    items = [video] if isinstance(video, Rejected) else excerpts(video, unit.recipe.cutting)
    found, left_out = [], {}
    if isinstance(video, Video):
        left_out = {f"box: {reason}": n for reason, n in video.left_out.items()}
        for part in items:
            if isinstance(part, Video):
                at_s = part.start_s - video.start_s + part.times_s
                frames = np.searchsorted(video.times_s, at_s - TIME_TOLERANCE_S).tolist()
                content = content_of(part)
                if part.images is None:  # rendered: by this package's code, as the options say
                    content = stable_hash(content, code_version(), unit.collection.options)
                found.append({"name": part.recording.scene_id, "frames": frames, "content": content})
    return {"excerpts": found, "rejected": [item for item in items if isinstance(item, Rejected)]}, left_out


def _give_up_cutting(unit: Cut, shard: Path, reason: str, subject: str = "") -> None:
    details = {"excerpts": [], "rejected": [Rejected(reason, subject or unit.recording.scene_id)], "reason": reason}
    results.write_details(shard.parent, "excerpts", details, unit.key, {})


def run_stages(unit: Unit, shard: Path) -> None:
    """Makes the results of some stages, one after the other, up to one that rejects the excerpt."""
    for name in unit.stages:
        stage, folder = STAGES[name], unit.case.folders[name]
        if (folder / results.MANIFEST).exists() and _is_whole(folder):
            found = results.read_manifest(folder)
            if found.kind != "rejected":
                continue
            _reject(unit, name, Rejected(found.details["reason"], found.details["subject"]), found.details["stage"])
            break
        began_s = time.perf_counter()
        if stage.is_slow(unit.case.recipe):
            _choose_gpu()
        try:
            rejected = stage.run(unit.case, folder)
        except Exception as error:  # one excerpt must not cost the others
            rejected = _rejected_by(error, unit.case.excerpt.name, folder)
        if rejected is not None:
            _reject(unit, name, rejected)
        _note_cost(folder, began_s)
        if rejected is not None:
            break


def _rejected_by(error: Exception, what: str, folder: Path) -> Rejected:
    """What an exception says of a video or excerpt; raises again what all would meet: something lacking, a full disk.

    Of one that nobody had foreseen the traceback is put into `folder`.
    """
    if isinstance(error, LackingError) or is_full(error):
        raise error
    if isinstance(error, ImageError):
        return Rejected(UNREADABLE, str(error))
    if isinstance(error, DataError):
        return Rejected(UNUSABLE, f"{what}: {error}")
    if type(error).__name__ == "OutOfMemoryError":
        return Rejected(OUT_OF_MEMORY, what)
    write_text(folder / TRACEBACK, "".join(traceback.format_exception(error)))
    return Rejected(f"{FAILED}{type(error).__name__}: {first_line(error)}", what)


def _give_up(unit: Unit, shard: Path, reason: str) -> None:
    begun = [name for name in unit.stages if not (unit.case.folders[name] / results.MANIFEST).exists()]
    _reject(unit, begun[0], Rejected(reason))


def _reject(unit: Unit, stage: str, rejected: Rejected, by: str = "") -> None:
    """Says of a stage, and of those of the unit that would follow, that there is no result; `by`: the stage that said
    so, if it was another.
    """
    details = {"stage": by or stage, "reason": rejected.reason, "subject": rejected.subject or unit.case.excerpt.name}
    for name in unit.stages[unit.stages.index(stage) :]:
        folder = unit.case.folders[name]
        if not (folder / results.MANIFEST).exists():
            results.write_details(folder, "rejected", details, folder.name, {})


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

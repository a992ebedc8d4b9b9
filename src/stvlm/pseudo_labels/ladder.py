"""A recipe for pseudo-labels beside the truth of labelled recordings: as it is, and with parts of the truth given.

What each part that is given mends is what the stage that would have found it costs:

    as it is
    true boxes             in place of detected and tracked objects
    true poses             in place of a reconstructed camera
    true boxes and poses   what is left is the lifting's, and the depth's
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.engine import Engine
from stvlm.pseudo_labels import results
from stvlm.pseudo_labels.artefacts import ObjectTracks, Provenance
from stvlm.pseudo_labels.filters import Label
from stvlm.pseudo_labels.pairs import Asking, Pair, compare
from stvlm.pseudo_labels.pipeline import Done, Request, label_videos
from stvlm.pseudo_labels.recipe import CameraMotion, Depth, Objects, PseudoLabelling
from stvlm.pseudo_labels.stages import NOTHING_MOVES, Case, objects_in, tracks_in, world_in
from stvlm.pseudo_labels.steps import labels_of
from stvlm.pseudo_labels.videos.of_scenes import HiddenLabels
from stvlm.pseudo_labels.videos.video import Video
from stvlm.pseudo_labels.views import view_of
from stvlm.records import DataError, Rejected, Scene


def rungs(recipe: PseudoLabelling) -> dict[str, PseudoLabelling]:
    """The recipe by what is given; what it takes from the truth anyway has no rung of its own."""
    boxed = replace(recipe, objects=Objects(by="annotations"))
    posed, both = (replace(r, geometry=CameraMotion(by="known_poses"), depth=_dense(r.depth)) for r in (recipe, boxed))
    given = {"as it is": recipe, "true boxes": boxed, "true poses": posed, "true boxes and poses": both}
    out: dict[str, PseudoLabelling] = {}
    for name, rung in given.items():
        if rung not in out.values():
            out[name] = rung
    return out


def _dense(depth: Depth) -> Depth:
    """The same depth in all frames: poses have none."""
    return replace(
        depth,
        transformers=replace(depth.transformers, every_s=0.0),
        metric3d_onnx=replace(depth.metric3d_onnx, every_s=0.0),
    )


def climb(
    recipe: PseudoLabelling,
    sources: Mapping[str, Mapping[str, object]],
    paths: Mapping[str, str | None],
    work: Path,
    engine: Engine | None = None,
    gpu_engine: Engine | None = None,
    limit: int | None = None,
    asking: Asking | None = None,
) -> dict[str, list[Pair]]:
    """The pairs of labels and truth on each rung, for all recordings of labelled sources.

    Args:
        recipe: how labels are made; its collections are not used.
        sources: the labelled sources, with their options.
        paths: where they lie; None for the simulation.
        work: where stages keep what they make.
        engine: on what they run.
        gpu_engine: on what those run that use a GPU, if elsewhere.
        limit: at most this many videos of each source.
        asking: which true tracks count.
    """
    found = {}
    for name, rung in rungs(replace(recipe, sources=sources)).items():
        outcome = label_videos(Request(rung, paths, limit, engine or Engine(), gpu_engine), work)
        found[name] = [pair for done in outcome.excerpts for pair in pairs_of(done, rung, asking or Asking())]
    if not any(found.values()):
        reasons = sorted({item.reason for items in outcome.rejected.values() for item in items})
        told = "; ".join(reasons) or "no recordings"
        raise DataError(f"nothing to compare: no true track is seen long enough; {told}")
    return found


def pairs_of(done: Done, recipe: PseudoLabelling, asking: Asking) -> list[Pair]:
    """The pairs of one excerpt."""
    video = done.excerpt.video()
    collection = done.excerpt.collection.open()
    assert isinstance(collection, HiddenLabels)
    scene = collection.scene(done.excerpt.recording.scene_id)
    if isinstance(scene, Rejected):
        return []
    objects = ObjectTracks(video.times_s, video.image_size_px, (), Provenance(""))
    labels = {}
    if (done.folders["objects"] / results.MANIFEST).exists() and _holds_objects(done):
        objects = _in_video(results.read_object_tracks(done.folders["objects"]), video, recipe)
        labels = _labels_in(done, recipe)
    pairs = compare(done.excerpt.name, _shown(scene, video), objects, labels, asking)
    if done.rejected is None or done.rejected.reason == NOTHING_MOVES:
        return pairs
    return [pair._replace(found=done.rejected) for pair in pairs]


def _labels_in(done: Done, recipe: PseudoLabelling) -> dict[str, Label | Rejected]:
    """The label of each object of an excerpt, or why it has none."""
    objects = results.read_object_tracks(done.folders["objects"])
    if done.rejected is not None and done.rejected.reason != NOTHING_MOVES:
        return {track.track_id: done.rejected for track in objects.tracks}
    case = Case(done.excerpt, recipe, done.folders)
    labels: dict[str, Label | Rejected] = {}
    for name in ("lifting", "smoothing"):
        rejected = results.read_manifest(done.folders[name]).notes["rejected"]
        labels.update({track_id: Rejected(reason) for track_id, reason in rejected.items()})
    found = labels_of(tracks_in(case, "smoothing"), objects_in(case), world_in(case), recipe.filters)
    assert not isinstance(found, Rejected)
    return labels | found


def _holds_objects(done: Done) -> bool:
    return results.read_manifest(done.folders["objects"]).kind == "object_tracks"


def _in_video(objects: ObjectTracks, video: Video, recipe: PseudoLabelling) -> ObjectTracks:
    """Object tracks whose boxes are where they are in the video's own images."""
    view = view_of(video, recipe.most_side_px)
    tracks = [replace(track, boxes_px=view.boxes_in_video(track.boxes_px), masks=None) for track in objects.tracks]
    return replace(objects, image_size_px=video.image_size_px, tracks=tuple(tracks))


def _shown(scene: Scene, video: Video) -> Scene:
    """The part of a scene that a video shows."""
    times_s = (scene.frame_times_ns - scene.frame_times_ns[0]) / 1e9
    frames = np.searchsorted(times_s, video.start_s + video.times_s - 1e-6)
    poses = scene.world_SE3_camera[frames]
    return replace(scene, frame_times_ns=scene.frame_times_ns[frames], world_SE3_camera=poses, frames=None)


def as_text(scores: Mapping[str, Mapping[str, object]]) -> str:
    """The ladder for people: scores of `validation.validate` by rung."""
    heads = {"": 22, "kept": 14, "within 25 %": 20, "bias": 8, "speed MAE": 12, "hour": 7, "parked told as moving": 24}
    lines = ["".join(f"{head:>{width}}" for head, width in heads.items())]
    lines += [_line(name, of_rung) for name, of_rung in scores.items()]
    return "\n".join(lines)


def left_out_lines(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why what moves has no label, a line a rung: the rest of what `as_text` tells."""
    told = {name: [f"{reason} ({n})" for reason, n in of_rung["left_out"].items()] for name, of_rung in scores.items()}
    return [f"left out {name}: {'; '.join(reasons)}" for name, reasons in told.items() if reasons]


def _line(name: str, scores: Mapping[str, object]) -> str:
    def value(key: str, form: str) -> str:
        found = scores[key]
        if isinstance(found, Mapping):
            found = found["value"]
        return "-" if found is None else format(found, form)

    kept = f"{value('kept', '.0%')} of {scores['moving']}"
    still = f"{value('parked_called_moving', '.1%')} of {scores['parked']}"
    return (
        f"{name:22}{kept:>14}{value('within_25_percent', '.1%'):>20}{value('median_error', '+.1%'):>8}"
        f"{value('speed_mae_kmh', '.2f'):>7} km/h{value('hour', '.0%'):>7}{still:>24}"
    )

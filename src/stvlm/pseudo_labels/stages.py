"""The stages: what each makes of an excerpt, and of what others have made of it.

    objects     boxes and masks of what moves
    geometry    how the camera moved, and depth where the tool tells it
    depth       depth in metres, by a network
    scale       the camera's poses in metres, upright
    lifting     places in the world
    smoothing   paths
    filters     what is kept of them, as a recording

`steps` makes them in memory; here each is read from and written to its folder. `pipeline` runs them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stvlm.pseudo_labels import results
from stvlm.pseudo_labels.artefacts import LiftedTrack, MetricDepth, ObjectTracks, Provenance
from stvlm.pseudo_labels.filters import OF_FRAMES, OF_PLACES
from stvlm.pseudo_labels.geometry import READERS
from stvlm.pseudo_labels.gravity import ground_of
from stvlm.pseudo_labels.licences import joined
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.pseudo_labels.scale import Scale
from stvlm.pseudo_labels.scenes import scene_of
from stvlm.pseudo_labels.steps import World, depth_of, geometry_of, labels_of, lifted, objects_of, smoothed, world_of
from stvlm.pseudo_labels.videos.collection import Excerpt
from stvlm.pseudo_labels.videos.video import Video
from stvlm.pseudo_labels.views import View, view_of
from stvlm.records import Rejected

NOTHING_MOVES = "nothing in it moves for sure"
LINK = "images"
"""What the video, or the folder of its images, is called in its recording."""


class Case(NamedTuple):
    """An excerpt, how it is labelled, and where each stage's result is or will be."""

    excerpt: Excerpt
    recipe: PseudoLabelling
    folders: Mapping[str, Path]


class Stage(NamedTuple):
    """What makes a result from those of others."""

    run: Callable[[Case, Path], Rejected | None]
    options: Callable[[PseudoLabelling], Any]
    """Of the recipe, what its result depends on."""
    reads: Callable[[PseudoLabelling], tuple[str, ...]] = lambda recipe: ()
    """The stages whose results it reads."""
    is_slow: Callable[[PseudoLabelling], bool] = lambda recipe: False
    """Whether a network or tool makes it: then it may need a GPU, and outlives a change of this package's code."""
    is_there: Callable[[PseudoLabelling], bool] = lambda recipe: True


def _view(case: Case) -> View:
    return view_of(case.excerpt.video(), case.recipe.most_side_px)


def _run_objects(case: Case, folder: Path) -> Rejected | None:
    found = objects_of(_view(case), case.recipe.objects)
    if isinstance(found, Rejected):
        return found
    results.write_object_tracks(folder, found, folder.name, asdict(case.recipe.objects))
    return None


def _run_geometry(case: Case, folder: Path) -> Rejected | None:
    found = geometry_of(_view(case), objects_in(case), case.recipe, folder / "tool")
    if isinstance(found, Rejected):
        return found
    results.write_geometry(folder, found, folder.name, asdict(case.recipe.geometry))
    return None


def _run_depth(case: Case, folder: Path) -> Rejected | None:
    found = depth_of(_view(case), case.recipe.depth)
    if isinstance(found, Rejected):
        return found
    results.write_metric_depth(folder, found, folder.name, asdict(case.recipe.depth))
    return None


def _run_scale(case: Case, folder: Path) -> Rejected | None:
    geometry = results.read_geometry(case.folders["geometry"])
    height_m = case.excerpt.video().camera_height_m
    found = world_of(geometry, _depth(case), objects_in(case), height_m, case.recipe)
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
    results.write_geometry(folder, poses, folder.name, asdict(case.recipe.scale), notes)
    return None


def world_in(case: Case) -> World:
    """What the stage `scale` found, with the maps that it left where they are."""
    folder = case.folders["scale"]
    poses, notes = results.read_geometry(folder), results.read_manifest(folder, "geometry").notes
    scale = Scale(**notes["scale"])
    if notes["depth_of"] == "geometry":
        maps = results.read_geometry(case.folders["geometry"])
        assert maps.depth is not None
        depth = maps.depth if scale.factor == 1 else maps.depth * np.float32(scale.factor)
        poses = replace(poses, depth=depth, crop=maps.crop, confidence=maps.confidence, moving=maps.moving)
    elif notes["depth_of"] == "depth":
        metric = _depth(case)
        assert metric is not None
        poses = replace(poses, depth=metric.depth_m, crop=metric.crop)
    ground = None if notes["ground"] is None else ground_of(poses, *notes["ground"])
    return World(poses, scale, notes["up_by"], notes["depth_of"] == "geometry", ground, notes["path_sigma"])


def objects_in(case: Case) -> ObjectTracks:
    """What the stage `objects` found."""
    return results.read_object_tracks(case.folders["objects"])


def _depth(case: Case) -> MetricDepth | None:
    return results.read_metric_depth(case.folders["depth"]) if "depth" in case.folders else None


def _run_lifting(case: Case, folder: Path) -> None:
    found, left_out = lifted(objects_in(case), world_in(case), case.recipe)
    _write_tracks(case, folder, found, asdict(case.recipe.lifting), left_out)


def _run_smoothing(case: Case, folder: Path) -> None:
    found = smoothed(tracks_in(case, "lifting"), world_in(case), case.recipe)
    _write_tracks(case, folder, found, asdict(case.recipe.smoothing))


def _write_tracks(
    case: Case,
    folder: Path,
    found: Mapping[str, LiftedTrack | Rejected],
    options: Mapping[str, Any],
    left_out: Mapping[str, int] | None = None,
) -> None:
    tracks = [track for track in found.values() if not isinstance(track, Rejected)]
    counts, notes = _why_not(found)
    counts |= left_out or {}
    results.write_lifted_tracks(folder, tracks, _made_by(case), folder.name, options, counts, notes)


def _why_not(found: Mapping[str, object]) -> tuple[dict[str, int], dict[str, Any]]:
    """How many tracks were rejected for each reason, and which for which."""
    rejected = {track_id: item.reason for track_id, item in found.items() if isinstance(item, Rejected)}
    counts = Counter(f"track: {reason}" for reason in rejected.values())
    return dict(counts), {"rejected": rejected}


def _run_filters(case: Case, folder: Path) -> Rejected | None:
    world = world_in(case)
    found = labels_of(tracks_in(case, "smoothing"), objects_in(case), world, case.recipe.filters)
    if isinstance(found, Rejected):
        return found
    labels = [label for label in found.values() if not isinstance(label, Rejected)]
    if not any(label.moving for label in labels):
        return Rejected(NOTHING_MOVES)
    view, made_by = _view(case), _made_by(case)
    scene = scene_of(view, world, objects_in(case), labels, made_by)
    counts, notes = _why_not(found)
    if still := sum(not label.moving for label in labels):
        counts["track: stationary"] = still
    notes |= {"grades": dict(Counter(track.grade for track in scene.tracks)), "licence": scene.licence}
    options = asdict(case.recipe.filters)
    results.write_scene(folder, scene, _images(view.video), made_by, folder.name, options, counts, notes)
    return None


def tracks_in(case: Case, stage: str) -> dict[str, LiftedTrack]:
    """What the stage `lifting` or `smoothing` made of each object, by its id."""
    return {track.track_id: track for track in results.read_lifted_tracks(case.folders[stage])}


def _made_by(case: Case) -> Provenance:
    """Who found objects, geometry and depth."""
    names = [name for name in ("objects", "geometry", "depth") if name in case.folders]
    return joined(*(results.read_manifest(case.folders[name]).provenance for name in names))


def _images(video: Video) -> list[Any] | None:
    """Where a recording's images are, from its folder: the video is linked there, or the folder of its images."""
    if video.images is None:
        return None
    return [
        f"{LINK}/{Path(image).name}" if isinstance(image, str) else (f"{LINK}{Path(image[0]).suffix}", image[1])
        for image in video.images
    ]


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

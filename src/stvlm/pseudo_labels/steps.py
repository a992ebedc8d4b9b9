"""From a video's images to labels, one step after another, in memory. `pipeline` keeps what each of them makes.

objects_of -> geometry_of -> depth_of -> world_of -> lifted -> smoothed -> labels_of
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stvlm.pseudo_labels import filters
from stvlm.pseudo_labels.artefacts import Geometry, LiftedTrack, MetricDepth, ObjectTracks
from stvlm.pseudo_labels.filters import Label, clear_frames, judge, longest_part, static_residual
from stvlm.pseudo_labels.geometry import READERS
from stvlm.pseudo_labels.geometry.colmap import global_mapping
from stvlm.pseudo_labels.geometry.command import run_tool
from stvlm.pseudo_labels.geometry.given import known_poses, static_camera
from stvlm.pseudo_labels.geometry.opencv_vo import LEVEL, NO_MOTION, visual_odometry
from stvlm.pseudo_labels.gravity import Upright, ground_of, upright
from stvlm.pseudo_labels.lifting import SLOPE_RAD, Ground, lift
from stvlm.pseudo_labels.metric_depth import metric3d_onnx, transformers_depth
from stvlm.pseudo_labels.objects import grounding_dino_sam2, sam3
from stvlm.pseudo_labels.objects.finishing import flagged
from stvlm.pseudo_labels.objects.following import follow_boxes
from stvlm.pseudo_labels.recipe import Depth, Objects, PseudoLabelling
from stvlm.pseudo_labels.scale import CUE_SIGMA, Scale, scale_of, scaled, with_depth
from stvlm.pseudo_labels.smoothing import smooth
from stvlm.pseudo_labels.standing import Standing, standing_on
from stvlm.pseudo_labels.views import View
from stvlm.records import DataError, Rejected

NO_INTRINSICS = "no intrinsics; give hfov_deg of its collection in the recipe, or a NAME.camera.json beside the video"
NO_HEIGHT = "no camera height; give height_m in a NAME.camera.json, or camera_height_m of its collection in the recipe"
NO_BOXES = "no boxes; put a NAME.marks.txt, NAME.mot.txt or NAME.coco.json beside the video"
TOOL_FAILED = "the tool made no geometry of it"
GUESSED_SLOPE_RAD = 0.1
"""One standard deviation of the ground's slope where only the way in which the camera is held tells it."""


class World(NamedTuple):
    """A geometry in metres whose z axis points up, and what told both."""

    geometry: Geometry
    scale: Scale
    up_by: str
    depth_is_own: bool  # the geometry's, and not that of another network
    ground: Ground | None  # below the camera, where its height is known or objects tell it, and no depth is needed
    path_sigma: float = 0.0  # one standard deviation of the path's length, relative, where class sizes tell the scale


def objects_of(view: View, settings: Objects) -> ObjectTracks | Rejected:
    """The objects in a video's images; raises DataError where a network cannot be had."""
    if settings.by == "grounding_dino_sam2":
        return grounding_dino_sam2.find(view.footage, view.read, settings.grounding_dino_sam2)
    if settings.by == "sam3":
        return sam3.find(view.footage, view.read, settings.sam3)
    given = view.objects()
    if given is None or not given.tracks:
        return Rejected(NO_BOXES, view.footage.video_id)
    if view.video.to_follow:
        return follow_boxes(view.footage, view.read, given, settings.following)
    said = [(track.truncated.any(), track.occluded.any()) for track in given.tracks]
    truncated, occluded = (any(flags) for flags in zip(*said, strict=True))
    return flagged(given, truncated=not truncated, occluded=not occluded)


def geometry_of(
    view: View, objects: ObjectTracks, recipe: PseudoLabelling, out: Path | None = None
) -> Geometry | Rejected:
    """How the camera moved, and depth where that is told.

    Args:
        view: the images.
        objects: what may move, and is not looked at by what is made here; a tool is not told. Where the camera's
            height is not known, what stands on the road tells it.
        recipe: who tells it.
        out: where a tool writes to.
    """
    footage, K_px, what, settings = view.footage, view.K_px, view.footage.video_id, recipe.geometry
    if settings.by in READERS:
        try:
            if settings.artefacts is not None:
                place = Path(settings.artefacts.replace("{excerpt}", footage.video_id))
                return READERS[settings.by](place, footage, settings.model)
            assert settings.command is not None and out is not None
            return run_tool(settings.by, settings.command, footage, view, out, timeout_s=settings.timeout_s,
                            model=settings.model)  # fmt: skip
        except DataError as error:
            return Rejected(TOOL_FAILED, str(error))
    if K_px is None:
        return Rejected(NO_INTRINSICS, what)
    if settings.by == "known_poses":
        poses = view.video.world_SE3_camera
        return Rejected("no poses came with it", what) if poses is None else known_poses(footage, poses, K_px)
    if settings.by == "static_camera":
        return static_camera(footage, K_px)
    if settings.by == "colmap":
        return global_mapping(footage, view.read, K_px, objects)
    height_m, still, down = view.video.camera_height_m, static_camera(footage, K_px), LEVEL
    standing = standing_on(still, objects, height_m, recipe.lifting)  # the camera is fixed to what drives
    if not isinstance(standing, Rejected):
        height_m, down = standing.height_m, standing.down
    if height_m is None:
        return Rejected(NO_HEIGHT, what)
    found = visual_odometry(footage, view.read, K_px, height_m, objects, down)
    return still if isinstance(found, Rejected) and found.reason == NO_MOTION else found


def depth_of(view: View, settings: Depth) -> MetricDepth | Rejected:
    """Depth in metres; raises DataError where a network cannot be had."""
    if settings.by == "transformers":
        return transformers_depth.predict(view.footage, view.read, view.K_px, settings.transformers)
    return metric3d_onnx.predict(view.footage, view.read, view.K_px, settings.metric3d_onnx)


def world_of(
    geometry: Geometry,
    depth: MetricDepth | None,
    objects: ObjectTracks,
    camera_height_m: float | None,
    recipe: PseudoLabelling,
) -> World | Rejected:
    """The geometry in metres, upright, with the depth that objects are lifted by.

    A geometry without dense depth of its own has that of the network, where it saw all frames.
    """
    found = scale_of(geometry, depth, objects, camera_height_m, recipe.scale, recipe.ground, recipe.lifting.region)
    if isinstance(found, Rejected):
        return found
    geometry = scaled(geometry, found)
    if geometry.is_sparse:
        geometry = replace(geometry, depth=None, crop=None, confidence=None, moving=None, is_sparse=False)
    is_own = geometry.depth is not None
    if not is_own and depth is not None and len(depth.frames) == len(geometry.times_s):
        geometry = with_depth(geometry, depth)
    standing: Standing | None = None
    if not geometry.is_upright or camera_height_m is None:
        told = standing_on(geometry, objects, camera_height_m, recipe.lifting)
        standing = None if isinstance(told, Rejected) else told
    path_sigma = 0.0
    if geometry.scaled_by_height and camera_height_m is None:  # by one that objects told
        if standing is None:
            return Rejected(NO_HEIGHT)
        path_sigma = standing.height_sigma
    turned = upright(geometry, objects, recipe.ground, standing)
    ground = _ground(turned, standing, camera_height_m) if geometry.depth is None else None
    return World(turned.geometry, found, turned.by, is_own, ground, path_sigma)


def _ground(turned: Upright, standing: Standing | None, camera_height_m: float | None) -> Ground | None:
    if standing is not None:
        slope_rad = float(np.hypot(standing.slope_rad, SLOPE_RAD))
        return ground_of(turned.geometry, standing.height_m, slope_rad, standing.height_sigma)
    if camera_height_m is None:
        return None
    return ground_of(turned.geometry, camera_height_m, GUESSED_SLOPE_RAD if turned.by == "camera" else SLOPE_RAD)


def lifted(
    objects: ObjectTracks, world: World, recipe: PseudoLabelling
) -> tuple[dict[str, LiftedTrack | Rejected], Counter[str]]:
    """Each object's places by its id, and why frames have none."""
    lifting = recipe.lifting
    if world.geometry.depth is not None and not world.depth_is_own:  # its scale is not that of the camera's path
        lifting = replace(lifting, depth_stretch=float(np.hypot(lifting.depth_stretch, CUE_SIGMA["metric depth"])))
    tracks: dict[str, LiftedTrack | Rejected] = {}
    left_out = Counter[str]()
    for track in objects.tracks:
        clear, frames = clear_frames(track, objects.image_size_px, recipe.filters)
        left_out.update({f"frame: {reason}": n for reason, n in frames.items()})
        if not isinstance(clear, Rejected):
            tracks[track.track_id] = lift(clear, world.geometry, lifting, world.ground)
        else:
            tracks[track.track_id] = clear
    return tracks, left_out


def smoothed(
    tracks: Mapping[str, LiftedTrack], world: World, recipe: PseudoLabelling
) -> dict[str, LiftedTrack | Rejected]:
    """The longest part of each track without a gap, smooth."""
    parts = {track_id: longest_part(track, world.geometry, recipe.filters) for track_id, track in tracks.items()}
    return {
        track_id: part if isinstance(part, Rejected) else smooth(part, recipe.smoothing)
        for track_id, part in parts.items()
    }


def labels_of(
    tracks: Mapping[str, LiftedTrack], objects: ObjectTracks, world: World, limits: filters.Limits
) -> dict[str, Label | Rejected] | Rejected:
    """The label of each track, stationary ones too; Rejected where static things seem to move."""
    if world.geometry.depth is not None:
        residual = static_residual(world.geometry, limits, objects)
        if isinstance(residual, Rejected):
            return residual
    scale_sigma = float(np.hypot(world.scale.sigma, world.path_sigma))
    return {track_id: judge(track, world.geometry, scale_sigma, limits) for track_id, track in tracks.items()}

"""How many metres the unit of a geometry is long: one factor for a whole clip, for depth and translations alike.

    metric depth    of a network, over the geometry's own
    ground plane    the camera's known height over the height above the ground that depth shows
    class sizes     how tall objects of a class are over how tall depth makes them

Never a factor for each frame: static things would move, at 20 m and 3 % a frame by some 14 m in 10 s at 2 Hz. And never
least squares: where the sky, what is far (which networks draw near) and what moves are in it, they are off by half. The
median of the logarithm of the ratio, on near and static pixels alone, is off by less than 1 % on the same data.
Where two cues differ too much, one of them is wrong, and nobody knows which: the clip is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from scipy.ndimage import map_coordinates

from stvlm.pseudo_labels.artefacts import Geometry, MetricDepth, ObjectTracks
from stvlm.pseudo_labels.ground import GroundFit, ground_planes
from stvlm.pseudo_labels.lifting import Region, class_sizes
from stvlm.pseudo_labels.points import map_pixels, still_pixels
from stvlm.records import Array, DataError, Rejected

ToolsMetres = Literal["trust", "check", "rescale"]
Cue = Literal["tool", "metric depth", "ground plane", "class sizes"]

QUANTILES = (np.arange(1000) + 0.5) / 1000
"""Each frame's ratios are told by as many numbers, so that each frame counts the same."""
MOST_CLASS_SPREAD = 0.2
"""Heights of classes with a larger spread, trucks for example, tell no scale."""
CUE_SIGMA: Mapping[Cue, float] = {"metric depth": 0.08, "ground plane": 0.05, "class sizes": 0.08}
TOOL_SIGMA: Mapping[str, float] = {"known_poses": 0.0, "static_camera": 0.0, "opencv_vo": 0.05}
"""One standard deviation of the scale by each cue, relative, however well its frames agree; and of the metres of what
is made here. Those of another tool are as good as a network's."""
GAUSSIAN_IQR = 1.349
"""Interquartile range of a normal distribution over its standard deviation."""
BOX_INSET = 0.2
"""Share of a box cut off at each side: what is left shows the object."""


@dataclass(frozen=True)
class Scaling:
    """How the scale is found."""

    tools_metres: ToolsMetres = "check"
    """Of a geometry that is metric already: whether that is trusted, held against the other cues, or left unheard."""
    most_m: float = 35.0
    """Metric depth of what is farther away is not looked at."""
    least_confident: float = 0.3
    """Share of a frame's pixels that are left out, the geometry's least confident ones."""
    least_pixels: int = 30
    """A frame, or an object, with fewer does not count."""
    most_spread: float = 0.15
    """Interquartile range of the ratios over their median: if it is larger, geometry and cue differ in shape."""
    most_disagreement: float = 0.3
    """Two cues differ by no more than this share."""
    least_objects: int = 3
    """So many objects tell a scale by their sizes."""

    def __post_init__(self) -> None:
        if self.tools_metres not in get_args(ToolsMetres):
            raise ValueError(f"tools_metres is one of {', '.join(get_args(ToolsMetres))}, got {self.tools_metres!r}")
        if min(self.most_m, self.most_spread, self.most_disagreement, self.least_pixels, self.least_objects) <= 0:
            raise ValueError("most_m, most_spread, most_disagreement, least_pixels and least_objects are positive")
        if not 0 <= self.least_confident < 1:
            raise ValueError("least_confident is a share")


class Scale(NamedTuple):
    """Metres in a geometry's unit, and how well that is known."""

    factor: float
    spread: float  # interquartile range of the ratios over their median; 0 where the tool is believed
    frame_spread: float  # the same of the frames' (or, by class sizes, the objects') medians
    pixels: int  # so many were compared
    by: Cue
    others: Mapping[str, float]  # the factors of the cues that were only held against it
    sigma: float  # one standard deviation of the factor, relative


def scale_of(
    geometry: Geometry,
    metric_depth: MetricDepth | None,
    objects: ObjectTracks | None,
    camera_height_m: float | None,
    settings: Scaling,
    ground: GroundFit | None = None,
    region: Region = "america_asia",
) -> Scale | Rejected:
    """The scale of a geometry, by the first of the cues in the order above that there is.

    Args:
        geometry: whose scale it is; without depth, only a metric one has a scale.
        metric_depth: of the same footage.
        objects: what may move, and whose sizes are a cue.
        camera_height_m: above the ground, where it is known.
        settings: what counts.
        ground: what counts as ground.
        region: whose class sizes hold.

    Raises ValueError where metric_depth or objects are of other footage.
    """
    for other in (metric_depth, objects):
        if other is not None and not np.array_equal(other.times_s, geometry.times_s):
            raise ValueError("metric depth and objects are of other footage than the geometry")
    is_metric = geometry.scale == "metric" and (settings.tools_metres != "rescale" or geometry.depth is None)
    tool = Scale(1.0, 0.0, 0.0, 0, "tool", {}, TOOL_SIGMA.get(geometry.provenance.tool, CUE_SIGMA["metric depth"]))
    if is_metric and (settings.tools_metres == "trust" or geometry.depth is None):
        return tool
    cues = [tool] if is_metric else []
    if geometry.depth is not None:
        if metric_depth is not None:
            found = _by_metric_depth(geometry, metric_depth, objects, settings)
            if found is not None and found.spread > settings.most_spread:
                return Rejected("the scale varies within the clip", f"by {found.spread:.0%}")
            cues += [] if found is None else [found]
        if camera_height_m is not None:
            found = _by_ground(geometry, objects, camera_height_m, ground or GroundFit())
            cues += [] if found is None or found.spread > settings.most_spread else [found]
        if objects is not None:
            found = _by_sizes(geometry, objects, settings, region)
            cues += [] if found is None else [found]
    if not cues:
        return Rejected("no cue tells the scale")
    factors = [cue.factor for cue in cues]
    if max(factors) / min(factors) > 1 + settings.most_disagreement:
        told = ", ".join(f"{cue.by} {cue.factor:.3g}" for cue in cues)
        return Rejected("cues disagree about the scale", told)
    # Of two cues that differ, neither is better known than by half of that.
    apart = max(abs(np.log(factor / factors[0])) for factor in factors)
    sigma = float(np.hypot(cues[0].sigma, apart / 2))
    return cues[0]._replace(others={cue.by: cue.factor for cue in cues[1:]}, sigma=sigma)


def scaled(geometry: Geometry, scale: Scale) -> Geometry:
    """The geometry in metres: depth and translations times the factor."""
    if scale.factor == 1:  # depth stays mapped from its file
        return replace(geometry, scale="metric")
    poses = geometry.world_SE3_camera.copy()
    poses[:, :3, 3] *= scale.factor
    depth = None if geometry.depth is None else geometry.depth * np.float32(scale.factor)
    return replace(geometry, world_SE3_camera=poses, depth=depth, scale="metric")


def with_depth(geometry: Geometry, metric_depth: MetricDepth) -> Geometry:
    """A metric geometry whose depth is a network's: of poses alone, or of one that had it for features only.

    Its provenance stays that of the poses. Raises DataError where frames have no depth, ValueError where it is of other
    footage, or the geometry is not metric or has maps of confidence or motion, which would be of another depth.
    """
    if geometry.scale != "metric" or geometry.confidence is not None or geometry.moving is not None:
        raise ValueError("metric depth is given to metric geometries without confidence and moving")
    if not np.array_equal(metric_depth.times_s, geometry.times_s):
        raise ValueError("metric depth is of other footage than the geometry")
    if len(metric_depth.frames) < len(geometry.times_s):
        has = f"{len(metric_depth.frames)} of {len(geometry.times_s)} frames"
        raise DataError(f"metric depth: has {has}, and poses without depth need all of them; set every_s to 0")
    return replace(geometry, depth=metric_depth.depth_m, crop=metric_depth.crop)


def _by_metric_depth(
    geometry: Geometry, metric: MetricDepth, objects: ObjectTracks | None, settings: Scaling
) -> Scale | None:
    assert geometry.depth is not None
    column_row = metric.crop.to_depth(map_pixels(geometry))
    logs, pixels = [], 0
    for index, frame in enumerate(metric.frames.tolist()):
        still = still_pixels(geometry, frame, objects)
        if geometry.confidence is not None and still.any():
            confidence = geometry.confidence[frame]
            still &= confidence >= np.quantile(confidence[still], settings.least_confident)
        depth_m = _between(metric.depth_m[index], column_row[still])
        near = depth_m <= settings.most_m
        if near.sum() >= settings.least_pixels:
            logs.append(np.log(depth_m[near] / geometry.depth[frame][still][near]))
            pixels += int(near.sum())
    return _scale(logs, pixels, "metric depth") if logs else None


def _between(depth: Array, at: Array) -> Array:
    """Depth (P,) at places (P, 2) between a map's pixels; NaN outside, or next to unknown depth.

    Of a plane, the inverse of depth is linear in the image.
    """
    inverse = 1 / np.where(depth > 0, depth, np.nan).astype(np.float64)
    return 1 / np.asarray(map_coordinates(inverse, at[:, ::-1].T, order=1, mode="constant", cval=np.nan))


def _by_ground(
    geometry: Geometry, objects: ObjectTracks | None, camera_height_m: float, settings: GroundFit
) -> Scale | None:
    planes = ground_planes(geometry, objects, settings)
    if isinstance(planes, Rejected):
        return None
    logs = np.log(camera_height_m / planes.height)
    return _scale(list(logs[:, None]), len(logs), "ground plane")


def _by_sizes(geometry: Geometry, objects: ObjectTracks, settings: Scaling, region: Region) -> Scale | None:
    """Objects are as tall as the depth in the middle of their boxes makes them, where all of them is seen."""
    assert geometry.depth is not None and geometry.crop is not None
    sizes = class_sizes(region)
    logs, pixels = [], 0
    for track in objects.tracks:
        size = sizes.get(track.category)
        if size is None or size.spread > MOST_CLASS_SPREAD:
            continue
        of_track = []
        for frame in np.flatnonzero(~np.isnan(track.boxes_px[:, 0]) & ~track.truncated & ~track.occluded).tolist():
            box_px = track.boxes_px[frame]
            inset_px = BOX_INSET * (box_px[2:] - box_px[:2])
            inner = geometry.crop.to_depth(np.stack([box_px[:2] + inset_px, box_px[2:] - inset_px]))
            left, top = np.maximum(np.ceil(inner[0]), 0).astype(int)
            right, bottom = np.maximum(np.floor(inner[1]) + 1, 0).astype(int)
            depth = np.asarray(geometry.depth[frame, top:bottom, left:right])
            depth = depth[depth > 0]
            if len(depth) >= settings.least_pixels:
                height = (box_px[3] - box_px[1]) / geometry.K_px[frame, 1, 1] * np.median(depth)
                of_track.append(np.log(size.height_m / height))
                pixels += len(depth)
        if of_track:
            logs.append(np.array(of_track))
    return _scale(logs, pixels, "class sizes") if len(logs) >= settings.least_objects else None


def _scale(logs: list[Array], pixels: int, by: Cue) -> Scale:
    """Of logarithms of the factor, those of each frame or object, which all count the same."""
    even = np.concatenate([np.quantile(of_one, QUANTILES) for of_one in logs])
    medians = [np.median(of_one) for of_one in logs]
    frame_spread = _spread(np.array(medians))
    sigma = float(np.hypot(CUE_SIGMA[by], frame_spread / GAUSSIAN_IQR))
    return Scale(float(np.exp(np.median(even))), _spread(even), frame_spread, pixels, by, {}, sigma)


def _spread(logs: Array) -> float:
    low, middle, high = np.exp(np.quantile(logs, [0.25, 0.5, 0.75]))
    return float((high - low) / middle)

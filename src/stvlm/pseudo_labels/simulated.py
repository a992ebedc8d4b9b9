"""What a perfect tool would make of a simulated recording, and a tool that errs as real ones do.

The simulation knows the depth behind every pixel and whose it is. Handed on as artefacts, they test what comes after
the tools on its own: with `EXACT` nothing but our own steps can be wrong. The reconstruction has an arbitrary scale and
is in the first camera's frame, as real ones are; a second depth, in metres, is there to recover its scale from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import find_objects

from stvlm.geometry import inverse_se3
from stvlm.pseudo_labels.artefacts import (
    DepthCrop,
    Footage,
    Geometry,
    MetricDepth,
    ObjectTrack,
    ObjectTracks,
    Provenance,
    encode_mask,
)
from stvlm.pseudo_labels.filters import Label
from stvlm.pseudo_labels.geometry.given import footage_of, known_poses
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.pseudo_labels.steps import World, labels_of, lifted, smoothed, world_of
from stvlm.pseudo_labels.views import intrinsics
from stvlm.records import Array, Recording, Rejected, Scene
from stvlm.simulation.render import render
from stvlm.simulation.source import SimulationSource
from stvlm.simulation.world import Agent

ARBITRARY = 0.37
"""Units of a reconstruction a metre."""
BORDER_PX = 1


@dataclass(frozen=True)
class Noise:
    """What is wrong with depth, relative to it, and with masks: one standard deviation each.

    What drifts and what changes from frame to frame is drawn for each object, and for what is behind them, on its own,
    and is the same all over it: no median takes it out.
    """

    scale: float = 0.0
    """Of the metric depth, by one factor a video."""
    drift: float = 0.0
    fade: float = 0.9
    """Share of the drift that the next frame keeps."""
    white: float = 0.0
    edge_px: float = 0.0
    """By so much each of a mask's four sides is moved, and the mask stretched along."""
    seed: int = 0


EXACT = Noise()
REALISTIC = Noise(scale=0.08, drift=0.04, white=0.02, edge_px=2.0)


class Seen(NamedTuple):
    """A recording, rendered."""

    scene: Scene
    depth_m: Array  # (N, h, w) float32 at every `depth_step`-th pixel; 0 in the sky
    instance: Array  # (N, H, W) uint8: 1 + the index into `agents`, or 0
    agents: tuple[Agent, ...]
    depth_step: int


class Simulated(NamedTuple):
    """A recording as tools see it, and the truth."""

    footage: Footage
    geometry: Geometry  # with depth, in units of its own
    metric: MetricDepth  # of one frame a second, in metres but for the scale's noise
    objects: ObjectTracks  # a track is called as in the scene
    scene: Scene


def rendered(source: SimulationSource, recording: Recording, depth_step: int = 2) -> Seen:
    """Depth and masks of a recording in each of its frames."""
    (scene,) = source.scenes(recording)
    world = source.world(recording)
    depth_m, instance = [], []
    for time_s, pose in zip(footage_of(scene).times_s, scene.world_SE3_camera, strict=True):
        seen = render(world, pose, float(time_s))
        depth_m.append(np.where(np.isfinite(seen.depth_m), seen.depth_m, 0)[::depth_step, ::depth_step])
        instance.append(seen.instance)
    return Seen(scene, np.array(depth_m), np.array(instance), world.agents, depth_step)


def simulated(seen: Seen, noise: Noise = EXACT) -> Simulated:
    """What tools with some noise tell of a recording; the same on every call."""
    scene, step = seen.scene, seen.depth_step
    known = known_poses(footage_of(scene), scene.world_SE3_camera, intrinsics(scene.camera))
    n, size_px = len(known.times_s), known.image_size_px
    rng = np.random.default_rng([noise.seed, *scene.scene_id.encode()])
    scale = 1 + noise.scale * rng.normal()
    wrong = _depth_noise(noise, n, len(seen.agents) + 1, rng).astype(np.float32)
    poses = inverse_se3(known.world_SE3_camera[0]) @ known.world_SE3_camera
    poses[:, :3, 3] *= ARBITRARY
    crop = DepthCrop((step, step), (0.0, 0.0))
    whose = seen.instance[:, ::step, ::step]
    geometry = replace(
        known,
        world_SE3_camera=poses,
        is_upright=False,
        scale="arbitrary",
        provenance=Provenance(tool="simulated"),
        depth=seen.depth_m * wrong[np.arange(n)[:, None, None], whose] * np.float32(ARBITRARY),
        crop=crop,
    )
    frames = np.unique(np.searchsorted(known.times_s, np.arange(known.times_s[-1] + 1e-6) - 1e-6))
    annotated = {track.track_id for track in scene.tracks}
    where = [find_objects(frame, len(seen.agents)) for frame in seen.instance]
    tracks = []
    for index, agent in enumerate(seen.agents):
        parts = [slices[index] for slices in where]
        if agent.track_id in annotated and any(parts):
            tracks.append(_track(agent, seen.instance, index + 1, parts, noise, rng))
    return Simulated(
        footage=footage_of(scene),
        geometry=geometry,
        metric=MetricDepth(
            times_s=known.times_s,
            image_size_px=size_px,
            frames=frames,
            depth_m=seen.depth_m[frames] * np.float32(scale),
            crop=crop,
            provenance=Provenance(tool="simulated"),
        ),
        objects=ObjectTracks(known.times_s, size_px, tuple(tracks), Provenance(tool="simulated")),
        scene=scene,
    )


def told_of(video: Simulated, recipe: PseudoLabelling) -> tuple[dict[str, Label | Rejected], World] | Rejected:
    """What the stages after the tools tell of each object, and the world that they made; the camera's height is not
    known to them.
    """
    world = world_of(video.geometry, video.metric, video.objects, None, recipe)
    if isinstance(world, Rejected):
        return world
    places, _ = lifted(video.objects, world, recipe)
    paths = smoothed({key: item for key, item in places.items() if not isinstance(item, Rejected)}, world, recipe)
    kept = {key: item for key, item in paths.items() if not isinstance(item, Rejected)}
    labels = labels_of(kept, video.objects, world, recipe.filters)
    if isinstance(labels, Rejected):
        return labels
    left_out = {key: item for key, item in {**places, **paths}.items() if isinstance(item, Rejected)}
    return {**left_out, **labels}, world


def _depth_noise(noise: Noise, n: int, things: int, rng: np.random.Generator) -> Array:
    """Factors (n, things) on true depth."""
    drift = rng.normal(size=(n, things))
    for k in range(1, n):
        drift[k] = noise.fade * drift[k - 1] + np.sqrt(1 - noise.fade**2) * drift[k]
    return np.asarray(1 + noise.drift * drift + noise.white * rng.normal(size=(n, things)))


def _track(
    agent: Agent, instance: Array, number: int, parts: list[Any], noise: Noise, rng: np.random.Generator
) -> ObjectTrack:
    """An object of a number in `instance` (N, H, W), of which `parts` are the rows and columns around it, or None."""
    n, h, w = instance.shape
    boxes_px = np.full((n, 4), np.nan)
    runs: list[Array | None] = [None] * n
    for frame, part in enumerate(parts):
        if part is None:
            continue
        rows, columns = part
        box = np.array([columns.start, rows.start, columns.stop - 1, rows.stop - 1])
        inner = (box > 0) & (box < [w - 1, h - 1, w - 1, h - 1])  # where the image ends, every mask does
        moved = np.round(box + inner * noise.edge_px * rng.normal(size=4)).astype(int)
        low, high = np.maximum(moved[:2], 0), np.minimum(np.maximum(moved[2:], moved[:2]), [w - 1, h - 1])
        if (low > high).any():
            continue
        runs[frame] = encode_mask(_stretched(instance[frame][part] == number, moved, (h, w)))
        boxes_px[frame] = [*(low - 0.5), *(high + 0.5)]
    seen = ~np.isnan(boxes_px[:, 0])
    most_px = np.array([w, h]) - 1 - BORDER_PX
    cut = np.any((boxes_px[:, :2] < BORDER_PX) | (boxes_px[:, 2:] > most_px), axis=1)
    hidden = np.zeros(n, dtype=bool)
    return ObjectTrack(agent.track_id, agent.category, boxes_px, seen.astype(float), cut, hidden, tuple(runs))


def _stretched(mask: Array, box: Array, shape: tuple[int, int]) -> Array:
    """A mask (h, w) stretched over a box in an image of a shape; what would leave it is cut off."""
    (x0, y0), (x1, y1) = box[:2], np.maximum(box[2:], box[:2])
    columns = np.round(np.linspace(0, mask.shape[1] - 1, x1 - x0 + 1)).astype(int)
    rows = np.round(np.linspace(0, mask.shape[0] - 1, y1 - y0 + 1)).astype(int)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1 + 1, shape[1]), min(y1 + 1, shape[0])
    out = np.zeros(shape, dtype=bool)
    out[top:bottom, left:right] = mask[np.ix_(rows[top - y0 : bottom - y0], columns[left - x0 : right - x0])]
    return out

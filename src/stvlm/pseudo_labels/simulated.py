"""What a perfect tool would make of a simulated recording, and a tool that errs as real ones do.

The simulation knows the depth behind every pixel and whose it is. Handed on as artefacts, they test what comes after
the tools on its own: with `EXACT` nothing but our own steps can be wrong. The reconstruction has an arbitrary scale, as
real ones have; a second depth, in metres, is there to recover it from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stvlm.pseudo_labels.artefacts import (
    DepthCrop,
    Footage,
    Geometry,
    ObjectTrack,
    ObjectTracks,
    Provenance,
    encode_mask,
)
from stvlm.pseudo_labels.geometry.given import footage_of, known_poses
from stvlm.records import Array, Recording, Scene
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
    metric_m: Array  # (N, h, w) float32, a second depth, in metres but for the scale's noise
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
    known = known_poses(scene)
    n, size_px = len(known.times_s), known.image_size_px
    rng = np.random.default_rng([noise.seed, *scene.scene_id.encode()])
    scale = 1 + noise.scale * rng.normal()
    wrong = _depth_noise(noise, n, len(seen.agents) + 1, rng).astype(np.float32)
    poses = known.world_SE3_camera.copy()
    poses[:, :3, 3] *= ARBITRARY
    whose = seen.instance[:, ::step, ::step]
    geometry = replace(
        known,
        world_SE3_camera=poses,
        scale="arbitrary",
        provenance=Provenance(tool="simulated"),
        depth=seen.depth_m * wrong[np.arange(n)[:, None, None], whose] * np.float32(ARBITRARY),
        crop=DepthCrop((step, step), (0.0, 0.0)),
    )
    annotated = {track.track_id for track in scene.tracks}
    tracks = []
    for index, agent in enumerate(seen.agents):
        if agent.track_id in annotated and (seen.instance == index + 1).any():
            tracks.append(_track(agent, [frame == index + 1 for frame in seen.instance], noise, rng))
    return Simulated(
        footage=footage_of(scene),
        geometry=geometry,
        metric_m=seen.depth_m * np.float32(scale),
        objects=ObjectTracks(known.times_s, size_px, tuple(tracks), Provenance(tool="simulated")),
        scene=scene,
    )


def _depth_noise(noise: Noise, n: int, things: int, rng: np.random.Generator) -> Array:
    """Factors (n, things) on true depth."""
    drift = rng.normal(size=(n, things))
    for k in range(1, n):
        drift[k] = noise.fade * drift[k - 1] + np.sqrt(1 - noise.fade**2) * drift[k]
    return np.asarray(1 + noise.drift * drift + noise.white * rng.normal(size=(n, things)))


def _track(agent: Agent, masks: list[Array], noise: Noise, rng: np.random.Generator) -> ObjectTrack:
    """An object of masks (H, W)."""
    n, (h, w) = len(masks), masks[0].shape
    boxes_px = np.full((n, 4), np.nan)
    runs: list[Array | None] = [None] * n
    for frame, mask in enumerate(masks):
        box = _box(mask)
        if box is None:
            continue
        if noise.edge_px:
            inner = (box > 0) & (box < [w - 1, h - 1, w - 1, h - 1])  # where the image ends, every mask does
            mask = _stretched(mask, box, np.round(box + inner * noise.edge_px * rng.normal(size=4)).astype(int))
            box = _box(mask)
            if box is None:
                continue
        boxes_px[frame] = box + np.array([-0.5, -0.5, 0.5, 0.5])
        runs[frame] = encode_mask(mask)
    seen = ~np.isnan(boxes_px[:, 0])
    most_px = np.array([w, h]) - 1 - BORDER_PX
    cut = np.any((boxes_px[:, :2] < BORDER_PX) | (boxes_px[:, 2:] > most_px), axis=1)
    hidden = np.zeros(n, dtype=bool)
    return ObjectTrack(agent.track_id, agent.category, boxes_px, seen.astype(float), cut, hidden, tuple(runs))


def _box(mask: Array) -> Array | None:
    """First and last column and row (4,) x0, y0, x1, y1 of a mask; None where it is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]]) if len(columns) else None


def _stretched(mask: Array, box: Array, to: Array) -> Array:
    """A mask whose box becomes another; what would leave the image is cut off."""
    h, w = mask.shape
    (x0, y0), (x1, y1) = to[:2], np.maximum(to[2:], to[:2])
    columns = np.round(np.linspace(box[0], box[2], x1 - x0 + 1)).astype(int)
    rows = np.round(np.linspace(box[1], box[3], y1 - y0 + 1)).astype(int)
    out = np.zeros_like(mask)
    inside_x, inside_y = (slice(max(-a, 0), max(n - a, 0)) for a, n in ((x0, w), (y0, h)))
    part = mask[np.ix_(rows[inside_y], columns[inside_x])]
    out[max(y0, 0) : max(y0, 0) + part.shape[0], max(x0, 0) : max(x0, 0) + part.shape[1]] = part
    return out

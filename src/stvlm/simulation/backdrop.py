"""What does not move, as a camera sees it: sky, ground, house fronts, trees."""

from __future__ import annotations

import numpy as np

from stvlm.geometry import NEAR_M, transform
from stvlm.records import Array
from stvlm.simulation.ground import TEXEL_M, blend, pack, sample
from stvlm.simulation.scenery import OPAQUE, WALL_TEXEL_M, Light, Scenery, Sprite, Wall
from stvlm.simulation.view import View

_GRAIN_REACH_M = 14.0


def draw_backdrop(view: View, scenery: Scenery) -> tuple[Array, Array]:
    """Packed colours (H, W) uint32 and depth (H, W) float32, infinite in the sky."""
    shape = (view.camera.height_px, view.camera.width_px)
    packed, depth = np.zeros(shape, dtype=np.uint32), np.full(shape, np.inf, dtype=np.float32)
    _draw_sky(packed, view, scenery.light)
    _draw_ground(packed, depth, view, scenery)
    _draw_walls(packed, depth, view, scenery.walls)
    _draw_sprites(packed, depth, view, scenery.sprites)
    return hazed(packed, depth, scenery.light), depth


def hazed(packed: Array, depth_m: Array, light: Light) -> Array:
    """Colours drawn towards the horizon's with distance; what is infinitely far is sky and stays."""
    weight = np.minimum(np.minimum(depth_m, np.float32(1e4)) * np.float32(256 * light.haze_per_m), np.float32(190))
    weight[depth_m == np.inf] = 0
    return blend(packed, pack(light.horizon), weight.astype(np.uint32))


def _draw_sky(packed: Array, view: View, light: Light) -> None:
    rows = int(np.isinf(view.ground_m).sum())
    if not rows:
        return
    _, b, c = view.along(np.array([0.0, 0.0, 1.0]))
    rise = b * view.y[:rows] + c
    t = np.clip(rise * 1.6, 0.0, 1.0)[:, None]
    packed[:rows] = pack(light.horizon + (light.zenith - light.horizon) * t * (2 - t))[:, None]
    (ax, _, cx), (ay, _, cy) = view.along(np.array([1.0, 0.0, 0.0])), view.along(np.array([0.0, 1.0, 0.0]))
    turn = np.arctan2(ay * view.x + cy, ax * view.x + cx) * (256 / (2 * np.pi))
    skyline = np.interp(turn, np.arange(-128, 129), light.hills_rad[np.arange(-128, 129) % 256])
    packed[:rows][rise[:, None] < skyline] = pack(0.45 * np.array([86, 108, 92]) + 0.55 * light.horizon)


def _draw_ground(packed: Array, depth: Array, view: View, scenery: Scenery) -> None:
    ground = view.ground_m
    first = int(np.isinf(ground).sum())
    y, z = view.y[first:], ground[first:]
    if not len(z):
        return
    depth[first:] = z[:, None]
    points = []
    for axis in (0, 1):
        a, b, c = view.along(np.eye(3)[axis])
        start, slope = view.position_m[axis] + z * (b * y + c), z * a
        points.append(slope.astype(np.float32)[:, None] * view.x.astype(np.float32) + start.astype(np.float32)[:, None])
    across = z / view.camera.fx_px
    footprint = np.sqrt(across * across * z / view.position_m[2])  # between a pixel's width and length on the ground
    level = np.clip(np.floor(np.log2(np.maximum(footprint / TEXEL_M, 1e-6)) + 0.6), 0, 3).astype(np.int32)
    packed[first:] = sample(scenery.ground, points[0], points[1], level, int((z < _GRAIN_REACH_M).sum()))


def _draw_walls(packed: Array, depth: Array, view: View, walls: tuple[Wall, ...]) -> None:
    corners = []
    for wall in walls:
        ends = (wall.start_m, wall.end_m, wall.end_m, wall.start_m)
        corners.append([[*end, z] for z in (0.0, len(wall.texels) * WALL_TEXEL_M) for end in ends])
    for wall, box in zip(walls, view.pixel_boxes(np.array(corners)), strict=True):
        if box[0] < box[1]:
            _draw_wall(packed, depth, view, wall, tuple(int(n) for n in box))


def _draw_wall(packed: Array, depth: Array, view: View, wall: Wall, box: tuple[int, ...]) -> None:
    x0, x1, y0, y1 = box
    x, y = view.x[x0:x1], view.y[y0:y1]
    rows, columns = wall.texels.shape
    run = wall.end_m - wall.start_m
    length = float(np.hypot(run[0], run[1]))
    unit, normal = run / length, np.array([-run[1], run[0]]) / length
    offset = wall.start_m - view.position_m[:2]

    def per_depth(vector: Array, scale: float) -> Array:
        a, b, c = view.along(np.array([*vector, 0.0]))
        return (scale * a * x).astype(np.float32) + (scale * (b * y + c)).astype(np.float32)[:, None]

    _, b, c = view.along(np.array([0.0, 0.0, 1.0 / WALL_TEXEL_M]))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        t = np.float32(normal @ offset) / per_depth(normal, 1.0)
        column = per_depth(unit, columns / length) * t
        column -= np.float32(columns / length * float(unit @ offset))
        row = (b * y + c).astype(np.float32)[:, None] * t
        row += np.float32(view.position_m[2] / WALL_TEXEL_M)
    seen = (t > NEAR_M) & (t < depth[y0:y1, x0:x1])
    seen &= (column >= 0) & (column < columns)
    seen &= (row >= 0) & (row < rows)
    at = np.flatnonzero(seen)
    colour = wall.texels.take(row.ravel()[at].astype(np.int32) * columns + column.ravel()[at].astype(np.int32))
    at, colour = at[colour >= OPAQUE], colour[colour >= OPAQUE]
    place = (at // (x1 - x0) + y0) * view.camera.width_px + at % (x1 - x0) + x0
    packed.ravel()[place] = colour
    depth.ravel()[place] = t.ravel()[at]


def _draw_sprites(packed: Array, depth: Array, view: View, sprites: tuple[Sprite, ...]) -> None:
    camera = view.camera
    xyz = np.array([[*sprite.xy_m, sprite.height_m] for sprite in sprites]).reshape(-1, 3)
    wide = np.array([sprite.width_m for sprite in sprites])
    foot, top = transform(view.camera_SE3_world, xyz * [1, 1, 0]), transform(view.camera_SE3_world, xyz)
    near = (foot[:, 2] < 1.0) | (top[:, 2] < 1.0)
    foot[near], top[near] = np.nan, np.nan
    z = foot[:, 2]
    centre, half = foot[:, 0] / z * camera.fx_px + camera.cx_px, wide / 2 / z * camera.fx_px
    low = foot[:, 1] / z * camera.fy_px + camera.cy_px
    high = top[:, 1] / top[:, 2] * camera.fy_px + camera.cy_px
    rectangles = np.stack([centre - half, high, centre + half, low], axis=-1)
    boxes = view.pixels_in(rectangles)
    for i in np.flatnonzero(boxes[:, 1] > boxes[:, 0]):
        texels, (x0, x1, y0, y1), (left, upper, right, lower) = sprites[i].texels, boxes[i], rectangles[i]
        rows, columns = texels.shape
        column = ((np.arange(x0, x1) - left) * (columns / (right - left) * 0.9999)).astype(np.int32)
        row = ((np.arange(y0, y1) - upper) * (rows / (lower - upper) * 0.9999)).astype(np.int32)
        colour = texels[row[:, None], column]
        before = depth[y0:y1, x0:x1]
        seen = (colour >= OPAQUE) & (before > z[i])
        packed[y0:y1, x0:x1][seen] = colour[seen]
        before[seen] = z[i]

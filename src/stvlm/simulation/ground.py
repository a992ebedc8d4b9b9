"""The ground of a place as a picture seen from above, and how it is looked up.

Colours are packed into uint32 as red + 256 * green + 65536 * blue, so that one array operation blends three channels.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from stvlm.records import Array
from stvlm.simulation.streets import (
    CYCLE_LANE_M,
    HALF_WORLD_M,
    LANE_M,
    LAYOUTS,
    PARKING_M,
    PAVEMENT_M,
    Layout,
    arm_line,
    crossing_m,
    mouth_m,
)

TEXEL_M = 0.125
_SIZE = int(2 * HALF_WORLD_M / TEXEL_M)
_LEVELS = 4
_MEAN_GRAIN = np.uint32(232)
_RED_BLUE, _GREEN = np.uint32(0xFF00FF), np.uint32(0x00FF00)


class Ground(NamedTuple):
    """A picture of the ground in ever coarser versions, one after the other. Level k has texels of TEXEL_M * 2^k."""

    packed: Array  # (S,) uint32
    offset: Array  # (_LEVELS,) where each level starts
    width: Array  # (_LEVELS,) texels a row
    grain: Array  # (256, 256) uint32, brightness of fine grain at 4 cm, 256 = unchanged


def pack(rgb: Array) -> Array:
    """Colours (..., 3), 0 to 255, as packed uint32 (...)."""
    rgb = rgb.astype(np.uint32)
    return np.asarray(rgb[..., 0] | rgb[..., 1] << np.uint32(8) | rgb[..., 2] << np.uint32(16))


def unpack(packed: Array) -> Array:
    """Packed colours (...) as (..., 3) uint8."""
    out = np.empty((*packed.shape, 3), dtype=np.uint8)
    out[..., 0] = packed & np.uint32(255)
    out[..., 1] = packed >> np.uint32(8) & np.uint32(255)
    out[..., 2] = packed >> np.uint32(16) & np.uint32(255)
    return out


def blend(a: Array, b: Array, weight: Array) -> Array:
    """Packed colours from ``a`` (weight 0) to ``b`` (weight 256); weight is uint32."""
    keep = np.uint32(256) - weight
    red_blue = ((a & _RED_BLUE) * keep + (b & _RED_BLUE) * weight) >> np.uint32(8) & _RED_BLUE
    green = ((a & _GREEN) * keep + (b & _GREEN) * weight) >> np.uint32(8) & _GREEN
    return np.asarray(red_blue | green)


def dim(a: Array, weight: Array | np.uint32) -> Array:
    """Packed colours made darker: times weight / 256, weight uint32 up to 256."""
    red_blue = (a & _RED_BLUE) * weight >> np.uint32(8) & _RED_BLUE
    return np.asarray(red_blue | ((a & _GREEN) * weight >> np.uint32(8) & _GREEN))


def sample(ground: Ground, x_m: Array, y_m: Array, level: Array, fine: int) -> Array:
    """Packed colours (H, W) at ground points (H, W), by each row's level (H,); the last ``fine`` rows get grain."""
    texel = (TEXEL_M * 2.0**level)[:, None]
    width, start = ground.width[level][:, None], ground.offset[level][:, None]
    scale, shift = (1 / texel).astype(np.float32), (HALF_WORLD_M / texel - 0.5).astype(np.float32)
    gx, gy = x_m * scale, y_m * scale
    gx += shift
    gy += shift
    limit = (width - 1.001).astype(np.float32)
    np.maximum(np.minimum(gx, limit, out=gx), 0, out=gx)
    np.maximum(np.minimum(gy, limit, out=gy), 0, out=gy)
    ix, iy = gx.astype(np.int32), gy.astype(np.int32)
    gx -= ix
    gy -= iy
    wx, wy = (gx * np.float32(256)).astype(np.uint32), (gy * np.float32(256)).astype(np.uint32)
    index = iy * width + ix + start
    below = index + width
    low = blend(ground.packed.take(index), ground.packed.take(index + 1), wx)
    high = blend(ground.packed.take(below), ground.packed.take(below + 1), wx)
    out = blend(low, high, wy)
    out[: len(out) - fine] = dim(out[: len(out) - fine], _MEAN_GRAIN)
    if fine:
        u = (x_m[-fine:] * np.float32(25) + np.float32(1 << 20)).astype(np.int32) & 255
        v = (y_m[-fine:] * np.float32(25) + np.float32(1 << 20)).astype(np.int32) & 255
        out[-fine:] = dim(out[-fine:], ground.grain.take(v << 8 | u))
    return out


@cache
def ground_of(layout_name: str) -> Ground:
    """The ground of a layout: 14 MB, made in a fraction of a second, and kept: recordings take turns at layouts."""
    layout = LAYOUTS[layout_name]
    rng = np.random.default_rng(len(layout_name))
    rgb = _pitch(layout, rng) if layout.domain == "sports" else _street(layout, rng)
    level = np.clip(rgb, 0, 255).astype(np.uint8)
    levels = []
    for _ in range(_LEVELS):
        levels.append(pack(level))
        quad = level.astype(np.uint16)
        level = ((quad[::2, ::2] + quad[1::2, ::2] + quad[::2, 1::2] + quad[1::2, 1::2]) // 4).astype(np.uint8)
    sizes = [a.size for a in levels]
    grain = np.clip(_MEAN_GRAIN + 14 * rng.standard_normal((256, 256)), 190, 256).astype(np.uint32)
    return Ground(
        packed=np.concatenate([a.ravel() for a in levels]),
        offset=np.array([sum(sizes[:k]) for k in range(_LEVELS)], dtype=np.int32),
        width=np.array([len(a) for a in levels], dtype=np.int32),
        grain=grain,
    )


def _noise(rng: np.random.Generator, coarse_texels: int) -> Array:
    """Smooth noise (_SIZE, _SIZE) float32 of unit deviation, repeating every 512 texels."""
    n = 512 // coarse_texels
    small = rng.standard_normal((n, n)).astype(np.float32)
    if coarse_texels > 1:
        t = (np.arange(512) / coarse_texels).astype(np.float32)
        i, f = t.astype(int), t % 1
        small = small[i % n] * (1 - f)[:, None] + small[(i + 1) % n] * f[:, None]
        small = small[:, i % n] * (1 - f) + small[:, (i + 1) % n] * f
    times = -(-_SIZE // 512)
    return np.tile(small, (times, times))[:_SIZE, :_SIZE]


class _Canvas:
    """The picture, or a window of it, while it is painted: colours (rows, columns, 3) float32, rows along y."""

    def __init__(self, rgb: Array) -> None:
        self.rgb = rgb

    def paint(self, cover: Array, rgb: tuple[float, float, float], texture: Array | float = 0.0) -> None:
        """Lay a colour over, by a cover (rows, columns) from 0 to 1."""
        box = _window(cover)
        weight = cover[box].astype(np.float32)
        for channel in range(3):
            value = np.float32(rgb[channel]) + (
                texture[box] if isinstance(texture, np.ndarray) else np.float32(texture)
            )
            self.rgb[(*box, channel)] += weight * (value - self.rgb[(*box, channel)])


def _window(cover: Array) -> tuple[slice, slice]:
    """The rows and columns in which a cover is anything."""
    rows, columns = np.nonzero(cover.any(axis=1))[0], np.nonzero(cover.any(axis=0))[0]
    if not len(rows):
        return np.s_[:0, :0]
    return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _edge(inside_m: Array) -> Array:
    """Cover from a distance inside an outline, antialiased over one texel."""
    return np.clip(inside_m / np.float32(TEXEL_M) + np.float32(0.5), 0, 1)


def _plain(rgb: tuple[float, float, float], texture: Array) -> _Canvas:
    return _Canvas(np.array(rgb, dtype=np.float32) + texture[..., None])


def _axis() -> Array:
    return ((np.arange(_SIZE) + 0.5) * TEXEL_M - HALF_WORLD_M).astype(np.float32)


def _near(line_xy: Array, line_s: Array, reach_m: float) -> tuple[Array, Array, Array]:
    """Distance to a line (K, 2), s and l, each (_SIZE, _SIZE) float32; beyond ``reach_m`` the distance is 1e3."""
    axis = _axis()
    far, s_out, l_out = (np.full((_SIZE, _SIZE), fill, dtype=np.float32) for fill in (1e3, -1e3, 1e3))
    for (x0, y0), (x1, y1), s0 in zip(line_xy, line_xy[1:], line_s, strict=False):
        low = np.floor((np.minimum([x0, y0], [x1, y1]) - reach_m + HALF_WORLD_M) / TEXEL_M).astype(int)
        high = np.ceil((np.maximum([x0, y0], [x1, y1]) + reach_m + HALF_WORLD_M) / TEXEL_M).astype(int)
        box = np.s_[max(low[1], 0) : max(high[1], 0), max(low[0], 0) : max(high[0], 0)]
        x, y = axis[box[1]][None, :] - np.float32(x0), axis[box[0]][:, None] - np.float32(y0)
        length = np.hypot(x1 - x0, y1 - y0)
        ux, uy = np.float32((x1 - x0) / length), np.float32((y1 - y0) / length)
        s, left = x * ux + y * uy, y * ux - x * uy
        beyond = np.maximum(np.maximum(-s, s - np.float32(length)), 0)
        distance = np.sqrt(left * left + beyond * beyond)
        nearer = distance < far[box]
        for out, value in ((far, distance), (s_out, s + np.float32(s0)), (l_out, left)):
            out[box][nearer] = value[nearer]
    return far, s_out, l_out


def _simplified(xy: Array, s: Array) -> tuple[Array, Array]:
    """A straight line by its ends, a bend by points four metres apart."""
    chord = xy[-1] - xy[0]
    if abs(np.linalg.norm(chord) - s[-1]) < 1e-6:
        return xy[[0, -1]], s[[0, -1]]
    return xy[::8], s[::8]


def _street(layout: Layout, rng: np.random.Generator) -> Array:
    speckle, patches, clouds = _noise(rng, 1), _noise(rng, 8), _noise(rng, 64)
    canvas = _plain((88, 118, 62), 7 * speckle + 5 * patches + 7 * clouds)
    half = np.float32(layout.road_half_m)
    reach = layout.wall_m + 6.0
    arms = [_near(*_simplified(arm_line(arm).xy_m, arm_line(arm).s_m), reach) for arm in layout.arms]
    inside = np.full((_SIZE, _SIZE), 1e3, dtype=np.float32)  # distance from the kerb, negative on the road
    for distance, _, _ in arms:
        inside = _smooth_min(inside, distance - half, 8.0 if len(arms) > 2 else 0.5)
    axis = _axis()
    radius = np.sqrt(axis[None, :] ** 2 + axis[:, None] ** 2)
    if layout.ring_m:
        inside = _smooth_min(inside, np.abs(radius - np.float32(layout.ring_m)) - np.float32(4.0), 4.0)
        island = np.float32(layout.ring_m - 4.0) - radius
        inside = np.where(radius < layout.ring_m, island, inside)
    median = np.full((_SIZE, _SIZE), -1e3, dtype=np.float32)
    if layout.median_m:
        for distance, s, _ in arms:
            median = np.maximum(median, np.minimum(np.float32(layout.median_m / 2) - distance, s - np.float32(10.5)))
        inside = np.maximum(inside, median)
    slabs = 4 * speckle + 3 * patches
    for lines in (axis[None, :], axis[:, None]):
        slabs = slabs - 22 * ((lines % 1.0) < TEXEL_M).astype(np.float32)
    canvas.paint(_edge(np.float32(PAVEMENT_M) - inside) * (median < 0), (158, 154, 148), slabs)
    canvas.paint(_edge(np.float32(0.22) - inside), (186, 184, 178), 4 * speckle)
    canvas.paint(_edge(-inside), (84, 85, 88), 5 * speckle + 2 * patches + 3 * clouds)
    if layout.ring_m:
        canvas.paint(_edge(island - np.float32(1.5)), (84, 122, 60), 7 * speckle + 5 * patches)
    for arm, (distance, s, left) in enumerate(arms):
        box = _window(distance < half + 1)
        _mark(_Canvas(canvas.rgb[box]), layout, arm, s[box], left[box], inside[box])
    return canvas.rgb


def _mark(canvas: _Canvas, layout: Layout, arm: int, s: Array, left: Array, inside: Array) -> None:
    """Lane, cycle lane and parking lines, a zebra crossing and a stop line on one arm."""
    white, beside = (222, 222, 216), np.abs(left)
    on_road = inside < -0.05
    crossing = crossing_m(layout, arm)
    start = mouth_m(layout, arm) + 6.0
    if len(layout.arms) == 2:
        start = 0.0 if not layout.median_m else 10.5
    marked = on_road & (s > start)
    if crossing is not None:
        marked &= np.abs(s - np.float32(crossing)) > 2.6

    def line(at_m: float, width_m: float, on_m: float = 1.0, every_m: float = 1.0) -> None:
        dashes = (s % every_m) < on_m if on_m < every_m else True
        canvas.paint(_edge(np.float32(width_m / 2) - np.abs(beside - np.float32(at_m))) * (marked & dashes), white)

    inner = layout.median_m / 2
    lane_end = inner + layout.lanes * LANE_M
    cycle = marked & (beside > lane_end) & (beside < lane_end + CYCLE_LANE_M)
    canvas.paint(cycle * np.float32(0.55), (128, 74, 66))
    if not layout.median_m:
        line(0.0, 0.15, 3.0, 9.0)
    for lane in range(1, layout.lanes):
        line(inner + lane * LANE_M, 0.15, 3.0, 9.0)
    line(lane_end, 0.2)
    line(lane_end + CYCLE_LANE_M, 0.12)
    first_bay = mouth_m(layout, arm) + 8.0
    bay = (beside > layout.road_half_m - PARKING_M) & (s > first_bay - 0.1) & (s < first_bay + 48.1)
    canvas.paint(
        _edge(np.float32(0.07) - np.abs((s - np.float32(first_bay) + 3.0) % 6.0 - 3.0)) * (bay & marked), white
    )
    if crossing is not None:
        zebra = on_road & (np.abs(s - np.float32(crossing)) < 2.0) & (beside < layout.road_half_m + 1.0)
        canvas.paint(zebra * _edge(np.float32(0.25) - np.abs(left % 1.0 - 0.5)), white)
        if len(layout.arms) > 2:
            stop = on_road & (left > inner + 0.1) & (left < lane_end)
            canvas.paint(_edge(np.float32(0.2) - np.abs(s - np.float32(crossing + 3.2))) * stop, white)


def _smooth_min(a: Array, b: Array, k: float) -> Array:
    """The smaller of two distances, rounding the corner where they meet."""
    h = np.maximum(np.float32(k) - np.abs(a - b), 0) / np.float32(k)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(k / 4))


def _pitch(layout: Layout, rng: np.random.Generator) -> Array:
    """A grass pitch with mown stripes, or a wooden court, with its lines."""
    axis = _axis()
    x, y = np.broadcast_arrays(axis[None, :], axis[:, None])
    speckle, patches, clouds = _noise(rng, 1), _noise(rng, 8), _noise(rng, 64)
    length, width = layout.pitch_lw_m
    beyond = np.maximum(np.abs(x) - np.float32(length / 2), np.abs(y) - np.float32(width / 2))
    line, radius, white = np.float32(0.06), np.sqrt(x * x + y * y), (236, 236, 232)
    if layout.indoor:
        canvas = _plain((112, 116, 122), 3 * speckle)
        canvas.paint(_edge(np.float32(2.5) - beyond), (70, 108, 140), 2 * speckle)
        planks = 5 * np.sin(np.floor(y / np.float32(0.5)) * 12.9) + 3 * speckle
        canvas.paint(_edge(-beyond), (196, 150, 98), planks.astype(np.float32))
        key = np.maximum(np.abs(np.abs(x) - np.float32(length / 2 - 2.9)) - 2.9, np.abs(y) - np.float32(2.45))
        canvas.paint(_edge(-key), (160, 96, 70), planks.astype(np.float32))
        canvas.paint(_edge(line - np.abs(key)), white)
        rings = [(0.0, 1.8), (length / 2 - 5.8, 1.8), (length / 2 - 1.6, 6.75)]
    else:
        canvas = _plain((92, 112, 70), 6 * speckle + 5 * patches + 6 * clouds)
        stripes = np.where(np.floor(x / np.float32(5.0)) % 2 == 0, np.float32(9), np.float32(-9))
        canvas.paint(_edge(np.float32(4.0) - beyond), (78, 132, 58), stripes + 5 * speckle + 3 * patches)
        rings = [(0.0, 4.0), (length / 2, 8.0)]
    on_pitch = beyond < 0.06
    canvas.paint(_edge(line - np.abs(beyond)), white)
    canvas.paint(_edge(line - np.abs(x)) * on_pitch, white)
    for centre, ring in rings:
        for side in (1, -1) if centre else (1,):
            radius = np.sqrt((x - np.float32(side * centre)) ** 2 + y * y)
            canvas.paint(_edge(line - np.abs(radius - np.float32(ring))) * on_pitch, white)
    return canvas.rgb

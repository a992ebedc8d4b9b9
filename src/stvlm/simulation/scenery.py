"""What stands still around the ground: house fronts, trees, lamp posts, boards; and the light of the day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np

from stvlm.records import Array
from stvlm.simulation.ground import Ground, ground_of, pack
from stvlm.simulation.streets import LAYOUTS, PAVEMENT_M, Layout, along, fronts_from_m, house_fronts, mouth_m

OPAQUE = np.uint32(1 << 24)
"""This bit is set in a packed texel that is there; a clear one is seen through."""

WALL_TEXEL_M = 0.25


@dataclass(frozen=True, eq=False, slots=True)
class Wall:
    """An upright picture from one ground point to another. Row 0 is its foot."""

    start_m: Array  # (2,)
    end_m: Array  # (2,)
    texels: Array  # (rows, columns) uint32, WALL_TEXEL_M high and as wide as fits


@dataclass(frozen=True, eq=False, slots=True)
class Sprite:
    """A flat thing that always faces the camera. Row 0 is its top."""

    texels: Array  # (rows, columns) uint32
    xy_m: tuple[float, float]
    width_m: float
    height_m: float


@dataclass(frozen=True, eq=False, slots=True)
class Light:
    """The day: colours as RGB 0 to 255, and where the sun is."""

    zenith: Array  # (3,)
    horizon: Array  # (3,) also the colour of the haze
    sun: Array  # (3,) unit vector towards it, world frame
    haze_per_m: float
    hills_rad: Array  # (256,) elevation of the skyline by azimuth


@dataclass(frozen=True, eq=False, slots=True)
class Scenery:
    """Everything that does not move."""

    ground: Ground
    walls: tuple[Wall, ...]
    sprites: tuple[Sprite, ...]
    light: Light


@lru_cache(maxsize=4)
def scenery_of(layout_name: str, seed: int, clear_m: tuple[float, float] | None = None) -> Scenery:
    """The scenery of a world; the last few are kept. Trees and posts keep 12 m away from a camera at ``clear_m``."""
    layout = LAYOUTS[layout_name]
    rng = np.random.default_rng(seed)
    light = _INDOORS if layout.indoor else _light(rng)
    if layout.domain == "sports":
        walls, sprites = _grounds(layout, rng)
    else:
        walls, sprites = _street_sides(layout, rng)
    if clear_m is not None:
        sprites = [s for s in sprites if np.hypot(s.xy_m[0] - clear_m[0], s.xy_m[1] - clear_m[1]) > 12.0]
    return Scenery(ground_of(layout_name), tuple(walls), tuple(sprites), light)


def _light(rng: np.random.Generator) -> Light:
    days = (
        ((96, 144, 206), (206, 220, 232), 0.0022),  # clear
        ((150, 166, 184), (212, 216, 220), 0.0045),  # overcast
        ((104, 132, 182), (238, 214, 184), 0.003),  # evening
    )
    zenith, horizon, haze = days[int(rng.integers(len(days)))]
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(0.5, 1.1)
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    around = np.arange(256) * (2 * np.pi / 256)
    hills = sum(
        rng.uniform(0.3, 1) / k**0.7 * np.sin(k * around + rng.uniform(0, 6.3)) for k in (1, 2, 3, 5, 8, 21, 34)
    )
    return Light(np.array(zenith), np.array(horizon), sun, haze, 0.03 + 0.012 * hills)


_INDOORS = Light(
    np.array((104, 106, 112)), np.array((150, 152, 156)), np.array([0.3, 0.2, 0.93]), 0.0, np.full(256, -1.0)
)


# House fronts


_PLASTER = (
    (196, 178, 150),
    (170, 110, 88),
    (204, 198, 188),
    (150, 134, 118),
    (182, 156, 120),
    (134, 92, 78),
    (160, 166, 170),
)


def _front(rng: np.random.Generator, length_m: float) -> Array:
    """A row of houses of different heights and colours, some gaps between: (rows, columns) packed."""
    rows, columns = int(18.0 / WALL_TEXEL_M), max(int(length_m / WALL_TEXEL_M), 4)
    out = np.zeros((rows, columns), dtype=np.uint32)
    c = 0
    while c < columns:
        wide = int(rng.uniform(8.0, 17.0) / WALL_TEXEL_M)
        house = _house(rng, wide, rows)
        fits = min(wide, columns - c)
        if fits > 12:
            out[:, c : c + fits] = house[:, :fits]
        c += wide
        if rng.uniform() < 0.25:
            c += int(rng.uniform(2.0, 5.0) / WALL_TEXEL_M)
    return out


def _house(rng: np.random.Generator, columns: int, rows: int) -> Array:
    """One front: storeys of 3 m, windows of 1.25 by 1.5 m, a shop or a door below, a cornice above."""
    floors = int(rng.integers(2, 6))
    tall = min(int((floors * 3.0 + 1.0) / WALL_TEXEL_M), rows)
    rgb = np.empty((rows, columns, 3))
    rgb[:] = np.array(_PLASTER[int(rng.integers(len(_PLASTER)))]) * rng.uniform(0.85, 1.05)
    rgb += rng.normal(0, 3, (rows, columns, 1))
    dark, pane = np.array((52, 60, 70)), np.array((96, 116, 138))
    pitch = int(rng.choice([9, 10, 12]))
    margin = (columns % pitch) // 2 + 2
    for floor in range(floors):
        foot = floor * 12
        if floor == 0 and rng.uniform() < 0.5:  # a shop
            rgb[2:9, 3:-3] = dark * rng.uniform(0.9, 1.4)
            rgb[2:9, 3:-3:14] = (70, 62, 54)
            rgb[9:11, 2:-2] = rng.uniform(60, 200, 3)
            continue
        for c in range(margin, columns - 6, pitch):
            lit = rng.uniform()
            rgb[foot + 4 : foot + 10, c : c + 5] = pane if lit < 0.7 else dark if lit < 0.95 else (214, 196, 140)
            rgb[foot + 9, c : c + 5] = dark
            rgb[foot + 4 : foot + 10, c + 2] *= 0.75
            rgb[foot + 3, c - 1 : c + 6] *= 1.12
        if floor == 0:
            rgb[0:9, margin + pitch : margin + pitch + 5] = np.array((86, 62, 46)) * rng.uniform(0.7, 1.3)
    rgb[:1] *= 0.8
    rgb[tall - 3 : tall] *= 1.1
    rgb[tall - 4] *= 0.75
    rgb[:, 0] *= 0.8
    out = pack(np.clip(rgb, 0, 255)) | OPAQUE
    out[tall:] = 0
    return np.asarray(out)


def _street_sides(layout: Layout, rng: np.random.Generator) -> tuple[list[Wall], list[Sprite]]:
    walls = [Wall(start, end, _front(rng, float(np.linalg.norm(end - start)))) for start, end in house_fronts(layout)]
    sprites = []
    for index, arm in enumerate(layout.arms):
        for side in (-1, 1):
            near = fronts_from_m(layout, index, side)
            s = near + rng.uniform(2.0, 9.0)
            while s < 85.0:
                if rng.uniform() < 0.6:
                    place = along(arm, np.array([s]), side * (layout.road_half_m + PAVEMENT_M + 1.2))[0]
                    sprites.append(_tree(rng, place))
                s += rng.uniform(8.0, 16.0)
            lamp = max(near, mouth_m(layout, index)) + (4.0 if side > 0 else 17.0)
            for s in np.arange(lamp, 85.0, 26.0):
                place = along(arm, np.array([s]), side * (layout.road_half_m + 0.4))[0]
                sprites.append(Sprite(_lamp(), (float(place[0]), float(place[1])), 1.6, 6.5))
        if layout.median_m:
            for s in np.arange(16.0, 85.0, 12.0):
                sprites.append(_tree(rng, along(arm, np.array([s]), 0.0)[0]))
    return walls, sprites


def _grounds(layout: Layout, rng: np.random.Generator) -> tuple[list[Wall], list[Sprite]]:
    """Boards around a pitch, and beyond them trees, or the walls of a hall."""
    half = np.array(layout.pitch_lw_m) / 2 + (3.2 if layout.indoor else 5.0)
    corners = np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]]) * half
    walls, sprites = [], []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if start[1] < 0 and end[1] < 0:
            continue  # the camera's side is open
        walls.append(Wall(start, end, _boards(rng, float(np.linalg.norm(end - start)))))
    out = half + (6.0 if layout.indoor else 24.0)
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * out
    for start, end in pairwise(corners):
        length = float(np.linalg.norm(end - start))
        walls.append(Wall(start, end, _hall(rng, length) if layout.indoor else _front(rng, length)))
        if not layout.indoor:
            for t in np.arange(0.02, 1.0, 5.0 / length):
                place = start + (end - start) * t - np.sign(start + end) * rng.uniform(6.0, 14.0, 2)
                if rng.uniform() < 0.75 and (np.abs(place) > half + 2.0).any():
                    sprites.append(_tree(rng, place))
    return walls, sprites


def _boards(rng: np.random.Generator, length_m: float) -> Array:
    """Advertising boards a metre high."""
    rows, columns = 4, int(length_m / WALL_TEXEL_M)
    rgb = np.zeros((rows, columns, 3))
    for c in range(0, columns, 16):
        rgb[:, c : c + 16] = rng.choice([(212, 214, 216), (40, 84, 150), (176, 52, 48), (222, 186, 70), (44, 110, 84)])
        rgb[1:3, c + 4 : c + 12] = rng.choice([(240, 240, 240), (30, 32, 36)])
    return np.asarray(pack(rgb) | OPAQUE)


def _hall(rng: np.random.Generator, length_m: float) -> Array:
    """The wall of a sports hall: rows of seats, then panels and a band of windows."""
    rows, columns = int(9.0 / WALL_TEXEL_M), int(length_m / WALL_TEXEL_M)
    rgb = np.empty((rows, columns, 3))
    rgb[:] = (176, 178, 180)
    rgb[:, ::12] = (156, 158, 160)
    seat = np.array(((44, 78, 130), (150, 58, 52), (60, 104, 78))[int(rng.integers(3))])
    rgb[0:12] = seat
    rgb[0:12:3] = seat * 0.6
    rgb[0:12, ::2] *= 0.85
    rgb[24:32] = (206, 220, 232)
    rgb[24:32, ::8] = (110, 114, 120)
    rgb += rng.normal(0, 2, (rows, columns, 1))
    return np.asarray(pack(np.clip(rgb, 0, 255)) | OPAQUE)


# Trees and lamp posts


def _tree(rng: np.random.Generator, xy_m: Array) -> Sprite:
    height = rng.uniform(5.0, 8.5)
    return Sprite(_tree_texels(int(rng.integers(6))), (float(xy_m[0]), float(xy_m[1])), 0.72 * height, height)


@cache
def _tree_texels(kind: int) -> Array:
    """A crown of overlapping leaf clumps, lit from above, on a trunk: (96, 72)."""
    rng = np.random.default_rng(kind)
    y, x = np.mgrid[0:96, 0:72].astype(np.float64)
    rgb = np.zeros((96, 72, 3))
    there = np.zeros((96, 72), dtype=bool)
    trunk = (np.abs(x - 36) < 2.2 + 1.4 * (y > 90)) & (y > 50)
    rgb[trunk] = (86, 68, 52)
    there |= trunk
    leaf = np.array(((72, 108, 48), (84, 118, 60), (62, 98, 56), (100, 120, 54))[kind % 4])
    clumps = [(rng.uniform(16, 56), rng.uniform(16, 58), rng.uniform(8, 15)) for _ in range(22)]
    for cx, cy, r in sorted(clumps, key=lambda clump: -clump[1]):
        if ((cx - 36) / 34) ** 2 + ((cy - 37) / 36) ** 2 > 0.8:
            continue
        d = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) + rng.normal(0, 1.3, x.shape)
        clump = d < r
        shade = 1.0 - 0.32 * (y - cy) / r - 0.10 * (x - cx) / r + rng.normal(0, 0.10, x.shape)
        rgb[clump] = (leaf * (1.18 - cy / 130)) * np.clip(shade, 0.4, 1.5)[clump][:, None]
        there |= clump
    out = pack(np.clip(rgb, 0, 255)) | OPAQUE
    out[~there] = 0
    return np.asarray(out)


@cache
def _lamp() -> Array:
    """A post with an arm and a lamp: (130, 32)."""
    rgb = np.zeros((130, 32, 3))
    there = np.zeros((130, 32), dtype=bool)
    there[4:, 14:17] = True
    there[4:7, 14:29] = True
    rgb[there] = (88, 92, 96)
    there[7:10, 22:30] = True
    rgb[7:10, 22:30] = (226, 224, 204)
    out = pack(rgb) | OPAQUE
    out[~there] = 0
    return np.asarray(out)

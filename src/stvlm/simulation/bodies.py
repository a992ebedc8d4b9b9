"""What moving things are made of: a few solids each, with painted faces.

A solid is what lies between two rectangles, one above the other, so it can taper like a cabin or lean like a leg.
All solids of an object stay inside its annotated box.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from stvlm.records import Array
from stvlm.simulation.world import Agent

FACE_ROWS, FACE_COLUMNS = 24, 48

# Codes of a face's texels: what is there, coloured by the object's palette. 0 is seen through.
_PAINT, _GLASS, _DARK, _LIGHT, _REAR, _TRIM, _SKIN, _HAIR, _CLOTH, _LEGS, _BOX = range(1, 12)


class Solids(NamedTuple):
    """S solids in their objects' frames (x forwards, y left, z up from the ground), in metres."""

    low: Array  # (S, 5) x0, x1, y0, y1, z of the lower rectangle
    high: Array  # (S, 5) of the upper one
    kind: Array  # (S,) int32, the first index into `faces`


def solids_of(agent: Agent, arc_m: float) -> Solids:
    """An object's solids, after it has travelled ``arc_m``: legs and arms swing with the distance."""
    rows = _BUILD[agent.category](arc_m / agent.size_lwh_m[2])
    kinds = list(_FACES)
    length, width, tall = agent.size_lwh_m
    scale = np.array([length, length, width, width, tall])
    low, high, names = zip(*rows, strict=True)
    kind = np.array([kinds.index(name) for name in names], dtype=np.int32)
    return Solids(np.array(low) * scale, np.array(high) * scale, kind)


_Row = tuple[tuple[float, ...], tuple[float, ...], str]


def _car(_: float) -> list[_Row]:
    return [
        ((-0.5, 0.5, -0.5, 0.5, 0.0), (-0.49, 0.49, -0.49, 0.49, 0.58), "car_body"),
        ((-0.46, 0.24, -0.46, 0.46, 0.58), (-0.34, 0.06, -0.38, 0.38, 1.0), "cabin"),
    ]


def _truck(_: float) -> list[_Row]:
    return [
        ((-0.5, 0.5, -0.5, 0.5, 0.0), (-0.5, 0.5, -0.5, 0.5, 0.3), "chassis"),
        ((-0.5, 0.22, -0.5, 0.5, 0.3), (-0.5, 0.22, -0.5, 0.5, 1.0), "box"),
        ((0.25, 0.5, -0.47, 0.47, 0.3), (0.25, 0.46, -0.45, 0.45, 0.82), "truck_cab"),
    ]


def _swing(phase: float) -> float:
    """A triangle wave between -1 and 1 with period 1."""
    return abs(4 * (phase - math.floor(phase)) - 2) - 1


def _walker(strides: float) -> list[_Row]:
    a = 0.27 * _swing(strides / 0.85)  # a stride is 0.85 of the height
    legs: list[_Row] = []
    for side, x in ((1, a), (-1, -a)):
        y0, y1 = sorted((side * 0.04, side * 0.28))
        legs.append(((x - 0.2, x + 0.2, y0, y1, 0.0), (-0.14, 0.14, y0, y1, 0.48), "leg"))
        y0, y1 = sorted((side * 0.32, side * 0.48))
        legs.append(((-x - 0.08, -x + 0.08, y0, y1, 0.44), (-0.09, 0.09, y0, y1, 0.8), "arm"))
    return [
        *legs,
        ((-0.16, 0.16, -0.3, 0.3, 0.46), (-0.18, 0.18, -0.4, 0.4, 0.83), "torso"),
        ((-0.14, 0.16, -0.17, 0.17, 0.85), (-0.14, 0.16, -0.17, 0.17, 1.0), "head"),
    ]


def _cyclist(turns: float) -> list[_Row]:
    a = 0.09 * _swing(turns / 2.4)
    rows: list[_Row] = [((-0.5, 0.5, -0.05, 0.05, 0.0), (-0.5, 0.5, -0.05, 0.05, 0.6), "bike")]
    for side, z in ((1, a), (-1, -a)):
        y0, y1 = sorted((side * 0.06, side * 0.3))
        rows.append(((-0.05 + z, 0.09 + z, y0, y1, 0.14 + max(z, 0.0)), (-0.17, 0.0, y0, y1, 0.58), "leg"))
        y0, y1 = sorted((side * 0.28, side * 0.46))
        rows.append(((0.2, 0.28, y0, y1, 0.58), (0.04, 0.12, y0, y1, 0.8), "arm"))
    return [
        *rows,
        ((0.2, 0.24, -0.5, 0.5, 0.55), (0.2, 0.24, -0.5, 0.5, 0.6), "bars"),
        ((-0.2, -0.02, -0.34, 0.34, 0.55), (-0.02, 0.14, -0.42, 0.42, 0.84), "torso"),
        ((0.03, 0.16, -0.2, 0.2, 0.84), (0.03, 0.16, -0.2, 0.2, 1.0), "head"),
    ]


_BUILD = {"car": _car, "truck": _truck, "person": _walker, "bicycle": _cyclist}


# Faces, in the order front, rear, left, right, top, bottom. Row 0 is the foot; columns run from rear to front, or from
# right to left.


@cache
def faces() -> Array:
    """What is painted on every kind of solid: codes (kind, 6, FACE_ROWS, FACE_COLUMNS) uint8."""
    return np.stack([_FACES[kind]() for kind in _FACES])


def _plain(code: int) -> Array:
    return np.full((6, FACE_ROWS, FACE_COLUMNS), code, dtype=np.uint8)


def _grid() -> tuple[Array, Array]:
    """Row and column centres from 0 to 1, (FACE_ROWS, 1) and (1, FACE_COLUMNS)."""
    return (np.arange(FACE_ROWS)[:, None] + 0.5) / FACE_ROWS, (np.arange(FACE_COLUMNS)[None, :] + 0.5) / FACE_COLUMNS


def _car_body() -> Array:
    out = _plain(_PAINT)
    v, u = _grid()
    for side in (2, 3):
        out[side][np.broadcast_to(v < 0.26, out[side].shape)] = 0
        out[side][np.broadcast_to((v >= 0.26) & (v < 0.34), out[side].shape)] = _TRIM
        for centre in (0.19, 0.81):  # 4.4 m long and 0.9 m tall: a wheel of 0.66 m
            r = np.sqrt(((u - centre) * 4.4) ** 2 + ((v - 0.36) * 0.92) ** 2)
            out[side][r < 0.39] = _DARK
            out[side][r < 0.33] = _DARK
            out[side][r < 0.18] = _TRIM
        out[side][(v > 0.62) & (v < 0.8) & (u < 0.02)] = _REAR
        out[side][(v > 0.58) & (v < 0.76) & (u > 0.97)] = _LIGHT
        out[side][(v > 0.3) & ((np.abs(u - 0.5) < 0.006) | (np.abs(u - 0.3) < 0.006))] = _TRIM
    for end in (0, 1):
        out[end][(v < 0.26) & (np.abs(u - 0.5) < 0.36)] = 0
        out[end][(v < 0.36) & (np.abs(u - 0.5) >= 0.36)] = _DARK
        out[end][(v >= 0.26) & (v < 0.36) & (np.abs(u - 0.5) < 0.42)] = _TRIM
        out[end][(v > 0.6) & (v < 0.8) & (np.abs(u - 0.5) > 0.3)] = _LIGHT if end == 0 else _REAR
        out[end][(v > 0.42) & (v < 0.54) & (np.abs(u - 0.5) < 0.14)] = _LIGHT if end == 1 else _DARK
    out[5] = 0
    return out


def _cabin() -> Array:
    out = _plain(_GLASS)
    v, u = _grid()
    for side in (2, 3):
        out[side][np.broadcast_to(v > 0.9, out[side].shape)] = _PAINT
        out[side][np.broadcast_to(np.abs(u - 0.48) < 0.025, out[side].shape)] = _PAINT
        lean = 0.17 * v  # pillars follow the slope of the screens
        out[side][(u < 0.05 + lean) | (u > 0.95 - 1.5 * lean)] = _PAINT
    for end in (0, 1):
        out[end][(v > 0.9) | (np.abs(u - 0.5) > 0.46)] = _PAINT
    out[4] = _PAINT
    return out


def _chassis() -> Array:
    out = _plain(_TRIM)
    v, u = _grid()
    for side in (2, 3):
        out[side][np.broadcast_to(v < 0.5, out[side].shape)] = 0
        for centre in (0.14, 0.27, 0.84):
            r = np.sqrt(((u - centre) * 7.6) ** 2 + ((v - 0.5) * 0.93) ** 2)
            out[side][r < 0.47] = _DARK
            out[side][r < 0.2] = _TRIM
    for end in (0, 1):
        out[end][(v < 0.5) & (np.abs(u - 0.5) < 0.34)] = 0
        out[end][(v < 0.55) & (np.abs(u - 0.5) >= 0.34)] = _DARK
        out[end][(v > 0.6) & (np.abs(u - 0.5) > 0.36)] = _LIGHT if end == 0 else _REAR
    out[5] = 0
    return out


def _box() -> Array:
    out = _plain(_BOX)
    v, u = _grid()
    for side in (2, 3):
        out[side][(v < 0.06) | (v > 0.95) | (u < 0.015) | (u > 0.985)] = _TRIM
        out[side][(v > 0.4) & (v < 0.62) & (u > 0.2) & (u < 0.75)] = _PAINT
    out[1][(np.abs(u - 0.5) < 0.015) | (v < 0.05) | (v > 0.95)] = _TRIM
    return out


def _truck_cab() -> Array:
    out = _plain(_PAINT)
    v, u = _grid()
    out[0][(v > 0.5) & (v < 0.9) & (np.abs(u - 0.5) < 0.44)] = _GLASS
    out[0][(v > 0.16) & (v < 0.4) & (np.abs(u - 0.5) < 0.3)] = _DARK
    for side in (2, 3):
        out[side][(v > 0.52) & (v < 0.88) & (u > 0.35) & (u < 0.9)] = _GLASS
    return out


def _leg() -> Array:
    out = _plain(_LEGS)
    out[:4, :3] = _DARK
    return out


def _arm() -> Array:
    out = _plain(_CLOTH)
    out[:4, :9] = _SKIN
    return out


def _head() -> Array:
    out = _plain(_SKIN)
    out[1] = _HAIR
    out[4] = _HAIR
    out[:4, 16:] = _HAIR
    v, u = _grid()
    for side in (2, 3):
        out[side][(u < 0.5) & (v > 0.3)] = _HAIR
    return out


def _bike() -> Array:
    """Two wheels of 0.68 m and a frame, 1.75 m by 1.05 m."""
    out = _plain(0)
    v, u = _grid()
    x, z = u * 1.78, v * 1.05
    for side in (2, 3):
        face = out[side]
        for (x0, z0), (x1, z1) in (
            ((0.34, 0.34), (0.78, 0.30)), ((0.78, 0.30), (0.66, 0.9)), ((0.34, 0.34), (0.68, 0.78)),
            ((0.68, 0.78), (1.24, 0.80)), ((0.78, 0.30), (1.26, 0.74)), ((1.24, 0.98), (1.44, 0.34)),
        ):  # fmt: skip
            t = np.clip(((x - x0) * (x1 - x0) + (z - z0) * (z1 - z0)) / ((x1 - x0) ** 2 + (z1 - z0) ** 2), 0, 1)
            face[np.hypot(x - x0 - t * (x1 - x0), z - z0 - t * (z1 - z0)) < 0.035] = _PAINT
        for centre in (0.34, 1.44):
            r = np.hypot(x - centre, z - 0.34)
            face[(r < 0.34) & (r > 0.265)] = _DARK
    for end in (0, 1):
        out[end][np.broadcast_to((v < 0.6), out[end].shape)] = _DARK
    return out


def _torso() -> Array:
    return _plain(_CLOTH)


def _bars() -> Array:
    return _plain(_DARK)


_FACES: dict[str, Callable[[], Array]] = {
    "car_body": _car_body,
    "cabin": _cabin,
    "chassis": _chassis,
    "box": _box,
    "truck_cab": _truck_cab,
    "leg": _leg,
    "arm": _arm,
    "torso": _torso,
    "head": _head,
    "bike": _bike,
    "bars": _bars,
}

_CAR_PAINT = (
    (178, 182, 186), (34, 36, 40), (232, 232, 230), (92, 98, 106), (148, 30, 32), (36, 70, 128),
    (64, 92, 76), (190, 170, 130), (206, 120, 42), (120, 136, 150),
)  # fmt: skip
_CLOTHES = (
    (184, 46, 48), (40, 80, 150), (232, 228, 220), (46, 48, 54), (226, 176, 60), (72, 122, 84),
    (124, 78, 128), (96, 146, 180), (216, 122, 70), (150, 150, 152),
)  # fmt: skip
_SKINS = ((236, 196, 168), (206, 158, 124), (150, 104, 76), (98, 68, 50))


@lru_cache(maxsize=256)
def palette(look: int) -> Array:
    """Colours (12, 3) of the codes for one object, RGB 0 to 255."""
    rng = np.random.default_rng(look)
    paint, cloth, legs, skin, hair = (int(n) for n in rng.integers(0, [10, 10, 10, 4, 4]))
    out = np.zeros((12, 3))
    out[_PAINT] = _CAR_PAINT[paint]
    out[_GLASS] = (52, 64, 76)
    out[_DARK] = (28, 28, 30)
    out[_LIGHT] = (236, 232, 214)
    out[_REAR] = (172, 26, 24)
    out[_TRIM] = (70, 72, 76)
    out[_SKIN] = _SKINS[skin]
    out[_HAIR] = ((48, 38, 30), (92, 66, 42), (26, 24, 26), (168, 136, 88))[hair]
    out[_CLOTH] = _CLOTHES[cloth]
    out[_LEGS] = np.array(_CLOTHES[(cloth + 1 + legs) % 10]) * 0.6
    out[_BOX] = ((222, 222, 218), (210, 206, 190), (196, 204, 212))[legs % 3]
    return out

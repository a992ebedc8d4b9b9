"""Ray casting of many small solids at once: every pixel of every solid's rectangle is one entry of long arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stvlm.geometry import NEAR_M
from stvlm.records import Array
from stvlm.simulation.bodies import FACE_COLUMNS, FACE_ROWS, faces
from stvlm.simulation.view import View


@dataclass(frozen=True, eq=False, slots=True)
class PlacedSolids:
    """S solids standing on the ground in the world; see `bodies.Solids` for low and high."""

    low: Array  # (S, 5)
    high: Array  # (S, 5)
    kind: Array  # (S,) int32, see `bodies.faces`
    xy_m: Array  # (S, 2) of the object's frame
    yaw_rad: Array  # (S,)


class Hits(NamedTuple):
    """Where rays meet solids, in no order of depth; N of them."""

    pixel: Array  # (N,) row * W + column
    depth_m: Array  # (N,) float32
    solid: Array  # (N,)
    side: Array  # (N,) front, rear, left, right, top, bottom
    code: Array  # (N,) what is painted there


def cast(view: View, solids: PlacedSolids) -> Hits:
    """The nearest point of each solid along each ray that meets it, but for texels that are seen through."""
    cos, sin = np.cos(solids.yaw_rad), np.sin(solids.yaw_rad)
    box = view.pixel_boxes(_corners_m(solids, cos, sin))
    wide = (box[:, 1] - box[:, 0]).astype(np.int32)
    area = wide * (box[:, 3] - box[:, 2]).astype(np.int32)
    owner = np.repeat(np.arange(len(area), dtype=np.int32), area)
    local = np.arange(len(owner), dtype=np.int32) - np.repeat(np.cumsum(area, dtype=np.int32) - area, area)
    down = local // wide.take(owner)
    column = local - down * wide.take(owner) + box[:, 0].astype(np.int32).take(owner)
    row = down + box[:, 2].astype(np.int32).take(owner)
    x, y = view.x.astype(np.float32).take(column), view.y.astype(np.float32).take(row)

    normals, reach = _planes(solids)  # in the object's frame: inside where normal . p <= reach
    ray, origin = _ray(view, solids, cos, sin)
    slope = np.einsum("spi,sij->psj", normals, ray).astype(np.float32)  # (6, S, 3): coefficients of (x, y, 1)
    ahead = (reach - np.einsum("spi,si->sp", normals, origin)).astype(np.float32).T  # (6, S)
    enter = np.full(len(owner), np.float32(NEAR_M))
    leave = np.full(len(owner), np.float32(np.inf))
    side = np.full(len(owner), -1, dtype=np.int8)
    for plane in range(6):
        a, b, c = (np.ascontiguousarray(slope[plane, :, i]).take(owner) for i in range(3))
        a *= x
        b *= y
        a += b
        a += c
        with np.errstate(divide="ignore"):
            t = ahead[plane].take(owner) / a
        into = a < 0
        later = into & (t > enter)
        enter[later] = t[later]
        side[later] = plane
        np.minimum(leave, np.where(into, np.float32(np.inf), t), out=leave)
    hit = np.flatnonzero((enter < leave) & (side >= 0))
    owner, side, depth = owner[hit], side[hit].astype(np.int32), enter[hit]
    code = _painted(solids, owner, side, depth, x[hit], y[hit], ray.astype(np.float32), origin.astype(np.float32))
    pixel = row[hit] * np.int32(view.camera.width_px) + column[hit]
    there = code > 0
    return Hits(pixel[there], depth[there], owner[there], side[there], code[there])


def _corners_m(solids: PlacedSolids, cos: Array, sin: Array) -> Array:
    """World corners (S, 8, 3), lower rectangle first, in the order of `geometry.box_corners`."""
    levels = []
    for r in (solids.low, solids.high):
        x, y = r[:, [0, 1, 1, 0]], r[:, [2, 2, 3, 3]]
        wx = cos[:, None] * x - sin[:, None] * y + solids.xy_m[:, :1]
        wy = sin[:, None] * x + cos[:, None] * y + solids.xy_m[:, 1:]
        levels.append(np.stack([wx, wy, np.broadcast_to(r[:, 4:], x.shape)], axis=-1))
    return np.concatenate(levels, axis=1)


def _planes(solids: PlacedSolids) -> tuple[Array, Array]:
    """Outward normals (S, 6, 3) and reaches (S, 6) of front, rear, left, right, top and bottom."""
    low, high = solids.low, solids.high
    tall = high[:, 4] - low[:, 4]
    normals, reach = np.zeros((len(low), 6, 3)), np.zeros((len(low), 6))
    for plane, (column, axis, sign) in enumerate(((1, 0, 1), (0, 0, -1), (3, 1, 1), (2, 1, -1))):
        lean = (high[:, column] - low[:, column]) / tall
        normals[:, plane, axis] = sign
        normals[:, plane, 2] = -sign * lean
        reach[:, plane] = sign * (low[:, column] - lean * low[:, 4])
    normals[:, 4, 2], normals[:, 5, 2] = 1.0, -1.0
    reach[:, 4], reach[:, 5] = high[:, 4], -low[:, 4]
    return normals, reach


def _ray(view: View, solids: PlacedSolids, cos: Array, sin: Array) -> tuple[Array, Array]:
    """The rays in the objects' frames: (S, 3, 3) times (x, y, 1) per metre of depth, from origins (S, 3)."""
    rotation = np.zeros((len(cos), 3, 3))
    rotation[:, 0, 0], rotation[:, 0, 1] = cos, sin
    rotation[:, 1, 0], rotation[:, 1, 1] = -sin, cos
    rotation[:, 2, 2] = 1.0
    away = np.concatenate([view.position_m[:2] - solids.xy_m, np.full((len(cos), 1), view.position_m[2])], axis=-1)
    ray = np.einsum("sij,jk->sik", rotation, view.world_SE3_camera[:3, :3])
    return ray, np.einsum("sij,sj->si", rotation, away)


def _painted(
    solids: PlacedSolids, owner: Array, side: Array, depth: Array, x: Array, y: Array, ray: Array, origin: Array
) -> Array:
    """The codes (N,) of the faces' texels at hits."""
    across = []
    for axis, (low, high) in enumerate(((0, 1), (2, 3), (4, 4))):
        start = np.minimum(solids.low[:, low], solids.high[:, low]).astype(np.float32)
        end = np.maximum(solids.low[:, high], solids.high[:, high]).astype(np.float32)
        a, b, c = (np.ascontiguousarray(ray[:, axis, i]).take(owner) for i in range(3))
        p = (a * x + b * y + c) * depth + (origin[:, axis] - start).take(owner)
        across.append(np.clip(p / (end - start).take(owner), np.float32(0), np.float32(0.9999)))
    forward, left, up = across
    row = np.where(side < 4, up, left) * np.float32(FACE_ROWS)
    column = np.where((side < 2), left, forward) * np.float32(FACE_COLUMNS)
    index = ((solids.kind.take(owner) * 6 + side) * FACE_ROWS + row.astype(np.int32)) * FACE_COLUMNS
    return np.asarray(faces().take(index + column.astype(np.int32)))

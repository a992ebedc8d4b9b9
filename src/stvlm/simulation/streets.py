"""Streets: where the road, the lanes and the pavements run, and the ways along them.

A place is a hub at the origin with arms leading out of it. Along an arm, ``s`` is the distance from the hub and
``l`` the distance to the left of the centre line, looking outwards; traffic keeps right, so what drives towards
the hub has l > 0. One side of an arm, from the centre line outwards:

    | median/2 | lanes, 3.5 m each | cycle lane 1.5 m | parking 2.2 m | pavement 3 m | verge 2.5 m | walls
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from stvlm.records import Array, Domain

HALF_WORLD_M = 100.0
"""The world is a square of this half side around the hub; arms end at its edge."""

LANE_M, CYCLE_LANE_M, PARKING_M, PAVEMENT_M, VERGE_M = 3.5, 1.5, 2.2, 3.0, 2.5


@dataclass(frozen=True, slots=True)
class Arm:
    """One road leading away from the hub, in a direction from x towards y, turning left by ``bend_deg`` on its way."""

    direction_deg: float
    bend_deg: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """A place. Streets have arms; a sports field has none."""

    domain: Domain
    arms: tuple[Arm, ...] = ()
    lanes: int = 1  # per direction
    median_m: float = 0.0  # a planted strip between the directions, open at the hub for U-turns
    ring_m: float = 0.0  # radius of a roundabout's lane
    pitch_lw_m: tuple[float, float] = (0.0, 0.0)
    indoor: bool = False

    @property
    def road_half_m(self) -> float:
        """Centre line to kerb."""
        return self.median_m / 2 + self.lanes * LANE_M + CYCLE_LANE_M + PARKING_M

    @property
    def wall_m(self) -> float:
        """Centre line to the house fronts."""
        return self.road_half_m + PAVEMENT_M + VERGE_M


def _arms(*directions_deg: float) -> tuple[Arm, ...]:
    return tuple(Arm(direction) for direction in directions_deg)


LAYOUTS: dict[str, Layout] = {
    "straight": Layout("driving", _arms(0, 180)),
    "curve": Layout("driving", (Arm(0, 55), Arm(180, -55))),
    "s_bend": Layout("driving", (Arm(0, 50), Arm(180, 50))),
    "boulevard": Layout("driving", _arms(0, 180), lanes=2, median_m=10.0),
    "crossroads": Layout("driving", _arms(0, 90, 180, 270)),
    "skewed_crossroads": Layout("driving", _arms(0, 62, 180, 242)),
    "t_junction": Layout("driving", _arms(0, 90, 180)),
    "y_junction": Layout("driving", _arms(0, 118, 241)),
    "five_ways": Layout("driving", _arms(0, 75, 145, 212, 290)),
    "roundabout": Layout("driving", _arms(0, 90, 180, 270), ring_m=17.0),
    "three_arm_roundabout": Layout("driving", _arms(0, 122, 238), ring_m=15.0),
    "field": Layout("sports", pitch_lw_m=(50.0, 30.0)),
    "court": Layout("sports", pitch_lw_m=(28.0, 15.0), indoor=True),
}


class ArmLine(NamedTuple):
    """An arm's centre line as points half a metre apart, the first at the hub."""

    s_m: Array  # (K,)
    xy_m: Array  # (K, 2)
    heading_rad: Array  # (K,) outwards


@cache
def arm_line(arm: Arm) -> ArmLine:
    """The centre line of an arm, long enough to leave the world."""
    s_m = np.arange(0.0, 1.5 * HALF_WORLD_M, 0.5)
    heading = np.radians(arm.direction_deg) + np.radians(arm.bend_deg) * np.minimum(s_m / HALF_WORLD_M, 1.0)
    middle = (heading[1:] + heading[:-1]) / 2
    steps = 0.5 * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    return ArmLine(*map(_read_only, (s_m, np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]), heading)))


def along(arm: Arm, s_m: Array, left_m: Array | float) -> Array:
    """Points (N, 2) at distances ``s_m`` (N,) along an arm and ``left_m`` to the left of its centre line."""
    line = arm_line(arm)
    heading = np.interp(s_m, line.s_m, line.heading_rad)
    x = np.interp(s_m, line.s_m, line.xy_m[:, 0]) - left_m * np.sin(heading)
    y = np.interp(s_m, line.s_m, line.xy_m[:, 1]) + left_m * np.cos(heading)
    return np.stack([x, y], axis=-1)


def gap_rad(layout: Layout, arm: int, side: int) -> float:
    """Angle at the hub to the next arm on the left (side 1) or right (side -1)."""
    n = len(layout.arms)
    difference = layout.arms[(arm + side) % n].direction_deg - layout.arms[arm].direction_deg
    return float(np.radians((side * difference - 1e-9) % 360.0))


def corner_m(layout: Layout, arm: int, side: int, offset_m: float) -> float:
    """How far out along an arm its line at ``offset_m`` meets the next arm's; behind the hub it is negative."""
    if layout.ring_m:
        return layout.ring_m + offset_m
    return offset_m / float(np.tan(gap_rad(layout, arm, side) / 2))


def mouth_m(layout: Layout, arm: int) -> float:
    """Where an arm's road leaves the junction: its kerbs are straight from here on."""
    return max(0.0, *(corner_m(layout, arm, side, layout.road_half_m) for side in (-1, 1))) + 3.0


def crossing_m(layout: Layout, arm: int) -> float | None:
    """Middle of the zebra crossing of an arm; a street without a junction has one crossing only."""
    if len(layout.arms) == 2 and arm == 1:
        return None
    return mouth_m(layout, arm) + 3.0


def fronts_from_m(layout: Layout, arm: int, side: int) -> float:
    """Where the house fronts of an arm's side begin: at the corner with the next arm's, outside a roundabout."""
    if layout.ring_m:
        return float(np.sqrt((layout.ring_m + 4.0 + PAVEMENT_M + 4.0) ** 2 - layout.wall_m**2))
    return max(corner_m(layout, arm, side, layout.wall_m), 0.0)


@cache
def house_fronts(layout: Layout) -> Array:
    """The lines (K, 2, 2) of house fronts, from one ground point to another; nothing is seen through them."""
    fronts = []
    for index, arm in enumerate(layout.arms):
        for side in (-1, 1):
            s_m = np.linspace(fronts_from_m(layout, index, side), HALF_WORLD_M, 5 if arm.bend_deg else 2)
            points = along(arm, s_m, side * layout.wall_m)
            fronts += list(pairwise(points))
        if layout.ring_m:  # across the corner to the next arm
            other = (index + 1) % len(layout.arms)
            here = along(arm, np.array([fronts_from_m(layout, index, 1)]), layout.wall_m)
            there = along(layout.arms[other], np.array([fronts_from_m(layout, other, -1)]), -layout.wall_m)
            fronts.append((here[0], there[0]))
        end = along(arm, np.full(2, HALF_WORLD_M), np.array([-1.0, 1.0]) * layout.wall_m)
        fronts.append((end[0], end[1]))
    return _read_only(np.array(fronts).reshape(-1, 2, 2))


def _read_only(array: Array) -> Array:
    array.setflags(write=False)
    return array


def in_sight(layout: Layout, from_m: Array, to_m: Array) -> Array:
    """Whether no house stands between points (N, 2) and (N, 2), bool (N,)."""
    start, run = from_m[:, None], (to_m - from_m)[:, None]
    foot, along_front = (a[None] for a in (house_fronts(layout)[:, 0], np.diff(house_fronts(layout), axis=1)[:, 0]))

    def cross(a: Array, b: Array) -> Array:
        return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])

    with np.errstate(divide="ignore", invalid="ignore"):
        t = cross(foot - start, along_front) / cross(run, along_front)
        u = cross(foot - start, run) / cross(run, along_front)
    return np.asarray(~((t > 0) & (t < 1) & (u > 0) & (u < 1)).any(axis=1))


# Ways: points to travel along, the first and last near the edge of the world.


def _bezier(start: Array, start_heading: Array, end: Array, end_heading: Array) -> Array:
    """A smooth turn (96, 2) between two points and their headings as unit vectors: a circle's arc where one fits."""
    cos = float(np.clip(start_heading @ end_heading, -1.0, 1.0))
    turn = max(float(np.arccos(cos)), 1e-3)
    handle = float(np.linalg.norm(end - start)) * (2 / 3) * np.tan(turn / 4) / np.sin(min(turn, np.pi - 1e-6) / 2)
    p1, p2 = start + handle * start_heading, end - handle * end_heading
    t = np.linspace(0.0, 1.0, 96)[:, None]
    return np.asarray((1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * end)


def _heading(points: Array) -> Array:
    step = points[1] - points[0]
    return np.asarray(step / np.linalg.norm(step))


def join(first: Array, second: Array) -> Array:
    """Two pieces of a way (N, 2) and (M, 2), joined by a smooth turn."""
    turn = _bezier(first[-1], -_heading(first[::-1]), second[0], _heading(second))
    return np.concatenate([first[:-1], turn, second[1:]])


def _reach(start_m: float) -> Array:
    return np.linspace(start_m, HALF_WORLD_M, 160)


def vehicle_way(layout: Layout, enter: int, leave: int, offset_m: float) -> Array:
    """Points (N, 2) from the edge of the world in through one arm and out through another (or the same: a U-turn).

    ``offset_m`` is the distance of the lane from the centre line.
    """
    into, out = layout.arms[enter], layout.arms[leave]
    if layout.ring_m:
        radius, delta = layout.ring_m, 0.6
        start = np.radians(into.direction_deg) + delta
        sweep = (np.radians(out.direction_deg - into.direction_deg) - 1e-6) % (2 * np.pi) - 2 * delta
        angle = start + np.linspace(0.0, max(sweep, 0.05), 128)
        ring = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        begin = along(into, _reach(radius + 12.0), offset_m)[::-1]
        return join(join(begin, ring), along(out, _reach(radius + 12.0), -offset_m))
    if enter == leave:
        near = 1.0
    else:
        near = max(mouth_m(layout, enter), mouth_m(layout, leave))
    return join(along(into, _reach(near), offset_m)[::-1], along(out, _reach(near), -offset_m))


def corner_way(layout: Layout, arm: int, side: int, beyond_kerb_m: float) -> Array:
    """Points (N, 2) along the pavement of an arm towards the hub, round the corner and out along the next arm."""
    offset = layout.road_half_m + beyond_kerb_m
    other = (arm + side) % len(layout.arms)
    near = max(corner_m(layout, arm, side, offset), 0.0) + 4.0
    inward = along(layout.arms[arm], _reach(near), side * offset)[::-1]
    return join(inward, along(layout.arms[other], _reach(near), -side * offset))


def crossing_way(layout: Layout, arm: int, side: int, beyond_kerb_m: float, out: tuple[bool, bool]) -> Array:
    """Points (N, 2) along the pavement, over the zebra crossing of an arm, and on along the other pavement.

    ``out``: whether one comes from outside, and whether one leaves to the outside; otherwise from or to the hub's side.
    """
    middle = crossing_m(layout, arm)
    assert middle is not None
    offset = layout.road_half_m + beyond_kerb_m
    corner = max(corner_m(layout, arm, 1, offset), corner_m(layout, arm, -1, offset), 0.0)

    def pavement(outside: bool, which: int) -> Array:
        if outside:
            return along(layout.arms[arm], _reach(middle + 1.5), which * offset)
        other = (arm + which) % len(layout.arms)
        here = along(layout.arms[arm], np.linspace(middle - 1.5, min(corner + 1.0, middle - 2.0), 3), which * offset)
        there = along(layout.arms[other], _reach(corner + 4.0), -which * offset)
        return join(here, there)

    over = along(layout.arms[arm], np.full(5, middle), np.linspace(side, -side, 5) * (offset - 1.5))
    return join(join(pavement(out[0], side)[::-1], over), pavement(out[1], -side))


def field_way(layout: Layout, rng: np.random.Generator) -> Array:
    """Points (N, 2) of an erratic run over a sports field: ever another bend, and back in at the lines."""
    half = np.array(layout.pitch_lw_m) / 2
    place, heading, bend = rng.uniform(-half + 2.0, half - 2.0), rng.uniform(-np.pi, np.pi), 0.0
    points = [place]
    wish, until = 0.0, 0
    for step in range(480):
        ahead = np.array([np.cos(heading), np.sin(heading)])
        if (np.abs(place + 2.5 * ahead) > half).any():  # towards the middle, as tightly as one can run
            wish, until = float(np.sign(ahead[1] * place[0] - ahead[0] * place[1]) or 1.0), step + 3
        elif step >= until:
            wish, until = rng.uniform(-0.5, 0.5) * rng.uniform(), step + int(rng.integers(6, 32))
        bend += 0.4 * (0.8 * np.clip(wish, -1, 1) - bend)
        heading += 0.25 * bend
        place = place + 0.25 * ahead
        points.append(place)
    return np.array(points)

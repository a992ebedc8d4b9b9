"""Plots as SVG that takes its colours from the page: the view from above, speed over time, and the clock.

No plotting library: nothing to load, sharp on any screen, and the same in dark mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from stvlm.demo.measuring import Course, speed_of
from stvlm.evaluation.trajectories import Trajectory
from stvlm.kinematics import MOVING_STEP_M, STEP_S, clock_angle, initial_heading
from stvlm.records import COLORS_RGB, NOISELESS, Array, Rejected

SIDE_PX, SPEED_PX, CLOCK_PX = 400, (400, 230), 260
MARGIN_PX = 26
LEAST_SPAN_M = 6.0
LABEL_EVERY_S = 2.0


def top_view(courses: Mapping[str, Course], world_SE3_camera: Array) -> str:
    """Paths on the ground, the camera's first view upwards: a dot every half second, one standard deviation as discs,
    the truth dashed, the camera's own path grey.

    Args:
        courses: by colour.
        world_SE3_camera: (N, 4, 4) in the same world.
    """
    forward = world_SE3_camera[0, :2, 2]
    forward = forward / max(float(np.linalg.norm(forward)), 1e-9)
    turn = np.array([[forward[1], -forward[0]], forward])  # rows: to the right, and ahead
    camera_m = world_SE3_camera[:, :2, 3] @ turn.T
    paths_m = {color: course.xyz_m[:, :2] @ turn.T for color, course in courses.items()}
    truths_m = {c: course.truth_m[:, :2] @ turn.T for c, course in courses.items() if course.truth_m is not None}
    points_m = np.concatenate([camera_m, *paths_m.values(), *truths_m.values()])
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    span_m = max(float((high - low).max()), LEAST_SPAN_M)
    scale = (SIDE_PX - 2 * MARGIN_PX) / span_m
    middle = (low + high) / 2

    def place(xy_m: Array) -> Array:
        return np.asarray(SIDE_PX / 2 + (xy_m - middle) * (scale, -scale))

    parts = [_ground(place, middle, span_m)]
    parts.append(_line(place(camera_m), "camera"))
    x, y = place(camera_m[0])
    parts.append(f'<path class="eye" d="M{x:.1f} {y:.1f} l-7 -13 h14 z"><title>the camera at the start</title></path>')
    for color, truth_m in truths_m.items():
        parts.append(_line(place(truth_m), f"truth box-{color}"))
    labels: list[Array] = []
    for color, course in courses.items():
        at = place(paths_m[color])
        parts += [
            f'<circle class="doubt fill-{color}" cx="{x:.1f}" cy="{y:.1f}" r="{sigma_m * scale:.1f}"/>'
            for (x, y), sigma_m in zip(at[::4], course.sigma_m[::4], strict=True)
        ]
        parts.append(_line(at, f"path box-{color}"))
        for k, ((x, y), time_s) in enumerate(zip(at, course.times_s, strict=True)):
            ring = f'class="start box-{color}" r="5"' if not k else f'class="fill-{color}" r="2.4"'
            parts.append(f'<circle {ring} cx="{x:.1f}" cy="{y:.1f}"><title>{time_s:.1f} s</title></circle>')
        ends = [0, len(at) - 1]
        even = [k for k, time_s in enumerate(course.times_s) if abs(time_s % LABEL_EVERY_S) < 1e-6]
        for k in dict.fromkeys([*ends, *even]):  # the ends first: where labels would meet, the others give way
            if all(np.abs(at[k] - other).max() > 34 or abs(at[k][1] - other[1]) > 13 for other in labels):
                labels.append(at[k])
                parts.append(_beside(at, k, f"{course.times_s[k]:.1f} s"))
    return _svg(SIDE_PX, SIDE_PX, parts, "paths seen from above")


def speeds(courses: Mapping[str, Course]) -> str:
    """Speed over time with one standard deviation, the truth dashed."""
    width, height = SPEED_PX
    lines = {color: speed_of(course.times_s, course.xyz_m, course.noise) for color, course in courses.items()}
    truths = {
        color: speed_of(np.arange(len(course.truth_m)) * STEP_S, course.truth_m, NOISELESS)
        for color, course in courses.items()
        if course.truth_m is not None
    }
    every = [*lines.values(), *truths.values()]
    most_kmh = max(5.0, *(float((it.kmh + it.sigma_kmh).max()) for it in every))
    last_s = max(float(it.times_s[-1]) for it in every)
    left, right, top, bottom = 40, width - 10, 14, height - 30

    def place(times_s: Array, kmh: Array) -> Array:
        return np.stack(
            [
                left + np.asarray(times_s) / last_s * (right - left),
                bottom - np.asarray(kmh) / most_kmh * (bottom - top),
            ],
            axis=1,
        )

    parts = []
    for kmh in _ticks(most_kmh):
        y = place(np.zeros(1), np.array([kmh]))[0, 1]
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 6, y + 4, f"{kmh:g}", "end"))
    for time_s in _ticks(last_s):
        parts.append(_text(place(np.array([time_s]), np.zeros(1))[0, 0], height - 12, f"{time_s:g}", "middle"))
    parts.append(_text(right, height - 12, "s", "end") + _text(left + 4, top - 2, "km/h"))
    for color, it in lines.items():
        upper = place(it.times_s, it.kmh + it.sigma_kmh)
        lower = place(it.times_s, np.maximum(it.kmh - it.sigma_kmh, 0))
        around = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *lower[::-1]])
        parts.append(f'<polygon class="doubt fill-{color}" points="{around}"/>')
    parts += [_line(place(it.times_s, it.kmh), f"truth box-{color}") for color, it in truths.items()]
    parts += [_line(place(it.times_s, it.kmh), f"path box-{color}") for color, it in lines.items()]
    return _svg(width, height, parts, "speed over time")


def clock(courses: Mapping[str, Course]) -> str:
    """Where each object heads, as hours of a clock whose 12 is its first heading: from the start in the middle to the
    end at the rim.
    """
    middle, rim = CLOCK_PX / 2, CLOCK_PX / 2 - 30
    parts = [f'<circle class="dial" cx="{middle}" cy="{middle}" r="{rim}"/>']
    for hour in range(1, 13):
        x, y = middle + (rim + 15) * np.array([np.sin(hour * np.pi / 6), -np.cos(hour * np.pi / 6)])
        parts.append(_text(x, y + 4, str(hour), "middle"))
        a, b = ((middle + r * np.sin(hour * np.pi / 6), middle - r * np.cos(hour * np.pi / 6)) for r in (rim - 6, rim))
        parts.append(f'<line class="grid" x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"/>')
    for color, course in courses.items():
        for xyz_m, kind in ((course.truth_m, "truth"), (course.xyz_m, "path")):
            if xyz_m is None:
                continue
            angles = _angles(xyz_m)
            if not len(angles):
                continue
            radii = np.linspace(0.12, 1.0, len(angles)) * rim
            at = middle + radii[:, None] * np.stack([np.sin(angles), -np.cos(angles)], axis=1)
            parts.append(_line(at, f"{kind} box-{color}"))
            if kind == "path":
                parts.append(f'<circle class="fill-{color}" r="4.5" cx="{at[-1, 0]:.1f}" cy="{at[-1, 1]:.1f}"/>')
    return _svg(CLOCK_PX, CLOCK_PX, parts, "directions on the clock")


def _angles(xyz_m: Array) -> Array:
    """The clockwise angle of each step that is long enough to have one, against the first heading."""
    first = initial_heading(xyz_m)
    if isinstance(first, Rejected):
        return np.empty(0)
    steps = np.diff(xyz_m[:, :2], axis=0)
    steps = steps[np.linalg.norm(steps, axis=1) >= MOVING_STEP_M]
    return np.array([clock_angle(first.angle_rad, float(np.arctan2(y, x))) for x, y in steps])


def _ground(place: object, middle: Array, span_m: float) -> str:
    """Lines every 1, 2, 5, 10 ... metres, and how long that is."""
    assert callable(place)
    step_m = _nice(span_m / 4)
    half = np.ceil(span_m / step_m) * step_m
    lines = []
    for axis in (0, 1):
        first = np.floor((middle[axis] - half) / step_m) * step_m
        for at_m in np.arange(first, middle[axis] + half + step_m, step_m):
            ends = np.array([middle - half, middle + half])
            ends[:, axis] = at_m
            (x0, y0), (x1, y1) = place(ends)
            lines.append(f'<line class="grid" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>')
    (x0, y0), (x1, _) = place(np.array([middle, middle + step_m]))
    bar = f'<path class="bar" d="M12 {SIDE_PX - 12} h{x1 - x0:.1f}"/>{_text(12, SIDE_PX - 18, f"{step_m:g} m")}'
    return "".join(lines) + bar


def _nice(value: float) -> float:
    """1, 2 or 5 times a power of ten, at most `value`."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9)))


def _ticks(most: float) -> Array:
    step = _nice(most / 3)
    return np.arange(0, most + 1e-9, step)


def _line(points: Array, css: str) -> str:
    if len(points) < 2:
        return ""
    return f'<polyline class="{css}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _beside(path: Array, k: int, text: str) -> str:
    """A text beside a point of a path (n, 2), and not on it."""
    along = path[min(k + 1, len(path) - 1)] - path[max(k - 1, 0)]
    right = np.array([abs(along[1]), -along[0] * np.sign(along[1] or 1)]) / max(float(np.linalg.norm(along)), 1e-9)
    x, y = path[k] + 11 * (right if right.any() else np.array([1.0, 0.0]))
    return _text(x, y + 4, text, "start" if right[0] > 0.5 or not right.any() else "middle")


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}"'
    return f'<svg class="plot" {size} role="img" aria-label="{label}">{"".join(parts)}</svg>'


def true_courses(motion: Trajectory) -> dict[str, Course]:
    """The paths of a dataset's clip, which has no noise to draw."""
    times_s = np.arange(motion.xyz_m.shape[1]) * STEP_S
    still = np.zeros(len(times_s))
    return {
        color: Course(times_s, xyz_m, still, NOISELESS, "")
        for color, xyz_m in zip(COLORS_RGB, motion.xyz_m, strict=False)
    }

"""How right pseudo-labels are: shares, errors and calibration of all pairs, each with its interval; by group; and a
sweep of limits.

Intervals are those of the scores: Wilson's, with an excerpt as the unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from stvlm import kinematics
from stvlm.pseudo_labels.pairs import Found, Pair, found_of
from stvlm.records import Array, Rejected
from stvlm.scoring.intervals import mean_of, positive_bounds, share_bounds

TOLERANCE = 0.25
"""Relative error within which a distance or speed is right, as in the metric."""
RATIO = 1.25
"""By so much the faster of two is faster where they are compared."""
CONFIDENCE = 0.95
SIGMA_LIMITS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
RANGE_LIMITS_M = (20.0, 30.0, 40.0, 60.0)
EDGES: dict[str, tuple[float, ...]] = {
    "range_m": (0, 10, 20, 30, 40, 60),
    "speed_kmh": (0, 5, 15, 30, 60),
    "ego_speed_kmh": (0, 5, 15, 30, 60),
}
SIGMA_EDGES = (0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Of the relative sigma."""


class Report(NamedTuple):
    """What was measured; `scores` is plain data."""

    scores: dict[str, Any]
    pairs: Sequence[Pair]


def validate(pairs: Sequence[Pair]) -> Report:
    """All figures of some pairs. Accuracies are of what is told as moving and is long enough to be asked about."""
    movers = [pair for pair in pairs if pair.moves]
    parked = [pair for pair in pairs if pair.moves is False]
    kept = [pair for pair in movers if _kept(pair)]
    scores: dict[str, Any] = {
        "excerpts": len({pair.excerpt for pair in pairs}),
        "moving": len(movers),
        "parked": len(parked),
        "kept": _share(movers, _kept),
        "moving_called_parked": _share(movers, lambda pair: isinstance(pair.found, Found) and not pair.found.moving),
        "parked_called_moving": _share(parked, _kept),
        "left_out": dict(sorted(Counter(p.found.reason for p in movers if isinstance(p.found, Rejected)).items())),
        **_errors(kept),
        **_directions(kept),
        "comparison": _comparison(kept),
        "calibration": _calibration(kept),
        "by": {
            "category": {name: _group([p for p in movers if p.category == name]) for name in _names(movers)},
            "grade": {
                grade: _errors([pair for pair in kept if found_of(pair).grade == grade]) | {"pairs": count}
                for grade, count in sorted(Counter(found_of(pair).grade for pair in kept).items())
            },
            "relative_sigma": {
                name: _errors(group) | {"pairs": len(group)}
                for name, group in _between(kept, lambda pair: found_of(pair).relative_sigma, SIGMA_EDGES)
            },
            **{name: _by_edges(movers, name, edges) for name, edges in EDGES.items()},
        },
        "sweep": _sweep(movers),
    }
    return Report(scores, pairs)


def _kept(pair: Pair) -> bool:
    return isinstance(pair.found, Found) and pair.found.moving


def _right(pair: Pair) -> bool:
    return abs(found_of(pair).relative) <= TOLERANCE + kinematics.ROUNDING


def _share(pairs: Sequence[Pair], holds: Callable[[Pair], bool | None]) -> dict[str, Any] | None:
    """The share of pairs for which something holds, its bounds and their number; None for none."""
    return _share_of([bool(holds(pair)) for pair in pairs], [pair.excerpt for pair in pairs])


def _share_of(held: Sequence[bool], excerpts: Sequence[str]) -> dict[str, Any] | None:
    """The share of what holds, found in these excerpts."""
    if not held:
        return None
    mean = mean_of(np.array(held, float), np.ones(len(held), bool), _numbered(excerpts))
    low, high = share_bounds(mean, CONFIDENCE)
    return {"value": mean.value, "low": low, "high": high, "of": len(held)}


def _mean(pairs: Sequence[Pair], value: Callable[[Pair], float]) -> dict[str, Any] | None:
    """The mean of something positive, its bounds where it has any, and of how many."""
    if not pairs:
        return None
    excerpts = _numbered([pair.excerpt for pair in pairs])
    mean = mean_of(np.array([value(pair) for pair in pairs]), np.ones(len(pairs), bool), excerpts)
    low, high = positive_bounds(mean, CONFIDENCE) or (None, None)
    return {"value": mean.value, "low": low, "high": high, "of": len(pairs)}


def _numbered(excerpts: Sequence[str]) -> Array:
    return np.unique(excerpts, return_inverse=True)[1].astype(np.intp)


def _errors(kept: Sequence[Pair]) -> dict[str, Any]:
    relative = np.array([found_of(pair).relative for pair in kept])
    return {
        "within_25_percent": _share(kept, _right),
        "median_error": float(np.median(relative)) if len(relative) else None,
        "median_absolute_error": float(np.median(np.abs(relative))) if len(relative) else None,
        "distance_mae_m": _mean(kept, lambda pair: abs(found_of(pair).found_m - found_of(pair).true_m)),
        "displacement_mae_m": _mean(kept, lambda pair: abs(found_of(pair).displacement_error_m)),
        "speed_mae_kmh": _mean(kept, lambda pair: abs(found_of(pair).error_kmh)),
    }


def _directions(kept: Sequence[Pair]) -> dict[str, Any]:
    """Of those whose true path has an hour; a path that has none where the true one does is wrong."""
    asked = [pair for pair in kept if found_of(pair).true_hour is not None]

    def apart(pair: Pair) -> float:
        found = found_of(pair)
        if found.true_hour is None or found.found_hour is None:
            return np.inf
        hours = abs(found.true_hour - found.found_hour)
        return min(hours, 12 - hours)

    return {
        "hour": _share(asked, lambda pair: apart(pair) == 0),
        "within_an_hour": _share(asked, lambda pair: apart(pair) <= 1),
    }


def _comparison(kept: Sequence[Pair]) -> dict[str, Any] | None:
    """Of two in one excerpt, of which one is truly faster by a quarter: how often it is told as the faster one."""
    told: list[bool] = []
    where: list[str] = []
    for first, second in combinations(kept, 2):
        if first.excerpt != second.excerpt:
            continue
        true = [found_of(pair).true_m / found_of(pair).seconds for pair in (first, second)]
        found = [found_of(pair).found_m / found_of(pair).seconds for pair in (first, second)]
        if max(true) >= RATIO * min(true):
            told.append((true[0] > true[1]) == (found[0] > found[1]))
            where.append(first.excerpt)
    return _share_of(told, where)


def _calibration(kept: Sequence[Pair]) -> dict[str, Any]:
    """How many sigmas the errors are: of a normal distribution 68.3 % are within one, and 95.4 % within two."""
    z = [_z(pair) for pair in kept]
    edges = np.arange(-4, 4.5, 0.5)
    return {
        "within_1_sigma": _share(kept, lambda pair: abs(_z(pair)) <= 1),
        "within_2_sigma": _share(kept, lambda pair: abs(_z(pair)) <= 2),
        "z_edges": edges.tolist(),
        "z_count": np.histogram(np.clip(z, -3.99, 3.99), edges)[0].tolist(),
    }


def _z(pair: Pair) -> float:
    found = found_of(pair)
    return (found.found_m - found.true_m) / found.sigma_m


def _group(movers: Sequence[Pair]) -> dict[str, Any]:
    kept = [pair for pair in movers if _kept(pair)]
    return {"moving": len(movers), "kept": _share(movers, _kept), **_errors(kept)}


def _names(pairs: Iterable[Pair]) -> list[str]:
    return sorted({pair.category for pair in pairs})


def _by_edges(movers: Sequence[Pair], name: str, edges: Sequence[float]) -> dict[str, Any]:
    """Groups by a field's value, each from one edge to the next; the last is open."""
    return {name_of: _group(group) for name_of, group in _between(movers, lambda pair: getattr(pair, name), edges)}


def _between(
    pairs: Sequence[Pair], value: Callable[[Pair], float], edges: Sequence[float]
) -> Iterator[tuple[str, list[Pair]]]:
    """The pairs from one edge to the next, and what they are called."""
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        group = [pair for pair in pairs if low <= value(pair) < high]
        if group:
            yield f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}-", group


def _sweep(movers: Sequence[Pair]) -> list[dict[str, Any]]:
    """What is kept, and how much of it is right, under tighter limits of relative sigma and of range.

    `best` are those that no other beats in both.
    """
    points: list[dict[str, Any]] = []
    for most_range_m in RANGE_LIMITS_M:
        for most_sigma in SIGMA_LIMITS:
            kept = [
                pair
                for pair in movers
                if _kept(pair) and pair.range_m <= most_range_m and found_of(pair).relative_sigma <= most_sigma
            ]
            if kept:
                points.append(
                    {
                        "most_range_m": most_range_m,
                        "most_sigma": most_sigma,
                        "kept": len(kept) / len(movers),
                        "within_25_percent": sum(map(_right, kept)) / len(kept),
                    }
                )
    for point in points:
        point["best"] = not any(
            other["kept"] >= point["kept"]
            and other["within_25_percent"] >= point["within_25_percent"]
            and (other["kept"], other["within_25_percent"]) != (point["kept"], point["within_25_percent"])
            for other in points
        )
    return points

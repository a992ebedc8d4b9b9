"""From a table's rows to a scene's tracks and frames. What cannot be used is Rejected, so that it is counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stvlm.geometry import se3
from stvlm.records import Array, Rejected, Track


def se3_or_nan(quat_wxyz: Array, xyz_m: Array) -> Array:
    """Transforms (N, 4, 4); all NaN where a quaternion is zero, or anything is not finite."""
    quat_wxyz, xyz_m = np.asarray(quat_wxyz, dtype=np.float64), np.asarray(xyz_m, dtype=np.float64)
    good = np.isfinite(xyz_m).all(axis=1) & np.isfinite(quat_wxyz).all(axis=1) & (quat_wxyz != 0).any(axis=1)
    out = np.full((len(xyz_m), 4, 4), np.nan)
    out[good] = se3(quat_wxyz[good], xyz_m[good])
    return out


def tracks_of(
    track_ids: Sequence[str],
    categories: Sequence[str],
    owner: Array,
    times_ns: Array,
    xyz_m: Array,
    size_lwh_m: Array,
    yaw_rad: Array,
    seen: Array | None = None,
) -> tuple[tuple[Track, ...], list[Rejected]]:
    """Tracks, sorted by id, of N boxes; box i is of ``track_ids[owner[i]]``. Of two at one time the first is kept."""
    placed = np.isfinite(xyz_m).all(axis=1) & np.isfinite(yaw_rad)
    sized = np.isfinite(size_lwh_m).all(axis=1) & (size_lwh_m > 0).all(axis=1)
    order = np.lexsort((times_ns, owner))  # stable: rows at one time stay in the table's order
    order = order[(placed & sized)[order]]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[1:] = (np.diff(owner[order]) == 0) & (np.diff(times_ns[order]) == 0)
    rejected = [
        Rejected(reason, f"track {track_ids[owner[i]]} at {times_ns[i]} ns")
        for reason, rows in (
            ("box without a position", np.flatnonzero(~placed)),
            ("box without a size", np.flatnonzero(placed & ~sized)),
            ("second box at one time stamp", order[repeated]),
        )
        for i in rows.tolist()
    ]
    order = order[~repeated]
    tracks = []
    for i in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1) if len(order) else []:
        who = owner[i[0]]
        seen_then = None if seen is None else seen[i]
        box = (times_ns[i], xyz_m[i], size_lwh_m[i], yaw_rad[i], seen_then)
        tracks.append(Track(track_ids[who], categories[who], *box))
    return tuple(sorted(tracks, key=lambda track: track.track_id)), rejected


def frame_rows(times_ns: Array, world_SE3_camera: Array, subject: str) -> tuple[Array, list[Rejected]]:
    """Indices of the usable frames in time order, (F,): those with a pose, the first of those at one time."""
    posed = np.asarray(np.isfinite(world_SE3_camera).all(axis=(1, 2)))
    order = np.argsort(times_ns, kind="stable")
    order = order[posed[order]]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[1:] = np.diff(times_ns[order]) == 0
    rejected = [
        Rejected(reason, f"{subject} at {times_ns[i]} ns")
        for reason, rows in (
            ("frame without an ego pose", np.flatnonzero(~posed)),
            ("second frame at one time stamp", order[repeated]),
        )
        for i in rows.tolist()
    ]
    return order[~repeated], rejected

"""Anybody's own recordings, and pseudo-labelled video, in the form of `stvlm.recording_folder`.

One reader for several sources: `video_folder`, and the video collections whose pseudo-labels are written in this form.
The form is written by hand more often than by a program, so everything is checked: a mistake is one line that names the
file, the column and the cure, and costs its recording only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stvlm.files import read_json
from stvlm.geometry import se3
from stvlm.recipes import from_mapping, nearest
from stvlm.recording_folder import BOX, BOX_PX, BOXES, CENTRE, FRAMES, NOISE, QUAT, TRACKS, XYZ, Description
from stvlm.records import CATEGORIES, Array, Camera, DataError, Frames, Noise, Recording, Rejected, Scene, Track
from stvlm.sources.folders import walk, wrong_root
from stvlm.sources.images import ImageFiles
from stvlm.sources.splits import listed
from stvlm.sources.video_files import VideoFrames

UNIT_TOLERANCE = 1e-3
"""How far a quaternion's length may be from 1; further off it is not one, or its columns are swapped."""

_DESCRIPTION = "recording.json"
_IN_ORDER = "sort the table by time_ns and drop doubles"


class VideoFolder:
    """Every recording under a folder; satisfies ``records.Source``."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path

    @cached_property
    def _folders(self) -> dict[str, Path]:
        """The folder of each recording, whose path below the root is its id."""
        folders = {}
        for folder, subfolders, files in walk(self._path, skipped=()):
            if _DESCRIPTION in files:
                subfolders.clear()
                folders[folder.relative_to(self._path).as_posix()] = folder
        if not folders:
            wanted = f"<recording>/{_DESCRIPTION}, which pseudo_label.py makes of plain video"
            raise wrong_root(self.name, self._path, wanted)
        if "." in folders:
            raise DataError(f"{self._path}: is one recording; give --source {self.name}=PATH with the folder above it")
        return folders

    def recordings(self) -> list[Recording | Rejected]:
        """Every recording, by id."""
        return listed(self.name, self._path, self._folders)

    def scenes(self, recording: Recording) -> Iterator[Scene | Rejected]:
        """The recording as seen by each camera."""
        try:
            scenes = read_recording(self._folders[recording.scene_id], recording)
        except DataError as error:
            yield Rejected("recording with a mistake", str(error))
            return
        if not scenes:
            yield Rejected("no annotations", recording.scene_id)
        yield from scenes


def read_recording(folder: Path, recording: Recording) -> list[Scene]:
    """A recording's scenes, by camera; none where nothing is annotated. Raises DataError."""
    where = folder / _DESCRIPTION
    described = from_mapping(Description, read_json(where), str(where))
    tracks = _read_tracks(folder / "tracks.parquet")
    views = _read_frames(folder / "frames.parquet", described.cameras)
    if not tracks:
        return []
    _check_clocks(folder, tracks, views)
    boxes_px = _read_boxes(folder / "boxes.parquet", tracks, views)
    return [
        Scene(
            source=recording.source,
            scene_id=recording.scene_id,
            split=recording.split,
            label_type=described.label_type,
            domain=described.domain,
            centre_noise_m=described.centre_noise_m,
            camera=view.camera,
            frame_times_ns=view.times_ns,
            world_SE3_camera=view.world_SE3_camera,
            tracks=tracks,
            frames=view.frames,
            boxes_px=None if boxes_px is None else boxes_px[view.camera.name],
            licence=described.licence,
        )
        for view in views
    ]


class _View(NamedTuple):
    """The F frames of one camera."""

    camera: Camera
    times_ns: Array  # (F,) int64
    world_SE3_camera: Array  # (F, 4, 4)
    frames: Frames | None


def _check_clocks(folder: Path, tracks: tuple[Track, ...], views: list[_View]) -> None:
    """Raises DataError where no object was annotated while a camera ran: the clocks differ, or their units."""
    spans = []
    for times_ns in ([track.times_ns for track in tracks], [view.times_ns for view in views]):
        spans.append((min(int(t[0]) for t in times_ns), max(int(t[-1]) for t in times_ns)))
    if max(start for start, _ in spans) > min(end for _, end in spans):
        (a, b), (c, d) = spans
        apart = f"tracks.parquet has time_ns from {a} to {b}, frames.parquet from {c} to {d}: no time in common"
        raise DataError(f"{folder}: {apart}; write both in nanoseconds of one clock")


def _read_tracks(path: Path) -> tuple[Track, ...]:
    table = _read(path, TRACKS)
    times_ns, categories, seen = table["time_ns"], table["category"], table["seen"]
    ids, first, owner = np.unique(table["track_id"], return_index=True, return_inverse=True)
    first = first[owner]  # of each row, the first row of the same track
    centre, box = (np.stack([table[name] for name in names], axis=1) for names in (CENTRE, BOX))
    boxed, said = ~np.isnan(box).any(axis=1), _given(seen)
    incomplete = ~boxed & ~np.isnan(box).all(axis=1)
    together = f"{', '.join(BOX)} are given together, in all rows of a track_id or in none"
    _refuse(path, ~np.isin(categories, CATEGORIES), f"category is none of {', '.join(CATEGORIES)}; map it to one")
    _refuse(path, categories != categories[first], "category is another than in the first row of its track_id")
    _refuse(path, _late(owner, times_ns), f"time_ns is no later than in the row before of its track_id; {_IN_ORDER}")
    _refuse(path, incomplete | (boxed != boxed[first]), together)
    _refuse(path, np.asarray((box[:, :3] <= 0).any(axis=1)), f"{', '.join(BOX[:3])} are in metres, above 0")
    _refuse(path, said != said[first], "seen is given in all rows of a track_id or in none")
    noise = np.stack([table[name] for name in NOISE], axis=1)
    noise[:, -1] = np.where(np.isnan(noise[:, -1]), noise[:, 0], noise[:, -1])  # noise_across_m, which may be left out
    noisy = ~np.isnan(noise).any(axis=1)
    alike = (np.nan_to_num(noise) == np.nan_to_num(noise[first])).all(axis=1) & (noisy == noisy[first])
    _refuse(path, ~noisy & ~np.isnan(noise).all(axis=1), f"{', '.join(NOISE[:-1])} are given together or not at all")
    _refuse(path, ~alike, f"{', '.join(NOISE)} are the same in all rows of a track_id")
    _refuse(path, noisy & (np.nan_to_num(noise) < 0).any(axis=1), f"{', '.join(NOISE)} are 0 or more")
    grades = np.array([grade or "" for grade in table["grade"]], dtype=object)
    _refuse(path, grades != grades[first], "grade is the same in all rows of a track_id")
    tracks = []
    for track_id, rows in zip(ids.tolist(), _groups(owner), strict=True):
        size_lwh_m, yaw_rad = (box[rows, :3], box[rows, 3]) if boxed[rows[0]] else (None, None)
        seen_then = seen[rows].astype(bool) if said[rows[0]] else None
        tracks.append(
            Track(
                track_id=track_id,
                category=categories[rows[0]],
                times_ns=times_ns[rows],
                xyz_m=centre[rows],
                size_lwh_m=size_lwh_m,
                yaw_rad=yaw_rad,
                seen=seen_then,
                noise=Noise(*noise[rows[0]].tolist()) if noisy[rows[0]] else None,
                grade=grades[rows[0]],
            )
        )
    return tuple(tracks)


def _read_boxes(path: Path, tracks: Sequence[Track], views: Sequence[_View]) -> dict[str, dict[str, Array]] | None:
    """For each camera's name and track's id the boxes (F, 4) in its frames; None without the file."""
    if not path.exists():
        return None
    table = _read(path, BOXES)
    boxes_px = np.stack([table[name] for name in BOX_PX], axis=1)
    cameras, track_ids = ([view.camera.name for view in views], [track.track_id for track in tracks])
    _refuse(path, ~np.isin(table["camera"], cameras), f"camera is none of {_DESCRIPTION}'s: {', '.join(cameras)}")
    _refuse(path, ~np.isin(table["track_id"], track_ids), "track_id is none of tracks.parquet's")
    empty = np.asarray((boxes_px[:, :2] >= boxes_px[:, 2:]).any(axis=1))
    _refuse(path, empty, f"{', '.join(BOX_PX)} are the left, upper, right and lower edge of a box")
    out = {}
    for view in views:
        rows = np.flatnonzero(table["camera"] == view.camera.name)
        frame = np.searchsorted(view.times_ns, table["time_ns"][rows]).clip(max=len(view.times_ns) - 1)
        off = view.times_ns[frame] != table["time_ns"][rows]
        _refuse(path, off, "time_ns is of no frame of its camera in frames.parquet", rows)
        of_camera = {track_id: np.full((len(view.times_ns), 4), np.nan) for track_id in track_ids}
        for row, k in zip(rows, frame, strict=True):
            of_camera[table["track_id"][row]][k] = boxes_px[row]
        out[view.camera.name] = of_camera
    return out


def _read_frames(path: Path, cameras: tuple[Camera, ...]) -> list[_View]:
    """A view for each camera, by its name."""
    table = _read(path, FRAMES)
    names, owner = np.unique(table["camera"], return_inverse=True)
    known = {camera.name: camera for camera in cameras}
    times_ns = table["time_ns"]
    quats, places = (np.stack([table[name] for name in columns], axis=1) for columns in (QUAT, XYZ))
    unit = np.isclose(np.linalg.norm(quats, axis=1), 1.0, rtol=0, atol=UNIT_TOLERANCE)
    strange = f"camera is none of {_DESCRIPTION}'s: {', '.join(known)}"
    _refuse(path, ~np.isin(table["camera"], list(known)), strange)
    _refuse(path, _late(owner, times_ns), f"time_ns is no later than in the row before of its camera; {_IN_ORDER}")
    _refuse(path, ~unit, f"{', '.join(QUAT)} are no rotation: their squares have to add up to 1")
    if missing := sorted(set(known) - set(names.tolist())):
        raise DataError(f"{path}: has no row of camera {missing[0]!r}; add its frames, or drop it in {_DESCRIPTION}")
    poses = se3(quats, places)
    views = []
    for name, rows in zip(names.tolist(), _groups(owner), strict=True):
        camera = known[name]
        images = _images(path, camera, rows, table["file"], table["frame_number"])
        views.append(_View(camera, times_ns[rows], poses[rows], images))
    return views


def _images(path: Path, camera: Camera, rows: Array, all_files: Array, all_numbers: Array) -> Frames | None:
    """The images of one camera, whose frames are the given rows: files, frames of one video, or none."""
    files, numbers = all_files[rows], all_numbers[rows]
    size_px = (camera.width_px, camera.height_px)
    named, numbered = _given(files), _given(numbers)
    if not (named | numbered).any():
        return None
    outside = np.array([_leaves(str(file)) for file in files], dtype=bool)
    whole = f"is given for all frames of camera {camera.name!r} or for none"
    _refuse(path, ~named, f"file {whole}", rows)
    _refuse(path, outside, "file is no path inside the recording's folder; put or link the file there", rows)
    _refuse(path, numbered != numbered[0], f"frame_number {whole}", rows)
    if not numbered[0]:
        _, first = np.unique(files.astype(str), return_index=True)
        again = ~np.isin(np.arange(len(rows)), first)
        _refuse(path, again, "file is another frame's too; where it is a video, say which frame in frame_number", rows)
        return ImageFiles(tuple(path.parent / file for file in files), *size_px)
    counted = numbers.astype(np.int64)
    back = np.concatenate([[False], np.diff(counted) <= 0])
    _refuse(path, files != files[0], f"file is another video than the first of camera {camera.name!r}", rows)
    _refuse(path, counted < 0, "frame_number is below 0, the number of the video's first frame", rows)
    _refuse(path, back, "frame_number does not grow with time_ns; check which frame was shown when", rows)
    return VideoFrames(path.parent / files[0], counted, *size_px)


def _leaves(file: str) -> bool:
    """Whether a path is absolute or climbs up, written with either slash."""
    path = PureWindowsPath(file)
    return not file or bool(path.anchor) or ".." in path.parts


def _given(values: Array) -> Array:
    """Which of N objects are not None, (N,) bool."""
    return np.array([value is not None for value in values], dtype=bool)


def _groups(owner: Array) -> list[Array]:
    """For each owner 0, 1, ... its rows, in the table's order."""
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(owner[order])) + 1) if len(order) else []


def _late(owner: Array, times_ns: Array) -> Array:
    """Whether each row's time, (N,) bool, is no later than that of the row before it of the same owner."""
    order = np.argsort(owner, kind="stable")
    late = np.zeros(len(owner), dtype=bool)
    late[order[1:]] = (np.diff(owner[order]) == 0) & (np.diff(times_ns[order]) <= 0)
    return late


def _refuse(path: Path, wrong: Array, why: str, rows: Array | None = None) -> None:
    """Raises DataError for the first wrong row, counted from 0 as pandas does; `rows`: those that `wrong` is about."""
    found = np.flatnonzero(wrong)
    if len(found):
        row = found[0] if rows is None else rows[found[0]]
        raise DataError(f"{path}, row {row}: {why}")


def _read(path: Path, schema: pa.Schema) -> dict[str, Array]:
    """The table's columns; an optional one that is not there is empty. An empty number is NaN, any other None."""
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: does not read ({reason}); write it with pandas' DataFrame.to_parquet") from error
    for name in table.column_names:
        if name not in schema.names and not name.startswith("__index_level_"):  # which pandas adds
            raise DataError(f"{path}: column {name!r} is not of this form{nearest(name, schema.names)}")
    columns = {}
    for field in schema:
        if field.name in table.column_names:
            column = table[field.name]
        elif field.nullable:
            column = pa.chunked_array([pa.nulls(len(table), field.type)])
        else:
            raise DataError(f"{path}: column {field.name!r} is missing; it has to be there, of type {field.type}")
        columns[field.name] = _converted(path, field, column)
    return columns


_FITTING = {
    pa.string(): (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    pa.int64(): (pa.types.is_integer,),
    pa.float64(): (pa.types.is_floating, pa.types.is_integer),
    pa.bool_(): (pa.types.is_boolean,),
}
_PANDAS = {pa.string(): "str", pa.int64(): "Int64", pa.float64(): "float", pa.bool_(): "boolean"}


def _converted(path: Path, field: pa.Field, column: pa.ChunkedArray) -> Array:
    if pa.types.is_dictionary(column.type):  # pandas' categories
        column = column.cast(column.type.value_type)
    empty = pa.types.is_null(column.type)
    if not empty and not any(fits(column.type) for fits in _FITTING[field.type]):
        cure = f"convert it, as by df[{field.name!r}].astype({_PANDAS[field.type]!r})"
        raise DataError(f"{path}: column {field.name!r} holds {column.type}, not {field.type}; {cure}")
    try:
        column = column.cast(field.type)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: column {field.name!r} does not fit into {field.type} ({error})") from error
    if pa.types.is_floating(field.type):
        values = np.asarray(column.to_numpy(), dtype=np.float64)
        missing, infinite = np.isnan(values), np.isinf(values)
        _refuse(path, infinite, f"{field.name} is not finite")
    else:
        values = np.array(column.to_pylist(), dtype=object)
        missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    if not field.nullable:
        _refuse(path, missing, f"{field.name} is empty; fill it or drop the row")
        values = values.astype(np.int64) if pa.types.is_integer(field.type) else values
    return values

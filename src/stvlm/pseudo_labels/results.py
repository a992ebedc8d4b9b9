"""The records between the stages as files, so that a stage that was done need not be done again.

    <folder of one video and stage>/manifest.json     a `Manifest`; written last, so that without it there is nothing
                                    arrays.npz        of a geometry: times, poses, intrinsics; of metric depth: times,
                                                      frames, focal lengths
                                    depth.npy         maps, each a file of its own that is mapped, not read: a frame
                                    confidence.npy    comes into memory when it is looked at
                                    moving.npy
                                    depth_m.npy       the map of metric depth
                                    tracks.parquet    of object tracks and lifted tracks

What was written by another version, is cut off or belongs to another stage is a DataError that names file and cure.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stvlm.files import PARTIAL, read_json, whole_file, write_json
from stvlm.pseudo_labels.artefacts import (
    DepthCrop,
    Geometry,
    LiftedTrack,
    MetricDepth,
    ObjectTrack,
    ObjectTracks,
    Provenance,
    Scale,
)
from stvlm.recipes import from_mapping
from stvlm.recording_folder import FILES as RECORDING_FILES
from stvlm.recording_folder import ImageRef, write_recording
from stvlm.records import Array, DataError, Scene

SCHEMA = 1
"""Grows when the form changes; what has another number is made anew."""

T = TypeVar("T")
Kind = Literal["geometry", "metric_depth", "object_tracks", "lifted_tracks", "recording", "excerpts", "rejected"]

MANIFEST, _ARRAYS, _TRACKS = "manifest.json", "arrays.npz", "tracks.parquet"
_MAPS = ("depth", "confidence", "moving")
_BOX = ("x0_px", "y0_px", "x1_px", "y1_px")
_CENTRE = ("x_m", "y_m", "z_m")
_OF_LIFTED = ("stretch", "step_m", "outliers")
"""What a lifted track has one of, in each of its rows."""
_OBJECTS = pa.schema(
    [
        ("track_id", pa.string()),
        ("category", pa.string()),
        ("frame", pa.int64()),
        *((name, pa.float64()) for name in _BOX),
        ("score", pa.float64()),
        ("truncated", pa.bool_()),
        ("occluded", pa.bool_()),
        ("hidden_foot", pa.float64()),
        ("mask", pa.list_(pa.int64())),
    ]
)
_LIFTED = pa.schema(
    [
        ("track_id", pa.string()),
        ("category", pa.string()),
        ("time_s", pa.float64()),
        *((name, pa.float64()) for name in _CENTRE),
        ("covariance_m2", pa.list_(pa.float64(), 9)),  # row by row
        *((name, pa.float64()) for name in _OF_LIFTED),
    ]
)
_UNITS: dict[str, dict[str, str]] = {
    "geometry": {"time": "s", "poses": "world_SE3_camera, OpenCV axes", "pixel": "of the footage's images"},
    "metric_depth": {"time": "s", "depth": "m", "pixel": "of the footage's images"},
    "object_tracks": {"time": "s", "pixel": "of the footage's images", "mask": "run lengths down the columns"},
    "lifted_tracks": {"time": "s", "place": "m, world frame of the geometry"},
    "recording": {"time": "ns", "place": "m, world frame", "pixel": "of the original image"},
}


@dataclass(frozen=True)
class Manifest:
    """What a stage's folder holds, and of what it was made."""

    schema: int
    kind: str
    provenance: Provenance
    inputs: str
    """The key under which the pipeline keeps it: a hash of all that it was made from."""
    options: Mapping[str, object]
    units: Mapping[str, str]
    files: Mapping[str, int]
    """Its other files, and how many bytes each has."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the kind has beside its arrays."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why things are not in it that might be, and how many."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What else was found out."""


@dataclass(frozen=True)
class _OfGeometry:
    image_size_px: tuple[int, int]
    is_upright: bool
    scale: Scale
    crop: DepthCrop | None
    is_sparse: bool = False
    scaled_by_height: bool = False


@dataclass(frozen=True)
class _OfMetricDepth:
    image_size_px: tuple[int, int]
    crop: DepthCrop


@dataclass(frozen=True)
class _OfTracks:
    times_s: tuple[float, ...]
    image_size_px: tuple[int, int]


def read_manifest(folder: Path, kind: Kind | None = None) -> Manifest:
    """A stage's manifest, of any kind where none is named; its files are there and as long as they were.

    Raises DataError.
    """
    where = folder / MANIFEST
    again = f"remove {folder} and run the stage again"
    if not where.exists():
        raise DataError(f"{where}: is missing: the stage has not run, or not to its end; run it again")
    values = read_json(where)
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise DataError(f"{where}: has schema {schema!r}, this version reads {SCHEMA}; {again}")
    manifest = from_mapping(Manifest, values, str(where))
    if kind is not None and manifest.kind != kind:
        raise DataError(f"{where}: holds {manifest.kind}, not {kind}; give the folder of the stage that makes those")
    for name, n_bytes in manifest.files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != n_bytes:
            state = "is missing" if found is None else f"has {found} bytes, {n_bytes} were written"
            raise DataError(f"{path}: {state}; {again}")
    return manifest


def write_geometry(
    folder: Path,
    geometry: Geometry,
    inputs: str,
    options: Mapping[str, object],
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Writes a geometry; `inputs` is the key of what it was made from, `options` how, `notes` what else is known."""
    files = _write_arrays(folder, geometry, ("times_s", "world_SE3_camera", "K_px"), _MAPS)
    details = _OfGeometry(**{of.name: getattr(geometry, of.name) for of in fields(_OfGeometry)})
    _end(folder, "geometry", geometry.provenance, inputs, options, files, asdict(details), notes=notes)


def read_geometry(folder: Path) -> Geometry:
    """A geometry whose maps are mapped from their files; raises DataError."""
    return _read_arrays(folder, "geometry", Geometry, _OfGeometry, _MAPS)


def write_metric_depth(folder: Path, depth: MetricDepth, inputs: str, options: Mapping[str, object]) -> None:
    """Writes metric depth; `inputs` is the key of what it was made from, `options` how."""
    files = _write_arrays(folder, depth, ("times_s", "frames", "focal_px"), ("depth_m",))
    details = _OfMetricDepth(depth.image_size_px, depth.crop)
    _end(folder, "metric_depth", depth.provenance, inputs, options, files, asdict(details))


def read_metric_depth(folder: Path) -> MetricDepth:
    """Metric depth whose maps are mapped from their file; raises DataError."""
    return _read_arrays(folder, "metric_depth", MetricDepth, _OfMetricDepth, ("depth_m",))


def write_object_tracks(folder: Path, tracks: ObjectTracks, inputs: str, options: Mapping[str, object]) -> None:
    """Writes object tracks; `inputs` is the key of what they were made from, `options` how."""
    _begin(folder)
    parts = []
    for track in tracks.tracks:
        n = len(track.score)
        columns: dict[str, Any] = {
            "track_id": [track.track_id] * n,
            "category": [track.category] * n,
            "frame": np.arange(n),
            **dict(zip(_BOX, track.boxes_px.T, strict=True)),
            "score": track.score,
            "truncated": track.truncated,
            "occluded": track.occluded,
            "hidden_foot": [track.hidden_foot] * n,
            "mask": [None] * n if track.masks is None else list(track.masks),
        }
        parts.append(columns)
    _write_table(folder, _OBJECTS, parts)
    details = _OfTracks(tuple(tracks.times_s.tolist()), tracks.image_size_px)
    _end(folder, "object_tracks", tracks.provenance, inputs, options, [_TRACKS], asdict(details))


def read_object_tracks(folder: Path) -> ObjectTracks:
    """Object tracks; raises DataError."""
    manifest = read_manifest(folder, "object_tracks")
    details = from_mapping(_OfTracks, manifest.details, str(folder / MANIFEST))
    try:
        tracks = []
        for table in _read_tables(folder, _OBJECTS):
            masks = [None if mask is None else np.array(mask) for mask in table["mask"].to_pylist()]
            track = ObjectTrack(
                track_id=table["track_id"][0].as_py(),
                category=table["category"][0].as_py(),
                boxes_px=_columns(table, _BOX),
                score=table["score"].to_numpy(),
                truncated=table["truncated"].to_numpy(),
                occluded=table["occluded"].to_numpy(),
                masks=tuple(masks) if any(mask is not None for mask in masks) else None,
                hidden_foot=table["hidden_foot"][0].as_py(),
            )
            tracks.append(track)
        return ObjectTracks(np.array(details.times_s), details.image_size_px, tuple(tracks), manifest.provenance)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _damaged(folder, folder / _TRACKS, error) from error


def write_lifted_tracks(
    folder: Path,
    tracks: Sequence[LiftedTrack],
    provenance: Provenance,
    inputs: str,
    options: Mapping[str, object],
    left_out: Mapping[str, int] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Writes lifted tracks; `inputs` is the key of what they were made from, `options` how."""
    _begin(folder)
    parts = []
    for track in tracks:
        n = len(track.times_s)
        columns: dict[str, Any] = {
            "track_id": [track.track_id] * n,
            "category": [track.category] * n,
            "time_s": track.times_s,
            **dict(zip(_CENTRE, track.xyz_m.T, strict=True)),
            "covariance_m2": list(track.covariance_m2.reshape(n, 9)),
            **{name: [getattr(track, name)] * n for name in _OF_LIFTED},
        }
        parts.append(columns)
    _write_table(folder, _LIFTED, parts)
    _end(folder, "lifted_tracks", provenance, inputs, options, [_TRACKS], {}, left_out, notes)


def read_lifted_tracks(folder: Path) -> list[LiftedTrack]:
    """Lifted tracks, but for those without a single place; raises DataError."""
    read_manifest(folder, "lifted_tracks")
    try:
        return [
            LiftedTrack(
                track_id=table["track_id"][0].as_py(),
                category=table["category"][0].as_py(),
                times_s=table["time_s"].to_numpy(),
                xyz_m=_columns(table, _CENTRE),
                covariance_m2=np.array(table["covariance_m2"].to_pylist()).reshape(-1, 3, 3),
                **{name: table[name][0].as_py() for name in _OF_LIFTED},
            )
            for table in _read_tables(folder, _LIFTED)
        ]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _damaged(folder, folder / _TRACKS, error) from error


def write_scene(
    folder: Path,
    scene: Scene,
    images: Sequence[ImageRef] | None,
    provenance: Provenance,
    inputs: str,
    options: Mapping[str, object],
    left_out: Mapping[str, int],
    notes: Mapping[str, Any],
) -> None:
    """Writes a scene in the form of `stvlm.recording_folder`; `images`: where its frames will be, from that folder."""
    _begin(folder)
    write_recording(folder, [scene], None if images is None else {scene.camera.name: images})
    files = [name for name in RECORDING_FILES if (folder / name).exists()]
    _end(folder, "recording", provenance, inputs, options, files, {}, left_out, notes)


def write_details(
    folder: Path,
    kind: Kind,
    details: Mapping[str, Any],
    inputs: str,
    options: Mapping[str, object],
    left_out: Mapping[str, int] | None = None,
) -> None:
    """Writes what has no arrays: which excerpts a video has, or {"reason", "subject"} of what was rejected."""
    _begin(folder)
    _end(folder, kind, Provenance("stvlm"), inputs, options, [], details, left_out)


def _begin(folder: Path) -> None:
    """From here until the end the folder holds nothing; nor what a run that was killed had begun to write."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for left in folder.glob(PARTIAL):
        if left.is_file():
            left.unlink()


def _write_arrays(folder: Path, record: object, arrays: Sequence[str], maps: Sequence[str]) -> list[str]:
    """Writes a record's fields, those that it has; gives the names of the files."""
    _begin(folder)
    given = {name: getattr(record, name) for name in (*arrays, *maps) if getattr(record, name) is not None}
    with whole_file(folder / _ARRAYS) as temporary:
        np.savez(temporary, **{name: given[name] for name in arrays if name in given})
    files = [_ARRAYS]
    for name in maps:
        path = folder / f"{name}.npy"
        if name in given:
            with whole_file(path) as temporary:
                np.save(temporary, given[name])
            files.append(path.name)
        else:
            path.unlink(missing_ok=True)
    return files


def _read_arrays(folder: Path, kind: Kind, record: Callable[..., T], details: type[Any], maps: Sequence[str]) -> T:
    """The record of arrays, maps and details (a dataclass of the rest of its fields) that a stage's folder holds."""
    manifest = read_manifest(folder, kind)
    of_kind = from_mapping(details, manifest.details, str(folder / MANIFEST))
    path = folder / _ARRAYS
    try:
        with np.load(path, allow_pickle=False) as file:
            given = {name: file[name] for name in file.files}
        for name in maps:
            path = folder / f"{name}.npy"
            if path.name in manifest.files:
                given[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        path = folder / MANIFEST
        rest = {entry.name: getattr(of_kind, entry.name) for entry in fields(details)}
        return record(**given, **rest, provenance=manifest.provenance)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(folder, path, error) from error


def _end(
    folder: Path,
    kind: Kind,
    provenance: Provenance,
    inputs: str,
    options: Mapping[str, object],
    files: Sequence[str],
    details: Mapping[str, Any],
    left_out: Mapping[str, int] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    sizes = {name: (folder / name).stat().st_size for name in files}
    of_kind = _UNITS.get(kind, {})
    manifest = Manifest(
        SCHEMA, kind, provenance, inputs, options, of_kind, sizes, details, dict(left_out or {}), dict(notes or {})
    )
    write_json(folder / MANIFEST, asdict(manifest))


def _write_table(folder: Path, schema: pa.Schema, parts: Iterable[Mapping[str, Any]]) -> None:
    tables = [pa.table([pa.array(part[f.name], f.type) for f in schema], schema=schema) for part in parts]
    with whole_file(folder / _TRACKS) as temporary:
        pq.write_table(pa.concat_tables(tables) if tables else schema.empty_table(), temporary)


def _read_tables(folder: Path, schema: pa.Schema) -> list[pa.Table]:
    """The rows of each track, in the order in which they were written."""
    table = pq.ParquetFile(folder / _TRACKS).read()
    if table.schema != schema:
        raise ValueError("its columns are others")
    ids = np.array(table["track_id"].to_pylist(), dtype=object)
    cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
    return [table.slice(start, end - start) for start, end in pairwise(cuts) if end > start]


def _columns(table: pa.Table, names: Sequence[str]) -> Array:
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def _damaged(folder: Path, path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"{path}: does not read ({reason}); remove {folder} and run the stage again")

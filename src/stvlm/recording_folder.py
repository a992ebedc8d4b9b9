"""The form in which anybody's own 3D-annotated recordings lie on disk: what its files hold, and how to write them.

    <root>/splits.json                     {"train": [recording ids], "validation": [...], "test": [...]}
           <recording id>/recording.json   what holds for all of it, and its cameras: a `Description`
                          frames.parquet   a row for each frame of each camera: `FRAMES`
                          tracks.parquet   a row for each time at which an object was annotated: `TRACKS`
                          boxes.parquet    where it is there, a row for each time at which a camera saw one: `BOXES`

Videos or images lie beside them, where frames.parquet says. docs/your_own_recordings.md tells what each column means;
`stvlm.sources.video_folder` reads the form.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial.transform import Rotation

from stvlm.files import whole_file, write_json
from stvlm.records import Camera, Domain, LabelType, Noise, Scene, Track

QUAT, XYZ = ("qw", "qx", "qy", "qz"), ("tx_m", "ty_m", "tz_m")
"""Columns of world_SE3_camera: its rotation as a unit quaternion, and where the camera is."""
CENTRE, BOX = ("x_m", "y_m", "z_m"), ("length_m", "width_m", "height_m", "yaw_rad")
NOISE = tuple(f"noise_{name}" for name in Noise._fields)
BOX_PX = ("x0_px", "y0_px", "x1_px", "y1_px")


def _schema(required: Mapping[str, pa.DataType], optional: Mapping[str, pa.DataType]) -> pa.Schema:
    """A table's columns; one that is not nullable has to be there, and full."""
    fields = [pa.field(name, kind, nullable=False) for name, kind in required.items()]
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in optional.items())])


FRAMES = _schema(
    {"camera": pa.string(), "time_ns": pa.int64(), **dict.fromkeys((*QUAT, *XYZ), pa.float64())},
    {"file": pa.string(), "frame_number": pa.int64()},
)
TRACKS = _schema(
    {"track_id": pa.string(), "category": pa.string(), "time_ns": pa.int64(), **dict.fromkeys(CENTRE, pa.float64())},
    {**dict.fromkeys((*BOX, *NOISE), pa.float64()), "seen": pa.bool_(), "grade": pa.string()},
)
BOXES = _schema(
    {"camera": pa.string(), "track_id": pa.string(), "time_ns": pa.int64(), **dict.fromkeys(BOX_PX, pa.float64())}, {}
)


@dataclass(frozen=True)
class Description:
    """What recording.json says."""

    label_type: LabelType
    domain: Domain
    centre_noise_m: float
    cameras: tuple[Camera, ...]
    licence: str = ""  # of images and labels; every question carries it

    def __post_init__(self) -> None:
        for name, kinds in (("label_type", get_args(LabelType)), ("domain", get_args(Domain))):
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} is one of {', '.join(kinds)}; got {getattr(self, name)!r}")
        if not 0 <= self.centre_noise_m < np.inf:
            raise ValueError(f"centre_noise_m is a standard deviation in metres; got {self.centre_noise_m}")
        if not self.cameras or len({camera.name for camera in self.cameras}) < len(self.cameras):
            raise ValueError("cameras holds at least one camera, each with a name of its own")


FILES = ("recording.json", "frames.parquet", "tracks.parquet", "boxes.parquet")
"""What a recording is, beside its images."""
ImageRef = str | tuple[str, int]
"""An image file, or a video file and the number of one of its frames, from 0; paths are relative to the recording."""


def write_recording(
    folder: Path,
    scenes: Sequence[Scene],
    images: Mapping[str, Sequence[ImageRef]] | None = None,
) -> None:
    """Writes one recording, which reads back as the same scenes: source, id and split are not in it, but the folder's.

    Args:
        folder: the recording's; its path below the root is the recording's id.
        scenes: one a camera, alike in all but camera, frames and poses.
        images: for a camera's name, where each of its frames is; whoever calls puts the files there. A camera that is
            not named has no images.
    """
    first = scenes[0]
    shared = {
        (s.label_type, s.domain, s.centre_noise_m, s.licence, s.boxes_px is None, *(t.track_id for t in s.tracks))
        for s in scenes
    }
    if len(shared) > 1:
        raise ValueError(f"scene {first.scene_id!r}: its cameras differ in more than frames and poses")
    cameras = tuple(scene.camera for scene in scenes)
    described = Description(first.label_type, first.domain, first.centre_noise_m, cameras, first.licence)
    refs = images or {}
    frames = [_frame_columns(scene, refs.get(scene.camera.name)) for scene in scenes]
    _write(folder / "frames.parquet", FRAMES, frames)
    _write(folder / "tracks.parquet", TRACKS, [_track_columns(track) for track in first.tracks])
    if first.boxes_px is None:
        (folder / "boxes.parquet").unlink(missing_ok=True)
    else:
        _write(folder / "boxes.parquet", BOXES, [columns for scene in scenes for columns in _box_columns(scene)])
    # Last: a folder is a recording from then on.
    write_json(folder / "recording.json", dataclasses.asdict(described))


def _frame_columns(scene: Scene, images: Sequence[ImageRef] | None) -> dict[str, object]:
    pose = scene.world_SE3_camera
    quats = Rotation.from_matrix(pose[:, :3, :3]).as_quat(scalar_first=True)
    refs = [(image, None) if isinstance(image, str) else image for image in images or ()]
    if images is not None and len(refs) != len(pose):
        raise ValueError(f"camera {scene.camera.name!r}: {len(refs)} images for {len(pose)} frames")
    return {
        "camera": [scene.camera.name] * len(pose),
        "time_ns": scene.frame_times_ns,
        **dict(zip(QUAT, quats.T, strict=True)),
        **dict(zip(XYZ, pose[:, :3, 3].T, strict=True)),
        "file": [file for file, _ in refs] or None,
        "frame_number": [number for _, number in refs] or None,
    }


def _track_columns(track: Track) -> dict[str, object]:
    n = len(track.times_ns)
    noise: dict[str, object] = dict.fromkeys(NOISE)
    if track.noise is not None:
        noise = {name: [value] * n for name, value in zip(NOISE, track.noise, strict=True)}
    box: dict[str, object] = dict.fromkeys(BOX)
    if track.size_lwh_m is not None and track.yaw_rad is not None:
        box = dict(zip(BOX, (*track.size_lwh_m.T, track.yaw_rad), strict=True))
    return {
        "track_id": [track.track_id] * n,
        "category": [track.category] * n,
        "time_ns": track.times_ns,
        **dict(zip(CENTRE, track.xyz_m.T, strict=True)),
        **box,
        **noise,
        "seen": track.seen,
        "grade": [track.grade] * n if track.grade else None,
    }


def _box_columns(scene: Scene) -> Iterator[dict[str, object]]:
    """Of each track the frames in which it has a box."""
    for track_id, boxes_px in (scene.boxes_px or {}).items():
        seen = ~np.isnan(boxes_px[:, 0])
        yield {
            "camera": [scene.camera.name] * int(seen.sum()),
            "track_id": [track_id] * int(seen.sum()),
            "time_ns": scene.frame_times_ns[seen],
            **dict(zip(BOX_PX, boxes_px[seen].T, strict=True)),
        }


def _write(path: Path, schema: pa.Schema, parts: Sequence[Mapping[str, Any]]) -> None:
    """Tables one below the other; a column that is None is empty."""
    tables = []
    for part in parts:
        n = len(part["time_ns"])
        columns = [
            pa.nulls(n, field.type) if part[field.name] is None else pa.array(part[field.name], field.type)
            for field in schema
        ]
        tables.append(pa.table(columns, schema=schema))
    with whole_file(path) as temporary:
        pq.write_table(pa.concat_tables(tables) if tables else schema.empty_table(), temporary)

"""A stage's folder reads back as the same record, is mapped rather than read, and is whole or not there."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import (
    Geometry,
    LiftedTrack,
    MetricDepth,
    ObjectTrack,
    ObjectTracks,
    Provenance,
    resized,
)
from stvlm.pseudo_labels.results import (
    read_geometry,
    read_lifted_tracks,
    read_metric_depth,
    read_object_tracks,
    write_geometry,
    write_lifted_tracks,
    write_metric_depth,
    write_object_tracks,
)
from stvlm.records import DataError

MADE = Provenance("tool", "model", "abc123", "CC BY-NC 4.0")
TIMES_S = np.array([0.0, 1 / 30, 0.1])


def make_geometry(with_maps: bool = True) -> Geometry:
    rng = np.random.default_rng(3)
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, 3] = rng.normal(size=(3, 3))
    maps = {
        "crop": resized((64, 48), (8, 6)),
        "depth": rng.random((3, 6, 8), dtype=np.float32),
        "confidence": rng.random((3, 6, 8), dtype=np.float32),
        "moving": rng.random((3, 6, 8)) < 0.5,
    }
    K_px = np.tile([[50.0, 0, 32], [0, 51, 24], [0, 0, 1]], (3, 1, 1))
    return Geometry(TIMES_S, poses, K_px, (64, 48), True, "arbitrary", MADE, **maps if with_maps else {})  # type: ignore


def make_metric_depth(focal_px: list[float] | None = None) -> MetricDepth:
    depth_m = np.random.default_rng(4).random((2, 6, 8), dtype=np.float32)
    return MetricDepth(TIMES_S, (64, 48), [0, 2], depth_m, resized((64, 48), (8, 6)), MADE, focal_px)  # type: ignore


def make_tracks() -> ObjectTracks:
    boxes_px = np.array([[0, 1, 2, 3], [np.nan] * 4, [0.5, 1, 2, 3]])
    flags = np.array([True, False, False])
    masks = (np.array([0, 3, 9]), None, np.array([12]))
    tracks = (
        ObjectTrack("b", "car", boxes_px, np.array([1, 0, 0.25]), flags, ~flags, masks),
        ObjectTrack("a", "person", boxes_px + 1, np.array([1, 0, 0.5]), flags, flags, hidden_foot=0.05),
    )
    return ObjectTracks(TIMES_S, (4, 3), tracks, MADE)


def make_lifted() -> list[LiftedTrack]:
    covariance = np.array([[2, 0.5, 0], [0.5, 1, 0], [0, 0, 0.1]])
    return [
        LiftedTrack("b", "car", TIMES_S[:2], np.arange(6.0).reshape(2, 3), np.stack([covariance, 2 * covariance]), 0.1),
        LiftedTrack("a", "person", TIMES_S[:1], np.ones((1, 3)), covariance[None]),
    ]


def write(folder: Path, kind: str = "geometry") -> None:
    if kind == "geometry":
        write_geometry(folder, make_geometry(), "in", {"fps": 10, "size": (4, 3)})
    elif kind == "metric_depth":
        write_metric_depth(folder, make_metric_depth([50.0, 51.5]), "in", {})
    elif kind == "object_tracks":
        write_object_tracks(folder, make_tracks(), "in", {})
    else:
        write_lifted_tracks(folder, make_lifted(), MADE, "in", {})


def same(a: Any, b: Any) -> None:
    """Every field equal, to the last bit."""
    assert type(a) is type(b)
    for name in [field.name for field in fields(a)]:
        one, other = getattr(a, name), getattr(b, name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        elif isinstance(one, tuple) and any(hasattr(part, "__dataclass_fields__") for part in one):
            for left, right in zip(one, other, strict=True):
                same(left, right)
        elif name == "masks" and one is not None:
            assert [m if m is None else m.tolist() for m in one] == [m if m is None else m.tolist() for m in other]
        else:
            assert one == other, name


def test_a_geometry_reads_back_and_its_maps_stay_on_disk(tmp_path: Path) -> None:
    write(tmp_path / "g")
    read = read_geometry(tmp_path / "g")
    same(read, make_geometry())
    for maps in (read.depth, read.confidence, read.moving):
        assert isinstance(maps, np.memmap) and not maps.flags.writeable


def test_a_geometry_without_maps_leaves_no_old_ones_behind(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / ".depth.99.partial.npy").write_bytes(b"half")  # by a process that was killed
    write_geometry(tmp_path, make_geometry(with_maps=False), "in", {})
    same(read_geometry(tmp_path), make_geometry(with_maps=False))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays.npz", "manifest.json"]


@pytest.mark.parametrize("focal_px", [None, [50.0, 51.5]])
def test_metric_depth_reads_back_and_its_map_stays_on_disk(tmp_path: Path, focal_px: list[float] | None) -> None:
    write(tmp_path, "metric_depth")
    write_metric_depth(tmp_path, make_metric_depth(focal_px), "in", {})
    read = read_metric_depth(tmp_path)
    same(read, make_metric_depth(focal_px))
    assert isinstance(read.depth_m, np.memmap) and not read.depth_m.flags.writeable
    with pytest.raises(DataError, match="holds metric_depth, not geometry"):
        read_geometry(tmp_path)


def test_tracks_read_back_in_their_order(tmp_path: Path) -> None:
    write(tmp_path / "objects", "object_tracks")
    same(read_object_tracks(tmp_path / "objects"), make_tracks())
    write(tmp_path / "lifted", "lifted_tracks")
    for read, made in zip(read_lifted_tracks(tmp_path / "lifted"), make_lifted(), strict=True):
        same(read, made)


def test_a_video_in_which_nothing_is_found_has_no_tracks(tmp_path: Path) -> None:
    write_object_tracks(tmp_path, ObjectTracks(TIMES_S, (4, 3), (), MADE), "in", {})
    assert read_object_tracks(tmp_path).tracks == ()
    write_lifted_tracks(tmp_path, [], MADE, "in", {})
    assert read_lifted_tracks(tmp_path) == []


def test_the_manifest_says_what_made_it(tmp_path: Path) -> None:
    write(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["provenance"] == {
        "tool": "tool", "model": "model", "revision": "abc123", "licence": "CC BY-NC 4.0",
    }  # fmt: skip
    assert manifest["details"]["crop"] == {"scale_xy": [8, 8], "offset_xy_px": [3.5, 3.5]}
    assert manifest["details"]["scale"] == "arbitrary" and manifest["options"]["fps"] == 10


def test_what_is_not_written_to_its_end_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match=r"depth\.npy: cannot write \(No space left on device\)"):
        write(tmp_path)
    with pytest.raises(DataError, match=r"manifest\.json: is missing: the stage has not run, or not to its end"):
        read_geometry(tmp_path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def overwrite(path: Path) -> None:
    """Other bytes, as many."""
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize(
    ("kind", "file", "spoil", "message"),
    [
        ("geometry", "depth.npy", cut, r"depth\.npy: has \d+ bytes, \d+ were written; remove .* and run the stage"),
        ("geometry", "depth.npy", Path.unlink, r"depth\.npy: is missing; remove"),
        ("geometry", "depth.npy", overwrite, r"depth\.npy: does not read \(.*; remove"),
        ("geometry", "arrays.npz", overwrite, r"arrays\.npz: does not read \(.*; remove"),
        ("metric_depth", "depth_m.npy", overwrite, r"depth_m\.npy: does not read \(.*; remove"),
        ("object_tracks", "tracks.parquet", overwrite, r"tracks\.parquet: does not read \(.*; remove"),
        ("lifted_tracks", "tracks.parquet", cut, r"tracks\.parquet: has \d+ bytes"),
        ("lifted_tracks", "manifest.json", cut, r"manifest\.json: not valid JSON"),
        ("geometry", "manifest.json", Path.unlink, r"manifest\.json: is missing"),
    ],
)
def test_damage_is_told(tmp_path: Path, kind: str, file: str, spoil: Callable[[Path], None], message: str) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "geometry": read_geometry,
        "metric_depth": read_metric_depth,
        "object_tracks": read_object_tracks,
        "lifted_tracks": read_lifted_tracks,
    }
    write(tmp_path, kind)
    spoil(tmp_path / file)
    with pytest.raises(DataError, match=message) as caught:
        readers[kind](tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, r"manifest\.json: has schema 2, this version reads 1; remove"),
        ({"kind": "object_tracks"}, r"manifest\.json: holds object_tracks, not geometry"),
        ({"colour": "red"}, r"manifest\.json: unknown key 'colour'"),
        ({"details": {}}, r"manifest\.json: the key 'image_size_px' is missing"),
    ],
)
def test_a_foreign_manifest_is_told(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        read_geometry(tmp_path)

"""Finding recordings in a folder, and saying what a folder looks like when it is another source's."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from stvlm.hashing import stable_hash
from stvlm.records import DataError, Rejected

# Millions of files, and no recording begins there.
_SENSOR_DATA = {"sensors", "sensor_blobs", "samples", "sweeps", "maps"}
IMAGES = {".jpg", ".jpeg", ".png"}
_ARCHIVES = (".tgz", ".tar", ".tar.gz", ".zip")
_BUILT = "build.json"  # in a dataset that was built into the folder of its own source
_SIGNS = {
    "sample_annotation.json": "nuscenes",
    "annotations.feather": "argoverse2",
    "annotations_with_ego.feather": "argoverse2",
    "city_SE3_egovehicle.feather": "argoverse2",
    ".db": "nuplan",
    "label_02": "kitti",
    "takes.json": "egoexo4d",
    "scene_objects.csv": "aria_digital_twin",
    "recording.json": "video_folder",
}
_DEPTH = {"nuscenes": 2, "kitti": 2, "egoexo4d": 1}  # of its sign below the root; others are found at any


def walk(root: Path, skipped: Collection[str] = _SENSOR_DATA) -> Iterator[tuple[Path, list[str], list[str]]]:
    """``os.walk`` in a fixed order that skips folders by name and follows links, each target once."""
    seen = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        target = os.path.realpath(folder)
        if target in seen:
            subfolders.clear()
            continue
        seen.add(target)
        subfolders[:] = sorted(set(subfolders) - set(skipped))
        yield Path(folder), subfolders, sorted(files)


def by_name(root: Path, found_in: Callable[[Path, list[str]], Iterable[tuple[str, Path]]]) -> dict[str, list[Path]]:
    """Where recordings lie below ``root``, by name, each with all its places in the order of `walk`.

    Args:
        root: the folder that is searched.
        found_in: names and places of the recordings that a folder is or holds, told by its files. A folder that is one
            holds no others.
    """
    places: dict[str, list[Path]] = {}
    for folder, subfolders, files in walk(root):
        for name, place in found_in(folder, files):
            places.setdefault(name, []).append(place)
            if place == folder:
                subfolders.clear()
    return places


def copies(places: Mapping[str, Sequence[Path]], kind: str) -> list[Rejected]:
    """All places of a recording but the first, which is the one that is read."""
    return [Rejected(f"{kind} found twice", str(place)) for of_name in places.values() for place in of_name[1:]]


def state_of(root: Path, skipped: Collection[str] = _SENSOR_DATA) -> str:
    """A hash that changes when files do: of the names of all, and of size and time of those that are no images.

    Hidden files and built datasets are no raw data.
    """
    found: list[object] = []
    for folder, subfolders, files in walk(root, skipped):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        if _BUILT in files:
            subfolders.clear()
            continue
        found.append(folder.relative_to(root).as_posix())
        for name in files:
            if name.startswith("."):
                continue
            found.append(name)
            if Path(name).suffix.lower() not in IMAGES:
                with suppress(OSError):  # a link that leads nowhere
                    stat = (folder / name).stat()
                    found.append((stat.st_size, stat.st_mtime_ns))
    return stable_hash(*found)


def wrong_root(source: str, root: Path, wanted: str) -> DataError:
    """The error for a folder in which ``wanted`` was not found. It tells what is there instead: the same deeper, or
    packed, or another source's.
    """
    if not root.is_dir():
        return DataError(f"{root}: no such folder; give --source {source}=PATH with the folder that holds {wanted}")
    places = [folder / name for folder, folders, files in walk(root) for name in (*folders, *files)]
    found = {kind: place for place in reversed(places) for sign, kind in _SIGNS.items() if place.name.endswith(sign)}
    packed = [place for place in places if place.name.endswith(_ARCHIVES)]
    if source in found and source in _DEPTH and root not in found[source].parents[: _DEPTH[source]]:
        hint = f"; {found[source]} is there: give the folder above it that docs/data.md names"
    elif others := sorted(found.keys() - {source}):
        hint = "".join(f"; it looks like {other}: use --source {other}={root}" for other in others)
    else:
        hint = f"; unpack {packed[0]}" if packed else ""
    return DataError(f"{root}: holds no {wanted}, so {source} cannot be read from it{hint}")

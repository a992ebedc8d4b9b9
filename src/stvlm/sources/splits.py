"""Which recording belongs to which split: the publishers' lists, never a folder's name."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import get_args

from stvlm.records import DataError, Recording, Rejected, Split


def official_splits(source: str) -> dict[str, Split]:
    """Recording id to split, from the list shipped for ``source``."""
    packed = resources.files("stvlm.sources").joinpath("official_splits", f"{source}.txt.xz").read_bytes()
    lines = (line.split(" ", 1) for line in lzma.decompress(packed).decode().splitlines())
    return {scene_id: split for split, scene_id in lines}  # type: ignore[misc]  # the lists are ours, and hold no other


def splits_of(source: str, root: Path) -> dict[str, Split]:
    """Recording id to split, from ``root``'s own splits.json ({"train": [ids], ...}), else from the official list."""
    path = root / "splits.json"
    if not path.is_file():
        try:
            return official_splits(source)
        except FileNotFoundError as error:
            wanted = '{"train": [ids], "validation": [ids], "test": [ids]}'
            raise DataError(f"{path}: is missing, and {source} has no official splits; write {wanted} there") from error
    try:
        lists = json.loads(path.read_bytes())
        unknown = set(lists) - set(get_args(Split))
        splits = {scene_id: split for split, ids in lists.items() for scene_id in ids}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f'{path}: wanted {{"train": [ids], "validation": [ids], "test": [ids]}} ({error})') from error
    if unknown or len(splits) != sum(map(len, lists.values())):
        cure = f"the splits are {', '.join(get_args(Split))}" if unknown else "each id stands in one list, once"
        raise DataError(f"{path}: {cure}")
    return splits


def listed(
    source: str, root: Path, scene_ids: Iterable[str], vehicle_days: Mapping[str, str] | None = None
) -> list[Recording | Rejected]:
    """A Recording for each id, sorted; an id in no split list is Rejected, because its split would be a guess.

    Raises DataError where ``root``'s own splits.json names what is not there; the official lists name all that exists.
    """
    splits, days, scene_ids = splits_of(source, root), vehicle_days or {}, sorted(scene_ids)
    own = (root / "splits.json").is_file()
    if own and (absent := sorted(splits.keys() - set(scene_ids))):
        named = f"{len(absent)} recordings that are not there ({', '.join(absent[:3])}{', ...' * (len(absent) > 3)})"
        raise DataError(f"{root / 'splits.json'}: names {named}; drop them from the list, or add them")
    lists = "splits.json" if own else "the official split lists"
    return [
        Recording(source, scene_id, splits[scene_id], days.get(scene_id, ""))
        if scene_id in splits
        else Rejected(f"not in {lists}", scene_id)
        for scene_id in scene_ids
    ]

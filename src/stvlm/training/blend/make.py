"""A blend's samples: exactly as many of each data set as are asked for, the same ones on every machine."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from tqdm import tqdm

from stvlm.files import locked, read_json, write_json, write_text
from stvlm.hashing import code_version, stable_hash
from stvlm.questions.asking import frames_told
from stvlm.records import DataError, Rejected
from stvlm.training.blend.conversations import read_conversations
from stvlm.training.blend.llava_video import LlavaVideo
from stvlm.training.blend.media import Media, Shown
from stvlm.training.blend.open_spatial import read_open_spatial
from stvlm.training.blend.rows import Reader, Row
from stvlm.training.recipe import Blend, BlendSource
from stvlm.training.samples import Sample, open_samples, write_samples

MANIFEST = "blend.json"
"""Beside the samples: what was asked for, taken and left out, from which files, under which terms."""
REPEATED = "the same conversation again"
READERS: dict[str, Callable[[Path, Path | None, Path], Reader]] = {
    "llava_video": LlavaVideo,
    "open_spatial": read_open_spatial,
    "conversations": read_conversations,
}
THREADS = 4 * (os.cpu_count() or 1)
"""That look at media: they wait for the disk most of the time."""
BATCH = 256
"""Media that are looked at ahead of what is asked for, at most."""


class Missing(Rejected):
    """A row whose medium, the subject, is nowhere."""


LeftOut = dict[str, dict[str, Any]]
"""How often each reason held, and where first."""


def make_samples(blend: Blend, stkit: datasets.Dataset, seed: int, work: Path) -> datasets.Dataset:
    """STKit's samples, and after them those of each source of the blend, in a table that stays on disk.

    Any number of processes may call this at once: one makes the samples while the others wait. What was made before
    from the same lists for the same recipe is not made again, nor is a video looked at again that was looked at
    before, also where a run was killed.

    Args:
        blend: how many conversations of what.
        stkit: as `samples.write_samples` gives it.
        seed: of the choice among more conversations than are asked for.
        work: a folder for the samples, their manifest, and what was seen of their media.

    Raises DataError where a list cannot be read, or a source has too few conversations.
    """
    with locked(work / "lock", wait=True):
        made = [_samples_of(name, source, blend.max_frames, seed, work) for name, source in blend.sources.items()]
    return datasets.concatenate_datasets([stkit, *made])


def _samples_of(name: str, source: BlendSource, max_frames: int, seed: int, work: Path) -> datasets.Dataset:
    folder = None if source.media is None else Path(source.media)
    reader = READERS[source.reader](Path(source.path), folder, work / "unpacked")
    made_of = {
        **dataclasses.asdict(source),
        "max_frames": max_frames,
        "seed": seed,
        "lists": [_state(path) for path in reader.lists],
        "code": code_version(),
    }
    manifest = read_json(work / MANIFEST) if (work / MANIFEST).exists() else {}
    place = work / f"{name}.arrow"
    if manifest.get(name, {}).get("made_of") == made_of and place.exists():
        return open_samples(place)
    if manifest.pop(name, None) is not None:  # where this is stopped, it would speak of other samples than are there
        write_json(work / MANIFEST, manifest)
    left_out: LeftOut = {}
    with closing(Media(work / "media.jsonl", max_frames)) as media:
        samples = _choose(name, source, reader, media, seed, left_out, work / f"{name}_missing.txt")
        table = write_samples(samples, place)
    manifest[name] = {
        "made_of": made_of,
        "listed": len(reader),
        "taken": len(table),
        "left_out": left_out,
        "licence": source.licence or reader.licence,
        "sha256": {str(path): _sha256(path) for path in reader.lists},
    }
    write_json(work / MANIFEST, manifest)
    return table


def _choose(
    name: str, source: BlendSource, reader: Reader, media: Media, seed: int, left_out: LeftOut, missing: Path
) -> Iterator[Sample]:
    """As many samples as are asked for. What was left out until the last of them is counted into `left_out`.

    Where there are too few, `missing` is written: the media that would be taken if they were there.
    """
    order = _rank(name, reader, seed, left_out)
    taken, wanted = 0, dict[str, None]()
    bar = tqdm(total=source.count, desc=f"{name}: media", unit="conversation", mininterval=0.5)
    with bar, closing(_look_at(name, reader, order, media)) as looked_at:
        for place, (index, found) in enumerate(looked_at):
            if isinstance(found, Sample):
                yield found
                taken += 1
                bar.update()
                if taken == source.count:
                    return
            else:
                _leave_out(left_out, reader, index, found)
                if isinstance(found, Missing) and place < source.count:
                    wanted[found.subject] = None
    reasons = "".join(f"; {entry['count']}: {reason} (as {entry['first']})" for reason, entry in left_out.items())
    if wanted:
        write_text(missing, "".join(f"{medium}\n" for medium in wanted))
        reasons += f"; {missing} names the {len(wanted)} missing media that would be taken first"
    raise DataError(
        f"{source.path}: has {taken} conversations for {name}, and {source.count} are asked for; mend what is wrong "
        f"with the others, or take a smaller count{reasons}"
    )


def _look_at(
    name: str, reader: Reader, order: Sequence[int], media: Media
) -> Generator[tuple[int, Sample | Rejected], None, None]:
    """Rows in an order, some ahead of what is asked for, each as the sample that it is or why it is none."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            yield from zip(some, pool.map(lambda index: _sample(name, reader[index], media), some), strict=True)


def _rank(name: str, reader: Reader, seed: int, left_out: LeftOut) -> Sequence[int]:
    """Numbers of the rows that may be taken, in an order that follows from what they say and the seed alone."""
    ranks, numbers = array("Q"), array("Q")
    for index in tqdm(range(len(reader)), desc=f"{name}: list", unit="conversation", mininterval=0.5):
        row = reader[index]
        if isinstance(row, Rejected):
            _leave_out(left_out, reader, index, row)
        else:
            ranks.append(int(stable_hash(seed, _identity(row))[:16], 16))
            numbers.append(index)
    order = np.argsort(ranks, kind="stable")
    is_new = np.diff(np.asarray(ranks)[order], prepend=np.uint64(0)) != 0
    for index in np.asarray(numbers)[order[~is_new]]:
        _leave_out(left_out, reader, int(index), Rejected(REPEATED))
    return array("Q", np.asarray(numbers)[order[is_new]])


def _identity(row: Row) -> str:
    return stable_hash(row.medium, row.name, *chain.from_iterable(row.turns))[:20]


def _sample(name: str, row: Row | Rejected, media: Media) -> Sample | Rejected:
    """A row as it is trained on, once its medium has been looked at."""
    if isinstance(row, Rejected):
        return row
    shown, path = Shown([], []), ""
    if row.medium:
        place = next((place for place in row.places if place.exists()), None)
        if place is None:
            return Missing(row.if_missing, row.name)
        looked_at = media(row.medium, place)
        if isinstance(looked_at, Rejected):
            return looked_at
        shown, path = looked_at, str(place)
    turns = list(row.turns)
    if row.medium == "video":
        turns[0] = turns[0]._replace(prompt=f"{frames_told(shown.times_s)} {turns[0].prompt}")
    return Sample(_identity(row), name, row.medium, path, shown.times_s, shown.frame_indices, [turns])


def _leave_out(left_out: LeftOut, reader: Reader, index: int, rejected: Rejected) -> None:
    """Counts a row under its reason, and keeps which was the first."""
    if rejected.reason not in left_out:
        left_out[rejected.reason] = {
            "count": 0,
            "first": ": ".join(filter(None, [reader.where(index), rejected.subject])),
        }
    left_out[rejected.reason]["count"] += 1


def _state(path: Path) -> list[Any]:
    try:
        return [str(path), path.stat().st_size, path.stat().st_mtime_ns]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); fetch it, or mend its path in the blend"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

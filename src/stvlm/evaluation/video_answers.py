"""A model's answers to questions about videos from annotation files."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from stvlm.dataset.video import draw_outline, outline_px
from stvlm.evaluation.answering import fingerprint
from stvlm.evaluation.backends.transformers import TransformersModel
from stvlm.evaluation.frames import Sample, sample, spread
from stvlm.evaluation.versions import versions
from stvlm.evaluation.video_tasks import Read, VideoRow, prompt_of, score_rows
from stvlm.files import read_json, write_json
from stvlm.records import DataError

RUN = "run.json"
"""Beside the responses: who gave them."""
_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi")
_IMAGES_PER_SECOND = 3
_NEAREST_IMAGES = 3  # a box is drawn on images so near to its own: of TVQA+'s every sixth has boxes
_MAX_NEW_TOKENS = 64


def ask(model: str, task: str, read: Read, videos: Path, max_frames: int, out: Path, limit: int | None = None) -> None:
    """A model's answers to rows whose videos are there, and their scores, as responses.jsonl and results.json in `out`.

    What is answered there already, by the same model from as many frames, is not asked again. Raises DataError.
    """
    rows = [row for row in read.rows if find(videos, row) is not None][:limit]
    if not rows:
        raise DataError(f"{videos}: holds none of the {len(read.rows)} videos that the annotations of {task} are about")
    identity = {"model": fingerprint(model), "max_frames": max_frames}
    if (out / RUN).exists() and read_json(out / RUN) != identity:
        raise DataError(f"{out}: holds responses of another model or number of frames; choose another --out")
    answerer = TransformersModel(model, _MAX_NEW_TOKENS)
    write_json(out / RUN, identity)
    place = out / "responses.jsonl"
    answers = _answers_in(place)
    with place.open("a", encoding="utf-8") as file:
        for row in tqdm([row for row in rows if row.id not in answers], unit="answer", desc=task):
            clip = show(videos, row, max_frames)
            (answers[row.id],) = answerer.generate([[clip.frames]], [clip.times_s], [prompt_of(row, clip.times_s)])
            file.write(json.dumps({"id": row.id, "response": answers[row.id]}, ensure_ascii=False) + "\n")
            file.flush()
    results = {
        "scores": score_rows(rows, [answers[row.id] for row in rows]),
        "rows": {"scored": len(rows), "without video": sum(find(videos, row) is None for row in read.rows)},
        "left out": dict(read.rejected),
        "versions": versions(),
        "command": shlex.join(sys.argv),
    }
    write_json(out / "results.json", results)


def find(videos: Path, row: VideoRow) -> Path | None:
    """A row's folder of images or, where it needs none, its video file; None where it is not there."""
    if (videos / row.video).is_dir():
        return videos / row.video
    paths = (videos / f"{row.video}{suffix}" for suffix in _SUFFIXES)
    return next((path for path in paths if path.is_file() and not row.boxes_px), None)


def show(videos: Path, row: VideoRow, most: int) -> Sample:
    """At most `most` frames of a row's video, with the region that it asks about outlined. Raises DataError."""
    path = find(videos, row)
    if path is None:
        raise DataError(f"{videos}: has no {row.video}")
    return sample(path, most) if path.is_file() else _images(path, row, most)


def _images(folder: Path, row: VideoRow, most: int) -> Sample:
    paths = sorted(folder.rglob("*.jpg"), key=lambda path: path.name)
    if not paths:
        raise DataError(f"{folder}: holds no images; unpack it again")
    boxed = [number for number, path in enumerate(paths) if path.stem in row.boxes_px]
    if row.boxes_px and not boxed:
        raise DataError(f"{folder}: has no image {min(row.boxes_px)}, which is annotated; unpack all of them")
    numbers = _with_one_of(boxed, spread(len(paths), most))
    frames = []
    for number in numbers:
        try:
            image = np.array(Image.open(paths[number]).convert("RGB"))
        except OSError as error:
            raise DataError(f"{paths[number]}: is no image; unpack it again") from error
        nearest = _nearest(boxed, number)
        if nearest is not None:
            box_px = np.array(row.boxes_px[paths[nearest].stem])
            draw_outline(image, box_px, "red", outline_px(image.shape[1], image.shape[0]))
        frames.append(torch.from_numpy(image).permute(2, 0, 1))
    return Sample(torch.stack(frames), [number / _IMAGES_PER_SECOND for number in numbers])


def _nearest(boxed: list[int], number: int) -> int | None:
    """The image with a box that is nearest to one, if near enough."""
    return min(
        (other for other in boxed if abs(other - number) <= _NEAREST_IMAGES),
        key=lambda other: abs(other - number),
        default=None,
    )


def _with_one_of(boxed: list[int], numbers: list[int]) -> list[int]:
    """The numbers of images; where none is near one with a box, one of these takes the place of that nearest to it."""
    if not boxed or any(_nearest(boxed, number) is not None for number in numbers):
        return numbers
    middle = boxed[len(boxed) // 2]
    instead = min(numbers, key=lambda number: abs(number - middle))
    return sorted({*numbers, middle} - {instead})


def _answers_in(place: Path) -> dict[str, str]:
    """What a file of responses holds, by row, but for a last line that was cut off. Raises DataError."""
    if not place.exists():
        return {}
    whole = place.read_bytes().rpartition(b"\n")[0]
    place.write_bytes(whole + b"\n" if whole else b"")
    try:
        return {line["id"]: line["response"] for line in map(json.loads, whole.splitlines())}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place}: holds a line that is no response; remove the line or the file") from error

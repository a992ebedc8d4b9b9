"""Boxes and masks that people or a tracker have put into a file: MOTChallenge's text, and COCO's JSON of a video.

    MOTChallenge   frame, id, left, top, width, height, flag, class, visibility      ground truth: 9 columns; the class
                                                                                     is its number, or a name: truck
                   frame, id, left, top, width, height, confidence, -1, -1, -1       a tracker's: 7, 8 or 10
    COCO           videos, images with a frame_id, annotations with a track_id or instance_id; RLE, polygons or no masks

MOTChallenge counts frames and pixels from 1, COCO pixels from the image's corner: both are moved so that the middle of
a pixel has whole coordinates. Boxes are cut at the image's border; what is left out is counted, by reason. Whether an
object is truncated or occluded is told from boxes and masks where the file does not say it. MOTChallenge's people were
told to draw what is hidden as well, and to say how much of a box is visible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from stvlm.programs import first_line
from stvlm.pseudo_labels.artefacts import Footage, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.artefacts import decode_mask as decoded
from stvlm.pseudo_labels.objects.classes import CATEGORY_OF, category_of
from stvlm.pseudo_labels.objects.finishing import COVERED, flagged, mask_and_box
from stvlm.pseudo_labels.objects.matching import vote
from stvlm.recipes import nearest
from stvlm.records import CATEGORIES, Array, DataError

MOT_CLASSES: Mapping[int, str] = {1: "person", 2: "person", 3: "car", 4: "bicycle", 5: "motorcycle", 7: "person"}
"""Classes of MOT16 to MOT20 (2: on a vehicle, 7: does not move); the others are distractors, occluders and crowds."""
GUESSED_FOOT = 0.05
"""One standard deviation of where people draw a foot that they do not see, as a share of the box's height: 9 cm of a
person's."""
LEAST_PX = 1.0
"""A box that is less wide or high inside the image is none."""


class _Row(NamedTuple):
    """An object in a frame."""

    frame: int
    track_id: str
    category: str
    box_px: Array  # (4,)
    score: float = 1.0
    truncated: bool = False
    occluded: bool = False
    mask: Array | None = None  # run lengths (R,): those of a minute's video as pixels would fill the memory


def read_mot(
    path: Path,
    footage: Footage,
    category: str | None = None,
    classes: Mapping[int, str] = MOT_CLASSES,
) -> tuple[ObjectTracks, Counter[str]]:
    """The boxes of a MOTChallenge file of the video whose frames these are, and what is left out, by reason.

    Args:
        path: the file, gt.txt or a tracker's.
        footage: the video's frames: number 1 in the file is the first.
        category: of all boxes, where the file names no class, as those of trackers do not.
        classes: which category each number of a class is; what is not among them is left out.

    Raises DataError.
    """
    if category is not None and category not in CATEGORIES:
        raise DataError(f"category {category!r} is not one of {', '.join(CATEGORIES)}")
    left_out: Counter[str] = Counter()
    rows = []
    says_occluded = False
    for where, values, name in _mot_lines(path):
        frame, track_id = (_whole(where, value) for value in values[:2])
        if not 1 <= frame <= len(footage.times_s):
            frames = f"frame {frame} of a video of {len(footage.times_s)}"
            raise DataError(f"{where}: {frames}; give the file of this video, and its frames at their own rate")
        if track_id < 0:
            raise DataError(f"{where}: a detection without an id; give the file of a tracker or of ground truth")
        left, top, width, height = values[2:6]
        box_px = np.array([left - 1.5, top - 1.5, left - 1.5 + width, top - 1.5 + height])
        confidence = values[6] if len(values) > 6 else 1.0
        kind, occluded = category, False
        if len(values) == 9:
            says_occluded = True
            occluded = values[8] < 1 - COVERED
            kind = CATEGORY_OF[name] if name is not None else classes.get(_whole(where, values[7]))
            if not confidence or kind is None:
                left_out["not to be considered" if not confidence else "of a class that is not asked for"] += 1
                continue
            confidence = 1.0
        elif kind is None:
            raise DataError(f"{where}: names no class; give nine columns, with the class in the eighth")
        score = 1.0 if confidence == -1 else confidence
        if not 0 <= score <= 1:
            raise DataError(f"{where}: confidence {score:g} is not in 0..1; scale the column")
        rows.append(_Row(frame - 1, str(track_id), kind, box_px, score, occluded=occluded))
    return _object_tracks(
        path,
        footage,
        rows,
        left_out,
        truncated=False,
        occluded=says_occluded,
        hidden_foot=GUESSED_FOOT if says_occluded else None,
    )


class _Video(msgspec.Struct):
    id: int | str
    name: str = ""
    file_name: str = ""


class _Image(msgspec.Struct):
    id: int | str
    width: int
    height: int
    video_id: int | str | None = None
    frame_id: int | None = None
    frame_index: int | None = None
    file_name: str = ""


class _Category(msgspec.Struct):
    id: int
    name: str


class _Runs(msgspec.Struct):
    size: tuple[int, int]  # height, width
    counts: str | list[int]


class _Annotation(msgspec.Struct):
    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    track_id: int | str | None = None
    instance_id: int | str | None = None
    segmentation: _Runs | list[list[float]] | None = None
    score: float = 1.0
    iscrowd: int = 0
    truncated: bool | int | None = None
    occluded: bool | int | None = None


class _Coco(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]
    videos: list[_Video] = []


def read_coco(path: Path, footage: Footage, video: str | None = None) -> tuple[ObjectTracks, Counter[str]]:
    """The boxes and masks of one video of a COCO file, and what is left out, by reason.

    Args:
        path: the file.
        footage: the video's frames, as many as the file has images of it.
        video: its name or id in the file, where that holds several and none is called as the footage is.

    Raises DataError.
    """
    try:
        coco = msgspec.json.decode(path.read_bytes(), type=_Coco)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        cure = "give COCO's JSON with images, annotations and categories"
        raise DataError(f"{path}: does not read ({first_line(error)}); {cure}") from error
    frame_of = _frames(path, coco, footage, video)
    names = {category.id: category.name for category in coco.categories}
    left_out: Counter[str] = Counter()
    rows = []
    mine = [it for it in coco.annotations if it.image_id in frame_of]
    for number, it in enumerate(coco.annotations, start=1):
        if it.image_id not in frame_of:
            continue
        where = f"{path}, annotation {number}"
        track_id = it.track_id if it.track_id is not None else it.instance_id
        if track_id is None:
            raise DataError(f"{where}: has neither track_id nor instance_id; give annotations of a video")
        if it.category_id not in names:
            raise DataError(f"{where}: category {it.category_id} is not among the file's categories; add it there")
        if not 0 <= it.score <= 1:
            raise DataError(f"{where}: score {it.score:g} is not in 0..1; scale it")
        if it.iscrowd:
            left_out["a crowd"] += 1
            continue
        x, y, width, height = it.bbox
        box_px = np.array([x - 0.5, y - 0.5, x - 0.5 + width, y - 0.5 + height])
        pixels = _mask(where, it.segmentation, footage.image_size_px)
        mask, box_px = (None if pixels is None else mask_and_box(pixels)) or (None, box_px)
        category = category_of(names[it.category_id])
        flags = (bool(it.truncated), bool(it.occluded))
        rows.append(_Row(frame_of[it.image_id], str(track_id), category, box_px, it.score, *flags, mask))
    truncated, occluded = (
        bool(mine) and all(getattr(it, flag) is not None for it in mine) for flag in ("truncated", "occluded")
    )
    return _object_tracks(path, footage, rows, left_out, truncated, occluded)


def decompressed(text: str) -> Array:
    """Run lengths (R,) int64 of COCO's compressed string; raises ValueError.

    Five bits a character, the lowest first; the sixth says that more follow. From the fourth on, a number is the
    difference to the one two before.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} is no character of run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)  # the last one's highest bit is the sign
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise ValueError("the run lengths are cut off")
    return np.array(counts, dtype=np.int64)


def _mot_lines(path: Path) -> Iterator[tuple[str, list[float], str | None]]:
    """("file, line 1", its numbers, the name of a class where that is none) for each line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: does not read ({error}); give a MOTChallenge file") from error
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        words = line.split(",")
        name = words[7].strip().lower() if len(words) == 9 else None
        if name in CATEGORY_OF:
            words[7] = "0"
        elif name and name[0].isalpha() and name != "nan":
            raise DataError(f"{where}: class {name!r} is not known{nearest(name, CATEGORIES)}")
        else:
            name = None
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            raise DataError(f"{where}: {first_line(error)}; give numbers between commas") from error
        if not 6 <= len(values) <= 10 or not np.isfinite(values).all():
            wanted = "frame, id, left, top, width, height and up to four columns more"
            raise DataError(f"{where}: has not the columns {wanted}; give a MOTChallenge file")
        yield where, values, name


def _whole(where: str, value: float) -> int:
    if not value.is_integer():
        raise DataError(f"{where}: {value:g} is no whole number; give frame, id and class as such")
    return int(value)


def _frames(path: Path, coco: _Coco, footage: Footage, video: str | None) -> dict[int | str, int]:
    """The frame of each image of the video, by the image's id."""
    images = coco.images
    if coco.videos:
        wanted = video if video is not None else footage.video_id
        named = [it for it in coco.videos if wanted in (str(it.id), it.name, it.file_name, Path(it.file_name).stem)]
        if video is None and len(coco.videos) == 1:
            named = coco.videos
        if len(named) != 1:
            count = f"{len(named) or 'no'} of its {len(coco.videos)} videos"
            raise DataError(f"{path}: {count} is called {wanted!r}; give a video's name or id")
        images = [it for it in images if it.video_id == named[0].id]
    width, height = footage.image_size_px
    for it in images:
        if (it.width, it.height) != (width, height):
            found = f"image {it.id} is {it.width} x {it.height}, the video {width} x {height}"
            raise DataError(f"{path}: {found}; give annotations of the video at its own size")
    if len(images) != len(footage.times_s):
        found = f"has {len(images)} images of video {footage.video_id!r}, which has {len(footage.times_s)} frames"
        raise DataError(f"{path}: {found}; give one image for each frame, with or without annotations")
    numbered = {it.id: it.frame_id if it.frame_id is not None else it.frame_index for it in images}
    if None in numbered.values() or len(set(numbered.values())) != len(numbered):
        found = "an image without a frame_id, or two with the same"
        raise DataError(f"{path}: {found}; number the images of video {footage.video_id!r} in their order")
    in_order = sorted((number, name) for name, number in numbered.items() if number is not None)
    return {name: k for k, (_, name) in enumerate(in_order)}


def _mask(where: str, segmentation: _Runs | list[list[float]] | None, image_size_px: tuple[int, int]) -> Array | None:
    """The mask (H, W) of a segmentation; None where there is none."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        for polygon in segmentation:
            if len(polygon) < 6 or len(polygon) % 2:
                raise DataError(f"{where}: a polygon of {len(polygon)} numbers; give x and y of three corners or more")
        parts = [_filled(np.reshape(it, (-1, 2)) - 0.5, image_size_px) for it in segmentation]
        return np.asarray(np.any(parts, axis=0))
    try:
        text = segmentation.counts
        counts = decompressed(text) if isinstance(text, str) else np.array(text, dtype=np.int64)
    except ValueError as error:
        raise DataError(f"{where}: {error}; write the mask again") from error
    width, height = image_size_px
    if segmentation.size != (height, width) or (counts < 0).any() or counts.sum() != width * height:
        size = f"{width} x {height}"
        raise DataError(f"{where}: its mask is of another size than the image, {size}; write the mask again")
    return decoded(counts, image_size_px)


def _filled(corners_px: Array, image_size_px: tuple[int, int]) -> Array:
    """The pixels (H, W) bool whose middle is inside a polygon (P, 2): from which an odd number of sides lies right."""
    columns, rows = np.arange(image_size_px[0]), np.arange(image_size_px[1])
    inside = np.zeros((len(rows), len(columns)), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners_px, np.roll(corners_px, -1, axis=0), strict=True):
        meets = (y0 > rows) != (y1 > rows)
        if meets.any():
            at = x0 + (rows[meets, None] - y0) * (x1 - x0) / (y1 - y0)
            inside[meets] ^= columns < at
    return inside


def _object_tracks(
    path: Path,
    footage: Footage,
    rows: Sequence[_Row],
    left_out: Counter[str],
    truncated: bool,
    occluded: bool,
    hidden_foot: float | None = None,
) -> tuple[ObjectTracks, Counter[str]]:
    """Tracks in the order in which they come into view; `truncated` and `occluded`: whether the file says it."""
    n, image_px = len(footage.times_s), np.array(footage.image_size_px)
    kept: dict[str, dict[int, tuple[_Row, Array]]] = {}
    for row in sorted(rows, key=lambda row: row.frame):
        box_px = np.clip(row.box_px, -0.5, np.tile(image_px - 0.5, 2))
        if (box_px[2:] - box_px[:2] < LEAST_PX).any():
            left_out["a box without a size in the image"] += 1
        elif row.frame in kept.setdefault(row.track_id, {}):
            left_out["a second box in one frame"] += 1
        else:
            kept[row.track_id][row.frame] = row, box_px
    tracks = []
    for track_id, frames in kept.items():
        boxes_px, score = np.full((n, 4), np.nan), np.zeros(n)
        cut, hidden = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        masks: list[Array | None] = [None] * n
        for k, (row, box_px) in frames.items():
            boxes_px[k], score[k], masks[k] = box_px, row.score, row.mask
            cut[k], hidden[k] = row.truncated, row.occluded
        if not frames:
            continue
        category, _ = vote([row.category for row, _ in frames.values()], [1.0] * len(frames))
        some = tuple(masks) if any(mask is not None for mask in masks) else None
        tracks.append(ObjectTrack(track_id, category, boxes_px, score, cut, hidden, some, hidden_foot))
    made_by = Provenance(tool="annotations")
    objects = ObjectTracks(footage.times_s, footage.image_size_px, tuple(tracks), made_by)
    return flagged(objects, truncated=not truncated, occluded=not occluded), +left_out

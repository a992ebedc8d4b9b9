"""Pseudo-labels that a vision language model has looked at: what it sees a mistake in is left out.

A detector and a tracker make mistakes that no sigma tells of: a box that goes over from one car to the next, a
bicycle that is a pram. The model is shown a few frames of each track, and is not asked where the object went.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from stvlm.chat_api import Endpoint, Messages, complete
from stvlm.dataset.video import draw_outline, outline_px
from stvlm.files import check_movable, locked, made_anew, write_json
from stvlm.pseudo_labels.output import LEFT_OUT, REPORT
from stvlm.recording_folder import FILES
from stvlm.records import Array, DataError, ImageError, Recording, Rejected, Scene
from stvlm.sources.video_folder import VideoFolder, read_recording

JUDGED = "judged.csv"
UNREADABLE = "unreadable answer"
MOST_PICTURES = 4
MOST_SIDE_PX = 512
SURROUNDING = 2.5
"""Side of a picture, in longer sides of the box: what is around an object tells what it is."""
LEAST_SURROUNDING_PX = 96
"""Of an object far away."""

_NAMED = {"animal": "an animal", "vehicle": "a motor vehicle"}
FAULTS = ("not the same object in every picture", "another category", "the box does not fit")
"""What is wrong with a track where a model says false, in the order of `Said`; one may have several."""
_PROMPT = """\
Each picture is a part of a frame of one video, in order of time. A tracker drew the red box around what it takes \
for {a}.
same_object: is the same object inside the red box in every picture?
category: is that object {a}?
box: does the red box fit around it in every picture, neither much too large nor without a part that is in view? \
A rider may be inside or not.
Answer with a JSON object and nothing else: {{"same_object": true or false, "category": true or false, \
"box": true or false}}"""


class Said(NamedTuple):
    """A model's answer about a track."""

    same_object: bool
    category: bool
    box: bool


class Judgement(NamedTuple):
    """What became of a track."""

    recording: str
    track_id: str
    category: str
    said: Said | None = None
    failure: str = ""
    """Why it was not judged."""

    @property
    def kept(self) -> bool:
        """Whether nothing speaks against it; what was not judged is kept."""
        return self.said is None or all(self.said)


def judge(labelled: Path, out: Path, endpoint: Endpoint, replies: Path) -> list[Judgement]:
    """Writes `out`: the recordings of `labelled` without the tracks in which a model sees a mistake.

    Args:
        labelled: folder that pseudo_label.py wrote.
        out: appears when all is there.
        endpoint: whom to ask.
        replies: folder that keeps what was answered: that is not asked for again.

    Returns what became of each track. Raises DataError, also where no track is left.
    """
    if not (labelled / REPORT).is_file():
        raise DataError(f"{labelled}: has no {REPORT}; give a folder that pseudo_label.py wrote")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not empty; choose another --out, or remove it")
    check_movable(out)
    recordings = _recordings(labelled)
    with locked(replies / "lock"), made_anew(out) as new:
        judgements = _ask(labelled, recordings, endpoint, replies)
        if not any(judgement.kept for judgement in judgements):
            raise DataError(f"{endpoint.model}: leaves no track of {len(judgements)}; try another model")
        _write(labelled, recordings, judgements, new)
    return judgements


def _recordings(labelled: Path) -> list[Recording]:
    found = []
    for recording in VideoFolder("video_folder", labelled).recordings():
        if isinstance(recording, Rejected):
            raise DataError(f"{labelled}: {recording.subject} is {recording.reason}; label it again, or remove it")
        found.append(recording)
    return found


def _ask(labelled: Path, recordings: Sequence[Recording], endpoint: Endpoint, replies: Path) -> list[Judgement]:
    """What becomes of each track, in the order of recordings and tracks."""
    judgements: list[Judgement] = []
    asked: list[int] = []  # which judgement a request is about

    def requests() -> Iterator[Messages]:
        for recording in tqdm(recordings, "judging", unit="recording", leave=False, disable=None):
            scenes = read_recording(labelled / recording.scene_id, recording)
            shown = pictures(scenes[0]) if scenes else {}  # pseudo-labels have one camera
            for track in scenes[0].tracks if scenes else ():
                judgements.append(Judgement(recording.scene_id, track.track_id, track.category))
                if track.category == "other":  # of which there is nothing to say
                    judgements[-1] = judgements[-1]._replace(failure="category other")
                elif not shown[track.track_id]:
                    judgements[-1] = judgements[-1]._replace(failure="no image of it")
                else:
                    asked.append(len(judgements) - 1)
                    yield as_request(track.category, shown[track.track_id])

    for number, reply in complete(endpoint, requests(), replies):
        said = None if reply.text is None else read_reply(reply.text)
        failure = f"no reply: {reply.failure}" if reply.text is None else UNREADABLE
        index = asked[number]
        judgements[index] = judgements[index]._replace(said=said, failure="" if said else failure)
    return judgements


def pictures(scene: Scene) -> dict[str, list[Array]]:
    """For each track's id up to four pictures (H, W, 3) uint8 RGB of it, in order; each frame is read once."""
    shown: dict[str, list[Array]] = {track.track_id: [] for track in scene.tracks}
    if scene.frames is None:
        return shown
    there = scene.frames.available()
    boxes_px = scene.boxes_px or {}
    wanted: dict[int, list[str]] = {}
    for track_id, of_track in boxes_px.items():
        frames = np.flatnonzero(there & ~np.isnan(of_track).any(axis=1))
        picked = np.linspace(0, len(frames) - 1, min(MOST_PICTURES, len(frames))).round().astype(int)
        for frame in frames[picked]:
            wanted.setdefault(int(frame), []).append(track_id)
    for frame in sorted(wanted):
        try:
            image = scene.frames.read(frame)
        except ImageError:  # the others tell of the track
            continue
        for track_id in wanted[frame]:
            shown[track_id].append(picture(image, boxes_px[track_id][frame]))
    return shown


def picture(image: Array, box_px: Array) -> Array:
    """What is around a box (4,) in an image (H, W, 3) uint8, with the box in red, MOST_SIDE_PX a side at most."""
    height, width = image.shape[:2]
    centre = (box_px[:2] + box_px[2:]) / 2
    half = max(SURROUNDING * (box_px[2:] - box_px[:2]).max(), LEAST_SURROUNDING_PX) / 2
    x0, y0 = np.floor(np.clip(centre - half, 0, (width - 1, height - 1))).astype(int)
    x1, y1 = np.ceil(np.clip(centre + half, (x0 + 1, y0 + 1), (width, height))).astype(int)
    part = Image.fromarray(image[y0:y1, x0:x1])
    part.thumbnail((MOST_SIDE_PX, MOST_SIDE_PX))
    scale = (part.width / (x1 - x0), part.height / (y1 - y0))
    drawn = np.array(part)
    draw_outline(drawn, (box_px - (x0, y0, x0, y0)) * (*scale, *scale), "red", outline_px(part.width, part.height))
    return drawn


def as_request(category: str, shown: Sequence[Array]) -> Messages:
    """Asks what a track's pictures show."""
    parts: list[dict[str, object]] = [
        {"type": "image_url", "image_url": {"url": _as_data_url(image)}} for image in shown
    ]
    asks = _PROMPT.format(a=_NAMED.get(category, f"a {category}"))
    return [{"role": "user", "content": [*parts, {"type": "text", "text": asks}]}]


def _as_data_url(image: Array) -> str:
    buffer = io.BytesIO()
    # Colour at full resolution: an outline of two pixels is faint otherwise.
    Image.fromarray(image).save(buffer, "JPEG", quality=90, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def read_reply(reply: str) -> Said | None:
    """What a reply says, after its reasoning; None for one in another form."""
    text = reply.rpartition("</think>")[2]
    try:
        said = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except (ValueError, RecursionError):
        return None
    if said.keys() != set(Said._fields) or not all(isinstance(value, bool) for value in said.values()):
        return None
    return Said(**said)


def _write(labelled: Path, recordings: Sequence[Recording], judgements: Sequence[Judgement], new: Path) -> None:
    kept: dict[str, list[str]] = {}
    for judgement in judgements:
        if judgement.kept:
            kept.setdefault(judgement.recording, []).append(judgement.track_id)
    for name, track_ids in kept.items():
        _place(labelled / name, track_ids, new / name)
    splits: dict[str, list[str]] = {}
    for recording in recordings:
        if recording.scene_id in kept:
            splits.setdefault(recording.split, []).append(recording.scene_id)
    write_json(new / "splits.json", splits)
    for name in (REPORT, LEFT_OUT):
        if (labelled / name).exists():
            shutil.copyfile(labelled / name, new / name)
    with (new / JUDGED).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("recording", "track_id", "category", "same_object", "category_ok", "box", "kept"))
        for recording_id, track_id, category, said, _ in judgements:
            values = (*(said or (None, None, None)), said is None or all(said))
            table.writerow((recording_id, track_id, category, *map(_as_word, values)))


def _as_word(value: bool | None) -> str:
    return "" if value is None else str(value).lower()


def _place(recording: Path, track_ids: Sequence[str], place: Path) -> None:
    """A recording with these of its tracks, and links to its images."""
    place.mkdir(parents=True)
    for path in recording.iterdir():
        if path.name not in FILES:
            (place / path.name).symlink_to(path.resolve())
        elif path.name in ("tracks.parquet", "boxes.parquet"):
            table = pq.ParquetFile(path).read()
            pq.write_table(table.filter(pc.is_in(table["track_id"], pa.array(track_ids))), place / path.name)
        else:
            shutil.copyfile(path, place / path.name)


def as_text(judgements: Sequence[Judgement]) -> str:
    """What became of the tracks, for people."""
    faults = Counter(
        fault
        for judgement in judgements
        if judgement.said
        for fault, fine in zip(FAULTS, judgement.said, strict=True)
        if not fine
    )
    failures = Counter(judgement.failure for judgement in judgements if judgement.failure)
    left_out = sum(not judgement.kept for judgement in judgements)
    recordings, kept = ({j.recording for j in judgements if j.kept >= least} for least in (False, True))
    return (
        f"{len(judgements)} tracks of {len(recordings)} recordings: {left_out} left out{_counted(faults)}, "
        f"{failures.total()} not judged and kept{_counted(failures)}; "
        f"{len(recordings) - len(kept)} recordings dropped, of which no track was left"
    )


def _counted(reasons: Counter[str]) -> str:
    told = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
    return f" ({told})" if told else ""

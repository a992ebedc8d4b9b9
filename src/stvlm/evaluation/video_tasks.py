"""Questions of other data sets, for the paper's Figure 6: when something happens, and what happens in a region.

The paper names data sets and scores (temporal grounding on ActivityNet Captions, Charades-STA and TVQA+ by mIoU and
R@0.3; region-aware questions on TVQA+ and DramaQA by accuracy), but neither its prompts nor how a region is given. Here
a region is outlined in red, as STKit shows an object, the name in the question makes way for it, and prompts begin as
STKit's do. Subtitles are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from stvlm.questions.asking import frames_told
from stvlm.records import DataError
from stvlm.scoring import Parsed, parse_answer, parse_target, score
from stvlm.scoring.text import scopes

LETTERS = "ABCDE"
LEAST_IOU = 0.3
NO_REGION = "nobody and nothing in a box is named in the question"

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the image."""
Row = TypeVar("Row")


class VideoRow(NamedTuple):
    """A question about a video."""

    id: str
    video: str
    """A file's name without its suffix, or a folder of images, under the folder of videos."""
    question: str
    target: str
    """Seconds such as "24.30-30.40" or, where there are choices, a letter."""
    choices: tuple[str, ...] = ()
    boxes_px: Mapping[str, Box] = {}
    """The region asked about, by the name of the image without its suffix."""


class Read(NamedTuple):
    """The rows of annotation files, and why others are none."""

    rows: list[VideoRow]
    rejected: Counter[str]


def read_charades_sta(folder: Path) -> Read:
    """charades_sta_test.txt, a line of which is `VIDEO START END##SENTENCE`. Raises DataError."""
    path, read = folder / "charades_sta_test.txt", Read([], Counter())
    for number, line in enumerate(_content(path).decode(errors="replace").splitlines(), 1):
        match = re.fullmatch(r"(\S+) (\d+\.?\d*) (\d+\.?\d*) ?##(.+)", line)
        if match is None:
            raise DataError(f"{path}: line {number} is not VIDEO START END##SENTENCE; fetch the file again")
        _add(read, f"{match[1]}-{number}", match[1], _when(match[4]), (float(match[2]), float(match[3])))
    return read


class _Captions(msgspec.Struct):
    timestamps: list[tuple[float, float]]
    sentences: list[str]


def read_activitynet_captions(folder: Path) -> Read:
    """val_1.json: by video, as many time spans as sentences. Raises DataError."""
    path, read = folder / "val_1.json", Read([], Counter())
    for video, captions in _decode(path, dict[str, _Captions]).items():
        if len(captions.timestamps) != len(captions.sentences):
            raise DataError(f"{path}: {video} has not as many timestamps as sentences; fetch the file again")
        for number, (span_s, sentence) in enumerate(zip(captions.timestamps, captions.sentences, strict=True)):
            _add(read, f"{video}-{number}", video, _when(sentence), span_s)
    return read


class _TVQABox(msgspec.Struct):
    label: str
    left: float
    top: float
    width: float
    height: float

    @property
    def corners_px(self) -> Box:
        return self.left, self.top, self.left + self.width, self.top + self.height


class _TVQA(msgspec.Struct):
    qid: int
    q: str
    a0: str
    a1: str
    a2: str
    a3: str
    a4: str
    answer_idx: str
    ts: tuple[float, float]
    vid_name: str
    bbox: dict[int, list[_TVQABox]]
    """By the number of the image, from 1; of the three images a second, every sixth."""


def read_tvqa_plus(folder: Path) -> Read:
    """tvqa_plus_val.json: of each question what the answer is, and when it is to be seen. Raises DataError."""
    path, read = folder / "tvqa_plus_val.json", Read([], Counter())
    for item in _decode(path, list[_TVQA]):
        named: dict[str, dict[str, Box]] = {}
        for number, boxes in item.bbox.items():
            for box in boxes:
                named.setdefault(box.label, {})[f"{number:05d}"] = box.corners_px
        region = _region(item.q, named)
        if region is None:
            read.rejected[NO_REGION] += 1
            continue
        question, boxes_px = region
        if item.answer_idx not in "01234":
            raise DataError(f"{path}: answer_idx {item.answer_idx!r} of question {item.qid} is not 0 to 4")
        answers = (item.a0, item.a1, item.a2, item.a3, item.a4)
        letter = LETTERS[int(item.answer_idx)]
        read.rows.append(VideoRow(f"{item.qid}-choice", item.vid_name, question, letter, answers, boxes_px))
        when = f'When is to be seen what answers this: "{question}"? Give the start and the end in seconds.'
        _add(read, f"{item.qid}-when", item.vid_name, when, item.ts, boxes_px)
    return read


class _Rect(msgspec.Struct):
    min_x: float | str
    min_y: float | str
    max_x: float | str
    max_y: float | str


class _PersonInfo(msgspec.Struct):
    full_rect: _Rect


class _Person(msgspec.Struct):
    person_id: str
    person_info: _PersonInfo


class _Image(msgspec.Struct):
    frame_id: str
    persons: list[_Person]


class _DramaQA(msgspec.Struct):
    qid: int
    que: str
    answers: list[str]
    correct_idx: int
    vid: str


def read_dramaqa(folder: Path) -> Read:
    """AnotherMissOhQA_val_set.json, and the boxes of AnotherMissOh_Visual.json. Raises DataError."""
    path, read = folder / "AnotherMissOhQA_val_set.json", Read([], Counter())
    items = _decode(path, list[_DramaQA])
    images = _decode(folder / "AnotherMissOh_Visual.json", dict[str, list[_Image]])
    by_scene: dict[str, list[_Image]] = {}
    for shot, of_shot in images.items():
        by_scene.setdefault(shot.rpartition("_")[0], []).extend(of_shot)
    first = _first_index(path, [item.correct_idx for item in items])
    for item in items:
        scene, _, shot = item.vid.rpartition("_")
        whole = shot == "0000"  # as the documentation says, a scene and no shot
        named: dict[str, dict[str, Box]] = {}
        for image in by_scene.get(scene, []) if whole else images.get(item.vid, []):
            for person in image.persons:
                rect = person.person_info.full_rect
                sides = rect.min_x, rect.min_y, rect.max_x, rect.max_y
                if all(isinstance(side, float) for side in sides):  # else "": the face alone is to be seen
                    named.setdefault(person.person_id, {})[image.frame_id.split("_", 3)[-1]] = sides  # type: ignore[assignment]
        region = _region(item.que, named)
        if region is None:
            read.rejected[NO_REGION] += 1
            continue
        video = (scene if whole else item.vid).replace("_", "/")
        letter = LETTERS[item.correct_idx - first]
        read.rows.append(VideoRow(str(item.qid), video, region[0], letter, tuple(item.answers), region[1]))
    return read


READERS: dict[str, Callable[[Path], Read]] = {
    "charades_sta": read_charades_sta,
    "activitynet_captions": read_activitynet_captions,
    "tvqa_plus": read_tvqa_plus,
    "dramaqa": read_dramaqa,
}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); it is one of the data set's annotation files"
        ) from error


def _decode(path: Path, kind: type[Row]) -> Row:
    try:
        return msgspec.json.decode(_content(path), type=kind)
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: is not the data set's annotation file ({error})") from error


def _first_index(path: Path, indices: Sequence[int]) -> int:
    """Whether answers are counted from 0, as the data set's code does, or from 1, as its documentation says."""
    least, most = min(indices, default=0), max(indices, default=0)
    if least == 0 and most <= 4:
        return 0
    if least >= 1 and most == 5:
        return 1
    raise DataError(
        f"{path}: correct_idx, from {least} to {most}, tells neither 0 to 4 nor 1 to 5; take the whole file"
    )


def _when(sentence: str) -> str:
    return f'When does this happen: "{sentence.strip()}"? Give the start and the end in seconds.'


def _add(
    read: Read, name: str, video: str, question: str, span_s: tuple[float, float], boxes_px: Mapping[str, Box] = {}
) -> None:
    target = f"{span_s[0]:.2f}-{span_s[1]:.2f}"
    try:
        parse_target("direction_timestamp", target)
    except ValueError:
        read.rejected["the time span is empty"] += 1
    else:
        read.rows.append(VideoRow(name, video, question, target, boxes_px=boxes_px))


def _region(question: str, named: Mapping[str, dict[str, Box]]) -> tuple[str, dict[str, Box]] | None:
    """The question with a box in place of the name that has the most boxes, and these."""
    for name in sorted(named, key=lambda name: (-len(named[name]), name)):
        shown = f"the {'person' if name[:1].isupper() else 'object'} in the red bounding box"
        asked, times = re.subn(rf"(?<!\w)(?:(?:the|a|an) )?{re.escape(name)}(?!\w)", shown, question, flags=re.I)
        if times:
            return asked[:1].upper() + asked[1:], named[name]
    return None


def prompt_of(row: VideoRow, times_s: Sequence[float]) -> str:
    """What a model is given with frames at these seconds."""
    parts = [frames_told(times_s)]
    if row.boxes_px:
        parts.append("There is 1 object annotated with a red bounding box in the video.")
    prompt = " ".join([*parts, row.question])
    if not row.choices:
        return prompt
    options = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, row.choices, strict=False))
    return f"{prompt}\n{options}\nAnswer with the option's letter from the given choices directly."


_LETTER = re.compile(r"\(([a-e])\)|^([a-e])(?:[.:,)]|$)|\b(?:option|choice|answer)(?: is)?:? ([a-e])\b")


def read_letter(text: str, choices: Sequence[str]) -> Parsed:
    """The letter of the choice that is named by it or by its words; None, with a reason, where that is unclear."""
    parts = scopes(text)
    if not parts:
        return Parsed(None, "reasoning without an answer" if parts is None else "empty")
    said = next(filter(None, (_letters_in(part, choices) for part in parts)), set())
    if len(said) != 1:
        return Parsed(None, "several choices" if said else "no choice")
    return Parsed(said.pop())


def _letters_in(answer: str, choices: Sequence[str]) -> set[str]:
    said = {next(filter(None, groups)).upper() for groups in _LETTER.findall(answer)}
    if said:
        return said
    plain = [choice.strip().rstrip(" .").lower() for choice in choices]
    return {letter for letter, choice in zip(LETTERS, plain, strict=False) if choice and choice in answer}


def score_rows(rows: Sequence[VideoRow], answers: Sequence[str]) -> dict[str, float]:
    """Fractions of 1: `accuracy` of questions with choices; of others `miou` and `recall_03`, an IoU of at least 0.3.

    What cannot be read is wrong, has an IoU of 0, and lowers the `_parse_rate`. Raises ValueError for no rows, or
    another number of answers.
    """
    if len(rows) != len(answers) or not rows:
        raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
    right: list[bool] = []
    ious: list[float] = []
    read: dict[str, list[bool]] = {"choice": [], "interval": []}
    for row, text in zip(rows, answers, strict=True):
        if row.choices:
            parsed = read_letter(text, row.choices)
            right.append(parsed.value == row.target)
            read["choice"].append(parsed.value is not None)
        else:
            parsed = parse_answer("direction_timestamp", text)
            ious.append(score("direction_timestamp", parsed, row.target).iou or 0.0)
            read["interval"].append(parsed.value is not None)
    scores: dict[str, float] = {}
    if right:
        scores |= {"accuracy": _share(right)}
    if ious:
        scores |= {"miou": _share(ious), "recall_03": _share([iou >= LEAST_IOU - 1e-9 for iou in ious])}
    for kind, of_kind in read.items():
        if of_kind:
            scores |= {f"{kind}_parse_rate": _share(of_kind), f"{kind}_count": len(of_kind)}
    return scores


def _share(values: Sequence[Any]) -> float:
    return float(sum(values)) / len(values)

"""What a run trains on: one medium and the conversations about it, a row each of a table that is read from disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import av
import pyarrow as pa
from datasets import Dataset, Features, List, Value

from stvlm.files import whole_file
from stvlm.programs import first_line
from stvlm.records import DataError

Medium = Literal["video", "image", ""]
"""The last is no medium: text alone."""
BATCH_ROWS = 1000

FEATURES = Features(
    {
        "id": Value("string"),
        "source": Value("string"),
        "medium": Value("string"),
        "path": Value("string"),
        "times_s": List(Value("float64")),
        "frame_indices": List(Value("int32")),
        "conversations": List(List({"prompt": Value("string"), "answer": Value("string")})),
        "tasks": List(Value("string")),
        "size_px": List(Value("int32")),
    }
)
"""The table's columns, which are the fields of `Sample`."""


class Asked(NamedTuple):
    """A prompt and its answer: one turn of a conversation."""

    prompt: str
    answer: str


Conversation = Sequence[Asked]
"""Its turns; the medium comes before the first prompt, and no text mentions a placeholder for it."""


class Sample(NamedTuple):
    """A video, an image or none, and the conversations about it, each of which begins anew."""

    id: str
    source: str
    medium: Medium
    path: str
    """Of the mp4 or the image; empty for text alone."""
    times_s: Sequence[float]
    """When the frames that a model is given are to be seen; empty but for a video."""
    frame_indices: Sequence[int]
    """Which frames of the file these are; empty for all of them."""
    conversations: Sequence[Conversation]
    tasks: Sequence[str] = ()
    """STKit's task of each conversation. This and what follows is empty for all other data."""
    size_px: Sequence[int] = ()
    """Width and height of the video."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Sample:
        """A row of the table, of all or of some columns."""
        conversations = [[Asked(**turn) for turn in turns] for turns in row["conversations"]]
        return cls(**{**row, "conversations": conversations})

    def as_row(self) -> dict[str, Any]:
        """The row of the table."""
        return {
            **self._asdict(),
            "conversations": [[turn._asdict() for turn in turns] for turns in self.conversations],
        }


def of_rows(rows: Sequence[Mapping[str, Any]], pack_questions: bool) -> Iterator[Sample]:
    """Rows of STKit, each with its `video_path`, as samples: one a clip with all its questions, or one a question.

    Raises DataError for a video that cannot be opened or has not the frames that its row tells of.
    """
    together: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        together[row["clip_id"] if pack_questions else row["id"]].append(row)
    for sample_id, asked in together.items():
        clip = asked[0]  # the columns about the clip are the same in all rows
        video = _probe(clip["video_path"])
        if video.frames != len(clip["frame_times_s"]):
            raise DataError(
                f"{clip['video_path']}: has {video.frames} frames, its row says {len(clip['frame_times_s'])}; "
                "build or fetch the dataset again"
            )
        yield Sample(
            id=sample_id,
            source="stkit",
            medium="video",
            path=clip["video_path"],
            times_s=clip["frame_times_s"],
            frame_indices=(),
            conversations=[[Asked(row["prompt"], row["answer"])] for row in asked],
            tasks=[row["task"] for row in asked],
            size_px=(video.width_px, video.height_px),
        )


def write_samples(samples: Iterable[Sample], path: Path) -> Dataset:
    """Samples as an Arrow file, which appears when it is whole, and the table that reads from it.

    Raises DataError where a sample is not what the columns say; then no file is left.
    """
    schema, samples = FEATURES.arrow_schema, iter(samples)
    with whole_file(path) as temporary, pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_stream(file, schema) as out:
        while some := list(islice(samples, BATCH_ROWS)):
            for sample in some:
                _check(sample)
            out.write_batch(pa.RecordBatch.from_pylist([sample.as_row() for sample in some], schema))
    return open_samples(path)


def open_samples(path: Path) -> Dataset:
    """The table in an Arrow file. It stays on disk, and every process of a machine shares what is read of it."""
    try:
        return Dataset.from_file(str(path))
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as samples ({first_line(error)}); remove it") from error


def _check(sample: Sample) -> None:
    """Raises DataError for what would be trained on wrongly without a word."""
    wrong = ""
    if sample.medium not in get_args(Medium):
        wrong = f"medium is one of 'video', 'image' and '', not {sample.medium!r}"
    elif bool(sample.path) != bool(sample.medium):
        wrong = "a path belongs to a medium, and to each medium one"
    elif bool(sample.times_s) != (sample.medium == "video"):
        wrong = "frame times belong to a video, and to each video some"
    elif sample.frame_indices and len(sample.frame_indices) != len(sample.times_s):
        wrong = f"has {len(sample.times_s)} frame times for {len(sample.frame_indices)} frames"
    elif not sample.conversations or not all(sample.conversations):
        wrong = "has no conversation, or one without a turn"
    elif not all(turn.answer for turns in sample.conversations for turn in turns):
        wrong = "has a turn without an answer"
    elif sample.tasks and not all(len(turns) == 1 for turns in sample.conversations):
        wrong = "has a task with several turns, which nothing here makes"
    if wrong:
        raise DataError(f"sample {sample.id} of {sample.source}: {wrong}; leave it out or mend it")


class _Video(NamedTuple):
    width_px: int
    height_px: int
    frames: int


@cache
def _probe(path: str) -> _Video:
    """What an mp4's header says."""
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            return _Video(stream.width, stream.height, stream.frames)
    except (OSError, IndexError, av.FFmpegError) as error:
        raise DataError(
            f"{path}: cannot be opened as a video ({first_line(error)}); build or fetch it again"
        ) from error

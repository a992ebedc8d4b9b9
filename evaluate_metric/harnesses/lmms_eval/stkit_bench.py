"""STKit-Bench in lmms-eval: what stkit_bench.yaml names. The scores are those of `stvlm.scoring`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets

from stvlm.scoring import score_all
from stvlm.scoring.references import read_reference

Row = Mapping[str, Any]
Item = Mapping[str, Any]
"""One answer in one metric: the answer, what it is scored against, its own score and the clip that it is about."""


def process_docs(rows: datasets.Dataset) -> datasets.Dataset:
    """Rows with the path of their video in place of its frames, which models decode for themselves.

    Raises ValueError for a dataset without video.
    """
    if "video" not in rows.column_names:
        raise ValueError("STKit-Bench: the rows have no video; the dataset was built with --annotations-only")
    return rows.cast_column("video", datasets.Video(decode=False))


def doc_to_visual(row: Row) -> list[str]:
    """The path of the clip's mp4, which holds exactly the frames that the prompt speaks of."""
    return [row["video"]["path"]]


def doc_to_text(row: Row) -> str:
    """The prompt of the dataset: clip length, frame times and boxes, then the question."""
    return row["prompt"]


def process_results(row: Row, results: Sequence[str]) -> dict[str, Item]:
    """One answer under each metric that it counts for: a mean absolute error is over the answers that can be read."""
    text = results[0]
    reference = read_reference(row)._asdict()
    own = score_all([text], [reference])
    # lmms-eval's standard error, of the mean of `score` by `clip_id`; it holds for no mean over tasks.
    scores = {key: value for key, value in own.items() if not key.endswith("_count")}
    return {
        key: {"answer": text, "reference": reference, "clip_id": reference["clip_id"]}
        | ({} if key == "average_accuracy" else {"score": value})
        for key, value in scores.items()
    }


def __getattr__(key: str) -> Callable[[Sequence[Item]], float]:
    """The aggregation of the metric `key` of the contract."""
    if key.startswith("__"):
        raise AttributeError(key)

    def aggregate(items: Sequence[Item]) -> float:
        return score_all([item["answer"] for item in items], [item["reference"] for item in items])[key]

    return aggregate

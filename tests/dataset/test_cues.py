"""Cues by hand: what a question shows of its objects beside their motion in space."""

from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.questions.clips import clip_of, straight, turning

from stvlm.dataset.cues import by_object, codes, cue_table
from stvlm.dataset.rows import SCHEMA, make_row
from stvlm.dataset.video import VideoSettings
from stvlm.questions.asking import Motion, Query, QuestionGates, Span, answer
from stvlm.questions.templates import Wording, held_out_wordings, wordings
from stvlm.records import Question
from stvlm.scoring import COMPARISONS


def test_cues_by_hand() -> None:
    clip = clip_of(straight(4.0, 7), straight(9.0, 7))  # 64 pixels wide; boxes of 20 by 20 pixels that stay
    boxes_px = clip.boxes_px.copy()
    boxes_px[1] += np.arange(7)[:, None] * [3.2, 0, 3.2, 0]  # the second goes 3.2 pixels a step to the right,
    boxes_px[1, 3] = np.nan  # unseen at 1.5 s,
    boxes_px[1, :, 3] += 25.0  # and is 20 by 45
    clip = type(clip)("clip", clip.scene, clip.tracks, 0, clip.frame_index, clip.xyz_m, boxes_px)
    whole, part = Span(0, 6, True), Span(2, 6, False)
    queries = [
        Query("traveled_distance", (1,), part, "traveled_distance/1"),
        Query("traveling_speed_comparison", (1, 0), whole, "traveling_speed_comparison/2"),
    ]
    rows = []
    for query in queries:
        question = answer(Motion.of(clip), query, QuestionGates())
        assert isinstance(question, Question)
        rows.append(make_row(clip, query, question, VideoSettings()))
    single, pair = cue_table(pa.Table.from_pylist(rows, SCHEMA)).to_pylist()
    assert (single["color"], single["category"], single["polarity"]) == ("blue", "car", 0)
    assert (single["window_s"], single["clip_s"]) == (2.0, 3.0)
    assert single["area"] == [pytest.approx(30 / 64, rel=1e-3)]
    assert single["motion"] == [pytest.approx(4 * 3.2 / 64, rel=1e-3)]
    assert (pair["color"], pair["category"], pair["polarity"]) == ("blue red", "car car", -1)  # the slowest
    assert pair["area"] == [pytest.approx(30 / 64, rel=1e-3), pytest.approx(20 / 64, rel=1e-3)]
    assert pair["motion"] == [pytest.approx(6 * 3.2 / 64, rel=1e-3), 0.0]


def test_columns_as_numbers() -> None:
    lists = pa.chunked_array([[[0.5]], [[9.0, 9.0], [1.0, 2.0, 4.0], [], [8.0]]]).slice(2)
    assert np.nan_to_num(by_object(lists), nan=-1).tolist() == [[1, 2, 4], [-1, -1, -1], [8, -1, -1]]
    assert codes(["truck", "car", "truck", "bus"]).tolist() == [2, 1, 2, 0]
    assert codes([10, 9]).tolist() == [0, 1]  # by their text
    assert codes([]).tolist() == []


@pytest.mark.parametrize(
    "wording", [*sum(wordings().values(), ()), *sum(held_out_wordings().values(), ())], ids=lambda w: w.template_id
)
def test_the_objects_are_those_that_the_words_name(wording: Wording) -> None:
    """In every wording, in any order: "covered" is not red, and "Which object ..." is about all of them."""
    task: Any = wording.template_id.partition("/")[0]
    turn = turning([(0, 6), (90, 4)])
    clip = clip_of(turn, turn * [-3.0, -3.0, 1.0], turn * 9.0)
    wanted, rows = [], []
    for size in range(1, 4) if task not in COMPARISONS else (wording.objects,) if wording.objects else (2, 3):
        for objects in permutations(range(3), size if task in COMPARISONS else 1):
            hour = 3 if task == "direction_timestamp" else 0
            objects = objects[:2] if task == "movement_direction_comparison" else objects
            query = Query(task, objects, Span(0, 10, True), wording.template_id, hour)
            question = answer(Motion.of(clip), query, QuestionGates())
            if isinstance(question, Question):
                wanted.append(" ".join(clip.colors[j] for j in query.objects))
                rows.append(make_row(clip, query, question, VideoSettings()))
    assert len(rows) >= 2
    assert cue_table(pa.Table.from_pylist(rows, SCHEMA)).column("color").to_pylist() == wanted

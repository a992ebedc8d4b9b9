"""A question as a row: the columns that every reader relies on."""

from collections import Counter

import numpy as np
import pyarrow as pa
from tests.questions.clips import clip_of, straight

from stvlm.dataset.rows import SCHEMA, make_row
from stvlm.dataset.video import VideoSettings
from stvlm.questions.asking import Motion, QuestionGates, ask, query_id

COLUMNS = {
    "file_name": "string",
    "id": "string",
    "clip_id": "string",
    "base_id": "string",
    "task": "string",
    "question": "string",
    "prompt": "string",
    "answer": "string",
    "target": "string",
    "choices": "list<item: string>",
    "target_sigma": "double",
    "start_s": "double",
    "end_s": "double",
    "objects": "list<item: struct<color: string, track_id: string, category: string, "
    "boxes_px: list<item: list<item: double>>>>",
    "frame_times_s": "list<item: double>",
    "clip_start_ns": "int64",
    "intrinsics_px": "list<item: double>",
    "source": "string",
    "scene_id": "string",
    "camera": "string",
    "split": "string",
    "label_type": "string",
    "label_grade": "string",
    "template_id": "string",
    "steps": "list<item: struct<name: string, value: double, unit: string>>",
    "licence": "string",
}


def test_the_columns_are_the_contracts() -> None:
    assert {field.name: str(field.type).replace("element:", "item:") for field in SCHEMA} == COLUMNS


def test_a_row_by_hand() -> None:
    clip = clip_of(straight(4.0, 5), clip_id="abc")
    boxes_px = clip.boxes_px.copy()
    boxes_px[0, 2] = np.nan
    clip = type(clip)("abc", clip.scene, clip.tracks, 10**18 + 1, clip.frame_index, clip.xyz_m, boxes_px)
    query, question = next(
        item for item in ask(Motion.of(clip), QuestionGates(), Counter()) if item[1].task == "traveled_distance"
    )
    row = make_row(clip, query, question, VideoSettings(max_side_px=32))  # half of 64 x 48
    assert set(row) == set(COLUMNS)
    assert pa.Table.from_pylist([row], SCHEMA).to_pylist() == [row]
    assert row["file_name"] == "videos/abc.mp4"
    assert row["id"] == row["base_id"] == query_id(clip, query)
    assert row["prompt"].endswith(f"in the video. {row['question']}")
    assert (row["target"], row["choices"], row["target_sigma"]) == ("8.00", [], None)
    assert row["objects"] == [
        {
            "color": "red",
            "track_id": "track-0",
            "category": "car",
            "boxes_px": [[5.0, 5.0, 15.0, 15.0]] * 2 + [None] + [[5.0, 5.0, 15.0, 15.0]] * 2,
        }
    ]
    assert row["frame_times_s"] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert row["clip_start_ns"] == 10**18 + 1
    assert row["intrinsics_px"] == [25.0, 25.0, 16.0, 12.0]
    assert (row["source"], row["scene_id"], row["camera"], row["label_type"]) == ("made", "scene", "front", "simulated")
    assert row["steps"] == []

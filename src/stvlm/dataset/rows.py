"""The dataset's rows: one a question, as a table whose columns are the contract with every reader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from stvlm.dataset.video import VideoSettings, scaled_boxes_px, video_size_px
from stvlm.kinematics import STEP_S
from stvlm.questions.asking import Query, common_prompt, query_id
from stvlm.records import Clip, Question

_OBJECT = pa.struct(
    [
        ("color", pa.string()),
        ("track_id", pa.string()),
        ("category", pa.string()),
        ("boxes_px", pa.list_(pa.list_(pa.float64()))),
    ]
)
_STEP = pa.struct([("name", pa.string()), ("value", pa.float64()), ("unit", pa.string())])
SCHEMA = pa.schema(
    [
        ("file_name", pa.string()),
        ("id", pa.string()),
        ("clip_id", pa.string()),
        ("base_id", pa.string()),
        ("task", pa.string()),
        ("question", pa.string()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("target", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("target_sigma", pa.float64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("objects", pa.list_(_OBJECT)),
        ("frame_times_s", pa.list_(pa.float64())),
        ("clip_start_ns", pa.int64()),
        ("intrinsics_px", pa.list_(pa.float64())),
        ("source", pa.string()),
        ("scene_id", pa.string()),
        ("camera", pa.string()),
        ("split", pa.string()),
        ("label_type", pa.string()),
        ("label_grade", pa.string()),
        ("template_id", pa.string()),
        ("steps", pa.list_(_STEP)),
        ("licence", pa.string()),
    ]
)
"""Columns and types. `file_name` is left out where only annotations are written."""


def video_file_name(clip_id: str) -> str:
    """A clip's mp4, from the folder that holds its rows."""
    return f"videos/{clip_id}.mp4"


def frequencies(rows: pa.Table, *names: str) -> dict[tuple[Any, ...], int]:
    """How many rows have each combination of values in some columns, in no order."""
    one = rows.select(list(names)).combine_chunks()  # Arrow does not group by values that pieces number differently
    groups = one.group_by(list(names)).aggregate([([], "count_all")])
    columns = (groups.column(name).to_pylist() for name in (*names, "count_all"))
    return {tuple(values): n for *values, n in zip(*columns, strict=True)}


def make_row(clip: Clip, query: Query, question: Question, settings: VideoSettings) -> dict[str, Any]:
    """One question as a row."""
    row_id, scene, camera = query_id(clip, query), clip.scene, clip.scene.camera
    frame_times_s = [i * STEP_S for i in range(len(clip.frame_index))]
    width, height = video_size_px(camera, settings)
    x, y = width / camera.width_px, height / camera.height_px
    boxes_px = scaled_boxes_px(clip, settings)
    intrinsics_px = (camera.fx_px * x, camera.fy_px * y, camera.cx_px * x, camera.cy_px * y)
    objects = [
        {
            "color": clip.colors[j],
            "track_id": track.track_id,
            "category": track.category,
            "boxes_px": [None if np.isnan(box).any() else [round(float(v), 2) for v in box] for box in boxes_px[j]],
        }
        for j, track in enumerate(clip.tracks)
    ]
    return {
        "file_name": video_file_name(clip.clip_id),
        "id": row_id,
        "clip_id": clip.clip_id,
        "base_id": row_id,
        "task": question.task,
        "question": question.question,
        "prompt": f"{common_prompt(frame_times_s, clip.colors)} {question.question}",
        "answer": question.answer,
        "target": question.target,
        "choices": list(question.choices),
        "target_sigma": question.target_sigma,
        "start_s": question.start_s,
        "end_s": question.end_s,
        "objects": objects,
        "frame_times_s": frame_times_s,
        "clip_start_ns": clip.start_ns,
        "intrinsics_px": [round(v, 3) for v in intrinsics_px],
        "source": scene.source,
        "scene_id": scene.scene_id,
        "camera": camera.name,
        "split": scene.split,
        "label_type": scene.label_type,
        "label_grade": max((clip.tracks[j].grade for j in query.objects), default=""),
        "template_id": question.template_id,
        "steps": steps_of(question),
        "licence": scene.licence,
    }


def steps_of(question: Question) -> list[dict[str, Any]]:
    """The column `steps`, which only the variant `multistep` fills."""
    return [step._asdict() for step in question.steps]

"""A benchmark folder with a question of each task, and answers to them of every kind."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tests.training.tiny_dataset import write_dataset

from stvlm.dataset.rows import SCHEMA

ASKED = (
    ("traveled_distance", "How far?", "20.00", [], "= 21 m in total"),
    ("traveled_distance", "How far?", "20.00", [], "I cannot tell."),
    ("traveling_speed", "How fast?", "15.00", [], "10 m/s"),
    ("movement_direction", "Which way?", "3", [], "2 o'clock"),
    ("direction_timestamp", "When?", "3.50-6.00", [], "<think>hm</think>from 3.5 to 6 s"),
    ("direction_timestamp", "When?", "3.50-6.00", [], ""),
    ("traveled_distance_comparison", "Which object travels farther?", "red", ["red", "blue"], "20"),
    ("traveling_speed_comparison", "Which object is slower?", "red", ["red", "blue"], "Blue is faster."),
    ("movement_direction_comparison", "The same way?", "different", ["same", "different"], "No."),
)
"""Task, question, target, choices, answer."""
ANSWERS = [asked[-1] for asked in ASKED]
SCORES = {
    "average_accuracy": 3.0 / 7.0,
    "traveled_distance_accuracy": 0.5,
    "traveled_distance_mae": 1.0,
    "traveling_speed_accuracy": 0.0,
    "traveling_speed_mae": 21.0,
    "movement_direction_accuracy": 0.0,
    "movement_direction_mae": 1.0,
    "direction_timestamp_accuracy": 0.5,
    "direction_timestamp_iou": 0.5,
    "traveled_distance_comparison_accuracy": 0.0,
    "traveling_speed_comparison_accuracy": 1.0,
    "movement_direction_comparison_accuracy": 1.0,
    "parse_rate": 6.0 / 9.0,
}
"""By hand: 21 m is 1 m off 20, 10 m/s is 36 km/h and 21 off 15, and three of nine answers say nothing readable."""


def write_benchmark(out: Path) -> list[dict]:
    """Its rows, in their order; they share four clips."""
    write_dataset(out)
    place = out / "simulation" / "test" / "metadata.parquet"
    clips = pq.read_table(place).to_pylist()[::4]
    rows = []
    for number, (task, question, target, choices, _) in enumerate(ASKED):
        clip = clips[number % len(clips)]
        prompt = f"{number}: {clip['prompt'].partition('. ')[0]}. {question}"
        asked = {"task": task, "question": question, "prompt": prompt, "target": target, "choices": choices}
        rows.append({**clip, **asked, "id": f"row{number}"})
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), place)
    return rows


def as_json(rows: list[dict]) -> str:
    """The answer to each prompt."""
    return json.dumps({row["prompt"]: answer for row, answer in zip(rows, ANSWERS, strict=True)})

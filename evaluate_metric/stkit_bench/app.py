"""The page of the metric: type an answer or paste many, see what is read from each and how they score."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import evaluate
import gradio as gr
from references import MULTISTEP, TASKS

METRIC = evaluate.load(str(Path(__file__).with_name("stkit_bench.py")))

UNITS = {
    "traveled_distance": "m",
    "traveling_speed": "km/h",
    "movement_direction": "o'clock",
    "direction_timestamp": "s",
    "time_to_cover": "s",
    "catch_up_time": "s",
}
ERROR_UNITS = UNITS | {"movement_direction": "h"}

EXAMPLES = [
    ["traveled_distance", "How far does the object travel?", "", "20.15", "From 0 to 5 seconds it travels about 20 m."],
    ["traveling_speed", "What is the average speed of the object?", "", "15.04", "Roughly 4 meters per second."],
    [
        "movement_direction",
        "In which direction does the object move at the end of the video?",
        "",
        "3",
        "With 12 o'clock as its initial heading, it moves towards 3 o'clock.",
    ],
    ["direction_timestamp", "When does the object move towards 3 o'clock?", "", "3.50-6.00", "Between 0:03 and 0:06."],
    [
        "traveled_distance_comparison",
        "Which object travels farther, red or blue?",
        "red, blue",
        "red",
        "The blue object covers less distance than the red one.",
    ],
    [
        "movement_direction_comparison",
        "Are the objects moving in different directions?",
        "different, same",
        "same",
        "No, they are not.",
    ],
]
MANY = "\n".join(
    json.dumps(dict(zip(("task", "target", "choices", "question", "source", "prediction"), values, strict=True)))
    for values in [
        ("traveled_distance", "20.15", [], "", "kitti", "It travels about 20 m."),
        ("traveled_distance", "8.40", [], "", "nuscenes", "It covers 12 meters."),
        ("traveled_distance", "35.00", [], "", "nuscenes", "I cannot tell."),
        ("movement_direction", "3", [], "", "kitti", "Towards 3 o'clock."),
        ("movement_direction", "11", [], "", "nuscenes", "10 or 11 o'clock."),
        ("traveling_speed_comparison", "red", ["red", "blue"], "Which is faster?", "kitti", "The blue one is slower."),
        ("traveling_speed_comparison", "blue", ["green", "blue"], "Which is faster?", "nuscenes", "Green."),
    ]
)

SCORES = ["task", "answers", "right, % (95 % interval)", "best constant, %", "skill, %", "error", "MRA, %"]
ANSWERS = ["", "task", "answer", "read as", "target", ""]
BREAKDOWN = ["label", "answers", "right, % (95 % interval)"]


def judge_one(task: str, question: str, choices: str, target: str, answer: str) -> str:
    """What is read from one answer, and whether it is right, in words."""
    row = {"task": task, "target": target.strip(), "choices": _choices(choices), "question": question}
    sample = _computed([answer], [row])["per_sample"][0]
    if sample["value"] is None:
        return f"### Wrong\nNo answer was read: {sample['reason']}."
    off = ""
    if sample["error"] is not None:
        off = f": {sample['error']:.4g} {ERROR_UNITS[task]} off"
    elif sample["iou"] is not None:
        off = f": an intersection over union of {sample['iou']:.2f}"
    read, truth = _with_unit(task, sample["value"]), _with_unit(task, row["target"])
    return f"### {'Right' if sample['correct'] else 'Wrong'}\nRead as **{read}**, where **{truth}** is true{off}."


def judge_many(text: str, by: str) -> tuple[list[list[Any]], list[list[Any]], list[list[Any]], dict[str, Any]]:
    """Scores of each task, what was read from each answer, scores of each label, and all that the metric returned."""
    rows = read_table(text)
    predictions = [row.pop("prediction") for row in rows]
    options = {"confidence": 0.95, "floors": True, "mra": True} | ({"by": by} if by else {})
    scores = _computed(predictions, rows, **options)
    tasks = [key.removesuffix("_count") for key in scores if key.endswith("_count")]
    table = [
        [
            task,
            scores[f"{task}_count"],
            _percent(scores, f"{task}_accuracy"),
            _percent(scores, f"{task}_constant"),
            _percent(scores, f"{task}_skill"),
            _error(scores, task),
            _percent(scores, f"{task}_mra"),
        ]
        for task in tasks
    ]
    average = f"average ({_percent(scores, 'parse_rate')} % read)"
    table.append(
        [average, len(rows), _percent(scores, "average_accuracy"), "", _percent(scores, "average_skill"), "", ""]
    )
    answers = [
        [
            number,
            row["task"],
            prediction,
            f"({sample['reason']})" if sample["value"] is None else _with_unit(row["task"], sample["value"]),
            row["target"],
            "right" if sample["correct"] else "wrong",
        ]
        for number, (row, prediction, sample) in enumerate(
            zip(rows, predictions, scores.pop("per_sample"), strict=True), 1
        )
    ]
    labels = [
        [label, sum(of[key] for key in of if key.endswith("_count")), _percent(of, "average_accuracy")]
        for label, of in scores.get("by", {}).get(by, {}).items()
    ]
    return table, answers, labels, scores


def read_table(text: str) -> list[dict[str, Any]]:
    """Rows with a `prediction`, from JSON lines or from a table whose columns tabs or commas separate.

    Raises gr.Error that names the line.
    """
    rows = []
    lines = text.strip().splitlines()
    if text.strip().startswith("{"):
        for number, line in enumerate(lines, 1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise gr.Error(f"Line {number} is not JSON: {error}", print_exception=False) from None
    elif lines:
        rows = list(csv.DictReader(io.StringIO("\n".join(lines)), delimiter="\t" if "\t" in lines[0] else ","))
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or row.get("prediction") is None:
            raise gr.Error(f"Row {number} has no 'prediction'", print_exception=False)
        if isinstance(row.get("choices"), str):
            row["choices"] = _choices(row["choices"])
    return rows


def _computed(predictions: list[str], rows: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    try:
        return METRIC.compute(predictions=predictions, references=rows, per_sample=True, **options)
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from None


def _choices(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _with_unit(task: str, value: Any) -> str:
    """A parsed answer, or a target, as it is read."""
    if isinstance(value, float):
        value = f"{value:.4g}"
    elif not isinstance(value, (int, str)):
        value = f"{value[0]:.2f}-{value[1]:.2f}"
    return f"{value} {UNITS.get(task, '')}".strip()


def _percent(scores: dict[str, Any], key: str) -> str:
    """A score and, where it has one, its interval, in percent."""
    if key not in scores:
        return ""
    value = f"{round(100 * scores[key], 1) + 0.0:.1f}"  # no -0.0
    if f"{key}_low" not in scores or not key.endswith("_accuracy"):
        return value
    return f"{value} ({100 * scores[f'{key}_low']:.1f} to {100 * scores[f'{key}_high']:.1f})"


def _error(scores: dict[str, Any], task: str) -> str:
    if f"{task}_iou" in scores:
        return f"IoU {scores[f'{task}_iou']:.2f}"
    return f"{scores[f'{task}_mae']:.2f} {ERROR_UNITS.get(task, '')}" if f"{task}_mae" in scores else ""


def build_demo() -> gr.Blocks:
    """The page."""
    card = Path(__file__).with_name("README.md").read_text(encoding="utf-8").split("---", 2)[2]
    with gr.Blocks(title="STKit-Bench") as demo:
        gr.Markdown(
            "# STKit-Bench\nHow free-text answers about the motion of objects in a video are read and scored: by rules,"
            " the same each time."
        )
        with gr.Tab("One answer"):
            with gr.Row():
                with gr.Column():
                    fields = [
                        gr.Dropdown([*TASKS, *MULTISTEP], value=TASKS[0], label="Task"),
                        gr.Textbox(label="Question"),
                        gr.Textbox(label="Choices, for comparisons", placeholder="red, blue"),
                        gr.Textbox(label="Target, as the dataset prints it", placeholder="20.15"),
                        gr.Textbox(label="Answer", lines=3),
                    ]
                    button = gr.Button("Score", variant="primary")
                verdict = gr.Markdown("What is read from the answer will stand here.", container=True)
            gr.Examples(EXAMPLES, fields)
            button.click(judge_one, fields, verdict)
            fields[-1].submit(judge_one, fields, verdict)
        with gr.Tab("Many answers"):
            gr.Markdown(
                "JSON lines, or a table with headings (tabs or commas): `task`, `target` and `prediction`, for"
                " comparisons `choices`, and any of `question`, `clip_id`, `source`, `id` and `base_id`."
            )
            text = gr.Textbox(MANY, label="Answers", lines=8, max_lines=16)
            with gr.Row(equal_height=True):
                upload = gr.UploadButton("Open a file", file_types=[".jsonl", ".csv", ".tsv"])
                labels = ["source", "range", "variant", "split", "label_type", "scene_id", "camera", "template_id"]
                by = gr.Dropdown(
                    [("nothing", ""), *((label, label) for label in labels)], value="", label="Break down by"
                )
                many = gr.Button("Score", variant="primary")
            with gr.Column(visible=False) as results:
                scores = gr.Dataframe(headers=SCORES, label="Scores", interactive=False)
                breakdown = gr.Dataframe(headers=BREAKDOWN, label="Breakdown", interactive=False)
                answers = gr.Dataframe(
                    headers=ANSWERS, label="Answers, as they were read", interactive=False, wrap=True
                )
                with gr.Accordion("All scores, as the metric returns them", open=False):
                    everything = gr.JSON(show_label=False)
            upload.upload(lambda path: Path(path).read_text(encoding="utf-8"), upload, text)
            many.click(judge_many, [text, by], [scores, answers, breakdown, everything]).success(
                lambda by: [gr.update(visible=True), gr.update(visible=bool(by))], by, [results, breakdown]
            )
        with gr.Tab("How it scores"):
            gr.Markdown(card)
    return demo


if __name__ == "__main__":
    build_demo().launch()

"""The page of the metric: type an answer, see what is read from it and how it scores."""

from pathlib import Path
from typing import Any

import evaluate
import gradio as gr
from references import TASKS

METRIC = evaluate.load(str(Path(__file__).with_name("stkit_bench.py")))

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


def judge(task: str, question: str, choices: str, target: str, answer: str) -> dict[str, Any]:
    """What is read from one answer, and how it scores; `choices` are separated by commas."""
    names = [name.strip() for name in choices.split(",") if name.strip()]
    row = {"task": task, "target": target.strip(), "choices": names, "question": question}
    try:
        scores = METRIC.compute(predictions=[answer], references=[row], per_sample=True)
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from None
    return scores["per_sample"][0]


def build_demo() -> gr.Interface:
    card = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return gr.Interface(
        fn=judge,
        inputs=[
            gr.Dropdown(list(TASKS), label="Task"),
            gr.Textbox(label="Question"),
            gr.Textbox(label="Choices, for comparisons"),
            gr.Textbox(label="Target, as the dataset prints it"),
            gr.Textbox(label="Answer", lines=3),
        ],
        outputs=gr.JSON(label="Score"),
        title="STKit-Bench",
        article=card.split("---", 2)[2],
        examples=EXAMPLES,
        cache_examples=False,
        flagging_mode="never",
    )


if __name__ == "__main__":
    build_demo().launch()

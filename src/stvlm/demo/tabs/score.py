"""The tab Score: how answers are read and scored, and the table of the paper with ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from stvlm.demo import showing
from stvlm.demo.judging import MOST_LETTERS, leaderboard, sample, score_text
from stvlm.demo.tabs.parts import friendly
from stvlm.evaluation.dataset import Row
from stvlm.records import DataError

ABOUT = """
<p class="quiet">A line of JSON for each answer: <code>prediction</code> and the <code>id</code> of a row of this
dataset; or <code>task</code>, <code>target</code>, <code>prediction</code>, for comparisons <code>choices</code>, and
any of <code>question</code> and <code>clip_id</code>. Or a table with such headings. Rules read each answer, the same
way every time; intervals are of 95 % over clips; skill is how much of what the best constant answer leaves open is
right.</p>
"""


def build(rows: Mapping[str, Row], results: Path | None) -> None:
    """Makes the tab inside the current context, for rows by their ids."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            text = gr.Textbox(sample(list(rows.values())), label="Answers", lines=10, max_lines=18, elem_id="answers")
            with gr.Row():
                upload = gr.UploadButton("Open a file", file_types=[".jsonl", ".json", ".csv", ".tsv"], scale=1)
                button = gr.Button("Score", variant="primary", elem_id="score", scale=3)
            gr.HTML(ABOUT, apply_default_css=False)
        with gr.Column(scale=7, min_width=320):
            scores = gr.HTML('<p class="quiet">Scores will stand here.</p>', elem_id="scores", apply_default_css=False)
            answers = gr.HTML("", elem_id="scored-answers", apply_default_css=False)
    gr.HTML(f'<h3 class="step">Leaderboard</h3>{leaderboard(results)}', elem_id="leaderboard", apply_default_css=False)
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    @friendly
    def read(path: str) -> str:
        try:
            with Path(path).open(encoding="utf-8") as file:
                return file.read(MOST_LETTERS + 1)
        except (OSError, UnicodeDecodeError):
            raise DataError("This is no text. Send JSON lines, or a table.") from None

    def unjudged(why: str, *_: Any) -> tuple[str, str]:
        return showing.refused(why), ""

    @partial(friendly, left=unjudged)
    def judge_all(text: str) -> tuple[str, str]:
        scored = score_text(text, rows)
        return showing.score_table(scored), showing.answers_table(scored)

    upload.upload(read, upload, text, **hidden)
    button.click(judge_all, text, [scores, answers], **hidden)

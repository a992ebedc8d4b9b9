r"""STKit-Bench in inspect-ai. The scores are those of `stvlm.scoring`, under the metric's own names.

    inspect eval evaluate_metric/harnesses/inspect_ai/stkit_bench.py --model google/gemini-2.5-pro \
        -T dataset=$PWD/stkit-bench

`-T media=frames` shows the clip's frames as images in place of the mp4, for models that take no video.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, Content, ContentImage, ContentText, ContentVideo
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver
from PIL import Image

from stvlm.dataset.video import read_video
from stvlm.evaluation.dataset import Row, load_split, may_be_on_the_hub
from stvlm.scoring import score_all
from stvlm.scoring.references import read_reference

MEDIA = ("video", "frames")


@task
def stkit_bench(dataset: str, split: str = "test", media: str = "video", config: str | None = None) -> Task:
    """The benchmark.

    Args:
        dataset: a built dataset's folder, as an absolute path (inspect-ai runs tasks in their own folder), or a Hub id.
        split: of the dataset.
        media: video or frames.
        config: of the dataset, such as mirrored (default: all of its sources, as they are).
    """
    if media not in MEDIA:
        raise ValueError(f"media {media!r} is not one of {', '.join(MEDIA)}")
    if not Path(dataset).is_absolute() and not may_be_on_the_hub(dataset):
        raise ValueError(f"{dataset}: is looked for in this file's folder; give an absolute path, as $PWD/{dataset}")
    rows = load_split(dataset, split, config=config).rows
    return Task(
        dataset=MemoryDataset([as_sample(row, media) for row in rows], name="stkit-bench"),
        solver=[generate()] if media == "video" else [show_frames(), generate()],
        scorer=kinematics(),
    )


def as_sample(row: Row, media: str) -> Sample:
    """A row as its prompt and, unless frames are shown, the mp4; what it is scored against goes along as metadata."""
    content: list[Content] = [ContentText(text=row["prompt"])]
    if media == "video":
        content.insert(0, ContentVideo(video=row["video_path"], format="mp4"))
    return Sample(
        id=row["id"],
        input=[ChatMessageUser(content=content)],
        target=row["target"],
        metadata={**read_reference(row)._asdict(), "video_path": row["video_path"]},
    )


@solver
def show_frames() -> Solver:
    """Puts every frame of the clip before the prompt, as images: read as late as here, they are never all in memory."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        message = state.user_prompt
        message.content = [*images(Path(state.metadata["video_path"])), ContentText(text=message.text)]
        return state

    return solve


def images(path: Path) -> list[ContentImage]:
    """The frames of an mp4, in order."""
    shown = []
    for frame in read_video(path)[0]:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=95, subsampling=0)  # the boxes' colours at full resolution
        shown.append(ContentImage(image=f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"))
    return shown


@metric(scores="unreduced")
def benchmark() -> Metric:
    """All scores of the metric at once; of several epochs every answer counts."""

    def compute(scores: list[SampleScore]) -> dict[str, float]:
        given = [item.score.metadata or {} for item in scores]
        return score_all([item["response"] for item in given], [item["reference"] for item in given])

    return compute


@scorer(metrics=[benchmark()])
def kinematics() -> Scorer:
    """Whether an answer is right, and what was read from it."""

    async def score(state: TaskState, target: Target) -> Score:
        response = state.output.completion
        reference = read_reference(state.metadata)._asdict()
        outcome = score_all([response], [reference], per_sample=True)["per_sample"][0]
        return Score(
            value=float(outcome["correct"]),
            answer=None if outcome["value"] is None else str(outcome["value"]),
            explanation=outcome["reason"] or None,
            metadata={"response": response, "reference": reference},
        )

    return score

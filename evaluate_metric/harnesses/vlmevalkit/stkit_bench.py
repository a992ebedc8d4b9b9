"""STKit-Bench in VLMEvalKit. The scores are those of `stvlm.scoring`; no judge model is asked."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import vlmeval.dataset
from PIL import Image
from vlmeval.dataset.video_base import VideoBaseDataset
from vlmeval.dataset.video_dataset_config import supported_video_datasets
from vlmeval.smp import LMUDataRoot, dump, get_intermediate_file_path, load

from stvlm.dataset.video import read_video
from stvlm.evaluation.dataset import Row, frame_count, load_split
from stvlm.files import whole_file
from stvlm.scoring import score_all

NAME = "STKit-Bench"
LISTED = ("id", "clip_id", "task", "question", "answer")
"""Columns that VLMEvalKit's own tables show. What is asked and scored is taken from the dataset's rows."""


def register(dataset: str, split: str = "test") -> None:
    """Makes `--data STKit-Bench` mean the split of a built dataset's folder or Hub id."""
    vlmeval.dataset.STKitBench = STKitBench
    vlmeval.dataset.VIDEO_DATASET.append(STKitBench)
    vlmeval.dataset.DATASET_CLASSES.append(STKitBench)
    supported_video_datasets[NAME] = partial(STKitBench, path=dataset, split=split)


class STKitBench(VideoBaseDataset):
    """Questions about clips, asked with the dataset's own prompts.

    Args:
        dataset: the name, as VLMEvalKit passes it on.
        path: a built dataset's folder or Hub id.
        split: of it.
    """

    TYPE = "Video-VQA"

    def __init__(self, dataset: str = NAME, path: str = "stkit-bench", split: str = "test") -> None:
        self.rows = load_split(path, split).rows
        super().__init__(dataset=dataset, fps=2)  # at which models that sample a video themselves take every frame

    @classmethod
    def supported_datasets(cls) -> list[str]:
        """The one name."""
        return [NAME]

    def prepare_dataset(self, dataset: str) -> dict[str, str]:
        """Writes the table that VLMEvalKit goes by, one line a row, in the rows' order."""
        table = pd.DataFrame([{name: row[name] for name in LISTED} for row in self.rows]).rename(
            columns={"clip_id": "video"}
        )
        place = Path(LMUDataRoot()) / f"{dataset}.tsv"
        with whole_file(place) as temporary:
            table.to_csv(temporary, sep="\t", index_label="index")
        return {"root": str(Path(self.rows[0]["video_path"]).parent), "data_file": str(place)}

    def build_prompt(self, idx: int, video_llm: bool) -> list[dict[str, str]]:
        """The mp4, or all its frames for models that take images, and the prompt."""
        row = self.rows[idx]
        if video_llm:
            shown = [{"type": "video", "value": row["video_path"]}]
        else:
            shown = [{"type": "image", "value": str(path)} for path in self._frames(row)]
        return [*shown, {"type": "text", "value": row["prompt"]}]

    def _frames(self, row: Row) -> list[Path]:
        """Every frame of a clip as a PNG; those that VLMEvalKit would take are not the ones that the prompt names."""
        video = Path(row["video_path"])
        folder = Path(self.frame_root) / hashlib.sha256(video.read_bytes()).hexdigest()[:16]
        paths = [folder / f"{number:02d}.png" for number in range(frame_count(row))]
        if not all(path.exists() for path in paths):
            for path, frame in zip(paths, read_video(video)[0], strict=True):
                with whole_file(path) as temporary:
                    Image.fromarray(frame).save(temporary)
        return paths

    def evaluate(self, eval_file: str, **judge_kwargs: Any) -> dict[str, float]:
        """Scores the predictions in a file of VLMEvalKit's, and writes the scores beside it as _score.json."""
        table = load(eval_file).set_index("index")["prediction"]
        # Of a table an empty answer is read as no value, and one that is a number as a number.
        answers = ["" if pd.isna(table[index]) else str(table[index]) for index in range(len(self.rows))]
        scores = score_all(answers, self.rows)
        dump(scores, get_intermediate_file_path(eval_file, "_score", "json"))
        return scores

"""Groups of clips and their questions -> the batch that the model is trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import av
import torch

from stvlm.evaluation.frames import FrameReader, as_pixel_values
from stvlm.records import DataError
from stvlm.training.grounding import Asked, compared_in_the_image, frames_with_a_box, moves_farther, where
from stvlm.training.packing import as_batch, expand_video, pack, tokenize
from stvlm.training.plan import Group, Item

Drawn = tuple[torch.Tensor, list[Asked]]
"""Frames (n, 3, h, w) uint8, and what is asked about them."""

LEAST_WINDOW = 5
"""Frames, as in the shortest clips."""


class VideoCollator:
    """Makes a group's batch: frames, tokens, and labels on the answers' tokens alone.

    TRL's own collator knows images only, and leaves a video's frames out without a word.
    """

    def __init__(self, processor: Any, reader: FrameReader, items: Sequence[Item], questions_per_clip: int) -> None:
        self._processor, self._reader, self._items = processor, reader, items
        self._questions_per_clip = questions_per_clip

    def __call__(self, groups: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of one `Group`, given as a dict: B clips of n frames.

        pixel_values_videos (B, n, 3, h, w); input_ids, position_ids and labels (B, L); attention_mask (B, 1, L, L).
        """
        group = Group(**groups[0])
        rng = random.Random(group.seed)
        items = [self._items[index] for index in group.items]
        if group.stage == "motion":
            clips = self._draw_windows(items, rng)
        else:
            clips = [self._draw(item, group.stage, rng) for item in items]
        pixel_values = as_pixel_values(self._processor.video_processor, [frames for frames, _ in clips])
        count = self._processor.replace_video_token({"pixel_values_videos": pixel_values}, 0)
        count = count.count(self._processor.video_token)
        sequences = []
        for _, asked in clips:
            conversations = [tokenize(self._processor, *pair) for pair in asked]
            sequences.append(pack([expand_video(c, self._processor.video_token_id, count) for c in conversations]))
        return {
            **as_batch(sequences, self._processor.tokenizer.pad_token_id),
            "pixel_values_videos": pixel_values,
        }

    def _frames(self, clip: dict[str, Any]) -> torch.Tensor:
        path = Path(clip["video_path"])
        frames = self._reader(path)
        if len(frames) != len(clip["frame_times_s"]):
            raise DataError(f"{path}: has {len(frames)} frames, its row says {len(clip['frame_times_s'])}")
        return frames

    def _draw_windows(self, items: Sequence[Item], rng: random.Random) -> list[Drawn]:
        """Windows of one length, forwards or backwards, of those clips in which they have a clear winner."""
        most = len(items[0].clip["frame_times_s"])
        for length in (rng.randint(min(LEAST_WINDOW, most), most), most):
            drawn = []
            for item in items:
                start = rng.randint(0, most - length)
                shown = slice(start, start + length)
                objects = [{**o, "boxes_px": o["boxes_px"][shown]} for o in item.clip["objects"]]
                if asked := moves_farther(objects, self._questions_per_clip, rng):
                    frames = self._frames(item.clip)[shown]
                    drawn.append((frames.flip(0) if rng.random() < 0.5 else frames, asked))
            if drawn:  # always so with whole clips: the plan holds no others here
                break
        return drawn

    def _draw(self, item: Item, stage: str, rng: random.Random) -> Drawn:
        """An item's frames (n, 3, h, w) uint8 and what is asked about them."""
        clip, frames = item.clip, self._frames(item.clip)
        if stage == "frames":
            frame = rng.choice(frames_with_a_box(clip["objects"]))
            return frames[frame : frame + 1], where(clip["objects"], frame, size_px(Path(clip["video_path"])))
        compared = compared_in_the_image(clip["objects"], self._questions_per_clip, rng)
        common = clip["prompt"].removesuffix(clip["question"])
        own = [Asked(row["prompt"], row["answer"]) for row in item.rows]
        return frames, own + [Asked(common + question, answer) for question, answer in compared]


@cache
def size_px(path: Path) -> tuple[int, int]:
    """Width and height of an mp4's frames, which the boxes are given in."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height

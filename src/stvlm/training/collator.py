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
from stvlm.records import DataError, Task
from stvlm.training.augment import Asked, Drawn, exchange_colors, mirror, shift
from stvlm.training.grounding import compared_in_the_image, frames_with_a_box, moves_farther, where
from stvlm.training.packing import as_batch, expand_video, pack, tokenize
from stvlm.training.plan import Group, Item

LEAST_WINDOW = 5
"""Frames, as in the shortest clips."""
LEFT_AND_RIGHT: tuple[Task, ...] = ("movement_direction", "direction_timestamp")
"""Tasks whose answers a mirror would change."""


class VideoCollator:
    """Makes a group's batch: frames, tokens, and labels on the answers' tokens alone.

    TRL's own collator knows images only, and leaves a video's frames out without a word.
    """

    def __init__(
        self,
        processor: Any,
        reader: FrameReader,
        items: Sequence[Item],
        *,
        augment: bool = False,
        comparisons_per_clip: int = 0,
    ) -> None:
        self._processor, self._reader, self._items = processor, reader, items
        self._augment, self._comparisons = augment, comparisons_per_clip
        self._template_ids = {row["template_id"] for item in items for row in item.rows}

    def __call__(self, groups: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of one `Group`, given as a dict: B clips of n frames.

        pixel_values_videos (B, n, 3, h, w); input_ids, position_ids and labels (B, L); attention_mask (B, 1, L, L).
        """
        group = Group(**groups[0])
        rng = random.Random(group.seed)
        items = [self._items[index] for index in group.items]
        if group.stage == "frames":
            drawn = [self._draw_frame(item, rng) for item in items]
        elif group.stage == "questions":
            drawn = [self._draw_clip(item, rng) for item in items]
        else:
            drawn = self._draw_windows(items, group.stage == "plain", rng)
        if self._augment:
            drawn = [exchange_colors(of_clip, rng) for of_clip in drawn]
        pixel_values = as_pixel_values(self._processor.video_processor, [frames for frames, _ in drawn])
        count = self._processor.replace_video_token({"pixel_values_videos": pixel_values}, 0)
        count = count.count(self._processor.video_token)
        sequences = []
        for _, asked in drawn:
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

    def _draw_frame(self, item: Item, rng: random.Random) -> Drawn:
        objects = item.clip["objects"]
        frame = rng.choice(frames_with_a_box(objects))
        return Drawn(self._frames(item.clip)[frame : frame + 1], where(objects, frame, _size_px(item.clip)))

    def _draw_windows(self, items: Sequence[Item], plain: bool, rng: random.Random) -> list[Drawn]:
        """Windows of one length, forwards or backwards, of those clips in which they have a clear winner."""
        most = len(items[0].clip["frame_times_s"])
        drawn: list[Drawn] = []
        for length in (rng.randint(min(LEAST_WINDOW, most), most), most):
            for item in items:
                start = rng.randint(0, most - length)
                shown = slice(start, start + length)
                objects = [{**o, "boxes_px": o["boxes_px"][shown]} for o in item.clip["objects"]]
                if asked := moves_farther(objects, self._comparisons, rng) if plain else self._compared(objects, rng):
                    frames = self._frames(item.clip)[shown]
                    if self._augment:
                        frames = shift(frames, objects, _size_px(item.clip), rng)
                        frames = frames if rng.random() < 0.5 else mirror(frames)
                    drawn.append(Drawn(frames if rng.random() < 0.5 else frames.flip(0), asked))
            if drawn:  # always so with whole clips: the plan holds no others here
                break
        return drawn

    def _draw_clip(self, item: Item, rng: random.Random) -> Drawn:
        clip, frames = item.clip, self._frames(item.clip)
        rows = item.rows
        either_way = tuple(row for row in rows if row["task"] not in LEFT_AND_RIGHT)
        if self._augment and either_way and rng.random() < 0.5:
            rows, frames = either_way, mirror(frames)
        common = clip["prompt"].removesuffix(clip["question"])
        compared = self._compared(clip["objects"], rng)
        own = [Asked(row["prompt"], row["answer"]) for row in rows]
        return Drawn(frames, own + [Asked(common + question, answer) for question, answer in compared])

    def _compared(self, objects: Sequence[dict[str, Any]], rng: random.Random) -> list[Asked]:
        return compared_in_the_image(objects, self._comparisons, rng, self._template_ids)


def _size_px(clip: dict[str, Any]) -> tuple[int, int]:
    """Width and height of a clip's frames, which its boxes are given in."""
    return _video_size_px(Path(clip["video_path"]))


@cache
def _video_size_px(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height

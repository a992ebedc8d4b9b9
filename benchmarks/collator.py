"""How many questions a second does one core make ready for training?

    python benchmarks/collator.py [--clips 12] [--out benchmarks/results/collator.json]

Clips of two kinds are drawn for it: 640 x 360 pixels and 40 frames, given to LLaVA-OneVision at its 384 pixels, and
small ones, as the quickstart's are. Four ways make the same questions ready, six a clip:

    naive    the mp4 is decoded and resized for each question again; questions come in any order, padded to the longest
    ours     the same of one question a sequence, in groups of like frames and lengths
    packed   a clip's questions share its frames, as with `pack_questions`
    cached   and the frames are read as they were resized before, as with `cache_frames` from the second epoch on

The seconds are those of the processor, of one thread, so that what else the machine does counts little.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from scipy.ndimage import gaussian_filter

from stvlm.dataset.video import VideoSettings, draw_outline, write_video
from stvlm.evaluation.chat import as_messages
from stvlm.evaluation.frames import FrameReader, decode, resized
from stvlm.files import write_json
from stvlm.questions.asking import common_prompt
from stvlm.records import Array
from stvlm.training.collator import Collator
from stvlm.training.families import family_of
from stvlm.training.lengths import measure
from stvlm.training.new_model import make_processor, train_tokenizer
from stvlm.training.packing import tokenize
from stvlm.training.plan import make_plan
from stvlm.training.recipe import NewModel, SFTRecipe
from stvlm.training.samples import of_rows, write_samples

ROOT = Path(__file__).parent.parent
KIND = "llava_onevision"
WAYS = ("naive", "ours", "packed", "cached")


class Setting(NamedTuple):
    """Clips, and the model that they are for."""

    size_px: tuple[int, int]
    """Width and height of the mp4s."""
    frames: tuple[int, ...]
    """Clips have so many, in turn."""
    model: NewModel
    visual_side: int
    """Square root of the vision tower's tokens."""
    group: int
    """Samples that pass through a device at once."""


SETTINGS = {
    "384 px": Setting((640, 360), (40,), NewModel(image_size_px=384, patch_size_px=16), 27, 2),
    "128 px": Setting((128, 96), (8, 10, 13, 16), NewModel(image_size_px=128, patch_size_px=32), 4, 16),
}


def write_clip(path: Path, setting: Setting, count: int, rng: np.random.Generator) -> None:
    """A textured ground that moves under the camera, and a box."""
    width, height = setting.size_px
    ground = gaussian_filter(rng.normal(size=(height, width + 8 * count, 3)), (2, 2, 0))
    ground = np.clip(128 + 60 * ground / ground.std(), 0, 255).astype(np.uint8)

    def images() -> Iterator[Array]:
        for i in range(count):
            image = ground[:, 8 * i : 8 * i + width].copy()
            draw_outline(image, np.array([0.4, 0.4, 0.6, 0.6]) * [width, height, width, height], "red", 2)
            yield image

    write_video(path, images(), VideoSettings())


def make_rows(setting: Setting, clips: int, folder: Path) -> list[dict[str, Any]]:
    """Clips with what `of_rows` looks at, and six questions each."""
    rng, rows = np.random.default_rng(0), []
    for number in range(clips):
        count = setting.frames[number % len(setting.frames)]
        path = folder / f"{number}.mp4"
        write_clip(path, setting, count, rng)
        times_s = [i / 2 for i in range(count)]
        for i, verb in enumerate(("travel", "drive", "move", "go", "get", "come")):
            question, answer = f"How far does the object in the red bounding box {verb}?", f"It travels {i}.50 meters."
            question += " Think of where it is in each frame, and of how far that is from the frame before." * (i % 3)
            rows.append(
                {
                    "id": f"{number}-{i}",
                    "clip_id": str(number),
                    "task": "traveled_distance",
                    "template_id": f"traveled_distance/{i}",
                    "question": question,
                    "prompt": f"{common_prompt(times_s, ('red',))} {question}",
                    "answer": answer,
                    "objects": [],
                    "frame_times_s": times_s,
                    "video_path": str(path),
                }
            )
    return rows


class Timed:
    """A reader of frames that counts the processor's seconds in it."""

    def __init__(self, read: Callable[..., torch.Tensor]) -> None:
        self.read, self.seconds = read, 0.0

    def __call__(self, *args: Any) -> torch.Tensor:
        start = time.process_time()
        frames = self.read(*args)
        self.seconds += time.process_time() - start
        return frames


def naive_batches(processor: Any, rows: Sequence[Any], size: int, reader: Timed) -> Iterator[Any]:
    """Questions in any order, but for the frame count, of which LLaVA-OneVision takes one at a time."""
    rows = random.Random(0).sample(rows, len(rows))
    for count in sorted({len(row["frame_times_s"]) for row in rows}):
        alike = [row for row in rows if len(row["frame_times_s"]) == count]
        for start in range(0, len(alike), size):
            asked = alike[start : start + size]
            texts = [processor.apply_chat_template(as_messages(row["prompt"], row["answer"])) for row in asked]
            frames = [reader(Path(row["video_path"])) for row in asked]
            yield processor(
                text=texts, videos=frames, do_resize=False, do_sample_frames=False, padding=True, return_tensors="pt"
            )


def our_batches(processor: Any, samples: Dataset, size: int, reader: Timed) -> Iterator[Any]:
    """What a run is given."""
    recipe = SFTRecipe(dataset="", output_dir="", batch_size_per_device=size)
    collate = Collator(processor, KIND, reader, samples)
    for group in make_plan(samples, measure(samples, processor, KIND), recipe, groups_per_step=1):
        yield collate([group._asdict()])


def measured(setting: Setting, clips: int, folder: Path) -> dict[str, Any]:
    """Of each way: questions a second, the share of decoding and resizing, and tokens, padding among them."""
    rows = make_rows(setting, clips, folder)
    tokenizer = train_tokenizer((text for row in rows for text in (row["prompt"], row["answer"])), 1200)
    template = (ROOT / "training" / family_of(KIND).CHAT_TEMPLATE).read_text()
    processor = make_processor(setting.model, tokenizer, template)
    processor.num_image_tokens = setting.visual_side**2
    alone = write_samples(of_rows(rows, pack_questions=False), folder / "alone.arrow")
    packed = write_samples(of_rows(rows, pack_questions=True), folder / "packed.arrow")
    fresh, kept_frames = (
        FrameReader(processor.video_processor),
        FrameReader(processor.video_processor, folder / "frames"),
    )
    for path in packed["path"]:
        kept_frames(Path(path))
    ways: dict[str, tuple[Callable[..., Iterator[Any]], Any, Callable[..., torch.Tensor]]] = {
        "naive": (naive_batches, rows, lambda path: resized(processor.video_processor, decode(path))),
        "ours": (our_batches, alone, fresh),
        "packed": (our_batches, packed, fresh),
        "cached": (our_batches, packed, kept_frames),
    }
    result: dict[str, Any] = {"clips": clips, "questions": len(rows), "group": setting.group}
    for name, (batches, given, read) in ways.items():
        reader, tokens = Timed(read), 0
        tokenize.cache_clear()
        start = time.process_time()
        for batch in batches(processor, given, setting.group, reader):
            tokens += batch["input_ids"].numel()
        spent = time.process_time() - start
        result[name] = {
            "questions_per_s": round(len(rows) / spent, 2),
            "decode_share": round(reader.seconds / spent, 3),
            "tokens_per_question": round(tokens / len(rows)),
        }
    return result


def as_text(results: dict[str, Any]) -> str:
    """The table of benchmarks/README.md."""
    lines = [results["machine"]]
    for name, found in results["settings"].items():
        lines.append(
            f"{name}: {found['questions']} questions about {found['clips']} clips, in groups of {found['group']}"
        )
        for way in WAYS:
            of_way = found[way]
            lines.append(
                f"{way:8} {of_way['questions_per_s']:7.2f} questions/s of one core"
                f"  {of_way['questions_per_s'] / found['naive']['questions_per_s']:6.1f} times naive"
                f"  {of_way['decode_share']:6.1%} decoding  {of_way['tokens_per_question']:6,} tokens a question"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="of each dataset")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "collator.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = {}
    for name, setting in SETTINGS.items():
        with tempfile.TemporaryDirectory() as folder:
            settings[name] = measured(setting, args.clips, Path(folder))
    machine = f"{platform.machine()}, Python {platform.python_version()}, one core; processes that wanted one: "
    results = {"machine": f"{machine}{os.getloadavg()[0]:.1f}", "settings": settings}
    write_json(args.out, results)
    print(as_text(results))


if __name__ == "__main__":
    main()

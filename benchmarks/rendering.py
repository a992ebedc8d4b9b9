"""How fast are clips made, in frames a second of one core, and how large are they?

    python benchmarks/rendering.py FOLDER [--out benchmarks/results/rendering.json]

FOLDER holds JPEG images of one camera, 1920 x 1080 or so, found at any depth. They become mp4s of 640 pixels as the
builder makes them: read, made smaller, outlines drawn, encoded; with each x264 preset, and what it costs and gives. The
seconds are those of the processor, so that what else the machine does counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stvlm.dataset.video import Shot, VideoSettings, drawn_frames, read_video, video_size_px, write_video
from stvlm.files import write_json
from stvlm.records import Array, Camera, Frames
from stvlm.sources.images import ImageFiles

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "medium")


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """The least processor time of some runs."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


class InMemory:
    """Images that need no reading; satisfies records.Frames."""

    def __init__(self, images: list[Array]) -> None:
        self.images = images

    def available(self) -> Array:
        return np.ones(len(self.images), bool)

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        return self.images[index]


def psnr_db(frames: Array, decoded: Array) -> float:
    error = ((frames.astype(float) - decoded) ** 2).mean()
    return float(10 * np.log10(255**2 / error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "rendering.json")
    args = parser.parse_args()
    paths = tuple(sorted(args.folder.rglob("*.jpg"))[:40])
    with Image.open(paths[0]) as image:
        width_px, height_px = image.size
    paths = tuple(path for path in paths if Image.open(path).size == (width_px, height_px))
    camera = Camera("camera", width_px, height_px, 1000.0, 1000.0, width_px / 2, height_px / 2)
    settings = VideoSettings()
    size_px = video_size_px(camera, settings)
    n = len(paths)
    boxes_px = np.tile([[[100.0, 100.0, 180.0, 160.0]], [[300.0, 120.0, 420.0, 260.0]]], (1, n, 1))
    shot = Shot(np.arange(n), boxes_px, ("red", "blue"))
    frames = ImageFiles(paths, width_px, height_px)

    images = list(drawn_frames(frames, shot, size_px))
    small = InMemory(images)
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, one core; processes that wanted one: {os.getloadavg()[0]:.1f}",
        "images": f"{n} JPEG of {width_px} x {height_px}",
        "default_preset": settings.preset,
        "presets": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        for preset in PRESETS:
            chosen = VideoSettings(preset=preset)

            def make(read: Frames, chosen: VideoSettings = chosen) -> None:
                write_video(path, drawn_frames(read, shot, size_px), chosen)

            result["presets"][preset] = {
                "draw_and_encode_fps": round(n / seconds(partial(make, small)), 1),
                "from_jpeg_fps": round(n / seconds(partial(make, frames)), 1),
                "kB_a_frame": round(path.stat().st_size / n / 1000, 1),
                "psnr_db": round(psnr_db(np.stack(images), read_video(path)[0]), 2),
            }
    write_json(args.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

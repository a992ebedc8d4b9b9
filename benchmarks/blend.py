"""What it costs to choose a blend: seconds and memory for a long list, and for the headers of videos.

    python benchmarks/blend.py

Writes a list with rows like OpenSpatialDataset's, 9,000 in 310 MB, and 100 videos of 20 s into a temporary folder,
ranks the one, looks at the others, and writes results/blend.json. Seconds are those of the processor.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.dataset.video import VideoSettings, write_video
from stvlm.files import write_json
from stvlm.training.blend.make import THREADS, _rank
from stvlm.training.blend.media import Media
from stvlm.training.blend.open_spatial import read_open_spatial

ROWS, VIDEOS = 9_000, 100
FULL_ROWS, FULL_BYTES = 909_419, 31.9e9
"""Of result_10_depth_convs.json."""
RESULT = Path(__file__).parent / "results" / "blend.json"


def anonymous_mb() -> float:
    """Memory of this process that is not a file's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def write_list(path: Path) -> None:
    """Rows with ten questions about up to two of nineteen regions, and masks that take most of the room."""
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(ROWS):
            turns, regions = [], 0
            for question in range(10):
                n = rng.choice([1, 2, 2, 2])
                regions += n
                asked = "<image>\n" * (not question) + f"Which is wider, {' or '.join(['<mask> <depth>'] * n)}?"
                turns += [{"from": "human", "value": asked}, {"from": "gpt", "value": f"Region [0], by {number} cm."}]
            row = {
                "filename": f"{number:016x}",
                "conversations": turns,
                "bbox": [[rng.uniform(0, 500), rng.uniform(0, 300), 510.5, 310.5] for _ in range(regions)],
                "rle": [
                    {"size": [768, 1024], "counts": "".join(rng.choices("abc\\def0123PQRST`o", k=1700))}
                    for _ in range(regions)
                ],
            }
            file.write(("[" if number == 0 else ", ") + json.dumps(row))
        file.write("]")


def measure_list(folder: Path) -> dict[str, Any]:
    path = folder / "list.json"
    write_list(path)
    before_mb, started = anonymous_mb(), time.process_time()
    reader = read_open_spatial(path, None, folder)
    opened_s = len(reader) and time.process_time() - started
    _rank("open_spatial", reader, 0, {})
    ranked_s = time.process_time() - started - opened_s
    full_s = opened_s * FULL_BYTES / path.stat().st_size + ranked_s * FULL_ROWS / ROWS
    return {
        "rows": ROWS,
        "mb": round(path.stat().st_size / 1e6),
        "memory_mb": round(anonymous_mb() - before_mb, 1),
        "open_s": round(opened_s, 2),
        "rank_ms_a_row": round(1000 * ranked_s / ROWS, 3),
        "whole_list_minutes": round(full_s / 60, 1),
    }


def measure_videos(folder: Path) -> dict[str, Any]:
    images = (np.full((180, 320, 3), number % 256, np.uint8) for number in range(600))
    write_video(folder / "0.mp4", images, VideoSettings(), 1 / 30)
    paths = [folder / f"{number}.mp4" for number in range(VIDEOS)]
    for path in paths[1:]:
        shutil.copy(paths[0], path)
    seen = Media(folder / "media.jsonl", 32)
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        frames = {len(shown.times_s) for shown in pool.map(lambda path: seen("video", path), paths)}
    assert frames == {32}
    return {
        "videos": VIDEOS,
        "videos_a_second": round(VIDEOS / (time.monotonic() - started_s)),
        "cpu_ms_a_video": round(1000 * (time.process_time() - started_cpu_s) / VIDEOS, 2),
    }


def main() -> None:
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    }
    result["processes_that_wanted_one"] = round(os.getloadavg()[0], 1)
    for name, measure in (("list", measure_list), ("videos", measure_videos)):
        with tempfile.TemporaryDirectory() as folder:
            result[name] = measure(Path(folder))
    write_json(RESULT, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

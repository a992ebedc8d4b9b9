"""A small world to look at, made as the Space's examples are, and videos for uploading."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stvlm.cards.dataset import write_dataset_card
from stvlm.dataset.folder import build
from stvlm.dataset.prepare import BuildRequest
from stvlm.dataset.recipe import Recipe
from stvlm.demo.examples import write_plain
from stvlm.engine import Engine
from stvlm.recipes import from_mapping
from stvlm.simulation.source import SimulationSource

WORLD = {
    "seed": 1, "split": "train", "recordings": 4, "duration_s": 6.0, "width_px": 448, "height_px": 280,
    "layouts": ["crossroads"], "camera_motions": {"fixed": 1.0}, "camera_height_m": [4, 5], "objects": [5, 6],
    "car_speed_mps": [2, 8], "bicycle_speed_mps": [2, 4],
}  # fmt: skip
RECIPE = {
    "name": "examples", "title": "Examples", "sources": {"simulation": WORLD}, "splits": {"train": "train"},
    "clips": {"max_frames": 11}, "select": {"rows_per_task": 6}, "visibility": {"min_size": 0.08},
}  # fmt: skip


def make_examples(folder: Path) -> Path:
    """A dataset with plain clips beside it."""
    recipe = from_mapping(Recipe, RECIPE, "recipe")
    build(BuildRequest(recipe=recipe, paths={}, engine=Engine("local", 1, {})), folder, write_dataset_card)
    write_plain(folder, SimulationSource(dict(sorted(WORLD.items()))), most=2)
    return folder


def write_mp4(
    path: Path, frames: Iterable[np.ndarray], rate_hz: float = 10, codec: str = "libx264", **options: str
) -> Path:
    """A video of frames (H, W, 3), however it is coded."""
    with av.open(str(path), "w") as container:
        stream = None
        for image in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(rate_hz).limit_denominator(1000), options=options)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def grey(levels: Iterable[int], width_px: int = 128, height_px: int = 96) -> Iterable[np.ndarray]:
    """Frames that are grey all over, each of its own level."""
    return (np.full((height_px, width_px, 3), level, dtype=np.uint8) for level in levels)


def street(count: int = 30, width_px: int = 320, height_px: int = 200) -> Iterable[np.ndarray]:
    """A patterned square of 48 pixels that goes right by 3 a frame, over a pattern that stays."""
    rng = np.random.default_rng(0)
    behind = rng.integers(60, 120, (height_px // 8, width_px // 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    square = rng.integers(0, 255, (12, 12, 3)).repeat(4, axis=0).repeat(4, axis=1)
    for i in range(count):
        image = behind.astype(np.uint8).copy()
        image[80:128, 40 + 3 * i : 88 + 3 * i] = square
        yield image


def write_sound(path: Path) -> Path:
    """A file that holds a second of sound and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        stream.layout = "mono"
        for i in range(44):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, i * 1024
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path

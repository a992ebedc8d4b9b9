"""Changes to a clip after which its questions still have an answer that is known."""

from __future__ import annotations

import random
import re
from itertools import permutations
from typing import NamedTuple

import torch

from stvlm.records import COLORS_RGB
from stvlm.training.samples import Asked

CHANNEL = {color: rgb.index(255) for color, rgb in COLORS_RGB.items()}
"""Each box colour is one channel of an image, so that exchanging channels exchanges colours."""

_COLOR = re.compile(rf"\b({'|'.join(COLORS_RGB)})\b")


class Drawn(NamedTuple):
    """Frames (n, 3, h, w) uint8, and what is asked about them."""

    frames: torch.Tensor
    asked: list[Asked]


def exchange_colors(drawn: Drawn, rng: random.Random) -> Drawn:
    """The clip with its box colours exchanged, in the image and in the words.

    In a grey recording this is exact. In any other, everything else changes its hue as well.
    """
    source = rng.choice(list(permutations(range(3))))  # channel i shows what channel source[i] did
    becomes = {old: new for new, i in CHANNEL.items() for old, k in CHANNEL.items() if k == source[i]}

    def renamed(text: str) -> str:
        return _COLOR.sub(lambda match: becomes[match[1]], text)

    asked = [Asked(renamed(prompt), renamed(answer)) for prompt, answer in drawn.asked]
    return Drawn(drawn.frames[:, list(source)], asked)


def mirror(frames: torch.Tensor) -> torch.Tensor:
    """Left and right exchanged: distances, speeds and who wins stay, clock hours do not."""
    return frames.flip(-1)

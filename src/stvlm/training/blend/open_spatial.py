r"""OpenSpatialDataset (https://huggingface.co/datasets/a8cheng/OpenSpatialDataset): where things in an image are.

    {"filename": "000002b66c9c498e",                            of an Open Images photograph, without its suffix
     "conversations": [{"from": "human", "value": "<image>\nIs <mask> <depth> wider than <mask> <depth>?"},
                       {"from": "gpt", "value": "Region [0] is wider than Region [1]."}, ...],
     "bbox": [[x0, y0, x1, y1], ...], "rle": [{"size": [height, width], "counts": "..."}, ...]}

Each <mask> has a box and a mask, in order over all questions, and answers number the regions of their own question
from 0. SpatialRGPT, which the set was made for, puts features of the mask, and of a depth map, in the place of these
tokens. Our models have no such encoders, and the paper does not say what ST-VLM is given. Here a region is told in
words, its box in the form in which LLaVA-1.5's region questions write one; masks and depth are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import msgspec

from stvlm.records import Rejected
from stvlm.sources.licences import licence_of
from stvlm.training.blend.conversations import Said
from stvlm.training.blend.lists import ListReader
from stvlm.training.blend.rows import Row
from stvlm.training.blend.turns import Turn, as_asked

REGIONS_TOLD = "Regions are given as [left, top, right, bottom] in fractions of the image's width and height."
"""Before the first question."""
NO_SIZE = "regions without the size of their image"
OTHER_BOXES = "not a box for each region"
MISSING = "image missing; fetch it from Open Images and put it into `media`"
_REGION = re.compile(r"<mask>(?:\s*<depth>)?")

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


class _Mask(msgspec.Struct):
    size: tuple[int, int]
    """Height and width of the image."""


class _ImageInfo(msgspec.Struct):
    height: int
    width: int


class _Row(msgspec.Struct):
    filename: str
    conversations: list[Said]
    bbox: list[Box] = []
    rle: list[_Mask] = []
    image_info: _ImageInfo | None = None


def read_open_spatial(path: Path, media: Path | None, unpacked: Path) -> ListReader[_Row]:
    """The rows of result_10_depth_convs.json, with Open Images' photographs in a folder."""
    reading = partial(_as_row, media=media or path.parent)
    return ListReader(path, unpacked, licence_of("open_spatial").terms, _Row, reading)


def _as_row(row: _Row, media: Path) -> Row | Rejected:
    turns = _turns(row)
    asked = turns if isinstance(turns, Rejected) else as_asked(turns, has_medium=True)
    if isinstance(asked, Rejected):
        return asked
    if row.bbox:
        asked[0] = asked[0]._replace(prompt=f"{REGIONS_TOLD} {asked[0].prompt}")
    name = f"{row.filename}.jpg"
    places = [media / name, media / f"train_{name[0]}" / name]  # as Open Images' archives unpack
    return Row("image", name, asked, places, MISSING)


def _turns(row: _Row) -> list[Turn] | Rejected:
    """The turns with each region told by its number in its question and its box."""
    regions = sum(len(_REGION.findall(said.text)) for said in row.conversations)
    if regions != len(row.bbox):
        return Rejected(OTHER_BOXES)
    if row.rle:
        height, width = row.rle[0].size
    elif row.image_info is not None:
        height, width = row.image_info.height, row.image_info.width
    elif regions:
        return Rejected(NO_SIZE)
    told = iter([region_told(box, width, height) for box in row.bbox])
    return [Turn(said.role, _with_regions(said.text, told)) for said in row.conversations]


def region_told(box_px: Box, width_px: int, height_px: int) -> str:
    """A box in fractions of its image: [0.25, 0.5, 0.75, 1.0]."""
    fractions = (min(max(x / side, 0.0), 1.0) for x, side in zip(box_px, (width_px, height_px) * 2, strict=True))
    return f"[{', '.join(str(round(fraction, 2)) for fraction in fractions)}]"


def _with_regions(text: str, told: Iterator[str]) -> str:
    numbers = count()
    return _REGION.sub(lambda _: f"Region [{next(numbers)}] at {next(told)}", text)

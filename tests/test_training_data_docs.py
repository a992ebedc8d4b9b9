"""docs/training_data.md holds true: its recipe is one, its row is read, and a region is told as it says."""

import re
from pathlib import Path

import yaml

from stvlm.recipes import from_mapping
from stvlm.training.blend.conversations import read_conversations
from stvlm.training.blend.open_spatial import REGIONS_TOLD, region_told
from stvlm.training.recipe import Blend
from stvlm.training.samples import Asked

TEXT = (Path(__file__).parent.parent / "docs" / "training_data.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", TEXT, re.S)
    assert found is not None
    return found[1]


def test_the_recipe_is_the_papers_and_one_more() -> None:
    blend = from_mapping(Blend, yaml.safe_load(block("yaml"))["blend"], "docs")
    assert {name: source.count for name, source in blend.sources.items()} == {
        "llava_video": 100_000,
        "open_spatial": 20_000,
        "my_chats": 5_000,
    }
    assert blend.max_frames == Blend({}).max_frames


def test_the_row_is_read(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text(block("json"))
    row = read_conversations(tmp_path / "chats.jsonl", tmp_path / "videos", tmp_path)[0]
    assert row[:3] == ("video", "a.mp4", [Asked("What moves?", "A car.")])
    assert row[3] == [tmp_path / "videos" / "a.mp4"]


def test_a_region_is_told_so() -> None:
    boxes = (0, 0, 320, 240), (160, 120, 640, 480)
    first, second = (region_told(box_px, 640, 480) for box_px in boxes)
    told = f"{REGIONS_TOLD} Is Region [0] at {first} wider than Region [1] at {second}?"
    assert told in " ".join(TEXT.replace("\n> ", " ").split())

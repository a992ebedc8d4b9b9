"""docs/training.md holds true: its commands name files that are there, and its table every recipe."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def test_commands_name_what_is_there() -> None:
    commands = re.search(r"```\n(.*?)```", TEXT, re.S)
    assert commands is not None
    lines = commands[1].splitlines()
    assert len(lines) == 6
    for line in lines:
        paths = re.findall(r"training/\S+\.(?:py|yaml)", line)
        assert "training/sft.py" in paths
        assert all((ROOT / path).is_file() for path in paths), line


def test_the_table_has_every_recipe_and_no_other() -> None:
    table = TEXT[TEXT.index("## Recipes") : TEXT.index("Table 6's")]
    named = set(
        re.findall(r"`([\w.]+)`", " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    )
    recipes = {path.stem for path in (ROOT / "training" / "recipes").glob("*.yaml")}
    assert named == recipes - {"grpo_tiny", "grpo_7b_lora", "st_vlm_tiny"}

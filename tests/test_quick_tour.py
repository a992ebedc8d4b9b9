"""docs/quick_tour.md, as it is typed: every command and every piece of Python, in a clone whose recipes are small."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "quick_tour.md").read_text(encoding="utf-8")
WORLD = {"recordings": 3}
SMALLER = {
    "dataset_builder/recipes/sample.yaml": {"sources": {"simulation": WORLD}},
    "dataset_builder/recipes/sample_bench.yaml": {
        "sources": {"simulation": WORLD},
        "select": {"rows_per_task": 3},
    },
    "training/recipes/tiny_cpu.yaml": {"new_model": {"hidden_size": 16, "language_layers": 4}},
}
"""What of a recipe is otherwise here, so that minutes are seconds."""


def clone(folder: Path) -> Path:
    """The programs, with the recipes made smaller."""
    for name in ("benchmarks", "docs", "evaluate_metric", "model_card", "space", "src", "Makefile"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("dataset_builder", "training"):
        shutil.copytree(ROOT / name, folder / name)
    for name, otherwise in SMALLER.items():
        recipe = yaml.safe_load((folder / name).read_text())
        for key, values in otherwise.items():
            parts = {
                part: recipe[key][part] | value if isinstance(value, dict) else value for part, value in values.items()
            }
            recipe[key] |= parts
        for stage in recipe.get("trajectories", {}).get("stages", []):
            stage |= {"steps": 2, "batch_size": 4}
        (folder / name).write_text(yaml.safe_dump(recipe, sort_keys=False))
    return folder


def pieces() -> list[list[str]]:
    """The arguments for Python of every command and piece in the page's order; what make does is tested elsewhere."""
    found = []
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.S | re.M):
        commands = [line.split()[1:] for line in block.splitlines() if line.startswith("python ")]
        found += [["-c", block]] if kind == "python" else commands
    return found


def test_the_tour_ends_with_cards_of_what_was_made(tmp_path: Path) -> None:
    place = clone(tmp_path)
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "huggingface")}
    told = []
    assert len(pieces()) == 10
    for words in pieces():
        done = subprocess.run([sys.executable, *words], cwd=place, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}\n{done.stderr[-2000:]}"
        told.append(done.stdout)
    assert "bounding box" in told[2]
    for made in ("stkit.png", "st-vlm-quickstart/model.safetensors", "report/report.html", "cards/model/README.md"):
        assert (place / made).is_file(), made
    assert re.search(r"^geometry( +100\.0 +0\.0)", told[7], re.M), told[7]

"""Makes the folder examples/: a small dataset of the simulated world, and some of its clips without boxes.

python make_examples.py
"""

from pathlib import Path

from stvlm.cards.dataset import write_dataset_card
from stvlm.dataset.folder import build
from stvlm.dataset.prepare import BuildRequest
from stvlm.dataset.recipe import Recipe
from stvlm.demo.examples import write_plain
from stvlm.engine import Engine
from stvlm.programs import run_program
from stvlm.recipes import load_recipe

HERE = Path(__file__).parent
CLIPS = 8


def main() -> None:
    recipe = load_recipe(HERE / "examples.yaml", Recipe)
    folder = HERE / "examples"
    build(BuildRequest(recipe=recipe, paths={}, engine=Engine("local", None, {})), folder, write_dataset_card)
    made = write_plain(folder, dict(recipe.sources["simulation"]), CLIPS)
    print(f"{folder}: {len(made)} clips to ask about")


if __name__ == "__main__":
    run_program(main)

"""Makes the folder examples/: a small dataset of the simulated world, and some of its clips without boxes.

python make_examples.py
"""

import json
from pathlib import Path

from stvlm.cards.dataset import write_dataset_card
from stvlm.dataset.folder import build
from stvlm.dataset.prepare import BuildRequest, sources_of
from stvlm.dataset.recipe import Recipe
from stvlm.demo.examples import write_plain
from stvlm.programs import run_program
from stvlm.recipes import load_recipe
from stvlm.simulation.source import SimulationSource

HERE = Path(__file__).parent
CLIPS = 8


def main() -> None:
    recipe = load_recipe(HERE / "examples.yaml", Recipe)
    folder = HERE / "examples"
    request = BuildRequest(recipe=recipe, paths={})
    build(request, folder, write_dataset_card)
    (simulation,) = sources_of(request)
    made = write_plain(folder, SimulationSource(json.loads(simulation.options)), CLIPS)
    print(f"{folder}: {len(made)} clips to ask about")


if __name__ == "__main__":
    run_program(main)

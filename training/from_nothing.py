"""Makes a small video language model that answers questions about motion, from nothing and a simulated world.

    python training/from_nothing.py --config training/recipes/st_vlm_tiny.yaml --output_dir st-vlm-tiny

OUTPUT_DIR appears when the model is whole. An interrupted run goes on when the same command is run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from stvlm.programs import run_program
from stvlm.recipes import load_recipe

CHAT_TEMPLATE = Path(__file__).parent / "chat_template.jinja"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="training/recipes/st_vlm_tiny.yaml, or your own")
    parser.add_argument("--output_dir", help="folder to make, in place of the recipe's")
    args = parser.parse_args()

    from stvlm.training.curriculum import Curriculum, train

    recipe = load_recipe(args.config, Curriculum)
    if args.output_dir is not None:
        recipe = dataclasses.replace(recipe, output_dir=args.output_dir)
    out = train(recipe, CHAT_TEMPLATE.read_text(encoding="utf-8"))
    print(f"\n{out}: AutoModelForImageTextToText.from_pretrained({str(out)!r}) loads it", file=sys.stderr)


if __name__ == "__main__":
    run_program(main)

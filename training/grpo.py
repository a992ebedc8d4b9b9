"""Trains a fine-tuned video VLM further on its own answers, by the benchmark's reading of them (GRPO).

    python training/grpo.py --config training/recipes/grpo_tiny.yaml --output_dir st-vlm-quickstart-rl
    accelerate launch training/grpo.py --config training/recipes/grpo_7b_lora.yaml

OUTPUT_DIR appears when the model is whole. An interrupted run goes on when the same command is run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from stvlm.programs import run_program
from stvlm.recipes import load_recipe
from stvlm.training.grpo_recipe import GRPORecipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="one of training/recipes/grpo_*, or your own")
    parser.add_argument("--model", help="a fine-tuned model's folder or Hub id, in place of the recipe's")
    parser.add_argument("--dataset", help="a built dataset's folder or Hub id, in place of the recipe's")
    parser.add_argument("--output_dir", help="folder to make, in place of the recipe's")
    args = parser.parse_args()
    names = ("model", "dataset", "output_dir")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    recipe = dataclasses.replace(load_recipe(args.config, GRPORecipe), **given)

    from stvlm.training.grpo import learn  # torch and transformers take seconds to import: a wrong recipe need not wait

    out = learn(recipe)
    if os.environ.get("RANK", "0") == "0":
        print(f"\n{out}: learned from its own answers; training.json tells its rewards step by step", file=sys.stderr)


if __name__ == "__main__":
    run_program(main)

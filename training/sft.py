"""Fine-tunes a video VLM on a built dataset.

    python training/sft.py --config training/recipes/tiny_cpu.yaml --dataset stkit --output_dir runs/tiny
    python training/sft.py --config training/recipes/st_vlm_7b.yaml --check
    accelerate launch --config_file training/accelerate/fsdp2.yaml training/sft.py --config ...

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
from stvlm.training.recipe import SFTRecipe

TEMPLATES = Path(__file__).parent
OVERRIDES = ("dataset", "model", "output_dir")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="one of training/recipes, or your own")
    parser.add_argument("--dataset", help="a built dataset's folder or Hub id, in place of the recipe's")
    parser.add_argument("--model", help="the folder or Hub id of what is fine-tuned, in place of the recipe's")
    parser.add_argument("--output_dir", help="folder to make, in place of the recipe's")
    parser.add_argument(
        "--check", action="store_true", help="train nothing: find what would end the run, and say what it would need"
    )
    args = parser.parse_args()
    given = {name: getattr(args, name) for name in OVERRIDES if getattr(args, name) is not None}
    recipe = dataclasses.replace(load_recipe(args.config, SFTRecipe), **given)

    # torch and transformers take seconds to import: a wrong recipe need not wait
    from stvlm.training.beginning import check
    from stvlm.training.families import family_of
    from stvlm.training.opening import model_type
    from stvlm.training.run import train

    chat_template = (TEMPLATES / family_of(model_type(recipe)).CHAT_TEMPLATE).read_text(encoding="utf-8")
    if args.check:
        print(check(recipe, chat_template))
        return
    out = train(recipe, chat_template)
    if os.environ.get("RANK", "0") == "0":
        print(f"\n{out}: AutoModelForImageTextToText.from_pretrained({str(out)!r}) loads it", file=sys.stderr)


if __name__ == "__main__":
    run_program(main)

r"""Does learning from its own answers raise a model's reward, and its score on clips that it never saw?

    sed 's/seed: 1001/seed: 1002/; s/recordings: 100/recordings: 300/; s/rows_per_task: 200/rows_per_task: 600/' \
        dataset_builder/recipes/sample_bench.yaml > unseen.yaml
    python dataset_builder/build.py unseen.yaml --out unseen
    python benchmarks/grpo_tiny.py --model st-vlm-quickstart --dataset stkit --bench unseen --work FOLDER

with the model and the dataset that `make quickstart` makes. FOLDER receives the model; a run that was stopped goes on
there. For a recipe with twins, DATASET is built with them:

    (cat dataset_builder/recipes/sample.yaml; echo "variants: [mirrored, reversed]") > sample_twins.yaml
    python dataset_builder/build.py sample_twins.yaml --out stkit
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.evaluation.answering import fingerprint, make_batches
from stvlm.evaluation.backends.transformers import TransformersModel
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.prompts import Asked
from stvlm.evaluation.responses import MODEL
from stvlm.files import read_json, write_json
from stvlm.programs import run_program
from stvlm.recipes import load_recipe, to_mapping
from stvlm.scoring import compare, score_all
from stvlm.training.grpo import learn
from stvlm.training.grpo_recipe import GRPORecipe

ROOT = Path(__file__).parents[1]
STEPS_MEANT = 20
"""Of how many steps, at the start and at the end, a reward's mean is given."""


def mean_of(log: Sequence[Mapping[str, float]], name: str) -> dict[str, float]:
    """The mean of a reward over steps, with a 95 % interval from their spread."""
    values = np.array([step[name] for step in log])
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    mean = float(values.mean())
    return {"mean": round(mean, 4), "low": round(mean - half, 4), "high": round(mean + half, 4)}


def answers(model: Path, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Greedy answers, in the rows' order."""
    asked = [Asked(row, MODEL, row["prompt"]) for row in rows]
    answered = TransformersModel(str(model), 64).answer(make_batches(asked, 32))
    found = {item.row["id"]: text or "" for item, text, _ in answered}
    return [found[row["id"]] for row in rows]


def as_text(measured: Mapping[str, Any]) -> str:
    """The rewards of the first and the last steps, and the scores before and after, as tables."""
    recipe, held_out = measured["recipe"], measured["held_out"]
    count = sum(value for key, value in held_out["after"].items() if key.endswith("_count"))
    lines = [
        f"{recipe['steps']} steps of {recipe['questions_per_step']} questions, "
        f"{recipe['answers_per_question']} answers to each, seed {recipe['seed']}",
        f"{'while it learns':<32}{f'first {STEPS_MEANT} steps':<24}last {STEPS_MEANT} steps",
    ]
    for name, ends in measured["train"].items():
        first, last = (f"{of['mean']:.3f} ({of['low']:.3f} to {of['high']:.3f})" for of in ends.values())
        lines.append(f"{name:<32}{first:<24}{last}")
    lines.append(f"{f'on {count} unseen questions':<32}{'before':<8}{'after':<8}difference")
    for name, gain in measured["difference"].items():
        before, after = (100 * held_out[when][name] for when in ("before", "after"))
        lines.append(
            f"{name.removesuffix('_accuracy'):<32}{before:<8.1f}{after:<8.1f}{100 * gain['value']:+.1f} "
            f"({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}), p = {gain['p_value']:.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=ROOT / "training" / "recipes" / "grpo_tiny.yaml")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "grpo_tiny.json")
    args = parser.parse_args()
    recipe = dataclasses.replace(
        load_recipe(args.config, GRPORecipe),
        model=str(args.model), dataset=args.dataset, output_dir=str(args.work / "model"),
    )  # fmt: skip
    after = learn(recipe)
    log = [step for step in read_json(after / "training.json")["log"] if "reward" in step]
    rows = [row for row in load_split(args.bench, "test").rows if row["task"] in recipe.tasks]
    said = {"before": answers(args.model, rows), "after": answers(after, rows)}
    names = {"reward": "reward"} | {name: f"rewards/{name}/mean" for name in recipe.rewards} | {"entropy": "entropy"}
    ends = {"first": log[:STEPS_MEANT], "last": log[-STEPS_MEANT:]}
    left_out = ("model", "dataset", "output_dir")  # where they lay on one machine
    results = {
        "recipe": {key: value for key, value in to_mapping(recipe).items() if key not in left_out},
        "model_fingerprint": fingerprint(str(args.model)),
        "model_steps": read_json(args.model / "training.json")["log"][-1]["step"],
        "train": {name: {end: mean_of(steps, logged) for end, steps in ends.items()} for name, logged in names.items()},
        "steps_meant": STEPS_MEANT,
        "held_out": {when: score_all(texts, rows, 0.95) for when, texts in said.items()},
        "difference": {
            name: found._asdict() | {"is_beyond_chance": found.is_beyond_chance}
            for name, found in compare(said["after"], said["before"], rows).items()
        },
        "versions": read_json(after / "training.json")["versions"],
        "wall_s": read_json(after / "training.json")["wall_s"],
    }
    write_json(args.out, results)
    print(as_text(results))


if __name__ == "__main__":
    run_program(main)

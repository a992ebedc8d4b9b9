"""Asks a model the questions of a dataset, and scores its answers beside those it gives without the video.

    python evaluate_metric/evaluate_model.py --model runs/tiny --dataset stkit-bench --out results/tiny

OUT receives responses.jsonl and results.json; what is answered there already is not asked again. The table has the
columns of the paper's Table 3: accuracies of traveled distance (TD), traveling speed (TS), movement direction (MD) and
direction timestamp (DT) with their errors, then those of the comparisons (TDC, TSC, MDC), and the average.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.evaluation.run import Settings, evaluate
from stvlm.programs import positive_int, run_program

CONTROLS = ("black", "static")


def controls(text: str) -> tuple[str, ...]:
    """A comma-separated list of controls; "" for none."""
    names = tuple(name for name in text.split(",") if name)
    for name in names:
        if name not in CONTROLS:
            raise argparse.ArgumentTypeError(f"unknown control {name!r}; known: {', '.join(CONTROLS)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model's folder or Hub id")
    parser.add_argument("--dataset", required=True, help="a built dataset's folder or Hub id")
    parser.add_argument("--out", type=Path, required=True, help="folder for responses and results")
    parser.add_argument("--split", default="test")
    parser.add_argument("--controls", type=controls, default=CONTROLS, help="default: black,static")
    parser.add_argument(
        "--batch_size", type=positive_int, default=32, metavar="N", help="questions at once (default: 32)"
    )
    parser.add_argument(
        "--max_new_tokens", type=positive_int, default=64, metavar="N", help="longest answer (default: 64)"
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="only the first N rows")
    args = parser.parse_args()
    settings = Settings(
        args.model, args.dataset, args.split, args.controls, args.limit, args.batch_size, args.max_new_tokens
    )
    print(evaluate(settings, args.out))


if __name__ == "__main__":
    run_program(main)

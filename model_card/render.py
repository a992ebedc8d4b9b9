"""Renders the cards of a release out of result files.

    python model_card/render.py --results results --out cards
    python model_card/render.py --results results --out cards --org ORG

RESULTS is a folder that evaluate_model.py wrote, or holds several of them: of the model in several settings, and of
others to compare it with. OUT receives a folder for each card: model/ (README.md, figures, and with --org the scores in
the Hub's form), dataset/ and benchmark/ as they are published, and metric/. What there is no result of is left out, and
the card says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.programs import run_program

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="what evaluate_model.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the cards")
    parser.add_argument("--model", type=Path, help="the model's folder, if it is not where the results say")
    parser.add_argument("--dataset", type=Path, help="what it was trained on, if not where its training.json says")
    parser.add_argument("--bench", type=Path, help="the benchmark, if it is not where the results say")
    parser.add_argument("--org", help="under whose name all is published, for links and for how it is loaded")
    args = parser.parse_args()

    from stvlm.cards.release_cards import write_cards

    said = write_cards(
        args.results,
        args.out,
        ROOT / "benchmarks" / "results",
        args.org,
        model=args.model,
        dataset=args.dataset,
        bench=args.bench,
        validations=ROOT / "docs" / "validation",
    )
    print("\n".join(said))


if __name__ == "__main__":
    run_program(main)

"""Publishes everything on the Hugging Face Hub: dataset, benchmark, metric, model, demo, and a collection of them.

    hf auth login
    python model_card/release.py ORG --results results --dry-run
    python model_card/release.py ORG --results results

RESULTS is a folder that evaluate_model.py wrote; model, benchmark and dataset are taken from where it and the model's
training.json say. What a licence keeps back stays here: rows of such sources go up without video. The model goes up
with its card, with its adapters where training left any, and in 4 bits where bitsandbytes is installed.

Interrupted, it goes on when the same command is run again; what is on the Hub already is not sent again. A repository
that holds something else is refused before anything is sent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.programs import run_program

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("org", metavar="ORG", help="your user name or an organisation of yours")
    parser.add_argument("--results", type=Path, required=True, help="what evaluate_model.py wrote")
    parser.add_argument("--model", type=Path, help="the model's folder, if it is not where the results say")
    parser.add_argument("--dataset", type=Path, help="what it was trained on, if not where its training.json says")
    parser.add_argument("--bench", type=Path, help="the benchmark, if it is not where the results say")
    parser.add_argument("--space", type=Path, default=ROOT / "space", help="the demo's folder (default: space)")
    parser.add_argument(
        "--work", type=Path, default=Path(".release"), help="where it is made ready (default: .release)"
    )
    parser.add_argument("--private", action="store_true", help="publish so that only ORG sees it")
    parser.add_argument("--no-nf4", action="store_true", help="do not publish the model in 4 bits")
    parser.add_argument("--dry-run", action="store_true", help="make all ready and list it; send nothing")
    args = parser.parse_args()

    from stvlm.hub import check_org

    if not args.dry_run:
        check_org(args.org)  # before what takes long, importing the rest too

    from stvlm.publishing.release import Release, as_table, left_out_lines, prepare, publish

    release = Release(
        org=args.org,
        results=args.results,
        metric=ROOT / "evaluate_metric" / "stkit_bench",
        measured=ROOT / "benchmarks" / "results",
        work=args.work,
        model=args.model,
        dataset=args.dataset,
        bench=args.bench,
        space=args.space,
        library=ROOT / "src" / "stvlm",
        validations=ROOT / "docs" / "validation",
        nf4=not args.no_nf4,
    )
    prepared = prepare(release)
    if args.dry_run:
        print(as_table(prepared, args.private))
        print("nothing was sent")
        return
    for told in publish(prepared, args.org, args.private):
        print(told, flush=True)
    print("\n".join(left_out_lines(prepared)))


if __name__ == "__main__":
    run_program(main)

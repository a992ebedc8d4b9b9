r"""Builds a dataset of kinematic questions from raw recordings.

    python dataset_builder/build.py dataset_builder/recipes/sample.yaml --out stkit
    python dataset_builder/build.py dataset_builder/recipes/labelled.yaml --source nuscenes=/data/nuscenes --out mine
    python dataset_builder/build.py dataset_builder/recipes/stkit.yaml --source nuscenes=/data/nuscenes --check
    python dataset_builder/build.py --materialize ORG/NAME --source nuscenes=/data/nuscenes --out mine
    python dataset_builder/build.py RECIPE --source NAME=PATH --out mine --engine slurm --workers 64 \
        --engine-option partition=cpu --engine-option time=04:00:00
    python dataset_builder/build.py dataset_builder/recipes/sample_bench.yaml --out stkit-bench --against stkit

The result loads with load_dataset(OUT). What was interrupted, a push too, goes on when the same command is run again,
with any engine and any number of workers: what is done is not done again, and the result is the same to the byte.
--check tells what a build would find, make and need, and writes nothing. --materialize adds the video to a dataset that
was published without it, from your own copy of the recordings.

The work is one recording at a time, run by datatrove on all cores of this machine, or elsewhere:

    --engine slurm   as a job array; needs --engine-option partition=NAME and time=HH:MM:SS
    --engine ray     on the cluster of RAY_ADDRESS, without it on this machine; needs the extra [ray]
    --engine jobs    as Hugging Face Jobs (experimental: tried on a stand-in for the Hub only); needs --engine-option
                     bucket=NAMESPACE/NAME, mount=FOLDER, under which this machine mounts that bucket and the Jobs will,
                     and dependencies='["stvlm @ git+https://..."]'

Every machine has to see the sources and the folder of OUT under the same paths. This program waits for them and shows
how far they are. Ctrl-C lets them finish the recordings that they are at. A recording that kills its worker twice is
left out, and counted.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stvlm.programs import name_and_value, option_value, positive_int, run_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "recipe", type=Path, nargs="?", help="what to build: one of dataset_builder/recipes, or your own"
    )
    parser.add_argument(
        "--source",
        metavar="NAME=PATH",
        type=name_and_value,
        action="append",
        default=[],
        help="where a source of the recipe lies on disk, once for each source. The simulation needs none",
    )
    parser.add_argument("--out", type=Path, help="folder to make; it appears when all of it is there")
    parser.add_argument(
        "--check",
        action="store_true",
        help="ask a sample of each source and tell what is there, licences, rows, disk and hours; nothing is written",
    )
    parser.add_argument(
        "--materialize",
        metavar="DATASET",
        help="render the video of this dataset, a folder or ORG/NAME on the Hub that holds rows without it",
    )
    parser.add_argument(
        "--annotations-only",
        action="store_true",
        help="write rows without video: no image is read, and nothing is passed on that a source's licence forbids",
    )
    parser.add_argument(
        "--wordings",
        type=Path,
        metavar="FILE",
        help="what the variant paraphrased asks in, in place of the library's held-out wordings: a file that "
        "dataset_builder/paraphrase.py wrote, or yours in that form; build.json then holds its wordings",
    )
    parser.add_argument(
        "--limit", type=positive_int, metavar="N", help="at most N recordings of each source, for a quick look"
    )
    parser.add_argument(
        "--engine",
        choices=["local", "slurm", "ray", "jobs"],
        default="local",
        help="where the work runs (default: %(default)s, on this machine)",
    )
    parser.add_argument(
        "--engine-option",
        metavar="NAME=VALUE",
        type=name_and_value,
        action="append",
        default=[],
        help="an argument of datatrove's executor, as JSON or text, once for each",
    )
    parser.add_argument(
        "--workers", type=positive_int, metavar="N", help="processes at a time (default: one a core of this machine)"
    )
    parser.add_argument(
        "--push-to-hub",
        metavar="ORG/NAME",
        help="then publish it as this dataset of the Hugging Face Hub, without the video that a licence keeps back",
    )
    parser.add_argument("--private", action="store_true", help="publish so that only its owner sees it")
    parser.add_argument(
        "--against",
        metavar="FOLDER",
        action="append",
        default=[],
        help="a built training set, once for each: none of its recordings may be here, shared vehicle-days and "
        "look-alikes are reported and left out of the config no_shared_day, and a probe that learned from its cues "
        "alone looks for shortcuts. Needs scikit-learn: pip install scikit-learn",
    )
    args = parser.parse_args()
    if args.private and not args.push_to_hub:
        parser.error("--private is about --push-to-hub ORG/NAME, which is missing")
    names = [name for name, _ in args.source]
    if len(set(names)) < len(names):
        parser.error("a source may be given once: put or link its recordings under one folder")
    if not args.check and args.out is None:
        parser.error("--out is missing: the folder to make")
    if args.check and args.push_to_hub:
        parser.error("--check writes nothing, so that there is nothing for --push-to-hub")
    others = (args.recipe, args.check, args.annotations_only, args.wordings, args.limit, args.push_to_hub, args.against)
    if args.materialize and any(others):
        parser.error("--materialize takes all but --source, --out and where the work runs from DATASET")
    if not args.materialize and args.recipe is None:
        parser.error("the recipe is missing: one of dataset_builder/recipes, or your own")

    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # its own keeps tens of MB that were freed
    # Here, not above: they take seconds, and --help needs none of them.
    from stvlm.cards.dataset import write_dataset_card
    from stvlm.dataset import check, materialize
    from stvlm.dataset.folder import build
    from stvlm.dataset.prepare import BuildRequest
    from stvlm.dataset.recipe import Recipe
    from stvlm.dataset.report import as_text
    from stvlm.engine import Engine
    from stvlm.publishing.dataset import check_publication, publish_dataset
    from stvlm.questions.paraphrases import read_wordings
    from stvlm.recipes import load_recipe

    paths = dict(args.source)
    engine = Engine(args.engine, args.workers, {name: option_value(text) for name, text in args.engine_option})
    if args.materialize:
        dataset = materialize.fetch(args.materialize)
        print(materialize.as_text(materialize.materialize(dataset, paths, args.out, write_dataset_card, engine)))
    else:
        request = BuildRequest(
            recipe=load_recipe(args.recipe, Recipe),
            paths=paths,
            annotations_only=args.annotations_only,
            limit=args.limit,
            engine=engine,
            against=tuple(args.against),
            wordings=read_wordings(args.wordings) if args.wordings else {},
        )
        if args.check:
            found = check.check(request, args.out)
            print(check.as_text(found))
            if found.problems:
                sys.exit("\n".join(f"error: {problem}" for problem in found.problems))
            return
        if args.push_to_hub:
            check_publication(args.push_to_hub, args.private)
        print(as_text(build(request, args.out, write_dataset_card)))
    print(f"\n{args.out}: load_dataset({str(args.out)!r}) reads it", file=sys.stderr)
    if args.push_to_hub:
        for note in publish_dataset(args.out, args.push_to_hub, args.private):
            print(f"{args.push_to_hub}: {note}", file=sys.stderr)


if __name__ == "__main__":
    run_program(main)

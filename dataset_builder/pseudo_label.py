r"""Labels how objects move in plain video, as recordings that build.py takes as a source.

    python dataset_builder/pseudo_label.py dataset_builder/recipes/pseudo_embedded.yaml \
        --source video_folder=my-videos --out labelled
    python dataset_builder/build.py dataset_builder/recipes/labelled.yaml --source video_folder=labelled --out mine

Recipes:

    pseudo_embedded.yaml   boxes that come with the videos, the camera's motion from the road: no network, any CPU
    pseudo_paper.yaml      the paper's: MonST3R, Metric3Dv2, Grounding DINO and SAM2, and no smoothing
    pseudo_best.yaml       ViPE and SAM3
    pseudo_open.yaml       what may be used commercially: MapAnything, Metric3Dv2, Grounding DINO and SAM2

MonST3R, ViPE and MapAnything run in environments of their own; the recipe says by which command, see
docs/pseudo_labels.md. What was interrupted goes on when the same command is run again. After a change in the recipe
only the stages are done again that depend on it: what they made is kept in --work. Ctrl-C lets what is begun be
finished.

    --engine slurm|ray|jobs with --engine-option runs it elsewhere, as in build.py; --gpu-engine-option NAME=VALUE
    is added for the stages that run networks or tools, such as partition=gpu or gpus_per_task=1.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from stvlm.programs import name_and_value, option_value, positive_int, run_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="how: one of dataset_builder/recipes/pseudo_*.yaml, or your own")
    parser.add_argument(
        "--source",
        metavar="NAME=PATH",
        type=name_and_value,
        action="append",
        default=[],
        help="where a collection of videos lies: video_folder, bdd100k, llava_video or multisports",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make; it appears when all of it is there")
    parser.add_argument("--work", type=Path, help="folder in which stages keep their results (default: OUT.work)")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="at most N videos of each collection")
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
        "--gpu-engine-option",
        metavar="NAME=VALUE",
        type=name_and_value,
        action="append",
        default=[],
        help="the same for the stages that run networks or tools",
    )
    parser.add_argument(
        "--gpu-workers",
        type=positive_int,
        default=1,
        metavar="N",
        help="processes at a time in those stages: one for each GPU (default: %(default)s)",
    )
    args = parser.parse_args()
    names = [name for name, _ in args.source]
    if len(set(names)) < len(names):
        parser.error("a collection may be given once: put or link its videos under one folder")

    # Here, so that --help and wrong arguments need not wait for them.
    from stvlm.engine import Engine
    from stvlm.pseudo_labels.output import as_text, failures_told, label, terms_told
    from stvlm.pseudo_labels.pipeline import Request
    from stvlm.pseudo_labels.recipe import PseudoLabelling
    from stvlm.recipes import load_recipe
    from stvlm.records import DataError

    engine = Engine(args.engine, args.workers, {name: option_value(text) for name, text in args.engine_option})
    of_gpu = {name: option_value(text) for name, text in args.gpu_engine_option}
    request = Request(
        recipe=load_recipe(args.recipe, PseudoLabelling),
        paths=dict(args.source),
        limit=args.limit,
        engine=engine,
        gpu_engine=replace(engine, workers=args.gpu_workers, options={**engine.options, **of_gpu}),
    )
    print(terms_told(request.recipe))
    out = args.out.absolute()
    work = args.work or out.with_name(f"{out.name}.work")
    report, costs = label(request, args.out, work)
    print(as_text(report, costs))
    for name in request.paths:
        asks = "python dataset_builder/build.py dataset_builder/recipes/labelled.yaml"
        print(f"to ask about it: {asks} --source {name}={args.out} --out DATASET")
    if failures := failures_told(report, args.out, work):
        raise DataError(failures)


if __name__ == "__main__":
    run_program(main)

r"""Measures how right pseudo-labels are: labels recordings as if their truth were not known, and compares.

    python dataset_builder/validate_pseudo_labels.py dataset_builder/recipes/pseudo_embedded.yaml \
        --source nuscenes=/data/nuscenes --source kitti=/data/kitti --out validation
    python dataset_builder/validate_pseudo_labels.py dataset_builder/recipes/pseudo_embedded.yaml \
        --source simulation --out validation --limit 20

Sources are labelled ones: nuscenes, argoverse2, nuplan, kitti, egoexo4d, aria_digital_twin, or the simulation, which
needs no path. Their intrinsics are given, and how high their cameras are: by where boxes near them end. With `objects:
{by: annotations}` the boxes are the projections of the true ones, as nobody else has marked any. Where a source has no
images here, its boxes can be used with known poses alone: the rungs without are counted as left out.

OUT gets index.html, a page to look at, with its figures, and validation.json: shares within 25 %, bias, errors, hours,
comparisons, what is kept, whether sigmas are right, by class, range and speed, a sweep of limits; for the recipe as it
is, and with true boxes, true poses, or both. What was interrupted goes on when the same command is run again; stages
keep their results in --work.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.programs import name_and_value, positive_int, run_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="how: one of dataset_builder/recipes/pseudo_*.yaml, or your own")
    parser.add_argument(
        "--source",
        metavar="NAME=PATH",
        type=_source,
        action="append",
        default=[],
        help="where a labelled source lies, once for each; the simulation's name alone",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the page and its numbers")
    parser.add_argument("--work", type=Path, help="folder in which stages keep their results (default: OUT.work)")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="at most N videos of each source")
    parser.add_argument("--workers", type=positive_int, metavar="N", help="processes at a time (default: one a core)")
    parser.add_argument(
        "--gpu-workers",
        type=positive_int,
        default=1,
        metavar="N",
        help="processes at a time in stages that run networks or tools: one for each GPU (default: %(default)s)",
    )
    args = parser.parse_args()
    names = [name for name, _ in args.source]
    if len(set(names)) < len(names):
        parser.error("a source may be given once: put or link its recordings under one folder")
    if not args.source:
        parser.error("--source is missing: a labelled source, whose truth is known")

    # Here, so that --help and wrong arguments need not wait for them.
    from stvlm.engine import Engine
    from stvlm.evaluation.pseudo_page import write_page
    from stvlm.files import locked
    from stvlm.pseudo_labels.ladder import as_text, climb, left_out_lines
    from stvlm.pseudo_labels.recipe import PseudoLabelling
    from stvlm.pseudo_labels.validation import validate
    from stvlm.recipes import load_recipe, to_mapping
    from stvlm.records import DataError
    from stvlm.sources import LABELLED

    paths = dict(args.source)
    for name in paths:
        if name not in LABELLED:
            raise DataError(f"--source {name}: has no truth to compare with; give one of {', '.join(LABELLED)}")
    recipe = load_recipe(args.recipe, PseudoLabelling)
    out = args.out.absolute()
    work = args.work or out.with_name(f"{out.name}.work")
    sources = {name: SIMULATED if name == "simulation" else {} for name in paths}
    engines = Engine(workers=args.workers), Engine(workers=args.gpu_workers)
    with locked(work / "lock"):
        pairs = climb(recipe, sources, paths, work, *engines, limit=args.limit)
    reports = {name: validate(of_rung) for name, of_rung in pairs.items()}
    scores = {name: report.scores for name, report in reports.items()}
    print(as_text(scores), *left_out_lines(scores), sep="\n")
    write_page(reports, args.out, {"recipe": to_mapping(recipe), "sources": sorted(paths), "limit": args.limit})
    print(f"{args.out / 'index.html'}: a page to look at")


SIMULATED = {
    "seed": 23, "recordings": 20, "duration_s": 10.0, "width_px": 640, "height_px": 360,
    "layouts": ["straight", "curve", "boulevard", "crossroads", "t_junction", "roundabout"],
    "camera_motions": {"driving": 1.0}, "objects": [8, 14], "parked_cars": [4, 10],
}  # fmt: skip
"""What is simulated: drives, in images large enough for an odometry."""


def _source(text: str) -> tuple[str, str | None]:
    return (text, None) if text == "simulation" else name_and_value(text)


if __name__ == "__main__":
    run_program(main)

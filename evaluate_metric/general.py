"""Asks a model what the paper asks beside kinematics, and gathers the scores in OUT/general.json.

    python evaluate_metric/general.py --model st-vlm-7b --out general --tasks nextqa_mc_test,mvbench
    python evaluate_metric/general.py --model st-vlm-7b --out general --tasks charades_sta --source charades_sta=PATH

general.yaml beside this names the tasks. Those of lmms-eval need it installed here, and fetch their videos themselves;
of the others PATH holds the annotation files and the videos. What has results in OUT is not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.evaluation.general import RESULTS, evaluate_general, read_plan
from stvlm.programs import name_and_value, positive_int, run_program
from stvlm.records import DataError

PLAN = Path(__file__).with_name("general.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model's folder or Hub id")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--tasks", help="comma-separated (default: all of lmms-eval's, and those with a --source)")
    parser.add_argument(
        "--source", action="append", default=[], metavar="NAME=PATH", help="annotation files and videos"
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="only the first N questions of each, to try it")
    args = parser.parse_args()
    plan = read_plan(PLAN)
    sources = {name: Path(path) for name, path in map(name_and_value, args.source)}
    tasks = args.tasks.split(",") if args.tasks else [*plan.lmms_eval, *sources]
    for name in (*tasks, *sources):
        if name not in plan.lmms_eval and name not in plan.annotation_files:
            raise DataError(
                f"{name}: no such task; general.yaml has {', '.join((*plan.lmms_eval, *plan.annotation_files))}"
            )
        if name in plan.annotation_files and name not in sources:
            raise DataError(f"{name}: needs its annotation files and videos: --source {name}=PATH")
    for result in evaluate_general(args.model, plan, tasks, sources, args.out, args.limit):
        print(f"{result.task:24} {result.metric:28} {result.value:.3f}")
    print(f"{args.out / RESULTS}")


if __name__ == "__main__":
    run_program(main)

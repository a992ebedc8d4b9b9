"""Runs VLMEvalKit with STKit-Bench among its data sets; what is not said here is passed on to its run.py.

    python evaluate_metric/harnesses/vlmevalkit/run.py --dataset stkit-bench --data STKit-Bench --model NAME

VLMEvalKit is to be installed from its checkout (`pip install -e VLMEvalKit`), which holds its run.py.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

import vlmeval
from stkit_bench import register

from stvlm.programs import run_program
from stvlm.records import DataError


def main() -> None:
    # Without abbreviations: VLMEvalKit's --data is none of --dataset.
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--dataset", required=True, help="a built dataset's folder or Hub id")
    parser.add_argument("--split", default="test")
    args, passed_on = parser.parse_known_args()
    program = Path(vlmeval.__file__).parents[1] / "run.py"
    if not program.is_file():
        raise DataError(f"{program}: is not there; install VLMEvalKit from its checkout: pip install -e VLMEvalKit")
    register(args.dataset, args.split)
    sys.argv = [str(program), *passed_on]
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    run_program(main)

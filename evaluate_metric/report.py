"""Makes of evaluation results what goes into a paper: the table, figures, and a page of the worst mistakes.

    python evaluate_metric/report.py results --out report
    python evaluate_metric/report.py results/mine results/theirs --out report

OUT receives table.md and table.tex (the paper's Table 3, with its rows for reference), radar, ranges and unread as .png
and .svg, and report.html, which holds everything and the frames of the worst mistakes. Of several results, of one
dataset, it also receives differences.md and differences.tex: each one's accuracies minus the first one's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.evaluation.report_folder import write_report
from stvlm.programs import positive_int, run_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="what evaluate_model.py wrote, or a folder of such")
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--dataset", help="the dataset's folder or Hub id, if it is not where the results say")
    parser.add_argument("--worst", type=positive_int, default=4, metavar="N", help="mistakes a task (default: 4)")
    args = parser.parse_args()
    print("\n".join(write_report(args.results, args.out, args.dataset, args.worst)))


if __name__ == "__main__":
    run_program(main)

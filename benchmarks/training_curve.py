"""Draws the training curve of a model that training/from_nothing.py made (`pip install -e ".[report]"`).

python benchmarks/training_curve.py st-vlm-tiny --out docs/st_vlm_tiny.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.evaluation.figures import COLORS, FAINT, STYLE
from stvlm.files import read_json, whole_file
from stvlm.programs import run_program
from stvlm.records import DataError
from stvlm.training.curriculum import RECORD

LOSSES = {
    "boxes": "boxes in a frame",
    "motion": "motion until a frame",
    "hours": "clock hours until a frame",
    "answers": "answers",
}
SMOOTHED_OVER = 3
"""Logged steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the model's folder")
    parser.add_argument("--out", type=Path, required=True, help="an .svg or .png file")
    args = parser.parse_args()
    record = read_json(args.model / RECORD)
    if "learning" not in record["recipe"]:
        raise DataError(f"{args.model / RECORD}: is not of a model that from_nothing.py made")

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(7.2, 3.2), layout="constrained")
        for color, (name, label) in zip(COLORS, LOSSES.items(), strict=False):
            points = [(entry["step"], entry[name]) for entry in record["log"] if name in entry]
            recent = [points[max(0, i - SMOOTHED_OVER + 1) : i + 1] for i in range(len(points))]
            means = [sum(value for _, value in near) / len(near) for near in recent]
            axes.plot([step for step, _ in points], means, color=color, label=label)
        step = 0
        for stage in record["recipe"]["learning"]["stages"]:
            axes.axvline(step, color=FAINT, linewidth=0.6)
            axes.annotate(stage["learn"], (step, 1), xycoords=("data", "axes fraction"), xytext=(3, -9),
                          textcoords="offset points", color=FAINT, fontsize=8)  # fmt: skip
            step += stage["steps"]
        axes.set(xlabel="optimizer step", ylabel="loss", yscale="log", xlim=(0, step))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.93))
        with whole_file(args.out) as temporary:
            figure.savefig(
                temporary, format=args.out.suffix[1:], metadata={"Date": None} if args.out.suffix == ".svg" else None
            )


if __name__ == "__main__":
    run_program(main)

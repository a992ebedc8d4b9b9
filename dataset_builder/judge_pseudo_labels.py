r"""Lets a vision language model look at pseudo-labels, and leaves out the tracks in which it sees a mistake.

    vllm serve Qwen/Qwen3-VL-8B-Instruct
    python dataset_builder/judge_pseudo_labels.py labelled --endpoint http://localhost:8000/v1 \
        --model Qwen/Qwen3-VL-8B-Instruct --out judged
    python dataset_builder/build.py dataset_builder/recipes/labelled.yaml --source video_folder=judged --out mine

Any endpoint that speaks the OpenAI protocol and takes several images can be asked. It is shown up to four pictures of
each track with its box in red, and asked whether they show the same object, whether it is what the label says, and
whether the box fits. A track that cannot be judged is kept, and counted. What was answered is kept in OUT.replies and
not asked for again: what was interrupted goes on when the same command is run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.chat_api import add_endpoint_arguments, endpoint_of
from stvlm.programs import run_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="folder that pseudo_label.py wrote")
    add_endpoint_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to make; it appears when all of it is there")
    args = parser.parse_args()

    # Here, so that --help and wrong arguments need not wait for them.
    from stvlm.pseudo_labels.judging import as_text, judge

    out = args.out.absolute()
    print(as_text(judge(args.labelled, out, endpoint_of(args), out.with_name(f"{out.name}.replies"))))


if __name__ == "__main__":
    run_program(main)

r"""Lets a chat model write other wordings of the questions, for the variant `paraphrased` of a benchmark.

    vllm serve Qwen/Qwen3-4B-Instruct-2507
    python dataset_builder/paraphrase.py --endpoint http://localhost:8000/v1 --model Qwen/Qwen3-4B-Instruct-2507 \
        --out wordings.yaml
    python dataset_builder/build.py dataset_builder/recipes/stkit_bench.yaml --wordings wordings.yaml --out mine ...

Any endpoint that speaks the OpenAI protocol can be asked. It is given the wordings of questions/templates.yaml with
their placeholders. What comes is kept where it asks for the same as far as a program can tell: the same placeholders
and numbers, the same polarity, no negation, nothing that the templates say already, answers that scoring reads back.
What is refused is counted by reason. Read the file before you build with it: no program can tell for sure.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from stvlm.chat_api import add_endpoint_arguments, endpoint_of
from stvlm.files import write_text
from stvlm.programs import positive_int, run_program
from stvlm.questions.paraphrases import as_text, missing_kinds, read_wordings, write_wordings
from stvlm.records import DataError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_endpoint_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the YAML file to write")
    parser.add_argument(
        "--per-wording", type=positive_int, default=3, metavar="N", help="other words for each (default: %(default)s)"
    )
    args = parser.parse_args()
    if args.out.exists():
        raise DataError(f"{args.out}: is there already; choose another --out, or remove it")
    replies = args.out.with_name(f".{args.out.name}.replies")  # so that an interrupted run goes on
    written = write_wordings(endpoint_of(args), args.per_wording, replies)
    for reason, count in written.refused.most_common():
        print(f"refused {count:4} x {reason}")
    if not written.accepted:
        raise DataError(f"{args.model}: none of its wordings can be used; try a larger model")
    write_text(args.out, as_text(written, args.model))
    for kind in missing_kinds(read_wordings(args.out)):
        print(f"no wording for {kind}: such questions will have no paraphrase")
    shutil.rmtree(replies)
    print(f"{args.out}: {len(written.accepted)} wordings; read them, then: build.py ... --wordings {args.out}")


if __name__ == "__main__":
    run_program(main)

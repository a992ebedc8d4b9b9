"""Has a chat model read the answers out of responses, as the paper has GPT-4 do, and holds that beside the rules.

    python evaluate_metric/extract_with_llm.py results/tiny --endpoint http://localhost:8000/v1 --model Qwen/Qwen3-8B

RESULTS is what evaluate_model.py wrote. Scores are made by rules, which cost nothing and give the same every time; this
shows what a chat model would have made of the same responses: the paper's table both ways, how often both read the
same, task by task, and responses to look at of which they do not. The model is given question, choices and response,
and never what is right. Its prompt is src/stvlm/evaluation/extraction_prompt.txt; the paper's is not known.

RESULTS receives extraction.json, with all numbers, and extracted.jsonl, with both readings of each response; responses
to controls are left aside. A reply that is missing, or not in the form asked for, is counted as not read, and told.

Replies are kept in RESULTS/extraction_replies: killed or interrupted, the same command goes on, and what was replied is
not paid for again. What another --model reads takes the place of what is there.

how they agree
  equal          both read the same: the same hour or choice, or numbers within 1 % or 0.01 of each other
  different      both read an answer, and not the same
  only rules     the chat model says that there is none
  only LLM       the rules find none
  neither        both find none
  no extraction  no reply, or none in the form asked for: left out of the share that agrees

for example, from a hosted model, its key in OPENAI_API_KEY
  extract_with_llm.py results/llava --endpoint https://api.openai.com/v1 --model gpt-4o
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.chat_api import add_endpoint_arguments, endpoint_of
from stvlm.evaluation.extraction_folder import extract_results
from stvlm.programs import run_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", metavar="RESULTS", type=Path, help="folder that evaluate_model.py wrote")
    add_endpoint_arguments(parser)
    parser.add_argument("--dataset", help="the dataset's folder or Hub id, if it is not where the results say")
    args = parser.parse_args()
    print(extract_results(args.results, endpoint_of(args), args.dataset))


if __name__ == "__main__":
    run_program(main)

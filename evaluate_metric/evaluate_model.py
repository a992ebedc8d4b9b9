"""Asks a model the questions of a dataset, and scores its answers beside those it gives without the video.

    python evaluate_metric/evaluate_model.py --model runs/tiny --dataset stkit-bench --out results/tiny

OUT receives responses.jsonl and results.json. Killed or interrupted, the same command goes on: what is answered is not
asked again. An OUT that holds answers of another model, dataset or setting is refused.

who answers
  transformers  a folder or Hub id of an image-text-to-text model: LLaVA-OneVision, Qwen2-VL, Qwen2.5-VL, Qwen3-VL and
                others, or a LoRA adapter; questions of a clip share one encoding of its video
  vllm          the same in vLLM, where it is installed
  openai        a model behind any endpoint that speaks the OpenAI protocol; frames are sent as JPEG images
  geometry      nobody: the answers are computed from the dataset's own exact tracks, the ceiling of what calling a
                tool could reach

controls, the same model with less to go by
  black         black frames
  static        the first frame throughout
  shuffled      the frames in another order
  no_boxes      the boxes' outlines painted over
  text_only     no video

more settings of the paper
  Table 4   --shots 3 --shots_from stkit        question and answer pairs of other scenes, as text
            --context extrinsics,depth          the camera's poses as text; depth maps, shown after the video, from
                                                --depth_dir, with CLIP_ID.npy: (frames, height, width) float metres
  Table 5   --config paraphrased                or another config of the dataset: mirrored, reversed, retimed, ...

for example
  evaluate_model.py --model llava-hf/llava-onevision-qwen2-7b-ov-hf --dataset stkit-bench --out results/llava
  evaluate_model.py --backend vllm --model Qwen/Qwen3-VL-8B-Instruct --dataset stkit-bench --out results/qwen
  evaluate_model.py --backend openai --base_url https://api.openai.com/v1 --model gpt-4o --requests_per_minute 60
                    --controls text_only --dataset stkit-bench --out results/gpt-4o        # key in OPENAI_API_KEY
  evaluate_model.py --backend geometry --dataset stkit-bench --out results/geometry

The table has the columns of the paper's Table 3: accuracies of traveled distance (TD), traveling speed (TS), movement
direction (MD) and direction timestamp (DT) with their errors, then those of the comparisons (TDC, TSC, MDC), and the
average.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from stvlm.evaluation.run import BACKENDS, CONTEXTS, CONTROLS, Settings, evaluate
from stvlm.programs import positive_int, run_program


def some_of(known: tuple[str, ...], what: str) -> Callable[[str], tuple[str, ...]]:
    """A reader of comma-separated names; "" for none."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name for name in text.split(",") if name))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown {what} {name!r}; known: {', '.join(known)}")
        return names

    return read


def positive(text: str) -> float:
    """A number of a command line that is above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=BACKENDS, default="transformers", help="who answers")
    parser.add_argument("--model", help="a model's folder or Hub id, or what the endpoint calls it")
    parser.add_argument("--dataset", required=True, help="a built dataset's folder or Hub id")
    parser.add_argument("--config", help="of the dataset (default: all of its sources, as they are)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, required=True, help="folder for responses and results")
    parser.add_argument(
        "--controls", type=some_of(CONTROLS, "control"), help='comma-separated, "" for none (default: black,static)'
    )
    parser.add_argument("--shots", type=positive_int, default=0, metavar="N", help="examples before each question")
    parser.add_argument("--shots_from", metavar="DATASET", help="from whose split train they are drawn")
    parser.add_argument("--context", type=some_of(CONTEXTS, "context"), default=(), help="extrinsics, depth or both")
    parser.add_argument("--depth_dir", metavar="DIR", help="depth maps of every clip, as CLIP_ID.npy")
    parser.add_argument(
        "--batch_size", type=positive_int, default=32, metavar="N", help="transformers: questions at once (default: 32)"
    )
    parser.add_argument(
        "--max_new_tokens", type=positive_int, default=64, metavar="N", help="longest answer (default: 64)"
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="only the first N rows")
    endpoint = parser.add_argument_group("openai")
    endpoint.add_argument("--base_url", metavar="URL", help="such as http://localhost:8000/v1")
    endpoint.add_argument(
        "--api_key_env", default="OPENAI_API_KEY", metavar="NAME", help="environment variable of the key"
    )
    endpoint.add_argument(
        "--concurrency", type=positive_int, default=8, metavar="N", help="requests under way at a time (default: 8)"
    )
    endpoint.add_argument("--requests_per_minute", type=positive, metavar="N", help="at most (default: no limit)")
    endpoint.add_argument(
        "--count_unanswered", action="store_true", help="count what gets no answer as wrong instead of stopping"
    )
    arguments = vars(parser.parse_args())
    out = arguments.pop("out")
    if arguments["controls"] is None:
        arguments["controls"] = () if arguments["backend"] == "geometry" else Settings.controls
    print(evaluate(Settings(**arguments), out))


if __name__ == "__main__":
    run_program(main)

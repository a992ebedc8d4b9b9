"""The demo. ST_VLM_MODEL and ST_VLM_DATASET choose another model and dataset: a folder, or an id of the Hub.

python app.py
"""

import os
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
try:
    from spaces import GPU  # before torch: where GPUs are lent for a moment, and only there, it is one
except ImportError:
    GPU = None

from stvlm.demo.desk import Desk, default_dataset, default_model, folder_of_visitors
from stvlm.demo.examples import read_plain
from stvlm.demo.exploring import read_catalogue
from stvlm.demo.page import build_page, launch_options
from stvlm.evaluation.backends.transformers import TransformersModel
from stvlm.programs import run_program

HERE = Path(__file__).parent
MOST_TOKENS = 128
SIMULATED_ONLY = ("st-vlm-tiny",)
"""Of the models published with it, those that have seen boxed objects in a simulated world, and nothing else."""
GPU_S = 60
"""That an answer may take where a GPU is lent."""


def main() -> None:
    model_name = os.environ.get("ST_VLM_MODEL") or default_model(HERE)
    dataset = os.environ.get("ST_VLM_DATASET") or default_dataset(HERE)
    results = os.environ.get("ST_VLM_RESULTS")
    catalogue = read_catalogue(dataset)
    model = TransformersModel(model_name, MOST_TOKENS)
    with folder_of_visitors() as work:
        desk = Desk(
            stream=model.stream if GPU is None else GPU(duration=GPU_S)(model.stream),
            model_name=Path(model_name).name,
            frame_size_px=model.frame_size_px,
            simulated_only=Path(model_name).name in SIMULATED_ONLY,
            examples=read_plain(Path(dataset)),
            work=work,
            results=Path(results) if results else None,
        )
        page = build_page(desk, catalogue)
        _, url, _ = page.launch(**launch_options(desk, catalogue))
        print(f"* The page: {url}", flush=True)
        page.block_thread()


if __name__ == "__main__":
    run_program(main)

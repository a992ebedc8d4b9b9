"""The demo. ST_VLM_MODEL and ST_VLM_DATASET choose another model and dataset: a folder, or an id of the Hub."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
try:
    from spaces import GPU  # before torch: where GPUs are lent for a moment, and only there, it is one
except ImportError:
    GPU = None

from stvlm.demo.desk import Desk, default_model
from stvlm.demo.examples import read_plain
from stvlm.demo.exploring import read_catalogue
from stvlm.demo.page import build_page, launch_options
from stvlm.evaluation.backends.transformers import TransformersModel

HERE = Path(__file__).parent
MODEL = os.environ.get("ST_VLM_MODEL") or default_model(HERE)
DATASET = os.environ.get("ST_VLM_DATASET") or str(HERE / "examples")

model = TransformersModel(MODEL, max_new_tokens=128)
if GPU is not None:
    model.stream = GPU(duration=60)(model.stream)
desk = Desk(
    model=model,
    model_name=Path(MODEL).name,
    frame_size_px=model.frame_size_px,
    dataset=DATASET,
    examples=read_plain(Path(DATASET)),
    results=Path(os.environ["ST_VLM_RESULTS"]) if os.environ.get("ST_VLM_RESULTS") else None,
    work=Path(tempfile.mkdtemp(prefix="st-vlm-")),
)
catalogue = read_catalogue(DATASET)
demo = build_page(desk, catalogue)

if __name__ == "__main__":
    demo.launch(**launch_options(desk, catalogue))

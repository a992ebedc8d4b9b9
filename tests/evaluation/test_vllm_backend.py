"""What vLLM would be given, and what is said where it is not installed; the rest needs a GPU."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset
from transformers import AutoProcessor

from stvlm.evaluation.backends.vllm import VLLMModel, as_request
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.frames import Shown
from stvlm.evaluation.prompts import Asked
from stvlm.records import DataError


def test_a_request_has_a_placeholder_and_frames_for_each_video(tmp_path):
    row = load_split(str(write_dataset(tmp_path / "data", clips_per_split=1)), "test").rows[0]
    processor = AutoProcessor.from_pretrained(write_model(tmp_path / "model"))
    np.save(tmp_path / f"{row['clip_id']}.npy", np.zeros((5, 4, 4), np.float32))
    request = as_request(Asked(row, "model", "How far?"), processor, Shown(tmp_path))
    assert request["prompt"] == (
        "<|im_start|>user\n<video>\n<video>\nHow far?<|im_end|>\n<|im_start|>assistant\n"
    )  # expanded by vLLM
    (video, metadata), (depth, _) = request["multi_modal_data"]["video"]
    assert (video.shape, depth.shape, video.dtype) == ((5, 64, 64, 3), (5, 4, 4, 3), np.uint8)
    assert (metadata["fps"], metadata["frames_indices"]) == (2.0, [0, 1, 2, 3, 4])
    assert request["mm_processor_kwargs"] == {"do_sample_frames": False}, "all frames count"
    alone = as_request(Asked(row, "text_only", "How far?"), processor, Shown())
    assert alone == {"prompt": "<|im_start|>user\nHow far?<|im_end|>\n<|im_start|>assistant\n"}


@pytest.mark.parametrize("template", ["chat_template_qwen3_vl.jinja", None], ids=["ours", "marked"])
def test_a_video_of_qwen3_vl_has_the_marks_that_vllm_looks_for(tmp_path, template):
    """Whether the chat template writes them, as its publisher's does, or not, as the processor wants it."""
    row = load_split(str(write_dataset(tmp_path / "data", clips_per_split=1)), "test").rows[0]
    processor = AutoProcessor.from_pretrained(write_model(tmp_path / "model", "qwen3_vl"))
    ours = (Path(__file__).parents[2] / "training" / "chat_template_qwen3_vl.jinja").read_text()
    marked = "<|vision_start|><|video_pad|><|vision_end|>"
    processor.chat_template = ours if template else ours.replace("'<|video_pad|>'", repr(marked))
    prompt = as_request(Asked(row, "model", "How far?"), processor, Shown())["prompt"]
    assert prompt == f"<|im_start|>user\n{marked}How far?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_says_so():
    with pytest.raises(DataError, match=r"--backend vllm needs vLLM \(No module named 'vllm'\): pip install vllm"):
        VLLMModel("any", 1)

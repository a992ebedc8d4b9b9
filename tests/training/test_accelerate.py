"""The launch files, as accelerate reads them."""

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils.dataclasses import get_module_class_from_name
from tests.evaluation.tiny_models import write_model
from transformers import AutoModelForImageTextToText

FOLDER = Path(__file__).parents[2] / "training" / "accelerate"


@pytest.mark.parametrize(
    ("name", "kind", "processes"),
    [("single_gpu", "NO", 1), ("multi_gpu", "MULTI_GPU", 8), ("fsdp2", "FSDP", 8), ("zero3", "DEEPSPEED", 8)],
)
def test_launch_files_are_read(name, kind, processes):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert (config.distributed_type, config.num_processes, config.mixed_precision) == (kind, processes, "bf16")
    assert sorted(path.stem for path in FOLDER.iterdir()) == ["fsdp2", "multi_gpu", "single_gpu", "zero3"]


def test_fsdp_wraps_layers_that_the_model_has(tmp_path):
    config = load_config_from_file(str(FOLDER / "fsdp2.yaml")).fsdp_config
    assert config["fsdp_version"] == 2
    model = AutoModelForImageTextToText.from_pretrained(write_model(tmp_path / "llava"))
    for name in config["fsdp_transformer_layer_cls_to_wrap"].split(","):
        assert get_module_class_from_name(model, name) is not None

"""The real classes of networks for depth, in small, saved as a user's folder would be.

Where it says so every pixel is at a depth that a pencil tells; else weights are random.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from transformers import (
    BeitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DepthProConfig,
    DepthProForDepthEstimation,
    DepthProImageProcessor,
    Dinov2Config,
    DPTImageProcessor,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessor,
)


def vit(patch_px: int, image_px: int, layers: int = 2, **more: Any) -> Dinov2Config:
    return Dinov2Config(
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        patch_size=patch_px,
        image_size=image_px,
        **more,
    )


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """Weights so large that different images have different depth."""
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.2)
    return model


def depth_anything(folder: Path, kind: str = "metric", share: float | None = None) -> str:
    """With `share`, every pixel is at that share of 80 m. It is shown 56 rows."""
    backbone = vit(14, 56, 4, out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True)
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
        depth_estimation_type=kind,
        max_depth=80,
    )
    model = shaken(DepthAnythingForDepthEstimation(config))
    if share is not None:
        torch.nn.init.zeros_(model.head.conv3.weight)
        torch.nn.init.constant_(model.head.conv3.bias, np.log(share / (1 - share)))
    model.save_pretrained(folder)
    size = {"height": 56, "width": 56}
    DPTImageProcessor(size=size, keep_aspect_ratio=True, ensure_multiple_of=14).save_pretrained(folder)
    return str(folder)


def depth_pro(folder: Path, with_field: bool = True) -> str:
    """A field of view of 60 degrees, and 0.1 for the inverse of depth at a focal length of the image's width."""
    config = DepthProConfig(
        fusion_hidden_size=8,
        patch_size=32,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.25],
        scaled_images_feature_dims=[8, 8],
        use_fov_model=with_field,
        image_model_config=vit(8, 32),
        patch_model_config=vit(8, 32),
        fov_model_config=vit(8, 32),
    )
    model = DepthProForDepthEstimation(config)
    last = [layer for layer in model.head.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 0.1)
    if with_field:
        last = [layer for layer in model.fov_model.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, 60)
    model.save_pretrained(folder)
    DepthProImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)


def zoedepth(folder: Path) -> str:
    backbone = BeitConfig(
        image_size=64,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = ZoeDepthConfig(
        backbone_config=backbone,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        bottleneck_features=8,
        num_relative_features=4,
        bin_embedding_dim=8,
        num_attractors=[4, 2, 2, 1],
    )
    shaken(ZoeDepthForDepthEstimation(config)).save_pretrained(folder)
    size = {"height": 64, "width": 96}
    ZoeDepthImageProcessor(size=size, ensure_multiple_of=16).save_pretrained(folder)
    return str(folder)


def write_onnx(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    names: tuple[str, str] = ("pixel_values", "predicted_depth"),
    dtype: int = TensorProto.FLOAT,
    constants: Sequence[onnx.TensorProto] = (),
) -> str:
    given = helper.make_tensor_value_info(names[0], dtype, [1, 3, 616, 1064])
    answered = helper.make_tensor_value_info(names[1], dtype, None)
    graph = helper.make_graph(list(nodes), "g", [given], [answered], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return str(path)


def a_tenth_of_red(path: Path, names: tuple[str, str] = ("pixel_values", "predicted_depth"), half: bool = False) -> str:
    dtype = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("tenth", dtype, [], np.array([0.1], np.float16 if half else np.float32)),
    ]
    red = helper.make_node("Gather", [names[0], "zero"], ["red"], axis=1)
    return write_onnx(path, [red, helper.make_node("Mul", ["red", "tenth"], [names[1]])], names, dtype, constants)


def mean_of_all_it_is_shown(path: Path) -> str:
    """Everywhere red + green + blue, on average over the input."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [1, 1, 616, 1064])
    channels = helper.make_node("ReduceMean", ["pixel_values"], ["means"], axes=[2, 3])
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    added = helper.make_node("ReduceSum", ["means", "axis"], ["sum"])
    return write_onnx(path, [channels, added, helper.make_node("Expand", ["sum", "shape"], ["predicted_depth"])],
                 constants=[shape, axis])  # fmt: skip

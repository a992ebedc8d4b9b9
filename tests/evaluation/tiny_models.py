"""Random models of the real classes, small enough to answer in no time: weights so large that answers differ."""

from pathlib import Path

import torch
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from stvlm.training.new_model import END, PAD, make_model, make_processor, train_tokenizer
from stvlm.training.recipe import NewModel

TEMPLATE = (Path(__file__).parents[2] / "training" / "chat_template.jinja").read_text()
SIZES = NewModel(
    image_size_px=32, patch_size_px=8, hidden_size=32, heads=2, vision_layers=1, language_layers=2, vocabulary=400,
    initializer_range=0.5,
)  # fmt: skip
TEXTS = ["The video lasts for 2.00 seconds. How far does the red object travel? It travels 12.00 meters."] * 9
VISION = {"depth": 2, "num_heads": 2, "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2}
QWEN = {
    "qwen2_vl": (
        Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor, Qwen2VLVideoProcessor,
        {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}, "<|vision_start|><|video_pad|><|vision_end|>",
    ),
    "qwen2_5_vl": (
        Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor, Qwen2VLVideoProcessor,
        {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32, "window_size": 32,
         "fullatt_block_indexes": [1]}, "<|vision_start|><|video_pad|><|vision_end|>",
    ),
    "qwen3_vl": (
        Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor, Qwen3VLVideoProcessor,
        {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32, "num_position_embeddings": 64,
         "deepstack_visual_indexes": [0]}, "<|video_pad|>",
    ),
}  # fmt: skip
"""Config, model, processor and video processor, what its vision tower needs, and how its template writes a video."""


def write_model(folder: Path, kind: str = "llava_onevision", seed: int = 0, sizes: NewModel = SIZES) -> Path:
    """A model of a type in a folder."""
    tokenizer = train_tokenizer(TEXTS, sizes.vocabulary)
    torch.manual_seed(seed)
    if kind == "llava_onevision":
        processor = make_processor(sizes, tokenizer, TEMPLATE)
        model = make_model(sizes, processor)
    else:
        model, processor = _qwen(kind, tokenizer)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _qwen(kind, tokenizer):
    config_class, model_class, processor_class, video_class, vision, video = QWEN[kind]
    names = {"vision_start": "vision_start", "vision_end": "vision_end", "image": "image_pad", "video": "video_pad"}
    tokens = {f"{name}_token": f"<|{text}|>" for name, text in names.items()}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, pad_token=PAD, eos_token=END, extra_special_tokens=tokens
    )
    text = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": len(tokenizer), "max_position_embeddings": 4096,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None,
        "initializer_range": 0.5,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
    }  # fmt: skip
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}
    config = config_class(text_config=text, vision_config=VISION | vision, **ids)
    side = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64 * (8 if kind == "qwen3_vl" else 1)}
    processor = processor_class(
        image_processor=Qwen2VLImageProcessor(patch_size=8, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}),
        tokenizer=tokenizer,
        video_processor=video_class(patch_size=8, size=side),
        chat_template=TEMPLATE.replace("'<' + part['type'] + '>\\n'", repr(video)),
    )
    return model_class(config), processor

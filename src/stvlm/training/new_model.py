"""A LLaVA-OneVision from nothing: tokenizer, processor and model of the real classes, in small sizes."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

from stvlm.training.recipe import NewModel

PAD, START, END, IMAGE, VIDEO = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"

# Pieces that tokens do not cross. A clip's list of frame times is one piece, so that a long list costs few tokens;
# elsewhere digits and colours, which carry the answers, are tokens of their own; line ends part the turns of a chat.
# What is left between them are whole phrases.
_PIECES = Regex(r"\d+\.\d{2}(?:, \d+\.\d{2})+|\d| ?\b(?:red|blue|green)\b|\n")
_LONGEST_TOKEN = 400
_LONGEST_SEQUENCE = 4096


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of at most `vocabulary` tokens, the same for the same texts; it can spell any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, START, END, IMAGE, VIDEO],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=_LONGEST_TOKEN,
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *["user\n", "assistant\n"] * 1000], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens={"image_token": IMAGE, "video_token": VIDEO},
        model_max_length=_LONGEST_SEQUENCE,
    )


def make_processor(sizes: NewModel, tokenizer: PreTrainedTokenizerFast, chat_template: str) -> LlavaOnevisionProcessor:
    """A processor that gives frames in the new model's size."""
    side = {"height": sizes.image_size_px, "width": sizes.image_size_px}
    values = {
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }  # as the checkpoints' own; the classes' default is CLIP's
    pinpoints = [[sizes.image_size_px * rows, sizes.image_size_px * columns] for rows in (1, 2) for columns in (1, 2)]
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=side, image_grid_pinpoints=pinpoints, **values),
        video_processor=LlavaOnevisionVideoProcessor(size=side, **values),
        tokenizer=tokenizer,
        num_image_tokens=(sizes.image_size_px // sizes.patch_size_px) ** 2,
        vision_feature_select_strategy="full",
        chat_template=chat_template,
    )


def make_model(sizes: NewModel, processor: LlavaOnevisionProcessor) -> LlavaOnevisionForConditionalGeneration:
    """A model with random weights, from torch's global generator."""
    tokenizer = processor.tokenizer
    shared = {
        "hidden_size": sizes.hidden_size,
        "intermediate_size": 2 * sizes.hidden_size,
        "num_attention_heads": sizes.heads,
        "initializer_range": sizes.initializer_range,
    }
    vision = SiglipVisionConfig(
        **shared,
        num_hidden_layers=sizes.vision_layers,
        image_size=sizes.image_size_px,
        patch_size=sizes.patch_size_px,
        vision_use_head=False,
    )
    text = Qwen2Config(
        **shared,
        num_hidden_layers=sizes.language_layers,
        num_key_value_heads=sizes.heads,
        vocab_size=len(tokenizer),
        max_position_embeddings=_LONGEST_SEQUENCE,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        video_token_index=tokenizer.convert_tokens_to_ids(VIDEO),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=processor.image_processor.image_grid_pinpoints,
        tie_word_embeddings=True,
        initializer_range=sizes.initializer_range,
    )
    return LlavaOnevisionForConditionalGeneration(config)

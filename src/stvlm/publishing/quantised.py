"""A model's weights in 4 bits (nf4, bitsandbytes), as a folder that loads like the model itself."""

from __future__ import annotations

import logging
import shutil
from importlib.util import find_spec
from pathlib import Path

from stvlm.evaluation.answering import fingerprint
from stvlm.files import read_json, write_json
from stvlm.programs import first_line
from stvlm.records import DataError

KEPT = ("vision_tower", "visual", "multi_modal_projector", "lm_head", "embed_tokens")
"""Modules that stay in their precision: what they lose is seen in every frame, or in every word."""
OF = "quantised.json"
"""Beside the weights: which model's they are."""


def is_possible() -> bool:
    """Whether bitsandbytes is installed."""
    return find_spec("bitsandbytes") is not None


def quantise(model: Path, out: Path) -> bool:
    """Writes the nf4 form of a model folder into `out`; whether it was not there yet. Raises DataError."""
    identity = {"fingerprint": fingerprint(str(model)), "kept": list(KEPT)}
    if (out / OF).is_file() and read_json(out / OF) == identity:
        return False
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # or it warns of a faster kernel, which nobody needs here
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16, llm_int8_skip_modules=list(KEPT),
    )  # fmt: skip
    shutil.rmtree(out, ignore_errors=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        loaded = AutoModelForImageTextToText.from_pretrained(model, quantization_config=settings, dtype=torch.bfloat16)
        loaded.save_pretrained(partial)
        AutoProcessor.from_pretrained(model).save_pretrained(partial)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{model}: cannot be quantised ({first_line(error)}); leave it out by --no-nf4") from error
    write_json(partial / OF, identity)
    partial.replace(out)
    return True

"""The card of another form of a model: its weights in fewer bits, or the adapters that it is merged of."""

from __future__ import annotations

from typing import Literal

from huggingface_hub import ModelCardData

from stvlm.cards.evidence import Evidence
from stvlm.cards.model import TAGS, Names, licence
from stvlm.cards.templates import render

Kind = Literal["nf4", "lora"]


def render_variant_card(found: Evidence, names: Names, kind: Kind, repo_id: str, weight_bytes: int) -> str:
    """The card's text; adapters are of a model whose recipe names its base."""
    base = found.training["recipe"].get("model") if found.training else None
    front_matter = ModelCardData(
        language="en",
        library_name="transformers" if kind == "nf4" else "peft",
        pipeline_tag="video-text-to-text",
        tags=[*TAGS, *(["4-bit", "bitsandbytes"] if kind == "nf4" else ["lora"])],
        base_model=names.model if kind == "nf4" else base,
        base_model_relation="quantized" if kind == "nf4" else "adapter",
        datasets=[names.dataset] if found.trained_on else None,
        **licence(found, names, base),
    )
    return render(
        "variant.md.j2",
        front_matter=front_matter.to_yaml(),
        title=repo_id.split("/")[1],
        kind=kind,
        model=names.model,
        base=base,
        repo_id=repo_id,
        megabytes=f"{weight_bytes / 1e6:,.1f}",
    )

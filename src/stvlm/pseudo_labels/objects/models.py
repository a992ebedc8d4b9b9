"""Networks of the Transformers library: loaded once a process, on a GPU where there is one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from stvlm.programs import first_line
from stvlm.records import LackingError


class Network(NamedTuple):
    """A network and what prepares its inputs."""

    model: Any
    processor: Any
    revision: str


def torch_and_transformers() -> tuple[Any, Any]:
    """Both libraries; raises LackingError where one is not installed."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise LackingError(
            "finding objects needs PyTorch and Transformers; type: pip install 'stvlm[pseudo]'"
        ) from error
    return torch, transformers


@lru_cache(maxsize=4)
def load(model: str, revision: str | None, kind: str, half: bool, processor: str = "AutoProcessor") -> Network:
    """A model and its processor by its id on the Hub or its folder, through classes of the Transformers library.

    `half`: in bfloat16 where it is on a GPU. Raises LackingError.
    """
    torch, transformers = torch_and_transformers()
    on_gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if half and on_gpu else torch.float32
    transformers.utils.logging.disable_progress_bar()
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        prepares = getattr(transformers, processor).from_pretrained(model, revision=revision)
        network = getattr(transformers, kind).from_pretrained(model, revision=revision, dtype=dtype)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        cure = "give a folder, or an id on the Hub, downloaded before where there is no network"
        raise LackingError(f"{model}: cannot be loaded ({first_line(error)}); {cure}") from error
    finally:
        transformers.utils.logging.set_verbosity(before)
    found = getattr(network.config, "_commit_hash", None)
    return Network(network.eval().to("cuda" if on_gpu else "cpu"), prepares, found or revision or "")


def forget(session: Any, k: int, reach: int) -> None:
    """Drops from a session of SAM2's kind what will not be looked at again after frame k.

    That is all further away than `reach` frames, and the masks at full size, which are of use in their own frame only.
    """
    for outputs in session.output_dict_per_obj.values():
        near = outputs["non_cond_frame_outputs"]
        for far in [j for j in near if abs(j - k) > reach]:
            del near[far]
        for output in (*near.values(), *outputs["cond_frame_outputs"].values()):
            output.pop("high_res_masks", None)

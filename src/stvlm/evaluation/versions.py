"""Which packages a result was made with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from stvlm import __version__

_PACKAGES = ("torch", "transformers", "trl", "accelerate", "peft", "vllm", "datasets", "tokenizers", "torchcodec", "av",
             "numpy", "pillow")  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of this library, of Python, and of the packages that decide a result, where installed."""
    found = {"stvlm": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""Python interpreters that have the harnesses; these are in no environment of ours."""

import os
import subprocess
from functools import cache

import pytest


@cache
def python_with(package: str) -> str:
    """The first interpreter in STVLM_HARNESSES, a list as PATH is, with a package; skips the test where none has it."""
    for python in filter(None, os.environ.get("STVLM_HARNESSES", "").split(os.pathsep)):
        code = f"import importlib.util as u, sys; sys.exit(not (u.find_spec({package!r}) and u.find_spec('stvlm')))"
        if not subprocess.run([python, "-c", code], env=environment()).returncode:
            return python
    pytest.skip(f"STVLM_HARNESSES names no Python that has {package} and stvlm: make harnesses")


def environment(**more: str) -> dict[str, str]:
    """Without PYTHONPATH, offline, on one thread."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | more

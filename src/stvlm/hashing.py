"""Stable hashes: for ids, and for every choice that has to be arbitrary but the same on any machine."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


def stable_hash(*parts: object) -> str:
    """40 hex digits that depend on the parts' text alone: no seed, no process, no platform."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:40]


@cache
def code_version() -> str:
    """Hash of the library's own files: what was made by other code is made again."""
    package = Path(__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".yaml", ".xz"))
    return stable_hash(*(stable_hash(path.relative_to(package), path.read_bytes().hex()) for path in files))

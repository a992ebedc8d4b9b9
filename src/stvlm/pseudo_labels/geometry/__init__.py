"""Camera motion and depth of a video: from the artefacts of tools that run elsewhere, or made here.

The tools pin versions of torch, numpy and transformers that cannot share an environment with each other or with this
package. So each runs in its own, and what it writes is read here: every convention is converted in its reader, and
nothing after it knows of any. Readers never unpickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from stvlm.pseudo_labels.artefacts import Footage, Geometry
from stvlm.pseudo_labels.geometry import depth_anything3, mapanything, megasam, monst3r, vggt, vipe


class Reader(Protocol):
    """Reads a tool's artefacts."""

    def __call__(self, path: Path, footage: Footage, model: str | None = None) -> Geometry:
        """The geometry of the footage, from the folder or file that the tool wrote; `model`: what it ran with, if not
        its default. Raises DataError where that is damaged, or of another video or resolution.
        """


READERS: Mapping[str, Reader] = {
    "monst3r": monst3r.read,
    "vipe": vipe.read,
    "depth_anything3": depth_anything3.read,
    "mapanything": mapanything.read,
    "megasam": megasam.read,
    "vggt": vggt.read,
    "vggt_omega": vggt.read_omega,
}
"""By the name of the tool in licences.yaml."""

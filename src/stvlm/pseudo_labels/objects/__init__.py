"""Objects in a video: found by networks, or read from the files of those who have marked them (`files`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stvlm.pseudo_labels.artefacts import Footage, ObjectTracks
from stvlm.pseudo_labels.objects import grounding_dino_sam2, sam3
from stvlm.records import Array, Rejected


class Finder(NamedTuple):
    """Finds objects: with `options`, a dataclass of its own, `find` makes tracks of frames that are read as needed."""

    find: Callable[[Footage, Callable[[int], Array], Any], ObjectTracks | Rejected]
    options: type


FINDERS: Mapping[str, Finder] = {
    "grounding_dino_sam2": Finder(grounding_dino_sam2.find, grounding_dino_sam2.Options),
    "sam3": Finder(sam3.find, sam3.Options),
}
"""By name, as a recipe gives it."""

"""The tracks of a labelled source as the benchmarks need them: each once, and of a known class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from stvlm.records import Recording, Scene, Track
from stvlm.sources import open_source


def tracks_of(name: str, path: Path) -> Iterator[Track]:
    """Those of one camera of each recording: all of its cameras see the same."""
    source = open_source(name, path, {})
    for recording in source.recordings():
        if isinstance(recording, Recording):
            scenes = (scene for scene in source.scenes(recording) if isinstance(scene, Scene))
            for scene in islice(scenes, 1):
                yield from (track for track in scene.tracks if track.category != "other")

"""Readers: raw recordings -> scenes. Each converts its source's habits at the edge; see `open_source`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from stvlm.records import DataError, Source
from stvlm.sources.argoverse2 import Argoverse2
from stvlm.sources.aria_digital_twin import AriaDigitalTwin
from stvlm.sources.egoexo4d import EgoExo4D
from stvlm.sources.folders import state_of as state_of_folder
from stvlm.sources.kitti import Kitti
from stvlm.sources.nuplan import NuPlan
from stvlm.sources.nuscenes import NuScenes
from stvlm.sources.video_folder import VideoFolder

EMBEDDED = ("simulation",)
"""Sources that need no --source PATH."""
_VIDEO_FOLDERS = ("video_folder", "bdd100k", "llava_video", "multisports")
"""One's own recordings, and video collections without 3D annotations, whose pseudo-labels are written in that form."""
_RECORDED: dict[str, Callable[[Path], Source]] = {
    "argoverse2": Argoverse2,
    "aria_digital_twin": AriaDigitalTwin,
    "egoexo4d": EgoExo4D,
    "kitti": Kitti,
    "nuplan": NuPlan,
    "nuscenes": NuScenes,
    **{name: partial(VideoFolder, name) for name in _VIDEO_FOLDERS},
}

LABELLED = (*EMBEDDED, *(name for name in _RECORDED if name not in _VIDEO_FOLDERS))
"""Sources whose recordings have places by lidar, by SLAM, or by simulation."""


def open_source(name: str, path: Path | None, options: Mapping[str, Any]) -> Source:
    """The source called ``name`` at ``path``; only the simulation needs no path, and only it takes options."""
    if name == "simulation":
        from stvlm.simulation.source import SimulationSource

        return SimulationSource(options)
    if name not in _RECORDED:
        known = [*_RECORDED, "simulation"]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise DataError(f"no source is called {name!r}; did you mean {near!r}? Known: {', '.join(known)}")
    if options:
        given = next(iter(options)) if isinstance(options, Mapping) else options
        raise DataError(f"source {name}: takes no option {given!r}; remove it from the recipe")
    if path is None or not path.is_dir():
        wrong, cure = (f"{path} is not a folder", "give") if path else ("no folder was given", "add")
        raise DataError(
            f"source {name}: {wrong}; {cure} --source {name}=PATH with the folder that holds its recordings"
        )
    return _RECORDED[name](path)


def state_of(name: str, path: str | None, images: bool = False) -> str:
    """A hash that changes when a source's files do; empty where there is no folder.

    Millions of images may lie beside annotations: which there are is looked up only with `images`. One's own recordings
    may lie under any name, and are looked at whole.
    """
    if path is None or not Path(path).is_dir():
        return ""
    return state_of_folder(Path(path), *([()] if images or name in _VIDEO_FOLDERS else []))

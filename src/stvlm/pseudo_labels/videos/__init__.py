"""Videos that are to be labelled, as collections keep them: see `open_videos`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from stvlm.pseudo_labels.videos.bdd100k import Bdd100k
from stvlm.pseudo_labels.videos.folder import VideoFiles
from stvlm.pseudo_labels.videos.llava_video import LlavaVideo
from stvlm.pseudo_labels.videos.multisports import MultiSports
from stvlm.pseudo_labels.videos.of_scenes import HiddenLabels
from stvlm.pseudo_labels.videos.video import Video, VideoSource, excerpt
from stvlm.records import DataError
from stvlm.sources import LABELLED, open_source

__all__ = ["Video", "VideoSource", "excerpt", "open_videos"]

_READERS: dict[str, Callable[[Path, Mapping[str, Any]], VideoSource]] = {
    "bdd100k": Bdd100k,
    "llava_video": LlavaVideo,
    "multisports": MultiSports,
    "video_folder": partial(VideoFiles, "video_folder"),
}


def open_videos(name: str, path: Path | None, options: Mapping[str, Any]) -> VideoSource:
    """The collection called ``name`` at ``path``; its options say what is known of all its videos: see `About`.

    A labelled source is one, too: its images, poses and boxes, without its places. Then the options are the source's.
    """
    if name in LABELLED:
        return HiddenLabels(open_source(name, path, options), path=path)
    if name not in _READERS:
        near = difflib.get_close_matches(name, _READERS, n=1, cutoff=0.0)[0]
        raise DataError(
            f"no collection of videos is called {name!r}; did you mean {near!r}? Known: {', '.join(_READERS)}"
        )
    if path is None or not path.is_dir():
        wrong, cure = (f"{path} is not a folder", "give") if path else ("no folder was given", "add")
        raise DataError(f"videos {name}: {wrong}; {cure} --source {name}=PATH with the folder that holds them")
    return _READERS[name](path, options)

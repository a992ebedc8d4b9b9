"""LLaVA-Video-178K: videos of all kinds, with captions that are not used here.

    <root>/<part>/<part>_cap_processed.json   a list of {"video": "academic_source/Charades/RW587.mp4", ...}
           <part>/academic_source/...         what its *_videos_N.tar.gz hold, unpacked there or in <root>

A video is taken once, however often it is named. They come in the order of a hash, so that the first ones are of all
parts. Their kind is "sports", about which no directions are asked: few are filmed from a vehicle.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from stvlm.hashing import stable_hash
from stvlm.pseudo_labels.videos.files import about, of_video_file, split_of_each
from stvlm.pseudo_labels.videos.video import Video
from stvlm.records import Recording, Rejected
from stvlm.sources.folders import wrong_root
from stvlm.sources.json_rows import read_rows


class _Item(msgspec.Struct):
    video: str


class LlavaVideo:
    """The videos that the captions under a folder are about; satisfies ``VideoSource``."""

    name = "llava_video"

    def __init__(self, path: Path, options: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._about = about(self.name, options or {}, domain="sports")

    @cached_property
    def _found(self) -> tuple[dict[str, Path], list[Rejected]]:
        """The file of each video by its path without suffix; and what is left out."""
        captions = sorted(self._path.glob("*/*_cap_processed.json")) + sorted(self._path.glob("*_cap_processed.json"))
        if not captions:
            raise wrong_root(self.name, self._path, "<part>/<part>_cap_processed.json")
        found: dict[str, Path] = {}
        missing: dict[str, Rejected] = {}
        for path in captions:
            for rows in read_rows(path, _Item):
                for name in {row.video for row in rows}:
                    inside = PurePosixPath(name)
                    video_id = inside.with_suffix("").as_posix()
                    if inside.is_absolute() or ".." in inside.parts:
                        missing[video_id] = Rejected("its path leaves the folder", name)
                    elif video_id not in found:
                        places = [place / name for place in (path.parent, self._path) if (place / name).is_file()]
                        if places:
                            found[video_id] = places[0]
                        else:
                            missing[video_id] = Rejected("video missing", name)
        return found, [missing[video_id] for video_id in sorted(set(missing) - set(found))]

    def recordings(self) -> list[Recording | Rejected]:
        """Every video that is there, in the order of a hash, then those that are missing."""
        found, missing = self._found
        items = split_of_each(self.name, self._path, found, None)
        items.sort(key=lambda item: stable_hash(item.subject if isinstance(item, Rejected) else item.scene_id))
        return [*items, *missing]

    def files(self, recording: Recording) -> list[Path]:
        """The video."""
        return [self._found[0][recording.scene_id]]

    def video(self, recording: Recording) -> Video | Rejected:
        """All frames of the video."""
        return of_video_file(recording, self._found[0][recording.scene_id], self._about)

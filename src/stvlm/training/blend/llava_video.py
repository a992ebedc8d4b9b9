"""LLaVA-Video-178K (https://huggingface.co/datasets/lmms-lab/LLaVA-Video-178K), as it is fetched and unpacked.

    <root>/0_30_s_academic_v0_1/0_30_s_academic_v0_1_cap_processed.json      captions
                                0_30_s_academic_oe_v0_1_qa_processed.json    open-ended questions
                                0_30_s_academic_mc_v0_1_qa_processed.json    multiple choice
                                academic_source/Charades/RW587.mp4           what a row's "video" names, out of
                                0_30_s_academic_v0_1_videos_1.tar.gz         these

Videos are also found where archives were unpacked in the root. What is not fetched is not blended: all lists below the
root are read, those of ActivityNet-QA, NExT-QA, PerceptionTest and LLaVA-Hound too where they are there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path

from stvlm.records import DataError, Rejected
from stvlm.sources.licences import licence_of
from stvlm.training.blend.conversations import ConversationRow, as_row
from stvlm.training.blend.lists import ListReader
from stvlm.training.blend.rows import Row

LISTS = "*_processed.json"
ARCHIVES = "*.tar.gz"
PACKED = "video missing; archives lie beside its list: unpack them there with tar -xzf"
MISSING = "video missing; fetch the archives beside its list and unpack them there"


class LlavaVideo:
    """All rows of all lists below a folder; satisfies ``rows.Reader``."""

    def __init__(self, path: Path, media: Path | None, unpacked: Path) -> None:
        self.licence = licence_of("llava_video").terms
        self.lists = sorted([*path.glob(LISTS), *path.glob(f"*/{LISTS}")])
        if not self.lists:
            raise DataError(f"{path}: holds no {LISTS}, nor do its folders; give the root of LLaVA-Video-178K")
        media = media or path
        folders = {path, *(file.parent for file in self.lists)}
        packed = {folder for folder in folders if any(folder.glob(ARCHIVES))}
        self._readers = []
        for file in self.lists:
            own = media / file.parent.relative_to(path)
            if_missing = PACKED if packed & {file.parent, path} else MISSING
            reading = partial(as_row, folders=[own, media], if_missing=if_missing)
            self._readers.append(ListReader(file, unpacked, self.licence, ConversationRow, reading))

    @cached_property
    def _ends(self) -> Sequence[int]:
        return list(accumulate(map(len, self._readers)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Row | Rejected:
        at, number = self._place(index)
        return self._readers[at][number]

    def where(self, index: int) -> str:
        at, number = self._place(index)
        return self._readers[at].where(number)

    def _place(self, index: int) -> tuple[int, int]:
        """Which list a row is in, and its number there."""
        at = bisect_right(self._ends, index)
        return at, index - (self._ends[at - 1] if at else 0)

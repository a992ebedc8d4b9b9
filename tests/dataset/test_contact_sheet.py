"""Which clips a contact sheet shows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stvlm.dataset.contact_sheet import _Clip, _in_order, contact_sheet
from stvlm.records import DataError


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    for place in ("simulation/train/metadata.parquet", "trajectories/clips.parquet"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=f"^{tmp_path}: does not read .*; build or fetch the dataset again$"):
        contact_sheet(tmp_path)


def test_a_clip_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for place in ("simulation/train/metadata.parquet", "trajectories/clips.parquet"):
        (tmp_path / place).parent.mkdir(parents=True)
        pq.write_table(pa.table({"clip_id": ["a"], "choices": [["red"]], "file_name": [None]}), tmp_path / place)
    cure = "the ids are in the column clip_id"
    with pytest.raises(DataError, match=f"^{tmp_path}: no clip is called 'b'; {cure}$"):
        contact_sheet(tmp_path, clip_ids=["a", "b"])


def test_clips_with_video_come_first_and_every_other_one_has_a_comparison() -> None:
    kinds = {"v": True, "n": False}
    found = {
        f"{video}{i}{'c' if compared else 's'}": _Clip(Path(), has_video, compared)
        for video, has_video in kinds.items()
        for i in range(3)
        for compared in (True, False)
    }
    order = _in_order(found)
    assert [name[0] for name in order] == ["v"] * 6 + ["n"] * 6
    assert sorted(order) == sorted(found)
    assert [name[2] for name in order[:2]] == ["c", "s"]
    assert _in_order(dict(reversed(found.items()))) == order

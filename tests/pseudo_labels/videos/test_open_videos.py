"""`open_videos`: a wrong name, folder or option is one line that says what to do."""

from pathlib import Path

import pytest

from stvlm.pseudo_labels.videos import open_videos
from stvlm.records import DataError


def test_a_collection_is_opened_by_its_name(tmp_path: Path) -> None:
    for name in ("bdd100k", "llava_video", "multisports", "video_folder"):
        assert open_videos(name, tmp_path, {"hfov_deg": 60}).name == name
        with pytest.raises(DataError, match=f"so {name} cannot be read from it"):
            open_videos(name, tmp_path, {}).recordings()


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no collection of videos is called 'bdd'; did you mean 'bdd100k'\? Known: "):
        open_videos("bdd", tmp_path, {})
    with pytest.raises(DataError, match="videos bdd100k: no folder was given; add --source bdd100k=PATH"):
        open_videos("bdd100k", None, {})
    with pytest.raises(DataError, match="/absent is not a folder; give --source multisports=PATH"):
        open_videos("multisports", tmp_path / "absent", {})
    with pytest.raises(DataError, match="source llava_video: unknown key 'fov'"):
        open_videos("llava_video", tmp_path, {"fov": 60})

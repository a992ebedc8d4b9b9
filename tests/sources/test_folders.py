"""Recordings that lie anywhere below a folder, some of them twice."""

from pathlib import Path

from stvlm.records import Rejected
from stvlm.sources.folders import by_name, copies


def test_recordings_that_are_folders_and_such_that_are_files(tmp_path: Path) -> None:
    for name in ("b/one/poses", "a/one/poses", "a/one/deep/poses", "a/two/poses", "sensors/three/poses", "a/x.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "more").mkdir()
    (tmp_path / "a" / "more" / "x.db").touch()

    folders = by_name(tmp_path, lambda folder, files: [(folder.name, folder)] if "poses" in files else [])
    one, again, two = (tmp_path / name for name in ("a/one", "b/one", "a/two"))
    assert folders == {"one": [one, again], "two": [two]}  # what lies in a recording, or in sensor data, is none
    assert copies(folders, "log") == [Rejected("log found twice", str(again))]

    found = by_name(tmp_path, lambda folder, files: [(file, folder / file) for file in files if file.endswith(".db")])
    assert found == {"x.db": [tmp_path / "a/x.db", tmp_path / "a/more/x.db"]}

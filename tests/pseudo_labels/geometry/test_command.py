"""A tool that runs in a process of its own: here one that copies artefacts, or fails as tools do."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.geometry.known_scene import N, Seen, check, footage, seen
from tests.pseudo_labels.geometry.test_megasam import UNIT_M, shown, write

from stvlm.pseudo_labels.geometry.command import run_tool
from stvlm.records import Array, DataError

SIZE_PX = (640, 360)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seen]:
    """A file of artefacts, and what is in it."""
    known = seen(SIZE_PX, shown, 400.0)
    return write(tmp_path_factory.mktemp("made"), known), known


def script(folder: Path, text: str) -> str:
    """The command of a program."""
    path = folder / "tool.py"
    path.write_text(f"import shutil, subprocess, sys, time\n{text}\n")
    return f"{sys.executable} {path}"


class Grey:
    """Frames of one grey each."""

    def available(self) -> Array:
        return np.ones(N, dtype=bool)

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        return np.full((*SIZE_PX[::-1], 3), index, dtype=np.uint8)


def test_what_the_tool_writes_is_read_and_kept(tmp_path: Path, made: tuple[Path, Seen]) -> None:
    count = tmp_path / "runs"
    text = f"print(sys.argv[1:]); shutil.copy({str(made[0])!r}, sys.argv[2]); open({str(count)!r}, 'a').write('x')"
    command, out = script(tmp_path, text) + " {frames} {out}", tmp_path / "raw" / "clip"
    (out.parent / ".clip.frames.0abc").mkdir(parents=True)  # left by a run that was killed
    for _ in range(2):
        check(run_tool("megasam", command, footage(SIZE_PX), Grey(), out), made[1], UNIT_M)
    assert count.read_text() == "x", "the second time it is there"
    assert (tmp_path / "raw" / "clip.log").read_text().count(str(out.parent)) == 2, "both places are whole paths"
    assert sorted(path.name for path in out.parent.iterdir()) == ["clip", "clip.log"]
    run_tool("megasam", command + " --better", footage(SIZE_PX), Grey(), out)
    assert count.read_text() == "xx", "another command makes it again"


def test_frames_are_images_in_their_order(tmp_path: Path, made: tuple[Path, Seen]) -> None:
    text = f"shutil.copytree(sys.argv[1], sys.argv[2] + '/images'); shutil.copy({str(made[0])!r}, sys.argv[2])"
    command, out = script(tmp_path, text) + " {frames} {out}", tmp_path / "clip"
    run_tool("megasam", command, footage(SIZE_PX), Grey(), out)
    images = sorted((out / "images").iterdir())
    assert [path.name for path in images] == ["00000.png", "00001.png", "00002.png", "00003.png"]
    assert [np.unique(np.asarray(Image.open(path))).tolist() for path in images] == [[0], [1], [2], [3]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "clip.log", "tool.py"]


def test_a_shell_gets_whole_paths(tmp_path: Path, made: tuple[Path, Seen], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = f"""bash -c 'cd / && test -f "$0/00000.png" && cp {made[0]} "$1"' {{frames}} {{out}}"""
    check(run_tool("megasam", command, footage(SIZE_PX), Grey(), Path("a $clip")), made[1], UNIT_M)
    assert (tmp_path / "a $clip" / made[0].name).exists()


def test_a_tool_that_fails_is_told_with_what_it_said_last(tmp_path: Path) -> None:
    command = script(tmp_path, "print('x' * 9999); print('CUDA out of\\nmemory', file=sys.stderr); sys.exit(3)")
    with pytest.raises(
        DataError, match=r"ended with code 3; it said last: x+ CUDA out of memory; all of it is in"
    ) as e:
        run_tool("megasam", command + " {frames} {out}", footage(SIZE_PX), Grey(), tmp_path / "clip")
    assert "\n" not in str(e.value) and len(str(e.value)) < 800
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.log", "tool.py"]


def test_a_tool_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    text = f"child = subprocess.Popen(['sleep', '60']); open({str(pid)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    command = script(tmp_path, text) + " {frames} {out}"
    with pytest.raises(DataError, match="took more than 3 s and was ended; allow it more, or give it fewer frames"):
        run_tool("megasam", command, footage(SIZE_PX), Grey(), tmp_path / "clip", timeout_s=3)
    for _ in range(50):
        if not _runs(int(pid.read_text())):
            break
        time.sleep(0.1)
    assert not _runs(int(pid.read_text()))


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_does_not_read_is_not_kept(tmp_path: Path, made: tuple[Path, Seen]) -> None:
    out = tmp_path / "clip"
    command = script(tmp_path, f"shutil.copy({str(made[0])!r}, sys.argv[2])") + " {frames} {out}"
    with pytest.raises(DataError, match="not made of images of 640 x 480"):
        run_tool("megasam", command, footage((640, 480)), Grey(), out)
    assert not out.exists()
    with pytest.raises(DataError, match="is missing; give the folder that the tool wrote, once it has ended"):
        run_tool("megasam", script(tmp_path, "") + " {frames} {out}", footage(SIZE_PX), Grey(), out)


@pytest.mark.parametrize(
    ("tool", "command", "message"),
    [
        ("megasan", "a {frames} {out}", "tool 'megasan': is not known; did you mean 'megasam'"),
        ("megasam", "", "the command is empty"),
        ("megasam", "a {frame} {out}", r"\{frame\} is not known; did you mean 'frames'"),
        ("megasam", "a {frames}", r"has to name \{frames\} and \{out\}"),
        ("megasam", "a {out}", r"has to name \{frames\} and \{out\}"),
        ("megasam", "a '{frames} {out}", "No closing quotation"),
        ("megasam", "a {frames} {out} {", r"Single '\{' encountered|expected '\}'"),
        ("megasam", "/no/such/tool {frames} {out}", r"/no/such/tool: does not start \(No such file or directory\)"),
    ],
)
def test_a_command_that_is_not_right_is_told(tmp_path: Path, tool: str, command: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        run_tool(tool, command, footage(SIZE_PX), Grey(), tmp_path / "clip")
    assert "\n" not in str(caught.value)

"""What strangers send, decoded in a process of its own."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.demo.worlds import grey, street, write_mp4, write_sound

from stvlm.dataset.video import read_video
from stvlm.demo import decoding
from stvlm.demo.decoding import RefusedError, container_of, decode
from stvlm.demo.uploads import MOST_BYTES, take
from stvlm.records import DataError


def taken(path: Path, out: Path) -> decoding.Decoded:
    with path.open("rb") as file:
        return decode(file, out)


def levels(path: Path) -> list[int]:
    """The grey level of each frame, in tens."""
    return [round(float(image.mean()) / 10) for image in read_video(path)[0]]


def test_frames_come_out_evenly_and_small(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "in.mp4", grey((10 * (i // 3) for i in range(72)), 1280, 720), rate_hz=30)
    found = taken(path, tmp_path / "out.mp4")
    # 72 frames at 30 Hz last till 71 / 30 = 2.37 s: the frame of 2.3 s is the last one of ten a second.
    assert found == (24, 0.1, 854, 480, (1280, 720), False)
    assert levels(tmp_path / "out.mp4") == list(range(24))
    assert np.allclose(read_video(tmp_path / "out.mp4")[1], np.arange(24) / 10)


def test_a_slow_video_keeps_its_own_pace(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "in.mp4", grey(range(0, 250, 10)), rate_hz=5)
    assert taken(path, tmp_path / "out.mp4") == (20, 0.25, 128, 96, (128, 96), False)
    # At 0.25 s the frame of 0.2 s is shown, at 1.0 s that of 1.0 s.
    assert levels(tmp_path / "out.mp4")[:5] == [0, 1, 2, 3, 5]


def test_a_long_video_is_cut(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "in.mp4", grey((i % 200 for i in range(1000)), 64, 64), rate_hz=25)
    assert taken(path, tmp_path / "out.mp4") == (196, 0.1, 64, 64, (64, 64), True)


@pytest.mark.parametrize(
    ("frames", "rate_hz", "words"),
    [
        (
            grey([10]),
            10,
            "The video is too short: 0.0 seconds from its first frame to its last. Send one of at least 2 seconds.",
        ),
        (
            grey([10] * 15),
            10,
            "The video is too short: 1.4 seconds from its first frame to its last. Send one of at least 2 seconds.",
        ),
        (grey([10] * 5), 1, "less than two pictures a second"),
        (grey([10] * 30, 1000, 20), 10, "too small or too narrow"),
        (grey([10] * 3, 4608, 2592), 2, "The video is 4608 x 2592 pixels large"),
    ],
    ids=["one", "short", "slow", "narrow", "huge"],
)
def test_what_is_of_no_use_is_refused(tmp_path: Path, frames, rate_hz: float, words: str) -> None:
    path = write_mp4(tmp_path / "in.mp4", frames, rate_hz)
    with pytest.raises(RefusedError, match=words.replace(".", r"\.")):
        taken(path, tmp_path / "out.mp4")


def test_a_phone_held_upright_is_shown_upright(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "in.mp4", street(30))
    lying, turned = path.read_bytes(), np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30], dtype=">i4")
    at = lying.index(b"tkhd") + 4 + 4 + 20 + 16  # the matrix stands behind version, times, and layers
    path.write_bytes(lying[:at] + turned.tobytes() + lying[at + 36 :])
    assert taken(path, tmp_path / "out.mp4") == (30, 0.1, 200, 320, (200, 320), False)
    plain = taken(write_mp4(tmp_path / "plain.mp4", street(30)), tmp_path / "plain_out.mp4")
    assert (plain.width_px, plain.height_px) == (320, 200)
    upright, lay = (read_video(tmp_path / name)[0][10].astype(float) for name in ("out.mp4", "plain_out.mp4"))
    # By a quarter to the right: what was at the left is above.
    assert np.abs(upright - np.rot90(lay, -1)).mean() < 6


def test_of_damage_what_comes_before_it_is_taken(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "in.mkv", street(60), g="10", bf="0")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.8)])
    found = taken(path, tmp_path / "out.mp4")
    assert 21 <= found.frames < 60
    path.write_bytes(whole[: len(whole) // 10])
    with pytest.raises(RefusedError, match="can be decoded"):
        taken(path, tmp_path / "out.mp4")


def test_only_containers_that_point_to_nothing_else_are_opened() -> None:
    assert container_of(b"\0\0\0\x20ftypisom") == "mov"
    assert container_of(b"\x1a\x45\xdf\xa3" + bytes(8)) == "matroska"
    assert container_of(b"RIFF\0\0\0\0AVI ") == "avi"
    for head in (
        b"#EXTM3U\n#EXT",
        b"ffconcat ver",
        b"PK\x03\x04" + bytes(8),
        b"ID3\x04" + bytes(8),
        b"\x89PNG\r\n\x1a\n",
        b"v=0\no=- 0 0",
    ):
        with pytest.raises(RefusedError, match="no video that can be read here"):
            container_of(head)
    with pytest.raises(RefusedError, match=r"^The file is empty\. Send a video\.$"):
        container_of(b"")


def test_other_decoders_are_left_alone(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "in.avi", grey([10] * 30), codec="mpeg2video")
    with pytest.raises(RefusedError, match="coded as mpeg2video"):
        taken(path, tmp_path / "out.mp4")


def zip_bomb() -> bytes:
    """Megabytes of zeros in a few kilobytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.mp4", bytes(20_000_000))
    return file.getvalue()


HOSTILE = {
    "bomb.mp4": zip_bomb(),
    "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "header.mp4": b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40,
    "matroska.webm": b"\x1a\x45\xdf\xa3" + os.urandom(4000),
    "empty.mp4": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_leave_nothing_behind(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    (tmp_path / "work").mkdir()
    with pytest.raises(DataError, match=r"no video that can be read here|damaged|can be decoded|is empty"):
        take(path, tmp_path / "work" / "clip.mp4")
    assert list((tmp_path / "work").iterdir()) == []


def test_names_are_never_used(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "in.mp4", street(30))
    path = path.rename(tmp_path / "$(touch pwned); -i x\n.mp4")
    assert take(path, tmp_path / "clip.mp4").frames == 30
    assert sorted(it.name for it in tmp_path.iterdir()) == ["$(touch pwned); -i x\n.mp4", "clip.mp4"]


def test_sound_alone_and_large_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pictures"):
        take(write_sound(tmp_path / "sound.mp4"), tmp_path / "clip.mp4")
    sparse = tmp_path / "sparse.mp4"
    with sparse.open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(DataError, match=rf"has 2,048 MB. Send at most {MOST_BYTES >> 20} MB"):
        take(sparse, tmp_path / "clip.mp4")
    with pytest.raises(DataError, match="is gone"):
        take(tmp_path / "none.mp4", tmp_path / "clip.mp4")


def test_what_takes_too_long_or_too_much_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mp4(tmp_path / "in.mp4", street(30))
    monkeypatch.setattr("stvlm.demo.uploads.MOST_S", 0.05)
    with pytest.raises(DataError, match="takes too long"):
        take(path, tmp_path / "work.mp4")
    monkeypatch.undo()
    monkeypatch.setattr("stvlm.demo.uploads.MODULE", "tests_have_no_such_module")
    with pytest.raises(DataError, match="too much memory or time"):
        take(path, tmp_path / "work.mp4")
    assert [it.name for it in tmp_path.iterdir()] == ["in.mp4"]


def test_the_process_ends_with_its_parent() -> None:
    child = "import stvlm.demo.decoding as d, os, time; d.confine(); print(os.getpid(), flush=True); time.sleep(60)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    assert process.stdout.read() == "", "it has let go of the pipe that both had"
    process.wait(20)
    assert not Path(f"/proc/{pid}/fd").exists() or not list(Path(f"/proc/{pid}/fd").iterdir())


def test_the_process_may_use_little() -> None:
    script = "import stvlm.demo.decoding as d; d.confine(); bytearray(4 << 30)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "MemoryError" in done.stderr

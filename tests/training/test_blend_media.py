"""When a video's frames are shown, told by its header, is when a model that is asked about them sees them."""

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.training.blend_files import write_jpg, write_mp4

from stvlm.evaluation.frames import sample
from stvlm.records import Rejected
from stvlm.training.blend import media
from stvlm.training.blend.media import Media, Shown

EVEN_MS = range(0, 2400, 40)
UNEVEN_MS = [0, 40, 80, 200, 240, 500, 540, 1000, 1040, 1080]
REAL = Path(os.environ.get("STVLM_REALDATA", "/nowhere")) / "unlabeled_video"


def write(path, times_ms, codec="libx264", b_frames=2):
    """A video with frames at these milliseconds, in a noise that leaves bytes in every frame."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.max_b_frames = b_frames
        for time_ms in times_ms:
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(path, out, first):
    """What `ffmpeg -ss -c copy` leaves: frames from a key frame on, those before the first hidden by an edit list."""
    with av.open(str(path)) as whole, av.open(str(out), "w") as container:
        stream = whole.streams.video[0]
        copied = container.add_stream_from_template(stream)
        start = round(Fraction(first, 25) / stream.time_base)
        for packet in whole.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, copied
                container.mux(packet)
    return out


def shown(path, tmp_path, most=1000):
    return Media(tmp_path / "media.jsonl", most)("video", path)


@pytest.mark.parametrize(
    ("name", "times_ms", "options", "reads_all"),
    [
        ("even.mp4", EVEN_MS, {}, False),
        ("no_b.mp4", EVEN_MS, {"b_frames": 0}, False),
        ("late.mp4", range(400, 2400, 40), {}, False),
        ("thirds.mp4", [round(i * 1000 / 30) for i in range(40)], {}, True),
        ("uneven.mp4", UNEVEN_MS, {}, True),
        ("even.mkv", EVEN_MS, {}, True),
        ("even.webm", EVEN_MS, {"codec": "libvpx"}, True),
        ("even.avi", EVEN_MS, {"codec": "mpeg4", "b_frames": 0}, True),
    ],
)
def test_times_are_those_of_the_frames(tmp_path, monkeypatch, name, times_ms, options, reads_all):
    path, read = write(tmp_path / name, times_ms, **options), []
    times_of = media.presentation_times
    monkeypatch.setattr(media, "presentation_times", lambda path: read.append(path) or times_of(path))
    for most in (1000, 7):
        found, given = shown(path, tmp_path, most), sample(path, most)
        assert found.times_s == pytest.approx(given.times_s, abs=1e-6)
        assert len(found.frame_indices) == len(given.frames) == min(most, len(times_ms))
    assert found.frame_indices[0] == 0
    assert found.frame_indices[-1] == len(times_ms) - 1
    assert bool(read) == reads_all


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path):
    path = cut(write(tmp_path / "whole.mp4", EVEN_MS), tmp_path / "cut.mp4", 10)
    found = shown(path, tmp_path)
    assert found.times_s == pytest.approx([i * 0.04 for i in range(50)], abs=1e-6)
    assert found.times_s == pytest.approx(sample(path, 1000).times_s, abs=1e-6)


@pytest.mark.skipif(not REAL.is_dir(), reason="STVLM_REALDATA names no folder with unlabeled_video")
def test_times_of_real_videos_are_those_of_their_frames(tmp_path):
    paths = sorted(REAL.glob("*.mp4"))
    assert len(paths) >= 7
    for path in paths:
        assert shown(path, tmp_path, 2).times_s == pytest.approx(sample(path, 2).times_s, abs=1e-6), path


def test_what_cannot_be_trained_on_has_a_reason(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    whole = write(tmp_path / "whole.mp4", EVEN_MS).read_bytes()
    half, no_header = tmp_path / "half.mp4", tmp_path / "no_header.mp4"
    half.write_bytes(whole[: len(whole) // 2])
    no_header.write_bytes(whole[len(whole) // 2 :])
    one = write_mp4(tmp_path / "one.mp4", 1)
    assert shown(folder, tmp_path) == Rejected("folder of frames in place of a video file", str(folder))
    assert shown(sound, tmp_path) == Rejected("video does not open", f"{sound}: holds no video stream")
    assert shown(half, tmp_path) == Rejected("video cut off; fetch it again", str(half))
    assert shown(no_header, tmp_path).reason == "video does not open"
    assert shown(one, tmp_path) == Rejected("video of fewer than two frames", str(one))
    assert len((tmp_path / "media.jsonl").read_text().splitlines()) == 4  # a folder may be unpacked another way


def test_what_was_seen_holds_for_the_same_file_and_number_of_frames(tmp_path, monkeypatch):
    path, looks = write_mp4(tmp_path / "a.mp4", 10), []
    look = media.frame_times_s
    monkeypatch.setattr(media, "frame_times_s", lambda path: looks.append(path) or look(path))
    first = shown(path, tmp_path, 4)
    assert first == Shown([0.0, 0.12, 0.24, 0.36], [0, 3, 6, 9])
    assert shown(path, tmp_path, 4) == first
    assert len(looks) == 1
    assert len(shown(path, tmp_path, 5).times_s) == 5
    assert len(looks) == 2
    write_mp4(path, 20)
    assert shown(path, tmp_path, 4).frame_indices == [0, 6, 13, 19]
    assert len(looks) == 3


def test_images_are_decoded_to_their_end(tmp_path):
    seen = Media(tmp_path / "media.jsonl", 8)
    whole = write_jpg(tmp_path / "a.jpg")
    cut_off = tmp_path / "cut.jpg"
    cut_off.write_bytes(whole.read_bytes()[:-300])
    assert seen("image", whole) == Shown([], [])
    assert seen("image", cut_off).reason == "image does not decode"
    assert seen("image", tmp_path / "media.jsonl").reason == "image does not decode"
    seen.close()
    assert Media(tmp_path / "media.jsonl", 8)("image", cut_off) == seen("image", cut_off)
    assert [json.loads(line)[1] for line in (tmp_path / "media.jsonl").read_text().splitlines()] == [True, False, False]

"""Frames of a video are found by their number, in any order, whatever the video's key frames and frame times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stvlm.records import ImageError
from stvlm.sources.video_files import NoVideoError, VideoFrames, size_px, times_s

WIDTH, HEIGHT, COUNT = 64, 48, 150


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame i is grey i + 50; B-frames, few key frames, and every third frame shown a little late."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "0", "bf": "3"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 40
        stream.codec_context.time_base = Fraction(1, 900)
        for i in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), i + 50, np.uint8), format="rgb24")
            frame.pts, frame.time_base = 30 * i + (7 if i % 3 == 0 else 0), Fraction(1, 900)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey(frames: VideoFrames, index: int) -> int:
    return round(float(frames.read(index).mean()) - 50)


@pytest.mark.parametrize("order", [range(0, COUNT, 15), [0, 149, 1, 148, 90, 91, 89, 89]])
def test_a_frame_is_the_one_with_its_number(video: Path, order: list[int]) -> None:
    frames = VideoFrames(video, np.arange(COUNT), WIDTH, HEIGHT)
    assert [abs(grey(frames, i) - i) <= 1 for i in order] == [True] * len(order)


def test_frame_numbers_choose_frames(video: Path) -> None:
    frames = VideoFrames(video, np.array([20, 100, 150, -1]), WIDTH, HEIGHT)
    assert abs(grey(frames, 1) - 100) <= 1
    assert frames.available().tolist() == [True, True, False, False]
    with pytest.raises(ImageError, match=r"clip\.mp4: frame 150 does not decode \(the video has 150 frames\)"):
        frames.read(2)
    assert abs(grey(frames, 0) - 20) <= 1


def test_a_video_cut_without_decoding_begins_where_it_is_shown(video: Path, tmp_path: Path) -> None:
    """From frame 50 on: those from the key frame 40 to there are in the file, and its edit list leaves them out."""
    path = tmp_path / "cut.mp4"
    with av.open(str(video)) as whole, av.open(str(path), "w") as cut:
        stream = whole.streams.video[0]
        copied = cut.add_stream_from_template(stream)
        start, first = (round(Fraction(i - 0.5) / 30 / stream.time_base) for i in (40, 50))
        for packet in whole.demux(stream):
            if packet.dts is not None and packet.pts >= start:
                packet.pts, packet.dts, packet.stream = packet.pts - first, packet.dts - first, copied
                cut.mux(packet)
    frames = VideoFrames(path, np.arange(COUNT), WIDTH, HEIGHT)
    assert frames.available().sum() == COUNT - 50
    assert [abs(grey(frames, i) - (i + 50)) <= 1 for i in (0, 14, 99, 1)] == [True] * 4


def test_a_video_of_another_size_is_an_error(video: Path) -> None:
    with pytest.raises(ImageError, match="the video has 64 x 48 pixels, the calibration is for 640 x 480"):
        VideoFrames(video, np.arange(3), 640, 480).read(0)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_video_is_unavailable_or_an_error(video: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "damaged.mp4"
    if damage == "empty":
        path.touch()
    elif damage == "cut":
        path.write_bytes(video.read_bytes()[:400])
    frames = VideoFrames(path, np.arange(3), WIDTH, HEIGHT)
    assert not frames.available().any()
    with pytest.raises(ImageError, match=r"damaged\.mp4: the video cannot be opened"):
        frames.read(0)


def test_frames_around_damage_are_read(video: Path, tmp_path: Path) -> None:
    """What begins with the key frame 40 cannot be decoded from frame 50 on; the next key frame is 80."""
    content = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        number = {pts: i for i, pts in enumerate(sorted(packet.pts for packet in packets))}
        at = next(packet.pos for packet in packets if number[packet.pts] >= 50)
    content[at : at + 4] = b"\xff" * 4  # the length of what follows
    (tmp_path / "damaged.mp4").write_bytes(content)
    frames = VideoFrames(tmp_path / "damaged.mp4", np.arange(COUNT), WIDTH, HEIGHT)
    for order in ([45, 81], range(COUNT), [79, 45, 60, 81, 44, 149]):
        read, errors = {}, set()
        for i in order:
            try:
                read[i] = grey(frames, i)
            except ImageError as error:
                errors.add(str(error).replace(f"frame {i}", "frame"))
        assert all(abs(value - i) <= 1 for i, value in read.items())
        assert {i for i in order if i not in range(45, 80)} <= set(read)
        assert not set(read) & set(range(54, 80))
        assert errors <= {f"{tmp_path}/damaged.mp4: frame does not decode (it is damaged)"}


@pytest.fixture(scope="module")
def corners() -> np.ndarray:
    """Red at the top left, green at the top right, blue at the bottom left, black at the bottom right."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:24, :32, 0] = image[:24, 32:, 1] = image[24:, :32, 2] = 255
    return image


def write(path: Path, image: np.ndarray, pixels: str = "yuv420p", turned: tuple[int, bool] | None = None) -> Path:
    """A video of ten times the same image."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        if turned is not None:
            stream.set_display_rotation(turned[0], hflip=turned[1])
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def quarters(image: np.ndarray) -> list[str]:
    """The colour of each quarter of an image, by row."""
    height, width = image.shape[:2]
    at = [[image[y, x] for x in (width // 4, 3 * width // 4)] for y in (height // 4, 3 * height // 4)]
    return ["".join("rgb"[int(np.argmax(pixel))] if pixel.max() > 99 else "." for pixel in row) for row in at]


@pytest.mark.parametrize(
    ("turned", "shown"),  # degrees counter-clockwise, then mirrored or not
    [
        (None, ["rg", "b."]),
        ((90, False), ["g.", "rb"]),
        ((180, False), [".b", "gr"]),
        ((270, False), ["br", ".g"]),
        ((0, True), ["gr", ".b"]),
        ((90, True), [".g", "br"]),
    ],
)
def test_images_are_upright(
    tmp_path: Path, corners: np.ndarray, turned: tuple[int, bool] | None, shown: list[str]
) -> None:
    path = write(tmp_path / "phone.mp4", corners, turned=turned)
    size = (HEIGHT, WIDTH) if turned and turned[0] % 180 else (WIDTH, HEIGHT)
    assert size_px(path) == size
    image = VideoFrames(path, np.arange(10), *size).read(3)
    assert image.shape == (size[1], size[0], 3) and image.flags.c_contiguous
    assert quarters(image) == shown


def test_pixels_are_square(tmp_path: Path, corners: np.ndarray) -> None:
    with av.open(str(tmp_path / "wide.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(corners, format="rgb24")))
        container.mux(stream.encode())
    assert size_px(tmp_path / "wide.mp4") == (85, HEIGHT)
    image = VideoFrames(tmp_path / "wide.mp4", np.arange(1), 85, HEIGHT).read(0)
    assert image.shape == (HEIGHT, 85, 3) and quarters(image) == ["rg", "b."]


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p", "yuv444p", "yuv420p10le"])
def test_colours_come_out_as_they_went_in(tmp_path: Path, pixels: str) -> None:
    for colour in ((200, 50, 20), (255, 255, 255), (10, 10, 10)):
        path = write(tmp_path / f"{colour[0]}.mp4", np.full((HEIGHT, WIDTH, 3), colour, np.uint8), pixels)
        image = VideoFrames(path, np.arange(10), WIDTH, HEIGHT).read(0)
        np.testing.assert_allclose(image[20, 30], colour, atol=4)


def test_times_are_seconds_from_the_first_frame(video: Path) -> None:
    assert times_s(video)[:4].tolist() == pytest.approx([0, 23 / 900, 53 / 900, 90 / 900])


def test_a_file_without_pictures_is_told_from_damage(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for ask in (size_px, times_s):
        with pytest.raises(NoVideoError, match=r"sound\.mp4: holds no video stream; give a video file, or remove it"):
            ask(tmp_path / "sound.mp4")


def test_a_frame_before_a_key_frame_is_found_though_it_is_stored_after_it(tmp_path: Path) -> None:
    path = tmp_path / "open.mp4"
    options = {"crf": "20", "x264-params": "keyint=20:min-keyint=20:open-gop=1:scenecut=0:bframes=4:b-adapt=0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        texture = np.random.default_rng(0).integers(0, 100, (HEIGHT, WIDTH, 1), dtype=np.uint8).repeat(3, axis=2)
        for i in range(60):
            frame = av.VideoFrame.from_ndarray(np.roll(texture, 3 * i, axis=1) + np.uint8(i), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = VideoFrames(path, np.arange(60), WIDTH, HEIGHT)
    in_order = [frames.read(i) for i in range(60)]
    assert [bool((frames.read(i) == in_order[i]).all()) for i in range(59, -1, -1)] == [True] * 60

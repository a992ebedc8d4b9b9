"""`excerpts`: one shot each, at true times, no more frames than asked for; what is left out is counted."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.videos.tiny_videos import HEIGHT, WIDTH, drifting, write_video

from stvlm.pseudo_labels.artefacts import ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.videos import Video, excerpt
from stvlm.pseudo_labels.videos.excerpts import Cutting, evenly, excerpts
from stvlm.pseudo_labels.videos.files import About, of_video_file
from stvlm.pseudo_labels.videos.folder import VideoFiles
from stvlm.records import Array, ImageError, Recording, Rejected

ROOT = os.environ.get("STVLM_REALDATA")
SHORT = Cutting(least_s=0.5)


def opened(path: Path) -> Video:
    found = of_video_file(Recording("video_folder", path.stem, "train"), path, About())
    assert isinstance(found, Video), found
    return found


def spans(items: list[Video | Rejected]) -> list[tuple[str, int, float] | Rejected]:
    """Name, frames and seconds of each excerpt; and what is left out."""
    return [
        item
        if isinstance(item, Rejected)
        else (item.recording.scene_id, len(item.times_s), round(float(item.times_s[-1]), 3))
        for item in items
    ]


def test_frames_are_the_nearest_to_an_even_grid() -> None:
    at_30_hz = np.arange(300) / 30
    assert evenly(at_30_hz, 10).tolist() == list(range(0, 300, 3))
    at_24_hz = np.arange(241) / 24
    chosen = evenly(at_24_hz, 10)
    assert len(chosen) == 101 and np.abs(at_24_hz[chosen] - np.arange(101) / 10).max() <= 1 / 48 + 1e-9  # no drift
    assert evenly(at_24_hz, 60).tolist() == list(range(241))  # none twice
    assert evenly(np.array([0, 0.04, 0.09, 0.12, 5.0]), 10).tolist() == [0, 2, 4]
    assert evenly(np.array([0.0]), 10).tolist() == [0]


def test_a_long_shot_is_cut_into_parts(tmp_path: Path) -> None:
    video = opened(write_video(tmp_path / "a.mp4", drifting(100), hz=10))
    items = excerpts(video, Cutting(most_hz=5, most_s=4.0, least_s=1.5))
    assert spans(items) == [("a/0", 21, 4.0), ("a/1", 21, 4.0), Rejected("too short", "a, 8.40 to 9.80 s")]
    second = items[1]
    assert isinstance(second, Video) and second.images[0] == (str(tmp_path / "a.mp4"), 42)
    np.testing.assert_array_equal(second.frames.read(3), video.frames.read(48))
    assert second.recording == Recording("video_folder", "a/1", "train")
    assert second.start_s == pytest.approx(4.2)
    assert excerpt(second, np.array([2, 3]), "b").start_s == pytest.approx(4.6)


def test_boxes_go_with_their_frames(tmp_path: Path) -> None:
    video = opened(write_video(tmp_path / "a.mp4", drifting(40), hz=10))
    boxes = np.full((40, 4), np.nan)
    boxes[22:] = np.stack([np.arange(22, 40), np.zeros(18), np.arange(22, 40) + 5, np.full(18, 9)], axis=1)
    flags = np.zeros(40, bool)
    late = ObjectTrack("late", "car", boxes, (~np.isnan(boxes[:, 0])).astype(float), flags, flags)
    marked = ObjectTracks(video.times_s, (WIDTH, HEIGHT), (late,), Provenance("by hand"))
    video = Video(
        video.recording, "driving", video.times_s, video.image_size_px, video.frames, video.images, boxes=marked
    )
    first, second = excerpts(video, Cutting(most_hz=5, most_s=1.9, least_s=1))
    assert isinstance(first, Video) and first.boxes is not None and first.boxes.tracks == ()
    assert isinstance(second, Video) and second.boxes is not None
    np.testing.assert_array_equal(second.boxes.times_s, second.times_s)
    (track,) = second.boxes.tracks
    assert np.isnan(track.boxes_px[0]).all() and track.boxes_px[1].tolist() == [22, 0, 27, 9]


def test_frames_with_marks_are_chosen_before_those_nearer_to_the_grid(tmp_path: Path) -> None:
    video = opened(write_video(tmp_path / "a.mp4", drifting(60), hz=30))
    boxes_px, flags = np.full((60, 4), np.nan), np.zeros(60, bool)
    boxes_px[[1, 16, 29]] = [0, 0, 5, 9]
    track = ObjectTrack("1", "car", boxes_px, (~np.isnan(boxes_px[:, 0])).astype(float), flags, flags)
    boxes = ObjectTracks(video.times_s, (WIDTH, HEIGHT), (track,), Provenance("by hand"))
    for to_follow, frames in ((True, [1, 6, 12, 16, 24, 29, 36]), (False, [0, 6, 12, 18, 24, 30, 36])):
        (found,) = excerpts(replace(video, boxes=boxes, to_follow=to_follow), Cutting(most_hz=5, least_s=1))
        assert isinstance(found, Video) and found.images is not None
        assert [number for _, number in found.images][:7] == frames


def test_each_shot_is_an_excerpt(tmp_path: Path) -> None:
    outside = [255 - image for image in drifting(30)]
    inside = [np.roll(image[::-1] // 2, 9, axis=1) for image in drifting(30)]
    video = opened(write_video(tmp_path / "a.mp4", [*drifting(30), *outside, *inside, *drifting(4)]))
    items = excerpts(video, Cutting(least_s=1))
    assert spans(items) == [
        ("a/0", 30, 2.9),
        ("a/1", 30, 2.9),
        ("a/2", 30, 2.9),
        Rejected("too short", "a, 9.00 to 9.30 s"),
    ]


@pytest.mark.parametrize("frames", [slice(20, 21), slice(20, None)], ids=["a flash", "from then on"])
def test_a_change_of_light_is_no_cut(tmp_path: Path, frames: slice) -> None:
    images = list(drifting(40))
    images[frames] = [np.minimum(image.astype(int) + 50, 255).astype(np.uint8) for image in images[frames]]
    items = excerpts(opened(write_video(tmp_path / "a.mp4", images)), SHORT)
    assert spans(items) == [("a/0", 40, 3.9)]


def test_darkness_parts_shots_and_is_counted(tmp_path: Path) -> None:
    black = [np.full((HEIGHT, WIDTH, 3), 12, np.uint8)] * 15
    video = opened(write_video(tmp_path / "a.mp4", [*drifting(20), *black, *drifting(20)]))
    assert spans(excerpts(video, SHORT)) == [
        ("a/0", 20, 1.9),
        ("a/1", 20, 1.9),
        Rejected("black", "a, 2.00 to 3.40 s"),
    ]
    assert excerpts(opened(write_video(tmp_path / "b.mp4", black)), SHORT) == [Rejected("black", "b, 0.00 to 1.40 s")]


def test_a_frozen_video_is_counted(tmp_path: Path) -> None:
    moving = list(drifting(20))
    video = opened(write_video(tmp_path / "a.mp4", [*moving, *[moving[-1]] * 20, *moving]))
    assert spans(excerpts(video, SHORT)) == [
        ("a/0", 20, 1.9),
        ("a/1", 20, 1.9),
        Rejected("frozen", "a, 2.00 to 3.90 s"),
    ]


def test_a_frame_that_repeats_the_one_before_is_left_out(tmp_path: Path) -> None:
    """Shown at 10 Hz, filmed at 5: the times are those at which something new is seen."""
    doubled = [image for image in drifting(20) for _ in range(2)]
    (item,) = excerpts(opened(write_video(tmp_path / "a.mp4", doubled)), SHORT)
    assert isinstance(item, Video)
    np.testing.assert_allclose(item.times_s, np.arange(20) / 5, atol=1e-9)


def test_a_pause_parts_shots(tmp_path: Path) -> None:
    times_ms = [*range(0, 1000, 100), *range(1900, 2500, 100), *range(3600, 4600, 100)]
    video = opened(write_video(tmp_path / "a.mp4", drifting(26), times_ms=times_ms))
    assert spans(excerpts(video, SHORT)) == [("a/0", 16, 2.4), ("a/1", 10, 0.9)]


class Damaged:
    """Frames of which some do not decode."""

    def __init__(self, images: list[Array], damaged: range) -> None:
        self.images, self.damaged = images, damaged

    def available(self) -> Array:
        return np.ones(len(self.images), bool)

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        if index in self.damaged:
            raise ImageError(f"a.mp4: frame {index} does not decode (it is damaged)")
        return self.images[index]


def test_frames_that_do_not_decode_are_counted() -> None:
    video = Video(
        recording=Recording("video_folder", "a", "train"),
        domain="driving",
        times_s=np.arange(40) / 10,
        image_size_px=(WIDTH, HEIGHT),
        frames=Damaged(list(drifting(40)), range(15, 18)),
        images=tuple(("a.mp4", i) for i in range(40)),
    )
    assert spans(excerpts(video, SHORT)) == [
        ("a/0", 15, 1.4),
        ("a/1", 22, 2.1),
        Rejected("unreadable", "a, 1.50 to 1.70 s"),
    ]


def test_a_video_cut_off_while_it_was_fetched_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "whole.mkv", [image // 2 + noise for image in drifting(100)]).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    items = excerpts(opened(tmp_path / "cut.mkv"), SHORT)
    assert isinstance(items[0], Video) and 20 < len(items[0].times_s) < 80
    assert [item.reason for item in items[1:] if isinstance(item, Rejected)] in ([], ["unreadable"])


@pytest.mark.skipif(ROOT is None, reason="STVLM_REALDATA names no folder of real samples")
def test_real_shots_are_found_where_they_were_joined() -> None:
    """Twelve real shots one after the other, in two orders."""
    root = Path(ROOT or "")
    shots = {}
    for name in ("unlabeled_video", "kitti_odometry", "bdd100k/images"):
        source = VideoFiles("video_folder", root / name, {"images_hz": 10.0})
        for recording in source.recordings():
            video = source.video(recording) if isinstance(recording, Recording) else recording
            assert isinstance(video, Video)
            frames = evenly(video.times_s, 10)
            images = [Image.fromarray(video.frames.read(int(frame), 64)).resize((64, 36), 4) for frame in frames]
            shots[recording.scene_id] = [np.asarray(image) for image in images]
    assert len(shots) == 13
    for names in (sorted(shots), sorted(shots, reverse=True)):
        images = [image for name in names for image in shots[name]]
        joined = Video(
            recording=Recording("video_folder", "joined", "train"),
            domain="driving",
            times_s=np.arange(len(images)) / 10,
            image_size_px=(64, 36),
            frames=Damaged(images, range(0)),
            images=tuple(("joined.mp4", i) for i in range(len(images))),
        )
        found = [item for item in excerpts(joined, Cutting(least_s=0.1, most_s=100)) if isinstance(item, Video)]
        starts = [item.images[0][1] for item in found]
        lengths = [len(shots[name]) for name in names]
        assert starts == [0, *np.cumsum(lengths)[:-1].tolist()], [names, list(pairwise(starts))]

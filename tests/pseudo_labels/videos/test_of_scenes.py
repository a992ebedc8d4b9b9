"""`HiddenLabels`: a labelled recording as a video, with the truth in reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stvlm.pseudo_labels.videos import Video
from stvlm.pseudo_labels.videos.excerpts import Cutting, excerpts
from stvlm.pseudo_labels.videos.of_scenes import HiddenLabels, camera_height_m, projected
from stvlm.records import Array, Camera, ImageError, Recording, Rejected, Scene, Track
from stvlm.sources import open_source

REAL = os.environ.get("STVLM_REALDATA")
SECOND = 1_000_000_000
LOOKS_ALONG_X = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])  # 1.5 m above the ground


class Grey:
    """Images of a scene of `count` frames, of which the third is missing."""

    def __init__(self, count: int) -> None:
        self.count = count

    def available(self) -> Array:
        return np.arange(self.count) != 2

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        if index == 2:
            raise ImageError("2.png: the image is missing")
        return np.full((100, 200, 3), 40 + 10 * (index % 5), np.uint8)


def box(track_id: str, x: float, y: float, count: int = 30) -> Track:
    """A car of 4 x 2 x 1.6 m that stands on the ground, annotated every second."""
    times_ns = np.arange(count) * SECOND
    size = np.tile([4, 2, 1.6], (count, 1))
    return Track(track_id, "car", times_ns, np.tile([x, y, 0.8], (count, 1)), size, np.zeros(count))


def scene(camera: str = "front", *tracks: Track, count: int = 30) -> Scene:
    return Scene(
        source="video_folder",
        scene_id="drive",
        split="train",
        label_type="lidar",
        domain="driving",
        centre_noise_m=0.05,
        camera=Camera(camera, 200, 100, 100, 100, 100, 50),
        frame_times_ns=5 * SECOND + np.arange(count) * SECOND,
        world_SE3_camera=np.tile(LOOKS_ALONG_X, (count, 1, 1)),
        tracks=tracks or (box("ahead", 12, 0),),
        frames=Grey(count),
    )


class TwoCameras:
    """Two recordings; the second has the first camera alone."""

    name = "video_folder"

    def __init__(self) -> None:
        self.read: list[str] = []

    def recordings(self) -> list[Recording | Rejected]:
        ids = [Recording(self.name, scene_id, "train") for scene_id in ("drive", "walk")]
        return [*ids, Rejected("not in splits.json", "fly")]

    def scenes(self, recording: Recording) -> Iterator[Scene | Rejected]:
        self.read.append(recording.scene_id)
        yield scene("front")
        yield scene("rear") if recording.scene_id == "drive" else Rejected("no annotations", "walk")


def test_each_camera_is_a_video() -> None:
    source = TwoCameras()
    hidden = HiddenLabels(source)
    assert hidden.recordings() == [
        *(
            Recording("video_folder", f"{name}/{camera}", "train")
            for name in ("drive", "walk")
            for camera in ("front", "rear")
        ),
        Rejected("not in splits.json", "fly"),
    ]
    ids = ["drive/front", "drive/rear", "walk/front", "walk/rear"]
    found = [hidden.scene(video_id) for video_id in ids]
    assert [item.camera.name if isinstance(item, Scene) else item.reason for item in found] == [
        "front", "rear", "front", "no such camera"
    ]  # fmt: skip
    assert source.read == ["drive", "walk"]
    assert HiddenLabels(source, ["rear"]).cameras == ("rear",)


def test_a_video_has_what_is_known_of_the_scene() -> None:
    hidden = HiddenLabels(TwoCameras())
    video = hidden.video(Recording("video_folder", "drive/rear", "train"))
    assert isinstance(video, Video) and video.recording.scene_id == "drive/rear" and video.images is None
    # One of its 30 images is missing; the poses are those of the others.
    assert video.times_s.tolist() == [0, 1, *range(3, 30)] and video.image_size_px == (200, 100)
    assert video.world_SE3_camera is not None and video.world_SE3_camera.shape == (29, 4, 4)
    assert video.camera == Camera("rear", 200, 100, 100, 100, 100, 50)
    assert video.camera_height_m == pytest.approx(1.5) and video.boxes is not None
    # From x = 10 to 14 ahead, 1 to either side, 0 to 1.6 above the ground: the near face is the larger one.
    (track,) = video.boxes.tracks
    np.testing.assert_allclose(track.boxes_px[0], [90, 49, 110, 65], atol=1)
    assert not track.truncated.any() and not track.occluded.any() and track.score[:24].tolist() == [1] * 24
    assert np.isnan(track.boxes_px[24:]).all()  # it is annotated until second 29, which is frame 24 of the scene


def test_an_excerpt_says_where_it_begins_in_the_scene() -> None:
    video = HiddenLabels(TwoCameras()).video(Recording("video_folder", "drive/front", "train"))
    assert isinstance(video, Video)
    first, second, *_ = excerpts(video, Cutting(most_s=10, least_s=3, most_gap_s=1.5))
    assert isinstance(first, Video) and isinstance(second, Video)
    assert (first.recording.scene_id, first.start_s, second.start_s) == ("drive/front/0", 3, 14)


def test_what_is_cut_off_or_hidden_is_told() -> None:
    there = [
        box("near", 8, 0),
        box("behind it", 14, 0.2),  # wholly hidden
        box("beside", 14, 3.2),  # to be seen between
        box("at the border", 8, 7),
        box("in part", 14, -1.9),
        box("in the back", -8, 0),
    ]
    tracks = {track.track_id: track for track in projected(scene("front", *there)).tracks}
    assert sorted(tracks) == ["at the border", "beside", "in part", "near"]
    assert [name for name in sorted(tracks) if tracks[name].truncated[0]] == ["at the border"]
    assert [name for name in sorted(tracks) if tracks[name].occluded[0]] == ["in part"]
    assert all(track.hidden_foot == 0 for track in tracks.values()), "they are projections"


def test_a_height_needs_boxes_nearby() -> None:
    assert camera_height_m(scene("front", box("near", 12, 0))) == pytest.approx(1.5)
    assert camera_height_m(scene("front", box("far", 40, 0))) is None
    assert camera_height_m(scene("front", box("short", 12, 0, count=19))) is None
    person = replace(box("person", 12, 0), size_lwh_m=None, yaw_rad=None)
    assert camera_height_m(scene("front", person)) is None


def test_a_height_is_that_at_the_time() -> None:
    """Uphill, camera and box rise by 0.1 m a second."""
    uphill = box("near", 12, 0)
    uphill = replace(uphill, xyz_m=uphill.xyz_m + np.arange(-5, 25)[:, None] * [0, 0, 0.1])
    poses = np.tile(LOOKS_ALONG_X, (30, 1, 1))
    poses[:, 2, 3] += 0.1 * np.arange(30)
    assert camera_height_m(replace(scene("front", uphill), world_SE3_camera=poses)) == pytest.approx(1.5)


def test_without_images_there_are_boxes_and_poses() -> None:
    class Labels(TwoCameras):
        def scenes(self, recording: Recording) -> Iterator[Scene]:
            yield replace(scene("front"), frames=None)

    video = HiddenLabels(Labels()).video(Recording("video_folder", "drive/front", "train"))
    assert isinstance(video, Video) and video.images is None and not video.frames.available().any()
    assert video.boxes is not None and len(video.times_s) == 30
    with pytest.raises(ImageError, match="there are no images; without them only its boxes and known_poses can"):
        video.frames.read(0)


def test_the_simulated_camera_is_as_high_as_it_is() -> None:
    hidden = HiddenLabels(open_source("simulation", None, {"recordings": 1}))
    (recording,) = hidden.recordings()
    assert isinstance(recording, Recording)
    truth, video = hidden.scene(recording.scene_id), hidden.video(recording)
    assert isinstance(truth, Scene) and isinstance(video, Video) and video.images is None
    assert video.camera_height_m == pytest.approx(truth.world_SE3_camera[0, 2, 3], abs=1e-6)


@pytest.mark.skipif(REAL is None, reason="STVLM_REALDATA names no folder of real samples")
def test_real_camera_heights() -> None:
    """KITTI's is 1.65 m above the road; nuScenes' front camera 1.51 m above the rear axle's ground."""
    for name, folder, video_id, true_m in (
        ("kitti", "kitti_tracking", "0001/image_02", 1.65),
        ("nuscenes", "nuscenes", "scene-0103/CAM_FRONT", 1.51),
    ):
        truth = HiddenLabels(open_source(name, Path(REAL or "") / folder, {})).scene(video_id)
        assert isinstance(truth, Scene)
        assert camera_height_m(truth) == pytest.approx(true_m, rel=0.08)

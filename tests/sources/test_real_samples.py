"""The readers on samples of the real datasets: argoverse2/, nuscenes/ and nuplan/ in the folder STVLM_REALDATA.

Expected counts are those of the files themselves; "moving" is a track of at least 2 s that ends at least 2 m away.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from stvlm.geometry import box_corners, inverse_se3, project_boxes, transform
from stvlm.records import Recording, Rejected, Scene
from stvlm.sources import open_source

ROOT = os.environ.get("STVLM_REALDATA")
pytestmark = pytest.mark.skipif(ROOT is None, reason="STVLM_REALDATA names no folder of real samples")

LONG_NS = 2_000_000_000


def recordings(source: str) -> dict[str, Recording]:
    items = open_source(source, Path(ROOT or "") / source, {}).recordings()
    return {item.scene_id: item for item in items if isinstance(item, Recording)}


def read(source: str, scene_id: str) -> list[Scene | Rejected]:
    opened = open_source(source, Path(ROOT or "") / source, {})
    return list(opened.scenes(recordings(source)[scene_id]))


def counts(scene: Scene) -> tuple[int, int, int]:
    """Tracks, those of at least 2 s, and those that also end at least 2 m from where they began."""
    long = [track for track in scene.tracks if track.times_ns[-1] - track.times_ns[0] >= LONG_NS]
    moving = [track for track in long if np.linalg.norm(track.xyz_m[-1] - track.xyz_m[0]) >= 2]
    return len(scene.tracks), len(long), len(moving)


def boxes_px(scene: Scene, frame: int) -> dict[str, np.ndarray]:
    """Rectangles of the tracks annotated within 60 ms of a frame, where they are at all in view."""
    camera_SE3_world = inverse_se3(scene.world_SE3_camera[frame])
    found = {}
    for track in scene.tracks:
        i = np.abs(track.times_ns - scene.frame_times_ns[frame]).argmin()
        assert track.size_lwh_m is not None and track.yaw_rad is not None
        corners_m = box_corners(track.xyz_m[i], track.size_lwh_m[i], track.yaw_rad[i])
        box = project_boxes(scene.camera, transform(camera_SE3_world, corners_m))
        near = abs(track.times_ns[i] - scene.frame_times_ns[frame]) <= 60_000_000
        if near and box[2] > 0 and box[3] > 0 and box[0] < scene.camera.width_px and box[1] < scene.camera.height_px:
            found[track.track_id] = box
    return found


def test_the_list_decides_the_split_not_the_folder() -> None:
    splits = {scene_id[:8]: recording.split for scene_id, recording in recordings("argoverse2").items()}
    assert splits["adcf7d18"] == "train"  # lies under sensor/val
    assert splits["7fab2350"] == splits["b87683ae"] == "validation"


def test_an_argoverse_log_without_images() -> None:
    scenes = read("argoverse2", "7fab2350-7eaf-3b7e-a39d-6937a4c1bede")
    assert len(scenes) == 9 and all(isinstance(scene, Scene) for scene in scenes)
    names = [scene.camera.name for scene in scenes if isinstance(scene, Scene)]
    assert names == sorted(names) and names[0] == "ring_front_center"
    front = scenes[0]
    assert isinstance(front, Scene) and front.frames is None
    assert (front.camera.width_px, front.camera.height_px) == (1550, 2048)
    assert len(front.frame_times_ns) == 156 and counts(front) == (114, 100, 36)


def test_argoverse_logs_with_a_part_missing() -> None:
    for log, reason, file in (
        ("adcf7d18-0510-35b0-a2fa-b4cea13a6d76", "no calibration", "calibration/intrinsics.feather"),
        ("b87683ae-14c5-321f-8af3-623e7bafc3a7", "no ego poses", "city_SE3_egovehicle.feather"),
    ):
        (rejected,) = read("argoverse2", log)
        assert isinstance(rejected, Rejected) and rejected.reason == reason
        assert rejected.subject.endswith(f"/{log}/{file}: is missing; download it")


@pytest.mark.parametrize(
    ("name", "split", "samples", "boxes", "moving"),
    [
        ("scene-0061", "train", 39, 4664, 44),
        ("scene-0103", "validation", 40, 2035, 38),
        ("scene-1077", "train", 41, 909, 50),
    ],
)
def test_nuscenes_scenes(name: str, split: str, samples: int, boxes: int, moving: int) -> None:
    scenes = read("nuscenes", name)
    assert [scene.camera.name for scene in scenes if isinstance(scene, Scene)] == [
        "CAM_BACK",
        "CAM_BACK_LEFT",
        "CAM_BACK_RIGHT",
        "CAM_FRONT",
        "CAM_FRONT_LEFT",
        "CAM_FRONT_RIGHT",
    ]
    scene = scenes[3]
    assert isinstance(scene, Scene) and scene.split == split
    assert len(scene.frame_times_ns) == samples and counts(scene)[2] == moving
    assert sum(len(track.times_ns) for track in scene.tracks) == boxes


def test_a_nuscenes_box_lies_on_the_white_car() -> None:
    front = read("nuscenes", "scene-0103")[3]
    assert isinstance(front, Scene) and front.frames is not None
    cars = {track.track_id for track in front.tracks if track.category == "car"}
    box = max((box for track, box in boxes_px(front, 0).items() if track in cars), key=lambda box: box[2] - box[0])
    np.testing.assert_allclose(box, [990, 482, 1082, 535], atol=3)  # seen in the picture
    x0, y0, x1, y1 = box.astype(int)
    pixels = front.frames.read(0).astype(float)
    road = pixels[560:580, x0:x1].mean()
    assert pixels[y0 + 10 : y1 - 15, x0 + 25 : x1 - 5].mean() > road + 20


def test_a_nuplan_log() -> None:
    scenes = read("nuplan", "2021.05.12.22.28.35_veh-35_00350_00568")
    assert [scene.camera.name for scene in scenes if isinstance(scene, Scene)] == [
        f"CAM_{name}" for name in ("B0", "F0", "L0", "L1", "L2", "R0", "R1", "R2")
    ]
    front = scenes[1]
    assert isinstance(front, Scene) and front.split == "train" and front.frames is not None
    assert front.frames.available().tolist() == [True] * 10 and counts(front) == (118, 99, 10)
    assert front.frames.read(0).shape == (1080, 1920, 3)


def test_a_nuplan_box_lies_on_the_car_ahead() -> None:
    front = read("nuplan", "2021.05.12.22.28.35_veh-35_00350_00568")[1]
    assert isinstance(front, Scene)
    inside = [box for box in boxes_px(front, 3).values() if box[0] > 0 and box[2] < 1920]
    largest = max(inside, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    np.testing.assert_allclose(largest, [631, 546, 1141, 981], atol=3)  # the grey car with its brake lights on

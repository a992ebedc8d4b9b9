"""Visual odometry along a street that is rendered here, and on two real drives of KITTI.

The street: a road z = 0 between two walls, all of them painted with blots. The camera is 1.5 m above the road.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from stvlm.geometry import inverse_se3
from stvlm.pseudo_labels.artefacts import Footage, Geometry, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.geometry.opencv_vo import visual_odometry
from stvlm.records import Array, DataError, Rejected

SIZE_PX = (640, 240)
K_PX = np.array([[400.0, 0, 320], [0, 400, 100], [0, 0, 1]])
HEIGHT_M = 1.5
AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # columns: the camera's axes in the world, looking along x
N = 6
FOOTAGE = Footage("street", np.arange(N) / 10, SIZE_PX)
BLOTS = 128 + 900 * gaussian_filter(np.random.default_rng(0).normal(size=(512, 512)), 2.5, mode="wrap")


def street(step_m: float = 0.8, turn_deg: float = 0.5, n: int = N) -> Array:
    """world_SE3_camera (n, 4, 4): along x, looking a little further to the left in each frame."""
    poses = np.tile(np.eye(4), (n, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("z", np.arange(n)[:, None] * turn_deg, degrees=True).as_matrix() @ AHEAD
    poses[:, 0, 3], poses[:, 2, 3] = step_m * np.arange(n), HEIGHT_M
    return poses


def picture(pose: Array, road_is_plain: bool = False) -> Array:
    """(H, W) uint8: of the planes z = 0, y = 5, y = -5 and x = 60 the nearest that a pixel's ray meets."""
    pixels = np.stack(np.broadcast_arrays(np.arange(640.0), np.arange(240.0)[:, None], 1.0), axis=-1)
    rays = pixels @ np.linalg.inv(K_PX).T @ pose[:3, :3].T
    reach = np.full((240, 640), np.inf)
    grey = np.zeros((240, 640))
    for axis, at_m in ((2, 0.0), (1, 5.0), (1, -5.0), (0, 60.0)):
        with np.errstate(divide="ignore"):
            depth = (at_m - pose[axis, 3]) / rays[..., axis]
        depth = np.where(depth > 0, depth, np.inf)
        nearer = depth < reach
        points_m = pose[:3, 3] + rays[nearer] * depth[nearer, None]
        where = np.delete(points_m, axis, axis=1).T * 25  # 4 cm a texel
        painted = map_coordinates(BLOTS, where + 97 * axis + at_m, order=1, mode="grid-wrap")
        grey[nearer] = 128 if road_is_plain and axis == 2 else painted
        reach = np.minimum(reach, depth)
    return np.clip(grey, 0, 255).astype(np.uint8)


def of(poses: Array, **how: bool) -> Callable[[int], Array]:
    images = [picture(pose, **how) for pose in poses]
    return lambda k: images[k]


def path_m(poses: Array) -> float:
    return float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum())


def found(*args: object) -> Geometry:
    geometry = visual_odometry(*args)  # type: ignore[arg-type]
    assert isinstance(geometry, Geometry), geometry
    return geometry


@pytest.fixture(scope="module")
def images() -> Callable[[int], Array]:
    return of(street())


def test_a_drive_is_as_long_as_it_was_and_upright(images: Callable[[int], Array]) -> None:
    geometry = found(FOOTAGE, images, K_PX, HEIGHT_M)
    assert (geometry.scale, geometry.is_upright, geometry.depth) == ("metric", True, None)
    assert path_m(geometry.world_SE3_camera) == pytest.approx(0.8 * (N - 1), rel=0.03)
    np.testing.assert_allclose(geometry.world_SE3_camera[:, :3, 3], street()[:, :3, 3], atol=0.12)
    apart = Rotation.from_matrix(geometry.world_SE3_camera[:, :3, :3] @ np.swapaxes(street()[:, :3, :3], 1, 2))
    assert np.rad2deg(apart.magnitude()).max() < 0.5


def test_twice_the_height_is_twice_the_way(images: Callable[[int], Array]) -> None:
    once = found(FOOTAGE, images, K_PX, HEIGHT_M).world_SE3_camera
    twice = found(FOOTAGE, images, K_PX, 2 * HEIGHT_M)
    assert path_m(twice.world_SE3_camera) / path_m(once) == pytest.approx(2, rel=0.15)  # it looks at other road


def test_what_moves_is_not_looked_at(images: Callable[[int], Array]) -> None:
    """Most of the street is hidden by a bus that drives ahead, as fast as the camera: it stays where it is."""
    bus = np.asarray(picture(street()[0])[:160, 120:520])

    def behind_a_bus(k: int) -> Array:
        image = images(k).copy()
        image[10:170, 120:520] = bus
        return image

    box = np.tile([120.0, 10, 520, 170], (N, 1))
    no = np.zeros(N, dtype=bool)
    unseen = ObjectTrack("8", "car", np.full((N, 4), np.nan), np.zeros(N), no, no)
    tracks = (ObjectTrack("7", "bus", box, np.ones(N), no, no), unseen)
    objects = ObjectTracks(FOOTAGE.times_s, SIZE_PX, tracks, Provenance("made"))
    assert path_m(found(FOOTAGE, behind_a_bus, K_PX, HEIGHT_M, objects).world_SE3_camera) == pytest.approx(4, rel=0.06)
    fooled = visual_odometry(FOOTAGE, behind_a_bus, K_PX, HEIGHT_M)
    assert isinstance(fooled, Rejected) or abs(path_m(fooled.world_SE3_camera) / 4 - 1) > 0.1


@pytest.mark.parametrize(
    ("poses", "reason"),
    [
        (street(step_m=0, turn_deg=0), "the camera does not move"),
        (street(step_m=0, turn_deg=1), "the camera only turns"),
    ],
)
def test_without_parallax_there_is_no_motion_to_tell(poses: Array, reason: str) -> None:
    assert visual_odometry(FOOTAGE, of(poses), K_PX, HEIGHT_M) == Rejected(reason, "street")


def test_a_stop_is_no_step() -> None:
    poses = street(turn_deg=0)[[0, 1, 2, 2, 2, 2]]
    geometry = found(FOOTAGE, of(poses), K_PX, HEIGHT_M)
    assert geometry.world_SE3_camera[2:, 0, 3].tolist() == [geometry.world_SE3_camera[2, 0, 3]] * 4


def test_a_start_is_no_step_before_it() -> None:
    poses = street(turn_deg=0)[[0, 0, 0, 1, 2, 3]]
    place_m = found(FOOTAGE, of(poses), K_PX, HEIGHT_M).world_SE3_camera[:, 0, 3]
    assert place_m[:3].tolist() == [place_m[0]] * 3
    assert place_m[5] - place_m[2] == pytest.approx(2.4, rel=0.06)


def test_a_slow_camera_is_followed_as_well_as_a_fast_one() -> None:
    """2.5 km/h: from frame to frame it goes too little to tell where to."""
    poses = street(step_m=0.07, turn_deg=0.1, n=25)
    geometry = found(Footage("street", np.arange(25) / 10, SIZE_PX), of(poses), K_PX, HEIGHT_M)
    assert path_m(geometry.world_SE3_camera) == pytest.approx(0.07 * 24, rel=0.05)
    np.testing.assert_allclose(geometry.world_SE3_camera[:, :3, 3], poses[:, :3, 3], atol=0.08)


def test_a_long_halt_in_traffic_does_not_hide_how_far_it_drove() -> None:
    """What the road has to tell is the way, and not each of the seconds in which others pass a camera that stands."""
    poses = street(turn_deg=0)[[0, 1, 2, 3, *([3] * 12)]]
    geometry = found(Footage("street", np.arange(16) / 10, SIZE_PX), of(poses), K_PX, HEIGHT_M)
    assert path_m(geometry.world_SE3_camera) == pytest.approx(2.4, rel=0.05)


def test_a_camera_that_looks_down_is_told_so() -> None:
    """By 12 degrees: told, the drive is as long as it was and its world upright."""
    pitch = Rotation.from_euler("x", -12, degrees=True).as_matrix()
    poses = street(turn_deg=0)
    poses[:, :3, :3] = poses[:, :3, :3] @ pitch
    down = poses[0, :3, :3].T @ [0.0, 0, -1]
    assert down[2] == pytest.approx(np.sin(np.deg2rad(12)))
    told = found(FOOTAGE, of(poses), K_PX, HEIGHT_M, None, down).world_SE3_camera
    assert path_m(told) == pytest.approx(4, rel=0.02)
    level = found(FOOTAGE, of(poses), K_PX, HEIGHT_M).world_SE3_camera  # it finds most of it out by itself
    off, off_level = (np.rad2deg(np.arccos(np.clip(-poses[0, 2, :3] @ down, -1, 1))) for poses in (told, level))
    assert off < 0.2 and off_level > 0.4


def test_long_steps_are_followed_by_what_features_look_like() -> None:
    """5 m from frame to frame, as at 36 km/h and 2 Hz."""
    poses = street(step_m=5.0, turn_deg=0.5)[:5]
    poses[:, 0, 3] -= 20
    footage = Footage("street", np.arange(5) / 2, SIZE_PX)
    geometry = visual_odometry(footage, of(poses), K_PX, HEIGHT_M)
    assert isinstance(geometry, Geometry), geometry
    assert path_m(geometry.world_SE3_camera) == pytest.approx(20, rel=0.05)


def test_what_cannot_be_told_is_rejected() -> None:
    def grey(_: int) -> Array:
        return np.full((240, 640, 3), 90, dtype=np.uint8)

    assert visual_odometry(FOOTAGE, grey, K_PX, HEIGHT_M) == Rejected("too few features", "street, frame 0")
    plain = visual_odometry(FOOTAGE, of(street(), road_is_plain=True), K_PX, HEIGHT_M)
    assert plain == Rejected("the road does not tell the scale", "street")
    one = Footage("street", np.zeros(1), SIZE_PX)
    assert visual_odometry(one, grey, K_PX, HEIGHT_M) == Rejected("the camera does not move", "street")


def test_what_is_missing_is_said(images: Callable[[int], Array], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="street: an image is 600 x 240, not 640 x 240; give images of one size"):
        visual_odometry(FOOTAGE, lambda k: images(k)[:, :600], K_PX, HEIGHT_M)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DataError, match=r"needs OpenCV; type: pip install 'stvlm\[pseudo\]'"):
        visual_odometry(FOOTAGE, images, K_PX, HEIGHT_M)


# --- two real drives of 5 s, with the poses that the benchmark gives -------------------------------------------------

REALDATA = os.environ.get("STVLM_REALDATA")


@pytest.mark.skipif(REALDATA is None, reason="STVLM_REALDATA names no folder of real samples")
@pytest.mark.parametrize("drive", ["KITTI_sequence_1", "KITTI_sequence_2"])
def test_real_drives_are_a_tenth_off_at_most(drive: str) -> None:
    folder = Path(REALDATA or "") / "kitti_odometry" / drive
    files = sorted((folder / "image_l").glob("*.jpg"))
    K_px = np.loadtxt(folder / "calib.txt")[0].reshape(3, 4)[:, :3]
    true = np.tile(np.eye(4), (len(files), 1, 1))
    true[:, :3] = np.loadtxt(folder / "poses.txt").reshape(-1, 3, 4)
    footage = Footage(drive, np.arange(len(files)) / 10, Image.open(files[0]).size)
    poses = found(footage, lambda k: np.asarray(Image.open(files[k])), K_px, 1.65).world_SE3_camera
    assert path_m(poses) == pytest.approx(path_m(true), rel=0.1)
    from_first = inverse_se3(poses[0]) @ poses
    assert np.linalg.norm((from_first - true)[:, :3, 3], axis=1).max() < 4

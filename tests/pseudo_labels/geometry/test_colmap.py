"""Global mapping of the street that visual odometry is tried on, and of a real drive of KITTI."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image
from tests.pseudo_labels.geometry.test_opencv_vo import FOOTAGE, K_PX, SIZE_PX, of, street

from stvlm.geometry import inverse_se3
from stvlm.pseudo_labels.artefacts import Footage, Geometry, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.geometry.colmap import Colmap, _every_pose, global_mapping
from stvlm.pseudo_labels.scale import Scale, Scaling, scale_of
from stvlm.records import Array, DataError, Rejected


def found(*args: object) -> Geometry:
    geometry = global_mapping(*args)  # type: ignore[arg-type]
    assert isinstance(geometry, Geometry), geometry
    return geometry


def apart(geometry: Geometry, true: Array) -> tuple[float, float]:
    """Metres in its unit, and how far cameras are off at most once it is in metres."""
    true_m = (inverse_se3(true[0]) @ true)[:, :3, 3]
    xyz = geometry.world_SE3_camera[:, :3, 3]
    unit_m = float((xyz * true_m).sum() / (xyz**2).sum())
    return unit_m, float(np.linalg.norm(unit_m * xyz - true_m, axis=1).max())


@pytest.fixture(scope="module")
def images() -> Callable[[int], Array]:
    return of(street())


@pytest.fixture(scope="module")
def drive(images: Callable[[int], Array]) -> Geometry:
    return found(FOOTAGE, images, K_PX)


def test_the_street_is_driven_through_in_some_unit(drive: Geometry) -> None:
    _, off_m = apart(drive, street())
    assert off_m < 0.02 and (drive.scale, drive.is_upright) == ("arbitrary", False)
    turns = inverse_se3(street()[0]) @ street()
    apart_by = drive.world_SE3_camera[:, :3, :3] @ turns[:, :3, :3].transpose(0, 2, 1)
    assert np.rad2deg(np.arccos((np.trace(apart_by, axis1=1, axis2=2).min() - 1) / 2)) < 0.1


def test_depth_is_that_of_the_walls_and_the_road(drive: Geometry) -> None:
    """Of some hundred features in a frame, and of nothing else."""
    assert drive.depth is not None and drive.crop is not None and drive.depth.shape == (6, 120, 320)
    unit_m, _ = apart(drive, street())
    for frame, pose in enumerate(street()):
        row, column = np.nonzero(drive.depth[frame])
        assert 100 < len(row) < 2000
        pixels = drive.crop.to_image(np.stack([column, row], axis=-1))
        rays = np.column_stack([pixels, np.ones(len(row))]) @ np.linalg.inv(K_PX).T @ pose[:3, :3].T
        planes = [(60 - pose[0, 3]) / rays[:, 0], 5 / np.abs(rays[:, 1]), -pose[2, 3] / rays[:, 2]]
        reach = np.stack(planes, axis=1)
        true_m = np.where(reach > 0, reach, np.inf).min(axis=1)
        off = np.abs(unit_m * drive.depth[frame, row, column] / true_m - 1)
        assert np.median(off) < 0.02


def test_the_same_video_gives_the_same_answer(drive: Geometry, images: Callable[[int], Array]) -> None:
    again = found(FOOTAGE, images, K_PX)
    np.testing.assert_array_equal(again.world_SE3_camera, drive.world_SE3_camera)


def test_nothing_in_a_box_is_looked_at(images: Callable[[int], Array]) -> None:
    """A picture that travels with the camera fills two thirds of the image."""
    n = len(FOOTAGE.times_s)
    sticker = np.random.default_rng(1).integers(0, 256, (240, 420), dtype=np.uint8)
    sticker = np.asarray(Image.fromarray(sticker[::8, ::8]).resize((420, 240), Image.Resampling.BICUBIC))

    def spoilt(k: int) -> Array:
        image = images(k).copy()
        image[:, 110:530] = sticker
        return image

    no = np.zeros(n, dtype=bool)
    box = ObjectTrack("1", "other", np.tile([110.0, 0, 529, 239], (n, 1)), np.ones(n), no, no)
    geometry = found(FOOTAGE, spoilt, K_PX, ObjectTracks(FOOTAGE.times_s, SIZE_PX, (box,), Provenance("made")))
    assert geometry.depth is not None and not geometry.depth[:, :, 56:264].any()
    assert apart(geometry, street())[1] < 0.05


def test_what_shows_no_motion(images: Callable[[int], Array]) -> None:
    """Nothing at all, one frame, a camera that stands still with some noise, and one that only turns."""
    nothing = Rejected("no motion explains the features", "street")
    assert global_mapping(FOOTAGE, lambda _: np.full((240, 640), 90, np.uint8), K_PX) == nothing
    assert global_mapping(Footage("street", np.zeros(1), SIZE_PX), images, K_PX) == nothing
    noise = np.random.default_rng(0).integers(-6, 7, (6, 240, 640))
    assert global_mapping(FOOTAGE, lambda k: np.clip(images(0) + noise[k], 0, 255).astype(np.uint8), K_PX) == nothing
    assert global_mapping(FOOTAGE, of(street(step_m=0, turn_deg=1)), K_PX) == nothing


def test_poses_are_interpolated_over_short_gaps() -> None:
    """Frame 1 is not known; half a second after 0 and half a second before 2."""
    footage = Footage("gap", np.array([0, 0.5, 1.0, 1.5]), SIZE_PX)
    known = street()[[0, 2, 3]]
    poses = _every_pose(footage, np.array([0, 2, 3]), known, 1.0)
    assert poses is not None
    np.testing.assert_allclose(poses[1, :3, 3], (poses[0] + poses[2])[:3, 3] / 2, atol=1e-12)
    expected = inverse_se3(street()[0]) @ street()
    np.testing.assert_allclose(poses[:, :3, :3], expected[:4, :3, :3], atol=1e-9)
    assert _every_pose(footage, np.array([0, 2, 3]), known, 0.9) is None
    assert _every_pose(footage, np.array([1, 2, 3]), known, 1.0) is None
    assert _every_pose(footage, np.array([0, 1, 2]), known, 1.0) is None


def test_errors_are_told(images: Callable[[int], Array], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="street: an image is 640 x 240, not 640 x 480; give images of one size"):
        global_mapping(Footage("street", FOOTAGE.times_s, (640, 480)), images, K_PX)
    with pytest.raises(ValueError, match="features, overlap and threads are positive"):
        Colmap(overlap=0)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(DataError, match=r"global mapping needs pycolmap; type: pip install 'stvlm\[pseudo\]'"):
        global_mapping(FOOTAGE, images, K_PX)


@pytest.mark.skipif("STVLM_REALDATA" not in os.environ, reason="needs STVLM_REALDATA")
def test_a_real_drive() -> None:
    """The first 20 frames, 23 m."""
    folder = Path(os.environ["STVLM_REALDATA"], "kitti_odometry", "KITTI_sequence_1")
    images = [np.asarray(Image.open(file)) for file in sorted((folder / "image_l").glob("*.jpg"))[:20]]
    K_px = np.loadtxt(folder / "calib.txt")[0].reshape(3, 4)[:, :3]
    true = np.tile(np.eye(4), (20, 1, 1))
    true[:, :3] = np.loadtxt(folder / "poses.txt")[:20].reshape(-1, 3, 4)
    footage = Footage("drive", np.arange(20) / 10, images[0].shape[::-1])  # type: ignore[arg-type]
    geometry = found(footage, images.__getitem__, K_px)
    fit = pycolmap.estimate_sim3d(geometry.world_SE3_camera[:, :3, 3], true[:, :3, 3])
    placed_m = fit.scale * geometry.world_SE3_camera[:, :3, 3] @ fit.rotation.matrix().T + fit.translation
    assert np.sqrt(((placed_m - true[:, :3, 3]) ** 2).sum(axis=1).mean()) < 0.03
    assert geometry.is_sparse
    scale = scale_of(geometry, None, None, 1.65, Scaling())
    assert isinstance(scale, Scale) and scale.factor == pytest.approx(fit.scale, rel=0.1)

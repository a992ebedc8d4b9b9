"""MegaSaM's npz file, written as its cvd_opt.py does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.geometry.known_scene import POSES, Seen, check, footage, seen

from stvlm.pseudo_labels.geometry.megasam import read
from stvlm.records import Array, DataError

SIZE_PX = (640, 360)
UNIT_M = 3.0


def shown(image: Image.Image) -> Image.Image:
    """Resized to the area of 384 x 512, then cut at the right and the bottom."""
    shrink = np.sqrt(384 * 512 / (image.width * image.height))
    image = image.resize((int(image.width * shrink), int(image.height * shrink)), Image.Resampling.BOX)
    return image.crop((0, 0, image.width // 8 * 8, image.height // 8 * 8))


def write(folder: Path, made: Seen, name: str = "clip", **changes: Array) -> Path:
    poses = POSES.copy()
    poses[:, :3, 3] /= UNIT_M
    arrays = {
        "images": np.zeros((*made.depth.shape, 3), dtype=np.uint8),
        "depths": np.clip(np.float16(made.depth / UNIT_M), 1e-3, 1e2),
        "intrinsic": made.K_small_px.astype(np.float32),
        "cam_c2w": poses.astype(np.float32),
    }
    path = folder / f"{name}_sgd_cvd_hr.npz"
    np.savez(path, **arrays | changes)
    return path


@pytest.fixture(scope="module")
def made() -> Seen:
    return seen(SIZE_PX, shown, 400.0)


@pytest.mark.parametrize("size_px", [SIZE_PX, (375, 500), (1242, 375)])
def test_the_known_scene_is_read_back(tmp_path: Path, size_px: tuple[int, int]) -> None:
    made = seen(size_px, shown, 400.0)
    write(tmp_path, made)
    geometry = read(tmp_path, footage(size_px))
    check(geometry, made, UNIT_M)
    assert (geometry.scale, geometry.confidence) == ("arbitrary", None)


def test_what_was_cut_off_is_unknown(tmp_path: Path, made: Seen) -> None:
    far = np.clip(np.float16(made.depth / UNIT_M), 1e-3, 1e2)
    far[2, 7, 9] = 100
    write(tmp_path, made, depths=far)
    depth = read(tmp_path, footage(SIZE_PX)).depth
    assert depth is not None and np.argwhere(depth == 0).tolist() == [[2, 7, 9]]


def test_of_several_scenes_the_one_called_after_the_video_is_read(tmp_path: Path, made: Seen) -> None:
    write(tmp_path, made, "other", depths=made.depth[:2])
    write(tmp_path, made)
    check(read(tmp_path, footage(SIZE_PX)), made, UNIT_M)
    (tmp_path / "clip_sgd_cvd_hr.npz").rename(tmp_path / "third_sgd_cvd_hr.npz")
    with pytest.raises(DataError, match=r"holds 2 files \*_sgd_cvd_hr\.npz; give the folder or the file of one video"):
        read(tmp_path, footage(SIZE_PX))


def test_artefacts_of_another_video(tmp_path: Path, made: Seen) -> None:
    path = write(tmp_path, made)
    with pytest.raises(DataError, match="has maps of 584 x 328, which are not made of images of 640 x 480"):
        read(path, footage((640, 480)))
    write(tmp_path, made, depths=made.depth[:3])
    with pytest.raises(DataError, match="has 3 frames, the video 4"):
        read(path, footage(SIZE_PX))
    write(tmp_path, made, intrinsic=np.ones(4))
    with pytest.raises(DataError, match=r"array 'intrinsic' has shape \(4,\), not \(3, 3\)"):
        read(path, footage(SIZE_PX))

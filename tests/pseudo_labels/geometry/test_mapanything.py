"""MapAnything's predictions, written as the script in the reader's docstring does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.geometry.known_scene import POSES, Seen, check, footage, seen

from stvlm.pseudo_labels.geometry.mapanything import read
from stvlm.records import Array, DataError

SHAPES_PX = {(640, 360): (518, 294), (360, 640): (294, 518), (1242, 375): (518, 168), (640, 480): (518, 392)}


def shown(image: Image.Image) -> Image.Image:
    """Resized until it just covers one of the network's shapes, then the middle of it."""
    w, h = SHAPES_PX[image.size]
    scale = max(w / image.width, h / image.height) + 1e-8
    image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.LANCZOS)
    left, top = (image.width - w) // 2, (image.height - h) // 2
    return image.crop((left, top, left + w, top + h))


def write(folder: Path, made: Seen, **changes: Array) -> Path:
    arrays = {
        "depth_z": made.depth[..., None].astype(np.float32),
        "camera_poses": POSES.astype(np.float32),
        "intrinsics": np.tile(made.K_small_px, (len(made.depth), 1, 1)).astype(np.float32),
        "conf": np.full(made.depth.shape, 2.0, dtype=np.float32),
        "mask": np.ones((*made.depth.shape, 1), dtype=np.float32),
    }
    np.savez(folder / "predictions.npz", **arrays | changes)
    return folder / "predictions.npz"


@pytest.mark.parametrize("size_px", list(SHAPES_PX))
def test_the_known_scene_is_read_back(tmp_path: Path, size_px: tuple[int, int]) -> None:
    made = seen(size_px, shown, 380.0)
    write(tmp_path, made)
    geometry = read(tmp_path, footage(size_px))
    check(geometry, made)
    assert geometry.scale == "metric" and geometry.provenance.licence == "Apache-2.0"
    assert geometry.confidence is not None and (geometry.confidence == 0.5).all()


def test_depth_outside_the_mask_is_unknown(tmp_path: Path) -> None:
    made = seen((640, 360), shown, 380.0)
    mask = np.ones((*made.depth.shape, 1), dtype=np.float32)
    mask[1, 4, 5] = 0
    write(tmp_path, made, mask=mask)
    depth = read(tmp_path, footage((640, 360))).depth
    assert depth is not None and np.argwhere(depth == 0).tolist() == [[1, 4, 5]]


def test_artefacts_of_another_video(tmp_path: Path) -> None:
    made = seen((640, 360), shown, 380.0)
    path = write(tmp_path, made)
    with pytest.raises(DataError, match="has maps of 518 x 294, which are not made of images of 640 x 480"):
        read(path, footage((640, 480)))
    write(tmp_path, made, depth_z=made.depth[:3])
    with pytest.raises(DataError, match="has 3 frames, the video 4"):
        read(path, footage((640, 360)))
    write(tmp_path, made, camera_poses=POSES[:3])
    with pytest.raises(DataError, match=r"world_SE3_camera must have shape \(4, 4, 4\), got \(3, 4, 4\); is it"):
        read(path, footage((640, 360)))
    write(tmp_path, made, depth_z=made.depth[0])
    with pytest.raises(DataError, match=r"array 'depth_z' has shape \(294, 518\), not \(N, h, w\)"):
        read(path, footage((640, 360)))

"""Depth Anything 3's npz files, written as its export_to_mini_npz does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.geometry.known_scene import Seen, check, footage, seen, world_to_camera

from stvlm.pseudo_labels.geometry.depth_anything3 import read
from stvlm.records import Array, DataError

SIZE_PX = (640, 360)


def shown(image: Image.Image) -> Image.Image:
    """The longer side to 504, then both to the nearest multiple of 14, upwards when in the middle."""
    w, h = (round(side * 504 / max(image.size)) for side in image.size)
    return image.resize((w, h), Image.Resampling.BOX).resize(((w + 7) // 14 * 14, (h + 7) // 14 * 14))


def write(folder: Path, made: Seen, rows: int = 3, **changes: Array) -> Path:
    path = folder / "exports" / "mini_npz" / "results.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "depth": np.round(made.depth.astype(np.float32), 8),
        "conf": np.full(made.depth.shape, 4.0, dtype=np.float32),
        "extrinsics": world_to_camera()[:, :rows].astype(np.float32),
        "intrinsics": np.tile(made.K_small_px, (len(made.depth), 1, 1)).astype(np.float32),
    }
    np.savez_compressed(path, **arrays | changes)
    return path


@pytest.fixture(scope="module")
def made() -> Seen:
    return seen(SIZE_PX, shown, 350.0)


@pytest.mark.parametrize(("size_px", "rows"), [(SIZE_PX, 3), ((360, 640), 4), ((1242, 375), 3)])
def test_the_known_scene_is_read_back(tmp_path: Path, size_px: tuple[int, int], rows: int) -> None:
    made = seen(size_px, shown, 350.0)
    path = write(tmp_path, made, rows)
    check(read(tmp_path, footage(size_px)), made)
    check(read(path, footage(size_px)), made)


def test_only_the_nested_models_are_metric(tmp_path: Path, made: Seen) -> None:
    write(tmp_path, made)
    nested = read(tmp_path, footage(SIZE_PX))
    assert nested.scale == "metric" and nested.confidence is not None and (nested.confidence == 0.75).all()
    assert nested.provenance.model == "depth-anything/DA3NESTED-GIANT-LARGE-1.1"
    assert nested.provenance.licence == "code Apache-2.0; weights CC BY-NC 4.0"
    base = read(tmp_path, footage(SIZE_PX), "depth-anything/DA3-BASE")
    assert (base.scale, base.provenance.licence) == ("arbitrary", "Apache-2.0")
    with pytest.raises(DataError, match="model 'depth-anything/DA3-BAES' is not known; did you mean"):
        read(tmp_path, footage(SIZE_PX), "depth-anything/DA3-BAES")


def test_the_sky_has_no_depth(tmp_path: Path, made: Seen) -> None:
    """The nested models give it a confidence of 1, which nothing else has, and about the largest depth there is."""
    confidence = np.full(made.depth.shape, 4.0, dtype=np.float32)
    confidence[1, 2, 3] = 1.0
    write(tmp_path, made, conf=confidence)
    depth = read(tmp_path, footage(SIZE_PX)).depth
    assert depth is not None and np.argwhere(depth == 0).tolist() == [[1, 2, 3]]


def test_artefacts_of_another_video(tmp_path: Path, made: Seen) -> None:
    path = write(tmp_path, made)
    with pytest.raises(DataError, match="has maps of 504 x 280, which are not made of images of 640 x 480"):
        read(path, footage((640, 480)))
    write(tmp_path, made, depth=made.depth[:3])
    with pytest.raises(DataError, match=r"results\.npz: has 3 frames, the video 4"):
        read(path, footage(SIZE_PX))


def test_damage_is_told(tmp_path: Path, made: Seen) -> None:
    with pytest.raises(DataError, match=r"results\.npz: is missing; give the folder that the tool wrote"):
        read(tmp_path, footage(SIZE_PX))
    path = write(tmp_path, made, extrinsics=world_to_camera()[:, :3, :3])
    with pytest.raises(DataError, match=r"'extrinsics' has shape \(4, 3, 3\), not \('N', 3, 4\) or \('N', 4, 4\)"):
        read(path, footage(SIZE_PX))
    write(tmp_path, made, extrinsics=2 * world_to_camera()[:, :3])
    with pytest.raises(DataError, match=r"world_SE3_camera holds a matrix that is no rigid transform; is it another"):
        read(path, footage(SIZE_PX))
    write(tmp_path, made, depth=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"results\.npz: does not read \(.*allow_pickle=False"):
        read(path, footage(SIZE_PX))
    np.savez(path, depth=made.depth)
    with pytest.raises(DataError, match=r"results\.npz: has no array 'extrinsics'; is it another tool's file\?"):
        read(path, footage(SIZE_PX))
    write(tmp_path, made, conf=made.depth[:, 1:])
    with pytest.raises(DataError, match=r"'conf' has shape \(4, 279, 504\), not \(4, 280, 504\); is it"):
        read(path, footage(SIZE_PX))
    write(tmp_path, made)
    data = bytearray(path.read_bytes())
    data[20_000:20_100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"results\.npz: does not read \("):
        read(path, footage(SIZE_PX))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"results\.npz: does not read \("):
        read(path, footage(SIZE_PX))

"""Predictions of VGGT and VGGT-Omega, written as their demos do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.geometry.known_scene import Seen, check, footage, seen, world_to_camera

from stvlm.pseudo_labels.geometry.vggt import read, read_omega
from stvlm.records import Array, DataError


def shown_vggt(image: Image.Image) -> Image.Image:
    """518 in width, the height stretched to a multiple of 14; of what is higher than wide, the middle."""
    image = image.resize((518, round(image.height * 518 / image.width / 14) * 14), Image.Resampling.BICUBIC)
    top = max(0, image.height - 518) // 2
    return image.crop((0, top, 518, min(image.height, top + 518)))


def narrowed(image: Image.Image) -> Image.Image:
    """The middle, where the image is more than twice as wide as high or the other way round."""
    w, h = min(image.width, 2 * image.height), min(image.height, 2 * image.width)
    left, top = (image.width - w) // 2, (image.height - h) // 2
    return image.crop((left, top, left + w, top + h))


def shown_balanced(image: Image.Image) -> Image.Image:
    """As many patches as a square of 512 has, 32 x 32."""
    image = narrowed(image)
    across = np.sqrt(32 * 32 / (image.height / image.width))
    return image.resize((round(across) * 16, round(32 * 32 / across) * 16), Image.Resampling.BICUBIC)


def shown_longest(image: Image.Image) -> Image.Image:
    """The longer side to 512."""
    image = narrowed(image)
    size_px = [round(side * 32 / max(image.size)) * 16 for side in image.size]
    return image.resize((size_px[0], size_px[1]), Image.Resampling.BICUBIC)


def write(folder: Path, made: Seen, **changes: Array) -> Path:
    arrays = {
        "depth": made.depth[..., None].astype(np.float32),
        "depth_conf": np.full(made.depth.shape, 5.0, dtype=np.float32),
        "extrinsic": world_to_camera()[:, :3].astype(np.float32),
        "intrinsic": np.tile(made.K_small_px, (len(made.depth), 1, 1)).astype(np.float32),
    }
    np.savez(folder / "predictions.npz", **arrays | changes)
    return folder / "predictions.npz"


@pytest.mark.parametrize("size_px", [(640, 360), (360, 640), (518, 518)])
def test_the_known_scene_is_read_back_from_vggt(tmp_path: Path, size_px: tuple[int, int]) -> None:
    made = seen(size_px, shown_vggt, 400.0)
    write(tmp_path, made)
    geometry = read(tmp_path, footage(size_px))
    check(geometry, made)
    assert geometry.confidence is not None and geometry.confidence[0, 0, 0] == np.float32(0.8)
    assert (geometry.scale, geometry.provenance.tool) == ("arbitrary", "vggt")


@pytest.mark.parametrize("shown", [shown_balanced, shown_longest])
@pytest.mark.parametrize("size_px", [(640, 360), (375, 1242), (1242, 375), (500, 500)])
def test_the_known_scene_is_read_back_from_vggt_omega(
    tmp_path: Path, size_px: tuple[int, int], shown: Callable[[Image.Image], Image.Image]
) -> None:
    made = seen(size_px, shown, 400.0)
    write(tmp_path, made)
    geometry = read_omega(tmp_path, footage(size_px))
    check(geometry, made)
    assert geometry.provenance.licence == "FAIR Noncommercial Research License, results included"


def test_a_demos_list_of_tensors_is_not_opened(tmp_path: Path) -> None:
    made = seen((640, 360), shown_vggt, 400.0)
    write(tmp_path, made, pose_enc_list=np.array([None, {}], dtype=object))
    check(read(tmp_path, footage((640, 360))), made)


def test_artefacts_of_another_video(tmp_path: Path) -> None:
    made = seen((640, 360), shown_vggt, 400.0)
    path = write(tmp_path, made)
    with pytest.raises(DataError, match="has maps of 518 x 294, which are not made of images of 640 x 480"):
        read(path, footage((640, 480)))
    with pytest.raises(DataError, match="has maps of 518 x 294, which are not made of images of 640 x 360"):
        read_omega(path, footage((640, 360)))
    write(tmp_path, made, depth=made.depth[:3])
    with pytest.raises(DataError, match="has 3 frames, the video 4"):
        read(path, footage((640, 360)))

"""MonST3R's folder, written as its demo.py does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.geometry.known_scene import POSES, N, Seen, check, footage, quat_wxyz, seen

from stvlm.pseudo_labels.artefacts import Footage
from stvlm.pseudo_labels.geometry.monst3r import read
from stvlm.records import DataError

UNIT_M = 2.5
"""Its unit is no metre."""


def shown(image: Image.Image) -> Image.Image:
    """The longer side to 512, then the middle, in multiples of 16; of a square the middle three quarters."""
    w, h = image.size
    image = image.resize((round(w * 512 / max(w, h)), round(h * 512 / max(w, h))), Image.Resampling.BICUBIC)
    middle_x, middle_y = image.width // 2, image.height // 2
    half_w, half_h = (2 * middle_x) // 16 * 8, (2 * middle_y) // 16 * 8
    if image.width == image.height:
        half_h = 3 * half_w // 4
    return image.crop((middle_x - half_w, middle_y - half_h, middle_x + half_w, middle_y + half_h))


def shown_small(image: Image.Image) -> Image.Image:
    """The shorter side to 224, then the square in the middle: `--image_size 224`."""
    scale = 224 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = image.width // 2 - 112, image.height // 2 - 112
    return image.crop((left, top, left + 224, top + 224))


def write(folder: Path, made: Seen) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    xyz = POSES[:, :3, 3] / UNIT_M
    lines = [
        f"{float(i)} {' '.join(map(str, place))} {' '.join(map(str, quat))}"
        for i, (place, quat) in enumerate(zip(xyz.tolist(), quat_wxyz().tolist(), strict=True))
    ]
    (folder / "pred_traj.txt").write_text("\n".join(lines) + "\n")
    np.savetxt(folder / "pred_intrinsics.txt", np.tile(made.K_small_px, (N, 1, 1)).reshape(-1, 9), fmt="%.6f")
    for i, depth in enumerate(made.depth):
        np.save(folder / f"frame_{i:04d}.npy", (depth / UNIT_M).astype(np.float32))
        confidence = np.full(depth.shape, np.log(1 + np.exp(0.0)), dtype=np.float32)  # its network said 0
        confidence[0, :2] = -np.inf, np.log(10)
        np.save(folder / f"conf_{i}.npy", confidence)
        mask = np.zeros(depth.shape, dtype=np.uint8)
        mask[5:9, 7:12] = 255
        Image.fromarray(mask).save(folder / f"dynamic_mask_{i}.png")


@pytest.fixture(scope="module")
def wide() -> tuple[Footage, Seen]:
    return footage((640, 356)), seen((640, 356), shown, 400.0)


@pytest.mark.parametrize("size_px", [(640, 356), (360, 640), (300, 300), (1242, 375)])
def test_the_known_scene_is_read_back(tmp_path: Path, size_px: tuple[int, int]) -> None:
    made = seen(size_px, shown, 420.0)
    write(tmp_path / "clip", made)
    geometry = read(tmp_path, footage(size_px))
    check(geometry, made, UNIT_M)
    assert (geometry.scale, geometry.is_upright) == ("arbitrary", False)
    assert geometry.provenance.licence == "CC BY-NC-SA 4.0"


def test_the_small_network_sees_a_square(tmp_path: Path) -> None:
    made = seen((641, 360), shown_small, 200.0)
    write(tmp_path, made)
    check(read(tmp_path, footage((641, 360))), made, UNIT_M)


def test_confidence_and_masks(tmp_path: Path, wide: tuple[Footage, Seen]) -> None:
    write(tmp_path, wide[1])
    geometry = read(tmp_path, wide[0])
    assert geometry.confidence is not None and geometry.moving is not None
    np.testing.assert_allclose(geometry.confidence[0, 0, :3], [0, 0.9, 0.5], atol=1e-6)  # 1 - 1 / (1 + exp(x))
    assert geometry.moving[2].sum() == 4 * 5 and geometry.moving[2, 5, 7]
    (tmp_path / "conf_0.npy").unlink()
    (tmp_path / "dynamic_mask_0.png").unlink()
    geometry = read(tmp_path, wide[0])
    assert geometry.confidence is None and geometry.moving is None


def test_depth_that_is_no_distance_is_unknown(tmp_path: Path, wide: tuple[Footage, Seen]) -> None:
    write(tmp_path, wide[1])
    depth = wide[1].depth[1].astype(np.float32)
    depth[3, :3] = np.nan, np.inf, 0
    np.save(tmp_path / "frame_0001.npy", depth)
    read_depth = read(tmp_path, wide[0]).depth
    assert read_depth is not None and read_depth[1, 3, :4].tolist() == [0, 0, 0, depth[3, 3]]


def test_artefacts_of_another_video(tmp_path: Path, wide: tuple[Footage, Seen]) -> None:
    write(tmp_path, wide[1])
    longer = Footage("clip", np.arange(5.0), (640, 356))
    with pytest.raises(DataError, match=r"pred_traj\.txt: has 4 frames, the video 5; make it again from the frames of"):
        read(tmp_path, longer)
    with pytest.raises(DataError, match="has maps of 512 x 272, which are not made of images of 640 x 480; make it"):
        read(tmp_path, footage((640, 480)))
    np.save(tmp_path / "frame_0004.npy", wide[1].depth[0])
    with pytest.raises(DataError, match=r"frame_0004\.npy: is of another run"):
        read(tmp_path, wide[0])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("pred_traj.txt", "0 0 0 0 1 0 0\n" * 4, r"pred_traj\.txt: has not 8 finite numbers in each line"),
        ("pred_traj.txt", "0 0 0 0 1 0 0 1\n" * 4, r"pred_traj\.txt: has a line whose last four numbers are no unit"),
        ("pred_traj.txt", "no numbers\n", r"pred_traj\.txt: does not read \("),
        ("pred_intrinsics.txt", "1 0 0\n" * 4, r"pred_intrinsics\.txt: has not 9 finite numbers"),
        ("frame_0002.npy", "x", r"frame_0002\.npy: does not read \("),
        ("conf_3.npy", None, r"conf_3\.npy: does not read \(No such file"),
        ("dynamic_mask_1.png", "x", r"dynamic_mask_1\.png: does not read \("),
        ("pred_traj.txt", None, r"pred_traj\.txt: is missing; give the folder that the tool wrote"),
    ],
)
def test_damage_is_told(
    tmp_path: Path, wide: tuple[Footage, Seen], file: str, content: str | None, message: str
) -> None:
    write(tmp_path, wide[1])
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, wide[0])
    assert "\n" not in str(caught.value)


def test_maps_of_several_sizes(tmp_path: Path, wide: tuple[Footage, Seen]) -> None:
    write(tmp_path, wide[1])
    np.save(tmp_path / "frame_0002.npy", np.ones((288, 512), dtype=np.float32))
    with pytest.raises(
        DataError, match=r"frame 2 is no map like the first, of shapes \(272, 512\) and \(288, 512\); make it"
    ):
        read(tmp_path, wide[0])

"""ViPE's folder, written as its save_artifacts does, with the same OpenEXR calls."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pseudo_labels.geometry.known_scene import POSES, N, Seen, check, footage, points_seen

from stvlm.pseudo_labels.geometry.vipe import read
from stvlm.records import Array, DataError

Imath, OpenEXR = pytest.importorskip("Imath"), pytest.importorskip("OpenEXR")

SKY, CAR = 2, 1


def of_size(size_px: tuple[int, int]) -> Seen:
    """What ViPE would write of a video: everything at its own size, the principal point off the middle."""
    width, height = size_px
    K_px = np.array([[0.7 * width, 0, 0.48 * width], [0, 0.72 * width, 0.53 * height], [0, 0, 1]])
    pixels = np.stack(np.broadcast_arrays(np.arange(width), np.arange(height)[:, None]), axis=-1)
    depth = np.stack([points_seen(K_px, pose, pixels)[0] for pose in POSES])
    return Seen(pixels, K_px, K_px, depth)


def exr(depth: Array, folder: Path) -> bytes:
    height, width = depth.shape
    header = OpenEXR.Header(width, height)
    header["channels"] = {"Z": Imath.Channel(Imath.PixelType(Imath.PixelType.HALF))}
    file = OpenEXR.OutputFile(str(folder / "one.exr"), header)
    file.writePixels({"Z": depth.astype(np.float16).tobytes()})
    file.close()
    return (folder / "one.exr").read_bytes()


def png(instances: Array) -> bytes:
    data = io.BytesIO()
    Image.fromarray(instances.astype(np.uint8)).save(data, "PNG")
    return data.getvalue()


def write_zip(path: Path, frames: list[bytes], suffix: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(frames):
            archive.writestr(f"{number:05d}.{suffix}", data)


def write(root: Path, made: Seen, name: str = "clip") -> None:
    for folder in ("pose", "intrinsics"):
        (root / folder).mkdir(exist_ok=True)
    fx, fy, cx, cy = made.K_px[0, 0], made.K_px[1, 1], made.K_px[0, 2], made.K_px[1, 2]
    np.savez(root / "pose" / f"{name}.npz", data=POSES.astype(np.float32), inds=np.arange(N))
    np.savez(root / "intrinsics" / f"{name}.npz", data=np.tile(np.float32([fx, fy, cx, cy]), (N, 1)), inds=np.arange(N))
    (root / "intrinsics" / f"{name}_camera.txt").write_text("".join(f"{i}: PINHOLE\n" for i in range(N)))
    write_zip(root / "depth" / f"{name}.zip", [exr(depth, root) for depth in made.depth], "exr")
    instances = np.zeros(made.depth.shape[1:])
    instances[:3], instances[60:70, 20:30] = SKY, CAR
    write_zip(root / "mask" / f"{name}.zip", [png(instances)] * N, "png")
    (root / "mask" / f"{name}.txt").write_text(f"{CAR}: car\n{SKY}: sky\n")
    (root / "vipe").mkdir(exist_ok=True)
    (root / "vipe" / f"{name}_info.pkl").write_bytes(b"\x80 never opened")


@pytest.fixture(scope="module")
def small() -> Seen:
    return of_size((160, 90))


def test_the_known_scene_is_read_back(tmp_path: Path, small: Seen) -> None:
    write(tmp_path, small)
    geometry = read(tmp_path, footage((160, 90)))
    check(geometry, small)
    assert geometry.scale == "metric" and geometry.crop is not None and geometry.crop.scale_xy == (1, 1)
    assert geometry.provenance.model == "default" and "UniDepthV2" in geometry.provenance.licence


@pytest.mark.parametrize(("size_px", "map_px", "first"), [((642, 90), (321, 45), 0), ((1284, 60), (428, 20), 1)])
def test_of_large_maps_every_second_or_third_pixel_is_kept(
    tmp_path: Path, size_px: tuple[int, int], map_px: tuple[int, int], first: int
) -> None:
    made = of_size(size_px)
    write(tmp_path, made)
    geometry = read(tmp_path, footage(size_px))
    check(geometry, made)
    assert geometry.depth is not None and geometry.depth.shape == (N, *map_px[::-1])
    np.testing.assert_allclose(
        geometry.depth[2, 10, 7], made.depth[2, first + 10 * (first + 2), first + 7 * (first + 2)], rtol=1e-3
    )


def test_the_sky_has_no_depth_and_does_not_move(tmp_path: Path, small: Seen) -> None:
    write(tmp_path, small)
    geometry = read(tmp_path, footage((160, 90)))
    assert geometry.depth is not None and geometry.moving is not None
    assert (geometry.depth[:, :3] == 0).all() and (geometry.depth[:, 3:] > 0).all()
    assert geometry.moving.sum() == N * 100 and geometry.moving[1, 60, 20]
    (tmp_path / "mask" / "clip.zip").unlink()
    assert read(tmp_path, footage((160, 90))).moving is None


def test_of_several_videos_the_one_with_the_id_is_read(tmp_path: Path, small: Seen) -> None:
    write(tmp_path, small, "another")
    write(tmp_path, small)
    np.savez(tmp_path / "pose" / "another.npz", data=POSES[:1], inds=[0])
    check(read(tmp_path, footage((160, 90))), small)


def test_artefacts_of_another_video(tmp_path: Path, small: Seen) -> None:
    write(tmp_path, small)
    with pytest.raises(
        DataError, match=r"depth/clip\.zip: has maps of 160 x 90, which are not made of images of 320 x 180; make it"
    ):
        read(tmp_path, footage((320, 180)))
    np.savez(tmp_path / "pose" / "clip.npz", data=POSES, inds=[0, 1, 3, 4])
    with pytest.raises(DataError, match=r"pose/clip\.npz: leaves out frames"):
        read(tmp_path, footage((160, 90)))
    np.savez(tmp_path / "pose" / "clip.npz", data=POSES[:3], inds=range(3))
    with pytest.raises(DataError, match=r"pose/clip\.npz: has 3 frames, the video 4"):
        read(tmp_path, footage((160, 90)))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def spoil_frame(path: Path) -> None:
    write_zip(path, [b"no picture"] * N, "exr")


def drop_frame(path: Path) -> None:
    write_zip(path, [png(np.zeros((90, 160)))] * (N - 1), "png")


def wide_angle(path: Path) -> None:
    path.write_text("0: PINHOLE\n1: MEI\n")


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("depth/clip.zip", cut, r"clip\.zip: does not read \("),
        ("depth/clip.zip", Path.unlink, r"clip\.zip: does not read \(No such file"),
        ("depth/clip.zip", spoil_frame, r"clip\.zip: does not read \("),
        ("mask/clip.zip", drop_frame, r"mask/clip\.zip: has 3 frames, the video 4"),
        ("intrinsics/clip.npz", cut, r"clip\.npz: does not read \("),
        ("intrinsics/clip_camera.txt", wide_angle, r"clip_camera\.txt: the camera is MEI, not PINHOLE; run ViPE with"),
        ("pose/clip.npz", Path.unlink, r"pose/\*\.npz: is missing; give the folder that the tool wrote"),
    ],
)
def test_damage_is_told(tmp_path: Path, small: Seen, file: str, spoil: Callable[[Path], None], message: str) -> None:
    write(tmp_path, small)
    spoil(tmp_path / file)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, footage((160, 90)))
    assert "\n" not in str(caught.value)

"""Sequences of the KITTI tracking benchmark.

    <root>/training/label_02/<sequence>.txt      boxes at 10 Hz, in the rectified frame of camera 0
                    calib/<sequence>.txt         projections and the poses of the sensors on the car
                    oxts/<sequence>.txt          GPS and inertial readings, one line a frame
                    image_02/<sequence>/<frame>.png

World frame: x east, y north, z up, its origin where the inertial unit is in the first frame. A box is given by the
centre of its bottom, by height, width, length, and by rotation_y about the camera's y axis, which points down:

    camera 0, from above       rotation_y = 0: the length axis along x
           z                   rotation_y = -pi/2: along z, straight ahead
           |
           o---> x

Time is the frame's number; there are no time stamps. Only what camera 2 sees is labelled, so only it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from stvlm.geometry import inverse_se3
from stvlm.records import Array, Camera, DataError, Recording, Rejected, Scene
from stvlm.sources.folders import wrong_root
from stvlm.sources.images import DAMAGE, ImageFiles
from stvlm.sources.rows import tracks_of
from stvlm.sources.splits import listed

CENTRE_NOISE_M = 0.07
"""Measured by benchmarks/centre_noise.py on sequence 0001: 0.054 m parked (rms of 0.5 s steps), 0.049 m for moving
vehicles and 0.053 m for walkers (median residual of 2 s parabolas). That leaves out the parked cars that drift by over
0.5 m with the GPS (0.4 m in the median, up to 1.4 m in 6 s); with them it is 0.063 m. The largest, rounded up."""

CATEGORIES = {
    "Car": "car",
    "Van": "car",
    "Truck": "truck",
    "Cyclist": "bicycle",  # one box around bicycle and rider
    "Pedestrian": "person",
    "Tram": "vehicle",  # it drives among the others, on rails as Argoverse 2's RAILED_VEHICLE does
}
"""Every other name (Misc; Person and Person_sitting, who sit) is "other": not asked about, but it may hide others."""

FRAME_NS = 100_000_000
EARTH_RADIUS_M = 6378137.0
SIZES_PX = {721.5377: (1242, 375), 707.0493: (1224, 370), 718.3351: (1238, 374), 718.856: (1241, 376)}
"""Focal length of camera 2 to the size of its images, on the four days on which the sequences were recorded."""
UNSCANNED = {"0001": (177, 178, 179, 180)}
"""Frames without a lidar scan: their boxes repeat those of frame 176, so that in the world a parked car moves along
with the recording one, by 1.5 m. They are left out as boxes without a position."""

_CAMERA = "image_02"
_LABEL_COLUMNS, _OXTS_COLUMNS = 17, 30
_UNLABELLED = "DontCare"  # a region of the image, not an object


class Kitti:
    """The labelled sequences under a folder, or under its folder ``training``; satisfies ``records.Source``."""

    name = "kitti"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root = path / "training" if (path / "training").is_dir() else path

    @cached_property
    def _labels(self) -> dict[str, Path]:
        """The label file of each sequence."""
        labels = {file.stem: file for file in sorted((self._root / "label_02").glob("*.txt"))}
        if not labels:
            raise wrong_root(self.name, self._path, "training/label_02/*.txt")
        return labels

    def recordings(self) -> list[Recording | Rejected]:
        """Every labelled sequence, by number."""
        return listed(self.name, self._path, self._labels)

    def scenes(self, recording: Recording) -> Iterator[Scene | Rejected]:
        """The sequence as seen by camera 2."""
        sequence = recording.scene_id
        files = [self._root / folder / f"{sequence}.txt" for folder in ("calib", "oxts")]
        for reason, file in zip(("no calibration", "no ego poses"), files, strict=True):
            if not file.is_file():
                yield Rejected(reason, f"{file}: is missing; unpack it there")
                return
        images = {path.stem: path for path in sorted((self._root / _CAMERA / sequence).glob("*.[jp][pn]g"))}
        try:
            rig = _read_calibration(files[0], images)
            world_SE3_rect = _read_poses(files[1]) @ rig.imu_SE3_rect
            boxes = _read_boxes(self._labels[sequence])
        except DataError as error:
            yield Rejected("damaged file", str(error))
            return
        if not len(world_SE3_rect) or not boxes.track_ids:
            yield Rejected("no annotations" if len(world_SE3_rect) else "no ego poses", sequence)
            return
        pose = world_SE3_rect[np.minimum(boxes.frame, len(world_SE3_rect) - 1)]
        pose[(boxes.frame >= len(world_SE3_rect)) | np.isin(boxes.frame, UNSCANNED.get(sequence, ()))] = np.nan
        xyz_m, yaw_rad = _in_world(pose, boxes)
        tracks, rejected = tracks_of(
            boxes.track_ids, boxes.categories, boxes.owner, boxes.frame * FRAME_NS, xyz_m, boxes.size_lwh_m, yaw_rad
        )
        yield from rejected
        frames = None
        if images:
            stems = [f"{frame:06}" for frame in range(len(world_SE3_rect))]
            paths = tuple(images.get(stem, self._root / _CAMERA / sequence / f"{stem}.png") for stem in stems)
            frames = ImageFiles(paths, rig.camera.width_px, rig.camera.height_px)
        yield Scene(
            source=self.name,
            scene_id=sequence,
            split=recording.split,
            label_type="lidar",
            domain="driving",
            centre_noise_m=CENTRE_NOISE_M,
            camera=rig.camera,
            frame_times_ns=np.arange(len(world_SE3_rect)) * FRAME_NS,
            world_SE3_camera=world_SE3_rect @ rig.rect_SE3_camera,
            tracks=tracks,
            frames=frames,
        )


class _Rig(NamedTuple):
    """Camera 2, and where it is on the car. `rect`: the rectified frame of camera 0, in which labels are given."""

    camera: Camera
    imu_SE3_rect: Array
    rect_SE3_camera: Array


class _Boxes(NamedTuple):
    """N boxes of a label file; box i is of ``track_ids[owner[i]]``."""

    track_ids: list[str]
    categories: list[str]  # of each track
    owner: Array  # (N,) int64
    frame: Array  # (N,) int64
    size_lwh_m: Array  # (N, 3)
    bottom_rect_m: Array  # (N, 3) centre of the bottom face
    rotation_y_rad: Array  # (N,)


def _in_world(world_SE3_rect: Array, boxes: _Boxes) -> tuple[Array, Array]:
    """Centres (N, 3) and headings (N,) in the world."""
    rotation = world_SE3_rect[:, :3, :3]
    centre_rect_m = boxes.bottom_rect_m - [0, 0.5, 0] * boxes.size_lwh_m[:, [2]]  # y points down
    xyz_m = (rotation @ centre_rect_m[..., None])[..., 0] + world_SE3_rect[:, :3, 3]
    cos, sin = np.cos(boxes.rotation_y_rad), np.sin(boxes.rotation_y_rad)
    ahead = (rotation @ np.stack([cos, np.zeros_like(cos), -sin], axis=1)[..., None])[..., 0]
    return xyz_m, np.arctan2(ahead[:, 1], ahead[:, 0])


def _read_boxes(path: Path) -> _Boxes:
    owner_of: dict[str, int] = {}
    categories: list[str] = []
    frames: list[int] = []
    owners: list[int] = []
    numbers: list[list[float]] = []
    for where, words in _lines(path):
        if len(words) != _LABEL_COLUMNS:  # an 18th is a detector's score: no ground truth
            raise DataError(f"{where}: has {len(words)} columns, not {_LABEL_COLUMNS}; unpack the labels again")
        frame, track_id, kind = words[:3]
        if not (frame.isdecimal() and len(frame) <= 6):  # as in the images' names
            raise DataError(f"{where}: {frame!r} is no number of a frame; unpack the labels again")
        if kind == _UNLABELLED:
            continue
        if track_id not in owner_of:
            owner_of[track_id] = len(categories)
            categories.append(CATEGORIES.get(kind, "other"))
        frames.append(int(frame))
        owners.append(owner_of[track_id])
        numbers.append(_numbers(where, words[10:]))
    values = np.array(numbers, dtype=np.float64).reshape(-1, 7)
    frame_owner = np.array([frames, owners], dtype=np.int64)
    return _Boxes(
        list(owner_of), categories, frame_owner[1], frame_owner[0], values[:, 2::-1], values[:, 3:6], values[:, 6]
    )


def _read_poses(path: Path) -> Array:
    """World_SE3_imu (F, 4, 4) of the frames from 0 on.

    Mercator's projection, scaled to be metric at the first frame's latitude (Geiger et al., Vision meets robotics: The
    KITTI dataset, IJRR 2013, and its devkit); log tan(pi/4 + latitude/2) is arcsinh(tan(latitude)).
    """
    rows = []
    for where, words in _lines(path):
        if len(words) != _OXTS_COLUMNS:
            raise DataError(f"{where}: has {len(words)} columns, not {_OXTS_COLUMNS}; unpack oxts again")
        rows.append(_numbers(where, words[:6]))
    latitude_deg, longitude_deg, altitude_m, *roll_pitch_yaw_rad = np.array(rows).reshape(-1, 6).T
    out = np.tile(np.eye(4), (len(rows), 1, 1))
    if rows:
        latitude_rad, longitude_rad = np.deg2rad(latitude_deg), np.deg2rad(longitude_deg)
        scale_m = EARTH_RADIUS_M * np.cos(latitude_rad[0])
        xyz_m = np.stack([scale_m * longitude_rad, scale_m * np.arcsinh(np.tan(latitude_rad)), altitude_m], axis=1)
        out[:, :3, :3] = Rotation.from_euler("xyz", np.stack(roll_pitch_yaw_rad, axis=1)).as_matrix()
        out[:, :3, 3] = xyz_m - xyz_m[0]
    return out


def _read_calibration(path: Path, images: dict[str, Path]) -> _Rig:
    """Reads the tracking benchmark's spelling of the keys, and the object benchmark's, which copies of it have."""
    found = {words[0].rstrip(":"): (where, words[1:]) for where, words in _lines(path) if words}

    def matrix(rows: int, columns: int, *names: str) -> Array:
        name = next((name for name in names if name in found), None)
        if name is None:
            raise DataError(f"{path}: has no line {' or '.join(names)}; unpack the calibration again")
        where, words = found[name]
        if len(words) != rows * columns:
            numbers = f"{name} has {len(words)} numbers, not {rows * columns}"
            raise DataError(f"{where}: {numbers}; unpack the calibration again")
        out = np.eye(4)
        out[:rows, :columns] = np.reshape(_numbers(where, words), (rows, columns))
        if name != "P2" and not np.allclose(out[:3, :3] @ out[:3, :3].T, np.eye(3), atol=1e-3):
            raise DataError(f"{where}: {name} does not hold a rotation; unpack the calibration again")
        return out

    projection = matrix(3, 4, "P2")
    cam_SE3_velo = matrix(3, 4, "Tr_velo_cam", "Tr_velo_to_cam")
    rect_SE3_cam = matrix(3, 3, "R_rect", "R0_rect")
    velo_SE3_imu = matrix(3, 4, "Tr_imu_velo", "Tr_imu_to_velo")
    (fx, _, cx), (_, fy, cy) = projection[:2, :3].tolist()
    try:
        camera = Camera(_CAMERA, *_size_px(path, fx, images), fx, fy, cx, cy)
        rect_SE3_camera = np.eye(4)  # P2 = K [I | t], and t is where camera 0 lies in camera 2
        rect_SE3_camera[:3, 3] = -np.linalg.solve(projection[:3, :3], projection[:3, 3])
    except ValueError as error:  # LinAlgError is one
        raise DataError(f"{found['P2'][0]}: {error}; unpack the calibration again") from error
    return _Rig(camera, inverse_se3(rect_SE3_cam @ cam_SE3_velo @ velo_SE3_imu), rect_SE3_camera)


def _size_px(path: Path, fx_px: float, images: dict[str, Path]) -> tuple[int, int]:
    """Width and height: known for the benchmark's own cameras, so that it needs no images; else an image's."""
    for known_px, size_px in SIZES_PX.items():
        if abs(fx_px - known_px) < 1e-3:
            return size_px
    if not images:
        known = "has a focal length that is not the benchmark's"
        raise DataError(f"{path}: {known}, so the images' size is unknown; put images into {_CAMERA}")
    image_path = images[min(images)]
    try:
        with Image.open(image_path) as image:
            return image.size
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{image_path}: the image does not decode ({reason}); unpack the images again") from error


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """("file, line 1", its words) for each line; empty lines at the end are none."""
    try:
        text = path.read_text(encoding="utf-8").rstrip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: does not read ({error}); unpack it again") from error
    for number, line in enumerate(text.splitlines(), start=1):
        yield f"{path}, line {number}", line.split()


def _numbers(where: str, words: list[str]) -> list[float]:
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError as error:
            raise DataError(f"{where}: {word!r} is not a number; unpack the file again") from error
        if not np.isfinite(numbers[-1]):
            raise DataError(f"{where}: {word!r} is not a finite number; unpack the file again")
    return numbers

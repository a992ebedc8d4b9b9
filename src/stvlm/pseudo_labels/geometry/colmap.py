"""How a camera with known intrinsics moved, by COLMAP (pycolmap, BSD-3-Clause): no network, no weights, no GPU.

SIFT features, matched with those of the next frames, and global mapping (GLOMAP): all rotations first, then all places
at once. Where a car drives straight ahead, mapping frame by frame loses its way. Its unit is any; depth is that of the
triangulated features alone, which is enough to find its scale. With one thread a video always gives the same answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stvlm import kinematics
from stvlm.geometry import poses_between
from stvlm.pseudo_labels.artefacts import Footage, Geometry, ObjectTracks, resized
from stvlm.pseudo_labels.geometry.reading import inverse
from stvlm.pseudo_labels.licences import provenance_of
from stvlm.records import Array, DataError, LackingError, Rejected

MAP_SIDE_PX = 320
"""The longer side of the depth maps: a feature is up to half of one of their pixels beside where it is kept."""
CORNER_PX = 0.5
"""COLMAP counts pixels from the image's corner, not from the middle of the first pixel."""


@dataclass(frozen=True)
class Colmap:
    """How features are found and matched."""

    features: int = 2000
    """Most in a frame."""
    overlap: int = 4
    """With the features of so many of the next frames they are matched."""
    most_gap_s: float = kinematics.MAX_GAP_S
    """Poses are interpolated between frames no farther apart."""
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if min(self.features, self.overlap, self.threads) < 1 or self.most_gap_s < 0:
            raise ValueError("features, overlap and threads are positive, and most_gap_s is 0 or more")


def global_mapping(
    footage: Footage,
    read: Callable[[int], Array],
    K_px: Array,
    objects: ObjectTracks | None = None,
    options: Colmap | None = None,
) -> Geometry | Rejected:
    """The motion of a camera, of any unit, in its first frame's axes; with depth where features are.

    Args:
        footage: its frames.
        read: frame index -> image (H, W, 3) uint8 RGB, or (H, W), undistorted.
        K_px: intrinsics (3, 3) for images of that size.
        objects: what may move; nothing in its boxes is looked at.
        options: what is not the default.

    Raises DataError where pycolmap is not installed, or an image has another size.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise LackingError("global mapping needs pycolmap; type: pip install 'stvlm[pseudo]'") from error
    options = options or Colmap()
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value  # it writes a line a step, and warns of CUDA
    with tempfile.TemporaryDirectory(prefix="colmap-") as folder:
        images, masks = Path(folder, "images"), Path(folder, "masks")
        _write(footage, read, objects, images, masks)
        found = _mapped(pycolmap, Path(folder), K_px, objects is not None, options)
    if found is None or found.num_reg_images() < 2:
        return Rejected("no motion explains the features", footage.video_id)
    seen = {int(Path(image.name).stem): image for image in found.images.values() if image.has_pose}
    frames = np.array(sorted(seen))
    camera_SE3_any = np.stack([seen[frame].cam_from_world().matrix() for frame in frames.tolist()])
    poses = _every_pose(footage, frames, inverse(camera_SE3_any), options.most_gap_s)
    if poses is None:
        registered = f"{footage.video_id}: {len(frames)} of {len(footage.times_s)}"
        return Rejected("frames are not registered", registered)
    shrink = min(MAP_SIDE_PX / max(footage.image_size_px), 1)
    w, h = (max(round(side * shrink), 1) for side in footage.image_size_px)
    crop = resized(footage.image_size_px, (w, h))
    depth = np.zeros((len(footage.times_s), h, w), dtype=np.float32)
    for frame, camera_SE3 in zip(frames.tolist(), camera_SE3_any, strict=True):
        points = [(p.xy, found.points3D[p.point3D_id].xyz) for p in seen[frame].points2D if p.has_point3D()]
        if not points:
            continue
        at_px, xyz = (np.array(part) for part in zip(*points, strict=True))
        z = xyz @ camera_SE3[2, :3] + camera_SE3[2, 3]
        column, row = np.clip(np.round(crop.to_depth(at_px - CORNER_PX)).astype(int), 0, [w - 1, h - 1]).T
        far_first = np.argsort(-z)
        far_first = far_first[z[far_first] > 0]
        depth[frame, row[far_first], column[far_first]] = z[far_first]  # of several in a pixel, the nearest
    depth.setflags(write=False)
    return Geometry(
        times_s=footage.times_s,
        world_SE3_camera=poses,
        K_px=np.tile(K_px, (len(poses), 1, 1)),
        image_size_px=footage.image_size_px,
        is_upright=False,
        scale="arbitrary",
        provenance=provenance_of("colmap"),
        depth=depth,
        crop=crop,
        is_sparse=True,
    )


def _write(
    footage: Footage, read: Callable[[int], Array], objects: ObjectTracks | None, images: Path, masks: Path
) -> None:
    images.mkdir()
    masks.mkdir()
    width, height = footage.image_size_px
    for frame in range(len(footage.times_s)):
        image = read(frame)
        if image.shape[:2] != (height, width):
            found = f"an image is {image.shape[1]} x {image.shape[0]}, not {width} x {height}"
            raise DataError(f"{footage.video_id}: {found}; give images of one size")
        Image.fromarray(image).save(images / f"{frame:06}.png", compress_level=1)
        if objects is None:
            continue
        free = np.full((height, width), 255, dtype=np.uint8)
        for track in objects.tracks:
            if not np.isnan(track.boxes_px[frame, 0]):
                x0, y0, x1, y1 = np.clip(track.boxes_px[frame], 0, None).astype(int)
                free[y0 : y1 + 1, x0 : x1 + 1] = 0
        Image.fromarray(free).save(masks / f"{frame:06}.png.png", compress_level=1)


def _mapped(pycolmap: Any, folder: Path, K_px: Array, masked: bool, options: Colmap) -> Any:
    """The reconstruction with most frames, or None."""
    database, images = folder / "database.db", folder / "images"
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "PINHOLE"
    numbers = K_px[0, 0], K_px[1, 1], K_px[0, 2] + CORNER_PX, K_px[1, 2] + CORNER_PX
    reader.camera_params = ",".join(str(float(number)) for number in numbers)
    if masked:
        reader.mask_path = folder / "masks"
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    extraction.use_gpu = matching.use_gpu = False
    extraction.num_threads = matching.num_threads = options.threads
    extraction.sift.max_num_features = options.features
    extraction.sift.first_octave = 0  # of images at twice their size it takes three times as long, for nothing here
    pairing, verification = pycolmap.SequentialPairingOptions(), pycolmap.TwoViewGeometryOptions()
    pairing.overlap, pairing.quadratic_overlap, pairing.num_threads = options.overlap, False, options.threads
    verification.ransac.random_seed = options.seed
    pipeline = pycolmap.GlobalPipelineOptions()
    pipeline.multiple_models = False
    mapper = pipeline.mapper
    adjustment = mapper.bundle_adjustment
    for part in (pipeline, mapper):
        part.num_threads = options.threads
    for part in (pipeline, mapper, mapper.rotation_averaging, mapper.global_positioning, mapper.retriangulation):
        part.random_seed = options.seed
    mapper.global_positioning.use_gpu = adjustment.ceres.use_gpu = False
    adjustment.refine_focal_length = adjustment.refine_extra_params = False  # they are known
    pycolmap.set_random_seed(options.seed)
    device, single = pycolmap.Device.cpu, pycolmap.CameraMode.SINGLE
    pycolmap.extract_features(
        database, images, camera_mode=single, reader_options=reader, extraction_options=extraction, device=device
    )
    pycolmap.match_sequential(
        database,
        matching_options=matching,
        pairing_options=pairing,
        verification_options=verification,
        device=device,
    )
    found = pycolmap.global_mapping(database, images, folder / "sparse", pipeline)
    return max(found.values(), key=lambda one: one.num_reg_images(), default=None)


def _every_pose(footage: Footage, frames: Array, any_SE3_camera: Array, most_gap_s: float) -> Array | None:
    """world_SE3_camera (N, 4, 4) in the first frame's axes; None where a gap between known frames is too long."""
    times_s, known_s = footage.times_s, footage.times_s[frames]
    gaps_s = np.diff(known_s)[np.diff(frames) > 1]
    if frames[0] != 0 or frames[-1] != len(times_s) - 1 or (gaps_s > most_gap_s + kinematics.ROUNDING).any():
        return None
    return poses_between(known_s, inverse(any_SE3_camera[:1]) @ any_SE3_camera, times_s)

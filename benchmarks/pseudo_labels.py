"""How right are labels from plain video, without any network? On KITTI's tracking benchmark, in the camera's frame.

    python benchmarks/pseudo_labels.py KITTI_TRACKING/training KITTI_ODOMETRY [--out FILE]

Tracks are cut into pieces of 3 to 5 s; those whose true path in the camera's frame is longer than 5 m count. There,
what is parked moves as well where the camera does. Path and speed are computed on the grid of 0.5 s.

- smoothing: true places, made noisy along the ray as depth networks are (by 8 % for a whole piece, 4 % that fades over
  10 frames, 2 % from frame to frame), and smoothed in different ways.
- lifting: from the annotated boxes in the image, the intrinsics, and the camera's height of 1.65 m alone. Class sizes
  are either those of the sequences with even numbers, or of another continent; only the sequences with odd numbers
  count. The boxes of this benchmark are smoother than a detector's, so they are shaken by 2 pixels as well.
- ground: the same where nobody knows how the camera is held, or how high: once it is taken to be level, with a slope as
  uncertain as a guess, and once objects that are seen in the same frames, and hidden by nothing, tell it. Images are
  tilted by turning the rays to the boxes' corners.
- world: the same in the world's frame, with the known poses of sequence 0001: whether what is parked is told from what
  moves, by 2 m or more, and how far that moves.
- odometry: the motion of the camera in each folder below KITTI_ODOMETRY (image_l, calib.txt, poses.txt), by OpenCV;
  from all frames, and from 2 a second.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from kitti_labels import Labels, read_K_px, read_labels
from PIL import Image
from scipy.spatial.transform import Rotation

from stvlm.files import write_json
from stvlm.geometry import inverse_se3
from stvlm.kinematics import traveled_distance, traveling_speed
from stvlm.pseudo_labels.artefacts import Footage, Geometry, LiftedTrack, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.filters import Label, Limits, clear_frames, judge, longest_part, on_grid
from stvlm.pseudo_labels.geometry.given import footage_of, known_poses, static_camera
from stvlm.pseudo_labels.geometry.opencv_vo import visual_odometry
from stvlm.pseudo_labels.lifting import SLOPE_RAD, Ground, Lifting, level_ground, lift
from stvlm.pseudo_labels.points import rays
from stvlm.pseudo_labels.smoothing import Smoothing, smooth
from stvlm.pseudo_labels.standing import standing_on
from stvlm.pseudo_labels.steps import GUESSED_SLOPE_RAD
from stvlm.pseudo_labels.views import intrinsics
from stvlm.records import Array, Recording, Rejected, Scene
from stvlm.sources.kitti import Kitti

IMAGE_SIZE_PX = (1242, 375)
CAMERA_HEIGHT_M = 1.65
FRAME_S, MOST_FRAMES, LEAST_FRAMES = 0.1, 51, 31
LEAST_PATH_M = 5.0
LEAST_MOVE_M = 2.0
BORDER_PX = 1.0
CLIP_NOISE, SLOW_NOISE, FADE, FAST_NOISE = 0.08, 0.04, 0.9, 0.02
SCALE_SIGMA = 0.0  # the camera's path is known: what is wrong is what sizes tell
SMOOTHING = {
    "none": Smoothing("none"),
    "savgol": Smoothing("savgol"),
    "rts": Smoothing("rts"),
}

PITCH_DEG = 5.0


class Piece(NamedTuple):
    """An object during 3 to 5 s."""

    labels: Labels
    K_px: Array
    rows: Array  # (n,) of the labels
    around: list[Labels]  # all objects of the sequence


class Held(NamedTuple):
    """How a camera is held, and who tells it."""

    pitch_deg: float = 0.0
    height_known: bool = True
    by_objects: bool = False


LEVEL = Held()
GROUNDS = {
    "height unknown, by sizes alone": Held(height_known=False),
    "height and tilt unknown, by objects": Held(height_known=False, by_objects=True),
    "tilted by 5 degrees, taken to be level": Held(PITCH_DEG),
    "tilted by 5 degrees, tilt by objects": Held(PITCH_DEG, by_objects=True),
    "tilted by 5 degrees, height and tilt by objects": Held(PITCH_DEG, height_known=False, by_objects=True),
}


@dataclass
class Score:
    """How paths and speeds compare with the truth."""

    relative: list[float]
    speed_kmh: list[float]

    def add(self, found_m: Array, true_m: Array) -> None:
        """Adds what was found on the grid (n, 3), and what is true there."""
        self.relative.append(traveled_distance(found_m).value / traveled_distance(true_m).value - 1)
        self.speed_kmh.append(abs(traveling_speed(found_m).value - traveling_speed(true_m).value))

    def summary(self) -> dict[str, float]:
        """In fractions of 1, and km/h."""
        relative = np.array(self.relative)
        return {
            "pieces": len(relative),
            "within_25_percent": round(float((abs(relative) <= 0.25).mean()), 3),
            "median_error": round(float(np.median(relative)), 3),
            "speed_mae_kmh": round(float(np.mean(self.speed_kmh)), 2),
            "speed_median_error_kmh": round(float(np.median(self.speed_kmh)), 2),
        }


def pieces(root: Path, first: int, step: int) -> Iterator[Piece]:
    """Pieces of every `step`-th sequence from the `first` on whose path is long enough."""
    for file in sorted(root.glob("label_02/*.txt"))[first::step]:
        K_px = read_K_px(root / "calib" / file.name)
        around = read_labels(file)
        for labels in around:
            for run in np.split(np.arange(len(labels.frame)), np.flatnonzero(np.diff(labels.frame) > 1) + 1):
                for start in range(0, len(run), MOST_FRAMES):
                    rows = run[start : start + MOST_FRAMES]
                    if len(rows) < LEAST_FRAMES:
                        continue
                    if traveled_distance(on_grid(true_track(labels, rows))).value > LEAST_PATH_M:
                        yield Piece(labels, K_px, rows, around)


def true_track(labels: Labels, rows: Array) -> LiftedTrack:
    """An object's annotated places."""
    covariance_m2 = np.zeros((len(rows), 3, 3))
    return LiftedTrack("", labels.category, labels.frame[rows] * FRAME_S, labels.xyz_m[rows], covariance_m2)


def of_smoothing(root: Path) -> dict[str, Any]:
    """The scores of each way to smooth."""
    rng = np.random.default_rng(0)
    scores = {name: Score([], []) for name in SMOOTHING}
    for piece in pieces(root, 0, 1):
        true = true_track(piece.labels, piece.rows)
        n = len(true.times_s)
        slow = rng.normal(size=n) * SLOW_NOISE
        for k in range(1, n):
            slow[k] = FADE * slow[k - 1] + np.sqrt(1 - FADE**2) * slow[k]
        noise = CLIP_NOISE * rng.normal() + slow + FAST_NOISE * rng.normal(size=n)
        noisy_m = true.xyz_m * (1 + noise[:, None])
        range_m = np.linalg.norm(noisy_m, axis=1)[:, None]
        along = noisy_m / range_m
        along = along[:, :, None] * along[:, None]
        sigma_m = np.hypot(SLOW_NOISE, FAST_NOISE) * range_m[..., None]
        covariance_m2 = sigma_m**2 * along + 0.05**2 * (np.eye(3) - along)
        noisy = LiftedTrack("", true.category, true.times_s, noisy_m, covariance_m2)
        for name, settings in SMOOTHING.items():
            scores[name].add(on_grid(smooth(noisy, settings)), on_grid(true))
    return {name: score.summary() for name, score in scores.items()}


def of_lifting(root: Path, lifting: Lifting, box_noise_px: float, held: Held = LEVEL) -> dict[str, Any]:
    """The scores of what is kept, overall and by grade; how many are not, and why; and whether sigmas are right."""
    rng = np.random.default_rng(0)
    limits = Limits()
    overall, by_grade = Score([], []), {grade: Score([], []) for grade in "ABC"}
    why: Counter[str] = Counter()
    surprises, total = [], 0
    for piece in pieces(root, 1, 2):
        total += 1
        found = label_of(piece, lifting, limits, box_noise_px, rng, held)
        if isinstance(found, Rejected):
            why[found.reason] += 1
            continue
        start_s, end_s = found.track.times_s[[0, -1]]
        frames = np.round(piece.labels.frame[piece.rows] * FRAME_S - start_s, 6)
        span = (frames >= 0) & (frames <= round(end_s - start_s, 6))
        true_m = on_grid(true_track(piece.labels, piece.rows[span]))
        found_m = on_grid(found.track)
        overall.add(found_m, true_m)
        by_grade[found.grade].add(found_m, true_m)
        true_way_m = traveled_distance(true_m).value
        surprises.append(abs(found.distance_m.value - true_way_m) / found.distance_m.sigma)
    kept = len(overall.relative)
    return {
        **overall.summary(),
        "of_pieces": total,
        "kept": round(kept / total, 3),
        "left_out": dict(sorted(why.items())),
        "by_grade": {grade: score.summary() for grade, score in by_grade.items() if score.relative},
        "within_1_sigma": round(float((np.array(surprises) <= 1).mean()), 3),
        "within_2_sigma": round(float((np.array(surprises) <= 2).mean()), 3),
    }


def label_of(
    piece: Piece, lifting: Lifting, limits: Limits, box_noise_px: float, rng: np.random.Generator, held: Held
) -> Label | Rejected:
    """What is told of a piece in the camera's frame."""
    labels, rows = piece.labels, piece.rows
    geometry = static_camera(Footage("", labels.frame[rows] * FRAME_S, IMAGE_SIZE_PX), piece.K_px)
    track = seen_from(piece, labels, rows, box_noise_px, rng, held.pitch_deg)
    n, height_m = len(rows), CAMERA_HEIGHT_M if held.height_known else None
    if not held.by_objects:
        ground = level_ground(n, CAMERA_HEIGHT_M)
        if held.pitch_deg:
            ground = replace(ground, slope_rad=GUESSED_SLOPE_RAD)
        return label_in(geometry, track, lifting, limits, ground if held.height_known else None)
    objects = objects_around(piece, geometry, box_noise_px, rng, held.pitch_deg)
    standing = standing_on(geometry, objects, height_m, lifting)
    if not isinstance(standing, Rejected):
        slope_rad = float(np.hypot(standing.slope_rad, SLOPE_RAD))
        ground = Ground(np.tile(standing.down, (n, 1)), standing.height_m, slope_rad, standing.height_sigma)
        return label_in(geometry, track, lifting, limits, ground)
    guess = replace(level_ground(n, CAMERA_HEIGHT_M), slope_rad=GUESSED_SLOPE_RAD)
    return label_in(geometry, track, lifting, limits, guess if held.height_known else None)


def objects_around(
    piece: Piece, geometry: Geometry, box_noise_px: float, rng: np.random.Generator, pitch_deg: float
) -> ObjectTracks:
    """All that is seen in the frames of a piece, and hidden by nothing."""
    tracks = []
    for other in piece.around:
        rows = np.flatnonzero(np.isin(other.frame, piece.labels.frame[piece.rows]) & (other.occluded == 0))
        if len(rows):
            tracks.append(seen_from(piece, other, rows, box_noise_px, rng, pitch_deg))
    return ObjectTracks(geometry.times_s, IMAGE_SIZE_PX, tuple(tracks), Provenance(""))


def seen_from(
    piece: Piece, labels: Labels, rows: Array, box_noise_px: float, rng: np.random.Generator, pitch_deg: float
) -> ObjectTrack:
    """The shaken boxes of an object in the frames of a piece, in a camera that looks further down by the pitch."""
    boxes_px = labels.boxes_px[rows] + box_noise_px * rng.normal(size=(len(rows), 4))
    boxes_px[:, 2:] = np.maximum(boxes_px[:, 2:], boxes_px[:, :2] + 1)
    first = piece.labels.frame[piece.rows[0]]
    shaken = labels._replace(
        frame=labels.frame[rows] - first,
        truncated=labels.truncated[rows],
        boxes_px=boxes_px,
        occluded=labels.occluded[rows],
    )
    track = in_all_frames(shaken, np.arange(len(rows)), len(piece.rows))
    return replace(track, boxes_px=pitched(track.boxes_px, piece.K_px, pitch_deg)) if pitch_deg else track


def pitched(boxes_px: Array, K_px: Array, pitch_deg: float) -> Array:
    """Boxes (n, 4) in a camera that looks further down."""
    x0, y0, x1, y1 = boxes_px.T
    corners = np.stack([np.stack(corner, axis=-1) for corner in ((x0, y0), (x1, y0), (x0, y1), (x1, y1))], axis=1)
    turned = rays(K_px, corners) @ Rotation.from_euler("x", pitch_deg, degrees=True).as_matrix().T @ K_px.T
    there = turned[..., :2] / turned[..., 2:]
    return np.concatenate([there.min(axis=1), there.max(axis=1)], axis=1)


def in_all_frames(labels: Labels, rows: Array, n: int) -> ObjectTrack:
    """The boxes of some rows among n frames. They hold what is hidden too, so that occlusion does not spoil them."""
    boxes_px, cut = np.full((n, 4), np.nan), np.zeros(n, dtype=bool)
    frames, given_px = labels.frame[rows], labels.boxes_px[rows]
    most_px = np.array(IMAGE_SIZE_PX) - 1 - BORDER_PX
    boxes_px[frames] = given_px
    cut[frames] = labels.truncated[rows]
    cut[frames] |= (given_px[:, :2] <= BORDER_PX).any(axis=1) | (given_px[:, 2:] >= most_px).any(axis=1)
    score = (~np.isnan(boxes_px[:, 0])).astype(float)
    return ObjectTrack(labels.track_id, labels.category, boxes_px, score, cut, np.zeros(n, dtype=bool))


def label_in(
    geometry: Geometry, track: ObjectTrack, lifting: Lifting, limits: Limits, ground: Ground | None
) -> Label | Rejected:
    """What is told of an object by its boxes alone."""
    clear, _ = clear_frames(track, IMAGE_SIZE_PX, limits)
    if isinstance(clear, Rejected):
        return clear
    lifted = lift(clear, geometry, lifting, ground)
    if isinstance(lifted, Rejected):
        return lifted
    part = longest_part(lifted, geometry, limits)
    return part if isinstance(part, Rejected) else judge(smooth(part, Smoothing()), geometry, SCALE_SIGMA, limits)


def of_standing(root: Path, lifting: Lifting, pitch_deg: float) -> dict[str, Any]:
    """How a camera is held, and how high, as objects tell it in 5 s of a sequence, their boxes shaken by 2 pixels.

    Truth is a camera that is level on a level road; KITTI's is, to 0.7 degrees.
    """
    rng = np.random.default_rng(0)
    off_deg: list[float] = []
    height_m: list[float] = []
    clips = 0
    for file in sorted(root.glob("label_02/*.txt"))[1::2]:
        K_px, around = read_K_px(root / "calib" / file.name), read_labels(file)
        for start in range(0, max(int(labels.frame.max()) for labels in around) + 2 - MOST_FRAMES, MOST_FRAMES):
            clips += 1
            frames = np.arange(start, start + MOST_FRAMES)
            clip = Piece(around[0]._replace(frame=frames), K_px, np.arange(MOST_FRAMES), around)
            geometry = static_camera(Footage("", frames * FRAME_S, IMAGE_SIZE_PX), K_px)
            objects = objects_around(clip, geometry, 2.0, rng, pitch_deg)
            standing = standing_on(geometry, objects, None, lifting)
            if not isinstance(standing, Rejected):
                off_deg.append(float(np.rad2deg(np.arctan2(standing.down[2], standing.down[1])) - pitch_deg))
                height_m.append(standing.height_m)
    return {
        "clips": clips,
        "told": len(off_deg),
        "pitch_median_error_deg": round(float(np.median(np.abs(off_deg))), 2),
        "height_median_m": round(float(np.median(height_m)), 2),
        "height_median_error": round(float(np.median(np.abs(np.array(height_m) / CAMERA_HEIGHT_M - 1))), 3),
    }


def of_world(root: Path, lifting: Lifting) -> dict[str, Any]:
    """What is told of sequence 0001 with known poses."""
    (scene,) = (item for item in Kitti(root).scenes(Recording("kitti", "0001", "train")) if isinstance(item, Scene))
    geometry = known_poses(footage_of(scene), scene.world_SE3_camera, intrinsics(scene.camera))
    n, limits = len(geometry.times_s), Limits()
    true = {track.track_id: track for track in scene.tracks}
    told: Counter[str] = Counter()
    score = Score([], [])
    for labels in read_labels(root / "label_02" / "0001.txt"):
        for start in range(0, n, MOST_FRAMES):
            rows = np.flatnonzero((labels.frame >= start) & (labels.frame < min(start + MOST_FRAMES, n)))
            if len(rows) < LEAST_FRAMES:
                continue
            level = level_ground(n, CAMERA_HEIGHT_M)
            found = label_in(geometry, in_all_frames(labels, rows, n), lifting, limits, level)
            if isinstance(found, Rejected):
                told[f"left out: {found.reason}"] += 1
                continue
            track = true[labels.track_id]
            times_s = track.times_ns / 1e9
            span = (times_s >= found.track.times_s[0] - 1e-6) & (times_s <= found.track.times_s[-1] + 1e-6)
            xyz_m = track.xyz_m[span]
            moves = np.linalg.norm(xyz_m[-1] - xyz_m[0]) >= LEAST_MOVE_M
            told[f"{'moves' if moves else 'parked'}, told as {'moving' if found.moving else 'stationary'}"] += 1
            if moves and found.moving:
                there = LiftedTrack("", track.category, times_s[span], xyz_m, np.zeros((len(xyz_m), 3, 3)))
                true_m, found_m = on_grid(there), on_grid(found.track)
                if len(true_m) == len(found_m) and np.isfinite(true_m).all():
                    score.add(found_m, true_m)
    return {"pieces": dict(sorted(told.items())), "moving": score.summary()}


def of_odometry(folder: Path, every: int) -> dict[str, Any]:
    """The camera's path beside the true one, by every `every`-th frame."""
    images = [np.asarray(Image.open(file)) for file in sorted((folder / "image_l").glob("*.jpg"))[::every]]
    true_m = np.loadtxt(folder / "poses.txt").reshape(-1, 3, 4)[::every, :, 3]
    K_px = np.loadtxt(folder / "calib.txt")[0].reshape(3, 4)[:, :3]
    height, width = images[0].shape
    footage = Footage(folder.name, np.arange(len(images)) * FRAME_S * every, (width, height))
    start_s = time.process_time()
    geometry = visual_odometry(footage, images.__getitem__, K_px, CAMERA_HEIGHT_M)
    took_s = time.process_time() - start_s
    if isinstance(geometry, Rejected):
        return {"rejected": geometry.reason}
    poses = geometry.world_SE3_camera
    found_m = (inverse_se3(poses[0]) @ poses)[:, :3, 3]
    path_m, true_path_m = (np.linalg.norm(np.diff(xyz_m, axis=0), axis=1).sum() for xyz_m in (found_m, true_m))
    return {
        "path_m": round(float(true_path_m), 1),
        "path_error": round(float(path_m / true_path_m - 1), 3),
        "largest_position_error_m": round(float(np.linalg.norm(found_m - true_m, axis=1).max()), 2),
        "cpu_s_a_frame": round(took_s / len(images), 3),
    }


def measure(root: Path, odometry: Path) -> dict[str, Any]:
    """All figures."""
    return {
        "smoothing": of_smoothing(root),
        "lifting": {
            "sizes of the region": of_lifting(root, Lifting(region="europe"), 0.0),
            "sizes of another region": of_lifting(root, Lifting(region="america_asia"), 0.0),
            "sizes of the region, boxes shaken by 2 px": of_lifting(root, Lifting(region="europe"), 2.0),
        },
        "camera": {
            "level": of_standing(root, Lifting(region="europe"), 0.0),
            "tilted by 5 degrees": of_standing(root, Lifting(region="europe"), PITCH_DEG),
            "tilted by 5 degrees, sizes of another region": of_standing(root, Lifting(), PITCH_DEG),
        },
        "ground": {name: of_lifting(root, Lifting(region="europe"), 2.0, held) for name, held in GROUNDS.items()},
        "world": of_world(root, Lifting(region="europe")),
        **{
            name: {
                calibration.parent.name: of_odometry(calibration.parent, every)
                for calibration in sorted(odometry.glob("*/calib.txt"))
            }
            for name, every in (("odometry", 1), ("odometry at 2 Hz", 5))
        },
    }


def as_text(result: dict[str, Any]) -> str:
    """The table of the README."""
    lines = [f"{'':58}kept  within 25 %   speed MAE    within 1 / 2 sigma"]
    rows = [(f"noisy depth, {name}", score) for name, score in result["smoothing"].items()]
    rows += [(f"boxes, {name}", score) for name, score in result["lifting"].items()]
    rows += [(f"shaken, {name}", score) for name, score in result["ground"].items()]
    for name, score in rows:
        kept = f"{score['kept']:6.0%}" if "kept" in score else 6 * " "
        line = f"{name:56}{kept}{score['within_25_percent']:13.1%}{score['speed_mae_kmh']:6.2f} km/h"
        if "within_1_sigma" in score:
            line += f"   {score['within_1_sigma']:.0%} / {score['within_2_sigma']:.0%}"
        lines.append(line)
    for name, found in result["camera"].items():
        told = f"{found['told']} of {found['clips']} clips, pitch {found['pitch_median_error_deg']} degrees off"
        height = f"height {found['height_median_m']} m, {found['height_median_error']:.1%} off"
        lines.append(f"camera by objects, {name}: {told}, {height}")
    for which in ("odometry", "odometry at 2 Hz"):
        for name, drive in result[which].items():
            told = f"left out: {drive['rejected']}" if "rejected" in drive else (
                f"path {drive['path_error']:+.1%} of {drive['path_m']} m, at most {drive['largest_position_error_m']} m"
                f" off, {drive['cpu_s_a_frame']:.3f} s of CPU a frame"
            )  # fmt: skip
            lines.append(f"{which}, {name}: {told}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="KITTI_TRACKING/training")
    parser.add_argument("odometry", type=Path, metavar="KITTI_ODOMETRY")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pseudo_labels.json")
    args = parser.parse_args()
    result = measure(args.root, args.odometry)
    write_json(args.out, result)
    print(as_text(result))


if __name__ == "__main__":
    main()

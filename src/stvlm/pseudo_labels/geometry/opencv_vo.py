"""How a driving camera moved, by OpenCV alone: no network, no weights, no depth.

From frame to frame, or to a later one where the camera is slow, corners are tracked, and matched by what they look like
where it has gone far; five of them give rotation and heading (Nister, 2004; RANSAC tells which five). How far it went
they cannot tell. The road can, seen from a known height: for a plane with normal n at distance h below, what lies on it
moves through the image by the homography R + s t n^T / h, in which the length s of the step is all that is left to
find.

    1. coarse: the s with which the road ahead looks most alike in both frames
    2. fine:   patches of road tracked from one frame to the other, warped by 1.
    3. joint:  one normal for the whole video, a step for each pair, to all patches of all pairs
    4. steps:  how much longer each step is than the one before, by the depths of what is seen in both, joins what the
               road tells of single steps, which is 10 to 20 % off and at times all wrong

Where the road is not flat the scale is wrong by as much: 5 % on the real drives that it was tried on. Where most of
what the road tells does not fit together, nothing is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from stvlm import kinematics
from stvlm.geometry import poses_between
from stvlm.pseudo_labels.artefacts import Footage, Geometry, ObjectTracks
from stvlm.pseudo_labels.ground import axes
from stvlm.pseudo_labels.licences import made_by
from stvlm.pseudo_labels.points import rays
from stvlm.pseudo_labels.views import opencv
from stvlm.records import Array, DataError, Rejected

FEATURES, LEAST_FEATURES = 700, 60
ENOUGH_FEATURES = 150
"""Where fewer corners are found again, the camera has gone far: then features are matched by what they look like (Lowe,
2004), which takes longer."""
LIKE_NO_OTHER = 0.75
"""A feature's distance to the one that it looks like most, over that to the next."""
EPIPOLAR_PX = 0.5
"""A corner further off its epipolar line is none of the static scene."""
STEPS, STEP_PX = 12, 0.03
"""A corner is tracked in no more steps than this, and to a step so small."""
RETURN_PX = 0.7
"""A corner tracked there and back comes back this near to where it was."""
LEAST_PARALLAX_PX, ENOUGH_PARALLAX_PX, LONGEST_STEP_S = 0.5, 2.0, 0.5
"""Corners that move by less than the first, in the median, beyond what a rotation explains, are those of a camera that
stands: from frame to frame at 10 Hz, one that goes at up to 1 km/h. By less than the second they tell badly where it
goes, and the next frame is looked at, up to so much later.
"""
ROAD_NEAR_M, ROAD_FAR_M, ROAD_HALF_WIDTH_M = 6.0, (18.0, 30.0), 3.0
"""Of the road up to 18 m, which is the most alike, a long step leaves too little in the second image: then up to 30."""
SCENE_M = (5.0, 150.0)
"""Between these lies the median distance of what is tracked: where the coarse search begins and ends."""
COARSE, COARSE_LENGTHS = (70, 60), 50
"""Rows and columns of the road that are compared, for each of so many lengths of a step."""
LEAST_SEEN = 0.15
"""Share of the road in the first frame that the second has to show."""
LEAST_PATCHES = 25
PATCH_PX = 0.5
"""A patch of road is off by so much, one standard deviation, before it counts as an outlier."""
TILT_RAD, MOST_TILT_RAD = 0.02, 0.08
"""One standard deviation of the road's pitch and roll against the camera, and the most: beyond, it is no road."""
SAME_PX = 1.5
"""A corner of one step that ends so near to where one of the next begins shows the same thing."""
ROAD_SIGMA, CHAIN_SIGMA, LEAST_SAME = 0.15, 0.03, 20
"""One standard deviation of the logarithm of a step's length by the road, and, at least, of its ratio to the one
before, for which so many corners are needed."""
ACCELERATION_MPS2 = 2.0
"""One standard deviation of a car's."""
AROUND, ALIKE = 10, 0.5
"""A step whose heading is off by more than 60 degrees from the median of so many before and after is none."""
FITS = 0.25
"""A step whose length by the road is off by more than this share of what all steps tell does not fit: those that do
make up half of the way, or nothing is told.
"""
TURN_RAD = np.deg2rad(0.5)
NO_MOTION = "the camera does not move"


LEVEL = np.array([0.0, 1.0, 0.0])


class _Step(NamedTuple):
    """From one frame to a later one: x1 = rotation x0 + s heading. `road`: rays at depth 1 (P, 3) and (P, 2) of patches
    of the road in both.
    """

    rotation: Array
    heading: Array  # unit vector; 0 where there is no parallax
    road: tuple[Array, Array]
    before: Array  # (C, 3) corners in the first frame: column, row, and depth in lengths of the step
    after: Array  # the same in the second


_NOTHING = ((np.empty((0, 3)), np.empty((0, 2))), np.empty((0, 3)), np.empty((0, 3)))


def visual_odometry(
    footage: Footage,
    read: Callable[[int], Array],
    K_px: Array,
    camera_height_m: float,
    objects: ObjectTracks | None = None,
    down: Array = LEVEL,
) -> Geometry | Rejected:
    """The motion of a camera that looks along a road; metric, its world upright as the road is, x where it looks first.

    Args:
        footage: its frames.
        read: frame index -> image (H, W, 3) uint8 RGB, or (H, W), undistorted.
        K_px: intrinsics (3, 3) for images of that size.
        camera_height_m: above the road.
        objects: what may move; nothing in its boxes is looked at.
        down: unit vector (3,) down to the road in the camera's frame, to within a degree or two.

    Raises DataError where OpenCV is not installed, or an image has another size.
    """
    cv2 = opencv()
    K_px = np.ascontiguousarray(K_px)  # of another, OpenCV's estimators make nothing
    times_s = footage.times_s
    n = len(times_s)
    steps: list[_Step] = []
    keys = [0]  # the frames between which steps lie
    images = (_grey(cv2, read(k), footage) for k in range(n))
    first = next(images)
    below = down / camera_height_m
    for k, second in enumerate(images, 1):
        boxes_px = np.empty((0, 4))
        if objects is not None and objects.tracks:
            boxes_px = np.array([track.boxes_px[keys[-1]] for track in objects.tracks])
        may_wait = k + 1 < n and times_s[k + 1] - times_s[keys[-1]] <= LONGEST_STEP_S + kinematics.ROUNDING
        enough_px = ENOUGH_PARALLAX_PX if may_wait else LEAST_PARALLAX_PX
        step = _step(cv2, first, second, K_px, below, boxes_px[~np.isnan(boxes_px[:, 0])], enough_px)
        if step is None:
            continue
        if isinstance(step, Rejected):
            return Rejected(step.reason, f"{footage.video_id}, frame {keys[-1]}")
        steps.append(step)
        keys.append(k)
        first = second
    moves = np.array([step.heading.any() for step in steps], dtype=bool)
    if not moves.any():
        turned = any(Rotation.from_matrix(step.rotation).magnitude() > TURN_RAD for step in steps)
        return Rejected("the camera only turns" if turned else NO_MOTION, footage.video_id)
    told = np.array([len(step.road[0]) >= LEAST_PATCHES for step in steps], dtype=bool)
    if not told.any():
        return Rejected("the road does not tell the scale", footage.video_id)
    patches = _patches([step for step, good in zip(steps, told, strict=True) if good])
    down = _road_normal(patches, down, camera_height_m, K_px[0, 0])
    by_road_m = np.full(len(steps), np.nan)
    by_road_m[told] = _lengths_m(patches, down / camera_height_m, K_px[0, 0])[0]
    by_road_m[by_road_m <= 0] = np.nan
    moves &= _forwards(steps, moves)  # a camera that hardly moves has a heading of noise
    if np.isnan(by_road_m[moves]).all():
        return Rejected("the road does not tell the scale", footage.video_id)
    lengths_m = _chained(steps, by_road_m, moves, np.diff(times_s[keys]))
    fits = np.abs(by_road_m - lengths_m) <= FITS * lengths_m  # False for NaN
    if 2 * lengths_m[fits].sum() < lengths_m.sum():
        return Rejected("the road does not tell the scale", footage.video_id)
    return Geometry(
        times_s=times_s,
        world_SE3_camera=poses_between(times_s[keys], _poses(steps, lengths_m, down, camera_height_m), times_s),
        K_px=np.tile(K_px, (n, 1, 1)),
        image_size_px=footage.image_size_px,
        is_upright=True,
        scale="metric",
        provenance=made_by("opencv_vo"),
        scaled_by_height=True,
    )


def _grey(cv2: Any, image: Array, footage: Footage) -> Array:
    if image.shape[1::-1] != footage.image_size_px:
        width, height = footage.image_size_px
        found = f"an image is {image.shape[1]} x {image.shape[0]}, not {width} x {height}"
        raise DataError(f"{footage.video_id}: {found}; give images of one size")
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _step(
    cv2: Any, first: Array, second: Array, K_px: Array, below: Array, boxes_px: Array, enough_px: float
) -> _Step | Rejected | None:
    """None where the camera moves, but by less than this parallax."""
    free = np.full(first.shape, 255, dtype=np.uint8)
    for x0, y0, x1, y1 in np.clip(boxes_px, 0, None).astype(int):
        free[y0 : y1 + 1, x0 : x1 + 1] = 0
    corners = cv2.goodFeaturesToTrack(first, FEATURES, 0.005, 10, mask=free)
    corners = np.empty((0, 2), np.float32) if corners is None else corners[:, 0]
    a_px, b_px = _tracked(cv2, first, second, corners, (21, 21), 3)
    if len(a_px) < ENOUGH_FEATURES:
        a_px, b_px = _matched(cv2, first, second, free)
    if len(a_px) < LEAST_FEATURES:
        return Rejected("too few features")
    a, b = rays(K_px, a_px), rays(K_px, b_px)
    rotation, parallax_px = _rotation_alone(a, b, K_px)
    if parallax_px < LEAST_PARALLAX_PX:
        return _Step(rotation, np.zeros(3), *_NOTHING)
    if parallax_px < enough_px:
        return None
    essential, _ = cv2.findEssentialMat(a_px, b_px, K_px, method=cv2.RANSAC, prob=0.999, threshold=EPIPOLAR_PX)
    if essential is None or essential.shape != (3, 3):
        return Rejected("no motion explains the features")
    _, rotation, heading, _ = cv2.recoverPose(essential, a_px, b_px, K_px)
    step = _Step(np.asarray(rotation), np.asarray(heading)[:, 0], *_NOTHING)
    depths = _unit_depths(step, a, b)
    later = depths * (a @ step.rotation.T)[:, 2] + step.heading[2]
    ahead = (depths > 0) & (later > 0)
    if not ahead.any():
        return Rejected("no motion explains the features")
    depth = float(np.median(depths[ahead]))
    before, after = (np.column_stack([at, z])[ahead] for at, z in ((a_px, depths), (b_px, later)))
    step = step._replace(before=before, after=after)
    for far_m in ROAD_FAR_M:
        step = step._replace(road=_road(cv2, first, second, K_px, below, step, depth, free, far_m))
        if len(step.road[0]) >= LEAST_PATCHES:
            break
    return step


def _tracked(
    cv2: Any, first: Array, second: Array, at_px: Array, window_px: tuple[int, int], levels: int
) -> tuple[Array, Array]:
    """Points (P, 2) in the first image that are found in the second, and back from there; and where (P, 2)."""
    if not len(at_px):
        return np.empty((0, 2)), np.empty((0, 2))
    at_px = np.ascontiguousarray(at_px, dtype=np.float32)[:, None]
    enough = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, STEP_PX)
    how = {"winSize": window_px, "maxLevel": levels, "criteria": enough}
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, at_px, None, **how)
    back, again, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, **how)
    good = (found[:, 0] == 1) & (again[:, 0] == 1) & (np.linalg.norm((back - at_px)[:, 0], axis=1) < RETURN_PX)
    return at_px[good, 0].astype(np.float64), there[good, 0].astype(np.float64)


def _matched(cv2: Any, first: Array, second: Array, free: Array) -> tuple[Array, Array]:
    """Features (P, 2) of the first image that look like one in the second, and like no other; and where (P, 2)."""
    sift = cv2.SIFT_create(nfeatures=2 * FEATURES)
    (a, seen_a), (b, seen_b) = sift.detectAndCompute(first, free), sift.detectAndCompute(second, None)
    if min(len(a), len(b)) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    pairs = [
        best
        for best, next_best in cv2.BFMatcher(cv2.NORM_L2).knnMatch(seen_a, seen_b, k=2)
        if best.distance < LIKE_NO_OTHER * next_best.distance
    ]
    a_px, b_px = (
        np.array([points[i].pt for i in at], dtype=np.float64).reshape(-1, 2)
        for points, at in ((a, [pair.queryIdx for pair in pairs]), (b, [pair.trainIdx for pair in pairs]))
    )
    return a_px, b_px


def _rotation_alone(a: Array, b: Array, K_px: Array) -> tuple[Array, float]:
    """The rotation that takes rays (P, 3) to rays (P, 3), and by how many pixels half of them miss nevertheless."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    near: Array = np.ones(len(a), dtype=bool)
    for _ in range(3):
        rotation = Rotation.align_vectors(b[near], a[near])[0].as_matrix()
        off_px = np.linalg.norm(a @ rotation.T - b, axis=1) * K_px[0, 0]
        near = off_px <= np.median(off_px)
    return rotation, float(np.median(off_px))


def _unit_depths(step: _Step, a: Array, b: Array) -> Array:
    """Depths (P,) in steps: z with b ~ z rotation a + heading."""
    turned = a @ step.rotation.T
    across = turned[:, :2] - b[:, :2] * turned[:, 2:]
    shift = step.heading[:2] - b[:, :2] * step.heading[2]
    return -np.asarray((across * shift).sum(axis=1) / np.maximum((across**2).sum(axis=1), 1e-12))


def _road(
    cv2: Any,
    first: Array,
    second: Array,
    K_px: Array,
    below: Array,
    step: _Step,
    depth: float,
    free: Array,
    far_m: float,
) -> tuple[Array, Array]:
    """Patches of the road: rays (P, 3) in the first frame and (P, 2) in the second. `below`: down over the height."""
    flat = _road_rays(below, far_m, COARSE)
    lengths_m = np.geomspace(*SCENE_M, COARSE_LENGTHS) / depth
    homographies = step.rotation + lengths_m[:, None, None] * np.outer(step.heading, below)
    seen = _texture(cv2, _sampled(cv2, first, (flat @ K_px.T)[None]))
    other = _texture(cv2, _sampled(cv2, second, flat @ np.swapaxes(K_px @ homographies, 1, 2)))
    both = (seen != 0) & (other != 0)
    seen = np.where(both, seen, 0)
    size = np.sqrt((seen**2).sum(axis=(0, 1)) * (other**2).sum(axis=(0, 1), where=both))
    likeness = np.where(
        both.mean(axis=(0, 1)) >= LEAST_SEEN, (seen * other).sum(axis=(0, 1)) / np.maximum(size, 1e-9), -1
    )
    homography = homographies[int(np.argmax(likeness))]
    warp_px = K_px @ homography @ np.linalg.inv(K_px)
    size_px = (first.shape[1], first.shape[0])
    warped = cv2.warpPerspective(second, warp_px, size_px, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    at_px = (_road_rays(below, far_m, (16, 14)) @ K_px.T)[:, :2]
    inside = ((at_px > 8) & (at_px < np.array(size_px) - 8)).all(axis=1)
    at_px = at_px[inside]
    at_px = at_px[free[at_px[:, 1].astype(int), at_px[:, 0].astype(int)] > 0]
    at_px, there_px = _tracked(cv2, first, warped, at_px, (31, 15), 1)
    if not len(at_px):
        return np.empty((0, 3)), np.empty((0, 2))
    small = np.linalg.norm(there_px - at_px, axis=1) < 6  # what the coarse search may have missed
    there = rays(K_px, there_px[small]) @ homography.T
    there_px = (there @ K_px.T)[:, :2] / there[:, 2:]
    # Beyond the second image's edge there is only what the warp made up.
    shown = ((there_px > 8) & (there_px < np.array(size_px) - 8)).all(axis=1)
    return rays(K_px, at_px[small][shown]), (there[:, :2] / there[:, 2:])[shown]


def _road_rays(below: Array, far_m: float, shape: tuple[int, int]) -> Array:
    """Rays at depth 1 (rows * columns, 3) of a grid on the road, its rows evenly spaced in the image."""
    _, left, up = axes(-below / np.linalg.norm(below), np.eye(4))
    ahead = np.cross(left, up)
    depth_m = 1 / np.linspace(1 / ROAD_NEAR_M, 1 / far_m, shape[0])[:, None, None]
    across_m = np.linspace(-ROAD_HALF_WIDTH_M, ROAD_HALF_WIDTH_M, shape[1])[:, None]
    points_m = (depth_m * ahead - across_m * left - up / np.linalg.norm(below)).reshape(-1, 3)
    return np.asarray(points_m / points_m[:, 2:])


def _sampled(cv2: Any, image: Array, points: Array) -> Array:
    """Pictures of the road (rows, columns, k) float32 behind homogeneous pixels (k, rows * columns, 3); -1 outside."""
    at = (points[..., :2] / points[..., 2:]).astype(np.float32)
    found = cv2.remap(
        image, np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1]), cv2.INTER_LINEAR, borderValue=0
    )
    return np.ascontiguousarray(np.moveaxis(found.reshape(len(points), *COARSE), 0, -1), dtype=np.float32)


def _texture(cv2: Any, grey: Array) -> Array:
    """What is left of pictures (rows, columns, k) without their shades: a mark in the shadow counts as much as one in
    the sun. Of what is black, as all is outside the image, nothing.
    """
    shape = grey.shape
    fine = grey - cv2.blur(grey, (15, 15)).reshape(shape)
    rough = np.sqrt(np.maximum(cv2.blur(fine * fine, (15, 15)).reshape(shape), 0)) + 3
    return np.asarray(np.where(grey > 0, fine / rough, 0))


class _Patches(NamedTuple):
    """The patches of road of all steps."""

    of_step: Array  # (P,) index
    road: Array  # (P, 3) rays in the first frame
    turned: Array  # (P, 3) the same, turned as the camera did
    heading: Array  # (P, 3)
    found: Array  # (P, 2) rays in the second


def _patches(steps: list[_Step]) -> _Patches:
    counts = [len(step.road[0]) for step in steps]
    return _Patches(
        np.repeat(np.arange(len(steps)), counts),
        np.concatenate([step.road[0] for step in steps]),
        np.concatenate([step.road[0] @ step.rotation.T for step in steps]),
        np.repeat([step.heading for step in steps], counts, axis=0),
        np.concatenate([step.road[1] for step in steps]),
    )


def _lengths_m(patches: _Patches, below: Array, focal_px: float) -> tuple[Array, Array]:
    """The lengths (steps,) with which each step's patches of road fit best, and how much they miss by (P, 2), in px.

    Each coordinate of a patch gives one linear equation in it; Cauchy's weights make little of those that disagree.
    """
    shift = (patches.road @ below)[:, None] * patches.heading
    constant = (patches.turned[:, :2] - patches.found * patches.turned[:, 2:]) * focal_px
    slope = (shift[:, :2] - patches.found * shift[:, 2:]) * focal_px
    weight = np.ones_like(slope)
    for _ in range(8):
        over, under = (np.bincount(patches.of_step, (weight * x * slope).sum(axis=1)) for x in (constant, slope))
        lengths_m = -over / under
        missed_px = constant + lengths_m[patches.of_step, None] * slope
        weight = 1 / (1 + (missed_px / PATCH_PX) ** 2)
    return lengths_m, missed_px


def _road_normal(patches: _Patches, down: Array, height_m: float, focal_px: float) -> Array:
    """The unit vector (3,) downwards to the road, in the camera's frame, that fits all steps best; where that is not
    near the given one, most patches are of something else, and it is the given one.
    """
    ahead, left, _ = axes(-down, np.eye(4))

    def normal(tilt_rad: Array) -> Array:
        tilted = down + tilt_rad[0] * ahead - tilt_rad[1] * left
        return np.asarray(tilted / np.linalg.norm(tilted))

    def missed(tilt_rad: Array) -> Array:
        missed_px = _lengths_m(patches, normal(tilt_rad) / height_m, focal_px)[1]
        return np.concatenate([missed_px.ravel() / PATCH_PX, tilt_rad / TILT_RAD])

    most = MOST_TILT_RAD
    tilt_rad = least_squares(missed, np.zeros(2), loss="cauchy", diff_step=1e-3, bounds=(-most, most)).x
    return down if np.abs(tilt_rad).max() > 0.99 * most else normal(tilt_rad)


def _forwards(steps: list[_Step], moves: Array) -> Array:
    """Which steps (steps,) go the way of those around them."""
    headings = np.array([step.heading for step in steps])
    out = np.zeros(len(steps), dtype=bool)
    at = np.flatnonzero(moves)
    for place, k in enumerate(at.tolist()):
        around = headings[at[max(place - AROUND, 0) : place + AROUND + 1]]
        out[k] = headings[k] @ np.median(around, axis=0) > ALIKE * np.linalg.norm(np.median(around, axis=0))
    return out


def _chained(steps: list[_Step], by_road_m: Array, moves: Array, dt_s: Array) -> Array:
    """The length (steps,) of each step that fits best what the road tells of it, NaN where nothing, how much longer it
    is than the one before, and how fast a car's speed changes; 0 where the camera stands.
    """
    at = np.flatnonzero(moves)
    road = np.log(by_road_m[at])
    known = np.flatnonzero(~np.isnan(road))
    ratios = [_longer(steps[k], steps[k + 1]) if k + 1 in at else None for k in at.tolist()]
    links = [(i, *ratio) for i, ratio in enumerate(ratios) if ratio is not None]
    first = np.array([link[0] for link in links], dtype=int)
    longer, sigma = (np.array([link[k] for link in links], dtype=float) for k in (1, 2))

    def missed(lengths: Array) -> Array:
        by_chain = (lengths[first + 1] - lengths[first] - longer) / sigma
        speed_change = np.diff(np.exp(lengths) / dt_s[at]) / (ACCELERATION_MPS2 * gap_s)
        return np.concatenate([(lengths[known] - road[known]) / ROAD_SIGMA, by_chain, speed_change])

    gap_s = np.diff(np.cumsum(dt_s)[at] - dt_s[at] / 2)
    start = np.interp(np.arange(len(at)), known, road[known])
    begin = np.full(len(at), np.median(start))
    fits = [least_squares(missed, guess, loss="cauchy") for guess in (start, begin)]
    lengths_m = np.zeros(len(steps))
    lengths_m[at] = np.exp(min(fits, key=lambda fit: float(fit.cost)).x)
    return lengths_m


def _longer(step: _Step, following: _Step) -> tuple[float, float] | None:
    """The logarithm of how much longer the following step is, and one standard deviation of it; None where too few
    corners are seen in both.

    What is seen in both is at one depth in the frame between them, in lengths of the one and of the other.
    """
    if not len(step.after) or not len(following.before):
        return None
    off_px, same = cKDTree(following.before[:, :2]).query(step.after[:, :2])
    near = off_px <= SAME_PX
    if near.sum() < LEAST_SAME:
        return None
    logs = np.log(step.after[near, 2] / following.before[same[near], 2])
    longer = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - longer)))
    return longer, float(np.hypot(CHAIN_SIGMA, 1.25 * spread / np.sqrt(len(logs))))


def _poses(steps: list[_Step], lengths_m: Array, down: Array, height_m: float) -> Array:
    """world_SE3_camera (N, 4, 4): z away from the road, x ahead in the first frame, 0 on the road below it."""
    poses = np.tile(np.eye(4), (len(steps) + 1, 1, 1))
    poses[0, :3, :3] = axes(-down, np.eye(4))
    poses[0, 2, 3] = height_m
    for k, (step, length_m) in enumerate(zip(steps, lengths_m, strict=True)):
        poses[k + 1, :3, :3] = poses[k, :3, :3] @ step.rotation.T
        poses[k + 1, :3, 3] = poses[k, :3, 3] - poses[k + 1, :3, :3] @ (length_m * step.heading)
    return poses

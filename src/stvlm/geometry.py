"""Rigid transforms, boxes and projection. Arrays in, arrays out; frames and units are in the names.

world: x, y on the ground, z up           camera (OpenCV): z forward
       z                                       z
       |  y                                   /
       | /                                   o---> x
       o---> x                               |
                                             y
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from stvlm.records import Array, Camera

NEAR_M = 0.1
"""Distance of the near plane: what is closer to the image plane than this is cut off before projection."""

# Corner order of `box_corners`: the lower face counter-clockwise from rear right, then the upper face above it.
_CORNER_SIGNS = np.array([[x, y, z] for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]) / 2.0
_EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]])


def se3(quat_wxyz: Array, xyz_m: Array) -> Array:
    """Transforms (..., 4, 4) from quaternions (..., 4), scalar first, and translations (..., 3) in metres."""
    quat_wxyz, xyz_m = np.array(quat_wxyz, dtype=np.float64), np.array(xyz_m, dtype=np.float64)
    out = np.zeros((*xyz_m.shape[:-1], 4, 4))
    out[..., :3, :3] = Rotation.from_quat(quat_wxyz, scalar_first=True).as_matrix()
    out[..., :3, 3] = xyz_m
    out[..., 3, 3] = 1.0
    return out


def inverse_se3(a_SE3_b: Array) -> Array:
    """The inverse transform(s) (..., 4, 4): b_SE3_a."""
    rotation = np.swapaxes(a_SE3_b[..., :3, :3], -1, -2)
    out = np.zeros_like(a_SE3_b)
    out[..., :3, :3] = rotation
    out[..., :3, 3] = -(rotation @ a_SE3_b[..., :3, 3, None])[..., 0]
    out[..., 3, 3] = 1.0
    return out


def poses_between(times_s: Array, a_SE3_b: Array, at_s: Array) -> Array:
    """Transforms (M, 4, 4) at other times (M,), none before the first or after the last: places on straight lines
    between those of a_SE3_b (N, 4, 4), turned evenly.
    """
    out = np.tile(np.eye(4), (len(at_s), 1, 1))
    out[:, :3, :3] = Slerp(times_s, Rotation.from_matrix(a_SE3_b[:, :3, :3]))(at_s).as_matrix()
    out[:, :3, 3] = np.stack([np.interp(at_s, times_s, axis) for axis in a_SE3_b[:, :3, 3].T], axis=1)
    return out


def transform(a_SE3_b: Array, xyz_b_m: Array) -> Array:
    """Points (..., N, 3) in frame b expressed in frame a, in metres."""
    return xyz_b_m @ np.swapaxes(a_SE3_b[..., :3, :3], -1, -2) + a_SE3_b[..., None, :3, 3]


def yaw_of(rotation: Array) -> Array:
    """Heading (...,) in radians of the x axis of rotation matrices (..., 3, 3), from world x towards world y."""
    return np.asarray(np.arctan2(rotation[..., 1, 0], rotation[..., 0, 0]))


def box_corners(xyz_m: Array, size_lwh_m: Array, yaw_rad: Array) -> Array:
    """Corners (..., 8, 3) in metres of upright boxes: centres (..., 3), sizes (..., 3), headings (...,)."""
    local = _CORNER_SIGNS * size_lwh_m[..., None, :]
    cos, sin = np.cos(yaw_rad)[..., None], np.sin(yaw_rad)[..., None]
    x = cos * local[..., 0] - sin * local[..., 1]
    y = sin * local[..., 0] + cos * local[..., 1]
    return np.stack([x, y, local[..., 2]], axis=-1) + xyz_m[..., None, :]


def project(camera: Camera, xyz_camera_m: Array) -> Array:
    """Pixels (..., 2) of points (..., 3) in the camera frame with z > 0, in metres; NaN beyond a fisheye's sight."""
    if camera.lens == "fisheye":
        xy = _through_fisheye(xyz_camera_m, camera.distortion)
    else:
        xy = xyz_camera_m[..., :2] / xyz_camera_m[..., 2:]
        if camera.distortion:
            xy = _distort(xy, *camera.distortion)
    return xy * [camera.fx_px, camera.fy_px] + [camera.cx_px, camera.cy_px]


def fisheye_radius(theta_rad: Array, distortion: Sequence[float]) -> Array:
    """Distance from the middle of a fisheye's image, in focal lengths, of rays at angles (...) to its optical axis."""
    square = np.asarray(theta_rad) ** 2
    return np.asarray(theta_rad * np.polynomial.polynomial.polyval(square, [1.0, *distortion]))


def fisheye_limit_rad(distortion: Sequence[float]) -> float:
    """The angle up to which a fisheye sees: 90 degrees, or less where its polynomial turns back on itself before."""
    slope = np.polynomial.Polynomial([1.0, *(k * n for k, n in zip(distortion, (3, 5, 7, 9), strict=True))])
    return float(min([np.pi / 2, *np.sqrt(_positive_roots(slope))]))


def _through_fisheye(xyz_m: Array, distortion: Sequence[float]) -> Array:
    """Image points (..., 2) in focal lengths of points (..., 3); NaN beyond the angle up to which the lens sees."""
    off_axis_m = np.hypot(xyz_m[..., 0], xyz_m[..., 1])
    theta_rad = np.arctan2(off_axis_m, xyz_m[..., 2])
    theta_rad = np.where(theta_rad < fisheye_limit_rad(distortion), theta_rad, np.nan)
    stretch = fisheye_radius(theta_rad, distortion) / np.where(off_axis_m > 0, off_axis_m, 1.0)
    return np.asarray(xyz_m[..., :2] * stretch[..., None])


def _distort(xy: Array, k1: float, k2: float, p1: float, p2: float, k3: float) -> Array:
    """OpenCV's radial-tangential distortion of normalised image points (..., 2).

    A polynomial fitted inside the image folds back on itself far outside, which would mirror points from beside the
    camera into the picture. Beyond the radius where it turns, points are kept at that radius, outside the image.
    """
    r2 = (xy**2).sum(axis=-1, keepdims=True)
    slope = np.polynomial.Polynomial([1.0, 3 * k1, 5 * k2, 7 * k3])  # d(r * radial)/dr as a polynomial in r^2
    turns = _positive_roots(slope)
    if turns:
        xy = xy * np.sqrt(np.minimum(1.0, min(turns) / np.maximum(r2, 1e-12)))
        r2 = np.minimum(r2, min(turns))
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    x, y, r2 = xy[..., 0], xy[..., 1], r2[..., 0]
    tangential = np.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], axis=-1)
    return np.asarray(xy * radial + tangential)


def _positive_roots(polynomial: np.polynomial.Polynomial) -> list[float]:
    roots: Array = polynomial.trim().roots()
    return [float(root.real) for root in roots if root.imag == 0 and root.real > 0]


def project_boxes(camera: Camera, corners_camera_m: Array) -> Array:
    """Rectangles (..., 4) x0, y0, x1, y1 in pixels, not cut at the image border, around boxes (..., 8, 3) in the camera
    frame. What lies behind the near plane is cut off first, corners that a fisheye does not see are left out; a box of
    which nothing remains is NaN. That a fisheye bends straight edges is left out: 0.5 % where a box is 14 degrees wide.
    """
    start, end = corners_camera_m[..., _EDGES[:, 0], :], corners_camera_m[..., _EDGES[:, 1], :]
    z0, z1 = start[..., 2:], end[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        cut = start + (end - start) * ((NEAR_M - z0) / (z1 - z0))
    start = np.where(z0 < NEAR_M, cut, start)
    end = np.where(z1 < NEAR_M, cut, end)
    hidden = (z0 < NEAR_M) & (z1 < NEAR_M)
    points = np.concatenate([np.where(hidden, np.nan, start), np.where(hidden, np.nan, end)], axis=-2)
    pixels = project(camera, points)
    rectangles = np.concatenate(
        [np.fmin.reduce(pixels, axis=-2), np.fmax.reduce(pixels, axis=-2)], axis=-1
    )  # fmin and fmax skip NaN without a warning for boxes that are hidden whole
    return np.asarray(rectangles)

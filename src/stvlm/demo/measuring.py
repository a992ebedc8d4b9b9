"""What geometry tells of a clip: the weight-free profile of the pseudo-labels, held against boxes and a camera.

The same steps label whole collections (pseudo_labels/steps.py): the camera's motion from the road or from poses that
are given, places from where boxes stand on the ground and from how tall their class is, smooth courses, their noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar, get_args

import numpy as np

from stvlm.demo.asking import Asked, ask_by_task, hours_of, tasks_for
from stvlm.demo.clips import Clip, Study, when
from stvlm.demo.reasons import LIMITS, with_cure
from stvlm.demo.working import Tell, Told
from stvlm.geometry import inverse_se3, transform
from stvlm.kinematics import MPS_TO_KMH, ROUNDING, STEP_S, interpolate
from stvlm.pseudo_labels.artefacts import ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.filters import Label, Limits
from stvlm.pseudo_labels.recipe import CameraMotion, PseudoLabelling
from stvlm.pseudo_labels.steps import geometry_of, labels_of, lifted, objects_of, smoothed, world_of
from stvlm.pseudo_labels.videos.files import CAMERA, camera_of_hfov
from stvlm.pseudo_labels.videos.video import Video
from stvlm.pseudo_labels.views import view_of
from stvlm.questions.asking import Motion
from stvlm.records import CATEGORIES, Array, Camera, DataError, Noise, Question, Recording, Rejected

T = TypeVar("T")
MotionBy = Literal["opencv_vo", "static_camera", "known_poses"]
CLASSES = tuple(category for category in CATEGORIES if category != "other")
LEAST_POINTS = 5
"""On the grid of half seconds, of a path that is shown."""
STILL = 0.01
"""Poses that differ by no more, in metres and in the entries of rotation matrices, are those of a camera that stood."""
_TOLD_BY: Mapping[MotionBy, str] = {
    "opencv_vo": "as the frames tell",
    "static_camera": "as you say",
    "known_poses": "as is known of this example",
}
_UP_BY = {
    "objects": "How large things look and where they stand tell how the camera is tilted.",
    "camera": "The camera is taken to be held level.",
}


@dataclass(frozen=True)
class Setting:
    """What a visitor says of a camera and of what it films."""

    categories: tuple[str, ...] = ("car", "car", "car")
    hfov_deg: float = 65.0
    camera_height_m: float | None = 1.5
    motion_by: MotionBy = "opencv_vo"


class Course(NamedTuple):
    """How an object moved by geometry, every half second; in the world of the clip's first camera, z up."""

    times_s: Array  # (n,)
    xyz_m: Array  # (n, 3)
    sigma_m: Array  # (n,) one standard deviation of the place on the ground, with what is wrong with the whole course
    noise: Noise
    grade: str
    truth_m: Array | None = None  # (k, 3) where it really was, every half second of the clip, in the same world


class Measured(NamedTuple):
    """What came of it."""

    courses: Mapping[str, Course | Rejected]  # by colour
    world_SE3_camera: Array  # (N, 4, 4)
    motion: Motion | None  # on the grid: of the first objects up to one without a course, if they have places together
    first_s: float  # where the motion begins in the clip
    unseen: Mapping[str, str]
    """By colour of the boxes that lack part of an object for longer than is bridged: a sentence that says when."""
    notes: tuple[str, ...]


def measure(study: Study, setting: Setting, tell: Tell) -> Measured:
    """Raises DataError where nothing can be measured, in words for the visitor."""
    if not study.boxes_px:
        raise DataError("There is no box. Draw one around the object first, in the tab Ask.")
    clip = study.clip
    if (lasts_s := clip.times_s[-1]) < LIMITS.least_s:
        raise DataError(f"The clip lasts {lasts_s:.1f} s. To measure takes {LIMITS.least_s:g} s; choose a longer one.")
    video = _video(study, setting, tell)
    recipe = PseudoLabelling("demo", {}, geometry=CameraMotion(by=setting.motion_by))
    view = view_of(video, None)
    is_example = clip.known is not None
    objects = _sound(objects_of(view, recipe.objects), is_example)
    geometry = _sound(geometry_of(view, objects, recipe), is_example)
    tell(Told(0.9, "lifting the boxes into the world"))
    world = _sound(world_of(geometry, None, objects, video.camera_height_m, recipe), is_example)
    places, _ = lifted(objects, world, recipe)
    smooth = smoothed({key: it for key, it in places.items() if not isinstance(it, Rejected)}, world, recipe)
    tracks = {key: it for key, it in smooth.items() if not isinstance(it, Rejected)}
    labels = _sound(labels_of(tracks, objects, world, recipe.filters), is_example)
    found: dict[str, Label | Rejected] = {**_rejected(places), **_rejected(smooth), **labels}
    poses = world.geometry.world_SE3_camera
    courses = {color: _course(found[color], clip, poses, study) for color in study.colors}
    motion, first_s = _together(courses, clip)
    did = "stood still" if np.allclose(poses, poses[0], atol=STILL) else "moved"
    notes = [f"The camera {did}, {_TOLD_BY[setting.motion_by]}."]
    if world.up_by in _UP_BY:
        notes.append(_UP_BY[world.up_by])
    unseen = {track.track_id: told for track in objects.tracks if (told := _unseen(track, clip, recipe.filters))}
    return Measured(courses, poses, motion, first_s, unseen, tuple(notes))


def span_s(measured: Measured) -> tuple[float, float]:
    """The seconds of the clip that the measured motion is of."""
    assert measured.motion is not None
    return measured.first_s, measured.first_s + (measured.motion.xyz_m.shape[1] - 1) * STEP_S


class Answer(NamedTuple):
    """A question by task, with its truth where that is known, and what geometry answers."""

    asked: Asked
    value: str  # as `Question.target`; empty where there is none
    sigma: float | None  # one standard deviation of a distance or speed
    why_not: str


def answers(measured: Measured, truth: Motion | None) -> list[Answer]:
    """An answer to each task that can be asked of the measured motion. `truth` is that of the whole clip."""
    motion = measured.motion
    if motion is None:
        return []
    count, frames = motion.xyz_m.shape[:2]
    if truth is not None:
        first = round(measured.first_s / STEP_S)
        truth = truth._replace(noise=truth.noise[:count], xyz_m=truth.xyz_m[:count, first : first + frames])
    out = []
    for task in tasks_for(count):
        hour = hours_of(truth or motion)[-1] if task == "direction_timestamp" else 0
        asked = ask_by_task(task, count, frames, hour, truth)
        said = ask_by_task(task, count, frames, hour, motion).truth
        out.append(
            Answer(
                asked,
                said.target if isinstance(said, Question) else "",
                said.target_sigma if isinstance(said, Question) else None,
                said.reason if isinstance(said, Rejected) else "",
            )
        )
    return out


class Speed(NamedTuple):
    """An object's speed between grid points."""

    times_s: Array  # (n - 1,) the middles of the steps
    kmh: Array
    sigma_kmh: Array


def speed_of(times_s: Array, xyz_m: Array, noise: Noise) -> Speed:
    """From each position (n, 3) to the next one, with one standard deviation of it by the noise of both."""
    lengths_m = np.linalg.norm(np.diff(xyz_m[:, :2], axis=0), axis=1)
    sigma_m = np.hypot(np.sqrt(2) * noise.step_m * STEP_S, noise.stretch * lengths_m)
    scale = MPS_TO_KMH / np.diff(times_s)
    return Speed((times_s[1:] + times_s[:-1]) / 2, lengths_m * scale, sigma_m * scale)


def _video(study: Study, setting: Setting, tell: Tell) -> Video:
    clip, known = study.clip, study.clip.known
    camera: Camera
    height_m: float | None
    if known is not None:
        camera, height_m = known.camera, known.camera_height_m
    elif not 20 <= setting.hfov_deg <= 150:
        raise DataError("The field of view is an angle of 20 to 150 degrees.")
    else:
        camera, height_m = camera_of_hfov(clip.size_px, setting.hfov_deg), setting.camera_height_m
    if height_m is not None and not 0.1 <= height_m <= 100:
        raise DataError("The camera's height is 0.1 to 100 meters.")
    if setting.motion_by not in get_args(MotionBy):
        known_ways = ", ".join(get_args(MotionBy))
        raise DataError(f"How the camera moved is told by one of {known_ways}; {setting.motion_by!r} is none of them.")
    if setting.motion_by == "known_poses" and known is None:
        raise DataError("Only examples come with their camera's poses. Choose another way.")
    categories = known.categories if known is not None and not study.marks else setting.categories
    if len(categories) < len(study.colors):
        raise DataError(f"There are {len(study.colors)} boxes; say of each what is in it.")
    tracks = []
    for color, category in zip(study.colors, categories, strict=False):
        if category not in CLASSES:
            raise DataError(f"{category!r} is no class; choose one of {', '.join(CLASSES)}.")
        boxes_px = study.boxes_px[color] - 0.5
        no = np.zeros(clip.count, dtype=bool)
        tracks.append(ObjectTrack(color, category, boxes_px, (~np.isnan(boxes_px[:, 0])).astype(float), no, no))
    return Video(
        recording=Recording("demo", "clip", "test"),
        domain="driving" if known is None else known.motion.domain,
        times_s=clip.times_s,
        image_size_px=clip.size_px,
        frames=_Watched(clip.frames(), tell),
        images=None,
        camera=Camera(CAMERA, *clip.size_px, camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px),
        camera_height_m=height_m,
        world_SE3_camera=known.world_SE3_camera if setting.motion_by == "known_poses" and known is not None else None,
        boxes=ObjectTracks(clip.times_s, clip.size_px, tuple(tracks), Provenance("visitor")),
    )


class _Watched:
    """Frames that tell how far their reader is; satisfies ``records.Frames``."""

    def __init__(self, images: Array, tell: Tell) -> None:
        self._images, self._tell = images, tell

    def available(self) -> Array:
        return np.ones(len(self._images), dtype=bool)

    def read(self, index: int, least_width_px: int | None = None) -> Array:
        self._tell(Told(0.1 + 0.8 * index / len(self._images), "finding out how the camera moves"))
        return np.asarray(self._images[index])


def _sound(found: T | Rejected, is_example: bool) -> T:
    if isinstance(found, Rejected):
        raise DataError(f"This clip cannot be measured. {with_cure(found.reason, is_example)}")
    return found


def _unseen(track: ObjectTrack, clip: Clip, limits: Limits) -> str:
    """When a box shows all of an object, and why not otherwise; empty where no more is lacking than is bridged."""
    there = ~np.isnan(track.boxes_px[:, 0])
    whole = there & ~track.truncated & ~track.occluded
    known = np.concatenate([[-1], np.flatnonzero(whole), [clip.count]])
    if np.diff(known).max() * clip.step_s <= limits.most_gap_s + ROUNDING:
        return ""
    kinds = {
        "lost": ~there,
        "cut by the picture's edge": track.truncated & there,
        "behind another box": track.occluded & ~track.truncated & there,
    }
    told = [f"{kind} {when(is_so, clip)}" for kind, is_so in kinds.items() if is_so.any()]
    shows = f"shows all of it {when(whole, clip)}" if whole.any() else "never shows all of it"
    return f"Its box {shows}; it is {', '.join(told)}."


def _rejected(items: Mapping[str, object]) -> dict[str, Label | Rejected]:
    return {key: item for key, item in items.items() if isinstance(item, Rejected)}


def _course(label: Label | Rejected, clip: Clip, poses: Array, study: Study) -> Course | Rejected:
    if isinstance(label, Rejected):
        return label
    track = label.track
    grid_s = np.arange(0, clip.count, round(STEP_S / clip.step_s)) * clip.step_s
    at_ns = np.round(grid_s * 1e9).astype(np.int64)
    times_ns = np.round(track.times_s * 1e9).astype(np.int64)
    xyz_m = interpolate(times_ns, track.xyz_m, at_ns)
    here = ~np.isnan(xyz_m[:, 0])
    if here.sum() < LEAST_POINTS:
        return Rejected("it is to be seen too briefly")
    nearest = np.abs(track.times_s[:, None] - grid_s[here]).argmin(axis=0)
    away_m = np.linalg.norm((xyz_m - poses[:: round(STEP_S / clip.step_s), :3, 3])[here, :2], axis=1)
    by_chance_m = np.sqrt(np.linalg.eigvalsh(track.covariance_m2[nearest, :2, :2])[:, -1])
    sigma_m = np.hypot(by_chance_m, label.noise.stretch * away_m)
    truth_m = None
    if study.truth is not None and clip.known is not None:
        ours_SE3_theirs = poses[0] @ inverse_se3(clip.known.world_SE3_camera[0])
        truth_m = transform(ours_SE3_theirs, study.truth.xyz_m[study.colors.index(track.track_id)])
    return Course(grid_s[here], xyz_m[here], sigma_m, label.noise, label.grade, truth_m)


def _together(courses: Mapping[str, Course | Rejected], clip: Clip) -> tuple[Motion | None, float]:
    """The motion of the first objects up to one that has no course, while all of them have places; when that begins."""
    known: list[Course] = []
    for course in courses.values():
        if isinstance(course, Rejected):
            break
        known.append(course)
    if not known:
        return None, 0.0
    first_s, last_s = max(course.times_s[0] for course in known), min(course.times_s[-1] for course in known)
    if last_s - first_s < (LEAST_POINTS - 1) * STEP_S - 1e-6:
        return None, 0.0
    inside = [(course.times_s >= first_s - 1e-6) & (course.times_s <= last_s + 1e-6) for course in known]
    xyz_m = np.stack([course.xyz_m[chosen] for course, chosen in zip(known, inside, strict=True)])
    return Motion(clip.clip_id, "driving", tuple(course.noise for course in known), xyz_m), float(first_s)

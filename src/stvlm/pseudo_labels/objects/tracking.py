"""From detections in some frames to tracks through all of them, with whatever follows masks.

    every second    boxes of the phrases in that frame, and the mask in each of them
                    a mask that is much like an object's is that object: its class is voted on
                    a mask that is nobody's yet begins an object, which is also followed back to where it came into view
    every frame     each object's mask, from the frames before; a pixel is the object's that is surest of it

What Grounded-SAM-2's scripts do is otherwise: they match by IoU > 0.8, and begin anew at each detection, so that an
object that is hidden then is lost, and one that moves fast gets another id.

An object ends once it is out of sight for long, or once the detector misses it several times in a row where it is still
followed: then where the detector last found it, as the mask may have slipped onto something else. Its score is the
detector's when it last found it, times the probability with which it is followed, times the share of the votes that its
class has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from stvlm.pseudo_labels.artefacts import Footage, ObjectTrack, decode_mask
from stvlm.pseudo_labels.objects.finishing import mask_and_box
from stvlm.pseudo_labels.objects.matching import (
    Detections,
    matched,
    overlaps,
    vote,
    without_duplicates,
)
from stvlm.records import Array, DataError


@dataclass(frozen=True)
class Rules:
    """When a detection is an object, and for how long."""

    detect_every_s: float = 1.0
    back_s: float = 1.0
    """How far back a new object is followed."""
    duplicate_iou: float = 0.5
    """Boxes of one class that overlap by more are one detection."""
    same_iou: float = 0.4
    """A detection's mask and an object's that overlap by as much are of one object, where the classes agree."""
    other_class_iou: float = 0.7
    """The same where they do not; and boxes of two classes that overlap by more are one detection."""
    most_taken: float = 0.5
    """Share of a new object's mask that may be another's already."""
    lost_s: float = 2.0
    """An object that is out of sight for longer has ended."""
    most_misses: int = 3
    """An object that the detector misses so many times in a row has ended where it was last found."""
    most_objects: int = 30
    """At a time; the surest are taken."""

    def __post_init__(self) -> None:
        if not (self.detect_every_s > 0 and self.back_s >= 0 and self.lost_s >= 0):
            raise DataError("detect_every_s is above 0, back_s and lost_s are not below")
        if min(self.most_misses, self.most_objects) < 1:
            raise DataError("most_misses and most_objects are at least 1")

    def first_back(self, times_s: Array, k: int) -> int:
        """The frame up to which what is found in frame k is followed back."""
        return int(np.searchsorted(times_s, times_s[k] - self.back_s - 1e-6))

    def frames_back(self, times_s: Array) -> int:
        """How many frames that is at most."""
        return max(k - self.first_back(times_s, k) for k in range(len(times_s)))


class View(NamedTuple):
    """An object in a frame, as a follower sees it."""

    logits: Any  # of its mask, above 0 where the object is, in the follower's own form
    probability: float  # that it is there at all


class Follower(Protocol):
    """Follows masks from frame to frame."""

    def show(self, k: int, image: Array) -> None:
        """The next frame: (H, W, 3) uint8 RGB."""

    def begin(self, k: int, box_px: Array) -> Any:
        """What is to be known of an object that fills a box (4,) of frame k; `step` into that frame comes next."""

    def step(self, session: Any, k: int, reverse: bool = False) -> View:
        """An object in frame k, one after or, in reverse, before the last."""

    def owner(self, views: Sequence[View]) -> Array:
        """Whose each pixel is (H, W) int, by the place among the views; -1 where none of them says its own."""


def follow(
    footage: Footage,
    read: Callable[[int], Array],
    detect: Callable[[Array], Detections],
    follower: Follower,
    rules: Rules,
) -> tuple[ObjectTrack, ...]:
    """Tracks, numbered as they come into view; nothing is said of truncation and occlusion."""
    detect_at = set(footage.frames_every(rules.detect_every_s).tolist())
    live: list[_Object] = []
    ended: list[_Object] = []
    for k in range(len(footage.times_s)):
        image = footage.checked(read(k))
        follower.show(k, image)
        views = [follower.step(it.session, k) for it in live]
        new: list[_Object] = []
        if k in detect_at:
            found = without_duplicates(detect(image), rules.duplicate_iou, rules.other_class_iou)
            new, new_views = _assign(follower, k, found, live, views, rules)
            live, views = live + new, views + new_views
        owner = follower.owner(views)
        for i, it in enumerate(live):
            it.see(k, owner == i, views[i].probability)
        _follow_back(follower, k, rules.first_back(footage.times_s, k), new, [*ended, *live], rules.most_taken)
        ending = [it for it in live if it.ends(k, footage.times_s, rules)]
        live = [it for it in live if it not in ending]
        ended += ending
    return _tracks([*ended, *live], len(footage.times_s))


class _Seen(NamedTuple):
    """An object in one frame."""

    mask: Array  # run lengths
    box_px: Array  # (4,)
    score: float


@dataclass(eq=False)
class _Object:
    """An object that is followed."""

    session: Any
    seen: dict[int, _Seen] = field(default_factory=dict)  # by frame
    categories: list[str] = field(default_factory=list)  # of its detections
    scores: list[float] = field(default_factory=list)
    last_found: int = 0  # the frame
    misses: int = 0

    def find(self, k: int, category: str, score: float) -> None:
        """The detector found it in frame k."""
        self.categories.append(category)
        self.scores.append(score)
        self.last_found, self.misses = k, 0

    def see(self, k: int, mask: Array, probability: float) -> None:
        """It is seen in frame k, where its mask (H, W) is not empty."""
        if (clean := mask_and_box(mask)) is not None:
            self.seen[k] = _Seen(*clean, self.scores[-1] * probability)

    def ends(self, k: int, times_s: Array, rules: Rules) -> bool:
        """Whether frame k is its last; if so, forgets what it is followed by, and frames in which it may be wrong."""
        lost = times_s[k] - times_s[max(self.seen, default=self.last_found)] > rules.lost_s
        missed = self.misses >= rules.most_misses
        if missed:
            self.seen = {j: seen for j, seen in self.seen.items() if j <= self.last_found}
        if lost or missed:
            self.session = None
        return bool(lost or missed)


def _assign(
    follower: Follower, k: int, found: Detections, live: list[_Object], views: list[View], rules: Rules
) -> tuple[list[_Object], list[View]]:
    """Gives each detection to its object, and begins objects with those that have none; and how they are seen."""
    sessions = [follower.begin(k, box_px) for box_px in found.boxes_px]
    found_views = [follower.step(session, k) for session in sessions]
    masks = [follower.owner([view]) == 0 for view in found_views]
    owner = follower.owner(views)
    iou = overlaps(masks, owner, len(live))
    categories = [vote(it.categories, it.scores)[0] for it in live]
    same_class = np.array([[a == b for b in categories] for a in found.categories], dtype=bool).reshape(iou.shape)
    pairs = matched(iou, same_class, rules.same_iou, rules.other_class_iou)
    object_of = {detection: live[i] for detection, i in pairs}
    missed = set(range(len(live))) - {i for _, i in pairs}
    for i in missed & set(np.unique(owner).tolist()):
        live[i].misses += 1
    new: list[_Object] = []
    new_views: list[View] = []
    for i, mask in enumerate(masks):
        it = object_of.get(i)
        if it is None:
            full = len(live) + len(new) >= rules.most_objects
            if full or not mask.any() or (owner[mask] >= 0).mean() > rules.most_taken:
                continue
            owner[mask & (owner < 0)] = len(live) + len(new)
            it = _Object(sessions[i])
            new.append(it)
            new_views.append(found_views[i])
        it.find(k, found.categories[i], float(found.scores[i]))
    return new, new_views


def _follow_back(
    follower: Follower, k: int, first: int, new: list[_Object], known: list[_Object], most_taken: float
) -> None:
    """Follows objects that were found in frame k back to where they came into view, as far as the first frame.

    What is another object's in those frames stays so; most of it, and the new one is not followed on.
    """
    for j in range(k - 1, first - 1, -1):
        if not new:
            return
        views = [follower.step(it.session, j, reverse=True) for it in new]
        owner = follower.owner(views)
        taken = np.zeros(owner.shape, dtype=bool)
        for it in known:
            if j in it.seen:
                taken |= decode_mask(it.seen[j].mask, owner.shape[::-1])
        going = []
        for i, it in enumerate(new):
            mask = owner == i
            if mask.any() and taken[mask].mean() <= most_taken:
                it.see(j, mask & ~taken, views[i].probability)
                going.append(it)
        new = going


def _tracks(objects: Sequence[_Object], frames: int) -> tuple[ObjectTrack, ...]:
    """Numbered as they come into view; those that are never seen are none."""
    tracks: list[ObjectTrack] = []
    for it in sorted((it for it in objects if it.seen), key=lambda it: min(it.seen)):
        category, share = vote(it.categories, it.scores)
        boxes_px, score = np.full((frames, 4), np.nan), np.zeros(frames)
        for k, seen in it.seen.items():
            boxes_px[k], score[k] = seen.box_px, seen.score * share
        masks = tuple(it.seen[k].mask if k in it.seen else None for k in range(frames))
        unknown = np.zeros(frames, dtype=bool)
        tracks.append(ObjectTrack(str(len(tracks) + 1), category, boxes_px, score, unknown, unknown, masks))
    return tuple(tracks)

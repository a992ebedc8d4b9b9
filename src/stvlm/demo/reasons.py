"""Why something has no answer, for visitors: a sentence for each reason that the library counts, and what would help.

What would help is on the page: what is between “ and ” is what it says there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stvlm.kinematics import HEADING_BASE_M
from stvlm.pseudo_labels.filters import Limits
from stvlm.pseudo_labels.steps import NO_HEIGHT
from stvlm.questions.asking import MIN_INTERVAL_S

LIMITS = Limits()
STOOD_STILL, KNOWN = "it stood still", "known, of examples"
"""How the page calls two ways to tell a camera's motion."""


class Reason(NamedTuple):
    """What a visitor reads."""

    words: str
    cure: str = ""
    cure_of_example: str | None = None
    """In place of `cure` where the camera is known, and the visitor is not asked about it."""


_IF_STILL = f"If the camera stood still, choose “{STOOD_STILL}”."
_KNOWN = f"Choose “{KNOWN}”."
_TIGHTER = "Tighter boxes, a nearer object or a longer clip may tell."
_LONGER = "Draw it again where its box is lost or runs into the picture's edge, or choose a longer clip."
_CUT = "its box is cut by the picture's edge, or does not reach down to where it stands."
_WHOLE = "Draw it again there, around all of it, or choose another object."
_CHECK, _CHECK_CLASS = (
    f"Check {what}, and that the box stays on it."
    for what in ("its class, the camera's height and the field of view", "its class")
)
REASONS: Mapping[str, Reason] = {
    # A clip.
    NO_HEIGHT: Reason("Nothing tells how large the scene is.", "Give the camera's height above the ground.", ""),
    "too few features": Reason(
        "One frame shows too little of the one before to tell how the camera moved.",
        f"{_IF_STILL} If it moved, choose a sharper or brighter clip without cuts.",
        _KNOWN,
    ),
    "no motion explains the features": Reason(
        "No one motion of the camera explains what the frames show: too much moves by itself.",
        f"{_IF_STILL} If it moved, choose a clip that shows more of what stands still.",
        _KNOWN,
    ),
    "the camera only turns": Reason(
        "The camera turns, but does not go anywhere.",
        "Choose a clip whose camera stands still or drives along a road.",
        _KNOWN,
    ),
    "the road does not tell the scale": Reason(
        "Too little of a free road is seen to tell how far the camera went.",
        f"{_IF_STILL} If it moved, check its height and the field of view, or choose a clip with little traffic.",
        _KNOWN,
    ),
    # An object in it.
    "no frame shows it clearly": Reason("It is too small in the picture.", "Choose one that is nearer to the camera."),
    "no size is known of its class": Reason(
        "How large things of its class are is not known, and nothing else tells how far away it is.",
        "Choose an object of another class.",
    ),
    "no frame tells where it is": Reason(f"No frame tells where it is: {_CUT}", _WHOLE),
    "too few frames tell where it is": Reason(f"Too few frames tell where it is: {_CUT}", _WHOLE),
    "too far away": Reason(
        f"It is more than {LIMITS.most_range_m:g} m away.",
        "Choose a nearer one; if it is nearer, check its class and the field of view.",
        "Choose a nearer one.",
    ),
    "too short": Reason(
        f"It can be measured for less than {LIMITS.least_s:g} seconds at a stretch: only where all of it is seen.",
        _LONGER,
    ),
    "it is to be seen too briefly": Reason("It can be measured too briefly.", _LONGER),
    "its places contradict each other": Reason(
        "Its place jumps from frame to frame.", "Draw its box more tightly, and again where it slips off."
    ),
    "faster than its class can be": Reason("It would be faster than its class can be.", _CHECK, _CHECK_CLASS),
    "changes its speed faster than its class can": Reason(
        "It would change its speed faster than its class can.", _CHECK, _CHECK_CLASS
    ),
    "too uncertain": Reason(
        f"How far it goes is uncertain by more than {100 * LIMITS.most_sigma:.0f} %.",
        "The camera's true height, a tighter box or a nearer object may help.",
        "A tighter box or a nearer object may help.",
    ),
    # A question about it.
    "stationary": Reason(f"It moves less than {HEADING_BASE_M:g} m, too little to have a direction."),
    "direction near the border of two hours": Reason("Its direction lies between two hours of the clock."),
    "does not move into the hour": Reason("At no time does it move that way fast enough to tell."),
    "moves into the hour more than once": Reason("It moves that way more than once: there is no one time to tell."),
    "moves into the hour for under 1 s": Reason(f"It moves that way for less than {MIN_INTERVAL_S:g} second."),
    "moves into the hour for most of the clip": Reason("It moves that way most of the time: no one part stands out."),
    "moved too little": Reason("It moves too little to be measured."),
    "motion lost in label noise": Reason("It moves by less than its place is uncertain.", _TIGHTER),
    "heading lost in label noise": Reason("Its direction is too uncertain.", _TIGHTER),
    "no clear winner": Reason("They are too close to each other."),
    "winner lost in label noise": Reason("They differ by less than what is uncertain about them.", _TIGHTER),
    "scale too uncertain": Reason("How large the scene is is too uncertain.", "Give the camera's true height.", ""),
    "neither the same nor a different direction": Reason("Their directions are neither alike nor clearly different."),
}  # fmt: skip


def in_words(reason: str) -> str:
    """A sentence."""
    return REASONS[reason].words


def with_cure(reason: str, is_example: bool) -> str:
    """The same, and what would help: in an example, whose camera is known, or in a clip of the visitor's own."""
    words, cure, of_example = REASONS[reason]
    return f"{words} {of_example if is_example and of_example is not None else cure}".strip()

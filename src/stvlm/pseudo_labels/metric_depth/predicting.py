"""What the networks have in common: what they are told, the size of their maps, what is said of a missing one."""

from __future__ import annotations

from collections.abc import Callable

from stvlm.records import Array, LackingError

Read = Callable[[int], Array]
"""Frame index -> image (H, W, 3) uint8 RGB of the footage's size, undistorted."""


def check_options(every_s: float, longest_side_px: int, calibration: float) -> None:
    """Raises ValueError where what every network is told makes no sense."""
    if every_s < 0 or longest_side_px < 1 or calibration <= 0:
        raise ValueError("every_s is 0 or more; longest_side_px and calibration are positive")


def map_size(image_size_px: tuple[int, int], longest_side_px: int) -> tuple[int, int]:
    """Width and height of maps whose longer side is no longer than that, and no longer than the image's."""
    shrink = min(longest_side_px / max(image_size_px), 1)
    width, height = (max(round(side * shrink), 1) for side in image_size_px)
    return width, height


def not_had(model: str, error: Exception) -> LackingError:
    """What is said of a model that is not here and cannot be had, or does not load."""
    reason = " ".join(str(error).split())[:200]
    return LackingError(f"{model}: cannot be had ({reason}); check its name, or give the folder it was downloaded to")

"""What a simulated world may vary in, read from a recipe's mapping."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast, get_args

import numpy as np

from stvlm.records import DataError, Lens, Split
from stvlm.simulation.streets import LAYOUTS

CAMERA_MOTIONS = ("fixed", "panning", "driving")
AGENT_CATEGORIES = ("car", "truck", "bicycle", "person")

Range = tuple[float, float]
Weights = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class WorldParameters:
    """A family of simulated recordings. Recording i of a seed is the same world on every run.

    Ranges are (low, high) and drawn uniformly; speeds are drawn uniformly in their logarithm, and those of cars,
    bicycles and people overlap on purpose, so that what an object is does not tell which of two is faster.
    """

    recordings: int = 8
    seed: int = 0
    split: Split = "train"
    layouts: tuple[str, ...] = tuple(LAYOUTS)  # recording i plays at layouts[i % len(layouts)]
    duration_s: float = 20.0
    frame_rate_hz: int = 10
    annotation_rate_hz: int = 10
    width_px: int = 256
    height_px: int = 192
    lens: Lens = "pinhole"  # fisheye: that of a GoPro
    focal_per_width: Range = (0.7, 1.1)  # 71 to 49 degrees of horizontal field of view
    camera_height_m: Range = (1.5, 6.0)  # fixed and panning cameras; a driving one sits at 1.4 to 2.0 m
    pitch_deg: Range = (2.0, 10.0)  # downwards; a driving camera looks down by a third of it
    camera_motions: Weights = (("fixed", 0.5), ("panning", 0.2), ("driving", 0.3))  # a sports field has no driving one
    # on average: each recording draws a mix of its own around these, so that objects of one kind meet often
    categories: Weights = (("car", 0.5), ("truck", 0.08), ("bicycle", 0.22), ("person", 0.2))
    objects: tuple[int, int] = (6, 12)
    parked_cars: tuple[int, int] = (0, 3)
    car_speed_mps: Range = (1.0, 25.0)  # trucks too
    bicycle_speed_mps: Range = (1.5, 12.0)
    person_speed_mps: Range = (0.8, 6.0)
    samples_per_pixel_axis: int = 1  # 2 renders four rays a pixel and averages the colours
    monochrome: bool = False  # a camera without colours: then only drawn boxes have any

    def __post_init__(self) -> None:
        for name in ("recordings", "duration_s", "frame_rate_hz", "annotation_rate_hz", "width_px", "height_px"):
            if not 0 < getattr(self, name) < np.inf:
                raise DataError(f"simulation: {name} must be positive and finite, got {getattr(self, name)}")
        if self.seed < 0:
            raise DataError(f"simulation: seed must be 0 or more, got {self.seed}")
        if self.split not in ("train", "validation", "test"):
            raise DataError(f"simulation: split is train, validation or test, got {self.split!r}")
        if self.lens not in get_args(Lens):
            raise DataError(f"simulation: lens is pinhole or fisheye, got {self.lens!r}")
        if self.frame_rate_hz % self.annotation_rate_hz:
            raise DataError("simulation: frame_rate_hz must be a multiple of annotation_rate_hz")
        if self.objects[-1] + self.parked_cars[-1] > 255:
            raise DataError("simulation: objects and parked_cars together are at most 255, what a mask can number")
        if self.samples_per_pixel_axis not in (1, 2, 3, 4):
            raise DataError(f"simulation: samples_per_pixel_axis is 1 to 4, got {self.samples_per_pixel_axis}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("camera_motions", "categories"):
                known = CAMERA_MOTIONS if field.name == "camera_motions" else AGENT_CATEGORIES
                for name, weight in value:
                    _known(name, known, field.name)
                    if not 0 <= weight < np.inf:
                        raise DataError(f"simulation: {field.name}: {name} has the weight {weight}; give 0 or more")
                if sum(weight for _, weight in value) <= 0:
                    raise DataError(f"simulation: {field.name} needs a positive weight")
            elif field.name == "layouts":
                if not value:
                    raise DataError("simulation: layouts is empty")
                for name in value:
                    _known(name, tuple(LAYOUTS), "layouts")
            elif isinstance(value, tuple):
                low = 0.0 if field.name in ("parked_cars", "pitch_deg") else 1e-6
                if len(value) != 2 or not low <= value[0] <= value[1]:
                    raise DataError(
                        f"simulation: {field.name} is [low, high], positive and in order, got {list(value)}"
                    )


def read_parameters(options: Mapping[str, Any]) -> WorldParameters:
    """Parameters from a recipe's mapping; a key that does not exist raises DataError with the nearest that does."""
    if not isinstance(options, Mapping):
        raise DataError(f"simulation: expected parameters and their values, got {options!r}")
    names = tuple(field.name for field in fields(WorldParameters))
    values: dict[str, Any] = {}
    for key, value in options.items():
        _known(key, names, "parameter")
        default = getattr(WorldParameters(), key)
        try:
            values[key] = _like(default, value)
        except (OverflowError, TypeError, ValueError) as error:
            raise DataError(f"simulation: {key} cannot be {value!r}; its default is {default!r}") from error
    return WorldParameters(**values)


def _like(default: Any, value: Any) -> Any:
    """``value`` in the type of ``default``; a mapping of weights becomes its items."""
    if isinstance(default, tuple):
        if isinstance(value, str):
            raise TypeError("a list is needed")
        if isinstance(value, Mapping):
            return tuple((str(name), float(weight)) for name, weight in value.items())
        if not value:
            raise ValueError("an empty list")
        return tuple(_like(default[0], item) for item in value)
    if isinstance(default, int) and int(value) != value:
        raise ValueError("a whole number is needed")
    return cast(Any, type(default))(value)


def _known(name: str, known: tuple[str, ...], what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise DataError(f"simulation: unknown {what} {name!r}; did you mean {near!r}?")

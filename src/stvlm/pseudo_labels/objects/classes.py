"""What detectors and annotations call things, and which of our categories each of them is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from stvlm.recipes import nearest
from stvlm.records import CATEGORIES, DataError

PHRASES = ("car", "bus", "truck", "motorcycle", "bicycle", "person")
"""What the paper looks for: automobiles "(e.g., cars, buses, trucks, motorcycles, bicycles) and humans"."""

_NAMES = {
    "car": "car, automobile, sedan, suv, van, minivan, taxi, police car, pickup",
    "truck": "truck, lorry, semi, fire truck, garbage truck",
    "bus": "bus, coach, school bus, minibus",
    "trailer": "trailer, caravan",
    "motorcycle": "motorcycle, motorbike, motor, scooter, moped",
    "bicycle": "bicycle, bike, cyclist",
    "person": "person, people, human, man, woman, child, boy, girl, pedestrian, rider, player, athlete, skier",
    "animal": "animal, dog, cat, horse, cow, sheep, deer, elephant, bear, zebra, giraffe, bird",
    "vehicle": "vehicle, other vehicle, motor vehicle, train, tram, tractor, forklift, ambulance, golf cart",
}
CATEGORY_OF: Mapping[str, str] = {name: ours for ours, names in _NAMES.items() for name in names.split(", ")}
"""By name. A cyclist is a bicycle, as one box around both is in the labelled sources; a rider, whose box leaves the
bicycle out, is a person."""


def category_of(name: str) -> str:
    """Our category of a name, however it is spelt: "Fire_Truck" is a truck; "other" where it is not known."""
    return CATEGORY_OF.get(" ".join(re.split(r"[\s_\-]+", name.strip().lower())), "other")


def check_phrases(phrases: Sequence[str]) -> None:
    """Raises DataError unless there is a phrase, and a category of each."""
    if not phrases:
        raise DataError("phrases: name at least one class to look for")
    for phrase in phrases:
        if phrase not in CATEGORY_OF:
            raise DataError(f"phrases: {phrase!r} is of no known class{nearest(phrase, CATEGORY_OF)}")


def check_classes(what: str, classes: Iterable[str]) -> None:
    """Raises ValueError where one of them is none of our categories: what is said of it would never be heard."""
    for category in classes:
        if category not in CATEGORIES:
            raise ValueError(f"{what}: {category!r} is no class{nearest(category, CATEGORIES)}")

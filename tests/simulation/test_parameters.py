from typing import Any

import pytest

from stvlm.records import DataError
from stvlm.simulation.parameters import WorldParameters, read_parameters


def test_an_empty_mapping_gives_the_defaults() -> None:
    assert read_parameters({}) == WorldParameters()


def test_yaml_lists_and_mappings_become_tuples() -> None:
    parameters = read_parameters(
        {"layouts": ["field"], "objects": [2, 3], "pitch_deg": [0, 5], "camera_motions": {"fixed": 1}}
    )
    assert parameters.layouts == ("field",)
    assert parameters.objects == (2, 3)
    assert parameters.pitch_deg == (0.0, 5.0)
    assert parameters.camera_motions == (("fixed", 1.0),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recording": 3}, "unknown parameter 'recording'; did you mean 'recordings'?"),
        ({"layouts": ["cross_roads"]}, "unknown layouts 'cross_roads'; did you mean 'crossroads'?"),
        ({"camera_motions": {"paning": 1}}, "unknown camera_motions 'paning'; did you mean 'panning'?"),
        ({"categories": {"cars": 1}}, "unknown categories 'cars'; did you mean 'car'?"),
        ({"camera_motions": {"fixed": 0}}, "camera_motions needs a positive weight"),
        ({"recordings": 2.5}, "recordings cannot be 2.5; its default is 8"),
        ({"layouts": "field"}, "layouts cannot be 'field'"),
        ({"objects": []}, "objects cannot be []"),
        ({"objects": [5, 2]}, "objects is [low, high], positive and in order, got [5, 2]"),
        ({"car_speed_mps": [0, 2]}, "car_speed_mps is [low, high], positive and in order, got [0.0, 2.0]"),
        ({"duration_s": 0}, "duration_s must be positive and finite, got 0.0"),
        ({"duration_s": float("inf")}, "duration_s must be positive and finite, got inf"),
        ({"recordings": float("inf")}, "recordings cannot be inf"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"categories": {"car": float("nan")}}, "categories: car has the weight nan; give 0 or more"),
        (["field"], "expected parameters and their values, got ['field']"),
        ({"objects": [1, 255]}, "objects and parked_cars together are at most 255"),
        ({"split": "val"}, "split is train, validation or test, got 'val'"),
        ({"lens": "wide"}, "lens is pinhole or fisheye, got 'wide'"),
        ({"annotation_rate_hz": 3}, "frame_rate_hz must be a multiple of annotation_rate_hz"),
    ],
)
def test_a_mistake_is_named_with_its_cure(options: Any, message: str) -> None:
    with pytest.raises(DataError, match="simulation: ") as error:
        read_parameters(options)
    assert message in str(error.value)

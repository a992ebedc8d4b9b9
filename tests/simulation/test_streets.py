import numpy as np
import pytest

from stvlm.simulation.motion import resample
from stvlm.simulation.streets import HALF_WORLD_M, LAYOUTS, corner_way, crossing_way, in_sight, vehicle_way


def turned_deg(way: np.ndarray) -> float:
    _, yaw, _ = resample(way)
    return float(np.degrees(yaw[-1] - yaw[0]))


@pytest.mark.parametrize(
    ("layout", "enter", "leave", "left_turn_deg"),
    [
        ("crossroads", 0, 1, -90),  # in from the east, out to the north: a right turn
        ("crossroads", 0, 2, 0),
        ("crossroads", 0, 3, 90),
        ("y_junction", 0, 1, -62),
        ("roundabout", 0, 0, 180),
        ("boulevard", 1, 1, 180),
        ("curve", 0, 1, -110),
        ("s_bend", 0, 1, 0),
    ],
)
def test_turns(layout: str, enter: int, leave: int, left_turn_deg: float) -> None:
    assert turned_deg(vehicle_way(LAYOUTS[layout], enter, leave, 6.75)) == pytest.approx(left_turn_deg, abs=1.5)


def test_traffic_keeps_right() -> None:
    way = vehicle_way(LAYOUTS["straight"], 0, 1, 1.75)  # from the east, westwards: right is north
    np.testing.assert_allclose(way[[0, -1]], [[HALF_WORLD_M, 1.75], [-HALF_WORLD_M, 1.75]], atol=1e-9)
    np.testing.assert_allclose(way[:, 1], 1.75, atol=1e-9)


def test_walkers_stay_off_the_road_but_for_the_crossing() -> None:
    layout = LAYOUTS["crossroads"]
    pavement = corner_way(layout, 0, 1, 1.0)
    assert (np.abs(pavement).min(axis=1) > layout.road_half_m).all()
    over = crossing_way(layout, 0, 1, 1.0, (True, True))
    x, y = resample(over)[0].T
    on_road = np.abs(y) < layout.road_half_m
    assert on_road.any()
    # kerbs meet 7.2 m from the hub and the corner takes 3 m; the zebra is 4 m wide around 3 m further out
    np.testing.assert_allclose(x[on_road], 13.2, atol=2.0)


def test_houses_hide_what_is_round_the_corner() -> None:
    eye, ahead, round_the_corner = [40.0, 0.0], [-40.0, 0.0], [0.0, 60.0]
    seen = in_sight(LAYOUTS["crossroads"], np.array([eye, eye]), np.array([ahead, round_the_corner]))
    assert seen.tolist() == [True, False]

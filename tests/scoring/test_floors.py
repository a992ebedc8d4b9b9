"""The best constant answer, by hand and against all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring.rows import distances, reference

from stvlm.scoring import Constant, Parsed, best_constant, score, score_all
from stvlm.scoring.floors import skill


def test_best_constants_by_hand():
    references = [
        # 8.00 admits 6 to 10, 10.00 admits 7.5 to 12.5, 30.00 admits 22.5 to 37.5: 7.50 meets two of them.
        *distances("8.00", "10.00", "30.00"),
        *(reference("movement_direction", target) for target in ("12", "3", "12", "11")),
        # 0-3 has an IoU of 2/3 with 0-2 and with 1-3, which have 1/3 with each other; 8-9 is far from all.
        *(reference("direction_timestamp", target) for target in ("0.00-2.00", "1.00-3.00", "8.00-9.00")),
        *(reference("traveled_distance_comparison", target) for target in ("blue", "red", "blue")),
        *(reference("movement_direction_comparison", target) for target in ("same", "different")),
    ]
    assert best_constant(references) == {
        "traveled_distance": Constant("7.50", pytest.approx(2 / 3)),
        "movement_direction": Constant("12", 0.5),
        "direction_timestamp": Constant("0.00-3.00", pytest.approx(2 / 3)),
        "traveled_distance_comparison": Constant("blue", pytest.approx(2 / 3)),
        "movement_direction_comparison": Constant("same", 0.5),  # of equals the shortest
    }


def test_an_interval_counts_as_often_as_it_occurs():
    targets = ["0.00-2.00", "1.00-3.00", "8.00-9.00", "8.00-9.00", "8.00-9.00"]
    references = [reference("direction_timestamp", target) for target in targets]
    assert best_constant(references) == {"direction_timestamp": Constant("8.00-9.00", 0.6)}


def test_the_constant_for_distances_spread_evenly_up_to_60_m():
    # 45 is within 25 % of all from 36 to 60: of 600 distances, a tenth of a metre apart, that is 241.
    references = [reference("traveled_distance", f"{decimeters / 10:.2f}") for decimeters in range(1, 601)]
    assert best_constant(references) == {"traveled_distance": Constant("45.00", pytest.approx(241 / 600))}


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12))
def test_no_other_number_beats_the_best_constant(cents):
    targets = [f"{value / 100:.2f}" for value in cents]
    best = best_constant([reference("traveling_speed", target) for target in targets])["traveling_speed"]
    for rival in range(1, 3800, 7):
        hits = sum(score("traveling_speed", Parsed(rival / 100), target).correct for target in targets)
        assert hits / len(targets) <= best.accuracy


def test_best_constant_names_what_is_wrong():
    with pytest.raises(ValueError, match="no references"):
        best_constant([])
    with pytest.raises(ValueError, match=r"references\[1\]: target"):
        best_constant(distances("20.00", "20"))


def test_a_place_among_the_choices_is_a_constant_too():
    """Each color is right once in three questions; the one named first in two of three."""
    task = "traveling_speed_comparison"
    rows = [
        reference(task, "red") | {"choices": ["red", "blue"]},
        reference(task, "blue") | {"choices": ["blue", "green"]},
        reference(task, "green") | {"choices": ["red", "green"]},
    ]
    assert best_constant(rows) == {task: Constant("yes", pytest.approx(2 / 3))}
    swapped = [row | {"choices": row["choices"][::-1]} for row in rows]
    assert best_constant(swapped) == {task: Constant("no", pytest.approx(2 / 3))}
    # Of three choices the second, right in two of three questions, is no plain "no": nobody can give it as one answer.
    orders = (["blue", "red", "green"], ["red", "blue", "green"], ["green", "red", "blue"])
    three = [row | {"choices": order} for row, order in zip(rows, orders, strict=True)]
    assert best_constant(three) == {task: Constant("red", pytest.approx(1 / 3))}


@given(st.lists(st.sampled_from([
    *distances("8.00", "10.00", "30.00"), reference("movement_direction", "9"), reference("movement_direction", "10"),
    reference("direction_timestamp", "1.00-2.00"), reference("direction_timestamp", "1.50-3.00"),
    reference("movement_direction_comparison", "same"), reference("movement_direction_comparison", "different"),
    reference("movement_direction_comparison", "same") | {"choices": ["different", "same"]},
    reference("traveling_speed_comparison", "red"), reference("traveling_speed_comparison", "blue"),
    reference("traveling_speed_comparison", "green") | {"choices": ["green", "blue"]},
    reference("traveling_speed_comparison", "red") | {"choices": ["blue", "green", "red"]},
]), min_size=1, max_size=12))  # fmt: skip
def test_the_constant_given_as_an_answer_scores_what_it_says(rows):
    constants = best_constant(rows)
    scores = score_all([constants[row["task"]].target for row in rows], rows)
    for task, constant in constants.items():
        assert scores[f"{task}_accuracy"] == pytest.approx(constant.accuracy)


def test_skill_is_nothing_at_the_floor_and_one_at_the_top():
    assert skill(0.5, 0.5) == 0.0
    assert skill(1.0, 0.5) == 1.0
    assert skill(0.75, 0.5) == 0.5
    assert skill(0.0, 0.5) == -1.0

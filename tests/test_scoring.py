"""Values are worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stvlm.scoring import (
    TASKS,
    Constant,
    Outcome,
    Parsed,
    best_constant,
    parse_target,
    score,
    score_all,
)

CHOICES = {
    "traveled_distance_comparison": ["red", "blue"],
    "traveling_speed_comparison": ["red", "blue"],
    "movement_direction_comparison": ["same", "different"],
}


def reference(task, target, **more):
    return {"task": task, "target": target, "choices": CHOICES.get(task, []), "question": "", **more}


# Printed targets


@pytest.mark.parametrize(
    ("task", "target", "value"),
    [
        ("traveled_distance", "20.15", 20.15),
        ("traveling_speed", "0.01", 0.01),
        ("movement_direction", "12", 12),
        ("direction_timestamp", "3.50-6.00", (3.5, 6.0)),
        ("traveling_speed_comparison", "red", "red"),
        ("movement_direction_comparison", "different", "different"),
    ],
)
def test_printed_target(task, target, value):
    assert parse_target(task, target) == value


@pytest.mark.parametrize(
    ("task", "target", "complaint"),
    [
        ("distance", "20.15", "task 'distance' is not one of traveled_distance"),
        ("traveled_distance", "20.15 m", "is not metres"),
        ("traveled_distance", "20.1", "is not metres"),
        ("traveled_distance", 20.15, "is not metres"),
        ("traveled_distance", "0.00", "must be above zero"),
        ("traveling_speed", "-3.00", "is not km/h"),
        ("movement_direction", "0", "is not an hour"),
        ("movement_direction", "13", "is not an hour"),
        ("direction_timestamp", "3.5-6.0", "is not seconds"),
        ("direction_timestamp", "6.00-3.50", "ends before"),
        ("traveled_distance_comparison", "Red", "is not a color"),
        ("movement_direction_comparison", "yes", 'is not "same" or "different"'),
    ],
)
def test_any_other_form_of_target_is_refused(task, target, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_target(task, target)


# Scores


@pytest.mark.parametrize(
    ("task", "value", "target", "outcome"),
    [
        ("traveled_distance", 15.15, "20.20", (True, 5.05, None)),  # 0.75 * 20.20, a hair above it in binary
        ("traveled_distance", 15.14, "20.20", (False, 5.06, None)),
        ("traveling_speed", 25.25, "20.20", (True, 5.05, None)),  # 1.25 * 20.20
        ("traveling_speed", 25.26, "20.20", (False, 5.06, None)),
        ("movement_direction", 11, "1", (False, 2.0, None)),  # not 10: the short way round
        ("movement_direction", 12, "12", (True, 0.0, None)),
        ("movement_direction", 12, "6", (False, 6.0, None)),
        ("direction_timestamp", (4.0, 6.0), "2.00-6.00", (True, None, 0.5)),
        ("direction_timestamp", (4.0, 8.0), "2.00-6.00", (False, None, 1 / 3)),
        ("direction_timestamp", (7.0, 8.0), "2.00-6.00", (False, None, 0.0)),
        ("direction_timestamp", (3.0, 3.0), "2.00-6.00", (False, None, 0.0)),
        ("traveled_distance_comparison", "red", "red", (True, None, None)),
        ("movement_direction_comparison", "same", "different", (False, None, None)),
        ("traveled_distance", None, "20.20", (False, None, None)),
        ("movement_direction", None, "12", (False, None, None)),
        ("direction_timestamp", None, "2.00-6.00", (False, None, 0.0)),
        ("traveled_distance_comparison", None, "red", (False, None, None)),
    ],
)
def test_outcome(task, value, target, outcome):
    assert score(task, Parsed(value), target) == Outcome(
        outcome[0], *(None if number is None else pytest.approx(number) for number in outcome[1:])
    )


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4), st.integers(0, 40))
def test_iou_is_symmetric_and_does_not_depend_on_when(halves, later):
    a, b, c, d = (0.5 * half for half in halves)
    one, other = (min(a, b), max(a, b) + 0.5), (min(c, d), max(c, d) + 0.5)

    def iou(answer, truth):
        return score("direction_timestamp", Parsed(answer), f"{truth[0]:.2f}-{truth[1]:.2f}").iou

    assert iou(one, other) == pytest.approx(iou(other, one))
    shift_s = 0.5 * later
    moved = [(start + shift_s, end + shift_s) for start, end in (one, other)]
    assert iou(*moved) == pytest.approx(iou(one, other))
    assert iou(one, one) == 1.0


def test_scores_by_hand():
    references = [
        reference("traveled_distance", "20.00"),
        reference("traveled_distance", "10.00"),
        reference("traveled_distance", "10.00"),
        reference("movement_direction", "1"),
        reference("direction_timestamp", "2.00-6.00"),
        reference("direction_timestamp", "2.00-6.00"),
    ]
    predictions = ["21 m", "16 m", "no idea", "11 o'clock", "4 to 6 s", "at 4 s"]
    scores = score_all(predictions, references, per_sample=True)
    samples = scores.pop("per_sample")
    assert scores == {
        "average_accuracy": pytest.approx((1 / 3 + 0 + 1 / 2) / 3),
        "traveled_distance_accuracy": pytest.approx(1 / 3),
        "traveled_distance_count": 3,
        "traveled_distance_mae": pytest.approx((1 + 6) / 2),  # the third was not parsed
        "movement_direction_accuracy": 0.0,
        "movement_direction_count": 1,
        "movement_direction_mae": 2.0,
        "direction_timestamp_accuracy": 0.5,
        "direction_timestamp_count": 2,
        "direction_timestamp_iou": 0.25,  # 0.5 and, not parsed, 0
        "parse_rate": pytest.approx(4 / 6),
    }
    assert samples[0] == {"value": 21.0, "reason": "", "correct": True, "error": 1.0, "iou": None}
    assert samples[2] == {"value": None, "reason": "no distance", "correct": False, "error": None, "iou": None}
    assert samples[4] == {"value": (4.0, 6.0), "reason": "", "correct": True, "error": None, "iou": 0.5}
    assert len(samples) == 6


def test_an_error_over_no_parsed_answer_is_absent():
    scores = score_all(["far"], [reference("traveled_distance", "20.00")])
    assert set(scores) == {
        "average_accuracy",
        "traveled_distance_accuracy",
        "traveled_distance_count",
        "parse_rate",
    }
    assert scores["parse_rate"] == 0.0


def test_every_task_has_its_keys():
    targets = ["20.15", "15.04", "10", "3.50-6.00", "red", "blue", "same"]
    answers = ["20.15 m", "15.04 km/h", "10 o'clock", "3.50-6.00", "red", "blue", "same"]
    scores = score_all(answers, [reference(task, target) for task, target in zip(TASKS, targets, strict=True)])
    accuracies = {f"{task}_accuracy" for task in TASKS}
    counts = {f"{task}_count" for task in TASKS}
    errors = {"traveled_distance_mae", "traveling_speed_mae", "movement_direction_mae"}
    assert set(scores) == accuracies | counts | errors | {"average_accuracy", "direction_timestamp_iou", "parse_rate"}
    assert {scores[key] for key in accuracies} == {1.0}


def test_confidence_draws_whole_clips():
    # Two clips, one all right and one all wrong: a resample draws one of them twice in half of the cases.
    predictions = ["20 m"] * 50 + ["40 m"] * 50
    clips = [reference("traveled_distance", "20.00", clip_id="a")] * 50
    clips += [reference("traveled_distance", "20.00", clip_id="b")] * 50
    scores = score_all(predictions, clips, confidence=0.95)
    assert (scores["traveled_distance_accuracy_low"], scores["traveled_distance_accuracy_high"]) == (0.0, 1.0)
    assert (scores["traveled_distance_mae_low"], scores["traveled_distance_mae_high"]) == (0.0, 20.0)
    assert "traveled_distance_count_low" not in scores
    # A hundred items of their own: the binomial standard deviation is 0.05, so the bounds are 0.5 -+ 0.098.
    items = [reference("traveled_distance", "20.00")] * 100
    scores = score_all(predictions, items, confidence=0.95)
    assert scores["average_accuracy_low"] == pytest.approx(0.402, abs=0.02)
    assert scores["average_accuracy_high"] == pytest.approx(0.598, abs=0.02)
    assert scores == score_all(predictions, items, confidence=0.95)


def test_a_resample_without_a_task_does_not_count_for_it():
    # Three clips in four draws miss the one with a direction: a ratio of nothing must not become a bound.
    references = [reference("traveled_distance", "20.00", clip_id=str(clip)) for clip in range(3)]
    references.append(reference("movement_direction", "3", clip_id="turn"))
    scores = score_all(["20 m", "20 m", "40 m", "3 o'clock"], references, confidence=0.9)
    assert (scores["movement_direction_accuracy_low"], scores["movement_direction_accuracy_high"]) == (1.0, 1.0)
    assert 0.0 <= scores["average_accuracy_low"] <= scores["average_accuracy"] <= scores["average_accuracy_high"] <= 1.0


GOOD = reference("traveled_distance", "20.00")


@pytest.mark.parametrize(
    ("predictions", "references", "complaint"),
    [
        ([], [], "nothing to score"),
        (["20 m"], [GOOD, GOOD], "1 predictions for 2 references"),
        (["20 m", None], [GOOD, GOOD], r"predictions\[1\]: None is not a string"),
        (["a", "b"], [GOOD, "20.00"], r"references\[1\]: str is not a dict"),
        (["a", "b"], [GOOD, {"task": "traveled_distance"}], r"references\[1\]: has no 'target'"),
        (["a", "b"], [GOOD, reference("distance", "20.00")], r"references\[1\]: task 'distance' is not one of"),
        (["a", "b"], [GOOD, reference("movement_direction", "20.00")], r"references\[1\]: target '20.00' .* an hour"),
        (["a"], [{**GOOD, "choices": ["red", "blue"]}], r"references\[0\]: traveled_distance takes no choices"),
        (
            ["a"],
            [reference("traveled_distance_comparison", "green")],
            r"references\[0\]: target 'green' is not among the choices \['red', 'blue'\]",
        ),
        (
            ["a"],
            [{"task": "movement_direction_comparison", "target": "same"}],
            r"references\[0\]: choices \[\] .* are not two or more",
        ),
        (
            ["a"],
            [{"task": "traveled_distance_comparison", "target": "red", "choices": ["red", "Blue"]}],
            r"references\[0\]: choice 'Blue' .* is not a color",
        ),
        (["a"], [{**GOOD, "question": 3}], r"references\[0\]: question 3 is not a string"),
    ],
)
def test_what_is_wrong_is_named(predictions, references, complaint):
    with pytest.raises(ValueError, match=complaint):
        score_all(predictions, references)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_is_a_fraction(confidence):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        score_all(["20 m"], [GOOD], confidence=confidence)


# Constants


def test_best_constants_by_hand():
    references = [
        # 8.00 admits 6 to 10, 10.00 admits 7.5 to 12.5, 30.00 admits 22.5 to 37.5: 7.50 meets two of them.
        *(reference("traveled_distance", target) for target in ("8.00", "10.00", "30.00")),
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
        best_constant([GOOD, reference("traveled_distance", "20")])

"""Scores of many answers, worked out by hand, and what holds for any."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.rows import distances, reference

from stvlm.scoring import TASKS, best_constant, score_all

GOOD = reference("traveled_distance", "20.00")


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


@pytest.mark.parametrize(
    ("predictions", "references", "complaint"),
    [
        ([], [], "no predictions: there is nothing to score"),
        (None, [GOOD], "predictions: NoneType is not a list"),
        ("20 m", [GOOD] * 4, "predictions: str is not a list"),  # not four answers of a sign each
        (["20 m"], GOOD, "references: dict is not a list"),
        ([20.0], [GOOD], r"predictions\[0\]: 20.0 is not a string"),
        (["20 m"], [GOOD | {"target": math.nan}], r"references\[0\]: target nan of traveled_distance is not metres"),
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


# Intervals


def bounds(scores, key):
    return scores[f"{key}_low"], scores[f"{key}_high"]


def test_where_all_is_right_the_bound_is_that_of_as_many_clips():
    # Student's t for 29 degrees of freedom is 2.045, its square 4.183.
    rows = [reference("traveled_distance", "20.00", clip_id=str(clip)) for clip in range(30)]
    scores = score_all(["20 m"] * 30, rows, confidence=0.95)
    assert bounds(scores, "traveled_distance_accuracy") == (pytest.approx(30 / 34.183, abs=1e-4), 1.0)
    assert bounds(scores, "average_accuracy") == bounds(scores, "traveled_distance_accuracy")
    # The fourth answer about a clip that is all right says little about the next clip.
    assert bounds(score_all(["20 m"] * 120, rows * 4, confidence=0.95), "parse_rate") == bounds(scores, "parse_rate")
    wrong = score_all(["40 m"] * 30, rows, confidence=0.95)
    assert bounds(wrong, "traveled_distance_accuracy") == (0.0, pytest.approx(4.183 / 34.183, abs=1e-4))


def test_half_of_a_hundred():
    # The binomial standard deviation is 0.05, so the bounds are close to 0.5 -+ 0.098.
    scores = score_all(["20 m", "40 m"] * 50, [GOOD] * 100, confidence=0.95)
    assert bounds(scores, "average_accuracy") == (pytest.approx(0.402, abs=0.002), pytest.approx(0.598, abs=0.002))


def test_like_answers_on_a_clip_are_one_observation():
    answers = ["20 m", "40 m", "20 m", "20 m", "no idea", "25 m"]
    rows = [reference("traveled_distance", "20.00", clip_id=str(clip)) for clip in range(6)]
    once = score_all(answers, rows, confidence=0.95)
    often = score_all(answers * 9, rows * 9, confidence=0.95)
    assert often | {"traveled_distance_count": 6} == pytest.approx(once)
    apart = score_all(answers * 9, [row | {"clip_id": None} for row in rows * 9], confidence=0.95)
    assert apart["parse_rate_low"] > once["parse_rate_low"] + 0.2


def test_a_mirrored_clip_is_no_other_clip():
    rows = [reference("traveled_distance", "20.00", clip_id=str(i), id=f"q{i}", base_id=f"q{i}") for i in range(8)]
    mirrored = [row | {"clip_id": f"{row['clip_id']}-mirrored", "id": f"{row['id']}-mirrored"} for row in rows]
    answers = ["20 m", "40 m"] * 4
    scores = score_all(answers * 2, rows + mirrored, confidence=0.95)
    alone = score_all(answers, rows, confidence=0.95)
    assert scores | {"traveled_distance_count": 8} == pytest.approx(alone)
    # Without a clip_id the question stands for its clip; ids of some other kind are none of our business.
    unknown = [row | {"clip_id": None} for row in rows + mirrored]
    assert score_all(answers * 2, unknown, confidence=0.95) == pytest.approx(scores)
    other = [GOOD | {"id": i, "base_id": [], "clip_id": str(i)} for i in range(8)]
    assert score_all(answers, other, confidence=0.95) == pytest.approx(alone)


def test_bounds_of_an_error_are_a_factor():
    # Errors 1, 1, 3, 3 m: the standard error is sqrt(4/3) / 2 = 0.5774 m, 28.87 % of 2 m; Student's t is 3.182.
    scores = score_all(["21 m", "21 m", "23 m", "23 m"], [GOOD] * 4, confidence=0.95)
    factor = math.exp(3.182 * 0.2887)
    assert bounds(scores, "traveled_distance_mae") == pytest.approx((2 / factor, 2 * factor), rel=2e-3)
    assert "traveled_distance_count_low" not in scores


def test_one_clip_tells_nothing_of_others():
    rows = [reference("traveled_distance", "20.00", clip_id="a")] * 5
    scores = score_all(["20 m", "21 m", "22 m", "30 m", ""], rows, confidence=0.95)
    assert bounds(scores, "traveled_distance_accuracy") == (0.0, 1.0)
    assert "traveled_distance_mae_low" not in scores


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, "0.95"])
def test_confidence_is_a_fraction(confidence):
    with pytest.raises(ValueError, match="is not a number between 0 and 1"):
        score_all(["20 m"], [GOOD], confidence=confidence)


# What a user asks for beside


def test_skill_by_hand():
    # 7.50 to 12.50 is right for three of four distances, 3 o'clock for two of four directions.
    rows = distances("10.00", "10.00", "10.00", "40.00")
    rows += [reference("movement_direction", hour) for hour in ("3", "3", "6", "9")]
    answers = ["10 m", "10 m", "10 m", "10 m", "3 o'clock", "3 o'clock", "6 o'clock", "12 o'clock"]
    scores = score_all(answers, rows, floors=True, confidence=0.95)
    assert (scores["traveled_distance_constant"], scores["traveled_distance_skill"]) == (0.75, 0.0)
    assert (scores["movement_direction_constant"], scores["movement_direction_skill"]) == (0.5, 0.5)
    assert scores["average_skill"] == pytest.approx(0.25)
    low, high = bounds(scores, "movement_direction_accuracy")
    assert bounds(scores, "movement_direction_skill") == pytest.approx((2 * low - 1, 2 * high - 1))
    assert bounds(scores, "average_skill")[0] < 0.25 < bounds(scores, "average_skill")[1] <= 1.0
    assert "movement_direction_floor" not in scores


def test_skill_is_above_the_higher_floor():
    rows = [reference("movement_direction", hour) for hour in ("3", "3", "6", "9")]
    answers = ["3", "3", "6", "12"]
    blind = score_all(answers, rows, floors={"movement_direction": 0.6})
    assert (blind["movement_direction_constant"], blind["movement_direction_floor"]) == (0.5, 0.6)
    assert blind["movement_direction_skill"] == pytest.approx(0.15 / 0.4)
    assert "movement_direction_skill" in score_all(answers, rows, floors={})
    lower = score_all(answers, rows, floors={"movement_direction": 0.1, "traveling_speed": 0.9})
    assert (lower["movement_direction_floor"], lower["movement_direction_skill"]) == (0.5, 0.5)


def test_a_floor_that_leaves_nothing_open_has_no_skill():
    scores = score_all(["20 m", "3"], [GOOD, reference("movement_direction", "3")], floors=True)
    assert scores["traveled_distance_constant"] == 1.0
    assert not [key for key in scores if "skill" in key]


def test_the_constant_answer_has_no_skill():
    rows = distances("3.00", "5.00", "8.00", "30.00", "9.00")
    constant = best_constant(rows)["traveled_distance"]
    scores = score_all([constant.target] * 5, rows, floors=True, confidence=0.95)
    assert (scores["average_skill"], scores["traveled_distance_skill"]) == (pytest.approx(0.0), pytest.approx(0.0))
    assert score_all([row["target"] for row in rows], rows, floors=True)["average_skill"] == 1.0


def test_mean_relative_accuracy():
    # 21 m is 5 % off, which is below 10 .. 50 %: 0.9. 25 m is below 30 .. 50 %: 0.5. What was not read is worth 0.
    rows = [GOOD, GOOD, GOOD, reference("movement_direction", "3")]
    scores = score_all(["21 m", "25 m", "far", "3"], rows, mra=True, confidence=0.95)
    assert scores["traveled_distance_mra"] == pytest.approx(1.4 / 3)
    assert bounds(scores, "traveled_distance_mra")[0] < 1.4 / 3 < bounds(scores, "traveled_distance_mra")[1]
    assert "movement_direction_mra" not in scores
    assert score_all(["2"], [reference("speed_ratio", "2.00")], mra=True)["speed_ratio_mra"] == 1.0


def twins(base_id, *variants):
    ids = [f"{base_id}-{variant}" if variant else base_id for variant in variants]
    return [reference("traveled_distance", "20.00", id=row_id, base_id=base_id) for row_id in ids]


def test_groups_by_hand():
    """Of q1 one twin is wrong, of q2 all are right, q3 stands alone and does not count."""
    rows = [*twins("q1", "", "mirrored"), *twins("q2", "", "paraphrased", "reversed"), *twins("q3", "")]
    answers = ["20 m", "30 m", "20 m", "21 m", "22 m", "20 m"]
    scores = score_all(answers, rows, groups=True, by="variant", confidence=0.95)
    assert (scores["traveled_distance_group_accuracy"], scores["traveled_distance_group_count"]) == (0.5, 2)
    assert scores["average_group_accuracy"] == 0.5
    assert bounds(scores, "average_group_accuracy")[0] < 0.5 < bounds(scores, "average_group_accuracy")[1]
    of_variant = {name: of["traveled_distance_accuracy"] for name, of in scores["by"]["variant"].items()}
    assert of_variant == {"mirrored": 0.0, "original": 1.0, "paraphrased": 1.0, "reversed": 1.0}
    assert "average_group_accuracy" not in scores["by"]["variant"]["original"]


def test_a_question_on_another_task_is_no_twin():
    rows = [*twins("q", "", "mirrored"), reference("speed_ratio", "2.00", id="q-multistep", base_id="q")]
    scores = score_all(["20 m", "20 m", "9"], rows, groups=True)
    assert scores["average_group_accuracy"] == 1.0
    assert "speed_ratio_group_accuracy" not in scores


def test_breakdowns_are_the_scores_of_their_items():
    rows = [row | {"source": source} for row, source in zip(distances("4.99", "5.00", "700.00"), "aba", strict=True)]
    rows += [reference("traveling_speed", "5.00", source="b"), reference("movement_direction", "3", source="b")]
    answers = ["5 m", "9 m", "700 m", "5 km/h", "2 o'clock"]
    scores = score_all(answers, rows, by=["source", "range"], confidence=0.95, mra=True)
    of_source, of_range = scores["by"]["source"], scores["by"]["range"]
    assert list(of_source) == ["a", "b"]
    for name, at in (("a", [0, 2]), ("b", [1, 3, 4])):
        alone = score_all([answers[i] for i in at], [rows[i] for i in at], confidence=0.95, mra=True)
        assert of_source[name] == pytest.approx(alone)
    assert list(of_range) == ["2-5 m", "5-10 m", "500 m and more", "5-10 km/h"]
    assert [of["average_accuracy"] for of in of_range.values()] == [1.0, 0.0, 1.0, 1.0]
    years = score_all(answers[:2], [GOOD | {"year": year} for year in (2013, 2011)], by="year")["by"]["year"]
    assert list(years) == ["2011", "2013"]
    assert score_all(answers, rows, by="task")["by"]["task"]["traveling_speed"]["average_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("rows", "options", "complaint"),
    [
        ([GOOD, GOOD], {"by": "source"}, r"references\[0\]: has no 'source'"),
        ([GOOD | {"year": 20.13}] * 2, {"by": "year"}, r"references\[0\]: has no 'year' that is a text or a whole"),
        ([GOOD, GOOD], {"groups": True}, r"references\[0\]: has no 'base_id'"),
        (twins("q", "", ""), {"groups": True}, r"references\[1\]: has the id 'q' of references\[0\]"),
        ([*twins("q", ""), *twins("p", "")], {"groups": True}, "there are no twins to group"),
        (
            [GOOD | {"id": "p", "base_id": "q"}] * 2,
            {"by": "variant"},
            r"references\[0\]: id 'p' does not begin with its base_id 'q'",
        ),
        ([GOOD, GOOD], {"floors": 0.5}, "floors 0.5 is neither True nor a dict of task to accuracy"),
        ([GOOD, GOOD], {"floors": {"distance": 0.5}}, "floors: task 'distance' is not one of traveled_distance"),
        ([GOOD, GOOD], {"floors": {"traveled_distance": 40}}, "floors: 40 of traveled_distance is not a fraction of 1"),
    ],
)
def test_what_is_asked_for_must_be_there(rows, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        score_all(["20 m", "20 m"], rows, **options)


# Whatever the table


@st.composite
def tables(draw):
    """Answers to up to 12 questions in two variants each."""
    answers, rows = [], []
    for number in range(draw(st.integers(1, 12))):
        task, right, wrong = draw(st.sampled_from([
            ("traveled_distance", "20.00", "40 m"), ("movement_direction", "3", "4 o'clock"),
            ("traveled_distance_comparison", "red", "blue"), ("direction_timestamp", "1.00-2.00", "5-6 s"),
        ]))  # fmt: skip
        clip_id = f"c{draw(st.integers(0, 4))}"
        for variant in ("", "-mirrored"):
            answers.append(draw(st.sampled_from([right, wrong, "no idea"])))
            ids = {"id": f"q{number}{variant}", "base_id": f"q{number}", "clip_id": f"{clip_id}{variant}"}
            rows.append(reference(task, right, **ids))
    return answers, rows


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([0.5, 0.9, 0.99]), st.randoms(use_true_random=False))
def test_scores_and_their_bounds(table, confidence, random):
    answers, rows = table
    asked = {"confidence": confidence, "floors": True, "mra": True, "groups": True, "by": "variant"}
    scores = score_all(answers, rows, **asked)
    of_variant = scores["by"]["variant"]
    for key in [key.removesuffix("_low") for key in scores if key.endswith("_low")]:
        low, high = bounds(scores, key)
        assert low <= scores[key] <= high
        assert key.endswith("_mae") or high <= 1.0
        assert key.endswith(("_mae", "_skill")) or low >= 0.0
    for key in [key for key in scores if key.endswith("_group_accuracy")]:
        one = key.replace("_group", "")
        assert scores[key] <= min(of[one] for of in of_variant.values()) + 1e-12
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = score_all([answers[i] for i in order], [rows[i] for i in order], **asked)
    assert shuffled.pop("by")["variant"]["mirrored"] == pytest.approx(of_variant["mirrored"])
    assert shuffled == pytest.approx({key: value for key, value in scores.items() if key != "by"})
    wider = score_all(answers, rows, confidence=0.995)
    assert wider["parse_rate_low"] <= scores["parse_rate_low"]

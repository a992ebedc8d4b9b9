"""The table of the paper and the verdicts beside it, on answers whose scores are known."""

from stvlm.evaluation.report import CONSTANT, as_table, as_verdicts, compare, constant_answers, score_columns


def rows_of(task, targets, choices=()):
    return [
        {
            "id": f"{task}{i}",
            "clip_id": f"clip{i}",
            "task": task,
            "target": target,
            "choices": list(choices),
            "question": "",
        }
        for i, target in enumerate(targets)
    ]


DISTANCES = rows_of("traveled_distance", ["10.00", "20.00"] * 20)
COLORS = rows_of("traveled_distance_comparison", ["red", "blue"] * 20, ("red", "blue"))
ROWS = DISTANCES + COLORS


def test_constant_knows_the_task_and_not_the_row():
    # 8.33 and above are within 25 % of 10.00 up to 12.50, and nothing is within 25 % of both: the smaller one is taken.
    assert set(constant_answers(DISTANCES)) == {"7.50 m"}
    assert set(constant_answers(COLORS)) == {"red"}


def test_a_constant_yes_is_the_choice_in_its_place():
    pairs = [("red", "blue"), ("blue", "green"), ("green", "red")]
    rows = [
        {"task": "traveled_distance_comparison", "target": first, "choices": [first, second],
         "question": f"Which object travels farther, the {first} or the {second} one?", "clip_id": first}
        for first, second in pairs
    ]  # fmt: skip
    assert constant_answers(rows) == ["red", "blue", "green"]
    assert score_columns(rows, {})[CONSTANT]["average_accuracy"] == 1.0


def test_a_constant_is_in_meters_whatever_unit_is_asked_for():
    rows = [row | {"question": "How many feet does the object travel throughout the video?"} for row in DISTANCES]
    assert score_columns(rows, {})[CONSTANT]["average_accuracy"] == 0.5


def test_multistep_tasks_have_columns_and_verdicts_where_they_were_asked():
    rows = rows_of("time_to_cover", ["10.00"] * 40)
    scores = score_columns(rows, {"model": ["10 s"] * 30 + ["99 s"] * 10})
    header, model, _ = as_table(scores, "model", "tiny").splitlines()
    assert header.split()[-2:] == ["time_to_cover", "Average"]
    assert model.split()[-2:] == ["75.0", "75.0"]
    assert compare(rows, scores, "model")["time_to_cover"][CONSTANT].value == -0.25


def test_a_task_is_learned_only_beyond_every_control():
    right = [row["target"] for row in ROWS]
    half = [row["target"] if row["task"] == "traveled_distance" else "red" for row in ROWS]
    scores = score_columns(ROWS, {"model": half, "black": ["red"] * 80})
    verdicts = as_verdicts(compare(ROWS, scores, "model"), scores, "model").splitlines()
    assert verdicts[1].endswith("  learned")
    assert "100.0" in verdicts[1]
    assert verdicts[2].endswith("not learned: not above black frames, best constant")
    scores = score_columns(ROWS, {"model": right, "black": half})
    assert as_verdicts(compare(ROWS, scores, "model"), scores, "model").splitlines()[2].endswith("  learned")


def test_what_is_computed_is_not_said_to_be_learned():
    scores = score_columns(ROWS, {"model": [row["target"] for row in ROWS]})
    told = as_verdicts(compare(ROWS, scores, "model"), scores, "model", learns=False)
    assert "100.0" in told and "learned" not in told


def test_table_has_the_papers_columns_and_leaves_blank_what_was_not_asked():
    scores = score_columns(ROWS, {"model": [row["target"] for row in ROWS]})
    header, model, constant = as_table(scores, "model", "tiny").splitlines()
    columns = " TD Acc MAE m TS Acc MAE km/h MD Acc MAE h DT Acc IoU TDC TSC MDC Average"
    assert " ".join(header.split()) == columns.strip()
    assert " ".join(model.split()) == "tiny 100.0 0.0 - - - - - - 100.0 - - 100.0"
    assert " ".join(constant.split()) == "best constant 50.0 7.5 - - - - - - 50.0 - - 50.0"
    assert set(scores) == {"model", CONSTANT}


def test_few_clips_prove_nothing():
    """Of the clips that a task's questions are about; that another task has many does not help."""
    rows = DISTANCES + COLORS[:29]
    scores = score_columns(rows, {"model": [row["target"] for row in rows], "black": [""] * len(rows)})
    verdicts = as_verdicts(compare(rows, scores, "model"), scores, "model").splitlines()
    assert verdicts[1].endswith("  learned")
    assert verdicts[2].endswith("too few clips to tell: fewer than 30")

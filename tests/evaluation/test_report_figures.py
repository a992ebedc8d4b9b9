"""Ranges, their intervals, and that every figure can be drawn from as little as there may be."""

from pathlib import Path

import pytest
from PIL import Image

from stvlm.evaluation.figures import by_range, draw_all
from stvlm.evaluation.report import score_columns
from stvlm.evaluation.results import Answer, Results
from stvlm.records import DataError


def answers_of(task, pairs, clips=None):
    """Answers to targets, each about a clip of its own where not told."""
    return [
        Answer(
            f"{task}{i}", task, "", value, "" if value is not None else "empty",
            value is not None and abs(value - truth) <= 0.25 * truth,
            None if value is None else abs(value - truth), None,
            {"id": f"{task}{i}", "clip_id": clips[i] if clips else str(i), "task": task, "target": f"{truth:.2f}"},
        )
        for i, (value, truth) in enumerate(pairs)
    ]  # fmt: skip


def test_ranges_are_those_of_the_truth():
    # 5.00 is in 5-10; the range 10-20 is empty and stays, as it lies between others.
    found = by_range(
        answers_of("traveled_distance", [(5, 4.99), (6, 5.0), (8, 5.0), (None, 9.99), (30, 20.0)]), "traveled_distance"
    )
    assert [(r.low, r.high, r.questions) for r in found] == [(2, 5, 1), (5, 10, 3), (10, 20, 0), (20, 50, 1)]
    assert found[1].accuracy[0] == pytest.approx(1 / 3)  # 8 is off by 60 %, and nothing was read of the third
    assert found[1].relative_error[0] == pytest.approx((0.2 + 0.6) / 2)
    assert found[1].relative_error[1:] == pytest.approx((0.2, 0.6))
    assert found[2].accuracy is None
    assert found[3].relative_error == pytest.approx((0.5, 0.5, 0.5))
    assert by_range([], "traveled_distance") == []


def test_answers_about_one_clip_count_once_in_an_interval():
    pairs = [(10, 10.0), (50, 10.0)] * 10
    together = answers_of("traveling_speed", sorted(pairs), [str(i // 10) for i in range(20)])
    share, low, high = by_range(together, "traveling_speed")[0].accuracy
    assert share == 0.5
    assert low < 0.05 and high > 0.95  # two clips, one right and one wrong, tell next to nothing
    share, low, high = by_range(answers_of("traveling_speed", pairs), "traveling_speed")[0].accuracy
    # Twenty that vary as 19 independent ones, with Student's t of 19 degrees of freedom, 2.093: 0.5 -+ 0.216.
    assert (share, low, high) == pytest.approx((0.5, 0.284, 0.716), abs=2e-3)


def results_of(answers, name="tiny"):
    rows = [answer.row | {"choices": [], "question": ""} for answer in answers]
    scores = score_columns(rows, {"model": ["" if a.value is None else str(a.value) for a in answers]})
    dataset = {"path": "d", "config": "default", "split": "test", "fingerprint": "f", "rows": len(rows)}
    return Results(Path(name), name, dataset, {}, {}, scores, {}, {})


@pytest.mark.parametrize(
    "answers",
    [
        answers_of("traveled_distance", [(10, 10.0), (5, 20.0)]),
        answers_of("traveling_speed", [(None, 10.0), (None, 20.0)]),
        answers_of("traveled_distance", [(1000.0, 2.0)]) + answers_of("traveling_speed", [(0.0, 700.0)]),
    ],
    ids=["one task", "nothing read", "one clip"],
)
def test_figures_of_little(answers, tmp_path):
    found = draw_all([results_of(answers, "$a_b$")], [{"model": answers, "best_constant": answers}], tmp_path)
    assert found == ["unread", "ranges"]  # two tasks span no area
    for name in found:
        assert min(Image.open(tmp_path / f"{name}.png").size) > 100
        assert (tmp_path / f"{name}.svg").read_text().startswith("<?xml")


def test_figures_without_rows_and_of_many_results_have_the_same_bytes_every_time(tmp_path):
    tasks = ("traveled_distance", "traveling_speed", "time_to_cover")
    answers = [a._replace(row=None) for task in tasks for a in answers_of(task, [(10, 10.0), (None, 20.0)])]
    results = [results_of(answers_of("traveled_distance", [(10, 10.0)]), name) for name in "abcdef"]
    one = {"average_accuracy": 0.5} | {
        f"{task}_accuracy": 0.5 for task in ("traveled_distance", "traveling_speed", "movement_direction")
    }
    results = [r._replace(scores={"model": one, "black": one, "best_constant": one}) for r in results]
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        assert draw_all(results, [{"model": answers}] * 6, tmp_path / folder) == ["radar", "unread"]
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_a_missing_matplotlib_is_one_line(monkeypatch):
    monkeypatch.setattr("stvlm.evaluation.figures.find_spec", lambda name: None)
    from stvlm.evaluation.figures import check_installed

    with pytest.raises(DataError, match="figures need matplotlib, which is not installed: pip install matplotlib"):
        check_installed()

"""Answers that are pasted."""

import json
from pathlib import Path

import pytest

from stvlm.demo import showing
from stvlm.demo.judging import leaderboard, sample, score_text
from stvlm.records import DataError

ROW = {"id": "a", "task": "traveled_distance", "target": "10.00", "choices": [], "question": "", "clip_id": "c"}
FASTER = {
    "id": "b", "task": "traveling_speed_comparison", "target": "red", "choices": ["red", "blue"],
    "question": "Which is faster?", "clip_id": "d",
}  # fmt: skip
KNOWN = {"a": {**ROW, "answer": "It is 10.00 m."}, "b": {**FASTER, "answer": "The red one is faster."}}


def lines(*values: dict[str, object]) -> str:
    return "\n".join(json.dumps(value) for value in values)


def test_answers_by_id_and_with_their_targets() -> None:
    told = {"task": "traveling_speed", "target": "20.00", "prediction": "18 km/h"}
    scored = score_text(lines({"id": "a", "prediction": "30 m"}, {"id": "b", "prediction": "Red."}, told), KNOWN)
    assert [it["correct"] for it in scored.scores["per_sample"]] == [False, True, True]
    assert scored.scores["traveled_distance_mae"] == 20
    assert scored.scores["average_accuracy"] == pytest.approx(2 / 3)


def test_a_table_is_read_as_well() -> None:
    table = 'task,target,choices,prediction\ntraveling_speed_comparison,red,"red, blue",The red one is faster.\n'
    assert score_text(table, {}).scores["traveling_speed_comparison_accuracy"] == 1
    assert score_text(table.replace(", blue", "; blue").replace(",", "\t").replace(";", ","), {}).rows[0]["choices"]
    assert score_text("id\tprediction\na\t10 m\n", KNOWN).scores["traveled_distance_accuracy"] == 1
    assert score_text("\ufeffid,prediction\na,10 m\n", KNOWN).predictions == ["10 m"]


def test_questions_of_several_steps_have_units() -> None:
    told = {"task": "catch_up_time", "target": "5.00", "prediction": "4 s"}
    scored = score_text(lines(told), {})
    assert "<td>4 s</td><td>5.00 s</td>" in showing.answers_table(scored) and "1 s" in showing.score_table(scored)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Paste answers first"),
        ("{", "Line 1 is no JSON"),
        ('{"id": "a", "prediction": "x"}\n[1]', "Line 2 is no JSON object"),
        ("{" * 100_000, "Line 1 is no JSON"),
        ('{"id": "a"}', "Answer 1 has no 'prediction'"),
        ('{"id": "z", "prediction": "1 m"}', "nor the 'id' of a row of this dataset; 'z' is none"),
        ('{"id": ["a"], "prediction": "1 m"}', "neither a 'target' nor the 'id'"),
        ('{"task": "weight", "target": "1", "prediction": "1"}', "^Answer 1: task 'weight' is not one of"),
        ("a\n" * 10, "Answer 1 has no 'prediction'"),
        ("x" * 2_000_001, "more than 2,000,000 letters"),
        (lines(*[{"id": "a", "prediction": "1 m"}] * 5001), "more than 5,000 answers"),
    ],
    ids=range(11),
)
def test_what_cannot_be_scored_says_why(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        score_text(text, KNOWN)


def test_the_answers_to_begin_with_can_be_scored() -> None:
    scored = score_text(sample(list(KNOWN.values())), KNOWN)
    assert len(scored.rows) == 2 and scored.scores["parse_rate"] == 1
    assert sample([]) == ""


def test_tables_escape_what_was_pasted() -> None:
    scored = score_text(lines({"id": "a", "prediction": "<img src=x onerror=alert(1)> 10 m"}), KNOWN)
    table = showing.answers_table(scored)
    assert "&lt;img src=x" in table and "<img" not in table
    assert "100.0" in showing.score_table(scored)


def test_the_leaderboard_has_the_papers_rows(tmp_path: Path) -> None:
    table = leaderboard(None)
    assert "ST-VLM-7B" in table and "59.8" in table and "this evaluation" not in table
    with pytest.raises(DataError, match=r"holds no results\.json"):
        leaderboard(tmp_path)

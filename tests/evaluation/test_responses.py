"""The file of responses outlives an interruption, and asks again only where the question has changed."""

import pytest

from stvlm.evaluation import responses
from stvlm.records import DataError

ROW = {
    "id": "a",
    "prompt": "How far?",
    "task": "traveled_distance",
    "target": "10.00",
    "choices": [],
    "question": "How far?",
    "objects": [{"color": "red", "boxes_px": [[0.0, 0.0, 9.0, 9.0]]}],
    "video_bytes": 1000,
}


def test_what_is_appended_is_read(tmp_path):
    place = tmp_path / "responses.jsonl"
    assert responses.read(place) == {}
    responses.append(
        place, [responses.as_line(ROW, "model", "About 11 m."), responses.as_line(ROW, "black", "No idea –")]
    )
    assert responses.read(place) == {
        responses.key_of(ROW, "model"): "About 11 m.",
        responses.key_of(ROW, "black"): "No idea –",
    }
    assert '"parsed": {"value": 11.0' in place.read_text()
    assert '"correct": true' in place.read_text()


def test_a_line_cut_off_is_forgotten(tmp_path):
    place = tmp_path / "responses.jsonl"
    line = responses.as_line(ROW, "model", "10 m")
    place.write_text(line + line[:20])
    assert list(responses.read(place).values()) == ["10 m"]
    assert place.read_text() == line


@pytest.mark.parametrize("change", [{"prompt": "How far really?"}, {"objects": []}, {"video_bytes": 1001}])
def test_another_prompt_or_clip_is_another_question(tmp_path, change):
    place = tmp_path / "responses.jsonl"
    responses.append(place, [responses.as_line(ROW, "model", "10 m")])
    assert responses.key_of(ROW, "model") in responses.read(place)
    assert responses.key_of({**ROW, **change}, "model") not in responses.read(place)


def test_any_characters_are_read_again(tmp_path):
    place = tmp_path / "responses.jsonl"
    text = "10 m\u2028or\u0085so\r\nperhaps\x0b"
    responses.append(place, [responses.as_line(ROW, "model", text)])
    assert list(responses.read(place).values()) == [text]


def test_what_is_no_response_is_named(tmp_path):
    place = tmp_path / "responses.jsonl"
    place.write_text("{}\n")
    with pytest.raises(DataError, match="line 1 is no response"):
        responses.read(place)

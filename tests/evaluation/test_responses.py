"""The file of responses outlives an interruption, and each line says what it answers."""

import pytest

from stvlm.evaluation import responses
from stvlm.evaluation.responses import Key, Response, asked_sha256
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


def line(text, control="model", failure=""):
    return responses.as_line(ROW, control, Response(text, asked_sha256(ROW, "How far?"), failure))


def test_what_is_written_is_read(tmp_path):
    place = tmp_path / "responses.jsonl"
    assert responses.read(place) == {}
    lines = [line("About 11 m."), line("No idea –", "black"), line("", "static", "too long")]
    place.write_text("".join(lines), encoding="utf-8")
    sha256 = asked_sha256(ROW, "How far?")
    assert responses.read(place) == {
        Key("a", "model"): Response("About 11 m.", sha256, ""),
        Key("a", "black"): Response("No idea –", sha256, ""),
        Key("a", "static"): Response("", sha256, "too long"),
    }
    assert '"parsed": {"value": 11.0' in lines[0]
    assert '"correct": true' in lines[0]


def test_of_two_responses_the_later_counts(tmp_path):
    place = tmp_path / "responses.jsonl"
    place.write_text(line("", failure="no connection") + line("10 m"))
    assert [(response.text, response.failure) for response in responses.read(place).values()] == [("10 m", "")]


def test_a_line_cut_off_is_forgotten(tmp_path):
    place = tmp_path / "responses.jsonl"
    place.write_text(line("10 m") + line("11 m", "black")[:20])
    assert [response.text for response in responses.read(place).values()] == ["10 m"]
    assert place.read_text() == line("10 m")


def test_another_prompt_clip_or_label_is_another_question():
    asked = asked_sha256(ROW, "How far?")
    assert asked_sha256({**ROW, "answer": "It goes 10 m."}, "How far?") == asked
    assert asked_sha256(ROW, "How far really?") != asked
    assert asked_sha256(ROW, "How far?", depth_bytes=1) != asked
    for change in ({"objects": []}, {"video_bytes": 1001}, {"target": "10.01"}, {"choices": ["red", "blue"]}):
        assert asked_sha256({**ROW, **change}, "How far?") != asked


def test_any_characters_are_read_again(tmp_path):
    place = tmp_path / "responses.jsonl"
    text = "10 m\u2028or\u0085so\r\nperhaps\x0b"
    place.write_text(line(text), encoding="utf-8")
    assert [response.text for response in responses.read(place).values()] == [text]


@pytest.mark.parametrize("text", ["{}\n", "[]\n", "no JSON\n"])
def test_what_is_no_response_is_named(tmp_path, text):
    place = tmp_path / "responses.jsonl"
    place.write_text(text)
    with pytest.raises(DataError, match="line 1 is no response"):
        responses.read(place)

"""Rows of lists in the forms that instruction data has: what becomes a conversation, and why others do not."""

import json
import tracemalloc
from pathlib import Path

import datasets
import pytest
from tests.training.blend_files import said, write_jpg, write_list

from stvlm.records import Rejected
from stvlm.training.blend.conversations import MISSING, NOT_A_PATH, read_conversations
from stvlm.training.blend.lists import open_list
from stvlm.training.blend.rows import Row
from stvlm.training.blend.turns import Turn, as_asked
from stvlm.training.samples import Asked

USER = {"role": "user", "content": "Who is it?"}
ASSISTANT = {"role": "assistant", "content": "A man."}
QUESTION, ANSWER = Turn("human", "Who is it?"), Turn("gpt", "A man.")


def rows_of(path, media=None):
    reader = read_conversations(path, media, path.parent / "unpacked")
    return [reader[index] for index in range(len(reader))]


def row_of(tmp_path, row):
    (found,) = rows_of(write_list(tmp_path / "list.json", [row]), Path("media"))
    return found


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("<image>\nWho is it?", "Who is it?"),
        ("<video>Who is it?", "Who is it?"),
        ("Who is it?\n<image>", "Who is it?"),
        ("Look at <image> and tell.", "Look at and tell."),
        ("First this:\n<image>\nWho is it?", "First this:\nWho is it?"),
        ("  Who is it? ", "Who is it?"),
    ],
)
def test_placeholder_is_taken_out_wherever_it_stands(said, kept):
    assert as_asked([Turn("human", said), ANSWER], has_medium=True) == [Asked(kept, "A man.")]


def test_placeholder_of_a_later_question_is_taken_out():
    turns = [QUESTION, ANSWER, Turn("human", "<image>\nAnd here?"), Turn("gpt", "A dog.")]
    assert as_asked(turns, has_medium=True) == [Asked("Who is it?", "A man."), Asked("And here?", "A dog.")]


@pytest.mark.parametrize(
    ("turns", "reason", "subject"),
    [
        ([], "no conversation", ""),
        ([Turn("system", "Be kind."), QUESTION, ANSWER], "system turn", ""),
        ([QUESTION, Turn("tool", "4")], "turn of an unknown role", "'tool'"),
        ([QUESTION], "question and answer not in turn", ""),
        ([QUESTION, ANSWER, QUESTION], "question and answer not in turn", ""),
        ([ANSWER, QUESTION], "question and answer not in turn", ""),
        ([QUESTION, QUESTION, ANSWER, ANSWER], "question and answer not in turn", ""),
        ([QUESTION, Turn("gpt", " \n")], "empty answer", ""),
        ([Turn("human", "<image>\n"), ANSWER], "empty question", ""),
        ([QUESTION, Turn("gpt", "See <image>.")], "placeholder in an answer", ""),
        ([Turn("human", "<image><image>Which?"), ANSWER], "several images or videos", ""),
    ],
)
def test_what_is_no_conversation_has_a_reason(turns, reason, subject):
    assert as_asked(turns, has_medium=True) == Rejected(reason, subject)


def test_placeholder_of_nothing_has_a_reason():
    assert as_asked([Turn("user", "<video>\nWho?"), Turn("assistant", "He.")], has_medium=False) == Rejected(
        "placeholder without image or video"
    )


def test_every_form_of_a_row_says_the_same(tmp_path):
    asked = [Asked("Who is it?", "A man.")]
    text = {"type": "text", "text": "Who is it?"}
    forms = [
        {"image": "a.jpg", "conversations": said("<image>\nWho is it?", "A man."), "id": 3, "extra": {"any": [1]}},
        {"images": ["a.jpg"], "messages": [{**USER, "content": "<image>Who is it?"}, ASSISTANT]},
        {"image": "a.jpg", "messages": [USER, ASSISTANT]},
        {"messages": [{**USER, "content": [{"type": "image", "image": "a.jpg"}, text]},
                      {**ASSISTANT, "content": [{"type": "text", "text": "A man."}]}]},
        {"images": ["a.jpg"], "messages": [{**USER, "content": [{"type": "image"}, text]}, ASSISTANT]},
        {"image": {"path": "a.jpg", "bytes": None}, "video": None, "messages": [USER, ASSISTANT]},
    ]  # fmt: skip
    for form in forms:
        assert row_of(tmp_path, form) == Row("image", "a.jpg", asked, [Path("media/a.jpg")], MISSING)
    video = {"video": "/abs/a.mp4", "conversations": said("<video>\nWho is it?", "A man.")}
    assert row_of(tmp_path, video) == Row("video", "/abs/a.mp4", asked, [Path("/abs/a.mp4")], MISSING)
    for nothing in ({}, {"image": None}, {"image": ""}, {"images": []}):
        assert row_of(tmp_path, {**nothing, "messages": [USER, ASSISTANT]}) == Row("", "", asked, (), MISSING)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"image": ["a.jpg", "b.jpg"], "messages": [USER, ASSISTANT]}, "several images or videos"),
        ({"image": "a.jpg", "video": "b.mp4", "messages": [USER, ASSISTANT]}, "several images or videos"),
        ({"image": {"path": "a.jpg", "bytes": "/9j/"}, "messages": [USER, ASSISTANT]}, NOT_A_PATH),
        ({"image": 7, "messages": [USER, ASSISTANT]}, NOT_A_PATH),
        ({"image": "a.jpg"}, "no conversation"),
        ({"conversations": "Who?"}, "row not of its list's form"),
        ({"conversations": [{"from": "human", "value": None}]}, "row not of its list's form"),
        ("Who?", "row not of its list's form"),
        (
            {"messages": [{**USER, "content": [{"type": "audio", "path": "a.wav"}]}, ASSISTANT]},
            "part of an unknown kind",
        ),
    ],
)
def test_row_that_cannot_be_taken_has_a_reason(tmp_path, row, reason):
    found = row_of(tmp_path, row)
    assert isinstance(found, Rejected)
    assert found.reason == reason


def test_lines_and_parquet_hold_the_same_rows(tmp_path):
    images = [None, "a.jpg", "a.jpg"]
    rows = [{"image": images[i], "conversations": said(f"Who is {i}? é", "He.")} for i in range(3)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "list.jsonl").write_text(f"\n{lines[0]}\n\n{lines[1]}\n{lines[2]}")  # no line end after the last
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "list.parquet")
    found = rows_of(write_list(tmp_path / "list.json", rows))
    assert [row.turns[0].prompt for row in found] == ["Who is 0? é", "Who is 1? é", "Who is 2? é"]
    assert [row.medium for row in found] == ["", "image", "image"]
    assert rows_of(tmp_path / "list.jsonl") == found
    assert rows_of(tmp_path / "list.parquet") == found


def test_parts_are_read_from_parquet(tmp_path):
    """Where each part of a table has every column, empty or not."""
    parts = [{"type": "image", "image": "a.jpg", "text": None}, {"type": "text", "image": None, "text": "Who is it?"}]
    answer = [{"type": "text", "image": None, "text": "A man."}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": answer}]
    datasets.Dataset.from_list([{"messages": messages}]).to_parquet(tmp_path / "list.parquet")
    (found,) = rows_of(tmp_path / "list.parquet")
    assert found == Row("image", "a.jpg", [Asked("Who is it?", "A man.")], [tmp_path / "a.jpg"], MISSING)


def test_line_that_is_damaged_is_left_out_alone(tmp_path):
    line = json.dumps({"messages": [USER, ASSISTANT]})
    (tmp_path / "list.jsonl").write_text(f'{line}\n{{"messages": [{{"role": "us\n{line}\n')
    first, damaged, last = rows_of(tmp_path / "list.jsonl")
    assert first == last == Row("", "", [Asked("Who is it?", "A man.")], (), MISSING)
    assert damaged == Rejected("row not of its list's form", "Input data was truncated")


def test_images_within_a_parquet_file_are_not_taken(tmp_path):
    image = write_jpg(tmp_path / "a.jpg")
    turn = {"from": datasets.Value("string"), "value": datasets.Value("string")}
    features = datasets.Features({"image": datasets.Image(), "conversations": [turn]})
    row = {"image": {"path": "a.jpg", "bytes": image.read_bytes()}, "conversations": said("Who?", "He.")}
    datasets.Dataset.from_list([row], features).to_parquet(tmp_path / "list.parquet")
    assert rows_of(tmp_path / "list.parquet") == [Rejected(NOT_A_PATH)]


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_memory_is_the_same_for_a_larger_list(tmp_path, suffix):
    """A list of 60 MB takes less than 1 MB, for whatever a row needs and 200 B for each that is there."""
    row = json.dumps({"conversations": said("Who?", "He."), "rle": "PP`" * 10_000})
    text = "[" + ", ".join([row] * 2000) + "]" if suffix == ".json" else f"{row}\n" * 2000
    path = tmp_path / f"list{suffix}"
    path.write_text(text)
    assert path.stat().st_size > 60e6
    del text
    tracemalloc.start()
    reader = read_conversations(path, None, tmp_path)
    assert sum(len(reader[index].turns) for index in range(len(reader))) == 2000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_a_list_is_open_while_rows_are_read(tmp_path):
    """The file may be replaced beneath a run, as by a newer download."""
    path = write_list(tmp_path / "list.json", [{"messages": [USER, ASSISTANT]}] * 2)
    rows = open_list(path, tmp_path)
    path.unlink()
    assert len(rows) == 2
    assert bytes(rows[1]).startswith(b'{"messages"')

"""Which questions share a batch, and what tells models apart."""

import pytest

from stvlm.evaluation.answering import fingerprint, make_batches
from stvlm.evaluation.prompts import Asked
from stvlm.records import DataError


def asked(clip, number, frames=5, control="model"):
    return Asked({"id": f"{clip}{number}", "clip_id": clip, "frame_times_s": [0.0] * frames}, control, "")


def ids(batches):
    return [[item.row["id"] for item in batch] for batch in batches]


def test_a_clips_questions_stay_together_and_lengths_apart():
    items = [asked("a", 1), asked("b", 1), asked("c", 1, frames=6), asked("a", 2), asked("b", 2), asked("d", 1)]
    assert ids(make_batches(items, 4)) == [["a1", "a2", "b1", "b2"], ["d1"], ["c1"]]
    assert ids(make_batches(items, 3)) == [["a1", "a2"], ["b1", "b2", "d1"], ["c1"]]
    assert ids(make_batches(items, 1)) == [["a1"], ["a2"], ["b1"], ["b2"], ["d1"], ["c1"]]


def test_a_clip_with_more_questions_than_fit_is_parted():
    assert ids(make_batches([asked("a", i) for i in range(5)], 2)) == [["a0", "a1"], ["a2", "a3"], ["a4"]]


def test_controls_of_a_clip_follow_each_other_and_text_is_alone():
    items = [asked(clip, 1, control=control) for clip in "ab" for control in ("model", "black", "text_only")]
    found = [[(item.row["id"], item.control) for item in batch] for batch in make_batches(items, 4)]
    assert found == [
        [("a1", "text_only"), ("b1", "text_only")],
        [("a1", "black"), ("a1", "model"), ("b1", "black"), ("b1", "model")],
    ]


def test_a_folders_fingerprint_is_that_of_its_files(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = fingerprint(str(tmp_path))
    (tmp_path / "README.md").write_text("It is good.")
    (tmp_path / "training.json").write_text("{}")
    assert fingerprint(str(tmp_path)) == before, "when and how it was made does not change what it is"
    (tmp_path / "weights").write_text("0")
    assert fingerprint(str(tmp_path)) != before
    with pytest.raises(DataError, match=r"^\./nowhere: no such model folder"):
        fingerprint("./nowhere")

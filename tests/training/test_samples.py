"""Samples come back from the disk as they were, and rows of STKit become samples."""

import pickle

import pytest
from tests.training.tiny_dataset import SIDE_PX, write_dataset

from stvlm.evaluation.dataset import load_split
from stvlm.records import DataError
from stvlm.training.samples import FEATURES, Asked, Sample, of_rows, open_samples, write_samples

TEXT = Sample("t0", "chat", "", "", (), (), [[Asked("Hi.", "Hello."), Asked("Bye.", "See you.")]])
IMAGE = Sample("i0", "open_spatial", "image", "a.jpg", (), (), [[Asked("Left?", "Yes.")], [Asked("Near?", "No.")]])
VIDEO = Sample("v0", "llava_video", "video", "a.mp4", [0.0, 2.0], [0, 60], [[Asked("What?", "A cat.")]])


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return load_split(str(write_dataset(tmp_path_factory.mktemp("data") / "tiny")), "train").rows


def test_samples_come_back_as_they_were(tmp_path, rows):
    written = [TEXT, IMAGE, VIDEO, *of_rows(rows, pack_questions=True)]
    table = write_samples(iter(written), tmp_path / "samples.arrow")
    assert table.features == FEATURES
    assert tuple(FEATURES) == Sample._fields
    found = [Sample.of_row(row) for row in table]
    assert [sample.as_row() for sample in found] == [Sample.of_row(sample.as_row()).as_row() for sample in found]
    assert found[0].conversations == TEXT.conversations
    assert found[1].conversations == IMAGE.conversations
    assert (found[2].times_s, found[2].frame_indices) == ([0.0, 2.0], [0, 60])
    assert list(open_samples(tmp_path / "samples.arrow")) == list(table)
    assert Sample.of_row(table.remove_columns(["tasks", "size_px"])[2]).path == "a.mp4"


def test_table_goes_to_another_process_as_a_path(tmp_path):
    table = write_samples([TEXT._replace(id=str(i)) for i in range(5000)], tmp_path / "samples.arrow")
    sent = pickle.dumps(table)
    assert len(sent) < 5000
    assert pickle.loads(sent)[4999]["id"] == "4999"


def test_rows_of_a_clip_are_one_sample_or_one_each(rows):
    packed, alone = (list(of_rows(rows, pack_questions)) for pack_questions in (True, False))
    assert [sample.id for sample in packed] == ["train0", "train1", "train2", "train3"]
    assert [sample.id for sample in alone] == [row["id"] for row in rows]
    first = packed[0]
    assert first.conversations == [[Asked(row["prompt"], row["answer"])] for row in rows[:4]]
    assert first.tasks == [row["task"] for row in rows[:4]]
    assert first.times_s == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert first.size_px == (SIDE_PX, SIDE_PX)
    assert alone[5].conversations == [[Asked(rows[5]["prompt"], rows[5]["answer"])]]


def test_video_that_is_not_its_rows_is_refused(rows, tmp_path):
    with pytest.raises(DataError, match="has 5 frames, its row says 2; build or fetch the dataset again"):
        list(of_rows([{**rows[0], "frame_times_s": [0.0, 0.5]}], True))
    (tmp_path / "half.mp4").write_bytes(b"half")
    with pytest.raises(DataError, match=r"half\.mp4: cannot be opened as a video"):
        list(of_rows([{**rows[0], "video_path": str(tmp_path / "half.mp4")}], True))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (TEXT._replace(medium="audio"), "sample t0 of chat: medium is one of"),
        (IMAGE._replace(path=""), "a path belongs to a medium"),
        (TEXT._replace(path="a.jpg"), "a path belongs to a medium"),
        (VIDEO._replace(times_s=[]), "frame times belong to a video"),
        (IMAGE._replace(times_s=[0.0]), "frame times belong to a video"),
        (VIDEO._replace(frame_indices=[0]), "has 2 frame times for 1 frames"),
        (TEXT._replace(conversations=[]), "has no conversation"),
        (TEXT._replace(conversations=[[]]), "or one without a turn"),
        (TEXT._replace(conversations=[[Asked("Hi.", "")]]), "has a turn without an answer"),
    ],
)
def test_what_would_train_wrongly_is_refused_and_leaves_no_file(tmp_path, sample, message):
    with pytest.raises(DataError, match=message):
        write_samples([TEXT, sample], tmp_path / "samples.arrow")
    assert list(tmp_path.iterdir()) == []


def test_torso_of_a_table_is_named(tmp_path):
    (tmp_path / "samples.arrow").write_bytes(b"half")
    with pytest.raises(DataError, match=r"samples\.arrow: cannot be read as samples"):
        open_samples(tmp_path / "samples.arrow")

"""Blends of data sets in their own files: exact counts, the same choice everywhere, and nothing done twice."""

import json
import shutil

import pytest
from tests.training.blend_files import (
    ACADEMIC,
    YOUTUBE,
    write_llava_video,
    write_mp4,
)

from stvlm.records import DataError
from stvlm.training.blend.make import MANIFEST, make_samples
from stvlm.training.recipe import Blend, BlendSource
from stvlm.training.samples import Asked, Sample, write_samples

STKIT = Sample("s0", "stkit", "", "", (), (), [[Asked("How far?", "It travels 3.00 meters.")]])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_llava_video(tmp_path_factory.mktemp("llava") / "LLaVA-Video-178K")


def blended(work, seed=0, max_frames=32, **sources):
    """The samples of a blend, without STKit's."""
    work.mkdir(exist_ok=True)
    stkit = write_samples([STKIT], work / "stkit.arrow")
    table = make_samples(Blend(sources, max_frames), stkit, seed, work)
    first, *others = [Sample.of_row(row) for row in table]
    assert first.id == "s0"
    return others


def llava(root, count, **keys):
    return BlendSource("llava_video", str(root), count, **keys)


def listed(path, count, **keys):
    return BlendSource("conversations", str(path), count, **keys)


def manifest_of(work, name):
    return json.loads((work / MANIFEST).read_text())[name]


def reasons_of(work, name):
    return {reason: entry["count"] for reason, entry in manifest_of(work, name)["left_out"].items()}


def test_all_kinds_of_llava_video_are_read(root, tmp_path):
    found = blended(tmp_path / "work", llava_video=llava(root, 12), max_frames=4)
    assert len(found) == 12
    by_answer = {sample.conversations[0][0].answer: sample for sample in found}
    caption = by_answer["A caption of 1."]
    # 51 frames at 25 a second; four of them are 0, 16.67, 33.33 and 50.
    told = "The video lasts for 2.00 seconds, and 4 frames are uniformly sampled from it. These frames are located at "
    assert caption.conversations == [[Asked(told + "0.00, 0.68, 1.32, 2.00 seconds. Describe it.", "A caption of 1.")]]
    assert (caption.source, caption.medium) == ("llava_video", "video")
    assert caption.path == str(root / ACADEMIC / "academic_source/Charades/A1.mp4")
    assert caption.times_s == [0.0, 0.68, 1.32, 2.0]
    assert caption.frame_indices == [0, 17, 33, 50]
    (turns,) = by_answer["Person 2."].conversations
    assert [turn.answer for turn in turns] == ["Person 2.", "He opens a door."]
    assert turns[0].prompt.endswith("seconds. Who is there?")
    assert turns[1].prompt == "What does he do?"
    choices = [sample for sample in found if sample.path.startswith(str(root / YOUTUBE))]
    assert sorted(sample.conversations[0][0].answer for sample in choices) == ["A", "A", "B", "B"]
    assert len({sample.id for sample in found}) == 12
    assert manifest_of(tmp_path / "work", "llava_video")["licence"].startswith("for academic research")


def test_choice_depends_on_content_and_seed_alone(root, tmp_path):
    chosen = blended(tmp_path / "work", llava_video=llava(root, 5))
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    for path in moved.rglob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text())[::-1], indent=1))
    (moved / YOUTUBE / "0_30_s_youtube_mc_v0_1_qa_processed.json").rename(moved / YOUTUBE / "a_processed.json")
    again = blended(tmp_path / "again", llava_video=llava(moved, 5))
    assert [sample.id for sample in again] == [sample.id for sample in chosen]
    assert [sample.conversations for sample in again] == [sample.conversations for sample in chosen]
    # A larger choice has the smaller one in it, so that ablations of the amount compare.
    more = blended(tmp_path / "more", llava_video=llava(root, 7))
    assert more[:5] == chosen
    other = blended(tmp_path / "other", seed=1, llava_video=llava(root, 5))
    assert {sample.id for sample in other} != {sample.id for sample in chosen}


def test_missing_and_broken_media_are_counted_and_replaced(root, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(root, damaged)
    videos = damaged / ACADEMIC / "academic_source/Charades"
    (videos / "A0.mp4").unlink()
    (videos / "A1.mp4").write_bytes(b"no video" * 100)
    write_mp4(videos / "A2.mp4", 1)
    whole = (videos / "A3.mp4").read_bytes()
    (videos / "A3.mp4").write_bytes(whole[: len(whole) * 3 // 4])  # its header, at the front, is whole
    found = blended(tmp_path / "work", llava_video=llava(damaged, 4))
    assert all(sample.path.startswith(str(damaged / YOUTUBE)) for sample in found)
    with pytest.raises(DataError) as error:
        blended(tmp_path / "all", llava_video=llava(damaged, 5))
    said, *reasons = str(error.value).split("; ")
    assert said == f"{damaged}: has 4 conversations for llava_video, and 5 are asked for"
    assert reasons[0] == "mend what is wrong with the others, or take a smaller count"
    assert {"2: video missing", "2: video does not open", "2: video of a single frame", "2: video cut off"} < {*reasons}
    assert not (tmp_path / "all" / "llava_video.arrow").exists()

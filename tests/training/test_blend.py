"""Blends of data sets in their own files: exact counts, the same choice everywhere, and nothing done twice."""

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
from tests.training.blend_files import (
    ACADEMIC,
    YOUTUBE,
    open_spatial_row,
    said,
    write_jpg,
    write_list,
    write_llava_video,
    write_mp4,
    write_open_spatial,
)

from stvlm.recipes import from_mapping
from stvlm.records import DataError
from stvlm.training.blend import make, media
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


def seen_in(work):
    """The files that were looked at."""
    return {json.loads(line)[0][0] for line in (work / "media.jsonl").read_text().splitlines()}


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
    told = str(error.value)
    assert told.startswith(f"{damaged}: has 4 conversations for llava_video, and 5 are asked for; mend what is wrong")
    for reason in ("video missing; fetch the archives", "video does not open", "video of fewer", "video cut off"):
        assert f"; 2: {reason}" in told
    assert f"(as {damaged / ACADEMIC}" in told
    assert not (tmp_path / "all" / "llava_video.arrow").exists()
    assert not (tmp_path / "all" / "lock").exists()


def test_packed_videos_are_told_apart_from_missing_ones(root, tmp_path):
    packed = tmp_path / "packed"
    shutil.copytree(root, packed)
    shutil.rmtree(packed / ACADEMIC / "academic_source")
    (packed / ACADEMIC / f"{ACADEMIC}_videos_1.tar.gz").write_bytes(b"")
    shutil.rmtree(packed / YOUTUBE / "liwei_youtube_videos")
    write_mp4(packed / "liwei_youtube_videos/videos/youtube_video_2024/ytb_0.mp4", 10)  # unpacked in the root
    blended(tmp_path / "work", llava_video=llava(packed, 1))
    with pytest.raises(DataError) as error:
        blended(tmp_path / "work", llava_video=llava(packed, 2))
    assert "; 8: video missing; archives lie beside its list: unpack them there with tar -xzf (as " in str(error.value)
    assert "; 3: video missing; fetch the archives beside its list and unpack them there (as " in str(error.value)


def test_regions_are_told_by_their_boxes(tmp_path):
    images = tmp_path / "train"
    first = ("<image>\nIs <mask> <depth> wider than <mask> <depth>?", "Region [0] is.", "How tall is <mask>?", "1 m.")
    boxes = [[0, 0, 32, 24], [16, 12, 70, 48], [6.4, -3, 64, 48]]
    rows = [
        open_spatial_row("a1", *first, boxes=boxes),
        open_spatial_row("b2", "<image>\nIs <mask> <depth> far?", "Yes.", boxes=boxes),
        {**open_spatial_row("c3", "<image>\nIs <mask> <depth> far?", "Yes.", boxes=boxes[:1]), "rle": []},
        open_spatial_row("d4", "<image>\nIs <mask> <depth> near?", "Yes.", boxes=boxes[:1]),
        {"image": "a1.jpg", "conversations": said("Where?", "Here.")},
    ]
    write_jpg(images / "a1.jpg")
    write_jpg(images / "train_d" / "d4.jpg", (640, 480))  # larger than its masks: fractions are the same
    source = BlendSource("open_spatial", str(write_list(tmp_path / "list.json", rows)), 2, str(images))
    found = {Path(sample.path).stem: sample for sample in blended(tmp_path / "work", open_spatial=source)}
    (turns,) = found["a1"].conversations
    told = "Regions are given as [left, top, right, bottom] in fractions of the image's width and height. "
    assert turns == [
        Asked(
            f"{told}Is Region [0] at [0.0, 0.0, 0.5, 0.5] wider than Region [1] at [0.25, 0.25, 1.0, 1.0]?",
            "Region [0] is.",
        ),
        Asked("How tall is Region [0] at [0.1, 0.0, 1.0, 1.0]?", "1 m."),
    ]
    assert found["a1"].medium == "image"
    assert found["a1"].times_s == found["a1"].frame_indices == []
    assert found["d4"].conversations[0][0].prompt == f"{told}Is Region [0] at [0.0, 0.0, 0.5, 0.5] near?"
    assert reasons_of(tmp_path / "work", "open_spatial") == {
        "not a box for each region": 1,
        "regions without the size of their image": 1,
        "row not of its list's form": 1,
    }
    first = manifest_of(tmp_path / "work", "open_spatial")["left_out"]["row not of its list's form"]["first"]
    assert first == f"{tmp_path}/list.json, row 4: Object missing required field `filename`"


def test_media_that_would_be_taken_are_named_so_that_they_alone_are_fetched(tmp_path):
    source = write_open_spatial(tmp_path, images=9)
    whole = tmp_path / "train"
    chosen = blended(tmp_path / "whole", open_spatial=BlendSource("open_spatial", str(source), 4, str(whole)))
    here = tmp_path / "here"
    wanted = BlendSource("open_spatial", str(source), 4, str(here))
    with pytest.raises(DataError, match=r"open_spatial_missing\.txt names the 4 missing media that would be"):
        blended(tmp_path / "work", open_spatial=wanted)
    names = (tmp_path / "work" / "open_spatial_missing.txt").read_text().splitlines()
    assert names == [Path(sample.path).name for sample in chosen]
    here.mkdir()
    for name in names:
        shutil.copy(whole / name, here)
    found = blended(tmp_path / "work", open_spatial=wanted)
    assert [sample.id for sample in found] == [sample.id for sample in chosen]


def test_a_truncated_image_is_counted(tmp_path):
    source = write_open_spatial(tmp_path)
    image = tmp_path / "train" / "10000.jpg"
    image.write_bytes(image.read_bytes()[:-200])
    (tmp_path / "train" / "20000.jpg").unlink()
    blended(tmp_path / "work", open_spatial=BlendSource("open_spatial", str(source), 1, str(tmp_path / "train")))
    with pytest.raises(DataError, match="has 1 conversations for open_spatial, and 2 are asked for") as error:
        blended(tmp_path / "work", open_spatial=BlendSource("open_spatial", str(source), 2, str(tmp_path / "train")))
    assert "; 1: image does not decode (as " in str(error.value)
    assert "; 1: image missing; fetch it from Open Images" in str(error.value)


def test_what_was_made_is_not_made_again(root, tmp_path, monkeypatch):
    source = llava(root, 6)
    made = blended(tmp_path / "work", llava_video=source)
    before = (tmp_path / "work" / "llava_video.arrow").stat().st_mtime_ns
    with monkeypatch.context() as patched:
        patched.setattr(make, "_rank", lambda *_: pytest.fail("the list is read again"))
        assert blended(tmp_path / "work", llava_video=source) == made
    assert (tmp_path / "work" / "llava_video.arrow").stat().st_mtime_ns == before
    looked_at = (tmp_path / "work" / "media.jsonl").read_text()
    more = blended(tmp_path / "work", llava_video=llava(root, 7))
    assert more[:6] == made
    assert (tmp_path / "work" / "media.jsonl").read_text().startswith(looked_at)
    assert manifest_of(tmp_path / "work", "llava_video")["taken"] == 7


def test_samples_of_another_count_are_not_taken_for_those_of_a_manifest(root, tmp_path, monkeypatch):
    made = blended(tmp_path / "work", llava_video=llava(root, 6))
    with monkeypatch.context() as patched:
        patched.setattr(make, "_sha256", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            blended(tmp_path / "work", llava_video=llava(root, 7))
    assert blended(tmp_path / "work", llava_video=llava(root, 6)) == made


def test_a_killed_run_goes_on_without_looking_at_a_video_twice(root, tmp_path, monkeypatch):
    look, seen = media.frame_times_s, []

    def counted(path):
        if len(seen) == 3 and killed:
            raise KeyboardInterrupt
        seen.append(path)
        return look(path)

    monkeypatch.setattr(media, "frame_times_s", counted)
    monkeypatch.setattr(make, "THREADS", 1)
    killed = True
    with pytest.raises(KeyboardInterrupt):
        blended(tmp_path / "work", llava_video=llava(root, 12))
    with (tmp_path / "work" / "media.jsonl").open("a") as file:
        file.write('[["/half", 1')  # as a full disk leaves it
    killed = False
    assert len(blended(tmp_path / "work", llava_video=llava(root, 12))) == 12
    assert len(seen) == len(set(seen)) == 8  # videos


def test_processes_make_it_once(root, tmp_path, monkeypatch):
    monkeypatch.setattr(make, "THREADS", 1)  # several may look at a video of two conversations at once
    context = multiprocessing.get_context("fork")
    stkit = write_samples([STKIT], tmp_path / "stkit.arrow")
    blend = Blend({"llava_video": llava(root, 9)})
    ends = [context.Pipe(duplex=False) for _ in range(3)]

    def in_process(end):
        end.send([row["id"] for row in make_samples(blend, stkit, 0, tmp_path / "work")])

    processes = [context.Process(target=in_process, args=(end,)) for _, end in ends]
    for process in processes:
        process.start()
    for _, end in ends:
        end.close()  # here; a process that ends without a word is an error, not a pause
    ids = [end.recv() for end, _ in ends]
    for process in processes:
        process.join()
    assert ids[0] == ids[1] == ids[2]
    assert len(ids[0]) == 10
    looked_at = (tmp_path / "work" / "media.jsonl").read_text().splitlines()
    assert len(looked_at) == len(seen_in(tmp_path / "work"))
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [MANIFEST, "llava_video.arrow", "media.jsonl"]


def test_manifest_says_what_went_in(root, tmp_path):
    spatial = write_open_spatial(tmp_path)
    text = write_list(tmp_path / "text.json", [{"conversations": said("Hi.", "Hello.")}] * 2)
    found = blended(
        tmp_path / "work",
        llava_video=llava(root, 3),
        open_spatial=BlendSource("open_spatial", str(spatial), 2, str(tmp_path / "train")),
        chat=listed(text, 1, licence="CC0"),
    )
    assert [sample.source for sample in found] == ["llava_video"] * 3 + ["open_spatial"] * 2 + ["chat"]
    assert found[-1]._replace(id="") == Sample("", "chat", "", "", [], [], [[Asked("Hi.", "Hello.")]], [], [])
    chat = manifest_of(tmp_path / "work", "chat")
    assert (chat["listed"], chat["taken"], chat["made_of"]["count"], chat["licence"]) == (2, 1, 1, "CC0")
    assert chat["left_out"] == {"the same conversation again": {"count": 1, "first": f"{text}, row 1"}}
    spatial_entry = manifest_of(tmp_path / "work", "open_spatial")
    assert list(spatial_entry["sha256"]) == [str(spatial)]
    assert len(spatial_entry["sha256"][str(spatial)]) == 64
    assert "Apache-2.0 by its project's page" in spatial_entry["licence"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '[{"conversations": [',
            r"list\.json: cannot be read as a list of conversations \(.*truncated\); fetch it again",
        ),
        ('{"rows": []}', r"list\.json: cannot be read as a list of conversations \(Expected `array`, got `object`\)"),
        ("", r"list\.json: cannot be read as a list of conversations \(cannot mmap an empty file\)"),
        ("[]", r"list\.json: has 0 conversations for chat, and 1 are asked for"),
        (None, r"list\.json: cannot be read \(No such file or directory\); fetch it, or mend its path in the blend"),
    ],
)
def test_a_list_that_is_none_is_named(tmp_path, content, message):
    path = tmp_path / "list.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        blended(tmp_path / "work", chat=listed(path, 1))


def test_a_folder_without_lists_is_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no \*_processed\.json, nor do its folders; give the root"):
        blended(tmp_path / "work", llava_video=llava(tmp_path, 1))
    (tmp_path / "list.csv").touch()
    with pytest.raises(DataError, match=r"list\.csv: is no list of conversations; give one that ends in \.json"):
        blended(tmp_path / "work", chat=listed(tmp_path / "list.csv", 1))


def test_recipe_of_a_blend_is_checked_when_it_is_read():
    chat = {"reader": "conversations", "path": "chat.jsonl", "count": 5}
    blend = from_mapping(Blend, {"sources": {"chat": chat}}, "recipe.yaml: blend")
    assert blend == Blend({"chat": BlendSource("conversations", "chat.jsonl", 5)}, max_frames=32)
    for wrong, message in (
        ({"sources": {"stkit": chat}}, "blend: 'stkit' names no source; take small letters, digits and _, and not"),
        ({"sources": {"../chat": chat}}, r"blend: '\.\./chat' names no source"),
        ({"sources": {"chat": {**chat, "reader": "llava"}}}, "chat: reader is one of llava_video, open_spatial"),
        ({"sources": {"chat": {**chat, "count": 0}}}, "chat: count must be at least 1, got 0"),
        ({"sources": {"chat": {**chat, "counts": 5}}}, "chat: unknown key 'counts'; did you mean 'count'"),
        ({"sources": {"chat": chat}, "max_frames": 1}, "blend: max_frames must be at least 2, got 1"),
    ):
        with pytest.raises(DataError, match=f"^recipe.yaml: blend: .*{message}|^recipe.yaml: {message}"):
            from_mapping(Blend, wrong, "recipe.yaml: blend")

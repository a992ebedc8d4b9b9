"""The same questions otherwise: labels by hand, and videos that show what the rows say."""

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from tests.questions.clips import clip_of, straight, turning

from stvlm.dataset.folder import build
from stvlm.dataset.prepare import BuildRequest
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.rows import make_row
from stvlm.dataset.variants import VARIANTS, seen_otherwise, vary
from stvlm.dataset.video import VideoSettings, read_video
from stvlm.engine import Engine
from stvlm.questions.asking import Motion, Query, QuestionGates, Span, answer
from stvlm.questions.templates import Wording, held_out_wordings, wordings
from stvlm.recipes import from_mapping
from stvlm.records import NOISELESS, Array, Question, Rejected

GATES = QuestionGates()


def row_of(query: Query, *xyz_m: Array, clip_id: str = "clip") -> dict[str, Any]:
    """A row as the shards hold it, of a clip 64 pixels wide whose boxes go 2 pixels a frame to the right."""
    clip = clip_of(*xyz_m)
    boxes_px = clip.boxes_px + 2.0 * np.arange(len(xyz_m[0]))[:, None] * [1, 0, 1, 0]
    clip = type(clip)(clip_id, clip.scene, clip.tracks, 0, clip.frame_index, clip.xyz_m, boxes_px)
    question = answer(Motion.of(clip), query, GATES)
    assert isinstance(question, Question), question
    trajectory = {
        "domain": "driving",
        "noise": [NOISELESS._asdict()] * len(xyz_m),
        "xyz_m": clip.xyz_m.tolist(),
        "camera_height_m": 1.5,
        "lens": "pinhole",
        "width_px": 64,
    }
    asked = {"objects": query.objects, "first": query.span.first, "last": query.span.last, "hour": query.hour}
    return make_row(clip, query, question, VideoSettings()) | {"query": asked, "trajectory": trajectory}


def varied(row: dict[str, Any], variant: str) -> dict[str, Any]:
    found = vary(row, variant, GATES)
    assert not isinstance(found, Rejected), found
    assert found["id"] == f"{row['id']}-{variant}"
    assert found["base_id"] == row["id"]
    assert found["prompt"].endswith(found["question"])
    return found


TURN = turning([(0, 6), (90, 4)])  # 3 s straight on, 2 s to the right
WHOLE = Span(0, 10, True)


@pytest.mark.parametrize(
    ("variant", "hour"), [("mirrored", "9"), ("reversed", "9"), ("retimed", "3"), ("intrinsics", "3")]
)
def test_a_right_turn_otherwise(variant: str, hour: str) -> None:
    """Backwards, the one who came from the left and turned right starts where it ended, and turns left."""
    row = row_of(Query("movement_direction", (0,), WHOLE, "movement_direction/1"), TURN)
    assert row["target"] == "3"
    assert varied(row, variant)["target"] == hour


def test_when_it_moves_into_an_hour_otherwise() -> None:
    row = row_of(Query("direction_timestamp", (0,), WHOLE, "direction_timestamp/1", 3), TURN)
    assert row["target"] == "3.00-5.00"
    mirrored = varied(row, "mirrored")
    assert (mirrored["target"], "in the 9 o'clock" in mirrored["question"]) == ("3.00-5.00", True)
    backwards = varied(row, "reversed")  # its first 2 s, which are 12 o'clock now
    assert (backwards["target"], "in the 12 o'clock" in backwards["question"]) == ("0.00-2.00", True)


def test_parts_and_lengths_otherwise() -> None:
    speeding = np.cumsum([[0, 0, 0]] + [[float(k), 0, 0] for k in range(1, 8)], axis=0)  # 1, 2, 3, ... m a step
    row = row_of(Query("traveled_distance", (0,), Span(1, 5, False), "traveled_distance/1"), speeding)
    assert (row["target"], row["start_s"], row["end_s"]) == ("14.00", 0.5, 2.5)  # 2 + 3 + 4 + 5
    backwards = varied(row, "reversed")
    assert (backwards["target"], backwards["start_s"], backwards["end_s"]) == ("14.00", 1.0, 3.0)
    retimed = varied(row, "retimed")
    assert (retimed["target"], retimed["frame_times_s"]) == ("14.00", [0.0, 1.0, 2.0, 3.0])
    assert "4 frames are uniformly sampled from it. These" in retimed["prompt"]
    assert "located at 0.00, 1.00, 2.00, 3.00 seconds" in retimed["prompt"]
    whole = row_of(Query("traveled_distance", (0,), Span(0, 7, True), "traveled_distance/1"), speeding)
    assert (whole["target"], varied(whole, "retimed")["target"]) == ("28.00", "21.00")  # ends at 3 s, not 3.5 s
    last = row_of(Query("traveled_distance", (0,), Span(2, 7, False), "traveled_distance/1"), speeding)
    assert vary(last, "retimed", GATES) == Rejected("about more than is shown at the other rate")


def retimed_by(stride: int, query: Query, xyz_m: Array) -> dict[str, Any]:
    """A row whose clip's name makes it so slow."""
    rows = (row_of(query, xyz_m, clip_id=name) for name in "abcdefghijklmnopqrstuvwxyz")
    return next(row for row in rows if seen_otherwise(row, "retimed", 64)["frame_times_s"][1] == stride / 2)


@pytest.mark.parametrize(
    ("stride", "times_s", "target", "speed"),
    [
        (2, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "136.00", "61.20"),  # 1 + ... + 16 m in 8 s
        (3, [0.0, 1.5, 3.0, 4.5, 6.0, 7.5], "120.00", "57.60"),  # 1 + ... + 15 m in 7.5 s
        (4, [0.0, 2.0, 4.0, 6.0, 8.0], "136.00", "61.20"),
    ],
)
def test_other_rates(stride: int, times_s: list[float], target: str, speed: str) -> None:
    speeding = np.cumsum([[float(k), 0, 0] for k in range(18)], axis=0)  # the last frame, at 8.5 s, is never shown
    whole = retimed_by(stride, Query("traveled_distance", (0,), Span(0, 17, True), "traveled_distance/1"), speeding)
    shown = varied(whole, "retimed")
    assert (shown["frame_times_s"], shown["target"], shown["end_s"]) == (times_s, target, times_s[-1])
    assert f"lasts for {times_s[-1]:.2f} seconds, and {len(times_s)} frames" in shown["prompt"]
    boxes_px = whole["objects"][0]["boxes_px"]
    assert shown["objects"][0]["boxes_px"] == [boxes_px[round(2 * time_s)] for time_s in times_s]
    fast = row_of(
        Query("traveling_speed", (0,), Span(0, 17, True), "traveling_speed/1"), speeding, clip_id=whole["clip_id"]
    )
    fast = varied(fast, "retimed")
    assert (fast["target"], fast["file_name"]) == (speed, shown["file_name"])
    assert fast["frame_times_s"] == times_s  # as both are asked about the same mp4
    between = Query("traveled_distance", (0,), Span(1, 5, False), "traveled_distance/1")  # 2 + 3 + 4 + 5, seen or not
    part = varied(row_of(between, speeding, clip_id=whole["clip_id"]), "retimed")
    assert (part["target"], part["start_s"], part["end_s"]) == ("14.00", 0.5, 2.5)


@pytest.mark.parametrize(
    ("frames", "strides"), [(5, {2}), (12, {2}), (13, {2, 3}), (16, {2, 3}), (17, {2, 3, 4}), (40, {2, 3, 4})]
)
def test_slow_rates_leave_as_many_frames_as_the_shortest_clips_have(frames: int, strides: set[int]) -> None:
    query = Query("traveled_distance", (0,), Span(0, frames - 1, True), "traveled_distance/1")
    names = [f"clip {i}" for i in range(60)]
    shown = [
        seen_otherwise(row_of(query, straight(4.0, frames), clip_id=name), "retimed", 64)["frame_times_s"]
        for name in names
    ]
    counts = Counter(round(2 * times_s[1]) for times_s in shown)
    assert set(counts) == strides
    assert min(counts.values()) >= 0.6 * len(names) / len(strides)
    assert min(map(len, shown)) >= min(5, (frames + 1) // 2)


def test_when_it_turns_is_not_asked_between_two_frames() -> None:
    path = turning([(0, 7), (90, 2), (0, 8)])  # 1 s to the right
    query = Query("direction_timestamp", (0,), Span(0, 17, True), "direction_timestamp/1", 3)
    assert varied(retimed_by(2, query, path), "retimed")["target"] == "3.50-4.50"
    for stride in (3, 4):
        row = retimed_by(stride, query, path)
        assert vary(row, "retimed", GATES) == Rejected("in the hour for less than the time between two frames")
    longer = turning([(0, 7), (90, 3), (0, 7)])
    assert varied(retimed_by(3, query, longer), "retimed")["target"] == "3.50-5.00"


def test_a_step_further_of_the_same_clip() -> None:
    row = row_of(Query("traveled_distance", (0,), Span(2, 6, False), "traveled_distance/1"), straight(4.0, 11), TURN)
    further = varied(row, "multistep")
    assert further["prompt"] == row["prompt"].replace(row["question"], further["question"])
    same = ("clip_id", "file_name", "objects", "frame_times_s", "intrinsics_px", "task", "start_s", "end_s", "target")
    assert {name: further[name] for name in same} == {name: row[name] for name in same}
    assert (further["target"], further["choices"], row["steps"]) == ("8.00", [], [])
    converted = {"ft": 26.25, "yd": 8.75}[further["steps"][1]["unit"]]
    assert further["steps"] == [
        {"name": "traveled_distance of red", "value": 8.0, "unit": "m"},
        {"name": "converted", "value": converted, "unit": further["steps"][1]["unit"]},
    ]
    pair = row_of(
        Query("traveling_speed_comparison", (1, 0), WHOLE, "traveling_speed_comparison/5"), straight(4.0, 11), TURN
    )
    chase = varied(pair, "multistep")
    assert (pair["choices"], chase["choices"], chase["task"]) == (["blue", "red"], [], "catch_up_time")
    assert chase["template_id"].startswith("catch_up_time/")
    gap_m = chase["steps"][3]["value"]
    assert chase["target"] == f"{gap_m / 2:.2f}"  # TURN goes at 6 m/s, 2 m/s faster
    hour = row_of(Query("movement_direction", (0,), WHOLE, "movement_direction/1"), TURN)
    assert vary(hour, "multistep", GATES) == Rejected("no further step is asked of it")


def test_boxes_are_where_they_are_seen() -> None:
    row = row_of(Query("traveled_distance", (0,), WHOLE, "traveled_distance/1"), TURN)
    assert row["objects"][0]["boxes_px"][1] == [12.0, 10.0, 32.0, 30.0]
    assert varied(row, "mirrored")["objects"][0]["boxes_px"][1] == [32.0, 10.0, 52.0, 30.0]
    assert varied(row, "mirrored")["intrinsics_px"] == [50.0, 50.0, 32.0, 24.0]
    assert varied(row, "reversed")["objects"][0]["boxes_px"][9] == [12.0, 10.0, 32.0, 30.0]
    assert varied(row, "retimed")["objects"][0]["boxes_px"][1] == [14.0, 10.0, 34.0, 30.0]
    assert varied(row, "paraphrased")["objects"] == row["objects"]


def told(row: dict[str, Any]) -> str:
    """What the prompt says of the camera."""
    before, after = row["prompt"].split(row["question"])
    prompt = varied(row, "intrinsics")["prompt"]
    assert (prompt.startswith(before), after) == (True, "")
    return str(prompt.removeprefix(before).removesuffix(f" {row['question']}"))


def test_the_camera_is_told() -> None:
    row = row_of(Query("traveled_distance", (0,), WHOLE, "traveled_distance/1"), TURN)
    assert told(row) == (
        "The camera's focal length is 50 pixels in an image of 64 pixels' width, and at the start of the video it is "
        "1.50 meters above the ground on which the object moves."
    )
    row["trajectory"]["lens"] = "fisheye"
    assert told(row).startswith("The fisheye camera's focal length is 50 pixels in an image")


def test_the_camera_is_told_by_the_ground_of_the_first_box_whichever_is_asked_about() -> None:
    row = row_of(Query("traveled_distance", (1,), WHOLE, "traveled_distance/1"), straight(2.0, 11), TURN)
    assert "the blue bounding box" in row["question"]
    assert told(row).endswith("1.50 meters above the ground on which the object in the red bounding box moves.")


@pytest.mark.parametrize(
    ("height_m", "reason"),
    [(None, "camera of unknown height"), (0.0, "camera below the object's ground"),
     (-0.4, "camera below the object's ground")],
)  # fmt: skip
def test_a_camera_that_is_not_above_the_ground_is_not_told(height_m: float | None, reason: str) -> None:
    row = row_of(Query("traveled_distance", (0,), WHOLE, "traveled_distance/1"), TURN)
    row["trajectory"]["camera_height_m"] = height_m
    assert vary(row, "intrinsics", GATES) == Rejected(reason)


@pytest.mark.parametrize("wording", sum(wordings().values(), ()), ids=lambda w: w.template_id)
def test_every_wording_has_a_paraphrase_with_the_same_answer(wording: Any) -> None:
    task = wording.template_id.partition("/")[0]
    count = 1 if "comparison" not in task else 2 if wording.objects == 2 or "direction" in task else 3
    paths = [TURN, straight(12.0, 11, 180.0), straight(2.0, 11, 90.0)][:count]
    query = Query(task, tuple(range(count)), WHOLE, wording.template_id, 3 if task == "direction_timestamp" else 0)
    row = row_of(query, *paths)
    other = varied(row, "paraphrased")
    assert (other["target"], other["choices"]) == (row["target"], row["choices"])
    assert other["template_id"] in {held.template_id for held in held_out_wordings()[task]}


def test_wordings_of_ones_own_take_the_place_of_the_held_out_ones() -> None:
    row = row_of(Query("traveled_distance", (0,), Span(1, 5, False), "traveled_distance/1"), TURN)
    span = {"whole": "over the course of the clip", "part": "from {start} s until {end} s"}
    mine = Wording("traveled_distance/mine-1", "What ground does {object} cover {span}?", "{value} meters.", **span)
    other = vary(row, "paraphrased", GATES, {"traveled_distance": (mine,)})
    assert not isinstance(other, Rejected)
    assert (other["template_id"], other["id"]) == ("traveled_distance/mine-1", f"{row['id']}-paraphrased")
    assert other["question"] == "What ground does the object cover from 0.50 s until 2.50 s?"
    assert other["answer"] == f"{row['target']} meters."
    assert vary(row, "mirrored", GATES, {"traveled_distance": (mine,)}) == vary(row, "mirrored", GATES)
    for unfit in ({"traveling_speed": (mine,)}, {"traveled_distance": (replace(mine, objects=2),)}):
        assert vary(row, "paraphrased", GATES, unfit) == Rejected("no wording for this kind of question")


def test_configs_hold_the_variants_with_their_videos(tmp_path: Path) -> None:
    options = {"seed": 4, "recordings": 2, "layouts": ["curve"], "width_px": 96, "height_px": 72, "duration_s": 6.0}
    recipe = from_mapping(
        Recipe,
        {"name": "v", "title": "V", "sources": {"simulation": options | {"split": "test"}}, "variants": list(VARIANTS)},
        "recipe",
    )
    report = build(BuildRequest(recipe, {}, engine=Engine(workers=1)), tmp_path / "v")
    base = {row["id"]: row for row in load(tmp_path / "v", "default")}
    strides, frames_of = set(), cache(read_video)  # many questions are about one video
    for variant in VARIANTS:
        rows = load(tmp_path / "v", variant)
        assert len(rows) == report.variants[variant]["rows"] >= (0.2 if variant == "multistep" else 0.5) * len(base)
        assert sum(report.variants[variant].values()) == len(base)
        for row in rows:
            frames, times_s = frames_of(Path(row["video"]["path"]))
            assert times_s.tolist() == row["frame_times_s"]
            original, _ = frames_of(Path(base[row["base_id"]]["video"]["path"]))
            stride = round(2 * times_s[1])
            assert stride in ((2, 3) if variant == "retimed" else (1,))
            shown = {"mirrored": original[:, :, ::-1], "reversed": original[::-1], "retimed": original[::stride]}
            assert np.abs(frames.astype(float) - shown.get(variant, original)).mean() < 2.5, "but for the codec's loss"
            assert bool(row["steps"]) == (variant == "multistep")
            strides.add(stride)
    assert strides == {1, 2, 3}


def load(folder: Path, config: str) -> list[dict[str, Any]]:
    table = datasets.load_dataset(str(folder), config, split="test", streaming=True)
    return list(table.cast_column("video", datasets.Video(decode=False)))

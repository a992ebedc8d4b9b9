"""Examples, measuring and browsing, on a small world that is made once."""

import shutil
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.demo.worlds import make_examples

from stvlm.demo import drawing, showing
from stvlm.demo.asking import Asked, ask_by_task
from stvlm.demo.clips import Clip, Study, example_study, first_boxes, shown_to_model
from stvlm.demo.desk import Desk
from stvlm.demo.examples import read_plain, title_of
from stvlm.demo.exploring import Catalogue, find, picture, read_catalogue
from stvlm.demo.measuring import Course, Measured, Setting, _sound, answers, measure, speed_of
from stvlm.demo.reasons import with_cure
from stvlm.demo.working import untold
from stvlm.kinematics import traveled_distance
from stvlm.records import NOISELESS, DataError, Question, Rejected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_examples(tmp_path_factory.mktemp("space") / "examples")


@pytest.fixture(scope="module")
def clips(folder: Path) -> dict[str, tuple[str, Clip]]:
    return read_plain(folder)


@pytest.fixture(scope="module")
def catalogue(folder: Path) -> Catalogue:
    return read_catalogue(str(folder))


def test_examples_are_clips_of_the_dataset(clips: dict[str, tuple[str, Clip]], catalogue: Catalogue) -> None:
    assert len(clips) == 2 and clips.keys() <= catalogue.items.keys()
    for clip_id, (name, clip) in clips.items():
        assert name.startswith("Crossroads: ")
        row = catalogue.items[clip_id].rows[0]
        shown = shown_to_model(example_study(clip), None)
        assert shown.times_s == row["frame_times_s"]
        # A model is shown here what it is in the dataset.
        for k, thing in enumerate(row["objects"]):
            box_px = thing["boxes_px"][0]
            assert clip.known is not None
            assert clip.known.boxes_px[k, 0] == pytest.approx(box_px, abs=0.01)


def test_the_truth_of_an_example_is_its_rows(clips: dict[str, tuple[str, Clip]], catalogue: Catalogue) -> None:
    compared = 0
    for clip_id, (_, clip) in clips.items():
        study = example_study(clip)
        for row in catalogue.items[clip_id].rows:
            whole = row["start_s"] == 0 and row["end_s"] == row["frame_times_s"][-1]
            if row["task"] == "traveled_distance" and whole and row["objects"][0]["color"] in row["question"]:
                asked = ask_by_task(row["task"], len(study.colors), len(row["frame_times_s"]), truth=study.truth)
                assert isinstance(asked.truth, Question)
                compared += asked.truth.target == row["target"]
            if row["task"] == "movement_direction_comparison" and whole:
                asked = ask_by_task(row["task"], len(study.colors), len(row["frame_times_s"]), truth=study.truth)
                assert isinstance(asked.truth, Question) and asked.truth.target == row["target"]
                compared += 1
    assert compared


def test_no_examples_are_no_mistake(tmp_path: Path) -> None:
    assert read_plain(tmp_path) == {}
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "clips.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="make the examples again"):
        read_plain(tmp_path)


def test_examples_of_another_build_are_told(folder: Path, tmp_path: Path) -> None:
    mixed = Path(shutil.copytree(folder, tmp_path / "mixed"))
    table = pq.read_table(mixed / "plain" / "clips.parquet")
    others = table.set_column(0, "clip_id", pa.array(["0" * 16] * len(table)))
    pq.write_table(others, mixed / "plain" / "clips.parquet")
    with pytest.raises(DataError, match=r"its clip 0{16} is not of this dataset; make the examples again"):
        read_plain(mixed)


def test_a_split_that_cannot_be_read_is_not_left_out(folder: Path, tmp_path: Path) -> None:
    torn = Path(shutil.copytree(folder, tmp_path / "torn"))
    for path in (torn / "trajectories").glob("*.parquet"):
        path.write_bytes(b"PAR1")
    with pytest.raises(DataError):
        read_catalogue(str(torn))


def test_geometry_finds_where_things_were(clips: dict[str, tuple[str, Clip]]) -> None:
    found = 0
    for _, clip in clips.values():
        measured = measure(example_study(clip), Setting(motion_by="known_poses"), untold)
        for course in measured.courses.values():
            if isinstance(course, Rejected):
                continue
            assert course.truth_m is not None
            real_m = course.truth_m[np.rint(course.times_s / 0.5).astype(int)]
            off_m = np.linalg.norm((course.xyz_m - real_m)[:, :2], axis=1)
            assert np.median(off_m / course.sigma_m) < 3
            ratio = traveled_distance(course.xyz_m[:, :2]).value / traveled_distance(real_m[:, :2]).value
            assert 0.6 < ratio < 1.6
            found += 1
    assert found


def test_what_one_object_tells_is_told_although_another_is_lost(clips: dict[str, tuple[str, Clip]]) -> None:
    study = next(it for _, clip in clips.values() if len((it := example_study(clip)).colors) > 1)
    brief_px = study.boxes_px["blue"].copy()
    brief_px[3:] = np.nan
    brief = replace(study, boxes_px=study.boxes_px | {"blue": brief_px})
    measured = measure(brief, Setting(motion_by="known_poses"), untold)
    assert isinstance(measured.courses["blue"], Rejected)
    told = {it.asked.task: it for it in answers(measured, study.truth)}
    assert told["traveled_distance"].value and isinstance(told["traveled_distance"].asked.truth, Question)
    assert not {"traveled_distance_comparison", "movement_direction_comparison"} & told.keys()
    table = showing.measured_table(measured, brief, answers(measured, study.truth), [""] * 4)
    why = with_cure(measured.courses["blue"].reason, is_example=True)
    unseen = "Its box shows all of it from 0.1 to 0.2 s; it is lost from 0.3 s on, cut by the picture's edge at 0.0 s."
    assert f'<b class="ink-blue">Blue</b>: {escape(f"Not measured. {why} {unseen}")}' in table
    assert "In the tab Ask" not in table, "where they cannot be asked at all"
    # The question is of one box, and a model is shown no other.
    assert "the object travel" in told["traveled_distance"].asked.question
    assert first_boxes(study, 1).colors == ("red",)


def test_a_camera_that_stood_still_is_told_so(clips: dict[str, tuple[str, Clip]]) -> None:
    study = example_study(next(clip for _, clip in clips.values()))
    still = measure(study, Setting(motion_by="known_poses"), untold)
    assert still.notes[0] == "The camera stood still, as is known of this example."
    assert study.clip.known is not None
    poses = study.clip.known.world_SE3_camera.copy()
    poses[:, 0, 3] += np.linspace(0, 1, len(poses))
    driven = replace(study, clip=replace(study.clip, known=study.clip.known._replace(world_SE3_camera=poses)))
    moved = measure(driven, Setting(motion_by="known_poses"), untold)
    assert moved.notes[0] == "The camera moved, as is known of this example."
    said = measure(study, Setting(motion_by="static_camera"), untold)
    assert said.notes == ("The camera stood still, as you say.", "The camera is taken to be held level.")


def test_what_is_not_measured_is_told_with_a_cure(clips: dict[str, tuple[str, Clip]]) -> None:
    study = example_study(next(clip for _, clip in clips.values()))
    nothing = Measured({"red": Rejected("too far away")}, np.eye(4)[None], None, 0.0, {}, ("The camera moved.",))
    told = showing.measured_table(nothing, study, [], [])
    assert "Red</b>: Not measured. It is more than 60 m away. Choose a nearer one.</p>" in told
    own = replace(study, clip=replace(study.clip, known=None))
    assert "check its class and the field of view" in showing.measured_table(nothing, own, [], [])
    apart = showing.measured_table(nothing._replace(courses={}), study, [], [])
    assert "never measured at the same time for two seconds" in apart


def test_a_camera_that_geometry_cannot_follow_is_told_with_a_cure() -> None:
    with pytest.raises(DataError) as error:
        _sound(Rejected("too few features"), is_example=False)
    assert str(error.value) == (
        "This clip cannot be measured. One frame shows too little of the one before to tell how the camera moved. If "
        "the camera stood still, choose “it stood still”. If it moved, choose a sharper or brighter clip without cuts."
    )


def test_two_truths_say_of_which_seconds_they_are(clips: dict[str, tuple[str, Clip]]) -> None:
    study = example_study(next(clip for _, clip in clips.values()))
    whole = measure(study, Setting(motion_by="known_poses"), untold)
    assert whole.motion is not None
    last_s = study.clip.times_s[-1]
    part = whole._replace(motion=whole.motion._replace(xyz_m=whole.motion.xyz_m[:, :5]), first_s=0.5)
    rows = answers(part, study.truth)
    table = showing.measured_table(part, study, rows, [""] * len(rows))
    assert "These answers are about 0.5 to 2.5 s of the clip; times in an answer count from 0.5 s." in table
    assert f"In the tab Ask they are about 0.0 to {last_s:.1f} s of the clip.</p>" in table
    asked = ask_by_task("traveled_distance", 1, 5, truth=study.truth)
    assert "<dt>About</dt><dd>0.0 to 2.0 s of the clip</dd>" in showing.answer_card("9 m", asked, True, (0.0, 2.0))
    unsure = Asked("movement_direction", "", "", (), Rejected("stationary"))
    assert "none that is certain. It moves less than 1 m" in showing.answer_card("12", unsure, True, (0.0, 2.0))


def test_examples_have_titles() -> None:
    assert title_of("t_junction", ["bicycle", "bicycle"]) == "T-junction: two bicycles"
    assert title_of("three_arm_roundabout", ["person"] * 3) == "Three-arm roundabout: three people"
    assert title_of("s_bend", ["car", "bus"]) == "S-bend: car and bus"
    assert title_of("five_ways", ["car"]) == "Five ways: car"


def test_addresses_of_clips_hold_any_folder() -> None:
    clip = Clip(Path("/a b/#1?/50%.mp4"), 0.1, 30, (320, 200))
    assert showing.file_url(clip) == "gradio_api/file=/a%20b/%231%3F/50%25.mp4"


def test_what_is_said_of_a_camera_is_checked(clips: dict[str, tuple[str, Clip]]) -> None:
    _, clip = next(iter(clips.values()))
    study = example_study(clip)
    unknown = replace(study, clip=replace(clip, known=None))
    for setting, words in (
        (Setting(hfov_deg=5), "20 to 150 degrees"),
        (Setting(camera_height_m=-1), "0.1 to 100 meters"),
        (Setting(motion_by="known_poses"), "Only examples"),
        (Setting(categories=("ship", "car", "car")), "'ship' is no class"),
        (Setting(categories=()), "say of each what is in it"),
        (Setting(motion_by="vggt"), "told by one of opencv_vo, .* 'vggt' is none"),  # type: ignore[arg-type]
    ):
        with pytest.raises(DataError, match=words):
            measure(unknown, setting, untold)
    with pytest.raises(DataError, match="There is no box"):
        measure(Study(clip), Setting(), untold)


def test_speed_and_its_noise() -> None:
    times_s, xyz_m = np.array([0.0, 0.5, 1.0]), np.array([[0.0, 0, 0], [3, 4, 9], [3, 4, 9]])
    speed = speed_of(times_s, xyz_m, NOISELESS._replace(step_m=1.0, stretch=0.1))
    assert speed.times_s.tolist() == [0.25, 0.75]
    assert speed.kmh.tolist() == [36, 0]  # 5 m in half a second; height is no travel here
    assert speed.sigma_kmh == pytest.approx([7.2 * np.hypot(np.sqrt(0.5), 0.5), 7.2 * np.sqrt(0.5)])


def course(xy_m: list[list[float]]) -> Course:
    xyz_m = np.array([[x, y, 0.0] for x, y in xy_m])
    return Course(np.arange(len(xyz_m)) * 0.5, xyz_m, np.full(len(xyz_m), 0.5), NOISELESS, "A")


def test_the_view_from_above_looks_where_the_camera_does() -> None:
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # looks along x of the world: that is upwards
    svg = drawing.top_view({"red": course([[0, 0], [10, 0]])}, pose[None])
    # 10 m fill 348 pixels of 400, the camera at the bottom in the middle.
    assert 'class="path box-red" points="200.0,374.0 200.0,26.0"' in svg
    svg = drawing.top_view({"red": course([[0, 0], [0, -10]])}, pose[None])
    assert 'points="26.0,200.0 374.0,200.0"' in svg  # to its right


def test_the_clock_has_a_right_turn_at_three() -> None:
    svg = drawing.clock({"red": course([[0, 0], [2, 0], [4, 0], [4, -2], [4, -4]])})
    assert '<circle class="fill-red" r="4.5" cx="230.0" cy="130.0"/>' in svg  # the rim, right of the middle
    assert "box-red" not in drawing.clock({"red": course([[0, 0]] * 3)})


def test_clips_are_found_by_what_they_show(catalogue: Catalogue) -> None:
    everything = find(catalogue)
    assert len(everything) == len(catalogue.items) > 2
    far, near = find(catalogue, distance="over 30"), find(catalogue, distance="under 10")
    assert all(max(item.distances_m) >= 30 for item in far) and all(min(item.distances_m) < 10 for item in near)
    category = catalogue.categories[0]
    assert all(category in item.categories for item in find(catalogue, category=category))
    compared = find(catalogue, task="traveled_distance_comparison")
    assert all("traveled_distance_comparison" in item.tasks for item in compared)
    assert find(catalogue, source="nuscenes") == []
    with pytest.raises(DataError, match="is no range"):
        find(catalogue, speed="fast")
    assert picture(everything[0]).shape == (280, 448, 3)
    assert catalogue.labels.startswith("<svg") and "before selection" in catalogue.labels


def test_a_clips_facts_are_told(catalogue: Catalogue) -> None:
    item = next(iter(catalogue.items.values()))
    row = dict(item.rows[0]) | {"question": "<script>", "target_sigma": 0.5, "label_grade": "B", "label_type": "pseudo"}
    told = showing.clip_facts(item._replace(rows=[row]))
    assert "&lt;script&gt;" in told and "± 0.5" in told and "label: pseudo, grade B" in told


def test_a_folder_that_is_no_dataset_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        read_catalogue(str(tmp_path / "none"))


def test_every_task_has_an_answer_or_a_reason(clips: dict[str, tuple[str, Clip]]) -> None:
    for _, clip in clips.values():
        study = example_study(clip)
        measured = measure(study, Setting(motion_by="known_poses"), untold)
        rows = answers(measured, study.truth)
        assert all(bool(row.value) != bool(row.why_not) for row in rows)
        if rows:
            table = showing.measured_table(measured, study, rows, [""] * len(rows))
            assert "Geometry" in table and "Truth" in table
            assert all(escape(with_cure(row.why_not, True)) in table for row in rows if row.why_not)


def test_what_a_model_of_a_simulated_world_says_of_a_video_is_doubted(clips: dict[str, tuple[str, Clip]]) -> None:
    example = example_study(next(clip for _, clip in clips.values()))
    own = replace(example, clip=replace(example.clip, clip_id=""))
    desk = Desk(lambda *_: iter(()), "tiny", None, {}, Path(), simulated_only=True)
    assert desk.doubt(example) == "" == replace(desk, simulated_only=False).doubt(own)
    assert desk.doubt(own).startswith("tiny has seen nothing but a simulated world: what it says of other video")
    card = showing.answer_card("9 m", ask_by_task("traveled_distance", 1, 5), True, (0.0, 2.0), desk.doubt(own))
    assert "ST_VLM_MODEL names another model to start with.</p></div>" in card
    unboxed = replace(own, boxes_px={})
    with pytest.raises(DataError, match=r"^tiny makes no sense of a clip without a box\. Draw one first\.$"):
        desk.answer("me", unboxed, shown_to_model(unboxed, None), "How far?", untold)

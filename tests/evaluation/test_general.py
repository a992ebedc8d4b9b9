"""general.py as a user runs it on annotation files, and the results files of lmms-eval that it gathers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stvlm.dataset.video import VideoSettings, write_video
from stvlm.evaluation.frames import sample, spread
from stvlm.evaluation.general import LmmsTask, evaluate_general, read_lmms_eval, read_plan
from stvlm.evaluation.video_answers import show
from stvlm.evaluation.video_tasks import VideoRow
from stvlm.records import DataError
from stvlm.training.new_model import make_model, make_processor, train_tokenizer
from stvlm.training.recipe import NewModel

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "evaluate_metric" / "general.py"
SIZES = NewModel(
    image_size_px=32, patch_size_px=8, hidden_size=32, heads=2, vision_layers=1, language_layers=1, vocabulary=300
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that has learned nothing."""
    out = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["The video lasts for 2.00 seconds."], SIZES.vocabulary)
    processor = make_processor(SIZES, tokenizer, (ROOT / "training" / "chat_template.jinja").read_text())
    make_model(SIZES, processor).save_pretrained(out)
    processor.save_pretrained(out)
    return out


@pytest.fixture
def charades(tmp_path):
    """Three sentences about two videos, of which one is there: 10 frames, at 2 a second, each a grey of its own."""
    source = tmp_path / "charades"
    (source / "Charades_v1_480").mkdir(parents=True)
    lines = ["AAAAA 0.5 2.0##person runs.", "AAAAA 3.0 4.5##person sits.", "BBBBB 1.0 2.0##person stands."]
    (source / "charades_sta_test.txt").write_text("\n".join(lines))
    frames = (np.full((32, 32, 3), 20 * number, dtype=np.uint8) for number in range(10))
    write_video(source / "Charades_v1_480" / "AAAAA.mp4", frames, VideoSettings())
    return source


def general(*arguments):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_annotation_files_are_asked_about_once(model, charades, tmp_path):
    source = ("--tasks", "charades_sta", "--source", f"charades_sta={charades}")
    first = general("--model", model, "--out", tmp_path / "out", *source)
    assert first.returncode == 0, first.stderr
    gathered = json.loads((tmp_path / "out" / "general.json").read_text())
    assert [(result["task"], result["metric"]) for result in gathered] == [
        ("charades_sta", metric) for metric in ("interval_parse_rate", "miou", "recall_03")
    ]
    assert all(0.0 <= result["value"] <= 1.0 and "general.py" in result["command"] for result in gathered)
    results = json.loads((tmp_path / "out" / "charades_sta" / "results.json").read_text())
    assert results["rows"] == {"scored": 2, "without video": 1}
    lines = (tmp_path / "out" / "charades_sta" / "responses.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["AAAAA-1", "AAAAA-2"]

    (tmp_path / "out" / "charades_sta" / "results.json").unlink()  # as an interruption leaves it
    place = tmp_path / "out" / "charades_sta" / "responses.jsonl"
    place.write_text(json.dumps({"id": "AAAAA-1", "response": "0.5 to 2 s"}) + '\n{"id": "AAA')
    plan, sources = read_plan(ROOT / "evaluate_metric" / "general.yaml"), {"charades_sta": charades}
    again = evaluate_general(str(model), plan, ["charades_sta"], sources, tmp_path / "out")
    assert {result.metric: result.value for result in again}["miou"] >= 0.5  # the first was not asked again
    assert len(place.read_text().splitlines()) == 2
    retrained = tmp_path / "model"
    shutil.copytree(model, retrained)
    assert len(evaluate_general(str(retrained), plan, ["charades_sta"], sources, tmp_path / "out")) == 3
    (retrained / "generation_config.json").write_text("{}")  # another model in the same place
    with pytest.raises(DataError, match="holds results of another model"):
        evaluate_general(str(retrained), plan, ["charades_sta"], sources, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "charades"], "charades: no such task; general.yaml has perceptiontest_val_mc, "),
        (["--tasks", "tvqa_plus"], "tvqa_plus: needs its annotation files and videos: --source tvqa_plus=PATH"),
        (["--tasks", "dramaqa", "--source", "dramaqa=/nowhere"], "AnotherMissOhQA_val_set.json: cannot be read"),
        (["--tasks", "nextqa_mc_test"], "nextqa_mc_test: is run by lmms-eval, which is not installed here"),
    ],
)
def test_errors_are_one_line(model, tmp_path, arguments, message):
    found = general("--model", model, "--out", tmp_path / "out", *arguments)
    assert found.returncode == 1
    assert message in found.stderr.strip().splitlines()[-1]


def write_lmms_results(folder, results, groups=None):
    """The keys of lmms-eval 0.7.3's file that are read."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"command": "lmms_eval ...", "version": "lmms-eval 0.7.3"}))
    content = {"results": results, "group_subtasks": groups or {}, "versions": dict.fromkeys(results, 1.0)}
    (folder / "m").mkdir()
    (folder / "m" / "20261122_032213_results.json").write_text(json.dumps(content))


def test_a_score_of_lmms_eval_is_a_fraction_and_that_of_a_group_the_mean(tmp_path):
    write_lmms_results(
        tmp_path / "one", {"nextqa_mc_test": {"exact_match,none": 0.25, "exact_match_stderr,none": "N/A"}}
    )
    assert read_lmms_eval(tmp_path / "one", "nextqa_mc_test", LmmsTask("exact_match", 1)) == (
        "nextqa_mc_test", "exact_match", 0.25, "lmms-eval 0.7.3, task version 1.0", "lmms_eval ...",
    )  # fmt: skip
    of_tasks = {"mvbench_a": {"acc,none": 50.0}, "mvbench_b": {"acc,none": 100.0}}
    write_lmms_results(tmp_path / "group", of_tasks | {"mvbench": {" ": " "}}, {"mvbench": ["mvbench_a", "mvbench_b"]})
    assert read_lmms_eval(tmp_path / "group", "mvbench", LmmsTask("acc", 100)).value == 0.75
    with pytest.raises(DataError, match="has no accuracy of nextqa_mc_test"):
        read_lmms_eval(tmp_path / "one", "nextqa_mc_test", LmmsTask("accuracy", 1))


def test_the_plan_names_the_benchmarks_of_the_paper():
    plan = read_plan(ROOT / "evaluate_metric" / "general.yaml")
    assert plan.lmms_eval["mvbench"] == ("mvbench_accuracy", 100)
    assert set(plan.annotation_files) == {"charades_sta", "activitynet_captions", "tvqa_plus", "dramaqa"}


def test_a_plan_that_is_none_is_named(tmp_path):
    (tmp_path / "plan.yaml").write_text("max_frames: 32\nlmms_eval: {a: {metric: b}}\nannotation_files: {}\n")
    with pytest.raises(DataError, match=r"plan.yaml: is no plan of benchmarks"):
        read_plan(tmp_path / "plan.yaml")


def test_frames_are_spread_from_first_to_last(charades):
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(3, 4) == [0, 1, 2]
    video = charades / "Charades_v1_480" / "AAAAA.mp4"
    clip = sample(video, 4)
    assert clip.times_s == [0.0, 1.5, 3.0, 4.5]
    assert [int(frame.float().mean().round()) for frame in clip.frames] == pytest.approx([0, 60, 120, 180], abs=3)
    assert len(sample(video, 40).frames) == 10
    with pytest.raises(DataError, match="cannot be decoded"):
        sample(charades / "charades_sta_test.txt", 4)


def test_a_region_is_outlined_on_images_near_to_its_own(tmp_path):
    folder = tmp_path / "s01e02"
    folder.mkdir()
    for number in range(1, 14):
        Image.new("RGB", (96, 64)).save(folder / f"{number:05d}.jpg")
    row = VideoRow("a", "s01e02", "Who?", "A", ("x", "y"), {"00001": (20, 20, 40, 40)})
    clip = show(tmp_path, row, 5)
    assert clip.times_s == [0.0, 1.0, 2.0, 3.0, 4.0]  # images 1, 4, 7, 10 and 13, of three a second
    assert [bool((frame[0] > 200).any()) for frame in clip.frames] == [True, True, False, False, False]
    assert clip.frames[0][:, 19, 30].tolist() == [255, 0, 0]
    assert clip.frames.shape == (5, 3, 64, 96)
    between = show(tmp_path, row._replace(boxes_px={"00007": (20, 20, 40, 40)}), 3)
    assert between.times_s == [0.0, 2.0, 4.0]
    assert bool((between.frames[1][0] > 200).any())
    with pytest.raises(DataError, match="has no s01e03"):
        show(tmp_path, row._replace(video="s01e03"), 5)
    with pytest.raises(DataError, match="has no image 00099, which is annotated"):
        show(tmp_path, row._replace(boxes_px={"00099": (20, 20, 40, 40)}), 5)


def test_a_region_between_the_frames_shown_is_shown_nonetheless(tmp_path):
    """Of 41 images 1, 21 and 41 would be shown; that with the box is 30, and takes the place of 21."""
    for number in range(1, 42):
        Image.new("RGB", (96, 64)).save(tmp_path / f"{number:05d}.jpg")
    row = VideoRow("a", "", "Who?", "A", ("x", "y"), {"00030": (20, 20, 40, 40)})
    clip = show(tmp_path, row, 3)
    assert clip.times_s == pytest.approx([0.0, 29 / 3, 40 / 3])
    assert [bool((frame[0] > 200).any()) for frame in clip.frames] == [False, True, False]

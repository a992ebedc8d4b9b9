"""The report as a user makes it: from real videos, from hostile responses, and without the dataset."""

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.evaluation.results_folder import as_line, write_results
from tests.training.tiny_dataset import write_dataset

from stvlm.dataset.folder import CLIPS
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.page import visible
from stvlm.evaluation.report_folder import _paired, write_report
from stvlm.evaluation.results import load_rows, read_answers, read_results
from stvlm.records import DataError

ROOT = Path(__file__).parents[2]
HOSTILE = "</dd><script>alert(1)</script><img src=x onerror=alert(2)> 900 m \u202etxet\x00"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Four clips with two objects, 16 questions, and where the objects were."""
    folder = write_dataset(tmp_path_factory.mktemp("data") / "tiny")
    poses = np.tile(np.eye(4).ravel(), (5, 1)).tolist()
    rows = [
        {
            "clip_id": clip_id, "source": "simulation", "split": "test", "world_SE3_camera": poses,
            "xyz_m": [[[k * speed, 0.0, 0.0] for k in range(6)] for speed in (6.0, 2.0)],
        }
        for clip_id in ("test0", "test1", "test2")  # of test3 it is not known
    ]  # fmt: skip
    (folder / "trajectories").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, CLIPS), folder / "trajectories" / "clips.parquet")
    return folder


@pytest.fixture(scope="module")
def rows(dataset):
    return load_split(str(dataset), "test").rows


@pytest.fixture(scope="module")
def results(dataset, rows, tmp_path_factory):
    """All is right but a distance, which is answered by markup, and two comparisons; one answer is no answer."""
    texts = [row["target"] for row in rows]
    texts[0], texts[1], texts[2], texts[6] = HOSTILE, "I cannot tell.", "blue", "blue"
    return write_results(tmp_path_factory.mktemp("results") / "mine", dataset, {"model": texts, "black": [""] * 16})


@pytest.fixture(scope="module")
def better(dataset, rows, tmp_path_factory):
    answers = {"model": [row["target"] for row in rows]}
    return write_results(tmp_path_factory.mktemp("results") / "theirs", dataset, answers, "runs/better")


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    """The report of the first results."""
    out = tmp_path_factory.mktemp("report")
    write_report([results], out)
    return (out / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def of(self, name):
        return [attributes for tag, attributes in self.found if tag == name]


def report(*arguments):
    command = [sys.executable, str(ROOT / "evaluate_metric" / "report.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_end_to_end_with_another_result(results, better, tmp_path):
    found = report(results, better, "--out", tmp_path / "out")
    assert found.returncode == 0, found.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    figures = {f"{name}.{suffix}" for name in ("radar", "ranges", "unread") for suffix in ("png", "svg")}
    tables = {f"{name}.{suffix}" for name in ("table", "differences") for suffix in ("md", "tex")}
    assert names == figures | tables | {"report.html"}
    assert "These are questions about 4 clips: fewer than 30 tell little." in found.stdout
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    # 6 of 8 distances and 2 and 4 of 4 comparisons are right, on average 75 %; of 16 answers 15 could be read.
    mine = [cell.split() for cell in next(line for line in lines if line.startswith("| tiny |")).split("|")[2:-1]]
    assert [mine[i][0] for i in (0, 8, 9, 11, 12)] == ["75.0", "50.0", "100.0", "75.0", "93.8"]
    assert [mine[i] for i in (2, 4, 6, 10)] == [["–"]] * 4
    last = (tmp_path / "out" / "differences.md").read_text().splitlines()[-1]
    assert last.startswith("| average | 75.0 | 100.0 | +25.0 [") and last.endswith("| 16 | 4 |")


def test_responses_are_text_and_nothing_is_loaded(page):
    tags = Tags(page)
    assert not tags.of("script")
    assert "</dd><script>alert(1)</script><img src=x onerror=alert(2)> 900 m \N{REPLACEMENT CHARACTER}txet" in tags.text
    assert all(set(image) & {"onerror"} == set() for image in tags.of("img"))
    assert all(image["src"].startswith("data:image/") for image in tags.of("img"))
    assert not re.search(r"""(?:href|src)=["'](?!data:|#)|url\(|@import""", page)
    policy = next(meta["content"] for meta in tags.of("meta") if meta.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_a_mistake_is_shown_with_its_frames_its_paths_and_its_truth(page, rows):
    article = Tags(page.split("<article>")[1])
    frames = [image for image in article.of("img") if image["alt"].startswith("frame at")]
    assert [image["alt"] for image in frames] == [f"frame at {i / 2} s" for i in range(5)]
    first = Image.open(BytesIO(base64.b64decode(frames[0]["src"].split(",")[1])))
    assert first.format == "JPEG" and first.size == (64, 64)
    left, top, *_ = rows[0]["objects"][0]["boxes_px"][0]
    red, green, blue = np.asarray(first)[int(top) - 1, int(left) + 4]
    assert red > 150 > max(green, blue)  # the box is drawn
    assert any(image["alt"] == "the paths seen from above" for image in article.of("img"))
    assert rows[0]["question"] in article.text
    assert "900.00 m: 75.0 times too far" in article.text  # it travels 12 m
    assert "12.00 m" in article.text
    # Of the two comparisons, in the clips 0 and 1, positions are known: 6 m a step and 2 m.
    assert page.count("red moves 3.0 times as far as blue") == 2
    assert "refusal: 1" in page and "I cannot tell." in page


def test_without_the_dataset_the_page_says_what_is_missing(dataset, results, better, tmp_path):
    moved = [copy_of(folder, tmp_path / folder.name, path="/nowhere/tiny") for folder in (results, better)]
    (tmp_path / "out").mkdir()
    for name in ("ranges.png", "mine.png"):
        (tmp_path / "out" / name).write_text("of an earlier report, and of the user")
    said = write_report(moved, tmp_path / "out")
    assert said[0].startswith("The dataset /nowhere/tiny is not here: questions, truths and frames of the mistakes")
    assert "so are paired differences. Give its place by --dataset." in said[0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "ranges.png" not in names and "differences.md" not in names and "radar.png" in names
    assert "mine.png" in names and "mine.png" not in said[-1]
    tags = Tags((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert said[0] in tags.text
    assert "888.00 m off" in tags.text
    assert not [image for image in tags.of("img") if image["alt"].startswith("frame")]

    found = read_results(moved)[0]
    assert load_rows(found, None) is None
    assert load_rows(found, str(dataset)).rows[0]["id"] == "test0-0"


def copy_of(folder, to, change=lambda content: None, **dataset):
    """A results folder whose results.json says otherwise."""
    to.mkdir()
    content = json.loads((folder / "results.json").read_text())
    content["dataset"] |= dataset
    change(content)
    (to / "results.json").write_text(json.dumps(content))
    (to / "responses.jsonl").write_bytes((folder / "responses.jsonl").read_bytes())
    return to


def test_folders_that_hold_no_results_are_one_line(tmp_path):
    found = report(tmp_path / "missing", "--out", tmp_path / "out")
    cure = "give a folder that was --out of evaluate_metric/evaluate_model.py"
    assert (found.returncode, found.stderr) == (1, f"error: {tmp_path}/missing: no such folder; {cure}\n")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match=f"holds no results.json; {cure}"):
        read_results([tmp_path])
    for foreign in ('{"results": {"mmlu": 0.5}}', "[]", '{"scores": {"model": 1}}'):
        (tmp_path / "results.json").write_text(foreign)
        with pytest.raises(DataError, match=r"results.json: not what evaluate_metric/evaluate_model.py writes; give"):
            read_results([tmp_path])


def test_results_of_another_revision_are_refused_naming_both(results, better, tmp_path):
    other = copy_of(better, tmp_path / "other", fingerprint="feedfacecafe0000")
    mine = json.loads((results / "results.json").read_text())["dataset"]["fingerprint"]
    with pytest.raises(DataError, match=rf"other: scored on another dataset, .*feedfacecafe, not {mine[:12]}\)"):
        write_report([results, other], tmp_path / "out")
    with pytest.raises(DataError, match=r"not as it was when .*other was made"):
        write_report([other], tmp_path / "out")


def test_one_folder_twice_is_no_comparison(results, tmp_path):
    with pytest.raises(DataError, match="given twice"):
        write_report([results, results], tmp_path / "out")


def test_models_of_one_name_are_told_apart_by_their_folders(results, better, tmp_path):
    again = copy_of(results, tmp_path / "again")
    assert [r.name for r in read_results([results, better, again])] == ["tiny (mine)", "better", "tiny (again)"]


def test_answers_that_do_not_give_the_scores_are_refused(results, rows, tmp_path):
    def change(content):
        content["scores"]["model"]["traveled_distance_accuracy"] = 1.0

    with pytest.raises(DataError, match=r"responses.jsonl: does not give the traveled_distance scores in results.json"):
        write_report([copy_of(results, tmp_path / "other", change)], tmp_path / "out")
    lacking = copy_of(results, tmp_path / "lacking")
    lines = (lacking / "responses.jsonl").read_text().splitlines(keepends=True)
    (lacking / "responses.jsonl").write_text("".join(lines[3:]))
    with pytest.raises(DataError, match=r"lacks 3 of 16 answers that were scored"):
        write_report([lacking], tmp_path / "out")


def test_what_was_asked_last_counts_and_a_line_cut_off_does_not(results, rows, tmp_path):
    folder = copy_of(results, tmp_path / "again")
    place = folder / "responses.jsonl"
    former = as_line(rows[5], "model", "as it was asked before") + as_line({**rows[5], "id": "gone"}, "model", "")
    place.write_text(former + place.read_text() + as_line(rows[5], "model", "9 m")[:30])
    before = place.read_bytes()
    answers = read_answers(read_results([folder])[0], rows)
    assert [answer.response for answer in answers["model"]][:2] == [HOSTILE, "I cannot tell."]
    assert answers["model"][5].response == rows[5]["target"]
    assert place.read_bytes() == before  # who reads leaves all as it is
    place.write_text("{}\n")
    with pytest.raises(DataError, match="line 1 is no response"):
        read_answers(read_results([folder])[0], rows)


def test_what_cannot_be_seen_is_shown_as_such():
    assert visible("a\tb\nc é 漢") == "a\tb\nc é 漢"
    assert visible("\u202e\x1b[31m\ud800") == "\ufffd\ufffd[31m\ufffd"
    assert visible("x" * 2001) == "x" * 2000 + "… (2,001 characters)"


def test_differences_are_the_seconds_minus_the_firsts(results, better, rows):
    mine, theirs = (read_answers(r, rows)["model"] for r in read_results([results, better]))
    found = {p.task: p for p in _paired(mine, theirs, rows)}
    assert list(found) == [
        "traveled_distance", "traveled_distance_comparison", "traveling_speed_comparison", "average",
    ]  # fmt: skip
    distance, average = found["traveled_distance"], found["average"]
    assert (distance.first, distance.second, distance.difference.value, distance.questions) == (0.75, 1.0, 0.25, 8)
    assert (average.first, average.second) == (0.75, 1.0)
    assert average.difference.value == pytest.approx(0.25)
    assert average.difference.clips == 4 and average.questions == 16

"""What a stage raises of one excerpt costs the others nothing, is told, and is tried again; a full disk ends all."""

import csv
import errno
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.pseudo_labels.programs import ANYTHING_MOVES, LABEL, write_recipe, write_street

from stvlm.files import read_json
from stvlm.pseudo_labels import pipeline, results, steps
from stvlm.pseudo_labels.artefacts import ObjectTrack
from stvlm.pseudo_labels.pipeline import Unit, run_stages
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.pseudo_labels.stages import STAGES, Case
from stvlm.pseudo_labels.videos.collection import Collection, Excerpt
from stvlm.pseudo_labels.videos.video import Video
from stvlm.records import LackingError, Recording

SETTINGS: Mapping[str, Any] = {
    "objects": {"by": "annotations"},
    "geometry": {"by": "static_camera"},
    "filters": ANYTHING_MOVES,
}


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units are done here, where a test can make a mistake, and not in processes of their own."""

    def run_units(work: Callable[[Any, Path], None], units: Sequence[tuple[Any, Path]], *_: object) -> None:
        for unit, shard in units:
            if not shard.exists():
                work(unit, shard)

    monkeypatch.setattr(pipeline, "run_units", run_units)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("car", "walk"):
        write_street(tmp_path / "videos" / f"{name}.mp4")
    boxes = tmp_path / "videos" / "walk.mot.txt"
    boxes.write_text(boxes.read_text().replace(",1,3,1", ",1,1,1"))
    return tmp_path


def label(place: Path, **settings: Any) -> int:
    """Runs the program; gives its exit code."""
    recipe = write_recipe(place / "recipe.yaml", **{**SETTINGS, **settings})
    arguments = [recipe, "--source", f"video_folder={place / 'videos'}", "--out", place / "out"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [LABEL[1], *map(str, arguments)])
        try:
            runpy.run_path(LABEL[1], run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def left_out(place: Path) -> list[tuple[str, str, str]]:
    with (place / "out" / "left_out.csv").open(newline="", encoding="utf-8") as file:
        return [(row["stage"], row["subject"], row["reason"]) for row in csv.DictReader(file)]


def labelled(place: Path) -> list[str]:
    return sorted(path.parent.relative_to(place / "out").as_posix() for path in (place / "out").rglob("recording.json"))


@pytest.mark.usefixtures("_in_this_process")
def test_a_mistake_of_ours_is_told_and_tried_again(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lift = steps.lift

    def lift_no_person(track: ObjectTrack, *others: Any) -> Any:
        if track.category == "person":
            raise ZeroDivisionError("people are divided by nothing\nand more")
        return lift(track, *others)

    reason = "failed: ZeroDivisionError: people are divided by nothing"
    with monkeypatch.context() as patch:
        patch.setattr(steps, "lift", lift_no_person)
        assert label(place) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: 1 failed in a way that nobody foresaw: ZeroDivisionError: people are divided by nothing (1x); "
        f"{place / 'out' / 'left_out.csv'} names them, and traceback.txt in the folder of each, in "
    )
    assert labelled(place) == ["car/0"] and left_out(place) == [("lifting", "walk/0", reason)]
    assert read_json(place / "out" / "pseudo_labels.json")["stages"]["lifting"]["rejected"] == {reason: 1}
    (trace,) = (place / "out.work").glob("lifting/*/traceback.txt")
    assert "in lift_no_person" in trace.read_text()

    assert label(place) == 0
    assert labelled(place) == ["car/0", "walk/0"] and left_out(place) == []


@pytest.mark.usefixtures("_in_this_process")
def test_a_video_that_cannot_be_cut_costs_the_others_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def excerpts(video: Video, cutting: Any) -> Any:
        raise KeyError(video.recording.scene_id)

    monkeypatch.setattr(pipeline, "excerpts", excerpts)
    assert label(place) == 1
    with (place / "out.work" / "left_out.csv").open(newline="", encoding="utf-8") as file:
        reasons = [row["reason"] for row in csv.DictReader(file)]
    assert reasons == ["failed: KeyError: 'car'", "failed: KeyError: 'walk'"]


def test_what_a_stage_made_and_does_not_read_any_more_costs_its_excerpt_alone(place: Path) -> None:
    assert label(place) == 0
    tables = (place / "out.work").glob("objects/*/tracks.parquet")
    (table,) = (path for path in tables if results.read_object_tracks(path.parent).tracks[0].category == "person")
    whole = table.read_bytes()
    table.write_bytes(b"?" * len(whole))
    assert label(place, scale={"tools_metres": "trust"}) == 0
    ((stage, subject, reason),) = left_out(place)
    assert (stage, reason) == ("scale", "cannot be used")
    assert subject.startswith(f"walk/0: {table}: does not read (") and subject.endswith("and run the stage again")
    assert labelled(place) == ["car/0"]
    table.write_bytes(whole)
    assert label(place, scale={"tools_metres": "trust"}) == 0
    assert labelled(place) == ["car/0", "walk/0"]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), LackingError("sam: cannot be loaded (no network)")],
)
def test_what_all_excerpts_would_meet_ends_the_run(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(case: Case, folder: Path) -> None:
        raise error

    monkeypatch.setitem(STAGES, "objects", STAGES["objects"]._replace(run=fails))
    excerpt = Excerpt(Collection("a", None, "{}"), Recording("a", "b", "train"), "b/0", (0,), "")
    case = Case(excerpt, PseudoLabelling("any", {}), {"objects": tmp_path / "objects"})
    with pytest.raises(type(error), match=r"No space|no network"):
        run_stages(Unit(("objects",), case), tmp_path / "objects" / results.MANIFEST)
    assert not (tmp_path / "objects").exists()

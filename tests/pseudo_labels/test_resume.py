"""What a run has made is kept: after a kill, a change in the recipe, or a new video only what depends on it is made."""

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.pseudo_labels.programs import (
    ANYTHING_MOVES,
    ENVIRONMENT,
    LABEL,
    contents,
    run,
    write_recipe,
    write_street,
)

from stvlm.pseudo_labels import results
from stvlm.pseudo_labels.pipeline import Cut, cut_video
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.pseudo_labels.stages import STAGES
from stvlm.pseudo_labels.videos.collection import Collection

SETTINGS: Mapping[str, Any] = {
    "objects": {"by": "annotations"},
    "geometry": {"by": "static_camera"},
    "filters": ANYTHING_MOVES,
}


def command(place: Path, **settings: Any) -> list[str]:
    """Labels the videos of a folder into `out` beside it."""
    recipe = write_recipe(place / "recipe.yaml", **{**SETTINGS, **settings})
    return [*LABEL, *map(str, (recipe, "--source", f"video_folder={place / 'videos'}", "--out", place / "out"))]


def finished(place: Path) -> dict[str, int]:
    """When each finished result of a stage was written, by its folder from the work folder."""
    work = place / "out.work"
    return {
        path.parent.relative_to(work).as_posix(): path.stat().st_mtime_ns
        for path in work.glob(f"*/*/{results.MANIFEST}")
    }


def new_of(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """The stages of the results that are new; what was there is as it was."""
    assert before.items() <= after.items()
    return sorted(name.partition("/")[0] for name in after.keys() - before.keys())


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos, and what an undisturbed run made of them."""
    place = tmp_path_factory.mktemp("labelled")
    for name in ("a", "b"):
        write_street(place / "videos" / f"{name}.mp4")
    result = run(command(place))
    assert result.returncode == 0, result.stderr
    return place


def test_a_run_that_is_killed_goes_on_and_ends_the_same(labelled: Path, tmp_path: Path) -> None:
    moments = random.Random(5)
    # The same paths, of which what is kept is called: what was made is put aside.
    kept, work = tmp_path / "out", tmp_path / "out.work"
    shutil.move(labelled / "out", kept)
    shutil.move(labelled / "out.work", work)
    for _ in range(3):
        process = subprocess.Popen(
            command(labelled), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(2.5, 6.0))
        before = finished(labelled)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert before.items() <= finished(labelled).items()
    before = finished(labelled)
    assert not (labelled / "out").exists() or contents(labelled / "out") == contents(kept)
    result = run(command(labelled))
    assert result.returncode == 0, result.stderr
    assert before.items() <= finished(labelled).items()
    assert contents(labelled / "out") == contents(kept)
    assert finished(labelled).keys() == {
        path.parent.relative_to(work).as_posix() for path in work.glob(f"*/*/{results.MANIFEST}")
    }
    leftovers = [path.name for path in labelled.iterdir() if path.name.startswith(".")]
    assert leftovers == []


def test_only_what_depends_on_a_change_is_made_again(labelled: Path) -> None:
    before = finished(labelled)
    assert new_of({}, before) == sorted(["excerpts", *STAGES.keys() - {"depth"}] * 2)
    for change, stages_of_it in (
        ({}, []),
        ({"smoothing": {"method": "none"}}, ["filters", "smoothing"]),
        ({"filters": {**ANYTHING_MOVES, "significant_m": 0.5}}, ["filters"]),
        ({"scale": {"tools_metres": "trust"}}, ["filters", "lifting", "scale", "smoothing"]),
    ):
        result = run(command(labelled, **change))
        assert result.returncode == 0, result.stderr
        after = finished(labelled)
        assert new_of(before, after) == sorted(stages_of_it * 2), change
        before = after


def test_a_video_that_is_added_is_the_only_one_that_is_looked_at(labelled: Path) -> None:
    run(command(labelled))
    before = finished(labelled)
    write_street(labelled / "videos" / "c.mp4")
    result = run(command(labelled))
    assert result.returncode == 0, result.stderr
    assert new_of(before, finished(labelled)) == sorted(["excerpts", *STAGES.keys() - {"depth"}])
    assert "3 of 3 excerpts have labels" in result.stdout


def test_images_that_are_rendered_otherwise_are_others(tmp_path: Path) -> None:
    """Boxes and poses of a world in colour are those of the same world in grey."""
    found = []
    for monochrome in (False, True):
        options = {"recordings": 1, "layouts": ["straight"], "duration_s": 4.0, "width_px": 64, "height_px": 48,
                   "monochrome": monochrome}  # fmt: skip
        collection = Collection("simulation", None, json.dumps(options))
        (recording,) = collection.open().recordings()
        folder = tmp_path / str(monochrome)
        cut_video(Cut(collection, recording, PseudoLabelling("any", {}), "key"), folder / results.MANIFEST)  # type: ignore[arg-type]
        found.append(results.read_manifest(folder).details["excerpts"])
    assert [[part["name"] for part in parts] for parts in found] == [[f"{recording.scene_id}/0"]] * 2
    assert found[0][0]["content"] != found[1][0]["content"]

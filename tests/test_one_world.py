"""One simulated world, written in every source's format and read back, gives the same labels: the readers are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stvlm.dataset.clips import ClipLimits, make_clips
from stvlm.dataset.rows import make_row
from stvlm.dataset.video import VideoSettings
from stvlm.dataset.visibility import VisibilityGates
from stvlm.questions.asking import DIRECTIONS, Motion, QuestionGates, ask
from stvlm.records import Recording, Scene, Source
from stvlm.scoring import TASKS
from stvlm.simulation.formats import argoverse2, egoexo4d, nuplan, nuscenes, video_folder
from stvlm.simulation.source import SimulationSource
from stvlm.sources import open_source

WRITERS = {
    "nuscenes": nuscenes.write_nuscenes,
    "argoverse2": argoverse2.write_argoverse2,
    "nuplan": nuplan.write_nuplan,
    "video_folder": video_folder.write_video_folder,
}

COARSE = {"car": "vehicle", "truck": "vehicle"}


@pytest.fixture(scope="module")
def world() -> SimulationSource:
    layouts = ["crossroads", "boulevard", "curve"]
    motions = {"fixed": 1, "panning": 1, "driving": 1}
    return SimulationSource({"recordings": 6, "seed": 5, "layouts": layouts, "camera_motions": motions})


Names = Callable[[Scene], dict[str, str]]


def same_names(scene: Scene) -> dict[str, str]:
    return {track.track_id: track.track_id for track in scene.tracks}


def labels(source: Source, names: Names = same_names) -> list[dict[str, Any]]:
    """All rows of a source, told as if the simulation itself had given them, but for the names of tracks."""
    return [row for recording in source.recordings() for row in rows_of(source, recording, names)]


def rows_of(source: Source, recording: Any, names: Names) -> Iterable[dict[str, Any]]:
    assert isinstance(recording, Recording)
    scenes = []
    for scene in source.scenes(recording):
        assert isinstance(scene, Scene), scene
        name = names(scene)  # not every format can say whether a track was seen
        tracks = tuple(replace(track, seen=None, track_id=name[track.track_id]) for track in scene.tracks)
        tracks = tuple(sorted(tracks, key=lambda track: track.track_id))
        itself = {"source": "simulation", "label_type": "simulated", "centre_noise_m": 0.0, "frames": None}
        scenes.append(replace(scene, tracks=tracks, **itself))
    for clip in make_clips(scenes, VisibilityGates(), ClipLimits(), Counter()):
        for query, question in ask(Motion.of(clip), QuestionGates(), Counter()):
            yield make_row(clip, query, question, VideoSettings())


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_labels(name: str, world: SimulationSource, tmp_path: Path) -> None:
    """Ids, questions, answers, targets and seconds are equal; boxes and intrinsics to a hundredth of a pixel."""
    WRITERS[name](world, tmp_path, images=False)
    expected, found = labels(world), labels(open_source(name, tmp_path, {}))
    assert {row["task"] for row in expected} == set(TASKS)
    assert len(found) == len(expected)
    for row, other in zip(expected, found, strict=True):
        objects, others = row.pop("objects"), other.pop("objects")
        assert corners_px(objects) == pytest.approx(corners_px(others), abs=0.011)
        if name == "nuplan":  # which calls every motor vehicle a vehicle
            objects = [item | {"category": COARSE.get(item["category"], item["category"])} for item in objects]
        assert objects == others
        assert row.pop("intrinsics_px") == pytest.approx(other.pop("intrinsics_px"), abs=0.01)
        assert (row.pop("licence"), other.pop("licence")) == ("", "Apache-2.0" if name == "video_folder" else "")
        assert row == other


def wearer_and_others(scene: Scene) -> dict[str, str]:
    """What Ego-Exo4D makes of a simulated scene: it knows who wears the glasses, and numbers the others."""
    wearer = egoexo4d.wearer_of(scene).track_id
    others = sorted((track.times_ns[0], track.track_id) for track in scene.tracks if track.track_id != wearer)
    return {wearer: "camera_wearer"} | {track: f"person_{i:02}" for i, (_, track) in enumerate(others, start=1)}


def test_a_sports_field_gives_the_same_labels_as_egoexo4d(tmp_path: Path) -> None:
    """The wearer by the glasses' trajectory, the others by the joints of bodies that nobody has named."""
    sports = {"layouts": ["field", "court"], "lens": "fisheye", "camera_motions": {"fixed": 1}}
    world = SimulationSource({"recordings": 4, "seed": 5, **sports})
    egoexo4d.write_egoexo4d(world, tmp_path, images=False)
    expected = labels(world, wearer_and_others)
    found = labels(open_source("egoexo4d", tmp_path, {}))
    assert {row["task"] for row in expected} == set(TASKS) - set(DIRECTIONS)
    assert {item["track_id"] == "camera_wearer" for row in expected for item in row["objects"]} == {True, False}
    assert len(found) == len(expected)
    for row, other in zip(expected, found, strict=True):
        assert corners_px(row["objects"]) == pytest.approx(corners_px(other["objects"]), abs=0.011)
        assert row == other


def corners_px(objects: list[dict[str, Any]]) -> list[float]:
    """Takes the boxes out of the objects, as a list of numbers, -1 where unseen."""
    return [value for item in objects for box in item.pop("boxes_px") for value in (box or [-1.0] * 4)]

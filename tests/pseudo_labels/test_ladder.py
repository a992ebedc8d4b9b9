"""The validation program on a simulated drive, and what the ladder's rungs are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stvlm.pseudo_labels.ladder import climb, left_out_lines, rungs
from stvlm.pseudo_labels.recipe import CameraMotion, Objects, PseudoLabelling
from stvlm.pseudo_labels.validation import validate

ROOT = Path(__file__).parent.parent.parent
REALDATA = os.environ.get("STVLM_REALDATA")
PROGRAM = ROOT / "dataset_builder" / "validate_pseudo_labels.py"
RECIPE = ROOT / "dataset_builder" / "recipes" / "pseudo_embedded.yaml"
DRIVE = {
    "seed": 3, "recordings": 1, "duration_s": 6.0, "width_px": 640, "height_px": 360, "layouts": ["straight"],
    "camera_motions": {"driving": 1.0}, "objects": [10, 12], "parked_cars": [4, 4], "focal_per_width": [1.0, 1.1],
}  # fmt: skip


def test_what_a_recipe_takes_from_the_truth_has_no_rung_of_its_own() -> None:
    embedded = PseudoLabelling("embedded", {})
    assert list(rungs(embedded)) == ["as it is", "true poses"]
    networks = PseudoLabelling("networks", {}, objects=Objects(by="sam3"))
    assert list(rungs(networks)) == ["as it is", "true boxes", "true poses", "true boxes and poses"]
    both = rungs(networks)["true boxes and poses"]
    assert (both.objects.by, both.geometry.by) == ("annotations", "known_poses")
    assert list(rungs(PseudoLabelling("given", {}, geometry=CameraMotion(by="known_poses")))) == ["as it is"]


def test_a_simulated_drive_is_labelled_as_it_was(tmp_path: Path) -> None:
    """By the road below the camera and by boxes alone, as the truth is hidden."""
    pairs = climb(PseudoLabelling("embedded", {}), {"simulation": DRIVE}, {"simulation": None}, tmp_path / "work")
    for name, of_rung in pairs.items():
        scores = validate(of_rung).scores
        assert scores["excerpts"] == 1 and scores["moving"] >= 3, name
        assert scores["kept"]["value"] > 0 and scores["within_25_percent"]["value"] == 1.0, name
        assert scores["parked_called_moving"] is None or scores["parked_called_moving"]["value"] == 0, name
    assert [pair.true_id for pair in pairs["as it is"]] == [pair.true_id for pair in pairs["true poses"]]


@pytest.mark.skipif(REALDATA is None, reason="STVLM_REALDATA is not set")
def test_the_program_writes_a_page_of_real_recordings(tmp_path: Path) -> None:
    """KITTI's sequence 0001, whose images are not here: with known poses and boxes alone."""
    source = f"kitti={REALDATA}/kitti_tracking"
    command = [sys.executable, PROGRAM, RECIPE, "--source", source, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "validation.json").read_text())
    posed = result["rungs"]["true poses"]
    assert result["rungs"]["as it is"]["left_out"] == {"an image does not decode": posed["moving"]}
    assert posed["kept"]["value"] >= 0.2 and posed["within_25_percent"]["value"] >= 0.75
    assert posed["parked_called_moving"]["value"] == 0 and posed["moving"] >= 3
    assert "true poses" in done.stdout and (tmp_path / "out" / "index.html").exists()


def test_a_source_without_truth_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, PROGRAM, RECIPE, "--source", f"bdd100k={tmp_path}", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --source bdd100k: has no truth to compare with; give one of simulation, ")


def test_why_what_moves_has_no_label_is_told_where_any_has_none() -> None:
    scores = {"as it is": {"left_out": {"too far": 2, "too uncertain": 1}}, "true poses": {"left_out": {}}}
    assert left_out_lines(scores) == ["left out as it is: too far (2); too uncertain (1)"]

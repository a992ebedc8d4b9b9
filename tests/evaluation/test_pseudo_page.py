"""The page of a validation, from a handful of pairs."""

import json
from pathlib import Path

import numpy as np
import pytest

from stvlm.evaluation.pseudo_page import _onto, write_page
from stvlm.pseudo_labels.pairs import Found, Pair
from stvlm.pseudo_labels.validation import validate
from stvlm.records import Rejected

ABOUT = {"recipe": {}, "sources": ["kitti"]}
TURNED = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


def pair(true_m: float, found_m: float) -> Pair:
    """Straight ahead, and in a reconstruction whose axes are others."""
    true_xyz_m = np.linspace(0, true_m, 9)[:, None] * [1, 0, 0]
    found_xyz_m = np.linspace(0, found_m, 9)[:, None] * [1, 0, 0] @ TURNED
    found = Found(4.0, True, "A", true_xyz_m, found_xyz_m, true_m, found_m, 2.0, 12, 12)
    return Pair("e", f"{true_m}", "car", True, 15.0, true_m * 0.9, 0.0, found)


def test_the_page_holds_tables_and_figures_and_loads_nothing(tmp_path: Path) -> None:
    report = validate([pair(10, 12), pair(20, 30), pair(8, 8)._replace(found=Rejected("too <short>"))])
    write_page({"as it is": report}, tmp_path, ABOUT)
    text = (tmp_path / "index.html").read_text()
    assert "3 moving and 0 parked objects in 1 excerpts of kitti" in text
    assert "too &lt;short&gt;" in text and ">66.7% [" in text
    assert text.count("data:image/svg+xml") == 4 and "http" not in text.replace("http-equiv", "")
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "calibration.png", "range.png", "sweep.png", "views.png",
    ]  # fmt: skip
    result = json.loads((tmp_path / "validation.json").read_text())
    assert result["rungs"]["as it is"]["within_25_percent"]["value"] == 0.5 and result["sources"] == ["kitti"]


def test_each_rung_is_a_row_and_the_first_that_has_labels_is_shown_in_full(tmp_path: Path) -> None:
    nothing = validate([pair(8, 8)._replace(found=Rejected("too short"))])
    write_page({"as it is": nothing, "true poses": validate([pair(10, 12)])}, tmp_path, ABOUT)
    text = (tmp_path / "index.html").read_text()
    assert "from the second table on, true poses" in text
    assert text.index(">as it is<") < text.index(">true poses<") < text.index("kept of what moves")


def test_where_nothing_is_kept_there_are_tables_only(tmp_path: Path) -> None:
    nothing = validate([pair(8, 8)._replace(found=Rejected("too short"))])
    write_page({"as it is": nothing}, tmp_path, ABOUT)
    assert "data:image" not in (tmp_path / "index.html").read_text()


def test_paths_are_turned_onto_the_truth_and_not_mirrored() -> None:
    places_m = np.array([[0.0, 0, 0], [4, 0, 0], [4, 2, 0], [3, 3, 1]]) - [2.75, 1.25, 0.25]
    np.testing.assert_allclose(_onto(places_m @ TURNED, places_m), places_m, atol=1e-9)
    mirrored = _onto(places_m * [1, 1, -1], places_m)
    assert not np.allclose(mirrored, places_m, atol=0.1)
    assert np.linalg.norm(mirrored, axis=1) == pytest.approx(np.linalg.norm(places_m, axis=1))

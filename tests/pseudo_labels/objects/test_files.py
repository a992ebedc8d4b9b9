"""Annotation files written by hand, of a video of four frames of 20 x 10 pixels."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stvlm.pseudo_labels.artefacts import Footage, decode_mask
from stvlm.pseudo_labels.objects.files import decompressed, read_coco, read_mot
from stvlm.records import DataError

FOOTAGE = Footage("street", np.arange(4) / 2, (20, 10))
GROUND_TRUTH = """\
1, 7, 5, 4, 5, 2, 1, 3, 1.0
2, 7, 6, 4, 5, 2, 1, 3, 0.5
1, 3, 19, 6, 6, 3, 1, 1, 0.9
1, 9, 1, 1, 5, 5, 0, 1, 1.0
2, 8, 2, 2, 5, 5, 1, 12, 1.0
4, 3, 30, 6, 6, 3, 1, 1, 1.0
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "gt.txt"
    path.write_text(text)
    return path


def test_ground_truth_of_motchallenge(tmp_path: Path) -> None:
    """It counts pixels from 1: columns 5 to 9, rows 4 and 5 are 4 to 8, 3 and 4, and end half a pixel further out."""
    objects, left_out = read_mot(write(tmp_path, GROUND_TRUTH), FOOTAGE)
    car, walker = objects.tracks
    assert (car.track_id, car.category, walker.track_id, walker.category) == ("7", "car", "3", "person")
    np.testing.assert_array_equal(car.boxes_px[:2], [[3.5, 2.5, 8.5, 4.5], [4.5, 2.5, 9.5, 4.5]])
    assert np.isnan(car.boxes_px[2:]).all() and car.score.tolist() == [1, 1, 0, 0]
    assert car.occluded.tolist() == [False, True, False, False], "half of it is visible in frame 2"
    assert car.hidden_foot == walker.hidden_foot == 0.05
    np.testing.assert_array_equal(walker.boxes_px[0], [17.5, 4.5, 19.5, 7.5])  # cut at the right border
    assert walker.truncated.tolist() == [True, False, False, False]
    reasons = ["not to be considered", "of a class that is not asked for", "a box without a size in the image"]
    assert left_out == Counter(reasons)


def test_a_class_may_be_named(tmp_path: Path) -> None:
    objects, left_out = read_mot(write(tmp_path, "1,7,5,4,5,2,1,Lorry,1\n1,8,5,4,5,2,1, dog ,1\n"), FOOTAGE)
    assert [track.category for track in objects.tracks] == ["truck", "animal"] and not left_out


def test_results_of_a_tracker(tmp_path: Path) -> None:
    """The nearer of both, further down, hides the right half of the other."""
    path = write(tmp_path, "1,1,3,4,5,2,0.75,-1,-1,-1\n1,2,5.5,4,5,3,-1,-1,-1,-1\n\n")
    (far, near), left_out = read_mot(path, FOOTAGE, category="car")[0].tracks, read_mot(path, FOOTAGE, "car")[1]
    assert (far.score[0], near.score[0]) == (0.75, 1.0)
    assert (far.occluded[0], near.occluded[0]) == (True, False) and far.hidden_foot is None
    assert not left_out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1,3,4", "has not the columns frame, id, left, top, width, height and up to four columns more"),
        ("1,1,3,4,5,2,1,trcuk,1", "class 'trcuk' is not known; did you mean 'truck'"),
        ("1,1,3,4,five,2,1", "could not convert string to float: 'five'; give numbers between commas"),
        ("1,1,3,4,nan,2,1", "has not the columns"),
        ("1,1,3,4,5,2,1,bar,1", "class 'bar' is not known; did you mean 'car'"),
        ("5,1,3,4,5,2,1", "frame 5 of a video of 4; give the file of this video"),
        ("0,1,3,4,5,2,1", "frame 0 of a video of 4"),
        ("1,-1,3,4,5,2,1", "a detection without an id; give the file of a tracker"),
        ("1,1.5,3,4,5,2,1", "1.5 is no whole number"),
        ("1,1,3,4,5,2,35.2", r"confidence 35.2 is not in 0\.\.1; scale the column"),
    ],
)
def test_a_wrong_line_is_told(line: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"1,1,3,4,5,2,1\n{line}\n")
    with pytest.raises(DataError, match=f"{path}, line 2: .*{message}") as told:
        read_mot(path, FOOTAGE, category="car")
    assert "\n" not in str(told.value)


def test_what_a_mot_file_cannot_tell_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "1,1,3,4,5,2,1,-1,-1,-1")
    with pytest.raises(DataError, match="line 1: names no class; give nine columns, with the class in the eighth"):
        read_mot(path, FOOTAGE)
    with pytest.raises(DataError, match="category 'horse' is not one of car, truck"):
        read_mot(path, FOOTAGE, category="horse")
    with pytest.raises(DataError, match=f"{tmp_path / 'no.txt'}: does not read .*; give a MOTChallenge file"):
        read_mot(tmp_path / "no.txt", FOOTAGE)


def coco() -> dict[str, Any]:
    """A car in the first two of the video's frames, whose images are not in order, and a bus in another video."""
    images = [{"id": 10 + k, "video_id": 1, "frame_id": k, "width": 20, "height": 10} for k in (2, 0, 3, 1)]
    annotations = [
        {"image_id": 10, "category_id": 1, "bbox": [4, 3, 5, 2], "track_id": 4, "score": 0.5},
        {"image_id": 11, "category_id": 1, "bbox": [5, 3, 5, 2], "track_id": 4},
        {"image_id": 11, "category_id": 1, "bbox": [3, 3, 50, 2], "track_id": 5, "iscrowd": 1},
        {"image_id": 20, "category_id": 2, "bbox": [5, 3, 5, 2], "instance_id": 4},
    ]
    return {
        "videos": [{"id": 1, "name": "street"}, {"id": 2, "name": "square"}],
        "images": [*images, {"id": 20, "video_id": 2, "frame_id": 0, "width": 20, "height": 10}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "Pickup"}, {"id": 2, "name": "bus"}],
    }


def write_coco(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda data: None) -> Path:
    data = coco()
    change(data)
    path = folder / "annotations.json"
    path.write_text(json.dumps(data))
    return path


def test_one_video_of_a_coco_file(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    objects, left_out = read_coco(path, FOOTAGE)
    (car,) = objects.tracks
    assert (car.track_id, car.category, car.masks) == ("4", "car", None)
    np.testing.assert_array_equal(car.boxes_px[:2], [[3.5, 2.5, 8.5, 4.5], [4.5, 2.5, 9.5, 4.5]])
    assert car.score.tolist() == [0.5, 1, 0, 0]
    assert left_out == Counter(["a crowd"])
    (bus,) = read_coco(path, Footage("any", np.zeros(1), (20, 10)), video="square")[0].tracks
    assert (bus.track_id, bus.category) == ("4", "bus")


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [10, 20], "counts": [23, 2, 8, 2, 165]},  # 20 pixels of two columns, and 3; then down columns 2 and 3
        {"size": [10, 20], "counts": "g0280m4"},
        [[2, 3, 4, 3, 4, 5, 2, 5]],
    ],
    ids=["run lengths", "compressed", "polygon"],
)
def test_a_mask_tells_the_box(segmentation: Any, tmp_path: Path) -> None:
    path = write_coco(tmp_path, lambda data: data["annotations"][0].update(segmentation=segmentation))
    (car,) = read_coco(path, FOOTAGE)[0].tracks
    assert car.masks is not None and car.masks[0] is not None
    expected = np.zeros((10, 20), dtype=bool)
    expected[3:5, 2:4] = True
    np.testing.assert_array_equal(decode_mask(car.masks[0], (20, 10)), expected)
    np.testing.assert_array_equal(car.boxes_px[0], [1.5, 2.5, 3.5, 4.5])


def test_an_empty_mask_leaves_the_box(tmp_path: Path) -> None:
    nothing = {"size": [10, 20], "counts": [200]}
    path = write_coco(tmp_path, lambda data: data["annotations"][0].update(segmentation=nothing))
    (car,) = read_coco(path, FOOTAGE)[0].tracks
    assert car.masks is None
    np.testing.assert_array_equal(car.boxes_px[0], [3.5, 2.5, 8.5, 4.5])


def test_masks_are_not_held_as_pixels(tmp_path: Path) -> None:
    """Forty of 640 x 480 would be 12 MB."""
    mask = {"size": [480, 640], "counts": [480, 200, 306520]}
    data = {
        "images": [{"id": k, "frame_id": k, "width": 640, "height": 480} for k in range(40)],
        "annotations": [
            {"image_id": k, "category_id": 1, "bbox": [1, 0, 1, 200], "track_id": 1, "segmentation": mask}
            for k in range(40)
        ],
        "categories": [{"id": 1, "name": "car"}],
    }
    path = tmp_path / "long.json"
    path.write_text(json.dumps(data))
    tracemalloc.start()
    try:
        (car,) = read_coco(path, Footage("long", np.arange(40) / 10, (640, 480)))[0].tracks
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(car.boxes_px, np.tile([0.5, -0.5, 1.5, 199.5], (40, 1)))
    assert peak_bytes < 4e6


def test_run_lengths_are_differences_from_the_fourth_on() -> None:
    """Characters count from "0". 23 is 10111, whose highest bit would be a sign: so a 0 follows, and g is 32 + 23."""
    assert decompressed("").tolist() == []
    assert decompressed("g0").tolist() == [23]
    assert decompressed("5").tolist() == [5]
    assert decompressed("5312").tolist() == [5, 3, 1, 5]  # 2 more than the 3
    assert decompressed("531N").tolist() == [5, 3, 1, 1]  # N is 11110: 2 less than the 3
    with pytest.raises(ValueError, match="' ' is no character of run lengths"):
        decompressed("5 3")
    with pytest.raises(ValueError, match="cut off"):
        decompressed("g")


def test_flags_of_the_file_are_kept_where_all_annotations_have_them(tmp_path: Path) -> None:
    def flag(data: dict[str, Any]) -> None:
        data["annotations"][0]["occluded"] = True
        data["annotations"][1]["occluded"] = 0
        data["annotations"][2]["occluded"] = 0
        data["annotations"][0]["truncated"] = True

    (car,) = read_coco(write_coco(tmp_path, flag), FOOTAGE)[0].tracks
    assert car.occluded.tolist() == [True, False, False, False]
    assert not car.truncated.any(), "only one of them says it, and no box touches the border"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("images"), "missing required field `images`"),
        (lambda data: data["annotations"][1].pop("bbox"), r"field `bbox` - at `\$.annotations\[1\]`"),
        (lambda data: data["annotations"][1].pop("track_id"), "annotation 2: has neither track_id nor instance_id"),
        (lambda data: data["annotations"][1].update(category_id=9), "annotation 2: category 9 is not among"),
        (lambda data: data["annotations"][1].update(score=2), r"annotation 2: score 2 is not in 0\.\.1"),
        (lambda data: data["images"].pop(0), "has 3 images of video 'street', which has 4 frames; give one image"),
        (lambda data: data["images"][0].update(width=21), "image 12 is 21 x 10, the video 20 x 10"),
        (lambda data: data["images"][0].update(frame_id=1), "an image without a frame_id, or two with the same"),
        (lambda data: data["images"][0].pop("frame_id"), "an image without a frame_id, or two with the same"),
        (lambda data: data["videos"][0].update(name="road"), "no of its 2 videos is called 'street'; give a video's"),
        (
            lambda data: data["annotations"][0].update(segmentation={"size": [10, 20], "counts": [5]}),
            "annotation 1: its mask is of another size than the image, 20 x 10",
        ),
        (
            lambda data: data["annotations"][0].update(segmentation={"size": [10, 20], "counts": "g"}),
            "annotation 1: the run lengths are cut off; write the mask again",
        ),
        (
            lambda data: data["annotations"][0].update(segmentation=[[1, 2, 3, 4]]),
            "annotation 1: a polygon of 4 numbers; give x and y of three corners or more",
        ),
    ],
)
def test_a_wrong_coco_file_is_told(change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path) -> None:
    path = write_coco(tmp_path, change)
    with pytest.raises(DataError, match=f"{path}.*{message}") as told:
        read_coco(path, FOOTAGE)
    assert "\n" not in str(told.value)


def test_a_file_that_is_no_json_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "1,1,3,4,5,2,1")
    with pytest.raises(DataError, match=f"{path}: does not read .*; give COCO's JSON"):
        read_coco(path, FOOTAGE)

"""Cars before a camera of 100 px of focal length that looks along x, and what labels make of them."""

import numpy as np
import pytest

from stvlm.kinematics import Measurement
from stvlm.pseudo_labels.artefacts import LiftedTrack, ObjectTrack, ObjectTracks, Provenance
from stvlm.pseudo_labels.filters import Grade, Label
from stvlm.pseudo_labels.pairs import UNMATCHED, Asking, Found, Pair, compare, match
from stvlm.pseudo_labels.validation import validate
from stvlm.records import Array, Camera, Noise, Rejected, Scene, Track

TIMES_S = np.arange(41) / 10
TIMES_NS = 7_000_000_000 + (TIMES_S * 1e9).astype(np.int64)
ASKING = Asking(least_height_px=5)
ACROSS_M = np.stack([np.full(41, 20.0), 4 - 2 * TIMES_S, np.ones(41)], axis=1)  # 8 m to the right in 4 s
STILL_M = np.tile([20.0, -9, 1], (41, 1))


def track(track_id: str, xyz_m: Array) -> Track:
    """A cube of 2 m."""
    return Track(track_id, "car", TIMES_NS, xyz_m, np.full((len(xyz_m), 3), 2.0), np.zeros(len(xyz_m)))


def scene(*tracks: Track) -> Scene:
    pose = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])
    camera = Camera("front", 200, 100, 100.0, 100.0, 99.5, 49.5)
    return Scene(
        "made", "1", "train", "lidar", "driving", 0.0, camera, TIMES_NS, np.tile(pose, (41, 1, 1)), tracks
    )  # fmt: skip


def objects(**places_m: Array) -> ObjectTracks:
    """Boxes where the near sides of cubes at some places are, 19 m ahead."""
    tracks = []
    for name, xyz_m in places_m.items():
        left = 99.5 - 100 * (xyz_m[:, 1] + 1) / 19
        boxes_px = np.stack([left, np.full(41, 44.2), left + 200 / 19, np.full(41, 54.8)], axis=1)
        no = np.zeros(41, dtype=bool)
        tracks.append(ObjectTrack(name, "car", boxes_px, np.ones(41), no, no))
    return ObjectTracks(TIMES_S, (200, 100), tuple(tracks), Provenance("made"))


def label(xyz_m: Array, way_m: float, moving: bool = True, grade: Grade = "A") -> Label:
    lifted = LiftedTrack("x", "car", TIMES_S, xyz_m, np.zeros((41, 3, 3)))
    return Label(
        lifted, moving, Measurement(way_m, 1.0, 0.0), Measurement(way_m * 0.9, 0.9, 0.0), Noise(0.5, 0.5, 0.1), grade
    )


def test_objects_are_matched_by_where_they_are_in_the_image() -> None:
    truth = scene(track("moves", ACROSS_M), track("stands", STILL_M))
    assert match(truth, objects(a=STILL_M, b=ACROSS_M)) == {"a": "stands", "b": "moves"}
    assert match(truth, objects(a=STILL_M + np.array([0, 5, 0]))) == {}
    late = objects(b=ACROSS_M)
    boxes_px = np.array(late.tracks[0].boxes_px)
    boxes_px[:30] = np.nan
    seen = ObjectTrack("b", "car", boxes_px, np.ones(41), late.tracks[0].truncated, late.tracks[0].occluded)
    assert match(truth, ObjectTracks(TIMES_S, (200, 100), (seen,), Provenance("made"))) == {"b": "moves"}


def test_a_label_is_held_to_the_truth_over_its_own_seconds() -> None:
    """Told as 10 m instead of 8 in 4 s: 25 % or 1.8 km/h too much. In the reconstruction's own frame, x is left."""
    truth = scene(track("moves", ACROSS_M), track("stands", STILL_M))
    elsewhere_m = 1.25 * ACROSS_M[:, [1, 0, 2]] + 100
    moves, stands = compare("e", truth, objects(b=ACROSS_M), {"b": label(elsewhere_m, 10.0)}, ASKING)
    assert (moves.true_id, moves.moves, moves.category) == ("moves", True, "car")
    assert moves.speed_kmh == pytest.approx(7.2) and moves.ego_speed_kmh == 0
    assert moves.range_m == pytest.approx(np.hypot(20, 2))
    assert isinstance(moves.found, Found) and moves.found.seconds == 4
    assert moves.found.true_m == pytest.approx(8) and moves.found.relative == pytest.approx(0.25)
    assert moves.found.error_kmh == pytest.approx(1.8) and moves.found.displacement_error_m == pytest.approx(2)
    assert (moves.found.true_hour, moves.found.found_hour) == (12, 12)
    assert (stands.moves, stands.found) == (False, Rejected(UNMATCHED))
    (alone,) = compare("e", scene(track("moves", ACROSS_M)), objects(b=ACROSS_M), {"b": Rejected("too short")}, ASKING)
    assert alone.found == Rejected("too short")


def test_what_is_cut_off_or_small_or_seen_briefly_could_not_be_labelled() -> None:
    """At 20 m the image reaches 20 m to each side; 11 px is the height of what is 2 m tall there."""
    truth = scene(track("moves", ACROSS_M))
    assert compare("e", truth, objects(), {}, Asking(least_height_px=12)) == []
    assert compare("e", truth, objects(), {}, Asking(least_height_px=10, least_s=4.5)) == []
    aside = ACROSS_M + np.array([0, 14.5, 0])  # within the image's left edge, 19 m ahead, after 0.5 s
    (pair,) = compare("e", scene(track("moves", aside)), objects(), {}, Asking(least_height_px=10))
    assert pair.moves and pair.speed_kmh == pytest.approx(7.2)


def pair(
    excerpt: str,
    true_m: float,
    found_m: float,
    moves: bool = True,
    told: bool = True,
    hours: tuple[int, int] = (12, 12),
) -> Pair:
    none = np.zeros((9, 3))
    found = Found(4.0, told, "A", none, none, true_m, found_m, 1.0, hours[0], hours[1])
    return Pair(excerpt, "x", "car", moves, 15.0, true_m * 0.9, 0.0, found)


def test_the_figures_of_a_handful() -> None:
    pairs = [
        pair("a", 10, 12.5),  # 25 % too long is still right; 2.5 sigma
        pair("a", 20, 19, hours=(1, 2)),  # 1 sigma
        pair("b", 10, 14, hours=(12, 6)),  # 4 sigma
        pair("b", 11, 11, told=False),
        pair("b", 0.1, 6, moves=False),
        pair("c", 0.1, 0.2, moves=False, told=False),
        pair("c", 30, 0)._replace(found=Rejected("too short")),
    ]
    scores = validate(pairs).scores
    assert (scores["excerpts"], scores["moving"], scores["parked"]) == (3, 5, 2)
    assert scores["kept"]["value"] == pytest.approx(3 / 5)
    assert scores["moving_called_parked"]["value"] == pytest.approx(1 / 5)
    assert scores["parked_called_moving"]["value"] == pytest.approx(1 / 2)
    assert scores["left_out"] == {"too short": 1}
    assert scores["within_25_percent"]["value"] == pytest.approx(2 / 3)
    assert scores["within_25_percent"]["low"] < 2 / 3 < scores["within_25_percent"]["high"]
    assert scores["median_error"] == pytest.approx(0.25)
    assert scores["distance_mae_m"]["value"] == pytest.approx((2.5 + 1 + 4) / 3)
    assert scores["speed_mae_kmh"]["value"] == pytest.approx((2.5 + 1 + 4) / 3 / 4 * 3.6)
    assert scores["hour"]["value"] == pytest.approx(1 / 3) and scores["within_an_hour"]["value"] == pytest.approx(2 / 3)
    assert scores["comparison"]["of"] == 1 and scores["comparison"]["value"] == 1
    assert scores["calibration"]["within_1_sigma"]["value"] == pytest.approx(1 / 3)
    assert scores["calibration"]["within_2_sigma"]["value"] == pytest.approx(1 / 3)
    assert sum(scores["calibration"]["z_count"]) == 3
    assert {name: group["pairs"] for name, group in scores["by"]["relative_sigma"].items()} == {"0.05-0.1": 3}
    assert list(scores["by"]["range_m"]) == ["10-20"] and scores["by"]["category"]["car"]["moving"] == 5
    assert list(scores["by"]["speed_kmh"]) == ["5-15", "15-30"]


def test_tighter_limits_keep_less_and_the_best_are_marked() -> None:
    """Of sigmas of 1 m in 19, 12.5 and 14 m, a limit of 10 % keeps all and one of 7.5 % the first and the last."""
    points = validate([pair("a", 20, 19), pair("a", 10, 12.5), pair("b", 10, 14)]).scores["sweep"]
    of = {(point["most_range_m"], point["most_sigma"]): point for point in points}
    assert of[60.0, 0.1]["kept"] == 1 and of[60.0, 0.1]["within_25_percent"] == pytest.approx(2 / 3)
    assert (60.0, 0.05) not in of
    assert of[20.0, 0.1]["best"]


def test_nothing_gives_no_figures() -> None:
    scores = validate([]).scores
    assert scores["kept"] is None and scores["comparison"] is None and scores["median_error"] is None

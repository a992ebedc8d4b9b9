"""Shortcuts planted by hand: the probe finds each, and none where answers are drawn by lot."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stvlm.dataset import cues, probe
from stvlm.dataset.probe import COLUMNS, Probed
from stvlm.records import DataError

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("task", pa.string()),
        ("target", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("template_id", pa.string()),
        *cues.SCHEMA,
    ]
)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TREES", 20)


def row(number: int, task: str, target: str, **changes: Any) -> dict[str, Any]:
    """A question that shows nothing of its answer."""
    fields: dict[str, Any] = {
        "clip_id": f"clip {number // 2}",
        "task": task,
        "target": target,
        "choices": [],
        "template_id": f"{task}/1",
        "color": "red",
        "category": "car",
        "polarity": 0,
        "window_s": 3.0,
        "clip_s": 3.0,
        "area": [0.1],
        "motion": [0.2],
    }
    return fields | changes


def pair(number: int, rng: np.random.Generator, wins: Any) -> dict[str, Any]:
    """Which of two is fastest or slowest; `wins(motion, polarity)` is the place of the answer."""
    names = [str(name) for name in rng.permutation(["red", "blue", "green"])[:2]]
    motion, polarity = rng.uniform(0.1, 1, 2).tolist(), int(rng.choice([-1, 1]))
    shown = {"choices": names, "color": " ".join(names), "category": "car person", "area": [0.1, 0.1]}
    target = names[wins(motion, polarity)]
    return row(number, "traveling_speed_comparison", target, motion=motion, polarity=polarity, **shown)


def probed(make: Any, train: int = 400, bench: int = 200) -> Probed:
    """What a probe finds that learned from some rows and answers others; `make(number, rng)` is a row."""
    tables = []
    for seed, n in enumerate((train, bench)):
        rng = np.random.default_rng(seed)
        rows = [make(number, rng) for number in range(n)]
        tables.append(pa.Table.from_pylist(rows, SCHEMA).select(list(COLUMNS)))
    (found,) = probe.probe(*tables).values()
    assert found.trained_on == train
    return found


def test_the_larger_motion_in_the_image_always_wins() -> None:
    found = probed(
        lambda number, rng: pair(number, rng, lambda motion, sign: int(np.argmax(np.multiply(motion, sign))))
    )
    assert found.leaks
    assert (found.cue, found.floor) == ("motion", 0.5)  # one colour of three is right less often than one of two
    assert found.low > 0.9 and found.cue_accuracy > 0.95


def test_the_first_that_is_named_always_wins() -> None:
    found = probed(lambda number, rng: pair(number, rng, lambda motion, sign: int(rng.random() < 0.2)))
    assert found.leaks
    assert found.low <= found.accuracy == pytest.approx(0.8, abs=0.08)


def test_a_winner_by_lot_is_no_shortcut() -> None:
    found = probed(lambda number, rng: pair(number, rng, lambda motion, sign: int(rng.integers(2))))
    assert not found.leaks
    assert found.low < found.accuracy == pytest.approx(0.5, abs=0.12)


def test_of_three_the_least_by_its_size() -> None:
    def three(number: int, rng: np.random.Generator) -> dict[str, Any]:
        names, area = ["green", "red", "blue"], rng.uniform(0.1, 1, 3).tolist()
        shown = {"choices": names, "color": " ".join(names), "category": "car car car", "polarity": -1}
        target = names[int(np.argmin(area))]
        return row(number, "traveled_distance_comparison", target, area=area, motion=[0.1] * 3, **shown)

    found = probed(three)
    assert found.leaks and found.cue == "area" and found.accuracy > 0.9


def test_a_speed_told_by_the_window_within_its_tolerance() -> None:
    def told(number: int, rng: np.random.Generator) -> dict[str, Any]:
        seconds = float(rng.choice([2.0, 4.0, 8.0]))
        return row(number, "traveling_speed", f"{5 * seconds * rng.uniform(0.95, 1.05):.2f}", window_s=seconds)

    found = probed(told)
    assert (found.leaks, found.cue, found.accuracy) == (True, "window", 1.0)
    assert found.floor < 0.45  # 10, 20 or 40 km/h


def test_hours_told_by_color_and_intervals_by_the_clip() -> None:
    hours = {"red": "3", "blue": "9", "green": "12"}

    def hour(number: int, rng: np.random.Generator) -> dict[str, Any]:
        color = str(rng.choice(list(hours)))
        return row(number, "movement_direction", hours[color], color=color)

    def interval(number: int, rng: np.random.Generator) -> dict[str, Any]:
        seconds = float(rng.choice([4.0, 10.0, 18.0]))
        end_s = seconds - float(rng.choice([0.0, 0.5]))
        return row(number, "direction_timestamp", f"{seconds - 3:.2f}-{end_s:.2f}", clip_s=seconds)

    assert probed(hour).low > 0.95 and probed(hour).cue == "color"
    assert probed(interval).low > 0.95 and probed(interval).cue == "clip"


def test_a_cue_is_found_that_what_is_frequent_in_training_would_hide() -> None:
    """Of 400 learned 1 in 20 is 3 o'clock, of 200 asked 1 in 2; in either red is 4 in 5 of them, and 1 in 5 of 12."""

    def hour(number: int, rng: np.random.Generator, one_in: int) -> dict[str, Any]:
        is_three = number % one_in == 0
        return row(number, "movement_direction", "3" if is_three else "12",
                   color="red" if (rng.random() < 0.8) == is_three else "blue")  # fmt: skip

    rng = np.random.default_rng(0)
    tables = [pa.Table.from_pylist([hour(number, rng, one_in) for number in range(n)], SCHEMA)
              for n, one_in in ((400, 20), (200, 2))]  # fmt: skip
    found = probe.probe(*tables)["movement_direction"]
    assert found.leaks and found.cue == "color"
    assert (found.floor, found.accuracy) == (0.5, pytest.approx(0.8, abs=0.07))


def test_same_or_different_told_by_the_words() -> None:
    def same(number: int, rng: np.random.Generator) -> dict[str, Any]:
        sign = int(rng.choice([-1, 1]))
        choices = ["same", "different"] if sign > 0 else ["different", "same"]
        target = choices[int(rng.random() < 0.1)]  # "yes" is right nine times in ten
        two = {"color": "red blue", "category": "car car", "area": [0.1, 0.2], "motion": [0.1, 0.2]}
        return row(number, "movement_direction_comparison", target, choices=choices, polarity=sign, **two)

    found = probed(same)
    assert found.leaks
    assert found.accuracy == pytest.approx(0.9, abs=0.06)


def test_what_stays_within_five_points_of_the_floor_is_no_leak() -> None:
    found = Probed(0.5, 0.45, 0.4, "area", 0.44, 0.38, 400)
    assert not found.leaks
    assert found._replace(low=0.46).leaks
    assert found._replace(cue_low=0.46).leaks


def test_tasks_of_one_table_only_are_left_out() -> None:
    hours = pa.Table.from_pylist([row(0, "movement_direction", "3")], SCHEMA)
    speeds = pa.Table.from_pylist([row(0, "traveling_speed", "30.00")], SCHEMA)
    assert probe.probe(hours, speeds) == {}


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs scikit-learn, which is not installed: pip install scikit-learn"):
        probe.check_installed()


def test_a_folder_without_rows_is_told(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        probe.read_cues([str(tmp_path)])
    (tmp_path / "made" / "train").mkdir(parents=True)
    (tmp_path / "made" / "train" / "metadata.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"metadata.parquet: not rows of this version"):
        probe.read_cues([str(tmp_path)])

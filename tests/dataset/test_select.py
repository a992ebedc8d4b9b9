"""Bins, and the choice of rows that evens them out."""

from collections import Counter

import pyarrow as pa
import pytest

from stvlm.dataset.select import Selection, label_of, select


@pytest.mark.parametrize(
    ("task", "target", "label"),
    [
        ("traveled_distance", "2.00", "1.5-2.2 m"),  # 1.5^1 = 1.5, 1.5^2 = 2.25
        ("traveled_distance", "2.26", "2.2-3.4 m"),
        ("traveling_speed", "15.04", "11.4-17.1 km/h"),  # 1.5^6 = 11.4, 1.5^7 = 17.1
        ("traveling_speed", "0.90", "0.7-1.0 km/h"),
        ("movement_direction", "12", "12 o'clock"),
        ("direction_timestamp", "3.50-6.00", "2-3 s long"),
        ("traveled_distance_comparison", "red", "red"),
        ("movement_direction_comparison", "same", "same"),
    ],
)
def test_labels_by_hand(task: str, target: str, label: str) -> None:
    assert label_of(task, target) == label


def rows(**targets: int) -> pa.Table:
    """So many rows of each hour."""
    return pa.Table.from_pylist(
        [
            {"split": "train", "task": "movement_direction", "target": hour.removeprefix("h"), "choices": [],
             "id": f"{hour}-{i}"}
            for hour, n in targets.items()
            for i in range(n)
        ]
    )


def test_labels_are_taken_in_turn() -> None:
    chosen = select(rows(h12=90, h3=5, h9=2), Selection(rows_per_task=9)).column("target").to_pylist()
    assert (chosen.count("12"), chosen.count("3"), chosen.count("9")) == (4, 3, 2)
    assert chosen == sorted(chosen, key=["12", "3", "9"].index)  # their order stays


def test_the_object_named_first_is_right_no_more_often() -> None:
    """Of 60 questions red is named first and wins in 40; of the eight chosen every case makes up a quarter."""
    cases = {("red", "red"): 40, ("red", "blue"): 10, ("blue", "red"): 6, ("blue", "blue"): 4}  # first named, winner
    table = pa.Table.from_pylist(
        [
            {"split": "train", "task": "traveled_distance_comparison", "target": winner, "id": f"{first}{winner}{i}",
             "choices": [first, "blue" if first == "red" else "red"]}
            for (first, winner), n in cases.items()
            for i in range(n)
        ]
    )  # fmt: skip
    chosen = select(table, Selection(rows_per_task=8)).to_pylist()
    assert Counter((row["choices"][0], row["target"]) for row in chosen) == dict.fromkeys(cases, 2)


def test_every_split_and_task_has_its_own_rows() -> None:
    table = rows(h12=5)
    other = table.set_column(0, "split", pa.array(["test"] * 5))
    assert len(select(pa.concat_tables([table, other]), Selection(rows_per_task=3))) == 6


def test_what_is_chosen_does_not_depend_on_the_order_of_rows() -> None:
    table = rows(h12=50)
    forwards = select(table, Selection(rows_per_task=7)).column("id").to_pylist()
    backwards = select(table.take(list(range(49, -1, -1))), Selection(rows_per_task=7)).column("id").to_pylist()
    assert forwards == backwards[::-1]


def test_none_keeps_all() -> None:
    assert select(rows(h12=4), Selection()).equals(rows(h12=4))
    assert len(select(rows(h12=4), Selection(rows_per_task=9))) == 4

"""The figures in benchmarks/README.md are those of the result files."""

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("against_nuscenes_devkit", "nuscenes"),
        ("collator", "collator"),
        ("scoring", "scoring"),
        ("intervals", "intervals"),
        ("blind_answers", "blind_answers"),
        ("grpo_tiny", "grpo_tiny"),
        ("pseudo_labels", "pseudo_labels"),
        ("simulated_pseudo_labels", "simulated_pseudo_labels"),
    ],
)
def test_the_table_is_the_one_that_was_measured(name: str, result: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # as when the program is run
    spec = spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    program = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, program)  # its dataclasses look for themselves there
    spec.loader.exec_module(program)
    measured = json.loads((BENCHMARKS / "results" / f"{result}.json").read_text())
    assert program.as_text(measured) in (BENCHMARKS / "README.md").read_text()


def test_learning_from_answers_helps_on_what_was_not_trained_on() -> None:
    measured = json.loads((BENCHMARKS / "results" / "grpo_tiny.json").read_text())
    reward = measured["train"]["reward"]
    assert reward["last"]["low"] > reward["first"]["high"]
    assert measured["difference"]["average_accuracy"]["low"] > 0


def test_what_was_measured_is_good_enough() -> None:
    """The paper counts what is within 25 % as right; of labels made without networks three in four ought to be."""
    measured = json.loads((BENCHMARKS / "results" / "pseudo_labels.json").read_text())
    assert measured["smoothing"]["rts"]["within_25_percent"] >= 0.92
    for score in measured["lifting"].values():
        assert score["within_25_percent"] >= 0.75 and score["speed_mae_kmh"] <= 3 and score["kept"] >= 0.5
    for drive in measured["odometry"].values():
        assert abs(drive["path_error"]) <= 0.1 and drive["cpu_s_a_frame"] <= 0.1

"""The figures in benchmarks/README.md are those of the result files."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("against_nuscenes_devkit", "nuscenes"),
        ("scoring", "scoring"),
        ("intervals", "intervals"),
        ("blind_answers", "blind_answers"),
    ],
)
def test_the_table_is_the_one_that_was_measured(name: str, result: str) -> None:
    spec = spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    program = module_from_spec(spec)
    spec.loader.exec_module(program)
    measured = json.loads((BENCHMARKS / "results" / f"{result}.json").read_text())
    assert program.as_text(measured) in (BENCHMARKS / "README.md").read_text()

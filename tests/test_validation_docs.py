"""The tables of docs/validation/README.md are those of the result files beside it."""

import json
from pathlib import Path

import pytest

from stvlm.pseudo_labels.ladder import as_text

VALIDATION = Path(__file__).parent.parent / "docs" / "validation"


@pytest.mark.parametrize("name", ["recordings", "simulated"])
def test_a_table_is_the_one_that_was_measured(name: str) -> None:
    rungs = json.loads((VALIDATION / name / "validation.json").read_text())["rungs"]
    order = sorted(rungs, key=["as it is", "true boxes", "true poses", "true boxes and poses"].index)
    assert as_text({rung: rungs[rung] for rung in order}) in (VALIDATION / "README.md").read_text()
    assert (VALIDATION / name / "index.html").exists()

"""The card of the metric is the one in its folder, and its figures are those that were measured."""

import json
import shutil
from pathlib import Path

from stvlm.cards.metric import render_metric_card

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "benchmarks" / "results"


def test_the_folder_holds_the_card() -> None:
    card = ROOT / "evaluate_metric" / "stkit_bench" / "README.md"
    assert card.read_text(encoding="utf-8") == render_metric_card(MEASURED), "make metric writes it anew"


def test_figures_are_the_files(tmp_path: Path) -> None:
    measured = shutil.copytree(MEASURED, tmp_path / "measured")
    blind = json.loads((measured / "blind_answers.json").read_text())
    blind = {"1": blind["1"], "2": blind["2"]}
    blind["2"]["first_run"] |= {"right": 21, "of": 42}
    (measured / "blind_answers.json").write_text(json.dumps(blind))
    text = render_metric_card(measured, "me/stkit_bench")
    assert "likewise, read 21 of 42 (50.0 %). `benchmarks" in text
    assert 'evaluate.load("me/stkit_bench")' in text and "ORG" not in text

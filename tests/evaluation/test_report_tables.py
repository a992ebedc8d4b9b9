"""The table for a paper: the published rows add up, others are set under them, and names cannot break the markup."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from stvlm.evaluation.published import ST_VLM, published
from stvlm.evaluation.results import Results
from stvlm.evaluation.tables import Paired, as_html, as_latex, as_markdown, difference_table, main_table
from stvlm.scoring import TASKS, Difference

NASTY = r"a_b & 50% $x$ #1 {c} <b>|~^\d* [e]"


def results(name="tiny", **controls):
    """A model that answers half of the distances right, its controls, and the best constant answer."""
    half = {
        "average_accuracy": 0.5, "average_accuracy_low": 0.3, "average_accuracy_high": 0.7,
        "traveled_distance_accuracy": 0.5, "traveled_distance_accuracy_low": 0.25,
        "traveled_distance_accuracy_high": 0.755, "traveled_distance_mae": 12.34, "traveled_distance_count": 40,
        "direction_timestamp_iou": 0.456, "direction_timestamp_iou_low": 0.4, "direction_timestamp_iou_high": 0.5,
        "parse_rate": 0.975,
    }  # fmt: skip
    dataset = {"path": "data/stkit-bench", "config": "default", "split": "test", "fingerprint": "f", "rows": 1400}
    floor = {"average_accuracy": 0.25, "traveled_distance_accuracy": 0.25, "parse_rate": 1.0}
    scores = {"best_constant": floor, **controls, "model": half}
    return Results(Path("results"), name, dataset, {}, {}, scores, {}, {})


def test_published_averages_are_those_of_the_seven_accuracies():
    rows = {name: scores for of_kind in published().groups.values() for name, scores in of_kind.items()}
    assert len(rows) == 12
    for name, scores in rows.items():
        mean = sum(scores[f"{task}_accuracy"] for task in TASKS) / 7
        assert 100 * scores["average_accuracy"] == pytest.approx(100 * mean, abs=0.05 + 1e-9), name


def test_published_accuracies_are_of_200_questions_a_task():
    """Each is a multiple of half a percent, which a digit read wrongly mostly is not."""
    for of_kind in published().groups.values():
        for name, scores in of_kind.items():
            for task in TASKS:
                assert 200 * scores[f"{task}_accuracy"] == pytest.approx(round(200 * scores[f"{task}_accuracy"])), name


def test_what_the_papers_text_says_of_its_table():
    rows = published()
    gain = rows.of(ST_VLM)["average_accuracy"] - rows.of("LLaVA-OneVision-7B")["average_accuracy"]
    assert 100 * gain == pytest.approx(32.4)  # "achieving a 32.4% higher average accuracy than LLaVA-OneVision"
    assert rows.of("GPT-4V")["traveled_distance_accuracy"] == pytest.approx(0.045)
    assert rows.of("GPT-4V")["traveled_distance_mae"] == 33.1


def test_numbers_stand_in_the_papers_columns_with_their_intervals():
    lines = as_markdown(main_table([results(static={"average_accuracy": 0.125})], 600)).splitlines()
    cells = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in lines[2:]}
    assert cells[""][:2] == ["TD Acc", "MAE m"] and cells[""][-2:] == ["Average", "Read"]
    assert cells["tiny"][:3] == ["50.0 [25.0–75.5]", "12.3", "–"]
    assert cells["tiny"][7] == "0.46 [0.40–0.50]"
    assert cells["tiny"][-2:] == ["50.0 [30.0–70.0]", "97.5"]
    assert cells["&ensp;&ensp;first frame only"][-2:] == ["12.5", "–"]
    assert cells["best constant"][0] == "25.0"
    assert " ".join(cells["ST-VLM-7B"]) == "49.5 25.1 42.0 11.6 32.0 1.7 69.0 0.61 75.5 76.5 74.0 59.8 –"
    assert list(cells)[-3:] == ["tiny", "&ensp;&ensp;first frame only", "best constant"]


def test_the_caption_says_what_can_be_compared():
    caption = main_table([results()], 600).caption
    assert "Results on stkit-bench (test: 1,400 questions about 600 clips)." in caption
    assert "ST-VLM, arXiv 2503.19355, Table 3, scored there by GPT-4 on the authors' unreleased benchmark" in caption
    assert "(test: 1,400 questions)." in main_table([results()], None).caption


def test_results_of_several_datasets_stand_apart():
    fixed, again = results(), results()._replace(folder=Path("again"))
    moving = fixed._replace(dataset={**fixed.dataset, "path": "data/moving", "fingerprint": "g", "rows": 9})
    table = main_table([fixed, moving, again], None)
    lines = {group.title: [line.name for line in group.lines] for group in table.groups[-2:]}
    assert lines == {
        "this evaluation, stkit-bench": ["tiny (results)", "tiny (again)", "best constant"],
        "this evaluation, moving": ["tiny", "best constant"],
    }
    assert "Results on stkit-bench (test: 1,400 questions) and moving (test: 9 questions)." in table.caption


def test_controls_come_in_one_order_and_unknown_ones_last():
    some = {"average_accuracy": 0.1}
    assert results(mine=some, no_boxes=some, text_only=some).controls == ["text_only", "no_boxes", "mine"]


@pytest.mark.parametrize("clip_count", [600, None])
def test_every_line_of_latex_fills_all_columns(clip_count):
    text = as_latex(main_table([results(NASTY, black={"average_accuracy": 0.125})], clip_count))
    body = text.split("\\toprule\n")[1].split("\\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3 + 12 + 4 + 3 + 1  # heads, published, titles, ours, the model's intervals
    for row in rows:
        spans = [int(cell.split("{")[1].split("}")[0]) if "multicolumn" in cell else 1 for cell in cells_of(row)]
        assert sum(spans) == 14, row
    assert text.count("{") == text.count("}")


def cells_of(row):
    return [cell.strip() for cell in row.replace(r"\&", "").split("&")]


def test_names_are_text_in_every_form():
    table = main_table([results(NASTY)], 600)
    latex = as_latex(table)
    assert r"a\_b \& 50\% \$x\$ \#1 \{c\} \textless{}b\textgreater{}\textbar{}" in latex
    assert r"\textbar{}\textasciitilde{}\textasciicircum{}\textbackslash{}d{*} {[}e]" in latex
    assert r"| a\_b & 50% \$x\$ \#1 {c} \<b\>\|\~^\\d\* \[e\] | 50.0" in as_markdown(table)
    root = ElementTree.fromstring(as_html(table))
    assert NASTY in [th.text for th in root.iter("th")]
    assert {small.text for small in root.iter("small")} == {"25.0–75.5", "0.40–0.50", "30.0–70.0"}


def test_differences_have_signs_and_no_negative_zero():
    paired = [
        Paired("traveled_distance", 0.5, 0.25, Difference(-0.25, -0.5, -1e-9, 30, 0.0499), 40),
        Paired("average", 0.5, 0.75, Difference(0.25, 0.1, 0.4, 30, 0.0001), 80),
    ]
    table = difference_table("first", {"second": paired})
    lines = as_markdown(table).splitlines()
    assert lines[-2:] == [
        "| traveled distance | 50.0 | 25.0 | −25.0 [−50.0 to +0.0] | 0.050 | 40 | 30 |",
        "| average | 50.0 | 75.0 | +25.0 [+10.0 to +40.0] | < 0.001 | 80 | 30 |",
    ]
    assert "| *second minus first* |" in lines[-3]
    assert r"\scriptsize[$-$50.0 to +0.0]" in as_latex(table)

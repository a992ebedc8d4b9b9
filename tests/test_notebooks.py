"""The notebooks run from a clone, as they are, and come out with what they promise."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def run(name: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All that a notebook's cells print and show, run in a folder `notebooks` beside the programs; its text alone."""
    for folder in ("dataset_builder", "evaluate_metric", "training"):
        (clone / folder).symlink_to(ROOT / folder)
    (clone / "notebooks").mkdir()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HOME", str(clone / "huggingface"))
    book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    NotebookClient(book, timeout=600, resources={"metadata": {"path": clone / "notebooks"}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert "error" not in {output.output_type for output in outputs}
    return "\n".join([*texts, f"{pictures} pictures"])


def test_load_works_an_answer_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("load", tmp_path, monkeypatch)
    answer = re.search(r"by hand (.+) m, in the dataset (.+) m", told)
    assert answer is not None and float(answer[1]) == pytest.approx(float(answer[2]), abs=0.01)
    assert told.endswith("3 pictures")


def test_evaluate_scores_answers_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("evaluate", tmp_path, monkeypatch)
    assert len(re.findall(r"right: True", told)) == 3
    assert (tmp_path / "notebooks" / "report" / "report.html").is_file()
    assert told.endswith("1 pictures")


def test_fine_tune_tiny_leaves_a_model_and_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("fine_tune_tiny", tmp_path, monkeypatch)
    assert (tmp_path / "notebooks" / "adapted" / "adapter" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "notebooks" / "results" / "adapted" / "results.json").is_file()
    assert "model: " in told and told.endswith("2 pictures")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs_and_lead_somewhere(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert not any(cell.outputs or cell.execution_count for cell in book.cells if cell.cell_type == "code")
    words = "".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", words)]
    assert targets and [target for target in targets if not (path.parent / target).exists()] == []

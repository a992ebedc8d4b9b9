"""The card of a model as files: README.md, its pictures, and the scores in the form that the Hub gathers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from huggingface_hub import eval_result_entries_to_yaml

from stvlm.cards import figures as drawn
from stvlm.cards.dataset import CARD
from stvlm.cards.evidence import Evidence
from stvlm.cards.model import Figure, Names, eval_results, render_model_card
from stvlm.evaluation.figures import STYLE, check_installed, radar, ranges, save
from stvlm.evaluation.published import CAUTION, ST_VLM, published
from stvlm.evaluation.responses import MODEL
from stvlm.evaluation.results import read_answers
from stvlm.evaluation.trajectories import FILE, load_trajectories
from stvlm.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

FIGURES, SCORES = "figures", ".eval_results/stkit-bench.yaml"
CAPTIONS = {
    "examples": "A clip for each task: what the model is shown, the paths from above (a dot every 0.5 s, ringed at the "
    "start; grey: the camera), a question, and the true answer.",
    "pipeline": "From recordings to a model, and from others to its scores.",
    "radar": f"Accuracy in %. Dashed: {ST_VLM} of {published().source}, {CAUTION}.",
    "ranges": "Above: accuracy by the true distance and speed, with 95 % intervals over clips. Below: the median "
    "relative error of the answers that could be read.",
    "errors": "Median relative error of distances and speeds, by how far away the object is and how fast it goes, with "
    "95 % intervals over clips; equally many questions between two ticks.",
    "training": "Losses, or rewards, of the training by step, as they were logged and (thick) smoothed; the average "
    "accuracy on a benchmark where it was taken meanwhile, and the learning rate.",
}
STAGES_CAPTION = (
    "Losses of the training by step, as they were logged and (thick) smoothed; above them, what is learned from there "
    "on."
)
"""In place of that of `training`, of a model that learned one thing after the other."""


def write_model_card(found: Evidence, names: Names, out: Path) -> list[str]:
    """Writes README.md, figures and, for a benchmark on the Hub, its scores into a folder; gives the files' names.

    Raises DataError, one line, where answers are not those that were scored, and where matplotlib is missing.
    """
    check_installed()
    import matplotlib

    made = {CARD}
    pictures: dict[str, Figure] = {}
    with matplotlib.rc_context({**STYLE, "savefig.dpi": 200}):
        for name, drawing in _draw(found).items():
            file = f"{FIGURES}/{name}.png"
            save(drawing, out / file)
            is_staged = name == "training" and _stages(found)
            pictures[name] = Figure(file, STAGES_CAPTION if is_staged else CAPTIONS[name])
            made.add(file)
    for name in CAPTIONS.keys() - pictures.keys():
        (out / FIGURES / f"{name}.png").unlink(missing_ok=True)  # of an earlier card
    if names.demo or found.results.dataset.get("revision"):
        entries = eval_result_entries_to_yaml(eval_results(found, names.bench))
        write_text(out / SCORES, yaml.safe_dump(entries, sort_keys=False))
        made.add(SCORES)
    write_text(out / CARD, render_model_card(found, names, {name: pictures.get(name) for name in CAPTIONS}))
    return sorted(made)


def _draw(found: Evidence) -> Mapping[str, Drawing]:
    """The figures that there is something to show in."""
    r = found.results
    rows = found.questions.rows if found.questions else None
    answers = read_answers(r, rows)
    has_paths = rows is not None and (found.questions_at / FILE).is_file()
    trajectories = load_trajectories(str(found.questions_at), r.dataset["split"]) if has_paths else None
    figures = {
        "examples": drawn.examples(rows, trajectories) if rows and trajectories else None,
        "pipeline": _pipeline(found),
        "radar": radar([r]),
        "ranges": ranges([r.name], [answers]),
        "errors": drawn.errors(answers[MODEL], trajectories) if rows and trajectories else None,
        "training": drawn.training_curve(found.training["log"], _stages(found)) if found.training else None,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _pipeline(found: Evidence) -> Drawing | None:
    """None where it is not known what went in."""
    if not (found.trained_on and found.bench and found.training):
        return None
    train, test = found.trained_on.build["report"], found.bench.build["report"]

    def of(report: Mapping[str, int]) -> list[str]:
        return [f"{report[name]:,}" for name in ("recordings", "clips", "rows")]

    r, steps = found.results, ("Recordings", "Clips", "Questions", "Training", found.results.name)
    amounts = [*of(train), f"{found.steps:,} steps", f"{found.training['parameters']:,} weights"]
    tested = [*of(test), f"{r.dataset['rows']:,}", f"beside {len(r.scores) - 1} controls"]
    names = ("Other recordings", "Clips", "Questions", "Answers", "Scores")
    return drawn.pipeline(list(zip(steps, amounts, strict=True)), list(zip(names, tested, strict=True)))


def _stages(found: Evidence) -> list[tuple[str, int]]:
    """What a model learned one after the other, and for how many steps; empty where all at once."""
    recipe = found.training["recipe"] if found.training else {}
    return [(stage["learn"], stage["steps"]) for stage in recipe.get("learning", {}).get("stages", ())]

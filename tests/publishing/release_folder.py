"""All that a release is made of, small: a built dataset and benchmark, a random model, and its results."""

from pathlib import Path

import yaml
from tests.evaluation.results_folder import write_results
from tests.evaluation.tiny_models import write_model

from stvlm.cards.dataset import write_dataset_card
from stvlm.dataset.folder import build
from stvlm.dataset.prepare import BuildRequest
from stvlm.dataset.recipe import Recipe
from stvlm.engine import Engine
from stvlm.evaluation.answering import fingerprint
from stvlm.evaluation.dataset import load_split
from stvlm.files import write_json
from stvlm.recipes import load_recipe

WORLD = {"layouts": ["curve"], "width_px": 96, "height_px": 72, "duration_s": 5.0, "camera_motions": {"fixed": 1.0}}
CLIPS = {"min_frames": 5, "max_frames": 9, "rounds": [2]}


def write_release(place: Path) -> Path:
    """Folders stkit, stkit-bench, st-vlm-tiny and results. The model answers what is right in its first 20 answers."""
    for name, seed, split in (("stkit", 3, "train"), ("stkit-bench", 1003, "test")):
        source = {"simulation": {"seed": seed, "split": split, "recordings": 2, **WORLD}}
        recipe = {"name": name, "title": name, "sources": source, "splits": {split: split}, "clips": CLIPS}
        (place / f"{name}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        request = BuildRequest(load_recipe(place / f"{name}.yaml", Recipe), {}, engine=Engine(workers=1))
        build(request, place / name, write_dataset_card)
    model = write_model(place / "st-vlm-tiny")
    record = {
        "recipe": {
            "dataset": str(place / "stkit"),
            "output_dir": str(model),
            "split": "train",
            "model": None,
            "epochs": 2,
        },
        "dataset_fingerprint": load_split(str(place / "stkit"), "train").fingerprint,
        "parameters": 1000,
        "steps": 40,
        "wall_s": 90.0,
        "log": [{"step": 10 * i, "loss": 4 / i, "learning_rate": 0.001} for i in range(1, 5)],
        "versions": {"stvlm": "0.1.0"},
    }
    write_json(model / "training.json", record)
    rows = load_split(str(place / "stkit-bench"), "test").rows
    answers = {"model": [row["target"] if i < 20 else "7 m" for i, row in enumerate(rows)], "black": [""] * len(rows)}
    write_results(place / "results", place / "stkit-bench", answers, str(model), fingerprint(str(model)))
    return place

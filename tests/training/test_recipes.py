"""Every recipe that is shipped runs: two steps on a small model of its class, stopped after one and gone on with."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from tests.evaluation.tiny_models import write_model
from tests.training.blend_files import write_llava_video, write_open_spatial
from tests.training.small_runs import losses, stop_after
from tests.training.tiny_dataset import write_dataset

from stvlm.recipes import from_mapping, load_recipe
from stvlm.records import DataError
from stvlm.training.families import family_of
from stvlm.training.opening import model_type
from stvlm.training.recipe import BlendSource, NewModel, SFTRecipe, Stage, Stages
from stvlm.training.run import train

ROOT = Path(__file__).parents[2]
OTHERS = {"grpo_tiny", "grpo_7b_lora", "st_vlm_tiny"}
"""Recipes of training/grpo.py and training/from_nothing.py."""
RECIPES = sorted(path for path in (ROOT / "training" / "recipes").glob("*.yaml") if path.stem not in OTHERS)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """What the recipes name, in small: the dataset and its benchmark, what it is blended with, and the base models."""
    root = tmp_path_factory.mktemp("world")
    card = write_dataset(root / "stkit", trajectories=True) / "README.md"
    labelled = '- config_name: labeled\n  data_files:\n  - {split: train, path: "simulation/train/**"}\n---\n'
    card.write_text(card.read_text().removesuffix("---\n") + labelled)
    write_llava_video(root / "LLaVA-Video-178K")
    write_open_spatial(root / "OpenSpatialDataset")
    for kind in ("llava_onevision", "qwen3_vl"):
        write_model(root / kind, kind)
    return root


def in_small(recipe, world, out):
    """The recipe with other paths, counts, sizes and device; all else is as it is."""
    changes = {"dataset": str(world / "stkit"), "output_dir": str(out), "bf16": False, "workers": 0}
    small = min(recipe.batch_size_per_device, 2)
    changes |= {"batch_size_per_device": small, "batch_size": 2 * small, "save_steps": 1, "warmup_steps": 0}
    if recipe.new_model is not None:
        changes["new_model"] = NewModel(32, 8, 16, 2, 1, 1, 400)
        changes["trajectories"] = recipe.trajectories and Stages((Stage("boxes", 1, 2), Stage("questions", 1, 2)), 1)
        changes |= {"epochs": 4}
    else:
        changes["model"] = str(world / ("qwen3_vl" if "qwen3" in recipe.model.lower() else "llava_onevision"))
    if recipe.lora is not None:
        changes["lora"] = dataclasses.replace(recipe.lora, r=4, alpha=8)
    if recipe.benchmark is not None:
        changes["benchmark"] = dataclasses.replace(
            recipe.benchmark, dataset=str(world / "stkit"), questions=3, steps=1, max_new_tokens=3
        )
    if recipe.blend is not None:
        places = {"llava_video": world / "LLaVA-Video-178K", "open_spatial": world / "OpenSpatialDataset"}
        sources = {
            name: dataclasses.replace(source, count=2, **_paths(source, places[name]))
            for name, source in recipe.blend.sources.items()
        }
        changes["blend"] = dataclasses.replace(recipe.blend, sources=sources, max_frames=4)
    return dataclasses.replace(recipe, **changes)


def _paths(source: BlendSource, place: Path) -> dict[str, str]:
    """Where the same files are in small."""
    if source.reader == "llava_video":
        return {"path": str(place)}
    return {"path": str(place / Path(source.path).name), "media": str(place / "train")}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_trains_two_steps_and_resumes(path, world, tmp_path):
    recipe = in_small(load_recipe(path, SFTRecipe), world, tmp_path / "model")
    template = (ROOT / "training" / family_of(model_type(recipe)).CHAT_TEMPLATE).read_text()
    with stop_after(1), pytest.raises(KeyboardInterrupt):
        train(recipe, template)
    with stop_after(2), pytest.raises(KeyboardInterrupt):
        train(recipe, template)
    state = json.loads(next((tmp_path / ".model.training" / "checkpoints").glob("*/trainer_state.json")).read_text())
    assert state["global_step"] == 2
    assert len(losses(state["log_history"])) == 2


STAGES = {"layer": 2, "stages": [{"learn": "boxes", "steps": 1, "batch_size": 1}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": float("nan")}, "r.yaml: learning_rate: expected float, got nan"),
        ({"workers": -1}, "r.yaml: workers must be at least 0, got -1"),
        ({"decay_share": 1.5}, "r.yaml: decay_share must be at most 1, got 1.5"),
        ({"model": None, "new_model": {"heads": 0}}, "r.yaml: new_model: heads must be at least 1, got 0"),
        (
            {"model": None, "new_model": {"language_layers": 1}, "trajectories": STAGES},
            "r.yaml: trajectories: layer is one of the language model's, from 1",
        ),
        ({"benchmark": {"dataset": "b", "steps": 0}}, "r.yaml: benchmark: steps must be at least 1, got 0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_numbers_that_training_cannot_take_are_refused(changes, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        from_mapping(SFTRecipe, {"dataset": "d", "output_dir": "o"} | changes, "r.yaml")

"""Recipes: what is read, and how a mistake is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stvlm.dataset.recipe import Recipe
from stvlm.dataset.video import PRESETS, VideoSettings, write_video
from stvlm.questions.asking import QuestionGates
from stvlm.recipes import from_mapping, load_recipe, to_mapping
from stvlm.records import DataError
from stvlm.sources import _RECORDED

SHIPPED = sorted((Path(__file__).parent.parent / "dataset_builder" / "recipes").glob("[!p]*.yaml"))


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 3
    most: int | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    flag: bool = False
    inner: Inner = field(default_factory=Inner)
    free: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count must not be negative")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_take_their_fields_types(tmp_path: Path) -> None:
    text = "name: a\ncount: 4\nmost: 7\npair: [1, 2.5]\ninner: {share: 1, sizes: [3]}\nfree: {x: {y: [1]}}\n"
    recipe = load_recipe(write(tmp_path, text), Outer)
    assert recipe == Outer("a", 4, 7, (1.0, 2.5), False, Inner(1.0, (3,)), {"x": {"y": [1]}})
    assert type(recipe.inner.share) is float and type(recipe.pair[0]) is float


def test_numbers_without_a_point_are_numbers(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "name: 1e5\npair: [1e-5, -2E3]\n"), Outer) == Outer("1e5", pair=(1e-5, -2e3))


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "name: a\nmost: null\n"), Outer) == Outer("a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\ncuont: 4\n", "recipe.yaml: unknown key 'cuont'; did you mean 'count'?"),
        ("name: a\ninner: {shares: 1}\n", "recipe.yaml: inner: unknown key 'shares'; did you mean 'share'?"),
        ("name: a\nzzz: 1\n", "recipe.yaml: unknown key 'zzz'; known: count, flag, free, inner, most, name, pair"),
        ("name: a\n1: 1\n", "recipe.yaml: unknown key 1; known: "),
        ("count: 4\n", "recipe.yaml: the key 'name' is missing"),
        ("name: a\ncount: many\n", "recipe.yaml: count: expected int, got 'many'"),
        ("name: a\ncount: true\n", "recipe.yaml: count: expected int, got True"),
        ("name: a\ncount: 4.5\n", "recipe.yaml: count: expected int, got 4.5"),
        ("name: a\ninner: {share: yes}\n", "recipe.yaml: inner: share: expected float, got True"),
        ("name: a\ninner: {share: .nan}\n", "recipe.yaml: inner: share: expected float, got nan"),
        ("name: a\nflag: 1\n", "recipe.yaml: flag: expected bool, got 1"),
        ("name: 5\n", "recipe.yaml: name: expected str, got 5"),
        ("name: a\nmost: few\n", "recipe.yaml: most: expected int, got 'few'"),
        ("name: a\npair: [1]\n", "recipe.yaml: pair: expected 2 values, got 1"),
        ("name: a\npair: 1\n", "recipe.yaml: pair: expected a list, got 1"),
        ("name: a\ninner: 3\n", "recipe.yaml: inner: expected keys and values, got int"),
        ("name: a\nfree: [1]\n", r"recipe.yaml: free: expected keys and values, got \[1\]"),
        ("name: a\ncount: -1\n", "recipe.yaml: count must not be negative"),
        ("- a\n", "recipe.yaml: expected keys and values, got list"),
        ("", "recipe.yaml: expected keys and values, got NoneType"),
        ("name: [a\n", "recipe.yaml: not YAML: while parsing"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_key_and_cure(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_recipe(write(tmp_path, text), Outer)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.yaml: cannot read the recipe \(No such file or directory\)"):
        load_recipe(tmp_path / "none.yaml", Outer)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(b"name: \xff")
    with pytest.raises(DataError, match=r"recipe\.yaml: cannot read the recipe \(it is not UTF-8 text\)"):
        load_recipe(tmp_path / "recipe.yaml", Outer)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_read_and_survive_a_round_trip(path: Path) -> None:
    recipe = load_recipe(path, Recipe)
    assert recipe.name.startswith("stkit")
    again = from_mapping(Recipe, yaml.safe_load(yaml.safe_dump(plain(to_mapping(recipe)))), "again")
    assert again == recipe


def plain(value: Any) -> Any:
    """Tuples as lists, which is all that YAML knows."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value


def test_the_papers_numbers_are_the_defaults() -> None:
    recipe = Recipe("a", "A", {})
    assert (recipe.clips.min_frames, recipe.clips.max_frames, recipe.clips.per_track) == (5, 40, 3)
    assert recipe.questions == QuestionGates(per_clip=6, min_distance_m=2.0)
    assert recipe.splits == {"train": "train", "validation": "validation", "test": "test"}


def test_splits_have_three_names_only() -> None:
    with pytest.raises(DataError, match="x: splits are train, validation, test; got val"):
        from_mapping(Recipe, {"name": "a", "title": "A", "sources": {}, "splits": {"val": "test"}}, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select: {table: {kiti: {traveling_speed: 1}}}", "table: 'kiti' is not in sources; did you mean 'kitti'?"),
        ("select: {amounts: {nuplan: {questions: 1, videos: 1}}}", "amounts: 'nuplan' is not in sources; known: kitti"),
        ("select: {table: {kitti: {traveling_sped: 1}}}",
         "table: kitti: unknown task 'traveling_sped'; did you mean 'traveling_speed'?"),
        ("select: {table: {kitti: {traveling_speed: -1}}}",
         "table: kitti: traveling_speed must be at least 0, got -1"),
        ("select: {amounts: {kitti: {questions: -1, videos: 1}}}",
         "amounts: kitti: questions must be at least 0, got -1"),
        ("select: {amounts: {kitti: {questions: 1, videos: -2}}}", "amounts: kitti: videos must be at least 0, got -2"),
        ("select: {rows_per_task: 0}", "rows_per_task must be at least 1, got 0"),
        ("select: {max_rows_per_hour: 0}", "max_rows_per_hour must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_rows_of_what_there_is_not_cannot_be_chosen(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        kitti(text)
    assert str(caught.value) == f"x: select: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "video: {preset: quick}",
            "video: preset is one of ultrafast, superfast, veryfast, faster, fast, medium, slow",
        ),
        ("video: {crf: 52}", "video: crf is x264's, 0 to 51, got 52"),
        ("visibility: {max_occluded: 60}", "visibility: max_occluded is a share of 1, got 60.0"),
        ("questions: {per_clip: -1}", "questions: per_clip, comparisons_per_clip and parts are 0 or more"),
        ("questions: {win_ratio: 0.8}", "questions: win_ratio is at least 1, got 0.8"),
    ],
)
def test_what_no_dataset_can_be_made_by_is_told_before_it_is_begun(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        kitti(text)
    assert str(caught.value).startswith(f"x: {message}")


def test_every_preset_is_one_that_the_encoder_knows(tmp_path: Path) -> None:
    for preset in PRESETS:
        write_video(tmp_path / f"{preset}.mp4", iter(np.zeros((1, 16, 16, 3), np.uint8)), VideoSettings(preset=preset))


def test_no_rows_of_a_task_may_be_wanted() -> None:
    chosen = kitti("select: {table: {kitti: {traveling_speed: 3, direction_timestamp: 0}}}").select
    assert chosen.table == {"kitti": {"traveling_speed": 3, "direction_timestamp": 0}}


def test_a_variant_is_made_once() -> None:
    with pytest.raises(DataError, match=r"^x: variants: mirrored is there twice$"):
        kitti("variants: [mirrored, retimed, mirrored]")


def kitti(text: str) -> Recipe:
    return from_mapping(Recipe, {"name": "a", "title": "A", "sources": {"kitti": {}}, **yaml.safe_load(text)}, "x")


@pytest.mark.parametrize("bench", ["sample_bench", "sample_bench_moving"])
def test_the_sample_benchmarks_show_nothing_of_the_sample(bench: str) -> None:
    train, test = (
        yaml.safe_load((SHIPPED[0].parent / f"{name}.yaml").read_text())["sources"]["simulation"]
        for name in ("sample", bench)
    )
    assert train["seed"] != test["seed"]
    assert not set(train["layouts"]) & set(test["layouts"])
    low, high = sorted([train["focal_per_width"], test["focal_per_width"]])
    assert low[1] < high[0]


def test_the_recipe_for_ones_own_use_takes_every_source() -> None:
    (labelled,) = (path for path in SHIPPED if path.stem == "labelled")
    assert set(load_recipe(labelled, Recipe).sources) == set(_RECORDED)

"""The card of a dataset: every number is the build's, and what the Hub reads is in its form."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stvlm.cards.dataset import VARIANTS_TOLD, Publication, Table, read_configs, render_dataset_card
from stvlm.dataset.variants import VARIANTS
from stvlm.records import DataError

ROOT = Path(__file__).parents[2]
CONFIGS = [
    {"config_name": "default", "default": True, "data_files": [
        {"split": "train", "path": ["kitti/train/**", "nuscenes/train/**"]},
        {"split": "validation", "path": ["nuscenes/validation/**"]},
    ]},
    {"config_name": "kitti", "data_files": [{"split": "train", "path": "kitti/train/**"}]},
    {"config_name": "nuscenes", "data_files": [
        {"split": "train", "path": ["nuscenes/train/**"]}, {"split": "validation", "path": ["nuscenes/validation/**"]}
    ]},
]  # fmt: skip
TABLES = {
    "kitti/train/metadata.parquet": Table(3, frozenset({"kitti"})),
    "nuscenes/train/metadata.parquet": Table(1200, frozenset({"nuscenes"})),
    "nuscenes/validation/metadata.parquet": Table(5, frozenset({"nuscenes"})),
}
MANIFEST: dict[str, Any] = {
    "stvlm": "0.1.0",
    "annotations_only": False,
    "recipe": {
        "title": "My STKit",
        "sources": {"kitti": {}, "nuscenes": {}},
        "splits": {"train": "train", "validation": "validation"},
        "questions": {"win_ratio": 1.5},
        "clips": {"max_frames": 40},
        "variants": ["mirrored", "intrinsics"],
    },
    "report": {
        "rows": 1208,
        "clips": 310,
        "tracks": 77,
        "by_source": {
            "nuscenes train": {"traveled_distance": 1000, "traveling_speed": 200},
            "kitti train": {"traveled_distance": 3},
            "nuscenes validation": {"movement_direction": 5},
        },
        "variants": {"mirrored": {"rows": 9}, "intrinsics": {"rows": 0, "camera of unknown height": 1208}},
        "labels": {},
        "asked_labels": {},
        "floors": {},
        "shared": None,
        "probe": None,
        "shortfalls": [],
        "rejected": {"traveled_distance: moved too little": 12},
        "skipped": {"no images": ["scene-1", "scene-2"]},
    },
}
PUBLISHED = Publication("me/stkit", ["nuscenes"])


def card(publication: Publication | None = None, **changes: Any) -> str:
    report = {**MANIFEST["report"], **changes.pop("report", {})}
    return render_dataset_card({**MANIFEST, **changes, "report": report}, CONFIGS, TABLES, publication)


def front_matter(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_numbers_are_the_builds() -> None:
    text = card()
    assert "1,208 questions with measured answers about 310 clips and 77 moving objects" in text
    assert "| nuscenes train | 1,000 | 200 | 0 | 0 | 0 | 0 | 0 | 1,200 |" in text
    assert "| kitti train | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 3 |" in text
    assert "| `default` | train 1,203, validation 5 | yes |" in text
    assert "the winner beats every other by 1.5 times" in text
    assert "for up to 19.5 s" in text
    assert "| 12 | traveled_distance: moved too little |\n| 2 | skipped: no images |\n" in text


def test_what_is_left_out_is_said() -> None:
    text = card(PUBLISHED)
    assert "| `default` | train 1,203, validation 5 | all but nuscenes |" in text
    assert "| `kitti` | train 3 | yes |" in text
    assert "| `nuscenes` | train 1,200, validation 5 | no |" in text
    assert "The video of nuScenes is not here" in text
    assert "build.py --materialize me/stkit --source NAME=PATH --out DIR" in text
    assert "--materialize" not in card()
    assert "Caesar et al., nuScenes" in text


def test_what_the_hub_reads() -> None:
    front = front_matter(card(PUBLISHED))
    assert front["configs"] == CONFIGS
    assert front["size_categories"] == ["1K<n<10K"]
    assert (front["license"], front["license_name"]) == ("other", "terms-of-the-sources")
    assert front["license_link"] == "https://huggingface.co/datasets/me/stkit#sources-and-licences"
    assert "benchmark" not in front["tags"]
    only = {path: table for path, table in TABLES.items() if "kitti" in table.sources}
    text = render_dataset_card(MANIFEST, CONFIGS[1:2], only, None)
    assert front_matter(text)["license"] == "cc-by-nc-sa-3.0"


@pytest.mark.parametrize(("rows", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (117_000, "100K<n<1M")])
def test_size_categories(rows: int, size: str) -> None:
    assert front_matter(card(report={"rows": rows}))["size_categories"] == [size]


def test_a_benchmark_has_its_floors() -> None:
    floors = {
        "traveled_distance": {"class": 0.2, "constant": 0.1234},
        "movement_direction_comparison": {"constant": 0.5},
    }
    recipe = {**MANIFEST["recipe"], "splits": {"validation": "test"}}
    text = card(recipe=recipe, report={"floors": floors})
    assert "| task | best constant answer | best answer for each class |\n|---|--:|--:|\n" in text
    assert "| traveled_distance | 12.3 | 20.0 |\n| movement_direction_comparison | 50.0 | – |\n" in text
    assert "# My STKit" in text
    assert "An open STKit-Bench" in text
    assert "benchmark" in front_matter(text)["tags"]
    assert "without looking" not in card()


def test_every_variant_is_told() -> None:
    assert set(VARIANTS_TOLD) == set(VARIANTS)
    assert "joined by `base_id`: `mirrored` with left and right exchanged." in card()


def test_sports_are_told_where_there_may_be_some() -> None:
    tables = {"egoexo4d/train/metadata.parquet": Table(3, frozenset({"egoexo4d"})), **TABLES}
    told = render_dataset_card(MANIFEST, CONFIGS, tables, None)
    assert "sum of the 3D distances between positions every 0.5 s; in sports, of the horizontal ones |\n" in told
    assert "a bobbing head gets nowhere, and no direction is asked for.\n\n## Rows" in told
    assert "sum of the 3D distances between positions every 0.5 s |\n" in card()
    assert "sports" not in card()
    simulated = {"simulation/train/metadata.parquet": Table(3, frozenset({"simulation"}))}
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": "simulation/train/**"}]}]
    for options, are_told in (({"layouts": ["curve"]}, False), ({"layouts": ["curve", "court"]}, True), ({}, True)):
        recipe = {**MANIFEST["recipe"], "sources": {"simulation": options}}
        text = render_dataset_card({**MANIFEST, "recipe": recipe}, configs, simulated, None)
        assert ("sports" in text) == are_told


def test_what_the_sources_lack_is_said() -> None:
    text = card(report={"shortfalls": [["nuplan", "direction_timestamp", 164, 120]]})
    assert (
        "| source | what | rows | planned |\n|---|---|--:|--:|\n| nuplan | direction_timestamp | 120 | 164 |\n" in text
    )
    assert "too little of" not in card()


def test_labels_before_selection_are_told_where_they_differ() -> None:
    labels = {"movement_direction": {"12 o'clock": 5}}
    assert "could be asked (red)" in card(
        report={"labels": labels, "asked_labels": {"movement_direction": {"12 o'clock": 9}}}
    )
    assert "could be asked (red)" not in card(report={"labels": labels, "asked_labels": labels})


def test_annotations_only() -> None:
    text = card(Publication("me/stkit"), annotations_only=True)
    assert "The video of KITTI, nuScenes is not here. Make it" in text
    assert "| `default` | train 1,203, validation 5 | no |" in text
    assert "is an mp4" not in text


def test_tables_are_whole() -> None:
    """A Markdown table ends at an empty line, and each of its lines has as many cells as its head."""
    text = card(PUBLISHED, report={"floors": {"traveled_distance": {"constant": 0.5}}})
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 6
    for table in tables:
        lines = table.splitlines()
        assert len(lines) >= 3
        assert len({line.count("|") for line in lines}) == 1, table


def test_the_citation_is_that_of_the_repository() -> None:
    paper = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["preferred-citation"]
    text = card()
    assert f"title   = {{{paper['title']}}}" in text
    assert paper["url"] in text
    assert " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"]) in text


def test_a_readme_without_configs_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Mine\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"README\.md: names no configs; build the dataset again"):
        read_configs(tmp_path)


def test_what_a_training_set_shares_and_cues_tell_is_told() -> None:
    assert "no_shared_day" not in card()
    shared = {"days": {"n015 2018-07-24": ["c1"]}, "near_duplicates": {}, "rows_left": 1190, "clips_of_unknown_day": 4}
    probed = {"floor": 0.155, "accuracy": 0.24, "low": 0.194, "cue": "window", "cue_accuracy": 0.235, "cue_low": 0.186}
    text = card(report={"shared": shared, "probe": {"traveled_distance": probed}})
    assert "`no_shared_day` (1,190 rows)" in text and "(1 such days)" in text
    assert "| traveled_distance | 15.5 | 24.0 (19.4) | window: 23.5 (18.6) |\n" in text

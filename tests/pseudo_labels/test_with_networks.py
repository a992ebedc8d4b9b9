"""From a video file to rows with the networks' real classes, in small and with random weights.

What they find means nothing: that it goes the whole way does, and that it is said who found it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from tests.pseudo_labels.metric_depth.tiny_models import a_tenth_of_red, depth_anything, depth_pro
from tests.pseudo_labels.objects.tiny_models import write_grounding_dino, write_sam2, write_sam3
from tests.pseudo_labels.programs import ANYTHING_MOVES, ASKED_ANYWAY, BUILD, LABEL, run, write_camera, write_recipe
from tests.pseudo_labels.videos.tiny_videos import HEIGHT, WIDTH, drifting, write_video

from stvlm.files import read_json
from stvlm.pseudo_labels import results
from stvlm.pseudo_labels.artefacts import ObjectTracks

FRAMES = 36


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video and small networks, each in a folder called after its kind."""
    place = tmp_path_factory.mktemp("place")
    write_camera(write_video(place / "videos" / "street.mp4", drifting(FRAMES)))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    write_grounding_dino(place / "grounding_dino")
    write_sam2(place / "sam2")
    write_sam3(place / "sam3")
    depth_anything(place / "depth_anything", share=0.1)
    depth_pro(place / "depth_pro")
    a_tenth_of_red(place / "metric3d.onnx")
    torch.set_num_threads(before)
    return place


def grounded_sam2(place: Path) -> Mapping[str, Any]:
    """Random weights neither agree with each other nor stay: each detection may begin an object, which then lasts."""
    rules = {"most_objects": 4, "most_misses": 9, "most_taken": 0.9}
    models = {"detector": str(place / "grounding_dino"), "tracker": str(place / "sam2")}
    return {"by": "grounding_dino_sam2", "grounding_dino_sam2": {**models, "least_score": 0.0, "rules": rules}}


def sam3(place: Path) -> Mapping[str, Any]:
    return {"by": "sam3", "sam3": {"model": str(place / "sam3"), "phrases": ["car", "person"], "most_objects": 8}}


def of_stage(work: Path, name: str) -> Path:
    """The one folder of results of a stage."""
    (folder,) = (path.parent for path in (work / name).glob(f"*/{results.MANIFEST}"))
    return folder


def labelled(place: Path, name: str, objects: Mapping[str, Any], depth: Mapping[str, Any], work: Path) -> Path:
    recipe = write_recipe(
        place / f"{name}.yaml",
        objects=dict(objects),
        geometry={"by": "static_camera"},
        depth=dict(depth),
        lifting={"least_pixels": 1},
        filters={**ANYTHING_MOVES, "least_s": 1.0},
    )
    out = place / f"{name}-labelled"
    result = run(LABEL, recipe, "--source", f"video_folder={place / 'videos'}", "--out", out, "--work", work)
    assert result.returncode == 0, result.stderr
    report = read_json(out / "pseudo_labels.json")
    assert (report["excerpts"], report["labelled_excerpts"]) == (1, 1)
    models = {value for by in (objects, depth) for value in _strings(by[by["by"]]) if value.startswith(str(place))}
    assert {made["model"] for made in report["tools"] if made["model"]} == models
    return out


def _strings(options: Mapping[str, Any]) -> list[str]:
    return [value for value in options.values() if isinstance(value, str)]


def rows_of(place: Path, out: Path) -> list[Any]:
    """Builds a dataset of labels, and loads it."""
    (place / "asked.yaml").write_text(ASKED_ANYWAY, encoding="utf-8")
    built = run(BUILD, place / "asked.yaml", "--source", f"video_folder={out}", "--out", f"{out}-rows")
    assert built.returncode == 0, built.stderr
    return list(datasets.load_dataset(f"{out}-rows", split="train", cache_dir=str(place / "cache")))


def check(rows: list[Any], found: ObjectTracks, *models: str) -> None:
    """Rows are of the tracker's boxes, and say who made them."""
    assert rows
    boxes = {track.track_id: track.boxes_px for track in found.tracks}
    categories = {track.track_id: track.category for track in found.tracks}
    for row in rows:
        assert (row["label_type"], row["source"], row["scene_id"]) == ("pseudo", "video_folder", "street/0")
        assert row["label_grade"] in {"A", "B", "C"}
        for made_by in ("images: for their owner to say", *models, "static_camera"):
            assert made_by in row["licence"]
        assert row["intrinsics_px"] == [60.0, 60.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2]
        for thing in row["objects"]:
            assert thing["category"] == categories[thing["track_id"]]
            start = row["clip_start_ns"] // 10**8
            for time_s, box in zip(row["frame_times_s"], thing["boxes_px"], strict=True):
                if box is not None:
                    found_px = boxes[thing["track_id"]][start + round(time_s * 10)]
                    np.testing.assert_allclose(box, np.clip(found_px, 0, [WIDTH, HEIGHT] * 2), atol=0.51)


def test_grounding_dino_and_sam2_with_depth_anything_and_then_with_metric3d(place: Path) -> None:
    work = place / "work"
    models = [str(place / name) for name in ("grounding_dino", "sam2", "depth_anything")]
    by = {"by": "transformers", "transformers": {"model": models[2], "batch": 8}}
    out = labelled(place, "anything", grounded_sam2(place), by, work)
    found, of_depth = of_stage(work, "objects"), of_stage(work, "depth")
    depth_m = results.read_metric_depth(of_depth).depth_m
    assert depth_m.shape == (FRAMES, HEIGHT, WIDTH)
    np.testing.assert_allclose(depth_m, 8, rtol=1e-5)
    check(rows_of(place, out), results.read_object_tracks(found), *models)

    made_ns = (found / results.MANIFEST).stat().st_mtime_ns
    by = {"by": "metric3d_onnx", "metric3d_onnx": {"model": str(place / "metric3d.onnx")}}
    labelled(place, "metric3d", grounded_sam2(place), by, work)
    assert (of_stage(work, "objects") / results.MANIFEST).stat().st_mtime_ns == made_ns
    (other,) = {path.parent for path in (work / "depth").glob(f"*/{results.MANIFEST}")} - {of_depth}
    # The grey behind the square has red of 90, so that it is at 9 m for 1000 px of focal length.
    depth_m = results.read_metric_depth(other).depth_m
    np.testing.assert_allclose(np.median(depth_m), 9 * 60 / 1000 * metric3d_scale(), rtol=0.03)


def metric3d_scale() -> float:
    """By how much an image of 64 x 48 pixels is enlarged to fit into 1064 x 616."""
    return min(1064 / WIDTH, 616 / HEIGHT)


def test_sam3_with_depth_pro(place: Path) -> None:
    """10 m at a focal length of the image's width: of 60 px of 64, 9.375 m."""
    work = place / "work3"
    models = [str(place / name) for name in ("sam3", "depth_pro")]
    out = labelled(place, "pro", sam3(place), {"by": "transformers", "transformers": {"model": models[1]}}, work)
    np.testing.assert_allclose(results.read_metric_depth(of_stage(work, "depth")).depth_m, 10 * 60 / WIDTH, rtol=1e-4)
    check(rows_of(place, out), results.read_object_tracks(of_stage(work, "objects")), *models)

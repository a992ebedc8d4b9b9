"""dataset_builder/pseudo_label.py and build.py, run as a user does."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.pseudo_labels.videos.tiny_videos import HEIGHT, WIDTH, drifting, write_video

ROOT = Path(__file__).parent.parent.parent
LABEL = [sys.executable, str(ROOT / "dataset_builder" / "pseudo_label.py")]
BUILD = [sys.executable, str(ROOT / "dataset_builder" / "build.py")]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

CAMERA = {"fx_px": 60.0, "fy_px": 60.0, "cx_px": (WIDTH - 1) / 2, "cy_px": (HEIGHT - 1) / 2}
ANYTHING_MOVES = {
    "least_score": 0.0,
    "least_height_px": 1.0,
    "least_area": 0.0,
    "fill": [0.0, 1.0],
    "most_range_m": 1e6,
    "least_coverage": 0.0,
    "most_gap_s": 1.0,
    "most_outliers": 1.0,
    "caps": {name: {"speed_mps": 1e6, "acceleration_mps2": 1e6} for name in ("car", "bus", "truck", "person")},
    "significant_sigmas": 0.0,
    "significant_m": 0.0,
    "most_sigma": 1e6,
    "most_static_kmh": 1e6,
}
"""Limits that keep what is nonsense."""
ASKED_ANYWAY = """
name: tiny
title: Tiny
sources: {video_folder: {}}
splits: {train: train}
clips: {min_frames: 3, max_frames: 9}
visibility: {min_size: 0.0, min_inside: 0.0, max_occluded: 1.0}
questions: {min_distance_m: 0.0, max_relative_noise: 1.0e+6, max_stretch: 1.0e+6, max_heading_noise_deg: 1.0e+6}
"""


def run(program: list[str], *arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT | environment,
        timeout=300,
    )


def write_recipe(path: Path, **settings: Any) -> Path:
    recipe = {"name": "tiny", "sources": {"video_folder": {}}, **settings}
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def write_camera(video: Path, **more: Any) -> None:
    video.with_suffix(".camera.json").write_text(json.dumps({**CAMERA, **more}), encoding="utf-8")


def write_street(video: Path, count: int = 40, **more: Any) -> Path:
    """A video with a camera in which a car, a square, moves to the right by a pixel a frame; MOTChallenge's columns."""
    write_video(video, drifting(count), **more)
    write_camera(video)
    rows = [f"{i + 1},1,{1 + i},11,20,20,1,3,1" for i in range(min(count, WIDTH - 20))]
    video.with_suffix(".mot.txt").write_text("\n".join(rows), encoding="utf-8")
    return video


def contents(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

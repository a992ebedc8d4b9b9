"""Clips that are cut from a built dataset while training."""

import numpy as np
import pytest
import torch
from tests.training.tiny_dataset import STEPS_PX, write_dataset

from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.frames import decode
from stvlm.evaluation.trajectories import load_trajectories
from stvlm.records import DataError
from stvlm.training.augment import CHANNEL
from stvlm.training.dataset_clips import DatasetClips


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return str(write_dataset(tmp_path_factory.mktemp("data") / "tiny", trajectories=True))


def test_each_colour_is_where_its_box_is_and_moves_as_its_object(dataset):
    clips = DatasetClips(load_split(dataset, "train").rows, load_trajectories(dataset, "train"), decode)
    assert clips.lengths == [5, 6]
    seen, zooms = set(), set()
    for seed in range(16):
        cut = clips.draw(5, np.random.default_rng(seed))
        assert cut.frames.shape == (5, 3, 64, 64)
        for color, boxes, xyz_m in zip(cut.colors, cut.boxes, cut.xyz_m, strict=True):
            grey = cut.frames.float().mean(dim=1)
            strength = cut.frames[:, CHANNEL[color]].float() - grey
            columns = torch.nonzero(strength[0].amax(dim=0) > 60).flatten() / 64
            assert columns.min() == pytest.approx(boxes[0, 0], abs=0.1)
            assert columns.max() == pytest.approx(boxes[0, 2], abs=0.1)
            way_m = np.linalg.norm(np.diff(xyz_m, axis=0), axis=1).sum()
            way_px = 64 * abs(boxes[-1, 0] - boxes[0, 0])
            zoom = (boxes[0, 2] - boxes[0, 0]) * 64 / 12  # a box is 12 pixels wide
            assert way_m == pytest.approx(way_px / 2 / zoom)
            zooms.add(round(zoom, 2))
            seen.add((color, round(way_m)))
    assert seen == {(color, 2 * step_px) for color in STEPS_PX for step_px in STEPS_PX.values()}
    assert min(zooms) < 0.9
    assert max(zooms) > 1.05


def test_one_frame_of_a_clip(dataset):
    clips = DatasetClips(load_split(dataset, "train").rows, load_trajectories(dataset, "train"), decode)
    cut = clips.draw(6, np.random.default_rng(0), whole=False)
    assert [len(part) for part in (cut.frames, cut.boxes[0], cut.xyz_m[0], cut.world_SE3_camera)] == [1, 1, 1, 1]


def test_a_clip_without_a_trajectory_is_refused(dataset):
    with pytest.raises(DataError, match=r"clips\.parquet has no clip"):
        DatasetClips(load_split(dataset, "train").rows, {}, decode)


@pytest.mark.parametrize(
    ("changes", "domain", "told"),
    [
        ({"label_type": "lidar"}, "driving", "row train0-0 shows driving, labelled as lidar, and what is learned from"),
        ({}, "sports", "row train0-0 shows sports, labelled as simulated, and what is learned from is simulated"),
        ({"frame_times_s": [0.0, 1.0, 2.0]}, "driving", r"the clip of row train0-0 is not shown every 0\.5 s"),
    ],
)
def test_what_is_not_exact_or_not_of_its_frames_is_refused(dataset, changes, domain, told):
    """Three frames a second apart show five grid points."""
    first = load_split(dataset, "train").rows[0]
    trajectories = load_trajectories(dataset, "train")
    trajectories = {name: of_clip._replace(domain=domain) for name, of_clip in trajectories.items()}
    with pytest.raises(DataError, match=told):
        DatasetClips([first | changes], trajectories, decode)

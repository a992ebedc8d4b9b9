"""Examples and extrinsics before a prompt, by hand."""

import numpy as np
import pytest

from stvlm.evaluation.prompts import Example, draw, make_prompt
from stvlm.evaluation.trajectories import Trajectory, extrinsics_told, trajectory_of
from stvlm.records import DataError

ROW = {
    "id": "a-mirrored",
    "base_id": "a",
    "clip_id": "clip",
    "task": "traveled_distance",
    "source": "nuscenes",
    "scene_id": "scene-0",
    "prompt": "The video lasts. How far?",
    "frame_times_s": [0.0, 0.5, 1.0],
}
EXAMPLES = {
    "traveled_distance": [
        Example(("nuscenes", f"scene-{i // 3}"), f"How far is {i}?", f"{i} meters.") for i in range(30)
    ]
}


def test_examples_are_of_other_scenes_and_the_same_for_every_variant():
    drawn = draw(ROW, EXAMPLES, 9)
    assert {example.scene for example in drawn} == {("nuscenes", f"scene-{i}") for i in range(1, 10)}
    assert draw({**ROW, "id": "a"}, EXAMPLES, 9) == drawn
    assert draw(ROW, EXAMPLES, 3) == drawn[:3]
    assert draw({**ROW, "base_id": "b"}, EXAMPLES, 9) != drawn
    assert draw({**ROW, "source": "kitti"}, EXAMPLES, 10), "the scene of another source is another one"
    with pytest.raises(DataError, match=r"row a-mirrored: 10 examples of traveled_distance are wanted, and 9 other"):
        draw(ROW, EXAMPLES, 10)
    with pytest.raises(DataError, match="and 0 other scenes have one"):
        draw({**ROW, "task": "traveling_speed"}, EXAMPLES, 1)


def test_examples_stand_before_the_prompt_as_text():
    first, second = draw(ROW, EXAMPLES, 2)
    assert make_prompt(ROW, shots=2, examples=EXAMPLES) == (
        "Examples of other videos:\n\n"
        f"Question: {first.question}\nAnswer: {first.answer}\n\n"
        f"Question: {second.question}\nAnswer: {second.answer}\n\n"
        "Now this video.\n\n"
        "The video lasts. How far?"
    )
    assert make_prompt(ROW) == ROW["prompt"]


def pose(x_m=0.0, y_m=0.0, z_m=0.0, rotation=None):
    out = np.eye(4)
    out[:3, :3] = np.eye(3) if rotation is None else rotation
    out[:3, 3] = x_m, y_m, z_m
    return out


RIGHT = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""A quarter turn to the right: what is ahead (z) of the turned camera was to the right (x)."""


def test_extrinsics_are_relative_to_the_first_frame():
    start = pose(100.0, -7.0, 1.5, rotation=[[0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # looks along the world's x
    poses = np.array([start, start @ pose(z_m=5.0), start @ pose(z_m=5.0, rotation=RIGHT)])
    told = extrinsics_told(ROW, poses)
    assert told.endswith(
        "in meters: 0.00 s: [[1.000, 0.000, 0.000, 0.00], [0.000, 1.000, 0.000, 0.00], [0.000, 0.000, 1.000, 0.00]]; "
        "0.50 s: [[1.000, 0.000, 0.000, 0.00], [0.000, 1.000, 0.000, 0.00], [0.000, 0.000, 1.000, 5.00]]; "
        "1.00 s: [[0.000, 0.000, 1.000, 0.00], [0.000, 1.000, 0.000, 0.00], [-1.000, 0.000, 0.000, 5.00]]."
    )
    assert make_prompt(ROW, trajectories={"clip": Trajectory("driving", np.zeros((1, 3, 3)), poses)}) == (
        f"{told}\n\n{ROW['prompt']}"
    )


XYZ_M = np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [2.0, 4.0, 0.0], [3.0, 9.0, 0.0]]])
AHEAD = np.array([pose(z_m=float(i)) for i in range(3)] + [pose(z_m=2.0, rotation=RIGHT)])
CLIPS = {"clip": Trajectory("driving", XYZ_M, AHEAD)}


def seen(variant, times_s):
    clip_id = f"clip-{variant}" if variant else "clip"
    return trajectory_of({**ROW, "clip_id": clip_id, "frame_times_s": times_s}, CLIPS)


def test_variants_have_the_tracks_and_poses_that_would_look_so():
    whole = [0.0, 0.5, 1.0, 1.5]
    assert np.array_equal(seen("", whole).xyz_m, XYZ_M)
    assert seen("reversed", whole).xyz_m[0, :, 0].tolist() == [3.0, 2.0, 1.0, 0.0]
    assert seen("reversed", whole).world_SE3_camera[:, 2, 3].tolist() == [2.0, 2.0, 1.0, 0.0]
    # At one frame a second the second and fourth frame are not shown, and what comes after the last is not known.
    assert seen("retimed", [0.0, 1.0]).xyz_m[0, :, 1].tolist() == [0.0, 1.0, 4.0]
    assert seen("retimed", [0.0, 1.0]).world_SE3_camera[:, 2, 3].tolist() == [0.0, 2.0]
    assert seen("mirrored", whole).xyz_m[0, :, 1].tolist() == [0.0, -1.0, -4.0, -9.0]
    told = extrinsics_told({**ROW, "frame_times_s": whole}, seen("mirrored", whole).world_SE3_camera)
    # A turn to the right is one to the left in the mirror.
    assert told.endswith("[[0.000, 0.000, -1.000, 0.00], [0.000, 1.000, 0.000, 0.00], [1.000, 0.000, 0.000, 2.00]].")
    with pytest.raises(DataError, match=r"trajectories/clips.parquet has no clip lost-mirrored"):
        trajectory_of({**ROW, "clip_id": "lost-mirrored"}, CLIPS)


def test_a_mirrored_camera_sees_mirrored_points():
    mirrored = seen("mirrored", [0.0, 0.5, 1.0, 1.5])
    for i in range(4):
        as_it_is = np.linalg.inv(AHEAD[i]) @ [*XYZ_M[0, i], 1.0]
        in_the_mirror = np.linalg.inv(mirrored.world_SE3_camera[i]) @ [*mirrored.xyz_m[0, i], 1.0]
        assert in_the_mirror == pytest.approx(as_it_is * [-1, 1, 1, 1])

"""Where objects and camera were in a clip: the positions behind the answers, which a built dataset holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from stvlm.geometry import inverse_se3
from stvlm.kinematics import STEP_S
from stvlm.programs import first_line
from stvlm.records import Array, DataError, Domain

Row = Mapping[str, Any]
FILE = "trajectories/clips.parquet"


class Trajectory(NamedTuple):
    """A clip's, in a world frame with z up."""

    domain: Domain
    xyz_m: Array  # (J, n, 3) positions of the objects at the grid points, every 0.5 s
    world_SE3_camera: Array  # (n, 4, 4)


Trajectories = Mapping[str, Trajectory]
"""By the id of the clip as it is; variants of it are found by `trajectory_of`."""


def load_trajectories(dataset: str, split: str) -> Trajectories:
    """Those of a split of a built folder or a dataset on the Hub. Raises DataError where there are none."""
    try:
        path = Path(dataset) / FILE
        if not Path(dataset).is_dir():
            path = Path(hf_hub_download(dataset, FILE, repo_type="dataset"))
        columns = ["clip_id", "domain", "xyz_m", "world_SE3_camera"]
        rows = pq.read_table(path, columns=columns, filters=[("split", "==", split)]).to_pylist()
    except (OSError, ValueError, HfHubHTTPError) as error:
        told = f"{FILE} cannot be read ({first_line(error)}); build or fetch the dataset again"
        raise DataError(f"{dataset}: {told}") from error
    return {
        row["clip_id"]: Trajectory(
            row["domain"], np.array(row["xyz_m"]), np.array(row["world_SE3_camera"]).reshape(-1, 4, 4)
        )
        for row in rows
    }


def trajectory_of(row: Row, trajectories: Trajectories) -> Trajectory:
    """What a row's video shows: xyz_m at the grid points from its first frame to its last, poses at its frames.

    The clip's own, or, of a variant that shows it otherwise, those that would have looked so. Raises DataError.
    """
    clip_id, variant = row["clip_id"], ""
    if clip_id not in trajectories:
        clip_id, _, variant = clip_id.rpartition("-")
    if clip_id not in trajectories:
        raise DataError(f"row {row['id']}: {FILE} has no clip {row['clip_id']}; build or fetch the dataset again")
    domain, xyz_m, poses = trajectories[clip_id]
    if variant == "mirrored":  # the world's y turned round, and the camera's x
        xyz_m = xyz_m * (1.0, -1.0, 1.0)
        poses = np.diag((1.0, -1.0, 1.0, 1.0)) @ poses @ np.diag((-1.0, 1.0, 1.0, 1.0))
    elif variant == "reversed":
        xyz_m, poses = xyz_m[:, ::-1], poses[::-1]
    shown = np.rint(np.array(row["frame_times_s"]) / STEP_S).astype(int)
    return Trajectory(domain, xyz_m[:, : shown[-1] + 1], poses[shown])


def extrinsics_told(row: Row, world_SE3_camera: Array) -> str:
    """Where the camera stands at each frame, as text: poses (n, 4, 4) relative to the first."""
    first_SE3_camera = inverse_se3(world_SE3_camera[0]) @ world_SE3_camera
    told = [
        f"{time_s:.2f} s: [{', '.join(_bracketed(line) for line in pose[:3])}]"
        for time_s, pose in zip(row["frame_times_s"], first_SE3_camera, strict=True)
    ]
    return (
        "The camera's extrinsics at each frame, as 3x4 camera-to-world matrices [R|t]; the world is the first frame's "
        f"camera (x right, y down, z forward), in meters: {'; '.join(told)}."
    )


def _bracketed(line: Array) -> str:
    # Adding zero makes 0.00 of -0.00.
    *rotation, shift_m = (float(value) + 0.0 for value in line)
    return f"[{', '.join(f'{round(v, 3) + 0.0:.3f}' for v in rotation)}, {round(shift_m, 2) + 0.0:.2f}]"

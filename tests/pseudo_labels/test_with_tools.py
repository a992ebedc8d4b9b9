"""From a video to labels by way of a tool: a program that writes what MonST3R does, of a street that is known."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from tests.pseudo_labels.programs import LABEL, run, write_camera, write_recipe
from tests.pseudo_labels.videos.tiny_videos import write_video

from stvlm.files import read_json
from stvlm.kinematics import interpolate, traveled_distance
from stvlm.pseudo_labels.simulated import rendered, simulated
from stvlm.records import Array, Scene
from stvlm.simulation.source import SimulationSource

FRAMES = {"a": 41, "b": 36}
CLASSES = {"person": 1, "car": 3, "bicycle": 4}
UNITS_PER_M = 0.37
TOOL = """
import shutil, sys
from pathlib import Path
frames, out, made = map(Path, sys.argv[1:])
count = len(list(frames.glob("*.png")))
print("looking at", count, "images")
if not (made / str(count)).is_dir():
    sys.exit("CUDA error: an illegal memory access")
shutil.copytree(made / str(count), out / "clip")
"""


def write_monst3r(folder: Path, scene: Scene, depth_m: Array, moving: Array) -> None:
    """Of images of 256 x 192, maps of 512 x 384: two pixels a pixel and axis."""
    folder.mkdir(parents=True)
    poses, camera = scene.world_SE3_camera[: len(depth_m)], scene.camera
    poses = np.linalg.inv(poses[0]) @ poses  # the first camera's frame
    x, y, z, w = Rotation.from_matrix(poses[:, :3, :3]).as_quat().T
    rows = np.column_stack([np.arange(len(poses)), poses[:, :3, 3] * UNITS_PER_M, w, x, y, z])
    np.savetxt(folder / "pred_traj.txt", rows, fmt="%.9f")
    focal, cx, cy = 2 * camera.fx_px, 2 * camera.cx_px + 0.5, 2 * camera.cy_px + 0.5
    np.savetxt(folder / "pred_intrinsics.txt", np.tile([focal, 0, cx, 0, focal, cy, 0, 0, 1], (len(poses), 1)))
    for i, depth in enumerate(depth_m):
        np.save(folder / f"frame_{i:04d}.npy", np.kron(depth * UNITS_PER_M, np.ones((2, 2))).astype(np.float32))
        mask = np.kron(moving[i], np.ones((2, 2))) * 255
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"dynamic_mask_{i}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of one street, of which the tool knows the longer one."""
    place = tmp_path_factory.mktemp("place")
    source, scene = street()
    (recording,) = source.recordings()
    seen = rendered(source, recording, depth_step=1)
    made, n = place / "made" / str(FRAMES["a"]), FRAMES["a"]
    write_monst3r(made, scene, seen.depth_m[:n], seen.instance[:n] > 0)
    images = [scene.frames.read(i) for i in range(max(FRAMES.values()))]
    camera = scene.camera
    known = {name: getattr(camera, name) for name in ("fx_px", "fy_px", "cx_px", "cy_px")}
    tracks = simulated(seen).objects.tracks
    for name, count in FRAMES.items():
        video = write_video(place / "videos" / f"{name}.mp4", images[:count])
        write_camera(video, **known, height_m=float(scene.world_SE3_camera[0, 2, 3]))
        rows = [
            f"{i + 1},{number},{x0 + 1.5},{y0 + 1.5},{x1 - x0},{y1 - y0},1,{CLASSES[track.category]},1"
            for number, track in enumerate(tracks)
            if track.category in CLASSES
            for i, (x0, y0, x1, y1) in enumerate(track.boxes_px[:count].tolist())
            if not np.isnan(x0)
        ]
        video.with_suffix(".mot.txt").write_text("\n".join(rows), encoding="utf-8")
    (place / "tool.py").write_text(TOOL, encoding="utf-8")
    return place


def street() -> tuple[SimulationSource, Scene]:
    source = SimulationSource(
        {"seed": 4, "recordings": 1, "layouts": ["curve"], "duration_s": 4.2, "camera_motions": {"driving": 1.0}}
    )
    (recording,) = source.recordings()
    (scene,) = source.scenes(recording)
    return source, scene


def label(place: Path, out: Path, **geometry: str) -> dict[str, Any]:
    """The report of a run that labels something."""
    recipe = write_recipe(
        place / "recipe.yaml", objects={"by": "annotations"}, geometry={"by": "monst3r", **geometry},
        filters={"least_height_px": 8.0, "least_area": 0.0},
    )  # fmt: skip
    result = run(LABEL, recipe, "--source", f"video_folder={place / 'videos'}", "--out", out)
    assert result.returncode == 0, result.stderr
    report: dict[str, Any] = read_json(out / "pseudo_labels.json")
    return report


def check_ways(recording: Path) -> None:
    """Labels tell how far objects went to a few percent, in metres, though the tool knew none."""
    _, scene = street()
    seen = rendered(*_only_recording(), depth_step=8)
    names = [track.track_id for track in simulated(seen).objects.tracks]
    true = {track.track_id: track for track in scene.tracks}
    rows = pq.read_table(recording / "tracks.parquet").to_pandas()
    assert len(rows)
    for number, of_track in rows.groupby("track_id"):
        track = true[names[int(number)]]
        at_ns = of_track["time_ns"].to_numpy()
        found_m = traveled_distance(of_track[["x_m", "y_m", "z_m"]].to_numpy()).value
        true_m = traveled_distance(interpolate(track.times_ns - scene.frame_times_ns[0], track.xyz_m, at_ns)).value
        assert found_m == pytest.approx(true_m, rel=0.05), track.category


def _only_recording() -> tuple[SimulationSource, Any]:
    source, _ = street()
    return source, source.recordings()[0]


def test_one_video_on_which_the_tool_fails_is_counted_and_the_other_is_labelled(place: Path, tmp_path: Path) -> None:
    tool = f"{sys.executable} {place / 'tool.py'} {{frames}} {{out}} {place / 'made'}"
    report = label(place, tmp_path / "out", command=tool)
    assert report["stages"]["geometry"]["rejected"] == {"the tool made no geometry of it": 1}
    (told,) = report["stages"]["geometry"]["examples"]
    assert "ended with code 1; it said last: looking at 36 images CUDA error: an illegal memory access" in told
    assert (report["excerpts"], report["labelled_excerpts"]) == (2, 1)
    (licence,) = report["licences"]
    assert "CC BY-NC-SA 4.0" in licence
    check_ways(tmp_path / "out" / "a" / "0")


def test_artefacts_that_lie_there_of_another_length_and_size(place: Path, tmp_path: Path) -> None:
    _, scene = street()
    made = place / "artefacts"
    (made / "a").mkdir(parents=True)
    (made / "a" / "0").symlink_to(place / "made" / str(FRAMES["a"]))
    (made / "b").mkdir()
    (made / "b" / "0").symlink_to(place / "made" / str(FRAMES["a"]))
    report = label(place, tmp_path / "out", artefacts=f"{made}/{{excerpt}}")
    (told,) = report["stages"]["geometry"]["examples"]
    assert "has 41 frames, the video 36; make it again from the frames of this video" in told
    check_ways(tmp_path / "out" / "a" / "0")

    (made / "b" / "0").unlink()
    write_monst3r(made / "b" / "0", scene, *np.ones((2, FRAMES["b"], 136, 256)))
    report = label(place, tmp_path / "out", artefacts=f"{made}/{{excerpt}}")
    (told,) = report["stages"]["geometry"]["examples"]
    assert "has maps of 512 x 272, which are not made of images of 256 x 192; make it again" in told

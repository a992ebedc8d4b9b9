"""From drives in BDD100K's own form, simulated so that the truth is known, to rows."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.ndimage import find_objects
from tests.pseudo_labels.programs import BUILD, LABEL, ROOT, run

from stvlm.kinematics import interpolate
from stvlm.pseudo_labels.videos import Video
from stvlm.pseudo_labels.videos.bdd100k import Bdd100k
from stvlm.records import DataError, Recording, Scene
from stvlm.simulation.formats.bdd100k import write_bdd100k
from stvlm.simulation.render import render
from stvlm.simulation.source import SimulationSource
from stvlm.sources.video_folder import VideoFolder

HFOV = {"width_px": 640, "height_px": 360, "focal_per_width": [0.77, 0.77]}  # 66 degrees, as the recipe has it


def street(**options: object) -> SimulationSource:
    """A telephone at the side of a street, as high as the recipe says of a windscreen."""
    held = {"camera_motions": {"fixed": 1}, "camera_height_m": [1.4, 1.4], "pitch_deg": [2, 2]}
    five = {"frame_rate_hz": 5, "annotation_rate_hz": 5}
    here = {"recordings": 1, "layouts": ["crossroads"], "duration_s": 8, "seed": 3, "objects": [6, 9]}
    return SimulationSource({**here, **held, **five, **HFOV, **options})


def test_what_is_written_is_what_is_seen(tmp_path: Path) -> None:
    source = street(duration_s=1, width_px=160, height_px=90)
    (recording,), (scene,) = source.recordings(), source.scenes(source.recordings()[0])
    write_bdd100k(source, tmp_path)
    videos = Bdd100k(tmp_path)
    assert videos.recordings() == [Recording("bdd100k", scene.scene_id, "train")]
    video = videos.video(Recording("bdd100k", scene.scene_id, "train"))
    assert isinstance(video, Video) and video.boxes is not None
    np.testing.assert_allclose(video.times_s, np.arange(6) / 5)
    world = source.world(recording)
    seen = render(world, scene.world_SE3_camera[3], 0.6)
    assert np.abs(video.frames.read(3).astype(int) - seen.image).mean() < 6
    boxes = {track.track_id: track for track in video.boxes.tracks}
    for agent, part in zip(world.agents, find_objects(seen.instance, len(world.agents)), strict=True):
        if part is None:
            assert agent.track_id not in boxes or np.isnan(boxes[agent.track_id].boxes_px[3]).all()
            continue
        rows, columns = part
        found = boxes[agent.track_id]
        assert found.boxes_px[3].tolist() == [columns.start, rows.start, columns.stop, rows.stop]
        assert found.category == agent.category and found.hidden_foot is None
    with pytest.raises(DataError, match=r"marked at 5 Hz, not 10; set frame_rate_hz: 5"):
        write_bdd100k(street(frame_rate_hz=10), tmp_path / "fast")


def test_its_boxes_become_rows(tmp_path: Path) -> None:
    """Boxes end where something hides an object, and nobody knows the camera but for its angle and height."""
    source = street(recordings=2, layouts=["crossroads", "curve"])
    write_bdd100k(source, tmp_path / "bdd100k")
    recipes, labelled = ROOT / "dataset_builder" / "recipes", tmp_path / "labelled"
    given = f"bdd100k={tmp_path / 'bdd100k'}"
    made = run(LABEL, recipes / "pseudo_embedded.yaml", "--source", given, "--out", labelled)
    assert made.returncode == 0, made.stderr
    true = {scene.scene_id: scene for recording in source.recordings() for scene in source.scenes(recording)}
    off = []
    videos = VideoFolder("video_folder", labelled)
    for recording in videos.recordings():
        assert isinstance(recording, Recording)
        (scene,) = videos.scenes(recording)
        assert isinstance(scene, Scene)
        truth = true[recording.scene_id.partition("/")[0]]
        of_id = {track.track_id: track for track in truth.tracks}
        for track in scene.tracks:
            at_ns = track.times_ns + truth.frame_times_ns[0]
            there_m = interpolate(of_id[track.track_id].times_ns, of_id[track.track_id].xyz_m, at_ns)
            found_m, true_m = (np.linalg.norm(np.diff(xyz_m, axis=0), axis=1).sum() for xyz_m in (track.xyz_m, there_m))
            off.append(found_m / true_m - 1)
    assert len(off) >= 4 and np.median(np.abs(off)) < 0.15 and np.abs(off).max() < 0.35, off
    built = run(
        BUILD, recipes / "labelled.yaml", "--source", f"video_folder={labelled}", "--out", tmp_path / "rows"
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (file,) = (tmp_path / "rows").rglob("metadata.parquet")
    rows = pq.read_table(file, columns=["task", "label_type", "licence"]).to_pylist()
    assert len(rows) >= 8 and {row["label_type"] for row in rows} == {"pseudo"}
    assert "traveled_distance" in {row["task"] for row in rows}

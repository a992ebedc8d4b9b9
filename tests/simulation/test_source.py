import hashlib

import numpy as np
import pytest

from stvlm.records import DataError, Recording, Scene
from stvlm.simulation.source import SimulationSource
from stvlm.simulation.streets import LAYOUTS

SMALL = {"width_px": 64, "height_px": 48, "duration_s": 10}


def scenes(**options: object) -> list[Scene]:
    source = SimulationSource({**SMALL, **options})
    return [scene for recording in source.recordings() for scene in source.scenes(recording)]


def fingerprint(scene: Scene) -> str:
    digest = hashlib.sha256(scene.frame_times_ns.tobytes() + scene.world_SE3_camera.tobytes())
    for track in scene.tracks:
        digest.update(track.track_id.encode() + track.times_ns.tobytes() + track.xyz_m.tobytes())
    assert scene.frames is not None
    for index in (0, 30, 99):
        digest.update(scene.frames.read(index).tobytes())
    return digest.hexdigest()


def test_a_seed_is_a_world_byte_for_byte() -> None:
    first, again, other = (
        [fingerprint(scene) for scene in scenes(recordings=3, seed=seed, layouts=["straight", "field"])]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert len({*first, *other}) == 6


def test_a_recording_does_not_depend_on_how_many_there_are() -> None:
    source = SimulationSource({**SMALL, "recordings": 2, "layouts": ["straight"]})
    more = SimulationSource({**SMALL, "recordings": 9, "layouts": ["straight"]})
    recording = source.recordings()[1]
    assert recording == Recording("simulation", "sim-0-00001", "train")
    (a,), (b,) = source.scenes(recording), more.scenes(recording)
    assert fingerprint(a) == fingerprint(b)


def test_a_recording_of_another_seed_is_refused() -> None:
    with pytest.raises(DataError, match="no recording 'sim-7-00000' in seed 0"):
        list(SimulationSource({}).scenes(Recording("simulation", "sim-7-00000", "train")))


def test_a_drive_that_would_leave_the_world_is_refused() -> None:
    with pytest.raises(DataError, match="lower duration_s or drop driving"):
        scenes(recordings=1, layouts=["straight"], camera_motions={"driving": 1}, duration_s=120)


def test_clock_and_ids_fit_every_format() -> None:
    (scene,) = scenes(recordings=1, frame_rate_hz=12, annotation_rate_hz=3)
    assert len(scene.frame_times_ns) == 121
    assert (scene.frame_times_ns % 1000 == 0).all()
    for track in scene.tracks:
        assert int(track.track_id, 16) < 2**64
        assert len(track.track_id) == 16
        assert np.isin(track.times_ns, scene.frame_times_ns[::4]).all()


def test_every_layout_has_several_things_moving() -> None:
    for name, scene in zip(LAYOUTS, scenes(recordings=len(LAYOUTS), duration_s=20, parked_cars=[0, 0]), strict=True):
        assert scene.domain == ("sports" if name in ("field", "court") else "driving")
        moved = [np.linalg.norm(track.xyz_m[-1] - track.xyz_m[0]) for track in scene.tracks]
        assert sum(distance > 2 for distance in moved) >= 4, name


def test_boxes_stand_on_the_ground_and_move_as_such_things_do() -> None:
    sideways = {"car": 6.0, "truck": 5.0, "bicycle": 5.0, "person": 8.0}  # m/s^2, between 0.1 s steps
    for scene in scenes(recordings=len(LAYOUTS), duration_s=20):
        for track in scene.tracks:
            assert track.size_lwh_m is not None and track.yaw_rad is not None
            np.testing.assert_array_equal(track.xyz_m[:, 2], track.size_lwh_m[:, 2] / 2)
            steps_s = np.diff(track.times_ns) / 1e9
            velocity = np.diff(track.xyz_m, axis=0) / steps_s[:, None]
            speed = np.linalg.norm(velocity, axis=1)
            assert speed.max(initial=0) < {"person": 6.01, "bicycle": 12.01}.get(track.category, 25.01)
            steady = steps_s < 0.11
            both = steady[1:] & steady[:-1]
            acceleration = np.linalg.norm(np.diff(velocity, axis=0), axis=1)[both] / 0.1
            assert acceleration.max(initial=0) < sideways[track.category]
            moving = steady & (speed > 0.5)
            ahead = np.stack([np.cos(track.yaw_rad), np.sin(track.yaw_rad)], axis=-1)[:-1]
            along = (velocity[:, :2] * ahead).sum(axis=1)[moving] / speed[moving]
            assert along.min(initial=1) > 0.9


def test_a_track_is_as_long_as_the_motion() -> None:
    source = SimulationSource({**SMALL, "layouts": ["straight"], "recordings": 3})
    for recording in source.recordings():
        agents = {agent.track_id: agent for agent in source.world(recording).agents}
        for scene in source.scenes(recording):
            for track in scene.tracks:
                seconds = (track.times_ns - scene.frame_times_ns[0]) / 1e9
                travelled = np.diff(agents[track.track_id].motion.at(seconds[[0, -1]]).arc_m)[0]
                path = np.linalg.norm(np.diff(track.xyz_m, axis=0), axis=1).sum()
                assert path == pytest.approx(travelled, abs=0.02 * travelled + 1e-9)


def test_nothing_drives_through_anything() -> None:
    for scene in scenes(recordings=4, layouts=["crossroads", "roundabout"], objects=[12, 12]):
        for i, a in enumerate(scene.tracks):
            for b in scene.tracks[i + 1 :]:
                _, in_a, in_b = np.intersect1d(a.times_ns, b.times_ns, return_indices=True)
                gap = np.linalg.norm(a.xyz_m[in_a, :2] - b.xyz_m[in_b, :2], axis=1)
                assert a.size_lwh_m is not None and b.size_lwh_m is not None
                assert gap.min(initial=9) > (a.size_lwh_m[0, 1] + b.size_lwh_m[0, 1]) / 2


def test_a_monochrome_camera_has_no_colours_and_the_same_brightness() -> None:
    options = {"recordings": 1, "seed": 3, "width_px": 64, "height_px": 48}
    (coloured,), (grey,) = (
        [scene.frames.read(0) for scene in source.scenes(source.recordings()[0])]
        for source in (SimulationSource(options), SimulationSource({**options, "monochrome": True}))
    )
    assert (grey == grey[..., :1]).all()
    luma = coloured @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - luma).max() < 2
    assert (coloured != grey).any()

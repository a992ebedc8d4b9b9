"""A folder of one's own recordings: Parquet tables and JSON, boxes in the world's frame, nanoseconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from stvlm.hashing import stable_hash
from stvlm.recording_folder import write_recording
from stvlm.records import Scene, Track
from stvlm.simulation.formats.recorder import scenes_of, write_images, write_splits
from stvlm.simulation.source import SimulationSource


def write_video_folder(
    source: SimulationSource, root: Path, images: bool = True, pseudo_noise_m: float | None = None
) -> None:
    """Write every recording of a source below ``root``, with or without image files.

    Where ``pseudo_noise_m`` is given, they stand in for pseudo-labelled video: the label type is pseudo, and every
    centre is off by noise of this standard deviation on each axis, the same whenever it is written.
    """
    for _, scene, _ in scenes_of(source):
        folder, camera = root / scene.scene_id, scene.camera.name
        files = [f"{camera}/{time_ns}.jpg" for time_ns in scene.frame_times_ns.tolist()]
        if images:
            write_images(scene, [folder / file for file in files])
        written = replace(scene if pseudo_noise_m is None else _pseudo(scene, pseudo_noise_m), licence="Apache-2.0")
        write_recording(folder, [written], {camera: files} if images else None)
    write_splits(source, root)


def _pseudo(scene: Scene, noise_m: float) -> Scene:
    def noisy(track: Track) -> Track:
        seed = int(stable_hash(scene.scene_id, track.track_id), 16)
        return replace(track, xyz_m=np.random.default_rng(seed).normal(track.xyz_m, noise_m))

    tracks = tuple(noisy(track) for track in scene.tracks)
    return replace(scene, label_type="pseudo", centre_noise_m=noise_m, tracks=tracks)

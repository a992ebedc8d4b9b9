"""What our own steps add to the error of pseudo-labels: on simulated clips by moving cameras, with depth and masks.

    python benchmarks/simulated_pseudo_labels.py [--recordings 60] [--out FILE]

Depth, poses and masks are rendered; their scale is arbitrary, and is recovered from a second, metric depth. Once they
are exact. Once they err as networks do: the clip's scale by 8 %; each object's depth by 4 % that fades over 10 frames
and by 2 % from frame to frame; the sides of each mask by 2 pixels of 480. Counted are objects that are in the image as
a whole for 3 s, their boxes at least 30 pixels high; moving are those that move 5 m or more within that time, parked
those that move at most half a metre.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stvlm.files import write_json
from stvlm.pseudo_labels.artefacts import Geometry
from stvlm.pseudo_labels.filters import Label, Limits, clear_frames, judge, longest_part
from stvlm.pseudo_labels.lifting import Lifting, lift
from stvlm.pseudo_labels.simulated import ARBITRARY, EXACT, REALISTIC, Simulated, rendered, simulated
from stvlm.pseudo_labels.smoothing import Smoothing, smooth
from stvlm.pseudo_labels.validation import Asking, Pair, compare, validate
from stvlm.records import Rejected
from stvlm.simulation.source import SimulationSource
from stvlm.simulation.streets import LAYOUTS

NOISE = {"exact": EXACT, "as networks": REALISTIC}
WORLDS = {
    "seed": 11, "width_px": 480, "height_px": 270, "duration_s": 10.0,
    "layouts": [name for name, layout in LAYOUTS.items() if layout.domain == "driving"],
    "camera_motions": {"driving": 0.8, "panning": 0.2}, "objects": [12, 18], "parked_cars": [12, 20],
}  # fmt: skip
NEAR_M = 40.0


def scale_of(video: Simulated) -> float:
    """Metres a unit: the median over what is near."""
    depth = video.geometry.depth
    assert depth is not None
    near = (depth > 0) & (video.metric_m > 0) & (video.metric_m < NEAR_M)
    return float(np.exp(np.median(np.log(video.metric_m[near] / depth[near]))))


def scaled(geometry: Geometry, factor: float) -> Geometry:
    """In metres."""
    assert geometry.depth is not None
    poses = geometry.world_SE3_camera.copy()
    poses[:, :3, 3] *= factor
    return replace(geometry, world_SE3_camera=poses, depth=geometry.depth * np.float32(factor), scale="metric")


def labels_of(video: Simulated, geometry: Geometry) -> dict[str, Label | Rejected]:
    """What is told of each object."""
    labels: dict[str, Label | Rejected] = {}
    for track in video.objects.tracks:
        clear, _ = clear_frames(track, geometry.image_size_px, Limits())
        lifted = clear if isinstance(clear, Rejected) else lift(clear, geometry, Lifting())
        part = lifted if isinstance(lifted, Rejected) else longest_part(lifted, geometry, Limits())
        labels[track.track_id] = (
            part if isinstance(part, Rejected) else judge(smooth(part, Smoothing()), geometry, Limits())
        )
    return labels


def measure(recordings: int) -> dict[str, Any]:
    """All figures."""
    source = SimulationSource({**WORLDS, "recordings": recordings})
    pairs: dict[str, list[Pair]] = {name: [] for name in NOISE}
    scales: dict[str, list[float]] = {name: [] for name in NOISE}
    for recording in source.recordings():
        seen = rendered(source, recording)
        for name, noise in NOISE.items():
            video = simulated(seen, noise)
            factor = scale_of(video)
            scales[name].append(factor * ARBITRARY - 1)
            labels = labels_of(video, scaled(video.geometry, factor))
            pairs[name] += compare(recording.scene_id, video.scene, video.objects, labels, Asking())
    return {
        name: {"largest_scale_error": float(np.abs(scales[name]).max()), **validate(pairs[name]).scores}
        for name in NOISE
    }


def as_text(result: dict[str, Any]) -> str:
    """The table of the README."""
    lines = [f"{'':12}kept  within 25 %   speed MAE    within 1 / 2 sigma   parked, told as moving"]
    for name, scores in result.items():
        kept, right, still = (scores[key]["value"] for key in ("kept", "within_25_percent", "parked_called_moving"))
        one, two = (scores["calibration"][f"within_{n}_sigma"]["value"] for n in (1, 2))
        lines.append(
            f"{name:11}{kept:5.0%}{right:13.1%}{scores['speed_mae_kmh']['value']:7.2f} km/h"
            f"   {one:.0%} / {two:.0%}{still:20.1%} of {scores['parked']}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=60)
    out = Path(__file__).parent / "results" / "simulated_pseudo_labels.json"
    parser.add_argument("--out", type=Path, default=out)
    args = parser.parse_args()
    result = measure(args.recordings)
    write_json(args.out, result)
    print(as_text(result))


if __name__ == "__main__":
    main()

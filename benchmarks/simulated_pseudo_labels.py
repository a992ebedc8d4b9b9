"""What our own steps add to the error of pseudo-labels: on simulated clips by moving cameras, with depth and masks.

    python benchmarks/simulated_pseudo_labels.py [--movers 45] [--parked 125] [--workers 2] [--out FILE]

Depth, poses and masks are rendered; their scale is arbitrary and up is not told: both are recovered, the scale from a
second, metric depth. Once they are exact. Once they err as networks do: the clip's scale by 8 %; each object's depth,
and that of what is behind them, by 4 % that fades over 10 frames and by 2 % from frame to frame; the sides of each mask
by 2 pixels of 480. Counted are objects that are in the image as a whole for 3 s, their boxes at least 30 pixels high;
moving are those that move 5 m or more within that time, parked those that move at most half a metre. What is parked
along a street leaves a wide image within 3 s, so there are clips of two kinds: `movers`, of traffic, and `parked`,
through long lenses, of streets full of parked cars. In `movers` cameras drive or turn, in `parked` they drive.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stvlm.files import write_json
from stvlm.pseudo_labels.pairs import Asking, Pair, compare
from stvlm.pseudo_labels.recipe import PseudoLabelling
from stvlm.pseudo_labels.simulated import ARBITRARY, EXACT, REALISTIC, rendered, simulated, told_of
from stvlm.pseudo_labels.validation import validate
from stvlm.records import Recording, Rejected
from stvlm.simulation.source import SimulationSource
from stvlm.simulation.streets import LAYOUTS

NOISE = {"exact": EXACT, "as networks": REALISTIC}
RECIPE = PseudoLabelling("simulated", {})
WORLDS: dict[str, dict[str, Any]] = {
    "movers": {
        "seed": 11, "width_px": 480, "height_px": 270, "duration_s": 10.0, "frame_rate_hz": 5, "annotation_rate_hz": 5,
        "layouts": [name for name, layout in LAYOUTS.items() if layout.domain == "driving"],
        "camera_motions": {"driving": 0.8, "panning": 0.2}, "objects": [12, 18], "parked_cars": [12, 20],
    },
    "parked": {
        "seed": 12, "width_px": 480, "height_px": 270, "duration_s": 10.0, "frame_rate_hz": 5, "annotation_rate_hz": 5,
        "layouts": ["straight", "curve", "s_bend", "crossroads", "boulevard"],
        "camera_motions": {"driving": 1.0}, "objects": [1, 2], "parked_cars": [16, 20],
        "focal_per_width": [1.6, 2.2],
    },
}  # fmt: skip


class Measured(NamedTuple):
    """What was told of one clip with one noise."""

    pairs: list[Pair]
    scale_error: float | None  # None where the clip was left out
    why: str | None


def measured(kind: str, recording: Recording) -> dict[str, Measured]:
    """What is told of a clip, by noise."""
    source = SimulationSource(WORLDS[kind])
    seen = rendered(source, recording)
    results = {}
    for name, noise in NOISE.items():
        video = simulated(seen, noise)
        found = told_of(video, RECIPE)
        if isinstance(found, Rejected):
            told, scale_error, why = {track.track_id: found for track in video.objects.tracks}, None, found.reason
        else:
            told, scale_error, why = found[0], found[1].scale.factor * ARBITRARY - 1, None
        pairs = compare(recording.scene_id, video.scene, video.objects, told, Asking())
        results[name] = Measured(pairs, scale_error, why)
    return results


def measure(recordings: dict[str, int], workers: int) -> dict[str, Any]:
    """All figures."""
    clips: list[dict[str, Measured]] = []
    with multiprocessing.Pool(workers) as pool:
        for kind, n in recordings.items():
            source = SimulationSource({**WORLDS[kind], "recordings": n})
            clips += pool.imap(partial(measured, kind), source.recordings())
        pool.close()
        pool.join()
    result: dict[str, Any] = {}
    for name in NOISE:
        found = [clip[name] for clip in clips]
        errors = [abs(item.scale_error) for item in found if item.scale_error is not None]
        result[name] = {
            "clips": len(found),
            "clips_left_out": dict(Counter(item.why for item in found if item.why is not None)),
            "largest_scale_error": max(errors),
            "median_scale_error": float(np.median(errors)),
            **validate([pair for item in found for pair in item.pairs]).scores,
        }
    return {"noise": result, "recordings": recordings}


def as_text(result: dict[str, Any]) -> str:
    """The table of the README."""
    lines = [
        f"{'':12}scale off by           kept        within 25 %   speed MAE"
        "    within 1 / 2 sigma   parked, told as moving"
    ]
    for name, scores in result["noise"].items():
        kept, right, still = (scores[key]["value"] for key in ("kept", "within_25_percent", "parked_called_moving"))
        one, two = (scores["calibration"][f"within_{n}_sigma"]["value"] for n in (1, 2))
        lines.append(
            f"{name:12}{scores['median_scale_error']:.1%}, at most {scores['largest_scale_error']:<6.1%}"
            f"{kept:5.0%} of {scores['moving']}{right:12.1%}{scores['speed_mae_kmh']['value']:8.2f} km/h"
            f"   {one:.0%} / {two:.0%}{still:19.1%} of {scores['parked']}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movers", type=int, default=45, help="clips of traffic")
    parser.add_argument("--parked", type=int, default=125, help="clips of parked cars")
    parser.add_argument("--workers", type=int, default=2)
    out = Path(__file__).parent / "results" / "simulated_pseudo_labels.json"
    parser.add_argument("--out", type=Path, default=out)
    args = parser.parse_args()
    result = measure({"movers": args.movers, "parked": args.parked}, args.workers)
    write_json(args.out, result)
    print(as_text(result))


if __name__ == "__main__":
    main()

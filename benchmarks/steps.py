"""What the steps to the paper's table take, as far as it was measured: the table of docs/reproducing_the_paper.md.

    python benchmarks/steps.py

Figures come from results/; what no file there tells is not measured. What the paper says of its own run stands beside
it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
NOT = "not measured"
HEADS = ("step", "time", "disk", "memory", "tested on")


def as_text(measured: dict[str, Any]) -> str:
    """The table, of the result files by name."""
    lines = [HEADS, ("---",) * len(HEADS), *_steps(measured)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _steps(measured: dict[str, Any]) -> list[tuple[str, ...]]:
    tables, killed, drawn = (measured[name] for name in ("nuscenes", "kill_and_resume", "rendering"))
    cold, cached = (tables["contenders"][name] for name in ("cold", "cached"))
    preset = drawn["presets"][drawn["default_preset"]]
    odometry = [drive["cpu_s_a_frame"] for drive in measured["pseudo_labels"]["odometry"].values()]
    few, many = killed["undisturbed_s"]
    peak = {name: max(of[name] for of in killed["peak_memory_mb"].values()) for name in ("main", "driver", "workers")}
    answers, costs = next(iter(measured["scoring"]["seconds"].items()))
    of_few, of_many = (killed["undisturbed_s"][count] for count in (few, many))
    tracks, boxes = (tables["counts"][name] for name in ("tracks", "boxes"))
    tiny = "tiny models of the same classes, on a CPU"
    return [
        ("nuScenes' tables, read once",
         f"{cold['seconds']:.0f} s, then {cached['seconds']:.1f} s", f"{tables['cache_mb']} MB",
         f"{cold['peak_mb']:.0f} MB",
         f"synthetic tables as large as v1.0-trainval's ({tracks:,} tracks, {boxes:,} boxes); six real scenes"),
        ("labels from plain video, `pseudo_paper.yaml`",
         f"{NOT}; the paper: 400 s a video on an A6000, for 15.5K videos", NOT, f"{NOT}, GPU",
         "its networks with small random weights; readers of MonST3R's files on files in their form"),
        ("labels from plain video, `pseudo_embedded.yaml`",
         f"{min(odometry):.2f} to {max(odometry):.2f} s of a core a frame (odometry)", NOT, f"{NOT}, no GPU",
         "two real drives of KITTI, simulated drives"),
        ("rows of a build",
         f"{killed['questions']:,} questions from {few} recordings in {of_few:.0f} s, more from {many} in "
         f"{of_many:.0f} s, {killed['workers']} workers", NOT,
         f"{peak['main']} MB, {peak['driver']} MB, and {peak['workers']} MB a worker",
         f"simulated recordings, {killed['machine']}; real samples of nuScenes, Argoverse 2, nuPlan and KITTI"),
        ("clips of a build",
         f"{preset['from_jpeg_fps']:.0f} frames a second of a core", f"{preset['kB_a_frame']:.0f} kB a frame", NOT,
         f"{drawn['images']}"),
        ("training, `st_vlm_7b.yaml`", f"{NOT}; the paper: three days on 8 A6000", NOT, f"{NOT}, GPU", tiny),
        ("answers of a 7B model to the benchmark", NOT, NOT, f"{NOT}, GPU", tiny),
        (f"scores of {answers} answers", f"{costs['with everything']:.2f} s of a core", "–", NOT,
         measured["scoring"]["machine"]),
        ("general benchmarks", NOT, NOT, f"{NOT}, GPU", "a tiny model on made videos"),
        ("release", NOT, NOT, NOT, "a local server that speaks the Hub's protocol"),
    ]  # fmt: skip


def main() -> None:
    print(as_text({path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}))


if __name__ == "__main__":
    main()

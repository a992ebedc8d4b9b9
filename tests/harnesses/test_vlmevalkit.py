"""STKit-Bench in VLMEvalKit, where it is installed: its own run.py, tables and summary."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.harnesses.installed import environment, python_with
from tests.harnesses.seven_tasks import ANSWERS, SCORES, as_json, write_benchmark

from stvlm.scoring import score_all

FOLDER = Path(__file__).parents[2] / "evaluate_metric" / "harnesses" / "vlmevalkit"
RUN = """
import json, runpy, sys
from vlmeval.config import supported_VLM

answers, seen = json.loads(sys.argv[1]), []

class Known:
    VIDEO_LLM = sys.argv[2] == "video"

    def generate(self, message, dataset):
        seen.append(message)
        return answers[message[-1]["value"]]

supported_VLM["known"] = Known
program = sys.argv[3]
sys.path.insert(0, program.rpartition("/")[0])
sys.argv = [program, *sys.argv[4:]]
try:
    runpy.run_path(program, run_name="__main__")
finally:
    print("SEEN", json.dumps(seen[0] if seen else []))
"""


@pytest.mark.parametrize("media", ["video", "images"])
def test_vlmevalkit_gives_the_scores_of_the_scorer(tmp_path, media):
    rows = write_benchmark(tmp_path / "stkit-bench")
    (tmp_path / "lmu").mkdir()
    command = [python_with("vlmeval"), "-c", RUN, as_json(rows), media, FOLDER / "run.py"]
    command += ["--dataset", tmp_path / "stkit-bench", "--data", "STKit-Bench", "--model", "known", "--work-dir", "out"]
    env = environment(LMUData=str(tmp_path / "lmu"), HF_HOME=str(tmp_path / "hf"))
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (place,) = (path for path in (tmp_path / "out").rglob("*_score.json") if not path.is_symlink())
    scores = json.loads(place.read_text())
    assert {key: value for key, value in scores.items() if not key.endswith("_count")} == pytest.approx(SCORES)
    assert scores == score_all(ANSWERS, rows)
    assert "average_accuracy" in done.stdout + done.stderr  # what its summary calls the primary metric
    seen = json.loads(done.stdout.rpartition("SEEN ")[2].splitlines()[0])
    assert [part["type"] for part in seen] == {"video": ["video"], "images": ["image"] * 5}[media] + ["text"]
    assert all(Path(part["value"]).is_file() for part in seen[:-1])
    assert seen[-1]["value"] == rows[0]["prompt"]

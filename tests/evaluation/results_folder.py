"""Results folders as evaluate_model.py leaves them, of answers that a test chooses."""

import json

from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.report import compare, score_columns
from stvlm.files import write_json
from stvlm.scoring import parse_answer, score


def write_results(folder, dataset, answers, model="runs/tiny", fingerprint="0", settings=None):
    """Answers by column to the rows of the split `test` of a dataset folder."""
    split = load_split(str(dataset), "test")
    scores = score_columns(split.rows, answers)
    differences = compare(split.rows, scores, "model")
    results = {
        "model": {"path": model, "fingerprint": fingerprint, "backend": "transformers"},
        "dataset": {
            "path": str(dataset), "config": "default", "split": "test",
            "fingerprint": split.fingerprint, "rows": len(split.rows),
        },
        "settings": {"controls": [name for name in answers if name != "model"], "limit": None, **(settings or {})},
        "scores": {name: {k: v for k, v in s.items() if k != "per_sample"} for name, s in scores.items()},
        "differences": {task: {name: d._asdict() for name, d in of.items()} for task, of in differences.items()},
        "versions": {"stvlm": "0"},
    }  # fmt: skip
    write_json(folder / "results.json", results)
    lines = [as_line(row, name, text) for name in answers for row, text in zip(split.rows, answers[name], strict=True)]
    (folder / "responses.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def as_line(row, control, text):
    parsed = parse_answer(row["task"], text, row["choices"], row["question"])
    outcome = score(row["task"], parsed, row["target"])
    line = {"id": row["id"], "control": control, "task": row["task"], "response": text}
    return json.dumps({**line, "parsed": parsed._asdict(), "score": outcome._asdict()}) + "\n"

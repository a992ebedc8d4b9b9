"""What can be answered from cues alone: forests that see a question's cues (cues.py), never its motion in space.

One learns the answers of a task in the training set from all cues, and more each from one of them; each then answers
the benchmark. Where one does better there than a constant answer, the benchmark has a shortcut.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stvlm.dataset import cues
from stvlm.dataset.cues import by_object, codes
from stvlm.dataset.guesses import constant_floor, is_right, label_of, labels_of
from stvlm.records import Array, DataError, Task
from stvlm.scoring import COMPARISONS, score_all

MARGIN = 0.05
"""A probe may be this much better than the floor."""
TREES = 100
LEAST_ROWS_OF_A_LEAF = 20
"""Forests, because one gives the odds of every answer, a second as well as a metre, so that of all answers the one
likeliest to be counted right can be given."""

COLUMNS = ("clip_id", "task", "target", "choices", "template_id", *cues.SCHEMA.names)
"""What a probe is told of each row: what it learns from, and what answers are scored by."""
_OF_A_ROW = ("clip_id", "task", "target", "choices", "template_id", "question", "start_s", "end_s", "frame_times_s",
             "objects", "intrinsics_px")  # fmt: skip


class Probed(NamedTuple):
    """How well a task's questions are answered from cues, as fractions of 1."""

    accuracy: float  # from all cues
    low: float  # its one-sided 95 % lower bound, which knows that questions on one clip are alike
    floor: float  # of answers that are always the same, and of chance
    cue: str  # the one from which alone most is answered right
    cue_accuracy: float
    cue_low: float
    trained_on: int  # rows

    @property
    def leaks(self) -> bool:
        """Whether more is answered than the floor and MARGIN."""
        return max(self.low, self.cue_low) > self.floor + MARGIN


def check_installed() -> None:
    """Raises DataError where scikit-learn is missing."""
    if find_spec("sklearn") is None:
        raise DataError("--against needs scikit-learn, which is not installed: pip install scikit-learn")


def read_cues(folders: Sequence[str]) -> pa.Table:
    """The columns COLUMNS of all rows of built datasets, variants left out; raises DataError."""
    tables = []
    for path in sorted(path for folder in folders for path in Path(folder).glob("*/*/metadata.parquet")):
        try:
            with pq.ParquetFile(path, read_dictionary=["clip_id", "task", "target", "template_id"]) as file:
                for batch in file.iter_batches(1000, columns=list(_OF_A_ROW)):
                    rows = pa.Table.from_batches([batch])
                    shown = cues.cue_table(rows)
                    told = {name: (rows if name in _OF_A_ROW else shown).column(name) for name in COLUMNS}
                    told |= {name: told[name].dictionary_encode() for name in ("color", "category")}
                    tables.append(pa.table(told))
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DataError(f"{path}: not rows of this version ({error}); build the dataset again") from error
    if not tables:
        raise DataError(f"{', '.join(folders)}: holds no rows; --against takes a dataset built with build.py")
    return pa.concat_tables(tables).combine_chunks()


def probe(trained: pa.Table, bench: pa.Table) -> dict[str, Probed]:
    """Of each task that both tables have, of COLUMNS, what cues tell of the answers in the second one."""
    out = {}
    for task in get_args(Task):
        parts = [table.select(list(COLUMNS)).filter(pc.equal(table.column("task"), task)) for table in (trained, bench)]
        if all(map(len, parts)):
            out[task] = _probe(task, *parts)
    return out


def _probe(task: Task, trained: pa.Table, bench: pa.Table) -> Probed:
    seen = shown(task, pa.concat_tables([trained, bench]))
    features = {"all cues": np.hstack(list(seen.values())), **seen}
    labels, references = labels_of(task, trained), _references(bench)
    scores = {name: _score(task, labels, references, values) for name, values in features.items()}
    accuracy, low = scores.pop("all cues")
    cue = max(scores, key=lambda name: scores[name][0])
    return Probed(accuracy, low, round(_floor(task, bench), 4), cue, *scores[cue], len(trained))


def shown(task: Task, rows: pa.Table) -> dict[str, Array]:
    """Each cue of the rows as features (N, F), NaN where a row has none, in the form that says most of the answer.

    Of a comparison: by how much each object has more than the others, or less where the question asks for the least;
    whether two objects go the same way tells the difference between them.
    """
    area, motion = (np.log(by_object(rows.column(name)) + 1e-3) for name in ("area", "motion"))
    categories = [f"{name}  ".split(" ") for name in rows.column("category").to_numpy()]
    places = np.isfinite(area).sum(axis=1)
    polarity = rows.column("polarity").to_numpy().astype(float)
    out = {
        "color": [codes(rows.column("color").to_numpy())],
        "wording": [codes(rows.column("template_id").to_numpy())],
        "class": [codes(of_row[place] for of_row in categories) for place in range(3)],
        "window": [rows.column("window_s").to_numpy()],
        "clip": [rows.column("clip_s").to_numpy()],
    }
    if task == "movement_direction_comparison":
        sizes = {"area": [np.abs(area[:, 0] - area[:, 1])], "motion": [np.abs(motion[:, 0] - motion[:, 1])]}
        known = [polarity]
    elif task in COMPARISONS:
        sizes = {"area": list(_ahead(area, polarity).T), "motion": list(_ahead(motion, polarity).T)}
        known = [polarity, places]  # whatever else is known of a question
    else:
        sizes = {"area": [area[:, 0]], "motion": [motion[:, 0]]}
        known = []
    if known:
        out["order"] = []
    return {name: np.stack([*values, *known], axis=1).astype(float) for name, values in {**out, **sizes}.items()}


def _ahead(values: Array, polarity: Array) -> Array:
    """By how much each of a row's objects (N, 3) is ahead of the best other one."""
    values = values * polarity[:, None]
    others = np.stack([np.delete(values, place, axis=1) for place in range(3)], axis=1)  # (N, 3, 2)
    return np.asarray(values - np.fmax(others[..., 0], others[..., 1]))


def _score(
    task: Task, labels: Sequence[str], references: Sequence[Mapping[str, Any]], features: Array
) -> tuple[float, float]:
    """Accuracy on the benchmark and its lower bound, of a forest.

    Args:
        task: what is asked.
        labels: of the training set's rows.
        references: the benchmark's rows, as they are scored.
        features: what the forest sees of the rows of both, (N, F).
    """
    from sklearn.ensemble import RandomForestClassifier

    asked = [label_of(task, row["target"], row["choices"]) for row in references]
    # Like the floor, a forest knows how often the benchmark has each answer: else it learns first what is frequent in
    # the training set, such as 12 o'clock, and answers that whatever it sees.
    frequency, wanted = Counter(labels), Counter(asked)
    weights = [(wanted[label] + 1) / frequency[label] for label in labels]
    forest = RandomForestClassifier(
        TREES, min_samples_leaf=LEAST_ROWS_OF_A_LEAF, max_features=None, random_state=0, n_jobs=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few rows of many answers, in a small training set
        forest.fit(features[: len(labels)], labels, weights)
    names = forest.classes_.tolist()
    right = forest.predict_proba(features[len(labels) :]) @ is_right(task, names).T.astype(float)
    if task in COMPARISONS and task != "movement_direction_comparison":  # labels are places among the choices
        count = np.array([len(row["choices"]) for row in references])
        right[np.array(names, dtype=int) >= count[:, None]] = -1.0
        places = [int(names[i]) for i in right.argmax(axis=1)]  # modulo: where no place that was learned is there
        answers = [row["choices"][i % len(row["choices"])] for row, i in zip(references, places, strict=True)]
    else:
        answers = [names[i] for i in right.argmax(axis=1)]
    scores = score_all(answers, references, confidence=0.9)  # of both tails 5 % each
    return round(scores[f"{task}_accuracy"], 4), round(scores[f"{task}_accuracy_low"], 4)


def _references(bench: pa.Table) -> list[Mapping[str, Any]]:
    return list(bench.select(["clip_id", "task", "target", "choices"]).to_pylist())


def _floor(task: Task, bench: pa.Table) -> float:
    """Of the best constant answer; of a comparison not below chance, as one color is not among all choices."""
    targets, choices = (bench.column(name).to_pylist() for name in ("target", "choices"))
    chance = np.mean([1 / len(of_row) for of_row in choices]) if task in COMPARISONS else 0.0
    return max(constant_floor(task, targets), float(chance))

"""What is held of all questions while rows are chosen among them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stvlm.dataset.prepare import source_spec
from stvlm.dataset.recipe import Recipe
from stvlm.dataset.shards import LIGHT, Asking, ask_recording, read_asked, whole_rows
from stvlm.records import Recording

WORLD = {"seed": 3, "recordings": 1, "layouts": ["curve"], "width_px": 96, "height_px": 72, "duration_s": 8.0}


def test_a_hundred_bytes_a_question_in_the_order_of_the_shards(tmp_path: Path) -> None:
    recipe = Recipe("tiny", "Tiny", {"simulation": {**WORLD, "camera_motions": {"fixed": 1.0}}})
    spec = source_spec("simulation", None, recipe)
    shard = tmp_path / "shard.parquet"
    (recording,) = spec.open().recordings()
    assert isinstance(recording, Recording)
    ask_recording(Asking(spec, recording, recipe, with_video=False), shard)
    written = pq.read_table(shard).replace_schema_metadata(None)
    n = len(written)
    assert n > 20

    asked = read_asked([shard] * 70)
    assert asked.rows.column("shard").to_pylist() == np.repeat(np.arange(70), n).tolist()
    assert asked.rows.select(list(LIGHT)).to_pylist() == written.select(list(LIGHT)).to_pylist() * 70
    assert asked.rows.nbytes < 120 * 70 * n

    last = asked._replace(rows=asked.rows.take([2 * n + 1, 2 * n + 3, 69 * n]))
    assert [table.to_pylist() for table in whole_rows(last)] == [
        written.take([1, 3]).to_pylist(),
        written.take([0]).to_pylist(),
    ]

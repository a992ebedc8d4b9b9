"""How long a run took, however often it was stopped."""

import pytest
import torch

from stvlm.training.cost import Clock


def test_seconds_until_the_last_checkpoint_count_on(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("stvlm.training.cost.time.monotonic", lambda: now[0])
    first = Clock(tmp_path)
    now[0] += 60
    first.keep()
    now[0] += 5  # lost with the steps after the checkpoint
    second = Clock(tmp_path)
    now[0] += 7
    assert second.cost()["wall_s"] == pytest.approx(67.0)
    second.keep()
    assert Clock(tmp_path).cost()["wall_s"] == pytest.approx(67.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has a name of its own")
def test_device_is_told(tmp_path, monkeypatch):
    for threads, told in ((1, "1 core of a CPU"), (3, "3 cores of a CPU")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert Clock(tmp_path).cost()["device"] == told

"""Runs units of work on all cores, each into one file that is whole or absent: what is done is never done again."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from stvlm.records import DataError

Unit = TypeVar("Unit")


def run_units(
    work: Callable[[Unit, Path], None],
    units: Sequence[tuple[Unit, Path]],
    workers: int | None = None,
    title: str = "",
) -> None:
    """Calls `work(unit, shard)` for every unit whose shard does not exist yet; `work` writes the shard atomically.

    Args:
        work: a picklable function; the same unit gives the same shard, in any process and order.
        units: what to do, and the file that says that it is done.
        workers: processes; None for one a core. One means none but this.
    """
    workers = workers or os.cpu_count() or 1
    missing = [(unit, shard) for unit, shard in units if not shard.exists()]
    with tqdm(total=len(units), initial=len(units) - len(missing), desc=title, unit="recording") as bar:
        if workers == 1 or len(missing) <= 1:
            for unit, shard in missing:
                work(unit, shard)
                bar.update()
            return
        # Spawned, not forked: a fork copies the locks of threads that it does not copy.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(missing)), context, initializer=_leave_interrupts) as pool:
            futures = [pool.submit(work, unit, shard) for unit, shard in missing]
            for future in futures:
                future.add_done_callback(lambda _: bar.update())
            try:
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BrokenProcessPool as error:
                raise DataError(
                    "a worker process died, perhaps for want of memory; run the command again with fewer --workers"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C is for the main process, which lets the workers finish the unit that they are at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""Runs units of work on all cores, each into one file that is whole or absent: what is done is never done again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
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
        with ProcessPoolExecutor(min(workers, len(missing)), context, initializer=_end_with_main) as pool:
            with _interrupts_ignored():  # the first submit starts the workers
                futures = [pool.submit(work, unit, shard) for unit, shard in missing]
            for future in futures:
                future.add_done_callback(lambda done: None if done.cancelled() else bar.update())
            try:
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BrokenProcessPool as error:
                raise DataError(
                    "a worker process died, perhaps for want of memory; run the command again with fewer --workers"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C is for the main process, which lets the workers finish the unit that they are at: what starts in this
    block ignores it from its first moment, not only once Python is up.
    """
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with_main() -> None:
    """Has a worker end when the main process is gone: killed, it cannot say so, and the worker would wait forever."""

    def watch() -> None:
        if main := multiprocessing.parent_process():
            main.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

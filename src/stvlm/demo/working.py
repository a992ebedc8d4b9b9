"""Long work in steps: what it tells of itself is shown while it goes on, and whoever stops listening stops it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Told(NamedTuple):
    """How far work is."""

    share: float
    words: str


class StoppedError(Exception):
    """Nobody waits for the work any more."""


Tell = Callable[[float, str], None]
"""Takes a share of 1 and words; raises StoppedError where the work is to end."""


def in_steps(work: Callable[[Tell], T]) -> Generator[Told, None, T]:
    """Does the work in a thread and yields what it tells; returns its result, raises what it raises.

    Closing the generator stops the work the next time that it tells something.
    """
    news: SimpleQueue[Told | None] = SimpleQueue()  # None at the end
    stopped = Event()
    outcome: Future[T] = Future()

    def tell(share: float, words: str) -> None:
        if stopped.is_set():
            raise StoppedError
        news.put(Told(share, words))

    def do() -> None:
        try:
            outcome.set_result(work(tell))
        except Exception as error:
            outcome.set_exception(error)
        news.put(None)

    Thread(target=do, daemon=True).start()
    try:
        while (told := news.get()) is not None:
            if news.empty():  # the newest is enough
                yield told
        return outcome.result()
    finally:
        stopped.set()

"""Long work in steps: what it tells of itself is shown while it goes on, and whoever stops listening stops it."""

from __future__ import annotations

from collections.abc import Callable, Generator
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
    news: SimpleQueue[Told | tuple[T | None, Exception | None]] = SimpleQueue()
    stopped = Event()

    def tell(share: float, words: str) -> None:
        if stopped.is_set():
            raise StoppedError
        news.put(Told(share, words))

    def do() -> None:
        try:
            news.put((work(tell), None))
        except Exception as error:
            news.put((None, error))

    Thread(target=do, daemon=True).start()
    try:
        while True:
            item = news.get()
            while isinstance(item, Told) and not news.empty():  # the newest is enough
                item = news.get()
            if isinstance(item, Told):
                yield item
                continue
            result, error = item
            if error is not None:
                raise error
            return result  # type: ignore[return-value]
    finally:
        stopped.set()

"""Long work in steps: what it tells of itself is shown while it goes on, and whoever stops listening stops it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from itertools import count
from queue import Empty, SimpleQueue
from threading import Condition, Event, Thread
from typing import NamedTuple, TypeVar

T = TypeVar("T")
N = TypeVar("N")
S = TypeVar("S")
LOOK_S = 0.25
"""How often silent work is looked after, and so the longest time until it is known that nobody waits for it."""


class Told(NamedTuple):
    """How far work is."""

    share: float
    words: str


class StoppedError(Exception):
    """Nobody waits for the work any more."""


Tell = Callable[[Told], None]
"""Raises StoppedError where the work is to end."""


def untold(told: Told) -> None:
    """For work that nobody looks at."""


def in_steps(work: Callable[[Callable[[N], None]], T], show: Callable[[N], S]) -> Generator[S, None, T]:
    """Does the work in a thread and yields what it tells as `show` makes it; returns its result, raises what it raises.

    The last is yielded again while the work is silent. Closing the generator never waits: it stops the work the next
    time that it tells something.
    """
    news: SimpleQueue[N | None] = SimpleQueue()  # None at the end
    stopped = Event()
    outcome: Future[T] = Future()

    def tell(told: N) -> None:
        if stopped.is_set():
            raise StoppedError
        news.put(told)

    def do() -> None:
        try:
            outcome.set_result(work(tell))
        except Exception as error:
            outcome.set_exception(error)
        news.put(None)

    # In the context of the visitor's request, by which GPUs are lent.
    Thread(target=copy_context().run, args=(do,), daemon=True).start()
    try:
        told: N | None = None
        while True:
            try:
                told = news.get(timeout=LOOK_S)
            except Empty:
                if told is None:
                    continue  # there is nothing to yield yet
            if told is None:
                return outcome.result()
            if news.empty():  # the newest is enough
                yield show(told)
    finally:
        stopped.set()


class Line:
    """In which visitors wait for what only a few can have at a time: everybody's first before anybody's second.

    Who asks three times at once has a place in this round and in each of the next two; who comes later, in this one.
    """

    def __init__(self, served: int) -> None:
        self._served = served
        self._moved = Condition()
        self._places: list[tuple[int, int, str]] = []  # round, arrival and visitor, of those that are served, too
        self._arrivals = count()
        self._round = 0  # the last of which anybody was served

    def __len__(self) -> int:
        """How many wait or are served."""
        return len(self._places)

    @contextmanager
    def turn(self, visitor: str, tell: Tell) -> Iterator[None]:
        """What is done within is done in turn. Tells how many are still before; whoever stops listening leaves."""
        with self._moved:
            rounds = [place[0] for place in self._places if place[2] == visitor]
            place = (max([self._round - 1, *rounds]) + 1, next(self._arrivals), visitor)
            insort(self._places, place)
        try:
            while (before := self._before(place)) > 0:
                tell(Told(0.0, f"{before} before you"))
                with self._moved:
                    if self._before(place) == before:
                        self._moved.wait(LOOK_S)
            yield
        finally:
            with self._moved:
                self._places.remove(place)
                self._moved.notify_all()

    def _before(self, place: tuple[int, int, str]) -> int:
        """How many are to be served first; none or fewer where it is one's turn."""
        with self._moved:
            before = self._places.index(place) - self._served + 1
            if before <= 0:
                self._round = max(self._round, place[0])
            return before

"""Long work tells how far it is, and can be stopped."""

import time
from threading import Barrier, Event, Thread

import pytest

from stvlm.demo.working import Line, StoppedError, Tell, Told, in_steps, untold


def test_it_tells_and_returns() -> None:
    go_on = Event()

    def work(tell: Tell) -> int:
        tell(Told(0.5, "half"))
        go_on.wait(5)
        return 7

    steps = in_steps(work, lambda told: told.words)
    assert next(steps) == "half"
    go_on.set()
    with pytest.raises(StopIteration) as done:
        next(steps)
    assert done.value.value == 7


def test_it_raises_what_the_work_raises() -> None:
    def work(tell: Tell) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        next(in_steps(work, str))


def test_whoever_stops_listening_stops_it() -> None:
    go_on, ended = Event(), []

    def work(tell: Tell) -> None:
        tell(Told(0.1, "begun"))
        go_on.wait(5)
        try:
            tell(Told(0.2, "on"))
        except StoppedError:
            ended.append("stopped")
            raise
        finally:
            over.set()

    over = Event()
    steps = in_steps(work, str)
    next(steps)
    steps.close()
    go_on.set()
    assert over.wait(5) and ended == ["stopped"]


def test_silent_work_can_be_stopped_too() -> None:
    go_on = Event()

    def work(tell: Tell) -> None:
        tell(Told(0.1, "begun"))
        go_on.wait(5)

    steps = in_steps(work, lambda told: told.words)
    assert [next(steps), next(steps)] == ["begun", "begun"]
    steps.close()
    go_on.set()


def served(line: Line, visitors: str) -> str:
    """Who is served, one after the other, where all of `visitors` come while the first is."""
    order, told = [], []

    def visit(visitor: str) -> None:
        with line.turn(visitor, told.append):
            order.append(visitor)
            come.wait(5)

    come, threads = Event(), []
    for count, visitor in enumerate(visitors, 1):
        threads.append(Thread(target=visit, args=(visitor,)))
        threads[-1].start()
        while len(line) < count:
            time.sleep(0.001)
    assert order == [visitors[0]]
    come.set()
    for thread in threads:
        thread.join(5)
    assert len(line) == 0
    assert {it.words for it in told} <= {f"{n} before you" for n in range(1, len(visitors))} and told
    return "".join(order)


def test_a_second_question_waits_until_everybody_had_a_first() -> None:
    assert served(Line(1), "abcd") == "abcd"
    assert served(Line(1), "aaabcb") == "abcaba"  # a: rounds 0, 1, 2; b: 0 and 1; c: 0
    assert served(Line(1), "aaa") == "aaa"


def test_two_are_served_at_a_time() -> None:
    line, both = Line(2), Barrier(3, timeout=5)

    def visit(visitor: str) -> None:
        with line.turn(visitor, untold):
            both.wait()

    for visitor in "ab":
        Thread(target=visit, args=(visitor,), daemon=True).start()
    both.wait()


def test_who_stops_waiting_leaves_the_line() -> None:
    line = Line(1)

    def stop(told: Told) -> None:
        raise StoppedError

    with line.turn("a", untold):
        with pytest.raises(StoppedError), line.turn("b", stop):
            raise AssertionError("it is not b's turn")
        assert len(line) == 1
    with line.turn("c", stop):  # at once
        pass

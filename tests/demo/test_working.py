"""Long work tells how far it is, and can be stopped."""

from threading import Event

import pytest

from stvlm.demo.working import StoppedError, Tell, Told, in_steps


def test_it_tells_and_returns() -> None:
    go_on = Event()

    def work(tell: Tell) -> int:
        tell(0.5, "half")
        go_on.wait(5)
        return 7

    steps = in_steps(work)
    assert next(steps) == Told(0.5, "half")
    go_on.set()
    with pytest.raises(StopIteration) as done:
        next(steps)
    assert done.value.value == 7


def test_it_raises_what_the_work_raises() -> None:
    def work(tell: Tell) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        next(in_steps(work))


def test_whoever_stops_listening_stops_it() -> None:
    go_on, ended = Event(), []

    def work(tell: Tell) -> None:
        tell(0.1, "begun")
        go_on.wait(5)
        try:
            tell(0.2, "on")
        except StoppedError:
            ended.append("stopped")
            raise
        finally:
            over.set()

    over = Event()
    steps = in_steps(work)
    next(steps)
    steps.close()
    go_on.set()
    assert over.wait(5) and ended == ["stopped"]

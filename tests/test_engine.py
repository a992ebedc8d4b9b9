"""Units of work on several processes: all of them, each once, and what happens when one fails."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stvlm.engine import run_units
from stvlm.files import whole_file
from stvlm.records import DataError


def square(number: int, shard: Path) -> None:
    """Leaves its process's id beside the shard, to show where and how often it ran."""
    with (shard.parent / "log").open("a") as log:
        log.write(f"{number} {os.getpid()}\n")
    with whole_file(shard) as temporary:
        temporary.write_text(str(number**2))


def square_but_three(number: int, shard: Path) -> None:
    if number == 3:
        raise DataError("three: is refused")
    square(number, shard)


def die_at_three(number: int, shard: Path) -> None:
    if number == 3:
        os._exit(9)  # as the kernel does when memory runs out
    square(number, shard)


def units(folder: Path, count: int = 6) -> list[tuple[int, Path]]:
    return [(i, folder / f"{i}.txt") for i in range(count)]


def done(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.txt")}


ALL = {f"{i}.txt": str(i**2) for i in range(6)}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_unit_once_and_never_again(tmp_path: Path, workers: int) -> None:
    (tmp_path / "2.txt").write_text("made before")
    run_units(square, units(tmp_path), workers)
    assert done(tmp_path) == ALL | {"2.txt": "made before"}
    log = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(number for number, _ in log) == ["0", "1", "3", "4", "5"]
    assert all(process == str(os.getpid()) for _, process in log) == (workers == 1)

    run_units(square, units(tmp_path), workers)
    assert len((tmp_path / "log").read_text().splitlines()) == 5


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_stops_and_the_next_run_goes_on(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError, match="three: is refused"):
        run_units(square_but_three, units(tmp_path), workers)
    made = done(tmp_path)
    assert "3.txt" not in made
    assert made.items() <= ALL.items()
    run_units(square, units(tmp_path), 1)
    assert done(tmp_path) == ALL
    assert len((tmp_path / "log").read_text().splitlines()) == 6


def fail_at_once(number: int, shard: Path) -> None:
    if number == 0:
        raise DataError("zero: is refused")
    time.sleep(0.02)
    square(number, shard)


def test_after_an_error_no_more_is_begun(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="zero: is refused"):
        run_units(fail_at_once, units(tmp_path, 100), 2)
    assert len(done(tmp_path)) < 50


def test_a_worker_that_dies_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a worker process died, perhaps for want of memory; .* fewer --workers"):
        run_units(die_at_three, units(tmp_path), 2)
    assert done(tmp_path).items() <= ALL.items()
    assert "3.txt" not in done(tmp_path)


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    run_units(square, [], 4)
    assert list(tmp_path.iterdir()) == []


SLOW = """
import sys, time
from pathlib import Path
from stvlm.engine import run_units
from stvlm.files import whole_file

def work(number, shard):
    (shard.parent / f"{number}.begun").touch()
    time.sleep(0.3)
    with whole_file(shard) as temporary:
        temporary.write_text("whole")

if __name__ == "__main__":
    print("ready", flush=True)
    folder = Path(sys.argv[1])
    try:
        run_units(work, [(i, folder / f"{i}.txt") for i in range(20)], 2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def started(tmp_path: Path) -> "subprocess.Popen[str]":
    """A program in a process group of its own that runs 20 units of 0.3 s, at its first moment."""
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    program = subprocess.Popen(
        [sys.executable, tmp_path / "slow.py", tmp_path],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def wait_until_gone(group: int) -> None:
    for _ in range(1000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("a process is left")


@pytest.mark.parametrize("delay_s", [0.1, 0.3, 1.0])
def test_ctrl_c_lets_workers_finish_what_they_began(tmp_path: Path, delay_s: float) -> None:
    program = started(tmp_path)
    time.sleep(delay_s)  # while the workers start, and when they work
    os.killpg(program.pid, signal.SIGINT)
    _, stderr = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "Traceback" not in stderr
    wait_until_gone(program.pid)
    begun = {path.stem for path in tmp_path.glob("*.begun")}
    assert {path.stem for path in tmp_path.glob("*.txt")} == begun
    assert len(begun) < 20
    assert not list(tmp_path.glob(".*"))


def test_workers_end_with_a_main_process_that_is_killed(tmp_path: Path) -> None:
    program = started(tmp_path)
    while not list(tmp_path.glob("*.begun")):
        time.sleep(0.01)
    program.kill()
    program.communicate(timeout=30)  # returns when no process holds its pipes any more
    wait_until_gone(program.pid)
    assert len(list(tmp_path.glob("*.begun"))) < 20

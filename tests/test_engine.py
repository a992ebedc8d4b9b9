"""Units of work on datatrove: all of them, each once, and what happens when one fails, or is killed."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stvlm.engine import Engine, run_units
from stvlm.files import locked, whole_file
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
        with (shard.parent / "deaths").open("a") as log:
            log.write(f"{os.getpid()}\n")
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    time.sleep(0.05)
    square(number, shard)


def die_once_at_three(number: int, shard: Path) -> None:
    if not (shard.parent / "deaths").exists():
        die_at_three(number, shard)
    square(number, shard)


def say_why(number: int, shard: Path, reason: str) -> None:
    shard.write_text(f"{number}: {reason}")


def units(folder: Path, count: int = 6) -> list[tuple[int, Path]]:
    return [(i, folder / f"{i}.txt") for i in range(count)]


def done(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.txt")}


def runs(folder: Path) -> list[str]:
    """The unit of every call, in order."""
    return sorted(line.split()[0] for line in (folder / "log").read_text().splitlines())


ALL = {f"{i}.txt": str(i**2) for i in range(6)}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_unit_once_and_never_again(tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "2.txt").write_text("made before")
    run_units(square, units(tmp_path), Engine(workers=workers), "squaring")
    assert done(tmp_path) == ALL | {"2.txt": "made before"}
    assert runs(tmp_path) == ["0", "1", "3", "4", "5"]
    processes = {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()}
    assert 1 <= len(processes) <= workers
    assert str(os.getpid()) not in processes
    assert not list(tmp_path.glob(".*"))
    out, err = capfd.readouterr()
    assert out == ""
    assert all(part.startswith("squaring: ") for part in err.replace("\n", "\r").split("\r") if part), err
    assert "100%" in err and "6/6" in err

    run_units(square, units(tmp_path), Engine(workers=workers))
    assert len(runs(tmp_path)) == 5


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_stops_and_the_next_run_goes_on(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError, match=r"^three: is refused$"):
        run_units(square_but_three, units(tmp_path), Engine(workers=workers))
    made = done(tmp_path)
    assert "3.txt" not in made
    assert made.items() <= ALL.items()
    run_units(square, units(tmp_path), Engine(workers=1))
    assert done(tmp_path) == ALL
    assert len(runs(tmp_path)) == 6
    assert not list(tmp_path.glob(".*"))


def fail_at_once(number: int, shard: Path) -> None:
    if number == 0:
        raise ZeroDivisionError("a mistake in the code")
    time.sleep(0.02)
    square(number, shard)


def test_after_an_error_no_more_is_begun_and_a_mistake_shows_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in fail_at_once.*ZeroDivisionError: a mistake in the code"):
        run_units(fail_at_once, units(tmp_path, 100), Engine(workers=2))
    assert len(done(tmp_path)) < 50


@pytest.mark.parametrize("workers", [1, 2])
def test_what_kills_its_worker_twice_is_given_up_and_the_others_go_on(tmp_path: Path, workers: int) -> None:
    run_units(die_at_three, units(tmp_path), Engine(workers=workers), give_up=say_why)
    assert done(tmp_path) == ALL | {"3.txt": "3: killed its worker process twice, perhaps for want of memory"}
    assert runs(tmp_path) == ["0", "1", "2", "4", "5"], "what was done, or at work beside it, is not done again"
    assert len((tmp_path / "deaths").read_text().splitlines()) == 2


def test_what_kills_its_worker_once_is_done_the_second_time(tmp_path: Path) -> None:
    run_units(die_once_at_three, units(tmp_path), Engine(workers=2))
    assert done(tmp_path) == ALL


def test_what_kills_its_worker_ends_the_run_where_it_may_not_be_given_up(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^3.txt: killed its worker process twice, .*; see .*/log$"):
        run_units(die_at_three, units(tmp_path), Engine(workers=2))
    assert done(tmp_path).items() == ALL.items() - {("3.txt", "9")}


def write_much(number: int, shard: Path) -> None:
    with whole_file(shard) as temporary:
        temporary.write_bytes(b"x" * (300_000 if number == 3 else 10))


def test_a_disk_that_is_full_is_one_line(tmp_path: Path) -> None:
    """Files may not grow beyond 200 kB: a write fails half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"/3.txt: cannot write \(File too large\); free some space"):
            run_units(write_much, units(tmp_path), Engine(workers=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "3.txt").exists()
    assert not list(tmp_path.glob(".*partial*"))
    run_units(write_much, units(tmp_path), Engine(workers=2))
    assert (tmp_path / "3.txt").stat().st_size == 300_000


def test_an_engine_that_does_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "datatrove.py").write_text("raise ImportError('broken')\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"/log: the local engine ended with 6 of 6 recordings not done: .*broken"):
        run_units(square, units(tmp_path / "out"))


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    run_units(square, [], Engine(workers=4))
    assert list(tmp_path.iterdir()) == []


# --- interrupted and killed -------------------------------------------------------------------------------------------


SLOW = """
import os, sys, time
from pathlib import Path
from stvlm.engine import Engine, run_units
from stvlm.files import whole_file

def work(number, shard):
    (shard.parent / f"{number}.begun").write_text(str(os.getpid()))
    time.sleep(0.3)
    with whole_file(shard) as temporary:
        temporary.write_text("whole")
    with (shard.parent / "log").open("a") as log:  # last: before, the process may still be killed, and the unit redone
        log.write(f"{number}\\n")

if __name__ == "__main__":
    print("ready", flush=True)
    folder = Path(sys.argv[1])
    try:
        run_units(work, [(i, folder / f"{i}.txt") for i in range(20)], Engine(sys.argv[2], 2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def started(folder: Path, engine: str = "local") -> "subprocess.Popen[str]":
    """A program in a process group of its own that runs 20 units of 0.3 s, at its first moment."""
    (folder / "slow.py").write_text(SLOW, encoding="utf-8")
    program = subprocess.Popen(
        [sys.executable, folder / "slow.py", folder, engine],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def wait_until(condition: Callable[[], Any]) -> Any:
    """What the condition gives as soon as that is true."""
    for _ in range(3000):
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it does not come true")


def processes_of(folder: Path) -> list[str]:
    """The processes whose working directory, files or arguments tell that they belong to a run in `folder`."""
    command = ["ps", "-eww", "-o", "pid=", "-o", "sid=", "-o", "stat=", "-o", "args="]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [line.split(None, 3) for line in lines.splitlines()]
    sessions = {session for _, session, _, arguments in found if f"{folder}/" in arguments}
    return [" ".join(line) for line in found if line[1] in sessions and not line[2].startswith("Z")]


def pid_at_work(begun: Path) -> str:
    """Of the process that is at a unit; empty once it is done, and until it has said who it is."""
    return "" if begun.with_suffix(".txt").exists() else begun.read_text()


def whole(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.txt") if path.read_text() == "whole"}


@pytest.mark.parametrize("delay_s", [0.1, 0.6, None])
def test_ctrl_c_lets_workers_finish_what_they_began(tmp_path: Path, delay_s: float | None) -> None:
    program = started(tmp_path)
    if delay_s:
        time.sleep(delay_s)  # while the workers start
    else:
        wait_until(lambda: list(tmp_path.glob("*.begun")))
    os.killpg(program.pid, signal.SIGINT)
    _, stderr = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "Traceback" not in stderr
    assert processes_of(tmp_path) == []
    begun = {path.stem for path in tmp_path.glob("*.begun")}
    assert whole(tmp_path) == begun
    assert len(begun) < 20
    assert not list(tmp_path.glob(".*partial*"))


def test_all_processes_end_with_a_main_process_that_is_killed(tmp_path: Path) -> None:
    program = started(tmp_path)
    wait_until(lambda: list(tmp_path.glob("*.begun")))
    assert len(processes_of(tmp_path)) >= 4, "main, driver and two workers"
    program.kill()
    program.communicate(timeout=30)
    wait_until(lambda: not processes_of(tmp_path))
    assert len(list(tmp_path.glob("*.begun"))) < 20


@pytest.mark.parametrize("victim", ["worker", "driver"])
def test_a_process_that_is_lost_costs_nothing(tmp_path: Path, victim: str) -> None:
    program = started(tmp_path)
    wait_until(lambda: list(tmp_path.glob("*.txt")))
    if victim == "worker":
        at_work = wait_until(lambda: [pid for pid in map(pid_at_work, tmp_path.glob("*.begun")) if pid])
        os.kill(int(at_work[0]), signal.SIGKILL)
    else:
        driver = next(line for line in processes_of(tmp_path) if "drive()" in line)
        os.kill(int(driver.split()[0]), signal.SIGKILL)
    _, stderr = program.communicate(timeout=60)
    assert program.returncode == 0, stderr
    assert len(whole(tmp_path)) == 20
    assert sorted(set(runs(tmp_path))) == sorted(runs(tmp_path)), "what was done is not done again"
    assert processes_of(tmp_path) == []


def test_killed_again_and_again_it_finishes_and_redoes_nothing(tmp_path: Path) -> None:
    chance = random.Random(3)
    for done_n in (0, 1, 4, 8):
        program = started(tmp_path)
        wait_until(lambda done_n=done_n: len(list(tmp_path.glob("*.txt"))) >= done_n)
        time.sleep(chance.uniform(0, 0.4))
        os.killpg(program.pid, signal.SIGKILL)
        program.communicate(timeout=30)
        wait_until(lambda: not processes_of(tmp_path))
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.txt")}
    assert 8 <= len(kept) < 20
    program = started(tmp_path)
    _, stderr = program.communicate(timeout=60)
    assert program.returncode == 0, stderr
    assert len(whole(tmp_path)) == 20
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not list(tmp_path.glob(".engine*"))


def test_a_lock_is_for_one_and_goes_with_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "work" / "lock"
    code = "import sys, time; from pathlib import Path; from stvlm.files import locked\nwith locked(Path(sys.argv[1])):"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{code}\n    print('held', flush=True); time.sleep(60)", lock],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(DataError, match=f"^{lock.parent}: in use by process {holder.pid} on .*; let it end"),
        locked(lock),
    ):
        pass
    holder.kill()
    holder.communicate()
    assert lock.exists()
    with locked(lock):
        assert lock.read_text().startswith(f"process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_folder_is_removed_does_not_end_the_next(tmp_path: Path) -> None:
    lock = tmp_path / "work" / "lock"
    first, second = locked(lock), locked(lock)
    first.__enter__()
    shutil.rmtree(lock.parent)
    with second:
        first.__exit__(None, None, None)
        with pytest.raises(DataError, match="in use by"), locked(lock):
            pass
    assert list(tmp_path.iterdir()) == []


# --- elsewhere than here ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("slrum", {}, "--engine slrum: unknown; did you mean 'slurm'?"),
        ("local", {"partition": "cpu"}, "--engine-option partition: unknown to local; known: "),
        ("slurm", {"partition": "cpu"}, "--engine slurm: give --engine-option time=..."),
        ("jobs", {"mount": "/data", "dependencies": []}, "--engine jobs: give --engine-option bucket=..."),
        ("slurm", {"partion": "cpu"}, "--engine-option partion: unknown to slurm; did you mean 'partition'?"),
        ("local", {"skip_completed": True}, "--engine-option skip_completed: unknown to local"),
    ],
)
def test_a_wrong_engine_is_told(
    name: str, options: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(DataError) as error:
        Engine(name, options=options)
    assert str(error.value).startswith(message)


def test_slurm_needs_sbatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match=r"^--engine slurm: there is no sbatch on this machine"):
        Engine("slurm", options={"partition": "cpu", "time": "01:00:00"})


SLURM = r"""
import json, os, re, signal, subprocess, sys, time
from pathlib import Path

name, arguments, here = Path(sys.argv[0]).name, sys.argv[1:], Path(__file__).parent
if name == "sbatch":
    job = str(100 + len(list(here.glob("*.sh"))))
    script = here / f"{job}.sh"
    script.write_text(Path(arguments[-1]).read_text())
    print("Submitted batch job", job, flush=True)
    subprocess.Popen([sys.executable, here / "run_array", job], start_new_session=True, stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (here / f"{job}.queued").touch()
elif name == "run_array":
    job = arguments[0]
    script = (here / f"{job}.sh").read_text()
    first, last, at_once = map(int, re.search(r"--array=(\d+)-(\d+)%(\d+)", script).groups())
    output = re.search(r"--output=(.*)", script).group(1)
    running, waiting = [], list(range(first, last + 1))
    while running or waiting:
        running = [task for task in running if task.poll() is None]
        if not (here / f"{job}.queued").exists():
            waiting = []
        while waiting and len(running) < at_once:
            index = waiting.pop(0)
            environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_JOB_ID": job, "SLURM_NODELIST": "n1"}
            with open(output.replace("%A", job).replace("%a", str(index)), "wb") as log:
                running.append(subprocess.Popen(["bash", here / f"{job}.sh"], env=environment, stdout=log, stderr=log))
        (here / f"{job}.running").write_text(str(len(running) + len(waiting)))
        time.sleep(0.05)
    (here / f"{job}.running").unlink()
    (here / f"{job}.queued").unlink(missing_ok=True)
elif name == "squeue":
    job = arguments[-1]
    if any(here.glob(f"{job}.[qr]*")):
        print(job, "cpu stvlm RUNNING")
elif name == "scancel":
    (here / f"{arguments[-1]}.queued").unlink(missing_ok=True)
elif name == "scontrol":
    print("n1")
elif name == "srun":
    sys.exit(subprocess.run([argument for argument in arguments if argument not in ("-l", "-n", "1")]).returncode)
"""
"""What Slurm's commands do, on this machine: the array's script really runs, so many tasks at once as it says."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Slurm's commands, which wait for nothing, in front of the search path."""
    here = tmp_path / "slurm"
    here.mkdir()
    for name in ("sbatch", "squeue", "scancel", "scontrol", "srun", "run_array"):
        (here / name).write_text(f"#!{sys.executable}{SLURM}", encoding="utf-8")
        (here / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(here), prepend=os.pathsep)
    return Engine("slurm", 2, {"partition": "cpu", "time": "01:00:00", "qos": ""})


def test_slurm_does_the_units_and_goes_on_after_a_death(tmp_path: Path, slurm: Engine) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "2.txt").write_text("made before")
    run_units(die_at_three, units(out), slurm, give_up=say_why)
    died = {"3.txt": "3: killed its worker process twice, perhaps for want of memory"}
    assert done(out) == ALL | {"2.txt": "made before"} | died
    assert runs(out) == ["0", "1", "4", "5"]
    script = (tmp_path / "slurm" / "100.sh").read_text()
    assert "#SBATCH --partition=cpu\n" in script
    assert "#SBATCH --time=01:00:00\n" in script
    assert "#SBATCH --array=0-3%2\n" in script
    assert len(list((tmp_path / "slurm").glob("*.sh"))) >= 2, "a second job tries again"
    assert "#SBATCH --array=0-0%1\n" in (tmp_path / "slurm" / "101.sh").read_text()


def test_slurm_jobs_stop_at_an_error(tmp_path: Path, slurm: Engine) -> None:
    with pytest.raises(DataError, match=r"^three: is refused$"):
        run_units(square_but_three, units(tmp_path / "out"), slurm)
    assert done(tmp_path / "out").items() <= ALL.items()


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stvlm.engine.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"^--engine ray: ray is not installed; type: pip install ray$"):
        Engine("ray")


def test_ray_does_the_units_and_goes_on_after_a_death(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    run_units(die_at_three, units(tmp_path), Engine("ray", 2), give_up=say_why)
    assert done(tmp_path) == ALL | {"3.txt": "3: killed its worker process twice, perhaps for want of memory"}
    assert runs(tmp_path) == ["0", "1", "2", "4", "5"]
    assert processes_of(tmp_path) == []


def test_ray_ends_with_a_main_process_that_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    program = started(tmp_path, "ray")
    wait_until(lambda: list(tmp_path.glob("*.begun")))
    worker = int(next(tmp_path.glob("*.begun")).read_text())
    program.kill()
    program.communicate(timeout=30)
    wait_until(lambda: not processes_of(tmp_path) and not Path(f"/proc/{worker}").exists())


BUCKETS = """
import fsspec, os
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

class Buckets(DirFileSystem):
    protocol = "hf"

    def __init__(self, **options):
        super().__init__(path=os.environ["BUCKETS"], fs=LocalFileSystem(auto_mkdir=True))

fsspec.register_implementation("hf", Buckets, clobber=True)
"""
"""hf:// on this machine's disk, in every process."""


class JobsServer(BaseHTTPRequestHandler):
    """The Hub's part in a Job: it starts the command, on this machine, and says how it does."""

    started: list[dict[str, Any]]
    running: list["subprocess.Popen[bytes]"]

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/api/jobs/me"
        command = job["command"][job["command"].index("launch_pickled_pipeline") :]
        python = Path(sys.executable).parent
        self.running.append(subprocess.Popen([python / command[0], *command[1:]], env=os.environ | job["environment"]))
        self.started.append(job)
        self.answer(len(self.started) - 1)

    def do_GET(self) -> None:
        self.answer(int(self.path.removeprefix("/api/jobs/me/")))

    def answer(self, number: int) -> None:
        code = self.running[number].poll()
        stage = "RUNNING" if code is None else "ERROR" if code else "COMPLETED"
        owner = {"id": "0", "name": "me", "type": "user"}
        text = json.dumps({"id": str(number), "owner": owner, "status": {"stage": stage}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[JobsServer]]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BUCKETS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    handler = type("Handler", (JobsServer,), {"started": [], "running": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("BUCKETS", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    yield handler
    server.shutdown()
    server.server_close()


def test_jobs_do_the_units_where_a_bucket_is_mounted(tmp_path: Path, jobs: type[JobsServer]) -> None:
    mount = tmp_path / "mount"
    engine = Engine("jobs", 2, {
        "bucket": "me/data", "mount": str(mount), "dependencies": ["stvlm"], "namespace": "me", "poll_interval": 1
    })  # fmt: skip
    run_units(square, units(mount / "out"), engine)
    assert done(mount / "out") == ALL
    assert runs(mount / "out") == ["0", "1", "2", "3", "4", "5"]
    with pytest.raises(
        DataError, match=f"{tmp_path}/elsewhere: does not lie in {mount}, where the Jobs see the bucket"
    ):
        run_units(square, units(tmp_path / "elsewhere"), engine)
    assert len(jobs.started) == 4
    for job in jobs.started:
        assert job["volumes"] == [{"type": "bucket", "source": "me/data", "mountPath": str(mount)}]
        assert "stvlm" in job["command"]
        assert job["command"][-1].startswith("hf://buckets/me/data/out/.engine.")

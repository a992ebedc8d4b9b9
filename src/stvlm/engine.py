"""Runs units of work on datatrove, each into one file that is whole or absent: what is done is never done again.

    run_units          ->  driver process              ->  worker processes
    watches the shards     datatrove's executor: local,    run_rank: work(unit, shard), one after another
                           Slurm, Ray, Jobs

Whether a unit is done is told by its shard alone. What the processes tell each other lies in one folder beside the
shards, made anew for every run:

    go               while it is there, more may be begun
    ranks/00007      what rank 7 has to do
    begun/12         unit 12 is at work, or has killed its worker: a line for each start
    failure          why all has to end; blank
    log, datatrove/  what datatrove says, for people: its markers of completion are not believed
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from stvlm.recipes import nearest
from stvlm.records import DataError

Unit = TypeVar("Unit")
Item = tuple[int, Any, Path]  # a unit's number, the unit, its shard
EXECUTORS = {
    "local": "LocalPipelineExecutor",
    "slurm": "SlurmPipelineExecutor",
    "ray": "RayPipelineExecutor",
    "jobs": "JobsPipelineExecutor",
}
OURS = {"self", "pipeline", "tasks", "workers", "logging_dir", "skip_completed", "depends", "start_method",
        "local_tasks", "local_rank_offset", "nodes_per_task"}  # fmt: skip
"""Arguments of an executor that are not for the user to set."""
NEEDED = {"slurm": {"partition", "time"}, "jobs": {"bucket", "mount", "dependencies"}}
"""Options without which an engine cannot run."""
KILLED = "killed its worker process twice, perhaps for want of memory"
"""Why a unit is given up."""
MAX_TASKS = 1000  # Slurm's usual limit on a job array
GO, FAILURE, LOG = "go", "failure", "log"
FAILURE_BYTES = 1 << 16


@dataclass(frozen=True)
class Engine:
    """Where units of work run. Whatever it is, the result is the same."""

    name: str = "local"
    workers: int | None = None
    """Processes at a time; None for one a core of this machine."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of datatrove's executor, as a Slurm partition; for Jobs also `bucket`, the NAMESPACE/NAME of a
    bucket, and `mount`, the folder under which it is mounted here and will be in the Jobs.
    """

    def __post_init__(self) -> None:
        if self.name not in EXECUTORS:
            raise DataError(f"--engine {self.name}: unknown{nearest(self.name, EXECUTORS)}")
        if self.name == "ray" and not find_spec("ray"):
            raise DataError("--engine ray: ray is not installed; type: pip install ray")
        if self.name == "slurm" and not shutil.which("sbatch"):
            raise DataError("--engine slurm: there is no sbatch on this machine; run it where jobs are submitted")
        needed = NEEDED.get(self.name, set())
        if self.options:  # else datatrove need not be imported
            known = needed | inspect.signature(_executor(self.name)).parameters.keys() - OURS
            for key in self.options:
                if key not in known:
                    raise DataError(f"--engine-option {key}: unknown to {self.name}{nearest(key, known)}")
        for key in sorted(needed - self.options.keys()):
            raise DataError(f"--engine {self.name}: give --engine-option {key}=...")


def run_units(
    work: Callable[[Unit, Path], None],
    units: Sequence[tuple[Unit, Path]],
    engine: Engine | None = None,
    title: str = "",
    give_up: Callable[[Unit, Path, str], None] | None = None,
    kind: str = "recording",
) -> None:
    """Calls `work(unit, shard)` for every unit whose shard does not exist yet; `work` writes the shard atomically.

    An error ends the run once the units at work are through, and the next run goes on. A unit that kills its worker is
    tried once more, alone, when the others are done.

    Args:
        work: a picklable function; the same unit gives the same shard, in any process and order.
        units: what to do, and the file that says that it is done.
        engine: on what; None for all cores of this machine.
        give_up: called as give_up(unit, shard, reason) for a unit that killed its worker twice, to write a shard that
            says so; None to end the run.
        kind: what a unit is called.
    """
    engine = engine or Engine()
    missing = [(number, unit, shard) for number, (unit, shard) in enumerate(units) if not shard.exists()]
    done_n = len(units) - len(missing)
    with tqdm(total=len(units), initial=done_n, desc=title, unit=kind, mininterval=0.5) as bar:
        if not missing:
            return
        with _run_dir(Path(os.path.commonpath([shard.parent for _, shard in units]))) as run_dir:
            while missing:
                before = _starts(run_dir)
                batch = [item for item in missing if item[0] not in before]
                # What has killed its worker goes last, and alone: there may only have been too little memory for two.
                _run_round(run_dir, engine, work, batch or missing, bar, alone=not batch)
                after = _starts(run_dir)
                for number, unit, shard in missing:
                    if after[number] > 1 and not shard.exists():
                        if give_up is None:
                            raise DataError(f"{shard.name}: {KILLED}; see {run_dir / LOG}")
                        give_up(unit, shard, KILLED)
                left = [item for item in missing if not item[2].exists()]
                if len(left) == len(missing) and after == before:
                    raise DataError(
                        f"{run_dir / LOG}: the {engine.name} engine ended with {len(left)} of {len(units)} {kind}s "
                        f"not done: {_last_line(run_dir / LOG)}"
                    )
                missing = left


@contextmanager
def _run_dir(parent: Path) -> Iterator[Path]:
    """A new folder for one run; one that fails leaves it, for its log, until the next."""
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(".engine.*"):  # what still works for a run that was killed sees that it is gone, and ends
        shutil.rmtree(old, ignore_errors=True)
    run_dir = Path(tempfile.mkdtemp(prefix=".engine.", dir=parent.absolute()))
    for name in ("ranks", "begun"):
        (run_dir / name).mkdir()
    yield run_dir
    shutil.rmtree(run_dir, ignore_errors=True)


def _run_round(
    run_dir: Path, engine: Engine, work: Callable[..., None], batch: list[Item], bar: tqdm[Any], alone: bool
) -> None:
    """Has the engine do a batch as far as it gets. Raises what a unit raised."""
    import dill  # as datatrove does: it pickles the functions of a script too

    workers = 1 if alone else engine.workers or os.cpu_count() or 1
    # Many small tasks keep all workers busy to the end; elsewhere than here each starts a process, which costs seconds.
    tasks = min(len(batch), workers * (16 if engine.name == "local" else 2), MAX_TASKS)
    for rank in range(tasks):
        todo = dill.dumps((Path.cwd(), work, batch[rank::tasks], 1 if alone else 0), recurse=True)
        (run_dir / "ranks" / f"{rank:05d}").write_bytes(todo)
    (run_dir / FAILURE).write_bytes(b" " * FAILURE_BYTES)
    (run_dir / GO).touch()

    shards: dict[Path, set[str]] = defaultdict(set)
    for _, _, shard in batch:
        shards[shard.parent].add(shard.name)
        shard.parent.mkdir(parents=True, exist_ok=True)
    others_n = bar.n

    def show() -> None:
        left = sum(len(names.difference(os.listdir(folder))) for folder, names in shards.items())  # noqa: PTH208
        bar.update(others_n + len(batch) - left - bar.n)

    arguments = {"name": engine.name, "tasks": tasks, "workers": min(workers, tasks), "options": dict(engine.options)}
    command = [sys.executable, "-c", "from stvlm.engine import drive; drive()", str(run_dir), json.dumps(arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # In a session of its own, so that Ctrl-C reaches this process alone, which lets the workers finish their units.
    with (run_dir / LOG).open("ab") as log, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=environment
    ) as driver:  # fmt: skip
        try:
            while driver.poll() is None:
                show()
                with suppress(subprocess.TimeoutExpired):
                    driver.wait(0.2)
        except KeyboardInterrupt:
            bar.set_description("finishing what was begun")
            (run_dir / GO).unlink(missing_ok=True)
            driver.wait()
            raise
        finally:
            with suppress(ProcessLookupError, PermissionError):  # what it may have left behind
                os.killpg(driver.pid, signal.SIGKILL)
            show()
    if text := (run_dir / FAILURE).read_bytes().strip():
        failure = json.loads(text)
        raise DataError(failure["message"]) if failure["expected"] else RuntimeError(failure["message"])


def _starts(run_dir: Path) -> Counter[int]:
    """How often the units that are at work, or whose worker was killed at it, have been started."""
    return Counter({int(path.name): len(path.read_text().splitlines()) for path in (run_dir / "begun").iterdir()})


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing; is the disk full?")


# --- in the workers ---------------------------------------------------------------------------------------------------


def run_rank(run_dir: Path, _data: object, rank: int, _world_size: int) -> None:
    """A task of datatrove: does those of the rank's units that are not done, one after another."""
    import dill

    folder, work, batch, earlier_starts = dill.loads((run_dir / "ranks" / f"{rank:05d}").read_bytes())
    with suppress(FileNotFoundError):
        os.chdir(folder)  # what a relative path of a unit starts from
    for number, unit, shard in batch:
        begun = run_dir / "begun" / str(number)
        if not (run_dir / GO).exists():
            return
        if shard.exists() or (begun.exists() and len(begun.read_text().splitlines()) > earlier_starts):
            continue  # Slurm and Ray start a task again that was killed: what killed it waits for the next round
        try:
            with begun.open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\n")
            work(unit, shard)
        except BaseException as error:
            _fail(run_dir, error)
            return
        finally:
            begun.unlink(missing_ok=True)


def _fail(run_dir: Path, error: BaseException) -> None:
    """Has the run end with this error. The file is there already, so that it can be told when the disk is full."""
    expected = isinstance(error, DataError | OSError)
    message = (str(error) if expected else "".join(traceback.format_exception(error)))[-4000:]
    with (run_dir / FAILURE).open("r+b") as file:
        file.write(json.dumps({"expected": expected, "message": message}).encode().ljust(FAILURE_BYTES))
    (run_dir / GO).unlink(missing_ok=True)


# --- in the driver process --------------------------------------------------------------------------------------------


def drive() -> None:
    """The driver process: one round on datatrove's executor. It ends, and its workers with it, when main does."""
    import multiprocess

    multiprocess.set_start_method("spawn")  # not fork, which copies the locks of threads that it does not copy
    run_dir, arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
    threading.Thread(target=_end_with_main, daemon=True).start()
    name, options = arguments["name"], arguments["options"]
    common = {"tasks": arguments["tasks"], "workers": arguments["workers"], "skip_completed": False,
              "pipeline": [partial(run_rank, run_dir)], "logging_dir": str(run_dir / "datatrove")}  # fmt: skip
    if name == "local":
        finish = partial(_finish_units, run_dir)
        threading.Thread(target=_end_with_a_child, args=(finish,), daemon=True).start()
        _executor(name)(**common, start_method="spawn", **options).run()
    elif name == "ray":
        _init_ray(run_dir)
        _executor(name)(**common, **options).run()
    elif name == "slurm":
        same_python = f'export PATH="{Path(sys.executable).parent}:$PATH"'
        executor = _executor(name)(**{**common, "env_command": same_python, "job_name": "stvlm", **options})
        executor.launch_merge_stats = _no_statistics
        executor.run()
        _wait_for_slurm(executor.job_id, run_dir)
    elif name == "jobs":
        bucket, mount = options.pop("bucket"), Path(options.pop("mount")).absolute()
        if not run_dir.is_relative_to(mount):
            _fail(run_dir, DataError(f"{run_dir.parent}: does not lie in {mount}, where the Jobs see the bucket"))
            return
        _mount_in_jobs(bucket, mount)
        logs = f"hf://buckets/{bucket}/{(run_dir / 'datatrove').relative_to(mount).as_posix()}"
        _executor(name)(**{**common, "logging_dir": logs, "job_name": "stvlm", **options}).run()


def _executor(name: str) -> Any:
    """The class of datatrove; imported only where units run."""
    from datatrove import executor

    return getattr(executor, EXECUTORS[name])


def _end_with_main() -> None:
    """Kills this process and its workers when main is gone: killed, it cannot say so, but its pipe closes."""
    os.read(0, 1)  # not sys.stdin, whose lock a process that starts needs
    os.kill(0, signal.SIGKILL)  # all of the group, which is ours


def _end_with_a_child(before: Callable[[], object]) -> None:
    """Ends this process when one that it started is killed: datatrove's pool of processes would replace it, and wait
    for ever for the task that went with it.
    """
    import multiprocess

    children: set[Any] = set()
    while not any(child.exitcode for child in children):
        time.sleep(0.1)
        children.update(multiprocess.active_children())
    before()
    os._exit(1)


def _finish_units(run_dir: Path) -> None:
    """Waits until the workers have finished the units that they are at, and begins no more."""
    import multiprocess

    (run_dir / GO).unlink(missing_ok=True)
    while _at_work(run_dir) & {str(worker.pid) for worker in multiprocess.active_children()}:
        time.sleep(0.1)


def _at_work(run_dir: Path) -> set[str]:
    """The processes that have begun a unit and not ended it."""
    found = set()
    for path in (run_dir / "begun").iterdir():
        with suppress(FileNotFoundError, IndexError):
            found.add(path.read_text().splitlines()[-1])
    return found


def _init_ray(run_dir: Path) -> None:
    """Joins the cluster of RAY_ADDRESS, or starts one on this machine."""
    import ray

    # A folder of our own for its logs, which datatrove puts where another user's may lie.
    setup = {"worker_process_setup_hook": watch_ray_task, "env_vars": {"TMPDIR": str(run_dir)}}
    ray.init(runtime_env=setup, log_to_driver=False, include_dashboard=False, logging_level="ERROR")


def watch_ray_task() -> None:
    """In each of Ray's processes, of which datatrove forks one for its task: ends with that, so that Ray sees it, and
    datatrove starts the task again. The pause is for one that ends in order, by a signal too.
    """
    threading.Thread(target=_end_with_a_child, args=(partial(time.sleep, 2),), daemon=True).start()


def _mount_in_jobs(bucket: str, mount: Path) -> None:
    """Has every Job that datatrove starts see the bucket under `mount`, as this machine does."""
    import huggingface_hub as hub

    start, volume = hub.run_uv_job, hub.Volume(type="bucket", source=bucket, mount_path=str(mount))

    def run_uv_job(script: str, **arguments: Any) -> Any:
        # The launcher by its name, for datatrove is installed there: its file need not be uploaded for each Job.
        return start("launch_pickled_pipeline", volumes=[volume], **arguments)

    hub.run_uv_job = run_uv_job


def _no_statistics() -> None:
    """In place of the Slurm job that would add up datatrove's statistics: there are none."""


def _wait_for_slurm(job_id: str, run_dir: Path) -> None:
    """Until the queue does not know the job any more; what waits in it is cancelled when no more is to be begun."""
    pause_s = 1.0
    while True:
        time.sleep(pause_s)
        pause_s = min(30.0, pause_s * 1.5)
        if not (run_dir / GO).exists():
            subprocess.run(["scancel", "--state=PENDING", job_id], check=False)
            pause_s = 1.0
        queue = subprocess.run(["squeue", "--noheader", "--jobs", job_id], capture_output=True, text=True, check=False)
        print(queue.stdout, queue.stderr)
        # A job that ended some minutes ago is invalid; any other error is the controller's, and passes.
        if not queue.stdout.strip() and (queue.returncode == 0 or "Invalid job id" in queue.stderr):
            return

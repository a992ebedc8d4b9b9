"""What every test relies on."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hub_server import HubServer

# The processes of `make test` share the cores: a second thread of one would only wait for another. Read as torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Programs are started hundreds of times: all but the first find our modules compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Started in the background, a shell's jobs ignore Ctrl-C and pass that on; the programs under test must not inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# trackio reads it when it is imported, which trl does.
os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="trackio-")

LONGEST = (
    "test_stkit.py", "publishing/test_release.py", "test_notebooks.py", "dataset/test_build.py", "test_engine.py",
    "evaluation/test_evaluate_model.py", "training/test_grpo.py", "training/test_resuming.py", "training/test_run.py",
    "pseudo_labels/test_bad_videos.py", "pseudo_labels/test_resume.py", "pseudo_labels/test_simulated.py",
    "dataset/test_materialize.py", "space/test_app.py", "space/test_browser.py", "space/test_stopping.py",
)  # fmt: skip
"""Files that take half a minute and more, the longest first."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, as tests wait for the programs that they start."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the longest files, so that no core waits for one of them in the end."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and the programs that they run, leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub on this machine."""
    with HubServer() as server:
        yield server

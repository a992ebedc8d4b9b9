"""What every test relies on."""

import os
import signal
import tempfile
from collections.abc import Iterator

import pytest
from tests.hub_server import HubServer

# Started in the background, a shell's jobs ignore Ctrl-C and pass that on; the programs under test must not inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# trackio reads it when it is imported, which trl does.
os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="trackio-")


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

"""Uploading a folder to a Hub on this machine: what it ends up with, and what is said when it does not."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.hub_server import HubServer

LOGIN = "type: hf auth login, or set HF_TOKEN to a token that may write"
START = """
import json, os
from pathlib import Path
from stvlm.hub import check_target, upload
from stvlm.records import DataError

def said(name="me/x", token=None, **options):
    os.environ["HF_TOKEN"] = token or "hf_me"
    try:
        return upload(Path("folder"), name, "dataset", marker="build.json", **options)
    except DataError as error:
        return str(error)
"""


@pytest.fixture
def run(hub: HubServer, tmp_path: Path) -> Callable[..., Any]:
    """Runs code beside a small folder, in a process of its own, and gives what it prints as JSON."""
    folder = tmp_path / "folder"
    (folder / "a" / "videos").mkdir(parents=True)
    for name in ("build.json", "README.md", "eval.yaml", "a/metadata.parquet", "a/videos/1.mp4"):
        (folder / name).write_text(f"---\n{name}: 1\n---\n", encoding="utf-8")

    def run_code(code: str, **environment: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", f"{START}\n{code}"], cwd=tmp_path, capture_output=True, text=True, check=False,
            env=hub.environment(tmp_path / "home") | environment, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run_code


def test_the_repository_holds_what_the_folder_holds(hub: HubServer, run: Callable[..., Any], tmp_path: Path) -> None:
    assert run("""
first = said(optional=["eval.yaml"])
os.rename("folder/a", "folder/b")
print(json.dumps([first, said()]))
""") == [{}, {}]
    files = hub.files("datasets", "me/x")
    assert set(files) - {".gitattributes"} == {
        "README.md", "b/metadata.parquet", "b/videos/1.mp4", "build.json", "eval.yaml"
    }  # fmt: skip
    history = list(hub.repos["datasets", "me/x"].commits.values())
    assert ["build.json" in files for files in history[:2]] == [False, True]
    first_with_card = next(i for i, files in enumerate(history) if "README.md" in files)
    assert "a/videos/1.mp4" in history[first_with_card]
    assert len(hub.uploads) == 2, "what has only moved is not sent again"


def test_many_files_go_up_in_many_commits(hub: HubServer, run: Callable[..., Any], tmp_path: Path) -> None:
    """As with Xet, which is how the Hub itself takes files; only the sending of large ones is not tested here."""
    hub.kept_as_lfs = ()
    for i in range(300):
        (tmp_path / "folder" / "a" / f"{i}.txt").write_text(str(i), encoding="utf-8")
    assert run("print(json.dumps([said(), said()]))", HF_HUB_DISABLE_XET="0") == [{}, {}]
    # .gitattributes, build.json, 250 files, the other 53 of the data, the card; then nothing
    history = [len(files) for files in hub.repos["datasets", "me/x"].commits.values()]
    assert history == [1, 2, 252, 305, 306]
    assert "README.md" in hub.files("datasets", "me/x")


def test_a_file_that_the_hub_refuses_costs_nothing_else(hub: HubServer, run: Callable[..., Any]) -> None:
    hub.rejects = "eval.yaml"
    assert run('print(json.dumps(said(optional=["eval.yaml"])))') == {"eval.yaml": "eval.yaml is not valid"}
    assert {"README.md", "a/videos/1.mp4"} < set(hub.files("datasets", "me/x"))


def test_errors_are_one_line_with_a_cure(hub: HubServer, run: Callable[..., Any]) -> None:
    answers = run("""
answers = {
    "token": said(token="wrong"),
    "namespace": said(token="hf_you"),
    "name": said("me/what?"),
    "no org": said("x"),
}
from huggingface_hub import HfApi
HfApi().create_repo("me/x", repo_type="dataset")
HfApi().upload_file(path_or_fileobj=b"", path_in_repo="mine.csv", repo_id="me/x", repo_type="dataset")
answers["foreign"] = said()
HfApi().create_repo("me/open", repo_type="dataset")
answers["public"] = said("me/open", private=True)
answers["private"] = said("me/closed", private=True)
print(json.dumps(answers))
""")
    assert answers == {
        "token": f"me/x: the Hub does not know this token; {LOGIN}",
        "namespace": "me/x: this token may not write there; use one that may, or choose an ORG that is yours",
        "name": answers["name"],
        "no org": "x: is no ORG/NAME of the Hub; your own ORG is your user name",
        "foreign": "me/x: holds something else (mine.csv), which would be lost; choose another name",
        "public": "me/open: exists and is public; make it private in its settings, or choose another name",
        "private": {},
    }
    assert answers["name"].startswith("me/what?: is no name of the Hub (")
    assert set(hub.files("datasets", "me/x")) == {".gitattributes", "mine.csv"}
    assert hub.repos["datasets", "me/closed"].private


def test_a_hub_that_cannot_be_reached_is_told(run: Callable[..., Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        answer = run("print(json.dumps(said()))", HF_ENDPOINT=address)
    assert answer.startswith(f"me/x: no answer from {address} (")
    assert answer.endswith("when the network is there, run the same command again: it goes on where it stopped")
    assert "\n" not in answer

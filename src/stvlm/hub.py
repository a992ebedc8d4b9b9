"""A folder as a repository of the Hub, through its own client, with errors that say what to do."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import httpx2
from huggingface_hub import CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # lazily exported

from stvlm import __version__
from stvlm.records import DataError

CARD = "README.md"
LOGIN = "type: hf auth login, or set HF_TOKEN to a token that may write"
Kind = Literal["dataset", "model", "space", "paper"]
AGAIN = "run the same command again: it goes on where it stopped"


def check_names(repo_ids: Iterable[str]) -> None:
    """Raises DataError where one is no ORG/NAME that the Hub would take; asks nobody."""
    for repo_id in repo_ids:
        try:
            validate_repo_id(repo_id)
        except HFValidationError:
            raise DataError(
                f"{repo_id}: is no name of the Hub; ORG is your user name or an organisation of yours, and folders to "
                "publish are called by letters, digits, '-', '_' and '.' alone"
            ) from None


def check_org(org: str) -> None:
    """Raises DataError where the token that is logged in may not write under a name of the Hub."""
    with _in_one_line(org):
        user = _api().whoami()
    role = user.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise DataError(f"{org}: this token may only read; {LOGIN}")
    may_write = [user["name"], *(o["name"] for o in user.get("orgs", []) if o.get("roleInOrg") != "read")]
    if org not in may_write:
        raise DataError(
            f"{org}: the token of {user['name']} may not write there, but to {', '.join(may_write)}; choose one of "
            "these, or use a token of a member that may write"
        )


def check_target(repo_id: str, repo_type: str, *, marker: str, private: bool = False) -> None:
    """Raises DataError where an `upload` could not even begin: to be asked before hours of building."""
    if repo_id.count("/") != 1:
        raise DataError(f"{repo_id}: is no ORG/NAME of the Hub; your own ORG is your user name")
    api = _api()
    with _in_one_line(repo_id):
        try:
            api.whoami()
            info = api.repo_info(repo_id, repo_type=repo_type)
            there = {*api.list_repo_files(repo_id, repo_type=repo_type)} - {".gitattributes", CARD}
        except RepositoryNotFoundError:
            return
    if there and marker not in there:
        raise DataError(f"{repo_id}: holds something else ({min(there)}), which would be lost; choose another name")
    if private and not info.private:
        raise DataError(f"{repo_id}: exists and is public; make it private in its settings, or choose another name")


class Changes(NamedTuple):
    """What would make a repository hold what a folder holds."""

    send: Mapping[str, int]
    """Files that are not there, or otherwise, and their bytes."""
    remove: Sequence[str]
    """Files of the repository that the folder lacks."""


def changes(folder: Path, repo_id: str, repo_type: str) -> Changes:
    """Compares a folder with a repository; one that does not exist is empty. Raises DataError."""
    with _in_one_line(repo_id):
        try:
            entries = list(_api().list_repo_tree(repo_id, recursive=True, repo_type=repo_type))
        except RepositoryNotFoundError:
            entries = []
    there = {entry.path: entry for entry in entries if isinstance(entry, RepoFile) and entry.path != ".gitattributes"}
    here = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    send = {name: path.stat().st_size for name, path in here.items() if not _is_same(path, there.get(name))}
    return Changes(send, sorted(there.keys() - here.keys()))


def _is_same(path: Path, entry: RepoFile | None) -> bool:
    """Whether a repository's file has the content of one here, by the hash that the Hub keeps of it."""
    if entry is None or entry.size != path.stat().st_size:
        return False
    if entry.lfs is not None:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.lfs.sha256
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == entry.blob_id


def collect(org: str, title: str, description: str, items: Sequence[tuple[str, Kind]], private: bool = False) -> int:
    """Makes a collection hold some repositories and papers, and gives how many were added; raises DataError.

    Args:
        org: whose it is. One of the same title is added to.
        title: of the collection.
        description: at most 150 characters.
        items: id and type ("model", "dataset", "space", "paper") of each.
        private: make it so that only its owner sees it.
    """
    api = _api()
    with _in_one_line(org):
        collection = api.create_collection(
            title, namespace=org, description=description, private=private, exists_ok=True
        )
        there = {(item.item_id, item.item_type) for item in collection.items}
        missing = [item for item in items if item not in there]
        for item_id, item_type in missing:
            api.add_collection_item(collection.slug, item_id, item_type, exists_ok=True)
    return len(missing)


def set_variable(repo_id: str, name: str, value: str) -> bool:
    """Gives a Space an environment variable; whether it had another one before. Raises DataError."""
    api = _api()
    with _in_one_line(repo_id):
        found = api.get_space_variables(repo_id).get(name)
        if found is not None and found.value == value:
            return False
        api.add_space_variable(repo_id, name, value)
    return True


def upload(
    folder: Path, repo_id: str, repo_type: str, *, marker: str, private: bool = False, optional: Sequence[str] = ()
) -> dict[str, str]:
    """Makes a repository hold what a folder holds; what is there already is not sent again.

    Args:
        folder: its files, of which links are followed.
        repo_id: ORG/NAME; made where there is none.
        repo_type: "dataset", "model" or "space".
        marker: a file of the folder that goes up first. A repository with other contents and without it is refused,
            for whatever the folder lacks is removed from it. The card goes up last: where there is one, all is there.
        private: make it so that only its owner sees it.
        optional: files that the Hub may refuse, as it holds them against lists of its own.

    Returns why each optional file was refused. Raises DataError.
    """
    check_target(repo_id, repo_type, marker=marker, private=private)
    api = _api()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # or it warns where nothing has changed
    warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")  # a demo's examples

    def send(message: str, allow: Sequence[str] | None = None, ignore: Sequence[str] = ()) -> None:
        api.upload_folder(
            repo_id=repo_id, repo_type=repo_type, folder_path=folder, commit_message=message,
            allow_patterns=None if allow is None else list(allow), ignore_patterns=list(ignore),
        )  # fmt: skip

    refused = {}
    with _in_one_line(repo_id):
        sdk = "gradio" if repo_type == "space" else None
        api.create_repo(repo_id, repo_type=repo_type, private=private or None, space_sdk=sdk, exist_ok=True)
        send("Begin an upload", allow=[marker])
        send("Upload the data", ignore=[marker, CARD, *optional])
        there = api.list_repo_files(repo_id, repo_type=repo_type)
        stale = [path for path in there if path != ".gitattributes" and not (folder / path).exists()]
        if stale:
            api.create_commit(
                repo_id, [CommitOperationDelete(path) for path in stale], repo_type=repo_type,
                commit_message="Remove what is no part of it any more",
            )  # fmt: skip
        for name in optional:
            try:
                send(f"Upload {name}", allow=[name])
            except BadRequestError as error:
                refused[name] = error.server_message or str(error)
        send("Upload the card", allow=[CARD])
    return refused


def _api() -> HfApi:
    return HfApi(library_name="stvlm", library_version=__version__)


@contextmanager
def _in_one_line(repo_id: str) -> Iterator[None]:
    """Turns what the client raises into one line with a cure."""
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise DataError(f"{repo_id}: not logged in to the Hub; {LOGIN}") from error
    except HFValidationError as error:
        raise DataError(f"{repo_id}: is no name of the Hub ({error})") from error
    except (httpx2.HTTPError, ConnectionError, RuntimeError) as error:
        # The client wraps what an upload's thread raised.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        if isinstance(cause, HfHubHTTPError):
            raise DataError(f"{repo_id}: {_refusal(cause)}") from error
        what = "the upload broke off" if isinstance(error, RuntimeError) else f"no answer from {constants.ENDPOINT}"
        raise DataError(
            f"{repo_id}: {what} ({cause or type(cause).__name__}); when the network is there, {AGAIN}"
        ) from error


def _refusal(error: HfHubHTTPError) -> str:
    """What an error status means, and what helps."""
    status = error.response.status_code
    if status == 401:
        return f"the Hub does not know this token; {LOGIN}"
    if status == 403:
        return "this token may not write there; use one that may, or choose an ORG that is yours"
    why = error.server_message or str(error)
    cure = f"; {AGAIN}" if status in (408, 429) or status >= 500 else ""
    return f"the Hub answered {status} ({why}){cure}"

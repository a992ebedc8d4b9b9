"""A Hub on this machine, to which the real clients publish and from which they load: models, datasets and Spaces.

    with HubServer() as hub:
        subprocess.run(program, env=hub.environment(tmp_path))

The clients read where the Hub is when they are imported, so that what uses them runs in a process of its own.
The token hf_NAME may write to the namespace NAME, and to organisations of which NAME is a member. Every commit is kept,
under a sha that its contents decide.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEPT_AS_LFS = (".bin", ".gz", ".jpg", ".mp4", ".parquet", ".png", ".safetensors", ".zip")
"""The Hub's own list is longer; what is not on it and at most 10 MB goes into the commit itself."""


@dataclass(frozen=True)
class File:
    """A file of a commit."""

    data: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        """What clients compare with the file that they hold: SHA-256 of a large file, git's own hash of another."""
        if self.lfs:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


@dataclass
class Repo:
    """One repository; its last commit is `main`."""

    private: bool
    commits: dict[str, dict[str, File]] = field(default_factory=dict)  # sha -> path -> file

    def commit(self, files: dict[str, File]) -> str:
        """Adds a commit of these files and gives its sha."""
        lines = [f"{path} {file.oid}" for path, file in sorted(files.items())]
        sha = hashlib.sha1("\n".join([*self.commits, *lines]).encode()).hexdigest()
        self.commits[sha] = files
        return sha

    def sha(self, revision: str) -> str:
        """The commit of `main`, or of a sha itself; raises where there is none."""
        sha = list(self.commits)[-1] if revision == "main" else revision
        if sha not in self.commits:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha


class RefusedError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class HubServer:
    """Runs while its `with` block does; tests look into its attributes."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}  # ("datasets", "org/name")
        self.objects: dict[str, bytes] = {}  # large files by their SHA-256
        self.uploads: list[str] = []  # the SHA-256 of every large file that was sent
        self.hang_after: int | None = None  # uploads after this many are never answered, as on a dying connection
        self.cut_after: int | None = None  # requests after this many get no answer but a closed connection
        self.requests = 0
        self.members: dict[str, set[str]] = {}  # who may write to an organisation
        self.collections: dict[str, dict[str, Any]] = {}  # by slug, as the Hub shows them
        self.variables: dict[str, dict[str, str]] = {}  # of Spaces
        self.kept_as_lfs = KEPT_AS_LFS
        self.rejects = ""  # a path that no commit may hold
        self.hung = threading.Event()
        self.lock = threading.Lock()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path, token: str | None = "hf_me") -> dict[str, str]:
        """The environment of a client: this Hub, a token, and `home` as the only cache."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        here = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), **({} if token is None else {"HF_TOKEN": token})}
        return kept | quiet | here

    def files(self, kind: str, name: str, revision: str = "main") -> dict[str, bytes]:
        """What a repository holds."""
        repo = self.repos[kind, name]
        return {path: file.data for path, file in repo.commits[repo.sha(revision)].items()}

    def receive(self, oid: str, data: bytes) -> None:
        """Takes a large file."""
        if hashlib.sha256(data).hexdigest() != oid:
            raise RefusedError(400, "the content is not what its name says")
        with self.lock:
            hangs = self.hang_after is not None and len(self.uploads) >= self.hang_after
            if not hangs:
                self.objects[oid] = data
                self.uploads.append(oid)
        if hangs:
            self.hung.set()
            self._released.wait()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def handle(self) -> None:
        """Answers a client until it goes, however it does."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        path, wanted = urlsplit(self.path).path, "GET" if self.command == "HEAD" else self.command
        with self.hub.lock:
            self.hub.requests += 1
            if self.hub.cut_after is not None and self.hub.requests > self.hub.cut_after:
                self.close_connection = True
                return
        try:
            for method, pattern, name in _ROUTES:
                if method == wanted and (match := re.fullmatch(pattern, path)):
                    getattr(self, name)(*(unquote(group or "") for group in match.groups()))
                    return
            raise RefusedError(404, f"no such address: {path}")
        except RefusedError as refused:
            self._send(refused.status, {"error": str(refused)}, {"X-Error-Code": refused.code} if refused.code else {})

    do_HEAD = do_POST = do_PUT = do_GET

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"
        self.send_response(status)
        for name, text in ({"Content-Type": kind, "Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _user(self) -> str | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.removeprefix("hf_") if scheme == "Bearer" and token.startswith("hf_") else None

    def _may_write(self, namespace: str) -> None:
        if self._user() is None:
            raise RefusedError(401, "Invalid username or password.")
        if not self._is_own(namespace):
            raise RefusedError(403, f"You don't have the rights to write under the namespace {namespace!r}")

    def _is_own(self, namespace: str) -> bool:
        return self._user() in {namespace, *self.hub.members.get(namespace, ())}

    def _repo(self, kind: str, name: str) -> Repo:
        repo = self.hub.repos.get((kind, name))
        if repo is None or (repo.private and not self._is_own(name.split("/")[0])):
            raise RefusedError(404 if self._user() else 401, "Repository not found", "RepoNotFound")
        return repo

    # --- accounts and repositories

    def whoami(self) -> None:
        if self._user() is None:
            raise RefusedError(401, "Invalid username or password.")
        own = [{"name": org, "roleInOrg": "write"} for org in self.hub.members if self._is_own(org)]
        self._send(200, {"type": "user", "name": self._user(), "orgs": own})

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or self._user()}/{asked['name']}"
        kind = asked.get("type", "model") + "s"
        self._may_write(name.split("/")[0])
        url = {"url": f"{self.hub.url}/{'' if kind == 'models' else kind + '/'}{name}", "id": name}
        if (kind, name) in self.hub.repos:
            self._send(409, url | {"error": "You already created this repo"})
            return
        repo = self.hub.repos[kind, name] = Repo(private=asked.get("visibility") == "private")
        repo.commit({".gitattributes": File(b"*.mp4 filter=lfs diff=lfs merge=lfs -text\n", lfs=False)})
        self._send(200, url)

    def info(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        sha = repo.sha(revision or "main")
        siblings = [{"rfilename": path} for path in repo.commits[sha]]
        self._send(200, {"id": name, "modelId": name, "sha": sha, "private": repo.private, "siblings": siblings,
                         "tags": [], "downloads": 0, "likes": 0, "sdk": "gradio"})  # fmt: skip

    def valid(self) -> None:
        self._send(200, {"errors": [], "warnings": []})

    def variables(self, name: str) -> None:
        self._may_write(self._repo("spaces", name) and name.split("/")[0])
        of_space = self.hub.variables.setdefault(name, {})
        if self.command == "POST":
            asked = json.loads(self.body)
            of_space[asked["key"]] = asked["value"]
        self._send(200, {key: {"value": value} for key, value in of_space.items()})

    # --- collections

    def collect(self) -> None:
        asked = json.loads(self.body)
        self._may_write(asked["namespace"])
        title = asked["title"].lower().replace(" ", "-")
        slug = f"{asked['namespace']}/{title}-{hashlib.sha1(title.encode()).hexdigest()[:24]}"
        there = slug in self.hub.collections
        self.hub.collections.setdefault(slug, {
            "slug": slug, "title": asked["title"], "owner": {"name": asked["namespace"]}, "items": [], "position": 0,
            "lastUpdated": "2026-01-01T00:00:00.000Z", "private": asked["private"], "theme": "green", "upvotes": 0,
            "description": asked.get("description"),
        })  # fmt: skip
        self._send(409 if there else 200, self.hub.collections[slug])

    def collection(self, slug: str) -> None:
        if slug not in self.hub.collections:
            raise RefusedError(404, "Collection not found")
        self._send(200, self.hub.collections[slug])

    def add_item(self, slug: str) -> None:
        self._may_write(slug.split("/")[0])
        item = json.loads(self.body)["item"]
        if item["type"] != "paper":
            self._repo(f"{item['type']}s", item["id"])
        items = self.hub.collections[slug]["items"]
        if any((other["id"], other["type"]) == (item["id"], item["type"]) for other in items):
            raise RefusedError(409, "Item already in collection")
        items.append({"_id": f"{len(items):024d}", "id": item["id"], "type": item["type"], "position": len(items)})
        self._send(200, self.hub.collections[slug])

    # --- reading

    def tree(self, kind: str, name: str, revision: str, folder: str) -> None:
        repo = self._repo(kind, name)
        files = repo.commits[repo.sha(revision)]
        start = f"{folder}/" if folder else ""
        inside = {path: file for path, file in files.items() if path.startswith(start)}
        if folder and not inside:
            raise RefusedError(404, f"{folder} does not exist", "EntryNotFound")
        folders = {path[:i] for path in inside for i in range(len(start), len(path)) if path[i] == "/"}
        listed = [*(_entry(path, None) for path in sorted(folders)), *_entries(inside)]
        if parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() not in ("true", "1"):
            listed = [entry for entry in listed if "/" not in entry["path"][len(start) :]]
        self._send(200, listed)

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        files = repo.commits[repo.sha(revision)]
        as_json = "json" in self.headers.get("Content-Type", "")
        paths = json.loads(self.body)["paths"] if as_json else parse_qs(self.body.decode()).get("paths", [])
        folders = [path for path in paths if any(other.startswith(f"{path}/") for other in files)]
        found = {path: files[path] for path in paths if path in files}
        self._send(200, [*(_entry(path, None) for path in folders), *_entries(found)])

    def resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        repo = self._repo(kind or "models", name)
        sha = repo.sha(revision)
        file = repo.commits[sha].get(path)
        if file is None:
            raise RefusedError(404, f"{path} does not exist", "EntryNotFound")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{file.oid}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._send(200, file.data, headers)
            return
        first, last = int(wanted[1]), min(int(wanted[2] or len(file.data)), len(file.data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(file.data)}"
        self._send(206, file.data[first : last + 1], headers)

    # --- writing

    def preupload(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        self._may_write(name.split("/")[0])
        there = repo.commits[repo.sha(revision)]
        self._send(200, {"files": [
            {
                "path": item["path"],
                "uploadMode": "lfs" if self._is_large(item["path"], item["size"]) else "regular",
                "shouldIgnore": False,
                "oid": there[item["path"]].oid if item["path"] in there else None,
            }
            for item in json.loads(self.body)["files"]
        ]})  # fmt: skip

    def _is_large(self, path: str, size: int) -> bool:
        return path.endswith(self.hub.kept_as_lfs) or size > 10_000_000

    def batch(self, kind: str, name: str) -> None:
        self._repo(kind or "models", name)
        self._may_write(name.split("/")[0])
        self._send(200, {"transfer": "basic", "objects": [
            item if item["oid"] in self.hub.objects
            else item | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}}
            for item in json.loads(self.body)["objects"]
        ]})  # fmt: skip

    def upload(self, oid: str) -> None:
        self.hub.receive(oid, self.body)
        self._send(200, {})

    def commit(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        self._may_write(name.split("/")[0])
        with self.hub.lock:
            files = dict(repo.commits[repo.sha(revision)])
            for line in self.body.splitlines():
                step = json.loads(line)
                value = step["value"]
                if step["key"] == "file":
                    files[value["path"]] = File(base64.b64decode(value["content"]), lfs=False)
                elif step["key"] == "lfsFile":
                    if value["oid"] not in self.hub.objects:
                        raise RefusedError(400, f"{value['path']} was never uploaded")
                    files[value["path"]] = File(self.hub.objects[value["oid"]], lfs=True)
                elif step["key"] == "deletedFile":
                    del files[value["path"]]
                elif step["key"] == "deletedFolder":
                    files = {path: file for path, file in files.items() if not path.startswith(value["path"])}
            if self.hub.rejects in files:
                raise RefusedError(400, f"{self.hub.rejects} is not valid")
            sha = repo.commit(files)
        self._send(200, {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{kind}/{name}/commit/{sha}"})


def _entries(files: dict[str, File]) -> Iterable[dict[str, Any]]:
    return (_entry(path, file) for path, file in sorted(files.items()))


def _entry(path: str, file: File | None) -> dict[str, Any]:
    """A file or, without one, a folder, as the Hub lists it."""
    if file is None:
        return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
    lfs = {"lfs": {"oid": file.oid, "size": len(file.data), "pointerSize": 134}} if file.lfs else {}
    git = hashlib.sha1(file.oid.encode()).hexdigest() if file.lfs else file.oid  # of a pointer to it
    return {"type": "file", "path": path, "oid": git, "size": len(file.data), **lfs}


_API = r"/api/(models|datasets|spaces)/([^/]+/[^/]+)"
_PAGE = r"/(?:(datasets|spaces)/)?([^/]+/[^/]+?)"
_ROUTES = [
    ("GET", "/api/whoami-v2", "whoami"),
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "valid"),
    ("GET", r"/api/spaces/([^/]+/[^/]+)/variables", "variables"),
    ("POST", r"/api/spaces/([^/]+/[^/]+)/variables", "variables"),
    ("POST", "/api/collections", "collect"),
    ("GET", r"/api/collections/([^/]+/[^/]+)", "collection"),
    ("POST", r"/api/collections/([^/]+/[^/]+)/items", "add_item"),
    ("GET", rf"{_API}(?:/revision/([^/]+))?", "info"),
    ("GET", rf"{_API}/tree/([^/]+)(?:/(.+))?", "tree"),
    ("POST", rf"{_API}/paths-info/([^/]+)", "paths_info"),
    ("GET", rf"{_PAGE}/resolve/([^/]+)/(.+)", "resolve"),
    ("POST", rf"{_API}/preupload/([^/]+)", "preupload"),
    ("POST", rf"{_PAGE}\.git/info/lfs/objects/batch", "batch"),
    ("PUT", "/lfs/([0-9a-f]{64})", "upload"),
    ("POST", rf"{_API}/commit/([^/]+)", "commit"),
]

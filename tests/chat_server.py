"""A chat endpoint on this machine, to which the real client talks.

    with ChatServer(lambda request: "Hello") as server:
        complete(Endpoint(server.url, "any"), ...)

What answers a request is given its body, and gives the text of the reply, or a Raw answer.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Raw:
    """An answer that is not a reply as it should be."""

    status: int
    body: Any = b""  # bytes as they are, or a value for JSON
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, message: str, **headers: str) -> Raw:
    """An error as the protocol tells it; `headers` with _ for -."""
    told = {name.replace("_", "-"): text for name, text in headers.items()}
    return Raw(status, {"error": {"message": message, "type": "error", "param": None, "code": None}}, told)


class ChatServer:
    """Runs while its `with` block does; tests look into its attributes."""

    def __init__(self, answer: Callable[[dict[str, Any]], str | Raw]) -> None:
        self.requests: list[dict[str, Any]] = []  # bodies, as they came
        self.headers: list[dict[str, str]] = []
        self.at_s: list[float] = []  # when, by time.monotonic()
        self.most_at_once = 0
        self._answer, self._at_once = answer, 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"chat": self}))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """What is given as base_url."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: dict[str, Any], headers: dict[str, str]) -> Raw:
        """Takes a request."""
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            self.at_s.append(time.monotonic())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            given = self._answer(request)
        finally:
            with self._lock:
                self._at_once -= 1
        return given if isinstance(given, Raw) else Raw(200, completion(given))


def completion(text: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    """A reply as the protocol has it."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "any", "choices": [choice]}


class _Handler(BaseHTTPRequestHandler):
    chat: ChatServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def handle(self) -> None:
        """Answers a client until it goes, however it does."""
        with suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/chat/completions":
            raw = self.chat.answer(json.loads(body), dict(self.headers))
        else:
            raw = refusal(404, f"no such address: {self.path}")
        data = raw.body if isinstance(raw.body, bytes) else json.dumps(raw.body).encode()
        self.send_response(raw.status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **raw.headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def transformers_serve(model: Path) -> Iterator[str]:
    """`transformers serve` with this model on the CPU, and the base_url at which it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--log-level", "error"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            end = time.monotonic() + 120
            while not _answers(f"http://127.0.0.1:{port}/health"):
                if server.poll() is not None or time.monotonic() > end:
                    server.kill()  # of one that still runs there is no end to read
                    raise AssertionError(server.communicate()[1].decode())
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

"""Asks a chat model over the OpenAI protocol, which hosted models and vLLM, SGLang, llama.cpp and others speak.

endpoint = Endpoint("http://localhost:8000/v1", "Qwen/Qwen3-8B")
for index, reply in complete(endpoint, [[{"role": "user", "content": "Hello"}]], cache=Path("replies")):
    print(reply.text or reply.failure)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from stvlm.files import read_json, write_json
from stvlm.hashing import stable_hash
from stvlm.programs import positive_int
from stvlm.records import DataError

Messages = Sequence[Mapping[str, Any]]
"""A conversation as the protocol has it; images are parts of type image_url with data: URLs."""

NO_CONNECTION = 0
"""In place of a status, where nothing answers at the URL."""
ALWAYS = (NO_CONNECTION, 401, 403, 404)
"""What every request would meet: a wrong URL, key or model."""
OWN = (400, 413, 422)
"""Statuses that are about one request where others are answered, such as one that is too long."""
IN_ROW = 10
"""After so many failures and no answer between them, an endpoint is given up."""
REFUSED_BY_SOME = ("max_tokens", "temperature")
"""What OpenAI's newer models refuse: the first has another name there, and their temperature is their own."""
CONNECT_S = 10.0
"""How long connecting may take."""
UNNEEDED_KEY = "none"
"""What is sent for a key where there is none: local servers ask for none, the client does."""
PATIENT: Mapping[str, Any] = {"max_tokens": 2048, "timeout_s": 600.0}
"""For what is asked by a program, and not of a model that is scored: some models think for long before they answer."""


@dataclass(frozen=True)
class Endpoint:
    """Where a chat model answers, and how it is asked; raises DataError for what cannot be."""

    base_url: str
    """Up to and including the version, such as http://localhost:8000/v1."""
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; the key itself is never written anywhere."""
    max_tokens: int = 64
    temperature: float = 0.0
    concurrency: int = 8
    """Requests under way at a time."""
    requests_per_minute: float | None = None
    """At most, retries included; None sends as fast as replies come."""
    timeout_s: float = 60.0
    max_retries: int = 5
    """Of what may pass (no connection, 408, 409, 429, 5xx), after the server's Retry-After or longer each time."""

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise DataError(f"{self.base_url}: not the URL of a chat endpoint; it is like http://localhost:8000/v1")
        for name, value, least in (
            ("max_tokens", self.max_tokens, 1),
            ("concurrency", self.concurrency, 1),
            ("max_retries", self.max_retries, 0),
        ):
            if value < least:
                raise DataError(f"{name} must be at least {least}, got {value}")
        for name, seconds in (("timeout_s", self.timeout_s), ("requests_per_minute", self.requests_per_minute)):
            if seconds is not None and seconds <= 0:
                raise DataError(f"{name} must be above zero, got {seconds:g}")


def add_endpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `endpoint_of` reads."""
    parser.add_argument("--endpoint", metavar="URL", required=True, help="such as http://localhost:8000/v1")
    parser.add_argument("--model", metavar="NAME", required=True, help="what the endpoint calls it")
    parser.add_argument(
        "--concurrency", type=positive_int, default=8, metavar="N", help="requests at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--api-key-env",
        metavar="NAME",
        default="OPENAI_API_KEY",
        help="the environment variable that holds the endpoint's key, where it wants one (default: %(default)s)",
    )


def endpoint_of(args: argparse.Namespace) -> Endpoint:
    """Whom a program is to ask; raises DataError."""
    return Endpoint(args.endpoint, args.model, args.api_key_env, concurrency=args.concurrency, **PATIENT)


class Reply(NamedTuple):
    """What a model said; or None, and why in one line."""

    text: str | None
    failure: str = ""


def complete(
    endpoint: Endpoint, requests: Iterable[Messages], cache: Path | None = None
) -> Iterator[tuple[int, Reply]]:
    """The replies as they come, each with its request's index; of equal ones under way at a time one is sent.

    Requests are drawn as they can be sent, so that a generator of them holds few in memory. What fails is told in its
    Reply; what would fail every time, such as a wrong key, raises DataError and stops.

    Args:
        endpoint: whom to ask.
        requests: conversations that the model is to continue.
        cache: folder of replies, by all that decides them: what is there is not asked again. Failures are not kept.
    """
    openai = _openai()
    with asyncio.Runner() as runner:  # steps of a loop of its own: Ctrl-C ends it, and a slow reader slows it
        replies = _Asking(openai, endpoint, cache).replies(requests)

        async def following() -> tuple[int, Reply] | None:
            return await anext(replies, None)

        while (item := runner.run(following())) is not None:
            yield item


def _openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise DataError('asking a chat model needs the package openai: pip install "stvlm[chat]"') from error
    return openai


class _Outcome(NamedTuple):
    key: str
    reply: Reply
    status: int | None = None  # HTTP's, of a failure; NO_CONNECTION; None of any other


class _Asking:
    """One call of `complete`."""

    def __init__(self, openai: Any, endpoint: Endpoint, cache: Path | None) -> None:
        self._openai, self._endpoint, self._cache = openai, endpoint, cache
        if cache is not None:
            try:
                cache.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{cache}: cannot keep replies there ({error.strerror}); name a folder") from error
        self._secret = os.environ.get(endpoint.api_key_env, "").strip()
        if not self._secret.isascii():
            raise DataError(f"the environment variable {endpoint.api_key_env} holds no key: a key is ASCII")
        self._settings = {"max_tokens": endpoint.max_tokens, "temperature": endpoint.temperature}
        self._tasks: set[asyncio.Task[_Outcome]] = set()
        self._waiting: dict[str, list[int]] = {}  # who wants a reply that is under way
        self._answered, self._failed_in_row = False, 0
        self._next_turn_s = 0.0

    async def replies(self, requests: Iterable[Messages]) -> AsyncIterator[tuple[int, Reply]]:
        """What `complete` gives."""
        async with self._openai.AsyncOpenAI(
            base_url=self._endpoint.base_url,
            api_key=self._secret or UNNEEDED_KEY,
            max_retries=self._endpoint.max_retries,
            timeout=httpx2.Timeout(self._endpoint.timeout_s, connect=min(CONNECT_S, self._endpoint.timeout_s)),
            http_client=self._openai.DefaultAsyncHttpxClient(event_hooks={"request": [self._turn]}),
        ) as client:
            for index, messages in enumerate(requests):
                key = self._key(messages)
                if key in self._waiting:
                    self._waiting[key].append(index)
                elif (text := self._cached(key)) is not None:
                    self._answered = True
                    yield index, Reply(text)
                else:
                    self._waiting[key] = [index]
                    self._tasks.add(asyncio.create_task(self._ask(client, key, messages)))
                while len(self._tasks) >= self._endpoint.concurrency:
                    for item in await self._arrived():
                        yield item
            while self._tasks:
                for item in await self._arrived():
                    yield item

    async def _arrived(self) -> list[tuple[int, Reply]]:
        """The next replies, kept; raises DataError where there is no use in going on."""
        done, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        arrived = []
        for key, reply, status in (task.result() for task in done):
            if reply.text is not None:
                self._answered, self._failed_in_row = True, 0
                if self._cache is not None:
                    write_json(self._cache / f"{key}.json", {"model": self._endpoint.model, "text": reply.text})
            else:
                self._failed_in_row += 1
                too_often = self._failed_in_row >= IN_ROW and not (self._answered and status in OWN)
                if status in ALWAYS or too_often:
                    raise DataError(self._given_up(reply.failure, status))
            arrived += [(index, reply) for index in self._waiting.pop(key)]
        return arrived

    async def _ask(self, client: Any, key: str, messages: Messages) -> _Outcome:
        """Sends a request; never raises."""
        openai, endpoint = self._openai, self._endpoint
        while True:
            settings = dict(self._settings)
            try:
                answer = await client.chat.completions.create(model=endpoint.model, messages=messages, **settings)
            except openai.APIStatusError as error:
                if error.status_code == 400 and error.param in settings and error.param in REFUSED_BY_SOME:
                    self._say_otherwise(error.param)
                    continue
                return _Outcome(key, self._failure(_told(error)), error.status_code)
            except openai.APIConnectionError as error:
                cause = error.__cause__
                if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
                    return _Outcome(key, self._failure(f"no connection ({cause or 'timed out'})"), NO_CONNECTION)
                if isinstance(error, openai.APITimeoutError):
                    return _Outcome(key, self._failure(f"no reply within {endpoint.timeout_s:g} s"))
                return _Outcome(key, self._failure(f"the connection broke ({cause or error})"))
            except (openai.APIResponseValidationError, ValueError):
                return _Outcome(key, self._failure("the reply is no chat completion"))
            reply = _read(answer)
            return _Outcome(key, reply if reply.text is not None else self._failure(reply.failure))

    def _say_otherwise(self, parameter: str) -> None:
        """For this request and all that follow; the requests under way may have been refused the same."""
        value = self._settings.pop(parameter, None)
        if parameter == "max_tokens" and value is not None:
            self._settings["max_completion_tokens"] = value

    async def _turn(self, _: Any) -> None:
        """Waits until a request may be sent."""
        if self._endpoint.requests_per_minute is not None:
            now_s = asyncio.get_running_loop().time()
            turn_s = max(now_s, self._next_turn_s)
            self._next_turn_s = turn_s + 60.0 / self._endpoint.requests_per_minute
            await asyncio.sleep(turn_s - now_s)

    def _key(self, messages: Messages) -> str:
        """Of all that decides a reply; where the model is does not."""
        endpoint = self._endpoint
        asked = json.dumps(list(messages), sort_keys=True)
        return stable_hash(endpoint.model, endpoint.max_tokens, endpoint.temperature, asked)

    def _cached(self, key: str) -> str | None:
        if self._cache is None or not (path := self._cache / f"{key}.json").exists():
            return None
        try:
            text = read_json(path)["text"]
        except (DataError, KeyError, TypeError):  # cut off: asked again
            return None
        return text if isinstance(text, str) else None

    def _failure(self, reason: str) -> Reply:
        if self._secret:  # some servers repeat it
            reason = reason.replace(self._secret, "[key]")
        return Reply(None, " ".join(reason.split())[:300])

    def _given_up(self, failure: str, status: int | None) -> str:
        variable = f"the environment variable {self._endpoint.api_key_env}"
        cures = {
            NO_CONNECTION: "start the server, or correct the URL",
            401: f"put the endpoint's key into {variable}",
            403: f"the key in {variable} may not use this model",
            404: "correct the model's name, or the URL, which ends before /chat/completions",
        }
        where = f"{self._endpoint.base_url}, model {self._endpoint.model}"
        if status in cures:
            return f"{where}: {failure}; {cures[status]}"
        return f"{where}: {self._failed_in_row} failures in a row, the last: {failure}; see what the server says of it"


def _told(error: Any) -> str:
    """What a server says is wrong."""
    body = error.body if isinstance(error.body, dict) else {"message": error.body}
    return f"HTTP {error.status_code}: {body.get('message') or body.get('detail') or error.message}"


def _read(answer: Any) -> Reply:
    """The text of a chat completion; the client does not check what a server calls one."""
    try:
        choice = answer.choices[0]
        text, refusal, end = choice.message.content, choice.message.refusal, choice.finish_reason
    except (AttributeError, IndexError, TypeError):
        error = getattr(answer, "error", None)  # some gateways tell of errors behind them with status 200
        return Reply(None, f"in place of a reply: {error}" if error else "the reply is no chat completion")
    if isinstance(text, str) and (text or end != "length"):
        return Reply(text)
    if end == "length":
        return Reply(None, "cut off before the answer began; allow more tokens")
    return Reply(None, f"refused: {refusal}" if refusal else "the reply has no text")

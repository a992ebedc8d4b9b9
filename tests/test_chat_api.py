"""The real client against a server on this machine: what is sent, what is kept, and how it fails."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chat_server import ChatServer, Raw, completion, refusal, transformers_serve

from stvlm.chat_api import IN_ROW, Endpoint, Reply, complete
from stvlm.records import DataError

SECRET = "sk-not-to-be-seen"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def shout(request: dict[str, Any]) -> str:
    return str(request["messages"][-1]["content"]).upper()


def in_turn(*answers: str | Raw) -> Callable[[dict[str, Any]], str | Raw]:
    """One answer after the other, the last one for ever."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def ask(url: str, *texts: str, cache: Path | None = None, **settings: Any) -> list[Reply]:
    """The replies to one-line requests, in their order."""
    found = dict(complete(Endpoint(url, "tiny", **settings), map(said, texts), cache))
    return [found[index] for index in range(len(texts))]


# --- what is sent, and what is kept ---


def test_each_reply_has_its_requests_index() -> None:
    with ChatServer(shout) as server:
        messages = [{"role": "system", "content": "Shout."}, *said("a")]
        replies = dict(complete(Endpoint(server.url, "tiny", temperature=0.5), [messages, said("b"), said("c")]))
    assert replies == {0: Reply("A"), 1: Reply("B"), 2: Reply("C")}
    sent = {"model": "tiny", "messages": messages, "max_tokens": 64, "temperature": 0.5}
    assert sent in server.requests, "and nothing else, which some server may not know"
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {SECRET}"}


def test_what_was_answered_is_not_asked_again_wherever_the_model_is(tmp_path: Path) -> None:
    with ChatServer(shout) as first:
        assert ask(first.url, "a", "b", cache=tmp_path) == [Reply("A"), Reply("B")]
    with ChatServer(lambda request: "anew") as second:
        assert ask(second.url, "b", "a", "c", cache=tmp_path) == [Reply("B"), Reply("A"), Reply("anew")]
        assert len(second.requests) == 1
        for other in ({"max_tokens": 65}, {"temperature": 0.1}):
            assert ask(second.url, "a", cache=tmp_path, **other) == [Reply("anew")]
        assert dict(complete(Endpoint(second.url, "larger"), [said("a")], tmp_path)) == {0: Reply("anew")}
    assert SECRET not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_a_reply_that_was_cut_off_on_disk_is_asked_for_again(tmp_path: Path) -> None:
    with ChatServer(in_turn("one", "two", "three")) as server:
        assert ask(server.url, "a", cache=tmp_path) == [Reply("one")]
        (file,) = tmp_path.iterdir()
        for content in (file.read_bytes()[:12], b'{"text": null}'):
            file.write_bytes(content)
            ask(server.url, "a", cache=tmp_path)
        assert ask(server.url, "a", cache=tmp_path) == [Reply("three")]
        assert len(server.requests) == 3


def test_images_are_sent_and_not_kept(tmp_path: Path) -> None:
    def shown(data: str) -> list[dict[str, Any]]:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data * 1000}"}}
        return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]

    with ChatServer(lambda request: request["messages"][0]["content"][1]["image_url"]["url"][22]) as server:
        endpoint = Endpoint(server.url, "tiny")
        assert dict(complete(endpoint, [shown("A"), shown("B")], tmp_path)) == {0: Reply("A"), 1: Reply("B")}
    assert all(path.stat().st_size < 100 for path in tmp_path.iterdir())


def test_failures_are_told_and_not_kept(tmp_path: Path) -> None:
    with ChatServer(in_turn(refusal(400, "too\nlong"), "now")) as server:
        assert ask(server.url, "a", cache=tmp_path) == [Reply(None, "HTTP 400: too long")]
        assert ask(server.url, "a", cache=tmp_path) == [Reply("now")]


def test_equal_requests_share_a_reply() -> None:
    with ChatServer(in_turn("one", "two")) as server:
        assert ask(server.url, "a", "a", "a") == [Reply("one")] * 3


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with ChatServer(shout) as server:
        with pytest.raises(DataError, match="file: cannot keep replies there"):
            ask(server.url, "a", cache=tmp_path / "file")
        assert server.requests == [], "nothing is paid for in vain"


def test_a_real_server(tmp_path: Path) -> None:
    """A chat model of random weights behind `transformers serve` says what it says when called directly."""
    for package in ("torch", "transformers", "fastapi", "uvicorn"):
        pytest.importorskip(package)
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from stvlm.training.new_model import train_tokenizer

    tokenizer = train_tokenizer(["How far does it go?"], 300)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **ends)).eval()
    for part in (tokenizer, model):
        part.save_pretrained(tmp_path / "model")

    def directly(text: str) -> str:
        tokens = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            said = model.generate(**tokens, max_new_tokens=6, do_sample=False)[0, tokens["input_ids"].shape[1] :]
        return str(tokenizer.decode(said, skip_special_tokens=True))

    with transformers_serve(tmp_path / "model") as url:
        endpoint = Endpoint(url, str(tmp_path / "model"), max_tokens=6)
        texts = ["How far does it go?", "far does it"]
        replies = dict(complete(endpoint, map(said, texts), tmp_path / "cache"))
        assert replies == {index: Reply(directly(text)) for index, text in enumerate(texts)}
        assert replies[0] != replies[1]
        (unknown,) = ask(url, "a")  # the model "tiny", which it does not have
        assert unknown.failure.startswith("HTTP 400: Server is pinned to ")


# --- how fast ---


def test_no_more_requests_at_a_time_than_wanted_and_no_fewer() -> None:
    together = threading.Barrier(3)

    def wait(request: dict[str, Any]) -> str:
        together.wait(timeout=5)  # breaks where fewer than three come
        return "fine"

    with ChatServer(wait) as server:
        assert ask(server.url, *"abcdefghi", concurrency=3, max_retries=0) == [Reply("fine")] * 9
        assert server.most_at_once == 3


def test_requests_a_minute_are_counted_with_retries() -> None:
    again = refusal(429, "slow down", retry_after_ms="1")
    begun_s = time.monotonic()
    with ChatServer(in_turn(again, again, "fine")) as server:
        assert ask(server.url, "a", "b", "c", requests_per_minute=1200) == [Reply("fine")] * 3
        assert len(server.at_s) == 5
        assert server.at_s[-1] - begun_s >= 4 * 60 / 1200


def test_requests_are_drawn_as_they_can_be_sent() -> None:
    drawn = []

    def requests() -> Iterator[list[dict[str, Any]]]:
        for number in range(20):
            drawn.append(number)
            yield said(str(number))

    with ChatServer(shout) as server:
        replies = complete(Endpoint(server.url, "tiny", concurrency=2), requests())
        next(replies)
        assert len(drawn) == 2
        assert len(list(replies)) == 19


# --- how it fails ---


def test_what_may_pass_is_tried_again() -> None:
    busy, broken = refusal(429, "busy", Retry_After="0.2"), refusal(503, "broken", retry_after_ms="1")
    with ChatServer(in_turn(busy, broken, "fine")) as server:
        assert ask(server.url, "a") == [Reply("fine")]
        assert len(server.requests) == 3
        assert server.at_s[1] - server.at_s[0] >= 0.2


def test_in_the_end_it_is_not() -> None:
    with ChatServer(lambda request: refusal(500, "out of memory", retry_after_ms="1")) as server:
        assert ask(server.url, "a", max_retries=2) == [Reply(None, "HTTP 500: out of memory")]
        assert len(server.requests) == 3


def test_a_reply_that_takes_too_long() -> None:
    over = threading.Event()

    def sleep(request: dict[str, Any]) -> str:
        return "late" if over.wait(10) else ""

    with ChatServer(sleep) as server:
        assert ask(server.url, "a", timeout_s=0.2, max_retries=0) == [Reply(None, "no reply within 0.2 s")]
        over.set()


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b'{"choices": [{', "the reply is no chat completion"),
        (b"\xff", "the reply is no chat completion"),
        (b"", "the reply is no chat completion"),
        ([], "the reply is no chat completion"),
        ({"choices": []}, "the reply is no chat completion"),
        ({"error": {"message": "busy"}}, "in place of a reply: {'message': 'busy'}"),
        ({"choices": [{"message": None}]}, "the reply is no chat completion"),
        (completion(None), "the reply has no text"),
        (completion(None, "length"), "cut off before the answer began; allow more tokens"),
        (completion("", "length"), "cut off before the answer began; allow more tokens"),
    ],
)  # fmt: skip
def test_a_reply_that_is_none(body: Any, failure: str) -> None:
    with ChatServer(lambda request: Raw(200, body)) as server:
        assert ask(server.url, "a") == [Reply(None, failure)]


def test_a_page_in_place_of_a_reply() -> None:
    with ChatServer(lambda request: Raw(200, b"<html>", {"Content-Type": "text/html"})) as server:
        assert ask(server.url, "a") == [Reply(None, "the reply is no chat completion")]


@pytest.mark.parametrize(
    ("status", "cure"),
    [(401, "put the endpoint's key into the environment variable OPENAI_API_KEY"), (403, "may not use this model"),
     (404, "correct the model's name, or the URL")],
)  # fmt: skip
def test_what_every_request_would_meet_ends_it(status: int, cure: str) -> None:
    with ChatServer(lambda request: refusal(status, f"not with {SECRET}")) as server:
        with pytest.raises(DataError, match=cure) as caught:
            ask(server.url, *map(str, range(100)), concurrency=4)
        assert str(caught.value).startswith(f"{server.url}, model tiny: HTTP {status}: not with [key]; ")
        assert len(server.requests) <= 4


def test_nobody_there() -> None:
    with ChatServer(shout) as server:
        url = server.url
    with pytest.raises(DataError, match=r"no connection \(.*\); start the server, or correct the URL"):
        ask(url, "a", max_retries=0)


def test_an_endpoint_that_only_fails_is_given_up() -> None:
    with ChatServer(lambda request: refusal(400, "no images")) as server:
        with pytest.raises(DataError, match=f"{IN_ROW} failures in a row, the last: HTTP 400: no images"):
            ask(server.url, *map(str, range(100)), concurrency=1)
        assert len(server.requests) == IN_ROW


def test_requests_that_are_too_long_do_not_end_the_others(tmp_path: Path) -> None:
    def short_ones(request: dict[str, Any]) -> str | Raw:
        text = shout(request)
        return text if len(text) < 3 else refusal(400, "too long")

    with ChatServer(short_ones) as server:
        for _ in range(2):  # the second time nothing but what fails is sent
            replies = ask(server.url, "a", *map(str, range(100, 120)), "b", cache=tmp_path, concurrency=1)
            assert replies == [Reply("A"), *[Reply(None, "HTTP 400: too long")] * 20, Reply("B")]


def test_models_that_refuse_old_parameters_are_asked_otherwise() -> None:
    """OpenAI's reasoning models take max_completion_tokens, and their own temperature."""

    first = threading.Barrier(3)

    def modern(request: dict[str, Any]) -> str | Raw:
        if "max_tokens" in request:
            first.wait(timeout=10)
        for name in ("max_tokens", "temperature"):
            if name in request:
                return Raw(400, {"error": {"message": f"Unsupported: {name}", "param": name}})
        return str(request["max_completion_tokens"])

    with ChatServer(modern) as server:
        assert ask(server.url, "a", "b", "c", "d", "e", concurrency=3) == [Reply("64")] * 5
        assert sum("max_tokens" in request for request in server.requests) == 3, "then all know"


def test_a_model_that_refuses_what_was_not_sent() -> None:
    with ChatServer(lambda request: Raw(400, {"error": {"message": "no", "param": "temperature"}})) as server:
        assert ask(server.url, "a") == [Reply(None, "HTTP 400: no")]
        assert len(server.requests) == 2


def test_ctrl_c_keeps_what_was_answered(tmp_path: Path) -> None:
    asked = threading.Event()

    def hang(request: dict[str, Any]) -> str:
        if shout(request) == "B":
            asked.set()
            time.sleep(20)
        return "fine"

    code = (
        "import sys; from pathlib import Path\n"
        "from stvlm.chat_api import Endpoint, complete; from stvlm.programs import run_program\n"
        "texts = [[{'role': 'user', 'content': text}] for text in 'ab']\n"
        "run_program(lambda: print(list(complete(Endpoint(sys.argv[1], 'tiny'), texts, Path(sys.argv[2])))))"
    )
    with ChatServer(hang) as server:
        command = [sys.executable, "-c", code, server.url, str(tmp_path)]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert asked.wait(30)
        while not list(tmp_path.glob("*.json")):
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        output, errors = program.communicate(timeout=10)
    assert (program.returncode, output) == (130, "")
    assert errors.strip() == "interrupted; run the same command again to go on"
    assert [json.loads(path.read_text())["text"] for path in tmp_path.iterdir()] == ["fine"]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(DataError, match=r'pip install "stvlm\[chat\]"'):
        ask("http://localhost/v1", "a")


@pytest.mark.parametrize(
    ("url", "settings", "message"),
    [
        ("localhost:8000/v1", {}, "localhost:8000/v1: not the URL of a chat endpoint"),
        ("http://x/v1", {"concurrency": 0}, "concurrency must be at least 1, got 0"),
        ("http://x/v1", {"requests_per_minute": 0.0}, "requests_per_minute must be above zero, got 0"),
    ],
)
def test_what_cannot_be_asked(url: str, settings: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Endpoint(url, "tiny", **settings)


def test_a_key_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "schlüssel")
    with pytest.raises(DataError, match="OPENAI_API_KEY holds no key"):
        ask("http://localhost/v1", "a")

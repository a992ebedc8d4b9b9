"""Asked over HTTP, by the real client: what is sent, and what becomes of answers that do not come."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.chat_server import ChatServer, refusal, transformers_serve
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset

from stvlm.evaluation.backends.openai import as_conversation
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.frames import Shown, decode
from stvlm.evaluation.prompts import Asked
from stvlm.evaluation.run import Settings, evaluate
from stvlm.records import DataError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return str(write_dataset(tmp_path_factory.mktemp("data") / "tiny"))


def settings(dataset, url, **more):
    return Settings(dataset, "any", "openai", base_url=url, **{"controls": (), "concurrency": 4, **more})


def question(request):
    """The prompt, which comes last."""
    return request["messages"][0]["content"][-1]["text"]


def red(request):
    return "The red one." if "Which" in question(request) else "It travels 12 m."


def test_frames_are_sent_as_images_behind_their_times(dataset):
    row = load_split(dataset, "test").rows[0]
    (turn,) = as_conversation(Asked(row, "model", "How far?"), Shown())
    *frames, prompt = turn["content"]
    assert prompt == {"type": "text", "text": "How far?"}
    assert [part["text"] for part in frames[::2]] == [f"Frame at {i / 2:.2f} seconds:" for i in range(5)]
    shown = decode(Path(row["video_path"])).permute(0, 2, 3, 1).numpy()
    for part, frame in zip(frames[1::2], shown, strict=True):
        header, _, data = part["image_url"]["url"].partition(",")
        assert header == "data:image/jpeg;base64"
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert np.abs(image.astype(int) - frame).mean() < 2


def test_depth_maps_follow_and_text_is_alone(dataset, tmp_path):
    row = load_split(dataset, "test").rows[0]
    np.save(tmp_path / f"{row['clip_id']}.npy", np.zeros((5, 4, 4), np.float32))
    (turn,) = as_conversation(Asked(row, "model", "How far?"), Shown(tmp_path))
    told = [part["text"] for part in turn["content"][10:-1:2]]
    assert told == [f"Depth map at {i / 2:.2f} seconds:" for i in range(5)]
    (turn,) = as_conversation(Asked(row, "text_only", "How far?"), Shown(tmp_path))
    assert turn["content"] == [{"type": "text", "text": "How far?"}]


def test_answers_are_scored_and_not_asked_for_twice(dataset, tmp_path):
    with ChatServer(red) as server:
        table = evaluate(settings(dataset, server.url, controls=("text_only",)), tmp_path)
        assert len(server.requests) == 2 * 16
        assert server.most_at_once <= 4
        assert evaluate(settings(dataset, server.url, controls=("text_only",)), tmp_path) == table
        assert len(server.requests) == 2 * 16
    scores = json.loads((tmp_path / "results.json").read_text())["scores"]["model"]
    assert scores["traveled_distance_comparison_accuracy"] == 1.0
    assert scores["traveled_distance_accuracy"] == 0.5  # of the red object, of 12 and 15 m


def test_what_is_not_answered_ends_the_run_or_is_wrong_on_request(dataset, tmp_path):
    down = {"how far": True}

    def half(request):
        return refusal(400, "too long") if down["how far"] and "How far" in question(request) else red(request)

    with ChatServer(half) as server:
        with pytest.raises(DataError) as told:
            evaluate(settings(dataset, server.url), tmp_path)
        assert str(told.value).startswith("8 of 16 questions were not answered; the first, row test")
        assert "HTTP 400: too long; run this again" in str(told.value)
        assert not (tmp_path / "results.json").exists()
        assert len((tmp_path / "responses.jsonl").read_text().splitlines()) == 8

        evaluate(settings(dataset, server.url, count_unanswered=True), tmp_path)
        results = json.loads((tmp_path / "results.json").read_text())
        assert results["unanswered"] == 8
        assert results["scores"]["model"]["traveled_distance_accuracy"] == 0.0
        assert '"response": "", ' in (tmp_path / "responses.jsonl").read_text()

        down["how far"] = False
        count = len(server.requests)
        evaluate(settings(dataset, server.url), tmp_path)
        results = json.loads((tmp_path / "results.json").read_text())
        assert len(server.requests) == count + 8
        assert (results["unanswered"], results["scores"]["model"]["traveled_distance_accuracy"]) == (0, 0.5)


def test_an_endpoint_that_lets_nobody_in_is_told(dataset, tmp_path):
    told = r"model any: HTTP 401: who are you; put the endpoint's key into the env"
    with ChatServer(lambda _: refusal(401, "who are you")) as server, pytest.raises(DataError, match=told):
        evaluate(settings(dataset, server.url), tmp_path)
    with pytest.raises(DataError, match=r"^--base_url is for --backend openai, which needs it"):
        Settings(dataset, "any", "openai")


def test_a_real_server_answers(dataset, tmp_path):
    model = write_model(tmp_path / "model")
    with transformers_serve(model) as url:
        asked = settings(dataset, url, limit=2, max_new_tokens=4, controls=("black",))
        evaluate(Settings(**{**vars(asked), "model": str(model)}), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "responses.jsonl").read_text().splitlines()]
    said = {(line["id"], line["control"]): line["response"] for line in lines}
    assert len(said) == 4
    assert len(set(said.values())) > 1

"""The Space as programs see it: what each endpoint answers, and what hostile visitors do to it: nothing."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from tests.demo.test_uploads import HOSTILE
from tests.demo.worlds import street, write_mp4, write_sound
from tests.space.served import SPACE, Served, served

BOX = {"color": "red", "time_s": 1.0, "box": [70, 80, 118, 128]}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("space")) as running:
        yield running


@pytest.fixture(scope="module")
def client(app: Served) -> Client:
    return Client(app.url, verbose=False)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mp4(tmp_path_factory.mktemp("video") / "street.mp4", street(30), crf="12")


def ask(client: Client, video: Path | None = None, boxes: Any = (), clip: str = "", **more: Any) -> dict[str, Any]:
    given = {"task": "traveled_distance", "hour": 3, "question": ""} | more
    file = None if video is None else handle_file(str(video))
    answer = client.predict(file, list(boxes), clip, *given.values(), api_name="/ask")
    assert isinstance(answer, dict)
    return answer


def clip_to_ask_about(client: Client) -> dict[str, Any]:
    found = client.predict("", "", "", "", "", 50, api_name="/explore")
    return next(it for it in found if it["can_be_asked_about"])


def test_the_endpoints_are_named_and_described(app: Served, client: Client) -> None:
    assert sorted(client.view_api(print_info=False, return_format="dict")["named_endpoints"]) == [
        "/ask", "/explore", "/measure", "/score",
    ]  # fmt: skip
    tools = {tool["name"]: tool for tool in httpx.get(f"{app.url}/gradio_api/mcp/schema").json()}
    assert sorted(tools) == ["ask", "explore", "measure", "score"]
    assert "how an object in a video moves" in tools["ask"]["description"]
    assert tools["explore"]["inputSchema"]["properties"].keys() >= {"source", "task", "category", "distance", "speed"}


def test_an_example_is_asked_about_with_its_truth(client: Client) -> None:
    clip = clip_to_ask_about(client)
    answer = ask(client, clip=clip["clip_id"])
    assert answer["question"].startswith("How far does the object") and answer["answer"]
    assert answer["truth"] == f"{clip['distances_m'][0]:.2f} m"
    assert answer["right"] in (True, False)
    free = ask(client, clip=clip["clip_id"], question="What colour is it?")
    assert free["question"] == "What colour is it?" and "truth" not in free


def test_answers_grow(client: Client) -> None:
    clip = clip_to_ask_about(client)["clip_id"]
    job = client.submit(None, [], clip, "traveled_distance", 3, "", api_name="/ask")
    told = [it["answer"] for it in job]
    assert len(told) > 2
    assert all(b.startswith(a.rstrip("\ufffd ")) for a, b in pairwise(told))


def test_an_upload_is_followed_asked_about_and_removed(app: Served, client: Client, video: Path) -> None:
    answer = ask(client, video, [BOX])
    assert answer["answer"] and answer["truth"] is None
    two = ask(client, video, [BOX, {**BOX, "color": "blue"}], task="traveling_speed_comparison")
    assert "Which object moves the fastest" in two["question"]
    assert app.left() == []


def test_geometry_measures_an_example(client: Client) -> None:
    found = client.predict("", "", "", "", "", 50, api_name="/explore")
    clips = [it["clip_id"] for it in found if it["can_be_asked_about"]]
    measured = []
    for clip in clips:
        told = client.predict(None, [], clip, [], 65, 1.5, "known_poses", api_name="/measure")
        measured += [it for it in told["objects"].values() if "xyz_m" in it]
        assert told["objects"]
    assert measured and len(measured[0]["xyz_m"]) == len(measured[0]["times_s"]) == len(measured[0]["sigma_m"])


def test_answers_are_scored(client: Client) -> None:
    row = clip_to_ask_about(client)["questions"][0]
    scores = client.predict(json.dumps({"id": row["id"], "prediction": row["answer"]}), api_name="/score")
    assert scores["average_accuracy"] == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Give a video, or one of the clips"),
        ({"clip": "../../etc/passwd"}, "Give a video, or one of the clips"),
        ({"task": "weight"}, "is no task"),
        ({"task": "traveled_distance_comparison"}, "needs two objects"),
        ({"boxes": [{"color": "red"}]}, "A box is"),
        ({"boxes": []}, "Draw a box"),
        ({"boxes": [{**BOX, "box": [1e9, 0, -1e9, 1]}]}, "too small"),
        ({"question": "?" * 501}, "longer than 500 letters"),
    ],
    ids=range(8),
)
def test_mistakes_are_told_in_one_line(client: Client, video: Path, given: dict[str, Any], words: str) -> None:
    if given and "clip" not in given:
        given = {"video": video, "boxes": [BOX]} | given
    with pytest.raises(AppError, match=words) as told:
        ask(client, **given)
    assert "Traceback" not in str(told.value) and "\n" not in str(told.value)


def test_hostile_uploads_leave_it_standing_and_clean(app: Served, client: Client, tmp_path: Path) -> None:
    files = []
    for name, content in HOSTILE.items():
        (tmp_path / name).write_bytes(content)
        files.append(tmp_path / name)
    files.append(write_sound(tmp_path / "sound.mp4"))
    files.append(write_mp4(tmp_path / "$(touch pwned).mp4", street(3)))
    for path in files:
        with pytest.raises(AppError, match=r"no video that|damaged|no pictures|can be decoded"):
            ask(client, path, [BOX])
    assert app.left() == []
    assert clip_to_ask_about(client)
    log = app.log.read_text()
    assert "Traceback" not in log


def test_long_and_large_videos_are_used_in_part(client: Client, tmp_path: Path) -> None:
    (still,) = street(1)
    long = write_mp4(tmp_path / "long.mp4", (still for _ in range(1000)), 30)
    assert ask(client, long, [{**BOX, "box": [40, 80, 88, 128]}])["answer"]
    large = write_mp4(tmp_path / "large.mp4", street(12, 3840, 2160), 5, preset="ultrafast")
    with pytest.raises(AppError, match="Draw a box"):
        ask(client, large)


def test_what_is_too_large_is_refused_on_the_way(app: Served, client: Client, tmp_path: Path) -> None:
    sparse = tmp_path / "sparse.mp4"
    with sparse.open("wb") as file:
        file.truncate(2 << 30)
    try:
        with sparse.open("rb") as file:
            status = httpx.post(f"{app.url}/gradio_api/upload", files={"files": file}, timeout=120).status_code
    except httpx.HTTPError:  # it hung up
        status = 413
    assert status == 413
    assert clip_to_ask_about(client)
    assert sum(path.stat().st_size for path in app.temporary.rglob("*") if path.is_file()) < 150 << 20


def test_only_clips_are_given_out(app: Served) -> None:
    for path in ("/etc/passwd", str(SPACE / "app.py"), str(app.log)):
        assert httpx.get(f"{app.url}/gradio_api/file={path}").status_code in (403, 404)


def test_ten_visitors_at_once_get_their_answers(app: Served, video: Path) -> None:
    def visit(number: int) -> str:
        return ask(Client(app.url, verbose=False), video, [BOX])["answer"]

    with ThreadPoolExecutor(10) as visitors:
        answers = list(visitors.map(visit, range(10)))
    assert len(set(answers)) == 1 and answers[0]
    assert app.left() == []


def test_the_folder_is_what_the_hub_needs() -> None:
    names = {path.name for path in SPACE.iterdir()}
    assert names >= {"app.py", "README.md", "requirements.txt", "packages.txt", "examples.yaml", "make_examples.py"}

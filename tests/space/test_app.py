"""The Space as programs see it: what each endpoint answers, and what hostile visitors do to it: nothing."""

import ast
import json
import time
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
from tests.demo.worlds import grey, street, write_mp4, write_sound
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
    return write_mp4(tmp_path_factory.mktemp("video") / "street.mp4", street(36), crf="12")


def ask(client: Client, video: Path | None = None, **given: Any) -> dict[str, Any]:
    if video is not None:
        given["video"] = handle_file(str(video))
    answer = client.predict(**given, api_name="/ask")
    assert isinstance(answer, dict)
    return answer


def clip_to_ask_about(client: Client) -> dict[str, Any]:
    found = client.predict("", "", "", "", "", 50, api_name="/explore")
    return next(it for it in found if it["can_be_asked_about"])


def test_the_endpoints_are_named_and_described(app: Served, client: Client) -> None:
    told = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    assert sorted(told) == ["/ask", "/explore", "/measure", "/score"]
    defaults = {it["parameter_name"]: it.get("parameter_default") for it in told["/ask"]["parameters"]}
    assert defaults == {
        "video": None, "question": "", "task": "traveled_distance", "boxes": [], "clip": "", "hour": 3,
    }  # fmt: skip
    for endpoint in ("/ask", "/measure", "/explore"):
        assert all(it["parameter_has_default"] for it in told[endpoint]["parameters"]), endpoint
    assert told["/ask"]["description"].startswith("Ask the model how an object in a video moves")
    assert "A video and a question or a task are enough." in told["/ask"]["description"]
    tools = {tool["name"]: tool for tool in httpx.get(f"{app.url}/gradio_api/mcp/schema").json()}
    assert sorted(tools) == ["ask", "explore", "measure", "score"]
    assert tools["ask"]["description"].startswith("Ask the model how an object in a video moves")
    asks = tools["ask"]["inputSchema"]
    assert sorted(asks["properties"]) == sorted(defaults) and not asks.get("required")
    assert "traveling_speed" in asks["properties"]["task"]["description"]
    assert '"color": "red"' in asks["properties"]["boxes"]["description"]
    assert tools["explore"]["inputSchema"]["properties"].keys() >= {"source", "task", "category", "distance", "speed"}


def test_a_video_and_a_question_are_enough(app: Served, client: Client, video: Path) -> None:
    said = client.predict(handle_file(str(video)), "How far does the square go?", api_name="/ask")
    assert said.pop("answer") and said == {"question": "How far does the square go?", "about_s": said["about_s"]}
    assert said["about_s"][0] == 0
    said = ask(client, video, task="traveling_speed")
    assert said["question"].startswith("How fast") or "speed" in said["question"]
    assert said["answer"] and "read_as" in said and said["truth"] is None
    assert app.left() == []


def test_programs_ask_as_the_card_says(app: Served, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = (SPACE / "README.md").read_text().split("```python\n")[1].split("```")[0]
    here = {"http://127.0.0.1:7860": app.url, "street.mp4": str(video), "[120, 80, 180, 130]": str(BOX["box"])}
    for there, value in here.items():
        assert there in code
        code = code.replace(there, value)
    exec(code)
    _, asked, measured, *answered, found = capsys.readouterr().out.strip().splitlines()
    assert ast.literal_eval(asked)["truth"] and any(it["value"] for it in ast.literal_eval(measured))
    assert any(answered) and ast.literal_eval(found).keys() == {"red"}


def test_an_example_is_asked_about_with_its_truth(client: Client) -> None:
    clip = clip_to_ask_about(client)
    answer = ask(client, clip=clip["clip_id"])
    assert answer["question"].startswith("How far does the object") and answer["answer"]
    assert answer["truth"] == f"{clip['distances_m'][0]:.2f} m"
    assert answer["right"] in (True, False)
    free = ask(client, clip=clip["clip_id"], question="What colour is it?")
    assert free["question"] == "What colour is it?" and "truth" not in free


def test_boxes_in_an_example_take_the_place_of_its_own(client: Client) -> None:
    clip = clip_to_ask_about(client)["clip_id"]
    box = {"color": "red", "time_s": 0.0, "box": [100, 60, 340, 220]}
    answer = ask(client, clip=clip, boxes=[box])
    assert answer["answer"] and answer["truth"] is None
    measured = client.predict(clip=clip, boxes=[box], motion_by="static_camera", api_name="/measure")
    assert measured["objects"].keys() == {"red"}
    with pytest.raises(AppError, match="'ship' is no class"):
        client.predict(clip=clip, boxes=[box], categories="ship", motion_by="static_camera", api_name="/measure")


def test_answers_grow(client: Client) -> None:
    clip = clip_to_ask_about(client)["clip_id"]
    told = [it["answer"] for it in client.submit(clip=clip, api_name="/ask")]
    assert len(set(told)) > 2
    assert all(b.startswith(a.rstrip("\ufffd ")) for a, b in pairwise(told))


def test_an_upload_is_followed_asked_about_and_removed(app: Served, client: Client, video: Path) -> None:
    answer = ask(client, video, boxes=[BOX])
    assert answer["answer"] and answer["truth"] is None
    assert ask(client, video, boxes=BOX) == answer, "one box need not be in a list"
    two = ask(client, video, boxes=[BOX, {**BOX, "color": "blue"}], task="traveling_speed_comparison")
    assert "Which object moves the fastest" in two["question"]
    assert app.left() == []


def test_geometry_measures_an_example(client: Client) -> None:
    found = client.predict("", "", "", "", "", 50, api_name="/explore")
    clips = [it["clip_id"] for it in found if it["can_be_asked_about"]]
    measured = []
    for clip in clips:
        told = client.predict(clip=clip, motion_by="known_poses", api_name="/measure")
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
        ({"task": "traveling_speed_comparison", "boxes": []}, "needs two objects"),
        ({"boxes": [{**BOX, "box": [1e9, 0, -1e9, 1]}]}, "too small"),
        ({"question": "?" * 501}, "longer than 500 letters"),
        ({"task": "direction_timestamp", "hour": 13}, "The hour is one of 1 to 12"),
        ({"task": "direction_timestamp", "hour": None}, "The hour is one of 1 to 12"),
        ({"boxes": [BOX] * 31}, "These are 31 boxes. Send at most 30"),
    ],
    ids=range(11),
)
def test_mistakes_are_told_in_one_line(client: Client, video: Path, given: dict[str, Any], words: str) -> None:
    if given and "clip" not in given:
        given = {"video": video, "boxes": [BOX]} | given
    with pytest.raises(AppError, match=words) as told:
        ask(client, **given)
    assert "Traceback" not in str(told.value) and "\n" not in str(told.value)


def test_a_video_and_a_clip_are_one_too_many(client: Client, video: Path) -> None:
    with pytest.raises(AppError, match="Give a video or a clip, not both"):
        ask(client, video, clip=clip_to_ask_about(client)["clip_id"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"categories": ["car"], "boxes": [BOX, {**BOX, "color": "blue"}]}, "There are 2 boxes; say of each"),
        ({"categories": "ship"}, "'ship' is no class"),
        ({"motion_by": "vggt"}, "one of opencv_vo, static_camera, known_poses; 'vggt' is none"),
        ({"hfov_deg": None}, "field of view is an angle of 20 to 150 degrees"),
        ({"height_m": 1e9}, "camera's height is 0.1 to 100 meters"),
    ],
    ids=range(5),
)
def test_mistakes_about_a_camera_are_told_too(client: Client, video: Path, given: dict[str, Any], words: str) -> None:
    given = {"video": handle_file(str(video)), "boxes": [BOX], "motion_by": "static_camera"} | given
    with pytest.raises(AppError, match=words):
        client.predict(**given, api_name="/measure")


def test_hostile_uploads_leave_it_standing_and_clean(app: Served, client: Client, tmp_path: Path) -> None:
    files = []
    for name, content in HOSTILE.items():
        (tmp_path / name).write_bytes(content)
        files.append(tmp_path / name)
    files.append(write_sound(tmp_path / "sound.mp4"))
    files.append(write_mp4(tmp_path / "$(touch pwned).mp4", street(3)))
    for path in files:
        with pytest.raises(AppError, match=r"no video that|damaged|no pictures|can be decoded|is empty|too short"):
            ask(client, path, boxes=[BOX])
    assert app.left() == []
    assert clip_to_ask_about(client)
    log = app.log.read_text()
    assert "Traceback" not in log


def test_long_and_large_videos_are_used_in_part(client: Client, tmp_path: Path) -> None:
    (still,) = street(1)
    long = write_mp4(tmp_path / "long.mp4", (still for _ in range(1000)), 30)
    assert ask(client, long, boxes=[{**BOX, "box": [40, 80, 88, 128]}])["answer"]
    large = write_mp4(tmp_path / "large.mp4", street(12, 3840, 2160), 5, preset="ultrafast")
    assert ask(client, large)["answer"]


def test_what_is_too_large_is_refused_on_the_way(app: Served, client: Client, tmp_path: Path) -> None:
    sparse = tmp_path / "sparse.mp4"
    with sparse.open("wb") as file:
        file.truncate(2 << 30)
    before = app.uploads()
    try:
        with sparse.open("rb") as file:
            status = httpx.post(f"{app.url}/gradio_api/upload", files={"files": file}, timeout=120).status_code
    except httpx.HTTPError:  # it hung up
        status = 413
    assert status == 413
    assert clip_to_ask_about(client)
    assert app.uploads() <= before


def test_what_never_ends_is_refused_and_removed(app: Served, client: Client) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
        for _ in range(2 << 10):  # 2 GB, of which nothing says before how long it is
            yield bytes(1 << 20)

    before = app.uploads()
    try:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        status = httpx.post(f"{app.url}/gradio_api/upload", content=endless(), headers=headers, timeout=120).status_code
    except httpx.HTTPError:  # it hung up
        status = 413
    assert status == 413
    assert clip_to_ask_about(client)
    assert app.uploads() <= before


def test_what_breaks_off_is_where_it_will_be_removed(app: Served, client: Client) -> None:
    before = app.uploads()
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'

    def broken_off() -> Iterator[bytes]:
        yield head + bytes(1 << 20)
        raise ConnectionError

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with pytest.raises(ConnectionError):
        httpx.post(f"{app.url}/gradio_api/upload", content=broken_off(), headers=headers)
    until = time.monotonic() + 20
    while not (left := app.uploads() - before) and time.monotonic() < until:
        time.sleep(0.1)
    assert [path.parent.name for path in left] == ["uploads"]
    assert clip_to_ask_about(client)


@pytest.mark.parametrize(
    "name",
    ["../../../../pwned.mp4", "/pwned.mp4", "..\\..\\pwned.mp4", "pwned'\"$(id)`.mp4", "pwned\r\nX: y\n.mp4",
     "pwned\0.mp4", "pwned" * 100 + ".mp4", "%2e%2e%2fpwned.mp4"],
    ids=range(8),
)  # fmt: skip
def test_names_of_files_lead_nowhere(app: Served, client: Client, video: Path, name: str) -> None:
    files = {"files": (name, video.read_bytes(), "video/mp4")}
    answer = httpx.post(f"{app.url}/gradio_api/upload", files=files, timeout=60)
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        (path,) = answer.json()
        assert Path(path).resolve() in app.uploads()
    assert set(app.temporary.parent.rglob("*pwned*")) <= app.uploads() and not Path("/pwned.mp4").exists()
    assert clip_to_ask_about(client)


def test_only_clips_are_given_out(app: Served) -> None:
    for path in ("/etc/passwd", str(SPACE / "app.py"), str(app.log)):
        assert httpx.get(f"{app.url}/gradio_api/file={path}").status_code in (403, 404)


def test_ten_visitors_at_once_get_their_answers(app: Served, video: Path) -> None:
    def visit(number: int) -> tuple[str, set[str]]:
        file = handle_file(str(video))
        told = list(Client(app.url, verbose=False).submit(file, boxes=[BOX], api_name="/ask"))
        return told[-1]["answer"], {it.get("progress", "") for it in told}

    with ThreadPoolExecutor(10) as visitors:
        answers, told = zip(*visitors.map(visit, range(10)), strict=True)
    assert len(set(answers)) == 1 and answers[0]
    assert any("before you" in words for of_visitor in told for words in of_visitor)
    assert app.left() == []


def test_who_asks_much_at_once_waits_for_others(app: Served, client: Client) -> None:
    clip = clip_to_ask_about(client)["clip_id"]
    other = Client(app.url, verbose=False)
    ended: list[str] = []

    def ask_as(visitor: Client, name: str) -> Any:
        return visitor.submit(clip=clip, api_name="/ask", result_callbacks=lambda *_: None)

    many = [ask_as(client, "many") for _ in range(6)]
    next(iter(many[0]))  # it is being answered
    one = ask_as(other, "one")
    one.result()
    ended = [job.done() for job in many]
    assert ended.count(True) <= 3, "the other five came first"
    for job in many:
        assert job.result()["answer"]


def test_a_question_that_is_cancelled_ends(app: Served, client: Client, video: Path) -> None:
    job = client.submit(handle_file(str(video)), boxes=[BOX], api_name="/ask")
    next(iter(job))
    job.cancel()
    until = time.monotonic() + 30
    while app.left() and time.monotonic() < until:
        time.sleep(0.1)
    assert app.left() == []
    assert ask(client, clip=clip_to_ask_about(client)["clip_id"])["answer"], "the next one is served"


def test_a_box_on_nothing_is_told_kindly(client: Client, tmp_path: Path) -> None:
    empty = write_mp4(tmp_path / "empty.mp4", grey([90] * 30, 320, 200))
    with pytest.raises(AppError, match=r"^Red was followed at 1\.0 s \(of 2\.9 s\)\. A model needs two seconds\."):
        ask(client, empty, boxes=[BOX])


def test_the_folder_is_what_the_hub_needs() -> None:
    names = {path.name for path in SPACE.iterdir()}
    assert names >= {"app.py", "README.md", "requirements.txt", "packages.txt", "examples.yaml", "make_examples.py"}

"""dataset_builder/paraphrase.py as a user runs it, on an endpoint of this machine, and a build with what it wrote."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from tests.chat_server import ChatServer, refusal

from stvlm.dataset.folder import build
from stvlm.dataset.prepare import BuildRequest
from stvlm.dataset.recipe import Recipe
from stvlm.questions.paraphrases import missing_kinds, questions_in, read_wordings, request
from stvlm.questions.templates import held_out_spans, held_out_wordings, wording_named, wordings
from stvlm.recipes import load_recipe
from stvlm.records import DataError
from stvlm.scoring import parse_answer, parse_target

ROOT = Path(__file__).parents[2]
RECIPE = """
name: tiny
title: Tiny
sources: {simulation: {seed: 3, recordings: 2, split: test, width_px: 96, height_px: 72, duration_s: 5.0}}
variants: [VARIANT]
"""


def run(program: str, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "dataset_builder" / program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def paraphrase(server: ChatServer, out: Path, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    return run("paraphrase.py", "--endpoint", server.url, "--model", "tiny-llm", "--out", out, *arguments)


def asked_of(body: dict[str, Any]) -> str:
    """The wording that a request is about."""
    return str(body["messages"][0]["content"].split("\n")[2])


def reworded(body: dict[str, Any]) -> str:
    """What a model could answer: an introduction, a good paraphrase, one that lost the object, and the first again."""
    question = asked_of(body)
    good = re.sub(r"^(Which|Compare|Tell|Give|Estimate|Calculate|Name|Describe|Compute)", r"Please: \1", question)
    good = good if good != question else re.sub(r"(\?|\.)$", r", please\1", question)
    return f'Here they are:\n1. {good}\n2. {question.replace("{object}", "it").replace("{a}", "it")}\n- "{good}"\n'


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("paraphrased") / "wordings.yaml"
    with ChatServer(reworded) as server:
        found = paraphrase(server, out)
        assert found.returncode == 0, found.stderr
        assert len(server.requests) == sum(map(len, wordings().values()))
    assert list(out.parent.iterdir()) == [out], "the replies are not kept"
    assert re.search(r"^refused +\d+ x is there already$", found.stdout, re.MULTILINE)
    assert found.stdout.splitlines()[-1].startswith(f"{out}: ")
    return out


def test_a_model_is_told_what_to_keep() -> None:
    (message,) = request(wording_named("traveled_distance_comparison/7"), 4)
    assert message["content"] == (
        "Rewrite this question in 4 different ways, each of which asks for exactly the same:\n\n"
        "Does {a} move a greater distance than {b} {span}?\n\n"
        '{a} stands for words such as "the object in the red bounding box".\n'
        '{b} stands for words such as "the object in the blue bounding box".\n'
        '{span} stands for words such as "over the course of the clip".\n'
        "Keep each of these as it is, in its braces, once.\n"
        "Yes and no have to mean what they mean now.\n"
        "Do not negate. Write one question a line, and nothing else."
    )


@pytest.mark.parametrize(
    ("reply", "questions"),
    [
        ("1. How far?\n2) How  long?", ["How far?", "How long?"]),
        ('- **How far?\n\n* "How long?"\n• `Who?`', ["**How far?", "How long?", "Who?"]),
        ("<think>Why?\nHm.</think>\n\nHow far?", ["How far?"]),
        ("<think>Why?\nHm, this takes", []),
        ("12 o'clock is ahead. Where does it go?", ["12 o'clock is ahead. Where does it go?"]),
    ],
)
def test_the_lines_of_a_reply(reply: str, questions: list[str]) -> None:
    assert questions_in(reply) == questions


def test_what_is_written_has_passed_and_the_rest_is_counted(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert text.startswith("# Wordings by tiny-llm, for the variant `paraphrased`.")
    every = [wording for of_task in read_wordings(written).values() for wording in of_task]
    refused = [int(count) for count in re.findall(r"^# Refused: (\d+) x .", text, re.MULTILINE)]
    assert len(every) + sum(refused) == 4 * 64, "four lines a reply"
    assert "How far does {object} travel {span}, please?" in {wording.question for wording in every}
    assert {wording.whole for wording in every} == {"", *(span["whole"] for span in held_out_spans().values())}
    answers = {(w.answer, w.affirm, w.deny) for of_task in wordings().values() for w in of_task}
    assert {(wording.answer, wording.affirm, wording.deny) for wording in every} <= answers


def test_a_template_id_names_the_file(written: Path, tmp_path: Path) -> None:
    first = read_wordings(written)["traveled_distance"][0].template_id
    assert re.fullmatch(r"traveled_distance/wordings-[0-9a-f]{8}-1", first)
    (tmp_path / "other.yaml").write_text("# Read by me.\n" + written.read_text(encoding="utf-8"), encoding="utf-8")
    assert read_wordings(tmp_path / "other.yaml")["traveled_distance"][0].template_id == first
    (tmp_path / "other.yaml").write_text(written.read_text(encoding="utf-8").replace("How far", "How long a way"))
    assert read_wordings(tmp_path / "other.yaml")["traveled_distance"][0].template_id != first


def test_a_build_asks_in_these_words(written: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "tiny.yaml", tmp_path / "tiny"
    recipe.write_text(RECIPE.replace("VARIANT", "paraphrased"), encoding="utf-8")
    found = run("build.py", recipe, "--wordings", written, "--out", out, "--annotations-only", "--workers", 1)
    assert found.returncode == 0, found.stderr
    rows = datasets.load_dataset(str(out), "paraphrased", split="test", cache_dir=str(tmp_path / "cache"))
    known = {wording.template_id: wording for of_task in read_wordings(written).values() for wording in of_task}
    assert len(rows) > 20
    for row in rows:
        wording = known[row["template_id"]]
        assert row["question"].endswith(wording.question.rpartition("}")[2])
        parsed = parse_answer(row["task"], row["answer"], row["choices"], row["question"])
        assert parsed.value == parse_target(row["task"], row["target"], row["choices"]), row["answer"]
    held = json.loads((out / "build.json").read_text())["wordings"]
    assert {wording["template_id"]: wording["question"] for of_task in held.values() for wording in of_task} == {
        name: wording.question for name, wording in known.items()
    }
    request = BuildRequest(load_recipe(recipe, Recipe), {}, annotations_only=True, wordings=read_wordings(written))
    assert build(request, out).variants["paraphrased"]["rows"] == len(rows), "the same words are the same build"
    with pytest.raises(DataError, match="holds another build"):
        build(replace(request, wordings={"traveled_distance": request.wordings["traveled_distance"][:1]}), out)


def test_wordings_are_for_the_variant_that_has_them(written: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.replace("VARIANT", "mirrored"), encoding="utf-8")
    found = run("build.py", recipe, "--wordings", written, "--out", tmp_path / "out")
    assert (found.returncode, found.stderr) == (
        1, "error: --wordings are for the variant paraphrased; add it to the recipe's variants\n"
    )  # fmt: skip


def test_the_held_out_wordings_have_every_kind() -> None:
    assert missing_kinds(held_out_wordings()) == []
    only = {
        "traveled_distance_comparison": held_out_wordings()["traveled_distance_comparison"][4:]
    }  # yes or no, of two
    missing = missing_kinds(only)  # type: ignore[arg-type]
    assert missing[:5] == [
        "traveled_distance", "traveling_speed", "movement_direction", "direction_timestamp",
        "traveled_distance_comparison (most, of 3 objects)",
    ]  # fmt: skip
    assert "traveled_distance_comparison (most, of 2 objects)" not in missing


# --- what goes wrong ---


def test_a_model_that_is_of_no_use(tmp_path: Path) -> None:
    with ChatServer(lambda request: "I would rather not.") as server:
        found = paraphrase(server, tmp_path / "w.yaml")
    assert (found.returncode, found.stderr) == (
        1, "error: tiny-llm: none of its wordings can be used; try a larger model\n"
    )  # fmt: skip
    assert "refused   64 x other placeholders" in found.stdout
    assert not (tmp_path / "w.yaml").exists()


def test_an_endpoint_that_refuses(tmp_path: Path) -> None:
    with ChatServer(lambda request: refusal(401, "who are you?")) as server:
        found = paraphrase(server, tmp_path / "w.yaml", "--api-key-env", "MY_KEY")
        told = f"error: {server.url}, model tiny-llm: HTTP 401: who are you?; put the endpoint's key into"
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith(told) and "MY_KEY" in found.stderr


def test_a_file_that_was_read_and_edited_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("mine", encoding="utf-8")
    with ChatServer(reworded) as server:
        found = paraphrase(server, tmp_path / "w.yaml")
        assert server.requests == []
    assert found.stderr == f"error: {tmp_path / 'w.yaml'}: is there already; choose another --out, or remove it\n"


GOOD = {"span": "now", "question": "What ground does {object} cover {span}?", "answer": "It covers {value} meters."}
SPANS = {"now": {"whole": "here", "part": "from second {start} until {end}"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected tasks with their wordings, got list"),
        ({}, "holds no wording"),
        ({"spans": SPANS}, "holds no wording"),
        ({"distance": [GOOD]}, "unknown task 'distance'"),
        ({"spans": SPANS, "traveled_distance": GOOD}, "traveled_distance: expected a list of wordings, got dict"),
        ({"spans": SPANS, "traveled_distance": ["How far?"]}, "wording 1: expected keys and values, got 'How far?'"),
        ({"traveled_distance": [GOOD]}, "wording 1: unknown span 'now'"),
        ({"spans": SPANS, "traveled_distance": [GOOD, GOOD | {"span": "nov"}]},
         "wording 2: unknown span 'nov'; did you mean 'now'?"),
        ({"spans": SPANS, "traveled_distance": [GOOD | {"replies": 1}]}, "wording 1: unknown key 'replies'"),
        ({"spans": SPANS, "traveled_distance": [GOOD | {"question": 3}]}, "wording 1: question: expected str, got 3"),
        ({"spans": SPANS, "traveled_distance": [{"answer": "It is."}]}, "wording 1: the key 'question' is missing"),
        ({"spans": SPANS, "traveled_distance": [GOOD | {"answer": "It covers {meters}."}]},
         "wording 1: its answers are not read back: 'What ground does {object} cover {span}?'; correct or remove it"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_asked_in(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_wordings(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"w\.yaml: cannot read the wordings \(No such file"):
        read_wordings(tmp_path / "w.yaml")

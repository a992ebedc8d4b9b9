"""docs/reproducing_the_paper.md: its figures are those of the result files, and its commands are ones that exist."""

import json
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("reproducing_the_paper.md", "releasing.md")


def commands(page: str) -> list[list[str]]:
    """The words of every command in a page's blocks that runs a program of ours."""
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if ".py" in line and (words := shlex.split(line, comments=True))]


@cache
def help_of(program: str) -> str:
    done = subprocess.run([sys.executable, str(ROOT / program), "--help"], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_programs_and_their_options(page: str) -> None:
    for words in commands(page):
        program = next(word for word in words if word.endswith(".py"))
        told = help_of(program)
        for option in (word for word in words[words.index(program) :] if word.startswith("--")):
            assert re.search(rf"{option}\b", told), f"{program} has no {option}"
        for recipe in (word for word in words if word.startswith("dataset_builder/recipes/")):
            assert (ROOT / recipe).is_file(), f"there is no {recipe}"


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_make_release_runs_the_program() -> None:
    listed = make("--just-print", "release", "ORG=me", "DRY_RUN=1", "RESULTS=mine", "MODEL=tiny", "DATASET=data")
    assert " ".join(listed.stdout.replace("\\\n", "").split()).endswith(
        "model_card/release.py me --results mine --model tiny --dataset data --dry-run"
    )
    refused = make("release")
    assert refused.returncode != 0
    assert refused.stderr.startswith("error: ORG is missing: your user name or an organisation of yours on the Hub\n")


def test_the_table_is_the_one_that_was_measured() -> None:
    spec = spec_from_file_location("steps", ROOT / "benchmarks" / "steps.py")
    assert spec is not None and spec.loader is not None
    steps = module_from_spec(spec)
    spec.loader.exec_module(steps)
    measured = {path.stem: json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert steps.as_text(measured) in (ROOT / "docs" / "reproducing_the_paper.md").read_text(encoding="utf-8")

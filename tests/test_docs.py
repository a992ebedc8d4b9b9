"""README and docs hold true: links lead somewhere, programs take the commands, tables are those of the files."""

import argparse
import functools
import importlib.util
import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.launch import launch_command_parser

from stvlm.pseudo_labels.ladder import as_text
from stvlm.recipes import from_mapping
from stvlm.training.blend.conversations import read_conversations
from stvlm.training.blend.open_spatial import REGIONS_TOLD, region_told
from stvlm.training.recipe import Blend
from stvlm.training.samples import Asked

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FOLDERS = ("benchmarks", "dataset_builder", "docs", "evaluate_metric", "model_card", "notebooks", "space", "src/stvlm",
           "tests", "training")  # fmt: skip
PAGES = sorted({ROOT / "README.md"} | {page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")})
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def prose_of(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


# Links


@functools.cache
def anchors(page: Path) -> set[str]:
    """What headings are called in an address, as GitHub does it."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)", prose_of(page), re.M):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", title).lower()).replace(" ", "-")
        found.add(next(name for n in range(100) if (name := f"{words}-{n}" if n else words) not in found))
    return found


def lost_links(page: Path) -> list[str]:
    """Links to files or headings that are not there, and files in back quotes that are not."""
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    for path in re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]+)`", prose_of(page)):
        if not list(ROOT.glob(path)) and not path.startswith("space/examples"):
            lost.append(path)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    assert lost_links(page) == []


def test_the_readme_leads_to_every_page_of_the_docs() -> None:
    linked = re.findall(r"\]\((docs/[^)#]+\.md)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= set(linked)


def test_a_lost_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A `b`, c\n## a [b](d) c\n```\n# not this\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md#a-b-c) [b](there.md#a-b-c-1) [c](there.md#not-this) [d](nowhere.md) `src/stvlm/nothing.py`"
    )
    assert lost_links(page) == ["there.md#not-this", "nowhere.md", "src/stvlm/nothing.py"]


# Commands


def commands_of(page: Path) -> list[list[str]]:
    """The words of the commands that a page has in blocks of code or in back quotes, as far as they are about us."""
    text = page.read_text(encoding="utf-8")
    blocks = [block for kind, block in FENCED.findall(text) if not kind]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", text))]
    return [command for line in lines if re.match(r"([A-Z_]+=\S* )?(python|make|accelerate|pip|git) ", line)
            for command in commands_in(line)]  # fmt: skip


def commands_in(line: str) -> list[list[str]]:
    """A line's commands: `A=b python c.py && make d  # e` has two, without the variable and what it is about."""
    words = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    words.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|", ";"):
            found.append([])
        elif found[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            found[-1].append(word)
    return found


class _Parsed(Exception):  # noqa: N818
    pass


def parse(program: Path, words: list[str]) -> argparse.Namespace:
    """What a program's own parser makes of the words; the program ends there."""
    real = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser) -> None:
        raise _Parsed(real(parser))

    def refuse(parser: argparse.ArgumentParser, message: str) -> None:
        raise AssertionError(f"{parser.prog} {shlex.join(words)}: {message}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        patch.setattr(argparse.ArgumentParser, "error", refuse)
        patch.setattr(sys, "argv", [str(program), *words])
        with pytest.raises(_Parsed) as stopped:
            runpy.run_path(str(program), run_name="__main__")
    return stopped.value.args[0]


def check(words: list[str], page: Path) -> None:
    """Fails or exits where a command names what is not there, or what its program does not take."""
    for word in words:
        if re.match(rf"(?:{'|'.join(FOLDERS)})/.*\.\w+$", word):
            assert (ROOT / word).exists(), f"there is no {word}"
        if extras := re.fullmatch(r"(?:\.|stvlm)\[(.+)\]", word):
            assert set(extras[1].split(",")) <= set(EXTRAS), f"there is no such extra: {word}"
    if words[:2] == ["accelerate", "launch"]:
        launched = launch_command_parser().parse_args(words[2:])
        words = ["python", launched.training_script, *launched.training_script_args]
    if words[0] == "make":
        subprocess.run(["make", "--just-print", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    elif words[0] == "python" and words[1].endswith(".py"):
        program = next(place / words[1] for place in (ROOT, page.parent) if (place / words[1]).is_file())
        if "vlmevalkit" in words[1]:
            return  # is run where VLMEvalKit is, by tests/harnesses/test_vlmevalkit.py
        if "parse_args" not in program.read_text(encoding="utf-8"):
            assert not words[2:], f"{program} takes no arguments"
            return
        given = parse(program, words[2:])
        recipe = getattr(given, "recipe", None)
        if program.name == "build.py" and recipe and (ROOT / recipe).is_file():
            known = yaml.safe_load((ROOT / recipe).read_text(encoding="utf-8"))["sources"]
            assert {name for name, _ in given.source} <= set(known), f"{recipe} has other sources"


def check_all(page: Path) -> None:
    for command in commands_of(page):
        check(command, page)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_programs_take_the_commands(page: Path) -> None:
    check_all(page)


@pytest.mark.parametrize(
    "line",
    [
        "python training/sft.py --config training/recipes/tiny_cpu.yaml --outputdir a",
        "python training/sft.py --config training/recipes/tiny.yaml",
        "python training/sft.py",
        "python training/train.py",
        "accelerate launch --config_file training/accelerate/fsdp2.yaml training/sft.py --model a",
        "accelerate launch --gpus 2 training/sft.py --config training/recipes/tiny_cpu.yaml",
        "python dataset_builder/build.py dataset_builder/recipes/stkit.yaml --source kitti=a --out b",
        "python space/make_examples.py --out a",
        "make setup && make everything",
        'pip install -e ".[everything]"',
    ],
)
def test_a_wrong_command_is_found(line: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n```\n{line}\n```\n")
    with pytest.raises((AssertionError, SystemExit, StopIteration, subprocess.CalledProcessError)):
        check_all(page)


def test_commands_are_read_as_a_shell_does(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('`make\na`\n```\nA=b python c.py \\\n    --d "e f"  # g\n$ none\n```\n```yaml\nmake: b\n```\n')
    assert commands_of(page) == [["python", "c.py", "--d", "e f"], ["make", "a"]]


def test_make_release_runs_the_program() -> None:
    listed = make("--just-print", "release", "ORG=me", "DRY_RUN=1", "RESULTS=mine", "MODEL=tiny", "DATASET=data")
    command = "model_card/release.py me --results mine --model tiny --dataset data --dry-run"
    assert command in " ".join(listed.stdout.replace("\\\n", "").split())
    refused = make("release")
    assert refused.returncode != 0
    assert refused.stderr.startswith("error: ORG is missing: your user name or an organisation of yours on the Hub\n")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


# Code


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_code_is_python_that_imports_what_there_is(page: Path) -> None:
    for kind, block in FENCED.findall(page.read_text(encoding="utf-8")):
        if kind != "python" or block.startswith(">>>"):
            continue
        compile(block, str(page), "exec")
        for module, names in re.findall(r"^from (stvlm[\w.]*) import ([\w, ]+)", block, re.M):
            there = importlib.import_module(module)
            assert all(hasattr(there, name.split(" as ")[0]) for name in names.split(", ")), (module, names)


# Tables


def test_what_the_steps_take_is_what_was_measured() -> None:
    spec = importlib.util.spec_from_file_location("steps", ROOT / "benchmarks" / "steps.py")
    assert spec is not None and spec.loader is not None
    steps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(steps)
    measured = {path.stem: json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert steps.as_text(measured) in (DOCS / "reproducing_the_paper.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["recordings", "simulated"])
def test_errors_of_pseudo_labels_are_those_that_were_measured(name: str) -> None:
    folder = DOCS / "validation"
    rungs = json.loads((folder / name / "validation.json").read_text())["rungs"]
    order = sorted(rungs, key=["as it is", "true boxes", "true poses", "true boxes and poses"].index)
    assert as_text({rung: rungs[rung] for rung in order}) in (folder / "README.md").read_text()
    assert (folder / name / "index.html").exists()


def test_the_table_of_training_has_every_recipe_and_no_other() -> None:
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    table = text[text.index("## Recipes") : text.index("Table 6's")]
    named = set(
        re.findall(r"`([\w.]+)`", " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    )
    recipes = {path.stem for path in (ROOT / "training" / "recipes").glob("*.yaml")}
    assert named == recipes - {"grpo_tiny", "grpo_7b_lora", "st_vlm_tiny"}


# Training data

TRAINING_DATA = (DOCS / "training_data.md").read_text(encoding="utf-8")


def block_of(kind: str) -> str:
    return next(block for found, block in FENCED.findall(TRAINING_DATA) if found == kind)


def test_the_blend_is_the_papers_and_one_more() -> None:
    blend = from_mapping(Blend, yaml.safe_load(block_of("yaml"))["blend"], "docs")
    assert {name: source.count for name, source in blend.sources.items()} == {
        "llava_video": 100_000,
        "open_spatial": 20_000,
        "my_chats": 5_000,
    }
    assert blend.max_frames == Blend({}).max_frames


def test_the_conversation_is_read(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text(block_of("json"))
    row: Any = read_conversations(tmp_path / "chats.jsonl", tmp_path / "videos", tmp_path)[0]
    assert row[:3] == ("video", "a.mp4", [Asked("What moves?", "A car.")])
    assert row[3] == [tmp_path / "videos" / "a.mp4"]


def test_a_region_is_told_so() -> None:
    boxes = (0, 0, 320, 240), (160, 120, 640, 480)
    first, second = (region_told(box_px, 640, 480) for box_px in boxes)
    told = f"{REGIONS_TOLD} Is Region [0] at {first} wider than Region [1] at {second}?"
    assert told in " ".join(TRAINING_DATA.replace("\n> ", " ").split())

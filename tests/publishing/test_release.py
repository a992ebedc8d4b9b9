"""model_card/release.py as a user runs it, against a Hub on this machine, and what loads back from an empty cache."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from huggingface_hub import ModelCard
from tests.demo.worlds import make_examples
from tests.hub_server import HubServer
from tests.publishing.release_folder import write_release
from tests.space.served import SPACE, started

from stvlm.publishing.release import Release, prepare
from stvlm.records import DataError

PROGRAM = Path(__file__).parents[2] / "model_card" / "release.py"
LOGIN = "type: hf auth login, or set HF_TOKEN to a token that may write"
REPOS = {
    ("datasets", "lab/stkit"), ("datasets", "lab/stkit-bench"), ("spaces", "lab/stkit_bench"),
    ("models", "lab/st-vlm-tiny"), ("spaces", "lab/st-vlm"),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is released."""
    place = write_release(tmp_path_factory.mktemp("release"))
    shutil.copytree(SPACE, place / "space", ignore=shutil.ignore_patterns("examples", ".*", "st-vlm-tiny"))
    make_examples(place / "space" / "examples")  # smaller than those of make_examples.py
    (place / "space" / "__pycache__").mkdir(exist_ok=True)
    (place / "space" / "__pycache__" / "app.pyc").write_bytes(b"x")
    return place


@pytest.fixture
def lab(hub: HubServer) -> HubServer:
    """A Hub on which `me` is a member of `lab`."""
    hub.members["lab"] = {"me"}
    return hub


def release(
    hub: HubServer, place: Path, *more: str, org: str = "lab", token: str | None = "hf_me", **environment: str
) -> subprocess.CompletedProcess[str]:
    arguments = [str(PROGRAM), org, "--results", "results", "--space", "space", "--no-nf4", *more]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=place, capture_output=True, text=True, check=False,
        env=hub.environment(place / "home", token) | environment, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def held(hub: HubServer) -> dict[tuple[str, str], dict[str, bytes]]:
    return {key: hub.files(*key) for key in hub.repos}


def test_all_is_published_and_loads_from_an_empty_cache(lab: HubServer, place: Path, tmp_path: Path) -> None:
    dry = release(lab, place, "--dry-run", token=None)
    assert dry.returncode == 0, dry.stderr
    assert not lab.repos and dry.stdout.endswith("nothing was sent\n")
    listed = {line.split()[0]: line.split() for line in dry.stdout.splitlines() if line.startswith("lab/")}
    assert set(listed) == {name for _, name in REPOS}
    assert listed["lab/st-vlm"][-2:] == ["apache-2.0", "all"]

    done = release(lab, place)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    assert set(lab.repos) == REPOS
    for kind, name in REPOS:
        files = lab.files(kind, name)
        assert len(files) - 1 == int(listed[name][2]), "all that was listed, beside .gitattributes"
        assert not any(str(place).encode() in data for data in files.values()), f"{name} tells where it was made"
    demo = lab.files("spaces", "lab/st-vlm")
    assert {"app.py", "README.md", "stvlm.json", "stvlm/records.py", "examples/plain/clips.parquet"} < set(demo)
    assert not any("__pycache__" in path for path in demo)
    assert b"models:\n- lab/st-vlm-tiny\ndatasets:\n- lab/stkit-bench\n" in demo["README.md"]
    assert lab.variables["lab/st-vlm"] == {"ST_VLM_MODEL": "lab/st-vlm-tiny"}
    (collection,) = lab.collections.values()
    items = {(f"{item['type']}s", item["id"]) for item in collection["items"]}
    assert items == REPOS | {("papers", "2503.19355")}
    assert "left out: adapters: the model has none" in done.stdout

    code = """
import json, re, sys
import evaluate
from datasets import load_dataset
from huggingface_hub import ModelCard
card = ModelCard.load("lab/st-vlm-tiny")
exec(re.search(r"```python\\n(.*?)```", card.text, re.S)[1])
rows = load_dataset("lab/stkit", split="train")
metric = evaluate.load("lab/stkit_bench")
bench = load_dataset("lab/stkit-bench", split="test")
scores = metric.compute(predictions=bench["target"], references=bench)
print(json.dumps([len(rows), type(model).__name__, inputs["pixel_values_videos"].shape[1], scores["average_accuracy"]]))
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env=lab.environment(tmp_path / "empty", token=None) | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    count, model, frames, accuracy = json.loads(loaded.stdout.splitlines()[-1])
    report = json.loads((place / "stkit" / "build.json").read_text())["report"]
    assert (count, model) == (report["rows"], "LlavaOnevisionForConditionalGeneration")
    assert frames >= 5 and accuracy == pytest.approx(1.0)
    assert "| truth:" in loaded.stdout

    before, requests = held(lab), len(lab.uploads)
    again = release(lab, place)
    assert again.returncode == 0, again.stderr
    assert held(lab) == before and len(lab.uploads) == requests, "a whole release sends nothing"
    assert [line.split(": ")[1] for line in again.stdout.splitlines()[:5]] == [
        f"all {int(listed[name][2]):,} files are there" for name in listed
    ]  # fmt: skip
    assert "collection 'STKit and ST-VLM': all 6 are there" in again.stdout


def test_the_demo_starts_from_what_was_published(lab: HubServer, place: Path, tmp_path: Path) -> None:
    done = release(lab, place)
    assert done.returncode == 0, done.stderr
    code = "import huggingface_hub as h; h.snapshot_download('lab/st-vlm', repo_type='space', local_dir='downloaded')"
    stranger = lab.environment(tmp_path / "empty", token=None)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=stranger, check=True, capture_output=True)
    stranger.pop("PYTHONPATH", None)
    with started(
        tmp_path / "downloaded", tmp_path, stranger | lab.variables["lab/st-vlm"] | {"PYTHONDONTWRITEBYTECODE": ""}
    ) as running:
        client = Client(running.url, verbose=False)
        (clip, *_) = (it for it in client.predict(api_name="/explore") if it["can_be_asked_about"])
        told = client.predict(clip=clip["clip_id"], api_name="/ask")
        assert told["answer"] and told["truth"] == f"{clip['distances_m'][0]:.2f} m"
    # The library came along, and was what ran; the model came from the Hub.
    assert list((tmp_path / "downloaded" / "stvlm" / "demo" / "__pycache__").glob("page.*.pyc"))
    assert (tmp_path / "empty" / "hub" / "models--lab--st-vlm-tiny").is_dir()
    assert "Traceback" not in running.log.read_text()


ATTEMPTS = """
import sys, time
from pathlib import Path
time.sleep = lambda s: None  # the client waits before it tries again
from stvlm.publishing.release import Release, prepare, publish
from stvlm.records import DataError
root = Path(sys.argv[1])
folders = (Path("results"), root / "evaluate_metric/stkit_bench", root / "benchmarks/results", Path("work"))
prepared = prepare(Release("lab", *folders, space=Path("space"), nf4=False))
for line in sys.stdin:
    try:
        list(publish(prepared, "lab"))
        print("done", flush=True)
    except DataError as error:
        print(error, flush=True)
"""
"""Tries to publish once for each line that it is sent."""


def test_cut_five_times_it_ends_whole(place: Path) -> None:
    with HubServer() as whole:
        whole.members["lab"] = {"me"}
        assert attempts(whole, place, [None]) == ["done"]
        wanted, total = held(whole), whole.requests
    with HubServer() as hub:
        hub.members["lab"] = {"me"}
        told = attempts(hub, place, [total * i // 12 for i in range(1, 6)] + [None])
        assert told[-1] == "done"
        assert len(told) == 6 and all("run the same command again: it goes on where" in error for error in told[:-1])
        assert held(hub) == wanted
        assert len(hub.uploads) == len(set(hub.uploads)), "no large file was sent twice"
        (collection,) = hub.collections.values()
        assert len(collection["items"]) == 6


def attempts(hub: HubServer, place: Path, cuts: list[int | None]) -> list[str]:
    """What came of each attempt, whose connection is cut after so many requests."""
    command = [sys.executable, "-c", ATTEMPTS, str(PROGRAM.parents[1])]
    told, pipes = [], {"stdin": -1, "stdout": -1, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=place, text=True, env=hub.environment(place / "home"), **pipes) as program:
        assert program.stdin is not None and program.stdout is not None
        for cut in cuts:
            hub.cut_after = None if cut is None else hub.requests + cut
            program.stdin.write("\n")
            program.stdin.flush()
            told.append(program.stdout.readline().strip())
        program.stdin.close()
    return told


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


def test_who_may_not_write_is_told_before_anything_is_sent(lab: HubServer, place: Path) -> None:
    assert error_of(release(lab, place, token=None)) == f"lab: not logged in to the Hub; {LOGIN}"
    assert error_of(release(lab, place, token="wrong")) == f"lab: the Hub does not know this token; {LOGIN}"
    assert error_of(release(lab, place, org="theirs")) == (
        "theirs: the token of me may not write there, but to me, lab; choose one of these, or use a token of a member "
        "that may write"
    )
    assert not lab.repos


def test_what_is_not_ours_is_left_alone(lab: HubServer, place: Path) -> None:
    code = """
from huggingface_hub import HfApi
HfApi().create_repo("lab/st-vlm", repo_type="space", space_sdk="gradio")
HfApi().upload_file(path_or_fileobj=b"1", path_in_repo="app.py", repo_id="lab/st-vlm", repo_type="space")
"""
    environment = lab.environment(place / "home")
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    told = error_of(release(lab, place))
    assert told == "lab/st-vlm: holds something else (app.py), which would be lost; choose another name"
    assert set(lab.repos) == {("spaces", "lab/st-vlm")}, "nothing else was begun"


def request(place: Path, work: Path, **changes: Any) -> Release:
    root = PROGRAM.parents[1]
    metric, measured = root / "evaluate_metric" / "stkit_bench", root / "benchmarks" / "results"
    release = Release("lab", place / "results", metric, measured, work, nf4=False)
    return dataclasses.replace(release, **changes)


def test_adapters_have_a_repository_of_their_own(place: Path, tmp_path: Path) -> None:
    model = shutil.copytree(place / "st-vlm-tiny", tmp_path / "st-vlm-tiny")
    (model / "adapter").mkdir()
    (model / "adapter" / "adapter_model.safetensors").write_bytes(bytes(2_500_000))
    record = json.loads((model / "training.json").read_text())
    lora = {"targets": ".*language_model.*", "export": ["merged", "adapter"]}
    recipe = {**record["recipe"], "model": "llava-hf/base", "lora": lora}
    rewrite(
        model / "training.json",
        recipe=recipe,
        blend={"talk": {"taken": 7, "licence": "x", "sha256": {"/data/a.json": "0"}}},
    )
    parts = {part.repo_id: part for part in prepare(request(place, tmp_path / "work", model=model)).parts}
    assert not any("adapter" in name for name in parts["lab/st-vlm-tiny"].files)
    adapters = parts["lab/st-vlm-tiny-lora"]
    record = json.loads((adapters.folder / "training.json").read_text())
    assert record["recipe"]["lora"]["targets"] == ".*language_model.*" and record["blend"]["talk"]["sha256"] == {
        "a.json": "0"
    }
    assert set(adapters.files) == {"adapter_model.safetensors", "training.json", "README.md"}
    card = ModelCard.load(adapters.folder / "README.md")
    assert (card.data.base_model, card.data.base_model_relation) == ("llava-hf/base", "adapter")
    assert "2.5 MB of weights" in card.text and 'from_pretrained("lab/st-vlm-tiny-lora")' in card.text
    whole = ModelCard.load(parts["lab/st-vlm-tiny"].folder / "README.md").data
    assert (whole.base_model, whole.base_model_relation, whole.license) == ("llava-hf/base", "finetune", "other")


def test_what_makes_no_release_is_refused(place: Path, tmp_path: Path) -> None:
    model = tmp_path / "model" / "st-vlm-tiny"
    shutil.copytree(place / "st-vlm-tiny", model)

    def told(**changes: Any) -> str:
        with pytest.raises(DataError) as error:
            prepare(request(place, tmp_path / "work", **({"model": model} | changes)))
        assert "\n" not in str(error.value)
        return str(error.value)

    shutil.copytree(SPACE, tmp_path / "bare", ignore=shutil.ignore_patterns("examples", ".*", "st-vlm-tiny"))
    assert told(space=tmp_path / "bare") == (
        f"{tmp_path}/bare/examples: the demo's examples are not there; type: python {tmp_path}/bare/make_examples.py"
    )
    for org in ("..", "work/..", str(tmp_path), ""):  # as a folder, which is emptied first, these are somebody else's
        assert told(org=org).startswith(f"{org}/st-vlm-tiny: is no name of the Hub; ORG is your user name or ")
    assert model.is_dir()
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "app.py").write_text("")
    assert told(space=tmp_path / "space") == (
        f"{tmp_path}/space/README.md: does not begin with what the Hub reads to start it; add its YAML"
    )
    rewrite(model / "generation_config.json", max_new_tokens=7)
    assert told() == (
        f"{place}/results: are results of another model than {model} now holds; evaluate it again into another folder"
    )
    rewrite(model / "config.json", model_type="llama")
    assert told() == f"{model}: a model of type 'llama' without a video processor is no video VLM; name another"
    (model / "training.json").unlink()
    assert told() == f"{model}: has no training.json, which says what it was trained on; train it by training/sft.py"
    (tmp_path / "results").mkdir()
    program = "give a folder that was --out of evaluate_metric/evaluate_model.py"
    assert told(results=tmp_path / "results") == f"{tmp_path}/results: holds no results.json; {program}"
    assert told(model=tmp_path / "st-vlm-tiny") == f"{tmp_path}/st-vlm-tiny: no such model folder; name it by --model"


def test_a_model_may_be_called_as_the_demo_is(lab: HubServer, place: Path, tmp_path: Path) -> None:
    model = shutil.copytree(place / "st-vlm-tiny", tmp_path / "st-vlm")
    shutil.copytree(place / "results", tmp_path / "results")
    rewrite(tmp_path / "results" / "results.json", model=results_model(place) | {"path": str(model)})
    where = ("--results", str(tmp_path / "results"), "--work", str(tmp_path / "work"))
    alone = release(lab, place, *where, "--space", "none")
    assert alone.returncode == 0 and ("models", "lab/st-vlm") in lab.repos, alone.stderr
    whole = release(lab, place, *where)
    assert whole.returncode == 0, whole.stderr
    assert lab.variables == {"lab/st-vlm": {"ST_VLM_MODEL": "lab/st-vlm"}}


def results_model(place: Path) -> dict[str, Any]:
    return dict(json.loads((place / "results" / "results.json").read_text())["model"])


def rewrite(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_four_bits_are_published_where_they_can_be_made(lab: HubServer, place: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    arguments = [str(PROGRAM), "lab", "--results", "results", "--space", "none"]
    environment = lab.environment(tmp_path / "home") | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=place, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "left out: demo: there is no folder space with an app.py" in done.stdout
    code = """
from huggingface_hub import ModelCard
from transformers import AutoModelForImageTextToText
model = AutoModelForImageTextToText.from_pretrained("lab/st-vlm-tiny-nf4")
layers = model.model.language_model.layers
card = ModelCard.load("lab/st-vlm-tiny-nf4").data
print(type(layers[0].mlp.up_proj).__name__, card.base_model, card.base_model_relation)
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=lab.environment(tmp_path / "empty", token=None),
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.splitlines()[-1] == "Linear4bit lab/st-vlm-tiny quantized"
    before = (place / ".release" / "st-vlm-tiny-nf4" / "model.safetensors").stat().st_mtime_ns
    again = subprocess.run([sys.executable, *arguments], cwd=place, capture_output=True, text=True, env=environment)
    assert again.returncode == 0 and "sent" not in again.stdout, again.stderr
    assert (place / ".release" / "st-vlm-tiny-nf4" / "model.safetensors").stat().st_mtime_ns == before

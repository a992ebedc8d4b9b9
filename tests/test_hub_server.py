"""The Hub of the tests serves the real clients: repositories with a history, metrics, models, and who may do what."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.hub_server import HubServer

METRIC = Path(__file__).resolve().parents[1] / "evaluate_metric" / "stkit_bench"


@pytest.fixture
def run(hub: HubServer, tmp_path: Path) -> Callable[..., Any]:
    """Runs code in a process with an empty cache and gives what it prints as JSON."""

    def run_code(code: str, home: str = "home", token: str | None = "hf_me") -> Any:
        command = [sys.executable, "-c", f"import json\nfrom huggingface_hub import HfApi\napi = HfApi()\n{code}"]
        environment = hub.environment(tmp_path / home, token)
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run_code


def test_a_repository_has_a_history(hub: HubServer, run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "small.txt").write_text("one", encoding="utf-8")
    (tmp_path / "data" / "clip.mp4").write_bytes(bytes(range(200)))
    first, again, second = run("""
from pathlib import Path
api.create_repo("me/x", repo_type="dataset")
def push(**more):
    return api.upload_folder(repo_id="me/x", repo_type="dataset", folder_path="data", **more).oid
shas = [push(), push()]
Path("data/a/small.txt").write_text("two")
print(json.dumps([*shas, push(delete_patterns="*.mp4", ignore_patterns="*.mp4")]))
""")
    assert first == again != second
    assert hub.files("datasets", "me/x", first)["a/small.txt"] == b"one"
    assert set(hub.files("datasets", "me/x")) == {".gitattributes", "a/small.txt"}
    assert len(hub.uploads) == 1

    read = run(
        f"""
from pathlib import Path
from huggingface_hub import HfFileSystem, snapshot_download
old, new = (Path(snapshot_download("me/x", repo_type="dataset", revision=sha)) for sha in ("{first}", None))
tree = [entry.path for entry in api.list_repo_tree("me/x", repo_type="dataset", revision="{first}")]
info = api.get_paths_info("me/x", ["a", "clip.mp4", "none"], repo_type="dataset", revision="{first}")
part = HfFileSystem().cat_file("datasets/me/x@{first}/clip.mp4", start=10, end=13)
texts = [(folder / "a" / "small.txt").read_text() for folder in (old, new)]
print(json.dumps([texts, (old / "clip.mp4").stat().st_size, tree, [item.path for item in info], list(part)]))
""",
        home="another",
    )
    assert read == [["one", "two"], 200, ["a", ".gitattributes", "clip.mp4"], ["a", "clip.mp4"], [10, 11, 12]]


def test_who_may_do_what(run: Callable[..., Any]) -> None:
    calls = {
        'you.create_repo("me/secret", private=True)': ["HfHubHTTPError", 403],
        'wrong.create_repo("me/secret", private=True)': ["HfHubHTTPError", 401],
        'me.create_repo("me/secret", private=True)': None,
        'me.model_info("me/secret")': None,
        'you.model_info("me/secret")': ["RepositoryNotFoundError", 404],
        'me.dataset_info("me/secret")': ["RepositoryNotFoundError", 404],
        'me.model_info("me/secret", revision="v1")': ["RevisionNotFoundError", 404],
        'me.hf_hub_download("me/secret", "none")': ["RemoteEntryNotFoundError", 404],
    }
    answers = run(f"""
from huggingface_hub.errors import HfHubHTTPError
me, you, wrong = HfApi(token="hf_me"), HfApi(token="hf_you"), HfApi(token="wrong")
answers = {{}}
for call in {list(calls)!r}:
    answers[call] = None
    try:
        eval(call)
    except HfHubHTTPError as error:
        answers[call] = [type(error).__name__, error.response.status_code]
print(json.dumps(answers))
""")
    assert answers == calls


def test_a_metric_is_loaded_from_its_space(run: Callable[..., Any]) -> None:
    scores = run(f"""
api.create_repo("me/stkit_bench", repo_type="space", space_sdk="gradio")
api.upload_folder(repo_id="me/stkit_bench", repo_type="space", folder_path={str(METRIC)!r})
import evaluate
metric = evaluate.load("me/stkit_bench")
reference = {{"task": "traveled_distance", "target": "20.00", "choices": [], "question": "How far?"}}
print(json.dumps(metric.compute(predictions=["21 m"], references=[reference])))
""")
    assert scores["traveled_distance_mae"] == 1.0


def test_a_model_is_loaded_from_its_repository(hub: HubServer, run: Callable[..., Any]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    same = run("""
from transformers import LlamaConfig, LlamaForCausalLM
config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
model = LlamaForCausalLM(config)
model.push_to_hub("me/tiny")
loaded = LlamaForCausalLM.from_pretrained("me/tiny")
print(json.dumps(bool((loaded.lm_head.weight == model.lm_head.weight).all())))
""")
    assert same is True
    assert {"config.json", "model.safetensors"} <= set(hub.files("models", "me/tiny"))

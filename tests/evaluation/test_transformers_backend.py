"""Answers of real model classes, in small: with a clip read once for all its questions they are those without."""

import json
from functools import wraps

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.evaluation.tiny_models import write_model
from tests.training.tiny_dataset import write_dataset
from transformers import AutoModelForImageTextToText

from stvlm.evaluation.answering import fingerprint, make_batches
from stvlm.evaluation.backends.transformers import SHARING, TransformersModel
from stvlm.evaluation.dataset import load_split
from stvlm.evaluation.prompts import Asked
from stvlm.records import DataError


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Four clips of 5 and 6 frames, four questions each, whose prompts differ in length."""
    dataset = write_dataset(tmp_path_factory.mktemp("data") / "tiny")
    return load_split(str(dataset), "test").rows


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "llava")


def ask(rows, *controls):
    return [Asked(row, control, row["prompt"]) for row in rows for control in controls]


def answers(model, asked, size):
    found = {(a.item.row["id"], a.item.control): a.text for a in model.answer(make_batches(asked, size))}
    return [found[item.row["id"], item.control] for item in asked]


def encoded(model, monkeypatch):
    """Counts the frames that pass the vision tower."""
    counts = []
    tower = model._model.model.vision_tower
    forward = tower.forward
    monkeypatch.setattr(tower, "forward", lambda frames, **more: counts.append(len(frames)) or forward(frames, **more))
    return counts


@pytest.mark.parametrize("kind", SHARING)
def test_answers_are_the_same_with_and_without_sharing(kind, rows, tmp_path):
    model = TransformersModel(str(write_model(tmp_path / kind, kind)), max_new_tokens=8)
    assert model.shares
    asked = ask(rows, "model", "static")
    shared = answers(model, asked, 12)  # clips of one length, several questions each, next to one another
    alone = answers(model, asked, 1)
    model.shares = False
    assert shared == answers(model, asked, 12) == answers(model, asked, 1) == alone
    assert len(set(shared)) > 8, "the model must tell its inputs apart for this to mean anything"
    moving, static = shared[::2], shared[1::2]
    assert moving != static


def test_a_clip_is_encoded_once_for_all_its_questions(rows, llava, monkeypatch):
    model = TransformersModel(str(llava), max_new_tokens=2)
    counts = encoded(model, monkeypatch)
    five = [row for row in rows if len(row["frame_times_s"]) == 5]
    answers(model, ask(five, "model"), 32)
    assert (len(five), counts) == (8, [2 * 5])  # two clips
    counts.clear()
    model.shares = False
    answers(model, ask(five, "model"), 32)
    assert counts == [8 * 5]


def test_without_video_nothing_is_encoded(rows, llava, monkeypatch):
    model = TransformersModel(str(llava), max_new_tokens=4)
    counts = encoded(model, monkeypatch)
    asked = ask(rows, "text_only")
    assert answers(model, asked, 16) == answers(model, asked, 1)
    assert counts == []


def test_depth_maps_follow_the_video(rows, llava, tmp_path, monkeypatch):
    for row in rows:
        depth_m = np.linspace(0, 80, len(row["frame_times_s"]) * 16).reshape(-1, 4, 4).astype(np.float32)
        np.save(tmp_path / f"{row['clip_id']}.npy", depth_m)
    without = TransformersModel(str(llava), max_new_tokens=8)
    model = TransformersModel(str(llava), max_new_tokens=8, depth_dir=tmp_path)
    counts = encoded(model, monkeypatch)
    asked = ask(rows[:4], "model")
    shared = answers(model, asked, 4)
    assert counts == [2 * 5]
    model.shares = False
    assert shared == answers(model, asked, 4) != answers(without, asked, 4)


def test_memory_that_runs_out_halves_the_batch_and_all_after_it(rows, llava, monkeypatch):
    model = TransformersModel(str(llava), max_new_tokens=4)
    model.shares = False
    asked = ask(rows, "model")
    expected = answers(model, asked, 8)
    sizes, most = [], 2
    forward = model._model.forward

    @wraps(forward)
    def forward_where_few_fit(*args, input_ids, **options):
        if input_ids.shape[1] > 1:  # the reading of a prompt
            sizes.append(len(input_ids))
            if len(input_ids) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, input_ids=input_ids, **options)

    monkeypatch.setattr(model._model, "forward", forward_where_few_fit)
    assert answers(model, asked, 8) == expected
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    most = 0
    with pytest.raises(DataError, match=r"^one question does not fit into memory; use a smaller model"):
        answers(model, asked, 8)


def test_processes_that_share_weights_halve_no_batch(rows, llava, monkeypatch):
    """Those that did would call the model more often than the others, and each would wait for the rest for good."""
    alone = TransformersModel(str(llava), max_new_tokens=4)
    model = TransformersModel.of(alone._model, alone._processor, 4, in_step=True)
    asked = ask(rows, "model")
    assert answers(model, asked, 8) == answers(alone, asked, 8)

    def full(asked):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(model, "_answer", full)
    with pytest.raises(
        DataError, match=r"^8 questions at once do not fit into memory; lower benchmark.batch_size"
    ):
        answers(model, asked, 8)


def test_a_lora_adapter_is_loaded_onto_its_base(rows, llava, tmp_path):
    base = AutoModelForImageTextToText.from_pretrained(llava)
    settings = LoraConfig(r=2, target_modules=r".*language_model.*\.(q|v)_proj", init_lora_weights=False)
    get_peft_model(base, settings).save_pretrained(tmp_path / "adapter")
    adapted = TransformersModel(str(tmp_path / "adapter"), max_new_tokens=8)
    asked = ask(rows[:8], "model")
    found = answers(adapted, asked, 8)
    assert found == answers(adapted, asked, 1)
    assert found != answers(TransformersModel(str(llava), max_new_tokens=8), asked, 8)
    assert fingerprint(str(tmp_path / "adapter")).endswith(f" on {fingerprint(str(llava))}")


@pytest.mark.parametrize("kind", ["llava_onevision", "qwen2_5_vl"])
def test_answers_are_greedy_whatever_a_models_publisher_set(kind, rows, tmp_path):
    folder, asked = write_model(tmp_path / kind, kind), ask(rows[:4], "model")
    greedy = answers(TransformersModel(str(folder), max_new_tokens=24), asked, 4)
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.3}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert answers(TransformersModel(str(folder), max_new_tokens=24), asked, 4) == greedy


def test_an_adapter_without_its_base_is_told(llava, tmp_path):
    """Which a run names as its recipe did: from where it was started."""
    base = AutoModelForImageTextToText.from_pretrained(llava)
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(tmp_path / "adapter")
    settings = tmp_path / "adapter" / "adapter_config.json"
    settings.write_text(settings.read_text().replace(str(llava), "st-vlm-7b"))
    with pytest.raises(DataError, match="adapter: is an adapter of st-vlm-7b, which is no folder here; start where"):
        fingerprint(str(tmp_path / "adapter"))


def test_what_is_no_model_is_told_in_one_line(tmp_path):
    (tmp_path / "broken").mkdir()
    with pytest.raises(DataError, match=r"broken: cannot be loaded as a model \(") as told:
        TransformersModel(str(tmp_path / "broken"), 1)
    assert "\n" not in str(told.value)
    mute = write_model(tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    with pytest.raises(DataError, match=r"mute: has no chat template; put its chat_template\.jinja there"):
        TransformersModel(str(mute), 1)

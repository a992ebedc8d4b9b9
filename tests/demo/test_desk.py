"""What a Space works with where nothing is named, and what it says where that is not there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from stvlm.demo import desk
from stvlm.demo.desk import default_dataset, default_model, folder_of_visitors, remove_old
from stvlm.evaluation.backends.transformers import TransformersModel
from stvlm.records import DataError
from stvlm.training.new_model import train_tokenizer


def told(error: pytest.ExceptionInfo[DataError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_examples_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()  # as one that was left half made
    with pytest.raises(DataError) as error:
        default_dataset(tmp_path)
    assert told(error) == (
        f"{tmp_path}/examples: there are no examples; type: python {tmp_path}/make_examples.py; or name another "
        "dataset in ST_VLM_DATASET"
    )
    (tmp_path / "examples" / "plain").mkdir()
    (tmp_path / "examples" / "plain" / "clips.parquet").write_bytes(b"")
    assert default_dataset(tmp_path) == str(tmp_path / "examples")


def test_the_model_lies_beside_it_or_is_what_the_card_names(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        default_model(tmp_path)
    assert told(error).startswith(f"{tmp_path}/st-vlm-tiny: there is no model; make it with training/from_nothing.py")
    (tmp_path / "README.md").write_text("---\nmodels:\n- org/st-vlm-7b\n---\n")
    assert default_model(tmp_path) == "org/st-vlm-7b"
    (tmp_path / "st-vlm-tiny").mkdir()
    assert default_model(tmp_path) == str(tmp_path / "st-vlm-tiny")


def write_language_model(folder: Path) -> Path:
    """A small GPT-2, which sees nothing."""
    tokenizer = train_tokenizer(["How far does it travel?"] * 9, 300)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer).save_pretrained(folder)
    GPT2LMHeadModel(
        GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=300, bos_token_id=0, eos_token_id=0)
    ).save_pretrained(folder)
    return folder


def test_a_model_that_sees_nothing_is_refused(tmp_path: Path) -> None:
    model = write_language_model(tmp_path / "gpt2")
    with pytest.raises(DataError) as error:
        TransformersModel(str(model), 8)
    assert told(error) == f"{model}: is no vision-language model; choose one that takes video"
    with pytest.raises(DataError) as error:
        TransformersModel(str(tmp_path / "none"), 8)
    assert told(error) == f"{tmp_path}/none: is no folder, nor the id of a model on the Hub"


def test_what_nobody_wrote_to_for_long_is_removed(tmp_path: Path) -> None:
    for name, age_s in {"old": 61, "new": 59}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.mp4").write_bytes(b"0")
        (tmp_path / f"{name}.part").write_bytes(b"0")
        for path in (tmp_path / name, tmp_path / f"{name}.part"):
            os.utime(path, (time.time() - age_s,) * 2)
    remove_old([*tmp_path.iterdir(), tmp_path / "gone"], 60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "new.part"]


def test_the_folder_of_visitors_stays_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "KEPT_S", 0)
    monkeypatch.setattr(desk, "SWEPT_EVERY_S", 0.01)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "elsewhere")
    with folder_of_visitors() as work:
        sent = [work / ("0" * 32), Path(os.environ["GRADIO_TEMP_DIR"], "tmp0")]
        sent[0].mkdir()
        sent[1].write_bytes(b"0")
        until = time.monotonic() + 10
        while any(path.exists() for path in sent) and time.monotonic() < until:
            time.sleep(0.01)
        assert not any(path.exists() for path in sent)
        assert work.is_dir()
    assert not work.parent.exists()


def test_the_folder_of_visitors_ends_with_the_process(tmp_path: Path) -> None:
    script = (
        "import time; from stvlm.demo.desk import folder_of_visitors\n"
        "with folder_of_visitors() as work: (work / 'sent').mkdir(); print(work, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    work = Path(process.stdout.readline().strip())
    assert (work / "sent").is_dir()
    process.terminate()
    assert process.wait(20) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []

"""Who answers: one interface for local models, vLLM, endpoints and computed answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

from stvlm.evaluation.dataset import frame_count, may_be_on_the_hub
from stvlm.evaluation.prompts import Asked
from stvlm.evaluation.responses import TEXT_ONLY
from stvlm.files import read_json
from stvlm.programs import first_line
from stvlm.records import DataError


class Answered(NamedTuple):
    """An answer; or None, and why in one line."""

    item: Asked
    text: str | None
    failure: str = ""


class Backend(Protocol):
    """Answers questions. Raises DataError where it can answer none."""

    def answer(self, batches: Iterable[Sequence[Asked]]) -> Iterator[Answered]:
        """The answers to all items of all batches as they come, in any order."""


def make_batches(asked: Iterable[Asked], size: int) -> list[list[Asked]]:
    """Batches of up to `size` questions about clips of equally many frames, the questions of a clip together.

    They depend on what is asked and nothing else: a run that goes on asks in the same batches as one that never
    stopped, because in reduced precision an answer may depend on who shares its batch.
    """

    def shown(item: Asked) -> tuple[int, str, str]:
        frames = 0 if item.control == TEXT_ONLY else frame_count(item.row)
        return frames, item.row["clip_id"], item.control

    batches: list[list[Asked]] = []
    for _, same_length in groupby(sorted(asked, key=shown), key=lambda item: shown(item)[0]):
        batches.append([])
        for _, same_clip in groupby(same_length, key=shown):
            of_clip = list(same_clip)
            if batches[-1] and len(batches[-1]) + len(of_clip) > size:
                batches.append([])
            batches[-1] += of_clip
            while len(batches[-1]) > size:
                batches.append(batches[-1][size:])
                del batches[-2][size:]
    return batches


def fingerprint(model: str) -> str:
    """A hash of a model folder's files but its card and its training's record, or the id and commit of one on the Hub.

    Of a LoRA adapter, its base's as well. Raises DataError for a model that does not exist.
    """
    folder = Path(model)
    if not folder.is_dir() and not may_be_on_the_hub(model):
        raise DataError(f"{model}: no such model folder; train one with training/sft.py, or give a Hub id")
    own = _hash_of_files(folder) if folder.is_dir() else f"{model}@{_commit_of(model)}"
    base = adapter_base(model)
    if base is not None and not Path(base).is_dir() and not may_be_on_the_hub(base):
        raise DataError(f"{model}: is an adapter of {base}, which is no folder here; start where it is one")
    return own if base is None else f"{own} on {fingerprint(base)}"


def adapter_base(model: str) -> str | None:
    """The model that a LoRA adapter, in a folder or on the Hub, is for; None of what is no adapter."""
    from transformers.utils import find_adapter_config_file

    path = find_adapter_config_file(model)
    return None if path is None else str(read_json(Path(path))["base_model_name_or_path"])


def _hash_of_files(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in ("README.md", "training.json"):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _commit_of(model: str) -> str | None:
    from transformers.utils import cached_file, extract_commit_hash

    reason = ""
    for name in ("config.json", "adapter_config.json"):
        try:
            return str(extract_commit_hash(cached_file(model, name), None))
        except (OSError, ValueError) as error:
            reason = reason or first_line(error)
    raise DataError(f"{model}: cannot be loaded as a model ({reason})")

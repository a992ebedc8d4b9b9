"""A model and a dataset -> responses and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stvlm.chat_api import Endpoint
from stvlm.evaluation import responses
from stvlm.evaluation.answering import Backend, fingerprint, make_batches
from stvlm.evaluation.dataset import Split, load_split
from stvlm.evaluation.prompts import Asked, depth_path, load_examples, make_prompt
from stvlm.evaluation.report import as_table, as_verdicts, compare, method, score_columns
from stvlm.evaluation.responses import MODEL, TEXT_ONLY, Key, Response
from stvlm.evaluation.trajectories import Trajectories, load_trajectories
from stvlm.evaluation.versions import versions
from stvlm.files import locked, read_json, write_json
from stvlm.records import DataError

RUN = "run.json"
"""Beside the responses: who gave them, and how."""
BACKENDS = ("transformers", "vllm", "openai", "geometry")
CONTROLS = ("black", "static", "shuffled", "no_boxes", TEXT_ONLY)
CONTEXTS = ("extrinsics", "depth")
PATIENCE_S = 300.0
"""How long an endpoint may think: forty images are much to read."""


@dataclass(frozen=True)
class Settings:
    """What is asked, of whom, and how; raises DataError for what makes no sense together."""

    dataset: str
    model: str | None
    """A folder, a Hub id, or what an endpoint calls it; None for answers that are computed."""
    backend: str = "transformers"
    config: str | None = None
    split: str = "test"
    controls: tuple[str, ...] = ("black", "static")
    limit: int | None = None
    shots: int = 0
    shots_from: str | None = None
    """The dataset from whose split `train` examples are drawn."""
    context: tuple[str, ...] = ()
    depth_dir: str | None = None
    batch_size: int = 32
    max_new_tokens: int = 64
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 8
    requests_per_minute: float | None = None
    count_unanswered: bool = False
    """Whether what an endpoint gives no answer to is a wrong answer, rather than the end of the run."""

    def __post_init__(self) -> None:
        if self.backend == "geometry":
            if self.model or self.controls or self.shots or self.context:
                raise DataError("--backend geometry computes: it takes no --model, --controls, --shots or --context")
        elif self.model is None:
            raise DataError(f"--backend {self.backend} needs a --model")
        if (self.backend == "openai") != (self.base_url is not None):
            raise DataError("--base_url is for --backend openai, which needs it, such as http://localhost:8000/v1")
        if bool(self.shots) != (self.shots_from is not None):
            raise DataError("--shots N needs --shots_from DATASET, from whose split train the examples are drawn")
        if ("depth" in self.context) != (self.depth_dir is not None):
            raise DataError("--context depth needs --depth_dir, a folder of CLIP_ID.npy")


def evaluate(settings: Settings, out: Path) -> str:
    """Answers what is missing in `out`, writes results.json there, and returns what is to be read on a screen.

    Raises DataError, one line, for missing data, for an `out` with other responses, and where answers did not come.
    """
    is_computed = settings.backend == "geometry"
    split = load_split(settings.dataset, settings.split, settings.limit, settings.config, needs_video=not is_computed)
    needs_tracks = is_computed or "extrinsics" in settings.context
    trajectories = load_trajectories(settings.dataset, settings.split) if needs_tracks else None
    asked = _make_questions(settings, split, trajectories)
    wanted = {Key(item.row["id"], item.control): _hash_of(item, settings) for item in asked}
    identity = _identity(settings)
    with locked(out / "lock"):
        place = out / "responses.jsonl"
        if place.exists() and place.stat().st_size:  # a start that failed claims nothing
            _check_own(out, identity)
        found = responses.read(place)
        _check_same(place, found, wanted, settings)
        if not settings.count_unanswered:
            found = {key: response for key, response in found.items() if not response.failure}
        if missing := wanted.keys() - found.keys():
            backend = _open_backend(settings, trajectories)
            write_json(out / RUN, identity)
            found |= _answer(backend, asked, wanted, missing, settings, place)
    return _report(settings, split, {key: found[key] for key in wanted}, identity, out)


def _make_questions(settings: Settings, split: Split, trajectories: Trajectories | None) -> list[Asked]:
    examples = load_examples(settings.shots_from, "train") if settings.shots_from else None
    told = trajectories if "extrinsics" in settings.context else None
    asked = []
    for row in split.rows:
        for control in (MODEL, *settings.controls):
            with_depth = "depth" in settings.context and control != TEXT_ONLY
            prompt = make_prompt(row, shots=settings.shots, examples=examples, trajectories=told, with_depth=with_depth)
            asked.append(Asked(row, control, prompt))
    return asked


def _hash_of(item: Asked, settings: Settings) -> str:
    depth_bytes = 0
    if settings.depth_dir is not None:
        path = depth_path(Path(settings.depth_dir), item.row)
        if not path.is_file():
            raise DataError(f"{path}: no such file; --depth_dir holds the depth maps of every clip as CLIP_ID.npy")
        depth_bytes = path.stat().st_size
    return responses.asked_sha256(item.row, item.prompt, depth_bytes)


def _identity(settings: Settings) -> dict[str, Any]:
    """What makes two runs' answers those of one: beside each question's own hash."""
    identity: dict[str, Any] = {"backend": settings.backend, "split": settings.split}
    identity["config"] = settings.config or "default"
    if settings.backend == "geometry":
        return identity | {"model": "given tracks", "versions": versions()}
    assert settings.model is not None  # the settings have seen to it
    # Where an endpoint is does not decide what its model says.
    model = settings.model if settings.backend == "openai" else fingerprint(settings.model)
    if settings.backend == "transformers":
        from stvlm.evaluation.backends.transformers import precision

        identity["precision"] = precision()
    return identity | {"model": model, "max_new_tokens": settings.max_new_tokens, "versions": versions()}


def _check_own(out: Path, identity: dict[str, Any]) -> None:
    """Raises where `out` holds what another model answered, or this one otherwise."""
    if not (out / RUN).exists():
        raise DataError(f"{out}: holds responses without {RUN}, which says whose they are; choose another --out")
    former = read_json(out / RUN)
    if not isinstance(former, dict):
        raise DataError(f"{out}: holds a {RUN} that is not of this program; choose another --out")
    for name in sorted({*former, *identity}):
        was, would_be = former.get(name), identity.get(name)
        if was != would_be:
            told = name.replace("_", " ")
            if isinstance(was, dict) and isinstance(would_be, dict):
                package = min(package for package, _ in was.items() ^ would_be.items())
                told = f"version of {package}"
            raise DataError(f"{out}: holds responses of another {told}; choose another --out")


def _check_same(place: Path, found: dict[Key, Response], wanted: dict[Key, str], settings: Settings) -> None:
    """Raises where a response answers a question that is asked otherwise now, or that the dataset does not have."""
    for key, sha256 in wanted.items():
        if key in found and found[key].asked_sha256 != sha256:
            raise DataError(
                f"{place}: row {key.id} ({key.control}) was answered before its prompt, video, target, or the run's "
                "context changed; choose another --out"
            )
    ids = {key.id for key in wanted}
    foreign = [] if settings.limit else [key.id for key in found if key.id not in ids]
    if foreign:
        raise DataError(f"{place}: row {foreign[0]} is not in {settings.dataset}; choose another --out")


def _open_backend(settings: Settings, trajectories: Trajectories | None) -> Backend:
    depth_dir = Path(settings.depth_dir) if settings.depth_dir else None
    if settings.backend == "geometry":
        from stvlm.evaluation.backends.geometry import Geometry

        assert trajectories is not None
        return Geometry(trajectories)
    assert settings.model is not None
    if settings.backend == "openai":
        from stvlm.evaluation.backends.openai import EndpointModel

        assert settings.base_url is not None
        endpoint = Endpoint(
            settings.base_url,
            settings.model,
            api_key_env=settings.api_key_env,
            max_tokens=settings.max_new_tokens,
            concurrency=settings.concurrency,
            requests_per_minute=settings.requests_per_minute,
            timeout_s=PATIENCE_S,
        )
        return EndpointModel(endpoint, depth_dir)
    if settings.backend == "vllm":
        from stvlm.evaluation.backends.vllm import VLLMModel

        return VLLMModel(settings.model, settings.max_new_tokens, depth_dir)
    from stvlm.evaluation.backends.transformers import TransformersModel

    return TransformersModel(settings.model, settings.max_new_tokens, depth_dir)


def _answer(
    backend: Backend,
    asked: Sequence[Asked],
    wanted: dict[Key, str],
    missing: set[Key],
    settings: Settings,
    place: Path,
) -> dict[Key, Response]:
    """The missing responses, each written as it comes. Raises DataError at the end where some did not."""
    size = settings.batch_size if settings.backend == "transformers" else 1
    batches = [
        batch
        for batch in make_batches(asked, size)
        if any(Key(item.row["id"], item.control) in missing for item in batch)
    ]
    found: dict[Key, Response] = {}
    failures = []
    with (
        place.open("a", encoding="utf-8", buffering=1) as file,  # a line at a time: what is answered is kept
        tqdm(total=len(asked), initial=len(asked) - len(missing), unit="answer", desc="answering") as bar,
    ):
        for item, text, failure in backend.answer(batches):
            key = Key(item.row["id"], item.control)
            if key not in missing:  # asked again for its batch's sake
                continue
            bar.update()
            if text is None and not settings.count_unanswered:
                failures.append(f"row {key.id} ({key.control}): {failure}")
                continue
            found[key] = Response(text or "", wanted[key], failure)
            file.write(responses.as_line(item.row, item.control, found[key]))
    if failures:
        raise DataError(
            f"{len(failures)} of {len(asked)} questions were not answered; the first, {failures[0]}; run this again "
            "to ask these again, or with --count_unanswered to count them as wrong"
        )
    return found


def _report(settings: Settings, split: Split, found: dict[Key, Response], identity: dict[str, Any], out: Path) -> str:
    rows, columns = split.rows, (MODEL, *settings.controls)
    answers = {column: [found[Key(row["id"], column)].text for row in rows] for column in columns}
    scores = score_columns(rows, answers)
    differences = compare(rows, scores, MODEL)
    plain = {name: {k: v for k, v in s.items() if k != "per_sample"} for name, s in scores.items()}
    title = settings.model or "geometry"
    results = {
        "model": {"path": title, "fingerprint": identity["model"], "backend": settings.backend},
        "dataset": {
            "path": settings.dataset,
            "config": settings.config or "default",
            "split": settings.split,
            "revision": split.revision,
            "fingerprint": split.fingerprint,
            "rows": len(rows),
        },
        "settings": asdict(settings),
        "scores": plain,
        "differences": {task: {name: d._asdict() for name, d in of.items()} for task, of in differences.items()},
        "unanswered": sum(bool(response.failure) for response in found.values()),
        "versions": versions(),
    }
    write_json(out / "results.json", results)
    return "\n".join(
        [
            as_table(scores, MODEL, Path(title).name),
            "",
            as_verdicts(differences, scores, MODEL, learns=settings.backend != "geometry"),
            "",
            method(len({row["clip_id"] for row in rows})),
        ]
    )

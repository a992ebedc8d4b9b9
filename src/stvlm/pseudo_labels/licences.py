"""Under which terms the tools of pseudo-labelling stand: their code, and the weights that they run with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import yaml

from stvlm.pseudo_labels.artefacts import Provenance
from stvlm.recipes import from_mapping, nearest
from stvlm.records import DataError

_FILE = Path(__file__).with_name("licences.yaml")
_BETWEEN = " + "


@dataclass(frozen=True)
class Terms:
    """What a licence allows."""

    licence: str
    commercial: bool
    """Whether what is made with it may be used commercially."""


@dataclass(frozen=True)
class ToolLicence:
    """A tool's terms."""

    name: str
    """The tool, as its makers write it."""
    code: Terms
    url: str = ""
    """Where it is; nothing for what is part of this package."""
    looked_at: str = ""
    """The version whose code and terms were read."""
    weights: Mapping[str, Terms] = field(default_factory=dict)
    """By model; the first is the one that is meant where none is named. Empty for what runs without."""


@cache
def tool_licences() -> Mapping[str, ToolLicence]:
    """The terms of every tool that is known."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {name: from_mapping(ToolLicence, entry, f"{_FILE}: {name}") for name, entry in entries.items()}


def provenance_of(tool: str, model: str | None = None) -> Provenance:
    """What is made with a tool and one of its models; raises DataError where either is not known."""
    known = _known(tool)
    model = model or next(iter(known.weights), "")
    weights = _weights(tool, model)
    terms = known.code.licence
    if weights.licence != terms:
        terms = f"code {terms}; weights {weights.licence}"
    return Provenance(tool=tool, model=model, licence=terms)


def made_by(tool: str, model: str | None = None, revision: str = "") -> Provenance:
    """What a tool makes with a model; with one that is not in licences.yaml, one's own for example, without terms."""
    if model and model not in tool_licences()[tool].weights:
        return Provenance(tool, model, revision)
    return replace(provenance_of(tool, model), revision=revision)


def tool_of(model: str, tools: Iterable[str]) -> str:
    """Which of some tools a model is of; the first where none has it."""
    known = [tool for tool in tools if model in tool_licences()[tool].weights]
    return (known or list(tools))[0]


def joined(*parts: Provenance) -> Provenance:
    """What several tools make together, under the terms of all of them."""
    tool, model, revision = (_BETWEEN.join(getattr(p, name) for p in parts) for name in ("tool", "model", "revision"))
    licences = dict.fromkeys(p.licence or f"{p.model}: not known" for p in parts if p.licence or p.model)
    return Provenance(tool, model, revision if any(p.revision for p in parts) else "", "; ".join(licences))


def may_be_sold(made_by: Provenance) -> bool:
    """Whether an artefact may be used commercially: code and weights allow it, of every tool that took part.

    Raises DataError as above.
    """
    parts = zip(made_by.tool.split(_BETWEEN), made_by.model.split(_BETWEEN), strict=True)
    return all(_known(tool).code.commercial and _weights(tool, model).commercial for tool, model in parts)


def _known(tool: str) -> ToolLicence:
    if tool not in tool_licences():
        raise DataError(f"tool {tool!r}: its licence is not known{nearest(tool, tool_licences())}")
    return tool_licences()[tool]


def _weights(tool: str, model: str) -> Terms:
    known = _known(tool).weights
    if not known:
        return _known(tool).code
    if model not in known:
        raise DataError(f"{tool}: the licence of model {model!r} is not known{nearest(model, known)}")
    return known[model]

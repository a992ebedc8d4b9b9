"""Recipes: YAML files read into frozen dataclasses; an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from stvlm.records import DataError

T = TypeVar("T")
_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")
"""A number that YAML 1.1 takes for text, for want of a point."""


def load_recipe(path: Path, cls: type[T]) -> T:
    """The recipe file at `path` as a `cls`; raises DataError, one line that names the file, the key and the cure."""
    return from_mapping(cls, read_yaml(path, "recipe"), str(path))


def read_yaml(path: Path, what: str) -> Any:
    """The value in a YAML file, which holds a `what`; raises DataError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot read the {what} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot read the {what} (it is not UTF-8 text)") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML: {' '.join(str(error).split())}") from error


def from_mapping(cls: type[T], values: Any, where: str) -> T:
    """A dataclass from a mapping of its fields, nested dataclasses and tuples included; `where` begins the error."""
    if not isinstance(values, Mapping):
        raise DataError(f"{where}: expected keys and values, got {type(values).__name__}")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise DataError(f"{where}: unknown key {key!r}{nearest(key, fields)}")
    required = (dataclasses.MISSING, dataclasses.MISSING)
    for name, field in fields.items():
        if name not in values and (field.default, field.default_factory) == required:
            raise DataError(f"{where}: the key {name!r} is missing")
    converted = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**converted)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def to_mapping(recipe: Any) -> dict[str, Any]:
    """A recipe as plain values: what JSON gives back of them is the same."""
    return dict(json.loads(json.dumps(dataclasses.asdict(recipe))))


def nearest(name: object, known: Iterable[str]) -> str:
    """Ends an error: "; did you mean 'x'?" for the known name nearest to a wrong one, else the list of known names."""
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        kinds = [kind for kind in arguments if kind is not type(None)]
        return _convert(kinds[0], value, where) if len(kinds) == 1 else value
    if dataclasses.is_dataclass(hint):
        return from_mapping(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise DataError(f"{where}: expected a list, got {value!r}")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise DataError(f"{where}: expected {len(kinds)} values, got {len(value)}")
        return tuple(_convert(kind, part, where) for kind, part in zip(kinds, value, strict=True))
    if hint is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return float(value)  # not NaN, which no check of a bound would notice
    if hint in (int, bool, str, float):
        if type(value) is not hint or value != value:
            raise DataError(f"{where}: expected {hint.__name__}, got {value!r}")
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: expected keys and values, got {value!r}")
        return {key: _convert(arguments[1], part, f"{where}: {key}") for key, part in value.items()}
    return value

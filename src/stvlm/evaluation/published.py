"""What the paper prints of other models: a reference, and no more than that, since its benchmark is unreleased."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from stvlm.evaluation.report import COLUMNS

CAUTION = "scored there by GPT-4 on the authors' unreleased benchmark: a reference, not strictly comparable"
ST_VLM = "ST-VLM-7B"


class Published(NamedTuple):
    """A table of the paper; scores under the keys of `score_all`, in its units."""

    source: str
    groups: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Kind of models -> model -> key -> score."""

    def of(self, model: str) -> Mapping[str, float]:
        """The scores of a model."""
        return next(models[model] for models in self.groups.values() if model in models)


@cache
def published() -> Published:
    """The paper's Table 3."""
    content = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    groups = {
        group: {
            model: {key: value / factor for (_, key, factor), value in zip(COLUMNS, values, strict=True)}
            for model, values in models.items()
        }
        for group, models in content["groups"].items()
    }
    return Published(content["source"], groups)

"""A dataset described in Croissant (mlcommons.org/croissant), with what its vocabulary for responsible AI asks for.

The Hub describes every dataset by itself, but cannot know how it was made or what it is not for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from stvlm.sources.licences import licence_of

_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
"""The vocabulary, as the specification gives it."""


def croissant(
    manifest: Mapping[str, Any], repo_id: str, schema: pa.Schema, sources: Collection[str], limits: Sequence[str]
) -> dict[str, Any]:
    """The description, JSON-LD, of the dataset `repo_id` whose rows have this schema."""
    address = f"https://huggingface.co/datasets/{repo_id}"
    report = manifest["report"]
    real = sorted(set(sources) - {"simulation"})
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": repo_id.split("/")[1],
        "description": f"{report['rows']} questions with measured answers about how real objects move.",
        "version": manifest["stvlm"],
        "url": address,
        "license": sorted({licence_of(source).url for source in sources}),
        "citeAs": "https://arxiv.org/abs/2503.19355",
        "rai:dataCollection": f"Recordings of {', '.join(licence_of(source).name for source in sorted(sources))}.",
        "rai:dataAnnotationProtocol": "Questions are templates; answers are computed from 3D annotations.",
        "rai:dataUseCases": "To train and score models that tell from video how objects move; not to act in traffic.",
        "rai:dataLimitations": list(limits),
        "rai:personalSensitiveInformation": (
            f"People and number plates as {', '.join(licence_of(source).name for source in real)} show them."
            if real
            else "None: all is simulated."
        ),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "repo",
                "name": "repo",
                "contentUrl": address,
                "encodingFormat": "git+https",
                "sha256": "https://github.com/mlcommons/croissant/issues/80",  # what the specification has for git
            },
            {
                "@type": "cr:FileSet",
                "@id": "tables",
                "name": "tables",
                "containedIn": {"@id": "repo"},
                "encodingFormat": "application/x-parquet",
                "includes": "**/metadata.parquet",
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "questions",
                "name": "questions",
                "description": "One record a question.",
                "field": [_field(column) for column in schema if _data_type(column.type)],
            }
        ],
    }


def _field(column: pa.Field) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"questions/{column.name}",
        "name": column.name,
        "dataType": _data_type(column.type),
        **({"repeated": True} if pa.types.is_list(column.type) else {}),
        "source": {"fileSet": {"@id": "tables"}, "extract": {"column": column.name}},
    }


def _data_type(kind: pa.DataType) -> str | None:
    """What the vocabulary calls a column's values; None for nested ones, which it has no simple name for."""
    if pa.types.is_list(kind):
        return _data_type(kind.value_type)
    if pa.types.is_string(kind):
        return "sc:Text"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Integer" if pa.types.is_integer(kind) else None
